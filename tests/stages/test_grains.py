"""Labelled grains: their numbers and errors, the boundaries between them, and what an unreliable object keeps."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.schema import CRYSTAL, require
from xcdi.stages import grains, strain

Q = np.array([1.35, 0.1, -0.2])
G = float(np.linalg.norm(Q))
ALONG = Q / G
EDGE = 25.0


def crystal(u, *, copies=None, ramp=(0.0, 0.0, 0.0)):
    """A ball of lattice displaced by u(along, x, y, z) [nm] along G."""
    axis = {dim: (dim, EDGE * (np.arange(n) - n // 2), {"units": "nm"}) for dim, n in zip("zyx", (19, 21, 23), strict=True)}
    z, y, x = np.meshgrid(*(axis[d][1] for d in "zyx"), indexing="ij")
    support = x**2 + y**2 + z**2 < 210.0**2
    rho = np.where(support, np.exp(-1j * G * u(ALONG[0] * x + ALONG[1] * y + ALONG[2] * z, x, y, z)), 0).astype(np.complex64)
    lab = ("z", "y", "x")
    fields = {"rho": (lab, rho, {"units": "1"}), "support": (lab, support, {"units": ""})}
    if copies is not None:
        fields["solutions"] = (("solution", *lab), copies(rho), {"units": "1"})
    return xr.Dataset(fields, axis, {"q_peak": Q.tolist(), "ramp": list(ramp), "grade": "good"})


def two_grains(eps, tilt, copies=None):
    """The ball with another strain and tilt, and a phase jump, on the far side of x = 30 nm."""
    azimuthal = np.cross([0, 0, 1], ALONG) / np.linalg.norm(np.cross([0, 0, 1], ALONG))

    def u(a, x, y, z):
        t = azimuthal[0] * x + azimuthal[1] * y + azimuthal[2] * z
        return np.where(x > 30, eps * a + tilt * t + 1.5, 0.0)

    return strain.field(crystal(u, copies=copies))


def test_grains_have_their_strain_and_boundaries_the_step():
    done, table, pairs = grains.grains(two_grains(3e-3, -4e-3))
    require(done, "grain", schema=CRYSTAL)
    assert list(table.grain) == [1, 2]
    assert float(table.volume_nm3.sum()) == pytest.approx(float(done.support.sum()) * EDGE**3)
    assert float(table.strain[1] - table.strain[0]) == pytest.approx(3e-3, abs=1e-4)
    assert pairs.sizes["boundary"] == 1
    assert float(pairs.d_strain[0]) == pytest.approx(3e-3, abs=1e-4)
    assert float(pairs.d_tilt_1[0]) == pytest.approx(-4e-3, abs=1e-4)
    assert float(pairs.d_tilt_2[0]) == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(pairs.normal[0], [1, 0, 0], atol=0.05)
    assert float(pairs.centroid[0, 0]) == pytest.approx(37.5, abs=3)
    assert float(table.centroid[0, 0]) < 0 < float(table.centroid[1, 0])


def test_errors_of_grains_come_from_the_solutions():
    rng = np.random.default_rng(3)

    def noisy(rho):
        return (rho * np.exp(0.05j * rng.normal(size=(6, *rho.shape)))).astype(np.complex64)

    done, table, pairs = grains.grains(two_grains(3e-3, 0.0, noisy))
    assert "solutions" not in done
    assert 0 < float(table.strain_error.max()) < 2e-4
    assert float(table.phase_offset_error[0]) == 0
    assert 0 < float(table.phase_offset_error[1]) < 0.02
    assert 0 < float(pairs.phase_jump_error[0]) < 0.05
    assert 0 < float(pairs.misorientation_error[0]) < 2e-4
    _, plain, _ = grains.grains(two_grains(3e-3, 0.0))
    assert "strain_error" not in plain


def test_the_error_of_a_step_is_that_of_the_step_and_not_of_the_two_means():
    """What one grain gains the other loses, as the crystal's mean strain is none."""
    along = EDGE * (np.arange(23) - 11) * ALONG[0] + EDGE * (np.arange(21)[:, None] - 10) * ALONG[1]
    along = along + EDGE * (np.arange(19)[:, None, None] - 9) * ALONG[2]

    def strained(rho):
        far = EDGE * (np.arange(23) - 11) > 30
        return np.stack([rho * np.exp(-1j * G * eps * along * far) for eps in (-2e-4, 0.0, 2e-4)]).astype(np.complex64)

    _, table, pairs = grains.grains(two_grains(3e-3, 0.0, strained))
    assert float(pairs.d_strain_error[0]) == pytest.approx(2e-4, rel=0.01)
    assert float(np.hypot(*table.strain_error)) < 1.6e-4


