"""Labelled strain: absolute spacing, relative maps, errors that are the spread, NaN outside."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage as ndi

from xcdi import settings
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry, refraction
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
    assert done.attrs["error_from"].startswith("spread of 24 solutions")
    assert done.attrs["error_factor"] == 1


def copies(spread, count=24, seed=11):
    """A function that makes solutions of which each has its own phase noise, smooth over neighbours."""

    def noisy(rho):
        rng = np.random.default_rng(seed)
        noise = ndi.gaussian_filter(rng.normal(size=(count, *rho.shape)), (0, 1.2, 1.2, 1.2), mode="wrap")
        noise *= spread / noise.std()
        return (rho * np.exp(1j * noise)).astype(np.complex64)

    return noisy


def with_phase_error(crystal, error):
    inside = crystal.support.to_numpy()
    return crystal.assign(phase_error=(crystal.rho.dims, np.where(inside, error, np.nan), {"units": "rad"}))


def test_a_standard_error_of_the_phase_scales_all_errors_alike():
    one = crystal(lambda a, x, y, z: 1e-3 * a, copies=copies(0.1))
    plain, scaled = strain.field(one), strain.field(with_phase_error(one, 0.04))
    factor = scaled.attrs["error_factor"]
    assert factor == pytest.approx(0.04 / 0.1, rel=0.1)
    for name in ("strain_error", "tilt_1_error", "tilt_2_error"):
        np.testing.assert_allclose(scaled[name], factor * plain[name], rtol=1e-5)
    np.testing.assert_allclose(scaled.displacement_error.to_numpy()[one.support], 0.04 / scaled_length(scaled), rtol=1e-5)
    np.testing.assert_allclose(scaled.d_spacing_error, scaled.d_spacing * scaled.strain_error, rtol=1e-4)
    assert scaled.attrs["error_from"].startswith("standard error")


def scaled_length(crystal):
    return float(np.linalg.norm(crystal.attrs["q_mean"]))


def test_the_error_knows_that_neighbours_err_together():
    """Smooth noise moves neighbours alike: strain errs less than independent phases would have it, and the stated error is the true one."""
    one = with_phase_error(crystal(lambda a, x, y, z: 1e-3 * a, copies=copies(0.1)), 0.1)
    done = strain.field(one)
    bare = one.drop_vars(["solutions", "phase_error"])
    fresh = (strain.field(bare.assign(rho=(bare.rho.dims, rho, {"units": "1"}))) for rho in copies(0.1, 8, seed=12)(bare.rho.to_numpy()))
    deep = ndi.binary_erosion(one.support, iterations=3)
    away = [(drawn.strain - strain.field(bare).strain).to_numpy()[deep] for drawn in fresh]
    true = float(np.std(away))
    stated = float(np.median(done.strain_error.to_numpy()[deep]))
    assert stated == pytest.approx(true, rel=0.15)
    assert stated < 0.8 * 0.1 / np.sqrt(2) / EDGE / G


def test_the_scatter_of_a_single_solution_is_no_error():
    one = crystal(lambda a, x, y, z: 1e-3 * a, copies=lambda rho: rho[None])
    one["rho_error"] = (one.rho.dims, np.zeros(one.rho.shape, np.float32), {"units": "1"})
    done = strain.field(one)
    assert "strain_error" not in done
    assert done.attrs["error_from"].startswith("nothing")


def test_absolute_strain_needs_a_reference_and_says_whose():
    eps = 2e-3
    one = crystal(lambda a, x, y, z: eps * a)
    plain = strain.field(one)
    assert "strain_absolute" not in plain
    assert plain.attrs["absolute_from"].startswith("nothing")
    done = strain.field(one, strain.Straining(reference_d_nm=2 * np.pi / G, reference_source="drawn for the test"))
    np.testing.assert_allclose(done.strain_absolute.to_numpy()[done.support], 1 / (1 - eps) - 1, atol=1e-5)
    assert "drawn for the test" in done.attrs["absolute_from"]


def test_the_lattice_parameter_is_of_a_cubic_crystal():
    done = strain.field(crystal(lambda a, x, y, z: 1e-3 * a), strain.Straining(hkl=(1, -1, 1)))
    np.testing.assert_allclose(done.lattice_parameter, done.d_spacing * np.sqrt(3), rtol=1e-6)
    assert done.attrs["lattice"].startswith("cubic")


def test_what_contradicts_itself_is_refused():
    with pytest.raises(XcdiError, match="no reflection"):
        settings.from_mapping(strain.Straining, {"hkl": [0, 0, 0]})
    with pytest.raises(XcdiError, match="reference_d_nm is given without reference_source"):
        settings.from_mapping(strain.Straining, {"reference_d_nm": 0.2355})
    with pytest.raises(XcdiError, match="reference_source is given without reference_d_nm"):
        settings.from_mapping(strain.Straining, {"reference_source": "a table"})
    other = strain.Straining(reference_d_nm=0.2355, reference_source="gold, not a superlattice")
    with pytest.raises(XcdiError, match="spacing of this reflection"):
        strain.field(crystal(lambda a, x, y, z: 1e-3 * a), other)


def bragg(one, k):
    """Attributes of `one` with a Q that a beam of wave number k along z can reach."""
    sine = G / (2 * k)
    q = G * np.array([np.sqrt(1 - sine**2), 0.0, -sine])
    return one.assign_attrs(q_peak=q.tolist(), energy_kev=geometry.HC * k / (2 * np.pi))


def test_refraction_taken_off_leaves_the_lattice():
    """A lattice at rest, seen through matter, looks strained and bent; with delta given it is at rest again."""
    k, delta = 48.9, 4e-4  # ten times that of gold
    rest = bragg(crystal(lambda a, x, y, z: 0 * a, copies=lambda rho: np.stack([rho, rho])), k)
    q = np.array(rest.attrs["q_peak"])
    path = refraction.optical_path(rest.support.to_numpy(), strain.basis_of(rest), np.array([0, 0, k]), np.array([0, 0, k]) + q)
    matter = np.exp(-1j * k * delta * path).astype(np.complex64)
    seen = rest.assign({name: (rest[name].dims, rest[name].to_numpy() * matter, {"units": "1"}) for name in ("rho", "solutions")})
    told = strain.Straining(refraction=strain.Refraction(delta=delta, beta=0.0, source="drawn for the test"))
    left, freed = strain.field(seen), strain.field(seen, told)
    assert float(left.tilt_2.std()) > 1e-5
    assert float(abs(freed.strain).max()) < 1e-6
    assert float(abs(freed.tilt_2).max()) < 1e-6
    np.testing.assert_allclose(freed.refraction_phase.to_numpy()[seen.support], -k * delta * path[seen.support], rtol=1e-5)
    np.testing.assert_allclose(freed.solutions[1], rest.solutions[1], atol=1e-5)
    assert left.attrs["refraction"].startswith("left as it is")
    assert "drawn for the test" in freed.attrs["refraction"]


def test_absorption_given_back_makes_the_far_side_brighter():
    k = 48.9
    rest = bragg(crystal(lambda a, x, y, z: 0 * a), k)
    told = strain.Straining(refraction=strain.Refraction(delta=1e-5, beta=4e-6, source="drawn for the test"))
    done = strain.field(rest, told)
    inside = done.amplitude.to_numpy()[done.support]
    assert np.percentile(inside, 90) == pytest.approx(1, rel=1e-5)
    way = done.refraction_phase.to_numpy()[done.support] / -1e-5
    assert inside.max() / inside.min() == pytest.approx(np.exp(4e-6 * np.ptp(way)), rel=1e-4)


def test_what_refraction_makes_brighter_keeps_its_relative_error():
    k = 48.9
    rest = bragg(crystal(lambda a, x, y, z: 0 * a), k)
    rest = rest.assign(rho_error=(rest.rho.dims, np.full(rest.rho.shape, 0.05, np.float32), {"units": "1"}))
    told = strain.Straining(refraction=strain.Refraction(delta=1e-5, beta=4e-5, source="drawn for the test"))
    done, inside = strain.field(rest, told), rest.support.to_numpy()
    relative = [(one.rho_error / abs(one.rho)).to_numpy()[inside] for one in (rest, done)]
    np.testing.assert_allclose(*relative, rtol=1e-5)
    with pytest.raises(XcdiError, match="was taken off this crystal before"):
        strain.field(done, told)


def test_the_twin_is_freed_of_refraction_where_it_is_said_to_be_one():
    k, delta, beta = 48.9, 4e-4, 1e-5
    rest = bragg(crystal(lambda a, x, y, z: 0 * a), k)
    rest = rest.assign(support=(rest.support.dims, rest.support.to_numpy() & (rest.x.to_numpy() + rest.z.to_numpy()[:, None, None] < 40)))
    q, inside = np.array(rest.attrs["q_peak"]), rest.support.to_numpy()
    path = refraction.optical_path(inside, strain.basis_of(rest), np.array([0, 0, k]), np.array([0, 0, k]) + q)
    seen = (rest.rho.to_numpy() * inside * np.exp(-k * (1j * delta + beta) * path)).astype(np.complex64)
    turned = {"rho": np.conj(np.flip(seen)), "support": np.flip(inside)}
    twin = rest.assign({name: (rest[name].dims, values.copy(), rest[name].attrs) for name, values in turned.items()})
    matter = strain.Refraction(delta=delta, beta=beta, source="drawn for the test", twin=True)
    freed, worse = (strain.field(twin, strain.Straining(refraction=how)) for how in (matter, matter.model_copy(update={"twin": False})))
    assert float(abs(freed.tilt_2).max()) < 1e-6
    assert float(freed.amplitude.where(freed.support).std()) < 1e-5
    assert float(worse.tilt_2.std()) > 1e-5
    assert "the twin" in freed.attrs["refraction"]


def test_an_object_that_is_no_number_somewhere_is_refused():
    one = crystal(lambda a, x, y, z: 0 * a)
    rho = one.rho.to_numpy().copy()
    rho[tuple(n // 2 for n in rho.shape)] = np.nan
    with pytest.raises(XcdiError, match="no number in 1 voxels"):
        strain.field(one.assign(rho=(one.rho.dims, rho, one.rho.attrs)))


def test_phase_errors_that_are_no_numbers_leave_the_scatter_as_it_is():
    one = crystal(lambda a, x, y, z: 0 * a, copies=lambda rho: np.stack([rho, rho * np.exp(0.01j * np.arange(rho.shape[2]) ** 2)]))
    blank = one.assign(phase_error=(one.rho.dims, np.full(one.rho.shape, np.nan, np.float32), {"units": "rad"}))
    assert "as it is" in strain.field(blank).attrs["error_from"]


def test_refraction_needs_a_way_out():
    told = strain.Straining(refraction=strain.Refraction(delta=1e-5, beta=0.0, source="a table"))
    with pytest.raises(SchemaError, match="energy_kev"):
        strain.field(crystal(lambda a, x, y, z: 0 * a), told)
    with pytest.raises(XcdiError, match="not reached from a beam along z"):
        strain.field(crystal(lambda a, x, y, z: 0 * a).assign_attrs(energy_kev=0.3), told)


def test_the_reportable_range_is_a_phase_step_of_pi():
    one = bragg(crystal(lambda a, x, y, z: 0 * a), 1e6)  # Q along x
    done = strain.field(one)
    np.testing.assert_allclose(done.attrs["max_reportable"], np.pi / (G * EDGE), rtol=1e-5)
    near = strain.field(one.assign(rho=(one.rho * np.exp(0.8j * np.pi / EDGE * one.x)).astype(np.complex64).assign_attrs(units="1")))
    assert done.attrs["share_near_limit"] == 0
    assert near.attrs["share_near_limit"] > 0.95


def test_the_range_is_that_of_the_grid_that_was_phased():
    one = bragg(crystal(lambda a, x, y, z: 0 * a), 1e6)
    coarse = strain.field(one.assign_attrs(voxel_basis_nm=(2 * EDGE * np.eye(3)).tolist()))
    np.testing.assert_allclose(coarse.attrs["max_reportable"], np.pi / (G * 2 * EDGE), rtol=1e-5)


def test_an_unreliable_object_has_maps_and_no_statistics():
    one = crystal(lambda a, x, y, z: 1e-3 * a, copies=copies(0.1, 5))
    good, bad = strain.field(one), strain.field(one.assign_attrs(grade="unreliable"))
    xr.testing.assert_equal(good.strain, bad.strain)
    for name in ("mean_d_spacing_nm", "mean_strain", "phase_breaks", "share_near_limit"):
        assert name in good.attrs
        assert name not in bad.attrs
        assert name in bad.attrs["no_statistics"]
    assert bad.attrs["noise_floor"] == good.attrs["noise_floor"]
    assert "no_statistics" not in good.attrs


def test_settings_survive_toml(tmp_path):
    (tmp_path / "s.toml").write_text('hkl = [1, 1, 1]\nrefraction = {delta = 4.7e-5, beta = 4e-6, source = "a table"}\n')
    how = settings.read(strain.Straining, tmp_path / "s.toml")
    assert how.refraction == strain.Refraction(delta=4.7e-5, beta=4e-6, source="a table")
    (tmp_path / "t.toml").write_text(settings.to_toml(how))
    assert settings.read(strain.Straining, tmp_path / "t.toml") == how
    (tmp_path / "u.toml").write_text(settings.template(strain.Straining))
    assert settings.read(strain.Straining, tmp_path / "u.toml") == strain.Straining()


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


def test_strain_is_told_of_a_reliable_object_alone():
    done = strain.field(crystal(lambda a, x, y, z: 1e-3 * a))
    assert strain.told(done, "unreliable").startswith("no strain")
    assert strain.told(done, "good").startswith("strain ")
