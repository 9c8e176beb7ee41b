r"""How the dynamics fluctuate: the variance and the memory of the time-resolved correlation, freed of noise.

The degree of correlation :math:`c_I(t, \tau) = C(t, t + \tau) - 1` of frames that are :math:`\tau` apart varies with the age t, because the
dynamics are intermittent, and because speckles and photons are finite in number. The noise of disjoint sets of pixels is independent and
what the sample does is common to them; their covariances are therefore free of noise. The mean variance of the correlation over random
sets of j of K parts is ``chi + a / j`` exactly, with ``chi`` the mean covariance of two different parts: the extrapolation to infinitely
many pixels and the covariance are one and the same estimate.

One thing is common to all parts though it is noise: the mean of the frame that they are divided by. Two parts are therefore compared only
where they lie in different halves of the region and each is divided by the mean of its own half; several random halvings are averaged.

Source: Duri, Bissig, Trappe & Cipelletti, Phys. Rev. E 72, 051401 (2005), doi:10.1103/PhysRevE.72.051401.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from scipy import fft

from xcdi.backend import Array
from xcdi.kernels.correlation.jackknife import jackknife_error
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.photons import Photons, from_dense

__all__ = ["Parts", "Variance", "apart", "by_subsets", "centred", "halvings", "memory", "of_parts", "variance"]

BLOCKS = 10  # of time, left out one after the other for the error of a finite series
HALVINGS = 12


class Parts(NamedTuple):
    """What the correlation of each part of the pixels is made of.

    Attributes
    ----------
    products : float64 array, shape (part, lag, time)
        Sums over pixels of the weighted products of a frame with the one `lags` later.
    means : float64 array, shape (part, time)
        Sums over pixels of the weighted counts of a frame.
    norm : float64 array, shape (part,)
        Sums of the squared weights.
    lags : int64 array, shape (lag,)
        In frames, above zero.
    """

    products: Array
    means: Array
    norm: Array
    lags: Array


class Variance(NamedTuple):
    """Variance over time of the correlation at some lags.

    Attributes
    ----------
    chi : array, shape (lag,)
        Of the sample alone; scatters around zero where the dynamics do not fluctuate.
    error : array, shape (lag,)
        Standard error by noise: how far `chi` is from what the sample did in this series.
    error_duration : array, shape (lag,)
        Standard error by the finite series: how far another series of that length would be.
    raw : array, shape (lag,)
        With noise: the variance of the trace of the whole region as it is.
    """

    chi: Array
    error: Array
    error_duration: Array
    raw: Array


def of_parts(counts: Array | Photons, weights: Weights, tile: Array, lags: Array) -> Parts:
    """Sums for the correlation of each part of the pixels with itself `lags` frames later.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Zero in frames that are not to be used.
    weights : Weights
        As for the two-time correlation; ``Weights(ones, ones, n, n)`` for the mean of each frame.
    tile : integer array, shape (pixel,)
        Number of each pixel's part, 0, 1, ...; wider than a speckle.
    lags : integer array, shape (lag,)
        In frames, above zero.

    Notes
    -----
    No matrix of frames is formed: time and memory go with the number of lags.

    Examples
    --------
    >>> parts = of_parts(np.array([[1, 2], [3, 1]]), Weights(np.ones(2), np.ones(2), 2.0, 2.0), np.array([0, 1]), np.array([1]))
    >>> parts.products[:, 0, 0], parts.means[:, 0]
    (array([3., 2.]), array([1., 2.]))
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    lags, count = np.asarray(lags, np.int64), int(tile.max()) + 1
    products, means = np.zeros((count, len(lags), events.frames)), np.zeros((count, events.frames))
    _products(*events[:3], weights.product, tile.astype(np.int64), lags, np.zeros(events.pixels), products)
    _means(*events[:3], weights.mean, tile.astype(np.int64), means)
    squared = np.divide(weights.mean, weights.product, out=np.zeros(len(weights.mean)), where=weights.product > 0) ** 2
    return Parts(products, means, np.bincount(tile, squared, count), lags)


def centred(parts: Parts, lag: int, half: Array | None = None) -> Array:
    r"""Correlation of each part with itself at one lag, minus one.

    .. math:: y_k(t, \tau) = \frac{\sum_{p \in k} w_p^2\, d_p(t)\, d_p(t + \tau)}{\sum_{p \in k} w_p^2}, \quad
              d_p(t) = \frac{n_p(t)}{S_p \bar x(t)} - 1

    Parameters
    ----------
    parts : Parts
    lag : int
        Place in ``parts.lags``.
    half : bool array, shape (part,), optional
        Parts with the same value are divided by their common mean :math:`\bar x`; by default all are.

    Returns
    -------
    float64 array, shape (part, time)
        Time is that of the earlier frame; NaN where there is no later one, or no photon. The mean over parts, weighted by
        ``parts.norm``, is the two-time correlation of the region minus one.

    Examples
    --------
    >>> still = np.tile([2, 6, 2, 6], (3, 1))
    >>> centred(of_parts(still, Weights(np.ones(4), np.ones(4), 4.0, 4.0), np.array([0, 0, 1, 1]), np.array([1])), 0)
    array([[0.25, 0.25,  nan],
           [0.25, 0.25,  nan]])
    """
    half = np.zeros(len(parts.norm), bool) if half is None else half
    shift = int(parts.lags[lag])
    n = max(parts.means.shape[1] - shift, 0)
    level = np.empty_like(parts.means)
    for side in (True, False):
        here = half == side
        level[here] = parts.means[here].sum(axis=0) / max(parts.norm[here].sum(), 1e-300)
    level[level <= 0] = np.nan
    early, late = level[:, :n], level[:, shift:]
    found = np.full(parts.means.shape, np.nan)
    sums = parts.products[:, lag, :n] / (early * late) - parts.means[:, :n] / early - parts.means[:, shift:] / late
    found[:, :n] = sums / np.where(parts.norm > 0, parts.norm, np.nan)[:, None] + 1
    return found


