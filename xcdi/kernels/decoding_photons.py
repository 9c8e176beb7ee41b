"""Bitshuffle-LZ4 chunks to photons: the bit planes are read as they are, and no frame is ever unfolded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic
from numpy.typing import DTypeLike

from xcdi.backend import Array
from xcdi.kernels.decoding import SPARE, WHAT, ChunkError, _block_size, _lz4

__all__ = ["Selection", "Writer", "photons", "select"]

FULL = 9  # besides the keys of decoding.WHAT: there is no room for more photons
FIRST_ROOM = 1 << 12  # events


class Selection(NamedTuple):
    """Which pixels of a detector are wanted, 64 to a word.

    Attributes
    ----------
    bits : uint64 array, shape (word,)
        Bit k of word w is set if pixel 64 w + k (in raster order) is wanted.
    base : int32 array, shape (word,)
        Wanted pixels before this word.
    number : int32 array, shape (pixel,), or None
        New number of each wanted pixel in raster order; None where these numbers are 0, 1, 2 ... themselves.
    shape : tuple of int
        Rows and columns of the detector.
    pixels : int
        Number of pixels afterwards: one more than the largest new number.
    """

    bits: Array
    base: Array
    number: Array | None
    shape: tuple[int, ...]
    pixels: int

    @property
    def size(self) -> int:
        """Number of pixels of the detector."""
        return int(np.prod(self.shape))


def select(place: Array) -> Selection:
    """Pack an image of pixel numbers, once for all frames.

    Parameters
    ----------
    place : int array, shape (y, x)
        New number of each pixel of the detector, -1 for one that is masked or outside. Each number at most once.

    Raises
    ------
    ValueError
        If two pixels have the same number.

    Examples
    --------
    >>> some = select(np.array([[-1, 0, 1], [2, -1, -1]]))
    >>> some.pixels, some.number, [int(word) for word in some.bits]
    (3, None, [14])
    """
    flat = np.ascontiguousarray(place).reshape(-1)
    wanted = flat >= 0
    number = flat[wanted].astype(np.int32)
    pixels = int(number.max(initial=-1)) + 1
    if number.size and np.bincount(number).max() > 1:
        raise ValueError("two pixels of the detector have the same number; expected each number once")
    packed = np.zeros((-(-flat.size // 64)) * 8, np.uint8)
    bytes_ = np.packbits(wanted, bitorder="little")
    packed[: bytes_.size] = bytes_
    bits = packed.view("<u8").astype(np.uint64)
    base = np.concatenate([[0], np.cumsum(np.bitwise_count(bits))[:-1]]).astype(np.int32)
    plain = np.array_equal(number, np.arange(number.size))
    return Selection(bits, base, None if plain else number, tuple(place.shape), pixels)


def photons(raw: bytes, shape: tuple[int, ...], dtype: DTypeLike, place: Array | Selection, *, packed: bool = True) -> tuple[Array, Array]:
    """Counts other than zero of one chunk, at the pixels that are wanted.

    Parameters
    ----------
    raw : bytes
        The chunk as HDF5's bitshuffle filter wrote it with LZ4 (see :func:`xcdi.kernels.decoding.decode`).
    shape : tuple of int
        Of the chunk, one frame: (y, x) or (1, y, x).
    dtype : dtype
        As stored; whole numbers of 1, 2, 4 or 8 bytes, either byte order.
    place : int array (y, x), or Selection
        New number of each pixel, -1 for one that is not wanted. Pack it once (:func:`select`) for many frames.
    packed : bool
        False for a chunk that was stored without the filter.

    Returns
    -------
    pixel : int32 array, shape (event,)
        New numbers, rising.
    count : uint32 array, shape (event,)
        Counts as stored, uint64 where those have 8 bytes. A sentinel (all bits one) and a negative number come out as huge counts.

    Raises
    ------
    ChunkError
        If the chunk was made for another shape, or is damaged where a pixel is wanted: blocks that hold none are not decoded.

    Notes
    -----
    After LZ4 a block of bitshuffle holds the lowest bits of all its values, then the next ones, and so on. Of sparse data the first
    such plane is a picture of the photons and the others are empty: their OR with the first, AND the mask, 64 pixels at a
    time, leaves one bit for each event. Where the numbers rise in raster order a pixel's new number is the count of mask bits before it.
    Source: bitshuffle: Masui et al., Astronomy and Computing 12, 181 (2015), doi:10.1016/j.ascom.2015.07.002;
    photons by counting zeros: J. Wright, bslz4_to_sparse (2022), there on values put together.

    Examples
    --------
    >>> from xcdi.kernels.decoding import HEADER
    >>> chunk = HEADER.pack(4, 0) + bytes([1, 0, 3, 4])         # fewer than 8 values are stored plain
    >>> photons(chunk, (2, 2), "u1", np.array([[0, 1], [2, -1]]))
    (array([0, 2], dtype=int32), array([1, 3], dtype=uint32))
    """
    chosen = place if isinstance(place, Selection) else select(place)
    writer = Writer(chosen, dtype)
    writer.add(raw, shape, dtype, packed=packed)
    return writer.events()


class Writer:
    """Photons of many frames, one after the other, in arrays that grow and are used again.

    Parameters
    ----------
    chosen : Selection
        Pixels that are wanted.
    dtype : dtype
        As stored in the chunks, in either byte order.

    Examples
    --------
    >>> from xcdi.kernels.decoding import HEADER
    >>> writer = Writer(select(np.array([[0, 1]])), "u1")
    >>> [writer.add(HEADER.pack(2, 0) + bytes(frame), (1, 2), "u1") for frame in ([0, 7], [1, 1])]
    [1, 2]
    >>> writer.events()[1]
    array([7, 1, 1], dtype=uint32)
    """

    def __init__(self, chosen: Selection, dtype: DTypeLike) -> None:
        kind = np.dtype(dtype)
        if kind.kind not in "ui" or kind.itemsize not in (1, 2, 4, 8):
            raise ValueError(f"photons are counted in whole numbers of 1, 2, 4 or 8 bytes, not in {kind}")
        self.chosen, self.end = chosen, 0
        self.pixel = np.empty(FIRST_ROOM, np.int32)
        self.count = np.empty(FIRST_ROOM, np.uint64 if kind.itemsize == 8 else np.uint32)
        self._words = self._filled = np.empty(0, np.uint64)
        spread = 0 if chosen.number is None else chosen.pixels
        self._seen, self._value = np.zeros(-(-spread // 64), np.uint64), np.empty(spread, self.count.dtype)

    def add(self, raw: bytes, shape: tuple[int, ...], dtype: DTypeLike, *, packed: bool = True) -> int:
        """Append the photons of one chunk; return how many events it had. Without a trace of it where it is damaged.

        Raises
        ------
        ChunkError
            See :func:`photons`.
        ValueError
            If the chunk is of another shape or type than the pixels or the counts: a mistake of the caller.
        """
        size, kind = int(np.prod(shape)), np.dtype(dtype)
        if kind.itemsize > self.count.itemsize or kind.kind not in "ui":
            raise ValueError(f"a chunk of {kind}, and the counts are kept as {self.count.dtype}")
        if size != self.chosen.size:
            raise ValueError(f"a chunk of {tuple(shape)}, and the pixels are chosen on {self.chosen.shape}")
        room = self._packed if packed else self._stored
        return self._append(lambda: room(raw, size, kind))

    def add_events(self, pixel: Array, count: Array) -> int:
        """Append events of a frame that is stored as such: number in raster order and count of each pixel, rising, each once."""
        if pixel.size and not 0 <= pixel[0] <= pixel[-1] < self.chosen.size:
            raise ValueError(f"pixels {pixel[0]} to {pixel[-1]}, and the pixels are chosen on {self.chosen.shape}")
        values = count.astype(self.count.dtype, copy=False)
        return self._append(lambda: self._listed(pixel, values))

    def _append(self, write: Callable[[], int]) -> int:
        """Call `write` until there is room, and put what it wrote in order; number of events."""
        end = write()
        while end == -FULL:
            self.reserve(2 * self.pixel.size)
            end = write()
        if end < 0:
            raise ChunkError(WHAT[-end])
        first, self.end = self.end, end
        if self.chosen.number is not None:
            _renumber(self.pixel, self.count, first, end, self.chosen.number, self._seen, self._value)
        return end - first

    def reserve(self, room: int) -> None:
        """Make room for so many events in all."""
        if room > self.pixel.size:
            pixel, count = np.empty(room, np.int32), np.empty(room, self.count.dtype)
            pixel[: self.end], count[: self.end] = self.events()
            self.pixel, self.count = pixel, count

    def events(self) -> tuple[Array, Array]:
        """New pixel numbers and counts of all frames so far; views that the next frame may outdate."""
        return self.pixel[: self.end], self.count[: self.end]

    def _packed(self, raw: bytes, size: int, kind: np.dtype) -> int:
        block = _block_size(raw, size * kind.itemsize, kind.itemsize)
        if self._words.nbytes < block + SPARE:
            self._words = np.empty((block + SPARE) // 8, np.uint64)
            self._filled = np.empty(block // kind.itemsize // 64 + 1, np.uint64)
        flip = 0 if kind == kind.newbyteorder("<") else 8 * (kind.itemsize - 1)
        src, sizes = np.frombuffer(raw, np.uint8), (block // kind.itemsize, kind.itemsize, size, flip)
        work = (self.chosen.bits, self.chosen.base, self._words, self._filled)
        return int(_unpack(src, *sizes, *work, self.pixel, self.count, self.end))

    def _stored(self, raw: bytes, size: int, kind: np.dtype) -> int:
        if len(raw) != size * kind.itemsize:
            raise ChunkError(f"{len(raw)} bytes stored for a chunk of {size} values {kind}")
        values = np.frombuffer(raw, kind).astype(f"u{kind.itemsize}")
        raster = np.flatnonzero(values).astype(np.int32)
        return self._listed(raster, values[raster].astype(self.count.dtype))

    def _listed(self, raster: Array, values: Array) -> int:
        return int(_pick(raster, values, self.chosen.bits, self.chosen.base, self.pixel, self.count, self.end))


@intrinsic
def _ones(_context: Any, word: Any) -> Any:
    """Number of bits that are set."""

    def emit(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)]), arguments)

    return types.int64(types.uint64), emit


@numba.njit(nogil=True, cache=True)
def _unpack(src, per_block, size, total, flip, bits, base, words, filled, pixel, count, at):  # type: ignore[no-untyped-def]
    """Write the events of chunk `src` from ``pixel[at]`` on; where they end, or minus a key of WHAT, or -FULL."""
    bytes_ = words.view(np.uint8)
    here, done = 12, 0
    while total - done >= 8:
        n = min(per_block, total - done) // 8 * 8
        if here + 4 > src.size:
            return -1
        length = np.int64(src[here]) << 24 | np.int64(src[here + 1]) << 16 | np.int64(src[here + 2]) << 8 | np.int64(src[here + 3])
        here += 4
        if length > src.size - here:
            return -1
        if _wanted(bits, done, n):
            if _lz4(src, here, here + length, bytes_, n * size) != n * size:
                return -2
            if n % 64 == 0 and done % 64 == 0:
                at = _by_words(words, n // 64, size, flip, done // 64, bits, base, filled, pixel, count, at)
            else:
                at = _by_bytes(bytes_, n // 8, size, flip, done, bits, base, pixel, count, at)
            if at < 0:
                return at
        here += length
        done += n
    if src.size - here != (total - done) * size:
        return -3
    for p in range(done, total):
        value = np.uint64(0)
        for j in range(size):
            value |= np.uint64(src[here + j]) << np.uint64(8 * j ^ flip)
        here += size
        at = _single(p, value, bits, base, pixel, count, at)
        if at < 0:
            return at
    return at


@numba.njit(nogil=True, cache=True)
def _wanted(bits, first, n):  # type: ignore[no-untyped-def]
    """Whether the words that hold the pixels `first` to ``first + n`` have a bit that is set."""
    some = np.uint64(0)
    for w in range(first // 64, (first + n + 63) // 64):
        some |= bits[w]
    return some != 0


@numba.njit(nogil=True, cache=True)
def _single(p, value, bits, base, pixel, count, at):  # type: ignore[no-untyped-def]
    """Write one pixel, if it holds something and is wanted."""
    keep, bit = bits[p // 64], np.uint64(1) << np.uint64(p % 64)
    if value != 0 and keep & bit:
        if at >= pixel.size:
            return -FULL
        pixel[at] = base[p // 64] + _ones(keep & (bit - np.uint64(1)))
        count[at] = value
        return at + 1
    return at


@numba.njit(nogil=True, cache=True)
def _by_words(planes, per_plane, size, flip, first, bits, base, filled, pixel, count, at):  # type: ignore[no-untyped-def]
    """Events of a block of ``64 * per_plane`` pixels; its bit j of all pixels is plane ``j ^ flip``."""
    low, keep = planes[flip * per_plane : (flip + 1) * per_plane], bits[first : first + per_plane]
    high, active = filled[:per_plane], np.uint64(0)
    high[:] = np.uint64(0)
    for j in range(1, 8 * size):
        plane, some = planes[(j ^ flip) * per_plane : ((j ^ flip) + 1) * per_plane], np.uint64(0)
        for w in range(per_plane):
            word = plane[w] & keep[w]
            high[w] |= word
            some |= word
        if some:
            active |= np.uint64(1) << np.uint64(j)
    for w in range(per_plane):
        one = low[w] & keep[w]
        some, more = one | high[w], high[w]
        if some:
            n = _ones(some)
            if at + n > pixel.size:
                return -FULL
            _numbers(some, keep[w], base[first + w], pixel, count, at)
            while more:
                bit = more & (~more + np.uint64(1))
                k, value = trailing_zeros(bit), np.uint64((one & bit) != 0)
                left = active
                while left:
                    j = np.int64(trailing_zeros(left))
                    value |= ((planes[(j ^ flip) * per_plane + w] >> k) & np.uint64(1)) << np.uint64(j)
                    left &= left - np.uint64(1)
                count[at + _ones(some & (bit - np.uint64(1)))] = value
                more ^= bit
            at += n
    return at


@numba.njit(nogil=True, cache=True)
def _numbers(some, keep, before, pixel, count, at):  # type: ignore[no-untyped-def]
    """Write the pixels of one word that saw something, each as one photon."""
    while some:
        bit = some & (~some + np.uint64(1))
        pixel[at] = before + _ones(keep & (bit - np.uint64(1)))
        count[at] = 1
        at += 1
        some ^= bit


@numba.njit(nogil=True, cache=True)
def _by_bytes(planes, per_plane, size, flip, first, bits, base, pixel, count, at):  # type: ignore[no-untyped-def]
    """The same for an odd block of ``8 * per_plane`` pixels, pixel by pixel."""
    for b in range(per_plane):
        some = np.uint8(0)
        for j in range(8 * size):
            some |= planes[j * per_plane + b]
        if some:
            for k in range(8):
                value = np.uint64(0)
                for j in range(8 * size):
                    value |= np.uint64((planes[(j ^ flip) * per_plane + b] >> k) & 1) << np.uint64(j)
                at = _single(first + 8 * b + k, value, bits, base, pixel, count, at)
                if at < 0:
                    return at
    return at


@numba.njit(nogil=True, cache=True)
def _pick(raster, values, bits, base, pixel, count, at):  # type: ignore[no-untyped-def]
    """Events that are wanted, of a list that holds all."""
    for e in range(raster.size):
        at = _single(np.int64(raster[e]), np.uint64(values[e]), bits, base, pixel, count, at)
        if at < 0:
            return at
    return at


@numba.njit(nogil=True, cache=True)
def _renumber(pixel, count, first, end, number, seen, value):  # type: ignore[no-untyped-def]
    """Give the events their new numbers and put them in the order of these. `seen` is zero before and after."""
    for e in range(first, end):
        p = np.int64(number[pixel[e]])
        seen[p // 64] |= np.uint64(1) << np.uint64(p % 64)
        value[p] = count[e]
    e = first
    for w in range(seen.size):
        word = seen[w]
        while word:
            p = 64 * w + np.int64(trailing_zeros(word))
            pixel[e] = p
            count[e] = value[p]
            word &= word - np.uint64(1)
            e += 1
        seen[w] = np.uint64(0)
