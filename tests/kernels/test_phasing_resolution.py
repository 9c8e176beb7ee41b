"""Phases are believed as far out in q as they agree, along every axis by itself."""

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import resolution
from xcdi.kernels.phasing.estimate import Measured

SHAPE = (15, 18, 22)
Q = np.stack(np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in SHAPE), indexing="ij"))  # rad/voxel
RADIUS = np.linalg.norm(Q, axis=0)


@pytest.fixture
def crystal():
    rng = np.random.default_rng(3)
    rho = np.zeros(SHAPE, np.complex64)
    rho[4:9, 5:12, 6:14] = (rng.normal(size=(5, 7, 8)) + 1j * rng.normal(size=(5, 7, 8))).astype(np.complex64)
    return rho


@pytest.fixture
def measured(crystal):
    return Measured(np.abs(forward(crystal)), np.ones(SHAPE, bool))


def scrambled(rho, where, starts=16):
    """Objects with random phases of the far field at `where`."""
    rng = np.random.default_rng(0)
    phases = (np.where(where, rng.uniform(-np.pi, np.pi, SHAPE), 0) for _ in range(starts))
    return np.stack([np.fft.ifftn(forward(rho) * np.exp(1j * phase)) for phase in phases])


def test_the_transfer_is_one_of_identical_objects(crystal, measured):
    same = resolution.prtf(np.stack([crystal, crystal]), measured, RADIUS, shells=5)
    np.testing.assert_allclose(same.value, 1, atol=1e-4)
    for curve in resolution.directed(resolution.transfer(np.stack([crystal, crystal])), measured, Q, shells=5):
        np.testing.assert_allclose(curve.value, 1, atol=1e-4)


def test_pixels_that_are_not_valid_do_not_count(crystal, measured):
    valid = np.random.default_rng(1).random(SHAPE) > 0.3
    amplitude = np.where(valid, measured.amplitude, np.nan)
    curve = resolution.prtf(np.stack([crystal, crystal]), Measured(amplitude, valid), RADIUS, shells=4)
    np.testing.assert_allclose(curve.value, 1, atol=1e-4)


def test_the_transfer_falls_where_starts_disagree(crystal, measured):
    apart = resolution.prtf(scrambled(crystal, 0.5 * np.pi < RADIUS), measured, RADIUS, shells=8)
    assert np.all(apart.value[apart.q < 0.4 * np.pi] > 0.95)
    assert np.all(apart.value[apart.q > 0.6 * np.pi] < 0.5)
    assert resolution.crossing(apart) == pytest.approx(0.5 * np.pi, rel=0.15)


@pytest.mark.parametrize("axis", range(3))
def test_the_direction_that_is_lost_is_the_one_that_is_coarse(axis, crystal, measured):
    objects = scrambled(crystal, np.abs(Q[axis]) > 0.4 * np.pi)
    curves = resolution.directed(resolution.transfer(objects), measured, Q, shells=8, cone=25)
    found = [resolution.resolution(curve, 1.0) for curve in curves]
    assert found[axis] == pytest.approx(2 / 0.4, rel=0.25)
    for other in {0, 1, 2} - {axis}:
        assert found[other] < 0.65 * found[axis]


def test_no_resolution_below_two_voxels_is_stated(crystal, measured):
    curve = resolution.prtf(crystal[None], measured, RADIUS)
    assert resolution.resolution(curve, 1.5) == pytest.approx(3.0, rel=0.05)
    assert resolution.resolution(resolution.Shells(np.array([9.0]), np.array([1.0])), 1.5) == 3.0


def test_halves_agree_where_only_little_noise_parts_them(crystal):
    rng = np.random.default_rng(4)
    noise = np.where(0.6 * np.pi < RADIUS, 1e3, 1e-3) * rng.normal(size=(2, *SHAPE))
    one, other = (np.fft.ifftn(forward(crystal) + part) for part in noise)
    found = resolution.fourier_shells(one, other, RADIUS, shells=10)
    assert np.all(found.value[found.q < 0.55 * np.pi] > 0.99)
    assert np.all(np.abs(found.value[found.q > 0.7 * np.pi]) < 0.3)
    np.testing.assert_allclose(resolution.fourier_shells(one, one, RADIUS, shells=5).value, 1, atol=1e-6)
