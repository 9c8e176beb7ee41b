"""Laws of events with labels."""

import numpy as np
import pytest
import xarray as xr

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
