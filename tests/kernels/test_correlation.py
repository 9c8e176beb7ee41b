"""Two-time correlation: exact sums, known speckle, honest errors."""

import itertools

import numpy as np
import pytest
from speckled import MEAN, MODES, PIXELS, TIMES, flat, speckle

from xcdi.kernels import regions, relaxation
from xcdi.kernels.correlation import normalise, one_time, photons, products, speckles

ESTIMATORS = {
    "N1": lambda counts: normalise.by_mean(normalise.sums(counts)),
    "N3": lambda counts: normalise.weighted(counts, flat(counts, 0.0)),
    "N4": lambda counts: normalise.covariance(normalise.sums(counts)),
    "N5": lambda counts: normalise.weighted(counts, flat(counts)),
}


@pytest.fixture(scope="module")
def ensemble():
    return [speckle(seed) for seed in range(4)]


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return ESTIMATORS[request.param]


def test_products_are_exact_on_every_library(xp, as_numpy):
    counts = np.random.default_rng(1).integers(0, 9, (7, 301))
    later = np.random.default_rng(2).integers(0, 9, (3, 301))
    np.testing.assert_array_equal(as_numpy(products.raw_products(xp.asarray(counts))), counts @ counts.T)
    np.testing.assert_array_equal(as_numpy(products.raw_products(xp.asarray(counts), xp.asarray(later))), counts @ later.T)


@pytest.mark.parametrize("largest", [3, 5_000, 1_000_000])
def test_products_are_exact_for_any_brightness(largest):
    counts = np.random.default_rng(3).integers(0, largest, (5, 503), dtype=np.uint32)
    counts[:, 11] = largest
    exact = counts.astype(object) @ counts.T.astype(object)
    assert np.array_equal(products.raw_products(counts).astype(np.int64), exact.astype(np.int64))


def test_panels_change_nothing(monkeypatch):
    counts = np.random.default_rng(4).integers(0, 50, (11, 1009))
    monkeypatch.setattr(products, "PANEL_BYTES", 4 * 11 * 257)
    np.testing.assert_array_equal(products.raw_products(counts), counts @ counts.T)


def test_sums_past_exact_are_refused():
    with pytest.raises(ValueError, match=r"2\*\*53"):
        products.raw_products(np.full((2, 3), 2**27, dtype=np.int64))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_library_gives_the_same(name, xp, as_numpy):
    counts = speckle(5, times=7, pixels=211)[0]
    if name in ("N1", "N4"):
        found = {"N1": normalise.by_mean, "N4": normalise.covariance}[name](normalise.sums(xp.asarray(counts)))
    else:
        weights = normalise.noise_weights(xp.full((211,), float(counts.mean())), crossover=2.0 if name == "N5" else 0.0)
        found = normalise.weighted(xp.asarray(counts), weights)
    np.testing.assert_allclose(as_numpy(found), ESTIMATORS[name](counts), atol=2e-6)
    np.testing.assert_allclose(as_numpy(one_time.one_time(found)), one_time.one_time(ESTIMATORS[name](counts)), atol=2e-6)


def test_symmetric(estimator):
    c = estimator(speckle(6, times=31, pixels=101)[0])
    np.testing.assert_array_equal(c, c.T)


def test_uncorrelated_frames_give_one(estimator):
    counts = speckle(7, times=150, tau=1e-3)[0]
    upper = estimator(counts)[np.triu_indices(150, 1)]
    assert abs(upper.mean() - 1) < 5 * upper.std() / np.sqrt(upper.size)


def test_brightness_of_a_frame_changes_nothing_but_noise(estimator):
    still = np.tile(speckle(8, times=1, mean=4000.0)[0].astype(int), (3, 1))
    np.testing.assert_allclose(estimator(still * [[1], [2], [5]])[0, 1:], estimator(still)[0, 1:], rtol=2e-3)


def test_a_frame_without_photons_is_unknown(estimator):
    counts = speckle(9, times=11, pixels=211)[0]
    counts[4] = 0
    dark = np.zeros((11, 11), bool)
    dark[4], dark[:, 4] = True, True
    np.testing.assert_array_equal(np.isnan(estimator(counts)), dark)


