"""Standard errors hold the truth as often as they say."""

import numpy as np
import pytest

from xcdi.kernels.fourier import backward, forward
from xcdi.kernels.phasing import uncertainty
from xcdi.kernels.phasing.estimate import Measured

SHAPE = (17, 22, 26)


def crystal(scale=1.0):
    """A bent object in the middle of the array."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    inside = (z / 5) ** 2 + (y / 7) ** 2 + (x / 8) ** 2 < 1
    return np.where(inside, scale * (1 + 0.03 * z) * np.exp(1j * (0.02 * x**2 - 0.03 * y * z)), 0).astype(np.complex64), inside


def noise(rng, level):
    return (level * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))).astype(np.complex64)


def told(rhos, rho, inside, errors):
    """Errors of phase and amplitude of the mean in units of the standard errors."""
    mean = rhos.mean(axis=0)
    true = uncertainty.in_common(rho, mean, inside)
    phase = np.angle(true * np.conj(mean))[inside] / errors.phase[inside]
    return phase, (np.abs(mean) - np.abs(true))[inside] / errors.amplitude[inside]


def gaussian(starts):
    """Objects with independent Gaussian noise that grows along x, and what is told of their mean."""
    rho, inside = crystal()
    rng = np.random.default_rng(0)
    level = 0.02 * np.exp(0.08 * np.arange(SHAPE[2]))
    rhos = np.stack([rho + noise(rng, level) for _ in range(starts)])
    nothing = uncertainty.Variance(np.zeros(SHAPE), np.zeros(SHAPE))
    return rhos, rho, inside, uncertainty.standard_errors(rhos, inside, nothing)


def test_two_independent_starts_tell_the_error_of_their_mean():
    rhos, rho, inside, errors = gaussian(2)
    for off in told(rhos, rho, inside, errors):
        assert np.mean(np.abs(off) < 1) == pytest.approx(0.68, abs=0.06)
        assert np.mean(np.abs(off) < 2) == pytest.approx(0.95, abs=0.03)
    assert np.nanmean(errors.phase[..., 19]) > 1.6 * np.nanmean(errors.phase[..., 6])
    assert np.isnan(errors.phase[~inside]).all()


def test_more_starts_than_are_believed_independent_make_no_smaller_error():
    few, many = gaussian(uncertainty.INDEPENDENT)[3], gaussian(4 * uncertainty.INDEPENDENT)[3]
    assert np.nanmedian(many.phase) == pytest.approx(np.nanmedian(few.phase), rel=0.1)


def test_without_halves_the_scatter_of_one_start_is_stated():
    rhos, _, inside, errors = gaussian(2)
    rough = uncertainty.standard_errors(rhos, inside)
    np.testing.assert_allclose(rough.phase[inside], np.sqrt(2) * errors.phase[inside])


def test_noise_that_all_starts_share_is_told_by_halves():
    """An object that is a linear map of its data: the answer to each half is known, and the noise of the whole too."""
    rng = np.random.default_rng(1)
    rho, inside = crystal(scale=3.0)
    counts = rng.poisson(np.abs(forward(rho)) ** 2).astype(float)
    phase = np.exp(1j * np.angle(forward(rho)))

    def refit(measured, seed):
        return np.where(inside, backward(measured.amplitude * phase), 0)

    measured = Measured(np.sqrt(counts), np.ones(SHAPE, bool))
    found = refit(measured, 0)
    starts = np.stack([found, found])
    photons = uncertainty.of_photons(found, measured, inside, refit, seed=3, pairs=2)
    errors = uncertainty.standard_errors(starts, inside, photons)
    for off in told(starts, rho, inside, errors):
        assert np.mean(np.abs(off) < 1) == pytest.approx(0.68, abs=0.08)
        assert np.mean(np.abs(off) < 2) == pytest.approx(0.95, abs=0.04)


def test_halves_are_independent_and_hold_all_photons():
    counts = np.random.default_rng(2).poisson(4.0, SHAPE)
    valid = np.arange(SHAPE[0])[:, None, None] > 0
    measured = Measured(np.where(valid, np.sqrt(counts), np.nan), np.broadcast_to(valid, SHAPE))
    one, other = uncertainty.halves(measured, np.random.default_rng(3))
    first, second = (np.rint(half.amplitude**2 / 2) for half in (one, other))
    np.testing.assert_array_equal((first + second)[1:], counts[1:])
    assert abs(np.corrcoef(first[1:].ravel(), second[1:].ravel())[0, 1]) < 0.04
    assert first[1:].var() == pytest.approx(2.0, rel=0.05)
    assert np.isfinite(one.amplitude).all()


@pytest.mark.parametrize("roll", [(0, 0, 0), (8, -11, 13)])
def test_phase_and_ramp_are_taken_out_wherever_the_object_lies(roll):
    rho, inside = crystal()
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    ramped = rho * np.exp(1j * (2.5 + 0.11 * z - 0.07 * y + 0.2 * x))
    ramped, rho, inside = (np.roll(a, roll, axis=(0, 1, 2)) for a in (ramped, rho, inside))
    back = uncertainty.in_common(ramped, rho, inside)
    np.testing.assert_allclose(back[inside], rho[inside], atol=1e-4)


def test_the_error_of_the_displacement_is_that_of_the_phase_over_g():
    errors = uncertainty.Errors(np.ones(2), np.array([0.5, 1.0]))
    np.testing.assert_allclose(errors.displacement(2.0), [0.25, 0.5])


def test_even_variance_is_not_changed_by_averaging_up_to_the_surface():
    _, inside = crystal()
    np.testing.assert_allclose(uncertainty.smooth(np.full(SHAPE, 2.0), inside)[inside], 2.0, rtol=1e-6)
