"""Laws of the statistics of avalanches."""

import numpy as np
import powerlaw
import pytest

from xcdi.kernels.avalanches import statistics


def draw(seed, n=300, exponent=1.5, ratio=100.0):
    return statistics.sample_power_law(n, exponent, 0.01, 0.01 * ratio, np.random.default_rng(seed))


@pytest.mark.parametrize("exponent", [1.0, 1.33, 1.5, 2.0])
@pytest.mark.parametrize("ratio", [20.0, 1000.0])
def test_an_exponent_drawn_is_an_exponent_found(exponent, ratio):
    fits = [statistics.fit_power_law(draw(seed, 300, exponent, ratio), 0.01, 0.01 * ratio) for seed in range(100)]
    found, errors = np.array([f.exponent for f in fits]), np.array([f.error for f in fits])
    assert abs(found.mean() - exponent) < 0.03
    assert np.mean(np.abs(found - exponent) < 2 * errors) > 0.88
    assert np.std(found) == pytest.approx(errors.mean(), rel=0.25)


def test_without_an_upper_end_the_exponent_would_be_biased():
    sizes = draw(1, 1000, 1.5, 20.0)
    unbounded = 1 + sizes.size / np.log(sizes / 0.01).sum()
    assert unbounded > 1.75
    assert statistics.fit_power_law(sizes, 0.01, 0.2).exponent == pytest.approx(1.5, abs=0.15)


def test_scaling_all_sizes_changes_nothing():
    sizes = draw(2)
    one, other = statistics.fit_power_law(sizes, 0.01, 1.0), statistics.fit_power_law(70 * sizes, 0.7, 70.0)
    assert one.exponent == pytest.approx(other.exponent, abs=1e-5)
    assert one.distance == pytest.approx(other.distance, abs=1e-5)


def test_far_from_the_upper_end_the_fit_is_that_of_the_package_powerlaw():
    sizes = draw(3, 2000, 2.2, 1e9)
    theirs = powerlaw.Fit(sizes, xmin=0.01, verbose=0)
    ours = statistics.fit_power_law(sizes, 0.01, 1e7)
    assert ours.exponent == pytest.approx(theirs.power_law.alpha, abs=2e-4)
    assert ours.distance == pytest.approx(theirs.power_law.D, abs=2e-3)


def test_the_interval_covers_the_truth_in_nineteen_of_twenty():
    inside = 0
    for seed in range(100):
        low, high = statistics.bootstrap(draw(seed, 200), 0.01, 1.0, n=150, seed=seed)
        inside += low < 1.5 < high
    assert 87 <= inside <= 99


def test_the_model_is_the_share_of_what_is_drawn():
    sizes, share = statistics.ccdf(draw(4, 5000, 1.3, 50.0))
    model = statistics.power_law_ccdf(sizes, 1.3, 0.01, 0.5)
    assert np.max(np.abs(model - share)) < 1.63 / np.sqrt(5000)  # Kolmogorov-Smirnov, 1 %


def test_a_lower_end_is_found_where_the_law_begins():
    rng = np.random.default_rng(5)
    bent = np.concatenate([draw(5, 600, 1.6, 100.0), rng.uniform(0.004, 0.01, 250)])
    assert 0.007 < statistics.cut_by_distance(bent, 1.0) < 0.02


def better(sizes, name, largest):
    (tail,) = [t for t in statistics.compare_tails(sizes, 0.01, largest) if t.name == name]
    return tail


def test_a_true_power_law_is_not_rejected_for_a_cutoff():
    p = [better(draw(seed, 400), "cutoff", 1.0).p for seed in range(10)]
    assert np.mean(np.array(p) < 0.05) <= 0.3


def test_a_cutoff_is_preferred_where_there_is_one():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sizes = draw(seed, 6000)
        cut = sizes[rng.random(6000) < np.exp(-(sizes - 0.01) / 0.2)][:1000]
        assert better(cut, "cutoff", 1.0).p < 0.05


def test_a_lognormal_is_preferred_where_it_is_true():
    for seed in range(5):
        sizes = np.random.default_rng(seed).lognormal(np.log(0.08), 0.6, 1000)
        assert better(sizes, "lognormal", None).ratio < 0


def test_an_exponential_is_told_from_a_power_law():
    rng = np.random.default_rng(6)
    assert better(0.01 + rng.exponential(0.1, 800), "exponential", None).ratio < -2
    assert better(draw(6, 800), "exponential", 1.0).ratio > 2


def test_events_of_chance_have_exponential_gaps():
    waits = [np.cumsum(np.random.default_rng(seed).exponential(3.0, 250)) for seed in range(10)]
    p = [statistics.waiting_times([w], chance=100).p_exponential for w in waits]
    assert np.mean(np.array(p) > 0.05) >= 0.8


def test_an_ageing_rate_is_rejected_raw_and_accepted_rescaled():
    times = np.expm1(np.cumsum(np.random.default_rng(7).exponential(1.0, 300)) / 60)
    waiting = statistics.waiting_times([times], chance=200)
    assert waiting.p_exponential < 0.01
    assert waiting.p_rescaled > 0.05


def test_gaps_never_span_two_series():
    waiting = statistics.waiting_times([np.array([0.0, 1.0, 3.0]), np.array([100.0, 105.0])])
    np.testing.assert_array_equal(waiting.gaps, [1.0, 2.0, 5.0])
    assert np.isnan(waiting.p_exponential)


@pytest.mark.parametrize(("sizes", "smallest", "match"), [([1.0], 0.5, "needs at least 2"), ([1.0, 2.0], 3.0, "smallest < largest")])
def test_what_cannot_be_fitted_says_why(sizes, smallest, match):
    with pytest.raises(ValueError, match=match):
        statistics.fit_power_law(np.array(sizes), smallest, None if smallest > 2 else 4.0)
