"""Exact products of frames that are mostly zeros: only pairs of photons in the same pixel are counted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike

from xcdi.backend import Array
from xcdi.kernels.correlation import scatter
from xcdi.kernels.correlation.lists import BITS, LONGEST, Lists, in_turn, of_photons
from xcdi.kernels.correlation.photons import Photons, of_frames

__all__ = ["fill", "pairs", "products", "tasks", "work"]

ROWS = 16  # products of so many frames are kept before they are written out, rows and columns
PORTIONS = 8  # of the work, for each thread
LINE = 32  # events in one line of the cache
AHEAD = 8  # events ahead that a list is fetched from memory


def products(left: Photons, right: Photons | None = None, *, threads: int | None = None, dtype: DTypeLike = np.int64) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    left : Photons
        Counts of (time, pixel).
    right : Photons, optional
        Second set of frames, over the same pixels; by default the same as `left`, at half the cost.
    threads : int, optional
        At most so many at once, by default numba's number. The result is the same for any number.
    dtype : dtype, optional
        Of the result, int64 or int32; the latter needs half the memory.

    Returns
    -------
    `dtype` array, shape (time, time2)

    Raises
    ------
    ValueError
        If the two have not the same pixels, or a sum could pass what `dtype` holds.

    Notes
    -----
    Each photon of a frame walks through the list of the frames in which its pixel saw photons (Gustavson's
    product by rows). The lists are two bytes per photon and cover so few frames that the row of sums stays in the
    first cache. Time goes with the number of :func:`pairs`.
    Source: Gustavson, ACM Trans. Math. Softw. 4, 250 (1978), doi:10.1145/355791.355796.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> products(from_dense(np.array([[1, 2, 0], [3, 0, 1]])))
    array([[ 5,  3],
           [ 3, 10]])
    """
    threads = numba.get_num_threads() if threads is None else threads
    other = left if right is None else right
    if left.pixels != other.pixels:
        raise ValueError(f"frames of {left.pixels} and of {other.pixels} pixels, expected the same pixels")
    out = np.empty((left.frames, other.frames), dtype)
    bounds = [*range(0, other.frames, LONGEST), other.frames]
    for first, last in pairwise(bounds):
        columns, place = of_photons(of_frames(other, first, last), threads=threads)
        if right is None:
            fill(of_frames(left, 0, first), columns, out, column=first, mirror=True, threads=threads)
            fill(of_frames(left, first, last), columns, out, row=first, column=first, place=place, threads=threads)
        else:
            fill(left, columns, out, column=first, threads=threads)
    return out


def pairs(left: Photons, right: Photons | None = None) -> int:
    """Pairs of events in the same pixel: what :func:`products` has to add up.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> pairs(from_dense(np.array([[1, 2, 0], [3, 0, 1]])))
    5
    """
    ours = np.bincount(left.pixel, minlength=left.pixels)
    if right is None:
        return int(ours @ (ours + 1)) // 2
    return int(ours @ np.bincount(right.pixel, minlength=left.pixels))


def fill(
    left: Photons,
    columns: Lists,
    out: Array,
    *,
    row: int = 0,
    column: int = 0,
    place: Array | None = None,
    mirror: bool = False,
    threads: int = 1,
) -> None:
    """Write the products of frames with those of some lists into a part of a matrix.

    Parameters
    ----------
    left : Photons
        Counts of (time, pixel).
    columns : Lists
        Of frames over the same pixels.
    out : int64 or int32 array, shape (all rows, all columns), C-contiguous
        Changed from `row` and `column` on.
    row, column : int, optional
        Where the products of the first frame with the first column go.
    place : array, shape (event,), optional
        Where the events of `left` lie in `columns`, if both are the same frames: then each product is computed once.
    mirror : bool, optional
        Write the products into the transposed place, too.
    threads : int, optional
        At most so many at once.

    Raises
    ------
    ValueError
        If a sum could pass what `out` holds.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> some, out = from_dense(np.array([[1, 2, 0], [3, 0, 1]])), np.zeros((2, 3), np.int64)
    >>> fill(some, of_photons(some)[0], out, column=1)
    >>> out
    array([[ 0,  5,  3],
           [ 0,  3, 10]])
    """
    in_turn(work, tasks(left, columns, out, row=row, column=column, place=place, mirror=mirror, threads=threads), threads)


