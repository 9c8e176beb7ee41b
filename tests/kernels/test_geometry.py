"""Geometry: rotations turn, bases are dual, and the published sampling vectors come out."""

import numpy as np
import pytest

from xcdi.kernels import diffractometer
from xcdi.kernels import geometry as g

LAMBDA = g.wavelength(9.65)
G111 = 2 * np.pi * np.sqrt(3) / (np.sqrt(2) * 5.6)
ATOM = (2.4452e-3, 2.4452e-3, 4.6566e-3)
TURNS = (("y+", 0.3), ("z-", 1.1), ("x+", -0.4))


def facing_the_beam(distance, step_deg):
    camera = g.Camera((10.0, -700.0), distance, (75e-6, 75e-6))
    column = -700.0 + distance * np.tan(2 * np.arcsin(G111 * LAMBDA / (4 * np.pi))) / 75e-6
    return g.q_basis(camera, (10.0, column), g.Rocking("y+", np.radians(step_deg)), wavelength=LAMBDA)


def on_an_arm(distance, step_deg, q):
    arm = 2 * np.arcsin(q * LAMBDA / (4 * np.pi))
    camera = g.Camera((64.0, 64.0), distance, (75e-6, 75e-6), circles=(("y+", arm),))
    return g.q_basis(camera, (64.0, 64.0), g.Rocking("y+", np.radians(step_deg)), wavelength=LAMBDA)


def angle(a, b):
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


@pytest.mark.parametrize(
    ("basis", "shape", "lengths", "angles", "voxels"),
    [
        (facing_the_beam(2.5, 0.04), (96, 128, 128), (1.4659e-3, 1.4665e-3, 9.5937e-4), (90.0, 90.825, 90.0), (33.49, 33.47, 68.23)),
        (facing_the_beam(5.0, 0.03), (128, 256, 256), (7.3297e-4, 7.3326e-4, 7.1953e-4), (90.0, 90.820, 90.0), (33.49, 33.47, 68.23)),
        (
            on_an_arm(1.5, 0.01, 2 * np.pi / 0.2355),
            (96, 128, 128),
            (2.4452e-3, 2.4452e-3, 4.6566e-3),
            (90, 105.835, 90),
            (20.87, 20.08, 14.61),
        ),
    ],
    ids=["superlattice", "superlattice at 5 m", "atomic"],
)
def test_the_reference_table_comes_out(basis, shape, lengths, angles, voxels):
    q3, q2, q1 = basis.steps.T
    np.testing.assert_allclose([np.linalg.norm(v) for v in (q1, q2, q3)], lengths, rtol=1e-4)
    np.testing.assert_allclose([angle(q1, q2), angle(q1, q3), angle(q2, q3)], angles, atol=0.01)
    np.testing.assert_allclose(g.voxel_lengths(g.voxel_basis(basis.steps, shape))[::-1], voxels, atol=0.0051)  # the table has two decimals


def test_rotations_are_orthogonal_and_right_handed():
    turn = g.compose(TURNS)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(g.rotation((0, 1, 1), 0.7) @ [0, 1, 1], [0, 1, 1], atol=1e-15)


def test_the_innermost_circle_turns_first():
    np.testing.assert_allclose(g.compose(TURNS), g.rotation("y+", 0.3) @ g.rotation("z-", 1.1) @ g.rotation("x+", -0.4))


def test_the_two_bases_are_dual():
    steps = np.random.default_rng(0).normal(size=(3, 3))
    shape = (7, 11, 13)
    np.testing.assert_allclose(g.voxel_basis(steps, shape).T @ (steps * shape), 2 * np.pi * np.eye(3), atol=1e-12)