def test_a_masked_pixel_weighs_nothing():
    counts = speckle(10, times=11, pixels=211)[0]
    hot = counts.copy()
    hot[:, 17] = 99
    envelope = np.full(211, 0.3)
    envelope[17] = 0
    weights = normalise.noise_weights(envelope, crossover=0.0)
    np.testing.assert_array_equal(normalise.weighted(hot, weights), normalise.weighted(counts, weights))


def test_block_by_block_is_the_whole_bit_for_bit():
    counts = speckle(11, times=29, pixels=307)[0]
    for cuts in ([0, 29], [0, 1, 8, 29], list(range(30))):
        rows = [products.raw_products(counts[a:b], counts[:b]) for a, b in itertools.pairwise(cuts)]
        pieced = np.zeros((29, 29))
        for (a, b), row in zip(itertools.pairwise(cuts), rows, strict=True):
            pieced[a:b, :b], pieced[:b, a:b] = row, row.T
        for form in (normalise.by_mean, normalise.covariance):
            np.testing.assert_array_equal(form(normalise.sums(counts, None, pieced.copy())), form(normalise.sums(counts)))


@pytest.mark.parametrize("name", ["N1", "N3", "N5"])
def test_speckle_of_known_dynamics_comes_back(name, ensemble):
    bias = np.mean([ESTIMATORS[name](counts) - true for counts, true in ensemble], axis=0)
    assert abs(bias[~np.eye(TIMES, dtype=bool)].mean()) < 2e-3
    assert abs(np.diag(bias).mean()) < 0.03, "the diagonal keeps shot noise, 1/mean = 3.3"


def test_covariance_is_the_square_of_the_field_correlation(ensemble):
    bias = np.mean([normalise.covariance(normalise.sums(counts)) - 1 - MODES * (true - 1) for counts, true in ensemble], axis=0)
    assert abs(bias[~np.eye(TIMES, dtype=bool)].mean()) < 8e-3


def test_scatter_of_an_element_is_that_of_photons():
    found = [ESTIMATORS["N5"](speckle(seed, times=60, tau=3.0, frozen=0.0)[0]) for seed in range(20, 26)]
    upper = np.stack(found)[:, *np.triu_indices(60, 25)]
    expected = np.sqrt(((1 / MEAN + 1) ** 2 - 1 + 2 / MEAN / MODES) / PIXELS)
    assert abs(upper.std() / expected - 1) < 0.3


def test_a_frozen_part_stays_with_a_smooth_envelope_and_goes_with_the_pixel_mean():
    counts, _ = speckle(12, frozen=0.5, times=300)
    far = np.triu_indices(300, 150)
    assert normalise.weighted(counts, flat(counts))[far].mean() == pytest.approx(1 + 0.25 / MODES, abs=0.004)
    by_pixel = normalise.noise_weights(counts.mean(axis=0), crossover=0.0)
    assert normalise.weighted(counts, by_pixel)[far].mean() < 1
    frozen, error = relaxation.frozen_contrast(counts, np.full(PIXELS, MEAN))
    assert frozen > 5 * error
    assert frozen == pytest.approx(0.25 / MODES, abs=0.006)
    moving, error = relaxation.frozen_contrast(speckle(13)[0], np.full(PIXELS, MEAN))
    assert abs(moving) < 3 * error


@pytest.mark.parametrize("mean", [0.05, 0.3, 1.0])
def test_contrast_without_shot_noise(mean):
    counts = np.concatenate([speckle(seed, times=100, mean=mean, tau=0.3)[0] for seed in range(30, 35)])
    noise = np.sqrt((2 * mean**2 + 4 * mean**3 + 4 * mean**4) * 1.25) / mean**2 / np.sqrt(counts.size)
    assert abs(speckles.contrast(counts) - 0.25) < 3 * noise
    assert 3 * noise < 0.1


def test_one_time_of_a_constant_is_the_constant():
    c = np.full((9, 9), 1.37)
    c[4] = c[:, 4] = np.nan
    np.testing.assert_allclose(one_time.one_time(c), 1.37)
    np.testing.assert_allclose(one_time.one_time(c, np.arange(1.0, 10.0)), 1.37)


