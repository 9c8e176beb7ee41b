"""Fluctuations of the dynamics: none is found where there is none, planted ones come back in size, with true errors."""

import numpy as np
import pytest

from xcdi.kernels import regions
from xcdi.kernels.correlation import fluctuations, normalise, photons, traces

FRAMES, SHAPE, MODES = 200, (29, 31), 2
Y, X = (axis.ravel() for axis in np.indices(SHAPE))
TILE = regions.tiles(Y, X, across=5)
PIXELS = Y.size
EVEN = normalise.Weights(np.ones(PIXELS), np.ones(PIXELS), float(PIXELS), float(PIXELS))
LAGS = np.array([1, 4, 12, 30])


def drawn(seed, events=(), *, tau=25.0, mean=0.4, flicker=0.0):
    """Counts and their true correlation; at each event the field loses exp(-1)."""
    rng, t = np.random.default_rng(seed), np.arange(FRAMES)
    clock = t / tau + sum((t >= at) * 1.0 for at in events)
    field = np.exp(-np.abs(clock[:, None] - clock))
    root = np.linalg.cholesky(field + 1e-9 * np.eye(FRAMES))
    light = sum((root @ rng.standard_normal((FRAMES, PIXELS))) ** 2 for _ in range(2 * MODES)) / (2 * MODES)
    beam = 1 + flicker * rng.standard_normal((FRAMES, 1))
    return rng.poisson(mean * beam * light).astype(np.uint16), field**2 / MODES


def parts_of(counts):
    return fluctuations.of_parts(counts, EVEN, TILE, LAGS)


@pytest.fixture(scope="module")
def calm():
    return [fluctuations.variance(parts_of(drawn(seed)[0])) for seed in range(12)]


@pytest.fixture(scope="module")
def stormy():
    return [(*drawn(100 + seed, (60, 140), tau=90.0),) for seed in range(6)]


def truth(two_time):
    return np.nanvar(traces.traces(1 + two_time, LAGS), axis=1, ddof=1)


def test_steady_dynamics_have_no_variance_but_that_of_noise(calm):
    off = np.array([v.chi / v.error for v in calm])
    assert np.all(np.abs(off.mean(axis=0)) < 4 / np.sqrt(len(calm)))
    assert 0.6 < np.sqrt(np.mean(off**2)) < 1.5
    assert all(np.all(v.raw > 5 * v.error) for v in calm), "the variance as it is was to be far above zero"


def test_a_flickering_beam_is_no_dynamics():
    off = np.array([v.chi / v.error for v in (fluctuations.variance(parts_of(drawn(seed, flicker=0.15)[0])) for seed in range(6))])
    assert np.sqrt(np.mean(off**2)) < 1.6


def test_planted_events_come_back_with_their_size(stormy):
    off, share = [], []
    for counts, two_time in stormy:
        v = fluctuations.variance(parts_of(counts))
        off.append((v.chi - truth(two_time)) / v.error)
        share.append(v.chi[2] / v.error[2])
    assert np.sqrt(np.mean(np.square(off))) < 1.6
    assert np.mean(share) > 4


def test_the_extrapolation_to_all_pixels_is_a_straight_line_that_ends_at_chi(stormy):
    parts = parts_of(stormy[0][0])
    by, chi = fluctuations.by_subsets(parts), fluctuations.variance(parts).chi
    inverse = 1 / np.arange(1, len(by) + 1)
    for k in range(len(LAGS)):
        slope, end = np.polyfit(inverse, by[:, k], 1)
        assert end == pytest.approx(chi[k], abs=1e-12)
        np.testing.assert_allclose(slope * inverse + end, by[:, k], atol=1e-12)
    assert np.all(np.abs(by[-1] / fluctuations.variance(parts).raw - 1) < 0.15)


def test_parts_average_to_the_two_time_correlation_of_the_region():
    counts, _ = drawn(3)
    c = normalise.by_mean(normalise.sums(counts))
    parts = parts_of(counts)
    for k in range(len(LAGS)):
        whole = parts.norm / PIXELS @ fluctuations.centred(parts, k)
        np.testing.assert_allclose(whole, traces.traces(c, LAGS)[k], atol=1e-12)


