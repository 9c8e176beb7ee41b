"""Pictures of dislocations show the lines that there are, where they are, and which way they turn."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from xcdi.plot import dislocations

LAB = ("z", "y", "x")


def labelled(dims, values, units=""):
    return dims, np.asarray(values), {"units": units}


@pytest.fixture
def crystal():
    shape, step = (11, 13, 17), 20.0
    axes = {d: (np.arange(n) - n // 2) * step for d, n in zip(LAB, shape, strict=True)}
    support = np.zeros(shape, bool)
    support[1:-1, 2:-2, 2:-2] = True
    fields = {
        "support": labelled(LAB, support),
        "phase": labelled(LAB, support * 0.5, "rad"),
        "grain": labelled(LAB, support.astype("int16")),
    }
    return xr.Dataset(fields, axes, {"grade": "good", "q_peak": [1.4, 0.0, 0.1]})


@pytest.fixture
def table():
    """A line inside along z through (30, 20) of charge 1, and one at the surface along x through y = -80 of charge -1."""
    z, x = np.arange(-70.0, 71.0, 20.0), np.arange(-90.0, 91.0, 20.0)
    nodes = np.concatenate([[[30.0, 20.0, h] for h in z], [[h, -80.0, 10.0] for h in x]])
    return xr.Dataset(
        {
            "charge": labelled("line", [1, -1]),
            "length_nm": labelled("line", [160.0, 200.0], "nm"),
            "direction": labelled(("line", "axis"), [[0.0, 0, 1], [1, 0, 0]], "1"),
            "boundary_i": labelled("line", [0, 0]),
            "boundary_j": labelled("line", [0, 1]),
            "closed": labelled("line", [False, False]),
            "node_line": labelled("node", [0] * len(z) + [1] * len(x)),
            "node_position": labelled(("node", "axis"), nodes, "nm"),
        },
        {"axis": ["x", "y", "z"]},
        {"bulk_lines": 1, "bulk_length_nm": 160.0, "boundary_vortices": 0},
    )


def test_every_line_is_drawn_where_it_is_in_the_colour_of_its_charge(crystal, table):
    ax = dislocations.inside(crystal, table)
    drawn = {to_hex(line.get_color()): np.array(line.get_data_3d()) for line in ax.lines}
    assert set(drawn) == {dislocations.CHARGES[1], dislocations.CHARGES[-1]}
    np.testing.assert_allclose(drawn[dislocations.CHARGES[1]][:2, 0], [30.0, 20.0])
    widths = {to_hex(line.get_color()): line.get_linewidth() for line in ax.lines}
    assert widths[dislocations.CHARGES[1]] > 2 * widths[dislocations.CHARGES[-1]]
    assert ax.get_title() == "1 line inside grains, 160 nm; 0 boundary vortices"


@pytest.mark.parametrize(
    ("seen", "at", "place", "turn", "bulk"),
    [
        (("y", "x"), (0.0, 0.0, 0.0), (30.0, 20.0), 1, True),
        (("y", "z"), (0.0, 0.0, 0.0), (10.0, -80.0), 1, False),
    ],
)
def test_a_plane_is_pierced_where_the_line_is_and_turns_as_it_is_seen(table, seen, at, place, turn, bulk):
    there = dislocations.piercings(table, seen, at)
    np.testing.assert_allclose([*there.right, *there.up], place)
    assert there.turn.tolist() == [turn]
    assert there.bulk.tolist() == [bulk]
    table["charge"] = -table["charge"]
    assert dislocations.piercings(table, seen, at).turn.tolist() == [-turn]


def test_the_turn_is_that_of_the_line_whichever_way_its_nodes_run(table):
    along = dislocations.piercings(table, ("y", "x"), (0.0, 0.0, 0.0))
    back = table.isel(node=slice(None, None, -1)).assign(charge=-table.charge)
    np.testing.assert_array_equal(dislocations.piercings(back, ("y", "x"), (0.0, 0.0, 0.0)).turn, along.turn)


def test_a_slice_carries_one_mark_per_piercing(crystal, table):
    ax = dislocations.on_slice(crystal, table)
    marks = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes") and len(c.get_offsets()) == 1])
    assert {tuple(np.round(m)) for m in marks if np.any(m)} == {(30.0, 20.0)}


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_legend_has_the_lines_that_there_are(crystal, table):
    assert words(dislocations.inside(crystal, table)) == ["charge +1, inside a grain", "charge −1, boundary or surface"]
    one = table.assign(charge=("line", [1, 1]), boundary_j=("line", [1, 1]))
    assert words(dislocations.inside(crystal, one)) == ["charge +1, boundary or surface"]
    assert words(dislocations.on_slice(crystal, table)) == ["$u_G$ gains anticlockwise, inside a grain"]


def test_an_empty_table_draws_the_particle_alone(crystal, table):
    empty = table.isel(line=slice(0), node=slice(0)).assign_attrs(bulk_lines=0, bulk_length_nm=0.0)
    ax = dislocations.inside(crystal, empty)
    assert len(ax.lines) == 0
    assert len(ax.collections) == 1
    assert dislocations.piercings(empty, ("y", "x"), (0.0, 0.0, 0.0)).right.size == 0
    dislocations.on_slice(crystal, empty)


def test_an_unreliable_crystal_is_drawn_as_such(crystal, table):
    ax = dislocations.inside(crystal.assign_attrs(grade="unreliable"), table.isel(line=slice(0), node=slice(0)).drop_attrs())
    assert "UNRELIABLE" in ax.get_title()
