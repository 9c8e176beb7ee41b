"""Where events happened: each is compared with slips along the boundaries of the imaged particle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches import attribution, patterns
from xcdi.schema import EVENTS, OBJECT, is_avalanche, require
from xcdi.stages.series import Movie, movie

__all__ = ["attribute", "grains_in_data_frame", "series_offset"]

RADII = (0.28, 0.42, 0.6, 0.9, 1.3)  # of the radius of a sphere of the particle's volume
RANKS = 3
LEAST = 2  # frames on either side
REACH = 1.0  # steps of the rocking scan by which the angle of the series may be off
CREEP = 0.5  # the same, between one event and the next


class Particle(NamedTuple):
    """The imaged particle in its data frame: object, grains, steps [nm], grain pairs of its boundaries, regions that may slip."""

    rho: np.ndarray
    label: np.ndarray
    basis: np.ndarray
    pairs: list[tuple[int, int]]
    regions: list[attribution.Region]


class Verdict(NamedTuple):
    """What one event is ascribed to; `order` are the boundaries by falling probability, -1 for none of them."""

    order: np.ndarray
    probability: np.ndarray
    region: attribution.Region | None
    phase: float


def series_offset(peak: xr.Dataset, series: xr.Dataset) -> float:
    """Angle of a series, in steps of the rocking scan from the middle frame n // 2 of its peak.

    Parameters
    ----------
    peak : PEAK
        With `rocking` [deg] and the attribute rocking_motor.
    series : SCAN
        With that motor, the same for all frames.
    """
    motor = peak.attrs.get("rocking_motor")
    if motor is None or "rocking" not in peak:
        raise SchemaError("the peak has no 'rocking' or 'rocking_motor'; cut it from a rocking scan")
    if motor not in series.variables:
        raise SchemaError(f"the series has no motor {motor!r}, which the rocking scan turns; name its place under [motors]")
    angles = peak.rocking.to_numpy().astype(float)
    step = float(np.mean(np.diff(angles)))
    return (float(np.mean(series[motor].to_numpy())) - angles[len(angles) // 2]) / step


def grains_in_data_frame(crystal: xr.Dataset, phased: xr.Dataset) -> np.ndarray:
    """Grain number of every voxel of the phased object: that of the nearest laboratory voxel, 0 outside.

    Parameters
    ----------
    crystal : CRYSTAL
        With `grain`; coordinates x, y, z [nm] whose zero is the middle voxel of `phased`.
    phased : OBJECT
    """
    if "grain" not in crystal:
        raise SchemaError("the crystal has no 'grain'; run stages.grains.grains on it first")
    shape = phased.rho.shape
    index = np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) // 2
    place = index @ phased.voxel_basis.to_numpy().T
    near, inside = [], np.ones(shape, bool)
    for dim, axis in (("z", 2), ("y", 1), ("x", 0)):
        line = crystal[dim].to_numpy()
        at = np.rint((place[..., axis] - line[0]) / (line[1] - line[0])).astype(int)
        inside &= (at >= 0) & (at < line.size)
        near.append(np.clip(at, 0, line.size - 1))
    return np.where(inside, crystal.grain.transpose("z", "y", "x").to_numpy()[tuple(near)], 0)


def attribute(
    events: xr.Dataset,
    correlation: xr.Dataset,
    phased: xr.Dataset,
    crystal: xr.Dataset,
    boundaries: xr.Dataset,
    *,
    offset: float = 0.0,
    longest: int = 12,
    centres: int = 8,
    seed: int = 0,
) -> xr.Dataset:
    """Ascribe every event to the grain boundary whose slip would change the pattern most alike.

    Parameters
    ----------
    events : EVENTS
    correlation : CORRELATION
        Of the same series, with its counts.
    phased : OBJECT
        From a rocking scan before the series; its attribute ``box`` says which pixels it was made from.
    crystal, boundaries : Dataset
        `grain` (z, y, x) in the laboratory, and `i`, `j` (boundary), from stages.grains.grains.
    offset : float
        Angle of the series: :func:`series_offset`. It is refined by comparing the patterns.
    longest : int
        Most frames on either side of an event.
    centres : int
        Places tried on each boundary, each with both grains and five radii.
    seed : int
        Seed of their choice.

    Returns
    -------
    EVENTS
        With `boundary` (row of `boundaries`, -1 for none), `boundary_i`, `boundary_j`, `grain` that moved
        (0 for none), `probability`; `ranked` and `ranked_probability` (event, rank) of the first three;
        `phase_jump` [rad] (-G.u) and `region_volume` [nm3] of the best region, NaN for none. The
        attribute view_likeness is the correlation of the object's pattern with that of the first frames.

    Notes
    -----
    Slips that are explained are carried into the object before the next
    event. Artefacts and rigid motion are not ascribed. One reflection leaves object and
    grains inverted together, or neither: the answer is right in their own frame.
    """
    require(events, "time", "frame", "drop", schema=EVENTS)
    require(phased, "rho", "voxel_basis", schema=OBJECT)
    particle = _particle(phased, crystal, boundaries, centres, seed)
    seen = _on_box(movie(correlation), phased)
    if not particle.regions or not events.sizes["event"]:
        return _labelled(events, particle, [_none() for _ in range(events.sizes["event"])])
    view = attribution.find_view(particle.rho, _mean(seen, _first(events, seen, longest)), seen.valid, offset=offset, reach=REACH)
    verdicts = list(_verdicts(events, seen, particle, view, longest))
    return _labelled(events, particle, verdicts).assign_attrs(view_offset=view.offset, view_likeness=view.likeness)


def _particle(phased: xr.Dataset, crystal: xr.Dataset, boundaries: xr.Dataset, centres: int, seed: int) -> Particle:
    """Object with the phase ramp it was measured with, its grains, and the regions that may slip."""
    basis, label = phased.voxel_basis.to_numpy(), grains_in_data_frame(crystal, phased)
    rho = phased.rho.to_numpy().astype(np.complex128)
    place = (np.moveaxis(np.indices(rho.shape), 0, -1) - np.array(rho.shape) // 2) @ basis.T
    rho = rho * np.exp(1j * place @ np.asarray(phased.attrs.get("ramp", np.zeros(3)), float))
    pairs = [(int(i), int(j)) for i, j in zip(boundaries.i.values, boundaries.j.values, strict=True)]
    volume = float((label > 0).sum()) * abs(float(np.linalg.det(basis)))
    radii = [r * (0.75 * volume / np.pi) ** (1 / 3) for r in RADII]
    return Particle(rho, label, basis, pairs, attribution.candidates(label, pairs, basis, radii=radii, centres=centres, seed=seed))


def _on_box(seen: Movie, phased: xr.Dataset) -> Movie:
    """The series on the grid of pixels that the object was made from."""
    if "box" not in phased.attrs:
        raise SchemaError("the object has no attribute 'box', the pixels it was made from; take it from stages.phasing")
    box = json.loads(phased.attrs["box"])
    start, stop = ([int(box[dim][end]) for dim in ("y", "x")] for end in (0, 1))
    shape = (stop[0] - start[0], stop[1] - start[1])
    if shape != phased.rho.shape[1:]:
        raise SchemaError(f"the box of the object has {shape} pixels and its object {phased.rho.shape[1:]}; they must agree")
    frames, valid = np.zeros((len(seen.frames), *shape), seen.frames.dtype), np.zeros(shape, bool)
    to, of = [], []
    for axis in range(2):
        low = max(start[axis], seen.corner[axis])
        high = min(stop[axis], seen.corner[axis] + seen.valid.shape[axis])
        if low >= high:
            raise XcdiError(f"the series covers none of the pixels {start} to {stop} that the object was made from; choose the same region")
        to.append(slice(low - start[axis], high - start[axis]))
        of.append(slice(low - seen.corner[axis], high - seen.corner[axis]))
    frames[:, to[0], to[1]] = seen.frames[:, of[0], of[1]]
    valid[to[0], to[1]] = seen.valid[of[0], of[1]]
    return seen._replace(frames=frames, valid=valid, corner=(start[0], start[1]))


def _first(events: xr.Dataset, seen: Movie, longest: int) -> np.ndarray:
    """Good frames before the first event, `longest` at most; the first few if it comes at once."""
    good = np.flatnonzero(seen.ok)
    before = good[good < int(events.frame.values[0])]
    return before[:longest] if before.size >= LEAST else good[:longest]


def _mean(seen: Movie, frames: np.ndarray) -> np.ndarray:
    return seen.frames[frames].mean(axis=0, dtype=np.float64)


def _verdicts(events: xr.Dataset, seen: Movie, particle: Particle, view: attribution.View, longest: int) -> Iterator[Verdict]:
    """Ascribe one event after the other, in an object that takes part in them."""
    scale = patterns.frame_scale(seen.frames, seen.valid, seen.ok)
    boundary = np.array([region.boundary for region in particle.regions])
    for k in range(events.sizes["event"]):
        before, after = _sides(events, k, np.flatnonzero(seen.ok), longest)
        if min(before.size, after.size) < LEAST or _excluded(events, k):
            yield _none()
            continue
        pre, post = (seen.frames[part] / scale[part, None, None] for part in (before, after))
        view = attribution.find_view(particle.rho, pre.mean(axis=0), seen.valid, offset=view.offset, reach=CREEP)
        change = attribution.change(pre, post, seen.valid)
        parts = attribution.region_wave(particle.rho, particle.label, particle.regions, particle.basis, view)
        fit = attribution.attribute(change, attribution.wave(particle.rho, view), parts, view.scale)
        probability = attribution.posterior(fit, boundary, len(particle.pairs), change.noise)
        verdict = _verdict(probability, fit, boundary, particle.regions)
        particle = _after(particle, verdict, view, post.mean(axis=0), seen.valid)
        yield verdict


def _sides(events: xr.Dataset, k: int, good: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Good frames before and after event `k`, up to its neighbours."""
    first, last = (events[name].values if name in events else events.frame.values for name in ("first_frame", "last_frame"))
    before = good[(good >= (last[k - 1] if k else 0)) & (good < first[k])][-longest:]
    after = good[(good >= last[k]) & (good < (first[k + 1] if k + 1 < len(first) else np.inf))][:longest]
    return before, after