@pytest.mark.parametrize("circles", [(), (("y+", 0.5), ("x-", 0.2))])
def test_pixel_steps_are_the_derivative_of_q(circles):
    camera = g.Camera((40.0, 31.0), 0.5, (55e-6, 45e-6), "x+", "y-", circles)
    steps, _ = g.q_basis(camera, (47.0, 53.0), g.Rocking("y+", 1e-4), wavelength=LAMBDA)
    q = [g.q_of_pixel(camera, 47.0 + dr, 53.0 + dc, wavelength=LAMBDA) for dr, dc in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
    np.testing.assert_allclose(steps[:, 1], q[0] - q[1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(steps[:, 2], q[2] - q[3], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("moving", [0, 1, 2])
def test_rocking_any_circle_moves_q_in_the_crystal(moving):
    """Crystal-frame Q at both angles, by all circles, against the step that knows the outer ones only."""
    step = 1e-3
    camera = g.Camera((0.0, 0.0), 1.0, (1e-4, 1e-4), circles=(("y+", 0.6), ("x-", 0.2)))
    q = g.q_of_pixel(camera, 3.0, 5.0, wavelength=LAMBDA)
    axis, at = TURNS[moving]
    later = (*TURNS[:moving], (axis, at + step), *TURNS[moving + 1 :])
    now = g.compose(TURNS)
    in_the_crystal = g.compose(later).T @ q - now.T @ q
    basis = g.q_basis(camera, (3.0, 5.0), g.Rocking(axis, step, TURNS[:moving]), wavelength=LAMBDA)
    np.testing.assert_allclose(basis.steps[:, 0], now @ in_the_crystal, atol=1e-12)


def test_rocking_about_q_says_so():
    camera = g.Camera((0.0, 0.0), 1.0, (1e-4, 1e-4))
    basis = g.q_basis(camera, (0.0, 500.0), g.Rocking("x+", 0.0), wavelength=LAMBDA)
    with pytest.raises(ValueError, match="rocking axis is along Q"):
        g.voxel_basis(basis.steps, (5, 7, 11))


def camera_of_34idc(**changes):
    arm = (("y+", np.radians(32.174)), ("x-", np.radians(12.6346)))
    return g.Camera(**{"centre_px": (128.0, 128.0), "distance": 0.5, "pixel": (55e-6, 55e-6), "circles": arm} | changes)


def test_34idc_angles_give_the_recorded_spacing():
    wavelength = g.wavelength(9.0)
    q = g.q_of_pixel(camera_of_34idc(), 128, 128, wavelength=wavelength)
    assert np.degrees(g.two_theta(q, wavelength=wavelength)) == pytest.approx(34.316, abs=0.02)
    assert g.bragg_spacing(q) == pytest.approx(0.2335, abs=0.0002)


def test_every_pixel_of_34idc_is_where_xrayutilities_puts_it():
    xu = pytest.importorskip("xrayutilities")
    with np.errstate(all="ignore"):
        conversion = xu.QConversion(["y+", "z-", "y+"], ["y+", "x-"], [0, 0, 1])
        conversion.init_area("y-", "x+", cch1=128, cch2=128, Nch1=19, Nch2=23, distance=0.5, pwidth1=55e-6, pwidth2=55e-6)
        sample = np.array([0.22, 90.0, -5.0])
        theirs = np.stack(conversion.area(*sample, 32.174, 12.6346, wl=g.wavelength(9.0) * 10, deg=True), axis=-1) * 10  # 1/nm
    back = g.compose([("y+", np.radians(sample[0])), ("z-", np.radians(sample[1])), ("y+", np.radians(sample[2]))])
    ours = g.q_map(camera_of_34idc(), (19, 23), wavelength=g.wavelength(9.0)) @ back  # rows times matrix = inverse turn
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=1e-9)


def test_regions_of_a_flat_detector_are_rings():
    camera = g.Camera((20.0, 24.0), 2.0, (75e-6, 75e-6))
    q = g.q_map(camera, (41, 49), wavelength=LAMBDA)
    ring = g.q_regions(q, [0.005, 0.015, 0.025])
    radius = np.hypot(*(np.indices((41, 49)) - np.array([20, 24])[:, None, None]))
    assert set(np.unique(ring)) == {0, 1, 2}
    assert radius[ring == 1].max() < radius[ring == 2].min()
    np.testing.assert_allclose(np.degrees(g.azimuth(q[[20, 0, 20], [40, 24, 0]])), [0, 90, 180], atol=1e-9)


@pytest.mark.parametrize("edges", [[1.0], [2.0, 1.0], [1.0, 1.0]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="rise"):
        g.q_regions(np.ones(3), edges)


def test_the_brightest_place_is_not_a_hot_pixel():
    row, column = np.indices((37, 41))
    total = 50 * np.exp(-((row - 11) ** 2 + (column - 29) ** 2) / 18.0)
    total[30, 5] = 1e6
    assert g.find_peak(total, np.ones(total.shape, bool)) == (11, 29)


def test_the_centre_of_mass_of_a_peak_is_its_centre():
    f, r, c = np.indices((13, 17, 19))
    peak = np.exp(-((f - 6.3) ** 2 / 6 + (r - 8.45) ** 2 / 9 + (c - 9.6) ** 2 / 12))
    np.testing.assert_allclose(g.centre_of_mass(peak, np.ones(peak.shape, bool)), [6.3, 8.45, 9.6], atol=0.05)


TILTED = g.Camera(
    (40.3, -31.6),
    0.7,
    (55e-6, 75e-6),
    "x-",
    "y-",
    (("y+", 0.5), ((0.1, 1.0, -0.2), 0.3)),
    (("z+", 0.02), ("x+", -0.11)),
    (3e-3, -2e-3, 1e-3),
)


@pytest.mark.parametrize("first", [(11, 7), (-5, 3)], ids=["cropped", "shifted"])
def test_a_pixel_keeps_its_q_when_the_frame_is_cropped_or_shifted(first):
    row, column = np.indices((5, 7), dtype=float)
    whole = g.q_of_pixel(TILTED, row + first[0], column + first[1], wavelength=LAMBDA)
    np.testing.assert_allclose(
        g.q_of_pixel(diffractometer.crop(TILTED, first), row, column, wavelength=LAMBDA), whole, rtol=1e-12, atol=1e-12
    )


def test_pixel_steps_of_a_tilted_detector_are_the_derivative_of_q():
    steps, _ = g.q_basis(TILTED, (47.0, 53.0), g.Rocking((0.2, 1.0, 0.4), 1e-4), wavelength=LAMBDA)
    q = [g.q_of_pixel(TILTED, 47.0 + dr, 53.0 + dc, wavelength=LAMBDA) for dr, dc in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
    np.testing.assert_allclose(steps[:, 1], q[0] - q[1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(steps[:, 2], q[2] - q[3], rtol=1e-6, atol=1e-9)


def test_a_tilted_axis_is_a_named_one_between_two_turns():
    lean = g.rotation("x+", 0.4)
    between = g.compose((("x+", 0.4), ("y+", 0.9), ("x+", -0.4)))
    np.testing.assert_allclose(g.rotation(2.5 * (lean @ [0, 1, 0]), 0.9), between, atol=1e-15)


def test_the_step_of_an_energy_scan_is_that_of_the_wavelength():
    camera = camera_of_34idc()
    steps, peak = g.q_basis(camera, (31.0, 200.0), g.EnergyScan(1e-6), wavelength=g.wavelength(9.0))
    later = g.q_of_pixel(camera, 31.0, 200.0, wavelength=g.wavelength(9.0 * (1 + 1e-6)))
    np.testing.assert_allclose(steps[:, 0], later - peak, rtol=1e-8, atol=1e-13)


def test_the_stage_moves_the_detector_along_the_arm_that_carries_it():
    moved = g.Camera((10.0, 20.0), 1.0, (1e-4, 1e-4), circles=(("y+", 0.5),), shift=(0.03, -0.02, 0.0))
    same = g.Camera((10.0 - 200.0, 20.0 - 300.0), 1.0, (1e-4, 1e-4), circles=(("y+", 0.5),))  # columns along x, rows against y
    np.testing.assert_allclose(
        g.q_of_pixel(moved, 3.0, 4.0, wavelength=LAMBDA), g.q_of_pixel(same, 3.0, 4.0, wavelength=LAMBDA), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("tilt", "options"),
    [(("z+", 0.21), {"detrot": 0.21}), (("x-", 0.13), {"tilt": 0.13}), (("y-", 0.13), {"tilt": 0.13, "tiltazimuth": 90.0})],
)
def test_a_tilt_is_that_of_xrayutilities(tilt, options):
    xu = pytest.importorskip("xrayutilities")
    camera = camera_of_34idc(tilt=(tilt,))
    with np.errstate(all="ignore"):
        conversion = xu.QConversion(["y+"], ["y+", "x-"], [0, 0, 1])
        place = {"cch1": 128, "cch2": 128, "Nch1": 19, "Nch2": 23, "distance": 0.5, "pwidth1": 55e-6, "pwidth2": 55e-6}
        conversion.init_area("y-", "x+", **place, **{k: v if k == "tiltazimuth" else np.degrees(v) for k, v in options.items()})
        theirs = np.stack(conversion.area(0.0, 32.174, 12.6346, wl=g.wavelength(9.0) * 10, deg=True), axis=-1) * 10
    ours = g.q_map(camera, (19, 23), wavelength=g.wavelength(9.0))
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=1e-9)
