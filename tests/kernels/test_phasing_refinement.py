"""Refinement goes downhill in what the counts say, and stops before it fits their noise."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import moves, refinement
from xcdi.kernels.phasing.estimate import Estimate, Measured, expected
from xcdi.kernels.phasing.likelihood import deviance, held_out, misfit, without
from xcdi.kernels.phasing.refinement import gradient, maximise

SHAPE = (17, 19, 23)
MODELS = ["coherent", "on a background", "partially coherent"]


@pytest.fixture
def truth():
    """A lopsided object with a curved phase and its support."""
    z, y, x = np.indices((6, 8, 9))
    support = np.zeros(SHAPE, bool)
    support[2:8, 3:11, 5:14] = (z + y < 11) & (y + x > 1)
    rho = np.zeros(SHAPE, complex)
    rho[2:8, 3:11, 5:14] = np.exp(1j * (0.08 * (x - 3) ** 2 - 0.1 * y * z))
    return np.where(support, 3 * rho, 0), support


def blur(sigma):
    away = [np.minimum(i, n - i) for i, n in zip(np.indices(SHAPE), SHAPE, strict=True)]
    kernel = np.exp(-sum(np.square(a) for a in away) / (2 * sigma**2))
    return np.fft.rfftn(kernel / kernel.sum()).real


@pytest.fixture(params=MODELS)
def model(request):
    """What besides the object makes the counts; no amplitude yet."""
    background = 0.3 if request.param == "on a background" else 0.0
    coherence = blur(0.6) if request.param == "partially coherent" else None
    valid = np.ones(SHAPE, bool)
    valid[2, :, 3] = valid[0, 0, 1] = False
    return Measured(np.ones(SHAPE), valid, background, coherence)


def counted(rho, model, seed=1):
    counts = np.random.default_rng(seed).poisson(expected(forward(rho), model))
    return replace(model, amplitude=np.where(model.valid, np.sqrt(counts), np.nan))


@pytest.fixture
def wrong(truth):
    rng = np.random.default_rng(4)
    noise = rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
    return Estimate(truth[0] + 0.6 * noise, truth[1])


def on(estimate, measured, xp, real=np.float32):
    """The same in another array library and precision."""
    wave = xp.asarray(estimate.rho.astype(np.complex64 if real is np.float32 else np.complex128))
    coherence = None if measured.coherence is None else xp.asarray(measured.coherence.astype(real))
    data = Measured(xp.asarray(measured.amplitude.astype(real)), xp.asarray(measured.valid), measured.background, coherence)
    return Estimate(wave, xp.asarray(estimate.support)), data


@pytest.mark.parametrize("part", [1, 1j])
def test_the_gradient_is_that_of_finite_differences(part, truth, wrong, model):
    measured = counted(truth[0], model)
    slope = gradient(wrong.rho, measured)
    rng = np.random.default_rng(9)
    for at in zip(*(rng.integers(0, n, 5) for n in SHAPE), strict=True):
        step = np.zeros(SHAPE, complex)
        step[at] = 1e-4 * part
        rise = deviance(wrong.rho + step, measured, measured.valid) - deviance(wrong.rho - step, measured, measured.valid)
        assert np.real(np.conj(part) * slope[at]) == pytest.approx(rise / 2e-4, rel=1e-4, abs=1e-8)


def test_the_deviance_never_rises_and_ends_lower(truth, wrong, model, xp):
    start, measured = on(wrong, counted(truth[0], model), xp)
    start = replace(start, rho=xp.where(start.support, start.rho, 0.0))
    seen = [deviance(maximise(start, measured, steps=n).rho, measured, measured.valid) for n in range(8)]
    assert np.all(np.diff(seen) <= 1e-6 * seen[0])
    assert seen[-1] < 0.5 * seen[0]


def test_the_object_stays_in_its_support_and_precision(truth, wrong, model, xp, as_numpy):
    start, measured = on(wrong, counted(truth[0], model), xp)
    end = maximise(start, measured, steps=4)
    assert end.rho.dtype == xp.complex64
    assert not as_numpy(end.rho)[~truth[1]].any()
    np.testing.assert_array_equal(as_numpy(end.support), truth[1])


def test_it_ends_where_the_gradient_in_the_support_is_gone_and_near_the_truth(truth, wrong, model):
    measured = counted(truth[0], model)
    end = maximise(wrong, measured, steps=150)
    first, last = (np.linalg.norm(gradient(rho, measured)[truth[1]]) for rho in (np.where(truth[1], wrong.rho, 0), end.rho))
    assert last < 1e-2 * first
    away = [np.linalg.norm((rho - truth[0])[truth[1]]) for rho in (wrong.rho, end.rho * phase(truth[0], end.rho))]
    assert away[1] < 0.5 * away[0]


def phase(a, b):
    turn = np.vdot(b, a)
    return turn / abs(turn)


def test_the_truth_without_noise_stays(truth, model):
    measured = replace(model, amplitude=np.sqrt(expected(forward(truth[0]), model)))
    end = maximise(Estimate(*truth), measured, steps=5)
    np.testing.assert_allclose(end.rho, truth[0], atol=1e-8)
    assert end.residual < 1e-8


def test_a_global_phase_and_a_shift_go_through(truth, wrong, model):
    measured, turn = counted(truth[0], model), np.exp(0.7j)
    moved = np.roll(turn * np.where(truth[1], wrong.rho, 0), (2, -3, 5), axis=(0, 1, 2))
    shifted = Estimate(moved, np.roll(truth[1], (2, -3, 5), axis=(0, 1, 2)))
    ends = [maximise(start, measured, steps=5).rho for start in (wrong, shifted)]
    np.testing.assert_allclose(ends[1], np.roll(turn * ends[0], (2, -3, 5), axis=(0, 1, 2)), atol=1e-6)


def test_pixels_that_are_not_valid_change_nothing(truth, wrong, model):
    measured = counted(truth[0], model)
    other = replace(measured, amplitude=np.where(model.valid, measured.amplitude, 1e4))
    np.testing.assert_array_equal(maximise(wrong, measured, steps=3).rho, maximise(wrong, other, steps=3).rho)


def test_starts_in_a_batch_end_as_if_alone(truth, wrong, model, xp, as_numpy):
    measured = counted(truth[0], model)
    other = replace(wrong, rho=0.7 * wrong.rho, support=np.roll(truth[1], 1, axis=2))
    held = held_out(measured, np.random.default_rng(0), share=0.1)
    both = Estimate(np.stack([wrong.rho, other.rho]), np.stack([wrong.support, other.support]))
    for choice in (None, xp.asarray(held)):
        end = maximise(*on(both, measured, xp, np.float64), steps=6, held=choice)
        for i, alone in enumerate((wrong, other)):
            single = maximise(*on(alone, measured, xp, np.float64), steps=6, held=choice)
            np.testing.assert_allclose(as_numpy(end.rho[i, ...]), as_numpy(single.rho), atol=1e-7)
            assert float(end.residual[i]) == pytest.approx(float(single.residual), rel=1e-6)


def states(start, measured, held, steps):
    """Every object on the way, without early stop."""
    return [maximise(start, without(measured, held), steps=n).rho for n in range(steps + 1)]


def test_with_pixels_held_out_the_best_state_on_them_is_returned(truth, wrong):
    """In a support that is too loose the object is fitted first, and then the noise."""
    measured = counted(truth[0], Measured(np.ones(SHAPE), np.ones(SHAPE, bool)))
    held = held_out(measured, np.random.default_rng(0), share=0.15)
    start = Estimate(truth[0] + (wrong.rho - truth[0]) / 12, truth[1])
    loose = moves.grow(start, measured, voxels=3)
    on_the_way = states(loose, measured, held, 16)
    judged = [deviance(rho, measured, held) for rho in on_the_way]
    best = int(np.argmin(judged))
    assert 0 < best < 15
    assert judged[-1] > 1.03 * judged[best]
    np.testing.assert_allclose(maximise(loose, measured, steps=16, held=held).rho, on_the_way[best], atol=1e-9)


def test_pixels_held_out_are_not_fitted(truth, wrong, model):
    measured = counted(truth[0], model)
    held = held_out(measured, np.random.default_rng(0), share=0.1)
    end = maximise(wrong, measured, steps=6, held=held)
    changed = replace(measured, amplitude=np.where(held, measured.amplitude + 0.01, measured.amplitude))
    np.testing.assert_array_equal(end.rho, maximise(wrong, changed, steps=6, held=held).rho)


def test_it_stops_when_the_held_out_pixels_get_no_better(truth, monkeypatch):
    measured = counted(truth[0], Measured(np.ones(SHAPE), np.ones(SHAPE, bool)))
    held = held_out(measured, np.random.default_rng(0), share=0.15)
    taken = []
    monkeypatch.setattr(refinement, "_step", lambda *a, step=refinement._step: taken.append(1) or step(*a))
    maximise(Estimate(truth[0], np.ones(SHAPE, bool)), measured, steps=60, held=held)
    assert refinement.PATIENCE <= len(taken) < 40


def test_a_step_costs_one_transform_each_way(truth, wrong, monkeypatch):
    measured = counted(truth[0], Measured(np.ones(SHAPE), np.ones(SHAPE, bool)))
    used = []
    for name in ("forward", "backward"):
        monkeypatch.setattr(refinement, name, lambda a, real=getattr(refinement, name): used.append(1) or real(a))
    maximise(wrong, measured, steps=7)
    assert len(used) == 2 * 7 + 2  # and a pair to begin with


def test_no_step_is_no_change_inside_the_support(truth, wrong, model):
    measured = counted(truth[0], model)
    np.testing.assert_array_equal(maximise(wrong, measured, steps=0).rho, np.where(truth[1], wrong.rho, 0))


def test_the_deviance_of_the_truth_is_that_of_noise(truth, model):
    """What the refinement aims at: half a count per pixel where there are counts, no less."""
    measured = counted(truth[0], model)
    mean = expected(forward(truth[0]), measured)
    bright = (mean > 20) & model.valid
    assert misfit(mean, measured, bright) == pytest.approx(0.5, abs=0.06)
