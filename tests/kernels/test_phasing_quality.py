"""Objects are compared up to what no data can tell, and graded by whether they agree."""

import numpy as np
import pytest

from xcdi.kernels.fourier import backward, forward
from xcdi.kernels.phasing import alignment, placing, quality
from xcdi.kernels.phasing.estimate import Measured

SHAPE = (15, 18, 22)


@pytest.fixture
def crystal():
    """A smooth lopsided object with a curved phase, away from the edges."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    body = np.exp(-(((z + 0.4 * y) / 2.5) ** 2) - (y / 3.0) ** 2 - (x / 3.5) ** 2) * (1 + np.tanh(x / 2))
    return (body * np.exp(1j * (0.03 * x**2 - 0.05 * y * z))).astype(np.complex64)


def test_the_inverted_conjugate_scatters_the_same(crystal):
    np.testing.assert_allclose(np.abs(forward(placing.inversion(crystal))), np.abs(forward(crystal)), atol=1e-3)
    np.testing.assert_array_equal(placing.inversion(placing.inversion(crystal)), crystal)


def test_agreement_is_one_for_equal_and_low_for_random_objects(crystal):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, *SHAPE)) + 1j * rng.normal(size=(4, *SHAPE))
    assert quality.agreement(np.stack([crystal, 2j * crystal, -crystal])) == pytest.approx(1)
    assert quality.agreement(noise) < 0.1
    assert np.isnan(quality.agreement(crystal[None]))


def test_a_single_solution_is_never_more_than_unreliable():
    assert quality.judge(quality.Evidence(float("nan"), 1, 1.0, 0.05, 0.05)).word == "unreliable"


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


@pytest.mark.parametrize("dose", [1e4, 1e8])
def test_the_misfit_of_the_truth_is_that_of_photon_noise_at_any_dose(dose, crystal):
    scale = np.sqrt(dose / (np.abs(forward(crystal)) ** 2).sum())
    rho, rng = scale * crystal, np.random.default_rng(2)
    measured = Measured(np.sqrt(rng.poisson(np.abs(forward(rho)) ** 2)), np.ones(SHAPE, bool))
    held = rng.random(SHAPE) < 0.3
    found = quality.fit(rho, measured, held)
    assert found.fitted == pytest.approx(1, abs=0.12)
    assert found.free == pytest.approx(1, abs=0.15)
    assert quality.fit(1.3 * rho, measured).fitted > 1.3
    assert np.isnan(quality.fit(rho, measured).free)


def test_an_object_that_fits_its_own_noise_is_found_out_by_the_pixels_held_out(crystal):
    rng = np.random.default_rng(3)
    rho = np.sqrt(1e5 / (np.abs(forward(crystal)) ** 2).sum()) * crystal
    measured = Measured(np.sqrt(rng.poisson(np.abs(forward(rho)) ** 2)), np.ones(SHAPE, bool))
    held = rng.random(SHAPE) < 0.3
    phase = np.exp(1j * np.angle(forward(rho)))
    greedy = backward(np.where(held, 1.2 * np.abs(forward(rho)), 0.7 * measured.amplitude + 0.3 * np.abs(forward(rho))) * phase)
    assert quality.fit(greedy, measured, held).overfit > 1.5
    assert quality.fit(rho, measured, held).overfit == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("mean", [3e-5, 2e-3, 0.07, 0.9, 4.0, 60.0, 3e3])
def test_the_deviance_of_photon_noise_is_what_draws_give(mean):
    n = np.random.default_rng(5).poisson(mean, 400_000)
    drawn = np.where(n > 0, mean - n + n * np.log(np.where(n > 0, n, 1) / mean), mean)
    assert float(quality.noise_deviance(np.array(mean))) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(n.size) + 1e-4)


RIGHT = quality.Evidence(agreement=0.985, solutions=3, share=0.8, chi=0.058, noise=0.053)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "good"),
        ({"share": 0.1}, "good"),  # few starts got there, but the misfit tells
        ({"share": 0.1, "chi": 0.155, "noise": 0.15}, "unreliable"),  # nothing tells
        ({"share": 0.9, "chi": 0.155, "noise": 0.15}, "good"),
        ({"chi": 0.031, "noise": 0.019}, "good"),  # many photons; the edge of the support is left
        ({"chi": 0.085, "noise": 0.058}, "unreliable"),  # agree on a wrong object
        ({"chi": 0.0625}, "limited"),
        ({"agreement": 0.92}, "limited"),
        ({"agreement": 0.85}, "unreliable"),
        ({"solutions": 1, "agreement": float("nan")}, "unreliable"),  # wrong objects have fitted as well
        ({"chi": 0.0685}, "limited"),  # by most starts, as on measured data
        ({"chi": 0.0685, "share": 0.5}, "unreliable"),
        ({"chi": 0.0685, "agreement": 0.88}, "unreliable"),
        ({"noise": 0.0}, "unreliable"),
    ],
)
def test_a_grade_needs_agreement_and_a_misfit_of_photons_alone(change, word):
    found = quality.judge(RIGHT._replace(**change))
    assert found.word == word
    assert "%" in found.why


@pytest.mark.parametrize("name", ["agreement", "share", "chi", "solutions"])
def test_less_evidence_never_betters_a_grade(name):
    order = ["good", "limited", "unreliable"]
    worse = {"agreement": [0.99, 0.94, 0.8], "share": [1.0, 0.5, 0.0], "chi": [0.053, 0.063, 0.1], "solutions": [4, 2, 1]}[name]
    found = [order.index(quality.judge(RIGHT._replace(**{name: value})).word) for value in worse]
    assert found == sorted(found)


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
        assert alignment.overlap(placed, expected) > 0.999


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
