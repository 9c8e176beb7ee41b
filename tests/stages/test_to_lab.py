"""A phased object in the laboratory: its gradient, its turns of phase, its errors and its solutions, whatever the shear."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels import geometry as kernel
from xcdi.kernels import strain
from xcdi.schema import CRYSTAL, require
from xcdi.stages import geometry

CAMERA = kernel.Camera((0.0, 0.0), 1.5, (75e-6, 75e-6), circles=(("y+", np.radians(31.64)),))
Q = kernel.q_basis(CAMERA, (0, 0), kernel.Rocking("y+", np.radians(0.01)), wavelength=0.128481)
SHEARED = kernel.voxel_basis(Q.steps, (76, 108, 108))  # by 15.8 degrees
EDGE = 18.0
UPRIGHT = kernel.lab_basis(EDGE)
SHAPE = (48, 44, 46)
LAB = ("z", "y", "x")
FRAMES = pytest.mark.parametrize("basis", [SHEARED, UPRIGHT], ids=["sheared", "upright"])


def phased(basis, wave, **more):
    """A ball of 170 nm with the `wave` of (x, y, z) on it, on the grid of `basis`; `more` are made of the object."""
    x, y, z = np.tensordot(basis, np.indices(SHAPE) - np.array([n // 2 for n in SHAPE])[:, None, None, None], axes=1)
    r = np.sqrt(x**2 + y**2 + z**2) / 170.0
    rho = (np.exp(-(r**4)) * wave(x, y, z)).astype(np.complex64)
    fields = {
        "rho": (LAB, rho, {"units": "1"}),
        "support": (LAB, r < 1.05, {"units": ""}),
        "voxel_basis": (("axis", "index"), basis, {"units": "nm"}),
        "q_peak": (("axis",), Q.peak, {"units": "1/nm"}),
    }
    made = {name: make(rho) for name, make in more.items()}
    return xr.Dataset({**fields, **made}, attrs={"grade": "good"})


def bent(x, y, z):
    return np.exp(1j * (4e-5 * x * y + 3e-5 * z**2 + 2e-3 * x))


def screw(x, y, z):
    """One turn about the beam, from x to y; its core is dark."""
    core = (x + 1j * y) / 40.0
    return core / np.sqrt(1 + np.abs(core) ** 2)


def whole_gradient(basis):
    """Gradient of the phase in the laboratory, its ramp put back, and the places of its voxels."""
    one = geometry.to_lab(phased(basis, bent), voxel_nm=EDGE)
    slope = strain.gradient(one.rho.to_numpy(), UPRIGHT) + np.array(one.attrs["ramp"])[:, None, None, None]
    return xr.DataArray(slope, {"axis": list("xyz"), **{dim: one[dim] for dim in LAB}}, ("axis", *LAB))


@FRAMES
def test_the_gradient_is_that_of_the_object(basis):
    found = whole_gradient(basis)
    deep = found.x**2 + found.y**2 + found.z**2 < 110.0**2
    for component, known in (("x", 4e-5 * found.y + 2e-3), ("y", 4e-5 * found.x), ("z", 6e-5 * found.z)):
        assert float(abs(found.sel(axis=component) - known).where(deep).max()) < 1e-4  # rad/nm, of 7e-3: neighbours count by amplitude


def test_the_gradient_does_not_know_of_the_shear():
    one, other = xr.align(whole_gradient(SHEARED), whole_gradient(UPRIGHT), join="inner")
    deep = one.x**2 + one.y**2 + one.z**2 < 110.0**2
    assert int(deep.sum()) > 800
    assert float(abs(one - other).where(deep).max()) < 1e-6  # rad/nm


@FRAMES
def test_a_dislocation_keeps_its_turn(basis):
    one = geometry.to_lab(phased(basis, screw), voxel_nm=EDGE)
    rho = one.rho.transpose("x", "y", "z")
    half = 3 * EDGE
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]  # from x to y
    ways = zip(corners, corners[1:] + corners[:1], strict=True)
    ring = [tuple(np.add(start, np.subtract(stop, start) * k / 6)) for start, stop in ways for k in range(6)]
    wave = np.stack([rho.sel(x=x, y=y, method="nearest").sel(z=slice(-90, 90)).to_numpy() for x, y in ring])
    turns = np.angle(np.roll(wave, -1, axis=0) * wave.conj()).sum(axis=0) / (2 * np.pi)
    assert len(turns) > 8
    np.testing.assert_allclose(turns, 1, atol=1e-4)


@FRAMES
def test_solutions_are_turned_as_their_mean_is(basis):
    def two(rho):
        return ("solution", *LAB), np.stack([rho, 1j * rho]), {"units": "1"}

    one = geometry.to_lab(phased(basis, bent, solutions=two), voxel_nm=EDGE)
    np.testing.assert_allclose(one.solutions[0], one.rho, atol=1e-6)
    np.testing.assert_allclose(one.solutions[1], 1j * one.rho, atol=1e-6)
    assert one.solutions.dtype == one.rho.dtype == np.complex64


@FRAMES
def test_an_error_is_scaled_as_the_object_is(basis):
    def tenth(rho):
        return LAB, (0.1 * np.abs(rho)).astype(np.float32), {"units": "1"}

    one = geometry.to_lab(phased(basis, bent, rho_error=tenth), voxel_nm=EDGE)
    deep = one.support & (one.amplitude > 0.5)
    assert float(abs(one.rho_error / one.amplitude - 0.1).where(deep).max()) < 5e-3  # linear interpolation flattens
    assert one.rho_error.dtype == np.float32


@FRAMES
def test_what_is_not_known_of_the_phase_stays_unknown(basis):
    def inner(rho):
        return LAB, np.where(np.abs(rho) > 0.4, 0.2, np.nan).astype(np.float32), {"units": "rad"}

    one = geometry.to_lab(phased(basis, bent, phase_error=inner), voxel_nm=EDGE)
    known = np.isfinite(one.phase_error)
    np.testing.assert_allclose(one.phase_error.to_numpy()[known], 0.2, rtol=1e-5)
    seen = np.abs(one.rho) * one.attrs["amplitude_scale"]
    assert bool(known.where(seen > 0.6, True).all())
    assert not bool(known.where(seen < 0.2, False).any())


def test_what_comes_out_is_a_crystal():
    one = geometry.to_lab(phased(SHEARED, bent))
    require(one, "support", "amplitude", "phase", schema=CRYSTAL)
    np.testing.assert_allclose(one.attrs["voxel_basis_nm"], SHEARED)
    np.testing.assert_allclose(one.attrs["q_peak"], Q.peak)
    assert float(one.x[1] - one.x[0]) == pytest.approx(kernel.voxel_lengths(SHEARED).min())
    assert not one.amplitude.to_numpy()[~one.support.to_numpy()].any()


def test_a_voxel_larger_than_the_crystal_is_refused():
    small = phased(UPRIGHT, bent)
    speck = np.zeros(SHAPE, bool)
    speck[24, 22, 30] = True
    with pytest.raises(XcdiError, match="choose a smaller voxel_nm"):
        geometry.to_lab(small.assign(support=(LAB, speck, {"units": ""})), voxel_nm=500.0)