def _excluded(events: xr.Dataset, k: int) -> bool:
    return "flags" in events and not is_avalanche([events["flags"].values[k]])[0]


def _verdict(probability: np.ndarray, fit: attribution.Fit, boundary: np.ndarray, regions: Sequence[attribution.Region]) -> Verdict:
    order = np.argsort(-probability, kind="stable")
    names = np.where(order == len(probability) - 1, -1, order)
    if names[0] < 0:
        return Verdict(names, probability[order], None, float("nan"))
    best = int(np.argmin(np.where(boundary == names[0], fit.misfit, np.inf)))
    return Verdict(names, probability[order], regions[best], float(fit.phase[best]))


def _after(particle: Particle, verdict: Verdict, view: attribution.View, pattern: np.ndarray, valid: np.ndarray) -> Particle:
    """The particle after the event, if that makes it more like the pattern that follows."""
    if verdict.region is None:
        return particle
    moved = attribution.slip(particle.rho, particle.label, verdict.region, particle.basis, verdict.phase)
    old, new = (attribution.likeness(np.abs(attribution.wave(rho, view)) ** 2, pattern, valid) for rho in (particle.rho, moved))
    return particle._replace(rho=moved) if new > old else particle


def _none() -> Verdict:
    return Verdict(np.array([-1]), np.array([np.nan]), None, float("nan"))


