"""The multi-tau fold over frames: blocks change no bit, and it agrees with the full two-time correlation."""

import itertools

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.correlation import views
from xcdi.stages.correlation import TwoTime
from xcdi.stages.multi_tau import MultiTau

TIMES, SHAPE, SENTINEL = 61, (13, 17), 2**32 - 1
BOX = np.zeros(SHAPE, bool)
BOX[1:12, 2:16] = True


def photons(seed=0, *, mean=2.0, times=TIMES):
    """Speckles that change little by little, two pixels wide."""
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal((2, *SHAPE)) + 1j * rng.standard_normal((2, *SHAPE))
    frames = []
    for _ in range(times):
        wave = 0.97 * wave + 0.243 * (rng.standard_normal(wave.shape) + 1j * rng.standard_normal(wave.shape))
        blurred = sum(np.roll(wave, (a, b), (1, 2)) for a in (0, 1) for b in (0, 1)) / 2
        frames.append(rng.poisson(mean * np.mean(np.abs(blurred) ** 2, axis=0) / 2))
    return np.stack(frames).astype(np.uint32)


def scan(counts, **changes):
    n = len(counts)
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(counts.shape[1:], bool), {"units": ""}),
            "frame_ok": ("frame", np.ones(n, bool), {"units": ""}),
            **changes,
        },
        coords={"time": ("frame", np.arange(n) * 0.5, {"units": "s"})},
        attrs={"sentinel": SENTINEL, "scan": "S001"},
    )


def fold(data, cuts=(0, TIMES), region=BOX, **options):
    options = {"channels": 4, **options}
    total = MultiTau(region, **options)
    for start, stop in itertools.pairwise(cuts):
        total = total.add(data.isel(frame=slice(start, stop)))
    return total


@pytest.fixture(scope="module")
def faulty():
    """A series with what goes wrong at a beamline and shows at once."""
    counts = photons()
    counts[23] = SENTINEL  # unreadable
    counts[:, 9, 9] = 700  # a hot pixel
    return scan(counts, frame_ok=("frame", np.arange(TIMES) != 33, {"units": ""}))


@pytest.mark.parametrize("cuts", [(0, 20, 21, 40, TIMES), (0, 20, *range(21, TIMES + 1))])
@pytest.mark.parametrize("normalisation", ["N1", "N4"])
def test_block_by_block_is_the_whole_bit_for_bit(faulty, cuts, normalisation):
    whole = fold(faulty, normalisation=normalisation).result()
    xr.testing.assert_identical(fold(faulty, cuts, normalisation=normalisation).result(), whole)
    assert whole.attrs["bad_frames"] == [23, 33]
    assert whole.attrs["dropped_pixels"] == 1
    assert not whole.attrs["provisional"]


SMALL = np.zeros(SHAPE, bool)
SMALL[2:6, 3:7] = True  # 16 pixels: one less of them is not the same


