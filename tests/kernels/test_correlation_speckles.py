"""Contrast, size and visibility of speckle: every estimate finds what was put in, within the error that it quotes."""

import numpy as np
import pytest
from scipy import ndimage

from xcdi.kernels import regions
from xcdi.kernels.correlation import photons, speckles, visibility

FRAMES, SHAPE, MODES, TAU = 120, (19, 23), 2, 12.0
Y, X = (axis.ravel() for axis in np.indices(SHAPE))
TILE = regions.tiles(Y, X, across=5)


def intensity(seed, *, frames=FRAMES, tau=TAU, modes=MODES, width=0.0):
    """Speckle of mean one, shape (time, pixel), whose field forgets itself as exp(-t / tau); `width` blurs the field [px]."""
    rng, t = np.random.default_rng(seed), np.arange(frames)
    root = np.linalg.cholesky(np.exp(-np.abs(t[:, None] - t) / tau) + 1e-9 * np.eye(frames))
    total = np.zeros((frames, *SHAPE))
    for _ in range(2 * modes):
        field = rng.standard_normal((frames, *SHAPE))
        if width:
            field = ndimage.gaussian_filter(field, (0, width, width), mode="wrap")
            field /= field.std()
        total += np.tensordot(root, field, 1) ** 2
    return (total / (2 * modes)).reshape(frames, -1)


def counts(seed, mean=0.3, **options):
    return np.random.default_rng(seed + 1000).poisson(mean * intensity(seed, **options)).astype(np.uint16)


@pytest.fixture(scope="module")
def ensemble():
    return [counts(seed) for seed in range(12)]


