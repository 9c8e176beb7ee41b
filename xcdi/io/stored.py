"""Frames as they lie on disk, before any count is unfolded: the way in for data that are mostly zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import dask.array as da
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.decoding_photons import Selection, Writer, select

__all__ = ["Events", "Packed", "Source", "stored"]


@dataclass(frozen=True)
class Packed:
    """One frame that is one chunk of bitshuffle-LZ4, as it lies in the file.

    A frame that is missing has None in its place; one that is damaged raises ChunkError when its photons are asked for.

    Attributes
    ----------
    raw : bytes
        The chunk.
    shape : (rows, columns)
        Of the frame.
    dtype : dtype
        Of its counts, in the byte order of the file.
    filtered : bool
        False where HDF5 stored this chunk without its filter.
    """

    raw: bytes
    shape: tuple[int, int]
    dtype: np.dtype
    filtered: bool = True

    def photons(self, place: Array | Selection) -> tuple[Array, Array]:
        """New pixel numbers (rising) and counts: see :func:`xcdi.kernels.decoding_photons.photons`."""
        return _photons(self, place)

    def write(self, writer: Writer) -> int:
        """Append the photons to `writer`; return their number."""
        return writer.add(self.raw, self.shape, self.dtype, packed=self.filtered)


@dataclass(frozen=True)
class Events:
    """One frame that is stored as a list of its photons; None stands for one that is missing or cannot be true.

    Attributes
    ----------
    pixel : int array, shape (event,)
        Number in raster order, rising, each once.
    count : unsigned integer array, shape (event,)
        Photons in that pixel.
    shape : (rows, columns)
        Of the frame.
    """

    pixel: Array
    count: Array
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype:
        """Type of the counts."""
        return self.count.dtype

    def photons(self, place: Array | Selection) -> tuple[Array, Array]:
        """New pixel numbers (rising) and counts: see :func:`xcdi.kernels.decoding_photons.photons`."""
        return _photons(self, place)

    def write(self, writer: Writer) -> int:
        """Append the photons to `writer`; return their number."""
        return writer.add_events(self.pixel, self.count)


def _photons(frame: Packed | Events, place: Array | Selection) -> tuple[Array, Array]:
    writer = Writer(place if isinstance(place, Selection) else select(place), frame.dtype)
    frame.write(writer)
    return writer.events()


class Source(Protocol):
    """Frames that can be had as they are stored."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        ...

    def stored(self, start: int, stop: int) -> Array:
        """Object array of the frames `start` to `stop`: Packed or Events, None for one that is missing."""
        ...


def stored(source: Source, *, frames_per_chunk: int = 50) -> da.Array:
    """Lazy object array (frame,) of `source`, in the chunks of :func:`xcdi.io.chunks.frames`."""
    whole, rest = divmod(source.shape[0], frames_per_chunk)
    along = (frames_per_chunk,) * whole + ((rest,) if rest else ())
    return da.map_blocks(_block, source, dtype=object, chunks=(along or (0,),), meta=np.empty(0, object), name=None)


def _block(source: Source, block_info: Any = None) -> Array:
    start, stop = block_info[None]["array-location"][0]
    return source.stored(start, stop)
