"""Exact products of frames from dot products of bytes, for counts that often are above one."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation import amx, blocks, vnni
from xcdi.kernels.correlation.lists import in_turn
from xcdi.kernels.correlation.tiling import Counts, fold, panels, shape, tiles

__all__ = ["LIMITS", "products", "units"]

SQUARE = 32  # frames by frames whose dot products are summed at once
TILE = 128  # frames by frames that one thread does at a time
STRIP = 128  # blocks of each frame that are read together: those of a tile stay in the second cache, and sums below 2**31
PANEL_BYTES = 2**28  # of blocks at a time
LIMITS = {"amx": 255, "vnni": 127}  # counts that each unit takes


@cache
def units() -> tuple[str, ...]:
    """Units of this processor that can do it, the fastest first.

    Examples
    --------
    >>> set(units()) <= {"amx", "vnni"}
    True
    """
    return tuple(name for name, unit in (("amx", amx), ("vnni", vnni)) if unit.available())


def products(left: Counts, right: Counts | None = None, *, unit: str, threads: int = 1) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    left : integer array, shape (time, pixel), or Photons
        Photon counts, 0 to 255 (``"amx"``) or 127 (``"vnni"``); not checked.
    right : array, shape (time2, pixel), or Photons, optional
        Second set of frames; by default the same as `left`, at half the cost.
    unit : str
        One of :func:`units`.
    threads : int, optional
        At most so many at once. The result is the same for any number.

    Returns
    -------
    float64 array, shape (time, time2)
        Integers, exact below 2**53.

    Raises
    ------
    ValueError
        If this processor has no such unit.

    Examples
    --------
    >>> [products(np.array([[1, 2], [3, 0]]), unit=unit).tolist() == [[5, 3], [3, 9]] for unit in units()[:1]] in ([True], [])
    True
    """
    if unit not in units():
        raise ValueError(f"this processor has no unit {unit!r}; it has {list(units())}")
    _check(unit)
    return _products(left, right, unit, threads)


@cache
def _check(unit: str) -> None:
    """Try the unit once on counts whose products are known: a processor that promises what it cannot do must not pass unnoticed."""
    trial = np.arange(3 * 67, dtype=np.uint8).reshape(3, 67) % 120
    if not np.array_equal(_products(trial, None, unit, 1), trial.astype(np.int64) @ trial.T.astype(np.int64)):
        raise RuntimeError(f"the unit {unit!r} of this processor gives wrong products; take another kernel")


def _products(left: Counts, right: Counts | None, unit: str, threads: int) -> Array:
    rows, columns = shape(left)[0], None if right is None else shape(right)[0]
    out = np.zeros((rows, rows if columns is None else columns))
    multiply = {"amx": _multiply_amx, "vnni": _multiply_vnni}[unit]
    size = max(64 * STRIP, PANEL_BYTES // (2 * max(1, rows + (columns or 0))) // (64 * STRIP) * 64 * STRIP)
    for start, stop in panels(shape(left)[1], size):
        one = blocks.pack(left, start, stop, threads=threads)
        two = one if right is None else blocks.pack(right, start, stop, threads=threads)
        folded = right is None and stop == shape(left)[1]
        jobs = [(one.rows, two.columns, right is None, folded, out, *tile) for tile in tiles(rows, columns, TILE)]
        in_turn(multiply, jobs, threads)
    return out


@numba.njit(nogil=True, cache=True)
def _multiply_amx(rows, columns, symmetric, folded, out, i0, i1, j0, j1):  # type: ignore[no-untyped-def]
    """Add the products of a tile of frames by frames to `out`, and its mirror image if it is the last time."""
    sums = np.empty((SQUARE, SQUARE), np.int32)
    amx.begin()
    for first in range(0, rows.shape[1], STRIP):
        n = min(STRIP, rows.shape[1] - first)
        for i in range(i0, i1, SQUARE):
            for j in range(max(i, j0) if symmetric else j0, j1, SQUARE):
                amx.multiply(rows, i // 16, columns, j // 16, first, n, sums)
                _add(sums, symmetric, out, i, i1, j, j1)
    amx.end()
    if folded:
        fold(out, i0, i1, j0, j1)


@numba.njit(nogil=True, cache=True)
def _multiply_vnni(rows, columns, symmetric, folded, out, i0, i1, j0, j1):  # type: ignore[no-untyped-def]
    """The same with vector instructions."""
    sums = np.empty((SQUARE, SQUARE), np.int32)
    for first in range(0, rows.shape[1], STRIP):
        n = min(STRIP, rows.shape[1] - first)
        for i in range(i0, i1, SQUARE):
            for j in range(max(i, j0) if symmetric else j0, j1, SQUARE):
                vnni.multiply(rows, i // 16, columns, j // 16, first, n, sums)
                _add(sums, symmetric, out, i, i1, j, j1)
    if folded:
        fold(out, i0, i1, j0, j1)


@numba.njit(nogil=True, cache=True)
def _add(sums, symmetric, out, i, i1, j, j1):  # type: ignore[no-untyped-def]
    """Add sums to the part of `out` that starts at (i, j), of one set of frames above the diagonal only."""
    for r in range(min(SQUARE, i1 - i)):
        row = out[i + r]
        for c in range(max(0, i + r - j) if symmetric else 0, min(SQUARE, j1 - j)):
            row[j + c] += sums[r, c]
