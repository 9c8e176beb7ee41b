"""Files that are broken, hostile or half written: one clear line, or a frame marked as missing; never a crash, never a silent zero."""

import os
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scanfiles import PACKED, SHAPE, make_eiger, stack_beamline, write_data, write_stack

import xcdi.io
from xcdi.errors import XcdiError
from xcdi.io import vetting
from xcdi.io.vetting import Place, locate, open_file, opened, vet

WRITER = """
import h5py, time, sys
with h5py.File(sys.argv[1], "w", **eval(sys.argv[2])) as file:
    data = file.create_dataset("S1/frames", (0, 13, 17), "u2", maxshape=(None, 13, 17), chunks=(1, 13, 17))
    if eval(sys.argv[2]):
        file.swmr_mode = True
    for i in range(6):
        data.resize(i + 1, 0)
        data[i] = i + 1
        file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def refusal(work):
    """The one line that `work` is refused with."""
    with pytest.raises(XcdiError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def writer(tmp_path):
    """Start a process that writes s.h5 and keeps it open; it dies with the test."""
    started = []

    def start(options):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s.h5"), repr(options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def open_plain(tmp_path, **more):
    return xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline(**more))


def test_absent_empty_foreign_and_folder(tmp_path):
    (tmp_path / "empty.h5").touch()
    (tmp_path / "text.h5").write_text("hello" * 100)
    assert refusal(lambda: open_file(tmp_path / "none.h5")).endswith("none.h5: no such file")
    assert refusal(lambda: open_file(tmp_path / "empty.h5")).endswith("not an HDF5 file (0 bytes)")
    assert refusal(lambda: open_file(tmp_path / "text.h5")).endswith("not an HDF5 file (500 bytes)")
    assert "is a folder" in refusal(lambda: open_file(tmp_path))


def test_a_file_cut_short_says_how_much_is_missing(eiger):
    size = eiger.data(2).stat().st_size
    os.truncate(eiger.data(2), size - 100)
    assert f"cut short: {size - 100} bytes of {size}, 100 are missing" in refusal(eiger.open)


def test_missing_data_files_are_listed(eiger):
    eiger.data(2).unlink()
    assert "1 of 3 data files are missing: S1_data_000002.h5" in refusal(eiger.open)


def damage(path, name, frame, harm):
    """Overwrite the bytes of one chunk."""
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info_by_coord((frame, 0, 0))
    raw = bytearray(path.read_bytes())
    raw[info.byte_offset : info.byte_offset + info.size] = harm(raw[info.byte_offset : info.byte_offset + info.size])
    path.write_bytes(raw)


HARMS = {
    "zeroed": lambda raw: bytes(len(raw)),
    "random": lambda raw: raw[:12] + np.random.default_rng(0).integers(0, 256, len(raw) - 12, dtype="u1").tobytes(),
    "claims 2**60 bytes": lambda raw: (1 << 60).to_bytes(8, "big") + raw[8:],
    "length past the end": lambda raw: raw[:12] + b"\xff" * 4 + raw[16:],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_chunk_costs_its_own_frame_only(eiger, harm):
    damage(eiger.data(1), "entry/data/data", 2, HARMS[harm])
    counts = eiger.open().counts.to_numpy()
    assert (counts[2] == 65535).all()
    keep = np.arange(11) != 2
    np.testing.assert_array_equal(counts[keep], eiger.counts[keep])


def test_a_damaged_chunk_of_another_codec_costs_its_own_frame_only(tmp_path):
    frames = np.random.default_rng(0).random((5, *SHAPE)).astype("f4")
    write_stack(tmp_path / "s.h5", frames, chunks=(1, *SHAPE), compression="gzip")
    damage(tmp_path / "s.h5", "S1/frames", 3, lambda raw: bytes(len(raw)))
    counts = open_plain(tmp_path).counts.to_numpy()
    assert np.isnan(counts[3]).all()
    np.testing.assert_array_equal(counts[[0, 1, 2, 4]], frames[[0, 1, 2, 4]])


def test_a_chunk_stored_raw_because_it_would_not_shrink(tmp_path):
    frames = np.random.default_rng(0).integers(0, 9, (3, *SHAPE)).astype("u2")
    write_stack(tmp_path / "s.h5", frames, chunks=(1, *SHAPE), **PACKED)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["S1/frames"].id.write_direct_chunk((1, 0, 0), frames[1].tobytes(), filter_mask=1)
    np.testing.assert_array_equal(open_plain(tmp_path).counts.to_numpy(), frames)


@pytest.mark.parametrize("how", [{}, PACKED, {"compression": "gzip"}])
def test_frames_never_written_are_not_zeros(tmp_path, how):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        data = file.create_dataset("S1/frames", (9, *SHAPE), "u2", chunks=(2, *SHAPE), **how)
        data[0:2] = 3
        data[6:9] = 4
    scan = open_plain(tmp_path)
    assert scan.frame_ok.to_numpy().tolist() == [True] * 2 + [False] * 4 + [True] * 3
    assert scan.counts[:, 0, 0].to_numpy().tolist() == [3] * 2 + [65535] * 4 + [4] * 3


def test_an_empty_scan_is_refused(tmp_path):
    write_stack(tmp_path / "s.h5", np.zeros((0, *SHAPE), "u2"), maxshape=(None, *SHAPE))
    assert "scan 'S1' holds no frame" in refusal(lambda: open_plain(tmp_path))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(SHAPE), "rejects 100% of the pixels; a pixel is bad where the mask is not 0, so it may be inverted"),
        (np.ones(SHAPE[::-1]), r"has shape (17, 13), frames have (13, 17); it looks transposed"),
        (np.ones((3, 4)), r"has shape (3, 4), frames have (13, 17)"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(tmp_path, mask, message):
    write_stack(tmp_path / "s.h5", np.zeros((2, *SHAPE), "u2"))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["mask"] = mask
    assert message in refusal(lambda: open_plain(tmp_path, detector={"mask": "/mask"}))


def test_gaps_that_leave_no_pixel_are_refused(tmp_path):
    write_stack(tmp_path / "s.h5", np.zeros((2, *SHAPE), "u2"))
    assert "no pixel of scan 'S1' can be trusted" in refusal(lambda: open_plain(tmp_path, detector={"gaps": [[0, 13, 0, 17]]}))


def test_links_that_leave_the_folder_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    outside = make_eiger(tmp_path, "X", n=2)
    scan = make_eiger(tmp_path / "in", n=2)
    for target in ("../X_data_000001.h5", str(outside.data(1))):
        with h5py.File(scan.master, "a") as file:
            del file["entry/data/data_000001"]
            file["entry/data/data_000001"] = h5py.ExternalLink(target, "/entry/data/data")
        assert "outside" in refusal(scan.open)


def test_raw_storage_elsewhere_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret" * 200)
    with h5py.File(tmp_path / "in" / "s.h5", "w") as file:
        file.create_dataset("S1/frames", (2, *SHAPE), "u1", external=[(str(tmp_path / "secret"), 0, 442)])
    assert "such files are not read" in refusal(lambda: open_plain(tmp_path / "in"))


def test_links_that_go_in_circles_are_refused(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["S1/frames"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/S1/frames")
    assert "go round in circles" in refusal(lambda: open_plain(tmp_path))


def test_soft_and_external_links_inside_the_folder_are_followed(tmp_path):
    write_stack(tmp_path / "frames.h5", np.full((2, *SHAPE), 5, "u2"))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["far"] = h5py.ExternalLink("frames.h5", "/S1")
        file["S1/frames"] = h5py.SoftLink("../far/frames")
        file["S2"] = h5py.SoftLink("far")
    with open_file(tmp_path / "s.h5") as file:
        assert locate(file, "/S2/frames", root=tmp_path) == Place(tmp_path / "frames.h5", "/S1/frames")
        assert locate(file, "/S2/nothing", root=tmp_path) is None


def virtual(tmp_path, source):
    layout = h5py.VirtualLayout((4, *SHAPE), "u2")
    layout[:2] = h5py.VirtualSource("part.h5", "S1/frames", (2, *SHAPE))
    layout[2:] = h5py.VirtualSource(source, "S1/frames", (2, *SHAPE))
    write_stack(tmp_path / "part.h5", np.full((2, *SHAPE), 7, "u2"))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_virtual_dataset("S1/frames", layout)


def test_virtual_sources_must_be_there(tmp_path):
    virtual(tmp_path, "gone.h5")
    assert "1 of its files are missing: gone.h5" in refusal(lambda: open_plain(tmp_path))


def test_virtual_frames_are_read_where_all_sources_are(tmp_path):
    virtual(tmp_path, "part.h5")
    assert (open_plain(tmp_path).counts.to_numpy() == 7).all()


def test_virtual_sources_that_leave_the_folder_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    virtual(tmp_path / "in", "../part.h5")
    assert "outside" in refusal(lambda: open_plain(tmp_path / "in"))


def test_an_unknown_filter_is_named(tmp_path, monkeypatch):
    write_stack(tmp_path / "s.h5", np.zeros((2, *SHAPE), "u2"), chunks=(1, *SHAPE), **PACKED)
    monkeypatch.setattr(vetting.h5py.h5z, "filter_avail", lambda code: False, raising=False)
    assert "compressed by HDF5 filter 32008" in refusal(lambda: open_plain(tmp_path))


def test_chunks_of_another_rank_are_refused(tmp_path):
    """Such a file makes HDF5 divide by zero."""
    hostile = SimpleNamespace(
        chunks=(1, 13), ndim=3, dtype=np.dtype("u2"), name="/d", external=None, is_virtual=False, file=SimpleNamespace(filename="h.h5")
    )
    assert "chunks of rank 2 and data of rank 3" in refusal(lambda: vet(hostile, tmp_path))


def test_a_bomb_of_a_chunk_is_refused(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("S1/frames", (1, 1 << 16, 1 << 15), "u2", chunks=(1, 1 << 16, 1 << 15), compression="gzip")
    assert "has chunks of 4294967296 bytes" in refusal(lambda: open_plain(tmp_path))


def test_a_petabyte_that_nobody_wrote_opens_as_frames_that_are_missing(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("S1/frames", (10**6, 512, 512), "u4", chunks=(1, 512, 512), **PACKED)
    assert not open_plain(tmp_path).frame_ok.any()


def test_a_file_that_its_writer_locks_is_read_as_far_as_it_was_flushed(tmp_path, writer):
    """As BLISS keeps its files: locked all the time, and flushed."""
    writer({})
    assert open_plain(tmp_path).counts[:, 0, 0].to_numpy().tolist() == [1, 2, 3, 4, 5, 6]


def test_a_live_swmr_file_opens_and_is_not_complete(tmp_path, writer):
    writer({"libver": "latest"})
    scan = open_plain(tmp_path)
    assert scan.counts[:, 0, 0].to_numpy().tolist() == [1, 2, 3, 4, 5, 6]
    assert not scan.attrs["complete"]


def test_flushed_frames_survive_the_death_of_an_swmr_writer(tmp_path, writer):
    process = writer({"libver": "latest"})
    process.kill()
    process.communicate()
    scan = open_plain(tmp_path)
    assert scan.counts[:, 0, 0].to_numpy().tolist() == [1, 2, 3, 4, 5, 6]
    assert not scan.attrs["complete"]


def test_inputs_are_never_written_to(eiger):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in eiger.folder.iterdir()}
    eiger.open().counts.sum().compute()
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in eiger.folder.iterdir()} == before


def test_filters_are_not_loaded_from_a_path_in_the_environment(tmp_path):
    code = "import xcdi.io, os; print(os.environ['HDF5_PLUGIN_PRELOAD'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"HDF5_PLUGIN_PATH": str(tmp_path)})
    assert run.stdout == "::\n"


def test_frames_of_two_shapes_are_refused(tmp_path):
    scan = make_eiger(tmp_path, n=8, per_file=4)
    write_data(scan.data(2), np.zeros((4, 5, 6), "u2"), low=5)
    assert r"S1_data_000002.h5: frames are uint16 (5, 6), in S1_data_000001.h5 uint16 (13, 17)" in refusal(scan.open)


def test_opening_a_dataset_that_is_a_group_says_so(eiger):
    with pytest.raises(XcdiError, match="'/entry/data' is no dataset"), opened(Place(eiger.master, "/entry/data"), root=eiger.folder):
        pass
