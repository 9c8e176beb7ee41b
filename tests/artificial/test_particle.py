from dataclasses import replace

import numpy as np
import pytest

from xcdi.artificial import particle, schedules, slips
from xcdi.artificial.instrument import sampling
from xcdi.artificial.profiles import profile
from xcdi.artificial.streams import STREAMS, streams
from xcdi.errors import XcdiError

PICO = profile("pico")


@pytest.fixture(scope="module")
def grown():
    return particle.build(PICO, streams(3))


def test_every_component_has_chance_of_its_own(grown):
    rng = streams(3)
    rng["smooth"].random(17)  # as if that component had grown
    again = particle.build(PICO, rng)
    np.testing.assert_array_equal(again.label, grown.label)
    for name in ("sites", "slow", "across", "amplitude"):
        np.testing.assert_array_equal(getattr(again, name), getattr(grown, name))
    assert not np.array_equal(again.displacement, grown.displacement)
    assert len(set(STREAMS)) == len(STREAMS)


def test_the_distortion_is_the_slope_of_the_displacement(grown):
    h = PICO.voxel_nm
    deep = (particle.labels(grown.axes.points(), grown.sites)[1] > 2 * h) & (grown.label > 0)
    for row, u in zip(grown.distortion, [grown.displacement, *grown.across], strict=True):
        slopes = np.stack(np.gradient(u, h)[::-1])
        for truth, direction in zip(row, grown.directions, strict=True):
            np.testing.assert_allclose(np.tensordot(direction, slopes, 1)[deep], truth[deep], atol=1e-8)


def test_the_object_of_a_peak_has_the_phase_of_the_whole_displacement(grown):
    peak = np.array([0.4, -1.1, 0.7])
    u = grown.vector
    np.testing.assert_allclose(grown.field(peak), grown.amplitude * np.exp(-1j * np.tensordot(peak, u, 1)), atol=1e-9)
    first = sampling(PICO).peak
    np.testing.assert_allclose(grown.field(first), grown.rho, atol=1e-9)


def test_the_distortion_of_a_grain_is_its_mean_and_that_of_all_is_zero(grown):
    for number, mean in enumerate(grown.distortions, 1):
        np.testing.assert_allclose(grown.distortion[:, :, grown.label == number].mean(axis=-1), mean, atol=1e-8)
    plain = particle.build(profile("pico", smooth_strain=0.0), streams(3))
    volumes = np.bincount(plain.label.ravel())[1:]
    np.testing.assert_allclose(np.tensordot(volumes, plain.distortions, 1) / volumes.sum(), 0, atol=1e-9)


def test_a_boundary_has_the_area_of_its_plane():
    p = profile("pico", grains=2)
    sites = np.array([[-90.0, -40, 10], [90.0, 40, -10]])
    axes = particle.grid(p)
    points = axes.points()
    inside = np.linalg.norm(points, axis=-1) < 200
    cell, _ = particle.labels(points, sites)
    label = np.where(inside, cell + 1, 0).astype(np.int16)
    (boundary,) = particle.boundaries(replace(particle.build(p, streams(0)), axes=axes, label=label, sites=sites))
    assert boundary.grains == (1, 2)
    assert boundary.area_nm2 == pytest.approx(np.pi * 200**2, rel=0.06)


def test_slow_pattern_has_no_mean_and_unit_power_under_the_object(grown):
    weight = (grown.amplitude**2).sum(axis=0)
    assert (weight * grown.slow).sum() == pytest.approx(0, abs=1e-9 * weight.sum())
    assert (weight * grown.slow**2).sum() == pytest.approx(weight.sum())


def test_events_change_the_fraction_they_were_drawn_for():
    p = profile("pico", frames=400, event_sizes=(0.01, 0.05))
    grown = particle.build(p, streams(5))
    events = slips.draw(p, grown, streams(5))
    assert len(events) > 5
    for slip in events:
        part = slips.region(grown, slip)
        assert slip.moving in slip.grains
        assert not part[grown.label != slip.moving].any()
        assert 0.0099 < slips.changed_fraction(grown, part, slip.phase) == slip.fraction < 0.0501
        assert slip.time <= slip.frame * p.frame_time_s < slip.time + p.frame_time_s


def test_the_event_rate_falls_with_age():
    p = profile("pico", frames=4000, event_rate=1.0, event_age_s=100.0)
    times = np.array([event.time for event in schedules.appointments(p, np.random.default_rng(0))])
    expected = 100 * np.log1p(2000 / 100)
    assert len(times) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    clock = np.log1p(times / 100) / np.log1p(2000 / 100)  # uniform if the law holds
    assert clock.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(times)))


def test_a_single_grain_has_no_boundary_to_slip_at():
    p = profile("pico", grains=1)
    with pytest.raises(XcdiError, match="events=False"):
        slips.draw(p, particle.build(p, streams(0)), streams(0))


def test_unknown_profiles_and_options_are_told():
    with pytest.raises(XcdiError, match="did you mean 'nano'"):
        profile("nanno")
    with pytest.raises(XcdiError, match=r"evnts: no such setting; did you mean 'events'"):
        profile("nano", evnts=False)


@pytest.mark.parametrize("name", ["grain-0", "grain-1", "poly-0", "poly-1"])
def test_a_hard_object_is_the_same_whatever_the_seed_and_strained_as_its_phase_is(name):
    p = profile("pico", object=name, size_nm=(700.0, 700.0, 700.0), events=False)
    one, other = (particle.build(p, streams(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(one.rho, other.rho)
    assert (one.label > 0).any()
    wave = np.exp(-1j * one.q_peak * one.displacement)
    slopes = -np.stack([(wave.conj() * g).imag for g in np.gradient(wave, p.voxel_nm)[::-1]]) / one.q_peak
    inside = one.label > 0
    np.testing.assert_allclose(np.tensordot(one.directions[0], slopes, 1)[inside], one.distortion[0, 0][inside], atol=1e-7)
    assert np.isfinite(one.distortions).all()


@pytest.mark.parametrize("shape", ["sphere", "ellipsoid", "touching", "corner"])
def test_every_shape_stays_inside_its_size(shape):
    p = profile("pico", shape=shape, events=False)
    grown = particle.build(p, streams(0))
    points = grown.axes.points()[grown.label > 0]
    assert (abs(points) <= np.array(p.size_nm) / 2 + p.voxel_nm).all()
    share = len(points) * p.voxel_nm**3 / np.prod(p.size_nm)
    assert 0.25 < share < 0.75
    if shape == "corner":
        assert (points / p.size_nm).sum(axis=1).max() < 0.55 < -(points / p.size_nm).sum(axis=1).min()
