"""What pixels with more than one photon add to products of frames that were counted from bits."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from xcdi.backend import Array
from xcdi.kernels.correlation.lists import in_turn
from xcdi.kernels.correlation.photons import Photons

__all__ = ["add"]

PART = 64  # frames that one thread does at a time
GROUP = 8  # words of 64 frames whose sums are kept in registers
FULL = 255  # what such a sum, of one byte, holds

_BITS, _BYTES = types.Array(types.uint64, 3, "C"), types.Array(types.uint8, 1, "C")
_INT, _VECTOR = ir.IntType(64), ir.VectorType(ir.IntType(8), 64)


class Planes(Protocol):
    """Bits of frames, and their counts less one where above one."""

    @property
    def words(self) -> Array: ...
    @property
    def more(self) -> Photons: ...


def add(one: Planes, two: Planes | None, out: Array, *, threads: int = 1) -> None:
    """Add the products with counts above one to those of the bits.

    Parameters
    ----------
    one, two : Planes
        Two sets of frames over the same pixels; without `two`, one with itself.
    out : float64 array, shape (time, time2)
        Changed. Without `two`, the upper and the lower triangle are still to be added, and the diagonal is complete.
    threads : int, optional
        At most so many at once.

    Notes
    -----
    Frame t of counts e adds e to its products with all frames that have a bit at the same pixel: the bits of one
    pixel in 64 frames are the mask of an addition of 64 bytes.
    """
    other = one if two is None else two
    rows, columns = out.shape
    if one.more.pixel.size:
        flipped = _flipped(other.words)
        in_turn(_add_rows, [(*one.more[:3], flipped, out, *part) for part in _parts(rows)], threads)
    if two is None:
        _add_own(*one.more[:3], out)
    elif two.more.pixel.size:
        flipped = _flipped(one.words)
        in_turn(_add_rows, [(*two.more[:3], flipped, out.T, *part) for part in _parts(columns)], threads)
    if one.more.pixel.size and other.more.pixel.size:
        lists = _by_pixel(*other.more[:3], other.more.pixels)
        in_turn(_add_pairs, [(*one.more[:3], *lists, two is None, out, *part) for part in _parts(rows)], threads)


def _parts(frames: int) -> list[tuple[int, int]]:
    return [(t, min(t + PART, frames)) for t in range(0, frames, PART)]


@numba.njit(nogil=True, cache=True)
def _flipped(words):  # type: ignore[no-untyped-def]
    """Bits of 64 frames in a word, shape (group of frames, pixel, word), of bits of 64 pixels in a word."""
    frames, width = words.shape
    flipped = np.zeros((-(-frames // (64 * GROUP)), 64 * width, GROUP), np.uint64)
    block = np.zeros(64, np.uint64)
    for first in range(0, frames, 64):
        g, k = first // (64 * GROUP), first // 64 % GROUP
        for w in range(width):
            for i in range(64):
                block[i] = words[first + i, w] if first + i < frames else np.uint64(0)
            _transpose(block)
            for i in range(64):
                flipped[g, 64 * w + i, k] = block[i]
    return flipped


@numba.njit(nogil=True, cache=True)
def _transpose(block):  # type: ignore[no-untyped-def]
    """Transpose 64 x 64 bits in place: Warren, Hacker's Delight (2012), 7-3."""
    half, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while half:
        shift = np.uint64(half)
        for start in range(0, 64, 2 * half):
            for i in range(start, start + half):
                swapped = ((block[i] >> shift) ^ block[i + half]) & mask
                block[i] ^= swapped << shift
                block[i + half] ^= swapped
        half //= 2
        mask ^= mask << np.uint64(half)


