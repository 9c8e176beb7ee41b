"""Laws of power laws, of what else might fit, and of the times between."""

import numpy as np
import powerlaw
import pytest

from xcdi.kernels.avalanches import power_laws, tails, waiting


def draw(seed, n=300, exponent=1.5, ratio=100.0):
    return power_laws.sample_power_law(n, exponent, 0.01, 0.01 * ratio, np.random.default_rng(seed))


@pytest.mark.parametrize("exponent", [1.0, 1.33, 1.5, 2.0])
@pytest.mark.parametrize("ratio", [20.0, 1000.0])
def test_an_exponent_drawn_is_an_exponent_found(exponent, ratio):
    fits = [power_laws.fit_power_law(draw(seed, 300, exponent, ratio), 0.01, 0.01 * ratio) for seed in range(100)]
    found, errors = np.array([f.exponent for f in fits]), np.array([f.error for f in fits])
    assert abs(found.mean() - exponent) < 0.03
    assert np.mean(np.abs(found - exponent) < 2 * errors) > 0.88
    assert np.std(found) == pytest.approx(errors.mean(), rel=0.25)


def test_without_an_upper_end_the_exponent_would_be_biased():
    sizes = draw(1, 1000, 1.5, 20.0)
    unbounded = 1 + sizes.size / np.log(sizes / 0.01).sum()
    assert unbounded > 1.75
    assert power_laws.fit_power_law(sizes, 0.01, 0.2).exponent == pytest.approx(1.5, abs=0.15)


def test_scaling_all_sizes_changes_nothing():
    sizes = draw(2)
    one, other = power_laws.fit_power_law(sizes, 0.01, 1.0), power_laws.fit_power_law(70 * sizes, 0.7, 70.0)
    assert one.exponent == pytest.approx(other.exponent, abs=1e-5)
    assert one.distance == pytest.approx(other.distance, abs=1e-5)


def test_far_from_the_upper_end_the_fit_is_that_of_the_package_powerlaw():
    sizes = draw(3, 2000, 2.2, 1e9)
    theirs = powerlaw.Fit(sizes, xmin=0.01, verbose=0)
    ours = power_laws.fit_power_law(sizes, 0.01, 1e7)
    assert ours.exponent == pytest.approx(theirs.power_law.alpha, abs=2e-4)
    assert ours.distance == pytest.approx(theirs.power_law.D, abs=2e-3)


def test_the_interval_covers_the_truth_and_is_as_wide_as_its_errors():
    intervals = np.array([power_laws.bootstrap(draw(seed, 180, 1.5, 20.0), 0.01, 0.2, n=200, seed=seed) for seed in range(100)])
    assert 88 <= np.sum((intervals[:, 0] < 1.5) & (intervals[:, 1] > 1.5)) <= 99
    assert np.diff(intervals).mean() == pytest.approx(0.36, abs=0.04)  # 4 standard errors of 0.09


def own_cuts(seed):
    """Sizes of three series that find all events from their own size on, and that size, one per event."""
    cuts, rng = np.repeat([0.01, 0.03, 0.1], [150, 80, 40]), np.random.default_rng(seed)
    sizes = [power_laws.sample_power_law(n, 1.5, a, 0.6, rng) for n, a in ((150, 0.01), (80, 0.03), (40, 0.1))]
    return np.concatenate(sizes), cuts


def test_series_of_different_brightness_share_one_exponent_without_bias():
    fits = [power_laws.fit_power_law(*own_cuts(seed), 0.6) for seed in range(100)]
    worst = [power_laws.fit_power_law(own_cuts(seed)[0], 0.1, 0.6).exponent for seed in range(100)]
    found, errors = np.array([f.exponent for f in fits]), np.array([f.error for f in fits])
    assert abs(found.mean() - 1.5) < 0.02
    assert np.std(found) == pytest.approx(errors.mean(), rel=0.25)
    assert np.std(found) < 0.6 * np.std(worst)


def test_one_lower_end_for_every_event_is_one_for_all():
    sizes = draw(8)
    one, each = (power_laws.fit_power_law(sizes, a, 1.0) for a in (0.02, np.full(sizes.size, 0.02)))
    assert one == each


