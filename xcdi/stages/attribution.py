"""Where events happened: each is compared with slips along the boundaries of the imaged particle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches import attribution, patterns, posterior, views
from xcdi.kernels.avalanches.regions import Region, region_share
from xcdi.schema import EVENTS, OBJECT, is_avalanche, require
from xcdi.stages.event_sides import sides
from xcdi.stages.imaged_particle import Particle, grains_in_data_frame, imaged, on_box, same_experiment
from xcdi.stages.series import Movie, movie

__all__ = ["UnlikeError", "attribute", "grains_in_data_frame", "series_offset"]

RANKS = 3
LEAST = 2  # frames on either side
REACH = 0.5  # steps of the rocking scan by which the angle of the series may be off
CREEP = 0.25  # the same, between one look and the next
STRIDE = 6  # frames that the object follows at once, from one event to the next
STEPS = 5  # of following
STRAYED = 0.85  # likeness to the frames before an event below which the object follows all frames since the last one
LAST = 20  # then, steps of following the frames just before an event, which are compared with those after it
ALIKE = 0.9  # least likeness of the object to the first frames; the same particle, not yet slipped, has 0.99
FAINT = 4.0  # standard deviations of photon noise below which a change is too small to tell


class UnlikeError(XcdiError):
    """The crystal does not look like the series: it is another particle, or much has slipped between the two scans."""


class Verdict(NamedTuple):
    """What one event is ascribed to; `order` are the boundaries by falling probability, -1 for none of them."""

    order: np.ndarray
    probability: np.ndarray
    region: Region | None
    phase: float
    note: str


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


def attribute(
    events: xr.Dataset,
    correlation: xr.Dataset,
    phased: xr.Dataset,
    crystal: xr.Dataset,
    boundaries: xr.Dataset,
    *,
    offset: float = 0.0,
    longest: int = 12,
    centres: int = 24,
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
        `grain` (z, y, x) in the laboratory, and `i`, `j`, `area_nm2` (boundary), from stages.grains.grains.
    offset : float
        Angle of the series: :func:`series_offset`. It is refined by comparing the patterns.
    longest : int
        Most frames on either side of an event.
    centres : int
        Places tried on each boundary, each with balls of nine radii in both grains.
    seed : int
        Seed of their choice.

    Returns
    -------
    EVENTS
        With `boundary` (row of `boundaries`, -1 for none), `boundary_i`, `boundary_j`, `grain` that moved
        (0 for none), `probability`; `ranked` and `ranked_probability` (event, rank) of the first three. Of the best region, NaN
        for none: `phase_jump` [rad] (-G.u), `region_volume` [nm3], `region_centre` (event, axis) [nm] in the laboratory,
        `region_radius` [nm] and `region_shape`: ball, slab (its thickness), or grain (the radius of a ball of its volume).
        `attribution_note` says why none, or what to know. The attribute view_likeness is that of the object's pattern to the first frames.

    Raises
    ------
    UnlikeError
        If the object does not look like the first frames.
    XcdiError
        If it was imaged with another set-up than the series.

    Notes
    -----
    From one event to the next the object follows the mean pattern of a few frames after the other, which takes up slow
    relaxation while it is small each time, and it takes part in slips that are explained. Artefacts and rigid motion are
    not ascribed. A whole grain lies on all its boundaries, which share its probability. One reflection leaves object and
    grains inverted together, or neither: the answer is
    right in their own frame.
    """
    require(events, "time", "frame", "drop", schema=EVENTS)
    require(phased, "rho", "voxel_basis", schema=OBJECT)
    same_experiment(correlation, phased)
    particle = imaged(phased, crystal, boundaries, centres=centres, seed=seed)
    seen = on_box(movie(correlation), phased)
    if not particle.pairs or not events.sizes["event"]:
        why = "the crystal has one grain and no boundary"
        return _labelled(events, particle, [_none(why) for _ in range(events.sizes["event"])])
    view, alike = _first_view(particle, seen, _first(events, seen, longest), offset)
    verdicts = list(_verdicts(events, seen, particle, view, longest))
    return _labelled(events, particle, verdicts).assign_attrs(view_offset=view.offset, view_likeness=alike)


def _first(events: xr.Dataset, seen: Movie, longest: int) -> np.ndarray:
    """Good frames before the first event, `longest` at most; the first few if it comes at once."""
    good = np.flatnonzero(seen.ok)
    before = good[good < int(events.frame.values[0])]
    return before[:longest] if before.size >= LEAST else good[:longest]


