"""Frames as they are stored to photons: a block at a time, by several threads, without a dense frame between."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.decoding import ChunkError
from xcdi.kernels.decoding_photons import Selection, Writer, select

__all__ = ["Frame", "gathered"]

SPACIOUS = 1.2  # room that is made, in photons that so many frames like the first have


class Frame(Protocol):
    """One frame as it is stored."""

    @property
    def dtype(self) -> np.dtype:
        """Type of its counts."""
        ...

    def write(self, writer: Writer) -> int:
        """Append its photons to `writer`, or raise ChunkError; return their number."""
        ...


def gathered(stored: Sequence[Frame | None], place: Array | Selection, pixels: int, *, threads: int = 1) -> tuple[Photons, Array]:
    """Photons of consecutive frames, exactly those of their dense counts.

    Parameters
    ----------
    stored : sequence of Frame or None
        Frames as they lie in the file, all of one type; None for one that is missing.
    place : int array, shape (y, x), or Selection
        Number of each pixel of the detector, -1 for one that is not wanted; any order, each number once.
    pixels : int
        Number of pixels, at least one more than the largest number.
    threads : int
        Threads that decode. The result does not depend on it.

    Returns
    -------
    photons : Photons
        As :func:`~xcdi.kernels.correlation.photons.from_dense` makes them of the counts at the wanted pixels, counts in the
        smallest type that holds them. A sentinel or a negative number at a wanted pixel is an event with a huge count.
    ok : bool array, shape (frame,)
        Whether the frame is there and whole; one that is not has no event.

    Raises
    ------
    ValueError
        If frames differ in type, or `place` has another shape or more numbers than there are pixels.

    Examples
    --------
    >>> class Plain:
    ...     dtype = np.dtype("u1")
    ...     def write(self, writer):
    ...         return writer.add(bytes([0, 2, 1]), (1, 3), "u1", packed=False)
    >>> photons, ok = gathered([Plain(), None], np.array([[-1, 0, 1]]), 2)
    >>> photons.start.tolist(), photons.count.tolist(), ok.tolist()
    ([0, 2, 2], [2, 1], [True, False])
    """
    chosen = place if isinstance(place, Selection) else select(place)
    if chosen.pixels > pixels:
        raise ValueError(f"pixel numbers up to {chosen.pixels - 1}, expected fewer than {pixels}")
    frames = list(stored)
    edges = np.linspace(0, len(frames), max(1, min(threads, len(frames))) + 1).astype(int)
    runs = [frames[a:b] for a, b in pairwise(edges)]
    with ThreadPoolExecutor(len(runs)) as pool:
        parts = list(pool.map(_run, runs, [chosen] * len(runs)))
        events = np.concatenate([part.events for part in parts])
        start = np.concatenate([[0], np.cumsum(np.maximum(events, 0))])
        pixel = np.empty(start[-1], np.int32)
        count = np.empty(start[-1], np.min_scalar_type(max(part.largest for part in parts)))
        list(pool.map(_put, parts, [pixel] * len(runs), [count] * len(runs), start[edges[:-1]]))
    return Photons(start, pixel, count, pixels), events >= 0


class Part(NamedTuple):
    """Pixels and counts of some frames one after the other, events in each frame (-1: lost), and the largest count."""

    pixel: Array
    count: Array
    events: Array
    largest: int


def _run(frames: Sequence[Frame | None], chosen: Selection) -> Part:
    """Photons of consecutive frames."""
    events = np.full(len(frames), -1)
    there = [(i, frame) for i, frame in enumerate(frames) if frame is not None]
    writer = Writer(chosen, there[0][1].dtype if there else np.uint8)
    for i, frame in there:
        try:
            events[i] = frame.write(writer)
        except ChunkError:
            continue
        if writer.end == events[i]:  # the first frame with photons
            writer.reserve(int(SPACIOUS * writer.end * len(frames)))
    pixel, count = writer.events()
    return Part(pixel, count, events, int(count.max(initial=0)))


def _put(part: Part, pixel: Array, count: Array, first: int) -> None:
    """Copy the photons of `part` to where they belong."""
    pixel[first : first + part.pixel.size] = part.pixel
    count[first : first + part.count.size] = part.count