def test_a_true_power_law_is_rejected_as_often_as_the_level_says():
    p = [power_laws.goodness(draw(seed, 150), 0.01, 1.0, seed=seed) for seed in range(100)]
    assert 3 <= np.sum(np.array(p) < 0.1) <= 18
    assert power_laws.goodness(*own_cuts(1), 0.6) > 0.1


def test_what_is_no_power_law_is_rejected():
    bent = np.random.default_rng(9).lognormal(np.log(0.1), 0.5, 400)
    assert power_laws.goodness(bent, 0.03, 0.6) < 0.02


def test_a_lower_end_that_was_sought_is_sought_anew_in_every_sample():
    p = []
    for seed in range(6):
        bent = np.concatenate([draw(seed, 200, 1.6, 100.0), np.random.default_rng(seed).uniform(0.004, 0.01, 70)])
        cut = power_laws.cut_by_distance(bent, 1.0)
        p.append([power_laws.goodness(bent, cut, 1.0, least=least, n=40, seed=seed) for least in (0, 50)])
    fixed, sought = np.mean(p, axis=0)
    assert 0.2 < sought < fixed  # the nearest of many ends looks better than it is


def test_a_lower_end_is_not_sought_below_completeness():
    assert power_laws.cut_by_distance(draw(10, 400), 1.0, above=0.05) >= 0.05


def test_noise_is_said_to_shift_the_exponent_by_what_it_shifts_it():
    shifted, said = [], []
    for seed in range(20):
        sizes = power_laws.sample_power_law(3000, 1.5, 0.005, 0.6, np.random.default_rng(seed))
        noisy = sizes + 0.01 * np.random.default_rng(seed + 100).standard_normal(sizes.size)
        shifted.append(power_laws.fit_power_law(noisy, 0.03, 0.6).exponent - power_laws.fit_power_law(sizes, 0.03, 0.6).exponent)
        said.append(power_laws.noise_shift(noisy, np.full(sizes.size, 0.01), 0.03, 0.6, n=10, seed=seed)[0])
    assert np.mean(said) == pytest.approx(np.mean(shifted), abs=0.02)
    assert np.mean(said) > 0.05


def test_the_model_is_the_share_of_what_is_drawn():
    sizes, share = power_laws.ccdf(draw(4, 5000, 1.3, 50.0))
    model = power_laws.power_law_ccdf(sizes, 1.3, 0.01, 0.5)
    assert np.max(np.abs(model - share)) < 1.63 / np.sqrt(5000)  # Kolmogorov-Smirnov, 1 %


def test_a_lower_end_is_found_where_the_law_begins():
    rng = np.random.default_rng(5)
    bent = np.concatenate([draw(5, 600, 1.6, 100.0), rng.uniform(0.004, 0.01, 250)])
    assert 0.007 < power_laws.cut_by_distance(bent, 1.0) < 0.02


def better(sizes, name, largest):
    (tail,) = [t for t in tails.compare_tails(sizes, 0.01, largest) if t.name == name]
    return tail


def test_a_true_power_law_is_not_rejected_for_a_cutoff():
    p = [better(draw(seed, 400), "cutoff", 1.0).p for seed in range(8)]
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


def test_far_from_the_upper_end_the_comparison_is_that_of_the_package_powerlaw():
    sizes = draw(3, 2000, 2.2, 1e9)
    theirs = powerlaw.Fit(sizes, xmin=0.01, verbose=0).distribution_compare("power_law", "exponential", normalized_ratio=True)
    ours = better(sizes, "exponential", 1e7)
    assert (ours.ratio, ours.p) == pytest.approx(theirs, rel=0.05, abs=1e-6)


def test_one_lower_end_for_every_event_changes_no_comparison():
    sizes = draw(8, 200)
    one, each = (tails.compare_tails(sizes, a, 1.0) for a in (0.02, np.full(sizes.size, 0.02)))
    assert one == each


def test_events_of_chance_have_exponential_gaps():
    waits = [np.cumsum(np.random.default_rng(seed).exponential(3.0, 250)) for seed in range(10)]
    p = [waiting.waiting_times([w], chance=100).p_exponential for w in waits]
    assert np.mean(np.array(p) > 0.05) >= 0.8