def _first_view(particle: Particle, seen: Movie, first: np.ndarray, offset: float) -> tuple[views.View, float]:
    """How the first frames see the object, and how much they look like it."""
    frames = seen.frames[first].astype(np.float64)
    view = views.find_view(particle.rho, frames.mean(axis=0), seen.valid, offset=offset, reach=REACH)
    alike = views.resemblance(np.abs(views.wave(particle.rho, view)) ** 2, frames, seen.valid)
    if not alike >= ALIKE:
        raise UnlikeError(
            f"the crystal's pattern is like the first {len(first)} frames of the series to {alike:.2f}, expected {ALIKE:g} or more "
            "of the same particle; give a rocking scan of it taken just before the series"
        )
    return view, alike


def _verdicts(events: xr.Dataset, seen: Movie, particle: Particle, view: views.View, longest: int) -> Iterator[Verdict]:
    """Ascribe one event after the other, in an object that takes part in them and follows the frames between them."""
    scale, good, start = patterns.frame_scale(seen.frames, seen.valid, seen.ok), np.flatnonzero(seen.ok), 0
    for k in range(events.sizes["event"]):
        before, after = sides(events, k, good, longest)
        if min(before.size, after.size) < LEAST or _excluded(events, k):
            yield _none(_no_avalanche(events, k) if _excluded(events, k) else f"fewer than {LEAST} frames on one side")
            continue
        pre, post = (seen.frames[part] / scale[part, None, None] for part in (before, after))
        strayed = _alike(particle, pre, seen.valid, view) < STRAYED
        for part in _between(good, start, int(before[0])) if strayed else ():
            particle, view = _followed(particle, seen.frames[part] / scale[part, None, None], seen.valid, view)
        particle, view = _followed(particle, pre, seen.valid, view, steps=LAST if strayed else STEPS)
        start = int(after[0])
        later = views.find_view(particle.rho, post.mean(axis=0), seen.valid, offset=view.offset, reach=CREEP)
        verdict = _verdict(attribution.change(pre, post, seen.valid), particle, view, later)
        particle = _after(particle, verdict, view, post.mean(axis=0), seen.valid)
        yield verdict