def halvings(count: int, *, seed: int = 0) -> Array:
    """Halves of so many parts, drawn at random: bool (halving, part).

    Examples
    --------
    >>> halvings(6).sum(axis=1).tolist() == [3] * HALVINGS
    True
    """
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(count) < count // 2 for _ in range(HALVINGS)])


def apart(y: Array, x: Array, tile: Array, *, gap: int = 3) -> Array:
    """Which pairs of parts share no speckle: bool (part, part), False for those nearer than `gap` pixels, and for a part and itself.

    Examples
    --------
    >>> apart(np.zeros(9, int), np.arange(9), np.arange(9) // 3, gap=2).astype(int)
    array([[0, 0, 1],
           [0, 0, 0],
           [1, 0, 0]])
    """
    count, gaps = int(tile.max()) + 1, []
    for place in (y, x):
        low, high = np.full(count, np.iinfo(np.int64).max // 2), np.full(count, np.iinfo(np.int64).min // 2)
        np.minimum.at(low, tile, place)
        np.maximum.at(high, tile, place)
        gaps.append(np.maximum.outer(low, low) - np.minimum.outer(high, high) - 1)
    return (np.maximum(*gaps) >= gap) & ~np.eye(count, dtype=bool)


def variance(parts: Parts, pairs: Array | None = None, *, seed: int = 0) -> Variance:
    r"""Variance over time of the correlation, without the noise of photons and of speckles.

    .. math:: \chi(\tau) = \left\langle \mathrm{cov}_t\left[y_k(t, \tau), y_l(t, \tau)\right] \right\rangle_{k \ne l}

    Parameters
    ----------
    parts : Parts
        Ten or more for a good error.
    pairs : bool array, shape (part, part), optional
        Which pairs are compared, as from :func:`apart`; by default all of different parts.
    seed : int
        Of the halvings.

    Notes
    -----
    The variance is about the mean of this series, so fluctuations much slower than the series are not in it. Divided by the square
    of the contrast it is the four-time correlation at equal ages (as pyCHX defines it, there with noise); times the number of speckles
    it counts regions that rearrange together.

    The error by noise comes from leaving out one part after the other. Where nothing is common to the parts, that is too large by the
    scatter that independent pairs would have, which is taken off.

    Examples
    --------
    >>> still = np.tile([2, 6, 2, 6, 2, 6, 2, 6], (6, 1))
    >>> ones = np.ones(8)
    >>> variance(of_parts(still, Weights(ones, ones, 8.0, 8.0), np.arange(8) // 2, np.array([1]))).chi.round(12)
    array([0.])
    """
    halves = halvings(len(parts.norm), seed=seed)
    columns = [_of_lag(parts, k, pairs, halves) for k in range(len(parts.lags))]
    return Variance(*(np.array(column) for column in zip(*columns, strict=True)))


def _of_lag(parts: Parts, lag: int, pairs: Array | None, halves: Array) -> tuple[float, float, float, float]:
    """All about one lag: variance of the sample, its two errors, and the variance with noise."""
    y = parts.norm / parts.norm.sum() @ centred(parts, lag)
    raw = float(np.var(y[np.isfinite(y)], ddof=1)) if np.isfinite(y).sum() > 2 else float("nan")
    c = _covariances(parts, lag, halves)
    use = np.isfinite(c[0]) & ~np.eye(c.shape[1], dtype=bool) & (True if pairs is None else pairs)
    if not use.any():
        return float("nan"), float("nan"), float("nan"), raw
    rows, counts = np.where(use, c[0], 0.0).sum(axis=1), use.sum(axis=1)
    known = use.sum() > 2 * counts
    left = (rows.sum() - 2 * rows[known]) / (use.sum() - 2 * counts[known])
    jackknife, independent = float(jackknife_error(left)) ** 2, 2 * float(np.var(c[0][use])) / use.sum()
    shorter = jackknife_error(c[1:][:, use].mean(axis=1))
    return float(c[0][use].mean()), max(jackknife - independent, independent) ** 0.5, float(shorter), raw


def _covariances(parts: Parts, lag: int, halves: Array) -> Array:
    """Covariance of every two parts over time, shape (1 + block, part, part): of all times, and without one block after the other.

    The mean over those halvings that have the two in different halves; NaN where none has.
    """
    count = len(parts.norm)
    total, seen = np.zeros((BLOCKS + 1, count, count)), np.zeros((count, count))
    for half in halves:
        across = np.not_equal.outer(half, half)
        total = total + np.where(across, _over_time(centred(parts, lag, half)), 0.0)
        seen += across
    return np.divide(total, seen, out=np.full(total.shape, np.nan), where=np.broadcast_to(seen > 0, total.shape))


def _over_time(y: Array) -> Array:
    """Covariance of the rows, of all columns and without one block of them after the other."""
    y = y[:, np.isfinite(y).all(axis=0)]
    if y.shape[1] < 3:
        return np.full((BLOCKS + 1, len(y), len(y)), np.nan)
    blocks = np.array_split(y - y.mean(axis=1, keepdims=True), BLOCKS, axis=1)
    squares, sums = np.array([b @ b.T for b in blocks]), np.array([b.sum(axis=1) for b in blocks])
    sizes = np.array([b.shape[1] for b in blocks])
    squares, sums = (np.concatenate([a.sum(axis=0)[None], a.sum(axis=0) - a]) for a in (squares, sums))
    sizes = np.concatenate([[sizes.sum()], sizes.sum() - sizes])[:, None, None]
    return (squares - sums[:, :, None] * sums[:, None, :] / sizes) / np.maximum(sizes - 1, 1)


def by_subsets(parts: Parts, pairs: Array | None = None, *, seed: int = 0) -> Array:
    """Mean variance of the correlation over all sets of 1, 2, ... of the parts, shape (parts in the set, lag).

    Returns
    -------
    array
        A straight line in 1 / (number of parts), which ends at ``chi`` for infinitely many.
    """
    halves, j = halvings(len(parts.norm), seed=seed), np.arange(1, len(parts.norm) + 1)
    found = np.full((len(j), len(parts.lags)), np.nan)
    for k in range(len(parts.lags)):
        chi = _of_lag(parts, k, pairs, halves)[0]
        own = np.mean([np.diagonal(_over_time(centred(parts, k, half))[0]).mean() for half in halves])
        found[:, k] = chi + (own - chi) / j
    return found


def memory(parts: Parts, shifts: int, pairs: Array | None = None, *, seed: int = 0) -> Array:
    r"""Covariance of the correlation with itself at later ages, without noise: the four-time correlation.

    .. math:: g(\tau, s) = \left\langle \delta y_k(t, \tau)\, \delta y_l(t + s, \tau) \right\rangle_{t, k \ne l}

    Parameters
    ----------
    parts, pairs, seed
        As for :func:`variance`.
    shifts : int
        Number of shifts s in frames: 0, 1, ...

    Returns
    -------
    array, shape (lag, shift)
        Divided by its first column, the autocorrelation of the fluctuations; by the square of the contrast, pyCHX's four-time
        correlation (with shift 0) without its noise. NaN where no pair of ages is known.
    """
    found, halves = np.full((len(parts.lags), shifts), np.nan), halvings(len(parts.norm), seed=seed)
    across = np.array([np.not_equal.outer(half, half) for half in halves]) & (True if pairs is None else pairs)
    share = across / np.maximum(across.sum(axis=0), 1)  # every pair counts the same, however often it is halved
    for k in range(len(parts.lags)):
        total, below = np.zeros(parts.means.shape[1]), np.zeros(parts.means.shape[1])
        for half, use in zip(halves, share, strict=True):
            y = centred(parts, k, half)
            known = np.isfinite(y).all(axis=0)
            if known.any():
                fluctuation = np.where(known, y - y[:, known].mean(axis=1, keepdims=True), 0.0)
                total += _crossed(fluctuation, use @ fluctuation)
                below += np.round(_crossed(known[None].astype(float), known[None].astype(float))) * use.sum()
        ratio = np.divide(total, below, out=np.full(len(total), np.nan), where=below > 0)
        found[k, : min(shifts, len(ratio))] = ratio[:shifts]
    return found


def _crossed(a: Array, b: Array) -> Array:
    """``sum_k sum_t a_k(t) b_k(t + s)`` for s = 0, 1, ..."""
    n = a.shape[1]
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = np.conj(fft.rfft(a, size, axis=1)) * fft.rfft(b, size, axis=1)
    return fft.irfft(spectrum.sum(axis=0), size)[:n]


@numba.njit(nogil=True, cache=True)
def _products(start, pixel, count, factor, tile, lags, row, products):  # type: ignore[no-untyped-def]
    frames = start.size - 1
    for t in range(frames):
        for e in range(start[t], start[t + 1]):
            p = pixel[e]
            row[p] = factor[p] * factor[p] * count[e]
        for k in range(lags.size):
            later = t + lags[k]
            if later < frames:
                for e in range(start[later], start[later + 1]):
                    p = pixel[e]
                    products[tile[p], k, t] += row[p] * count[e]
        for e in range(start[t], start[t + 1]):
            row[pixel[e]] = 0.0


@numba.njit(nogil=True, cache=True)
def _means(start, pixel, count, factor, tile, means):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            p = pixel[e]
            means[tile[p], t] += factor[p] * count[e]
