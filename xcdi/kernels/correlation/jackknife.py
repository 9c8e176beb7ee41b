"""Errors of one-time correlations, and their covariance between delays, from the tiles of a region.

One tile of pixels after the other is left out. Every replica keeps the whole
time axis, so correlation in time is in the error; tiles several speckles wide
keep correlation between pixels in it too. The spread of the elements along a
diagonal of the two-time matrix, the common error bar, is two to three times
too small where either matters.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from xcdi.backend import Array
from xcdi.kernels.correlation.lagged import TileSums, autocorrelation, tile_sums
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.photons import Photons

__all__ = [
    "jackknife_error",
    "lag_covariance",
    "leave_out",
    "one_time_error",
    "pair_variance",
    "resampled",
    "whole",
    "without_each",
]

PRIOR_PAIRS = 4.0  # pairs of photons that the law of photon pairs is trusted as much as, beside the tiles


def leave_out(counts: Array | Photons, weights: Weights, tile: Array, edges: Array | None = None, *, threads: int = 1) -> Array:
    """One-time correlation (ratio of sums) with one tile of pixels left out at a time.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Zero in the frames that are not to be used.
    weights : Weights
        As for the two-time correlation; ``Weights(ones, ones, n, n)`` for the mean of each frame.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, 0, 1, ...
    edges : integer array, shape (bin + 1,), optional
        Bins of delays in frames, as from ``relaxation.log_bins``, each with the ratio of its sums.
    threads : int
        Tiles at a time.

    Returns
    -------
    float64 array, shape (tile, delay) or (tile, bin)
        The first delay is zero, by factorial moments. NaN where no pair is known.

    Examples
    --------
    >>> still = np.array([[2, 6, 2, 6], [2, 6, 2, 6]])
    >>> leave_out(still, Weights(np.ones(4), np.ones(4), 4.0, 4.0), np.array([0, 0, 1, 1]))[:, 1]
    array([1.25, 1.25])
    """
    return without_each(tile_sums(counts, weights, tile, threads=threads), edges)


def without_each(sums: TileSums, edges: Array | None = None) -> Array:
    """One-time correlation without each tile in turn, shape (tile, delay) or (tile, bin); see :func:`leave_out`."""
    total = _added(sums, np.ones(len(sums.norm)))
    parts = (TileSums(*(field[k] for field in sums)) for k in range(len(sums.norm)))
    return np.stack([_ratio(TileSums(*(a - b for a, b in zip(total, part, strict=True))), edges) for part in parts])


def whole(sums: TileSums, edges: Array | None = None) -> Array:
    """One-time correlation (ratio of sums) of all tiles together, shape (delay,) or (bin,).

    Examples
    --------
    >>> even = Weights(np.ones(2), np.ones(2), 2.0, 2.0)
    >>> whole(tile_sums(np.array([[1, 3], [1, 3]]), even, np.array([0, 1])))[1].item()
    1.25
    """
    return _ratio(_added(sums, np.ones(len(sums.norm))), edges)


def resampled(sums: TileSums, rng: np.random.Generator, *, samples: int = 200, edges: Array | None = None) -> Array:
    """One-time correlation of tiles drawn with replacement: the block bootstrap.

    Parameters
    ----------
    sums : TileSums
    rng : numpy.random.Generator
    samples : int
    edges : integer array, shape (bin + 1,), optional
        As for :func:`leave_out`.

    Returns
    -------
    float64 array, shape (sample, delay) or (sample, bin)
        Its standard deviation over the samples is a standard error.

    Notes
    -----
    Source: Efron, Ann. Stat. 7, 1 (1979), doi:10.1214/aos/1176344552; of blocks: Kuensch, Ann. Stat. 17, 1217 (1989).

    Examples
    --------
    >>> even = Weights(np.ones(2), np.ones(2), 2.0, 2.0)
    >>> sums = tile_sums(np.array([[1, 1], [1, 1]]), even, np.array([0, 1]))
    >>> resampled(sums, np.random.default_rng(0), samples=3)[:, 1]
    array([1., 1., 1.])
    """
    tiles = len(sums.norm)
    drawn = rng.multinomial(tiles, np.full(tiles, 1 / tiles), samples).astype(float)
    return np.stack([_ratio(_added(sums, times), edges) for times in drawn])


def pair_variance(sums: TileSums, edges: Array | None = None) -> Array:
    r"""Variance that g2 of uncorrelated frames has from the number of photon pairs alone, shape (delay,) or (bin,).

    .. math:: v(\tau) = \frac{\sum_p b_p^2}{\sum_t \bar n(t)\, \bar n(t + \tau)}, \quad \bar n(t) = \sum_p b_p n_p(t)

    For pixels of equal weight it is one over the expected number of pairs. Infinite where none is expected.

    Examples
    --------
    >>> even = Weights(np.ones(2), np.ones(2), 2.0, 2.0)
    >>> pair_variance(tile_sums(np.array([[1, 1], [2, 2]]), even, np.array([0, 1])))[1].item()
    0.25
    """
    mean = sums.mean.sum(axis=0)
    below = _binned(autocorrelation(mean), edges)
    some = below > 1e-9 * np.max(below, initial=0.0)
    return np.divide(sums.shot.sum(), below, out=np.full(below.shape, np.inf), where=some)


def jackknife_error(replicas: Array) -> Array:
    """Standard error from leave-one-out `replicas`, shape (replica, ...).

    Source: Efron, Ann. Stat. 7, 1 (1979), doi:10.1214/aos/1176344552.

    Examples
    --------
    >>> float(jackknife_error(np.array([1.0, 2.0, 3.0])).round(3))
    1.155
    """
    n = replicas.shape[0]
    if n < 2:
        return np.full(replicas.shape[1:], np.nan)
    return np.sqrt((n - 1) * np.mean((replicas - replicas.mean(axis=0)) ** 2, axis=0))


def one_time_error(replicas: Array, pairs: Array) -> Array:
    r"""Standard error of a one-time correlation, also where only a few pairs of photons are known.

    .. math:: \sigma^2 = \frac{D\,\sigma_J^2 + k / D}{D + k}, \quad D = 1/v

    with the jackknife's :math:`\sigma_J`, the expected number of pairs D and k = 4. With
    many pairs it is the jackknife's. With a few, tiles mostly hold none, and a jackknife alone would say
    zero where there is no pair at all: an error of zero rules every weighted fit.

    Parameters
    ----------
    replicas : array, shape (tile, delay)
        From :func:`leave_out`.
    pairs : array, shape (delay,)
        From :func:`pair_variance`, for the same delays or bins.

    Returns
    -------
    float64 array, shape (delay,)
        NaN where no pair is known or expected.

    Examples
    --------
    >>> one_time_error(np.ones((25, 2)), np.array([0.5, 1e-6])).round(6)
    array([5.7735e-01, 2.0000e-06])
    """
    known = np.where(np.isfinite(pairs), pairs, np.nan)
    return np.sqrt((jackknife_error(replicas) ** 2 + PRIOR_PAIRS * known**2) / (1 + PRIOR_PAIRS * known))


def lag_covariance(replicas: Array, error: Array | None = None) -> Array:
    r"""Covariance of a one-time correlation between its delays, positive definite also for fewer tiles than delays.

    The correlation :math:`r_{ij}` of the replicas is shrunk towards one that depends on the distance :math:`|i - j|`
    alone, :math:`t_k = \frac1d \sum_i r_{i, i+k}` for d delays: :math:`0.99\,[(1 - \lambda) r_{ij} + \lambda t_{|i-j|}]` for
    :math:`i \ne j`, with :math:`\lambda = \sum \mathrm{Var}(r_{ij}) / \sum (r_{ij} - t_{|i-j|})^2` at most 1;
    then multiplied by the errors.

    Parameters
    ----------
    replicas : array, shape (tile, delay)
        From :func:`leave_out`; bins of delays, for the matrix is (delay, delay). Finite.
    error : array, shape (delay,), optional
        Standard errors; by default the jackknife's.

    Returns
    -------
    float64 array, shape (delay, delay)

    Notes
    -----
    Shrinking keeps the variances, and is least where tiles are many. Shrinking towards no correlation at all, as the source does,
    takes the correlation of slow speckle away with the noise: chi2 of the true g2 is then 0.71 of the number of delays
    at 2 photons with 36 tiles, and 0.97 so; its spread is half as large again as with the true covariance.
    Source: Schaefer and Strimmer, Stat. Appl. Genet. Mol. Biol. 4, 32 (2005), doi:10.2202/1544-6115.1175.

    Examples
    --------
    >>> lag_covariance(np.array([[1.0, 2.0], [2.0, 3.0], [4.0, 5.0]])).round(2)
    array([[3.11, 1.54],
           [1.54, 3.11]])
    """
    n, delays = replicas.shape
    sigma = jackknife_error(replicas) if error is None else error
    away = replicas - replicas.mean(axis=0)
    size = np.sqrt(np.mean(away**2, axis=0))
    z = np.divide(away, size, out=np.zeros_like(away), where=size > 0)
    r = z.T @ z / n
    spread = ((z**2).T @ z**2 / n - r**2) * n / (n - 1) ** 2
    target = linalg.toeplitz([np.trace(r, k) / delays for k in range(delays)])
    off = ~np.eye(delays, dtype=bool)
    part = min(np.sum(spread[off]) / max(np.sum((r - target)[off] ** 2), 1e-300), 1.0)
    return np.where(off, 0.99 * ((1 - part) * r + part * target), 1.0) * np.outer(sigma, sigma)


def _added(sums: TileSums, times: Array) -> TileSums:
    """Sums of all tiles together, each taken so many times."""
    return TileSums(*(np.tensordot(times, field, 1) for field in sums))


def _ratio(one: TileSums, edges: Array | None) -> Array:
    """One-time correlation out of the sums of the pixels that are in."""
    below = autocorrelation(one.mean) / one.norm**2
    below[0] = (one.mean @ one.mean - one.own) / (one.norm**2 - one.norm2) if one.norm**2 > one.norm2 else np.nan
    above, below = _binned(one.lagged / one.norm, edges), _binned(below, edges)
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 1e-9 * np.nanmax(below, initial=0.0))


def _binned(a: Array, edges: Array | None) -> Array:
    """Sums over bins of the last axis."""
    return a if edges is None else np.add.reduceat(a[..., : edges[-1]], edges[:-1], axis=-1)
