"""CHX multifile: every photon at its place, numbers from its header where these have one meaning, and nothing read past its end."""

import struct

import numpy as np
import pytest

import xcdi.io
from xcdi.beamline import Beamline
from xcdi.errors import XcdiError
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import from_dense

SHAPE = (11, 14)
HEADER = {"centre_x": 7.5, "centre_y": 3.0, "count_time": 0.009, "distance": 16.2, "frame_time": 0.01, "wavelength": 1.2848, "px": 75e-6}


def header(width=2, shape=SHAPE, **numbers):
    h = HEADER | numbers
    y, x = shape
    known = [h[k] for k in ("centre_x", "centre_y", "count_time", "distance", "frame_time", "wavelength", "px", "px")]
    return struct.pack("<16s8d7I916x", b"Version-COMP0001", *known, width, x, y, 0, x, 0, y)


def listed(frame, width=2):
    """One frame as it is written."""
    pixel = np.flatnonzero(frame)
    return struct.pack("<I", pixel.size) + pixel.astype("<i4").tobytes() + frame.ravel()[pixel].astype(f"<i{width}").tobytes()


def write(path, counts, width=2, **numbers):
    path.write_bytes(header(width, counts.shape[1:], **numbers) + b"".join(listed(frame, width) for frame in counts))


def some_counts(n=6, mean=0.5):
    counts = np.random.default_rng(n).poisson(mean, (n, *SHAPE)).astype("u2")
    counts[:, 2, 3] = 40_000  # above the largest signed number of its bytes
    return counts


def beamline(**more):
    return Beamline.model_validate({"name": "chx", "format": "multifile", "layout": {"counts": "unused"}} | more)