@numba.njit(nogil=True, cache=True)
def _add_rows(start, pixel, count, flipped, out, t0, t1):  # type: ignore[no-untyped-def]
    """Add the products of counts of some frames with the bits of all others."""
    sums = np.empty(64 * GROUP, np.uint8)
    for g in range(flipped.shape[0]):
        first = 64 * GROUP * g
        frames = min(64 * GROUP, out.shape[1] - first)
        for t in range(t0, t1):
            e = start[t]
            while e < start[t + 1]:
                last, total = e, np.int64(0)
                while last < start[t + 1] and total + count[last] <= FULL:
                    total += count[last]
                    last += 1
                if last > e:
                    _add_masked(flipped, g, pixel, count, e, last, sums)
                    for k in range(frames):
                        out[t, first + k] += sums[k]
                    e = last
                else:
                    for k in range(frames):
                        bit = (flipped[g, pixel[e], k // 64] >> np.uint64(k % 64)) & np.uint64(1)
                        out[t, first + k] += np.float64(count[e]) * bit
                    e += 1


@intrinsic
def _add_masked(_context, flipped, g, pixel, count, first, last, sums):  # type: ignore[no-untyped-def]
    """Write to `sums` the counts of the events `first` to `last`, added up for the frames of group g with their bits set."""
    signature = types.void(_BITS, types.int64, pixel, count, types.int64, types.int64, _BYTES)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        bits = context.make_array(_BITS)(context, b, arguments[0])
        pixel, count, sums = (context.make_array(signature.args[k])(context, b, arguments[k]).data for k in (2, 3, 6))
        before = b.mul(arguments[1], b.extract_value(bits.shape, 1))
        totals = [cgutils.alloca_once_value(b, ir.Constant(_VECTOR, [0] * 64)) for _ in range(GROUP)]
        with cgutils.for_range_slice(b, arguments[4], arguments[5], _INT(1)) as (e, _):
            place = b.add(before, b.sext(b.load(b.gep(pixel, [e])), _INT))
            mask = b.bitcast(b.gep(bits.data, [b.mul(place, _INT(GROUP))]), ir.ArrayType(_INT, GROUP).as_pointer())
            value = _everywhere(b, _byte(b, b.load(b.gep(count, [e]))))
            for k, total in enumerate(totals):
                word = b.load(b.gep(mask, [ir.IntType(32)(0), ir.IntType(32)(k)]))
                chosen = b.bitcast(word, ir.VectorType(ir.IntType(1), 64))
                b.store(b.add(b.load(total), b.select(chosen, value, ir.Constant(_VECTOR, [0] * 64))), total)
        for k, total in enumerate(totals):
            b.store(b.load(total), b.bitcast(b.gep(sums, [_INT(64 * k)]), _VECTOR.as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, emit


def _byte(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return value if value.type.width == 8 else b.trunc(value, ir.IntType(8))


def _everywhere(b: ir.IRBuilder, byte: ir.Value) -> ir.Value:
    """Return a byte in every lane."""
    one = b.insert_element(ir.Constant(_VECTOR, ir.Undefined), byte, ir.IntType(32)(0))
    return b.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))


@numba.njit(nogil=True, cache=True)
def _add_own(start, pixel, count, out):  # type: ignore[no-untyped-def]
    """Add to the diagonal what is added twice elsewhere."""
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            out[t, t] += np.float64(count[e])


@numba.njit(nogil=True, cache=True)
def _by_pixel(start, pixel, count, pixels):  # type: ignore[no-untyped-def]
    """First event of each pixel, and frame and counts of the events in the order of pixels."""
    head = np.zeros(pixels + 2, np.int64)
    for e in range(pixel.size):
        head[pixel[e] + 2] += 1
    head = np.cumsum(head)
    frame, value = np.empty(pixel.size, np.int64), np.empty(pixel.size, count.dtype)
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            at = head[pixel[e] + 1]
            frame[at], value[at] = t, count[e]
            head[pixel[e] + 1] = at + 1
    return head, frame, value


@numba.njit(nogil=True, cache=True)
def _add_pairs(start, pixel, count, head, frame, value, symmetric, out, t0, t1):  # type: ignore[no-untyped-def]
    """Add the products of counts with counts; of one set of frames those above the diagonal and on it."""
    for t in range(t0, t1):
        for e in range(start[t], start[t + 1]):
            n = np.float64(count[e])
            for q in range(head[pixel[e] + 1] - 1, head[pixel[e]] - 1, -1):
                if symmetric and frame[q] < t:
                    break
                out[t, frame[q]] += n * np.float64(value[q])
