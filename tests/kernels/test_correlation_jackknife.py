"""Errors of correlations: leaving out is computing without, and what is quoted is what repeated experiments scatter."""

import numpy as np
import pytest
from speckled import MODES, PIXELS, even, speckle

from xcdi.kernels import regions
from xcdi.kernels.correlation import element_errors, jackknife, lagged, normalise, one_time, photons
from xcdi.kernels.relaxation import log_bins

UNLIKE = normalise.noise_weights(np.linspace(0.1, 2, 101))


def squares(pixels, across=None):
    return regions.tiles(*np.divmod(np.arange(pixels), int(np.sqrt(pixels))), across=across)


def without(weights, rest):
    w2 = (weights.mean[rest] / weights.product[rest]) ** 2
    return normalise.Weights(weights.product[rest], weights.mean[rest], w2.sum(), (w2**2).sum())


@pytest.mark.parametrize("weights", [even(101), UNLIKE], ids=["even", "unlike"])
def test_leaving_out_tiles_is_computing_without_them(weights):
    counts, tile = speckle(16, times=17, pixels=101)[0], np.arange(101) % 3
    part, left = without(weights, tile != 1), counts[:, tile != 1]
    alone = one_time.one_time(normalise.weighted(left, part), normalise.frame_weight(left, part))
    np.testing.assert_allclose(jackknife.leave_out(counts, weights, tile)[1, 1:], alone[1:], atol=2e-5)


@pytest.mark.parametrize("given", [np.asarray, photons.from_dense], ids=["frames", "photons"])
@pytest.mark.parametrize("pair_s", [0.0, 1.0], ids=["pair by pair", "by transform"])
def test_every_way_of_summing_gives_the_same(given, pair_s, monkeypatch):
    counts, tile = speckle(17, times=29, pixels=101, mean=0.4)[0], np.arange(101) % 4
    monkeypatch.setattr(lagged, "PAIR_S", pair_s)
    monkeypatch.setattr(lagged, "BATCH", 29 * 2 * 7)
    found = lagged.tile_sums(given(counts), UNLIKE, tile, threads=2)
    here, n = tile == 2, counts[:, tile == 2].astype(float)
    a, b = UNLIKE.product[here], UNLIKE.mean[here]
    product = (n * a) @ (n * a).T
    np.testing.assert_allclose(found.lagged[2, 1:], [np.trace(product, lag) for lag in range(1, 29)], rtol=1e-9)
    assert found.lagged[2, 0] == pytest.approx(np.sum(a**2 * n * (n - 1)))
    np.testing.assert_allclose(found.mean[2], n @ b)
    assert found.own[2] == pytest.approx(np.sum((n * b) ** 2))


def test_pairs_of_photons_are_counted_exactly_by_any_number_of_threads():
    events = photons.from_dense(speckle(18, times=41, pixels=307, mean=0.05)[0])
    one, two = (lagged.tile_sums(events, even(307), np.arange(307) % 5, threads=threads) for threads in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.lagged, np.round(one.lagged))


def test_all_tiles_together_are_the_region():
    counts = speckle(19, times=23, pixels=211)[0]
    sums = lagged.tile_sums(counts, even(211), np.arange(211) % 4)
    g2 = one_time.one_time(normalise.by_mean(normalise.sums(counts)), counts.sum(axis=1).astype(float))
    np.testing.assert_allclose(jackknife.whole(sums)[1:], g2[1:], rtol=1e-9)
    assert jackknife.whole(sums)[0] == pytest.approx(g2[0], rel=0.02)  # its pairs of pixels are those of all frames


def test_a_bin_is_the_ratio_of_its_sums():
    counts = speckle(20, times=23, pixels=211)[0]
    sums = lagged.tile_sums(counts, even(211), np.arange(211) % 4)
    total = counts.sum(axis=1).astype(float)
    above = sum(211 * np.sum(counts[:-lag].astype(float) * counts[lag:]) for lag in (3, 4, 5))
    below = sum(np.sum(total[:-lag] * total[lag:]) for lag in (3, 4, 5))
    assert jackknife.whole(sums, np.array([1, 3, 6]))[1] == pytest.approx(above / below)


@pytest.fixture(scope="module")
def repeated():
    """Sums of the same experiment again and again."""
    tile = squares(400, 5)
    return {
        mean: [lagged.tile_sums(speckle(seed, times=80, tau=8.0, mean=mean, pixels=400)[0], even(400), tile) for seed in range(40, 80)]
        for mean in (0.02, 2.0)
    }


@pytest.mark.parametrize("mean", [0.02, 2.0])
def test_errors_are_those_of_repeated_experiments(mean, repeated):
    scatter = np.std([jackknife.whole(sums) for sums in repeated[mean]], axis=0, ddof=1)[1:40]
    quoted = [jackknife.one_time_error(jackknife.without_each(sums), jackknife.pair_variance(sums)) for sums in repeated[mean]]
    assert 0.87 < np.sqrt(np.mean((scatter / np.mean(quoted, axis=0)[1:40]) ** 2)) < 1.15


def test_the_bootstrap_scatters_as_the_jackknife_says(repeated):
    sums, edges = repeated[2.0][0], log_bins(80)
    boot = jackknife.resampled(sums, np.random.default_rng(3), samples=300, edges=edges).std(axis=0)
    ratio = boot / jackknife.jackknife_error(jackknife.without_each(sums, edges))
    assert 0.9 < np.median(ratio) < 1.1
    assert np.all((ratio > 0.8) & (ratio < 1.2))


