"""Resampling: exact for what a grid can hold, faithful about places, zero outside."""

import numpy as np
import pytest

from xcdi.kernels import geometry as g
from xcdi.kernels.resampling import lab_basis, resample, resample_linear

UPRIGHT, EDGE = (41, 43, 47), 20.0
SKEWED = np.array([[60.0, 2.0, 25.0], [3.0, 24.0, 1.0], [9.0, -4.0, 1.5]])  # columns: far from orthogonal, far from isotropic
CAMERA = g.Camera((0.0, 0.0), 1.5, (75e-6, 75e-6), circles=(("y+", np.radians(31.64)),))
ATOMIC = g.voxel_basis(g.q_basis(CAMERA, (0, 0), g.Rocking("y+", np.radians(0.01)), wavelength=0.128481).steps, (96, 128, 128))
STRANGE = np.array([[20.0, 2.0, 9.0], [3.0, 24.0, 1.0], [9.0, -4.0, 15.5]])


def places(basis, shape):
    return np.tensordot(basis, np.indices(shape) - np.array([n // 2 for n in shape])[:, None, None, None], axes=1)


def smooth(basis, shape, width=62.0):
    x, y, z = places(basis, shape)
    return np.exp(-(x**2 + y**2 + z**2) / (2 * width**2)) * np.exp(1j * (8e-3 * x + 4e-3 * z - 3e-5 * x * y))


@pytest.mark.parametrize(("skewed", "shape"), [(ATOMIC, (79, 59, 61)), (STRANGE, (64, 53, 67))], ids=["atomic", "strange"])
def test_there_and_back_is_where_one_started(skewed, shape):
    field = smooth(lab_basis(EDGE), UPRIGHT)
    there = resample(field, lab_basis(EDGE), voxel=skewed, shape=shape)
    back = resample(there, skewed, voxel=EDGE, shape=UPRIGHT)
    assert np.linalg.norm(back - field) / np.linalg.norm(field) < 1e-6
    np.testing.assert_allclose(there, smooth(skewed, shape), atol=1e-6)


def test_single_precision_stays_single():
    field = smooth(lab_basis(EDGE), UPRIGHT)
    single = resample(field.astype(np.complex64), lab_basis(EDGE), voxel=23.0, shape=(31, 29, 37))
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, smooth(lab_basis(23.0), (31, 29, 37)), atol=5e-6)


def test_the_same_grid_changes_nothing():
    noise = np.random.default_rng(3).normal(size=(2, 7, 8, 11)) + 0j
    np.testing.assert_allclose(resample(noise, SKEWED, voxel=SKEWED, shape=(7, 8, 11)), noise, atol=1e-5)


def test_a_grid_off_centre_sees_the_place_it_is_put():
    centre = np.array([40.0, -20.0, 60.0])
    field = smooth(lab_basis(EDGE), UPRIGHT)
    moved = resample(field, lab_basis(EDGE), voxel=EDGE, shape=(5, 7, 9), centre=centre)
    np.testing.assert_allclose(moved, field[20 + 3 - 2 : 20 + 3 + 3, 21 - 1 - 3 : 21 - 1 + 4, 23 + 2 - 4 : 23 + 2 + 5], atol=1e-6)


def test_a_sphere_stays_a_sphere():
    x, y, z = places(ATOMIC, (79, 59, 61))
    ball = (np.sqrt(x**2 + y**2 + z**2) < 300).astype(np.float32)
    upright = resample_linear(ball, ATOMIC, voxel=20.0, shape=UPRIGHT) > 0.5
    assert upright.sum() * 20.0**3 == pytest.approx(4 / 3 * np.pi * 300**3, rel=0.02)
    np.testing.assert_allclose(np.argwhere(upright).std(axis=0) * 20.0, 300 / np.sqrt(5), rtol=0.03)


def test_linear_interpolation_is_exact_on_planes():
    x, y, z = places(SKEWED, (9, 11, 13))
    plane = 1.0 + 0.02 * x - 0.01 * y + 0.03 * z
    xn, yn, zn = places(lab_basis(7.0), (3, 5, 7))
    np.testing.assert_allclose(resample_linear(plane, SKEWED, voxel=7.0, shape=(3, 5, 7)), 1.0 + 0.02 * xn - 0.01 * yn + 0.03 * zn)


@pytest.mark.parametrize("how", [resample, resample_linear])
def test_outside_the_volume_is_nothing(how):
    wide = how(np.ones((5, 5, 5), np.complex64), lab_basis(10.0), voxel=10.0, shape=(15, 15, 15))
    assert np.all(wide[0] == 0)
    np.testing.assert_allclose(wide[5:10, 5:10, 5:10], 1, atol=1e-5)
