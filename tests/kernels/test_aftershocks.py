"""Laws of aftershocks and bursts: found where they are, and not where they are not."""

import numpy as np
import pytest

from xcdi.artificial import catalogues
from xcdi.kernels.avalanches import aftershocks, bursts, etas


def catalogue(variant, events=300, seed=0, **options):
    c = catalogues.catalogue("nano", variant, series=1, events=events, **options)
    (series,) = catalogues.draw(c, seed)
    return [series.time], [series.size], [c.duration_s]


def test_aftershocks_are_seen_and_larger_events_have_more():
    times, sizes, _ = catalogue("etas", 600, productivity=0.8)
    test = aftershocks.clustering(times, sizes)
    assert test.p_clustering < 0.01
    assert test.p_productivity < 0.01


@pytest.mark.parametrize("variant", ["poisson", "log-poisson"])
def test_neither_chance_nor_ageing_looks_like_aftershocks(variant):
    tests = [aftershocks.clustering(*catalogue(variant, 200, seed)[:2], chance=100) for seed in range(20)]
    assert np.sum([t.p_clustering < 0.05 for t in tests]) <= 4
    assert np.sum([t.p_productivity < 0.05 for t in tests]) <= 4


def test_too_few_events_are_not_tested():
    assert np.isnan(aftershocks.clustering([np.arange(5.0)], [np.ones(5)]).p_clustering)


def test_without_aftershocks_the_rate_after_an_event_is_the_mean_rate():
    times, sizes, ends = catalogue("poisson", 3000)
    stacked = aftershocks.stacked_rate(times, sizes, ends, np.geomspace(0.5, 100, 6), np.quantile(sizes[0], [0, 0.5, 1]))
    assert stacked.rate.shape == (2, 5)
    np.testing.assert_allclose(stacked.rate, 0.1, atol=0.02)
    assert stacked.size[0] < stacked.size[1]


def test_with_aftershocks_it_falls_and_is_higher_after_large_events():
    times, sizes, ends = catalogue("etas", 3000, productivity=0.8)
    rate = aftershocks.stacked_rate(times, sizes, ends, np.geomspace(0.1, 100, 6), np.quantile(sizes[0], [0, 0.5, 1])).rate
    assert np.all(rate[:, 0] > 3 * rate[:, -1])
    assert rate[1, 0] > rate[0, 0]


def test_the_gap_below_mainshocks_is_that_of_chance_where_sizes_have_no_memory():
    bath = aftershocks.bath_gap(*catalogue("etas", 1500)[:2], chance=50)
    assert bath.mainshocks > 50
    assert bath.gap == pytest.approx(bath.chance, abs=4 * bath.error)


def test_the_law_of_aftershocks_is_recovered_within_its_errors():
    fit = etas.fit_etas(*catalogue("etas", 900))
    truth = {"share": 0.6, "c": 0.1, "p": 1.2, "productivity": 0.5, "rate": 0.04}
    for name, value in truth.items():
        found, error = getattr(fit, name)
        assert abs(found - value) < 3 * error, name
        assert error < 0.5 * max(found, 0.5), name
    assert fit.chance < 1e-10


def test_series_may_be_joined_and_a_scale_of_sizes_changes_nothing_but_itself():
    parts = [catalogue("etas", 300, seed) for seed in range(2)]
    times, sizes, ends = ([part[k][0] for part in parts] for k in range(3))
    one, other = etas.fit_etas(times, sizes, ends), etas.fit_etas(times, [7 * s for s in sizes], ends)
    assert one.p == pytest.approx(other.p, rel=1e-3)
    assert one.share == pytest.approx(other.share, rel=1e-3)


def test_no_gap_merges_nothing_and_a_long_one_everything():
    times, drops, fractions = np.array([0.0, 2.0, 3.0, 9.0]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.05, 0.1, 0.15, 0.2])
    alone, whole = (bursts.merge(times, drops, fractions, gap, 0.5) for gap in (0.5, 100.0))
    np.testing.assert_allclose(alone.drop, drops)
    np.testing.assert_allclose(alone.duration, 0.5)
    assert whole.drop == pytest.approx(1 - np.prod(1 - drops))
    assert whole.fraction == pytest.approx(fractions.sum())
    assert (whole.duration.item(), whole.members.item(), whole.first.item()) == (9.5, 4, 0.0)


def test_a_longer_gap_never_makes_more_bursts():
    rng = np.random.default_rng(0)
    times, drops = np.cumsum(rng.exponential(1.0, 50)), rng.uniform(0, 0.5, 50)
    number = [bursts.merge(times, drops, drops, gap).members.size for gap in (0.1, 0.5, 1.0, 3.0)]
    assert number == sorted(number, reverse=True)
    assert bursts.merge(np.zeros(0), np.zeros(0), np.zeros(0), 1.0).members.size == 0
