"""Frames on disk as one lazy stack: read by whole chunks, decoded outside HDF5's lock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import h5py
import numpy as np

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.io.stored import Packed
from xcdi.io.vetting import Place, opened
from xcdi.kernels.decoding import ChunkError, decode

__all__ = ["Frames", "Piece", "Stack", "frames", "piece", "read_frames", "sentinel", "stack"]

BITSHUFFLE = 32008
LZ4 = 2  # bitshuffle's number for the codec behind it


@dataclass(frozen=True)
class Piece:
    """Consecutive frames in one dataset."""

    place: Place
    root: Path
    first: int  # frame of the scan that its first frame is
    shape: tuple[int, int, int]
    dtype: np.dtype
    written: tuple[tuple[int, int], ...]  # half-open runs of frames that have bytes on disk
    single: bool = False  # whether every frame is one chunk of bitshuffle-LZ4, of whole numbers

    def __len__(self) -> int:
        """Number of frames."""
        return self.shape[0]


@dataclass(frozen=True)
class Stack:
    """All frames of a scan, in order; frames that no piece holds are missing."""

    pieces: tuple[Piece, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype

    def written(self) -> Array:
        """Bool (frame,): whether the frame has bytes on disk."""
        there = np.zeros(self.shape[0], bool)
        for part in self.pieces:
            for a, b in part.written:
                there[part.first + a : part.first + b] = True
        return there

    @property
    def single(self) -> bool:
        """Whether every frame is one chunk that photons can be read from."""
        return all(part.single for part in self.pieces)

    def upto(self, n: int) -> Stack:
        """The first `n` frames."""
        return Stack(self.pieces, (n, *self.shape[1:]), self.dtype)

    def read(self, start: int, stop: int) -> Array:
        """Frames `start` to `stop`: see :func:`read_frames`."""
        return read_frames(self, start, stop)

    def stored(self, start: int, stop: int) -> Array:
        """Frames `start` to `stop` as they lie in the file: object (frame,) of Packed, None where nothing is.

        HDF5's lock is held while the bytes are copied, not while they are decoded.
        """
        out = np.full(stop - start, None, object)
        for part in self.pieces:
            a, b = max(start, part.first), min(stop, part.first + len(part))
            if a < b:
                _fetch(part, a - part.first, out[a - start : b - start])
        return out


class Frames(Protocol):
    """Frames that can be read."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the counts."""
        ...

    def read(self, start: int, stop: int) -> Array:
        """Counts of the frames `start` to `stop`."""
        ...


def sentinel(dtype: np.dtype) -> int | None:
    """Value that means "no data" in frames of integers: all bits one.

    Examples
    --------
    >>> sentinel(np.dtype("u2")), sentinel(np.dtype("i4")), sentinel(np.dtype("f4"))
    (65535, -1, None)
    """
    if dtype.kind == "u":
        return int(np.iinfo(dtype).max)
    return -1 if dtype.kind == "i" else None


def piece(place: Place, *, root: Path, first: int = 0) -> Piece:
    """Describe one dataset of frames; reads no frame.

    Raises
    ------
    XcdiError
        If it is not of rank 2 (one frame), 3, or 4 with one channel, or holds no numbers.
    """
    with opened(place, root=root) as data:
        where = f"{place.file.name}: {place.path!r}"
        if data.ndim == 4 and data.shape[1] != 1:
            raise XcdiError(f"{where} has {data.shape[1]} channels; expected one: write each channel as a scan of its own")
        if data.ndim not in (2, 3, 4):
            raise XcdiError(f"{where} has shape {data.shape}; expected frames, as (frame, y, x)")
        if data.dtype.kind not in "uifb":
            raise XcdiError(f"{where} holds {data.dtype}; expected whole or real numbers")
        shape = (data.shape[0] if data.ndim > 2 else 1, *data.shape[-2:])
        return Piece(place, root, first, shape, data.dtype.newbyteorder("="), _written(data), _single(data))


def _single(data: h5py.Dataset) -> bool:
    """Whether photons can be read from its chunks, one frame at a time."""
    whole = data.chunks == (1, *data.shape[1:]) and data.dtype.kind in "ui" and data.ndim == 3
    return bool(whole and _direct(data) and data.id.get_create_plist().get_nfilters())