def _labelled(events: xr.Dataset, particle: Particle, verdicts: Sequence[Verdict]) -> xr.Dataset:
    """Add the verdicts as columns."""
    n = len(verdicts)
    ranked, chance = np.full((n, RANKS), -1), np.full((n, RANKS), np.nan)
    for k, verdict in enumerate(verdicts):
        found = min(RANKS, len(verdict.order))
        ranked[k, :found], chance[k, :found] = verdict.order[:found], verdict.probability[:found]
    pairs = np.array([particle.pairs[b] if b >= 0 else (0, 0) for b in ranked[:, 0]], int).reshape(n, 2)
    voxel = abs(float(np.linalg.det(particle.basis)))
    volume = [
        np.nan if v.region is None else voxel * attribution.region_voxels(particle.label, v.region, particle.basis).sum() for v in verdicts
    ]
    columns: dict[str, Any] = {
        "boundary": (ranked[:, 0], ""),
        "boundary_i": (pairs[:, 0], ""),
        "boundary_j": (pairs[:, 1], ""),
        "grain": (np.array([0 if v.region is None else v.region.grain for v in verdicts], int), ""),
        "probability": (chance[:, 0], "1"),
        "phase_jump": (np.array([v.phase for v in verdicts], float), "rad"),
        "region_volume": (np.array(volume, float), "nm3"),
    }
    ds = events.assign({name: ("event", values, {"units": units}) for name, (values, units) in columns.items()})
    return ds.assign(ranked=(("event", "rank"), ranked, {"units": ""}), ranked_probability=(("event", "rank"), chance, {"units": "1"}))
