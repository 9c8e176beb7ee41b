"""The runner in place does what the moves say, without allocating."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numba import njit

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import inplace, moves
from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Guard, Redraw, iterations, play

SHAPE = (11, 13, 23)  # more pixels than one block of the modulus pass, and no multiple of it
ALL = (float("inf"),) * 3  # data as they are


@pytest.fixture
def problem():
    """Noisy data with a gap that holds NaN, and a wrong object."""
    rng = np.random.default_rng(5)
    wave = (rng.normal(size=(2, *SHAPE)) + 1j * rng.normal(size=(2, *SHAPE))).astype(np.complex64)
    support, valid = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    support[3:8, 4:9, 6:14] = True
    valid[2, :, 3] = False
    amplitude = np.where(valid, np.abs(forward(np.where(support, wave[0], 0))), np.nan).astype(np.float32)
    return Estimate(wave[1], support), Measured(amplitude, valid)


def same(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a.rho, b.rho, atol=tolerance * np.abs(b.rho).max())
    np.testing.assert_array_equal(a.support, b.support)
    assert a.residual == pytest.approx(float(b.residual), rel=1e-5)


@pytest.mark.parametrize("move", ["error_reduction", "solvent_flip", "hio", "raar", "difference_map"])
@pytest.mark.parametrize("beta", [None, 0.7])
def test_three_steps_in_place_are_three_moves(move, beta, problem):
    if beta and move in ("error_reduction", "solvent_flip"):
        beta = None
    fast, plain = InPlace(*problem), Plain(*problem)
    for runner in (fast, plain):
        runner.run(move, 3, beta)
    same(fast.estimate(), plain.estimate())


@pytest.mark.parametrize("move", ["shrink_wrap", "shrink_wrap_rms"])
@pytest.mark.parametrize("sigma", [0.6, 1.4, 4.0])
def test_the_support_in_place_is_that_of_the_move(move, sigma, problem):
    start = replace(problem[0], rho=np.where(problem[0].support, problem[0].rho, np.complex64(0)))
    fast, plain = InPlace(start, problem[1]), Plain(start, problem[1])
    for runner in (fast, plain):
        runner.redraw(move, sigma, 0.6)
    assert 0 < plain.estimate().support.sum() < plain.estimate().support.size
    same_share = (fast.estimate().support == plain.estimate().support).mean()
    assert same_share > 1 - 1e-3  # a voxel on the threshold may fall either way


def test_a_users_move_runs_in_place_too(problem):
    fast, plain = InPlace(*problem), Plain(*problem)
    for runner in (fast, plain):
        runner.run(moves.detwin, 1)
        runner.run("hio", 2)
    same(fast.estimate(), plain.estimate())


def test_a_whole_schedule_ends_at_the_same_object(problem):
    """Few steps: feedback moves amplify rounding, so long runs part."""
    steps = [
        Damp((0.2, 0.25, 0.15), (0.02, 0.0, -0.05)),
        Advance("hio", 3),
        Redraw("shrink_wrap", 1.3, 0.3),
        Damp(ALL),
        Guard(1e6),
        Advance("raar", 2, 0.8),
        Guard(1e6),
        Average((Advance("raar", 1, 0.9), Advance("error_reduction", 1)), 2),
    ]
    fast, plain = (play(runner(*problem), problem[1], steps) for runner in (InPlace, Plain))
    same(fast, plain, 1e-4)


@pytest.fixture
def solved(problem):
    """Data without noise, and the object that made them, in its support."""
    rho = np.where(problem[0].support, problem[0].rho, np.complex64(0))
    return Estimate(rho, problem[0].support), Measured(np.abs(forward(rho)), np.ones(SHAPE, bool))


RUNNERS = pytest.mark.parametrize("runner", [Plain, InPlace])


@RUNNERS
def test_a_guard_undoes_a_spoilt_support_and_what_came_of_it(runner, solved):
    spoil = [Redraw("shrink_wrap", 1.0, 0.9), Advance("error_reduction", 5)]
    calm = Advance("error_reduction", 2)
    spoilt = play(runner(*solved), solved[1], [calm, *spoil])
    back = play(runner(*solved), solved[1], [calm, Guard(1.1), *spoil, Guard(1.1)])
    assert spoilt.support.sum() < 0.5 * solved[0].support.sum()
    assert spoilt.residual > 0.1
    np.testing.assert_array_equal(back.support, solved[0].support)
    np.testing.assert_allclose(back.rho, solved[0].rho, atol=1e-5)


@RUNNERS
def test_a_guard_leaves_what_is_no_worse_and_goes_back_no_further_than_the_last(runner, problem):
    """The first guard has nothing to go back to; one that found less misfit is what the next goes back to."""
    steps = [Advance("error_reduction", 2), Advance("error_reduction", 9)]
    guarded = [Guard(1.1), steps[0], Guard(1.1), steps[1], Guard(1.1)]
    one, other = (play(runner(*problem), problem[1], each) for each in (steps, guarded))
    same(other, one)
    spoil = [Redraw("shrink_wrap", 1.0, 0.9), Advance("error_reduction", 5), Guard(1.0001)]
    same(play(runner(*problem), problem[1], [*guarded, *spoil]), one)


def test_a_guard_judges_each_start_of_a_batch_alone(solved):
    """One start loses its support, the other keeps it."""
    bad = solved[0].support & (np.arange(SHAPE[2]) < 8)
    runner = Batched(Estimate(np.stack([solved[0].rho] * 2), np.stack([solved[0].support] * 2)), solved[1])

    def spoil(estimate, measured):
        return replace(estimate, support=np.stack([bad, solved[0].support]))

    play(runner, solved[1], [Advance("error_reduction", 2), Guard(1.1), Advance(spoil, 1), Advance("hio", 3)])
    assert runner.estimate().support.sum(axis=(1, 2, 3)).tolist() == [bad.sum(), solved[0].support.sum()]
    runner = Batched(Estimate(np.stack([solved[0].rho, 1j * solved[0].rho]), np.stack([solved[0].support] * 2)), solved[1])
    calm = Advance("error_reduction", 2)
    back = play(runner, solved[1], [calm, Guard(1.1), Advance(spoil, 1), Advance("error_reduction", 3), Guard(1.1)])
    np.testing.assert_array_equal(back.support, np.stack([solved[0].support] * 2))
    np.testing.assert_allclose(back.rho, np.stack([solved[0].rho, 1j * solved[0].rho]), atol=1e-5)


@RUNNERS
def test_the_average_is_the_mean_of_the_objects_that_the_cycles_end_at_within_their_supports(runner, problem):
    cycle = (Advance("error_reduction", 1), Advance("raar", 2, 0.8))  # which leaves something outside
    mean = play(runner(*problem), problem[1], [Advance("hio", 2), Average(cycle, 3)])
    ends = [play(runner(*problem), problem[1], [Advance("hio", 2), *n * cycle]) for n in (1, 2, 3)]
    wanted = np.mean([np.where(end.support, end.rho, 0) for end in ends], axis=0)
    np.testing.assert_allclose(mean.rho, wanted, atol=1e-4 * np.abs(wanted).max())
    assert np.abs(ends[2].rho - wanted).max() > 1e-3


@RUNNERS
def test_an_average_in_the_middle_of_a_run_is_only_gone_through(runner, problem):
    cycle = (Advance("raar", 2, 0.8), Advance("error_reduction", 1))
    through, plain = ([Average(cycle, 2), Advance("hio", 1)], [*2 * cycle, Advance("hio", 1)])
    same(*(play(runner(*problem), problem[1], steps) for steps in (through, plain)))


def test_the_iterations_of_all_steps_are_counted():
    mean = Average((Advance("raar", 8, 0.6), Advance("error_reduction", 2)), 6)
    steps = [Damp(ALL), Advance("hio", 17), Redraw("shrink_wrap", 1.0, 0.1), Guard(1.1), mean, Advance("raar", 5)]
    assert iterations(steps) == 17 + 60 + 5
    assert iterations([]) == 0


def test_the_runner_leaves_what_it_was_given_alone(problem):
    before = problem[0].rho.copy()
    runner = InPlace(*problem)
    runner.run("hio", 2)
    held = runner.estimate()
    kept = held.rho.copy()
    runner.run("hio", 2)
    np.testing.assert_array_equal(problem[0].rho, before)
    np.testing.assert_array_equal(held.rho, kept)


def test_no_iterations_change_nothing(problem):
    runner = InPlace(*problem)
    runner.run("hio", 0)
    np.testing.assert_array_equal(runner.estimate().rho, problem[0].rho)


def test_iterations_allocate_no_arrays(problem):
    runner = InPlace(*problem)
    runner.run("hio", 1)
    runner.redraw("shrink_wrap", 1.0, 0.1)  # compiled
    tracemalloc.start()
    runner.run("hio", 20)
    runner.redraw("shrink_wrap", 1.0, 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < problem[0].rho.nbytes


def test_the_modulus_pass_takes_square_roots_in_vectors():
    """One at a time they cost seven times as much."""
    fresh = njit(fastmath=True, error_model="numpy")(inplace._impose.py_func)
    fresh(np.ones(64, np.float32), np.ones(32, np.float32))
    assert re.search(r"llvm\.sqrt\.v\d+f32", "".join(fresh.inspect_llvm().values()))
