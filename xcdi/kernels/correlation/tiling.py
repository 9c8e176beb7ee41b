"""Tiles of a matrix of frames by frames, and panels of the pixels that its elements sum over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons

__all__ = ["Counts", "Tile", "fold", "in_rows", "lay", "panels", "shape", "tiles"]

Counts: TypeAlias = Array | Photons  # (time, pixel)
Tile: TypeAlias = tuple[int, int, int, int]  # first and last + 1 row, first and last + 1 column


def shape(counts: Counts) -> tuple[int, int]:
    """Return the numbers of frames and of pixels."""
    return (counts.frames, counts.pixels) if isinstance(counts, Photons) else counts.shape


def in_rows(counts: Array) -> Array:
    """Return counts as integers without a sign, so that fewer types are compiled, those of one frame next to each other.

    Examples
    --------
    >>> in_rows(np.array([[True, False]]))
    array([[1, 0]], dtype=uint8)
    """
    return (counts if counts.strides[1] == counts.itemsize else np.ascontiguousarray(counts)).view(f"u{counts.itemsize}")


def tiles(rows: int, columns: int | None, size: int) -> list[Tile]:
    """Return the tiles of a matrix of `rows` by `columns`; without `columns`, those that its upper triangle touches.

    Examples
    --------
    >>> tiles(3, None, 2)
    [(0, 2, 0, 2), (0, 2, 2, 3), (2, 3, 2, 3)]
    """
    width = rows if columns is None else columns
    return [
        (i, min(i + size, rows), j, min(j + size, width))
        for i in range(0, rows, size)
        for j in range(i if columns is None else 0, width, size)
    ]


def panels(pixels: int, size: int) -> Iterator[tuple[int, int]]:
    """Run over the first and the last + 1 pixel of panels of `size` pixels.

    Examples
    --------
    >>> list(panels(5, 3))
    [(0, 3), (3, 5)]
    """
    return ((start, min(start + size, pixels)) for start in range(0, pixels, size))


def lay(counts: Counts, start: int, stop: int, out: Array) -> None:
    """Write the counts of the pixels `start` to `stop` into the first columns of `out`, and zeros behind them.

    Examples
    --------
    >>> out = np.ones((1, 3), np.float32)
    >>> lay(np.array([[5, 6, 7]]), 1, 3, out)
    >>> out
    array([[6., 7., 0.]], dtype=float32)
    """
    if isinstance(counts, Photons):
        out[...] = 0
        _scatter(counts.start, counts.pixel, counts.count, start, stop, out)
    else:
        np.copyto(out[:, : stop - start], counts[:, start:stop], casting="unsafe")
        out[:, stop - start :] = 0


@numba.njit(nogil=True, cache=True)
def fold(matrix, i0, i1, j0, j1):  # type: ignore[no-untyped-def]
    """Add a tile of the lower triangle of a square matrix to its mirror image in the upper one, and write the sum to both.

    Parameters
    ----------
    matrix : array, shape (row, row)
        Changed.
    i0, i1, j0, j1 : int
        The tile, in the upper triangle. The diagonal stays.

    Examples
    --------
    >>> matrix = np.array([[1.0, 2.0], [4.0, 3.0]])
    >>> fold(matrix, 0, 2, 0, 2)
    >>> matrix
    array([[1., 6.],
           [6., 3.]])
    """
    for top in range(i0, i1, 32):
        for left in range(j0, j1, 32):
            for i in range(top, min(top + 32, i1)):
                for j in range(max(left, i + 1), min(left + 32, j1)):
                    matrix[i, j] += matrix[j, i]
                    matrix[j, i] = matrix[i, j]


@numba.njit(nogil=True, cache=True)
def _scatter(start, pixel, count, first, last, out):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        e = start[t] + np.searchsorted(pixel[start[t] : start[t + 1]], first)
        while e < start[t + 1] and pixel[e] < last:
            out[t, pixel[e] - first] = count[e]
            e += 1
