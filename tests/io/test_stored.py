"""Frames as they lie on disk: the same photons as the dense counts, where a frame is one chunk, and no cost where nobody asks."""

import dask
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from scanfiles import SHAPE, make_eiger, stack_beamline, write_stack

import xcdi.io
from xcdi.io.stored import Packed
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import from_dense
from xcdi.kernels.decoding import ChunkError
from xcdi.schema import require

LZ4 = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")


def placed(scan):
    """Number of each trusted pixel, in raster order."""
    valid = scan.valid.to_numpy()
    place = np.full(valid.shape, -1, np.int32)
    place[valid] = np.arange(valid.sum())
    return place


def same_photons(scan):
    """Assert that the stored frames hold the photons of the dense ones; return which frames are whole."""
    place, counts = placed(scan), scan.counts.to_numpy()
    found, ok = gathered(scan.stored.to_numpy(), place, int(place.max()) + 1, threads=2)
    counts[~ok] = 0
    expected = from_dense(counts[:, place >= 0])
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    return ok


@pytest.mark.parametrize("frames_per_chunk", [1, 4, 50])
def test_stored_frames_hold_the_photons_of_the_counts(eiger, frames_per_chunk):
    scan = require(eiger.open(frames_per_chunk=frames_per_chunk), "stored")
    assert scan.stored.chunksizes["frame"] == scan.counts.chunksizes["frame"]
    assert same_photons(scan).all()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "<u8"])
def test_every_whole_type(tmp_path, dtype):
    values = np.random.default_rng(1).poisson(0.3, (5, *SHAPE)).astype(dtype)
    write_stack(tmp_path / "s.h5", values, chunks=(1, *SHAPE), **LZ4)
    assert same_photons(xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())).all()


@pytest.mark.parametrize(
    ("dtype", "how"),
    [
        ("u2", {}),
        ("u2", {"chunks": (1, *SHAPE)}),
        ("u2", {"chunks": (2, *SHAPE), **LZ4}),
        ("u2", {"chunks": (1, 5, 7), **LZ4}),
        ("f4", {"chunks": (1, *SHAPE), **LZ4}),
        ("u2", {"chunks": (1, *SHAPE), "compression": "gzip"}),
        ("u2", {"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(nelems=0, cname="zstd")}),
    ],
)
def test_other_ways_of_storing_have_none(tmp_path, dtype, how):
    write_stack(tmp_path / "s.h5", np.ones((4, *SHAPE), dtype), **how)
    assert "stored" not in xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())


def test_a_part_of_the_frames_and_parts_joined(eiger):
    scan = eiger.open(frames_per_chunk=3)
    same_photons(scan.isel(frame=slice(2, 9)))
    joined = xr.concat([scan.isel(frame=slice(0, 4)), scan.isel(frame=slice(4, None))], "frame", data_vars="minimal", coords="minimal")
    assert joined.sizes["frame"] == 11
    same_photons(joined.assign(valid=scan.valid))


def test_missing_and_damaged_frames_are_told(tmp_path):
    scan = make_eiger(tmp_path, n=8, per_file=8)
    with h5py.File(scan.data(1), "r+") as file:
        data = file["entry/data/data"]
        skipped, raw = data.id.read_direct_chunk((2, 0, 0))
        data.id.write_direct_chunk((2, 0, 0), raw[:-3], skipped)
    opened = scan.open()
    assert np.flatnonzero(~same_photons(opened)).tolist() == [2]
    with pytest.raises(ChunkError):
        opened.stored.to_numpy()[2].photons(placed(opened))


def test_a_frame_that_was_never_written_is_none(tmp_path):
    values = np.ones((6, *SHAPE), "u2")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        data = file.create_dataset("S1/frames", values.shape, "u2", chunks=(1, *SHAPE), **LZ4)
        data[:3], data[4:] = values[:3], values[4:]
    scan = xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())
    assert scan.stored.to_numpy()[3] is None
    assert np.flatnonzero(~same_photons(scan)).tolist() == [3]


def test_a_chunk_stored_without_its_filter(tmp_path):
    values = np.random.default_rng(2).poisson(0.2, (3, *SHAPE)).astype("u2")
    write_stack(tmp_path / "s.h5", values, chunks=(1, *SHAPE), **LZ4)
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["S1/frames"].id.write_direct_chunk((1, 0, 0), values[1].tobytes(), 1)
    scan = xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())
    assert [frame.filtered for frame in scan.stored.to_numpy()] == [True, False, True]
    assert same_photons(scan).all()


def test_sentinels_and_what_is_saturated_can_be_seen(eiger):
    """The stage decides what a huge count means, so none is hidden here."""
    scan = eiger.open()
    pixel, count = scan.stored.to_numpy()[0].photons(np.arange(scan.valid.size, dtype=np.int32).reshape(scan.valid.shape))
    assert count[pixel == 3 * SHAPE[1] + 5].tolist() == [65535]


def test_a_frame_that_was_cut_is_refused(eiger):
    with pytest.raises(ValueError, match="the pixels are chosen on"):
        eiger.open().stored.to_numpy()[0].photons(np.zeros((2, 2), np.int32) - 1)


def test_who_reads_counts_alone_reads_nothing_twice(eiger, monkeypatch):
    monkeypatch.setattr("xcdi.io.chunks._fetch", lambda *_: pytest.fail("chunks were read for nobody"))
    scan = eiger.open(frames_per_chunk=4)
    np.testing.assert_array_equal(scan.counts.to_numpy(), eiger.counts)
    assert not any("stored" in str(key) for key in dict(scan.counts.data.__dask_graph__()))


def test_a_live_scan_has_them_too(eiger):
    blocks = list(xcdi.io.follow(eiger.folder, eiger.name, "demo", block=4, poll_s=0.01, patience_s=5.0))
    assert [len(block.stored.to_numpy()) for block in blocks] == [4, 4, 3]
    assert all(isinstance(frame, Packed) for block in blocks for frame in block.stored.to_numpy())


def test_dask_knows_the_same_frames_again(eiger):
    """Names of tasks are made of what is read, so that a cluster does not read it twice."""
    one, two = eiger.open().stored.data, eiger.open().stored.data
    assert one.name == two.name
    assert dask.compute(one)[0][0] == two.compute()[0]


def test_a_scan_that_is_saved_leaves_its_raw_frames_where_they_are(eiger, tmp_path):
    xcdi.io.save({"scan": eiger.open()}, tmp_path / "r.h5", provenance={})
    again = xcdi.io.load(tmp_path / "r.h5")["scan"]
    assert "stored" not in again
    np.testing.assert_array_equal(again.counts, eiger.counts)