def test_an_ageing_rate_is_rejected_raw_and_accepted_rescaled():
    times = np.expm1(np.cumsum(np.random.default_rng(7).exponential(1.0, 300)) / 60)
    found = waiting.waiting_times([times], chance=200)
    assert found.p_exponential < 0.01
    assert found.p_rescaled > 0.05


def test_gaps_never_span_two_series():
    found = waiting.waiting_times([np.array([0.0, 1.0, 3.0]), np.array([100.0, 105.0])])
    np.testing.assert_array_equal(found.gaps, [1.0, 2.0, 5.0])
    assert np.isnan(found.p_exponential)


@pytest.mark.parametrize(("sizes", "smallest", "match"), [([1.0], 0.5, "needs at least 2"), ([1.0, 2.0], 3.0, "smallest < largest")])
def test_what_cannot_be_fitted_says_why(sizes, smallest, match):
    with pytest.raises(ValueError, match=match):
        power_laws.fit_power_law(np.array(sizes), smallest, None if smallest > 2 else 4.0)


def with_dead_time(seed, dead=2.5, step=0.5):
    """Times of chance of ten series in whole frames, no two nearer than `dead`."""
    rng = np.random.default_rng(seed)
    return [step * np.cumsum(np.floor((rng.exponential(8.0, 30) + dead) / step)) for _ in range(10)]


def test_gaps_that_cannot_be_seen_are_taken_into_account():
    seen = [waiting.waiting_times(with_dead_time(s), dead=2.5, step=0.5, chance=100, seed=s) for s in range(12)]
    blind = [waiting.waiting_times(with_dead_time(s), chance=100, seed=s).p_exponential for s in range(12)]
    assert np.mean([w.p_exponential > 0.05 for w in seen]) >= 0.75
    assert np.mean([w.p_rescaled > 0.05 for w in seen]) >= 0.75
    assert max(blind) < 0.05
    assert np.mean([w.p_shape > 0.05 for w in seen] + [w.p_shape_rescaled > 0.05 for w in seen]) >= 0.75
    gamma = waiting.compare_waiting(seen[0].gaps, seen[0].floor)[1]
    assert abs(gamma.parameters["shape"] - 1) < 3 * gamma.errors["shape"]


def test_a_gamma_law_is_told_from_an_exponential_over_the_local_rate_too():
    times = np.expm1(np.cumsum(np.random.default_rng(4).gamma(0.5, 2.0, 400)) / 100)
    found = waiting.waiting_times([times], chance=200)
    assert found.p_shape_rescaled < 0.01


def test_a_gamma_law_is_found_with_its_shape():
    gaps = np.random.default_rng(1).gamma(0.6, 10.0, 600)
    exponential, gamma, double = waiting.compare_waiting(gaps)
    assert gamma.aic < min(exponential.aic, double.aic)
    assert gamma.p < 0.001
    assert gamma.parameters["shape"] == pytest.approx(0.6, abs=3 * gamma.errors["shape"])


def test_a_gamma_law_cut_from_below_keeps_its_shape():
    gaps = np.random.default_rng(2).gamma(0.6, 10.0, 1500)
    gamma = waiting.compare_waiting(gaps[gaps > 1.5], 1.5)[1]
    assert gamma.parameters["shape"] == pytest.approx(0.6, abs=3 * gamma.errors["shape"])
    assert gamma.errors["shape"] < 0.2


def test_a_double_power_law_is_found_with_its_exponents():
    rng = np.random.default_rng(3)
    odds = rng.beta(0.4, 0.6, 1500)  # of u / (1 + u) with u = (x / scale) ** (long - short)
    gaps = 5 * (odds / (1 - odds)) ** (1 / 1.5)  # short 0.4, long 1.9
    exponential, gamma, double = waiting.compare_waiting(gaps)
    assert double.aic < min(exponential.aic, gamma.aic)
    assert double.parameters["short"] == pytest.approx(0.4, abs=3 * double.errors["short"])
    assert double.parameters["long"] == pytest.approx(1.9, abs=3 * double.errors["long"])


def test_an_exponential_is_not_beaten_by_its_rivals():
    for seed in range(5):
        _, gamma, double = waiting.compare_waiting(np.random.default_rng(seed).exponential(3.0, 300))
        assert gamma.p > 0.01
        assert double.ratio > 0
