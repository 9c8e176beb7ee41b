"""Avalanches: when a part of a grain slips along a boundary, which part, how far, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.dislocations import burgers_vectors
from xcdi.artificial.instrument import reciprocal_vector
from xcdi.artificial.particle import Boundary, Particle, boundaries
from xcdi.artificial.profiles import Profile
from xcdi.artificial.schedules import Appointment, aftershock_delays, appointments
from xcdi.errors import XcdiError

__all__ = ["Slip", "changed_fraction", "draw", "healed", "powers", "region", "slow_clock"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Slip:
    """One event: a part of one grain moves by `displacement`.

    Attributes
    ----------
    time : float
        Seconds from the start of the series.
    frame : int
        First frame that shows a new state.
    boundary : int
        Index into :func:`xcdi.artificial.particle.boundaries`.
    grains : tuple of int
        The two grains that meet there.
    moving : int
        The one that moved.
    centre : array, shape (3,)
        Centre (x, y, z) of the region, on the boundary [nm].
    radius : float
        Its radius, or the thickness of a slab [nm]; of a whole grain, infinity.
    displacement : array, shape (3,)
        How far it moved (x, y, z) [nm].
    phase : float
        Phase jump ``G . displacement`` of the first peak [rad].
    fraction : float
        Changed fraction of the scattering power, `changed_fraction`.
    shape : str
        ``"ball"``, ``"slab"`` or ``"grain"``.
    kind : str
        ``"main"``, ``"partner"`` of a doublet, ``"return"``, ``"aftershock"`` or ``"perfect"``.
    parent : int
        Index of the event that this one follows, -1 for none.
    duration : int
        Frames that the slip takes.
    normal : array, shape (3,)
        Unit normal of the boundary.
    healing : float
        Relative gain of amplitude at the boundary.
    """

    time: float
    frame: int
    boundary: int
    grains: tuple[int, int]
    moving: int
    centre: Vector
    radius: float
    displacement: Vector
    phase: float
    fraction: float
    shape: str = "ball"
    kind: str = "main"
    parent: int = -1
    duration: int = 1
    normal: Vector = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))
    healing: float = 0.0

    def progress(self, frame: int) -> float:
        """How much of the slip is done at `frame`: ``(1 - cos(pi k / m)) / 2`` at its frame k of m."""
        k = frame - self.frame + 1
        return 0.0 if k <= 0 else 1.0 if k >= self.duration else float((1 - np.cos(np.pi * k / self.duration)) / 2)


def region(particle: Particle, slip: Slip) -> NDArray[np.float64]:
    """How much of the slip every voxel takes part in, 0 to 1.

    A smooth ball cut by the boundary of the moving grain; a slab of it along the boundary, sharp; or all of it.
    """
    part = np.zeros(particle.label.shape)
    grain = particle.label == slip.moving
    part[grain] = _share(slip, _reach(slip, particle.axes.points()[grain]), slip.radius)
    return part


def _reach(slip: Slip, points: NDArray[Any]) -> NDArray[np.float64]:
    """Distance of `points` (n, 3) from the centre of a ball, or from the boundary of a slab [nm]."""
    away = points - slip.centre
    return abs(away @ slip.normal) if slip.shape == "slab" else np.sqrt((away**2).sum(axis=-1))


def _share(slip: Slip, reach: NDArray[Any], radius: float) -> NDArray[np.float64]:
    if slip.shape == "grain":
        return np.ones(reach.shape)
    return (reach <= radius).astype(float) if slip.shape == "slab" else np.exp(-((reach / radius) ** 4))


def healed(particle: Particle, slip: Slip) -> NDArray[np.float64] | float:
    """Factor on the amplitude after `slip`: more than 1 in a layer on both sides of the patch of boundary that slipped."""
    if not slip.healing:
        return 1.0
    away = particle.axes.points() - slip.centre
    edge = 2 * float(np.diff(particle.axes.x[:2])[0])
    patch = abs(away @ slip.normal) <= edge
    if slip.shape == "ball":  # of a slab or a grain, all of the boundary
        patch &= (away**2).sum(axis=-1) <= slip.radius**2
    return np.where(patch & np.isin(particle.label, slip.grains), 1 + slip.healing, 1.0)


def powers(particle: Particle, slips: Sequence[Slip]) -> NDArray[np.float64]:
    """Scattering power ``sum A^2`` after each event, over that before the first: it rises as boundaries heal."""
    amplitude = particle.seen
    start, found = float((amplitude**2).sum()), []
    for slip in slips:
        amplitude = amplitude * healed(particle, slip)
        found.append(float((amplitude**2).sum()) / start)
    return np.array(found)


def changed_fraction(particle: Particle, part: NDArray[Any], phase: float) -> float:
    """Return ``1 - |sum A^2 exp(-i phase part)| / sum A^2``: 0 for nothing, or for all moving alike."""
    weight = particle.seen**2
    turned = phase * part
    return float(1 - np.hypot((weight * np.cos(turned)).sum(), (weight * np.sin(turned)).sum()) / weight.sum())


def slow_clock(p: Profile, time: NDArray[Any]) -> NDArray[np.float64]:
    """Phase [rad] that the slow relaxation has gained at `time` [s]; it multiplies the pattern `Particle.slow`."""
    clocks = {"ageing": np.log1p(time / p.slow_time_s), "ballistic": time / p.slow_time_s, "off": 0.0 * time}
    return p.slow_amplitude * clocks[p.slow]


def draw(p: Profile, particle: Particle, rng: dict[str, np.random.Generator]) -> list[Slip]:
    """Draw the events of a series, in order of time.

    When they happen says :mod:`xcdi.artificial.schedules`; fractions have the
    density ``f^-1.5`` between two bounds, and boundaries are hit as their areas are.

    Raises
    ------
    XcdiError
        If events are asked for and the particle is one single grain.
    """
    if not p.events:
        return []
    faces = boundaries(particle)
    shown = [face for face in faces if any(particle.turned[grain - 1] == 0 for grain in face.grains)]
    if not shown:
        raise XcdiError("events happen at grain boundaries, and this particle has none; ask for more grains or for events=False")
    due = appointments(p, rng["event_times"])
    children = [rng[name].spawn(len(due)) for name in ("event_kinds", "slips", "annealing")]
    slips: list[Slip] = []
    for appointment, *sources in zip(due, *children, strict=True):
        slips.append(_kept(appointment, slips, p, particle, faces, sources))
    return _in_order(slips + _aftershocks(slips, p, particle, faces, rng["aftershocks"]))


def _kept(
    appointment: Appointment, slips: list[Slip], p: Profile, particle: Particle, faces: list[Boundary], sources: list[np.random.Generator]
) -> Slip:
    """The slip of one appointment: a new one, or an earlier one undone."""
    if appointment.kind == "return":
        first = slips[appointment.parent]
        frame = _frame(appointment.time, p)
        undone = replace(first, displacement=-first.displacement, phase=-first.phase, healing=0.0)
        return replace(undone, time=appointment.time, frame=frame, kind="return", parent=appointment.parent)
    slip = _slip(appointment.time, p, particle, faces, None, sources)
    if appointment.kind == "perfect":
        whole = burgers_vectors(p)[0]
        slip = replace(slip, shape="grain", radius=np.inf, displacement=whole, phase=2 * np.pi, fraction=0.0, duration=1, healing=0.0)
    return replace(slip, kind=appointment.kind, parent=appointment.parent)


def _aftershocks(slips: list[Slip], p: Profile, particle: Particle, faces: list[Boundary], rng: np.random.Generator) -> list[Slip]:
    """Events that follow others at the same boundary, and those that follow them (Ogata, J. Am. Stat. Assoc. 83, 9 (1988))."""
    last = (p.frames - 1) * p.frame_time_s
    found: list[Slip] = []
    pending = list(enumerate(slips)) if p.aftershocks else []
    while pending:
        parent, mother = pending.pop(0)
        if len(found) > p.frames:
            raise XcdiError(f"aftershocks = {p.aftershocks:g} make more events than frames: each has more than one follower; choose less")
        for delay in aftershock_delays(p, mother.fraction, rng):
            sources = rng.spawn(3)
            if mother.time + delay < last:
                slip = _slip(mother.time + delay, p, particle, faces, mother.boundary, sources)
                found.append(replace(slip, kind="aftershock", parent=parent))
                pending.append((len(slips) + len(found) - 1, found[-1]))
    return found


def _in_order(slips: list[Slip]) -> list[Slip]:
    order = sorted(range(len(slips)), key=lambda k: slips[k].time)
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    return [replace(slips[k], parent=place[slips[k].parent]) for k in order]


def _frame(time: float, p: Profile) -> int:
    return int(np.ceil(time / p.frame_time_s))


def _slip(
    time: float, p: Profile, particle: Particle, faces: list[Boundary], number: int | None, sources: list[np.random.Generator]
) -> Slip:
    """Draw where, how far and how large; at the boundary `number`, or at any."""
    rng, more, heal = sources
    low, high = (f**-0.5 for f in p.event_sizes)
    target = (low - rng.random() * (low - high)) ** -2.0
    phase = rng.uniform(1, np.pi) * rng.choice([-1, 1])
    shown = [any(particle.turned[grain - 1] == 0 for grain in face.grains) for face in faces]
    areas = np.array([face.area_nm2 for face in faces]) * shown
    drawn = int(rng.choice(len(faces), p=areas / areas.sum()))
    number = drawn if number is None else number
    face = faces[number]
    moving = int(rng.choice([grain for grain in face.grains if particle.turned[grain - 1] == 0]))
    centre = face.voxels[rng.integers(len(face.voxels))]
    displacement = _displacement(p, particle, face, phase, more)
    first = Slip(
        time,
        _frame(time, p),
        number,
        face.grains,
        moving,
        centre,
        np.inf,
        displacement,
        float(reciprocal_vector(p, p.reflections[0]) @ displacement),
        fraction=0.0,
        shape=p.event_shape,
        duration=int(more.integers(p.event_frames[0], p.event_frames[1] + 1)),
        normal=face.normal,
        healing=p.annealing * heal.random(),
    )
    return _sized(first, particle, target)


def _displacement(p: Profile, particle: Particle, face: Boundary, phase: float, rng: np.random.Generator) -> Vector:
    """Displacement [nm]: along G by `phase`, or in the plane of the boundary, or normal to it."""
    along = particle.directions[0]
    length, turn, coin = rng.uniform(*p.event_slip_nm), rng.uniform(0, 2 * np.pi), rng.random()
    tangents = np.linalg.svd(face.normal[None])[2][1:]
    ways: dict[str, Callable[[], Vector]] = {
        "along": lambda: phase / p.q_peak * along,
        "shear": lambda: length * (np.cos(turn) * tangents[0] + np.sin(turn) * tangents[1]),
        "opening": lambda: length * np.sign(phase) * face.normal,
    }
    either: Literal["shear", "opening"] = "shear" if coin < 0.5 else "opening"
    return ways[either if p.event_slip == "mixed" else p.event_slip]()


def _sized(slip: Slip, particle: Particle, target: float) -> Slip:
    """Return `slip` with the radius that changes the fraction `target`, by bisection; the whole grain where even that is less."""
    if slip.shape != "grain":
        slip = replace(slip, radius=_radius(slip, particle, target))
    return replace(slip, fraction=changed_fraction(particle, region(particle, slip), slip.phase))


def _radius(slip: Slip, particle: Particle, target: float) -> float:
    grain, weight = particle.label == slip.moving, particle.seen**2
    reach, own = _reach(slip, particle.axes.points()[grain]), weight[grain]
    rest, total = weight.sum() - own.sum(), weight.sum()
    low, high = 10.0, float(np.ptp(particle.axes.x)) * 2
    for _ in range(18):
        middle = (low + high) / 2
        phase = slip.phase * _share(slip, reach, middle)
        small = 1 - np.hypot(rest + (own * np.cos(phase)).sum(), (own * np.sin(phase)).sum()) / total < target
        low, high = (middle, high) if small else (low, middle)
    return (low + high) / 2