@pytest.mark.parametrize("region", [BOX, SMALL])
@pytest.mark.parametrize("normalisation", ["N1", "N4"])
def test_it_agrees_with_the_full_two_time_correlation(faulty, normalisation, region):
    full = TwoTime(region, normalisation=normalisation).add(faulty).result()
    found = fold(faulty, normalisation=normalisation, region=region).result()
    for lag in (0, 1, 2):
        single = (found.element_level == 0) & (found.element_lag == lag)
        np.testing.assert_allclose(found.two_time_multi_tau[0][single], np.diagonal(full.two_time[0], lag), rtol=1e-11)
    np.testing.assert_allclose(found.g2[0, :4], full.g2[0, :4], rtol=1e-11)
    np.testing.assert_array_equal(found.delay[:5], [0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(found.mean_count, full.mean_count)
    np.testing.assert_allclose(found.g2_error[0, :4], full.g2_error[0, :4], rtol=1e-6)
    np.testing.assert_allclose(found.contrast, full.contrast, rtol=1e-11)
    for name in ("pixel_y", "pixel_x", "frame_ok"):
        np.testing.assert_array_equal(found[name], full[name])
    for name in ("g2_convention", "contrast", "normalisation"):
        assert name in found.attrs


def test_ages_are_those_of_the_full_correlation(monkeypatch):
    data = scan(photons(6))
    data = data.assign_coords(time=data.time + 100.0)
    monkeypatch.setattr("xcdi.stages.one_time.AGES", 3)
    monkeypatch.setattr("xcdi.stages.multi_tau.AGES", 3)
    full, found = TwoTime(BOX, "N1").add(data).result(), fold(data).result()
    np.testing.assert_allclose(found.age, full.age)


def test_what_is_found_late_is_said_and_left_out_in_a_second_pass():
    counts = photons(1)
    counts[40:, 5, 5] = 900  # turns hot
    counts[50] *= 4  # a burst
    data = scan(counts)
    first = fold(data, (0, 20, TIMES))
    looked = first.result()
    assert looked.attrs["provisional"]
    assert "1 bad pixels found late and 1 bad frames found late" in looked.attrs["warning"]
    second = fold(data, (0, 30, TIMES), judged=first.judge()).result()
    assert second.attrs["bad_frames"] == [50]
    assert second.attrs["dropped_pixels"] == 1
    assert not second.attrs["provisional"]
    masked = data.assign(valid=(("y", "x"), ~((np.arange(13)[:, None] == 5) & (np.arange(17) == 5)), {"units": ""}))
    masked["frame_ok"] = ("frame", np.arange(TIMES) != 50, {"units": ""})
    np.testing.assert_array_equal(second.g2, fold(masked).result().g2)


def test_a_gap_in_time_is_a_gap_in_delay():
    data = scan(photons(2))
    kept = data.isel(frame=[k for k in range(TIMES) if k not in (0, 10, 11, 12)])
    marked = data.assign(frame_ok=("frame", ~np.isin(np.arange(TIMES), [10, 11, 12]), {"units": ""})).isel(frame=slice(1, None))
    a, b = fold(kept, (0, 5, TIMES - 4)).result(), fold(marked, (0, TIMES - 1)).result()
    np.testing.assert_array_equal(a.g2, b.g2)
    np.testing.assert_array_equal(a.two_time_multi_tau, b.two_time_multi_tau)
    assert a.sizes["time"] == TIMES - 4


def test_regions_do_not_know_each_other():
    data = scan(photons(3, mean=8.0))
    labels = np.zeros(SHAPE, int)
    labels[1:6, 2:16], labels[6:12, 2:16] = 1, 2
    both = fold(data, region=labels).result()
    for k in (1, 2):
        alone = fold(data, region=labels == k).result()
        np.testing.assert_array_equal(both.two_time_multi_tau[k - 1], alone.two_time_multi_tau[0])
        np.testing.assert_array_equal(both.g2_error[k - 1], alone.g2_error[0])


def test_the_map_of_ages_and_the_pyramid_tell_the_same():
    total = fold(scan(photons(4)))
    found = total.result()
    assert found.age_lag.dims == ("region", "age", "delay")
    np.testing.assert_allclose(found.age_lag[0, :-1, 2].mean(), views.trc(total.pyramids[0], 2)[1].mean(), rtol=0.05)
    assert np.all(np.diff(found.age) > 0)


def test_what_cannot_be_is_said():
    data = scan(photons(5))
    with pytest.raises(XcdiError, match="N5"):
        MultiTau(BOX, normalisation="N5")
    with pytest.raises(XcdiError, match="empty"):
        MultiTau(BOX).result()
    with pytest.raises(XcdiError, match="rising times"):
        fold(data).add(data)
    with pytest.raises(XcdiError, match="time between frames"):
        fold(data, (0, 1, TIMES))
    assert fold(data, (0, 1, TIMES), frame_time_s=0.5).frames == TIMES
    with pytest.raises(XcdiError, match="expected the same"):
        fold(data, judged=fold(data, (0, 40)).judge())


def test_what_does_not_fit_in_memory_is_said_at_the_first_block():
    data = scan(photons(5))
    assert fold(data, memory_bytes=10**6).frames == TIMES
    with pytest.raises(XcdiError, match=r"levels of 61 frames in 1 regions .* take fewer regions, or channels"):
        fold(data, memory_bytes=10**4)
    with pytest.raises(XcdiError, match=r"levels of 1000000 frames"):
        fold(data.assign_attrs(frames_expected=10**6), (0, 20), memory_bytes=10**8)


@pytest.mark.parametrize("cuts", [(0, TIMES), (0, 20, TIMES), (0, 20, *range(21, TIMES + 1))])
@pytest.mark.parametrize(
    ("time", "why"),
    [
        (np.where(np.arange(TIMES) == 40, np.nan, np.arange(TIMES) * 0.5), "time"),
        (np.arange(TIMES) * 0.5 + 0.1 * np.maximum(np.arange(TIMES) - 40, 0), "frame times off a regular axis of 0.5.* s; correlate parts"),
        (np.arange(TIMES) * 0.5 + 0.2 * (np.arange(TIMES) == 40), "frame 40 is at 20.2 s, 0.4 frame times off"),
        (np.arange(TIMES) * 0.5 + 1e6 * (np.arange(TIMES) >= 40), "correlate the parts separately"),
    ],
)
def test_times_that_make_no_axis_are_refused(cuts, time, why):
    data = scan(photons(5)).assign_coords(time=("frame", time, {"units": "s"}))
    with pytest.raises(XcdiError, match=why):
        fold(data, cuts)


def test_a_long_pause_need_be_no_whole_number_of_frames():
    time = np.arange(TIMES) * 0.5 + 100.2 * (np.arange(TIMES) >= 40) + 1.7e9
    data = scan(photons(5)).assign_coords(time=("frame", time, {"units": "s"}))
    for cuts in ((0, TIMES), (0, 20, 40, TIMES), (0, 20, *range(21, TIMES + 1))):
        assert fold(data, cuts).seen[-1].slot[-1] == TIMES - 1 + 200


def test_a_pause_may_be_long_in_a_long_series():
    time = np.arange(TIMES) * 0.5 + 10_500 * (np.arange(TIMES) >= 10)
    data = scan(photons(5)).assign_coords(time=("frame", time, {"units": "s"}))
    with pytest.raises(XcdiError, match="time axis of 20 frames 21020 frames long"):
        fold(data, (0, 20))
    assert fold(data.assign_attrs(frames_expected=4000), (0, 20)).axis.slot == 21_019
