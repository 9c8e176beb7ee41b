"""Crystals phased from several reflections of one particle put together: strain tensor, rotation, displacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry, strain, tensor
from xcdi.kernels.joining import Hands
from xcdi.schema import CRYSTAL, LAB, require
from xcdi.stages import reflections, tensor_grade
from xcdi.stages.strain import object_of, vector_of

__all__ = ["COMPONENTS", "NEEDED", "combine"]

NEEDED = 3
PARALLEL = 0.5  # degrees between the G of one reflection
FLATTEST = 20.0  # condition number of the directions of G above which errors grow beyond use
ERRORS = ("strain_error", "tilt_1_error", "tilt_2_error")
NO_CHECK = "no check is possible: three reflections are just enough"
COMPONENTS = {
    **{f"strain_{a}": "1" for a in ("xx", "yy", "zz", "xy", "xz", "yz")},
    **{f"rotation_{a}": "rad" for a in "xyz"},
    **{f"u_{a}": "nm" for a in "xyz"},
}

Maps = dict[str, tuple[Array, str]]  # values (z, y, x) and unit, by name


class Fields(NamedTuple):
    """All reflections on the common grid; n of them, vectors in the frame of the first."""

    rho: Array  # (n, z, y, x)
    support: Array  # (z, y, x), where all of them are
    g: Array  # (n, 3) [1/nm], of the mean crystal
    mean: Array  # (n, 3) [rad/nm], taken off the gradients
    gradients: Array  # (n, 3, z, y, x) [rad/nm], beyond their means


def combine(crystals: Sequence[xr.Dataset], *, voxel_nm: float | None = None, twins: Sequence[bool] | None = None) -> xr.Dataset:
    """Put crystals from three or more reflections of one particle, in one state, together.

    Parameters
    ----------
    crystals : sequence of CRYSTAL
        From :func:`xcdi.stages.strain.field`, each with the attribute sample_rotation of
        :func:`xcdi.stages.reflections.oriented`. Unreliable ones are left out.
    voxel_nm : float, optional
        Edge of a voxel; by default the finest of the crystals.
    twins : sequence of bool, optional
        Which crystals are to be turned inside out, the first not, if that is known; by default it is found out.

    Returns
    -------
    CRYSTAL
        In the laboratory as the first crystal's scan had it, coordinates included; NaN outside of what all reflections share.
        `strain_xx`, `strain_yy`, `strain_zz`, `strain_xy`, `strain_xz`, `strain_yz`, `rotation_x`, `rotation_y`, `rotation_z` [rad],
        `u_x`, `u_y`, `u_z` [nm], each with its `_error` where the crystals have errors; `strain_volume` (the trace),
        `strain_equivalent` (of von Mises), `misfit` (rms of the gradients of u that no tensor explains, per degree of freedom;
        not with three), `amplitude`, `support`, `grain` (of the first).

        All are relative to the mean crystal: weighted by the intensity, the means of distortion and of u are 0. Rotations are right-handed.

        Attributes: reflections; g (n x 3) [1/nm]; condition; twins; hands_by; chi2; left_out; alike, the overlap of each amplitude
        with the mean of the others; grade and warning of :func:`xcdi.stages.tensor_grade.grade`. Of four or more: held_rms,
        held_spread, held_correlation of each reflection foretold from the others, over all voxels; held_inner_rms and so on, over
        those with all their neighbours in the same grain.

    Raises
    ------
    XcdiError
        If fewer than three reliable reflections are there, one is given twice, they lie in one plane, or share no voxel.
    SchemaError
        If a crystal lacks what is needed.

    Notes
    -----
    Place is found by the amplitude, hand by amplitude and, with four or more of which no three lie in one plane, by phase
    (:mod:`xcdi.kernels.joining`); all together may still be the twin, which has the same strain at the mirrored place. u is that of
    the unwrapped phases: behind a grain boundary it may be off by vectors of the lattice; strain and rotation are not.
    Source: Newton et al., Nature Mater. 9, 120 (2010), doi 10.1038/nmat2607; Hofmann et al., Phys. Rev. Materials 4, 013801 (2020).
    """
    used, left_out = _usable(crystals)
    seen = [reflections.seen_of(crystal, used[0]) for crystal in used]
    _one_each(seen, [place for place, crystal in enumerate(crystals, 1) if _reliable(crystal)])
    _not_flat(seen)
    grid = reflections.grid_of(seen, voxel_nm)
    placed, hands = reflections.registered(seen, grid, _known(twins, crystals))
    fields = _fields(seen, placed, grid.voxel)
    weights, phase_weights, stated = _weights(seen, placed, fields, grid)
    found = tensor.distortion(fields.gradients, fields.g, weights)
    made = _labelled(seen[0], fields, grid, _maps(found, stated) | _vector(fields, phase_weights, grid, stated))
    notes = {
        "left_out": ", ".join(left_out) or "none",
        "error_from": "errors of the crystals, reflection by reflection" if stated else "nothing: not all crystals have errors",
        **({"chi2": float(np.median(found.chi2[fields.support]))} if stated and len(seen) > NEEDED else {}),
    }
    notes |= _checks(fields, weights, made["grain" if "grain" in made else "support"].to_numpy().astype(int))
    notes |= _about(seen, fields, hands) | {"alike": tensor_grade.alike(placed)}
    return made.assign_attrs(notes | tensor_grade.grade(seen, hands, notes))


def _known(twins: Sequence[bool] | None, crystals: Sequence[xr.Dataset]) -> list[bool] | None:
    """The hands that the user knows, of the crystals that are used."""
    if twins is None:
        return None
    if len(twins) != len(crystals):
        raise XcdiError(f"twins has {len(twins)} entries for {len(crystals)} crystals; give one for each, or leave it out")
    used = [bool(twin) for twin, crystal in zip(twins, crystals, strict=True) if _reliable(crystal)]
    return [twin != used[0] for twin in used]  # against the first


def _about(seen: Sequence[reflections.Seen], fields: Fields, hands: Hands) -> dict[str, Any]:
    """Attributes that say what was put together, and those of the first crystal that hold for all."""
    first = seen[0].crystal.attrs
    return {name: first[name] for name in ("beamline", "axes", "energy_kev", "sample_rotation") if name in first} | {
        "reflections": ", ".join(one.name for one in seen),
        "g": fields.g.ravel().tolist(),
        "condition": tensor.condition(fields.g),
        "twins": [int(twin) for twin in hands.twin],
        "hands_by": hands.by,
        "relative_to": "the mean crystal; u up to a constant vector",
    }


def _usable(crystals: Sequence[xr.Dataset]) -> tuple[list[xr.Dataset], list[str]]:
    """The reliable crystals, and the names of the others."""
    for crystal in crystals:
        require(crystal, "support", schema=CRYSTAL)
        object_of(crystal)
        if "sample_rotation" not in crystal.attrs:
            raise SchemaError(
                f"crystal {reflections.name_of(crystal)} has no attribute 'sample_rotation'; run stages.reflections.oriented on it first"
            )
    bad = [reflections.name_of(crystal) for crystal in crystals if not _reliable(crystal)]
    good = [crystal for crystal in crystals if _reliable(crystal)]
    if len(good) < NEEDED:
        why = f"{', '.join(bad)} unreliable, which leaves {len(good)}" if bad else f"{len(good)} given"
        raise XcdiError(f"a strain tensor needs {NEEDED} or more reflections: {why}; phase more of them, or phase those better")
    return good, bad


def _reliable(crystal: xr.Dataset) -> bool:
    return crystal.attrs.get("grade") != "unreliable"


def _one_each(seen: Sequence[reflections.Seen], places: Sequence[int]) -> None:
    """Refuse two results that see the same component of the displacement: they foretell one another, right or wrong."""
    waves = np.array([one.turn @ vector_of(one.crystal, "q_peak") for one in seen])
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    for i, k in combinations(range(len(seen)), 2):
        if np.linalg.norm(np.cross(waves[i], waves[k])) < np.sin(np.radians(PARALLEL)):
            raise XcdiError(f"results {places[i]} and {places[k]} ({seen[i].name}, {seen[k].name}) are of one reflection; give each once")


def _not_flat(seen: Sequence[reflections.Seen]) -> None:
    """Refuse reflections that lie in one plane, or nearly so."""
    number = tensor.condition(np.array([one.turn @ vector_of(one.crystal, "q_peak") for one in seen]))
    if number > FLATTEST:
        names = ", ".join(one.name for one in seen)
        raise XcdiError(
            f"the reflections {names} lie nearly in one plane (condition {number:.3g}, {FLATTEST:g} at most); add one across it"
        )


def _fields(seen: Sequence[reflections.Seen], placed: Sequence[reflections.Placed], voxel: float) -> Fields:
    """Gradients of all reflections where all of them are."""
    support = np.all([one.support for one in placed], axis=0)
    if not support.any():
        raise reflections.apart(seen)
    rho = np.array([np.where(support, one.rho, 0) for one in placed])
    weight = np.where(support, np.mean(np.abs(rho) ** 2, axis=0), 0.0)
    beyond = [reflections.beyond(one, weight, geometry.lab_basis(voxel)) for one in rho]
    g = [
        one.turn @ (vector_of(one.crystal, "q_peak") + vector_of(one.crystal, "ramp")) + mean
        for one, (_, mean) in zip(seen, beyond, strict=True)
    ]
    return Fields(rho, support, np.array(g), np.array([mean for _, mean in beyond]), np.array([slope for slope, _ in beyond]))


def _weights(
    seen: Sequence[reflections.Seen], placed: Sequence[reflections.Placed], fields: Fields, grid: reflections.Grid
) -> tuple[Array, Array, bool]:
    """Weights of gradients and phases (n, z, y, x): one over the squared error, or where that is not known the squared amplitude."""
    if not all(name in one.crystal for one in seen for name in (*ERRORS, "displacement_error")):
        power = np.abs(fields.rho) ** 2
        return power, power, False
    slopes, phases = [], []
    for one, where, g in zip(seen, placed, fields.g, strict=True):
        length = float(np.linalg.norm(g))
        strains = [reflections.error_on_grid(one, where, grid, name) for name in ERRORS]
        slopes.append(length**2 * np.mean(np.square(strains), axis=0))
        phases.append((length * reflections.error_on_grid(one, where, grid, "displacement_error")) ** 2)
    inverse = [np.where(fields.support & (np.array(one) > 0), 1 / np.maximum(one, 1e-300), 0.0) for one in (slopes, phases)]
    return inverse[0], inverse[1], True


def _maps(found: tensor.Distortion, stated: bool) -> Maps:
    """Strain, rotation and misfit, with errors where they are known."""
    strains, turns = tensor.strain(found.matrix), tensor.rotation(found.matrix)
    maps: Maps = {name: (values, COMPONENTS[name]) for name, values in zip(COMPONENTS, [*strains, *turns], strict=False)}
    maps |= {"strain_volume": (strains[:3].sum(axis=0), "1"), "strain_equivalent": (tensor.equivalent(strains), "1")}
    if stated:
        errors = [*tensor.strain_error(found.covariance), *tensor.rotation_error(found.covariance)]
        maps |= {f"{name}_error": (values, COMPONENTS[name]) for name, values in zip(COMPONENTS, errors, strict=False)}
        maps["strain_volume_error"] = (np.sqrt(np.einsum("ii...->...", found.covariance)), "1")
    return maps


def _vector(fields: Fields, weights: Array, grid: reflections.Grid, stated: bool) -> Maps:
    """Displacement vector from the unwrapped phases, its mean taken off; and the misfit of the gradients."""
    z, y, x = (grid.voxel * (np.arange(n) - n // 2) for n in grid.shape)
    bright, phases = np.mean(np.abs(fields.rho) ** 2, axis=0), []
    for rho, mean in zip(fields.rho, fields.mean, strict=True):
        plane = mean[2] * z[:, None, None] + mean[1] * y[:, None] + mean[0] * x
        phase = strain.unwrap(rho * np.exp(-1j * plane), fields.support).phase
        phases.append(np.nan_to_num(phase - np.average(phase[fields.support], weights=bright[fields.support])))
    u, error = tensor.displacement(np.array(phases), fields.g, weights)
    maps: Maps = {
        f"u_{a}": (values - np.average(values[fields.support], weights=bright[fields.support]), "nm")
        for a, values in zip("xyz", u, strict=True)
    }
    if stated:
        maps |= {f"u_{a}_error": (values, "nm") for a, values in zip("xyz", error, strict=True)}
    if len(fields.g) > NEEDED:
        maps["misfit"] = (_misfit(fields), "1")
    return maps


def _misfit(fields: Fields) -> Array:
    """Root of the mean square, per degree of freedom, of the gradients of u along G that no distortion explains."""
    lengths = np.linalg.norm(fields.g, axis=1)
    even = tensor.distortion(
        fields.gradients / lengths[:, None, None, None, None], fields.g / lengths[:, None], np.ones_like(fields.gradients[:, 0])
    )
    return np.sqrt(even.chi2)


def _checks(fields: Fields, weights: Array, label: Array) -> dict[str, Any]:
    """Attributes that say how well each reflection is foretold by the others, in all voxels and away from surface and boundaries."""
    if len(fields.g) <= NEEDED:
        return {"held_out": NO_CHECK}
    columns: dict[str, Any] = {"held_out": "each reflection foretold from the others"}
    for name, where in (("held", fields.support), ("held_inner", fields.support & tensor.calm(label))):
        seen = np.where(where, weights, 0.0)
        if not np.all(seen > 0, axis=0).any():
            continue
        held = tensor.held_out(fields.gradients, fields.g, seen, flattest=FLATTEST)
        for what in tensor.Held._fields:
            columns[f"{name}_{what}"] = [float("nan") if one is None else getattr(one, what) for one in held]
    return columns


def _labelled(first: reflections.Seen, fields: Fields, grid: reflections.Grid, maps: Mapping[str, tuple[Array, str]]) -> xr.Dataset:
    """All maps with their coordinates, those of the first crystal."""
    lines = {dim: c + grid.voxel * (np.arange(n) - n // 2) for dim, c, n in zip(LAB, first.centre[::-1], grid.shape, strict=True)}
    amplitude = np.mean([np.abs(one) / np.percentile(np.abs(one[fields.support]), 90) for one in fields.rho], axis=0)
    inside = {
        name: (LAB, np.where(fields.support, values, np.nan).astype(np.float32), {"units": unit}) for name, (values, unit) in maps.items()
    }
    made = xr.Dataset(inside, {dim: (dim, line, {"units": "nm"}) for dim, line in lines.items()})
    made = made.assign(amplitude=(LAB, amplitude.astype(np.float32), {"units": "1"}), support=(LAB, fields.support, {"units": ""}))
    if "grain" in first.crystal:
        near = first.crystal["grain"].sel({dim: made[dim] for dim in LAB}, method="nearest").to_numpy()
        made = made.assign(grain=(LAB, np.where(fields.support, near, 0).astype(np.int16), {"units": ""}))
    return made
