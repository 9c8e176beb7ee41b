"""One-time correlation functions out of two-time correlations, of all ages or of each."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from xcdi.backend import Array, namespace, to_device

__all__ = ["add_diagonals", "aged", "cuts", "one_time"]


def one_time(two_time: Array, weight: Array | None = None, *, ages: tuple[float, float] | None = None, slot: Array | None = None) -> Array:
    """One-time correlation: the average of a two-time correlation along its diagonals.

    Parameters
    ----------
    two_time : array, shape (time, time2)
    weight : array, shape (time,), optional
        Weight of each frame. With the mean of the frame the result is the ratio
        of sums, ``sum_t numerator / sum_t denominator``; without, the mean of
        ratios. They differ where the intensity drifts.
    ages : (float, float), optional
        Only pairs with mean index ``start <= (t1 + t2) / 2 < stop``.
    slot : int array, shape (time,), optional
        As for :func:`aged`.

    Returns
    -------
    float64 array, shape (delay,)
        Index is the delay in frames; NaN where no pair is known.

    Examples
    --------
    >>> one_time(np.array([[1.0, 1.5], [1.5, 2.0]]))
    array([1.5, 1.5])
    """
    end = two_time.shape[0] if slot is None else int(slot[-1]) + 1
    return aged(two_time, weight, edges=(0.0, float(end)) if ages is None else ages, slot=slot)[0, :]


def aged(two_time: Array, weight: Array | None = None, *, edges: Sequence[float], slot: Array | None = None) -> Array:
    """One-time correlation of each age, where the age of a pair of frames is their mean time.

    The pairs of one age lie across the diagonal, at right angles. Pairs that share their first
    frame have another age at every delay, and another one-time function where the sample ages.

    Parameters
    ----------
    two_time : array, shape (time, time2)
        Only its upper triangle is read.
    weight : array, shape (time,), optional
        As for :func:`one_time`.
    edges : sequence of float, (slice + 1,)
        Rising edges of the slices, in frames: slice k has ``edges[k] <= (t1 + t2) / 2 < edges[k + 1]``.
    slot : int array, shape (time,), optional
        Rising place of each frame on a longer time axis, in which indices, edges and delays then are.

    Returns
    -------
    float64 array, shape (slice, delay)
        NaN where a slice has no pair that is known, as for delays above twice its distance to the ends.

    Notes
    -----
    Source: Bikondoa, J. Appl. Cryst. 50, 357 (2017), doi:10.1107/S1600576717000577.

    Examples
    --------
    >>> c = np.array([[2.0, 1.5, 1.0], [1.5, 2.0, 1.2], [1.0, 1.2, 2.0]])
    >>> aged(c, edges=(0, 1, 3))
    array([[2. , 1.5, nan],
           [2. , 1.2, 1. ]])
    >>> aged(c, edges=(0, 4), slot=np.array([0, 1, 3]))
    array([[2. , 1.5, 1.2, 1. ]])
    """
    xp, n = namespace(two_time), two_time.shape[0]
    c = np.asarray(to_device(two_time, "cpu"))
    w = np.ones(n) if weight is None else np.asarray(to_device(weight, "cpu"), np.float64)
    w = np.where(np.isfinite(w), w, 0.0)
    lags = n if slot is None else int(slot[-1]) + 1
    above, below = np.zeros((len(edges) - 1, lags)), np.zeros((len(edges) - 1, lags))
    if slot is None or lags == n:
        add_diagonals(c, 0, 0, w, cuts(edges), above, below)
    else:
        _add_apart(c, np.asarray(slot, np.int64), w, cuts(edges), above, below)
    return xp.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))


def cuts(edges: Sequence[float]) -> Array:
    """Whole numbers between whose neighbours the sum of two frames' indices lies, for each slice of ages.

    Examples
    --------
    >>> cuts((0, 1.2, 4))
    array([0, 3, 8])
    """
    return np.ceil(2 * np.asarray(edges, np.float64)).astype(np.int64)


@numba.njit(nogil=True, cache=True)
def add_diagonals(c, row, column, weight, cut, above, below):  # type: ignore[no-untyped-def]
    """Add some rows of a two-time matrix to the sums over its diagonals, age by age.

    Parameters
    ----------
    c : array, shape (rows, columns)
        Elements from (`row`, `column`) on; NaN where not known. Those below the diagonal are not read.
    row, column : int
    weight : float64 array, shape (time,)
        Finite; an element has the product of its two frames' weights.
    cut : int64 array, shape (slice + 1,)
        From :func:`cuts`.
    above, below : float64 array, shape (slice, delay)
        Sums of weighted elements, and of weights; added to.
    """
    for i in range(c.shape[0]):
        t = row + i
        for s in range(cut.size - 1):
            low = max(t, column, cut[s] - t)
            high = min(column + c.shape[1], cut[s + 1] - t)
            for u in range(low, high):
                value, pair = float(c[i, u - column]), weight[t] * weight[u]
                known = value == value
                above[s, u - t] += value * pair if known else 0.0
                below[s, u - t] += pair if known else 0.0


@numba.njit(nogil=True, cache=True)
def _add_apart(c, slot, weight, cut, above, below):  # type: ignore[no-untyped-def]
    """The same for a whole matrix of frames that lie at the places `slot`, in the same order of sums as with empty frames between."""
    for i in range(slot.size):
        s = 0
        for j in range(i, slot.size):
            while s < cut.size - 1 and slot[i] + slot[j] >= cut[s + 1]:
                s += 1
            value, pair = float(c[i, j]), weight[i] * weight[j]
            if s < cut.size - 1 and slot[i] + slot[j] >= cut[s] and value == value:
                above[s, slot[j] - slot[i]] += value * pair
                below[s, slot[j] - slot[i]] += pair
