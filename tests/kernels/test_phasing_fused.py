"""The two sweeps do what the moves say, for any shape they take, without allocating, and the same bits for any number of threads."""

import inspect
import math
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numba import njit

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured, average
from xcdi.kernels.phasing.fused import Fused, fits, passes
from xcdi.kernels.phasing.fused.butterflies import modulus

SHAPES = [(6, 16, 32), (20, 32, 16), (9, 48, 80), (16, 15, 21), (25, 14, 36), (4, 6, 64)]
PAIRS = [name for name in moves.__all__ if moves.outside(name)]


def problem(shape=(12, 16, 48), background=0.0):
    """Noisy data with a gap that holds NaN, and a wrong object that fills the box."""
    rng = np.random.default_rng(5)
    wave = (rng.normal(size=(2, *shape)) + 1j * rng.normal(size=(2, *shape))).astype(np.complex64)
    support, valid = np.zeros(shape, bool), np.ones(shape, bool)
    support[tuple(slice(n // 4, n // 4 + max(2, n // 3)) for n in shape)] = True
    valid[2, :, 3] = False
    counts = np.abs(forward(np.where(support, wave[0], 0))) ** 2 + background
    amplitude = np.where(valid, np.sqrt(counts), np.nan).astype(np.float32)
    return Estimate(wave[1], support), Measured(amplitude, valid, background)


def same(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a.rho, b.rho, atol=tolerance * np.abs(b.rho).max())
    np.testing.assert_array_equal(a.support, b.support)
    assert a.residual == pytest.approx(float(b.residual), rel=1e-5, nan_ok=True)


def both(case, *verbs):
    """Estimates of the fused and the plain runner after the same verbs."""
    fast, plain = Fused(*case), Plain(*case)
    for runner in (fast, plain):
        for name, *arguments in verbs:
            getattr(runner, name)(*arguments)
    return fast.estimate(), plain.estimate()


@pytest.mark.parametrize("shape", SHAPES)
def test_three_sweeps_are_three_moves(shape):
    same(*both(problem(shape), ("run", "hio", 3)))


@pytest.mark.parametrize("move", PAIRS)
@pytest.mark.parametrize("beta", [None, 0.7])
def test_every_move_is_the_plain_one(move, beta):
    takes = "beta" in inspect.signature(getattr(moves, move)).parameters
    same(*both(problem(), ("run", move, 3, beta if takes else None)))


def test_what_is_not_a_pair_runs_too():
    same(*both(problem(), ("run", moves.detwin, 1), ("run", "difference_map", 1, 0.6), ("run", "hio", 2)))


def test_a_background_goes_inside_the_modulus():
    case = problem(background=400.0)
    same(*both(case, ("run", "hio", 3)))
    coherent = Plain(case[0], replace(case[1], background=0.0))
    coherent.run("hio", 3)
    assert np.abs(coherent.estimate().rho - both(case, ("run", "hio", 3))[0].rho).max() > 1e-2


def test_other_data_take_the_place_of_the_first():
    start, measured = problem()
    other = replace(measured, amplitude=measured.amplitude[:, :, ::-1].copy(), valid=measured.valid[:, :, ::-1])
    same(*both((start, measured), ("run", "hio", 1), ("measure", other), ("run", "raar", 2)))


@pytest.mark.parametrize("move", ["shrink_wrap", "shrink_wrap_rms", "shrink_wrap_volume"])
@pytest.mark.parametrize("sigma", [0.6, 1.4, 4.0])
@pytest.mark.parametrize("shape", [(12, 16, 48), (16, 15, 21)])
def test_the_support_is_that_of_the_move(move, sigma, shape):
    start, measured = problem(shape)
    start = replace(start, rho=np.where(start.support, start.rho, np.complex64(0)))
    fast, plain = both((start, measured), ("redraw", move, sigma, 0.05 if move.endswith("volume") else 0.6))
    assert 0 < plain.support.sum() < plain.support.size
    assert (fast.support != plain.support).sum() <= 2  # a voxel on the threshold may fall either way


def test_a_support_below_the_floor_is_not_taken():
    case = problem()
    fast = Fused(*case)
    fast.redraw("shrink_wrap", 1.0, 0.99, floor=10**6)
    np.testing.assert_array_equal(fast.estimate().support, case[0].support)


def test_iterations_go_on_after_a_support():
    start, measured = problem((16, 15, 21))
    start = replace(start, rho=np.where(start.support, start.rho, np.complex64(0)))
    same(*both((start, measured), ("run", "error_reduction", 2), ("redraw", "shrink_wrap", 1.3, 0.35), ("run", "hio", 2)), 1e-4)


@pytest.mark.parametrize("move", ["raar", moves.detwin])
def test_the_mean_is_the_average_of_the_iterates(move):
    case = problem()
    fast, plain = Fused(*case), Plain(*case)
    estimates = []
    for _ in range(3):
        plain.run(move, 1)
        estimates.append(plain.estimate())
    same(fast.mean(move, 3), average(estimates))
    same(fast.estimate(), estimates[-1])


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_any_number_of_workers_gives_the_same_bits(workers):
    case = problem((20, 32, 48))
    ends = []
    for n in (1, workers):
        runner = Fused(*case, workers=n)
        runner.run("hio", 3)
        runner.redraw("shrink_wrap_rms", 1.0, 0.6)
        runner.run("raar", 2)
        ends.append(runner.estimate())
    np.testing.assert_array_equal(ends[0].rho, ends[1].rho)
    np.testing.assert_array_equal(ends[0].support, ends[1].support)
    assert ends[0].residual == ends[1].residual


def test_the_runner_leaves_what_it_was_given_alone():
    case = problem()
    before = case[0].rho.copy()
    runner = Fused(*case)
    runner.run("hio", 2)
    held = runner.estimate()
    kept = held.rho.copy()
    runner.run("hio", 2)
    np.testing.assert_array_equal(case[0].rho, before)
    np.testing.assert_array_equal(held.rho, kept)


def test_no_iterations_change_nothing():
    case = problem((16, 15, 21))
    runner = Fused(*case)
    runner.run("hio", 0)
    np.testing.assert_array_equal(runner.estimate().rho, case[0].rho)
    np.testing.assert_array_equal(runner.estimate().support, case[0].support)


def test_iterations_allocate_no_arrays():
    case = problem((20, 32, 48))
    runner = Fused(*case)
    runner.run("hio", 1)
    runner.redraw("shrink_wrap", 1.0, 0.1)  # compiled
    tracemalloc.start()
    runner.run("hio", 20)
    runner.redraw("shrink_wrap", 1.0, 0.1)
    runner.run("hio", 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < case[0].support.nbytes / 2


def test_it_takes_products_of_small_factors_and_coherent_light():
    start, measured = problem()
    shape = start.rho.shape
    assert fits(shape, measured)
    assert not fits((11, 16, 16))
    assert not fits((16, 16, 2))
    assert not fits((2, *shape))
    for other in (replace(measured, background=np.ones(shape)), replace(measured, coherence=np.ones((*shape[:2], 25)))):
        assert not fits(shape, other)
        with pytest.raises(ValueError, match="use InPlace"):
            Fused(start, other)


def test_a_shape_it_does_not_take_is_refused():
    with pytest.raises(ValueError, match="22"):
        Fused(*problem((8, 22, 16)))


def test_arrays_of_another_shape_are_refused():
    """Compiled loops would write beyond the end."""
    case, other = problem((12, 16, 48)), problem((16, 16, 48))
    runner = Fused(*case)
    for refused in (lambda: runner.load(other[0]), lambda: runner.measure(other[1])):
        with pytest.raises(ValueError, match="another shape"):
            refused()


def test_factors_multiply_to_the_length():
    lengths = [n for n in range(4, 300) if max(p for p in range(1, n + 1) if n % p == 0 and all(p % d for d in range(2, p))) <= 7]
    for n in lengths:
        found = passes.factors(n)
        assert n in (5, 7) if not found else math.prod(found) == n and len(found) > 1


def test_square_roots_are_taken_in_vectors():
    """One at a time they cost several times as much."""

    @njit
    def moduli(blocks, out):
        modulus(blocks, 0, out, 0, 3)

    moduli(np.ones(96, np.float32), np.ones(48, np.float32))
    (code,) = moduli.inspect_asm().values()
    assert re.search(r"sqrt\w*ps|fsqrt\s+v|fsqrt\.4s", code)
    assert not re.search(r"sqrtss|fsqrt\s+s", code)


def test_a_second_process_compiles_nothing(tmp_path):
    """The first one may: its code is on disk then."""
    program = (
        "import numpy as np\n"
        "from xcdi.kernels.phasing.estimate import Estimate, Measured\n"
        "from xcdi.kernels.phasing.fused import Fused, sweeps\n"
        "one = np.ones((4, {0}, 16), np.float32)\n"
        "Fused(Estimate(one, one > 0), Measured(one, one > 0)).run('hio', 1)\n"
        "print(sum(sweeps.planes.stats.cache_misses.values()))\n"
    )
    missed = [subprocess.run([sys.executable, "-c", program.format(n)], capture_output=True, text=True).stdout for n in (16, 48)]
    assert missed[1].split() == ["0"]
