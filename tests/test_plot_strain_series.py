"""Laws of the pictures of a series: one scale for all states, errors drawn as given, unreliable states hatched and without numbers."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.plot import report, strain_series

DIMS = ("state", "z", "y", "x")
SHAPE = (4, 5, 7, 11)


@pytest.fixture
def series():
    rng = np.random.default_rng(1)
    support = np.broadcast_to(np.pad(np.ones((3, 5, 9), bool), 1), SHAPE)
    grain = support * np.where(np.arange(11) > 5, 2, 1)
    change = np.arange(4).reshape(4, 1, 1, 1) * 1e-3 * rng.standard_normal(SHAPE)
    maps = {"support": (DIMS, support), "grain": (DIMS, grain), "strain_change": (DIMS, np.where(support, change, np.nan))}
    maps |= {"displacement_change": (DIMS, np.where(support, 100 * change, np.nan)), "strain_change_error": (DIMS, np.full(SHAPE, 2e-4))}
    per_state = {"time": [0.0, 600.0, 1200.0, 1800.0], "order": [0.9, 0.8, np.nan, 0.7], "order_error": [0.01, 0.02, np.nan, 0.03]}
    per_state |= {"strain_step": [0, 1e-4, np.nan, 3e-4], "strain_step_error": [0, 1e-5, np.nan, 2e-5]}
    numbers = {name: ("state", np.array(values)) for name, values in per_state.items()}
    numbers["grade"] = ("state", ["good", "good", "unreliable", "limited"])
    shift = np.array([[0.0, 0], [5, -3], [np.nan, np.nan], [9, -4]])
    edges = {name: (("state", "boundary"), values) for name, values in (("boundary_shift", shift), ("slip", shift / 10))}
    edges |= {f"{name}_error": (("state", "boundary"), np.ones((4, 2))) for name in ("boundary_shift", "slip")}
    edges |= {"area": ("boundary", [3e4, 2e4]), "boundary_i": ("boundary", [1, 1]), "boundary_j": ("boundary", [2, 3])}
    lines = {dim: 10.0 * np.arange(n) for dim, n in zip(DIMS[1:], SHAPE[1:], strict=True)}
    notes = {"reference": 0, "against": "first", "q_mean": [1.4, 0.0, 0.0]}
    return xr.Dataset(maps | numbers | edges, lines, attrs=notes)


def panels(made):
    return [ax for ax in made.axes if ax.images]


@pytest.mark.parametrize("name", strain_series.CHANGES)
def test_all_states_share_one_symmetric_scale_and_the_reference_is_left_out(series, name):
    drawn = panels(strain_series.changes(series, name=name))
    assert len(drawn) == 9  # three states in three planes
    limits = {ax.images[0].get_clim() for ax in drawn}
    assert len(limits) == 1
    ((low, high),) = limits
    assert low == -high


def test_a_panel_shows_the_change_of_its_state_in_thousandths(series):
    (first, *_) = panels(strain_series.changes(series, states=[3]))
    expected = series["strain_change"].isel(state=3, z=2) * 1e3
    np.testing.assert_allclose(first.images[0].get_array().filled(np.nan), expected.values)
    assert "±0.2" in [text.get_text() for text in first.texts]
    assert first.get_ylabel().startswith("state 3, 30 min\nlimited")


def test_only_unreliable_states_are_hatched(series):
    drawn = panels(strain_series.changes(series))
    hatched = [any(patch.get_hatch() for patch in ax.patches) for ax in drawn]
    assert hatched == [False] * 3 + [True] * 3 + [False] * 3


def test_displacements_near_half_a_spacing_are_drawn_in_cyclic_colours(series):
    large = series.assign(displacement_change=20 * series["displacement_change"])
    (first, *_) = panels(strain_series.changes(large, name="displacement_change"))
    assert first.images[0].get_cmap().name == "twilight_shifted"
    assert first.images[0].get_clim() == pytest.approx((-np.pi / 1.4, np.pi / 1.4))


def test_of_many_states_the_last_and_a_few_others_are_drawn(series):
    many = series.isel(state=np.arange(20) % 4)
    made = strain_series.changes(many)
    told = [ax.get_ylabel() for ax in panels(made)[::3]]
    assert len(told) == 4
    assert told[-1].startswith("state 19")


def test_numbers_are_drawn_with_their_errors_and_gaps(series):
    made = strain_series.over_time(series)
    (order,) = made.axes[0].containers
    np.testing.assert_allclose(order[0].get_xydata(), [[0, 0.9], [10, 0.8], [20, np.nan], [30, 0.7]])
    half = [np.ptp(segment[:, 1]) / 2 for segment in order[2][0].get_segments() if len(segment)]
    np.testing.assert_allclose(half, [0.01, 0.02, 0.03])
    (step,) = next(ax for ax in made.axes if "strain" in ax.get_ylabel()).containers
    np.testing.assert_allclose(step[0].get_ydata(), [0, 0.1, np.nan, 0.3])
    assert all("unreliable" in [text.get_text() for text in ax.texts] for ax in made.axes)
    assert {ax.get_xlabel() for ax in made.axes} == {"", "time (min)"}


def test_each_boundary_has_its_curve(series):
    made = strain_series.over_time(series)
    shifts = next(ax for ax in made.axes if "shift" in ax.get_ylabel())
    assert [bar.get_label() for bar in shifts.containers] == ["1–2", "1–3"]
    np.testing.assert_allclose(shifts.containers[1][0].get_ydata(), [0, -3, np.nan, -4])
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["1–2", "1–3"]


def test_a_slip_that_passes_half_a_spacing_shows_where_it_begins_anew(series):
    made = strain_series.over_time(series.assign(slip=2 * series["slip"]))
    slips = next(ax for ax in made.axes if "slip" in ax.get_ylabel())
    assert any(text.get_text().startswith("half a lattice spacing") for text in slips.texts)
    assert all(bar[0].get_linestyle() == "None" for bar in slips.containers)


def test_a_step_over_half_a_spacing_is_dotted_out_at_one_edge_and_in_at_the_other(series):
    half = np.pi / 1.4
    slip = series["slip"].fillna(0) * 0 + [[0.0, 0.1], [2.0, 0.1], [-2.0, 0.1], [-1.9, 0.1]]
    slips = next(ax for ax in strain_series.over_time(series.assign(slip=slip)).axes if "slip" in ax.get_ylabel())
    dotted = [line.get_ydata() for line in slips.lines if line.get_linestyle() == ":" and len(set(line.get_xdata())) == 2]
    np.testing.assert_allclose(dotted, [[2.0, -2.0 + 2 * half], [2.0 - 2 * half, -2.0]])


def test_a_boundary_without_a_number_is_not_in_the_legend(series):
    there = series["boundary_shift"].where(xr.DataArray([True, False], dims="boundary"))
    made = strain_series.over_time(series.assign(boundary_shift=there, slip=there))
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["1–2"]


def test_states_without_times_are_counted(series):
    made = strain_series.over_time(series.assign(time=("state", [0.0, np.nan, 3.0, 4.0])))
    assert {ax.get_xlabel() for ax in made.axes} == {"", "state"}
    np.testing.assert_allclose(made.axes[0].containers[0][0].get_xdata(), [0, 1, 2, 3])
    assert all(tick == round(tick) for tick in made.axes[0].get_xticks())


def test_a_series_of_one_grain_is_drawn_too(series):
    made = strain_series.over_time(series.isel(boundary=slice(0, 0)))
    assert not made.legends
    assert sum("no boundary between grains" in [text.get_text() for text in ax.texts] for ax in made.axes) == 2


def test_the_report_draws_them_with_captions(series, tmp_path):
    names = list(report.figures({"series": series}))
    assert names == ["series_time", "series_strain_change", "series_displacement_change"]
    assert set(names) <= set(report.CAPTIONS)
    report.picture({"series": series}, tmp_path / "quick.png")
    report.html([{"series": series}], tmp_path / "page.html", title="states")
    assert (tmp_path / "quick.png").stat().st_size > 0
    assert (tmp_path / "page.html").read_text().count("<img") == 3


def test_what_cannot_be_drawn_is_said(series):
    with pytest.raises(SchemaError, match="strain_change"):
        strain_series.changes(series.drop_vars("strain_change"))
    with pytest.raises(SchemaError, match="order"):
        strain_series.over_time(series.drop_vars("order"))
    with pytest.raises(SchemaError, match="one state only"):
        strain_series.changes(series.isel(state=[0]))
    with pytest.raises(ValueError, match="expected one of strain_change, displacement_change"):
        strain_series.changes(series, name="order")
