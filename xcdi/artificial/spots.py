"""Spots: what grains turned far away from the others send to another place of the detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.instrument import Sampling, beam_centre, exit_of, offset, sampling, series_angle_deg
from xcdi.artificial.particle import Particle
from xcdi.artificial.profiles import Profile
from xcdi.artificial.scattering import blur, far_field, illumination

__all__ = ["Spot", "spots"]

SIDE = 64  # largest part of the detector that a spot is drawn on [px]


class Spot(NamedTuple):
    """Intensity of a turned grain, in the units of the peak, around its own place.

    Attributes
    ----------
    grain : int
        Label of the grain.
    centre : tuple of float
        Row and column of its reciprocal lattice point.
    rows, columns : slice
        Part of the detector.
    rocking : array, shape (angle, row, column)
        Of the rocking scan.
    series : array, shape (row, column)
        Of every frame of the series: no event moves a turned grain.
    """

    grain: int
    centre: tuple[float, float]
    rows: slice
    columns: slice
    rocking: NDArray[np.float64]
    series: NDArray[np.float64]


def _about_beam(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def spots(p: Profile, particle: Particle) -> list[Spot]:
    """Return the spots of the turned grains that fall onto the detector.

    A turn about the beam keeps the first peak of a grain on the Ewald sphere, so it is seen at another azimuth of the same ring.
    """
    found = [_spot(p, particle, int(grain)) for grain in np.flatnonzero(particle.turned)]
    return [spot for spot in found if spot is not None]


def _spot(p: Profile, particle: Particle, grain: int) -> Spot | None:
    first = sampling(p)
    peak = _about_beam(particle.turned[grain]) @ first.peak
    exit_ = exit_of(p, peak)
    centre = tuple(at + exit_[axis] / exit_[2] * p.distance_m / p.pixel_m for at, axis in zip(beam_centre(p), (1, 0), strict=True))
    parts = [_around(at, size, min(SIDE, p.box)) for at, size in zip(centre, p.detector, strict=True)]
    if any(part.stop - part.start < 2 for part in parts):
        return None
    rho = np.where(particle.cell == grain, particle.amplitude, 0.0) * np.exp(-1j * p.q_peak * particle.displacement)
    rho = (rho * illumination(p, particle.axes)).astype(np.complex64)
    s = _steps(p, peak, exit_, first)
    rows, columns = (np.arange(part.start, part.stop) - at for part, at in zip(parts, centre, strict=True))
    turns = [*(np.arange(p.angles) - p.angles // 2) * first.step, np.deg2rad(series_angle_deg(p))]
    intensity = [abs(far_field(rho, particle.axes, s, offset(s, turn, arc=p.arc), rows, columns)) ** 2 for turn in turns]
    rocking, series = blur(np.stack(intensity[:-1]), p.blur_px), blur(intensity[-1], p.blur_px)
    return Spot(grain + 1, (centre[0], centre[1]), parts[0], parts[1], rocking, series)


def _steps(p: Profile, peak: NDArray[np.float64], exit_: NDArray[np.float64], first: Sampling) -> Sampling:
    """Sampling of pixels around another point of the same detector."""
    length = np.linalg.norm(first.steps[:, 1])
    tangent = (np.eye(3) - np.outer(exit_, exit_)) * length
    turned = offset(Sampling(peak, first.steps, first.shape), first.step, arc=True)
    return Sampling(peak, np.stack([turned, tangent[:, 1], tangent[:, 0]], axis=1), first.shape, 0.0, first.step)


def _around(centre: float, size: int, side: int) -> slice:
    """Pixels of a detector of `size` within half a `side` of `centre`."""
    middle = round(centre)
    return slice(max(0, min(size, middle - side // 2)), max(0, min(size, middle + side // 2)))
