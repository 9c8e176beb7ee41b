from dataclasses import replace

import numpy as np
import pytest

from xcdi.artificial import drops, particle, scattering, schedules, slips
from xcdi.artificial.instrument import reciprocal_vector, sampling
from xcdi.artificial.motion import Motion
from xcdi.artificial.profiles import profile
from xcdi.artificial.streams import streams
from xcdi.artificial.variants import VARIANTS, variant
from xcdi.errors import XcdiError

SEED = 5


def drawn(**options):
    p = profile("pico", **({"frames": 200} | options))
    grown = particle.build(p, streams(SEED))
    return p, grown, slips.draw(p, grown, streams(SEED))


def frames_of(p, grown, events):
    still = Motion(np.zeros((p.frames, 2)), np.zeros(p.frames))
    return np.stack(list(scattering.series_frames(p, grown, events, sampling(p), still)))


def test_a_pattern_is_what_its_name_says():
    due = {name: schedules.appointments(profile("nano", event_pattern=name), None) for name in ("even", "doublet", "reversible", "burst")}
    frames = {name: np.array([e.time for e in events]) / 0.5 + 0.5 for name, events in due.items()}
    assert set(np.diff(frames["even"])) == {30}
    assert set(np.diff(frames["doublet"])[::2]) == {4}
    assert len(frames["burst"]) == 5
    assert np.ptp(frames["burst"]) < 10
    back = [(event, due["reversible"][event.parent]) for event in due["reversible"] if event.kind == "return"]
    assert len(back) == len(due["reversible"]) / 2
    assert all(first.time < event.time for event, first in back)


def test_there_and_back_ends_where_it_began():
    p, grown, events = drawn(event_pattern="reversible", event_spacing=30, slow="off", frames=60)
    frames = frames_of(p, grown, events)
    first, back = events[0], next(e for e in events if e.kind == "return" and e.parent == 0)
    np.testing.assert_allclose(frames[back.frame], frames[first.frame - 1], atol=1e-4 * frames.max())
    assert abs(frames[first.frame] - frames[first.frame - 1]).max() > 1e-2 * frames.max()


def test_a_slip_by_a_whole_period_is_invisible_and_has_no_drop():
    p, grown, events = drawn(event_pattern="perfect", event_spacing=20, slow="off", frames=60)
    frames = frames_of(p, grown, events)
    number = next(k for k, e in enumerate(events) if e.kind == "perfect")
    slip = events[number]
    assert slip.fraction == 0
    np.testing.assert_allclose(frames[slip.frame], frames[slip.frame - 1], atol=1e-5 * frames.max())
    for name, values in drops.drops(frames, [e.frame for e in events]).items():
        assert values[number] == pytest.approx(0, abs=1e-6), name
        assert np.delete(values, number).max() > 1e-3


def test_it_is_invisible_in_every_peak():
    p, _, events = drawn(event_pattern="perfect", event_spacing=20, slow="off", frames=60, reflections=((1, 1, 1), (0, 0, 2), (1, 1, -1)))
    slip = next(e for e in events if e.kind == "perfect")
    for hkl in p.reflections:
        turns = reciprocal_vector(p, hkl) @ slip.displacement / (2 * np.pi)
        assert turns == pytest.approx(round(turns), abs=1e-9)


@pytest.mark.parametrize("shape", ["slab", "grain"])
def test_all_of_a_boundary_heals_where_all_of_it_slipped(shape):
    _, grown, events = drawn(event_pattern="even", event_shape=shape, annealing=0.15, frames=70)
    face = particle.boundaries(grown)[events[0].boundary]
    gain = slips.healed(grown, events[0])
    nearest = [abs(grown.axes.points() - voxel).sum(axis=-1).argmin() for voxel in face.voxels[::7]]
    assert (gain.ravel()[nearest] > 1).all()


@pytest.mark.parametrize("shape", ["ball", "slab", "grain"])
def test_what_moves_is_a_part_of_one_grain(shape):
    _, grown, events = drawn(event_pattern="even", event_shape=shape)
    for slip in events:
        part = slips.region(grown, slip)
        own = grown.label == slip.moving
        assert 0 < part.max() <= 1
        assert not part[~own].any()
        assert (part[own] == 1).all() == (shape == "grain")
        if shape == "slab":
            away = (grown.axes.points() - slip.centre) @ slip.normal
            assert abs(away[part > 0]).max() <= slip.radius
            assert set(np.unique(part)) == {0.0, 1.0}


