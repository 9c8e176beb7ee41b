"""Laws of live products: block by block is the whole, and the past stays what it was."""

import numpy as np
import pytest

from xcdi.kernels.correlation import appending, lists, sparse
from xcdi.kernels.correlation import photons as kernel

FRAMES, PIXELS = 61, 83
BLOCKS = {
    "one by one": [1] * FRAMES,
    "all at once": [FRAMES],
    "equal": [7] * 8 + [5],
    "growing": [1, 2, 3, 5, 8, 13, 29],
    "falling": [31, 17, 11, 2],
    "some of them empty": [0, 3, 0, 0, 41, 17, 0],
}


def fed(some, sizes, threads=1):
    """Past and rows of all blocks."""
    past, parts, start = appending.nothing(some.pixels), [], 0
    for size in sizes:
        past, rows = past.appended(kernel.of_frames(some, start, start + size), threads=threads)
        parts.append(rows)
        start += size
    return past, parts


def assembled(parts, frames):
    """Symmetric matrix of rows."""
    whole = np.zeros((frames, frames), np.int64)
    for part in parts:
        last = part.shape[1]
        whole[last - len(part) : last, :last] = part
        whole[:last, last - len(part) : last] = part.T
    return whole


@pytest.fixture(params=[1, 16, 300, 2**16])
def some(request):
    rng = np.random.default_rng(7)
    counts = np.where(rng.random((FRAMES, PIXELS)) < 0.1, rng.integers(1, request.param + 1, (FRAMES, PIXELS)), 0)
    return kernel.from_dense(counts)


@pytest.mark.parametrize("sizes", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("threads", [1, 3])
def test_block_by_block_equals_whole(some, sizes, threads):
    past, parts = fed(some, sizes, threads)
    assert past.frames == FRAMES
    np.testing.assert_array_equal(assembled(parts, FRAMES), sparse.products(some))


def test_a_past_stays_what_it_was(some):
    past, _ = fed(kernel.of_frames(some, 0, 32), [8] * 4)
    new = kernel.of_frames(some, 32, FRAMES)
    first = past.appended(new, threads=1)[1]
    past.appended(new, threads=1)[0].appended(new, threads=1)
    assert past.frames == 32
    np.testing.assert_array_equal(past.appended(new, threads=1)[1], first)


def test_bright_frames_may_follow_dim_ones():
    dim, bright = np.eye(5, 13, dtype=np.uint8), np.full((3, 13), 2**16, np.uint32)
    counts = [dim, bright, dim, bright, dim]
    parts = fed(kernel.join([kernel.from_dense(c) for c in counts]), [5, 3, 5, 3, 5])[1]
    whole = np.concatenate(counts).astype(np.int64)
    np.testing.assert_array_equal(assembled(parts, 21), whole @ whole.T)


def test_segments_are_few_and_none_is_too_long(monkeypatch):
    monkeypatch.setattr(appending, "LONGEST", 32)
    some = kernel.from_dense(np.random.default_rng(1).poisson(0.1, (300, 11)).astype(np.uint8))
    past, parts = fed(some, [1] * 200 + [100])
    assert max(s.frames for s in past.segments) <= 32
    assert len(past.segments) <= 300 // 16 + 6
    np.testing.assert_array_equal(assembled(parts, 300), sparse.products(some))


def test_memory_is_two_bytes_a_photon_and_the_heads():
    some = kernel.from_dense(np.random.default_rng(1).poisson(0.5, (128, 11)).astype(np.uint8))
    past, _ = fed(some, [16] * 8)
    assert len(past.segments) == 1
    assert past.bytes == 2 * some.pixel.size + 4 * 12


def test_frames_of_other_pixels_are_refused():
    with pytest.raises(ValueError, match="2 pixels behind frames of 3"):
        appending.nothing(3).appended(kernel.from_dense(np.zeros((1, 2), np.uint8)))


def test_a_block_longer_than_one_set_of_lists():
    counts = np.random.default_rng(3).poisson(0.5, (lists.LONGEST + 5, 3)).astype(np.uint8)
    _, (first, rows) = fed(kernel.from_dense(counts), [lists.LONGEST + 2, 3])
    single = counts.astype(np.float32)
    np.testing.assert_array_equal(rows, single[-3:] @ single.T)
    np.testing.assert_array_equal(first[:2], single[:2] @ single[:-3].T)
