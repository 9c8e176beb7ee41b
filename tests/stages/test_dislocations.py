"""Labelled dislocations: those inside grains apart from those of boundaries and surface, with units, and none of a doubtful object."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.kernels.avalanches import boundaries
from xcdi.schema import DISLOCATIONS, require
from xcdi.stages import dislocations

LAB = ("z", "y", "x")
EDGE = 20.0
SHAPE = (17, 19, 31)
ORIGIN = {"z": 35.0, "y": -12.0, "x": 8.0}  # of the middle voxel


def grid():
    axes = {dim: EDGE * (np.arange(n) - n // 2) + ORIGIN[dim] for dim, n in zip(LAB, SHAPE, strict=True)}
    return axes, *np.meshgrid(*(axes[dim] for dim in LAB), indexing="ij")


def crystal(*places, slope=0.0, grade="good", noise=0.0):
    """Two grains that meet at x = 8 nm, the second with a phase slope along y, and screws along z through (x, y, turns)."""
    axes, z, y, x = grid()
    support = (np.abs(x - 8) < 290) & (np.abs(y + 12) < 170) & (np.abs(z - 35) < 150)
    phase = np.where(x > 8 + EDGE / 2, slope * y, 0.0)
    rho = support.astype(complex)
    for x0, y0, turns in places:
        rho *= np.exp(-1j * turns * np.arctan2(y - y0, x - x0)) * (1 - np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 25.0**2))
    rng = np.random.default_rng(2)
    rho = rho * np.exp(1j * phase) + noise * support * (rng.normal(size=(*SHAPE, 2)) @ [1, 1j])
    grain = np.where(support, np.where(x > 8 + EDGE / 2, 2, 1), 0).astype(np.int16)
    fields = {"rho": (rho, "1"), "support": (support, ""), "grain": (grain, "")}
    variables = {name: (LAB, values, {"units": unit}) for name, (values, unit) in fields.items()}
    return xr.Dataset(variables, {d: (d, v, {"units": "nm"}) for d, v in axes.items()}, {"grade": grade, "q_peak": [1.4, 0.0, 0.1]})


def test_every_variable_is_there_with_its_units():
    found = dislocations.lines(crystal((-130.0, 10.0, 1)))
    require(found, *DISLOCATIONS, schema=DISLOCATIONS)
    assert set(np.unique(found.node_line)) == set(range(found.sizes["line"]))


@pytest.mark.parametrize("turns", [1, -1])
def test_a_screw_inside_a_grain_is_told_with_its_place_length_and_charge(turns):
    found = dislocations.lines(crystal((-130.0, 10.0, turns)))
    assert found.sizes["line"] == 1
    line = found.isel(line=0)
    assert (int(line.charge), int(line.grain), bool(line.closed)) == (turns, 1, False)
    assert (int(line.boundary_i), int(line.boundary_j)) == (0, 0)
    np.testing.assert_allclose(line.centroid, [-130.0, 10.0, 35.0], atol=EDGE)
    np.testing.assert_allclose(line.direction, [0, 0, 1], atol=0.05)
    assert float(line.length_nm) == pytest.approx(300.0, abs=2 * EDGE)
    assert float(line.depth_nm) == pytest.approx(70.0)  # half of its 15 nodes are nearer to an end face


def test_the_counts_are_of_lines_inside_grains():
    found = dislocations.lines(crystal((-130.0, 10.0, 1), (150.0, -30.0, -1)))
    assert found.attrs["bulk_lines"] == 2
    assert sorted(found.charge.values.tolist()) == [-1, 1]
    assert sorted(found.grain.values.tolist()) == [1, 2]
    assert found.attrs["bulk_length_nm"] == pytest.approx(float(found.length_nm.sum()))
    volume = float(crystal().support.sum()) * EDGE**3
    assert found.attrs["density_per_um2"] == pytest.approx(found.attrs["bulk_length_nm"] / volume * 1e6)
    assert found.attrs["boundary_vortices"] == found.attrs["surface_vortices"] == 0


def test_a_change_of_slope_makes_vortices_of_the_boundary_and_no_dislocation():
    found = dislocations.lines(crystal(slope=0.05))
    assert found.attrs["bulk_lines"] == 0
    assert found.attrs["boundary_vortices"] >= 2
    assert np.isin(found.boundary_i, 1).all()
    assert np.isin(found.boundary_j, 2).all()
    assert np.abs(found.centroid.values[:, 0] - 8).max() < 2 * EDGE


def test_both_at_once_are_told_apart():
    found = dislocations.lines(crystal((-130.0, 10.0, 1), slope=0.05))
    assert found.attrs["bulk_lines"] == 1
    assert found.attrs["boundary_vortices"] >= 2


def test_a_line_just_beneath_the_surface_is_the_surface_s():
    found = dislocations.lines(crystal((-130.0, 138.0, 1)))
    assert found.attrs["bulk_lines"] == 0
    assert found.attrs["surface_vortices"] == 1
    assert (int(found.boundary_i[0]), int(found.boundary_j[0])) == (0, 1)


def test_a_line_is_as_deep_as_the_crystal_s_depth_where_it_runs():
    """A slot of one voxel in the support, as a boundary cuts it, is no surface for either."""
    one = crystal((-130.0, 10.0, 1))
    slot = (one.x < -65) & (one.x > -75) & (one.y > 0)
    cut = one.assign(support=one.support & ~slot, grain=one.grain.where(~slot, 0).astype(np.int16))
    depth = xr.zeros_like(cut.rho, float) + boundaries.depth(boundaries.filled(cut.grain.to_numpy()), 20 * np.eye(3))
    found = dislocations.lines(cut)
    x, y, z = (xr.DataArray(points, dims="node") for points in found.node_position.to_numpy().T - EDGE / 2)
    assert float(found.depth_nm[0]) == float(depth.sel(x=x, y=y, z=z, method="nearest").median()) == 70.0


def test_noise_of_the_phase_makes_no_dislocation():
    clean, noisy = (dislocations.lines(crystal((-130.0, 10.0, 1), noise=noise)) for noise in (0.0, 0.15))
    assert noisy.attrs["bulk_lines"] == clean.attrs["bulk_lines"] == 1
    assert dislocations.lines(crystal(noise=0.25)).attrs["bulk_lines"] == 0


def test_a_factor_on_the_object_changes_nothing():
    one = crystal((-130.0, 10.0, 1), slope=0.05, noise=0.1)
    xr.testing.assert_allclose(dislocations.lines(one), dislocations.lines(one.assign(rho=one.rho * 300j)))


def test_where_the_crystal_is_hardly_there_its_phase_is_not_believed():
    one = crystal((-130.0, 10.0, 1))
    dark = np.where(one.x < 8, 0.05, 1.0)
    assert dislocations.lines(one.assign(rho=one.rho * xr.DataArray(dark, dims="x"))).attrs["bulk_lines"] == 0


def test_an_unreliable_object_has_no_lines_and_no_counts():
    found = dislocations.lines(crystal((-130.0, 10.0, 1), grade="unreliable"))
    require(found, *DISLOCATIONS, schema=DISLOCATIONS)
    assert found.sizes["line"] == found.sizes["node"] == 0
    assert "unreliable" in found.attrs["note"]
    assert not {"bulk_lines", "density_per_um2", "boundary_vortices"} & set(found.attrs)


def test_a_perfect_crystal_has_an_empty_table_and_says_none():
    found = dislocations.lines(crystal())
    assert found.sizes["line"] == 0
    assert found.attrs["bulk_lines"] == 0
    assert found.attrs["density_per_um2"] == 0


def test_a_crystal_without_grains_is_told_what_it_lacks():
    with pytest.raises(SchemaError, match="'grain'"):
        dislocations.lines(crystal().drop_vars("grain"))
