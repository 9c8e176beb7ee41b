"""Counts as bytes in blocks of 16 frames by 64 pixels, the way dot products of bytes want them."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from xcdi.backend import Array
from xcdi.kernels.correlation.lists import in_turn
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.tiling import Counts, in_rows, shape

__all__ = ["DEEP", "SIDE", "Blocks", "pack"]

SIDE, DEEP = 16, 64  # frames and pixels of a block
PART = 64  # frames that one thread does at a time, a multiple of SIDE


class Blocks(NamedTuple):
    """Counts of (time, pixel) as bytes, in blocks of 1 kB, padded with zeros.

    Attributes
    ----------
    rows : uint8 array, shape (time / 16 rounded up to an even number, pixel / 64 rounded up, 16, 64)
        Counts of 64 pixels in each of 16 frames.
    columns : uint8 array, same shape
        The same, with 4 pixels in each of 16 frames next to each other, and so 16 times.
    """

    rows: Array
    columns: Array


def pack(counts: Counts, start: int = 0, stop: int | None = None, *, threads: int = 1) -> Blocks:
    """Blocks of bytes of some pixels of frames.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        0 to 255.
    start, stop : int, optional
        First and last + 1 pixel; all by default.
    threads : int, optional
        At most so many at once.

    Examples
    --------
    >>> blocks = pack(np.array([[1, 2, 3, 4, 5]]))
    >>> blocks.rows[0, 0, 0, :6], blocks.columns[0, 0, :2, :4]
    (array([1, 2, 3, 4, 5, 0], dtype=uint8), array([[1, 2, 3, 4],
           [5, 0, 0, 0]], dtype=uint8))
    """
    frames, pixels = shape(counts)
    stop = pixels if stop is None else stop
    size = (-(-frames // (2 * SIDE)) * 2, -(-(stop - start) // DEEP), SIDE, DEEP)
    rows, columns = np.empty(size, np.uint8), np.empty(size, np.uint8)
    parts = [(t, min(t + PART, frames)) for t in range(0, 2 * SIDE * (size[0] // 2), PART)]
    if isinstance(counts, Photons):
        in_turn(_lay_photons, [(*counts[:3], start, stop, rows, *part) for part in parts], threads)
    else:
        in_turn(_lay_dense, [(in_rows(counts[:, start:stop]), rows, *part) for part in parts], threads)
    in_turn(_turn, [(rows.view(np.uint32), columns.view(np.uint32), t, t + PART) for t, _ in parts], threads)
    return Blocks(rows, columns)


@numba.njit(nogil=True, cache=True)
def _lay_dense(counts, rows, t0, t1):  # type: ignore[no-untyped-def]
    pixels = counts.shape[1]
    for block in range(t0 // SIDE, min((t0 + PART) // SIDE, rows.shape[0])):
        for n in range(SIDE):
            t = block * SIDE + n
            full = pixels // DEEP if t < t1 else 0
            for c in range(full):
                _narrow(counts[t], c * DEEP, rows[block, c, n])
            for c in range(full, rows.shape[1]):
                for k in range(DEEP):
                    rows[block, c, n, k] = counts[t, c * DEEP + k] if t < t1 and c * DEEP + k < pixels else 0


@intrinsic
def _narrow(_context, values, at, out):  # type: ignore[no-untyped-def]
    """Write the 64 values from `at` on, next to each other, to `out` as bytes."""
    signature = types.void(values, types.int64, out)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        source, target = (context.make_array(signature.args[k])(context, b, arguments[k]).data for k in (0, 2))
        wide, narrow = (ir.VectorType(pointer.type.pointee, DEEP) for pointer in (source, target))
        some = b.load(b.bitcast(b.gep(source, [arguments[1]]), wide.as_pointer()), align=1)
        some = some if wide == narrow else b.trunc(some, narrow)
        b.store(some, b.bitcast(target, narrow.as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, emit


@numba.njit(nogil=True, cache=True)
def _lay_photons(start, pixel, count, low, high, rows, t0, t1):  # type: ignore[no-untyped-def]
    rows[t0 // SIDE : (t0 + PART) // SIDE] = 0
    for t in range(t0, t1):
        for e in range(start[t] + np.searchsorted(pixel[start[t] : start[t + 1]], low), start[t + 1]):
            if pixel[e] >= high:
                break
            p = pixel[e] - low
            rows[t // SIDE, p // DEEP, t % SIDE, p % DEEP] = count[e]


@numba.njit(nogil=True, cache=True)
def _turn(rows, columns, t0, t1):  # type: ignore[no-untyped-def]
    """Transpose each block, four bytes at a time."""
    for block in range(t0 // SIDE, min(t1 // SIDE, rows.shape[0])):
        for c in range(rows.shape[1]):
            for n in range(SIDE):
                for k in range(SIDE):
                    columns[block, c, k, n] = rows[block, c, n, k]
