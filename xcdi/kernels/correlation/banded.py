"""Banded products: exact sums over pixels of products of each frame with the few frames before it."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.row_dots import LANES, four_dots, one_dot

__all__ = ["SIGNED_BYTE", "Panels", "Sums", "cross", "dense", "halved", "nothing", "panels", "tile_totals"]

WIDEST = 4096  # pixels of one panel: sixteen frames of it stay in the second cache
EXACT_INT32 = 2**31
SIGNED_BYTE = 127  # what the fastest products of bytes take


class Sums(NamedTuple):
    """Sums of products, by the first of the two frames and by tile.

    Attributes
    ----------
    by_frame : int64 array, shape (time, lag)
    by_tile : int64 array, shape (tile, lag)
        Over all frames, for the pixels of one tile.
    """

    by_frame: Array
    by_tile: Array


class Panels(NamedTuple):
    """Runs of pixels that are multiplied at a time, each within one tile.

    Attributes
    ----------
    edge : int64 array, shape (panel + 1,)
        Panel i has the pixels ``edge[i]`` to ``edge[i + 1]``.
    tile : int64 array, shape (panel,)
        The tile of each panel.
    tiles : int
        Number of tiles.
    """

    edge: Array
    tile: Array
    tiles: int


def panels(tile: Array) -> Panels:
    """Cut pixels, sorted by tile, into panels.

    Parameters
    ----------
    tile : integer array, shape (pixel,)
        Tile of each pixel: 0, 1, ..., rising.

    Raises
    ------
    ValueError
        If the tiles are not in rising order from 0.

    Examples
    --------
    >>> panels(np.array([0, 0, 0, 1])).edge
    array([0, 3, 4])
    """
    step = np.diff(tile, prepend=0)
    if tile.size and (step.min() < 0 or step.max() > 1 or tile[0] != 0):
        raise ValueError("tiles are not 0, 1, ... in rising order; sort the pixels by tile")
    cuts = np.union1d(np.flatnonzero(step), np.arange(0, tile.size, WIDEST))
    edge = np.union1d(cuts, [0, tile.size]).astype(np.int64)
    return Panels(edge, np.asarray(tile)[edge[:-1]].astype(np.int64), int(tile[-1]) + 1 if tile.size else 1)


def dense(counts: Array, lags: Array, cut: Panels, most: int | None = None) -> Sums:
    """Products of dense frames with themselves and with frames before them.

    Parameters
    ----------
    counts : unsigned integer array, shape (time, pixel)
    lags : int64 array, shape (lag,)
        Lag 0, then consecutive lags.
    cut : Panels
    most : int, optional
        The largest count, or more.

    Returns
    -------
    Sums
        Row t, column k: ``sum_p n_p(t) n_p(t + lags[k])``, zero where there is no such frame.

    Notes
    -----
    Integers throughout: 32 bits within a panel where they are enough, else 64.

    Examples
    --------
    >>> dense(np.array([[1, 2], [3, 0]], np.uint8), np.array([0, 1]), panels(np.array([0, 0]))).by_frame
    array([[5, 3],
           [9, 0]])
    """
    found = nothing(len(counts), lags, cut.tiles)
    plain, most = np.ascontiguousarray(counts), int(counts.max(initial=0)) if most is None else most
    if plain.dtype == np.uint8 and most <= SIGNED_BYTE:
        _dense_bytes(plain, lags, cut.edge, cut.tile, *found)
    else:
        _dense(plain, lags, cut.edge, cut.tile, _wide(most**2, cut), *found)
    return found


def cross(before: Array, after: Array, offset: int, lags: Array, cut: Panels) -> Sums:
    """Products of frames with frames of a later part of the series.

    Parameters
    ----------
    before : unsigned integer array, shape (time, pixel)
    after : unsigned integer array, shape (time2, pixel)
    offset : int
        Place of the first frame of `after`, counted from the first of `before`. Where
        both hold a part of the same frame, their product counts twice in lag 0, as in a square.
    lags : int64 array, shape (lag,)
        Lag 0, then consecutive lags.
    cut : Panels

    Returns
    -------
    Sums
        Rows are the frames of `before`.

    Examples
    --------
    >>> one, two = np.array([[1, 2]], np.uint8), np.array([[3, 0]], np.uint8)
    >>> cross(one, two, 1, np.array([0, 1]), panels(np.array([0, 0]))).by_frame
    array([[0, 3]])
    """
    found = nothing(len(before), lags, cut.tiles)
    kind = np.result_type(before, after)
    first, second = (np.ascontiguousarray(a, dtype=kind) for a in (before, after))
    _cross(first, second, offset, lags, cut.edge, cut.tile, _wide(int(first.max(initial=0)) * int(second.max(initial=0)), cut), *found)
    return found


def tile_totals(counts: Array | Photons, cut: Panels) -> Array:
    """Photons of each frame in each tile, int64 (time, tile).

    Examples
    --------
    >>> tile_totals(np.array([[1, 2, 3]]), panels(np.array([0, 0, 1])))
    array([[3, 3]])
    """
    totals = np.zeros((counts.frames if isinstance(counts, Photons) else len(counts), cut.tiles), np.int64)
    if isinstance(counts, Photons):
        _photon_totals(counts.start, counts.pixel, counts.count, np.repeat(cut.tile, np.diff(cut.edge)), totals)
    elif counts.dtype == np.uint8:
        _byte_totals(np.ascontiguousarray(counts), np.ones((1, WIDEST), np.uint8), cut.edge, cut.tile, totals)
    else:
        _totals(np.ascontiguousarray(counts), cut.edge, cut.tile, totals)
    return totals


def halved(frames: Array, first: int, most: int | None = None) -> Array:
    """Sums of pairs of frames, in the smallest unsigned type that holds twice the largest count.

    Parameters
    ----------
    frames : unsigned integer array, shape (time, pixel)
    first : int
        Number of the first of them; pairs begin at even numbers, and a half pair counts as a pair.
    most : int, optional
        The largest count, or more.

    Examples
    --------
    >>> halved(np.array([[1], [2], [3]], np.uint8), 1).ravel()
    array([1, 5], dtype=uint8)
    """
    odd, n, most = first & 1, len(frames), int(frames.max(initial=0)) if most is None else most
    pairs = max(n - odd, 0) // 2
    out = np.empty(((n + odd + 1) // 2, frames.shape[1]), np.min_scalar_type(2 * most))
    if odd and n:
        out[0] = frames[0]
    rest = frames[odd:]
    np.add(rest[: 2 * pairs : 2], rest[1 : 2 * pairs : 2], out=out[odd : odd + pairs], dtype=out.dtype)
    if len(rest) > 2 * pairs:
        out[-1] = rest[-1]
    return out


def nothing(frames: int, lags: Array, tiles: int) -> Sums:
    """Sums of nothing, to add to."""
    return Sums(np.zeros((frames, lags.size), np.int64), np.zeros((tiles, lags.size), np.int64))


def _wide(most: int, cut: Panels) -> bool:
    """Whether a sum over one panel of products up to `most` may pass 32 bits."""
    return most * int(np.diff(cut.edge).max(initial=0)) >= EXACT_INT32


@numba.njit(nogil=True, cache=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    s = np.int32(0)
    for p in range(a.size):
        s = np.int32(s + np.int32(a[p]) * np.int32(b[p]))
    return np.int64(s)


@numba.njit(nogil=True, cache=True)
def _dot_wide(a, b):  # type: ignore[no-untyped-def]
    s = np.int64(0)
    for p in range(a.size):
        s += np.int64(a[p]) * np.int64(b[p])
    return s


@numba.njit(nogil=True, cache=True)
def _four_dots(a, b, c, d, e):  # type: ignore[no-untyped-def]
    s, t, u, v = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for p in range(a.size):
        x = np.int32(a[p])
        s = np.int32(s + x * np.int32(b[p]))
        t = np.int32(t + x * np.int32(c[p]))
        u = np.int32(u + x * np.int32(d[p]))
        v = np.int32(v + x * np.int32(e[p]))
    return np.int64(s), np.int64(t), np.int64(u), np.int64(v)


@numba.njit(nogil=True, cache=True)
def _dense(counts, lags, edge, owner, wide, by_frame, by_tile):  # type: ignore[no-untyped-def]
    for panel in range(owner.size):
        here = counts[:, edge[panel] : edge[panel + 1]]
        tile = by_tile[owner[panel]]
        for j in range(here.shape[0]):
            i = 0
            while i < lags.size and lags[i] <= j:
                at = j - lags[i]
                if not wide and i > 0 and i + 3 < lags.size and lags[i + 3] <= j:
                    four = _four_dots(here[j], here[at], here[at - 1], here[at - 2], here[at - 3])
                    for step in range(4):
                        by_frame[at - step, i + step] += four[step]
                        tile[i + step] += four[step]
                    i += 4
                else:
                    one = _dot_wide(here[j], here[at]) if wide else _dot(here[j], here[at])
                    by_frame[at, i] += one
                    tile[i] += one
                    i += 1


@numba.njit(nogil=True, cache=True)
def _dense_bytes(counts, lags, edge, owner, by_frame, by_tile):  # type: ignore[no-untyped-def]
    sums = np.zeros(4, np.int64)
    for panel in range(owner.size):
        start, tile = edge[panel], by_tile[owner[panel]]
        size = edge[panel + 1] - start
        for j in range(counts.shape[0]):
            i = 0
            while i < lags.size and lags[i] <= j:
                at = j - lags[i]
                many = 4 if i > 0 and i + 3 < lags.size and lags[i + 3] <= j else 1
                if size < LANES:
                    many = 1
                    sums[0] = _dot(counts[j, start : start + size], counts[at, start : start + size])
                elif many == 4:
                    four_dots(counts, j, counts, at, start, start, size, sums)
                else:
                    one_dot(counts, j, counts, at, start, start, size, sums)
                for step in range(many):
                    by_frame[at - step, i + step] += sums[step]
                    tile[i + step] += sums[step]
                i += many


@numba.njit(nogil=True, cache=True)
def _cross(before, after, offset, lags, edge, owner, wide, by_frame, by_tile):  # type: ignore[no-untyped-def]
    for panel in range(owner.size):
        first, second = before[:, edge[panel] : edge[panel + 1]], after[:, edge[panel] : edge[panel + 1]]
        tile = by_tile[owner[panel]]
        for j in range(second.shape[0]):
            for i in range(lags.size):
                at = offset + j - lags[i]
                if 0 <= at < first.shape[0]:
                    one = _dot_wide(second[j], first[at]) if wide else _dot(second[j], first[at])
                    one = 2 * one if i == 0 else one
                    by_frame[at, i] += one
                    tile[i] += one


@numba.njit(nogil=True, cache=True)
def _photon_totals(start, pixel, count, tile, totals):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            totals[t, tile[pixel[e]]] += count[e]


@numba.njit(nogil=True, cache=True)
def _byte_totals(counts, ones, edge, owner, totals):  # type: ignore[no-untyped-def]
    sums = np.zeros(1, np.int64)
    for t in range(counts.shape[0]):
        for panel in range(owner.size):
            start, size = edge[panel], edge[panel + 1] - edge[panel]
            if size < LANES:
                sums[0] = _dot(counts[t, start : start + size], ones[0, :size])
            else:
                one_dot(counts, t, ones, 0, start, 0, size, sums)
            totals[t, owner[panel]] += sums[0]


@numba.njit(nogil=True, cache=True)
def _totals(counts, edge, owner, totals):  # type: ignore[no-untyped-def]
    for t in range(counts.shape[0]):
        for panel in range(owner.size):
            s = np.uint64(0)
            for p in range(edge[panel], edge[panel + 1]):
                s += np.uint64(counts[t, p])
            totals[t, owner[panel]] += np.int64(s)
