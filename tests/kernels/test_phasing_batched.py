"""Many starts as one batch end where each would end alone."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from xcdi.backend import gpu_library
from xcdi.errors import XcdiError
from xcdi.kernels.fourier import AXES, forward
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Guard, Redraw, play

SHAPE = (7, 11, 13)
STARTS = 3
INFINITY = float("inf")


@pytest.fixture(params=["numpy", "array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    if request.param == "cupy":
        try:
            gpu_library()
        except XcdiError as error:
            pytest.skip(str(error))
    return importlib.import_module(request.param)


def lags(shape):
    """Degree of coherence that falls off like a Gaussian, in the half layout."""
    squares = sum((np.minimum(i, n - i) / n) ** 2 for i, n in zip(np.indices(shape), shape, strict=True))
    return np.exp(-4.0 * squares)[..., : shape[-1] // 2 + 1].astype(np.float32)


def problem(xp, *, background=0.0, coherence=None, shape=SHAPE):
    """Noisy data with a gap that holds NaN, and three wrong objects, each in a support of its own."""
    rng = np.random.default_rng(5)
    wave = (rng.normal(size=(STARTS + 1, *shape)) + 1j * rng.normal(size=(STARTS + 1, *shape))).astype(np.complex64)
    support, valid = np.zeros((STARTS, *shape), bool), np.ones(shape, bool)
    for start in range(STARTS):
        support[start, 1:5, 2 + start : 9, 3:9] = True
    valid[2, :, 3] = False
    amplitude = np.where(valid, np.abs(forward(wave[-1] * support[0])), np.nan).astype(np.float32)
    background = xp.asarray(rng.random(shape, dtype=np.float32)) if background == "per pixel" else background
    measured = Measured(xp.asarray(amplitude), xp.asarray(valid), background, None if coherence is None else xp.asarray(coherence))
    return Estimate(xp.asarray(wave[:STARTS]), xp.asarray(support)), measured


def alone(starts, i):
    return Estimate(starts.rho[i, ...], starts.support[i, ...])


def same(batch, singles, as_numpy, tolerance=1e-5):
    for i, single in enumerate(singles):
        wanted = as_numpy(single.rho)
        np.testing.assert_allclose(as_numpy(batch.rho)[i], wanted, atol=tolerance * np.abs(wanted).max())
        np.testing.assert_array_equal(as_numpy(batch.support)[i], as_numpy(single.support))
        residual = np.broadcast_to(as_numpy(batch.residual), STARTS)[i]
        assert residual == pytest.approx(float(single.residual), rel=1e-5, nan_ok=True)


def both(run, xp, **options):
    """What `run` makes of the batch, and of every start alone through the plain moves."""
    starts, measured = problem(xp, **options)
    return run(Batched(starts, measured)), [run(Plain(alone(starts, i), measured)) for i in range(STARTS)]


@pytest.mark.parametrize("background", [0.0, 0.4, "per pixel"])
@pytest.mark.parametrize("coherence", [None, lags(SHAPE)], ids=["coherent", "partially"])
def test_a_batch_steps_as_each_start_alone(background, coherence, xp, as_numpy):
    def run(runner):
        runner.run("hio", 2, 0.8)
        return runner.estimate()

    same(*both(run, xp, background=background, coherence=coherence), as_numpy)


@pytest.mark.parametrize("move", [name for name in moves.__all__ if not name.startswith("shrink_wrap")])
def test_every_move_runs_in_a_batch(move, xp, as_numpy):
    def run(runner):
        runner.run(move, 2)
        return runner.estimate()

    same(*both(run, xp), as_numpy)


@pytest.mark.parametrize(("move", "threshold"), [("shrink_wrap", 0.6), ("shrink_wrap_rms", 0.9)])
def test_supports_are_redrawn_start_by_start(move, threshold, xp, as_numpy):
    def run(runner):
        runner.run("hio", 1)
        runner.redraw(move, 0.8, threshold)
        return runner.estimate()

    batch, singles = both(run, xp)
    drawn = as_numpy(batch.support)
    assert 0 < drawn.sum() < drawn.size
    assert not np.array_equal(drawn[0], drawn[1])
    shares = [(drawn[i] == as_numpy(single.support)).mean() for i, single in enumerate(singles)]
    assert min(shares) > 1 - 1e-3  # a voxel on the threshold may fall either way


def test_a_support_too_small_stays_only_where_it_is(xp, as_numpy):
    starts, measured = problem(xp)
    runner = Batched(starts, measured)
    sizes = np.sort(as_numpy(drawn(Batched(starts, measured), 0)).sum(axis=AXES))
    after = as_numpy(drawn(runner, int(sizes[1])))
    kept = [np.array_equal(after[i], as_numpy(starts.support)[i]) for i in range(STARTS)]
    assert sorted(kept) == [False, False, True]


def drawn(runner, floor):
    runner.redraw("shrink_wrap", 0.8, 0.6, floor)
    return runner.estimate().support


def test_a_whole_schedule_ends_at_the_same_objects(xp, as_numpy):
    """Few steps: feedback moves amplify rounding, so long runs part."""
    starts, measured = problem(xp)
    steps = [
        Damp((0.2, 0.3, 0.25), (0.02, 0.0, -0.05)),
        Advance("hio", 2),
        Damp((INFINITY,) * 3),
        Guard(1e6),
        Advance("raar", 2, 0.8),
        Guard(1e6),
        Average((Advance("raar", 1, 0.9), Advance("error_reduction", 1)), 2),
    ]
    batch = play(Batched(starts, measured), measured, steps)
    same(batch, [play(Plain(alone(starts, i), measured), measured, steps) for i in range(STARTS)], as_numpy, 1e-4)


def test_one_start_without_a_leading_axis_is_a_batch_of_one(xp, as_numpy):
    starts, measured = problem(xp)
    one, plain = Batched(alone(starts, 1), measured), Plain(alone(starts, 1), measured)
    for runner in (one, plain):
        runner.run("hio", 2)
    assert one.estimate().rho.shape == SHAPE
    np.testing.assert_allclose(as_numpy(one.estimate().rho), as_numpy(plain.estimate().rho), atol=1e-4)
    assert float(one.residual()) == pytest.approx(float(plain.residual()), rel=1e-5)


def test_a_support_without_starts_is_shared(xp, as_numpy):
    starts, measured = problem(xp)
    shared = Batched(replace(starts, support=starts.support[0, ...]), measured)
    np.testing.assert_array_equal(as_numpy(shared.estimate().support), as_numpy(starts.support)[[0, 0, 0]])


def test_what_was_given_and_what_was_taken_stay_as_they_are(xp, as_numpy):
    starts, measured = problem(xp)
    before = as_numpy(starts.rho).copy()
    runner = Batched(starts, measured)
    held = runner.estimate()
    runner.run("hio", 2)
    np.testing.assert_array_equal(as_numpy(starts.rho), before)
    np.testing.assert_array_equal(as_numpy(held.rho), before)


def test_a_pixel_without_light_makes_no_nan(xp, as_numpy):
    starts, measured = problem(xp)
    runner = Batched(replace(starts, rho=0.0 * starts.rho), measured)
    runner.run("hio", 2)
    assert np.isfinite(as_numpy(runner.estimate().rho)).all()


@pytest.mark.gpu
def test_a_reconstruction_on_the_gpu_is_as_good_as_on_the_cpu(as_numpy):
    """Figures of merit, not voxels: feedback moves amplify rounding."""
    try:
        cupy = gpu_library()
    except XcdiError as error:
        pytest.skip(str(error))
    rng, shape = np.random.default_rng(2), (32, 36, 40)
    support = np.zeros(shape, bool)
    support[4:14, 5:17, 6:20] = True
    wave = rng.uniform(0.5, 1.0, (STARTS + 1, *shape)) * np.exp(1j * rng.normal(0.0, 0.5, (STARTS + 1, *shape)))
    wave = np.where(support, wave, 0).astype(np.complex64)
    amplitude, residuals = np.abs(forward(wave[-1])).astype(np.float32), []
    steps = [Advance("hio", 60), Redraw("shrink_wrap", 1.0, 0.1), Advance("error_reduction", 30)]
    for library in (np, cupy):
        measured = Measured(library.asarray(amplitude), library.ones(shape, bool))
        done = play(Batched(Estimate(library.asarray(wave[:-1]), library.asarray(support)), measured), measured, steps)
        residuals.append(as_numpy(done.residual))
    np.testing.assert_allclose(*residuals, rtol=0.05)