def test_photon_lists_and_dense_counts_give_the_same():
    counts, _ = drawn(4)
    for dense, sparse in zip(parts_of(counts), parts_of(photons.from_dense(counts)), strict=True):
        np.testing.assert_array_equal(dense, sparse)


def test_weights_make_the_parts_of_a_weighted_correlation():
    counts, _ = drawn(5)
    weights = normalise.noise_weights(np.linspace(0.2, 2.0, PIXELS))
    parts = fluctuations.of_parts(counts, weights, TILE, LAGS)
    whole = parts.norm / parts.norm.sum() @ fluctuations.centred(parts, 1)
    known = traces.traces(normalise.weighted(counts, weights), LAGS)[1]
    np.testing.assert_allclose(whole, known, atol=2e-6)


def test_a_missing_frame_is_left_out_and_changes_little(stormy):
    counts = stormy[0][0].copy()
    counts[77] = 0
    parts = parts_of(counts)
    y = fluctuations.centred(parts, 0)
    assert np.flatnonzero(np.isnan(y[0])).tolist() == [76, 77, FRAMES - 1]
    whole = fluctuations.variance(parts_of(stormy[0][0]))
    assert np.all(np.abs(fluctuations.variance(parts).chi - whole.chi) < 2 * whole.error)


def test_memory_begins_at_chi_and_fades_when_the_event_has_passed(stormy):
    parts = parts_of(stormy[0][0])
    found, v = fluctuations.memory(parts, 120), fluctuations.variance(parts)
    n = FRAMES - LAGS
    np.testing.assert_allclose(found[:, 0], v.chi * (n - 1) / n, rtol=1e-9)
    assert found[2, 30] < 0.5 * found[2, 0], "an event is seen at a lag for as long as the lag"


def test_one_part_or_a_short_series_knows_nothing():
    counts, _ = drawn(6)
    alone = fluctuations.variance(fluctuations.of_parts(counts, EVEN, np.zeros(PIXELS, int), LAGS))
    assert np.all(np.isnan(alone.chi))
    assert np.all(alone.raw > 0)
    short = fluctuations.variance(fluctuations.of_parts(counts[:3], EVEN, TILE, np.array([1, 2, 5])))
    assert np.all(np.isnan(short.chi))


def test_only_parts_that_share_no_speckle_are_compared():
    clear = fluctuations.apart(Y, X, TILE, gap=3)
    assert np.array_equal(clear, clear.T)
    assert not clear[0, 1]
    assert clear[0, -1]
    assert np.all(~np.diagonal(clear))


# --- matrices without pixels


def test_traces_are_the_diagonals():
    c = np.random.default_rng(1).random((11, 11))
    found = traces.traces(c, np.array([1, 7]))
    np.testing.assert_allclose(found[1, :4], np.diagonal(c, 7) - 1)
    assert np.all(np.isnan(found[1, 4:]))


def test_the_noise_of_neighbours_is_that_of_white_noise_whatever_is_slow():
    rng, t = np.random.default_rng(2), np.arange(4000)
    trace = 0.3 * np.sin(t / 200) + 0.05 * rng.standard_normal(t.size)
    assert traces.adjacent_noise(trace) == pytest.approx(0.05**2, rel=0.1)
    trace[100:103] = np.nan
    assert traces.adjacent_noise(trace) == pytest.approx(0.05**2, rel=0.1)


def test_a_distribution_integrates_to_one_and_knows_its_noise():
    rng = np.random.default_rng(3)
    found = traces.distribution(np.append(0.2 + 0.1 * rng.standard_normal(900), np.nan), 0.1**2)
    assert np.sum(found.density * np.diff(found.edges)) == pytest.approx(1)
    assert found.spread == pytest.approx(found.noise, rel=0.1)
    assert found.mean == pytest.approx(0.2, abs=0.02)
    assert np.isnan(traces.distribution(np.array([np.nan]), 0.0).mean)
