"""Scattering: the far field of an object, summed directly over its voxels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.instrument import Sampling, sampling, series_angle_deg
from xcdi.artificial.particle import Axes, Particle
from xcdi.artificial.profiles import Profile
from xcdi.artificial.slips import Slip, region, slow_clock
from xcdi.errors import XcdiError

__all__ = ["Waves", "amplitude", "blur", "check_window", "rocking_amplitude", "series_frames", "states", "waves"]

Field = NDArray[np.complexfloating[Any, Any]]


class Waves(NamedTuple):
    """The factors of ``exp(-i q.r)`` for one angle and all pixels."""

    rows: Field  # (row, y)
    columns: Field  # (x, column)
    depth: Field  # (z, column)


def waves(s: Sampling, axes: Axes, angle: float, side: int) -> Waves:
    """Return the plane waves of one frame of `side` times `side` pixels around G.

    Parameters
    ----------
    s : Sampling
        Its row step lies along y and its other two in the plane of x and z, so that the sum separates.
    axes : Axes
        Positions of the voxels.
    angle : float
        Angle index from the peak, in steps.
    side : int
        Pixel ``side // 2`` is at G.
    """
    pixels = np.arange(side) - side // 2
    per_angle, per_row, per_column = s.steps.T
    if np.any(per_row[[0, 2]]) or per_angle[1] or per_column[1]:
        raise ValueError("the row step must lie along y, and the steps of angle and column in the plane of x and z")
    x, z = (angle * per_angle[i] + pixels * per_column[i] for i in (0, 2))
    phases = (np.outer(pixels * per_row[1], axes.y), np.outer(axes.x, x), np.outer(axes.z, z))
    return Waves(*(np.exp(-1j * phase) for phase in phases))


def amplitude(rho: Field, w: Waves) -> Field:
    """Return the far field (row, column) of `rho` (z, y, x): the sum of ``rho exp(-i q.r)`` over voxels."""
    lines = rho.reshape(-1, rho.shape[2]) @ w.columns  # one large product: threads of small ones lose their time waiting
    plane = np.einsum("zyc,zc->yc", lines.reshape(*rho.shape[:2], -1), w.depth)
    return np.einsum("ry,yc->rc", w.rows, plane)


def rocking_amplitude(rho: Field, axes: Axes, s: Sampling, side: int) -> NDArray[np.complex128]:
    """Far field (angle, row, column) of a rocking scan; angle index ``n // 2`` is on the peak."""
    return np.stack([amplitude(rho, waves(s, axes, j - s.shape[0] // 2, side)) for j in range(s.shape[0])])


def blur(intensity: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    """Return `intensity` convolved with a Gaussian of `sigma` samples along all axes; the sum is kept.

    The Gaussian is narrower than a sample, so it acts on the transform, where
    it is the coherence function of the beam (Clark and others, Nature Communications 3, 993 (2012)).
    """
    factors = np.ix_(*(np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(n)) ** 2) for n in intensity.shape))
    spectrum = np.fft.fftn(intensity)
    for factor in factors:
        spectrum *= factor
    return np.clip(np.fft.ifftn(spectrum).real, 0, None)


def check_window(p: Profile) -> None:
    """Raise XcdiError if the object's grid is too coarse for the window: the field would repeat itself inside it."""
    span = (np.abs(sampling(p).steps) * [p.angles, p.window, p.window]).max()
    if span > 2 * np.pi / p.voxel_nm:
        raise XcdiError(
            f"{p.angles} angles and a window of {p.window} px need voxels below {2 * np.pi / span:.1f} nm, "
            f"and voxel_nm is {p.voxel_nm}; choose a smaller window or voxel_nm"
        )


def states(particle: Particle, slips: Iterable[Slip], frames: int) -> Iterator[Field]:
    """Yield the object at each frame, without its slow relaxation; events change it at their frame."""
    pending = sorted(slips, key=lambda slip: slip.frame)
    rho = particle.rho
    for frame in range(frames):
        while pending and pending[0].frame <= frame:
            slip = pending.pop(0)
            rho = rho * np.exp(-1j * slip.phase * region(particle, slip.centre, slip.radius, slip.moving))
        yield rho.astype(np.complex64)


def series_frames(p: Profile, particle: Particle, slips: Iterable[Slip]) -> Iterator[NDArray[np.float64]]:
    """Yield the noise-free intensity (row, column) of each frame of the series, in arbitrary units."""
    angle = series_angle_deg(p) / p.angle_step_deg
    w = Waves(*(wave.astype(np.complex64) for wave in waves(sampling(p), particle.axes, angle, p.window)))
    clock = slow_clock(p, np.arange(p.frames) * p.frame_time_s)
    for rho, phase in zip(states(particle, slips, p.frames), clock, strict=True):
        relaxed = rho * np.exp(-1j * phase * particle.slow).astype(np.complex64)
        yield blur(np.abs(amplitude(relaxed, w)) ** 2, p.blur_px)