def test_a_slow_slip_starts_ends_and_only_grows_between():
    slip = slips.Slip(0, 10, 0, (1, 2), 1, np.zeros(3), 1, np.zeros(3), 1.0, 0.1, duration=7)
    done = [slip.progress(frame) for frame in range(8, 20)]
    assert done[:2] == [0, 0]
    assert done[8:] == [1, 1, 1, 1]
    assert (np.diff(done[1:9]) > 0).all()


def test_a_slow_slip_ends_in_the_state_of_a_quick_one():
    p, grown, events = drawn(event_pattern="even", slow="off", event_frames=(6, 6), frames=48)
    quick = [replace(slip, duration=1) for slip in events]
    slowly, quickly = frames_of(p, grown, events), frames_of(p, grown, quick)
    np.testing.assert_allclose(slowly[-1], quickly[-1], atol=1e-4 * quickly.max())
    between = events[0].frame + 2
    assert abs(slowly[between] - quickly[between]).max() > 1e-3 * quickly.max()


@pytest.mark.parametrize(("way", "normal_part"), [("shear", 0.0), ("opening", 1.0)])
def test_shear_lies_in_the_boundary_and_opening_across_it(way, normal_part):
    p, _, events = drawn(event_pattern="even", event_slip=way, frames=300)
    for slip in events:
        length = np.linalg.norm(slip.displacement)
        assert 0.5 <= length <= 1.5
        assert abs(slip.displacement @ slip.normal) / length == pytest.approx(normal_part, abs=1e-9)
        assert slip.phase == pytest.approx(sampling(p).peak @ slip.displacement)


def test_aftershocks_follow_their_mothers_at_the_same_boundary():
    _, _, events = drawn(event_pattern="even", aftershocks=0.6, frames=600)
    after = [slip for slip in events if slip.kind == "aftershock"]
    assert len(after) > 5
    for slip in after:
        mother = events[slip.parent]
        assert mother.time < slip.time
        assert mother.boundary == slip.boundary
    assert [slip.time for slip in events] == sorted(slip.time for slip in events)


def test_aftershocks_without_end_are_refused():
    with pytest.raises(XcdiError, match="choose less"):
        drawn(event_pattern="even", aftershocks=8.0, frames=60)


def test_delays_follow_omori():
    delays = schedules.omori_delays(4000, np.random.default_rng(0), p=1.8, c=0.5)
    share = 1 - (delays / 0.5 + 1) ** (1 - 1.8)  # uniform if the law holds
    assert abs(np.sort(share) - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / np.sqrt(4000)


def test_a_healed_boundary_scatters_more():
    p, grown, events = drawn(event_pattern="even", annealing=0.15, slow="off", frames=70)
    first, *_, last = scattering.states(grown, events, p.frames, sampling(p).peak)
    gain = (abs(last) ** 2).sum() / (abs(first) ** 2).sum()
    assert 1 < gain < 1.15**2
    assert slips.powers(grown, events)[-1] == pytest.approx(gain, rel=1e-4)
    assert (np.diff(slips.powers(grown, events)) >= 0).all()
    assert all(0 < slip.healing <= 0.15 for slip in events)


def test_other_options_leave_times_and_places_as_they_were():
    _, _, plain = drawn(event_pattern="even")
    for options in ({"event_frames": (1, 10)}, {"annealing": 0.15}, {"event_slip": "shear"}, {"event_shape": "slab"}):
        _, _, other = drawn(event_pattern="even", **options)
        for one, two in zip(plain, other, strict=True):
            assert (one.time, one.boundary, one.moving) == (two.time, two.boundary, two.moving)
            np.testing.assert_array_equal(one.centre, two.centre)


@pytest.mark.parametrize("size", ["pico", "nano", "std", "full"])
@pytest.mark.parametrize("name", [*VARIANTS, "bare"])
def test_every_variant_can_be_drawn_in_every_size(name, size):
    p = profile(size, **variant(size, name))
    scattering.check_window(p)
    assert p != profile(size) or size in ("std", "full")  # which are `standard` and age strongly themselves
