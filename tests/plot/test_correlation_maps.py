"""Pictures of two-time maps: what is shown, what is hidden, and the scales they share."""

import numpy as np
import pytest
import xarray as xr

from xcdi.plot import correlation, correlation_maps, fluctuations, report
from xcdi.stages import two_time_map

FRAMES = 31


def law(tau, frames=FRAMES, contrast=0.2):
    t = np.arange(frames)
    return 1 + contrast * np.exp(-np.abs(t[:, None] - t) / tau)


@pytest.fixture
def single():
    return two_time_map.from_matrix(law(6.0, 61) + 1e-4 * np.add.outer(np.arange(61), np.arange(61)))


@pytest.fixture
def several():
    t, taus = np.arange(FRAMES) * 0.5, (3.0, 6.0, 12.0, 24.0, 40.0)
    maps = np.array([law(tau) for tau in taus])
    maps[:, np.arange(FRAMES), np.arange(FRAMES)] = 99.0
    two, seconds = {"units": "1"}, {"units": "s"}
    return xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), maps, two),
            "g2": (("region", "delay"), maps[:, 0], two),
            "q": ("region", np.linspace(0.02, 0.06, 5), {"units": "1/nm"}),
            "rate": ("region", [0.3, 0.1, np.nan, 0.05, 0.02], {"units": "1/s"}),
            "rate_error": ("region", [0.01, 0.02, np.nan, 0.1, 0.001], {"units": "1/s"}),
        },
        coords={name: (name, t, seconds) for name in ("time", "time2", "delay")},
    )


def test_the_map_in_frames_says_so(single):
    ax = correlation.two_time(single)
    assert ax.get_xlabel() == "$t_1$ (frames)"
    assert "(frames)" in correlation.g2(single).get_xlabel()
    assert any("frame$^{-1}$" in text.get_text() for text in correlation.g2(single).get_legend().get_texts())


def test_panels_share_one_range_that_the_diagonal_cannot_move(several):
    made = correlation_maps.regions(several)
    maps = [ax.images[0] for ax in made.axes if ax.images]
    assert len(maps) == 5
    assert len({drawn.get_clim() for drawn in maps}) == 1
    assert maps[0].get_clim()[1] < 1.21
    assert all(drawn.get_array().mask.diagonal().all() for drawn in maps)


def test_only_so_many_panels_are_drawn(several):
    assert sum(bool(ax.images) for ax in correlation_maps.regions(several, most=2).axes) == 2


def test_age_and_lag_are_drawn_as_given_and_what_is_unknown_is_grey():
    values = np.arange(12.0).reshape(3, 4)
    values[2, 0] = np.nan
    ax = correlation_maps.age_lag(np.arange(5.0), np.array([0.0, 1, 8, 64]), values, unit="frames")
    mesh = ax.collections[0]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), -1).reshape(3, 4), np.where(np.isnan(values), -1, values))
    assert ax.get_ylim()[0] == pytest.approx(0.5)
    assert ax.get_xlabel() == "age $t$ (frames)"


def test_relaxation_times_leave_failed_fits_out(several):
    ax = fluctuations.rates(several)
    heights = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1]
    assert heights == pytest.approx([1 / 0.3, 10.0, 20.0, 50.0])
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_ages_have_colours_of_their_own(single):
    ax = fluctuations.aged(single)
    curves = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(curves) == single.sizes["age"]
    assert len({tuple(line.get_color()) for line in curves}) == len(curves)


def test_chi_shows_its_zero_and_its_errors(single):
    ax = fluctuations.chi(single)
    low, high = ax.get_ylim()
    assert low <= 0 < high
    assert ax.containers[0].has_yerr


def test_traces_stand_below_each_other_on_one_time_axis(single):
    noisy = single.assign(trace_noise=(("region", "trace_lag"), np.full((1, single.sizes["trace_lag"]), 1e-6)))
    made = fluctuations.traces(noisy)
    assert len(made.axes) == single.sizes["trace_lag"]
    assert len({ax.get_xlim() for ax in made.axes}) == 1
    assert made.axes[-1].get_xlabel() == "time of the earlier frame (frames)"


def test_contrast_against_exposure_is_drawn_with_what_is_expected():
    exposure = np.array([1.0, 2, 4, 8])
    seen = np.array([[0.3, 0.28, 0.25, 0.2], [0.2, 0.15, 0.1, 0.06]])
    found = xr.Dataset(
        {name: (("region", "exposure"), seen, {"units": "1"}) for name in ("visibility", "visibility_expected")}
        | {"visibility_error": (("region", "exposure"), 0.02 * seen, {"units": "1"})},
        {"exposure": ("exposure", exposure, {"units": "s"})},
    )
    ax = fluctuations.visibility(found)
    assert ax.get_xlabel() == "exposure (s)"
    assert ax.get_ylim()[0] == 0
    assert len(ax.containers) == 2


def test_the_page_and_the_plot_command_draw_a_map_from_elsewhere(single, tmp_path):
    assert len(fluctuations.page(single, title="a map").axes) > 8
    paths = report.plot_result({"correlation": single}, tmp_path, title="map", dpi=40)
    assert {path.stem for path in paths} == {"map_two_time", "map_g2_aged", "map_traces", "map_chi"}
    assert all(path.stat().st_size > 0 for path in paths)
