"""A coarse look at a long two-time correlation: sums over blocks of frames, and over its diagonals."""

from __future__ import annotations

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons

__all__ = ["block_sums", "lag_sums", "summed"]


def summed(photons: Photons, width: int) -> Photons:
    """Photons of consecutive frames added up, `width` at a time; the last sum may be of fewer.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense, to_dense
    >>> to_dense(summed(from_dense(np.array([[0, 2], [1, 3], [0, 4]])), 2)).tolist()
    [[1, 5], [0, 4]]
    """
    frames = -(-photons.frames // width)
    start = np.zeros(frames + 1, np.int64)
    pixel = np.empty(photons.pixel.size, np.int32)
    count = np.empty(photons.pixel.size, np.uint32)
    scratch = np.zeros(photons.pixels, np.uint32)
    _add_up(photons.start, photons.pixel, photons.count, width, start, pixel, count, scratch)
    return Photons(start, pixel[: start[-1]].copy(), count[: start[-1]].copy(), photons.pixels)


def lag_sums(rows: Array, ok: Array, slot: Array, out: Array) -> None:
    """Add the products of good frames to the sum of their delay.

    Parameters
    ----------
    rows : integer array, shape (new, all so far)
        Products of the latest frames with all up to them.
    ok : bool array, shape (all so far or more,)
    slot : int array, shape (all so far or more,)
        Place of each frame in time.
    out : int64 array, shape (delay,)
        Index is the delay in frames; delay zero is left alone, it holds shot noise.

    Examples
    --------
    >>> out = np.zeros(3, np.int64)
    >>> lag_sums(np.array([[9, 2, 3], [1, 5, 9]])[1:], np.ones(3, bool), np.arange(3), out)
    >>> out
    array([0, 5, 1])
    """
    _by_lag(rows, ok, slot, out)


def block_sums(rows: Array, ok: Array, width: int, out: Array) -> None:
    """Add the products of good frames to the sum of their block of `width` frames squared, at and below the diagonal.

    Parameters
    ----------
    rows : integer array, shape (new, all so far)
        As for :func:`lag_sums`.
    ok : bool array, shape (all so far or more,)
    width : int
    out : float64 array, shape (block, block)
        Both halves of it are filled where the rows end.

    Examples
    --------
    >>> out = np.zeros((2, 2))
    >>> block_sums(np.array([[1, 2, 3], [2, 4, 5], [3, 5, 6]]), np.ones(3, bool), 2, out)
    >>> out.tolist()
    [[9.0, 8.0], [8.0, 6.0]]
    """
    _by_block(rows, ok, width, out)


@numba.njit(nogil=True, cache=True)
def _add_up(start, pixel, count, width, start2, pixel2, count2, scratch):  # type: ignore[no-untyped-def]
    at = 0
    for block in range(start2.size - 1):
        first = at
        last = min((block + 1) * width, start.size - 1)
        for e in range(start[block * width], start[last]):
            if scratch[pixel[e]] == 0:
                pixel2[at] = pixel[e]
                at += 1
            scratch[pixel[e]] += count[e]
        if 16 * (at - first) > scratch.size:  # so many that looking at every pixel is less work than sorting them
            at = first
            for p in range(scratch.size):
                if scratch[p]:
                    pixel2[at] = p
                    at += 1
        else:
            pixel2[first:at].sort()
        for e in range(first, at):
            count2[e] = scratch[pixel2[e]]
            scratch[pixel2[e]] = 0
        start2[block + 1] = at


@numba.njit(nogil=True, cache=True)
def _by_lag(rows, ok, slot, out):  # type: ignore[no-untyped-def]
    first = rows.shape[1] - rows.shape[0]
    for i in range(rows.shape[0]):
        t = first + i
        if ok[t]:
            for s in range(t):
                if ok[s]:
                    out[slot[t] - slot[s]] += rows[i, s]


@numba.njit(nogil=True, cache=True)
def _by_block(rows, ok, width, out):  # type: ignore[no-untyped-def]
    first = rows.shape[1] - rows.shape[0]
    for i in range(rows.shape[0]):
        t = first + i
        if ok[t]:
            for s in range(t + 1):
                if ok[s]:
                    a, b = t // width, s // width
                    out[a, b] += rows[i, s]
                    if s < t:
                        out[b, a] += rows[i, s]
