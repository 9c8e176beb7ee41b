"""Starts that found the same object are told from those that found another, and from those that failed."""

import numpy as np
import pytest

from xcdi.kernels.phasing import clusters
from xcdi.kernels.phasing.alignment import overlap

SHAPE = (7, 11, 13)


def matrix(groups, *, within, between, noise=0.0, seed=0):
    """Overlaps of starts whose answers are `groups`."""
    groups = np.array(groups)
    found = np.where(groups[:, None] == groups, within, between) + np.random.default_rng(seed).normal(0, noise, 2 * [len(groups)])
    found = (found + found.T) / 2
    np.fill_diagonal(found, 1)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_answers_come_back_from_noisy_overlaps(seed):
    groups = [2, 0, 0, 1, 0, 1, 0, 1, 0]
    found = clusters.cluster(matrix(groups, within=0.93, between=0.72, noise=0.03, seed=seed), alike=0.85)
    np.testing.assert_array_equal(found, groups)


def test_the_order_of_the_starts_does_not_matter():
    overlaps = matrix([0, 1, 0, 0, 1], within=0.95, between=0.6, noise=0.02)
    order = np.array([3, 0, 4, 1, 2])
    found, turned = clusters.cluster(overlaps, alike=0.8), clusters.cluster(overlaps[np.ix_(order, order)], alike=0.8)
    np.testing.assert_array_equal(turned, found[order])


def test_a_start_half_way_does_not_chain_two_answers():
    overlaps = matrix([0, 0, 0, 1, 1, 1, 2], within=0.95, between=0.6)
    overlaps[6, :6] = overlaps[:6, 6] = 0.83
    found = clusters.cluster(overlaps, alike=0.8)
    assert found[0] != found[3]


def test_one_noisy_pair_does_not_split_an_answer():
    overlaps = matrix([0, 0, 0, 0], within=0.9, between=0.0)
    overlaps[0, 1] = overlaps[1, 0] = 0.78
    np.testing.assert_array_equal(clusters.cluster(overlaps, alike=0.8), 0)


def test_one_start_is_one_answer():
    np.testing.assert_array_equal(clusters.cluster(np.ones((1, 1)), alike=0.8), [0])


def test_the_better_fit_is_believed_and_among_equals_the_larger_answer():
    labels = np.array([0, 0, 0, 1, 2])
    assert clusters.believed(labels, np.array([0.07, 0.071, 0.07, 0.06, 0.09])) == 1
    assert clusters.believed(labels, np.array([0.0605, 0.07, 0.07, 0.06, 0.09])) == 0


@pytest.mark.parametrize(
    ("residuals", "good"),
    [
        ([0.0503, 0.0505, 0.051, 0.0514, 0.052, 0.0523, 0.0523, 0.0536, 0.0653, 0.0673, 0.1063, 0.1279], 8),  # one was measured so
        ([0.0489, 0.0492, 0.05, 0.051, 0.0525, 0.0544], 6),
        ([0.0511, 0.0667, 0.0668, 0.0693, 0.0729], 1),
        ([0.05], 1),
    ],
)
def test_the_gap_parts_solved_from_failed(residuals, good):
    order = np.random.default_rng(0).permutation(len(residuals))
    found = clusters.solved(np.array(residuals)[order])
    np.testing.assert_array_equal(found, order < good)
    np.testing.assert_array_equal(clusters.solved(7 * np.array(residuals)[order]), found)


def test_modes_are_those_of_the_decomposition():
    rng = np.random.default_rng(1)
    rhos = (rng.normal(size=(3, *SHAPE)) + 1j * rng.normal(size=(3, *SHAPE)) + 2).astype(np.complex64)
    found = clusters.modes(rhos)
    _, singular, rows = np.linalg.svd(rhos.reshape(3, -1), full_matrices=False)
    np.testing.assert_allclose(found.weight, singular**2 / np.sum(singular**2), rtol=1e-4)
    for mode, row in zip(found.rho, rows, strict=True):
        assert overlap(mode.ravel(), row) > 0.9999
    np.testing.assert_allclose(np.linalg.norm(found.rho.reshape(3, -1), axis=1), singular / np.sqrt(3), rtol=1e-4)


def test_equal_objects_are_one_mode():
    rho = (np.arange(np.prod(SHAPE)).reshape(SHAPE) * 1j + 1).astype(np.complex64)
    found = clusters.modes(np.stack([rho, rho, rho]))
    assert found.weight[0] == pytest.approx(1)
    assert overlap(found.rho[0], rho) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(found.rho[0]) == pytest.approx(np.linalg.norm(rho), rel=1e-4)
