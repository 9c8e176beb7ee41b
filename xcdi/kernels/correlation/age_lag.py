"""Two-time correlation summed over ages and lags, tile by tile: the matrix of all pairs of frames is never formed."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.levels import Levels

__all__ = ["Pairing", "Part", "aged", "binned", "empty", "merge", "normalised", "one_time", "pairing", "reduced"]

ROOM = 2.0**62  # sums of 64-bit integers stay below


class Pairing(NamedTuple):
    """How pairs of frames are told apart by age and lag, and what each frame contributes to their sums.

    Attributes
    ----------
    slot : int64 array, shape (time,)
        Place of each frame on the regular time axis, rising; lags and ages count in these.
    edge : int64 array, shape (age + 1,)
        Edges of the bins of twice the age, the sum of two slots.
    seen : int64 array, shape (time,)
        1 for a frame that has a level.
    weight : int64 array, shape (time,)
        Levels as whole numbers, `scale` of each to one of a level.
    inverse : float64 array, shape (time,)
        Reciprocal levels; a product times two of them is a ratio in units of `unit`.
    scale, unit : float
    """

    slot: Array
    edge: Array
    seen: Array
    weight: Array
    inverse: Array
    scale: float
    unit: float

    @property
    def lags(self) -> int:
        """Number of lags, 0 included."""
        return int(self.slot[-1]) + 1 if self.slot.size else 0


class Part(NamedTuple):
    """Sums over the pairs of one tile: int64 (4, age, lag), the first of its lags being `lag`."""

    lag: int
    sums: Array


def pairing(levels: Levels, slot: Array, ages: Array) -> Pairing:
    """Prepare the reduction of the tiles of one region.

    Parameters
    ----------
    levels : Levels
    slot : integer array, shape (time,)
        Place of each frame on the regular time axis, rising; ``arange`` where no frame is missing.
    ages : array
        Inner edges of the bins of age ``(slot + slot2) / 2``, rising; none for all ages in one.

    Raises
    ------
    ValueError
        If sums of products could pass 2**62.

    Notes
    -----
    Everything summed is a whole number, so no order of the tiles and no number of
    workers changes a bit. Products are exact. Levels are exact if they are whole
    numbers and the sums of their products fit; otherwise they are rounded to 2e-7
    or better. Ratios are rounded to a unit below 1e-9 at any usual count.
    """
    slot, n = np.asarray(slot, np.int64), max(levels.level.size, 1)
    if float(levels.peak.max(initial=0)) * n >= ROOM:
        raise ValueError(f"sums over {n} frames could pass 2**62; leave the brightest pixels out")
    seen = levels.level > 0
    brightest = levels.level.max(initial=1.0)
    places = int(np.floor(0.5 * np.log2(ROOM / n) - np.log2(brightest))) - 1
    if places >= 0 and np.all(levels.level == np.rint(levels.level)):
        places = 0
    scale = 2.0**places
    inverse = np.divide(1.0, levels.level, out=np.zeros(levels.level.shape), where=seen)
    largest = float(np.max(levels.peak * inverse**2, initial=2.0**-60))
    half = int(np.floor(0.5 * np.log2(ROOM / n / largest))) - 1
    end = int(slot[-1]) if slot.size else 0
    edge = np.concatenate([[0], np.ceil(2 * np.asarray(ages, float)).astype(np.int64), [2 * end + 1]]).astype(np.int64)
    if np.any(np.diff(edge) <= 0):
        raise ValueError(f"edges of the ages are not rising, or not within 0 ... {end}: {np.asarray(ages).tolist()}")
    weight = np.rint(levels.level * scale).astype(np.int64)
    return Pairing(slot, edge, seen.astype(np.int64), weight, inverse * 2.0**half, scale, 2.0 ** (-2 * half))


def empty(how: Pairing) -> Array:
    """Sums over no pair: int64 (4, age, lag); products, products of levels, ratios and pairs.

    Examples
    --------
    >>> from xcdi.kernels.correlation.levels import levels
    >>> from xcdi.kernels.correlation.normalise import unit_weights
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> empty(pairing(levels(from_dense(np.ones((3, 2), int)), unit_weights(2)), np.arange(3), [])).shape
    (4, 1, 3)
    """
    return np.zeros((4, how.edge.size - 1, how.lags), np.int64)


def reduced(products: Array, row: int, column: int, how: Pairing) -> Part:
    """Sum one tile over its pairs of different frames, the second later.

    Parameters
    ----------
    products : integer array, shape (time, time2)
        Sums of products of the frames from `row` on with those from `column` on.
    row, column : int
        First frames of the tile; the tile lies on or above the diagonal.
    how : Pairing

    Returns
    -------
    Part
    """
    height, width = products.shape
    lag = max(int(how.slot[column] - how.slot[row + height - 1]), 0)
    span = int(how.slot[column + width - 1] - how.slot[row]) - lag + 1
    sums = np.zeros((4, how.edge.size - 1, max(span, 0)), np.int64)
    _reduce(products, row, column, how.slot, how.edge, how.seen, how.weight, how.inverse, lag, *sums)
    return Part(lag, sums)


def merge(table: Array, part: Part) -> None:
    """Add the sums of one tile to those of all, in place."""
    table[:, :, part.lag : part.lag + part.sums.shape[2]] += part.sums


def one_time(table: Array, how: Pairing, levels: Levels) -> tuple[Array, Array]:
    """One-time correlation at every lag, by both conventions, each (lag,); see :func:`aged`."""
    of_sums, of_ratios = normalised(table.sum(axis=1, keepdims=True), how, levels)
    of_sums[0, 0], of_ratios[0, 0] = _diagonal(np.ones(how.slot.size, bool), levels)
    return of_sums[0], of_ratios[0]


def aged(table: Array, how: Pairing, levels: Levels) -> tuple[Array, Array]:
    """One-time correlation of every bin of age at every lag, by both conventions.

    Parameters
    ----------
    table : int64 array, shape (4, age, lag)
        Sums of all tiles.
    how : Pairing
    levels : Levels

    Returns
    -------
    of_sums, of_ratios : float64 array, shape (age, lag)
        Ratio of sums, and mean of ratios: they differ where the intensity drifts.
        Lag 0 comes from the diagonal; NaN where no pair is known.
    """
    of_sums, of_ratios = normalised(table, how, levels)
    age = np.searchsorted(how.edge, 2 * how.slot, side="right") - 1
    for k in range(len(of_sums)):
        of_sums[k, 0], of_ratios[k, 0] = _diagonal(age == k, levels)
    return of_sums, of_ratios


def normalised(table: Array, how: Pairing, levels: Levels) -> tuple[Array, Array]:
    """Two-time correlation over ages and lags, by both conventions, each (age, lag or bin); NaN where there is no pair."""
    products, weights, ratios, pairs = (np.asarray(part, float) for part in table)
    some = (pairs > 0) & (weights > 0)
    nothing = np.full(pairs.shape, np.nan)
    of_sums = levels.norm * how.scale**2 * np.divide(products, weights, out=nothing.copy(), where=some)
    of_ratios = levels.norm * how.unit * np.divide(ratios, pairs, out=nothing, where=some)
    return 1 + levels.gain * (of_sums - 1), 1 + levels.gain * (of_ratios - 1)


def _diagonal(here: Array, levels: Levels) -> tuple[float, float]:
    """Mean of the diagonal over some frames, weighted by their levels squared, and unweighted."""
    known = here & np.isfinite(levels.diagonal)
    if not known.any():
        return np.nan, np.nan
    c, squared = levels.diagonal[known], levels.level[known] ** 2
    return float(np.sum(c * squared) / np.sum(squared)), float(np.mean(c))


def binned(table: Array, edges: Array) -> Array:
    """Sums over bins of lags; the first bin should start at lag 1.

    Parameters
    ----------
    table : int64 array, shape (4, age, lag)
    edges : integer array, shape (bin + 1,)
        Rising lags, as of :func:`relaxation.log_bins`.

    Returns
    -------
    float64 array, shape (4, age, bin)

    Examples
    --------
    >>> binned(np.ones((4, 1, 5), np.int64), np.array([1, 2, 5]))[0]
    array([[1., 3.]])
    """
    return np.add.reduceat(table[:, :, : edges[-1]].astype(float), np.asarray(edges[:-1]), axis=2)


@numba.njit(nogil=True, cache=True)
def _reduce(products, row, column, slot, edge, seen, weight, inverse, lag0, total, below, ratio, pairs):  # type: ignore[no-untyped-def]
    height, width = products.shape
    for i in range(height):
        t = row + i
        if seen[t] == 0:
            continue
        u, w, s = inverse[t], weight[t], slot[t]
        j = max(0, t + 1 - column)
        age = 0
        while j < width:
            s2 = slot[column + j]
            while s + s2 >= edge[age + 1]:
                age += 1
            stop = _run(slot, column + j, min(column + width, column + j + edge[age + 1] - s - s2)) - column
            here, there = slice(s2 - s - lag0, s2 - s - lag0 + stop - j), slice(column + j, column + stop)
            _add(total[age, here], below[age, here], pairs[age, here], products[i, j:stop], weight[there], seen[there], w)
            _add_ratios(ratio[age, here], products[i, j:stop], inverse[there], u)
            j = stop


@numba.njit(nogil=True, cache=True)
def _add(total, below, pairs, products, weight, seen, w):  # type: ignore[no-untyped-def]
    for k in range(products.size):  # each in a loop of its own, which the compiler turns into vectors
        total[k] += np.int64(products[k])
    for k in range(weight.size):
        below[k] += w * weight[k]
    for k in range(seen.size):
        pairs[k] += seen[k]


@numba.njit(nogil=True, cache=True)
def _add_ratios(ratio, products, inverse, u):  # type: ignore[no-untyped-def]
    for k in range(products.size):
        ratio[k] += np.int64(np.int64(products[k]) * (u * inverse[k]) + 0.5)


@numba.njit(nogil=True, cache=True)
def _run(slot, start, stop):  # type: ignore[no-untyped-def]
    """End of the frames from `start` on that follow each other without a gap, `stop` at most."""
    if slot[stop - 1] - slot[start] == stop - 1 - start:
        return stop
    end = start + 1
    while end < stop and slot[end] == slot[end - 1] + 1:
        end += 1
    return end
