"""Every fault is in the frames where the truth says, and switching one off changes no other."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.artificial import detector
from xcdi.artificial.faults import artifacts, box_of, faults
from xcdi.artificial.instrument import beam_centre, masked_pixels
from xcdi.artificial.profiles import profile
from xcdi.artificial.streams import streams

PICO = profile("pico", late_hot=True, restart=True, hole=True, monitor_noise=0.0)
CLEAN = {"background": 0.0, "ring": 0.0, "bad_pixels": False, "bad_frames": False, "streaks": False, "flat_sd": 0.0, "dead_time_s": 0.0}


def drawn(p, events=()):
    return faults(p, events, streams(5))


def exposed(p, f, mean=1.0, frames=None, **options):
    means = np.full((frames or p.frames, p.window, p.window), mean)
    patches = ([detector.Patch(*detector.box_of(p, p.window), mean)] for mean in means)
    return np.stack(list(detector.expose(patches, p, f, streams(5)["series_counts"], **options)))


@pytest.fixture(scope="module")
def faulty():
    return drawn(PICO)


@pytest.fixture(scope="module")
def counts(faulty):
    return exposed(PICO, faulty)


@pytest.mark.parametrize("switch", ["late_hot", "restart", "hole", "bad_frames", "streaks", "bad_pixels"])
def test_switching_one_fault_off_leaves_all_other_draws(switch, faulty):
    names = {
        "late_hot": {"late_hot", "late_frame", "late_rate"},
        "restart": {"restart_frames"},
        "hole": {"lost"},
        "bad_frames": {"dropped", "doubled"},
        "streaks": {n for n in artifacts(faulty) if n.startswith("streak")},
        "bad_pixels": {"dead", "hot", "hot_rate", "flickering", "flicker_rate"},
    }[switch]
    with_it, without = (
        artifacts(faulty),
        artifacts(drawn(profile("pico", **{"late_hot": True, "restart": True, "hole": True, switch: False}))),
    )
    assert all(np.size(with_it[name]) > np.size(without[name]) or np.ndim(with_it[name]) == 0 for name in names)
    for name in with_it.keys() - names:
        np.testing.assert_array_equal(with_it[name], without[name], err_msg=name)


@pytest.mark.parametrize("switch", ["bad_pixels", "late_hot", "restart", "bad_frames", "streaks"])
def test_switching_one_fault_off_leaves_the_counts_everywhere_else(switch, faulty, counts):
    p = PICO.model_copy(update={switch: False})
    same = exposed(p, drawn(p)) == counts
    elsewhere = np.ones(counts.shape, bool)
    pixels, (rows, columns) = faulty.pixels, box_of(PICO, PICO.box)
    if switch == "bad_pixels":
        elsewhere[:, *np.concatenate([pixels.dead, pixels.hot, pixels.flickering]).T] = False
    elif switch == "late_hot":
        elsewhere[faulty.late.frame :, *faulty.late.pixels.T] = False
    elif switch == "restart":
        elsewhere[list(faulty.restart), rows, columns.start : PICO.peak_px[1]] = False
    elif switch == "bad_frames":
        elsewhere[[*faulty.dropped, *faulty.doubled]] = False
    else:
        elsewhere[tuple(faulty.streaks.pixels.T)] = False
    assert same[elsewhere].all()
    assert not same.all()


def test_stray_counts_do_not_change_the_photons(faulty):
    with_strays = exposed(PICO, faulty, frames=5)
    without = exposed(PICO.model_copy(update={"background": 0.0, "ring": 0.0}), faulty, frames=5)
    differ = with_strays.astype(int) - without
    assert (differ >= 0).all()
    assert 0 < differ.sum() < 5 * 2 * 0.005 * differ[0].size


@pytest.mark.parametrize("mean", [20.0, 5e4])
def test_the_dead_time_takes_what_the_formula_says(mean):
    p = profile("pico", **CLEAN | {"dead_time_s": 1e-6})
    valid = ~masked_pixels(p)[box_of(p, p.window)]
    found = exposed(p, drawn(p), mean, frames=40)[:, *box_of(p, p.window)][:, valid]
    rate = mean / detector.count_time(p)
    expected = rate / (1 + rate * p.dead_time_s) * detector.count_time(p)
    assert found.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / found.size))
    assert detector.registered(1e30, p) == pytest.approx(detector.count_time(p) / p.dead_time_s)


def test_the_flat_field_is_the_mean_of_many_frames_of_even_light():
    p = profile("pico", **CLEAN | {"flat_sd": 0.05})
    window = box_of(p, p.window)
    faulty = drawn(p)
    mean = exposed(p, faulty, mean=1000.0, frames=50)[:, *window].mean(axis=0) / 1000
    away = (mean - faulty.flat[window])[~masked_pixels(p)[window]]
    assert away.std() == pytest.approx(1 / np.sqrt(50 * 1000), rel=0.1)
    assert abs(away.mean()) < 4 * away.std() / np.sqrt(away.size)
    assert faulty.flat.std() == pytest.approx(0.05, rel=0.05)


def test_the_ring_goes_through_the_peak_about_the_beam():
    p = profile("pico", **CLEAN | {"ring": 0.5})
    counts = exposed(p, drawn(p), mean=0.0, frames=40).astype(float)
    counts[:, masked_pixels(p)] = np.nan
    rows, columns = np.indices(p.detector)
    row, column = beam_centre(p)
    radius = np.hypot(rows - row, columns - column)
    away = radius - (p.peak_px[1] - column)
    for sds, height in ((0, 1.0), (1, np.exp(-0.5)), (2, np.exp(-2.0)), (-1, np.exp(-0.5))):
        band = abs(away - sds * 0.15 * p.box) < 0.5
        assert np.nanmean(counts[:, band]) == pytest.approx(0.5 * height, rel=0.08)


def test_bad_pixels_are_fractions_of_a_large_detector():
    p = profile("full")
    pixels = drawn(p).pixels
    assert [len(kind) for kind in (pixels.dead, pixels.hot, pixels.flickering)] == [90, 45, 45]
    everywhere = np.concatenate([pixels.dead, pixels.hot, pixels.flickering])
    distance = abs(everywhere - p.peak_px).max(axis=1)
    assert (distance < p.box // 2).sum() == 3
    assert distance.min() > p.box // 4
    assert len(np.unique(everywhere, axis=0)) == len(everywhere)


def test_dropped_and_doubled_frames_are_one_each_in_500_and_away_from_what_happens():
    p = profile("std")
    events = range(100, 900, 40)
    faulty = drawn(p, events)
    assert len(faulty.dropped) == len(faulty.doubled) == 2
    for frame in faulty.dropped + faulty.doubled:
        assert min(abs(frame - other) for other in [*events, p.frames // 2]) > 2


@pytest.mark.parametrize("seed", range(8))
def test_what_is_recorded_of_a_frame_can_be_seen_in_it(seed):
    faulty = faults(PICO, [10, 20], streams(seed))
    kinds = [faulty.dropped, faulty.doubled, faulty.lost, faulty.restart, tuple(faulty.streaks.frame)]
    everything = sum(kinds, ())
    assert all(kinds)
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_very_short_series_has_the_faults_that_fit(frames):
    p = PICO.model_copy(update={"frames": frames})
    assert len(exposed(p, drawn(p))) == frames


def test_every_fault_is_in_the_frames_where_it_is_recorded(counts, faulty):
    seen = np.delete(np.arange(PICO.frames), faulty.dropped)
    late, streaks, pixels = faulty.late, faulty.streaks, faulty.pixels
    masked = masked_pixels(PICO)
    assert not counts[list(faulty.dropped)].any()
    assert not counts[:, *pixels.dead.T].any()
    assert counts[list(faulty.doubled)][:, *box_of(PICO, 20)].mean() == pytest.approx(2, abs=0.2)
    on = seen[(seen >= late.frame)]
    assert counts[on][:, *late.pixels.T].mean() == pytest.approx(late.rate[0], rel=0.1)
    assert counts[: late.frame, *late.pixels.T].max() < 10
    rows, columns = box_of(PICO, PICO.box)
    assert set(np.unique(counts[list(faulty.restart), rows, columns.start : PICO.peak_px[1]])) == {0}
    crossed = ~masked[tuple(streaks.pixels[:, 1:].T)]
    assert (counts[tuple(streaks.pixels[crossed].T)] >= streaks.counts[crossed]).all()
    assert len(streaks.frame) == 1
    assert 10 <= streaks.length[0] <= 60
    assert (counts[seen][:, masked] == detector.sentinel(PICO)).all()


def test_a_flickering_pixel_is_hot_in_every_fifth_frame():
    p = profile("pico", background=0.0, ring=0.0)
    faulty = replace(drawn(p).lasting)
    lit = exposed(p, faulty, mean=0.0, frames=300)[:, *faulty.pixels.flickering.T] > 5
    assert lit.mean() == pytest.approx(0.2, abs=0.05)


def test_the_counter_stops_at_its_cut_off():
    p = profile("pico", cutoff=50)
    counts = exposed(p, drawn(p).lasting, mean=49.0, frames=3)[:, ~masked_pixels(p)]
    assert counts.max() == 50
    assert (counts == 50).mean() > 0.05


def test_an_8_bit_counter_starts_anew_after_255():
    options = {"streaks": False, "bad_frames": False, "bad_pixels": False}
    wide, narrow = (profile("pico", rollover=over, **options) for over in (False, True))
    rolled, faulty, valid = np.zeros(4, int), drawn(wide), ~masked_pixels(wide)
    full = exposed(wide, faulty, mean=250.0, frames=4)
    counts = exposed(narrow, faulty, mean=250.0, frames=4, over=rolled)
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(counts[:, valid], full[:, valid] % 256)
    assert (counts[:, ~valid] == 255).all()
    np.testing.assert_array_equal(rolled, (full[:, valid] > 255).sum(axis=1))
    assert rolled.min() > 100


def test_the_monitor_sees_the_jump_of_the_beam():
    p = profile("pico", monitor_noise=0.0)
    still, jumped = (detector.beam(p, p.frames, streams(1)["beam"], jump=jump) for jump in (0.0, -0.2))
    ratio = np.where(np.arange(p.frames) < p.frames // 2, 1.0, 0.8)
    np.testing.assert_allclose(jumped.intensity / still.intensity, ratio)
    np.testing.assert_allclose(jumped.monitor / still.monitor, ratio, atol=0.01)


def test_a_detector_without_faults_shows_only_photons():
    p = profile("pico", gaps=(), beamstop=None, **CLEAN)
    counts = exposed(p, drawn(p), mean=2.0, frames=3)
    counts[:, *box_of(p, p.window)] = 0
    assert not counts.any()
    assert (drawn(p).flat == 1).all()
