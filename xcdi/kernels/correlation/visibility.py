"""Contrast of speckle against exposure time, and its value without exposure from pairs of photons in different frames."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from scipy import optimize, special

from xcdi.backend import Array
from xcdi.kernels.correlation import speckles
from xcdi.kernels.correlation.jackknife import jackknife_error
from xcdi.kernels.correlation.lagged import by_pixel
from xcdi.kernels.correlation.photons import Photons, from_dense

__all__ = ["Extrapolated", "Visibility", "contrast_from_lags", "exposed", "lagged_pairs", "speckle_visibility"]

FEWEST = 4  # exposures, or the longest is not kept
RATES, EXPONENTS = 40, np.array([0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0])  # where a fit starts from


class Visibility(NamedTuple):
    """Contrast against exposure.

    Attributes
    ----------
    frames : integer array, shape (exposure,)
        Frames added up: 1, 2, 4, ...
    contrast, error : array, shape (exposure,)
        By factorial moments, and its standard error.
    mean : array, shape (exposure,)
        Photons per pixel and exposure.
    replicas : array, shape (tile, exposure)
        The contrast with one tile of pixels left out at a time.
    """

    frames: Array
    contrast: Array
    error: Array
    mean: Array
    replicas: Array


class Extrapolated(NamedTuple):
    r"""Contrast of a frame, from lags above zero too.

    Attributes
    ----------
    value, error : float
        The contrast and its standard error.
    rate, exponent : float
        Of the fit ``contrast exp(-2 (rate lag)**exponent)``; `rate` is in 1/frame.
    lag, correlation, weight : array, shape (lag,)
        What was fitted: g2 - 1 and how much each counted; lag in frames.
    """

    value: float
    error: float
    rate: float
    exponent: float
    lag: Array
    correlation: Array
    weight: Array


def exposed(counts: Array | Photons, tile: Array, ok: Array | None = None) -> Visibility:
    """Contrast of 1, 2, 4, ... consecutive frames added up (X-ray speckle visibility spectroscopy).

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Pixels of equal expected intensity, frames evenly spaced.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, for the errors.
    ok : bool array, shape (time,), optional
        Frames to be used. An exposure with another one in it is left out.

    Notes
    -----
    Factorial moments, so shot noise is not in it and no dead time between frames is assumed: the contrast of m frames is the
    mean of g2 - 1 over all pairs of them. Source: Li et al., Photon statistics and speckle visibility spectroscopy with partially
    coherent X-rays, J. Synchrotron Rad. 21, 1288 (2014).

    Examples
    --------
    >>> still = np.tile([[0, 4, 0, 4, 0, 4, 0, 4]], (16, 1))
    >>> exposed(still, np.arange(8) // 2).frames.tolist()
    [1, 2, 4]
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    size, ok = np.bincount(tile), np.ones(events.frames, bool) if ok is None else ok
    frames, contrast, mean, replicas = [], [], [], []
    together = 1
    while events.frames // together >= FEWEST:
        whole = ok[: events.frames // together * together].reshape(-1, together).all(axis=1)
        total, squares = (sums[:, whole].astype(float) for sums in speckles.tile_moments(events, tile, together=together))
        frames.append(together)
        contrast.append(float(speckles.moment_contrast(total.sum(axis=0), squares.sum(axis=0), int(size.sum()))))
        replicas.append(speckles.moment_contrast(total.sum(axis=0) - total, squares.sum(axis=0) - squares, size.sum() - size))
        mean.append(float(total.sum()) / max(size.sum() * int(whole.sum()), 1))
        together *= 2
    left = np.array(replicas).reshape(len(frames), -1).T
    return Visibility(np.array(frames), np.array(contrast), jackknife_error(left), np.array(mean), left)


def speckle_visibility(exposure: Array, rate: float, exponent: float, contrast: float, frozen: float = 0.0) -> Array:
    r"""Contrast of an exposure T during which the pattern relaxes.

    .. math:: \beta(T) = \frac{2 \beta}{T} \int_0^T \left(1 - \frac{t}{T}\right) g_1(t)^2 \, dt, \quad
              g_1(t) = (1 - f)\, e^{-(\Gamma t)^\gamma} + f

    Parameters
    ----------
    exposure : array
        Any unit, 0 or more.
    rate : float
        1 / relaxation time, in 1 / (unit of the exposure).
    exponent, contrast, frozen : float
        As of :class:`~xcdi.kernels.relaxation.Stretched`.

    Returns
    -------
    array
        The contrast at zero exposure; ``contrast / (rate exposure)`` for a long one, if the exponent is 1 and nothing frozen.

    Notes
    -----
    In closed form by incomplete gamma functions. Source: Bandyopadhyay et al., Rev. Sci. Instrum. 76, 093110 (2005),
    doi:10.1063/1.2037987; with exponent 1 it is their equation for an exponential.

    Examples
    --------
    >>> x = 0.7
    >>> known = (np.exp(-2 * x) - 1 + 2 * x) / (2 * x**2)
    >>> bool(np.isclose(speckle_visibility(np.array([x]), 1.0, 1.0, 1.0)[0], known))
    True
    """
    time = np.asarray(exposure, float) * rate
    fast, slow = _triangle(time, 2.0, exponent), _triangle(time, 1.0, exponent)
    return contrast * ((1 - frozen) ** 2 * fast + 2 * frozen * (1 - frozen) * slow + frozen**2)


def _triangle(time: Array, factor: float, exponent: float) -> Array:
    """``2 / T int_0^T (1 - t / T) exp(-factor t**exponent) dt``."""
    t = np.maximum(time, 1e-12)
    u, inverse = factor * t**exponent, 1 / exponent
    first = inverse * factor**-inverse * special.gamma(inverse) * special.gammainc(inverse, u)
    second = inverse * factor ** (-2 * inverse) * special.gamma(2 * inverse) * special.gammainc(2 * inverse, u)
    return np.where(u < 1e-8, 1.0, 2 * (first - second / t) / t)


def lagged_pairs(counts: Array | Photons, tile: Array, longest: int) -> Array:
    """Sums over pixels and time of the products of counts `lag` frames apart, for each tile; exact.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
    tile : integer array, shape (pixel,)
    longest : int
        Largest lag in frames.

    Returns
    -------
    int64 array, shape (tile, lag)
        Lags 0 to `longest`; the first is ``sum n (n - 1)``, without shot noise.

    Notes
    -----
    The cost is that of the pairs of events in one pixel that are so near in time.

    Examples
    --------
    >>> lagged_pairs(np.array([[2], [3], [0]]), np.array([0]), 1).tolist()
    [[8, 6]]
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    sums = np.zeros((int(tile.max()) + 1, longest + 1), np.int64)
    first, time, count = by_pixel(events)
    _near(first, time, count.astype(np.int64), tile.astype(np.int64), sums)
    return sums


def contrast_from_lags(
    counts: Array | Photons,
    tile: Array,
    *,
    rate: float | None = None,
    exponent: float | None = None,
    longest: int | None = None,
    uneven: float = 0.0,
) -> Extrapolated:
    r"""Contrast of single frames from pairs of photons in different frames too: g2 continued to lag zero.

    .. math:: g_2(\tau) - 1 = \beta\, e^{-2 (\Gamma \tau)^\gamma}

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Pixels of equal expected intensity, frames evenly spaced; zero in frames that are not to be used.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, for the error.
    rate, exponent : float, optional
        Held at this value where it is known, `rate` in 1/frame; by default fitted.
    longest : int, optional
        Largest lag, by default half of the frames. A pattern with a frozen part, or with events, follows the law at short lags
        only.
    uneven : float
        Variance of the pixels' expected intensity over its squared mean, which g2 - 1 would otherwise hold too.

    Notes
    -----
    Of dim frames (0.02 photons per pixel) there are few with two photons in one pixel, and many pairs of frames within a relaxation
    time: the standard error is a third of that of factorial moments. A pattern that is forgotten from one frame to the
    next cannot be continued; its error says so. Every lag counts as its shot noise allows, which is best where shot noise rules.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> still = rng.poisson(np.broadcast_to(0.1 * rng.exponential(1.0, 400), (100, 400)))
    >>> found = contrast_from_lags(still, np.arange(400) // 20)
    >>> abs(found.value - 1) < 3 * found.error
    True
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    last = min(events.frames - 1, longest or max(events.frames // 2, 1))
    pairs, total = lagged_pairs(events, tile, last).astype(float), speckles.tile_moments(events, tile)[0].astype(float)
    squares, size = speckles.tile_moments(events, tile)[1].astype(float), np.bincount(tile)
    whole, weight = _lagged_g2(pairs.sum(axis=0), total.sum(axis=0), squares.sum(), int(size.sum()))
    parts = zip(pairs, total, squares.sum(axis=1), size, strict=True)
    left = [_lagged_g2(pairs.sum(axis=0) - p, total.sum(axis=0) - t, squares.sum() - s, int(size.sum() - n))[0] for p, t, s, n in parts]
    return _continued(np.arange(last + 1), whole / (1 + uneven) - 1, np.array(left) / (1 + uneven) - 1, weight, rate, exponent)


def _lagged_g2(pairs: Array, total: Array, squares: float, pixels: int) -> tuple[Array, Array]:
    """One-time correlation (ratio of sums) and the weight of every lag: the inverse of its shot noise, squared."""
    lags = pairs.size
    below = np.array([total[: total.size - lag] @ total[lag:] for lag in range(lags)]) / max(pixels, 1)
    below[0] = (total @ total - squares) / (pixels - 1) if pixels > 1 else 0.0  # one pixel has no contrast
    known = below > 0
    g2 = np.divide(pairs, below, out=np.full(lags, np.nan), where=known)
    return g2, np.where(known, below, 0.0) * np.where(np.arange(lags) == 0, 0.5, 1.0)


def _continued(lag: Array, whole: Array, left: Array, weight: Array, rate: float | None, exponent: float | None) -> Extrapolated:
    """Fit the law to g2 - 1; the error by the first-order response to what each tile changes."""
    known = np.isfinite(whole) & np.isfinite(left).all(axis=0) & (weight > 0)
    root, t, c = np.sqrt(weight[known]), lag[known], whole[known]
    if known.sum() < 4:
        return Extrapolated(*(float("nan"),) * 4, lag, whole, weight)
    rates = np.array([rate]) if rate is not None else np.geomspace(0.02 / t[-1], 3.0, RATES)
    start = _best_of_grid(t, c, root**2, rates, np.array([exponent]) if exponent is not None else EXPONENTS)
    free = np.array([True, rate is None, exponent is None])
    low, high = np.array([-1.0, 1e-4 / t[-1], 0.5]), np.array([50.0, 10.0, 2.0])

    def misfit(p: Array) -> Array:
        q = start.copy()
        q[free] = p
        return root * (q[0] * np.exp(-2 * (q[1] * t) ** q[2]) - c)

    bounds = (low[free], high[free])
    inside = np.clip(start[free], bounds[0] * 1.0001 + 1e-12, bounds[1] * 0.9999)
    found = optimize.least_squares(misfit, inside, bounds=bounds, x_scale="jac")
    response = np.linalg.pinv(found.jac) * root
    best = start.copy()
    best[free] = found.x
    error = float(jackknife_error((left[:, known] - c) @ response[0]))
    return Extrapolated(float(best[0]), error, float(best[1]), float(best[2]), lag, whole, weight)


def _best_of_grid(t: Array, c: Array, weight: Array, rates: Array, exponents: Array) -> Array:
    """Contrast, rate and exponent of least squares on a grid; the contrast is linear."""
    shape = np.exp(-2 * (rates[:, None, None] * t) ** exponents[:, None])
    height = (shape @ (weight * c)) / np.maximum(shape**2 @ weight, 1e-300)
    gain = np.where(height > 0, height * (shape @ (weight * c)), -np.inf)
    i, j = np.unravel_index(int(np.argmax(gain)), gain.shape)
    return np.array([float(height[i, j]), float(rates[i]), float(exponents[j])])


@numba.njit(nogil=True, cache=True)
def _near(first, time, count, tile, sums):  # type: ignore[no-untyped-def]
    longest = sums.shape[1] - 1
    for p in range(first.size - 1):
        k = tile[p]
        for e in range(first[p], first[p + 1]):
            sums[k, 0] += count[e] * (count[e] - 1)
            f = e + 1
            while f < first[p + 1] and time[f] - time[e] <= longest:
                sums[k, time[f] - time[e]] += count[e] * count[f]
                f += 1
