"""A crystal's displacement, strain and tilts from its complex object, and the grains it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry, strain
from xcdi.kernels.avalanches import grains as grain_kernel
from xcdi.schema import CRYSTAL, LAB, require

__all__ = ["field", "grains", "told", "without_statistics"]

AXES = ["x", "y", "z"]
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
        Attributes: q_mean (x, y, z) [1/nm], mean_d_spacing_nm, mean_strain
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
    return crystal.assign(inside).assign_attrs(_notes(crystal, q_mean, breaks) | source | _noise(errors, support))


def grains(crystal: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Number the grains of a crystal, and describe them and their boundaries.

    Parameters
    ----------
    crystal : CRYSTAL
        As from :func:`field`; `solutions`, where there are two or more, give the errors and are used up.

    Returns
    -------
    crystal : CRYSTAL
        With `grain` (int16, 0 outside, 1 the largest).
    grains : Dataset, dim grain
        `volume_nm3`, `centroid` (axis) [nm], `strain`, `tilt_1`, `tilt_2` [rad] relative to the mean
        crystal with their `_error`, `amplitude`. Means over the interior, weighted by intensity.
    boundaries : Dataset, dim boundary
        `i`, `j`, `area_nm2`, `centroid`, `normal` (axis; from i to j), `dip`, `d_strain`, `d_tilt_1`,
        `d_tilt_2` (of j less i) with their `_error`, `phase_jump` and `phase_jump_error` [rad].

    Notes
    -----
    A phase jump of 2 pi n is a slip by whole lattice planes, and cannot be seen.
    """
    require(crystal, "support", schema=CRYSTAL)
    rho, support, basis = _object(crystal), crystal.support.to_numpy(), _basis(crystal)
    label = grain_kernel.label_grains(rho, support)
    middle = np.array([crystal[dim].to_numpy()[n // 2] for dim, n in zip(AXES, rho.shape[::-1], strict=True)])
    table = _grain_table(crystal, label, basis, middle)
    pairs = grain_kernel.boundaries(label, rho, basis)
    labelled = crystal.drop_vars("solutions", errors="ignore").assign(grain=(LAB, label, {"units": ""}))
    return labelled, table, _boundary_table(pairs, table, middle)


def _grain_table(crystal: xr.Dataset, label: Array, basis: Array, middle: Array) -> xr.Dataset:
    """Volume, place, distortion and amplitude of every grain."""
    rho, numbers = crystal.rho.to_numpy(), np.arange(1, int(label.max()) + 1)
    place = np.array([(np.argwhere(label == n) - np.array(label.shape) // 2).mean(axis=0) @ basis.T + middle for n in numbers])
    volume = np.bincount(label.ravel(), minlength=len(numbers) + 1)[1:] * abs(np.linalg.det(basis))
    values: dict[str, Any] = {
        "volume_nm3": ("grain", volume, {"units": "nm3"}),
        "centroid": (("grain", "axis"), place.reshape(-1, 3), {"units": "nm"}),
        "amplitude": ("grain", grain_kernel.region_means(np.abs(rho), label, np.ones(rho.shape)), {"units": "1"}),
    }
    q_mean = _vector(crystal, "q_mean")
    for name, mean in _grain_distortion(rho, label, basis, q_mean).items():
        values[name] = ("grain", mean, {"units": UNITS[name]})
    if "solutions" in crystal and len(crystal.solutions) > 1:
        each = [_grain_distortion(one, label, basis, q_mean) for one in crystal.solutions.to_numpy()]
        for name, unit in UNITS.items():
            values[f"{name}_error"] = ("grain", np.std([one[name] for one in each], axis=0, ddof=1), {"units": unit})
    return xr.Dataset(values, {"grain": ("grain", numbers, {"units": ""}), "axis": AXES})


def _grain_distortion(rho: Array, label: Array, basis: Array, q_mean: Array) -> dict[str, Array]:
    """Mean strain and tilts of every grain, beyond those of the whole crystal."""
    inside, weight = np.where(label > 0, rho, 0), np.abs(rho) ** 2 * (label > 0)
    slope = strain.gradient(inside, basis)
    return _relative(grain_kernel.region_means(slope, label, weight), _mean(slope, weight), q_mean)


def _boundary_table(pairs: list[grain_kernel.Boundary], table: xr.Dataset, middle: Array) -> xr.Dataset:
    """Every boundary, with the steps of strain and tilt across it."""
    i, j = (np.array([getattr(pair, side) for pair in pairs], dtype=np.int16) for side in "ij")
    values: dict[str, Any] = {"i": ("boundary", i, {"units": ""}), "j": ("boundary", j, {"units": ""})}
    scalars = {
        "area_nm2": ("area", "nm2"),
        "dip": ("dip", "1"),
        "phase_jump": ("phase_jump", "rad"),
        "phase_jump_error": ("jump_error", "rad"),
    }
    for name, (field, unit) in scalars.items():
        values[name] = ("boundary", np.array([getattr(pair, field) for pair in pairs], dtype=float), {"units": unit})
    centroid = np.array([pair.centroid + middle for pair in pairs]).reshape(-1, 3)
    values["centroid"] = (("boundary", "axis"), centroid, {"units": "nm"})
    values["normal"] = (("boundary", "axis"), np.array([pair.normal for pair in pairs]).reshape(-1, 3), {"units": "1"})
    for name, unit in UNITS.items():
        of_grain = table[name].to_numpy()
        values[f"d_{name}"] = ("boundary", of_grain[j - 1] - of_grain[i - 1], {"units": unit})
        if f"{name}_error" in table:
            error = table[f"{name}_error"].to_numpy()
            values[f"d_{name}_error"] = ("boundary", np.hypot(error[i - 1], error[j - 1]), {"units": unit})
    return xr.Dataset(values, {"axis": AXES})


def told(crystal: xr.Dataset, grade: str) -> str:
    """The range of strain in words; of an unreliable object none."""
    if grade == "unreliable":
        return "no strain: the object is unreliable"
    low, high = np.nanpercentile(crystal.strain, [1, 99])
    return f"strain {low:+.1e} … {high:+.1e}"


def without_statistics(grains: xr.Dataset, boundaries: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Blank every number that only a reliable object can give; which grains there are, and where, stays."""
    note = {"note": "the object is unreliable: no strain, tilt or phase jump is given"}
    tables = []
    for table in (grains, boundaries):
        doubtful = [name for name in table.data_vars if str(name).removeprefix("d_").startswith((*UNITS, "phase"))]
        tables.append(table.assign({name: xr.full_like(table[name], np.nan) for name in doubtful}).assign_attrs(note))
    return tables[0], tables[1]


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
    if "solutions" in crystal and len(crystal.solutions) > 1:
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
