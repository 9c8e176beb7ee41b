"""Fluctuations and speckle statistics of a correlation that xcdi computed."""

import numpy as np
import pytest
import xarray as xr

from xcdi.artificial import speckle
from xcdi.errors import SchemaError
from xcdi.stages import fluctuations as stage
from xcdi.stages.correlation import TwoTime


def correlation(variant="", *, seed=1, normalisation="N5", regions=None, lost=(), **options):
    s = speckle.speckle("pico", variant, **({"pixels": (29, 31), "frames": 120} | options))
    movie = speckle.draw(s, seed)
    valid = np.ones(s.pixels, bool)
    scan = xr.Dataset(
        {"counts": (("frame", "y", "x"), movie.counts, {"units": "1"}), "valid": (("y", "x"), valid, {"units": ""})},
        coords={"time": ("frame", movie.time, {"units": "s"})},
    )
    scan = scan.isel(frame=[k for k in range(s.frames) if k not in lost])
    return TwoTime(valid if regions is None else regions, normalisation=normalisation).add(scan).result()


@pytest.fixture(scope="module")
def steady():
    return correlation()


def test_a_steady_sample_has_no_fluctuations_but_noise(steady):
    found = stage.fluctuations(steady)
    assert np.mean((found.chi / found.chi_error) ** 2) < 2.5
    assert np.all(found.chi_raw > 2 * found.chi_error)
    assert found.speckles[0] == pytest.approx(29 * 31, rel=0.05)


@pytest.mark.parametrize("normalisation", ["N1", "N3", "N4", "N5"])
def test_the_traces_are_the_diagonals_of_the_map(normalisation):
    c = correlation(normalisation=normalisation)
    found = stage.fluctuations(c)
    step = float(c.time[1] - c.time[0])
    for k, lag in enumerate(np.rint(found.trace_lag.values / step).astype(int)):
        np.testing.assert_array_equal(found.trace.values[0, k, : 120 - lag], np.diagonal(c.two_time.values[0], lag) - 1)
    both = np.intersect1d(found.lag, found.trace_lag)
    raw, trace = found.chi_raw.sel(lag=both)[0], found.trace.sel(trace_lag=both)[0]
    np.testing.assert_allclose(raw, trace.var("time", ddof=1), rtol=0.15 if normalisation == "N4" else 0.02)


def test_an_event_stands_out():
    calm, struck = (
        stage.fluctuations(correlation(seed=5, relaxation_s=60.0, mean_count=1.0, events=events)) for events in ((), ((60, 0.3),))
    )
    at = {"lag": 12}
    assert float((struck.chi / struck.chi_error).isel(at)[0]) > 4
    assert float((struck.chi / struck.chi_error).isel(at)[0]) > 2 * abs(float((calm.chi / calm.chi_error).isel(at)[0]))


def test_a_missing_frame_shifts_nothing():
    whole, holed = (stage.fluctuations(correlation(lost=lost)) for lost in ((), (50,)))
    assert holed.sizes["time"] == whole.sizes["time"]
    trace = holed.trace.values[0, 0]
    assert np.isnan(trace[49:51]).all()
    known = np.isfinite(trace)
    assert np.corrcoef(trace[known], whole.trace.values[0, 0][known])[0, 1] > 0.99


def test_a_pause_takes_no_matrix_of_all_the_time_between(steady):
    late = np.where(np.arange(120) < 70, steady.time, steady.time + 5000 * float(steady.time[1] - steady.time[0]))
    apart = stage.fluctuations(steady.assign_coords(time=("time", late, {"units": "s"})))
    whole = stage.fluctuations(steady)
    assert apart.sizes["time"] == 5120
    np.testing.assert_array_equal(apart.trace[0, 0, :69], whole.trace[0, 0, :69])
    np.testing.assert_array_equal(apart.trace[0, 0, 5070:5119], whole.trace[0, 0, 70:119])
    assert np.isnan(apart.trace[0, 0, 69:5070]).all()


def test_every_region_has_its_own():
    labels = np.ones((29, 31), int)
    labels[:, 16:] = 2
    c = correlation(regions=labels)
    found, statistics = stage.fluctuations(c), stage.speckle_statistics(c)
    assert found.sizes["region"] == statistics.sizes["region"] == 2
    assert not np.allclose(found.trace[0], found.trace[1], equal_nan=True)


def test_all_estimates_of_the_contrast_agree_with_the_truth(steady):
    found = stage.speckle_statistics(steady)
    for name in ("moments", "likelihood", "lags"):
        value, error = float(found[f"contrast_{name}"][0]), float(found[f"contrast_{name}_error"][0])
        assert abs(value - 0.25) < 4 * error < 0.12, name
    seen, foretold = found.visibility.values[0], found.visibility_expected.values[0]
    assert np.all(np.abs(seen - foretold) < 4 * found.visibility_error.values[0] + 0.02)


def test_counts_that_were_not_kept_are_asked_for(steady):
    with pytest.raises(SchemaError, match="counts"):
        stage.fluctuations(steady.drop_vars("counts"))
    with pytest.raises(SchemaError, match="left out"):
        stage.speckle_statistics(steady.drop_vars("counts").assign_attrs(counts_left_out="more than 9 MiB"))