def tasks(
    left: Photons,
    columns: Lists,
    out: Array,
    *,
    row: int = 0,
    column: int = 0,
    place: Array | None = None,
    mirror: bool = False,
    threads: int = 1,
) -> list[tuple[Any, ...]]:
    """Portions of the work of :func:`fill`, each for one call of :func:`work`, in any order and at once.

    Parameters and errors as there.
    """
    kind = _accumulator(left, columns, out.dtype)
    rows = max(1, min(ROWS, -(-left.frames // (2 * threads))))
    portions = 1 if threads == 1 else max(1, min(-(-left.frames // rows), PORTIONS * threads))
    width = scatter.LANES * (-(-columns.frames // scatter.LANES) | 1)  # off a power of two, or the rows fall on the same lines of the cache
    tail = place is not None
    what = (left.start, left.pixel, left.count, place if tail else columns.head[:0], columns.head, columns.frame, columns.weight)
    where = (out, row, column, columns.frames, tail, mirror or tail)
    return [(k, portions, *what, *where, np.empty((rows, width), kind)) for k in range(portions)]


def _accumulator(left: Photons, columns: Lists, dtype: np.dtype) -> type[np.signedinteger]:
    """Narrowest integers that no sum of products can pass."""
    most, room = int(left.totals.max(initial=0)) * columns.brightest, int(np.iinfo(dtype).max)
    if most > room:
        raise ValueError(f"a sum of products could reach {most:.2g}, past the {room} that {dtype} holds; leave the brightest pixels out")
    return np.int32 if most < 2**31 else np.int64


@numba.njit(nogil=True, cache=True)
def work(group, step, start, pixel, count, place, head, frame, weight, out, row, column, size, tail, mirror, sums):  # type: ignore[no-untyped-def]
    """Write every `step`-th group of rows, of as many as `sums` has."""
    frames, rows = start.size - 1, len(sums)
    for first in range(group * rows, frames, step * rows):
        last = min(first + rows, frames)
        low = first if tail else 0
        sums[: last - first, low:size] = 0
        for t in range(first, last):
            if weight.size:
                _add_bright(start[t], start[t + 1], pixel, count, place, head, frame, weight, sums[t - first])
            else:
                _add(start[t], start[t + 1], pixel, count, place, head, frame, sums[t - first])
        _copy(sums, last - first, low, size, out, row + first, column)
        if mirror:
            _turn(sums, last - first, low, size, out, row + first, column, tail)


@numba.njit(nogil=True, cache=True)
def _add(first, last, pixel, count, place, head, frame, sums):  # type: ignore[no-untyped-def]
    """Products of one frame's events with the lists of their pixels."""
    for e in range(first, last):
        p = np.uint64(pixel[e])
        ahead = np.uint64(min(e + AHEAD, last - 1))
        far = np.uint64(pixel[ahead])
        for q in range(place[ahead] if place.size else head[far], head[far + np.uint64(1)], LINE):
            scatter.fetch(frame, q)
        q, end, n = np.uint64(place[e] if place.size else head[p]), np.uint64(head[p + np.uint64(1)]), sums.dtype.type(count[e])
        if scatter.WIDE:
            while q < end:
                scatter.add(frame, q, end - q, BITS, n, sums)
                q += np.uint64(scatter.LANES)
        else:
            while q < end:
                event = np.uint64(frame[q])
                sums[event & np.uint64(LONGEST - 1)] += n * sums.dtype.type(np.int64(event >> np.uint64(BITS)) + 1)
                q += np.uint64(1)


@numba.njit(nogil=True, cache=True)
def _add_bright(first, last, pixel, count, place, head, frame, weight, sums):  # type: ignore[no-untyped-def]
    """The same where photons have an array of their own."""
    for e in range(first, last):
        p = np.uint64(pixel[e])
        q, end, n = np.uint64(place[e] if place.size else head[p]), np.uint64(head[p + np.uint64(1)]), np.int64(count[e])
        while q < end:
            sums[np.uint64(frame[q])] += n * np.int64(weight[q])
            q += np.uint64(1)


@numba.njit(nogil=True, cache=True)
def _copy(sums, rows, low, size, out, row, column):  # type: ignore[no-untyped-def]
    for t in range(rows):
        line, mine = out[row + t], sums[t]
        for s in range(np.uint64(low), np.uint64(size)):
            line[np.uint64(column) + s] = mine[s]


@numba.njit(nogil=True, cache=True)
def _turn(sums, rows, low, size, out, row, column, tail):  # type: ignore[no-untyped-def]
    """Rows of sums to columns of the matrix; of the square on the diagonal only what lies below it."""
    for s in range(low, size):
        line = out[column + s]
        for t in range(np.uint64(0), np.uint64(min(rows, s - low) if tail else rows)):
            line[np.uint64(row) + t] = sums[t, np.uint64(s)]