ESTIMATES = {
    "moments": speckles.contrast_by_moments,
    "likelihood": speckles.contrast_by_likelihood,
    "lags": visibility.contrast_from_lags,
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_contrast_is_one_over_the_modes_within_the_quoted_error(name, ensemble):
    found = [ESTIMATES[name](n, TILE) for n in ensemble]
    off = np.array([(f.value - 1 / MODES) / f.error for f in found])
    assert abs(off.mean()) < 4 / np.sqrt(len(off))
    assert 0.5 < np.sqrt(np.mean(off**2)) < 1.7


@pytest.mark.parametrize("name", ESTIMATES)
def test_photon_lists_give_the_same_bits_as_dense_counts(name, ensemble):
    dense, sparse = (ESTIMATES[name](n, TILE) for n in (ensemble[0], photons.from_dense(ensemble[0])))
    assert dense[:2] == sparse[:2]


def test_the_plain_contrast_takes_photon_lists_and_every_library(xp, ensemble):
    n = ensemble[0].astype(np.int64)
    assert speckles.contrast(photons.from_dense(n)) == pytest.approx(speckles.contrast(xp.asarray(n)), rel=1e-12)


def test_poisson_counts_have_no_contrast():
    n = np.random.default_rng(1).poisson(0.4, (FRAMES, Y.size))
    for estimate in (speckles.contrast_by_moments(n, TILE), speckles.contrast_by_likelihood(n, TILE)):
        assert abs(estimate.value) < 4 * estimate.error


def test_frames_without_data_weigh_nothing(ensemble):
    n = ensemble[0]
    holed = np.insert(n, [7, 50], 0, axis=0)
    ok = np.where(holed.sum(axis=1) > 0, 0, -1)
    assert speckles.contrast_by_moments(holed, TILE).value == pytest.approx(speckles.contrast_by_moments(n, TILE).value, rel=1e-12)
    assert speckles.contrast_by_likelihood(holed, TILE, ok).value == speckles.contrast_by_likelihood(n, TILE).value


def test_an_unlit_detector_has_no_contrast():
    n = np.zeros((5, Y.size), int)
    assert np.isnan(speckles.contrast(n))
    assert np.isnan(speckles.contrast_by_likelihood(n, TILE).value)
    assert np.isnan(visibility.contrast_from_lags(n, TILE).value)


def test_histograms_hold_every_pixel_of_every_frame_once(ensemble):
    n, group = ensemble[0], np.arange(FRAMES) % 3 - 1
    found = speckles.histograms(n, TILE, group)
    assert found.sum() == np.sum(group >= 0) * Y.size
    assert found.sum(axis=(0, 1)).tolist() == np.bincount(n[group >= 0].ravel(), minlength=found.shape[2]).tolist()


def test_frames_of_different_brightness_in_groups_of_their_own_leave_the_likelihood_unbiased():
    bright = np.where(np.arange(FRAMES) % 2, 2.0, 0.5)[:, None]
    n = np.random.default_rng(3).poisson(bright * intensity(3, tau=1.0))
    apart = speckles.contrast_by_likelihood(n, TILE, (bright[:, 0] > 1).astype(int))
    assert abs(apart.value - 1 / MODES) < 3 * apart.error
    assert speckles.contrast_by_likelihood(n, TILE).value > 1 / MODES + 5 * apart.error


@pytest.mark.parametrize(("modes", "mean"), [(1, 0.2), (4, 1.0), (9, 3.0)])
def test_the_likelihood_finds_the_law_it_assumes_and_its_own_scatter(modes, mean):
    rng = np.random.default_rng(modes)
    found = []
    for _ in range(60):
        n = rng.poisson(mean * rng.gamma(modes, 1 / modes, 20_000))
        found.append(speckles.negative_binomial(np.bincount(n)))
    value, error = np.array(found).T
    assert abs(value.mean() - 1 / modes) < 4 * value.std() / np.sqrt(len(value))
    assert 0.75 < value.std() / error.mean() < 1.3


def test_the_likelihood_is_smooth_through_zero_contrast():
    near, at = (speckles._pull(beta, np.array([0.5, 2.0])) for beta in (2 * speckles.NEAR_ZERO, 0.4 * speckles.NEAR_ZERO))
    np.testing.assert_allclose(near[0], at[0], rtol=1e-3)
    np.testing.assert_allclose(near[1], at[1], rtol=1e-2)


# --- size


@pytest.mark.parametrize("width", [1.0, 1.6])
def test_the_size_is_that_of_the_blurred_field(width):
    """A Gaussian blur of width s gives a field with exp(-d**2 / 4 s**2), its intensity the square of that."""
    true = 2 * np.sqrt(2 * np.log(2)) * width
    found = [size for seed in range(4) for size in speckles.size(counts(seed, tau=1.0, width=width), Y, X, TILE)]
    assert np.mean([size.width_px for size in found]) == pytest.approx(true, rel=0.06)
    assert all(size.error_px < 0.2 * true for size in found)


def test_the_size_tells_the_two_directions_apart():
    rng = np.random.default_rng(5)
    pattern = np.repeat(rng.exponential(1.0, (60, SHAPE[0], SHAPE[1] // 3 + 1)), 3, axis=2)[:, :, : SHAPE[1]].reshape(60, -1)
    along_y, along_x = speckles.size(rng.poisson(0.5 * pattern), Y, X, TILE)
    assert along_y.width_px < 1.2
    assert along_x.width_px > 2.0
    assert along_x.correlation[1] == pytest.approx(2 / 3, abs=0.08)


def test_the_zero_shift_has_no_shot_noise():
    along_y, _ = speckles.size(np.random.default_rng(6).poisson(0.2, (FRAMES, Y.size)), Y, X, TILE)
    assert np.all(np.abs(along_y.correlation) < 4.5 * along_y.correlation_error)


def test_an_envelope_leaves_the_correlation_as_it_is():
    envelope = np.exp(-((Y - 9) ** 2 + (X - 11) ** 2) / 200.0)
    n = np.random.default_rng(7).poisson(2 * envelope * intensity(7, tau=1.0, width=1.2))
    right, wrong = (speckles.size(n, Y, X, TILE, envelope=e)[0].correlation for e in (envelope, None))
    assert abs(right[-1]) < 0.05 < abs(wrong[-1])
    assert right[0] == pytest.approx(1 / MODES, abs=0.08)


# --- visibility


def test_the_visibility_is_the_mean_of_g2_over_all_pairs_of_the_exposure(ensemble):
    m, law = 8, np.exp(-2 * np.arange(8) / TAU) / MODES
    expected = (law[0] + 2 * np.sum((1 - np.arange(1, m) / m) * law[1:])) / m
    found = [visibility.exposed(n, TILE) for n in ensemble]
    at = found[0].frames.tolist().index(m)
    off = np.array([(v.contrast[at] - expected) / v.error[at] for v in found])
    assert abs(off.mean()) < 4 / np.sqrt(len(off))
    assert 0.5 < np.sqrt(np.mean(off**2)) < 1.7


def test_one_frame_of_exposure_is_the_contrast(ensemble):
    found = visibility.exposed(ensemble[0], TILE)
    plain = speckles.contrast_by_moments(ensemble[0], TILE)
    assert (found.contrast[0], found.error[0]) == pytest.approx(tuple(plain), rel=1e-12)
    assert found.mean == pytest.approx(found.mean[0] * found.frames, rel=0.1)


def test_an_exposure_with_a_bad_frame_is_left_out(ensemble):
    n, ok = ensemble[0].copy(), np.ones(FRAMES, bool)
    ok[5] = False
    n[5] = 60_000
    found = visibility.exposed(n, TILE, ok)
    with_four = np.delete(np.arange(FRAMES), np.arange(4, 8))
    assert found.contrast[2] == pytest.approx(visibility.exposed(ensemble[0][with_four], TILE).contrast[2], rel=1e-12)


@pytest.mark.parametrize(("exponent", "frozen"), [(1.0, 0.0), (0.6, 0.0), (1.7, 0.3)])
def test_the_visibility_curve_is_its_integral(exponent, frozen):
    t = np.linspace(0, 3.0, 200_001)
    g1 = (1 - frozen) * np.exp(-((0.8 * t) ** exponent)) + frozen
    integral = 2 / 3.0 * np.trapezoid((1 - t / 3.0) * g1**2, t)
    assert visibility.speckle_visibility(np.array([3.0]), 0.8, exponent, 1.0, frozen)[0] == pytest.approx(integral, rel=1e-6)


def test_the_visibility_curve_begins_at_the_contrast_and_falls():
    curve = visibility.speckle_visibility(np.array([0.0, 1e-9, 0.1, 1.0, 10.0, 1e4]), 1.0, 1.4, 0.3)
    assert curve[:2] == pytest.approx([0.3, 0.3])
    assert np.all(np.diff(curve[1:]) < 0)


# --- pairs of photons in different frames


def test_lagged_pairs_are_exact_sums(ensemble):
    n = ensemble[0].astype(np.int64)
    found = visibility.lagged_pairs(n, TILE, 9)
    assert found.sum(axis=0)[0] == np.sum(n * (n - 1))
    for lag in (1, 4, 9):
        products = np.sum(n[:-lag] * n[lag:], axis=0)
        assert found[:, lag].tolist() == np.bincount(TILE, products).astype(int).tolist()


def test_pairs_in_different_frames_know_more_of_dim_speckle():
    found = np.array([both(counts(seed, mean=0.03, tau=25.0)) for seed in range(12)])
    near, far = found.std(axis=0)
    assert far < 0.65 * near
    assert abs(found[:, 1].mean() - 1 / MODES) < 4 * far / np.sqrt(len(found))


def both(n):
    return speckles.contrast_by_moments(n, TILE).value, visibility.contrast_from_lags(n, TILE, exponent=1.0).value


def test_a_known_law_is_held():
    n = counts(4, mean=0.2)
    found = visibility.contrast_from_lags(n, TILE, rate=1 / TAU, exponent=1.0)
    assert (found.rate, found.exponent) == pytest.approx((1 / TAU, 1.0))
    assert found.error < visibility.contrast_from_lags(n, TILE).error * 1.3
