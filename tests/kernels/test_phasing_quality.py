"""Objects are compared up to what no data can tell, and graded by whether they agree."""

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import placing, quality
from xcdi.kernels.phasing.estimate import Measured

SHAPE = (15, 18, 22)


@pytest.fixture
def crystal():
    """A smooth lopsided object with a curved phase, away from the edges."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    body = np.exp(-(((z + 0.4 * y) / 2.5) ** 2) - (y / 3.0) ** 2 - (x / 3.5) ** 2) * (1 + np.tanh(x / 2))
    return (body * np.exp(1j * (0.03 * x**2 - 0.05 * y * z))).astype(np.complex64)


def shifted(rho, shift):
    wave = np.fft.fftn(rho)
    for axis, (n, s) in enumerate(zip(SHAPE, shift, strict=True)):
        wave = wave * np.exp(-2j * np.pi * s * np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.ifftn(wave).astype(np.complex64)


@pytest.mark.parametrize("shift", [(0, 0, 0), (3, -5, 7), (0.33, -1.27, 2.6)])
@pytest.mark.parametrize("twin", [False, True])
def test_align_undoes_twin_shift_and_phase(shift, twin, crystal):
    moved = shifted(np.exp(1.1j) * crystal, shift)
    back = quality.align(placing.inversion(moved) if twin else moved, crystal)
    assert back.dtype == np.complex64
    np.testing.assert_allclose(back, crystal, atol=0.02 * np.abs(crystal).max())


def test_the_inverted_conjugate_scatters_the_same(crystal):
    np.testing.assert_allclose(np.abs(forward(placing.inversion(crystal))), np.abs(forward(crystal)), atol=1e-3)
    np.testing.assert_array_equal(placing.inversion(placing.inversion(crystal)), crystal)


def test_agreement_is_one_for_equal_and_low_for_random_objects(crystal):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, *SHAPE)) + 1j * rng.normal(size=(4, *SHAPE))
    assert quality.agreement(np.stack([crystal, 2j * crystal, -crystal])) == pytest.approx(1)
    assert quality.agreement(noise) < 0.1
    assert np.isnan(quality.agreement(crystal[None]))


def test_a_single_start_is_never_more_than_unreliable():
    assert quality.grade(float("nan"), 1, 1) == "unreliable"


def test_chi_is_zero_at_the_truth_and_ignores_gaps(crystal):
    amplitude, valid = np.abs(forward(crystal)), np.ones(SHAPE, bool)
    valid[0, 0, :3] = False
    amplitude[0, 0, :3] = np.nan
    measured = Measured(amplitude, valid)
    assert quality.chi(crystal, measured) < 1e-6
    assert quality.chi(1.1 * crystal, measured) == pytest.approx(0.1, rel=1e-4)


def test_chi_of_noisy_data_is_what_noise_alone_predicts(crystal):
    scale = np.sqrt(3e5 / (np.abs(forward(crystal)) ** 2).sum())
    rho, rng = scale * crystal, np.random.default_rng(2)
    counts = rng.poisson(np.abs(forward(rho)) ** 2)
    measured = Measured(np.sqrt(counts), np.ones(SHAPE, bool))
    assert quality.chi(rho, measured) == pytest.approx(quality.chi_noise(rho, measured, rng), rel=0.05)


def test_prtf_is_one_where_starts_agree_and_falls_where_they_do_not(crystal):
    measured = Measured(np.abs(forward(crystal)), np.ones(SHAPE, bool))
    radius = np.sqrt(sum(np.square(q) for q in np.meshgrid(*(np.fft.fftfreq(n) for n in SHAPE), indexing="ij")))
    same = quality.prtf(np.stack([crystal, crystal]), measured, radius, shells=5)
    np.testing.assert_allclose(same.value, 1, atol=1e-3)
    rng = np.random.default_rng(0)
    wrong = [np.where(radius > 0.2, rng.uniform(-3, 3, SHAPE), 0) for _ in range(8)]
    others = np.stack([np.fft.ifftn(forward(crystal) * np.exp(1j * phase)) for phase in wrong])
    apart = quality.prtf(others, measured, radius, shells=5)
    assert apart.value[0] > 0.99
    assert apart.value[-1] < 0.6
    assert np.all(np.diff(apart.q) > 0)


def test_the_modes_of_equal_objects_are_one_mode(crystal):
    found = quality.modes(np.stack([crystal, crystal, crystal]))
    assert found.weight[0] == pytest.approx(1)
    assert quality.overlap(found.rho[0], crystal) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(found.rho[0]) == pytest.approx(np.linalg.norm(crystal), rel=1e-4)


def test_the_extent_does_not_depend_on_scale_bright_voxels_holes_or_specks():
    rho = np.zeros(SHAPE, np.complex64)
    rho[4:10, 5:12, 6:15] = 1j
    rho[6, 7, 8] *= 3
    hole, speck = (7, 8, 9), (0, 0, 0)
    rho[hole] = 0
    rho[speck] = 1
    inside = quality.extent(rho)
    np.testing.assert_array_equal(inside, quality.extent(100 * rho))
    expected = np.zeros(SHAPE, bool)
    expected[4:10, 5:12, 6:15] = True
    np.testing.assert_array_equal(inside, expected)


def test_placing_is_the_same_for_an_object_its_twin_its_shifts_and_its_ramps(crystal):
    expected = placing.place(crystal, placing.placing(crystal))
    rolled = np.roll(crystal, (2, -3, 4), axis=(0, 1, 2))
    ramp = np.exp(0.2j * np.arange(SHAPE[2])).astype(np.complex64)
    for other in (placing.inversion(crystal), rolled, placing.inversion(rolled), crystal * ramp):
        placed = placing.place(other, placing.placing(other))
        assert quality.overlap(placed, expected) > 0.999


def test_a_placed_object_is_centred_and_flat(crystal):
    rho = placing.place(crystal, placing.placing(crystal * np.exp(0.3j * np.arange(SHAPE[1]))[:, None]))
    rho = placing.place(rho, placing.placing(rho))
    weight = np.abs(rho) / np.abs(rho).sum()
    middle = [(weight * index).sum() for index in np.indices(SHAPE)]
    np.testing.assert_allclose(middle, [n // 2 for n in SHAPE], atol=0.6)
    np.testing.assert_allclose(placing.phase_gradient(rho), 0, atol=1e-5)
    assert placing.curvature(rho)[np.abs(placing.curvature(rho)).argmax()] > 0


def test_a_flat_phase_is_placed_by_the_lean_of_the_amplitude(crystal):
    flat = np.abs(crystal).astype(np.complex64)
    how, turned = placing.placing(flat), placing.placing(placing.inversion(flat))
    assert how.rule == "skewness of the amplitude"
    assert how.inverted != turned.inverted
    assert how.margin == pytest.approx(turned.margin, rel=1e-3)


def test_curvature_is_blind_to_shift_ramp_and_phase_and_odd_under_inversion(crystal):
    ramp = np.exp(0.3j * np.arange(SHAPE[2])).astype(np.complex64)
    moved = np.roll(1j * crystal * ramp, (2, -1, 3), axis=(0, 1, 2))
    np.testing.assert_allclose(placing.curvature(moved), placing.curvature(crystal), atol=1e-5)
    np.testing.assert_allclose(placing.curvature(placing.inversion(crystal)), -placing.curvature(crystal), atol=1e-5)
