"""Labelled geometry: the peak is found where it is, missing things are named, objects stand upright."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry as kernel
from xcdi.kernels.resampling import lab_basis
from xcdi.stages import geometry

SHAPE = (23, 61, 53)
CENTRE = (11.2, 37.4, 21.7)  # frame, row, column of the peak
LAYOUT = {
    "sample": [{"motor": "mu", "axis": "x-"}, {"motor": "omega", "axis": "y+"}],
    "detector": [{"motor": "delta", "axis": "y+"}],
    "columns": "x+",
    "rows": "y-",
}


@pytest.fixture
def scan():
    """A Gaussian peak on an arm at 20 degrees, a hot pixel, an untrusted column, a flashed frame."""
    rng = np.random.default_rng(2)
    f, r, c = (i - c0 for i, c0 in zip(np.indices(SHAPE), CENTRE, strict=True))
    counts = rng.poisson(400 * np.exp(-(f**2) / 18 - (r**2 + c**2) / 32) + 0.05).astype(np.uint32)
    counts[:, 5, 44] = 90_000
    counts[:, :, 30] = 2**32 - 1
    counts[2] *= 40
    valid = np.ones(SHAPE[1:], bool)
    valid[:, 30] = False
    omega = 8.0 + 0.05 * np.arange(SHAPE[0])
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), valid, {"units": ""}),
            "frame_ok": (("frame",), np.arange(SHAPE[0]) != 2, {"units": ""}),
        },
        {"rocking": ("frame", omega, {"units": "deg"}), "omega": ("frame", omega), "mu": 3.0, "delta": 20.0},
        {
            "geometry": json.dumps(LAYOUT),
            "energy_kev": 9.0,
            "distance_m": 1.0,
            "pixel_size_m": [55e-6, 55e-6],
            "centre_px": [30.0, 26.0],
            "rocking_motor": "omega",
            "sentinel": 2**32 - 1,
        },
    ).chunk(frame=7)


def test_the_peak_is_found_to_a_tenth_of_a_pixel(scan):
    found = geometry.with_q(scan)
    np.testing.assert_allclose(found.attrs["peak_centre"], CENTRE, atol=0.1)
    assert found.attrs["peak_index"] == [11, 37, 22]


def test_corrected_frames_give_the_same_peak(scan):
    as_floats = scan.assign(counts=scan.counts.astype(np.float32).where(scan.valid & scan.frame_ok).assign_attrs(units="1"))
    assert geometry.with_q(as_floats).attrs["peak_centre"] == pytest.approx(geometry.with_q(scan).attrs["peak_centre"], abs=1e-6)


def test_q_is_that_of_the_kernel(scan):
    found = geometry.with_q(scan, reference=(4, 30, 26))
    camera = kernel.Camera((30.0, 26.0), 1.0, (55e-6, 55e-6), circles=(("y+", np.radians(20.0)),))
    rocking = kernel.Rocking("y+", np.radians(0.05), (("x-", np.radians(3.0)),))
    expected = kernel.q_basis(camera, (30, 26), rocking, wavelength=kernel.wavelength(9.0))
    np.testing.assert_allclose(found.q_basis, expected.steps, rtol=1e-9)
    np.testing.assert_allclose(found.q_peak, expected.peak)
    assert found.q_basis.attrs["units"] == "1/nm"
    assert found.attrs["arm_two_theta_deg"] == pytest.approx(20.0)
    assert found.attrs["arm_d_spacing_nm"] == pytest.approx(kernel.wavelength(9.0) / 2 / np.sin(np.radians(10.0)))


def test_a_box_has_its_q_at_the_middle(scan):
    found = geometry.with_q(scan)
    at_middle = geometry.peak_q(found, {"frame": slice(8, 15), "y": slice(32, 43), "x": slice(16, 29)})
    np.testing.assert_allclose(at_middle.q_peak, found.q_peak)
    np.testing.assert_allclose(at_middle.q_basis, found.q_basis)


@pytest.mark.parametrize("name", ["geometry", "energy_kev", "distance_m", "pixel_size_m", "centre_px", "rocking_motor"])
def test_a_missing_attribute_is_named(scan, name):
    del scan.attrs[name]
    with pytest.raises(SchemaError, match=name):
        geometry.with_q(scan)


@pytest.mark.parametrize("motor", ["mu", "omega", "delta"])
def test_a_missing_motor_is_named(scan, motor):
    with pytest.raises(SchemaError, match=f"'{motor}'.*\\[motors\\]"):
        geometry.with_q(scan.drop_vars(motor))


def test_uneven_steps_are_refused(scan):
    scan["omega"] = ("frame", np.where(np.arange(SHAPE[0]) == 9, 8.5, scan.omega))
    with pytest.raises(SchemaError, match="frame 9"):
        geometry.with_q(scan)


def test_a_dark_scan_has_no_peak(scan):
    with pytest.raises(XcdiError, match="no peak"):
        geometry.with_q(scan.assign(counts=(scan.counts * 0).assign_attrs(units="1")))


def test_regions_are_numbered_outwards_and_skip_what_is_not_valid(scan):
    q = np.linalg.norm(kernel.q_map(geometry.instrument.camera(scan), SHAPE[1:], wavelength=kernel.wavelength(9.0)), axis=-1)
    edges = np.quantile(q, [0.2, 0.5, 0.7])
    found = geometry.q_regions(scan, edges)
    assert (found.label.to_numpy()[:, 30] == 0).all()
    for n, mean in ((1, found.q[0]), (2, found.q[1])):
        inside = q[found.label == n]
        assert edges[n - 1] <= inside.min() <= mean <= inside.max() < edges[n]
    with pytest.raises(XcdiError, match="no valid pixel"):
        geometry.q_regions(scan, [0.0, 1e-3])


BASIS = np.array([[14.0, 0.0, 4.0], [1.0, 17.0, 0.0], [3.0, 0.0, 13.0]])


def phased(shift=(0, 0, 0), ramp=(0.0, 0.0, 0.0)):
    """An ellipsoid of smooth phase in a skewed frame, off its middle by `shift` voxels."""
    shape = (41, 37, 43)
    index = np.indices(shape) - (np.array(shape) // 2 + np.array(shift))[:, None, None, None]
    x, y, z = np.tensordot(BASIS, index, axes=1)
    r = np.sqrt((x / 150) ** 2 + (y / 120) ** 2 + (z / 130) ** 2)
    rho = np.exp(-(r**4)) * np.exp(1j * (5e-5 * x * y + 3e-5 * z**2 + ramp[0] * x + ramp[1] * y + ramp[2] * z))
    fields = {
        "rho": (("z", "y", "x"), (3 * rho).astype(np.complex64), {"units": "1"}),
        "support": (("z", "y", "x"), r < 1.1, {"units": ""}),
        "voxel_basis": (("axis", "index"), BASIS, {"units": "nm"}),
        "q_peak": (("axis",), [1.3, 0.1, -0.2], {"units": "1/nm"}),
        "solutions": (("solution", "z", "y", "x"), np.stack([rho, 2 * rho]).astype(np.complex64), {"units": "1"}),
    }
    return xr.Dataset(fields, attrs={"grade": "good", "ramp": [1e-4, 0.0, 0.0]})


def test_an_object_stands_upright_and_keeps_its_shape():
    crystal = geometry.to_lab(phased())
    x, y, z = (crystal[dim] for dim in "xyz")
    r = np.sqrt((x / 150) ** 2 + (y / 120) ** 2 + (z / 130) ** 2).transpose("z", "y", "x")
    seen = crystal.amplitude / crystal.amplitude.max()
    assert float(abs(seen - np.exp(-(r**4))).where(r < 0.9).max()) < 0.02
    assert float(crystal.x[1] - crystal.x[0]) == pytest.approx(np.linalg.norm(BASIS, axis=0).min())
    assert np.percentile(crystal.amplitude.to_numpy()[crystal.support.to_numpy()], 90) == pytest.approx(1, rel=1e-3)
    assert crystal.attrs["grade"] == "good"
    assert crystal.sizes["solution"] == 2


def test_the_phase_is_that_of_the_object_but_for_a_ramp():
    crystal = geometry.to_lab(phased(), voxel_nm=15.0)
    extra = np.array(crystal.attrs["ramp"]) - [1e-4, 0, 0]
    ramp = extra[0] * crystal.x + extra[1] * crystal.y + extra[2] * crystal.z
    known = 5e-5 * crystal.x * crystal.y + 3e-5 * crystal.z**2
    left = np.angle(np.exp(1j * (crystal.phase + ramp - known)).transpose("z", "y", "x"))
    assert np.abs(left[crystal.support & (crystal.amplitude > 0.5)]).max() < 2e-3


def test_a_ramp_moves_from_the_phase_to_the_attribute():
    plain, tilted = geometry.to_lab(phased()), geometry.to_lab(phased(ramp=(6e-3, -4e-3, 2e-3)))
    np.testing.assert_allclose(np.subtract(tilted.attrs["ramp"], plain.attrs["ramp"]), [6e-3, -4e-3, 2e-3], atol=1e-4)
    np.testing.assert_allclose(tilted.amplitude, plain.amplitude, atol=0.03)


def test_an_object_off_its_middle_stays_at_its_place():
    shift = np.array([3, -2, 1])
    crystal = geometry.to_lab(phased(tuple(shift)), voxel_nm=16.0)
    weight = crystal.amplitude**2
    place = [float((weight * crystal[dim]).sum() / weight.sum()) for dim in "xyz"]
    np.testing.assert_allclose(place, BASIS @ shift, atol=0.5)


def test_what_cannot_be_drawn_is_refused():
    empty = phased()
    with pytest.raises(XcdiError, match="empty support"):
        geometry.to_lab(empty.assign(support=empty.support & False))
    with pytest.raises(XcdiError, match="larger voxel"):
        geometry.to_lab(phased(), voxel_nm=0.1)
    with pytest.raises(SchemaError, match="voxel_basis"):
        geometry.to_lab(phased().drop_vars("voxel_basis"))


def test_an_upright_object_on_its_own_grid_is_unchanged():
    same = phased().assign(voxel_basis=(("axis", "index"), lab_basis(20.0), {"units": "nm"}))
    crystal = geometry.to_lab(same)
    there = same.rho.to_numpy()[
        np.ix_(*(np.round(crystal[d].to_numpy() / 20).astype(int) + n // 2 for d, n in zip("zyx", same.rho.shape, strict=True)))
    ]
    np.testing.assert_allclose(np.abs(crystal.rho) * crystal.attrs["amplitude_scale"], np.abs(there), atol=2e-5)
