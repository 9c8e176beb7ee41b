"""Banded products of photons: each meets those that its pixel saw a short while ago."""

from __future__ import annotations

import numba
import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from xcdi.backend import Array
from xcdi.kernels.correlation.banded import Sums, nothing
from xcdi.kernels.correlation.photons import Photons

__all__ = ["coarse_frames", "events"]


def events(photons: Photons, first: int, level: int, lags: Array, tile: Array) -> Sums:
    """Products of frames of 2**level frames each, out of their photons.

    Parameters
    ----------
    photons : Photons
        Of single frames.
    first : int
        Number of the first of them in the whole series, on which coarse frames are aligned.
    level : int
    lags : int64 array, shape (lag,)
        Lag 0, then consecutive lags, below 32, in coarse frames.
    tile : integer array, shape (pixel,)

    Returns
    -------
    Sums
        As :func:`xcdi.kernels.correlation.banded.dense` gives for the coarse frames.

    Notes
    -----
    Each photon meets those that its pixel saw in the coarse frames before: a mask of 32 bits says in which,
    a ring of counts says how many. The cost is that of the photons and pairs, whatever the number of pixels.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> events(from_dense(np.array([[1, 2], [3, 0]])), 0, 0, np.array([0, 1]), np.array([0, 0])).by_frame
    array([[5, 3],
           [9, 0]])
    """
    last = first + photons.frames - 1
    found = nothing((last >> level) - (first >> level) + 1, lags, int(tile.max(initial=0)) + 1)
    width = 1 << int(lags[-1]).bit_length()  # of the ring: more than the largest lag, and a power of two
    _events(photons.start, photons.pixel, photons.count, first, level, lags, tile, np.zeros((photons.pixels, width), np.int32), *found)
    return found


def coarse_frames(photons: Photons, first: int, level: int, start: int, stop: int) -> Array:
    """Dense coarse frames `start` to `stop` (numbers in the whole series) out of photons.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> coarse_frames(from_dense(np.array([[1, 2], [3, 0], [0, 1]])), 0, 1, 0, 2)
    array([[4, 2],
           [0, 1]], dtype=uint8)
    """
    lo, hi = (min(max((edge << level) - first, 0), photons.frames) for edge in (start, stop))
    most = int(photons.count[photons.start[lo] : photons.start[hi]].max(initial=0)) << level
    out = np.zeros((stop - start, photons.pixels), np.min_scalar_type(most))
    _coarse(photons.start, photons.pixel, photons.count, lo, hi, first, level, start, out)
    return out


@numba.njit(nogil=True, cache=True)
def _events(start, pixel, count, first, level, lags, tile, ring, by_frame, by_tile):  # type: ignore[no-untyped-def]
    seen, when = np.zeros(ring.shape[0], np.uint32), np.zeros(ring.shape[0], np.int32)
    low, turn = lags[1], ring.shape[1] - 1
    window = np.uint32((1 << (lags.size - 1)) - 1)  # of the lags above 0
    for t in range(start.size - 1):
        j = np.int32(((first + t) >> level) - (first >> level))
        for e in range(start[t], start[t + 1]):
            p, c = pixel[e], np.int64(count[e])
            sums, slots, mask = by_tile[tile[p]], ring[p], seen[p]
            passed = j - when[p]
            if passed > 0 or mask == 0:
                mask = np.uint32(1) | (np.uint32(mask << np.uint32(passed)) if passed < 32 else np.uint32(0))
                seen[p], when[p] = mask, j
                slots[j & turn] = 0
            near = np.uint32(mask >> np.uint32(low)) & window
            while near:
                k = np.int64(trailing_zeros(near))
                near &= near - np.uint32(1)
                at = j - low - k
                one = c * slots[at & turn]
                by_frame[at, k + 1] += one
                sums[k + 1] += one
            n = np.int64(slots[j & turn])
            by_frame[j, 0] += c * (2 * n + c)
            sums[0] += c * (2 * n + c)
            slots[j & turn] = n + c


@numba.njit(nogil=True, cache=True)
def _coarse(start, pixel, count, lo, hi, first, level, base, out):  # type: ignore[no-untyped-def]
    for t in range(lo, hi):
        row = out[((first + t) >> level) - base]
        for e in range(start[t], start[t + 1]):
            row[pixel[e]] += count[e]
