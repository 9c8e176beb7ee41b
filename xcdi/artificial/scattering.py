"""Scattering: the far field of an object, summed directly over its voxels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import oblique
from xcdi.artificial.instrument import Sampling, offset, sampling, series_angle_deg
from xcdi.artificial.motion import Motion
from xcdi.artificial.particle import Axes, Particle
from xcdi.artificial.profiles import Profile
from xcdi.artificial.slips import Slip, healed, region, slow_clock
from xcdi.errors import XcdiError

__all__ = [
    "Waves",
    "amplitude",
    "blur",
    "check_window",
    "far_field",
    "illumination",
    "is_separable",
    "pixels",
    "rocking_amplitude",
    "series_frames",
    "states",
    "waves",
]

Field = NDArray[np.complexfloating[Any, Any]]


class Waves(NamedTuple):
    """The factors of ``exp(-i q.r)`` for one angle and all pixels."""

    rows: Field  # (row, y)
    columns: Field  # (x, column)
    depth: Field  # (z, column)


def pixels(side: int, shift: Sequence[float] = (0.0, 0.0)) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and columns of a square of `side` pixels, counted from a peak that lies `shift` pixels from the pixel ``side // 2``."""
    number = np.arange(side) - side // 2
    return number - shift[0], number - shift[1]


def is_separable(s: Sampling) -> bool:
    """Whether the row step lies along y and the other two in the plane of x and z, so that the sum over voxels separates."""
    return not np.any(s.steps[[0, 2], 1]) and not np.any(s.steps[1, [0, 2]])


def waves(s: Sampling, axes: Axes, away: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> Waves:
    """Return the plane waves of one frame.

    Parameters
    ----------
    s : Sampling
        It must be separable.
    axes : Axes
        Positions of the voxels.
    away : array, shape (3,)
        How far q of pixel (0, 0) is from G [1/nm].
    rows, columns : arrays
        Pixels, counted from the peak.
    """
    if not is_separable(s) or away[1]:
        raise ValueError("the row step must lie along y, and the steps of angle and column in the plane of x and z")
    _, per_row, per_column = s.steps.T
    x, z = (away[i] + columns * per_column[i] for i in (0, 2))
    phases = (np.outer(rows * per_row[1], axes.y), np.outer(axes.x, x), np.outer(axes.z, z))
    return Waves(*(np.exp(-1j * phase) for phase in phases))


def amplitude(rho: Field, w: Waves) -> Field:
    """Return the far field (row, column) of `rho` (z, y, x): the sum of ``rho exp(-i q.r)`` over voxels."""
    columns, depth, rows = (wave.astype(rho.dtype, copy=False) for wave in (w.columns, w.depth, w.rows))
    lines = rho.reshape(-1, rho.shape[2]) @ columns  # one large product: threads of small ones lose their time waiting
    plane = np.einsum("zyc,zc->yc", lines.reshape(*rho.shape[:2], -1), depth)
    return rows @ plane


def far_field(rho: Field, axes: Axes, s: Sampling, away: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> Field:
    """Return the far field (row, column) of `rho` for any sampling; `away`, `rows` and `columns` as for :func:`waves`."""
    if is_separable(s):
        return amplitude(rho, waves(s, axes, away, rows, columns))
    return oblique.amplitude(rho, axes, away, s.steps[:, 1], s.steps[:, 2], rows, columns)


def rocking_amplitude(rho: Field, axes: Axes, s: Sampling, side: int, *, arc: bool = False) -> NDArray[np.complex128]:
    """Far field (angle, row, column) of a rocking scan; angle index ``n // 2`` is on the peak."""
    count, (rows, columns) = s.shape[0], pixels(side)
    turns = (np.arange(count) - count // 2) * s.step
    return np.stack([far_field(rho, axes, s, offset(s, turn, arc=arc), rows, columns) for turn in turns])


def blur(intensity: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    """Return `intensity` convolved with a Gaussian of `sigma` samples along all axes.

    The sum is kept where the intensity is sampled finely enough for the Gaussian to leave nothing negative.

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
    span = (np.abs(sampling(p).steps) @ [p.angles, p.window, p.window]).max()
    if span > 2 * np.pi / p.voxel_nm:
        raise XcdiError(
            f"{p.angles} angles and a window of {p.window} px need voxels below {2 * np.pi / span:.1f} nm, "
            f"and voxel_nm is {p.voxel_nm}; choose a smaller window or voxel_nm"
        )


def states(particle: Particle, slips: Iterable[Slip], frames: int, peak: NDArray[Any]) -> Iterator[Field]:
    """Yield the object of reflection `peak` at each frame, without its slow relaxation; events change it from their frame on."""
    pending = sorted(slips, key=lambda slip: slip.frame)
    moving: list[tuple[Slip, NDArray[np.float64]]] = []
    settled = particle.field(peak)
    for frame in range(frames):
        while pending and pending[0].frame <= frame:
            slip = pending.pop(0)
            settled = settled * healed(particle, slip)
            moving.append((slip, peak @ slip.displacement * region(particle, slip)))
        rho = settled
        for slip, phase in list(moving):
            done = slip.progress(frame)
            rho = rho * np.exp(-1j * done * phase)
            if done == 1:
                settled = settled * np.exp(-1j * phase)
                moving.remove((slip, phase))
        yield rho.astype(np.complex64)


def illumination(p: Profile, axes: Axes) -> NDArray[np.float64]:
    """Amplitude of the beam (y, x) at the particle: a Gaussian, or 1 where none is asked for."""
    if p.illumination_um is None:
        return np.ones((axes.y.size, axes.x.size))
    square = axes.y[:, None] ** 2 + axes.x**2
    return np.exp(-square / (2 * (1e3 * p.illumination_um) ** 2))


def series_frames(p: Profile, particle: Particle, slips: Iterable[Slip], s: Sampling, motion: Motion) -> Iterator[NDArray[np.float64]]:
    """Yield the noise-free intensity (row, column) of each frame of the series on one peak, in arbitrary units.

    It fills the window, or where the sum over voxels does not separate and takes long, the series' box.
    """
    side = p.window if is_separable(s) else p.series_box
    clock = slow_clock(p, np.arange(p.frames) * p.frame_time_s)
    beam = illumination(p, particle.axes)
    start = np.deg2rad(series_angle_deg(p)) - s.angle
    for number, rho in enumerate(states(particle, slips, p.frames, s.peak)):
        relaxed = rho * (beam * np.exp(-1j * clock[number] * particle.slow)).astype(np.complex64)
        away = offset(s, start + motion.angle[number], arc=p.arc)
        yield blur(abs(far_field(relaxed, particle.axes, s, away, *pixels(side, motion.shift[number]))) ** 2, p.blur_px)
