"""A crystal's displacement, strain and tilts from its complex object, and the grains it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry, strain
from xcdi.schema import CRYSTAL, LAB, require

__all__ = ["field"]

UNITS = {"strain": "1", "tilt_1": "rad", "tilt_2": "rad"}
TILTS = "tilt_1 along t1 = beam x G, tilt_2 along t2 = G x t1; tilt = derivative of u_G, rotation plus shear"


def field(crystal: xr.Dataset) -> xr.Dataset:
    r"""Add displacement, strain, tilts, lattice spacing and their errors to a crystal.

    .. math:: \varepsilon = -\nabla\phi\cdot\hat G / |G|, \qquad d = 2\pi / |Q + \nabla\phi|

    Parameters
    ----------
    crystal : CRYSTAL
        As from :func:`xcdi.stages.geometry.to_lab`: `rho`, `support`, coordinates, attributes q_peak and ramp.

    Returns
    -------
    CRYSTAL
        `displacement` [nm], `strain`, `tilt_1`, `tilt_2` [rad], `d_spacing` [nm]; NaN outside the support.
        Displacement, strain and tilts are relative to the mean crystal (their intensity-weighted means
        are 0), `d_spacing` is absolute. `strain_error`, `tilt_1_error`, `tilt_2_error`: standard deviation over `solutions`
        where there are two or more, else from `rho_error`, else absent; attribute error_from says which.
        `solutions` are used up. Attributes: q_mean (x, y, z) [1/nm], mean_d_spacing_nm, mean_strain
        (of q_mean against q_peak), noise_floor (strain of a voxel that its phase noise alone makes),
        phase_breaks (neighbours that no unwrapping joins: dislocations, boundaries).

    Notes
    -----
    One reflection cannot tell a crystal from its twin, r to -r with the phase negated: strain then keeps its
    sign and lies at the mirrored place.
    Source: Robinson and Harder, Nature Mater. 8, 291 (2009).
    """
    require(crystal, "support", schema=CRYSTAL)
    rho, support, basis = _object(crystal), crystal.support.to_numpy(), _basis(crystal)
    slope = strain.gradient(np.where(support, rho, 0), basis)
    mean = _mean(slope, np.where(support, np.abs(rho) ** 2, 0))
    q_mean = _vector(crystal, "q_peak") + np.asarray(crystal.attrs.get("ramp", np.zeros(3)), dtype=float) + mean
    maps = {name: (LAB, values, {"units": UNITS[name]}) for name, values in _relative(slope, mean, q_mean).items()}
    local = np.linalg.norm(q_mean[:, None, None, None] + slope - mean[:, None, None, None], axis=0)
    phase, breaks = strain.unwrap(rho * np.exp(-1j * _ramp(crystal, mean)), support)
    phase -= np.average(phase[support], weights=np.abs(rho[support]) ** 2)
    maps["displacement"] = (LAB, strain.displacement(phase, q_mean), {"units": "nm"})
    maps["d_spacing"] = (LAB, 2 * np.pi / local, {"units": "nm"})
    errors, source = _errors(crystal, basis, q_mean)
    maps |= {f"{name}_error": (LAB, values, {"units": UNITS[name]}) for name, values in errors.items()}
    inside = {name: (dims, np.where(support, values, np.nan).astype(np.float32), units) for name, (dims, values, units) in maps.items()}
    done = crystal.drop_vars([name for name in ("solutions", "start") if name in crystal.variables]).assign(inside)
    return done.assign_attrs(_notes(crystal, q_mean, breaks) | source | _noise(errors, support))


def _notes(crystal: xr.Dataset, q_mean: Array, breaks: int) -> dict[str, Any]:
    """Attributes that say what the maps are relative to."""
    spacing, nominal = (float(geometry.bragg_spacing(q)) for q in (q_mean, _vector(crystal, "q_peak")))
    return {
        "q_mean": q_mean.tolist(),
        "mean_d_spacing_nm": spacing,
        "mean_strain": spacing / nominal - 1,
        "tilt_axes": TILTS,
        "phase_breaks": breaks,
    }


def _relative(slope: Array, mean: Array, q_mean: Array) -> dict[str, Array]:
    """Strain and tilts of a phase gradient (3, ..., z, y, x) beyond its mean."""
    beyond = slope - mean.reshape(3, *(1,) * (slope.ndim - 1))
    return {name: strain.distortion(beyond, q_mean, along) for name, along in zip(UNITS, strain.directions(q_mean), strict=True)}


def _mean(slope: Array, weight: Array) -> Array:
    """Weighted mean of a gradient (3, z, y, x)."""
    return np.array([np.average(component, weights=weight) for component in slope])


def _ramp(crystal: xr.Dataset, mean: Array) -> Array:
    """Phase (z, y, x) [rad] of a mean gradient (x, y, z)."""
    return (mean[0] * crystal.x + mean[1] * crystal.y + mean[2] * crystal.z).transpose(*LAB).to_numpy()


def _errors(crystal: xr.Dataset, basis: Array, q_mean: Array) -> tuple[dict[str, Array], dict[str, str]]:
    """Errors of strain and tilts, and where they come from."""
    support = crystal.support.to_numpy()
    if "solutions" in crystal and crystal.sizes["start"] > 1:
        return _spread(crystal.solutions.to_numpy(), support, basis, q_mean), {"error_from": "spread of the solutions"}
    if "rho_error" in crystal:
        phase = strain.phase_error(crystal.rho.to_numpy(), crystal.rho_error.to_numpy())
        floors = (strain.noise_floor(phase, basis, q_mean, along) for along in strain.directions(q_mean))
        return dict(zip(UNITS, floors, strict=True)), {"error_from": "rho_error"}
    return {}, {"error_from": "nothing: one solution without rho_error"}


def _spread(solutions: Array, support: Array, basis: Array, q_mean: Array) -> dict[str, Array]:
    """Standard deviation of strain and tilts over solutions, each beyond its own mean."""
    maps = []
    for rho in solutions:
        slope = strain.gradient(np.where(support, rho, 0), basis)
        maps.append(_relative(slope, _mean(slope, np.where(support, np.abs(rho) ** 2, 0)), q_mean))
    return {name: np.std([one[name] for one in maps], axis=0, ddof=1) for name in UNITS}


def _noise(errors: dict[str, Array], support: Array) -> dict[str, float]:
    """Median error inside, the noise floor of the strain map; nothing if no error is known."""
    return {"noise_floor": float(np.median(errors["strain"][support]))} if errors else {}


def _object(crystal: xr.Dataset) -> Array:
    if "rho" not in crystal:
        raise SchemaError("the crystal has no complex 'rho', which strain is taken from; make it with stages.geometry.to_lab")
    support = crystal.support.to_numpy()
    if not (support & (np.abs(crystal.rho.to_numpy()) > 0)).any():
        raise XcdiError("the crystal is empty inside its support; there is no strain to show")
    return crystal.rho.to_numpy()


def _vector(crystal: xr.Dataset, name: str) -> Array:
    if name not in crystal.attrs:
        raise SchemaError(f"the crystal has no attribute {name!r} (x, y, z) [1/nm]; make it with stages.geometry.to_lab")
    return np.asarray(crystal.attrs[name], dtype=float)


def _basis(crystal: xr.Dataset) -> Array:
    """Voxel basis of the upright grid, from the coordinates."""
    edges = [float(np.diff(crystal[dim].to_numpy()[:2])[0]) for dim in LAB]
    return geometry.lab_basis(edges)
