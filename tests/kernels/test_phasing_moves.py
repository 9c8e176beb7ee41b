"""Laws that every move of phase retrieval must keep."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.estimate import Estimate, Measured, average, iterate, onto_data, random_start
from xcdi.resolve import resolve

SHAPE = (11, 13, 17)
REDRAWS = ["grow", "shrink_wrap", "shrink_wrap_rms", "shrink_wrap_volume", "trim"]
UPDATES = [name for name in moves.__all__ if name not in (*REDRAWS, "detwin")]
FEEDBACK = ["difference_map", "hio", "hpr", "raar", "rrr"]


@pytest.fixture
def crystal(xp):
    """A small complex object and its noiseless measurement."""
    rng = np.random.default_rng(7)
    support = np.zeros(SHAPE, dtype=bool)
    support[3:7, 4:9, 5:12] = True
    rho = (support * np.exp(1j * rng.normal(0, 0.3, SHAPE))).astype(np.complex64)
    amplitude, valid = np.abs(forward(rho)), np.ones_like(support)
    return Estimate(xp.asarray(rho), xp.asarray(support)), Measured(xp.asarray(amplitude), xp.asarray(valid))


@pytest.fixture
def guess(crystal, xp):
    """A wrong object, non-zero everywhere, with the right support."""
    rng = np.random.default_rng(1)
    wave = rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
    return replace(crystal[0], rho=xp.asarray(wave.astype(np.complex64)))


def reflections(rho, support, measured, xp):
    """P_M and the reflectors R_M, R_S R_M of the papers."""
    p_m = onto_data(rho, measured)[0]
    r_m = 2 * p_m - rho
    return p_m, r_m, 2 * xp.where(support, r_m, 0.0) - r_m


@pytest.mark.parametrize("name", [name for name in moves.__all__ if name != "detwin"])  # which is for what is not the answer
def test_the_answer_is_a_fixed_point(name, crystal, as_numpy):
    estimate, measured = crystal
    moved = resolve(name, moves)(estimate, measured)
    np.testing.assert_allclose(as_numpy(moved.rho), as_numpy(estimate.rho), atol=2e-6)
    assert name in REDRAWS or float(moved.residual) < 1e-6


@pytest.mark.parametrize("name", UPDATES)
def test_a_move_changes_what_is_not_the_answer(name, guess, crystal, as_numpy):
    moved = resolve(name, moves)(guess, crystal[1])
    assert np.linalg.norm(as_numpy(moved.rho) - as_numpy(guess.rho)) > 0.1 * np.linalg.norm(as_numpy(guess.rho))
    assert float(moved.residual) > 0.1


@pytest.mark.parametrize("name", moves.__all__)
def test_moves_keep_shape_and_precision(name, guess, crystal, xp):
    moved = resolve(name, moves)(guess, crystal[1])
    assert moved.rho.shape == SHAPE
    assert moved.support.shape == SHAPE
    assert moved.rho.dtype == xp.complex64


@pytest.mark.parametrize("name", moves.__all__)
def test_a_global_phase_goes_through(name, guess, crystal, as_numpy):
    move, turn = resolve(name, moves), np.exp(0.7j).astype(np.complex64).item()
    moved, turned = move(guess, crystal[1]), move(replace(guess, rho=turn * guess.rho), crystal[1])
    np.testing.assert_allclose(as_numpy(turned.rho), turn * as_numpy(moved.rho), atol=2e-5)
    np.testing.assert_array_equal(as_numpy(turned.support), as_numpy(moved.support))


@pytest.mark.parametrize("name", moves.__all__)
def test_a_shift_goes_through(name, guess, crystal, as_numpy, xp):
    def shift(a):
        return xp.roll(a, (2, -3, 5), axis=(0, 1, 2))

    move = resolve(name, moves)
    moved = move(guess, crystal[1])
    shifted = move(Estimate(shift(guess.rho), shift(guess.support)), crystal[1])
    np.testing.assert_allclose(as_numpy(shifted.rho), as_numpy(shift(moved.rho)), atol=2e-5)
    np.testing.assert_array_equal(as_numpy(shifted.support), as_numpy(shift(moved.support)))


@pytest.mark.parametrize("name", moves.__all__)
def test_starts_in_a_batch_move_as_if_alone(name, guess, crystal, as_numpy, xp):
    estimate, measured = crystal
    move = resolve(name, moves)
    both = Estimate(xp.stack([guess.rho, estimate.rho]), xp.stack([guess.support, estimate.support]))
    moved = move(both, measured)
    for i, alone in enumerate((guess, estimate)):
        np.testing.assert_allclose(as_numpy(moved.rho[i, ...]), as_numpy(move(alone, measured).rho), atol=2e-5)
        np.testing.assert_array_equal(as_numpy(moved.support[i, ...]), as_numpy(move(alone, measured).support))


@pytest.mark.parametrize("beta", [0.6, 0.85, 1.0])
def test_raar_is_the_published_operator(beta, guess, crystal, xp, as_numpy):
    """Luke 2005: beta/2 (R_S R_M + 1) + (1 - beta) P_M."""
    p_m, _, r_s_r_m = reflections(guess.rho, guess.support, crystal[1], xp)
    expected = beta / 2 * (r_s_r_m + guess.rho) + (1 - beta) * p_m
    np.testing.assert_allclose(as_numpy(moves.raar(guess, crystal[1], beta=beta).rho), as_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("beta", [0.7, 1.0, 1.2])
def test_difference_map_is_the_published_operator(beta, guess, crystal, xp, as_numpy):
    """Elser 2003: rho + beta (P_S f_M - P_M f_S), f_i = (1 + g_i) P_i - g_i, g_M = 1/beta, g_S = -1/beta."""
    rho, support, measured = guess.rho, guess.support, crystal[1]
    f_m = (1 + 1 / beta) * onto_data(rho, measured)[0] - rho / beta
    f_s = (1 - 1 / beta) * xp.where(support, rho, 0.0) + rho / beta
    expected = rho + beta * (xp.where(support, f_m, 0.0) - onto_data(f_s, measured)[0])
    np.testing.assert_allclose(as_numpy(moves.difference_map(guess, measured, beta=beta).rho), as_numpy(expected), atol=2e-5)


@pytest.mark.parametrize("beta", [0.6, 0.9, 1.1])
def test_hpr_is_the_published_operator(beta, guess, crystal, xp, as_numpy):
    """Bauschke, Combettes and Luke 2003: (R_S (R_M + (beta - 1) P_M) + 1 + (1 - beta) P_M) / 2."""
    p_m, r_m, _ = reflections(guess.rho, guess.support, crystal[1], xp)
    seen = r_m + (beta - 1) * p_m
    reflected = 2 * xp.where(guess.support, seen, 0.0) - seen
    expected = (reflected + guess.rho + (1 - beta) * p_m) / 2
    np.testing.assert_allclose(as_numpy(moves.hpr(guess, crystal[1], beta=beta).rho), as_numpy(expected), atol=1e-5)


def test_asr_is_the_published_operator(guess, crystal, xp, as_numpy):
    """Bauschke, Combettes and Luke 2002: (R_S R_M + 1) / 2."""
    *_, r_s_r_m = reflections(guess.rho, guess.support, crystal[1], xp)
    np.testing.assert_allclose(as_numpy(moves.asr(guess, crystal[1]).rho), as_numpy((r_s_r_m + guess.rho) / 2), atol=1e-5)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0, 1.4])
def test_rrr_is_the_published_operator(beta, guess, crystal, xp, as_numpy):
    """Elser, Lan and Bendory 2018: rho + beta (P_S (2 P_M - 1) - P_M)."""
    p_m, r_m, _ = reflections(guess.rho, guess.support, crystal[1], xp)
    expected = guess.rho + beta * (xp.where(guess.support, r_m, 0.0) - p_m)
    np.testing.assert_allclose(as_numpy(moves.rrr(guess, crystal[1], beta=beta).rho), as_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("name", FEEDBACK)
def test_with_a_support_alone_all_feedback_moves_at_one_are_averaged_reflections(name, guess, crystal, as_numpy):
    moved = resolve(name, moves)(guess, crystal[1], beta=1.0)
    np.testing.assert_allclose(as_numpy(moved.rho), as_numpy(moves.asr(guess, crystal[1]).rho), atol=1e-5)


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("beta", [None, 0.7])
def test_the_pair_outside_the_support_says_what_the_move_does(name, beta, guess, crystal, xp, as_numpy):
    pair = moves.outside(name, beta)
    if pair is None:
        assert (name, beta) in (("difference_map", 0.7), ("rrr", 0.7), ("rrr", None))
        return
    options = {"beta": beta} if beta and name in FEEDBACK else {}
    data = onto_data(guess.rho, crystal[1])[0]
    expected = xp.where(guess.support, data, pair[0] * guess.rho + pair[1] * data)
    np.testing.assert_allclose(as_numpy(resolve(name, moves)(guess, crystal[1], **options).rho), as_numpy(expected), atol=1e-5)


def test_projecting_twice_is_projecting_once(guess, crystal, as_numpy):
    once, residual = onto_data(guess.rho, crystal[1])
    twice, after = onto_data(once, crystal[1])
    np.testing.assert_allclose(as_numpy(twice), as_numpy(once), atol=1e-5)
    assert float(residual) > 0.1 > 1e-5 > float(after)


def test_untrusted_pixels_are_left_free(crystal, as_numpy, xp):
    """A gap is unknown, not dark: whatever it holds, even nothing at all, changes nothing."""
    estimate, measured = crystal
    valid, amplitude = as_numpy(measured.valid).copy(), as_numpy(measured.amplitude).copy()
    valid[0, 0, 0] = valid[3, :, 2] = False
    amplitude[0, 0, 0], amplitude[3, :, 2] = 1e6, np.nan
    rho, residual = onto_data(estimate.rho, Measured(xp.asarray(amplitude), xp.asarray(valid)))
    np.testing.assert_allclose(as_numpy(rho), as_numpy(estimate.rho), atol=2e-6)
    assert float(residual) < 1e-6


def test_error_reduction_never_raises_the_residual(guess, crystal):
    residuals = [float(e.residual) for e in iterate(guess, crystal[1], 15 * [moves.error_reduction])]
    assert np.all(np.diff(residuals[1:]) <= 1e-6)


@pytest.mark.parametrize("move", [moves.shrink_wrap, moves.shrink_wrap_rms])
def test_a_higher_threshold_gives_a_smaller_support_inside_the_larger(move, guess, crystal, as_numpy):
    wide, narrow = (as_numpy(move(guess, crystal[1], sigma=1.0, threshold=t).support) for t in (0.7, 0.8))
    assert 0 < narrow.sum() < wide.sum()
    assert not (narrow & ~wide).any()


@pytest.mark.parametrize("name", REDRAWS)
def test_a_redraw_leaves_the_object_and_is_no_pair(name, guess, crystal, as_numpy):
    moved = resolve(name, moves)(guess, crystal[1])
    np.testing.assert_array_equal(as_numpy(moved.rho), as_numpy(guess.rho))
    assert moves.outside(name) is None


@pytest.mark.parametrize("name", [name for name in REDRAWS if name.startswith("shrink_wrap")])
def test_too_few_voxels_leave_the_old_support(name, guess, crystal, as_numpy):
    move, everything = resolve(name, moves), int(np.prod(SHAPE))
    moved = move(guess, crystal[1], sigma=1.0, threshold=0.9)
    size = int(as_numpy(moved.support).sum())
    assert 0 < size < everything
    kept = move(guess, crystal[1], sigma=1.0, threshold=0.9, floor=size + 1)
    np.testing.assert_array_equal(as_numpy(kept.support), as_numpy(guess.support))
    same = move(guess, crystal[1], sigma=1.0, threshold=0.9, floor=size)
    np.testing.assert_array_equal(as_numpy(same.support), as_numpy(moved.support))


@pytest.mark.parametrize(
    ("threshold", "voxels"), [(0.1, round(0.1 * 11 * 13 * 17)), (131, 131), (1, 1), (0.0001, 1), (10**6, 11 * 13 * 17)]
)
def test_the_support_of_given_volume_has_it_and_holds_the_brightest(threshold, voxels, guess, crystal, as_numpy):
    support = as_numpy(moves.shrink_wrap_volume(guess, crystal[1], sigma=1.0, threshold=threshold).support)
    assert support.sum() == voxels
    blurred = as_numpy(moves.blur(abs(guess.rho), 1.0))
    assert blurred[support].min() >= blurred[~support].max(initial=0)


def test_growing_adds_the_steps_along_the_axes_and_trimming_takes_them(crystal, as_numpy, xp):
    dot = np.zeros(SHAPE, bool)
    dot[0, 6, 16] = True  # at an edge: periodic
    start = replace(crystal[0], support=xp.asarray(dot))
    grown = moves.grow(start, crystal[1], voxels=2)
    away = [np.minimum(abs(i - at), n - abs(i - at)) for i, at, n in zip(np.indices(SHAPE), (0, 6, 16), SHAPE, strict=True)]
    np.testing.assert_array_equal(as_numpy(grown.support), sum(away) <= 2)
    np.testing.assert_array_equal(as_numpy(moves.trim(grown, crystal[1], voxels=2).support), dot)
    assert not as_numpy(moves.trim(grown, crystal[1], voxels=3).support).any()


def test_growing_and_trimming_closes_a_hole(crystal, as_numpy, xp):
    whole = as_numpy(crystal[0].support)
    holed = whole.copy()
    holed[5, 6, 8] = False
    closed = moves.trim(moves.grow(replace(crystal[0], support=xp.asarray(holed)), crystal[1]), crystal[1])
    np.testing.assert_array_equal(as_numpy(closed.support), whole)


def test_blur_keeps_the_sum_and_spreads_by_sigma(xp, as_numpy):
    spike = np.zeros((21, 23, 25), np.float32)
    spike[10, 11, 12] = 1
    blurred = as_numpy(moves.blur(xp.asarray(spike), 1.7))
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert blurred.sum(axis=(1, 2)) @ (np.arange(21) - 10.0) ** 2 == pytest.approx(1.7**2, rel=0.01)


def test_detwin_leaves_one_of_the_twins(crystal, as_numpy, xp):
    """Of an object and its inverse, added, it keeps more of one than of the other."""
    estimate, measured = crystal
    kept = as_numpy(moves.detwin(estimate, measured).rho)
    assert 0.1 < (np.abs(kept) ** 2).sum() / (np.abs(as_numpy(estimate.rho)) ** 2).sum() < 0.6


def test_the_average_of_iterates_is_their_mean(guess, crystal, as_numpy):
    seen = list(iterate(guess, crystal[1], 3 * [moves.hio]))
    mean = average(seen)
    np.testing.assert_allclose(as_numpy(mean.rho), np.mean([as_numpy(e.rho) for e in seen], axis=0), atol=1e-6)
    assert mean.residual == seen[-1].residual


def test_a_random_start_has_the_energy_of_the_data_inside_the_support(crystal, xp, as_numpy):
    estimate, measured = crystal
    start = random_start(measured, estimate.support, np.random.default_rng(3))
    rho = as_numpy(start.rho)
    assert start.rho.dtype == xp.complex64
    assert not rho[~as_numpy(estimate.support)].any()
    assert (np.abs(rho) ** 2).sum() * rho.size == pytest.approx((as_numpy(measured.amplitude) ** 2).sum(), rel=1e-5)