def _written(data: h5py.Dataset) -> tuple[tuple[int, int], ...]:
    """Census of the chunks: runs of frames that have bytes on disk."""
    n = data.shape[0] if data.ndim > 2 else 1
    if data.is_virtual:
        return ((0, n),)
    if data.chunks is None or data.ndim == 2:
        return ((0, n),) if data.id.get_storage_size() or not data.size else ()
    deep, tiles = data.chunks[0], int(np.prod([-(-s // c) for s, c in zip(data.shape[1:], data.chunks[1:], strict=True)]))
    layers = -(-n // deep)
    if data.id.get_num_chunks() == layers * tiles:
        return ((0, n),)
    found = np.zeros(layers, int)

    def count(info: Any) -> None:
        layer = info.chunk_offset[0] // deep
        if layer < layers:  # a growing file may be longer by now
            found[layer] += 1

    data.id.chunk_iter(count)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found == tiles, [False]])))
    return tuple((int(a) * deep, min(int(b) * deep, n)) for a, b in edges.reshape(-1, 2))


def stack(pieces: list[Piece]) -> Stack:
    """Join pieces whose `first` says where they belong.

    Raises
    ------
    XcdiError
        If their frames differ in shape or dtype, or two of them hold the same frames.
    """
    pieces = sorted(pieces, key=lambda part: part.first)
    head = pieces[0]
    for before, part in pairwise(pieces):
        if part.shape[1:] != head.shape[1:] or part.dtype != head.dtype:
            raise XcdiError(
                f"{part.place.file.name}: frames are {part.dtype} {part.shape[1:]}, in {head.place.file.name} {head.dtype} {head.shape[1:]}"
            )
        if part.first < before.first + len(before):
            raise XcdiError(
                f"{part.place.file.name} holds frames from {part.first}, but {before.place.file.name} holds "
                f"{before.first} to {before.first + len(before) - 1}; expected every frame once"
            )
    n = pieces[-1].first + len(pieces[-1])
    return Stack(tuple(pieces), (n, *head.shape[1:]), head.dtype)


def frames(source: Frames, *, frames_per_chunk: int = 50) -> da.Array:
    """Lazy array (frame, y, x) of `source`; every task opens its own files and closes them again."""
    n, *image = source.shape
    whole, rest = divmod(n, frames_per_chunk)
    along = (frames_per_chunk,) * whole + ((rest,) if rest else ())
    return da.map_blocks(
        _block,
        source,
        dtype=source.dtype,
        chunks=(along or (0,), *((size,) for size in image)),
        meta=np.empty((0, 0, 0), source.dtype),
        name=None,
    )


def _block(source: Frames, block_info: Any = None) -> Array:
    start, stop = block_info[None]["array-location"][0]
    return source.read(start, stop)


def read_frames(source: Stack, start: int, stop: int, *, out: Array | None = None, workers: int = 1) -> Array:
    """Frames `start` to `stop` exactly as they are stored, in native byte order.

    Parameters
    ----------
    source : Stack
        Where the frames are.
    start, stop : int
        Half-open range of frames.
    out : array (stop - start, y, x), optional
        Array to fill instead of fresh memory, which costs more than the decoding.
    workers : int
        Threads that decode.

    Returns
    -------
    array (stop - start, y, x)
        A frame that is missing or damaged is all sentinel (NaN for real numbers).
    """
    shape = (stop - start, *source.shape[1:])
    out = np.empty(shape, source.dtype) if out is None else out
    gap = _gap(source.dtype)
    covered = np.zeros(len(out), bool)
    for part in source.pieces:
        a, b = max(start, part.first), min(stop, part.first + len(part))
        if a < b:
            _read_piece(part, a - part.first, b - part.first, out[a - start : b - start], gap, workers)
            covered[a - start : b - start] = True
    out[~covered] = gap
    return out


def _fetch(part: Piece, first: int, out: Array) -> None:
    """Bytes of the frames of `part` from `first` on, to `out`."""
    with opened(part.place, root=part.root) as data:
        for i in range(len(out)):
            try:
                skipped, raw = data.id.read_direct_chunk((first + i, 0, 0))
            except (OSError, RuntimeError, KeyError):  # what h5py raises where a chunk is absent or its bytes cannot be read
                continue
            out[i] = Packed(raw, (data.shape[1], data.shape[2]), data.dtype, not skipped & 1)


def _gap(dtype: np.dtype) -> Any:
    """What stands where nothing could be read."""
    value = sentinel(dtype)
    return (np.nan if dtype.kind == "f" else False) if value is None else value


def _read_piece(part: Piece, start: int, stop: int, out: Array, gap: Any, workers: int) -> None:
    with opened(part.place, root=part.root) as data:
        if not _direct(data):
            _through_hdf5(data, part, start, stop, out, gap)
            return
        work = partial(_layer, data=data, start=start, stop=stop, out=out, gap=gap)
        deep = data.chunks[0]
        layers = range(start // deep, -(-stop // deep))
        if workers == 1:
            for layer in layers:
                work(layer)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(work, layers))


def _direct(data: h5py.Dataset) -> bool:
    """Whether chunks can be read as bytes and decoded here."""
    if data.chunks is None or data.ndim != 3 or data.dtype.kind == "b":
        return False
    plist = data.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    if not filters:
        return True
    code, _, options, _ = filters[0]
    return len(filters) == 1 and code == BITSHUFFLE and len(options) > 4 and options[4] == LZ4 and data.dtype.itemsize in (1, 2, 4, 8)


def _layer(layer: int, *, data: h5py.Dataset, start: int, stop: int, out: Array, gap: Any) -> None:
    """Decode the chunks of frames ``layer * deep`` and following into `out`."""
    deep, *tile = data.chunks
    first = max(layer * deep, start)
    last = min((layer + 1) * deep, stop, data.shape[0])
    target = out[first - start : last - start]
    into = target if data.chunks == target.shape and data.dtype == out.dtype and target.flags.c_contiguous else None
    try:
        for y, x in product(*(range(0, size, step) for size, step in zip(data.shape[1:], tile, strict=True))):
            values = _chunk(data, (layer * deep, y, x), into)
            if into is None:
                window = target[:, y : y + tile[0], x : x + tile[1]]
                window[...] = values[first - layer * deep : last - layer * deep, : window.shape[1], : window.shape[2]]
    except (ChunkError, OSError, RuntimeError, KeyError):  # what h5py raises where a chunk is absent or its bytes cannot be read
        target[...] = gap


def _chunk(data: h5py.Dataset, offset: tuple[int, ...], out: Array | None) -> Array:
    """Values of one whole chunk, padding included."""
    skipped, raw = data.id.read_direct_chunk(offset)
    filtered = data.id.get_create_plist().get_nfilters() and not skipped & 1
    if filtered:
        return decode(raw, data.chunks, data.dtype, out)
    if len(raw) != int(np.prod(data.chunks)) * data.dtype.itemsize:
        raise ChunkError(f"{len(raw)} bytes stored for a chunk of {data.chunks} {data.dtype}")
    values = np.frombuffer(raw, data.dtype).reshape(data.chunks)
    if out is None:
        return values
    out[...] = values
    return out


def _through_hdf5(data: h5py.Dataset, part: Piece, start: int, stop: int, out: Array, gap: Any) -> None:
    """Read by HDF5's own filters: whole where possible, else frame by frame, so that one bad chunk costs its own frames."""
    runs = [(max(a, start), min(b, stop)) for a, b in part.written]
    out[...] = gap
    for a, b in runs:
        if a >= b:
            continue
        try:
            out[a - start : b - start] = _select(data, a, b)
        except OSError:
            for i, frame in _one_by_one(data, a, b):
                out[i - start] = gap if frame is None else frame


def _one_by_one(data: h5py.Dataset, start: int, stop: int) -> Iterator[tuple[int, Array | None]]:
    for i in range(start, stop):
        try:
            yield i, _select(data, i, i + 1)[0]
        except OSError:
            yield i, None


def _select(data: h5py.Dataset, start: int, stop: int) -> Array:
    if data.ndim == 2:
        return data[()][None]
    return data[start:stop] if data.ndim == 3 else data[start:stop, 0]
