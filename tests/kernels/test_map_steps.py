"""Laws of the search for steps in a two-time correlation alone."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import map_steps

FRAMES = 223
T = np.arange(FRAMES)
LAG, EARLIER, LATER = np.abs(T[:, None] - T), np.minimum(T[:, None], T), np.maximum(T[:, None], T)
OK = np.ones(FRAMES, bool)
JUMP = np.where((T > 90) & (T < 140), 0.1, 0.0) + np.where(T > 180, 0.25, 0.0)
STILL = {
    "stretched": 1 + 0.2 * np.exp(-((LAG / 50) ** 0.7)),
    "compressed": 1 + 0.2 * np.exp(-((LAG / 30) ** 1.6)),
    "ageing": 1 + 0.2 * np.exp(-3 * np.log((20 + LATER) / (20 + EARLIER))),
    "oscillating with lag": 1 + 0.2 * np.exp(-LAG / 60) * np.cos(LAG / 7) ** 2,
    "oscillating with age": 1 + 0.2 * np.exp(-LAG / 60) * np.outer(1 + 0.3 * np.cos(T / 9), 1 + 0.3 * np.cos(T / 9)),
    "a baseline that jumps": 1 + 0.2 * np.exp(-LAG / 60) + np.outer(JUMP, JUMP),
    "brightness that jumps": 1 + 0.2 * np.exp(-LAG / 60) * np.outer(1 + JUMP, 1 + JUMP),
}


def noisy(c, sd, seed=0):
    """`c` with the noise of photons: each pair of frames has its own."""
    upper = np.triu(np.random.default_rng(seed).normal(0, sd, c.shape), 1)
    return c + upper + upper.T


def stepped(at, drop):
    """Decay of 80 frames, and pairs of frames across `at` that lack a part of it."""
    return 1 + 0.2 * np.exp(-LAG / 80) * np.where((T[:, None] < at) == (at > T), 1.0, 1 - drop)


@pytest.mark.parametrize("sd", [0.0, 0.02])
@pytest.mark.parametrize("name", STILL)
def test_what_is_no_step_is_not_found(name, sd):
    assert map_steps.find(noisy(STILL[name], sd), OK).found.frame.size == 0


@pytest.mark.parametrize(("drop", "sd"), [(0.05, 0.002), (0.1, 0.004), (0.2, 0.008)])
def test_a_planted_step_is_found_in_its_frame_with_its_drop(drop, sd):
    steps = map_steps.find(noisy(stepped(101, drop), sd), OK)
    assert steps.found.frame.tolist() == [101]
    assert abs(steps.drop[0] - drop) < 4 * steps.drop_error[0]
    assert steps.visible < drop
    assert steps.found.false_alarm_rate[0] < 0.2


def test_a_step_below_what_is_visible_is_not_found():
    steps = map_steps.find(noisy(stepped(101, 0.05), 0.03), OK)
    assert steps.visible > 0.05
    assert steps.found.frame.size == 0


def test_shifting_time_shifts_steps_and_bad_frames_are_stepped_over():
    c = noisy(stepped(101, 0.2), 0.005)
    assert map_steps.find(c[17:, 17:], OK[17:]).found.frame.tolist() == [84]
    ok = OK.copy()
    ok[[60, 99, 150]] = False
    c[~ok] = c[:, ~ok] = np.nan
    steps = map_steps.find(c, ok)
    assert steps.found.frame.tolist() == [101]
    assert np.isnan(steps.found.trace[~ok]).all()


def test_what_depends_on_the_lag_alone_loses_nothing():
    drop = map_steps.same_lag(STILL["oscillating with lag"] - 1, 100, 88, 112)
    assert drop.lost == pytest.approx(0.0, abs=1e-12)


def test_the_diagonal_is_not_used():
    c = noisy(stepped(101, 0.2), 0.005)
    plain, other = map_steps.find(c, OK), map_steps.find(c + 7 * np.eye(FRAMES), OK)
    np.testing.assert_array_equal(plain.found.trace, other.found.trace)
    np.testing.assert_array_equal(plain.drop, other.drop)


def test_without_noise_no_rate_can_be_told():
    with pytest.raises(ValueError, match="without noise no rate"):
        map_steps.find(np.full((FRAMES, FRAMES), 1.2), OK)


def test_the_peaks_of_a_map_give_their_level_and_rate():
    own = map_steps.Gumbel(2.0, 0.5, 400.0)
    assert float(own.rate(own.level(0.3))) == pytest.approx(0.3)
