import json
from importlib import import_module

import h5py
import numpy as np
import pytest
from scipy import ndimage

import xcdi.io
from xcdi.artificial import crystal, goniometer, oblique
from xcdi.artificial.align import align
from xcdi.artificial.particle import Axes
from xcdi.artificial.streams import streams
from xcdi.errors import XcdiError
from xcdi.stages import geometry

SMALL = {"angles": 23, "detector": (26, 24), "edge_nm": 40.0, "photons": 1e6}  # of profile pico


def small(variant="", **options):
    return crystal.crystal("pico", variant, **SMALL | options)


@pytest.fixture(scope="module", params=["plain", "inclined"])
def folder(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    crystal.simulate_crystal(out, "pico", 1, SMALL, request.param)
    return out


@pytest.fixture
def truth(folder):
    with h5py.File(folder / "truth.h5") as file:
        yield file


def grown(c):
    return crystal.grow(c, crystal.setting(c), streams(3)["crystal"])


def indices(shape):
    return np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)


def test_gold_at_31_degrees_is_sheared_by_the_bragg_angle():
    """The atomic case of the table of sampling vectors: lengths, angles and voxels."""
    c = crystal.Crystal(lattice_nm=0.2355 * np.sqrt(3), distance_m=1.5, angle_step_deg=0.01, angles=96, detector=(128, 128))
    s = crystal.setting(c).sampling
    lengths = np.linalg.norm(s.steps, axis=0)
    angle, row, column = (s.steps / lengths).T
    np.testing.assert_allclose(lengths, [4.6566e-3, 2.4452e-3, 2.4452e-3], rtol=2e-5)
    between = np.degrees(np.arccos([column @ row, column @ angle, row @ angle]))
    np.testing.assert_allclose(between, [90, 105.835, 90], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(s.voxels, axis=0), [14.61, 20.08, 20.87], atol=0.005)


@pytest.mark.parametrize("variant", ["plain", "inclined", "inclined,tension"])
def test_the_crystal_diffracts_onto_the_pixel_it_shall(variant):
    where = crystal.setting(small(variant))
    k = where.camera.wave_number
    assert np.linalg.norm(np.add(where.pose.peak, [0, 0, k])) == pytest.approx(k, rel=1e-12)
    assert np.linalg.norm(where.pose.peak) == pytest.approx(2 * np.pi * np.sqrt(3) / 0.40782)
    np.testing.assert_allclose(where.lattice @ [1, 1, 1] * 2 * np.pi / 0.40782, where.pose.peak, atol=1e-12)
    middle = goniometer.exact_q(where.camera, where.pose, "theta", 0.0, 0, 0)
    np.testing.assert_allclose(middle, 0, atol=1e-10)


@pytest.mark.parametrize("variant", ["plain", "inclined"])
def test_the_grid_is_tangent_to_the_exact_q(variant):
    c = small(variant)
    where = crystal.setting(c)
    for index, step in zip(np.eye(3), where.sampling.steps.T, strict=True):
        angle, row, column = index
        moved = goniometer.exact_q(where.camera, where.pose, c.rocking, angle * c.angle_step_deg, row, column)
        np.testing.assert_allclose(moved, step, rtol=0, atol=1e-4 * np.linalg.norm(step))


