"""A file that grows into the copy of a finished one, without its frames being decoded."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.files.layout import SQUEEZED
from xcdi.errors import XcdiError

__all__ = ["Mirror"]

ATTRIBUTES = "entry/instrument/NDAttributes"
NUMBERS = ("entry/data/frame_number", f"{ATTRIBUTES}/NDArrayUniqueId")  # from 1
PLANNED = "entry/instrument/detector/frames_planned"
CHUNK = 16


class Mirror:
    """Copy of an HDF5 file: all but its frames and their numbers at once, those row by row.

    A file of areaDetector is written so that others may read it meanwhile (SWMR); others are flushed after each row.

    Parameters
    ----------
    source : h5py.File
        Finished file; it has one dataset of three dimensions, the frames.
    path : Path
        The copy.
    grow : bool
        Whether the datasets grow; otherwise they have their full length from the start, and rows are filled.
    """

    def __init__(self, source: h5py.File, path: Path, *, grow: bool = True) -> None:
        self._counts = _frames(source)
        swmr = ATTRIBUTES in source
        self._file = h5py.File(path, "w", libver="latest" if swmr else None)
        self._pairs: list[tuple[h5py.Dataset, h5py.Dataset]] = []
        self._grow = grow
        self._copy(source, self._file, {})
        self._pairs.sort(key=lambda pair: -pair[0].ndim)  # frames before their numbers
        if swmr:
            self._file.swmr_mode = True
        found = next((source[name][()] - 1 for name in NUMBERS if name in source), None)
        self.numbers: NDArray[np.int64] = np.arange(len(self._counts)) if found is None else found
        self.planned = int(source[PLANNED][()]) if PLANNED in source else len(self._counts)

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def append(self, row: int) -> None:
        """Add the frame `row` of the source and its numbers."""
        place = len(self._pairs[0][1])
        for _, new in self._pairs:
            new.resize(place + 1, 0)
        self._put(row, place)

    def fill(self, row: int) -> None:
        """Write the frame `row` of the source where it belongs."""
        self._put(row, row)

    def _put(self, row: int, place: int) -> None:
        for old, new in self._pairs:
            if old.chunks and old.chunks == (1, *old.shape[1:]):
                mask, raw = old.id.read_direct_chunk((row, *[0] * (old.ndim - 1)))
                new.id.write_direct_chunk((place, *[0] * (old.ndim - 1)), raw, mask)
            else:
                new[place] = old[row]
            new.flush()
        if not self._file.swmr_mode:
            self._file.flush()

    def _copy(self, source: h5py.Group, into: h5py.Group, made: dict[Any, Any]) -> None:
        """Copy a group; what it holds under two names stays one object."""
        into.attrs.update(source.attrs)
        for name in source:
            item = source[name]
            if item in made:
                into[name] = made[item]
            elif isinstance(item, h5py.Group):
                self._copy(item, into.create_group(name), made)
            elif self._by_row(item):
                made[item] = self._empty(item, into, name)
            else:
                source.copy(item, into, name)

    def _by_row(self, item: h5py.Dataset) -> bool:
        return item.ndim in (1, 3) and item.shape[0] == len(self._counts)

    def _empty(self, item: h5py.Dataset, into: h5py.Group, name: str) -> h5py.Dataset:
        shape, longest = ((0, *item.shape[1:]), (None, *item.shape[1:])) if self._grow else (item.shape, item.maxshape)
        new = into.create_dataset(name, shape, item.dtype, maxshape=longest, chunks=item.chunks or (CHUNK,), **_compression(item))
        new.attrs.update(item.attrs)
        self._pairs.append((item, new))
        return new


def _compression(item: h5py.Dataset) -> dict[str, Any]:
    """Options that compress a new dataset as `item` is; its own filter values would be taken for others if they were set anew."""
    plist = item.id.get_create_plist()
    codes = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if codes == [SQUEEZED["compression"]]:
        return SQUEEZED
    return {"compression": item.compression, "compression_opts": item.compression_opts, "shuffle": item.shuffle}


def _frames(group: h5py.Group) -> h5py.Dataset:
    found: list[h5py.Dataset] = []
    group.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim == 3 else None)
    if len(found) != 1:
        raise XcdiError(f"{Path(group.file.filename).name} holds {len(found)} stacks of frames, expected one; it cannot be replayed")
    return found[0]
