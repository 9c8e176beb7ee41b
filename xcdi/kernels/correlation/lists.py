"""Lists: the frames in which each pixel saw photons, the columns of a sparse matrix whose rows are frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons

__all__ = ["BITS", "LONGEST", "Lists", "in_turn", "joined", "of_photons"]

BITS = 12  # of an event's two bytes for its frame; the rest for its photons
LONGEST = 1 << BITS  # frames: a row of products then fits the first cache, too
BRIGHTEST = 1 << (16 - BITS)  # photons that two bytes have room for beside the frame
STRIP_EVENTS = 1 << 18  # sorted at once, so that what is written to stays in the cache


class Lists(NamedTuple):
    """Counts above zero, pixel by pixel (CSC).

    Attributes
    ----------
    head : int32 or int64 array, shape (pixel + 1,)
        Pixel p has the events ``head[p]`` to ``head[p + 1]``.
    frame : uint16 array, shape (event,)
        Frame of each event, rising within a pixel; where no pixel has more than 16 photons, 4096 times the photons
        beyond the first are added to it.
    weight : unsigned integer array, shape (event,) or (0,)
        Photons of each event, where one has more than 16.
    frames : int
        Number of frames, 4096 at most.
    brightest : int
        No event has more photons.
    """

    head: Array
    frame: Array
    weight: Array
    frames: int
    brightest: int


def of_photons(photons: Photons, *, threads: int = 1) -> tuple[Lists, Array]:
    """Lists of the photons of at most 4096 frames, and where in them each event lies.

    Parameters
    ----------
    photons : Photons
    threads : int
        At most so many at once; the lists are the same for any number.

    Returns
    -------
    Lists
    int32 or int64 array, shape (event,)
        Position in the lists of each event of `photons`.

    Raises
    ------
    ValueError
        If there are more frames.

    Notes
    -----
    A sort by counting, one strip of pixels after the other: as the events of a frame lie in the
    order of their pixels, a strip is a range of each frame.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> lists, place = of_photons(from_dense(np.array([[0, 1, 2], [0, 0, 1]], np.uint8)))
    >>> lists.head.tolist(), lists.frame.tolist(), place.tolist()
    ([0, 0, 1, 3], [0, 4096, 1], [0, 1, 2])
    """
    _check(photons.frames)
    events, kind, brightest = photons.pixel.size, _index(photons.pixel.size), int(photons.count.max(initial=0))
    strips = max(1, events // STRIP_EVENTS, min(threads, photons.pixels) if events > STRIP_EVENTS else 1)
    bounds = np.linspace(0, photons.pixels, strips + 1).astype(np.int64)
    edges = _edges(photons.start, photons.pixel, bounds)
    head, place, frame = np.zeros(photons.pixels + 1, kind), np.empty(events, kind), np.empty(events, np.uint16)
    weight = np.empty(0 if brightest <= BRIGHTEST else events, photons.count.dtype)
    in_turn(_census, [(edges[s], edges[s + 1], photons.pixel, head) for s in range(strips)], threads)
    head = np.cumsum(head, dtype=kind)
    what = (photons.pixel, photons.count, head, frame, weight, place)
    in_turn(_sort, [(edges[s], edges[s + 1], bounds[s], bounds[s + 1], *what) for s in range(strips)], threads)
    return Lists(head, frame, weight, photons.frames, brightest), place


def joined(parts: Sequence[Lists]) -> Lists:
    """Lists of one series after the other, over the same pixels.

    Raises
    ------
    ValueError
        If there are more than 4096 frames together.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> one, _ = of_photons(from_dense(np.array([[0, 1, 1], [0, 0, 1]], np.uint8)))
    >>> joined([one, one]).frame.tolist()
    [0, 2, 0, 1, 2, 3]
    """
    _check(sum(p.frames for p in parts))
    size, pixels = sum(p.frame.size for p in parts), parts[0].head.size - 1
    parts = [_apart(p) for p in parts] if any(p.weight.size for p in parts) else parts
    head = np.zeros(pixels + 1, _index(size))
    for part in parts:
        head += part.head
    frame, weight = np.empty(size, np.uint16), np.empty(sum(p.weight.size for p in parts), np.result_type(*(p.weight for p in parts)))
    at, before = head[:-1].copy(), 0
    for part in parts:
        _lay(part.head, part.frame, part.weight, before, at, frame, weight)
        before += part.frames
    return Lists(head, frame, weight, before, max(p.brightest for p in parts))


def _check(frames: int) -> None:
    if frames > LONGEST:
        raise ValueError(f"{frames} frames in one set of lists, {LONGEST} at most; cut the series")


def _index(events: int) -> type[np.signedinteger]:
    """Integers that number so many events."""
    return np.int32 if events < 2**31 else np.int64


def _apart(lists: Lists) -> Lists:
    """The same lists with the photons in an array of their own."""
    if lists.weight.size:
        return lists
    weight = (lists.frame >> np.uint16(BITS)) + np.uint16(1)
    return lists._replace(frame=lists.frame & np.uint16(LONGEST - 1), weight=weight)


def in_turn(work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], threads: int) -> None:
    """Call `work` with each tuple of arguments, on so many threads; it must leave Python's lock."""
    if threads == 1 or len(jobs) <= 1:
        for job in jobs:
            work(*job)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, *zip(*jobs, strict=True)))


@numba.njit(nogil=True, cache=True)
def _edges(start, pixel, bounds):  # type: ignore[no-untyped-def]
    """First event of each frame at or above each bound, shape (bound, time)."""
    edges = np.empty((bounds.size, start.size - 1), np.int64)
    for t in range(start.size - 1):
        edges[0, t], edges[-1, t] = start[t], start[t + 1]
        for b in range(1, bounds.size - 1):
            low, high = edges[b - 1, t], start[t + 1]
            while low < high:
                middle = (low + high) // 2
                if pixel[middle] < bounds[b]:
                    low = middle + 1
                else:
                    high = middle
            edges[b, t] = low
    return edges


@numba.njit(nogil=True, cache=True)
def _census(first, last, pixel, head):  # type: ignore[no-untyped-def]
    for t in range(first.size):
        for e in range(first[t], last[t]):
            head[np.uint64(pixel[e]) + np.uint64(1)] += 1


@numba.njit(nogil=True, cache=True)
def _sort(first, last, low, high, pixel, count, head, frame, weight, place):  # type: ignore[no-untyped-def]
    """Events of the pixels `low` to `high` to their places."""
    at = head[low:high].copy()
    for t in range(first.size):
        for e in range(first[t], last[t]):
            p = np.uint64(pixel[e] - low)
            q = np.uint64(at[p])
            at[p] += 1
            place[e] = q
            if weight.size:
                frame[q] = t
                weight[q] = count[e]
            else:
                frame[q] = t + ((np.int64(count[e]) - 1) << BITS)


@numba.njit(nogil=True, cache=True)
def _lay(head, frame, weight, before, at, frames, weights):  # type: ignore[no-untyped-def]
    """Events of one part behind those that are there; `at` moves on."""
    for p in range(at.size):
        q = np.uint64(at[p])
        for e in range(head[p], head[p + 1]):
            frames[q] = np.int64(frame[e]) + before
            if weights.size:
                weights[q] = weight[e]
            q += np.uint64(1)
        at[p] = q
