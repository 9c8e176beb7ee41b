"""Detector: from noise-free intensity to the counts that a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.faults import Faults, box_of, faults, rocking_faults
from xcdi.artificial.instrument import beam_centre, masked_pixels
from xcdi.artificial.profiles import Profile

__all__ = [
    "READOUT_S",
    "Beam",
    "Faults",
    "Patch",
    "beam",
    "box_of",
    "count_time",
    "expose",
    "faults",
    "frame_dtype",
    "registered",
    "rocking_faults",
    "sentinel",
]

READOUT_S = 3e-6  # between two frames
OWN_RATE = 0.07 / 3600  # the detector's own counts per pixel and second
MONITOR = 1e6
TOP_UP_S = 120.0
FLICKER_SHARE = 0.2
RING_WIDTH = 0.15  # radial sd in units of the box


class Beam(NamedTuple):
    """Intensity of the beam in each frame, relative to its mean, and what the monitor counted of it."""

    intensity: NDArray[np.float64]
    monitor: NDArray[np.float64]


class Patch(NamedTuple):
    """Photons expected in a part of the detector."""

    rows: slice
    columns: slice
    photons: NDArray[np.float64]


class Noise(NamedTuple):
    """One source of chance for each cause of counts, so that leaving one out changes no other."""

    photons: np.random.Generator
    again: np.random.Generator
    background: np.random.Generator
    ring: np.random.Generator
    pixels: np.random.Generator
    late: np.random.Generator


def beam(p: Profile, frames: int, rng: np.random.Generator, *, jump: float = 0.0) -> Beam:
    """Draw noise and the saw-tooth of the storage ring's top-up for `frames` frames.

    Parameters
    ----------
    p : Profile
        Time and noise of a frame.
    frames : int
        How many.
    rng : numpy.random.Generator
        Source of the noise.
    jump : float
        Relative change from the middle frame on.
    """
    time = np.arange(frames) * p.frame_time_s
    saw = p.top_up * (0.5 - time / TOP_UP_S % 1.0)
    intensity = (1 + p.monitor_noise * rng.standard_normal(frames)) * (1 + saw)
    intensity[frames // 2 :] *= 1 + jump
    return Beam(intensity, rng.poisson(MONITOR * intensity).astype(np.float64))


def count_time(p: Profile) -> float:
    """Seconds of a frame in which photons are counted."""
    return p.frame_time_s - READOUT_S


def frame_dtype(p: Profile) -> np.dtype[Any]:
    """Type of the frames: 32 bits, or 8 where the counter rolls over."""
    return np.dtype(np.uint8 if p.rollover else np.uint32)


def sentinel(p: Profile) -> int:
    """Count of a pixel that measures nothing: all bits one."""
    return int(np.iinfo(frame_dtype(p)).max)


def registered(photons: NDArray[Any], p: Profile) -> NDArray[Any]:
    r"""Return the counts expected from a counter that is dead for a time after each photon it counts.

    .. math:: m = n / (1 + n \tau / t)

    Source: Knoll, Radiation Detection and Measurement, 4th ed. (2010), eq. 4.23 solved for the measured rate.

    Parameters
    ----------
    photons : array
        Photons expected in the count time t.
    p : Profile
        Dead time tau and count time.

    Examples
    --------
    >>> registered(np.array([0.0, 5e6]), Profile(dead_time_s=1e-7)).round(-3)
    array([      0., 2500000.])
    """
    return photons / (1 + photons * (p.dead_time_s / count_time(p)))


def expose(
    means: Iterable[Sequence[Patch]],
    p: Profile,
    faulty: Faults,
    rng: np.random.Generator,
    *,
    hkl: tuple[int, int, int] | None = None,
    over: NDArray[Any] | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield the frames of the whole detector, also those that will be lost.

    Parameters
    ----------
    means : iterable of sequences of Patch
        Photons that pixels expect, around the peak and elsewhere: one sequence a frame.
    p : Profile
        Sizes, background, gaps, limits of the counter.
    faulty : Faults
        What goes wrong. A dropped frame is zero everywhere, a doubled one was exposed twice.
    rng : numpy.random.Generator
        Source of the counting noise; every cause of counts draws from a child of it.
    hkl : tuple of int, optional
        Reflection that the detector looks at, by default the first.
    over : array of int, shape (frame,), optional
        Filled, in place, with the number of pixels whose counter came to its limit in each frame: stopped there or rolled over.

    Yields
    ------
    array of uint32, shape `p.detector`
        Masked pixels hold the largest uint32; counts stop at `p.cutoff`.
        With `p.rollover` of uint8: counts modulo 256, and 255 in masked pixels.
    """
    noise = Noise(*rng.spawn(len(Noise._fields)))
    masked, centre = masked_pixels(p), beam_centre(p, hkl)
    for number, patches in enumerate(means):
        frame = np.zeros(p.detector, np.uint32)
        _scatter(frame, p, faulty.flat, centre, noise)
        for patch in patches:
            part = patch.rows, patch.columns
            expected = registered(patch.photons * faulty.flat[part], p)
            frame[part] += noise.photons.poisson(expected).astype(np.uint32)
            if number in faulty.doubled:
                frame[part] += noise.again.poisson(expected).astype(np.uint32)
        _misbehave(frame, number, p, faulty, noise)
        if number in faulty.dropped:
            yield np.zeros(p.detector, frame_dtype(p))
            continue
        frame, full = _counted(frame, masked, p)
        if over is not None:
            over[number] = full
        yield frame


