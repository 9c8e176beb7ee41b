"""Pictures of grains: one node per grain, one edge per boundary, and no number that is not known."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.plot import grains

LAB = ("z", "y", "x")


@pytest.fixture
def parts():
    """Three grains side by side along x; the first boundary four times as large as the second."""
    shape, step = (5, 7, 13), 20.0
    axes = {d: (np.arange(n) - n // 2) * step for d, n in zip(LAB, shape, strict=True)}
    grain = np.zeros(shape, np.int16)
    grain[1:-1, 1:-1, 1:5], grain[1:-1, 1:-1, 5:9], grain[1:-1, 1:-1, 9:-1] = 1, 2, 3
    crystal = xr.Dataset({"grain": (LAB, grain, {"units": ""}), "support": (LAB, grain > 0, {"units": ""})}, axes, {"grade": "good"})
    table = xr.Dataset(
        {
            "centroid": (("grain", "axis"), [[-70.0, 5, 1], [0, -5, 2], [70, 0, 3]], {"units": "nm"}),
            "strain": ("grain", [1.234e-3, -5e-4, 0.0], {"units": "1"}),
            "strain_error": ("grain", [2.1e-5, 1e-4, 0.0], {"units": "1"}),
        },
        {"grain": [1, 2, 3], "axis": ["x", "y", "z"]},
    )
    pairs = xr.Dataset(
        {
            "i": ("boundary", [1, 2]),
            "j": ("boundary", [2, 3]),
            "centroid": (("boundary", "axis"), [[-40.0, 0, 0], [40, 0, 0]], {"units": "nm"}),
            "area_nm2": ("boundary", [4e4, 1e4], {"units": "nm2"}),
            "misorientation": ("boundary", [2e-3, 8e-3], {"units": "rad"}),
            "phase_jump": ("boundary", [1.0, -3.0], {"units": "rad"}),
        },
        {"axis": ["x", "y", "z"]},
    )
    return crystal, table, pairs


def solid(ax):
    return [line for line in ax.lines if line.get_linestyle() == "-" and line.get_zorder() == 4]


@pytest.mark.parametrize(("seen", "columns"), [(("y", "x"), [0, 1]), (("y", "z"), [2, 1]), (("z", "x"), [0, 2])])
def test_nodes_are_the_grains_and_edges_go_by_the_boundaries(parts, seen, columns):
    _, table, pairs = parts
    ax = grains.graph(*parts, seen=seen)
    nodes = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([np.ravel(node.get_data()) for node in nodes], table.centroid.values[:, columns])
    edges = solid(ax)
    assert len(edges) == 2
    np.testing.assert_allclose(np.transpose(edges[0].get_data())[1], pairs.centroid.values[0, columns])


def test_width_grows_with_the_area_and_colour_with_the_misorientation(parts):
    first, second = solid(grains.graph(*parts))
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_color() != second.get_color()
    bar = grains.graph(*parts).figure.axes[-1]
    assert bar.get_ylim() == (0.0, 8.0)


def test_a_phase_jump_is_coloured_on_a_circle(parts):
    assert grains.graph(*parts, name="phase_jump").figure.axes[-1].get_ylim() == pytest.approx((-np.pi, np.pi))


def test_what_an_unreliable_object_cannot_say_is_dotted(parts):
    crystal, table, pairs = parts
    blank = pairs.assign(misorientation=pairs.misorientation * np.nan)
    ax = grains.graph(crystal.assign_attrs(grade="unreliable"), table, blank)
    assert not solid(ax)
    assert len([line for line in ax.lines if line.get_linestyle() == ":"]) == 2
    assert ax.get_title().startswith("UNRELIABLE")


def test_three_views_share_one_scale(parts):
    made = grains.graphs(*parts)
    assert len(made.axes) == 4
    assert "area" in made.axes[-1].get_ylabel()


def test_the_table_has_as_many_digits_as_the_error_allows(parts):
    _, table, pairs = parts
    above, below = grains.table(table, pairs).axes
    words = [cell.get_text().get_text() for made in above.tables for cell in made.get_celld().values()]
    assert "1.23 ± 0.02" in words
    assert "−0.50 ± 0.10" in words
    assert "0" in words
    even = grains.table(table, pairs.assign(dip=("boundary", [0.7, 0.99]))).axes[1].tables[0].get_celld().values()
    assert {"0.700", "0.990"} <= {cell.get_text().get_text() for cell in even}
    assert "1–2" in [cell.get_text().get_text() for made in below.tables for cell in made.get_celld().values()]
    empty = grains.table(table, pairs.isel(boundary=slice(0, 0))).axes[1]
    assert empty.texts[0].get_text() == "no boundaries"


def test_no_boundaries_draw_no_edges_and_no_number_is_said(parts):
    crystal, table, pairs = parts
    assert not solid(grains.graph(crystal, table, pairs.isel(boundary=slice(0, 0))))
    with pytest.raises(SchemaError, match="misorientation"):
        grains.graph(crystal, table, pairs.drop_vars("misorientation"))
