"""A crystal's displacement, strain and tilts from its complex object."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry, refraction, strain
from xcdi.schema import CRYSTAL, LAB, require
from xcdi.settings import Model
from xcdi.stages import instrument

__all__ = ["UNITS", "Refraction", "Straining", "basis_of", "field", "mean_of", "object_of", "relative", "told", "vector_of"]

AXES = ["x", "y", "z"]
UNITS = {"strain": "1", "tilt_1": "rad", "tilt_2": "rad"}
STATISTICS = ("mean_d_spacing_nm", "mean_strain", "phase_breaks", "share_near_limit")
ELASTIC = 0.02  # by which the lengths of the wave vectors in and out may differ, relatively
FOREIGN = 0.2  # relative distance from the reference spacing that no strain makes
TILTS = "tilt_1 along t1 = beam x G, tilt_2 along t2 = G x t1; tilt = derivative of u_G, rotation plus shear"

Maps = dict[str, tuple[Array, str]]  # values (z, y, x) and unit, by name


class Refraction(Model):
    """What the crystal is made of, as X-rays see it."""

    delta: float = Field(
        gt=0, lt=0.01, examples=["3.6e-5"], description="of the refractive index 1 - delta + i beta at the energy of the scan"
    )
    beta: float = Field(ge=0, lt=0.01, examples=["1.0e-6"], description="of the same; 0: absorption is left as it is")
    source: str = Field(min_length=3, description="where these numbers come from")
    twin: bool = Field(default=False, description="whether the phased object is known to be the twin of the crystal, turned inside out")


class Straining(Model):
    """What is known of the crystal beforehand; what is not given is not assumed."""

    hkl: tuple[int, int, int] | None = Field(default=None, description="of the reflection, for the lattice parameter; cubic crystals only")
    reference_d_nm: float | None = Field(default=None, gt=0, description="spacing of unstrained planes, for absolute strain [nm]")
    reference_source: str | None = Field(default=None, min_length=3, description="where reference_d_nm comes from")
    refraction: Refraction | None = Field(default=None, description="{delta, beta, source}: is taken off; not set: left as it is")

    @model_validator(mode="after")
    def _sound(self) -> Straining:
        if self.hkl is not None and not any(self.hkl):
            raise XcdiError("hkl is (0, 0, 0), which is no reflection; give its indices")
        if (self.reference_d_nm is None) != (self.reference_source is None):
            there, absent = ("reference_source", "reference_d_nm")[:: 1 if self.reference_d_nm is None else -1]
            raise XcdiError(f"{there} is given without {absent}; give both or neither")
        return self


def field(crystal: xr.Dataset, how: Straining = Straining()) -> xr.Dataset:
    r"""Add displacement, strain, tilts, lattice spacing and their errors to a crystal.

    .. math:: \varepsilon = -\nabla\phi\cdot\hat G / |G|, \qquad d = 2\pi / |Q + \nabla\phi|, \qquad \varepsilon_{abs} = d / d_{ref} - 1

    Parameters
    ----------
    crystal : CRYSTAL
        As from :func:`xcdi.stages.geometry.to_lab`: `rho`, `support`, coordinates, attributes q_peak and ramp; `solutions` and
        `phase_error`, or `rho_error`, for errors.
    how : Straining

    Returns
    -------
    CRYSTAL
        `displacement` [nm], `strain`, `tilt_1`, `tilt_2` [rad], `d_spacing` [nm]; NaN outside the support.
        Displacement, strain and tilts are relative to the mean crystal (their intensity-weighted means
        are 0), `d_spacing` is absolute. With a reference spacing `strain_absolute`, with hkl `lattice_parameter` [nm] of a cubic
        crystal, with delta and beta `refraction_phase` [rad]: what was taken off `rho`, `phase` and `solutions`.

        `strain_error`, `tilt_1_error`, `tilt_2_error`, `displacement_error`, `d_spacing_error`: one standard error of the voxel;
        the attribute error_from says what they are made of. The error of `d_spacing` leaves out those of energy, distance and angles.

        Attributes: q_mean (x, y, z) [1/nm]; mean_d_spacing_nm; mean_strain (of q_mean against q_peak); noise_floor
        (median of `strain_error`); error_factor; phase_breaks (neighbours that no unwrapping joins: dislocations, boundaries);
        max_reportable (strain, tilt_1, tilt_2: a phase step of pi per voxel); share_near_limit (of voxels with a step within 30 %
        of pi). Of an unreliable object those that are statistics are left out, and no_statistics says so.

    Raises
    ------
    XcdiError
        If the crystal is empty, or the reference spacing cannot be that of this reflection.

    Notes
    -----
    Errors of strain are the scatter of the strain maps of the solutions, times one factor: the standard error of the phase over
    the scatter of the phases. Neighbouring phases have errors in common, which the scatter of strain knows of and the phase error of
    a voxel does not.

    One reflection cannot tell a crystal from its twin, r to -r with the phase negated: strain then keeps its
    sign and lies at the mirrored place.
    Source: Robinson and Harder, Nature Mater. 8, 291 (2009).
    """
    require(crystal, "support", schema=CRYSTAL)
    object_of(crystal)
    crystal = _refracted(crystal, how.refraction)
    rho, support, basis = object_of(crystal), crystal.support.to_numpy(), basis_of(crystal)
    slope = strain.gradient(np.where(support, rho, 0), basis)
    mean, ramp = mean_of(slope, np.where(support, np.abs(rho) ** 2, 0)), _ramp(crystal)
    q_mean = vector_of(crystal, "q_peak") + ramp + mean
    maps = {name: (values, UNITS[name]) for name, values in relative(slope, mean, q_mean).items()}
    phase, breaks = strain.unwrap(rho * np.exp(-1j * _plane(crystal, mean)), support)
    phase -= np.average(phase[support], weights=np.abs(rho[support]) ** 2)
    spacing = 2 * np.pi / np.linalg.norm((q_mean - mean)[:, None, None, None] + slope, axis=0)
    maps |= {"displacement": (strain.displacement(phase, q_mean), "nm"), "d_spacing": (spacing, "nm")}
    maps |= _absolute(spacing, float(geometry.bragg_spacing(q_mean)), how)
    errors, source = _errors(crystal, basis, q_mean)
    maps |= errors | ({"d_spacing_error": (spacing * errors["strain_error"][0], "nm")} if errors else {})
    inside = {name: (LAB, np.where(support, values, np.nan).astype(np.float32), {"units": unit}) for name, (values, unit) in maps.items()}
    limits = _limits(slope + ramp[:, None, None, None], _phased_on(crystal, basis), q_mean, support)
    notes = _notes(crystal, q_mean, breaks) | source | limits | _noise(errors, support) | _sources(how)
    return crystal.assign(inside).assign_attrs(_sound(notes, crystal.attrs.get("grade")))


def told(crystal: xr.Dataset, grade: str) -> str:
    """The range of strain in words; of an unreliable object none."""
    if grade == "unreliable":
        return "no strain: the object is unreliable"
    low, high = np.nanpercentile(crystal.strain, [1, 99])
    return f"strain {low:+.1e} … {high:+.1e}"


def _notes(crystal: xr.Dataset, q_mean: Array, breaks: int) -> dict[str, Any]:
    """Attributes that say what the maps are relative to."""
    spacing, nominal = (float(geometry.bragg_spacing(q)) for q in (q_mean, vector_of(crystal, "q_peak")))
    return {
        "q_mean": q_mean.tolist(),
        "mean_d_spacing_nm": spacing,
        "mean_strain": spacing / nominal - 1,
        "tilt_axes": TILTS,
        "phase_breaks": breaks,
    }


def relative(slope: Array, mean: Array, q_mean: Array) -> dict[str, Array]:
    """Strain and tilts of a phase gradient (3, ..., z, y, x) beyond its mean."""
    beyond = slope - mean.reshape(3, *(1,) * (slope.ndim - 1))
    return {name: strain.distortion(beyond, q_mean, along) for name, along in zip(UNITS, strain.directions(q_mean), strict=True)}


def mean_of(slope: Array, weight: Array) -> Array:
    """Weighted mean of a gradient (3, z, y, x)."""
    return np.array([np.average(component, weights=weight) for component in slope])


def _refracted(crystal: xr.Dataset, matter: Refraction | None) -> xr.Dataset:
    """Take refraction and absorption off the object and all its solutions; or leave them, and say so."""
    if "refraction_phase" in crystal:
        raise XcdiError("refraction was taken off this crystal before; begin with that of stages.geometry.to_lab")
    if matter is None:
        return crystal.assign_attrs(refraction="left as it is: no delta is given")
    wavelength, q = instrument.wavelength(crystal), vector_of(crystal, "q_peak")
    beam = np.array([0.0, 0.0, 2 * np.pi / wavelength])
    if abs(np.linalg.norm(beam + q) / beam[2] - 1) > ELASTIC:
        raise XcdiError(
            f"q_peak {q.round(3).tolist()} 1/nm is not reached from a beam along z at {wavelength:.5g} nm, "
            "so the way out of the crystal is unknown; check energy and geometry, or leave strain.refraction out"
        )
    hand = -1.0 if matter.twin else 1.0
    path = refraction.optical_path(crystal.support.to_numpy(), basis_of(crystal), hand * beam, hand * (beam + q))
    factor = refraction.undone(path, delta=matter.delta, beta=matter.beta, wavelength=wavelength)
    factor = np.conj(factor) if matter.twin else factor
    level = _level(np.abs(factor * crystal.rho.transpose(*LAB).to_numpy()), crystal.support.to_numpy())
    kept = {"rho": factor / level, "solutions": factor / level, "rho_error": np.abs(factor) / level}
    freed = {name: (crystal[name] * xr.Variable(LAB, by)).assign_attrs(units="1") for name, by in kept.items() if name in crystal}
    rho = freed["rho"].transpose(*LAB).to_numpy()
    taken = -hand * 2 * np.pi / wavelength * matter.delta * path
    return (
        crystal.assign(freed)
        .assign(
            amplitude=(LAB, np.where(crystal.support, np.abs(rho), 0).astype(np.float32), {"units": "1"}),
            phase=(LAB, np.angle(rho).astype(np.float32), {"units": "rad"}),
            refraction_phase=(LAB, taken.astype(np.float32), {"units": "rad"}),
        )
        .assign_attrs(
            refraction=f"taken off: delta {matter.delta:g}, beta {matter.beta:g} ({matter.source}), "
            f"if the object is {'the twin' if matter.twin else 'the crystal and not its twin'}"
        )
    )


def _level(amplitude: Array, support: Array) -> Array:
    """The amplitude that is called 1: its 90th percentile inside."""
    return np.float32(np.percentile(amplitude[support], 90))


def _absolute(spacing: Array, mean: float, how: Straining) -> Maps:
    """Strain against the reference spacing and lattice parameter, where they are asked for."""
    maps: Maps = {}
    if how.reference_d_nm is not None:
        if abs(mean / how.reference_d_nm - 1) > FOREIGN:
            raise XcdiError(
                f"reference_d_nm is {how.reference_d_nm:g}, and the planes are {mean:.5g} nm apart on average; "
                "give the spacing of this reflection, d = a / sqrt(h2 + k2 + l2) of a cubic crystal"
            )
        maps["strain_absolute"] = (spacing / how.reference_d_nm - 1, "1")
    if how.hkl is not None:
        maps["lattice_parameter"] = (spacing * float(np.linalg.norm(how.hkl)), "nm")
    return maps


def _sources(how: Straining) -> dict[str, Any]:
    """Attributes that say what absolute maps rest on."""
    told: dict[str, Any] = {"absolute_from": "nothing: no reference_d_nm is given"}
    if how.reference_d_nm is not None:
        told = {"reference_d_nm": how.reference_d_nm, "absolute_from": f"d / {how.reference_d_nm:g} nm - 1 ({how.reference_source})"}
    if how.hkl is not None:
        told |= {"hkl": list(how.hkl), "lattice": "cubic: a = d sqrt(h2 + k2 + l2)"}
    return told


def _ramp(crystal: xr.Dataset) -> Array:
    """Wave vector (x, y, z) [1/nm] of the ramps taken out before."""
    return np.asarray(crystal.attrs.get("ramp", np.zeros(3)), dtype=float)


def _plane(crystal: xr.Dataset, mean: Array) -> Array:
    """Phase (z, y, x) [rad] of a mean gradient (x, y, z)."""
    return (mean[0] * crystal.x + mean[1] * crystal.y + mean[2] * crystal.z).transpose(*LAB).to_numpy()


def _errors(crystal: xr.Dataset, basis: Array, q_mean: Array) -> tuple[Maps, dict[str, Any]]:
    """Standard errors of strain, tilts and displacement, and what they are made of."""
    support = crystal.support.to_numpy()
    if "solutions" in crystal and len(crystal.solutions) > 1:
        return _of_solutions(crystal, support, basis, q_mean)
    if "rho_error" not in crystal or not crystal.rho_error.to_numpy()[support].any():
        return {}, {"error_from": "nothing: one solution without an error"}
    phase = strain.phase_error(crystal.rho.to_numpy(), crystal.rho_error.to_numpy())
    floors = (strain.noise_floor(phase, basis, q_mean, along) for along in strain.directions(q_mean))
    maps = {f"{name}_error": (floor, UNITS[name]) for name, floor in zip(UNITS, floors, strict=True)}
    return maps | _of_displacement(phase, q_mean), {"error_from": "rho_error of single voxels, as if neighbours had no error in common"}


def _of_solutions(crystal: xr.Dataset, support: Array, basis: Array, q_mean: Array) -> tuple[Maps, dict[str, Any]]:
    """Errors from the scatter of the maps of all solutions, and the standard error of the phase where it is known."""
    solutions = crystal.solutions.transpose("solution", *LAB).to_numpy()
    scatter = strain.phase_scatter(solutions, support)
    factor, phase = 1.0, scatter
    made = f"spread of {len(solutions)} solutions, as it is: no phase_error is there to turn it into a standard error"
    if "phase_error" in crystal and np.isfinite(crystal.phase_error.to_numpy()[support & (np.nan_to_num(scatter) > 0)]).any():
        told = np.where(support, crystal.phase_error.to_numpy(), np.nan)
        factor = strain.error_factor(scatter, told)
        phase = np.where(np.isfinite(told), told, factor * scatter)
        made = f"standard error: spread of {len(solutions)} solutions times {factor:.3f}, phase_error over the spread of the phases"
    spread = {name: strain.local_spread(maps, support) for name, maps in _each(solutions, support, basis, q_mean).items()}
    maps = {f"{name}_error": (factor * values, UNITS[name]) for name, values in spread.items()}
    return maps | _of_displacement(phase, q_mean), {"error_from": made, "error_factor": factor}


def _of_displacement(phase_error: Array, q_mean: Array) -> Maps:
    return {"displacement_error": (phase_error / float(np.linalg.norm(q_mean)), "nm")}


def _each(solutions: Array, support: Array, basis: Array, q_mean: Array) -> dict[str, Array]:
    """Strain and tilts (solution, z, y, x) of all solutions, each beyond its own mean."""
    made = []
    for rho in solutions:
        slope = strain.gradient(np.where(support, rho, 0), basis)
        made.append(relative(slope, mean_of(slope, np.where(support, np.abs(rho) ** 2, 0)), q_mean))
    return {name: np.stack([one[name] for one in made]) for name in UNITS}


def _phased_on(crystal: xr.Dataset, upright: Array) -> Array:
    """Voxel basis of the grid that the object was phased on, or else of its own."""
    return np.asarray(crystal.attrs.get("voxel_basis_nm", upright), dtype=float).reshape(3, 3)


def _limits(slope: Array, basis: Array, q_mean: Array, support: Array) -> dict[str, Any]:
    """Largest strain and tilts that can be told, and how many voxels come near to what cannot."""
    return {
        "max_reportable": [strain.reportable(basis, q_mean, along) for along in strain.directions(q_mean)],
        "share_near_limit": strain.near_limit(slope, basis, support),
    }


def _noise(errors: Maps, support: Array) -> dict[str, float]:
    """Median error inside, the noise floor of the strain map; nothing if no error is known."""
    return {"noise_floor": float(np.median(errors["strain_error"][0][support]))} if errors else {}


def _sound(notes: dict[str, Any], grade: str | None) -> dict[str, Any]:
    """Leave out the statistics of an unreliable object; the noise floor, the frame and the limits of the grid stay."""
    if grade != "unreliable":
        return notes
    told = ", ".join(STATISTICS)
    return {name: value for name, value in notes.items() if name not in STATISTICS} | {
        "no_statistics": f"the object is unreliable: no {told}; its maps are to be looked at, not counted"
    }


def object_of(crystal: xr.Dataset) -> Array:
    """Complex object (z, y, x) of a crystal; an error where it is missing or empty, or no number."""
    if "rho" not in crystal:
        raise SchemaError("the crystal has no complex 'rho', which strain is taken from; make it with stages.geometry.to_lab")
    support = crystal.support.to_numpy()
    if not (support & (np.abs(crystal.rho.to_numpy()) > 0)).any():
        raise XcdiError("the crystal is empty inside its support; there is no strain to show")
    unknown = int(np.count_nonzero(support & ~np.isfinite(crystal.rho.to_numpy())))
    if unknown:
        raise XcdiError(f"rho is no number in {unknown} voxels of the support; take them out of the support first")
    return crystal.rho.to_numpy()


def vector_of(crystal: xr.Dataset, name: str) -> Array:
    """Attribute `name` of a crystal as a vector (x, y, z) [1/nm]; an error where it is missing."""
    if name not in crystal.attrs:
        raise SchemaError(f"the crystal has no attribute {name!r} (x, y, z) [1/nm]; make it with stages.geometry.to_lab")
    return np.asarray(crystal.attrs[name], dtype=float)


def basis_of(crystal: xr.Dataset) -> Array:
    """Voxel basis of the upright grid, from the coordinates."""
    edges = [float(np.diff(crystal[dim].to_numpy()[:2])[0]) for dim in LAB]
    return geometry.lab_basis(edges)