def _scatter(frame: NDArray[np.uint32], p: Profile, flat: NDArray[np.float32], centre: tuple[float, float], noise: Noise) -> None:
    """Add stray counts and the detector's own, drawn one by one as they are few; none is lost to the dead time."""
    best = float(flat.max())
    background = p.background + OWN_RATE * p.frame_time_s if p.background else 0.0
    for rate, rng in ((background, noise.background), (p.ring, noise.ring)):
        hits = rng.integers(frame.size, size=rng.poisson(rate * best * frame.size))
        share = flat.ravel()[hits] / best
        if rng is noise.ring:
            share = share * _ring(hits, p, centre)
        np.add.at(frame.reshape(-1), hits[rng.random(len(hits)) < share], 1)


def _ring(pixels: NDArray[np.int64], p: Profile, centre: tuple[float, float]) -> NDArray[np.float64]:
    """Height of a ring about the direct beam, 1 at the radius of the peak, at `pixels` (index into the flat detector)."""
    row, column = (index - at for index, at in zip(np.divmod(pixels, p.detector[1]), centre, strict=True))
    radius = np.hypot(p.peak_px[0] - centre[0], p.peak_px[1] - centre[1])
    return np.exp(-(((np.hypot(row, column) - radius) / (RING_WIDTH * p.box)) ** 2) / 2)


def _misbehave(frame: NDArray[np.uint32], number: int, p: Profile, faulty: Faults, noise: Noise) -> None:
    """Change, in place, what bad pixels, cosmic rays and a restarting half of the box say in the frame `number`."""
    pixels, late, streaks = faulty.pixels, faulty.late, faulty.streaks
    on = noise.pixels.random(len(pixels.flickering)) < FLICKER_SHARE
    frame[tuple(pixels.hot.T)] += noise.pixels.poisson(pixels.hot_rate).astype(np.uint32)
    frame[tuple(pixels.flickering.T)] += (noise.pixels.poisson(pixels.flicker_rate) * on).astype(np.uint32)
    if late is not None and number >= late.frame:
        frame[tuple(late.pixels.T)] += noise.late.poisson(late.rate).astype(np.uint32)
    if streaks is not None:
        here = streaks.pixels[:, 0] == number
        np.add.at(frame, tuple(streaks.pixels[here, 1:].T), streaks.counts[here].astype(np.uint32))
    if number in faulty.restart:
        rows, columns = box_of(p, p.box)
        frame[rows, columns.start : p.peak_px[1]] = 0
    frame[tuple(pixels.dead.T)] = 0


def _counted(frame: NDArray[np.uint32], masked: NDArray[np.bool_], p: Profile) -> tuple[NDArray[Any], int]:
    """What the counter shows, and in how many pixels it came to its limit."""
    full = int(np.count_nonzero((frame > (sentinel(p) if p.rollover else p.cutoff - 1)) & ~masked))
    if p.rollover:
        frame = frame.astype(np.uint8)  # keeps the lowest bits, as the counter does
    else:
        np.minimum(frame, p.cutoff, out=frame)
    np.copyto(frame, sentinel(p), where=masked)
    return frame, full
