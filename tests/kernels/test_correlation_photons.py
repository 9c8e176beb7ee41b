"""Laws of photon lists: nothing is lost, nothing is added."""

import numpy as np
import pytest

from xcdi.kernels.correlation import photons as kernel


@pytest.fixture(params=[np.uint8, np.uint16, np.int64])
def counts(request):
    return np.random.default_rng(3).poisson(0.3, (11, 37)).astype(request.param)


def test_there_and_back(counts):
    found = kernel.from_dense(counts)
    np.testing.assert_array_equal(kernel.to_dense(found), counts)
    np.testing.assert_array_equal(kernel.to_dense(found, 3, 7), counts[3:7])


def test_sums_are_those_of_the_frames(counts):
    found = kernel.from_dense(counts)
    np.testing.assert_array_equal(found.totals, counts.sum(axis=1))
    np.testing.assert_array_equal(found.squares, (counts.astype(int) ** 2).sum(axis=1))
    np.testing.assert_array_equal(kernel.pixel_sums(found), counts.sum(axis=0))


def test_frames_cut_and_joined_are_the_whole(counts):
    found = kernel.from_dense(counts)
    again = kernel.join([kernel.of_frames(found, a, b) for a, b in ((0, 4), (4, 4), (4, 11))])
    for mine, whole in zip(again, found, strict=True):
        np.testing.assert_array_equal(mine, whole)


def test_pixels_left_out_are_gone(counts):
    new = np.where(np.arange(37) % 3 == 0, -1, np.cumsum(np.arange(37) % 3 != 0) - 1).astype(np.int32)
    keep = np.arange(11) != 5
    found = kernel.relabelled(kernel.from_dense(counts), new, int(new.max()) + 1, keep)
    np.testing.assert_array_equal(kernel.to_dense(found), np.where(keep[:, None], counts[:, new >= 0], 0))


def test_no_frame_and_no_photon():
    assert kernel.from_dense(np.zeros((0, 5), np.uint8)).frames == 0
    assert kernel.to_dense(kernel.from_dense(np.zeros((2, 5), np.uint8))).shape == (2, 5)
