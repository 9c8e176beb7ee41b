"""One-time correlation with honest errors, and the stretched exponential fitted to it.

Errors come from leaving out one tile of pixels after the other. Every replica
keeps the whole time axis, so correlation in time is in the error; tiles wider
than a speckle keep correlation between pixels in it too. The spread of the
elements along a diagonal of the two-time matrix, the common error bar, is two
to three times too small where either matters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft, optimize

from xcdi.backend import Array
from xcdi.kernels.correlation.normalise import Weights, noise_weights, weighted

__all__ = ["Stretched", "fit_stretched", "frozen_contrast", "jackknife_error", "leave_out", "log_bins", "stretched"]

BOUNDS = {"rate": (1e-9, 1e9), "exponent": (0.1, 4.0), "contrast": (0.0, 10.0), "baseline": (0.0, 3.0), "frozen": (0.0, 0.999)}


class Stretched(NamedTuple):
    r"""A stretched exponential, ``baseline + contrast ((1 - f) exp(-(rate t)**exponent) + f)**2``.

    Attributes
    ----------
    rate : float
        1 / relaxation time, in 1 / (unit of the delays).
    exponent : float
        Below 1 stretched, above 1 compressed.
    contrast, baseline : float
        Height of the decay, and what is left after it.
    frozen : float
        Part f of the amplitude that never relaxes.
    errors : tuple of float
        One standard error of each of these, in this order; 0 for what was held.
    """

    rate: float
    exponent: float
    contrast: float
    baseline: float
    frozen: float
    errors: tuple[float, ...]


def leave_out(counts: Array, weights: Weights, tile: Array) -> Array:
    """One-time correlation (ratio of sums) with one tile of pixels left out at a time.

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Zero in the frames that are not to be used.
    weights : Weights
        As for the two-time correlation; ``Weights(ones, ones, n, n)`` for the mean of each frame.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, 0, 1, ...

    Returns
    -------
    float64 array, shape (tile, delay)
        The first delay is zero, by factorial moments. NaN where no pair is known.

    Examples
    --------
    >>> still = np.array([[2, 6, 2, 6], [2, 6, 2, 6]])
    >>> leave_out(still, Weights(np.ones(4), np.ones(4), 4.0, 4.0), np.array([0, 0, 1, 1]))[:, 1]
    array([1.25, 1.25])
    """
    sums = [_tile_sums(counts[:, tile == k], _part(weights, tile == k)) for k in range(int(tile.max()) + 1)]
    whole = [sum(parts) for parts in zip(*sums, strict=True)]
    return np.stack([_ratio(*(total - part for total, part in zip(whole, parts, strict=True))) for parts in sums])


def _part(weights: Weights, here: Array) -> Weights:
    w2 = _squared_weight(weights.product[here], weights.mean[here])
    return Weights(weights.product[here], weights.mean[here], float(w2.sum()), float((w2 * w2).sum()))


def _squared_weight(product: Array, mean: Array) -> Array:
    """``w_p**2`` back from its two factors ``a = w / S`` and ``b = w**2 / S``: (b / a)**2."""
    return np.divide(mean, product, out=np.zeros_like(product), where=product > 0) ** 2


def _tile_sums(counts: Array, weights: Weights) -> tuple[Array, ...]:
    """What adds up over tiles: lagged products, mean, its self-terms, and the weights."""
    n = counts.astype(float)
    lagged = _autocorrelation(n * weights.product)
    lagged[0] = np.sum(weights.product**2 * n * (n - 1))
    mean, own = n @ weights.mean, np.sum((n * weights.mean) ** 2, axis=1)
    return lagged, mean, own, np.float64(weights.norm), np.float64(weights.norm2)


def _ratio(lagged: Array, mean: Array, own: Array, norm: float, norm2: float) -> Array:
    below = _autocorrelation(mean[:, None]) / norm**2
    below[0] = np.sum(mean**2 - own) / (norm**2 - norm2) if norm**2 > norm2 else np.nan
    return np.divide(lagged / norm, below, out=np.full_like(below, np.nan), where=below > 1e-9 * np.nanmax(below, initial=0.0))


def _autocorrelation(series: Array) -> Array:
    """Sum over the second axis of the autocorrelation along the first."""
    n = series.shape[0]
    size = fft.next_fast_len(2 * n, real=True)
    return fft.irfft(np.sum(np.abs(fft.rfft(series, size, axis=0)) ** 2, axis=1), size)[:n]


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


def frozen_contrast(counts: Array, envelope: Array) -> tuple[float, float]:
    """Contrast that the first and the last third of the frames share, and its standard error.

    Zero for a sample that forgets its pattern within the scan; then, and only
    then, a pixel's time mean is its expected intensity.

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Good frames, three or more.
    envelope : array, shape (pixel,)
        Smooth expected counts per frame.
    """
    third = len(counts) // 3
    if third == 0:
        return float("nan"), float("nan")
    ends = np.stack([counts[:third].sum(axis=0, dtype=np.int64), counts[-third:].sum(axis=0, dtype=np.int64)])
    weights = noise_weights(envelope * third)
    c = weighted(ends, weights) - 1
    spread = np.sqrt(np.prod(np.maximum(np.diag(c), 0) + 1 / np.maximum(ends.mean(axis=1), 1e-9)))
    return float(c[0, 1]), float(spread * np.sqrt(weights.norm2) / weights.norm)


def log_bins(n: int, *, per_octave: int = 8) -> Array:
    """Edges of bins of delays 1 ... n - 1 (in frames): single at first, then of equal width in the logarithm.

    Examples
    --------
    >>> log_bins(20, per_octave=2)
    array([ 1,  2,  3,  4,  6,  8, 11, 16, 20])
    """
    octaves = max(int(np.ceil(np.log2(max(n, 2)) * per_octave)), 1)
    edges = np.round(2.0 ** (np.arange(octaves + 1) / per_octave)).astype(int)
    return np.unique(np.concatenate([edges[edges < n], [n]]))


def stretched(delay: Array, rate: float, exponent: float, contrast: float, baseline: float, frozen: float = 0.0) -> Array:
    r"""Evaluate :class:`Stretched`; with ``frozen=0``, ``baseline + contrast exp(-2 (rate t)**exponent)``.

    Source: Siegert relation with a stretched exponential; the factor 2 belongs to intensity.
    """
    decay = np.exp(-((rate * delay) ** exponent))
    return baseline + contrast * ((1 - frozen) * decay + frozen) ** 2


def fit_stretched(
    delay: Array,
    g2: Array,
    error: Array | None = None,
    *,
    replicas: Array | None = None,
    baseline: float | None = None,
    plateau: bool = False,
) -> Stretched:
    """Fit a stretched exponential by weighted least squares.

    Parameters
    ----------
    delay, g2 : array, shape (delay,)
        Delays above zero. Values that are not finite are left out.
    error : array, shape (delay,), optional
        Standard errors; a point whose error is zero or unknown is left out.
    replicas : array, shape (replica, delay), optional
        From :func:`leave_out`; the errors are then the jackknife's. Without, they come from the curvature at the optimum, which
        takes the points as independent and is too small for neighbouring delays.
    baseline : float, optional
        Held at this value; by default fitted, or 1 with `plateau`.
    plateau : bool
        Fit a frozen part as well. It cannot be told from a free baseline.

    Returns
    -------
    Stretched
        All NaN where fewer points than parameters are known.

    Examples
    --------
    >>> t = np.arange(1.0, 300.0)
    >>> fit = fit_stretched(t, stretched(t, 0.02, 1.5, 0.25, 1.0))
    >>> round(fit.rate, 6), round(fit.exponent, 4), round(fit.contrast, 4), round(fit.baseline, 4)
    (0.02, 1.5, 0.25, 1.0)
    """
    known = np.isfinite(g2) & np.isfinite(delay) & (delay > 0)
    if error is not None:
        known &= np.isfinite(error) & (error > 0)
    held: dict[str, float | None] = {"baseline": 1.0 if baseline is None and plateau else baseline, "frozen": None if plateau else 0.0}
    free = [name for name in Stretched._fields[:5] if held.get(name) is None]
    if known.sum() <= len(free):
        nan = float("nan")
        return Stretched(nan, nan, nan, nan, nan, (nan,) * 5)
    sigma = np.ones(int(known.sum())) if error is None else error[known]
    t, fixed = delay[known], {name: value for name, value in held.items() if value is not None}
    best, covariance, response = _least_squares(t, g2[known], sigma, free, fixed, _guess(t, g2[known], free))
    spread = np.sqrt(np.diag(covariance))
    if replicas is not None:  # to first order, since a replica differs by little from the whole
        spread = jackknife_error((replicas[:, known] - g2[known]) @ response.T)
    values = {**fixed, **dict(zip(free, best, strict=True))}
    errors = dict(zip(free, spread, strict=True))
    every = {name: float(value) for name, value in values.items()}
    return Stretched(**every, errors=tuple(float(errors.get(name, 0.0)) for name in Stretched._fields[:5]))


def _guess(delay: Array, g2: Array, free: list[str]) -> Array:
    """Where to start: heights from both ends, the rate from where half of the decay is left."""
    tail = float(np.median(g2[-max(len(g2) // 5, 1) :]))
    head = float(np.median(g2[: max(len(g2) // 50, 1)]))
    half = delay[np.argmax(g2 < (head + tail) / 2)] if np.any(g2 < (head + tail) / 2) else delay[-1]
    start = {"rate": 0.35 / half, "exponent": 1.0, "contrast": max(head - min(tail, 1.0), 1e-3), "baseline": tail, "frozen": 0.1}
    return np.array([np.clip(start[name], *BOUNDS[name]) for name in free])


def _least_squares(
    delay: Array, g2: Array, sigma: Array, free: list[str], fixed: dict[str, float], start: Array
) -> tuple[Array, Array, Array]:
    """Best values of the `free` parameters, in their order, their covariance, and their response to each point."""
    scale = np.where(np.array(free) == "rate", start[free.index("rate")], 1.0)
    low, high = (np.array([BOUNDS[name][side] for name in free]) / scale for side in (0, 1))

    def misfit(x: Array) -> Array:
        return (stretched(delay, **fixed, **dict(zip(free, x * scale, strict=True))) - g2) / sigma

    inside = np.clip(start / scale, low * (1 + 1e-9) + 1e-12, high * (1 - 1e-9))
    found = optimize.least_squares(misfit, inside, bounds=(low, high), x_scale="jac")
    inverse = np.linalg.pinv(found.jac) * scale[:, None]
    noise = 2 * found.cost / max(len(g2) - len(free), 1)
    return found.x * scale, inverse @ inverse.T * noise, inverse / sigma
