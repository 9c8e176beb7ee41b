"""Laws of the detectors beside the scan, of the rates of false alarms, and of second steps."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import change_points, events, novelty, patterns, poisson_scan, steps
from xcdi.kernels.avalanches import false_alarms as alarms

FRAMES, PIXELS, WINDOW = 151, 400, 8


def counts(rng, changes=(), frames=FRAMES, mean=1.0, share=0.5):
    """Photons of speckles, of which `share` are new after each frame of `changes`."""
    level = rng.exponential(mean, PIXELS)
    states = []
    for t in range(frames):
        if t in changes:
            level = np.where(rng.random(PIXELS) < share, rng.exponential(mean, PIXELS), level)
        states.append(level)
    return rng.poisson(np.array(states)).astype(np.uint16)


def products(counts):
    return patterns.likeness((counts - counts.mean(axis=0)).astype(np.float32))


def by_poisson(data, seed=0):
    z = poisson_scan.robust_score(poisson_scan.poisson_scan(data, WINDOW))
    return z, poisson_scan.noise_tail(data, WINDOW, seed=seed)


def by_novelty(data, seed=0):
    c = novelty.covariance(data)
    return poisson_scan.robust_score(novelty.novelty(c, WINDOW)), novelty.noise_tail(c, WINDOW, seed=seed)


@pytest.fixture(scope="module", params=[by_poisson, by_novelty])
def detector(request):
    def search(data, false_alarms=1.0):
        z, tail = request.param(data)
        return events.peaked(products(data), None, z, tail, window=WINDOW, false_alarms=false_alarms)

    return search


def test_every_step_is_found_in_its_frame_and_nothing_else(detector):
    found = detector(counts(np.random.default_rng(1), (50, 101)))
    assert np.all(np.abs(found.frame - [50, 101]) <= 1)
    assert np.all(found.false_alarm_rate <= 1.0)


def test_photon_noise_alone_makes_no_event(detector):
    assert detector(counts(np.random.default_rng(2))).frame.size == 0


def test_none_is_found_within_a_window_of_the_ends(detector):
    assert np.isnan(detector(counts(np.random.default_rng(3))).trace[[*range(WINDOW), *range(FRAMES - WINDOW + 1, FRAMES)]]).all()


def test_a_higher_score_has_a_lower_rate(detector):
    found = detector(counts(np.random.default_rng(4), (40, 80, 120)), 100.0)
    order = np.argsort(found.score)
    assert np.all(np.diff(found.false_alarm_rate[order]) <= 0)


def test_the_poisson_scan_has_zero_mean_and_unit_width_on_photons():
    z = poisson_scan.poisson_scan(counts(np.random.default_rng(5), frames=1200), WINDOW)
    z = z[np.isfinite(z)][::4]
    assert abs(z.mean()) < 0.2
    assert z.std() == pytest.approx(1.0, abs=0.15)


def test_the_poisson_scan_is_its_formula():
    data, t = counts(np.random.default_rng(6), frames=31), 15
    a, b = data[t - WINDOW : t].sum(axis=0).astype(float), data[t : t + WINDOW].sum(axis=0).astype(float)
    n, p = a + b, a.sum() / (a.sum() + b.sum())
    seen = n > 0
    chi = ((a - n * p)[seen] ** 2 / (n[seen] * p * (1 - p))).sum()
    expected = (chi - seen.sum()) / np.sqrt((2 - 2 / n[seen]).sum())
    assert poisson_scan.poisson_scan(data, WINDOW)[t] == pytest.approx(expected)


def test_a_brighter_beam_is_no_change_for_the_poisson_scan():
    rng = np.random.default_rng(7)
    level = np.where(np.arange(61)[:, None] < 30, 2.0, 5.0) * rng.exponential(1.0, PIXELS)
    assert poisson_scan.poisson_scan(rng.poisson(level), WINDOW)[30] < 4


def test_novelty_is_half_the_squared_distance_in_a_gram_matrix():
    x = np.repeat([[1.0, 0.0], [0.0, 3.0]], 10, axis=0)
    assert novelty.novelty(x @ x.T, 5)[10] == pytest.approx(0.5 * (1 + 9))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_type_of_the_counts_changes_nothing(dtype):
    data = counts(np.random.default_rng(8), frames=61)
    np.testing.assert_allclose(poisson_scan.poisson_scan(data.astype(dtype), WINDOW), poisson_scan.poisson_scan(data, WINDOW))
    assert poisson_scan.noise_tail(data.astype(dtype), WINDOW, frames=500).start == poisson_scan.noise_tail(data, WINDOW, frames=500).start


def test_too_few_frames_have_no_score_and_their_noise_says_so():
    data = counts(np.random.default_rng(9), frames=2 * WINDOW - 1)
    assert np.isnan(poisson_scan.poisson_scan(data, WINDOW)).all()
    with pytest.raises(ValueError, match=f"needs {4 * WINDOW} or more"):
        poisson_scan.noise_tail(data, WINDOW)
    with pytest.raises(ValueError, match=f"needs {4 * WINDOW} or more"):
        novelty.noise_tail(np.eye(len(data)), WINDOW)


def test_proposals_hold_the_true_steps_and_the_scan_keeps_only_them():
    p = products(counts(np.random.default_rng(10), (50, 101)))
    proposed = change_points.proposals(p, 12)
    assert {50, 101} <= set(proposed.tolist())
    assert len(proposed) == 12
    assert events.confirm(p, None, proposed, window=WINDOW).frame.tolist() == [50, 101]


def test_nothing_is_proposed_where_nothing_is():
    assert change_points.proposals(np.zeros((20, 20)), 4).size == 0
    assert change_points.proposals(np.eye(4), 4).size == 0


def test_a_rate_and_a_level_are_inverse():
    tail = alarms.tail(np.random.default_rng(11).gumbel(size=500), 10_000)
    for rate in (0.02, 0.2, 2.0, 20.0):
        assert float(tail.rate(tail.level(rate))) == pytest.approx(rate)


def test_a_rate_never_rises_with_the_score():
    tail = alarms.tail(np.random.default_rng(12).gumbel(size=500), 10_000)
    assert np.all(np.diff(tail.rate(np.linspace(-3, 20, 200))) <= 0)


def test_one_peak_has_no_rate():
    with pytest.raises(ValueError, match="needs 2 or more"):
        alarms.tail([1.0], 100)


def test_chosen_peaks_are_apart_and_above():
    z = np.random.default_rng(13).normal(size=500)
    chosen = alarms.chosen_peaks(z, 1.0, 7)
    assert np.all(np.diff(chosen) >= 7)
    assert np.all(z[chosen] >= 1.0)


def test_the_fast_scan_is_the_plain_score():
    p = products(counts(np.random.default_rng(14), (30,), frames=61))
    noise, breaks = events.noise_level(p), (30, 41)
    z = events.scan_statistic(p, WINDOW, noise=noise, breaks=breaks)
    for t in range(61):
        start = max([t - WINDOW, 0, *(b for b in breaks if b < t)])
        stop = min([t + WINDOW, 61, *(b for b in breaks if b > t)])
        expected = -np.inf if t in breaks else events.score(p, t, start, stop, noise=noise)
        assert z[t] == pytest.approx(expected)


def test_a_shuffled_series_is_its_reordering_near_the_diagonal():
    rng = np.random.default_rng(15)
    x = rng.normal(size=(23, 50))
    order, sign = rng.permutation(23), rng.choice([-1.0, 1.0], 23)
    y = sign[:, None] * x[order]
    near = np.abs(np.subtract.outer(np.arange(23), np.arange(23))) <= 6
    np.testing.assert_allclose(steps.shuffled(x @ x.T, order, sign, 6)[near], patterns.fill_diagonal(y @ y.T)[near])


@pytest.mark.parametrize("gap", [2, 3, 4, 5])
def test_two_near_steps_explain_more_than_one(gap):
    rng = np.random.default_rng(16)
    p = products(counts(rng, (30, 30 + gap), frames=61, mean=3.0))
    noise = events.noise_tail(p, WINDOW, breaks=[30, 30 + gap])
    assert steps.second_step(p, 30, 20, 41, 6, noise=noise.level) > noise.second


def test_a_single_step_is_not_two_even_in_the_middle_of_an_exposure():
    rng = np.random.default_rng(17)
    one, other = (rng.exponential(3.0, PIXELS) for _ in range(2))
    weight = (np.arange(61) >= 30) - 0.5 * (np.arange(61) == 30)
    p = products(rng.poisson(one + weight[:, None] * (other - one)))
    noise = events.noise_tail(p, WINDOW, breaks=[30, 31])
    assert steps.second_step(p, 31, 20, 41, 6, noise=noise.level) < noise.second
