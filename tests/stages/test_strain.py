"""Labelled strain: absolute spacing, relative maps, errors that are the spread, NaN outside."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.schema import CRYSTAL, require
from xcdi.stages import strain

Q = np.array([1.35, 0.1, -0.2])
G = float(np.linalg.norm(Q))
ALONG = Q / G
EDGE = 25.0
MAPS = ("strain", "tilt_1", "tilt_2", "displacement", "d_spacing")


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


def test_every_map_is_there_with_its_units_and_nan_outside():
    done = strain.field(crystal(lambda a, x, y, z: 1e-3 * a))
    require(done, "displacement", "strain", "tilt_1", "tilt_2", "d_spacing", schema=CRYSTAL)
    for name in MAPS:
        assert np.isnan(done[name].to_numpy()[~done.support]).all()
        assert np.isfinite(done[name].to_numpy()[done.support]).all()
        assert done[name].dtype == np.float32


@pytest.mark.parametrize("eps", [2e-3, -3e-3])
def test_uniform_strain_is_spacing_alone(eps):
    done = strain.field(crystal(lambda a, x, y, z: eps * a))
    spacing = 2 * np.pi / G / (1 - eps)
    assert done.attrs["mean_d_spacing_nm"] == pytest.approx(spacing, rel=1e-5)
    assert done.attrs["mean_strain"] == pytest.approx(eps, rel=0.01)
    np.testing.assert_allclose(done.d_spacing.to_numpy()[done.support], spacing, rtol=1e-4)
    assert np.nanmax(np.abs(done.strain)) < 1e-4


def test_a_ramp_already_removed_counts_for_the_spacing():
    eps = 2e-3
    flat = strain.field(crystal(lambda a, x, y, z: 0 * a, ramp=-eps * Q))
    whole = strain.field(crystal(lambda a, x, y, z: eps * a))
    np.testing.assert_allclose(flat.d_spacing, whole.d_spacing, rtol=1e-6)


def test_bending_is_tilt_and_not_strain():
    azimuthal = np.cross([0, 0, 1], ALONG)
    azimuthal /= np.linalg.norm(azimuthal)

    def u(a, x, y, z):
        t = azimuthal[0] * x + azimuthal[1] * y + azimuthal[2] * z
        return 8e-6 * t**2

    done = strain.field(crystal(u))
    t = azimuthal[0] * done.x + azimuthal[1] * done.y + azimuthal[2] * done.z
    inner = (done.x**2 + done.y**2 + done.z**2 < 180.0**2).transpose("z", "y", "x")
    assert float(abs(done.tilt_1 - 1.6e-5 * t).where(inner).max()) < 1e-4
    assert float(abs(done.strain).where(inner).max()) < 1e-4
    assert float(abs(done.tilt_2).where(inner).max()) < 1e-4


def test_displacement_is_continuous_and_relative_to_the_mean_crystal():
    swell = 1e-4  # 1/nm: a turn of phase from the middle to the surface
    done = strain.field(crystal(lambda a, x, y, z: 4e-3 * a + swell * a**2))
    along = ALONG[0] * done.x + ALONG[1] * done.y + ALONG[2] * done.z
    left = (done.displacement - swell * along**2).transpose("z", "y", "x")
    assert float(left.std()) < 0.01 * float(done.displacement.std())
    assert abs(float(done.displacement.mean())) < 1e-4
    assert done.attrs["phase_breaks"] == 0


def test_the_error_is_the_spread_of_the_solutions():
    rng = np.random.default_rng(11)

    def noisy(rho):
        noise = 0.05 * rng.normal(size=(24, *rho.shape)) + 0.05j * rng.normal(size=(24, *rho.shape))
        return (rho * (1 + noise)).astype(np.complex64)

    done = strain.field(crystal(lambda a, x, y, z: 1e-3 * a, copies=noisy))
    expected = 0.05 / np.sqrt(2) / EDGE / G  # phase noise 0.05 rad, neighbours on both sides
    assert done.attrs["noise_floor"] == pytest.approx(expected, rel=0.1)
    assert float(done.tilt_1_error.median()) == pytest.approx(expected, rel=0.1)
    assert done.attrs["error_from"] == "spread of the solutions"


def test_without_solutions_the_error_is_propagated():
    one = crystal(lambda a, x, y, z: 1e-3 * a)
    one["rho_error"] = (one.rho.dims, np.full(one.rho.shape, 0.05 * np.sqrt(2), np.float32), {"units": "1"})
    done = strain.field(one)
    assert done.attrs["noise_floor"] == pytest.approx(0.05 / np.sqrt(2) / EDGE / G, rel=2e-3)


def test_without_either_there_is_no_error_and_it_says_so():
    done = strain.field(crystal(lambda a, x, y, z: 1e-3 * a))
    assert "strain_error" not in done
    assert "noise_floor" not in done.attrs
    assert done.attrs["error_from"].startswith("nothing")


def test_what_is_missing_is_named():
    whole = crystal(lambda a, x, y, z: 0 * a)
    with pytest.raises(SchemaError, match="to_lab"):
        strain.field(whole.drop_vars("rho"))
    with pytest.raises(SchemaError, match="q_peak"):
        strain.field(whole.drop_attrs())
    with pytest.raises(XcdiError, match="empty"):
        strain.field(whole.assign(rho=(whole.rho * 0).assign_attrs(units="1")))


def two_grains(eps, tilt, copies=None):
    """The ball with another strain and tilt, and a phase jump, on the far side of x = 30 nm."""
    azimuthal = np.cross([0, 0, 1], ALONG) / np.linalg.norm(np.cross([0, 0, 1], ALONG))

    def u(a, x, y, z):
        t = azimuthal[0] * x + azimuthal[1] * y + azimuthal[2] * z
        return np.where(x > 30, eps * a + tilt * t + 1.5, 0.0)

    return strain.field(crystal(u, copies=copies))


def test_grains_have_their_strain_and_boundaries_the_step():
    done, table, pairs = strain.grains(two_grains(3e-3, -4e-3))
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

    done, table, pairs = strain.grains(two_grains(3e-3, 0.0, noisy))
    assert "solutions" not in done
    assert 0 < float(table.strain_error.max()) < 2e-4
    np.testing.assert_allclose(pairs.d_strain_error[0], np.hypot(*table.strain_error.to_numpy()))
    _, plain, _ = strain.grains(two_grains(3e-3, 0.0))
    assert "strain_error" not in plain


def test_one_grain_has_no_boundary():
    _, table, pairs = strain.grains(strain.field(crystal(lambda a, x, y, z: 1e-3 * a)))
    assert table.sizes["grain"] == 1
    assert pairs.sizes["boundary"] == 0
    assert float(table.strain[0]) == pytest.approx(0, abs=1e-6)


def test_an_unreliable_object_keeps_its_grains_and_loses_their_numbers():
    done, table, pairs = strain.grains(two_grains(3e-3, 4e-3))
    blank, none = strain.without_statistics(table, pairs)
    assert list(blank.grain) == [1, 2]
    np.testing.assert_array_equal(blank.volume_nm3, table.volume_nm3)
    np.testing.assert_array_equal(none.area_nm2, pairs.area_nm2)
    for name in ("strain", "tilt_1", "tilt_2"):
        assert np.isnan(blank[name]).all()
        assert np.isnan(none[f"d_{name}"]).all()
        assert blank[name].attrs["units"] == table[name].attrs["units"]
    assert np.isnan(none.phase_jump).all()
    assert strain.told(done, "unreliable").startswith("no strain")
    assert strain.told(done, "good").startswith("strain ")
