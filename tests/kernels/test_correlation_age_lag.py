"""Sums over ages and lags: views of them are those of the whole matrix, however it is cut."""

import itertools

import numpy as np
import pytest

from xcdi.kernels import relaxation
from xcdi.kernels.correlation import age_lag, levels, normalise, one_time
from xcdi.kernels.correlation.photons import from_dense
from xcdi.kernels.correlation.products import raw_products

TIMES, PIXELS = 41, 97
BAD = [0, 7, 8, 30]
AGES = [3.0, 11.5, 12.0, 33.2]


def photons(seed=0, *, drift=0.0, gaps=False):
    """Counts that decay, drift, and are dark in some frames; and the slots of the frames."""
    rng = np.random.default_rng(seed)
    wave, frames = rng.standard_normal((2, PIXELS)), []
    for t in range(TIMES):
        wave = 0.9 * wave + np.sqrt(1 - 0.9**2) * rng.standard_normal(wave.shape)
        frames.append(rng.poisson(0.4 * (1 + drift * t / TIMES) * np.sum(wave**2, axis=0)))
    counts = np.stack(frames)
    counts[BAD] = 0
    slot = np.cumsum(rng.integers(1, 4, TIMES)) - 1 if gaps else np.arange(TIMES)
    return counts, slot - slot[0]


def weights_of(name, counts):
    envelope = np.linspace(0.05, 40, PIXELS)
    if name == "N5":
        return normalise.level_weights(normalise.noise_levels(envelope), envelope)
    return normalise.unit_weights(counts.shape[1])


def prepared(name, *, gaps=False, drift=2.0):
    counts, slot = photons(drift=drift, gaps=gaps)
    weights = weights_of(name, counts)
    some = levels.levels(from_dense(counts), weights, relative=name == "N4")
    n = counts * np.sqrt(np.rint(weights.product**2)).astype(float)
    return counts, weights, some, np.rint(n @ n.T).astype(np.int64), age_lag.pairing(some, slot, AGES)


def table_of(products, how, cuts):
    """Sums of all tiles cut at `cuts`, in an order that is not theirs."""
    table = age_lag.empty(how)
    tiles = [(i, j) for i in range(len(cuts) - 1) for j in range(i, len(cuts) - 1)]
    for i, j in reversed(tiles):
        tile = products[cuts[i] : cuts[i + 1], cuts[j] : cuts[j + 1]]
        age_lag.merge(table, age_lag.reduced(tile, cuts[i], cuts[j], how))
    return table


def matrix_of(name, counts, weights):
    if name == "N4":
        return normalise.covariance(normalise.sums(counts))
    if name == "N1":
        return normalise.by_mean(normalise.sums(counts))
    return normalise.by_mean(normalise.sums(from_dense(counts), weights))


def on_axis(a, slot):
    wide = np.full(slot[-1] + 1, np.nan)
    wide[slot] = a
    return wide


def square(c, slot):
    wide = np.full((slot[-1] + 1,) * 2, np.nan)
    wide[np.ix_(slot, slot)] = c
    return wide


@pytest.mark.parametrize("name", ["N1", "N4", "N5"])
def test_the_correlation_of_any_window_is_that_of_the_matrix(name):
    counts, weights, some, products, _ = prepared(name)
    whole = matrix_of(name, counts, weights)
    found = levels.correlation(products[5:20, 11:40], some, slice(5, 20), slice(11, 40))
    np.testing.assert_allclose(found, whole[5:20, 11:40], rtol=1e-12)


def test_a_series_without_variance_has_no_covariance():
    some = levels.levels(from_dense(np.ones((3, 5), int)), normalise.unit_weights(5), relative=True)
    assert np.isnan(levels.correlation(np.full((3, 3), 5), some, slice(0, 3), slice(0, 3))).all()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", ["N1", "N4", "N5"])
