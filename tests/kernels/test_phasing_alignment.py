"""Objects are laid upon each other by what no data can tell."""

import numpy as np
import pytest

from xcdi.kernels.phasing import alignment, placing

SHAPE = (15, 18, 22)
LARGE = (35, 41, 38)  # the shift is first looked for at lower resolution


def crystal(shape):
    """A smooth lopsided object with a curved phase, away from the edges."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    body = np.exp(-(((z + 0.4 * y) / 2.5) ** 2) - (y / 3.0) ** 2 - (x / 3.5) ** 2) * (1 + np.tanh(x / 2))
    return (body * np.exp(1j * (0.03 * x**2 - 0.05 * y * z))).astype(np.complex64)


def shifted(rho, shift):
    wave = np.fft.fftn(rho)
    for axis, (n, s) in enumerate(zip(rho.shape, shift, strict=True)):
        wave = wave * np.exp(-2j * np.pi * s * np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.ifftn(wave).astype(np.complex64)


@pytest.mark.parametrize("shape", [SHAPE, LARGE])
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("shift", [(0, 0, 0), (3, -5, 7), (0.33, -1.27, 2.6)])
def test_alignment_undoes_twin_shift_and_phase(shift, twin, shape):
    rho = crystal(shape)
    moved = shifted(np.exp(1.1j) * rho, shift)
    back = alignment.align(placing.inversion(moved) if twin else moved, rho)
    assert back.dtype == np.complex64
    np.testing.assert_allclose(back, rho, atol=0.02 * np.abs(rho).max())


@pytest.mark.parametrize("shape", [SHAPE, LARGE])
def test_the_pose_is_right_to_a_fiftieth_of_a_voxel(shape):
    rho, shift = crystal(shape), np.array([1.37, -4.81, 6.093])
    found = alignment.pose(np.fft.fftn(shifted(np.exp(0.7j) * rho, -shift)), np.fft.fftn(rho))
    np.testing.assert_allclose(found.shift, shift, atol=0.02)
    assert not found.twin
    assert np.angle(found.value) == pytest.approx(0.7, abs=0.01)
    assert abs(found.value) == pytest.approx(1, abs=1e-3)


def test_many_objects_are_aligned_as_each_alone():
    rho = crystal(SHAPE)
    rhos = np.stack([[shifted(rho, (1, 2.5, -3)), 2j * rho], [placing.inversion(rho), rho]])
    np.testing.assert_allclose(alignment.align(rhos, rho)[1, 0], alignment.align(rhos[1, 0], rho), atol=1e-6)
    assert alignment.align(rhos, rho).shape == rhos.shape


def test_pairs_are_aligned_each_by_itself():
    rho = crystal(SHAPE)
    rng = np.random.default_rng(0)
    other = rho * np.exp(1j * rng.normal(0, 1.0, SHAPE))
    found = alignment.pairwise(np.stack([rho, placing.inversion(shifted(rho, (2.2, 0, 1))), other, shifted(1j * other, (0, 3.4, 0))]))
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-6)
    assert found[0, 1] > 0.999
    assert found[2, 3] > 0.999
    assert found[0, 2] == pytest.approx(alignment.overlap(rho, other), abs=0.05)
    assert found[0, 2] < 0.8


def test_nothing_overlaps_with_an_empty_object():
    empty = np.zeros(SHAPE, np.complex64)
    assert alignment.overlap(empty, crystal(SHAPE)) == 0
    assert alignment.pairwise(np.stack([empty, crystal(SHAPE)]))[0, 1] == 0
