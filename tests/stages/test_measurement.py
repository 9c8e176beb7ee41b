"""Laws of the columns of measured events, and of what is listed apart."""

import numpy as np
import pytest
import xarray as xr

from xcdi.schema import is_avalanche
from xcdi.stages import avalanches
from xcdi.stages.measurement import COLUMNS

SHAPE = (31, 37)
PLACED = {"q_peak": [1.3, 0.0, 0.0], "dq": 1.5e-3, "centre_px": (115, -700)}


def pattern(phases):
    """Patterns of a small particle of which one corner, then another, has slipped by these phases, (state, y, x)."""
    rng = np.random.default_rng(0)
    rho = np.zeros(SHAPE, complex)
    rho[11:20, 12:23] = np.exp(1j * np.cumsum(rng.normal(0, 0.35, (9, 11)), axis=0))
    states = np.repeat(rho[None], len(phases), axis=0)
    for state, (one, other) in zip(states, phases, strict=True):
        state[11:15, 12:18] *= np.exp(1j * one)
        state[16:20, 17:23] *= np.exp(1j * other)
    images = np.abs(np.fft.fftshift(np.fft.fft2(states), axes=(1, 2))) ** 2
    return images / images[0].mean()


def correlation(mean, seed=1, **attrs):
    """CORRELATION of the noise-free frames `mean` (time, y, x)."""
    counts = np.random.default_rng(seed).poisson(mean)
    y, x = np.indices(SHAPE).reshape(2, -1)
    return xr.Dataset(
        {
            "counts": (("time", "pixel"), counts.reshape(len(counts), -1).astype(np.uint16)),
            "pixel_y": ("pixel", y + 100),
            "pixel_x": ("pixel", x + 200),
        },
        coords={"time": ("time", np.arange(len(counts)) * 0.5, {"units": "s"})},
        attrs=attrs,
    )


def series(*changes, frames=121, **options):
    """Series in which each (frame, duration, one, other) adds to the phases of the two corners."""
    phases = np.zeros((frames, 2))
    for first, duration, one, other in changes:
        done = (1 - np.cos(np.pi * np.clip((np.arange(frames) - first + 1) / duration, 0, 1))) / 2
        phases += done[:, None] * np.array([one, other])
    return correlation(pattern(phases), **options)


@pytest.fixture(scope="module")
def slow():
    return avalanches.find_events(series((56, 8, 2.0, 0.0), **PLACED))


@pytest.fixture(scope="module")
def there_and_back():
    return avalanches.find_events(series((40, 1, 2.0, 0.0), (80, 1, -2.0, 0.0)))


def test_every_column_is_there_with_its_units(slow, there_and_back):
    for events in (slow, there_and_back):
        for name, units in COLUMNS.items():
            assert events[name].dims == ("event",)
            assert events[name].attrs["units"] == units


def test_a_slow_event_is_one_event_and_lasts_as_long_as_it_does(slow):
    assert slow.sizes["event"] == 1
    assert bool(slow.duration_resolved[0])
    assert float(slow.duration[0]) == pytest.approx(4.0, abs=4 * float(slow.duration_error[0]))
    assert int(slow.first_frame[0]) <= 57 < 62 <= int(slow.last_frame[0])


def test_a_slow_event_is_as_large_as_a_sudden_one(slow):
    sudden = avalanches.find_events(series((60, 1, 2.0, 0.0)))
    assert not bool(sudden.duration_resolved[0])
    assert float(sudden.duration[0]) == 0.5
    both = float(np.hypot(slow.drop_error[0], sudden.drop_error[0]))
    assert abs(float(slow["drop"][0]) - float(sudden["drop"][0])) < 4 * both


def test_what_is_undone_returns(there_and_back):
    first = there_and_back.isel(event=0)
    assert float(first.returned) == pytest.approx(1.0, abs=4 * float(first.returned_error) + 0.02)
    assert float(first.return_index) > 0.9
    assert float(first.product_ratio) - 1 > 5 * float(first.product_error)
    assert np.isnan(float(there_and_back.returned[1]))


def test_other_places_do_not_return():
    first = avalanches.find_events(series((40, 1, 2.0, 0.0), (80, 1, 0.0, 2.0))).isel(event=0)
    assert float(first.returned) < 0.3


def test_sectors_and_lengths_need_the_place_in_reciprocal_space(slow, there_and_back):
    placed = ("drop_radial", "drop_azimuthal", "anisotropy", "strain_step", "strain_error", "rotation_step")
    assert all(np.isfinite(float(slow[name][0])) for name in placed)
    assert all(np.isnan(there_and_back[name].values).all() for name in (*placed[:3], "region_length"))
    assert not {"strain_step", "rotation_step"} & set(there_and_back)
    ratio = float(slow.drop_azimuthal[0] / slow.drop_radial[0])
    assert float(slow.anisotropy[0]) == pytest.approx(ratio)


def test_the_light_that_made_the_result_is_told(slow):
    assert slow.attrs["mean_count"] == pytest.approx(1.0, rel=0.1)
    assert slow.attrs["photons"] == pytest.approx(slow.attrs["mean_count"] * slow.attrs["good_frames"] * 31 * 37)


def test_a_jump_of_the_beam_is_listed_apart_from_the_event_beside():
    mean = pattern(np.where(np.arange(121)[:, None] >= [61, 999], 2.0, 0.0))
    mean[41:] *= 0.8
    found = avalanches.find_events(correlation(mean))
    assert found["flags"].values.tolist() == ["beam", ""]
    assert abs(found.frame.values - [41, 61]).max() <= 1
    assert is_avalanche(found["flags"].values).tolist() == [False, True]
    assert found.attrs["not_avalanches"] == "1 beam"
    assert float(found.brightness_step[0]) == pytest.approx(-0.2, abs=4 * float(found.brightness_error[0]))


def test_the_monitor_takes_the_beam_out_of_the_brightness():
    mean = pattern(np.where(np.arange(121)[:, None] >= [61, 999], 2.0, 0.0))
    beam = np.where(np.arange(121) >= 61, 0.7, 1.0)
    found = avalanches.find_events(correlation(mean * beam[:, None, None]).assign(monitor=("time", 1e6 * beam)))
    true = mean[70].sum() / mean[50].sum() - 1
    assert found["flags"].values.tolist() == [""]
    assert float(found.brightness_step[0]) == pytest.approx(true, abs=4 * float(found.brightness_error[0]))


def test_half_a_detector_that_reads_zero_for_a_while_is_a_module():
    mean = pattern(np.where(np.arange(121)[:, None] >= [41, 999], 2.0, 0.0))
    mean[61:64, :, :18] = 0
    found = avalanches.find_events(correlation(mean))
    assert found["flags"].values.tolist() == ["", "module"]
    assert found.first_frame.values.tolist() == [41, 61]
    assert int(found.last_frame[1]) == 64
    assert found.attrs["left_out"] == "3 of 121 frames: 61-63"


def test_a_module_that_comes_back_with_another_gain_is_no_event():
    mean = pattern(np.zeros((121, 2)))
    mean[60:, :, :14] *= 0.5
    found = avalanches.find_events(correlation(3 * mean))
    assert not is_avalanche(found["flags"].values).any()
    assert any("module" in flags for flags in found["flags"].values)
