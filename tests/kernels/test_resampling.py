"""Resampling: exact for what a grid can hold, faithful about places, zero outside."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from scipy import ndimage as ndi

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


def test_there_and_back_in_single_precision():
    field = smooth(lab_basis(EDGE), UPRIGHT).astype(np.complex64)
    there = resample(field, lab_basis(EDGE), voxel=ATOMIC, shape=(79, 59, 61))
    back = resample(there, ATOMIC, voxel=EDGE, shape=UPRIGHT)
    assert there.dtype == back.dtype == np.complex64
    assert np.linalg.norm(back - field) / np.linalg.norm(field) < 1e-4


def test_the_atomic_frame_is_sheared_by_almost_sixteen_degrees():
    frame, _, column = ATOMIC.T
    lean = np.arccos(frame @ column / np.linalg.norm(frame) / np.linalg.norm(column))
    assert abs(np.degrees(lean) - 90) == pytest.approx(15.8, abs=0.1)


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


def around(wave, middle, half=3):
    """Turns of phase around a square of voxels in every plane of the last two axes but the outermost."""
    j, k = middle
    square = [(j - half, b) for b in range(k - half, k + half)] + [(a, k + half) for a in range(j - half, j + half)]
    square += [(j + half, b) for b in range(k + half, k - half, -1)] + [(a, k - half) for a in range(j + half, j - half, -1)]
    ring = np.stack([wave[2:-2, a, b] for a, b in square])
    return np.angle(np.roll(ring, -1, axis=0) * ring.conj()).sum(axis=0) / (2 * np.pi)


@pytest.mark.parametrize("how", [resample, resample_linear])
@pytest.mark.parametrize("turns", [1, -1, 2])
@pytest.mark.parametrize("skewed", [ATOMIC, STRANGE], ids=["atomic", "strange"])
def test_a_burgers_circuit_closes_with_as_many_turns_in_the_laboratory(how, turns, skewed):
    x, y, z = places(skewed, (64, 59, 61))
    core = (x + 1j * np.sign(turns) * y) / 60.0  # a screw along the beam, its core dark
    wave = np.exp(-(x**2 + y**2 + z**2) / 2 / 150.0**2) * (core / np.sqrt(1 + np.abs(core) ** 2)) ** abs(turns)
    upright = how(wave.astype(np.complex64), skewed, voxel=20.0, shape=(9, 31, 33))
    np.testing.assert_allclose(around(upright, (15, 16)), turns, atol=1e-4)  # (z, y, x): from x to y
    assert np.abs(around(upright, (15, 16 + 6), half=2)).max() < 1e-4  # beside the core there is nothing to go round


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("basis", [SKEWED, -ATOMIC, lab_basis(20.0) @ np.diag([1, -1, 1])], ids=["skewed", "inverted", "mirrored"])
def test_linear_interpolation_is_that_of_scipy(dtype, basis):
    rng = np.random.default_rng(1)
    volume = (rng.normal(size=(9, 12, 7)) + (1j * rng.normal(size=(9, 12, 7)) if np.issubdtype(dtype, complex) else 0)).astype(dtype)
    shape, centre = (23, 19, 31), np.array([13.0, -7.0, 4.0])
    index = np.linalg.solve(basis, (places(lab_basis(11.0), shape) + centre[:, None, None, None]).reshape(3, -1))
    index = index.reshape(3, *shape) + np.array([n // 2 for n in volume.shape])[:, None, None, None]
    inside = np.all([(a > 0) & (a < n - 1) for a, n in zip(index, volume.shape, strict=True)], axis=0)
    ours = resample_linear(volume, basis, voxel=11.0, shape=shape, centre=centre)
    assert ours.dtype == dtype
    assert 0.01 < inside.mean() < 0.9
    np.testing.assert_allclose(
        ours, np.where(inside, ndi.map_coordinates(volume, index, order=1), 0), atol=5e-5 if volume.itemsize < 16 else 1e-12
    )


@pytest.mark.parametrize("how", [resample, resample_linear])
def test_threads_that_share_the_volumes_give_the_same_bits(how):
    rng = np.random.default_rng(2)
    volumes = (rng.normal(size=(4, 9, 11, 13)) + 1j * rng.normal(size=(4, 9, 11, 13))).astype(np.complex64)
    move = partial(how, basis=SKEWED, voxel=17.0, shape=(15, 17, 19))
    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(np.stack(list(pool.map(move, volumes))), move(volumes))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 1), (3, 1, 4)])
def test_an_axis_of_one_sample_is_a_plane(shape):
    volume = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(resample_linear(volume, lab_basis(10.0), voxel=10.0, shape=shape), volume)
    between = resample_linear(volume, lab_basis(10.0), voxel=10.0, shape=shape, centre=(0.0, 0.0, 3.0))
    assert np.all(between[0] == 0) if shape[0] == 1 else np.all(between[0] > 0)


def test_the_object_of_a_smooth_wave_in_the_detector_frame_is_that_object():
    """Amplitudes of a Gaussian crystal on the sheared grid of q; transformed back, the object stands where it stood."""
    shape = (64, 61, 59)
    steps = 2 * np.pi * np.linalg.inv(ATOMIC * np.array(shape)).T
    q = np.tensordot(steps, np.indices(shape) - np.array([n // 2 for n in shape])[:, None, None, None], axes=1)
    width, place = np.array([70.0, 60.0, 65.0]), np.array([40.0, -60.0, 20.0])  # nm
    wave = np.exp(-np.tensordot(width**2, q**2, axes=1) / 2 - 1j * np.tensordot(place, q, axes=1))
    rho = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(wave)))
    upright = resample(rho, ATOMIC, voxel=EDGE, shape=UPRIGHT)
    known = np.exp(-sum(((a - p) / w) ** 2 for a, p, w in zip(places(lab_basis(EDGE), UPRIGHT), place, width, strict=True)) / 2)
    np.testing.assert_allclose(upright / np.abs(upright).max(), known / known.max(), atol=2e-3)
