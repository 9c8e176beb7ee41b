"""Laws of event search and measurement, on a small particle of which a part slips."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import events, patterns, sizes

SHAPE = (37, 41)
ALL = np.ones(SHAPE, bool)


def particle(rng):
    """Two-dimensional particle of 11 x 12 pixels with a rough phase, in a frame of 37 x 41."""
    rho = np.zeros(SHAPE, complex)
    rho[13:24, 14:26] = np.exp(1j * np.cumsum(rng.normal(0, 0.35, (11, 12)), axis=0))
    return rho


def part(rows, columns):
    chi = np.zeros(SHAPE)
    chi[rows, columns] = 1
    return chi


PARTS = [part(slice(13, 17), slice(14, 20)), part(slice(19, 24), slice(20, 26)), part(slice(17, 20), slice(14, 19))]


def intensities(rng, frames, slips, drift=0.0, mean=1.0):
    """Noise-free series: `slips` maps the first frame of a state to (part, phase); `drift` bends the phase linearly in time."""
    rho, bend = particle(rng), np.cos(np.linspace(0, 9, SHAPE[1]))[None, :]
    phase, result = np.zeros(SHAPE), np.empty((frames, *SHAPE))
    for t in range(frames):
        if t in slips:
            phase = phase + slips[t][1] * PARTS[slips[t][0]]
        result[t] = np.abs(np.fft.fftshift(np.fft.fft2(rho * np.exp(1j * (phase + drift * t * bend))))) ** 2
    return result * mean / result[0].mean()


def search(counts, valid=ALL, **options):
    ok = np.ones(len(counts), bool)
    width = patterns.speckle_width(counts.mean(axis=0), valid)
    products = patterns.likeness(patterns.patterns(counts, valid, ok, speckle_px=width))
    return events.find_events(products, ok, **options)


def close(found, true):
    return len(found) == len(true) and np.all(np.abs(np.asarray(found) - np.asarray(true)) <= 1)


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(3)
    clean = intensities(rng, 149, {41: (0, 1.5), 83: (1, -2.2), 89: (2, 2.5)})
    return clean, rng.poisson(clean)


def test_every_slip_is_found_in_its_frame_and_nothing_else(series):
    assert close(search(series[1]).frame, [41, 83, 89])


def test_shifting_time_shifts_events(series):
    assert close(search(series[1][17:]).frame, [24, 66, 72])


def test_time_backwards_finds_the_same_boundaries_between_frames(series):
    assert close(search(series[1][::-1]).frame, [149 - 89, 149 - 83, 149 - 41])


@pytest.mark.parametrize("drift", [0.0, 0.006])
def test_noise_and_drift_alone_make_no_event(drift):
    rng = np.random.default_rng(5)
    assert search(rng.poisson(intensities(rng, 211, {}, drift=drift))).frame.size == 0


def test_a_jump_of_the_beam_is_no_event():
    rng = np.random.default_rng(6)
    clean = intensities(rng, 97, {})
    clean[47:] *= 1.4
    assert search(rng.poisson(clean)).frame.size == 0


def test_a_slip_by_a_whole_lattice_vector_is_invisible():
    rng = np.random.default_rng(7)
    assert search(rng.poisson(intensities(rng, 97, {48: (0, 2 * np.pi)}))).frame.size == 0


def test_a_doublet_merges_into_one_marked_event():
    rng = np.random.default_rng(8)
    found = search(rng.poisson(intensities(rng, 97, {47: (0, 2.0), 51: (1, -2.0)}, mean=2.0)))
    assert found.frame.size == 1
    assert found.merged.all()
    assert (abs(found.first[0] - 47) <= 1) & (abs(found.last[0] - 51) <= 1)


def test_bad_frames_are_stepped_over():
    rng = np.random.default_rng(9)
    counts = rng.poisson(intensities(rng, 97, {48: (0, 2.0)}))
    counts[[20, 44, 70]] = 0
    ok = patterns.steady_frames(counts, ALL, np.ones(97, bool))
    assert list(np.flatnonzero(~ok)) == [20, 44, 70]
    products = patterns.likeness(patterns.patterns(counts, ALL, ok, speckle_px=4.0))
    found = events.find_events(products, ok)
    assert close(found.frame, [48])
    assert np.isnan(found.trace[[20, 44, 70]]).all()


def test_a_step_after_lost_frames_may_hide_another():
    rng = np.random.default_rng(9)
    counts = rng.poisson(intensities(rng, 97, {45: (0, 2.0), 48: (1, 2.0)}))
    ok = ~np.isin(np.arange(97), [45, 46, 47])
    products = patterns.likeness(patterns.patterns(counts, ALL, ok, speckle_px=4.0))
    found = events.find_events(products, ok)
    assert (found.first.tolist(), found.frame.tolist(), found.last.tolist(), found.merged.tolist()) == ([45], [48], [48], [True])


def test_a_lone_step_is_not_called_merged(series):
    found = search(series[1])
    assert found.merged.tolist() == [False] * 3
    np.testing.assert_array_equal(found.first, found.last)


@pytest.mark.parametrize("window", [8, 12])
def test_no_event_has_a_higher_rate_than_was_asked_for(window, series):
    found = search(series[1], window=window, false_alarms=3.0)
    assert np.all(found.false_alarm_rate <= 3.0)
    assert np.all(found.score >= found.threshold)


def test_the_scan_has_zero_mean_and_unit_width_on_noise():
    rng = np.random.default_rng(10)
    counts = rng.poisson(intensities(rng, 307, {}))
    products = patterns.likeness(patterns.patterns(counts, ALL, np.ones(307, bool), speckle_px=4.0))
    z = events.scan_statistic(products, 6)[6:-6:5]
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=0.25)


def test_the_threshold_rises_as_fewer_false_alarms_are_wanted():
    rng = np.random.default_rng(11)
    products = patterns.likeness(rng.normal(size=(101, 50)))
    few, many = (events.threshold(products, 6, false_alarms=rate, frames=3000) for rate in (0.1, 100.0))
    assert few > many


def test_too_few_frames_for_a_threshold_say_so():
    with pytest.raises(ValueError, match="needs 54 or more"):
        events.threshold(np.eye(30), 12)


def test_a_short_series_has_a_threshold_however_many_events_are_known():
    products = patterns.likeness(np.random.default_rng(14).normal(size=(54, 50)))
    plain = events.threshold(products, 12, frames=3000)
    assert np.isfinite(plain)
    assert events.threshold(products, 12, breaks=[21, 33], frames=3000) == plain  # nothing can be spared


def test_a_filled_diagonal_is_exact_in_a_linear_drift_up_to_second_order():
    x = np.linspace(0, 1, 7)[:, None]
    filled = patterns.fill_diagonal(x @ x.T).diagonal()
    np.testing.assert_allclose(filled[1:-1], x[1:-1, 0] ** 2 + 1 / 36, atol=1e-12)


def test_flickering_and_hot_pixels_are_not_steady():
    rng = np.random.default_rng(12)
    counts = rng.poisson(intensities(rng, 101, {}))
    counts[::5, 4, 9] += 60
    counts[:, 30, 3] += rng.poisson(400, 101)
    valid = patterns.steady_pixels(counts, ALL, np.ones(101, bool))
    assert not valid[4, 9]
    assert not valid[30, 3]
    assert (~valid).sum() == 2


def states(series):
    return [np.asarray(s, float)[65:83] for s in series], [np.asarray(s, float)[83:89] for s in series]


@pytest.mark.parametrize("weights", [sizes.covariance_weights, sizes.noise_weights])
def test_the_drop_with_noise_is_that_without(weights, series):
    (clean_before, before), (clean_after, after) = states(series)
    weighting = weights(series[0].mean(axis=0), ALL)
    noisy = sizes.measure_event(before, after, ALL, weighting)
    true = sizes.measure_event(clean_before, clean_after, ALL, weighting)
    assert true.drop > 0.05
    assert abs(noisy.drop - true.drop) < 4 * noisy.drop_error
    assert 0 < noisy.drop_error < 0.2 * true.drop
    assert noisy.fraction == pytest.approx(1 - np.sqrt(1 - noisy.drop))


def test_the_jackknife_error_is_the_scatter():
    rng = np.random.default_rng(13)
    clean = intensities(rng, 20, {10: (0, 1.5)})
    weighting = sizes.covariance_weights(clean.mean(axis=0), ALL)
    runs = [sizes.measure_event(c[:10], c[10:], ALL, weighting) for c in (rng.poisson(clean).astype(float) for _ in range(40))]
    errors = np.median([r.drop_error for r in runs])
    assert np.std([r.drop for r in runs]) == pytest.approx(errors, rel=0.4)


def test_rigid_motion_is_measured_and_leaves_no_internal_change():
    rng = np.random.default_rng(14)
    clean = intensities(rng, 24, {}, mean=3.0)
    clean[12:] = np.maximum(sizes.shift(clean[12:], (0.6, -0.35), ALL), 0)
    counts = rng.poisson(clean).astype(float)
    size = sizes.measure_event(counts[:12], counts[12:], ALL, sizes.covariance_weights(clean.mean(axis=0), ALL))
    np.testing.assert_allclose(size.shift_px, (0.6, -0.35), atol=0.08)
    assert size.drop > 10 * size.drop_error
    assert abs(size.drop_internal) < 4 * size.internal_error


def test_shifting_there_and_back_changes_nothing():
    frames = np.random.default_rng(15).random((2, 13, 17))
    there = sizes.shift(frames, (0.3, -1.7), np.ones((13, 17), bool))
    np.testing.assert_allclose(sizes.shift(there, (-0.3, 1.7), np.ones((13, 17), bool)), frames, atol=1e-12)


def test_a_few_pixels_alone_are_an_artefact_and_a_slip_is_not(series):
    assert sizes.collapses(series[1][30:54], ALL, 11, speckle_px=4.0).size == 0
    hot = series[1][:24].copy()
    hot[12:, 5:7, 5:7] += 40
    pixels = sizes.collapses(hot, ALL, 12, speckle_px=4.0)
    assert {(5, 5), (5, 6), (6, 5), (6, 6)} <= {tuple(map(int, p)) for p in pixels}


def test_annuli_are_measured_apart(series):
    (_, before), (_, after) = states(series)
    rings = np.full(SHAPE, -1)
    rings[15:23, 15:26] = 0
    rings[:4] = 1
    size = sizes.measure_event(before, after, ALL, sizes.covariance_weights(before.mean(axis=0), ALL), rings=rings)
    assert size.drop_by_ring.shape == (2,)
    assert np.isfinite(size.drop_by_ring[0])
