"""Bitshuffle-LZ4 chunks to frames: a decoder that no bytes from a file can lead outside its arrays."""

from __future__ import annotations

import struct
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic
from numpy.typing import DTypeLike

from xcdi.backend import Array

try:
    from dectris.compression import decompress
except ImportError:  # an optional dependency: xcdi[fast]
    decompress = None

__all__ = ["ChunkError", "decode"]

HEADER = struct.Struct(">QI")  # bytes of the plain chunk, bytes of one block
DEFAULT_BLOCK = 8192  # what a block size of 0 means to bitshuffle
LARGEST_BLOCK = 1 << 20
WIDE, NARROW = 32, 8  # bytes moved at once
SPARSE = 32  # compressed better than this, a chunk is decoded faster here than by Dectris' decoder (benchmarks/ingest.py)
SPARE = 64  # bytes behind a block into which wide steps may run over
WHAT = {
    1: "a block's length points past the end of the chunk",
    2: "an LZ4 block is corrupt",
    3: "the end of the chunk is missing, or something follows it",
}


class ChunkError(ValueError):
    """The bytes of a chunk are not what they claim to be."""


def decode(raw: bytes, shape: tuple[int, ...], dtype: DTypeLike, out: Array | None = None) -> Array:
    """Values of one chunk that HDF5's bitshuffle filter wrote with LZ4.

    Parameters
    ----------
    raw : bytes
        The chunk as it lies in the file: 12 bytes of header, then blocks.
    shape : tuple of int
        Shape of the whole chunk, also where it hangs over the dataset's edge.
    dtype : dtype
        As stored; of 1, 2, 4 or 8 bytes, either byte order.
    out : array, shape `shape`, optional
        C-contiguous array of `dtype` to fill, so that no fresh memory is needed.

    Returns
    -------
    array, shape `shape`
        `out`, or a new array.

    Raises
    ------
    ChunkError
        If the chunk was made for another shape, or is damaged. `out` then holds anything.

    Notes
    -----
    The sizes of all work arrays come from `shape` and `dtype`; a size that the chunk claims is
    compared, never trusted. A block size of 0 means 8192 bytes. Runs without Python's lock. Chunks with many
    photons go through ``dectris-compression`` where that is installed; the values are the same.
    Source: Masui et al., Astronomy and Computing 12, 181 (2015), doi:10.1016/j.ascom.2015.07.002;
    LZ4 block format, Y. Collet.

    Examples
    --------
    >>> chunk = HEADER.pack(4, 0) + bytes([1, 2, 3, 4])         # fewer than 8 values are stored plain
    >>> decode(chunk, (2, 2), "u1")
    array([[1, 2],
           [3, 4]], dtype=uint8)
    """
    dtype = np.dtype(dtype)
    out = np.empty(shape, dtype) if out is None else out
    plain = _plain(out, shape, dtype)
    block = _block_size(raw, out.nbytes, dtype.itemsize)
    if decompress is not None and len(raw) * SPARSE > out.nbytes:
        return _by_dectris(raw, block, out)
    words = np.empty((block + SPARE) // 8, np.uint64)
    trouble = _decode(np.frombuffer(raw, np.uint8), block // dtype.itemsize, plain, words)
    if trouble:
        raise ChunkError(WHAT[trouble])
    return out


def _plain(out: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """`out` as a flat array of unsigned integers, without a copy."""
    if dtype.itemsize not in (1, 2, 4, 8):
        raise ChunkError(f"values of {dtype.itemsize} bytes; expected 1, 2, 4 or 8")
    if out.shape != tuple(shape) or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(f"out is {out.dtype}{out.shape}; expected a C-contiguous {dtype}{tuple(shape)}")
    return out.reshape(-1).view(f"u{dtype.itemsize}")


def _by_dectris(raw: bytes, block: int, out: Array) -> Array:
    """Fill `out` by Dectris' own decoder, which checks its input too; it wants the block size stated."""
    try:
        plain = decompress(HEADER.pack(out.nbytes, block) + raw[HEADER.size :], "bslz4", elem_size=out.dtype.itemsize)
    except RuntimeError as error:
        raise ChunkError(str(error)) from None
    if len(plain) != out.nbytes:
        raise ChunkError(f"{len(plain)} bytes came out, expected {out.nbytes}")
    out[...] = np.frombuffer(plain, out.dtype).reshape(out.shape)
    return out


def _block_size(raw: bytes, nbytes: int, itemsize: int) -> int:
    """Bytes of one block, once the header has been compared with the frame."""
    if len(raw) < HEADER.size:
        raise ChunkError(f"{len(raw)} bytes are too few for a header of {HEADER.size}")
    claimed, block = HEADER.unpack_from(raw)
    block = block or DEFAULT_BLOCK
    if claimed != nbytes:
        raise ChunkError(f"the header promises {claimed} bytes, the frame has {nbytes}")
    if block % (8 * itemsize) or block > LARGEST_BLOCK:
        raise ChunkError(f"blocks of {block} bytes; expected a multiple of {8 * itemsize} up to {LARGEST_BLOCK}")
    return block


def _mover(nbytes: int) -> Any:
    """Numba function that moves `nbytes` from one uint8 array to another without asking where they end."""

    @intrinsic
    def move(_context, dst, to, src, at):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            some = ir.VectorType(ir.IntType(8), nbytes).as_pointer()
            target, source = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2))
            value = builder.load(builder.bitcast(builder.gep(source, [arguments[3]]), some), align=1)
            builder.store(value, builder.bitcast(builder.gep(target, [arguments[1]]), some), align=1)
            return context.get_dummy_value()

        return types.void(dst, types.int64, src, types.int64), emit

    return move


_copy_wide = _mover(WIDE)
_copy_narrow = _mover(NARROW)


@numba.njit(nogil=True, cache=True)
def _decode(src, per_block, out, words):  # type: ignore[no-untyped-def]
    """Fill `out` from `src`; 0, or a key of WHAT. `words` has room for one block."""
    size = out.itemsize
    bytes_ = words.view(np.uint8)
    shuffled = np.empty(8, np.uint64)
    filled = np.empty(per_block // 64 + 1, np.uint64)
    at, done, total = 12, 0, out.size
    while total - done >= 8:
        n = min(per_block, total - done) // 8 * 8
        if at + 4 > src.size:
            return 1
        length = np.int64(src[at]) << 24 | np.int64(src[at + 1]) << 16 | np.int64(src[at + 2]) << 8 | np.int64(src[at + 3])
        at += 4
        if length > src.size - at:
            return 1
        if _lz4(src, at, at + length, bytes_, n * size) != n * size:
            return 2
        at += length
        out[done : done + n] = 0
        if n % 64 == 0:
            _unshuffle_words(words, n // 64, out, done, shuffled, filled)
        else:
            _unshuffle_bits(bytes_, n // 8, out, done)
        done += n
    rest = total - done
    if src.size - at != rest * size:
        return 3
    tail = out.view(np.uint8)[done * size :]
    for i in range(rest * size):
        tail[i] = src[at + i]
    return 0


@numba.njit(nogil=True, cache=True)
def _lz4(src, at, end, dst, room):  # type: ignore[no-untyped-def]
    """Decode the LZ4 block ``src[at:end]`` to ``dst[:room]``; bytes written, or -1."""
    d = 0
    while at < end:
        token = np.int64(src[at])
        at += 1
        n, at = _run_length(src, at, end, token >> 4)
        if n < 0 or n > end - at or n > room - d:
            return -1
        _copy(src, at, dst, d, n)
        at += n
        d += n
        if at >= end:
            break
        if at + 2 > end:
            return -1
        back = np.int64(src[at]) | np.int64(src[at + 1]) << 8
        n, at = _run_length(src, at + 2, end, token & 15)
        n += 4
        if n < 4 or back == 0 or back > d or n > room - d:
            return -1
        _repeat(dst, d, back, n)
        d += n
    return d


@numba.njit(nogil=True, cache=True, inline="always")
def _copy(src, at, dst, d, n):  # type: ignore[no-untyped-def]
    """Copy `n` bytes, in wide steps where these stay inside `src`; `dst` has SPARE bytes behind its end."""
    if at + n + WIDE <= src.size:
        k = 0
        while k < n:
            _copy_wide(dst, d + k, src, at + k)
            k += WIDE
    else:
        for i in range(n):
            dst[d + i] = src[at + i]


@numba.njit(nogil=True, cache=True, inline="always")
def _run_length(src, at, end, n):  # type: ignore[no-untyped-def]
    """Length whose first four bits are `n`, and where the next byte is; -8 if the block ends first."""
    if n == 15:
        more = 255
        while more == 255:
            if at >= end:
                return -8, at
            more = np.int64(src[at])
            n += more
            at += 1
    return n, at


@numba.njit(nogil=True, cache=True, inline="always")
def _repeat(dst, d, back, n):  # type: ignore[no-untyped-def]
    """Copy `n` bytes from `back` bytes before `d`; they may overlap, which repeats them."""
    far = back
    k = 0
    if back < WIDE:  # lay down the pattern until a multiple of its period leaves room for wide steps
        far = back * (1 + (WIDE - 1) // back)
        lead = min(n, far - back)
        if back >= NARROW:
            while k < lead:
                _copy_narrow(dst, d + k, dst, d + k - back)
                k += NARROW
            k = lead
        else:
            while k < lead:
                dst[d + k] = dst[d + k - back]
                k += 1
    while k < n:
        _copy_wide(dst, d + k, dst, d + k - far)
        k += WIDE


@numba.njit(nogil=True, cache=True)
def _unshuffle_words(planes, per_plane, out, first, x, filled):  # type: ignore[no-untyped-def]
    """Add bit planes of ``64 * per_plane`` values to ``out[first:]``, 64 values at a time.

    Planes of few photons are nearly empty: where no bit is set nothing is done, and few bits are placed one by one.
    """
    size = out.itemsize
    bytes_ = out.view(np.uint8)
    for j in range(size):
        eight = planes[j * 8 * per_plane : (j + 1) * 8 * per_plane]
        for w in range(per_plane):
            filled[w] = eight[w]
        for k in range(1, 8):
            plane = eight[k * per_plane : (k + 1) * per_plane]
            for w in range(per_plane):
                filled[w] |= plane[w]
        for w in range(per_plane):
            if filled[w]:
                here = bytes_[(first + 64 * w) * size + j :]
                if _few(eight, w, per_plane):
                    _place(eight, w, per_plane, here, size)
                else:
                    _transpose(eight, w, per_plane, x)
                    for c in range(8):
                        for i in range(8):
                            here[(8 * c + i) * size] = np.uint8(x[c] >> np.uint64(8 * i))


@numba.njit(nogil=True, cache=True, inline="always")
def _few(planes, w, stride):  # type: ignore[no-untyped-def]
    """Whether at most two of the eight words of 64 values hold a bit."""
    n = 0
    for k in range(8):
        n += planes[k * stride + w] != 0
    return n <= 2


@numba.njit(nogil=True, cache=True, inline="always")
def _place(planes, w, stride, here, step):  # type: ignore[no-untyped-def]
    """Set the bits of 64 values one by one."""
    for k in range(8):
        word = planes[k * stride + w]
        bit = np.uint8(1 << k)
        while word:
            here[np.int64(trailing_zeros(word)) * step] |= bit
            word &= word - np.uint64(1)


@numba.njit(nogil=True, cache=True, inline="always")
def _transpose(planes, at, stride, x):  # type: ignore[no-untyped-def]
    """Byte of 64 values from eight bit planes: byte i of ``x[c]`` belongs to value ``8 c + i``."""
    for c in range(8):
        x[c] = np.uint64(0)
    for k in range(8):
        word = planes[at + k * stride]
        for c in range(8):
            x[c] |= ((word >> np.uint64(8 * c)) & np.uint64(255)) << np.uint64(8 * k)
    for c in range(8):  # transpose of an 8 x 8 bit matrix: Warren, Hacker's Delight (2012), 7-3
        v = x[c]
        t = (v ^ (v >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
        v ^= t ^ (t << np.uint64(7))
        t = (v ^ (v >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
        v ^= t ^ (t << np.uint64(14))
        t = (v ^ (v >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
        x[c] = v ^ t ^ (t << np.uint64(28))


@numba.njit(nogil=True, cache=True)
def _unshuffle_bits(planes, per_plane, out, first):  # type: ignore[no-untyped-def]
    """The same for the last, odd block, bit by bit."""
    size = out.itemsize
    bytes_ = out.view(np.uint8)
    for bit in range(8 * size):
        for b in range(per_plane):
            byte = planes[bit * per_plane + b]
            for i in range(8):
                if (byte >> i) & 1:
                    bytes_[(first + 8 * b + i) * size + bit // 8] |= np.uint8(1 << (bit % 8))
