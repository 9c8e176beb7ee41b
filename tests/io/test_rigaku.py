"""Rigaku's lists of 64-bit events: every photon at its place, and no frame taken for empty that was lost."""

import numpy as np
import pytest

import xcdi.io
from xcdi.beamline import Beamline
from xcdi.errors import XcdiError
from xcdi.io.formats import rigaku
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import from_dense

ROWS, COLUMNS = rigaku.MODULE


def words(frame, pixel, count):
    """Events as the detector writes them."""
    frame, pixel, count = (np.asarray(v, np.uint64) for v in (frame, pixel, count))
    return (frame << np.uint64(40)) | (pixel << np.uint64(16)) | count


def events(counts, shift=0):
    """Events of frames (frame, pixel) in order."""
    frame, pixel = np.nonzero(counts)
    return words(frame, pixel + shift, counts[frame, pixel])


def some_counts(n, mean=2e-4, seed=0):
    counts = np.random.default_rng(seed).poisson(mean, (n, ROWS * COLUMNS)).astype("u2")
    counts[:, 77] = 4095  # more than 8 bits hold
    counts[:, -1] = 1
    return counts


def beamline(**more):
    known = {"name": "8id", "format": "rigaku", "layout": {"counts": "unused"}}
    return Beamline.model_validate(known | more)


def test_counts_and_photons_are_those_written(tmp_path):
    counts = some_counts(5)
    events(counts).astype("<u8").tofile(tmp_path / "A1.bin")
    assert xcdi.io.list_scans(tmp_path, beamline()) == ["A1"]
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline(), frames_per_chunk=2)
    assert scan.frame_ok.all()
    np.testing.assert_array_equal(scan.counts.to_numpy().reshape(5, -1), counts)
    place = np.arange(ROWS * COLUMNS, dtype=np.int32).reshape(ROWS, COLUMNS)
    found, ok = gathered(scan.stored.to_numpy(), place, place.size, threads=2)
    assert ok.all()
    for got, wanted in zip(found, from_dense(counts), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_numbers_that_nobody_states_are_absent(tmp_path):
    events(some_counts(3)).tofile(tmp_path / "A1.bin")
    assert not {"energy_kev", "distance_m", "frame_time_s"} & set(xcdi.io.open_scan(tmp_path, "A1", beamline()).attrs)
    stated = {"energy": {"value": 10.9, "units": "keV", "source": "log"}}
    time = {"counts": "unused", "frame_time": {"value": 20.0, "units": "us", "source": "log"}}
    scan = xcdi.io.open_scan(tmp_path / "A1.bin", "A1", beamline(quantities=stated, layout=time))
    assert (scan.attrs["energy_kev"], scan.attrs["frame_time_s"]) == (10.9, 2e-5)
    np.testing.assert_allclose(scan.time, np.arange(3) * 2e-5)


def test_numbers_may_stand_in_a_file_beside(tmp_path):
    import h5py

    events(some_counts(3)).tofile(tmp_path / "A1.bin")
    with h5py.File(tmp_path / "A1_metadata.hdf", "w") as file:
        file["entry/instrument/detector_1/frame_time"] = 0.25
    layout = {"counts": "unused", "frame_time": {"path": "/entry/instrument/detector_1/frame_time", "units": "s"}}
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline(layout=layout))
    assert scan.attrs["frame_time_s"] == 0.25
    assert scan.attrs["source"].endswith("A1.bin")


@pytest.mark.parametrize("shifted", [False, True])
def test_six_modules_are_put_where_they_stand(tmp_path, shifted):
    """Each module sees one pixel of its own; where that is on the frame is known from the layout."""
    n = 3
    for k, number in enumerate((5, 0, 4, 1, 3, 2)):
        counts = np.zeros((n, ROWS * COLUMNS), "u2")
        counts[:, 3 * COLUMNS + 7] = k + 1
        counts[:, :2] = 9
        events(counts, shift=(1 << 20) * shifted).tofile(tmp_path / f"B.bin.00{number}")
    assert xcdi.io.list_scans(tmp_path, beamline()) == ["B"]
    scan = xcdi.io.open_scan(tmp_path, "B", beamline())
    assert scan.counts.shape == (n, 1676, 2100)
    for k in range(6):
        y, x = k // 2 * (512 + 70), k % 2 * (1024 + 52)
        assert scan.counts[1, y + 3, x + 7] == k + 1
    valid = scan.valid.to_numpy()
    assert not valid[512:582].any()
    assert not valid[:, 1024:1076].any()
    assert valid.sum() == 6 * ROWS * COLUMNS
    pixel, count = scan.stored.to_numpy()[2].photons(np.arange(valid.size, dtype=np.int32).reshape(valid.shape))
    np.testing.assert_array_equal(pixel, np.flatnonzero(scan.counts[2]))
    assert count.sum() == scan.counts[2].sum()


