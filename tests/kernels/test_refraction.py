"""Refraction: chords of a ball, Snell's law in a slab, the Bragg angle it shifts, absorption by Beer's law."""

import numpy as np
import pytest

from xcdi.kernels import geometry, refraction, strain

SHAPE = (31, 29, 37)
UPRIGHT = geometry.lab_basis(8.0)
SKEWED = np.array([[3.0, 1.0, 8.0], [0.5, 9.0, 1.0], [11.0, -1.0, 1.5]])
K = 2 * np.pi / 0.12  # 1/nm
DELTA = 3e-5


def places(basis, shape=SHAPE):
    return np.tensordot(basis, np.indices(shape) - np.array([n // 2 for n in shape])[:, None, None, None], axes=1)


@pytest.mark.parametrize("direction", [(0.3, -0.5, 0.8), (0.0, 0.0, 1.0), (-1.0, 0.2, 0.0)])
@pytest.mark.parametrize("basis", [UPRIGHT, SKEWED], ids=["upright", "skewed"])
def test_ways_in_a_ball_are_its_chords(basis, direction):
    radius, r = 80.0, places(basis)
    along = np.array(direction) / np.linalg.norm(direction)
    ball = np.sum(r**2, axis=0) < radius**2
    b = np.tensordot(along, r, axes=1)
    chord = np.sqrt(np.maximum(b**2 - np.sum(r**2, axis=0) + radius**2, 0)) - b
    off = (refraction.path_lengths(ball, basis, along) - chord)[ball]
    assert np.sqrt(np.mean(off**2)) < 8.0 / 3
    assert abs(off.mean()) < 8.0 / 6
    assert not refraction.path_lengths(ball, basis, along)[~ball].any()


def test_there_and_back_is_the_whole_chord():
    ball = np.sum(places(UPRIGHT) ** 2, axis=0) < 80.0**2
    along = np.array([0.3, -0.5, 0.8])
    both = refraction.path_lengths(ball, UPRIGHT, along) + refraction.path_lengths(ball, UPRIGHT, -along)
    distance = np.linalg.norm(np.cross(np.moveaxis(places(UPRIGHT), 0, -1), along / np.linalg.norm(along)), axis=-1)
    off = (both - 2 * np.sqrt(np.maximum(80.0**2 - distance**2, 0)))[ball]
    assert np.sqrt(np.mean(off**2)) < 8.0 / 2


def test_a_gap_is_no_part_of_the_way():
    two = np.zeros((41, 15, 15), bool)
    two[4:14], two[24:34] = True, True
    way = refraction.path_lengths(two, UPRIGHT, np.array([0.0, 0.0, 1.0]))[:, 7, 7]  # z is index 0
    np.testing.assert_allclose(way[4:14], 8.0 * (19.5 - np.arange(10)), atol=1.0)
    np.testing.assert_allclose(way[24:34], 8.0 * (9.5 - np.arange(10)), atol=1.0)


def exact_slab(depth, theta):
    """Phase [rad] beyond that of vacuum at a depth in a slab hit at the angle theta, there and back, by Snell's law."""
    vacuum = K * np.sin(theta)
    inside = np.sqrt((K * (1 - DELTA)) ** 2 - (K * np.cos(theta)) ** 2)  # the part along the surface goes on
    return 2 * depth * (inside - vacuum)


def test_the_phase_is_that_of_waves_bent_at_the_surface():
    theta, depth = 0.35, np.linspace(0, 500.0, 7)
    turn = refraction.undone(2 * depth / np.sin(theta), delta=DELTA, beta=0.0, wavelength=2 * np.pi / K)
    left = np.exp(1j * exact_slab(depth, theta)) * turn
    assert np.abs(exact_slab(500.0, theta)) > 1
    np.testing.assert_allclose(left, 1, atol=2e-3)


def test_the_peak_lies_at_the_larger_angle_and_undone_at_braggs():
    """2 theta is larger than Bragg's law has it by 2 x 2 delta / sin 2 theta: a crystal looks compressed until that is taken off."""
    theta, voxel = 0.35, 2.0
    g = 2 * K * np.sin(theta)
    beam, out = np.array([0.0, -np.sin(theta), np.cos(theta)]), np.array([0.0, np.sin(theta), np.cos(theta)])
    slab = np.zeros((9, 41, 9), bool)
    slab[:, :31] = True  # its surface is normal to y, index 1
    path = (31 - 0.5 - np.arange(41)) * voxel * 2 / np.sin(theta)
    wave = np.exp(-1j * K * DELTA * np.where(slab, path[None, :, None], 0)) * slab  # no displacement
    slope = strain.gradient(wave, geometry.lab_basis(voxel))[:, 4, 10, 4]
    assert slope @ (out - beam) > 0
    shift = np.linalg.norm(slope) / (2 * K * np.cos(theta))  # of theta
    assert shift == pytest.approx(2 * DELTA / np.sin(2 * theta), rel=1e-3)
    assert strain.distortion(slope[:, None], np.array([0.0, g, 0.0]), np.array([0.0, 1.0, 0.0]))[0] < 0
    freed = wave * refraction.undone(np.where(slab, path[None, :, None], 0), delta=DELTA, beta=0.0, wavelength=2 * np.pi / K)
    assert np.abs(strain.gradient(freed, geometry.lab_basis(voxel))).max() < 1e-6


def test_what_comes_out_of_a_wide_slab_is_the_same_by_marching():
    theta, voxel = 0.6, 4.0
    beam, out = np.array([0.0, -np.sin(theta), np.cos(theta)]), np.array([0.0, np.sin(theta), np.cos(theta)])
    slab = np.zeros((61, 15, 11), bool)
    slab[:, 2:12] = True
    found = refraction.optical_path(slab, geometry.lab_basis(voxel), beam, out)[30, 2:12, 5]
    np.testing.assert_allclose(found, (12 - 0.5 - np.arange(2, 12)) * voxel * 2 / np.sin(theta), atol=voxel / 2)


def test_intensity_absorbed_is_given_back_by_beers_law():
    beta, path = 4e-6, np.array([0.0, 2000.0])
    mu = 4 * np.pi * beta / 0.12
    gained = np.abs(refraction.undone(path, delta=1e-5, beta=beta, wavelength=0.12)) ** 2
    np.testing.assert_allclose(gained, np.exp(mu * path), rtol=1e-5)
    assert gained[1] > 1


def test_nothing_travels_nowhere():
    assert not refraction.path_lengths(np.zeros((5, 7, 3), bool), UPRIGHT, np.array([1.0, 0, 0])).any()