@pytest.mark.parametrize("angle", [5e-3, -3e-3])
def test_a_grain_turned_by_a_known_rotation_shows_it(angle):
    """With u = omega x r: its part along G is a tilt, and the rotation comes back as vector and angle."""
    across = np.cross(ALONG, np.cross([0, 0, 1], ALONG))
    omega = angle * across / np.linalg.norm(across)

    def u(a, x, y, z):
        moved = np.einsum("a,azyx->zyx", np.cross(ALONG, omega), np.stack([x, y, z]))
        return np.where(x > 30, moved + 1.5, 0.0)

    _, table, pairs = grains.grains(strain.field(crystal(u)))
    np.testing.assert_allclose(pairs.rotation[0], omega, atol=1e-4)
    assert float(pairs.misorientation[0]) == pytest.approx(abs(angle), abs=1e-4)
    assert float(pairs.spacing_nm[0]) == pytest.approx(2 * np.pi / G / abs(angle), rel=0.03)
    assert "spacing along G" in pairs.attrs["burgers_from"]
    across_nm = 2 * np.sqrt(float(pairs.area_nm2[0]) / np.pi)
    assert float(pairs.expected_dislocations[0]) == pytest.approx(across_nm / float(pairs.spacing_nm[0]))
    assert np.isfinite(table.surface_nm2).all()


def test_with_hkl_and_structure_the_burgers_vector_is_the_shortest_of_the_lattice():
    whole = two_grains(3e-3, -4e-3).assign_attrs(hkl=[1, 1, 1])
    spacing = grains.grains(whole)[2].attrs["burgers_nm"]
    for structure, ratio in (("fcc", 1.5**0.5), ("bcc", 1.5), ("sc", 3**0.5)):
        assert grains.grains(whole, structure=structure)[2].attrs["burgers_nm"] == pytest.approx(spacing * ratio)


def test_the_phase_offset_is_that_between_the_middles_of_the_grains():
    _, table, _ = grains.grains(two_grains(0.0, 0.0))
    assert float(table.phase_offset[0]) == 0
    assert float(table.phase_offset[1]) == pytest.approx(np.angle(np.exp(-1.5j * G)), abs=0.05)


def test_depth_is_known_inside_and_largest_in_the_middle_of_the_larger_grain():
    done, _, _ = grains.grains(two_grains(3e-3, 0.0))
    require(done, "depth", schema=CRYSTAL)
    assert np.isnan(done.depth.values[~done.support.values]).all()
    assert (done.depth.values[done.support.values] > 0).all()
    deepest = done.depth.where(done.depth == done.depth.max(), drop=True)
    assert float(deepest.x.mean()) == pytest.approx(-85, abs=30)
    assert float(done.depth.max()) == pytest.approx(125, abs=EDGE)


def test_a_scan_without_a_triple_line_has_an_empty_table_of_them():
    done, _, _ = grains.grains(two_grains(3e-3, -4e-3))
    lines = grains.triple_lines(done)
    assert (lines.sizes["line"], lines.attrs["quadruple_points"]) == (0, 0)
    with pytest.raises(SchemaError, match="on it first"):
        grains.triple_lines(done.drop_vars("grain"))


def test_one_grain_has_no_boundary():
    _, table, pairs = grains.grains(strain.field(crystal(lambda a, x, y, z: 1e-3 * a)))
    assert table.sizes["grain"] == 1
    assert pairs.sizes["boundary"] == 0
    assert float(table.strain[0]) == pytest.approx(0, abs=1e-6)


def test_an_unreliable_object_keeps_its_grains_and_loses_their_numbers():
    _, table, pairs = grains.grains(two_grains(3e-3, 4e-3))
    blank, none = grains.without_statistics(table, pairs)
    assert list(blank.grain) == [1, 2]
    np.testing.assert_array_equal(blank.volume_nm3, table.volume_nm3)
    np.testing.assert_array_equal(none.area_nm2, pairs.area_nm2)
    for name in ("strain", "tilt_1", "tilt_2"):
        assert np.isnan(blank[name]).all()
        assert np.isnan(none[f"d_{name}"]).all()
        assert blank[name].attrs["units"] == table[name].attrs["units"]
    for name in ("phase_jump", "misorientation", "rotation", "spacing_nm", "expected_dislocations"):
        assert np.isnan(none[name]).all()
    assert np.isnan(blank.phase_offset).all()