def test_g2_and_aged_g2_equal_those_of_the_matrix(name, gaps):
    counts, weights, some, products, how = prepared(name, gaps=gaps)
    table = table_of(products, how, [0, 13, 26, 39, 41])
    level = np.where(some.level > 0, some.level, np.nan)
    whole, level = square(matrix_of(name, counts, weights), how.slot), on_axis(level, how.slot)
    of_sums, of_ratios = age_lag.one_time(table, how, some)
    np.testing.assert_allclose(of_sums, one_time.one_time(whole, level), rtol=1e-6)
    np.testing.assert_allclose(of_ratios, one_time.one_time(whole), rtol=1e-9)
    edges = [0, *AGES, how.slot[-1] + 1]
    of_sums, of_ratios = age_lag.aged(table, how, some)
    for k, ages in enumerate(itertools.pairwise(edges)):
        np.testing.assert_allclose(of_sums[k], one_time.one_time(whole, level, ages=ages), rtol=1e-6)
        np.testing.assert_allclose(of_ratios[k], one_time.one_time(whole, ages=ages), rtol=1e-9)


@pytest.mark.parametrize("gaps", [False, True])
def test_no_cut_changes_a_bit(gaps):
    _, _, _, products, how = prepared("N5", gaps=gaps)
    whole = table_of(products, how, [0, TIMES])
    for cuts in ([0, 13, 26, 39, 41], list(range(TIMES + 1)), [0, 1, 40, 41]):
        np.testing.assert_array_equal(table_of(products, how, cuts), whole)


def test_the_numerators_are_the_sums_of_products_and_every_pair_is_counted_once():
    counts, _, _, products, how = prepared("N1")
    table = table_of(products, how, [0, 16, 32, 41])
    raw, seen = raw_products(counts), counts.any(axis=1)
    assert not table[:, :, 0].any(), "a frame with itself is no pair"
    for lag in range(1, TIMES):
        assert table[0].sum(axis=0)[lag] == np.trace(raw, lag)
        assert table[3].sum(axis=0)[lag] == np.trace(np.outer(seen, seen), lag)
    assert how.scale == 1.0, "counts of photons are whole numbers and stay so"


def test_bins_of_lags_add_up():
    _, _, some, products, how = prepared("N1")
    table = table_of(products, how, [0, TIMES])
    edges = relaxation.log_bins(how.lags, per_octave=2)
    coarse = age_lag.binned(table, edges)
    assert coarse.sum() == pytest.approx(table[:, :, 1:].sum())
    np.testing.assert_array_equal(coarse[0, 1, 0], table[0, 1, 1])
    of_sums, of_ratios = age_lag.normalised(coarse, how, some)
    assert of_sums.shape == of_ratios.shape == (len(AGES) + 1, len(edges) - 1)


def test_the_conventions_differ_only_where_the_intensity_drifts():
    half = np.arange(PIXELS) % 2
    for bright, differ in ((9, True), (1, False)):  # a pattern in the first half of the frames, which are the darker
        frames = [np.where(half, 1, 3) if t < 20 else np.full(PIXELS, 2 * bright) for t in range(TIMES)]
        some = levels.levels(from_dense(np.stack(frames)), normalise.unit_weights(PIXELS))
        how = age_lag.pairing(some, np.arange(TIMES), [])
        of_sums, of_ratios = age_lag.one_time(table_of(raw_products(np.stack(frames)), how, [0, TIMES]), how, some)
        assert (abs(of_sums[1] - of_ratios[1]) > 0.01) == differ


def test_bright_frames_lose_no_digit_that_counts():
    counts = np.random.default_rng(1).poisson(1e7, (11, 31)) * np.arange(1, 12)[:, None]
    some = levels.levels(from_dense(counts), normalise.unit_weights(31))
    how = age_lag.pairing(some, np.arange(11), [])
    assert how.scale < 1
    found = age_lag.one_time(table_of(counts @ counts.T, how, [0, 4, 11]), how, some)[0]
    whole = levels.correlation(counts @ counts.T, some, slice(0, 11), slice(0, 11))
    np.testing.assert_allclose(found, one_time.one_time(whole, some.level), rtol=1e-6)


@pytest.mark.parametrize("ages", [[5.0, 4.0], [0.0], [200.0]])
def test_edges_of_ages_that_make_no_bins_are_refused(ages):
    with pytest.raises(ValueError, match="edges of the ages"):
        age_lag.pairing(prepared("N1")[2], np.arange(TIMES), ages)


def test_sums_that_could_overflow_are_refused():
    some = levels.levels(from_dense(np.ones((3, 2), int)), normalise.unit_weights(2))
    with pytest.raises(ValueError, match="brightest"):
        age_lag.pairing(some._replace(peak=np.full(3, 2**61)), np.arange(3), [])