def test_one_time_weighted_by_the_mean_is_the_ratio_of_sums():
    counts = speckle(14, times=23, pixels=307)[0] * np.arange(1, 24)[:, None]
    total = counts.sum(axis=1).astype(float)
    g2 = one_time.one_time(normalise.by_mean(normalise.sums(counts)), total)
    lag = 5
    expected = 307 * np.sum(counts[:-lag] * counts[lag:]) / np.sum(total[:-lag] * total[lag:])
    assert g2[lag] == pytest.approx(expected, rel=1e-12)


def test_ages_share_out_all_pairs():
    c = np.random.default_rng(15).random((10, 10))
    early, late = one_time.one_time(c, ages=(0, 4.5)), one_time.one_time(c, ages=(4.5, 10))
    pairs = np.array([sum(a + 0.5 < 4.5 for a in range(9)), sum(a + 0.5 >= 4.5 for a in range(9))])
    assert one_time.one_time(c)[1] == pytest.approx((early[1] * pairs[0] + late[1] * pairs[1]) / 9)
    assert np.isnan(early[9] + late[9])


def test_measured_matrix_gives_its_published_contrast(measured_data):
    c = np.load(measured_data / "chx_two_time" / "chx_2tcf_350.npy")
    g2 = one_time.one_time(c)
    assert g2[1] - 1 == pytest.approx(0.088, abs=0.002)
    assert g2[100] - 1 == pytest.approx(0.027, abs=0.002)


def test_tiles_are_even_and_compact():
    y, x = np.nonzero(np.hypot(*np.ogrid[-20:21, -20:21]) < 20)
    label = regions.tiles(y, x, across=5)
    sizes = np.bincount(label)
    assert len(sizes) == 25
    assert np.ptp(sizes) <= 2
    assert max(np.ptp(y[label == k]) for k in range(25)) < 20


def test_an_outlier_is_single_and_a_step_is_none():
    total = np.random.default_rng(17).normal(1000, 30, 60)
    total[30:] *= 3
    total[[10, 44]] *= [2, 0.2]
    ok = np.ones(60, bool)
    assert np.flatnonzero(regions.outlier_frames(total, ok)).tolist() == [10, 44]


@pytest.mark.parametrize("mean", [0.3, 1.0, 4.0, 15.0])
def test_frames_of_few_photons_are_no_outliers_by_chance(mean):
    rng = np.random.default_rng(19)
    monitor = 1e9 * rng.uniform(0.8, 1.2, 3000)
    total = rng.poisson(mean * monitor / 1e9)
    for photon in (np.ones(3000), 1 / monitor, 1e12 / monitor):
        assert not regions.outlier_frames(total * photon, total >= 0, photon=photon).any()
    total[1234] = 30 + 6 * mean  # and what is no chance is found
    assert np.flatnonzero(regions.outlier_frames(total / monitor, total >= 0, photon=1 / monitor)).tolist() == [1234]


def test_frames_at_their_places_are_a_matrix_with_unknown_frames_between():
    rng = np.random.default_rng(20)
    slot = np.array([0, 1, 2, 5, 6, 11, 12, 13, 20, 22])
    c, level = rng.random((10, 10)), rng.random(10)
    c[4] = c[:, 4] = level[4] = np.nan
    wide, long = np.full((23, 23), np.nan), np.full(23, np.nan)
    wide[np.ix_(slot, slot)], long[slot] = c, level
    edges = [1.0, 4.5, 11.2, 23]
    np.testing.assert_array_equal(one_time.aged(c, level, edges=edges, slot=slot), one_time.aged(wide, long, edges=edges))
    np.testing.assert_array_equal(one_time.one_time(c, slot=slot), one_time.one_time(wide))


def test_speckles_are_not_lonely_and_flickering_pixels_are():
    y, x = np.mgrid[:23, :29]
    spot = 300 * np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / (2 * 1.2**2)) + 0.05
    frames = np.random.default_rng(18).poisson(spot, (40, 23, 29))
    frames[7, 3, 3] = 60
    found = photons.from_dense(frames.reshape(40, -1))
    event = regions.lonely(found, regions.neighbours(y.ravel(), x.ravel()))
    assert (np.searchsorted(found.start, event, side="right") - 1).tolist() == [7]
    assert found.pixel[event].tolist() == [3 * 29 + 3]
    assert not regions.misfits(frames.sum(axis=0), np.ones((23, 29), bool))[8:15, 11:18].any()
