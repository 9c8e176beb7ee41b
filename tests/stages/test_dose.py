"""Laws of the control for beam damage."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.stages.dose import control, dose


def result(events, flux, seconds=200.0, **attrs):
    """EVENTS with so many of them, at `flux` photons per pixel and second, 1000 pixels, two frames a second."""
    drops = np.full(events, 0.1)
    known = {"mean_count": flux / 2, "good_frames": int(2 * seconds), "photons": 1000 * flux * seconds, "duration_s": seconds}
    return xr.Dataset(
        {"drop": ("event", drops), "flags": ("event", np.full(events, "", "U8"))}, attrs=known | {"completeness": 0.03} | attrs
    )


@pytest.mark.parametrize(("power", "word"), [(0, "the time"), (1, "the photons")])
def test_the_law_that_made_the_events_is_the_one_that_is_preferred(power, word):
    rng = np.random.default_rng(1)
    found = dose([result(rng.poisson(20 * (flux / 2) ** power), flux) for flux in (0.2, 0.2, 2.0, 2.0, 2.0)])
    assert word in found.attrs["verdict"]
    assert (float(found.log_ratio) > 0) == (power == 1)
    assert abs(float(found.exponent) - power) < 4 * float(found.exponent_error)
    assert found.sizes["group"] == 2


def test_the_exponent_scatters_as_its_error_says():
    rng = np.random.default_rng(2)
    runs = [dose([result(rng.poisson(12), 0.5), result(rng.poisson(48), 2.0)]) for _ in range(60)]
    away = [(float(one.exponent) - 1) / float(one.exponent_error) for one in runs]
    assert np.std(away) == pytest.approx(1.0, abs=0.3)


def test_events_that_only_a_bright_beam_shows_do_not_count():
    bright = result(40, 2.0)
    bright["drop"].values[20:] = 0.01
    found = dose([result(20, 0.2, completeness=0.05), bright])
    assert list(found.events.values) == [20, 20]
    assert "the time" in found.attrs["verdict"]


def test_rates_are_events_over_time_and_photons():
    found = dose([result(9, 0.5), result(16, 2.0)])
    np.testing.assert_allclose(found.rate, [9 / 200, 16 / 200])
    np.testing.assert_allclose(found.per_photon, [90.0, 40.0])
    np.testing.assert_allclose(found.rate_error / found.rate, [1 / 3, 1 / 4])


def test_rates_are_over_the_time_of_good_frames():
    half = result(9, 0.5).assign({"score_trace": ("series_frame", np.zeros(800))})
    np.testing.assert_allclose(dose([half, result(16, 2.0)]).seconds, [100, 200])


def test_results_are_compared_unasked_where_their_flux_differs_and_all_is_known():
    assert not control([result(9, 1.0), result(9, 1.4)])
    assert not control([result(9, 1.0), result(9, 2.0, completeness=np.inf)])
    found = control([result(9, flux) for flux in (1.0, 1.15, 1.3, 1.55)])
    assert found.sizes["flux_group"] == 2
    assert "dose_verdict" in found.attrs


@pytest.mark.parametrize(
    ("catalogues", "message"),
    [
        ([], "no result"),
        ([result(5, 1.0), result(5, 1.0)], "another flux"),
        ([result(5, 1.0), result(5, 2.0, completeness=np.nan)], "result 1 has no completeness"),
        ([result(5, 1.0), result(5, 2.0).drop_attrs().assign_attrs(completeness=0.03)], "result 1 has no attribute 'mean_count'"),
    ],
)
def test_what_is_missing_is_said(catalogues, message):
    with pytest.raises(XcdiError, match=message):
        dose(catalogues)