def test_without_a_pair_the_error_is_not_zero():
    counts = np.zeros((40, 50), int)
    counts[np.arange(40), np.arange(40)] = 1
    sums = lagged.tile_sums(counts, even(50), np.arange(50) // 10)
    replicas, pairs = jackknife.without_each(sums), jackknife.pair_variance(sums)
    assert np.all(jackknife.jackknife_error(replicas)[1:30] == 0)
    error = jackknife.one_time_error(replicas, pairs)[1:30]
    assert np.all(error > 0.7 * np.sqrt(pairs[1:30]))
    assert np.all(error < np.sqrt(pairs[1:30]))


def test_covariance_between_lags_keeps_errors_and_can_be_inverted(repeated):
    single = jackknife.without_each(repeated[2.0][0], log_bins(80))
    one = jackknife.lag_covariance(single)
    assert len(single) < len(one)
    np.testing.assert_allclose(np.sqrt(np.diag(one)), jackknife.jackknife_error(single))
    assert np.linalg.eigvalsh(one).min() > 0


def covariance(sums, edges):
    replicas = jackknife.without_each(sums, edges)
    return jackknife.lag_covariance(replicas, jackknife.one_time_error(replicas, jackknife.pair_variance(sums, edges)))


@pytest.mark.parametrize("mean", [0.02, 2.0])
def test_squared_misfit_of_the_truth_is_the_number_of_lags(mean, repeated):
    edges = log_bins(60)
    g2 = np.array([jackknife.whole(sums, edges) for sums in repeated[mean]])
    covariances = [covariance(sums, edges) for sums in repeated[mean]]
    chi2 = [away @ np.linalg.solve(matrix, away) for away, matrix in zip(g2 - g2.mean(axis=0), covariances, strict=True)]
    assert np.mean(chi2) / len(edges) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("mean", [0.2, 2.0])
def test_error_of_an_element_is_its_scatter(mean):
    runs = [speckle(seed, times=6, tau=4.0, mean=mean, pixels=600) for seed in range(100, 250)]
    found = np.std([normalise.by_mean(normalise.sums(counts)) for counts, _ in runs], axis=0, ddof=1)
    level = np.full(6, mean)
    quoted = element_errors.element_error(runs[0][1], level, even(600), 1 / MODES)
    off = ~np.eye(6, dtype=bool)
    assert np.all(np.isnan(np.diag(quoted)))
    ratio = (found / quoted)[off]
    assert ratio.mean() == pytest.approx(1, abs=0.08)
    assert np.all(np.abs(ratio - 1) < 0.25)


def test_error_of_an_element_with_weights_is_its_scatter():
    envelope = np.linspace(0.05, 3, 500)
    weights = normalise.noise_weights(envelope)
    rng = np.random.default_rng(5)
    runs = [rng.poisson(envelope * rng.gamma(MODES, 1 / MODES, (2, 500))) for _ in range(800)]
    found = np.std([normalise.weighted(counts, weights)[0, 1] for counts in runs], ddof=1)
    quoted = element_errors.element_error(np.ones((2, 2)), np.ones(2), weights, 1 / MODES)[0, 1]
    assert found == pytest.approx(quoted, rel=0.1)


def test_error_of_a_block_is_its_scatter():
    tile = squares(400, 5)
    runs = [element_errors.block_error(speckle(s, times=36, tau=9.0, mean=1.0, pixels=400)[0], even(400), tile, 7) for s in range(60)]
    off = ~np.eye(6, dtype=bool)
    ratio = np.std([c for c, _ in runs], axis=0, ddof=1)[off] / np.mean([error for _, error in runs], axis=0)[off]
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    single = element_errors.element_error(np.ones((2, 2)), np.ones(2), even(400), 1 / MODES)[0, 1]
    assert np.mean([error for _, error in runs], axis=0)[0, 5] > 1.5 * single / 7, "elements of a block share their speckles"


def test_a_block_leaves_pairs_of_a_frame_with_itself_out():
    counts = speckle(21, times=13, pixels=101, mean=0.1)[0]
    c, _ = element_errors.block_error(photons.from_dense(counts), even(101), np.arange(101) % 3, 5)
    n, total = counts.astype(float), counts.sum(axis=1).astype(float)
    off = ~np.eye(5, dtype=bool)
    inside, outside = (n[5:10] @ n[5:10].T)[off].sum(), (n[:5] @ n[10:].T).sum()
    assert c[1, 1] == pytest.approx(101 * inside / np.outer(total[5:10], total[5:10])[off].sum())
    assert c[0, 2] == pytest.approx(101 * outside / np.outer(total[:5], total[10:]).sum())


def test_leaving_out_tiles_at_every_age_is_computing_without_them():
    counts, tile, edges = speckle(22, times=31, pixels=101)[0], np.arange(101) % 3, (0, 9.5, 20, 31)
    found = element_errors.leave_out_aged(counts, even(101), tile, edges)
    left = counts[:, tile != 1]
    alone = one_time.aged(normalise.by_mean(normalise.sums(left)), left.sum(axis=1).astype(float), edges=edges)
    np.testing.assert_allclose(found[1, :, 1:], alone[:, 1:], rtol=1e-9)


def test_ages_are_those_of_the_middle_of_a_pair():
    t = np.arange(30.0)
    c = np.add.outer(t, t) / 2
    slices = one_time.aged(c, edges=(0, 10, 20, 30))
    known = np.isfinite(slices)
    assert np.all((slices[1, known[1]] >= 10) & (slices[1, known[1]] < 20))
    assert not known[0, 20:].any()
    assert known[1, 19]


def test_tiles_are_five_speckles_wide_between_three_and_ten_across():
    y, x = np.divmod(np.arange(2500), 50)
    assert [regions.tiles(y, x, speckle_px=s).max() + 1 for s in (0.7, 1.0, 2.0, 9.0)] == [100, 100, 25, 9]


def test_a_region_of_unlike_sizes_has_its_tiles():
    assert len(np.unique(squares(PIXELS))) == 64
