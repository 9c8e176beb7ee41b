"""Laws of peak kinematics: a known distortion in the detector plane comes back from the shifts of the peaks."""

import numpy as np
import pytest

from xcdi.artificial import distorted_peaks, profiles
from xcdi.kernels import kinematics

KNOWN = distorted_peaks.KNOWN
BAR = 1e-4  # science.md 4.9: each element
TWO = np.array([[1.374, 0.0], [0.458, -1.296]])  # 111 and 11-1 of the superlattice [1/nm]
ERROR = 5e-5


def moved(matrix, g):
    """Shift of every peak: plane waves of the deformed lattice, counted over a distance."""
    far = 1e4
    along = np.array([far * np.eye(2)[j] for j in range(2)])
    phase = np.array([[one @ (place - matrix @ place) for place in along] for one in g])  # G.(r - u(r))
    return phase / far - g


@pytest.mark.parametrize("g", [TWO, np.vstack([TWO, [0.9, 1.2], [-1.3, 0.4]])], ids=["two peaks", "four peaks"])
@pytest.mark.parametrize("size", [1.0, 10.0])
def test_a_known_distortion_comes_back_by_exact_kinematics(g, size):
    found = kinematics.plane_distortion(moved(size * KNOWN, g), g, np.full(len(g), ERROR))
    np.testing.assert_allclose(found.matrix, size * KNOWN, atol=1e-12)
    np.testing.assert_allclose(found.strain, size * np.array([1.2e-3, -2.1e-3, -0.15e-3]), atol=1e-12)
    assert found.rotation == pytest.approx(size * 0.55e-3)


def test_the_formula_for_two_peaks_is_that_of_the_literature():
    shifts = np.random.default_rng(1).normal(0, 1e-3, (2, 2))
    expected = (-shifts.T @ np.linalg.inv(TWO.T)).T
    np.testing.assert_allclose(kinematics.plane_distortion(shifts, TWO, [ERROR, 2 * ERROR]).matrix, expected, rtol=1e-10)


def test_tension_draws_a_peak_in_and_a_turn_moves_it_across():
    tension = kinematics.plane_distortion([[-1e-3, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [ERROR, ERROR])
    assert tension.strain.round(9).tolist() == [1e-3, 0.0, 0.0]
    turn = 1e-3
    turned = kinematics.plane_distortion([[0.0, turn], [-turn, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [ERROR, ERROR])
    assert turned.rotation == pytest.approx(turn)
    assert np.abs(turned.strain).max() < 1e-12


def test_stated_errors_are_those_of_many_trials():
    g, errors, rng = np.vstack([TWO, [0.9, 1.2]]), np.array([1e-4, 2e-4, 1e-4]), np.random.default_rng(2)
    trials = [kinematics.plane_distortion(moved(KNOWN, g) + errors[:, None] * rng.standard_normal((3, 2)), g, errors) for _ in range(3000)]
    np.testing.assert_allclose(np.std([one.matrix for one in trials], axis=0), trials[0].error, rtol=0.06)
    np.testing.assert_allclose(np.std([one.strain for one in trials], axis=0), trials[0].strain_error, rtol=0.06)
    assert np.std([one.rotation for one in trials]) == pytest.approx(trials[0].rotation_error, rel=0.06)
    assert np.mean([one.chi2 for one in trials]) == pytest.approx(1.0, abs=0.1)


def test_peaks_in_line_tell_too_little():
    with pytest.raises(ValueError, match="do not span 2 dimensions"):
        kinematics.plane_distortion(np.zeros((2, 2)), [[1.0, 1.0], [-2.0, -2.0]], [ERROR, ERROR])
    with pytest.raises(ValueError, match="expected all above 0"):
        kinematics.plane_distortion(np.zeros((2, 2)), TWO, [ERROR, 0.0])


@pytest.mark.parametrize("seed", range(100, 105))
def test_a_known_distortion_comes_back_from_speckle_patterns_of_one_photon_per_pixel(seed):
    p = profiles.profile("nano", reflections=((1, 1, 1), (1, 1, -1)), events=False)
    found = kinematics.distortion_of_patterns(distorted_peaks.pairs(p, seed, frames=12, known=KNOWN), error_px=0.02)
    np.testing.assert_allclose(found.matrix, KNOWN, atol=BAR)


def test_every_event_has_the_distortion_of_its_own_shifts_or_none():
    rng = np.random.default_rng(3)
    rows, columns = np.array([[0.0, 1.9e-3]] * 2), np.array([[1.9e-3, 1e-5]] * 2)
    shifts, errors = rng.normal(0, 0.3, (3, 2, 2)), rng.uniform(0.02, 0.1, (3, 2))
    shifts[1, 0] = np.nan
    found = kinematics.distortion_steps(shifts, errors, TWO, rows, columns)
    assert found[1] is None
    for k in (0, 2):
        moved = shifts[k, :, :1] * rows + shifts[k, :, 1:] * columns
        expected = kinematics.plane_distortion(moved, TWO, errors[k] * 1.9e-3)
        np.testing.assert_allclose(found[k].matrix, expected.matrix)
        np.testing.assert_allclose(found[k].strain_error, expected.strain_error, rtol=1e-6)
