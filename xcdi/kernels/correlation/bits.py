"""Exact products of frames from planes of bits: AND, count, and a correction for pixels with more than one photon."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

from xcdi.backend import Array
from xcdi.kernels.correlation import excess
from xcdi.kernels.correlation.lists import in_turn
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.tiling import Counts, fold, in_rows, panels, shape, tiles

__all__ = ["Planes", "pack", "products"]

SIDE = 4  # frames by frames whose products are summed at once, in registers
LANES = 8  # words of 64 pixels in a vector
TILE = 128  # frames by frames that one thread does at a time
STRIP = 512  # words of each frame that are read together, so that those of a tile stay in the second cache
PANEL_BYTES = 2**28  # of bits at a time

_WORDS, _SUMS = types.Array(types.uint64, 2, "C"), types.Array(types.float64, 2, "C")
_VECTOR, _REALS, _INT = ir.VectorType(ir.IntType(64), LANES), ir.VectorType(ir.DoubleType(), LANES), ir.IntType(64)


class Planes(NamedTuple):
    """Where there are photons, as bits, and how many more than one.

    Attributes
    ----------
    words : uint64 array, shape (time rounded up to 4, word rounded up to 8)
        Bit i of word w: whether pixel 64 w + i has photons. Padded with zeros.
    more : Photons
        Counts less one, of the pixels with more than one photon.
    """

    words: Array
    more: Photons


def products(left: Counts, right: Counts | None = None, *, threads: int = 1) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    left : integer array, shape (time, pixel), or Photons
        Photon counts, 0 or more.
    right : array, shape (time2, pixel), or Photons, optional
        Second set of frames; by default the same as `left`, at half the cost.
    threads : int, optional
        At most so many at once. The result is the same for any number.

    Returns
    -------
    float64 array, shape (time, time2)
        Integers, exact below 2**53.

    Notes
    -----
    With n = b + e, where b is 1 where there are photons, products are b b' + e b' + b e' + e e'. The first is an AND
    and a count of bits, 64 pixels at a time (LLVM uses VPOPCNTQ where the processor has it). The others cost in
    proportion to the pixels that have more than one photon, so this is for counts that seldom do.

    Examples
    --------
    >>> products(np.array([[1, 2], [3, 0]]))
    array([[5., 3.],
           [3., 9.]])
    """
    rows, columns = shape(left)[0], None if right is None else shape(right)[0]
    out = np.zeros((rows, rows if columns is None else columns))
    size = max(64 * LANES, PANEL_BYTES * 8 // max(1, rows + (columns or 0)) // 512 * 512)
    for start, stop in panels(shape(left)[1], size):
        one = pack(left, start, stop, threads=threads)
        two = one if right is None else pack(right, start, stop, threads=threads)
        excess.add(one, None if right is None else two, out, threads=threads)
        folded = right is None and stop == shape(left)[1]
        jobs = [(one.words, two.words, right is None, folded, out, *tile) for tile in tiles(rows, columns, TILE)]
        in_turn(_count, jobs, threads)
    return out


def pack(counts: Counts, start: int = 0, stop: int | None = None, *, threads: int = 1) -> Planes:
    """Planes of bits of some pixels of frames.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        0 or more.
    start, stop : int, optional
        First and last + 1 pixel; all by default.
    threads : int, optional
        At most so many at once.

    Examples
    --------
    >>> planes = pack(np.array([[0, 1, 0, 5]]))
    >>> planes.words[0, 0], planes.more.pixel, planes.more.count
    (np.uint64(10), array([3], dtype=int32), array([4]))
    """
    rows, pixels = shape(counts)
    stop = pixels if stop is None else stop
    words = np.zeros((-(-rows // SIDE) * SIDE, -(-(stop - start) // (64 * LANES)) * LANES), np.uint64)
    first = np.zeros(rows + 1, np.int64)
    given: tuple[Any, ...]
    mark: Any
    collect: Any
    if isinstance(counts, Photons):
        given, mark, collect = (*counts[:3], start, stop), _mark_photons, _collect_photons
    else:
        given, mark, collect = (in_rows(counts[:, start:stop]),), _mark_dense, _collect_dense
    parts = [(i, min(i + TILE, rows)) for i in range(0, rows, TILE)]
    in_turn(mark, [(*given, *part, words, first) for part in parts], threads)
    first = np.cumsum(first)
    more = Photons(first, np.empty(first[-1], np.int32), np.empty(first[-1], np.int64), stop - start)
    if first[-1]:
        in_turn(collect, [(*given, *part, first, more.pixel, more.count) for part in parts], threads)
    return Planes(words, more)


@numba.njit(nogil=True, cache=True)
def _count(one, two, symmetric, folded, out, i0, i1, j0, j1):  # type: ignore[no-untyped-def]
    """Add the counts of common bits of a tile of frames by frames to `out`, and its mirror image if it is the last time."""
    sums = np.empty((SIDE, SIDE))
    for k in range(0, one.shape[1], STRIP):
        n = min(STRIP, one.shape[1] - k) // LANES
        for i in range(i0, i1, SIDE):
            for j in range(max(i, j0) if symmetric else j0, j1, SIDE):
                _common(one, i, two, j, k, n, sums)
                if i + SIDE <= i1 and j + SIDE <= j1 and (j >= i + SIDE or not symmetric):
                    for r in range(SIDE):
                        for c in range(SIDE):
                            out[i + r, j + c] += sums[r, c]
                    continue
                for r in range(min(SIDE, i1 - i)):
                    for c in range(min(SIDE, j1 - j)):
                        if not symmetric or j + c >= i + r:
                            out[i + r, j + c] += sums[r, c]
    if folded:
        fold(out, i0, i1, j0, j1)


@intrinsic
def _common(_context, one, i, two, j, k, n, sums):  # type: ignore[no-untyped-def]
    """Write to `sums` how many bits of frames i to i + 3 and j to j + 3 are common, in n vectors from word k on."""
    signature = types.void(_WORDS, types.int64, _WORDS, types.int64, types.int64, types.int64, _SUMS)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        _, i, _, j, k, n, _ = arguments
        rows = [_row(context, b, _WORDS, arguments[0], b.add(i, _INT(r)), k) for r in range(SIDE)]
        columns = [_row(context, b, _WORDS, arguments[2], b.add(j, _INT(c)), k) for c in range(SIDE)]
        totals = [cgutils.alloca_once_value(b, ir.Constant(_VECTOR, [0] * LANES)) for _ in range(SIDE * SIDE)]
        count = cgutils.get_or_insert_function(b.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.ctpop.v{LANES}i64")
        with cgutils.for_range(b, n) as loop:
            left = [b.load(b.gep(row, [loop.index]), align=8) for row in rows]
            for c, column in enumerate(columns):
                right = b.load(b.gep(column, [loop.index]), align=8)
                for r in range(SIDE):
                    total = totals[r * SIDE + c]
                    b.store(b.add(b.load(total), b.call(count, [b.and_(left[r], right)])), total)
        result = context.make_array(_SUMS)(context, b, arguments[6]).data
        for half in range(0, SIDE * SIDE, LANES):
            sums = b.sitofp(_summed(b, [b.load(total) for total in totals[half : half + LANES]]), _REALS)
            b.store(sums, b.bitcast(b.gep(result, [_INT(half)]), _REALS.as_pointer()), align=8)
        return context.get_dummy_value()

    return signature, emit


def _summed(b: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    """Return the sum over the lanes of each of 8 vectors, in one: halves of two are added at a time."""
    for step in (1, 2, 4):
        low = [lane + LANES * (lane & step > 0) - (lane & step) for lane in range(LANES)]
        low, high = (ir.Constant(ir.VectorType(ir.IntType(32), LANES), [lane + up for lane in low]) for up in (0, step))
        vectors = [
            b.add(b.shuffle_vector(x, y, low), b.shuffle_vector(x, y, high)) for x, y in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]


def _row(context: Any, b: ir.IRBuilder, kind: Any, array: ir.Value, row: ir.Value, at: ir.Value) -> ir.Value:
    """Pointer to the vector at word `at` of a row."""
    array = context.make_array(kind)(context, b, array)
    width = b.extract_value(array.shape, 1)
    return b.bitcast(b.gep(array.data, [b.add(b.mul(row, width), at)]), _VECTOR.as_pointer())


@intrinsic
def _above(_context, values, at, limit):  # type: ignore[no-untyped-def]
    """Bits that say which of the 64 values from `at` on, next to each other, are above `limit`."""
    signature = types.uint64(values, types.int64, types.int64)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, b, arguments[0]).data
        kind = data.type.pointee
        vector = ir.VectorType(kind, 64)
        some = b.load(b.bitcast(b.gep(data, [arguments[1]]), vector.as_pointer()), align=1)
        one = b.trunc(arguments[2], kind) if kind.width < 64 else arguments[2]
        start = b.insert_element(ir.Constant(vector, ir.Undefined), one, ir.IntType(32)(0))
        limits = b.shuffle_vector(start, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))
        return b.bitcast(b.icmp_unsigned(">", some, limits), _INT)

    return signature, emit


@numba.njit(nogil=True, cache=True)
def _mark_dense(counts, i0, i1, words, more):  # type: ignore[no-untyped-def]
    """Set the bits of some frames, and count their pixels with more than one photon."""
    pixels = counts.shape[1]
    for t in range(i0, i1):
        row = counts[t]
        n = 0
        for w in range(pixels // 64):
            words[t, w] = _above(row, 64 * w, 0)
            n += _ones(_above(row, 64 * w, 1))
        for p in range(pixels // 64 * 64, pixels):
            if row[p] > 0:
                words[t, p // 64] |= np.uint64(1) << np.uint64(p % 64)
            n += row[p] > 1
        more[t + 1] = n


@numba.njit(nogil=True, cache=True)
def _collect_dense(counts, i0, i1, first, pixel, count):  # type: ignore[no-untyped-def]
    pixels = counts.shape[1]
    for t in range(i0, i1):
        row = counts[t]
        e = first[t]
        for w in range(pixels // 64):
            word = _above(row, 64 * w, 1)
            while word:
                p = 64 * w + np.int64(trailing_zeros(word))
                pixel[e] = p
                count[e] = np.int64(row[p]) - 1
                e += 1
                word &= word - np.uint64(1)
        for p in range(pixels // 64 * 64, pixels):
            if row[p] > 1:
                pixel[e] = p
                count[e] = np.int64(row[p]) - 1
                e += 1


@numba.njit(nogil=True, cache=True)
def _mark_photons(start, pixel, count, low, high, i0, i1, words, more):  # type: ignore[no-untyped-def]
    for t in range(i0, i1):
        n = 0
        for e in range(start[t] + np.searchsorted(pixel[start[t] : start[t + 1]], low), start[t + 1]):
            p = pixel[e] - low
            if pixel[e] >= high:
                break
            words[t, p >> 6] |= np.uint64(1) << np.uint64(p & 63)
            n += count[e] > 1
        more[t + 1] = n


@numba.njit(nogil=True, cache=True)
def _collect_photons(start, pixel, count, low, high, i0, i1, first, more, counts):  # type: ignore[no-untyped-def]
    for t in range(i0, i1):
        at = first[t]
        for e in range(start[t] + np.searchsorted(pixel[start[t] : start[t + 1]], low), start[t + 1]):
            if pixel[e] >= high:
                break
            if count[e] > 1:
                more[at] = pixel[e] - low
                counts[at] = np.int64(count[e]) - 1
                at += 1


@intrinsic
def _ones(_context, word):  # type: ignore[no-untyped-def]
    """How many bits of a word are set."""

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        return b.ctpop(arguments[0])

    return types.int64(types.uint64), emit
