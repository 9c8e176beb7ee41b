"""Photons: the counts above zero of a series of frames, for data that are mostly zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from xcdi.backend import Array

__all__ = ["Photons", "from_dense", "join", "of_frames", "on_slots", "pixel_sums", "relabelled", "to_dense", "without"]


class Photons(NamedTuple):
    """Counts above zero, frame by frame, as the rows of a sparse matrix (CSR).

    Attributes
    ----------
    start : int64 array, shape (time + 1,)
        Frame t has the events ``start[t]`` to ``start[t + 1]``.
    pixel : int32 array, shape (event,)
        Pixel of each event; rising within a frame, each pixel once.
    count : unsigned integer array, shape (event,)
        Photons in that pixel and frame, 1 or more.
    pixels : int
        Number of pixels.
    """

    start: Array
    pixel: Array
    count: Array
    pixels: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.start.size - 1

    @property
    def totals(self) -> Array:
        """Photons in each frame, int64 (time,)."""
        return _frame_sums(self.start, self.count, False)

    @property
    def squares(self) -> Array:
        """Sum of the squared counts of each frame, int64 (time,)."""
        return _frame_sums(self.start, self.count, True)


def from_dense(counts: Array) -> Photons:
    """Photons of dense frames.

    Parameters
    ----------
    counts : integer array, shape (time, pixel)
        0 or more.

    Examples
    --------
    >>> from_dense(np.array([[0, 2, 1], [0, 0, 3]])).pixel
    array([1, 2, 2], dtype=int32)
    """
    plain = np.ascontiguousarray(counts)
    start = np.zeros(len(plain) + 1, np.int64)
    _census(plain, start)
    pixel = np.empty(start[-1], np.int32)
    count = np.empty(start[-1], np.min_scalar_type(int(plain.max(initial=0))))
    _collect(plain, start, pixel, count)
    return Photons(start, pixel, count, plain.shape[1])


def to_dense(photons: Photons, start: int = 0, stop: int | None = None) -> Array:
    """Dense counts (time, pixel) of the frames `start` to `stop`, in the type of the photons' counts.

    Examples
    --------
    >>> to_dense(from_dense(np.array([[0, 2, 1], [0, 0, 3]])))
    array([[0, 2, 1],
           [0, 0, 3]], dtype=uint8)
    """
    stop = photons.frames if stop is None else stop
    counts = np.zeros((stop - start, photons.pixels), photons.count.dtype)
    _spread(photons.start, photons.pixel, photons.count, start, counts)
    return counts


def of_frames(photons: Photons, start: int, stop: int) -> Photons:
    """Photons of the frames `start` to `stop`; no event is copied."""
    first, last = photons.start[start], photons.start[stop]
    return Photons(photons.start[start : stop + 1] - first, photons.pixel[first:last], photons.count[first:last], photons.pixels)


def join(parts: Sequence[Photons]) -> Photons:
    """One series after the other, over the same pixels.

    Examples
    --------
    >>> one = from_dense(np.array([[0, 2]]))
    >>> to_dense(join([one, one])).tolist()
    [[0, 2], [0, 2]]
    """
    sizes = np.cumsum([0] + [int(p.start[-1]) for p in parts])
    start = np.concatenate([[0], *(p.start[1:] + size for p, size in zip(parts, sizes, strict=False))]).astype(np.int64)
    kind = np.result_type(*(p.count for p in parts))
    return Photons(
        start, np.concatenate([p.pixel for p in parts]), np.concatenate([p.count for p in parts]).astype(kind, copy=False), parts[0].pixels
    )


def relabelled(photons: Photons, new: Array, pixels: int, keep: Array | None = None) -> Photons:
    """The same photons with other numbers for their pixels.

    Parameters
    ----------
    photons : Photons
    new : int32 array, shape (pixel,)
        New number of each pixel, -1 for one to leave out. Those kept must stay in rising order.
    pixels : int
        Number of pixels afterwards.
    keep : bool array, shape (time,), optional
        Frames whose photons stay; the others become empty, and remain.

    Examples
    --------
    >>> some = from_dense(np.array([[1, 2, 3], [4, 5, 6]]))
    >>> to_dense(relabelled(some, np.array([0, -1, 1], np.int32), 2, np.array([True, False]))).tolist()
    [[1, 3], [0, 0]]
    """
    keep = np.ones(photons.frames, bool) if keep is None else keep
    start = np.zeros(photons.frames + 1, np.int64)
    pixel, count = np.empty_like(photons.pixel), np.empty_like(photons.count)
    _relabel(photons.start, photons.pixel, photons.count, new, keep, start, pixel, count)
    return Photons(start, pixel[: start[-1]].copy(), count[: start[-1]].copy(), pixels)


def without(photons: Photons, dropped: Array) -> Photons:
    """The photons less the events where `dropped`, bool (event,), is true.

    Examples
    --------
    >>> some = from_dense(np.array([[1, 2], [0, 3]]))
    >>> to_dense(without(some, some.count == 2)).tolist()
    [[1, 0], [0, 3]]
    """
    if not dropped.any():
        return photons
    left = np.concatenate([[0], np.cumsum(~dropped)])
    return Photons(left[photons.start], photons.pixel[~dropped], photons.count[~dropped], photons.pixels)


def on_slots(photons: Photons, slot: Array) -> Photons:
    """The same frames at the places `slot` of a longer series, whose other frames are empty.

    Examples
    --------
    >>> to_dense(on_slots(from_dense(np.array([[1], [2]])), np.array([0, 2]))).ravel().tolist()
    [1, 0, 2]
    """
    start = np.zeros(int(slot[-1]) + 2, np.int64)
    start[slot + 1] = np.diff(photons.start)
    return photons._replace(start=np.cumsum(start))


def pixel_sums(photons: Photons) -> Array:
    """Photons in each pixel over all frames, int64 (pixel,)."""
    sums = np.zeros(photons.pixels, np.int64)
    _pixel_sums(photons.pixel, photons.count, sums)
    return sums


@numba.njit(nogil=True, cache=True)
def _frame_sums(start, count, squared):  # type: ignore[no-untyped-def]
    sums = np.zeros(start.size - 1, np.int64)
    for t in range(sums.size):
        for e in range(start[t], start[t + 1]):
            n = np.int64(count[e])
            sums[t] += n * n if squared else n
    return sums


@numba.njit(nogil=True, cache=True)
def _census(counts, start):  # type: ignore[no-untyped-def]
    for t in range(counts.shape[0]):
        n = 0
        for p in range(counts.shape[1]):
            n += counts[t, p] > 0
        start[t + 1] = start[t] + n


@numba.njit(nogil=True, cache=True)
def _collect(counts, start, pixel, count):  # type: ignore[no-untyped-def]
    for t in range(counts.shape[0]):
        e = start[t]
        for p in range(counts.shape[1]):
            if counts[t, p] > 0:
                pixel[e] = p
                count[e] = counts[t, p]
                e += 1


@numba.njit(nogil=True, cache=True)
def _spread(start, pixel, count, first, counts):  # type: ignore[no-untyped-def]
    for t in range(counts.shape[0]):
        for e in range(start[first + t], start[first + t + 1]):
            counts[t, pixel[e]] = count[e]


@numba.njit(nogil=True, cache=True)
def _relabel(start, pixel, count, new, keep, start2, pixel2, count2):  # type: ignore[no-untyped-def]
    at = 0
    for t in range(start.size - 1):
        if keep[t]:
            for e in range(start[t], start[t + 1]):
                p = new[pixel[e]]
                if p >= 0:
                    pixel2[at] = p
                    count2[at] = count[e]
                    at += 1
        start2[t + 1] = at


@numba.njit(nogil=True, cache=True)
def _pixel_sums(pixel, count, sums):  # type: ignore[no-untyped-def]
    for e in range(pixel.size):
        sums[pixel[e]] += count[e]
