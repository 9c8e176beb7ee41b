"""Pixels held out judge an object that was not fitted to them."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.likelihood import deviance, held_out, misfit, without

SHAPE = (11, 13, 23)


@pytest.fixture
def problem():
    """Object, its counts with a gap that holds NaN, and the pixels held out."""
    rng = np.random.default_rng(2)
    rho = np.zeros(SHAPE, np.complex64)
    rho[1:4, 2:6, 3:9] = 20 * np.exp(1j * rng.normal(size=(3, 4, 6)))
    valid = np.ones(SHAPE, bool)
    valid[:, 4, :] = False
    counts = rng.poisson(np.abs(forward(rho)) ** 2 / 100)
    measured = Measured(np.where(valid, np.sqrt(counts), np.nan).astype(np.float32), valid)
    return (rho / 10).astype(np.complex64), measured, held_out(measured, np.random.default_rng(3), share=0.1)


def test_only_valid_pixels_away_from_the_peak_are_held_out(problem):
    _, measured, held = problem
    peak = np.nan_to_num(measured.amplitude)
    assert not (held & ~measured.valid).any()
    assert not held[np.unravel_index(peak.argmax(), SHAPE)]
    assert 0.05 < held.sum() / measured.valid.sum() <= 0.1


def test_held_out_pixels_come_with_all_their_neighbours(problem):
    """Every one is in a cluster of seven, so its middle is known from no neighbour."""
    held = problem[2]
    cross = ndi.generate_binary_structure(3, 1)
    np.testing.assert_array_equal(ndi.binary_opening(np.pad(held, 2, mode="wrap"), cross)[2:-2, 2:-2, 2:-2], held)


def test_the_same_seed_holds_out_the_same_pixels(problem, xp, as_numpy):
    _, measured, held = problem
    there = Measured(xp.asarray(measured.amplitude), xp.asarray(measured.valid))
    np.testing.assert_array_equal(as_numpy(held_out(there, np.random.default_rng(3), share=0.1)), held)


def test_without_takes_what_is_held_out_and_nothing_else(problem):
    _, measured, held = problem
    np.testing.assert_array_equal(without(measured, held).valid, measured.valid & ~held)


def test_a_perfect_fit_has_no_deviance():
    rho = np.full((1, 1, 3), 2.0 + 0j)
    measured = Measured(np.abs(forward(rho)), np.ones((1, 1, 3), bool))
    assert deviance(rho, measured, measured.valid) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.1, 1.4])
def test_the_deviance_is_least_at_the_truth(factor, problem):
    rho, measured, held = problem
    assert deviance(rho, measured, held) < deviance(factor * rho, measured, held)


def test_no_counts_cost_what_was_expected():
    measured = Measured(np.zeros((1, 1, 2)), np.ones((1, 1, 2), bool))
    assert misfit(np.asarray([[[3.0, 5.0]]]), measured, measured.valid) == pytest.approx(4.0)


def test_a_dark_object_gives_a_finite_deviance(problem):
    rho, measured, held = problem
    assert np.isfinite(deviance(0 * rho, measured, held))


def test_no_pixel_gives_no_figure(problem):
    rho, measured, held = problem
    assert np.isnan(deviance(rho, measured, np.zeros_like(held)))


def test_starts_are_judged_one_by_one_on_every_array_library(problem, xp, as_numpy):
    rho, measured, held = problem
    there = Measured(xp.asarray(measured.amplitude), xp.asarray(measured.valid))
    both = as_numpy(deviance(xp.asarray(np.stack([rho, 1.2 * rho]).astype(np.complex64)), there, xp.asarray(held)))
    np.testing.assert_allclose(both, [deviance(rho, measured, held), deviance((1.2 * rho).astype(np.complex64), measured, held)], rtol=1e-4)
