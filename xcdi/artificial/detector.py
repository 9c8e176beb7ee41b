"""Detector: from noise-free intensity to the counts that a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.instrument import masked_pixels
from xcdi.artificial.profiles import Profile

__all__ = ["CUTOFF", "SENTINEL", "BadFrames", "BadPixels", "Beam", "bad_frames", "bad_pixels", "beam", "box_of", "expose"]

SENTINEL = np.iinfo(np.uint32).max
CUTOFF = 1_500_000  # largest count per frame; the counter stops there
MONITOR = 1e6
TOP_UP_S, TOP_UP_DEPTH = 120.0, 0.01
FLICKER_SHARE = 0.2


class BadPixels(NamedTuple):
    """Pixels that lie; positions are (n, 2) of row and column, rates are counts per frame."""

    dead: NDArray[np.int64]
    hot: NDArray[np.int64]
    hot_rate: NDArray[np.float64]
    flickering: NDArray[np.int64]
    flicker_rate: NDArray[np.float64]


class BadFrames(NamedTuple):
    """Indices of frames that lie."""

    dropped: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()


class Beam(NamedTuple):
    """Intensity of the beam in each frame, relative to its mean, and what the monitor counted of it."""

    intensity: NDArray[np.float64]
    monitor: NDArray[np.float64]


def box_of(p: Profile, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square of `side` pixels around the peak."""
    row, column = (centre - side // 2 for centre in p.peak_px)
    return slice(row, row + side), slice(column, column + side)


def beam(p: Profile, frames: int, rng: np.random.Generator) -> Beam:
    """Draw noise and the saw-tooth of the storage ring's top-up for `frames` frames."""
    time = np.arange(frames) * p.frame_time_s
    saw = TOP_UP_DEPTH * (0.5 - time / TOP_UP_S % 1.0)
    intensity = (1 + p.monitor_noise * rng.standard_normal(frames)) * (1 + saw)
    return Beam(intensity, rng.poisson(MONITOR * intensity).astype(np.float64))


def bad_pixels(p: Profile, rng: np.random.Generator) -> BadPixels:
    """Draw dead, hot and flickering pixels: one of each in the box, none near the peak, the rest anywhere."""
    masked = masked_pixels(p)
    rows, columns = np.indices(p.detector)
    distance = np.maximum(abs(rows - p.peak_px[0]), abs(columns - p.peak_px[1]))
    near = np.argwhere(~masked & (distance > 5 * p.box // 16) & (distance < p.box // 2))
    far = np.argwhere(~masked & (distance > p.window // 2))
    inside, outside = rng.permutation(near)[:3], rng.permutation(far)[:10]
    rates = np.exp(rng.uniform(np.log(50), np.log(5000), 4)), rng.uniform(20, 200, 3)
    if not p.bad_pixels:
        inside, outside, rates = inside[:0], outside[:0], (rates[0][:0], rates[1][:0])
    dead, hot, flickering = (
        np.concatenate([inside[i : i + 1], outside[part]]) for i, part in enumerate((slice(0, 5), slice(5, 8), slice(8, 10)))
    )
    return BadPixels(dead, hot, rates[0], flickering, rates[1])


def bad_frames(p: Profile, events: Iterable[int], rng: np.random.Generator) -> BadFrames:
    """Draw one dropped and one doubled frame, away from the ends and not beside one of the frames `events`."""
    order = rng.permutation(np.arange(3, p.frames - 3))
    taken = np.array([*events])
    free = [int(frame) for frame in order if not len(taken) or abs(taken - frame).min() > 2]
    return BadFrames((free[0],), (free[1],)) if p.bad_frames and len(free) > 1 else BadFrames()


def expose(
    means: Iterable[NDArray[Any]], p: Profile, pixels: BadPixels, frames: BadFrames, rng: np.random.Generator
) -> Iterator[NDArray[np.uint32]]:
    """Yield the frames of the whole detector.

    Parameters
    ----------
    means : iterable of arrays, shape (window, window)
        Photons that each pixel around the peak expects.
    p : Profile
        Sizes, background, gaps.
    pixels, frames : BadPixels, BadFrames
        What goes wrong. A dropped frame is zero everywhere.
    rng : numpy.random.Generator
        Source of the counting noise.

    Yields
    ------
    array of uint32, shape `p.detector`
        Masked pixels hold the largest uint32; counts stop at `CUTOFF`.
    """
    masked = masked_pixels(p)
    window = box_of(p, p.window)
    for number, mean in enumerate(means):
        counts = _background(p, rng)
        counts[window] += rng.poisson(mean * (2 if number in frames.doubled else 1))
        _misbehave(counts, pixels, rng)
        frame = np.minimum(counts, CUTOFF).astype(np.uint32)
        frame[masked] = SENTINEL
        yield np.zeros_like(frame) if number in frames.dropped else frame


def _background(p: Profile, rng: np.random.Generator) -> NDArray[np.int64]:
    """Stray counts and the detector's own 0.07 counts per pixel and hour, drawn one by one as they are few."""
    rate = p.background + 0.07 / 3600 * p.frame_time_s
    size = p.detector[0] * p.detector[1]
    hits = rng.integers(size, size=rng.poisson(rate * size))
    return np.bincount(hits, minlength=size).reshape(p.detector)


def _misbehave(counts: NDArray[np.int64], pixels: BadPixels, rng: np.random.Generator) -> None:
    """Overwrite, in place, what the bad pixels say."""
    counts[tuple(pixels.hot.T)] += rng.poisson(pixels.hot_rate)
    on = rng.random(len(pixels.flickering)) < FLICKER_SHARE
    counts[tuple(pixels.flickering.T)] += rng.poisson(pixels.flicker_rate) * on
    counts[tuple(pixels.dead.T)] = 0