def _between(good: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Frames from `start` to before `stop`, `STRIDE` at once; fewer, the first of them, are left out."""
    frames = good[(good >= start) & (good < stop)]
    return frames[len(frames) % STRIDE :].reshape(-1, STRIDE)


def _alike(particle: Particle, frames: np.ndarray, valid: np.ndarray, view: views.View) -> float:
    """How much the particle looks like frames (time, row, column)."""
    view = views.find_view(particle.rho, frames.mean(axis=0), valid, offset=view.offset, reach=CREEP)
    return views.resemblance(np.abs(views.wave(particle.rho, view)) ** 2, frames, valid)


def _followed(
    particle: Particle, frames: np.ndarray, valid: np.ndarray, view: views.View, *, steps: int = STEPS
) -> tuple[Particle, views.View]:
    """The particle as the mean of frames (time, row, column) shows it, and how they see it."""
    pattern = frames.mean(axis=0)
    view = views.find_view(particle.rho, pattern, valid, offset=view.offset, reach=CREEP)
    return particle._replace(rho=views.followed(particle.rho, pattern, valid, view, len(frames), steps=steps)), view


def _excluded(events: xr.Dataset, k: int) -> bool:
    return "flags" in events and not is_avalanche([events["flags"].values[k]])[0]


def _no_avalanche(events: xr.Dataset, k: int) -> str:
    return f"no change inside the sample: {events['flags'].values[k]}"


def _verdict(change: attribution.Change, particle: Particle, view: views.View, later: views.View) -> Verdict:
    """Ascribe one change of the pattern; `later` is the view that rigid motion alone would have led to."""
    whole = views.wave(particle.rho, view)
    fields = partial(views.nest_waves, particle.rho, particle.label, view=view)
    fit = attribution.search(change, whole, particle.found, fields, view.scale)
    best = int(fit.misfit.argmin())
    moved = attribution.slip(particle.rho, particle.label, particle.regions[best], particle.basis, float(fit.phase[best]), particle.pairs)
    count = posterior.speckles(change, np.abs(views.wave(moved, view)) ** 2 - np.abs(whole) ** 2, particle.rho)
    logs, unknown = posterior.evidence(fit, change.noise, count)
    rigid = attribution.rigid(change, *(one.scale * np.abs(views.wave(particle.rho, one)) ** 2 for one in (view, later)))
    carried = float(posterior.evidence(rigid, change.noise, count)[0][0])
    belief = posterior.posterior(logs, (unknown, carried), particle.regions, particle.pairs, particle.areas)
    probability = belief.boundary
    order = np.argsort(-probability, kind="stable")
    names = np.where(order == len(particle.pairs), -1, order)
    if names[0] < 0:
        return Verdict(names, probability[order], None, float("nan"), _why_none(fit, rigid if carried > unknown else None, change))
    chosen = int(belief.region[names[0], int(belief.side[names[0]].argmax())])
    region = particle.regions[chosen]
    return Verdict(names, probability[order], region, float(fit.phase[chosen]), _remark(region, fit, change, particle))


def _why_none(fit: attribution.Fit, rigid: attribution.Fit | None, change: attribution.Change) -> str:
    if _faint(fit, change):
        return "too small to tell"
    if rigid is not None:
        return f"rigid motion explains {attribution.explained(rigid, change):.0%} of the change"
    return f"no candidate explains more than {attribution.explained(fit, change):.0%} of the change"


def _remark(region: Region, fit: attribution.Fit, change: attribution.Change, particle: Particle) -> str:
    if _faint(fit, change):
        return "hardly above photon noise"
    if region.shape == "grain":
        mine = sum(region.grain in pair for pair in particle.pairs)
        return f"all of grain {region.grain} slipped" + (f", on {mine} boundaries alike" if mine > 1 else "")
    return ""


def _faint(fit: attribution.Fit, change: attribution.Change) -> bool:
    """Whether the change is within its photon noise, whose misfit has a variance of two per pixel."""
    return fit.unchanged - change.noise < FAINT * np.sqrt(2 * np.count_nonzero(change.weight))


def _after(particle: Particle, verdict: Verdict, view: views.View, pattern: np.ndarray, valid: np.ndarray) -> Particle:
    """The particle after the event, if that makes it more like the pattern that follows."""
    if verdict.region is None:
        return particle
    moved = attribution.slip(particle.rho, particle.label, verdict.region, particle.basis, verdict.phase, particle.pairs)
    old, new = (views.likeness(np.abs(views.wave(rho, view)) ** 2, pattern, valid) for rho in (particle.rho, moved))
    return particle._replace(rho=moved) if new > old else particle


def _none(why: str) -> Verdict:
    return Verdict(np.array([-1]), np.array([np.nan]), None, float("nan"), why)


def _labelled(events: xr.Dataset, particle: Particle, verdicts: Sequence[Verdict]) -> xr.Dataset:
    """Add the verdicts as columns."""
    n = len(verdicts)
    ranked, chance = np.full((n, RANKS), -1), np.full((n, RANKS), np.nan)
    for k, verdict in enumerate(verdicts):
        found = min(RANKS, len(verdict.order))
        ranked[k, :found], chance[k, :found] = verdict.order[:found], verdict.probability[:found]
    pairs = np.array([particle.pairs[b] if b >= 0 else (0, 0) for b in ranked[:, 0]], int).reshape(n, 2)
    places = [_place(particle, verdict.region) for verdict in verdicts]
    columns: dict[str, Any] = {
        "boundary": (ranked[:, 0], ""),
        "boundary_i": (pairs[:, 0], ""),
        "boundary_j": (pairs[:, 1], ""),
        "grain": (np.array([0 if v.region is None else v.region.grain for v in verdicts], int), ""),
        "probability": (chance[:, 0], "1"),
        "phase_jump": (np.array([v.phase for v in verdicts], float), "rad"),
        "region_volume": (np.array([place[1] for place in places], float), "nm3"),
        "region_radius": (np.array([place[2] for place in places], float), "nm"),
        "region_shape": (np.array(["" if v.region is None else v.region.shape for v in verdicts], dtype="U8"), ""),
        "attribution_note": (np.array([v.note for v in verdicts], dtype="U80"), ""),
    }
    ds = events.assign({name: ("event", values, {"units": units}) for name, (values, units) in columns.items()})
    centre = np.array([place[0] for place in places], float).reshape(n, 3)
    return ds.assign(
        ranked=(("event", "rank"), ranked, {"units": ""}),
        ranked_probability=(("event", "rank"), chance, {"units": "1"}),
        region_centre=(("event", "axis"), centre, {"units": "nm"}),
    ).assign_coords(axis=list("xyz"))


def _place(particle: Particle, region: Region | None) -> tuple[np.ndarray, float, float]:
    """Centre (x, y, z) in the laboratory [nm], volume [nm3], and radius or thickness [nm] of a region."""
    if region is None:
        return np.full(3, np.nan), float("nan"), float("nan")
    share = region_share(particle.label, region, particle.basis, particle.pairs)
    volume = float(share.sum()) * abs(float(np.linalg.det(particle.basis)))
    radius = (0.75 * volume / np.pi) ** (1 / 3) if region.shape == "grain" else region.radius
    return particle.basis @ (np.array(region.centre) - np.array(particle.label.shape) // 2), volume, float(radius)
