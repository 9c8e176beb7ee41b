"""Pictures say what the data say, and no more."""

import re
import sys

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.plot import correlation, event_statistics, linked, phasing, report, strain, style, tables

LAB = ("z", "y", "x")
TIMES = np.arange(19) * 0.5


def labelled(dims, values, units="1"):
    return dims, np.asarray(values), {"units": units}


@pytest.fixture
def crystal():
    """Two grains in a box, strained +1e-3 and -1e-3, in a grid of unequal sides."""
    shape, step = (7, 11, 13), 20.0
    axes = {d: (np.arange(n) - n // 2) * step for d, n in zip(LAB, shape, strict=True)}
    support = np.zeros(shape, bool)
    support[1:-1, 2:-2, 2:-2] = True
    grain = np.where(support, np.where(np.arange(13) < 6, 1, 2), 0).astype("int16")
    known = np.where(support, np.where(grain == 1, 1e-3, -1e-3), np.nan)
    return xr.Dataset(
        {
            "amplitude": labelled(LAB, support * 1.0),
            "phase": labelled(LAB, known * 1e3, "rad"),
            "strain": labelled(LAB, known),
            "support": labelled(LAB, support, ""),
            "grain": labelled(LAB, grain, ""),
        },
        axes,
        attrs={"noise_floor": 2e-4, "grade": "good", "q_peak": [1.37, 0.0, 0.1]},
    )


@pytest.fixture
def series():
    """Two-time correlation of a pattern that changes once, between frames 9 and 10; frame 4 is bad."""
    late = np.arange(19) > 9
    plane = np.where(late[:, None] == late[None, :], 1.3, 1.1)
    plane[4, :] = plane[:, 4] = np.nan
    return xr.Dataset(
        {
            "two_time": labelled(("region", "time", "time2"), plane[None]),
            "g2": labelled(("region", "delay"), [[1.3, 1.2, 1.1]]),
            "g2_error": labelled(("region", "delay"), [[0.01, 0.01, np.nan]]),
            "mean_count": labelled(("region", "time"), np.ones((1, 19))),
            "q": labelled(("region",), [1.37], "1/nm"),
        },
        {"time": labelled("time", TIMES, "s"), "time2": labelled("time2", TIMES, "s"), "delay": labelled("delay", [0.5, 2.0, 5.0], "s")},
    )


@pytest.fixture
def events():
    columns = {
        "time": [2.5, 5.0, 7.5],
        "frame": [5, 10, 15],
        "drop": [0.1, 0.4, 0.02],
        "drop_error": [0.02, 0.03, 0.05],
        "boundary_i": [1, 2, -1],
        "boundary_j": [2, 1, -1],
        "probability": [0.9, 0.6, np.nan],
        "flags": ["", "<script>alert(1)</script>", ""],
    }
    made = xr.Dataset({name: labelled("event", values) for name, values in columns.items()}, attrs={"threshold": 6.0})
    return made.assign(score_trace=labelled("scan_frame", np.arange(19.0)))


@pytest.fixture
def statistics():
    size = np.geomspace(0.02, 0.6, 23)
    curve = np.geomspace(0.05, 0.6, 11)
    return xr.Dataset(
        {
            "size": labelled("event", size),
            "ccdf": labelled("event", 1 - np.arange(23) / 23),
            "fit_size": labelled("curve", curve),
            "fit_ccdf": labelled("curve", np.linspace(0.7, 0.0, 11)),
            "waiting": labelled("gap", [1.0, 2.0, 5.0], "s"),
        },
        attrs={"exponent": 1.5, "exponent_error": 0.1, "smallest": 0.05, "largest": 0.6, "n": 18},
    )


def test_the_three_planes_of_a_row_share_their_colour_limits(crystal):
    images = [ax.images[0] for ax in strain.slices(crystal, names=("strain",)).axes if ax.images]
    assert len(images) == 3
    assert len({image.get_clim() for image in images}) == 1
    low, high = images[0].get_clim()
    assert low == -high


def test_outside_the_particle_is_grey(crystal):
    first = strain.slices(crystal, names=("strain",)).axes[0].images[0]
    assert first.get_array().mask[0, 0]
    assert not first.get_array().mask[5, 6]


def test_red_is_tension(crystal):
    red, _, blue, _ = style.colormap(style.LOOKS["strain"])(1.0)
    assert red > blue


def test_a_pixel_lies_where_its_coordinate_says(crystal):
    mark = crystal.assign(strain=crystal.strain * 0)
    mark.strain.loc[{"z": 0.0, "y": 20.0, "x": -40.0}] = 1.0
    seen = strain.slices(mark, names=("strain",)).axes[0].images[0]
    left, right, bottom, top = seen.get_extent()
    row, column = np.unravel_index(np.nanargmax(seen.get_array().filled(np.nan)), seen.get_array().shape)
    rows, columns = seen.get_array().shape
    assert seen.origin == "lower"
    assert left + (column + 0.5) * (right - left) / columns == pytest.approx(-40.0)
    assert bottom + (row + 0.5) * (top - bottom) / rows == pytest.approx(20.0)


def test_the_noise_floor_is_printed(crystal):
    assert any("noise floor" in ax.get_ylabel() for ax in strain.slices(crystal, names=("strain",)).axes)


def test_an_unreliable_crystal_is_hatched_and_has_no_statistics(crystal):
    doubtful = crystal.assign_attrs(grade="unreliable")
    made = strain.slices(doubtful, names=("strain",))
    assert "UNRELIABLE" in made.get_suptitle()
    assert all(any(patch.get_hatch() for patch in ax.patches) for ax in made.axes[:3])
    drawn = report.figures({"crystal": doubtful})
    assert "strain" in drawn
    assert "strain_histogram" not in drawn


def test_a_boundary_is_drawn_once_between_its_grains(crystal):
    plane = crystal.grain.sel(z=0.0)
    segments, pairs = strain.grain_segments(plane)
    assert set(pairs) == {(1, 2)}
    assert {x for piece in segments for x, _ in piece} == {-10.0}
    assert len(segments) == int((plane > 0).any("x").sum())


def test_the_surface_lies_around_the_support(crystal):
    ax = strain.isosurface(crystal, level=0.5)
    corners = np.concatenate([np.asarray(face) for face in ax.collections[0]._faces])
    reach = [np.abs(crystal[d].where(crystal.support.any([o for o in LAB if o != d])).values).astype(float) for d in "xyz"]
    np.testing.assert_allclose(np.abs(corners).max(0), [np.nanmax(r) + 10.0 for r in reach])


def test_a_crystal_without_amplitude_has_no_surface(crystal):
    with pytest.raises(SchemaError, match="amplitude"):
        strain.isosurface(crystal.drop_vars("amplitude"))


def test_two_time_axes_are_equal_in_seconds_and_start_below_left(series, events):
    ax = correlation.two_time(series, events=events)
    image = ax.images[0]
    assert image.origin == "lower"
    assert ax.get_aspect() == 1
    assert image.get_extent() == [-0.25, 9.25, -0.25, 9.25]


def test_two_time_hides_the_diagonal_and_bad_frames_and_nothing_else(series):
    hidden = correlation.two_time(series).images[0].get_array().mask
    expected = np.eye(19, dtype=bool)
    expected[4] = expected[:, 4] = True
    np.testing.assert_array_equal(hidden, expected)


def test_a_missing_frame_leaves_a_gap_and_shifts_nothing(series):
    image = correlation.two_time(series.isel(time=np.arange(19) != 7, time2=np.arange(19) != 7)).images[0]
    assert image.get_extent() == [-0.25, 9.25, -0.25, 9.25]
    hidden = np.eye(19, dtype=bool)
    hidden[[4, 7]] = hidden[:, [4, 7]] = True
    np.testing.assert_array_equal(image.get_array().mask, hidden)


def test_the_fitted_curve_is_the_stretched_exponential(series):
    fitted = series.assign(
        {name: labelled("region", [value]) for name, value in (("rate", 0.2), ("exponent", 1.0), ("fit_contrast", 0.3), ("baseline", 1.0))}
    )
    line = correlation.g2(fitted).lines[-1]
    at = np.argmin(np.abs(line.get_xdata() - 2.0))
    assert line.get_ydata()[at] == pytest.approx(1 + 0.3 * np.exp(-0.4 * line.get_xdata()[at]))


def test_two_time_colours_run_from_one_to_one_plus_contrast(series):
    assert correlation.two_time(series).images[0].get_clim() == pytest.approx((1.0, 1.3))


def test_two_time_colours_that_do_not_begin_at_one_say_so(series):
    ax = correlation.two_time(series.assign(two_time=series.two_time + 2))
    assert ax.images[0].get_clim() == pytest.approx((3.1, 3.3))
    assert "colours from 3.1" in style.host(ax).axes[-1].get_ylabel()


def test_drawing_leaves_the_data_as_they_were(series, events, crystal):
    before = series.copy(deep=True), crystal.copy(deep=True)
    report.figures({"correlation": series, "events": events, "crystal": crystal})
    xr.testing.assert_identical(series, before[0])
    xr.testing.assert_identical(crystal, before[1])


def test_every_event_has_a_tick_on_both_axes(series, events):
    above, beside = correlation.two_time(series, events=events).collections
    np.testing.assert_array_equal(above.get_offsets()[:, 0], events.time)
    np.testing.assert_array_equal(beside.get_offsets()[:, 1], events.time)


def test_an_artefact_is_not_the_colour_of_an_event(series, events):
    flagged = events.assign(flags=labelled("event", ["", "artefact", "rigid"]))
    colours = correlation.two_time(series, events=flagged).collections[0].get_facecolors()
    np.testing.assert_array_equal(colours[1], colours[2])
    assert not np.array_equal(colours[0], colours[1])


def test_the_truncated_fit_is_drawn_over_its_range_only(statistics):
    ax = event_statistics.size_distribution(statistics)
    fit = ax.lines[-1]
    np.testing.assert_array_equal(fit.get_xdata(), statistics.fit_size)
    np.testing.assert_array_equal(fit.get_ydata(), statistics.fit_ccdf)
    said = ax.texts[0].get_text()
    assert "1.50 ± 0.10" in said
    assert "$N$ = 18" in said
    assert "$x_{min}$ = 0.05" in said


def test_no_line_is_drawn_where_no_exponent_was_fitted(statistics):
    few = statistics.drop_attrs().assign_attrs(note="9 events; an exponent needs 50")
    ax = event_statistics.size_distribution(few)
    assert len(ax.lines) == 1
    assert not np.array_equal(ax.lines[0].get_xdata(), statistics.fit_size)
    assert "needs 50" in ax.texts[0].get_text()


def test_events_are_counted_per_boundary_whichever_side_comes_first(events):
    assert linked.activity(events, None) == ({(1, 2): 2.0}, linked.NUMBER)


def test_kept_starts_and_dropped_ones_are_told_apart():
    ax = phasing.residuals(xr.Dataset({"residual": ("start", [0.05, 0.03, 0.04]), "kept": ("start", [False, True, True])}))
    kept, dropped = ax.lines
    np.testing.assert_array_equal(kept.get_ydata(), [0.03, 0.04])
    np.testing.assert_array_equal(dropped.get_ydata(), [0.05])


def test_a_peak_of_zeros_can_be_drawn():
    phasing.peak_slices(xr.Dataset({"counts": labelled(("frame", "y", "x"), np.zeros((3, 5, 7)))}))


def test_a_series_without_events_can_be_drawn(series, events):
    quiet = events.isel(event=slice(0, 0))
    drawn = report.figures({"correlation": series, "events": quiet})
    assert {"two_time", "score", "drops"} <= set(drawn)
    assert "boundaries" not in drawn


def test_a_series_of_one_frame_can_be_drawn(series):
    report.figures({"correlation": series.isel(time=[0], time2=[0])})


def test_every_picture_has_a_caption(series, events, crystal, statistics):
    drawn = report.figures({"correlation": series, "events": events, "crystal": crystal, "statistics": statistics})
    assert set(drawn) <= set(report.CAPTIONS)
    assert {"strain", "profile", "strain_histogram", "surface", "two_time", "boundaries", "boundaries_3d", "size_distribution"} <= set(
        drawn
    )


def test_pictures_are_files_of_the_names_promised(tmp_path, series):
    (path,) = report.plot_result({"correlation": series}, tmp_path, title="S001", dpi=40)
    assert path == tmp_path / "S001_two_time.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_a_quick_look_leaves_nothing_else_behind(tmp_path, series):
    report.picture({"correlation": series}, tmp_path / "latest.png", dpi=40)
    assert [p.name for p in tmp_path.iterdir()] == ["latest.png"]


def test_nothing_to_draw_is_said():
    with pytest.raises(XcdiError, match="nothing to draw"):
        report.picture({"events": xr.Dataset()}, "unused.png")


def test_the_page_is_self_contained_and_runs_nothing(tmp_path, series, events):
    rows = [
        {"name": "drop < 5 %", "measured": 0.031, "bar": "<= 0.05", "pass": True},
        {"name": "x", "measured": 3, "bar": "5", "pass": False},
    ]
    path = tmp_path / "report.html"
    report.html(
        [{"correlation": series, "events": events}], path, title="a <b> & c", score_rows=rows, provenance={"settings": "a = 1\n<i>"}
    )
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "a &lt;b&gt; &amp; c" in text
    assert "drop &lt; 5 %" in text
    assert "1 of 2 figures meet their bar" in text
    assert "&lt;i&gt;" in text


def test_the_event_table_has_a_row_per_event_with_its_error(events):
    (found,) = [part for part in tables.of_result({"events": events}) if "<th>drop</th>" in part]
    assert found.count("<tr>") == 1 + 3
    assert "0.100 ± 0.020" in found
    assert "1–2" in found


def test_pyplot_is_never_touched(series):
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    correlation.overview(series)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
