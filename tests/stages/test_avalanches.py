"""Laws of events and their statistics with labels."""

import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import avalanche_statistics

from xcdi.errors import SchemaError, XcdiError
from xcdi.schema import EVENTS, require
from xcdi.stages import avalanches

SHAPE = (31, 37)


def correlation(seed=0, frames=131, slip=67, **attrs):
    """CORRELATION of a small particle of which a corner slips at frame `slip`; the middle column is a gap."""
    rng = np.random.default_rng(seed)
    rho = np.zeros(SHAPE, complex)
    rho[11:20, 12:23] = np.exp(1j * np.cumsum(rng.normal(0, 0.35, (9, 11)), axis=0))
    after = rho.copy()
    after[11:15, 12:18] *= np.exp(2j)
    pair = np.abs(np.fft.fftshift(np.fft.fft2(np.stack([rho, after])), axes=(1, 2))) ** 2
    pair /= pair[0].mean()
    counts = rng.poisson(pair[(np.arange(frames) >= slip).astype(int)])
    y, x = np.indices(SHAPE).reshape(2, -1)
    seen = x != 29
    return xr.Dataset(
        {
            "counts": (("time", "pixel"), counts.reshape(frames, -1)[:, seen].astype(np.uint16)),
            "pixel_y": ("pixel", y[seen] + 100),
            "pixel_x": ("pixel", x[seen] + 200),
        },
        coords={"time": ("time", np.arange(frames) * 0.5, {"units": "s"})},
        attrs=attrs,
    )


@pytest.fixture(scope="module")
def events():
    return avalanches.find_events(correlation(q_peak=[1.3, 0.0, 0.0], dq=1.5e-3, centre_px=(115, -700)))


def test_the_slip_is_one_event_with_units(events):
    require(events, *EVENTS, schema=EVENTS)
    assert list(events.frame.values) == [67]
    assert events.time.values == pytest.approx(33.5)
    assert events["drop"].values[0] > 20 * events.drop_error.values[0] > 0
    assert events["flags"].values[0] == ""
    assert events.score_trace.size == 131


def test_without_the_place_in_reciprocal_space_there_is_no_strain():
    assert "strain_step" not in avalanches.find_events(correlation())


def test_bad_frames_in_either_form_are_left_out():
    plain = correlation()
    by_variable = plain.assign(frame_ok=("time", np.arange(131) != 40))
    by_attribute = plain.assign_attrs(bad_frames=[40])
    one, other = avalanches.find_events(by_variable), avalanches.find_events(by_attribute)
    xr.testing.assert_identical(one, other)
    assert np.isnan(one.score_trace.values[40])


def test_pixels_that_switch_on_are_an_artefact_and_do_not_hide_a_slip_beside():
    data = correlation()
    hot = np.isin(data.pixel_y, (104, 105)) & np.isin(data.pixel_x, (204, 205))
    data.counts.values[58:, hot] += 60
    found = avalanches.find_events(data)
    assert dict(zip(found.frame.values.tolist(), found["flags"].values.tolist(), strict=True)) == {58: "artefact", 67: ""}


def test_a_series_without_events_gives_an_empty_table():
    found = avalanches.find_events(correlation(frames=80, slip=999))
    require(found, "time", "drop", schema=EVENTS)
    assert found.sizes["event"] == 0
    assert int(avalanches.statistics([found]).n_all) == 0


def test_a_correlation_without_counts_is_refused():
    with pytest.raises(SchemaError, match="'counts'"):
        avalanches.find_events(correlation().drop_vars("counts"))


def test_too_short_a_series_is_refused():
    with pytest.raises(XcdiError, match="window=12 need 54"):
        avalanches.find_events(correlation(frames=40))


def catalogue(seed, n, flags=""):
    rng = np.random.default_rng(seed)
    sizes = 0.03 * (1 - rng.random(n) * (1 - 20**-0.5)) ** -2.0
    sizes = np.clip(sizes, 0.03, 0.6)
    return xr.Dataset(
        {
            "time": ("event", np.sort(rng.uniform(0, 200, n)), {"units": "s"}),
            "drop": ("event", sizes, {"units": "1"}),
            "flags": ("event", np.full(n, flags or "", dtype="U16")),
        },
        attrs={"duration_s": 200.0, "completeness": 0.01},
    )


def test_an_exponent_needs_fifty_events():
    few, many = avalanches.statistics([catalogue(1, 30)]), avalanches.statistics([catalogue(s, 30) for s in range(8)])
    assert "exponent" not in few
    assert "needs 50" in few.attrs["note"]
    assert float(many.exponent) == pytest.approx(1.5, abs=4 * float(many.exponent_error))
    assert float(many.exponent_low) < float(many.exponent) < float(many.exponent_high)
    assert float(many.rate) == pytest.approx(240 / 1600)


@pytest.mark.parametrize("flag", ["artefact", "rigid"])
def test_what_is_no_avalanche_does_not_count(flag):
    assert int(avalanches.statistics([catalogue(1, 30), catalogue(2, 20, flag)]).n_all) == 30


def test_a_lower_end_below_completeness_is_warned_of():
    incomplete = catalogue(1, 30).assign_attrs(completeness=0.05)
    assert "below the completeness" in avalanches.statistics([incomplete]).attrs["note"]


def test_the_pipeline_pools_the_events_of_all_results():
    result = avalanche_statistics.run([{"events": catalogue(s, 30)} for s in range(3)])
    assert int(result["statistics"].n_all) == 90
    assert "exponent" in avalanche_statistics.summary(result)
    assert "no exponent" in avalanche_statistics.summary(avalanche_statistics.run([{"events": catalogue(1, 9)}]))


def test_results_without_events_are_refused():
    with pytest.raises(XcdiError, match="none of 1 results"):
        avalanche_statistics.run([{"crystal": xr.Dataset()}])
