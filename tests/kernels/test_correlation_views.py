"""Laws of the views of a pyramid: each is what the full map gives."""

import itertools

import numpy as np
import pytest

from xcdi.kernels.correlation import normalise, one_time, pyramid, views
from xcdi.kernels.correlation.pyramid import Pyramid

TIMES, PIXELS, CHANNELS = 151, 37, 4
TILE = np.arange(PIXELS) * 5 // PIXELS
NOTHING = np.isin(np.arange(TIMES), [3, 17, *range(64, 80)])


@pytest.fixture
def counts():
    rng = np.random.default_rng(1)
    drift = np.linspace(0.5, 2.0, TIMES)[:, None]
    return rng.poisson(3.0 * drift * rng.gamma(1.0, 1.0, (TIMES // 10 + 1, PIXELS)).repeat(10, axis=0)[:TIMES])


@pytest.fixture
def found(counts):
    return Pyramid(TILE, CHANNELS).add(counts, ~NOTHING)


def full(counts):
    c = np.where(NOTHING[:, None], 0, counts)
    return normalise.by_mean(normalise.sums(c)), c.mean(axis=1)


def test_elements_are_those_of_the_map_of_binned_frames(counts, found):
    good, elements = np.where(NOTHING[:, None], 0, counts), views.age_lag(found)
    for level in range(len(found.levels)):
        width = 2**level
        frames = np.add.reduceat(good, np.arange(0, TIMES, width))
        c = normalise.by_mean(normalise.sums(frames))
        for lag in pyramid.lags(level, CHANNELS)[0 if level == 0 else 1 :]:
            if lag >= len(frames):
                continue
            mine = _of(found, elements, width, int(lag))
            np.testing.assert_allclose(mine, np.diagonal(c, lag), rtol=1e-13)


def _of(found, elements, width, lag):
    """Values of one level and lag."""
    at = views.places(found)
    here = (at.level == width.bit_length() - 1) & (at.lag == lag)
    np.testing.assert_array_equal(at.start[here], np.arange(here.sum()) * width)
    assert np.all(elements.width[here] == width)
    return elements.value[here]


def test_frames_without_data_are_unknown_and_age_and_delay_are_of_the_good_ones(found):
    elements = views.age_lag(found)
    single = (elements.width == 1) & (elements.delay == 1)
    bad = NOTHING[1:] | NOTHING[:-1]
    np.testing.assert_array_equal(np.isnan(elements.value[single]), bad)
    np.testing.assert_array_equal(elements.age[single], np.arange(TIMES - 1) + 0.5)
    double = (elements.width == 2) & (elements.age < 6)
    # frames (0, 1) and (4, 5); (2, bad) and (6, 7); (0, 1) and (6, 7)
    expected = [(2.5, 4.0), (4.25, 4.5), (3.5, 6.0), (5.25, 6.5)]
    np.testing.assert_array_equal(list(zip(elements.age[double], elements.delay[double], strict=True)), expected)


def test_single_delays_are_those_of_the_two_time_map(counts, found):
    c, weight = full(counts)
    np.testing.assert_allclose(views.ratio_of_sums(found)[1:CHANNELS], one_time.one_time(c, weight)[1:CHANNELS], rtol=1e-12)
    edges = [0, 40, 100, 130]
    for row, ages in zip(views.aged(found, edges), itertools.pairwise(edges), strict=True):
        np.testing.assert_allclose(row[1:CHANNELS], one_time.one_time(c, weight, ages=ages)[1:CHANNELS], rtol=1e-12)
    for delay in (0, 1, 3):
        age, values = views.trc(found, delay)
        np.testing.assert_allclose(values, np.diagonal(c, delay), rtol=1e-12)
        np.testing.assert_array_equal(age, np.arange(TIMES - delay) + delay / 2)


def test_replicas_are_what_is_left_without_a_tile(counts, found):
    for k, row in enumerate(views.replicas(found)):
        rest = k != TILE
        without = Pyramid(np.zeros(rest.sum(), int), CHANNELS).add(counts[:, rest], ~NOTHING)
        np.testing.assert_allclose(row, views.ratio_of_sums(without), rtol=1e-12)


def test_a_frozen_pattern_has_the_same_correlation_everywhere():
    pattern = np.array([[8, 24, 8, 24]])
    still = Pyramid(np.array([0, 0, 1, 1]), CHANNELS).add(pattern * np.ones((TIMES, 1), int), ~NOTHING)
    expected = np.full(views.delays(still).size, 1.25)
    for g2 in (views.ratio_of_sums(still), views.symmetric(still), *views.replicas(still), *views.aged(still, [0, 50, TIMES])):
        known = ~np.isnan(g2[1:])
        assert known.sum() > 5
        np.testing.assert_allclose(g2[1:][known], expected[1:][known], rtol=1e-13)
    grid = views.age_lag_map(still, np.linspace(0, TIMES, 12))[1:]
    np.testing.assert_allclose(grid[np.isfinite(grid)], 1.25, rtol=1e-9)
    spread = views.spread(still)
    np.testing.assert_allclose(spread.variance[1:-1][spread.number[1:-1] > 1], 0, atol=1e-20)


def test_the_symmetric_form_is_its_formula(counts, found):
    good = ~NOTHING
    for lag in (1, 2, 3):
        pair = good[:-lag] & good[lag:]
        left, right = counts[:-lag][pair], counts[lag:][pair]
        expected = np.mean(left * right) / (left.mean() * right.mean())
        assert views.symmetric(found)[lag] == pytest.approx(expected, rel=1e-12)


def test_uncorrelated_photons_have_no_correlation_also_without_delay():
    counts = np.random.default_rng(5).poisson(0.2, (4000, 50))
    found = Pyramid(np.arange(50) // 10).add(counts)
    for g2 in (views.ratio_of_sums(found), views.symmetric(found)):
        np.testing.assert_allclose(g2[:30], 1, atol=0.06)
    assert views.delays(found)[[0, 15, 16, -1]].tolist() == [0, 15, 16, 3840]


def test_a_map_on_a_grid_of_single_ages_is_the_two_time_map(counts, found):
    c, _ = full(counts)
    grid = views.age_lag_map(found, np.arange(TIMES + 1) - 0.5)
    np.testing.assert_allclose(grid[0], np.diagonal(c), rtol=1e-9)
    middle = views.age_lag_map(found, np.arange(TIMES))[1, : TIMES - 1]
    np.testing.assert_allclose(middle, np.diagonal(c, 1), rtol=1e-9)


def test_no_frames_give_no_delays():
    empty = Pyramid(TILE)
    assert views.delays(empty).size == views.ratio_of_sums(empty).size == 0
    nothing = Pyramid(TILE, CHANNELS).skip(50)
    assert np.isnan(views.ratio_of_sums(nothing)).all()
    assert np.isnan(views.replicas(nothing)).all()
    assert np.isnan(views.age_lag(nothing).value).all()


def test_the_diagonal_is_that_of_the_full_map(counts, found):
    good, known = np.where(NOTHING[:, None], 0, counts), ~NOTHING
    s = normalise.sums(good)
    squared = good.sum(axis=1).astype(float) ** 2
    for variance, of in ((None, normalise.by_mean), (views.ratio_of_sums(found)[0] - 1, normalise.covariance)):
        value, weight = views.diagonal(found, variance)
        np.testing.assert_allclose(value, np.diagonal(of(s._replace(products=s.products.copy()))), rtol=1e-12)
        np.testing.assert_array_equal(np.isfinite(value), known)
        np.testing.assert_array_equal(weight, squared)
    np.testing.assert_allclose(views.expected_pairs(found)[0], squared.sum() / PIXELS)
