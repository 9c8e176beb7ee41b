"""Frames that are stored as lists of photons: dense where somebody asks for counts, as they are where somebody asks for photons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import h5py
import numpy as np

from xcdi.backend import Array
from xcdi.beamline import Beamline
from xcdi.io.chunks import sentinel
from xcdi.io.quantities import Sources, number, quantity
from xcdi.io.stored import Events
from xcdi.io.vetting import open_file
from xcdi.kernels.decoding_lists import in_order

__all__ = ["Listed", "Lists", "Nameless", "expected", "lost", "numbers_beside"]

SURE = 20.0  # photons of a usual frame from which one without any is taken for lost: by chance that is one in 5e8
BESIDE = "_metadata.hdf"


class Lists(Protocol):
    """A file of photons, frame by frame."""

    def events(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Start of each frame (and the end), pixel in raster order, count; of the frames `start` to `stop`, in any order."""
        ...


@dataclass(frozen=True)
class Listed:
    """All frames of a scan, in order.

    Attributes
    ----------
    lists : Lists
        Where their photons are.
    shape : (frames, rows, columns)
    dtype : dtype
        Of the counts.
    whole : bool array, shape (frame,)
        Whether the frame is there.
    """

    lists: Lists
    shape: tuple[int, int, int]
    dtype: np.dtype
    whole: Array
    single: bool = True

    def written(self) -> Array:
        """Bool (frame,): whether the frame is on disk."""
        return self.whole[: self.shape[0]].copy()

    def upto(self, n: int) -> Listed:
        """The first `n` frames."""
        return Listed(self.lists, (n, *self.shape[1:]), self.dtype, self.whole[:n])

    def read(self, start: int, stop: int) -> Array:
        """Counts of the frames `start` to `stop`; one that is missing or cannot be true is all sentinel."""
        out = np.zeros((stop - start, self.shape[1] * self.shape[2]), self.dtype)
        for frame, events in zip(out, self.stored(start, stop), strict=True):
            if events is None:
                frame[...] = sentinel(self.dtype)
            else:
                frame[events.pixel] = events.count
        return out.reshape(stop - start, *self.shape[1:])

    def stored(self, start: int, stop: int) -> Array:
        """Photons of the frames `start` to `stop`: object (frame,) of Events, None for one that is missing or cannot be true."""
        out = np.full(stop - start, None, object)
        first, pixel, count = self.lists.events(start, stop)
        ok = in_order(first, pixel, count, self.shape[1] * self.shape[2]) & self.whole[start:stop]
        for i in np.flatnonzero(ok):
            part = slice(first[i], first[i + 1])
            out[i] = Events(pixel[part], count[part], self.shape[1:])
        return out


def lost(events: Array) -> Array:
    """Frames without a photon, where frames have so many that none has none by chance.

    Parameters
    ----------
    events : int array, shape (frame,)
        Photons (or pixels that saw some) of each frame.

    Examples
    --------
    >>> lost(np.array([900, 0, 1100])), lost(np.array([1, 0, 2]))
    (array([False,  True, False]), array([False, False, False]))
    """
    there = events > 0
    return ~there & bool(there.any() and np.median(events[there]) >= SURE)


class Nameless:
    """In place of an HDF5 file where a scan has none: nothing is in it."""

    def __init__(self, path: Path) -> None:
        self.filename = str(path)

    def get(self, name: str, **options: Any) -> None:
        """There is nothing of any name."""

    def close(self) -> None:
        """There is nothing to close."""


def numbers_beside(path: Path, scan: str) -> Sources:
    """Where the numbers of a scan of photon lists can stand: in ``SCAN_metadata.hdf`` beside it, if there is one. Close its file."""
    beside = path.parent / f"{scan}{BESIDE}"
    file = open_file(beside) if beside.is_file() else cast(h5py.File, Nameless(path))
    return Sources(file, path.parent, scan)


def expected(sources: Sources, beamline: Beamline) -> int | None:
    """Frames that were planned, where the beamline says so, or where that stands."""
    place = beamline.layout.frames_expected
    planned = None if place is None else number(quantity(sources, place, "1", "frames_expected"), "frames_expected", sources.where)
    return None if planned is None else int(planned)
