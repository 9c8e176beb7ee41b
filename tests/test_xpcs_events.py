"""From a scan to its events: batch and live are one, and live speaks early."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from kernels.test_events import SHAPE, intensities
from xcdi.pipelines import xpcs_events as pipeline

from xcdi.errors import XcdiError
from xcdi.jobs import live
from xcdi.settings import from_mapping

FRAMES, SLIP = 110, 71


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(3)
    counts = rng.poisson(intensities(rng, FRAMES, {SLIP: (0, 2.0)})).astype(np.uint16)
    counts[40] = 0
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(SHAPE, bool), {"units": ""}),
            "frame_ok": ("frame", np.arange(FRAMES) != 40, {"units": ""}),
        },
        coords={"time": ("frame", np.arange(FRAMES) * 0.5, {"units": "s"})},
        attrs={"scan": "S001"},
    )


def settings(**values):
    return pipeline.Settings(correlation={"box": (0, 37, 0, 41), "live_share": 0.01}, **values)


def blocks(scan, size):
    return [scan.isel(frame=slice(k, k + size)) for k in range(0, scan.sizes["frame"], size)]


@pytest.fixture(scope="module")
def watched(scan):
    return list(pipeline.watch(blocks(scan, 4), settings()))


@pytest.fixture(scope="module")
def whole(scan):
    return pipeline.run(scan, settings())


def test_live_ends_where_batch_does_bit_for_bit(watched, whole):
    assert set(watched[-1]) == set(whole) == {"correlation", "events"}
    for name, found in whole.items():
        xr.testing.assert_identical(watched[-1][name], found)


def test_the_slip_is_found(whole):
    assert list(whole["events"].frame.values) == [SLIP]
    assert "1 event" in pipeline.summary(whole)
    assert "smallest event visible here" in pipeline.summary(whole)
    assert len(pipeline.table(whole).splitlines()) >= 3


def test_every_block_is_answered_and_the_slip_announced_in_time(watched):
    assert len(watched) == -(-FRAMES // 4) + 1
    first = next(result["events"] for result in watched if result["events"].sizes["event"])
    assert list(first.frame.values) == [SLIP]
    assert first.attrs["provisional"]
    assert SLIP < int(first.announced[0]) <= first.attrs["frames_looked_at"] - 1 <= SLIP + 12 + 5


def test_live_says_what_it_waits_for_and_what_happened(watched):
    lines = [pipeline.summary(result) for result in watched]
    assert "looking: 32 of 54 frames" in lines[7]
    assert "looking" not in lines[-1]
    news = [pipeline.news(result) for result in watched]
    assert news[-1] is None, "the table says it all"
    assert [line for line in news[-2] if f"event at frame {SLIP} ({SLIP / 2:.1f} s), D 0." in line and "frames later" in line]


def test_an_announcement_does_not_wait_for_a_look_at_the_correlation(watched):
    looked = [result["correlation"].sizes["time"] for result in watched if "correlation" in result]
    assert len(set(looked)) < len(looked)


def test_too_short_a_series_is_refused_in_one_line(scan):
    short = scan.isel(frame=slice(0, 40))
    for begin in (lambda: pipeline.run(short, settings()), lambda: list(pipeline.watch(blocks(short, 8), settings()))):
        with pytest.raises(XcdiError, match="54"):
            begin()


def test_events_need_a_full_map():
    with pytest.raises(XcdiError, match="'multi_tau'"):
        from_mapping(pipeline.Settings, {"correlation": {"map": "multi_tau", "normalisation": "N4"}})


def test_nothing_announced_is_no_news():
    quiet = xr.Dataset({"announced": ("event", np.zeros(0, int))}, attrs={"provisional": True})
    assert pipeline.news({"events": quiet}) == []


def test_what_is_told_once_is_not_told_again_and_what_falls_away_is_taken_back():
    told = []
    assert live._news(SimpleNamespace(news=lambda result: result), ["a"], told) == ("a",)
    assert live._news(SimpleNamespace(news=lambda result: result), ["a", "b"], told) == ("b",)
    assert live._news(SimpleNamespace(news=lambda result: result), ["b"], told) == ("taken back: a",)
    assert live._news(SimpleNamespace(news=lambda result: None), None, told) == ()
    assert live._news(SimpleNamespace(), ["c"], told) == ()


def test_a_rocking_scan_is_no_series_of_events(scan):
    with pytest.raises(XcdiError, match="'omega' moves in it"):
        pipeline.ready(scan.assign_attrs(rocking_motor="omega"), settings())
    with pytest.raises(XcdiError, match="54 or more"):
        pipeline.ready(scan.isel(frame=slice(0, 40)), settings())
