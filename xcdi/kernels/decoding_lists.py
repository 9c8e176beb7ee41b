"""Lists of photons as detectors write them: 64-bit words to events, and each frame's events put in order."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from xcdi.backend import Array

__all__ = ["Census", "census", "in_order", "split"]

FRAME, PIXEL = 40, 16  # lowest bits of the frame's and of the pixel's number in a word
PIXELS = (1 << 21) - 1
COUNTS = (1 << 12) - 1


class Census(NamedTuple):
    """What a list of words holds.

    Attributes
    ----------
    events : int64 array, shape (frame,)
        Events of each frame, up to the last that has any.
    lowest, highest : int
        Smallest and largest number of a pixel.
    fall : int
        First word whose frame is before that of the word before it; -1 if none is.
    """

    events: Array
    lowest: int
    highest: int
    fall: int


def split(words: Array) -> tuple[Array, Array, Array]:
    """Frame, pixel and count of 64-bit events, as a Rigaku detector writes them.

    Parameters
    ----------
    words : uint64 array, shape (event,)
        Frame in bits 40 to 63, pixel in 16 to 36, count in 0 to 11.

    Returns
    -------
    frame, pixel, count : int64, int32 and uint16 arrays, shape (event,)

    Notes
    -----
    Source: boost_corr, Argonne National Laboratory (convert_sparse), read in its version of 2025; it keeps 8 bits of the count.

    Examples
    --------
    >>> [int(part[0]) for part in split(np.array([(7 << 40) | (300 << 16) | 4095], np.uint64))]
    [7, 300, 4095]
    """
    frame = (words >> np.uint64(FRAME)).astype(np.int64)
    pixel = ((words >> np.uint64(PIXEL)) & np.uint64(PIXELS)).astype(np.int32)
    return frame, pixel, (words & np.uint64(COUNTS)).astype(np.uint16)


def census(words: Array, before: Census | None = None) -> Census:
    """Count the events of each frame; of words that follow upon those of `before`, together.

    Examples
    --------
    >>> census(np.array([0, 3 << 40], np.uint64)).events
    array([1, 0, 0, 1])
    """
    if not words.size:
        return before or Census(np.zeros(0, np.int64), PIXELS, -1, -1)
    seen = before.events if before is not None else np.zeros(0, np.int64)
    last = int(words.max() >> np.uint64(FRAME))
    events = np.zeros(max(last + 1, seen.size), np.int64)
    events[: seen.size] = seen
    lowest, highest, fall = _census(words, seen.size - 1, events)
    if before is None:
        return Census(events, lowest, highest, fall)
    done = int(seen.sum())
    return Census(
        events,
        min(lowest, before.lowest),
        max(highest, before.highest),
        before.fall if before.fall >= 0 else (done + fall if fall >= 0 else -1),
    )


def in_order(start: Array, pixel: Array, count: Array, size: int) -> Array:
    """Sort the events of each frame by pixel, in place; whether each frame can be true.

    Parameters
    ----------
    start : int64 array, shape (frame + 1,)
        Frame i has the events ``start[i]`` to ``start[i + 1]``.
    pixel : int32 array, shape (event,)
        Number of each pixel.
    count : uint16 or uint32 array, shape (event,)
        Photons in it.
    size : int
        Pixels of the detector.

    Returns
    -------
    bool array, shape (frame,)
        False where a pixel lies beyond the detector or comes twice, or a count is 0; its events are then in any order.

    Examples
    --------
    >>> pixel, count = np.array([5, 2, 9], np.int32), np.array([1, 7, 1], np.uint16)
    >>> in_order(np.array([0, 2, 3]), pixel, count, 8), pixel
    (array([ True, False]), array([2, 5, 9], dtype=int32))
    """
    ok = np.ones(start.size - 1, bool)
    _in_order(start, pixel, count, size, np.zeros(-(-size // 64), np.uint64), np.empty(size, count.dtype), ok)
    return ok


@numba.njit(nogil=True, cache=True)
def _census(words, last, events):  # type: ignore[no-untyped-def]
    lowest, highest, fall = PIXELS, -1, -1
    for e in range(words.size):
        frame = np.int64(words[e] >> np.uint64(FRAME))
        pixel = np.int64((words[e] >> np.uint64(PIXEL)) & np.uint64(PIXELS))
        if frame < last and fall < 0:
            fall = e
        last = frame
        events[frame] += 1
        lowest, highest = min(lowest, pixel), max(highest, pixel)
    return lowest, highest, fall


@numba.njit(nogil=True, cache=True)
def _in_order(start, pixel, count, size, seen, value, ok):  # type: ignore[no-untyped-def]
    for i in range(ok.size):
        first, end = start[i], start[i + 1]
        good = True
        rising = True
        last = np.int64(-1)
        for e in range(first, end):
            p = np.int64(pixel[e])
            good &= (p >= 0) & (p < size) & (count[e] > 0)
            rising &= p > last
            last = p
        if good and not rising:
            good = _sorted(pixel, count, first, end, seen, value)
        ok[i] = good


@numba.njit(nogil=True, cache=True)
def _sorted(pixel, count, first, end, seen, value):  # type: ignore[no-untyped-def]
    """Sort by a bit for each pixel; False where one comes twice. `seen` is zero before and after."""
    once = True
    for e in range(first, end):
        p = np.int64(pixel[e])
        bit = np.uint64(1) << np.uint64(p % 64)
        once &= (seen[p // 64] & bit) == 0
        seen[p // 64] |= bit
        value[p] = count[e]
    at = first
    for w in range(seen.size):
        word = seen[w]
        seen[w] = np.uint64(0)
        while word and once:
            p = 64 * w + np.int64(trailing_zeros(word))
            pixel[at] = p
            count[at] = value[p]
            word &= word - np.uint64(1)
            at += 1
    return once
