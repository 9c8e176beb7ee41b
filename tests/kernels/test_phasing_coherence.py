"""Partial coherence: its blur, how it is found, and the runner that goes on with it."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import coherence, sharpening
from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured, expected
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.likelihood import held_out, without

SHAPE = (23, 29, 31)
MODELS = ("gaussian", "lorentzian", "pseudo_voigt")


@pytest.fixture(scope="module")
def crystal():
    """Strained object, and its support, of about a third of the array."""
    z, y, x = np.meshgrid(*(np.fft.fftfreq(n) * n for n in SHAPE), indexing="ij")
    support = np.abs(z) + np.abs(y) + 0.8 * np.abs(x) < 5.5
    rho = np.where(support, np.exp(1j * (0.06 * z * y + 0.3 * np.sin(x) + 0.02 * y**2)), 0).astype(np.complex64)
    return 30 * rho, support


def blurred(rho, gamma, seed=None, background=0.0):
    mean = expected(forward(rho), Measured(np.ones(SHAPE), np.ones(SHAPE, bool), background, gamma))
    counts = mean if seed is None else np.random.default_rng(seed).poisson(mean)
    return Measured(np.sqrt(counts).astype(np.float32), np.ones(SHAPE, bool), background)


@pytest.mark.parametrize("model", MODELS)
def test_the_degree_is_one_at_no_lag_and_falls_from_there(model):
    gamma = coherence.degree(SHAPE, model, (0.3, 0.5, 0.8))
    assert gamma.shape == (23, 29, 16)
    assert gamma.dtype == np.float32
    assert gamma[0, 0, 0] == 1
    for line in (gamma[:12, 0, 0], gamma[0, :15, 0], gamma[0, 0]):
        assert (np.diff(line) < 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_blurring_keeps_the_counts(model, crystal):
    rho, _ = crystal
    mean = expected(forward(rho), Measured(np.ones(SHAPE), np.ones(SHAPE, bool), 0.0, coherence.degree(SHAPE, model, 0.6)))
    assert mean.sum() == pytest.approx(rho.size * (np.abs(rho) ** 2).sum(), rel=1e-4)


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="expected 'gaussian'"):
        coherence.degree(SHAPE, "box", 0.5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("width", [0.3, 0.8])
def test_the_width_of_the_blur_is_found(model, width, crystal):
    measured = blurred(crystal[0], coherence.degree(SHAPE, model, width), seed=1)
    (found,) = coherence.fit(forward(crystal[0]), measured, measured.valid, model=model)
    assert found == pytest.approx(width, rel=0.05)


def test_three_widths_are_found_each_on_its_axis(crystal):
    widths = (0.3, 0.5, 0.8)
    measured = blurred(crystal[0], coherence.degree(SHAPE, "gaussian", widths), seed=1)
    np.testing.assert_allclose(coherence.fit(forward(crystal[0]), measured, measured.valid, start=(0.5, 0.5, 0.5)), widths, rtol=0.05)


def test_the_fit_asks_neither_missing_pixels_nor_the_scale(crystal):
    measured = blurred(crystal[0], coherence.degree(SHAPE, "gaussian", 0.6), background=2.0)
    spoilt = measured.amplitude.copy()
    spoilt[:, 3] = np.nan
    gappy = Measured(spoilt, np.isfinite(spoilt), 2.0)
    (found,) = coherence.fit(forward(1.3 * crystal[0]), gappy, gappy.valid)
    assert found == pytest.approx(0.6, rel=0.02)


def test_the_widths_are_found_on_every_array_library(crystal, xp):
    measured = blurred(crystal[0], coherence.degree(SHAPE, "gaussian", 0.5))
    there = Measured(xp.asarray(measured.amplitude), xp.asarray(measured.valid))
    (found,) = coherence.fit(forward(xp.asarray(crystal[0])), there, there.valid)
    assert found == pytest.approx(0.5, rel=0.02)


def test_a_lopsided_blur_is_found_blindly(crystal, xp, as_numpy):
    kernel = np.zeros(SHAPE, np.float32)
    kernel[0, 0, 0], kernel[1, 0, 0], kernel[0, -1, 0], kernel[0, 0, 2] = 0.5, 0.25, 0.15, 0.1
    psi = forward(crystal[0])
    mean = np.fft.irfftn(np.fft.rfftn(np.abs(psi) ** 2) * np.fft.rfftn(kernel), s=SHAPE, axes=(0, 1, 2)).clip(0)
    valid = np.ones(SHAPE, bool)
    valid[:, 5] = False
    measured = Measured(xp.asarray(np.where(valid, np.sqrt(mean), np.nan).astype(np.float32)), xp.asarray(valid))
    found = as_numpy(coherence.richardson_lucy(xp.asarray(psi), measured, measured.valid, window=(3, 3, 5), steps=150))
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, rel=1e-5)
    assert found[3:-3].max() == 0, "outside the window"
    for axis, moved in enumerate((0.25, -0.15, 0.2)):  # the centre of mass along each axis
        lag = np.fft.fftfreq(SHAPE[axis]) * SHAPE[axis]
        assert np.moveaxis(found, axis, -1).sum(axis=(0, 1)) @ lag == pytest.approx(moved, abs=0.02)


@pytest.mark.parametrize(("width", "on"), [(0.0, False), (0.5, True)])
def test_coherence_is_modelled_only_where_held_out_pixels_ask_for_it(width, on, crystal):
    measured = blurred(crystal[0], coherence.degree(SHAPE, "gaussian", width), seed=4)
    held = held_out(measured, np.random.default_rng(0))
    decision = coherence.decide(forward(crystal[0]), measured, held)
    assert decision.on is on
    assert (decision.deviance < decision.coherent - 3 * decision.error) is on


@pytest.mark.parametrize("runner", [Plain, InPlace])
def test_a_run_goes_on_with_the_blur_that_was_found(runner, crystal):
    measured = blurred(crystal[0], coherence.degree(SHAPE, "gaussian", (0.4, 0.6, 0.5)), seed=4)
    held = held_out(measured, np.random.default_rng(0))
    run = runner(Estimate(crystal[0], crystal[1]), without(measured, held))
    run.run("error_reduction", 1)
    before = run.residual()
    fitted, decision = coherence.refine(run, measured, held)
    run.run("error_reduction", 1)
    assert decision.on
    assert fitted.coherence is not None
    assert not (fitted.valid & held).any()
    np.testing.assert_allclose(decision.width, (0.4, 0.6, 0.5), rtol=0.1)
    assert run.residual() < 0.7 * before


@pytest.mark.parametrize("background", ["none", "scalar", "array"])
@pytest.mark.parametrize("gamma", ["coherent", "blurred"])
@pytest.mark.parametrize("move", ["error_reduction", "hio", "raar"])
def test_blur_and_background_in_place_are_those_of_the_moves(move, gamma, background, crystal):
    rng = np.random.default_rng(1)
    kernel = np.zeros(SHAPE)  # positive and even, so that nothing is clipped
    kernel[0, 0, 0], kernel[1, 0, 0], kernel[-1, 0, 0], kernel[0, 0, 1], kernel[0, 0, -1] = 0.5, 0.15, 0.15, 0.1, 0.1
    given = None if gamma == "coherent" else np.fft.rfftn(kernel).real.astype(np.float32)
    stray = {"none": 0.0, "scalar": 3.0, "array": rng.uniform(0, 5, SHAPE).astype(np.float32)}[background]
    measured = replace(blurred(crystal[0], given, seed=2, background=stray), coherence=given)
    measured.valid[:, 4] = False
    start = Estimate((rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64), crystal[1])
    fast, plain = InPlace(start, measured), Plain(start, measured)
    for runner in (fast, plain):
        runner.run(move, 3)
    there, here = fast.estimate(), plain.estimate()
    np.testing.assert_allclose(there.rho, here.rho, atol=1e-4 * np.abs(here.rho).max())
    assert there.residual == pytest.approx(float(here.residual), rel=1e-4)


def test_the_truth_stays_where_it_is_with_the_right_blur_only(crystal):
    gamma = coherence.degree(SHAPE, "gaussian", 0.6)
    right = InPlace(Estimate(*crystal), replace(blurred(crystal[0], gamma), coherence=gamma))
    wrong = InPlace(Estimate(*crystal), blurred(crystal[0], gamma))
    for runner in (right, wrong):
        runner.run("error_reduction", 5)
    assert np.abs(right.estimate().rho - crystal[0]).max() < 1e-2 * np.abs(crystal[0]).max()
    assert np.abs(wrong.estimate().rho - crystal[0]).max() > 0.1 * np.abs(crystal[0]).max()


def test_no_ratio_explodes_where_the_blurred_intensity_is_dark(crystal):
    """A Gaussian cut off at the last lag has lobes below zero beside a lone bright pixel."""
    gamma = coherence.degree(SHAPE, "gaussian", 0.5)
    start = Estimate(np.full(SHAPE, 3 + 0j, np.complex64), np.ones(SHAPE, bool))
    runner = InPlace(start, replace(blurred(crystal[0], gamma, seed=1), coherence=gamma))
    runner.run("hio", 1)
    assert np.isfinite(runner.estimate().rho).all()
    psi = np.abs(forward(runner.estimate().rho))
    assert (psi <= 1.01 * blurred(crystal[0], gamma, seed=1).amplitude / np.sqrt(0.03) + 1).all()


def test_what_is_sharpened_is_nearer_to_the_coherent_far_field(crystal, xp, as_numpy):
    gamma = coherence.degree(SHAPE, "gaussian", 0.6)
    rho = crystal[0] / 30
    measured = blurred(rho, gamma, seed=3)
    held = held_out(measured, np.random.default_rng(0))
    there = Measured(xp.asarray(measured.amplitude), xp.asarray(measured.valid))
    lags = sharpening.lags_of(xp.asarray(_box(crystal[1])))
    made = sharpening.sharpen(there, xp.asarray(gamma), lags, xp.asarray(held), steps=40)
    true = np.abs(forward(rho))
    assert np.linalg.norm(as_numpy(made.measured.amplitude) - true) < 0.6 * np.linalg.norm(measured.amplitude - true)
    assert not (as_numpy(made.measured.valid) & held).any()


@pytest.mark.parametrize("width", [0.5, 0.8])
def test_the_width_is_found_before_anything_is_phased(width, crystal):
    measured = blurred(crystal[0] / 30, coherence.degree(SHAPE, "gaussian", width), seed=3)
    held = held_out(measured, np.random.default_rng(0))
    made = sharpening.narrowest(measured, held, widths=(0.2, 0.5, 0.8), box=_box(crystal[1]), steps=25)
    assert abs(made.width - width) <= 0.2


def _box(support):
    """Return the box around a support whose origin is at index 0."""
    lines = [support.any(axis=other) for other in ((1, 2), (0, 2), (0, 1))]
    return lines[0][:, None, None] & lines[1][:, None] & lines[2]
