"""Laws of what is measured on events beside their size: durations, returns, sectors; and of what looks like an event and is none."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import artefacts, durations, returns, sectors, sizes

SHAPE = (29, 31)
ALL = np.ones(SHAPE, bool)


def states(rng, n):
    """So many unrelated patterns as vectors of 400 pixels."""
    return rng.normal(size=(n, 400))


def seen(clean, rng, noise=1.0):
    return clean + noise * rng.normal(size=clean.shape)


def slow(frames, start, length, rng, drift=0.0):
    """Frames on the way from one pattern to another along an arc of 2 rad, on a drift along a third."""
    old, new, other = states(rng, 3)
    done = (1 - np.cos(np.pi * np.clip((np.arange(frames) - start + 1) / length, 0, 1))) / 2
    way = old * np.cos(done)[:, None] + new * np.sin(done)[:, None]
    return way + drift * np.arange(frames)[:, None] * (other + new)


def fitted(frames, early, late):
    number = np.arange(len(frames))
    plateau = (number < early) | (number >= late)
    way = durations.progress(frames @ frames.T, number < early, number >= late)
    return durations.transition(way, number, plateau, (15.0, 30.0))


@pytest.mark.parametrize("length", [4, 8, 11])
@pytest.mark.parametrize("drift", [0.0, 0.01])
def test_a_slow_event_lasts_as_long_as_it_does(length, drift):
    rng = np.random.default_rng(length)
    found = fitted(seen(slow(50, 21, length, rng, drift), rng), 19, 34)
    assert found.resolved
    assert abs(found.frames - length) < 4 * found.error < 10
    assert abs(found.start - 21) < 2


@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_a_sudden_event_is_not_resolved_however_the_pattern_drifts(drift):
    rng = np.random.default_rng(3)
    runs = [fitted(seen(slow(50, 23, 1, rng, drift), rng), 19, 30) for _ in range(10)]
    assert not any(run.resolved for run in runs)
    assert all(abs(run.sudden - 23) <= 0.5 for run in runs)


def test_an_event_in_the_midst_of_an_exposure_is_sudden():
    rng = np.random.default_rng(4)
    assert not fitted(seen(slow(50, 23, 2, rng), rng, 0.3), 19, 30).resolved


def test_two_events_are_told_from_a_slow_one():
    rng = np.random.default_rng(5)
    one, two, three = states(rng, 3)
    number = np.arange(50)
    split = np.where(number[:, None] < 20, one, np.where(number[:, None] < 28, two, three))
    ends = number < 17, number >= 31
    for clean, which in ((split, "two"), (slow(50, 20, 9, rng), "one")):
        frames = seen(clean, rng, 0.5)
        way = durations.progress(frames @ frames.T, *ends)
        both = durations.two_steps(way, number, ends[0] | ends[1], (20, 28))
        smooth = durations.transition(way, number, ends[0] | ends[1], (12.0, 28.0)).misfit
        assert (smooth < both) == (which == "one")


def test_noise_does_not_bias_the_progress():
    rng = np.random.default_rng(6)
    clean = np.repeat(states(rng, 2), [10, 10], axis=0)
    number = np.arange(20)
    runs = []
    for _ in range(30):
        frames = seen(clean, rng, 3.0)
        runs.append(durations.progress(frames @ frames.T, number < 7, number >= 13)[7:13])
    np.testing.assert_allclose(np.mean(runs, axis=0), [0, 0, 0, 1, 1, 1], atol=0.15)


def test_there_and_back_returns_and_breaks_the_product_rule():
    rng = np.random.default_rng(7)
    one, change, other = states(rng, 3)
    parts = [np.arange(k, k + 10) for k in (0, 10, 20)]
    for last, back in ((one, True), (one + change + other, False)):
        frames = seen(np.repeat([one, one + change, last], 10, axis=0), rng, 0.5)
        products = frames @ frames.T
        share, ratio = returns.returned(products, parts, 0), returns.product_rule(products, *parts)
        if back:
            assert share.share == pytest.approx(1.0, abs=4 * share.share_error + 0.01)
            assert ratio[0] == pytest.approx(2.0, rel=0.2)
        else:
            assert share.share < 0
            assert ratio[0] == pytest.approx(1.0, abs=0.15)


def test_the_error_of_the_product_rule_is_its_scatter():
    rng = np.random.default_rng(8)
    one, change, other = states(rng, 3)
    clean = np.repeat([one, one + change, one + change + other], 8, axis=0)
    parts, runs = [np.arange(k, k + 8) for k in (0, 8, 16)], []
    for _ in range(40):
        frames = seen(clean, rng)
        runs.append(returns.product_rule(frames @ frames.T, *parts))
    values, errors = np.transpose(runs)
    assert np.std(values) == pytest.approx(np.median(errors), rel=0.4)


def test_no_later_stretch_no_return():
    found = returns.returned(np.eye(20), [np.arange(10), np.arange(10, 20)], 0)
    assert found.stretch == -1
    assert np.isnan(found.likeness)


def test_sectors_part_the_plane_in_two_whatever_the_direction():
    for along in ([0.0, 1.0], [0.6, -0.8]):
        found = sectors.sectors(SHAPE, (14, 15), np.array(along), inner=2.0)
        turned = sectors.sectors(SHAPE, (14, 15), np.array([-along[1], along[0]]), inner=2.0)
        assert (found == -1).sum() == (turned == -1).sum() > 0
        swapped = (found == sectors.RADIAL) == (turned == sectors.AZIMUTHAL)
        assert swapped[found >= 0].mean() > 0.9


@pytest.mark.parametrize("half", [2.0, 4.0])
def test_the_half_radius_is_found_within_its_error(half):
    rng = np.random.default_rng(9)
    radius = np.arange(1.0, 12.0)
    drop = 0.2 * (1 - 2.0 ** -((radius / half) ** 2)) + 0.01 * rng.normal(size=radius.size)
    found = sectors.half_radius(radius, drop, np.full(radius.size, 0.01))
    assert abs(found.radius - half) < 3 * found.error < half


def test_a_drop_that_is_the_same_everywhere_has_no_length():
    radius = np.arange(1.0, 9.0)
    assert np.isnan(sectors.half_radius(radius, np.zeros(8), np.full(8, 0.01)).radius)
    assert np.isnan(sectors.half_radius(radius, np.full(8, np.nan), np.full(8, np.nan)).radius)


def speckle(rng, turn=0.0):
    """Pattern of a particle of which `turn` [rad] slips a part; one photon a pixel in the mean."""
    rho = np.zeros(SHAPE, complex)
    rho[10:19, 10:20] = np.exp(1j * np.cumsum(rng.normal(0, 0.35, (9, 10)), axis=0))
    rho[10:14, 10:15] *= np.exp(1j * turn)
    image = np.abs(np.fft.fftshift(np.fft.fft2(rho))) ** 2
    return image / image.mean()


@pytest.mark.parametrize("gain", [0.0, 0.6, 2.0])
def test_a_module_of_another_gain_explains_the_change(gain):
    rng = np.random.default_rng(10)
    mean = speckle(rng)
    after = mean.copy()
    after[:, 9:21] *= gain
    found = artefacts.block(rng.poisson(mean, (40, *SHAPE)), rng.poisson(after, (40, *SHAPE)), ALL)
    assert found.explained > 0.9
    assert found.gain == pytest.approx(gain, abs=0.1)
    assert abs(found.columns[0] - 9) + abs(found.columns[1] - 21) <= 4


def test_no_block_explains_a_slip_or_noise():
    before, after = speckle(np.random.default_rng(11)), speckle(np.random.default_rng(11), turn=2.0)
    rng = np.random.default_rng(12)
    for one, other in ((before, after), (before, before)):
        assert artefacts.block(rng.poisson(one, (12, *SHAPE)), rng.poisson(other, (12, *SHAPE)), ALL).explained < 0.5


def test_a_jump_is_found_and_a_drift_is_none():
    rng = np.random.default_rng(13)
    level = 1e4 * np.linspace(1, 0.5, 301) * (1 + 0.02 * rng.normal(size=301))
    ok = rng.random(301) > 0.05
    assert artefacts.jumps(level, ok)[0].size == 0
    level[140:] *= 0.8
    found = artefacts.jumps(level, ok)[0]
    assert found.size == 1
    assert abs(found[0] - 140) <= 2


def test_the_error_of_a_brightness_step_is_its_scatter():
    rng = np.random.default_rng(14)
    sides = [(rng.normal(1e4, 200, 12), rng.normal(1.1e4, 200, 9)) for _ in range(200)]
    runs = [artefacts.brightness_step(*side, photons=1e4) for side in sides]
    steps, errors = np.transpose(runs)
    assert steps.mean() == pytest.approx(0.1, abs=0.005)
    assert steps.std() == pytest.approx(np.mean(errors), rel=0.25)


def test_a_neighbouring_plane_of_the_rocking_scan_is_a_tilt_and_a_slip_is_none():
    rng = np.random.default_rng(15)
    angles = np.arange(9) - 4.0
    planes = [speckle(np.random.default_rng(s)) for s in (16, 17)]
    rocking = np.stack([planes[0] * np.cos(0.4 * a) ** 2 + planes[1] * np.sin(0.4 * a) ** 2 for a in angles])
    turned = planes[0] * np.cos(0.4 * 1.6) ** 2 + planes[1] * np.sin(0.4 * 1.6) ** 2
    still = rng.poisson(3 * rocking[5] * np.ones((12, 1, 1)))
    found = artefacts.tilt(still, rng.poisson(3 * turned, (12, *SHAPE)), ALL, rocking, 5.0)
    assert found.explained > 0.6
    assert found.step == pytest.approx(0.6, abs=0.2)
    slipped = speckle(np.random.default_rng(20))  # another state altogether
    assert artefacts.tilt(still, rng.poisson(3 * slipped, (12, *SHAPE)), ALL, rocking, 5.0).explained < 0.4


def test_the_error_of_a_shift_is_its_scatter():
    rng = np.random.default_rng(18)
    mean = 3 * speckle(rng)
    found = []
    for _ in range(40):
        before, after = (rng.poisson(mean, (12, *SHAPE)).astype(float) for _ in range(2))
        moved = sizes.register(before.mean(axis=0), after.mean(axis=0), ALL)
        found.append([*moved, *sizes.shift_error(before, after, ALL)])
    row, column, row_error, column_error = np.transpose(found)
    assert np.std(row) == pytest.approx(np.mean(row_error), rel=0.4)
    assert np.std(column) == pytest.approx(np.mean(column_error), rel=0.4)


def test_every_weighting_measures_no_drop_where_nothing_changes():
    rng = np.random.default_rng(19)
    mean = speckle(rng)
    frames = rng.poisson(mean, (24, *SHAPE)).astype(float)
    for weights in (sizes.covariance_weights, sizes.noise_weights, sizes.whitening_weights):
        size = sizes.measure_event(frames[:12], frames[12:], ALL, weights(mean, ALL))
        assert abs(size.drop) < 4 * size.drop_error
        assert size.fraction_error == pytest.approx(size.drop_error / 2, rel=0.1)