def test_a_module_that_is_missing_is_named(tmp_path):
    for number in (0, 1, 2, 4, 5):
        events(some_counts(2)).tofile(tmp_path / f"B.bin.00{number}")
    with pytest.raises(XcdiError, match=r"1 of 6 modules of scan 'B' are missing: B.bin.003"):
        xcdi.io.open_scan(tmp_path, "B", beamline())


def test_an_empty_frame_is_a_gap_where_others_have_many_photons(tmp_path):
    counts = some_counts(6)
    counts[3] = 0
    events(counts).tofile(tmp_path / "A1.bin")
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline())
    assert np.flatnonzero(~scan.frame_ok).tolist() == [3]
    assert scan.stored.to_numpy()[3] is None
    assert (scan.counts[3] == 65535).all()


def test_an_empty_frame_is_a_frame_where_others_have_few(tmp_path):
    words([0, 0, 2], [5, 9, 5], [1, 1, 1]).tofile(tmp_path / "A1.bin")
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline())
    assert scan.frame_ok.all()
    assert scan.counts.sum(["y", "x"]).to_numpy().tolist() == [2, 0, 1]


def test_frames_lost_at_the_end_are_known_where_their_number_is(tmp_path):
    events(some_counts(4)).tofile(tmp_path / "A1.bin")
    planned = {"counts": "unused", "frames_expected": {"value": 6, "units": "1", "source": "log"}}
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline(layout=planned))
    assert scan.frame_ok.to_numpy().tolist() == [True] * 4 + [False] * 2
    assert not scan.attrs["complete"]


def test_events_in_any_order_within_a_frame(tmp_path):
    words([0, 0, 0, 1, 1], [9, 2, 5, 4, 1], [1, 2, 3, 4, 5]).tofile(tmp_path / "A1.bin")
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline())
    assert scan.stored.to_numpy()[0].pixel.tolist() == [2, 5, 9]
    assert scan.counts.to_numpy()[1].ravel()[[1, 4]].tolist() == [5, 4]


@pytest.mark.parametrize("wrong", [[(1, ROWS * COLUMNS, 1)], [(1, 1 << 20, 1)], [(1, 6, 1), (1, 6, 2)], [(1, 6, 0)]])
def test_a_frame_that_cannot_be_true_is_flagged_and_harms_no_other(tmp_path, wrong):
    """A pixel beyond the detector, a pixel twice, a photon count of none."""
    listed = [(0, 3, 1), (1, 2, 1), *wrong, (2, 4, 1)]
    words(*zip(*listed, strict=True)).tofile(tmp_path / "A1.bin")
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline())
    assert [frame is not None for frame in scan.stored.to_numpy()] == [True, False, True]
    assert (scan.counts[1] == 65535).all()
    assert scan.counts[[0, 2]].sum() == 2


def test_frames_that_do_not_rise_are_an_error(tmp_path):
    words([0, 1, 0, 1], [1, 2, 3, 4], [1, 1, 1, 1]).tofile(tmp_path / "A1.bin")
    with pytest.raises(XcdiError, match=r"A1.bin: frames do not rise at event 2"):
        xcdi.io.open_scan(tmp_path, "A1", beamline())


def test_a_file_cut_within_an_event_loses_its_last_frame(tmp_path):
    raw = events(some_counts(3)).tobytes()
    (tmp_path / "A1.bin").write_bytes(raw[:-3])
    assert xcdi.io.open_scan(tmp_path, "A1", beamline()).frame_ok.to_numpy().tolist() == [True, True, False]


@pytest.mark.parametrize("size", [0, 5])
def test_a_file_without_an_event_holds_no_frame(tmp_path, size):
    (tmp_path / "A1.bin").write_bytes(bytes(size))
    with pytest.raises(XcdiError, match="holds no frame"):
        xcdi.io.open_scan(tmp_path, "A1", beamline())


def test_no_such_scan_names_those_there_are(tmp_path):
    events(some_counts(2)).tofile(tmp_path / "A1.bin")
    with pytest.raises(XcdiError, match="no scan 'A2'; there is A1"):
        xcdi.io.open_scan(tmp_path, "A2", beamline())
    with pytest.raises(XcdiError, match="holds scan 'A1', not 'A2'"):
        xcdi.io.open_scan(tmp_path / "A1.bin", "A2", beamline())


def test_a_census_in_parts_is_that_of_the_whole(tmp_path, monkeypatch):
    counts = some_counts(4)
    events(counts).tofile(tmp_path / "A1.bin")
    monkeypatch.setattr(rigaku, "AT_ONCE", 17)
    scan = xcdi.io.open_scan(tmp_path, "A1", beamline())
    np.testing.assert_array_equal(scan.counts.to_numpy().reshape(4, -1), counts)


def test_followed_blocks_are_the_scan(tmp_path):
    counts = some_counts(7)
    events(counts).tofile(tmp_path / "A1.bin")
    parts = list(xcdi.io.follow(tmp_path, "A1", beamline(), block=3, poll_s=0.02, patience_s=0.6))
    assert [part.sizes["frame"] for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part.counts for part in parts]).reshape(7, -1), counts)
