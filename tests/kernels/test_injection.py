"""Laws of synthetic events: photons are kept, the envelope stays, and what is injected is what it is said to be."""

import numpy as np
import pytest
from kernels.test_events import ALL, intensities

from xcdi.kernels.avalanches import events, injection, patterns

PEAK = (18, 20)


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(5)
    clean = intensities(rng, 80, {}, mean=2.0)
    return clean, rng.poisson(clean)


@pytest.fixture(scope="module")
def partner():
    return injection.opposite(ALL, PEAK)


def test_the_opposite_of_the_opposite_is_the_pixel_itself():
    valid = ALL.copy()
    valid[:, 7:9] = valid[3, 5] = False
    partner = injection.opposite(valid, (17.5, 20))
    np.testing.assert_array_equal(partner[partner], np.arange(valid.size))
    assert valid.ravel()[partner[valid.ravel()]].all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_no_photon_is_lost(series, partner, share):
    moved = injection.turned(series[1], partner, share, np.random.default_rng(1))
    np.testing.assert_array_equal(moved.sum(axis=(1, 2)), series[1].sum(axis=(1, 2)))
    assert moved.min() >= 0


def test_all_photons_turned_twice_are_back(series, partner):
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(injection.turned(injection.turned(series[1], partner, 1.0, rng), partner, 1.0, rng), series[1])


def test_photons_stay_independent_of_each_other(partner):
    rng = np.random.default_rng(2)
    counts = injection.turned(rng.poisson(3.0, (4000, 2, 2)), np.arange(4)[::-1], 0.4, rng)
    np.testing.assert_allclose(counts.var(axis=0) / counts.mean(axis=0), 1, atol=0.1)


def test_the_mean_product_knows_no_shot_noise(series):
    clean, counts = series
    mean = clean.mean(axis=0)
    true, seen = (injection.between((frames - mean.mean()).reshape(len(frames), -1)) for frames in (clean, counts))
    assert seen == pytest.approx(true, rel=0.02)


def test_turning_a_share_of_the_photons_changes_the_pattern_by_its_square(series, partner):
    clean = series[0][:2]
    other = clean.reshape(2, -1)[:, partner].reshape(clean.shape)
    rule = injection.whitening(clean.mean(axis=0), ALL, 4.0)
    part, whole = (injection.between(rule((1 - a) * clean + a * other) - rule(clean)) for a in (0.3, 1.0))
    assert part == pytest.approx(0.3**2 * whole, rel=1e-4)


def test_vectors_are_those_of_the_search(series):
    counts = series[1]
    ok = np.ones(len(counts), bool)
    scale = patterns.frame_scale(counts, ALL, ok)[:, None, None]
    rule = injection.whitening((counts / scale).mean(axis=0), ALL, 4.0)
    np.testing.assert_allclose(rule(counts / scale), patterns.patterns(counts, ALL, ok, speckle_px=4.0), atol=1e-4)


def test_the_more_photons_turn_the_more_visible_the_event(series, partner):
    counts = series[1].astype(float)
    rule = injection.whitening(counts.mean(axis=0), ALL, 4.0)
    vectors = rule(counts)
    noise = events.noise_level(patterns.likeness(vectors))
    rng = np.random.default_rng(0)

    def z(share):
        return injection.visibility(vectors, rule(injection.turned(counts[40:55], partner, share, rng)), 40, (), 12, noise)

    assert z(0.0) < 4 < z(0.5) < z(1.0)


def test_a_change_of_the_whole_pattern_is_seen_as_counts_and_contrast_let_expect():
    """Another pattern of the same envelope is a drop of 1."""
    rng = np.random.default_rng(8)
    speckle = rng.exponential(2.0, (2, *ALL.shape))
    counts = rng.poisson(speckle[(np.arange(80) >= 40).astype(int)]).astype(float)
    rule = injection.whitening(np.full(ALL.shape, 2.0), ALL, 3.0)
    vectors = rule(counts)
    noise = events.noise_level(patterns.likeness(vectors[:40]))
    seen = injection.visibility(vectors, vectors[40:55], 40, (), 12, noise)
    signal = injection.between(vectors[:40])
    assert seen == pytest.approx(injection.expected(signal, 12, noise), rel=0.15)


def test_a_drawn_curve_is_found_within_its_errors():
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drops = np.geomspace(0.005, 0.08, 168)
        fit = injection.fit_curve(drops, rng.random(168) < 1 / (1 + np.exp(-(np.log(drops / 0.02)) / 0.25)))
        inside += abs(np.log(fit.half / 0.02)) < 2 * fit.half_error and abs(np.log(fit.most / 0.02) - 0.25 * np.log(9)) < 2 * fit.most_error
    assert inside >= 17
