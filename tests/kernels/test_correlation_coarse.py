"""Coarse views of a correlation are sums of the fine one."""

import numpy as np
import pytest

from xcdi.kernels.correlation import coarse
from xcdi.kernels.correlation.photons import from_dense, to_dense

COUNTS = np.random.default_rng(5).poisson(0.4, (23, 31)).astype(np.uint16)
OK = np.arange(23) % 7 != 3
FULL = COUNTS.astype(int) @ COUNTS.T.astype(int)
BLOCKS = [(0, 4), (4, 5), (5, 23)]


def rows():
    return [FULL[a:b, :b] for a, b in BLOCKS]


@pytest.mark.parametrize("width", [1, 2, 5, 23, 40])
def test_frames_added_up(width):
    found = to_dense(coarse.summed(from_dense(COUNTS), width))
    np.testing.assert_array_equal(found, np.add.reduceat(COUNTS.astype(int), np.arange(0, 23, width)))


def test_sums_by_delay_leave_bad_frames_out():
    out = np.zeros(23, np.int64)
    for part in rows():
        coarse.lag_sums(part, OK, np.arange(23), out)
    kept = np.where(OK[:, None] & OK, FULL, 0)
    np.testing.assert_array_equal(out[1:], [np.trace(kept, lag) for lag in range(1, 23)])


@pytest.mark.parametrize("width", [1, 4, 10])
def test_sums_by_block_are_products_of_summed_frames(width):
    blocks = -(-23 // width)
    out = np.zeros((blocks, blocks))
    for part in rows():
        coarse.block_sums(part, OK, width, out)
    summed = np.add.reduceat(np.where(OK[:, None], COUNTS, 0).astype(int), np.arange(0, 23, width))
    np.testing.assert_array_equal(out, summed @ summed.T)