@pytest.mark.parametrize("width", [2, 4])
def test_counts_and_photons_are_those_written(tmp_path, width):
    counts = some_counts()
    write(tmp_path / "uid_1.cmp", counts, width)
    assert xcdi.io.list_scans(tmp_path, beamline()) == ["uid_1"]
    scan = xcdi.io.open_scan(tmp_path, "uid_1", beamline(), frames_per_chunk=4)
    assert scan.counts.dtype == f"u{width}"
    np.testing.assert_array_equal(scan.counts.to_numpy(), counts)
    place = np.where(np.arange(154) % 3 == 0, -1, np.cumsum(np.arange(154) % 3 > 0) - 1).reshape(SHAPE)
    found, ok = gathered(scan.stored.to_numpy(), place, int(place.max()) + 1)
    assert ok.all()
    for got, wanted in zip(found, from_dense(counts[:, place >= 0]), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_numbers_of_one_meaning_come_from_the_header(tmp_path):
    write(tmp_path / "u.cmp", some_counts())
    attrs = xcdi.io.open_scan(tmp_path, "u", beamline()).attrs
    np.testing.assert_allclose([attrs["energy_kev"], attrs["frame_time_s"], attrs["count_time_s"]], [9.65007, 0.01, 0.009], rtol=1e-5)
    assert attrs["pixel_size_m"] == [75e-6, 75e-6]
    assert not {"distance_m", "centre_px"} & set(attrs)  # metres or millimetres, before or after a turn: its writers differ


def test_what_its_writer_did_not_know_is_absent(tmp_path):
    write(tmp_path / "u.cmp", some_counts(), count_time=0, frame_time=0, wavelength=0, px=75)
    assert not {"energy_kev", "frame_time_s", "count_time_s", "pixel_size_m"} & set(xcdi.io.open_scan(tmp_path, "u", beamline()).attrs)


def test_what_the_beamline_states_goes_first(tmp_path):
    write(tmp_path / "u.cmp", some_counts())
    stated = {"distance": {"value": 16.2, "units": "m", "source": "log"}, "energy": {"value": 9.0, "units": "keV", "source": "log"}}
    attrs = xcdi.io.open_scan(tmp_path / "u.cmp", "u", beamline(quantities=stated)).attrs
    assert (attrs["distance_m"], attrs["energy_kev"]) == (16.2, 9.0)


def test_a_frame_without_photons_is_lost_where_others_have_many(tmp_path):
    counts = some_counts()
    counts[4] = 0
    write(tmp_path / "u.cmp", counts)
    assert np.flatnonzero(~xcdi.io.open_scan(tmp_path, "u", beamline()).frame_ok).tolist() == [4]


@pytest.mark.parametrize("cut", [1, 3, 30])
def test_a_file_cut_short_loses_its_last_frame(tmp_path, cut):
    counts = some_counts()
    write(tmp_path / "u.cmp", counts)
    (tmp_path / "u.cmp").write_bytes((tmp_path / "u.cmp").read_bytes()[:-cut])
    scan = xcdi.io.open_scan(tmp_path, "u", beamline())
    assert scan.frame_ok.to_numpy().tolist() == [True] * 5 + [False]
    np.testing.assert_array_equal(scan.counts[:5].to_numpy(), counts[:5])
    assert (scan.counts[5] == 65535).all()
    assert scan.stored.to_numpy()[5] is None


def test_a_file_cut_within_a_length(tmp_path):
    write(tmp_path / "u.cmp", some_counts(3))
    with (tmp_path / "u.cmp").open("ab") as file:
        file.write(b"\x05\x00")
    assert xcdi.io.open_scan(tmp_path, "u", beamline()).frame_ok.to_numpy().tolist() == [True] * 3 + [False]


@pytest.mark.parametrize("pixels", [[3, 154], [-1, 3], [3, 3]])
def test_a_frame_that_cannot_be_true_is_flagged_and_harms_no_other(tmp_path, pixels):
    wrong = struct.pack("<I", 2) + np.array(pixels, "<i4").tobytes() + np.array([1, 1], "<i2").tobytes()
    one = listed(some_counts(1)[0])
    (tmp_path / "u.cmp").write_bytes(header() + one + wrong + one)
    scan = xcdi.io.open_scan(tmp_path, "u", beamline())
    assert [frame is not None for frame in scan.stored.to_numpy()] == [True, False, True]
    assert (scan.counts[1] == 65535).all()
    np.testing.assert_array_equal(scan.counts[2], some_counts(1)[0])


def test_a_length_beyond_the_detector_is_an_error(tmp_path):
    (tmp_path / "u.cmp").write_bytes(header() + listed(some_counts(1)[0]) + struct.pack("<I", 4_000_000_000) + bytes(99))
    with pytest.raises(XcdiError, match=r"u.cmp: frame 1 claims 4000000000 pixels of 154; the file is damaged from byte"):
        xcdi.io.open_scan(tmp_path, "u", beamline())


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no multifile"),
        (b"Version-COMP0002" + bytes(1008), "no multifile"),
        (header(width=8), "means of several frames"),
        (header(width=3), "counts of 3 bytes"),
        (header(shape=(0, 5)), "frames of 0 x 5"),
        (header(shape=(1 << 30, 1 << 30)), "its header is damaged"),
        (header(), "holds no frame"),
    ],
)
def test_other_files_are_refused(tmp_path, raw, why):
    (tmp_path / "u.cmp").write_bytes(raw)
    with pytest.raises(XcdiError, match=why):
        xcdi.io.open_scan(tmp_path, "u", beamline())


def test_any_damage_is_an_error_or_a_scan(tmp_path):
    """Whatever the bytes: one clear error, or frames of the right shape."""
    write(tmp_path / "u.cmp", some_counts(3, mean=0.1))
    raw = (tmp_path / "u.cmp").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(raw[: rng.integers(1000, len(raw) + 1)])
        for _ in range(4):
            bad[int(rng.integers(80, len(bad)))] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "u.cmp").write_bytes(bad)
        try:
            scan = xcdi.io.open_scan(tmp_path, "u", beamline())
        except XcdiError:
            continue
        assert scan.isel(frame=slice(0, 3)).counts.to_numpy().shape[1:] == scan.valid.shape


def test_followed_blocks_are_the_scan_while_it_grows(tmp_path):
    counts = some_counts(5)
    write(tmp_path / "u.cmp", counts)
    with (tmp_path / "u.cmp").open("ab") as file:
        file.write(listed(counts[0])[:20])  # a frame that is not whole yet
    parts = list(xcdi.io.follow(tmp_path, "u", beamline(), block=2, poll_s=0.01, patience_s=0.2))
    np.testing.assert_array_equal(np.concatenate([part.counts for part in parts]), counts)
