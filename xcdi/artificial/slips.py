"""Avalanches: when a part of a grain slips along a boundary, which part, and how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.particle import Boundary, Particle, boundaries
from xcdi.artificial.profiles import Profile
from xcdi.errors import XcdiError

__all__ = ["Slip", "changed_fraction", "draw", "region", "slow_clock"]


@dataclass(frozen=True)
class Slip:
    """One event: a ball-shaped part of one grain moves by ``phase / |G|`` along G.

    Attributes
    ----------
    time : float
        Seconds from the start of the series.
    frame : int
        First frame that shows the new state.
    boundary : int
        Index into :func:`xcdi.artificial.particle.boundaries`.
    grains : tuple of int
        The two grains that meet there.
    moving : int
        The one that moved.
    centre : array, shape (3,)
        Centre (x, y, z) of the region [nm].
    radius : float
        Its radius [nm].
    phase : float
        Phase jump [rad].
    fraction : float
        Changed fraction of the scattering power, `changed_fraction`.
    """

    time: float
    frame: int
    boundary: int
    grains: tuple[int, int]
    moving: int
    centre: NDArray[np.float64]
    radius: float
    phase: float
    fraction: float


def region(particle: Particle, centre: NDArray[Any], radius: float, moving: int) -> NDArray[np.float64]:
    """How much of the slip every voxel takes part in, 0 to 1: a smooth ball cut by the boundary of grain `moving`."""
    squares = ((particle.axes.points() - centre) ** 2).sum(axis=-1)
    return np.exp(-((squares / radius**2) ** 2)) * (particle.label == moving)


def changed_fraction(particle: Particle, part: NDArray[Any], phase: float) -> float:
    """Return ``1 - |sum A^2 exp(-i phase part)| / sum A^2``: 0 for nothing, or for all moving alike."""
    weight = particle.amplitude**2
    return float(1 - abs((weight * np.exp(-1j * phase * part)).sum()) / weight.sum())


def slow_clock(p: Profile, time: NDArray[Any]) -> NDArray[np.float64]:
    """Phase [rad] that the slow relaxation has gained at `time` [s]; it multiplies the pattern `Particle.slow`."""
    clocks = {"ageing": np.log1p(time / p.slow_time_s), "ballistic": time / p.slow_time_s, "off": 0.0 * time}
    return p.slow_amplitude * clocks[p.slow]


def draw(p: Profile, particle: Particle, rng: dict[str, np.random.Generator]) -> list[Slip]:
    """Draw the events of a series, in order of time.

    Times are a Poisson process whose rate falls as ``1 / (1 + t / age)``
    (log-Poisson ageing: Boettcher and Sibani, J. Phys. Condens. Matter 23,
    065103 (2011)); fractions have the density ``f^-1.5`` between two bounds.

    Raises
    ------
    XcdiError
        If events are asked for and the particle is one single grain.
    """
    if not p.events:
        return []
    faces = boundaries(particle)
    if not faces:
        raise XcdiError("events happen at grain boundaries, and this particle has none; ask for more grains or for events=False")
    times = _times(p, rng["event_times"])
    children = rng["event_kinds"].spawn(len(times))
    return [_slip(time, p, particle, faces, child) for time, child in zip(times, children, strict=True)]


def _times(p: Profile, rng: np.random.Generator) -> NDArray[np.float64]:
    clock = p.event_rate * p.event_age_s
    last = (p.frames - 1) * p.frame_time_s
    expected = clock * np.log1p(last / p.event_age_s)
    unit = np.cumsum(rng.exponential(size=int(expected + 10 * np.sqrt(expected) + 20)))
    times = p.event_age_s * np.expm1(unit / clock)
    return times[times < last]


def _slip(time: float, p: Profile, particle: Particle, faces: list[Boundary], rng: np.random.Generator) -> Slip:
    low, high = (f**-0.5 for f in p.event_sizes)
    target = (low - rng.random() * (low - high)) ** -2.0
    phase = rng.uniform(1, np.pi) * rng.choice([-1, 1])
    areas = np.array([face.area_nm2 for face in faces])
    number = int(rng.choice(len(faces), p=areas / areas.sum()))
    face = faces[number]
    moving = int(rng.choice(face.grains))
    centre = face.voxels[rng.integers(len(face.voxels))]
    radius = _radius(particle, centre, moving, phase, target)
    fraction = changed_fraction(particle, region(particle, centre, radius, moving), phase)
    return Slip(time, int(np.ceil(time / p.frame_time_s)), number, face.grains, moving, centre, radius, phase, fraction)


def _radius(particle: Particle, centre: NDArray[Any], moving: int, phase: float, target: float) -> float:
    """Radius [nm] that changes the fraction `target`, by bisection; the whole grain where even that is less."""
    low, high = 10.0, float(np.ptp(particle.axes.x)) * 2
    for _ in range(18):
        middle = (low + high) / 2
        small = changed_fraction(particle, region(particle, centre, middle, moving), phase) < target
        low, high = (middle, high) if small else (low, middle)
    return (low + high) / 2