def about(axis, degrees):
    """A right-handed turn, written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]], "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis]
    )


def test_the_field_is_the_sum_over_atoms_as_the_circles_turn_them():
    """500 atoms of an fcc lattice, displaced, mounted and turned one by one, seen by pixels where the arm carries them."""
    rng = np.random.default_rng(2)
    c = small("inclined,curved")
    where = crystal.setting(c)
    at = where.pose.angles
    cubic = rng.integers(-200, 200, (500, 3))
    cubic = (cubic + (cubic.sum(axis=1) % 2)[:, None] * [1, 0, 0]) * c.lattice_nm / 2  # all sums even: fcc
    moved = 0.03 * np.sin(cubic / 20 @ rng.standard_normal((3, 3)))  # nm, vectors in cubic axes
    rows, columns = np.arange(-9, 10, 3), np.arange(-8, 9, 4)
    for beyond in (-0.1, 0.0, 0.07):
        sample = about("y", at["theta"]) @ about("z", -at["chi"]) @ about("y", at["phi"] + beyond)
        arm = about("y", at["delta"]) @ about("x", -at["gamma"])
        resting = sample_at_rest(where, at)
        places = (cubic + moved) @ (sample @ resting).T
        down, along = np.meshgrid(rows + c.peak_px[0], columns + c.peak_px[1], indexing="ij")
        pixels = np.stack([along * c.pixel_m, -down * c.pixel_m, np.full(down.shape, c.distance_m)], axis=-1) @ arm.T
        out = where.camera.wave_number * (pixels / np.linalg.norm(pixels, axis=-1, keepdims=True) - [0, 0, 1])
        direct = np.exp(-1j * out @ places.T).sum(axis=-1)

        q = goniometer.exact_q(where.camera, where.pose, c.rocking, beyond, rows[:, None], columns)
        spots, u = (cubic + moved) @ where.lattice.T, moved @ where.lattice.T
        phases = np.exp(-1j * u @ where.pose.peak)
        field = sum(oblique.far_field(np.full((1, 1, 1), f), Axes(*r[:, None]), q) for f, r in zip(phases, spots, strict=True))
        np.testing.assert_allclose(field, direct, rtol=0, atol=1e-6 * 500)


def sample_at_rest(where, at):
    """Orientation of the lattice with all circles at zero."""
    return (about("y", at["theta"]) @ about("z", -at["chi"]) @ about("y", at["phi"])).T @ where.lattice


@pytest.mark.parametrize("variant", ["plain", "inclined"])
@pytest.mark.parametrize("eps", [6e-4, -4e-4])
def test_pulled_atoms_move_the_peak_by_minus_strain_times_g(variant, eps):
    """Tension, so larger spacings, is a smaller q; of the atoms and of the smooth object alike, to 0.01 px."""
    where = crystal.setting(small(variant))
    s, along = where.sampling, where.pose.peak / np.linalg.norm(where.pose.peak)
    line = np.arange(-5, 6) * 36.0
    axes = Axes(line, line, line)  # every 36 nm one atom: they repeat the peak far outside the window
    envelope = np.exp(-(axes.points() ** 2).sum(axis=-1) / (2 * 60.0**2))
    index = indices((19, 19, 19))
    q = index @ s.steps.T
    places = axes.points().reshape(-1, 3)
    pulled = places + eps * (places @ along)[:, None] * along
    # exp(-i G.R) of the unstrained lattice is 1: what remains of (G + q).(R + u) is q.(R + u) + G.u
    atoms = np.exp(-1j * (q.reshape(-1, 3) @ pulled.T + (pulled - places) @ s.peak)) @ envelope.ravel()
    smooth = oblique.far_field(envelope * np.exp(-1j * eps * np.linalg.norm(s.peak) * axes.dot(along)), axes, q)
    expected = np.linalg.solve(s.steps, -eps * s.peak)
    assert np.linalg.norm(expected) > 1  # pixels: a wrong sign would show
    for field in (atoms.reshape(q.shape[:-1]), smooth):
        intensity = abs(field) ** 2
        centre = np.tensordot(intensity, index, 3) / intensity.sum()
        np.testing.assert_allclose(centre, expected, atol=0.01)


@pytest.mark.parametrize("variant", ["plain", "inclined"])
def test_tension_of_the_drawn_crystal_moves_its_peak_the_same_way(variant):
    centres = []
    for eps in (0.0, 1e-3):
        c = small(variant, tension=eps)
        where, one = crystal.setting(c), grown(c)
        intensity = abs(np.stack(list(crystal.far_fields(c, where, one.axes, one.rho.astype(np.complex64))))) ** 2
        intensity *= intensity > 0.2 * intensity.max()  # the top alone: the wings leave the frames
        centres.append(np.tensordot(intensity, indices(intensity.shape), 3) / intensity.sum())
    expected = np.linalg.solve(where.sampling.steps, -1e-3 * where.pose.peak)
    np.testing.assert_allclose(centres[1] - centres[0], expected, atol=0.15)


def test_strain_is_the_slope_of_the_displacement_and_its_mean_is_the_tension():
    c = small("tension", voxel_nm=8.0)
    one = grown(c)
    along = crystal.setting(c).pose.peak / one.q_peak
    slope = np.tensordot(along, np.gradient(one.displacement, c.voxel_nm)[::-1], 1)
    deep = ndimage.binary_erosion(one.label > 0, iterations=2)
    np.testing.assert_allclose(one.strain[deep], slope[deep], atol=1e-9)
    assert one.strain[one.label > 0].mean() == pytest.approx(c.tension, abs=1e-9)
    assert one.strain[one.label > 0].std() == pytest.approx(c.strain)


def test_a_screw_winds_the_phase_once():
    plain, one = grown(small()), grown(small("screw"))
    deep = ndimage.binary_erosion(one.label > 0, iterations=2)
    charges = []
    for axis in range(3):
        phase, inside = (np.take(values, one.label.shape[axis] // 2, axis) for values in (np.angle(one.rho), deep))
        ring = [phase[:-1, :-1], phase[1:, :-1], phase[1:, 1:], phase[:-1, 1:]]
        turns = sum(np.angle(np.exp(1j * (ring[i] - ring[i - 1]))) for i in range(4)) / (2 * np.pi)
        charges.append(abs(np.round(turns))[inside[1:, 1:]].sum())
    assert max(charges) == 1
    assert one.amplitude.sum() < plain.amplitude.sum()  # its core scatters less


def test_the_surface_is_made_of_facets_of_the_lattice():
    c = small(edge_nm=4.0)
    one, where = grown(c), crystal.setting(c)
    cubic = one.axes.points()[one.label > 0] @ where.lattice
    for normal, distance in (([1, 0, 0], 0.5), ([0, -1, 0], 0.5), ([1, 1, -1], 1.75 / (2 * np.sqrt(3)))):
        reached = (cubic @ np.array(normal) / np.linalg.norm(normal)).max() / c.size_nm
        assert reached == pytest.approx(distance, abs=c.voxel_nm / c.size_nm)
    assert (cubic @ np.ones(3)).min() / np.sqrt(3) == pytest.approx(-c.foot * c.size_nm, abs=c.voxel_nm)


def test_xcdi_finds_the_same_grid(folder, truth):
    """Two independent codes from the same motors: steps of q, G and the spacing."""
    scan = xcdi.io.open_scan(folder, "crystal", "demo_crystal")
    placed = geometry.with_q(scan, reference=tuple(n // 2 for n in scan.counts.shape))
    np.testing.assert_allclose(placed.q_basis, truth["geometry/q_basis"], rtol=0, atol=1e-7 * abs(placed.q_basis).max())
    np.testing.assert_allclose(placed.q_peak, truth["geometry/G"], rtol=0, atol=1e-6)
    assert placed.attrs["d_spacing_nm"] == pytest.approx(truth["geometry/reference_spacing"][()], rel=1e-7)
    assert placed.attrs["rocking_motor"] == json.loads(truth["config"][()])["rocking"]
    assert scan.monitor.mean() == pytest.approx(scan.attrs["monitor_reference"], rel=0.03)
    assert scan.time.to_numpy()[-1] == 22.0


def test_the_far_field_is_that_of_the_object_in_the_laboratory(truth):
    field, steps = truth["amplitude_data_frame"][()], truth["geometry/q_basis"][()]
    axes = Axes(*(truth[f"axes/{name}"][()] for name in "xyz"))
    shown, rho = oblique.image(field, steps, *axes), truth["object"][()]
    overlap = np.vdot(rho, shown) / np.linalg.norm(rho) / np.linalg.norm(shown)
    assert abs(overlap) > 0.97  # all but what the frames cannot see
    assert np.angle(overlap) == pytest.approx(0, abs=1e-3)


def test_photons_are_as_many_as_were_asked_for(folder, truth):
    with h5py.File(folder / "crystal.h5") as file:
        counts = file["entry/data/counts"][()]
    assert counts.sum() == pytest.approx(1e6, rel=0.02)
    brightest = np.unravel_index((abs(truth["amplitude_data_frame"][()]) ** 2).argmax(), counts.shape)
    np.testing.assert_array_equal(np.unravel_index(counts.argmax(), counts.shape), brightest)


def test_the_curved_scan_differs_by_less_than_half_a_pixel():
    flat, curved = (small(curved=on) for on in (False, True))
    where, one = crystal.setting(flat), grown(flat)
    fields = [np.stack(list(crystal.far_fields(c, where, one.axes, one.rho.astype(np.complex64)))) for c in (flat, curved)]
    overlap = abs(np.vdot(*fields)) / np.linalg.norm(fields[0]) / np.linalg.norm(fields[1])
    assert 0.99 < overlap < 1 - 1e-7


def test_the_same_seed_gives_the_same_counts(tmp_path):
    counts = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        crystal.simulate_crystal(tmp_path / name, "pico", seed, SMALL | {"angles": 9}, "")
        with h5py.File(tmp_path / name / "crystal.h5") as file:
            counts.append(file["entry/data/counts"][()])
    np.testing.assert_array_equal(counts[0], counts[1])
    assert (counts[0] != counts[2]).any()


@pytest.mark.parametrize("profile", crystal.SIZES)
@pytest.mark.parametrize("variant", crystal.VARIANTS)
def test_every_peak_is_oversampled_and_its_voxels_match(profile, variant):
    c = crystal.crystal(profile, variant)
    s = crystal.setting(c).sampling
    view = np.linalg.norm(s.voxels * s.shape, axis=0)
    shear = np.linalg.norm(s.voxels, axis=0) * np.linalg.norm(s.steps, axis=0) * s.shape / (2 * np.pi)
    assert (view / shear > 2.5 * c.size_nm).all()  # 2 pi over each step
    assert max(view / s.shape) < 1.35 * min(view / s.shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voxel_nm": 30.0}, "voxel_nm is 30"),
        ({"rocking": "chi"}, "rocking 'chi' does not lead G through the Ewald sphere"),
        ({"mounting_deg": (0.0, 0.0, 89.0)}, "too near the axis of theta"),
        ({"hkl": (4, 0, 0), "angle_step_deg": 0.007, "screws": 1}, "leave screws at 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message):
    c = crystal.crystal("pico", **SMALL | options)
    with pytest.raises(XcdiError, match=message):
        grown(c)


def test_an_unknown_variant_is_named():
    with pytest.raises(XcdiError, match="no variant 'tensoin'; did you mean 'tension'"):
        crystal.crystal("nano", "tensoin")
    with pytest.raises(XcdiError, match="no profile 'nanno'"):
        crystal.crystal("nanno")


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "tension", "inclined", "curved,inclined,tension"])
def test_tension_in_a_sheared_frame_comes_out_as_tension(variant, tmp_path):
    """Frames in, crystal out: a larger spacing, the strain of the truth at its place, in laboratory axes."""
    crystal.simulate_crystal(tmp_path, "pico", 0, {}, variant)
    scan = xcdi.io.open_scan(tmp_path, "crystal", "demo_crystal")
    result = import_module("xcdi.pipelines.bcdi_strain").run(scan)["crystal"]
    with h5py.File(tmp_path / "truth.h5") as truth:
        assert result.attrs["mean_d_spacing_nm"] == pytest.approx(truth["geometry/mean_spacing"][()], rel=5e-5)
        error, overlap = strain_error(result, truth)
    assert overlap > 0.96
    assert np.sqrt((error**2).mean()) < 8e-5


def strain_error(result, truth):
    """Errors of the strain well inside the crystal, and the overlap of the objects, both on the result's own grid."""
    x, y, z = (result[name].to_numpy() - result[name].to_numpy()[result.sizes[name] // 2] for name in "xyz")
    shown = oblique.image(truth["amplitude_data_frame"][()], truth["geometry/q_basis"][()], x, y, z)
    found = align(np.where(result.support, result.rho, 0).astype(np.complex64), shown)
    axis = truth["axes/x"][()]
    voxel = axis[1] - axis[0]
    places = np.moveaxis((found.in_truth(indices(shown.shape)) * (x[1] - x[0]) - axis[0]) / voxel, -1, 0)
    depth = ndimage.distance_transform_edt(truth["label"][()]) * voxel
    held = (ndimage.map_coordinates(depth, places, order=1) > 25.0) & np.isfinite(result.strain.to_numpy())
    true = ndimage.map_coordinates(truth["strain"][()], places, order=1)
    error = (result.strain.to_numpy() - true)[held]
    return error - error.mean(), found.overlap
