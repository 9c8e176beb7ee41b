"""Blocks of frames: mapping keeps labels and chunks, walking loses no frame."""

import threading

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xcdi.stages import blocks


@pytest.fixture
def frames():
    counts = np.arange(11 * 3 * 2, dtype=np.uint16).reshape(11, 3, 2)
    return xr.DataArray(counts, dims=("frame", "y", "x"), attrs={"units": "1"}, coords={"time": ("frame", np.arange(11) * 0.5)})


def scaled(block, factor):
    return block * factor[..., None, None]


@pytest.mark.parametrize("chunk", [1, 3, 11])
def test_lazy_equals_eager_and_stays_lazy(frames, chunk):
    factor = xr.DataArray(np.arange(11, dtype=np.uint16), dims="frame")
    lazy = blocks.framewise(scaled, frames.chunk(frame=chunk), factor)
    assert lazy.chunks is not None
    assert lazy.chunksizes["frame"] == frames.chunk(frame=chunk).chunksizes["frame"]
    xr.testing.assert_identical(lazy.compute(), blocks.framewise(scaled, frames, factor))


def test_the_dtype_promised_is_the_dtype_delivered(frames):
    for given in (frames, frames.chunk(frame=3)):
        mapped = blocks.framewise(lambda block: block / 2, given, dtype="float32")
        assert mapped.dtype == mapped.compute().dtype == np.float32
        assert mapped.attrs == frames.attrs


def test_a_chain_is_its_steps_in_a_row(frames):
    steps = [(np.multiply, {"x2": 3}), (np.add, {"x2": 1})]
    plain = [(lambda block, x2, f=f: f(block, np.uint16(x2)), options) for f, options in steps]
    xr.testing.assert_equal(blocks.chain(frames.chunk(frame=4), *plain).compute(), frames * 3 + 1)


@pytest.mark.parametrize("workers", [1, 2, 5, 20])
def test_no_frame_is_lost_or_read_twice(frames, workers):
    reads = []

    def read(block, block_info=None):
        reads.append(block_info[0]["chunk-location"][0])
        return block

    lazy = frames.copy(data=da.from_array(frames.to_numpy(), chunks=(3, -1, -1)).map_blocks(read, dtype=np.uint16))
    found = list(blocks.frame_blocks(xr.Dataset({"counts": lazy}), workers=workers))
    xr.testing.assert_equal(xr.concat(found, "frame").counts, frames)
    assert sorted(reads) == [0, 1, 2, 3]
    assert max(block.sizes["frame"] for block in found) <= 3 * workers


def test_a_scan_in_memory_is_one_block(frames):
    (only,) = blocks.frame_blocks(xr.Dataset({"counts": frames}))
    xr.testing.assert_equal(only.counts, frames)


def test_inline_work_stays_in_the_calling_thread(frames):
    seen = set()

    def note(block):
        seen.add(threading.get_ident())
        return block

    with blocks.inline():
        list(blocks.frame_blocks(xr.Dataset({"counts": blocks.framewise(note, frames.chunk(frame=2))}), workers=4))
    assert seen == {threading.get_ident()}
