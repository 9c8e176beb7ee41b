"""When the counts of the pixels change: a two-window scan of photon counts, and the robust score that finds its peaks."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from xcdi.backend import Array
from xcdi.kernels.avalanches import false_alarms as alarms

__all__ = ["AROUND", "noise_tail", "poisson_scan", "robust_score", "separation"]

AROUND = 101  # frames of the local baseline
APART = 0.8  # of a window, between two events
SURROGATE_FRAMES = 20_000
SD = 1.4826  # standard deviation of a Gaussian over its median absolute deviation


def separation(window: int) -> int:
    """Least frames between two events: 0.8 of a window.

    Examples
    --------
    >>> separation(12)
    10
    """
    return int(np.ceil(APART * window))


def poisson_scan(counts: Array, window: int) -> Array:
    r"""How much more the pixels change between two windows than photon noise explains.

    .. math:: z = \frac{X - N}{\sqrt{\sum (2 - 2/n_p)}}, \quad X = \sum_{n_p > 0} \frac{(a_p - n_p p_0)^2}{n_p p_0 (1 - p_0)},
                \quad p_0 = \frac{\sum a}{\sum a + \sum b}

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Photons of the good frames and valid pixels.
    window : int
        Frames on either side: their sums are a and b, n = a + b.

    Returns
    -------
    array, shape (time,)
        About 0 with a standard deviation of 1 for a constant pattern; NaN within a window of the ends and where a window holds no photon.

    Notes
    -----
    The brightness of the beam cancels in p0. A slow drift of the pattern raises z: see :func:`robust_score`.

    Examples
    --------
    >>> steps = np.repeat([[4, 0], [0, 4]], 3, axis=0)
    >>> poisson_scan(steps, 3)[3].round(2)
    np.float64(11.49)
    """
    if len(counts) < 2 * window or not counts.shape[1]:
        return np.full(len(counts), np.nan)
    return _scan(np.ascontiguousarray(counts), window)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
def _scan(counts: Array, window: int) -> Array:  # pragma: no cover
    """The sums of the two windows move on by one frame a step."""
    n, pixels = counts.shape
    result = np.full(n, np.nan)
    a, b = np.zeros(pixels), np.zeros(pixels)
    for t in range(window):
        for p in range(pixels):
            a[p] += counts[t, p]
            b[p] += counts[t + window, p]
    for t in range(window, n - window + 1):
        before, after = a.sum(), b.sum()
        if before > 0 and after > 0:
            share = before / (before + after)
            chi, seen, variance = 0.0, 0, 0.0
            for p in range(pixels):
                both = a[p] + b[p]
                if both > 0:
                    chi += (a[p] - both * share) ** 2 / both
                    seen += 1
                    variance += 2.0 - 2.0 / both
            if variance > 0:
                result[t] = (chi / (share * (1 - share)) - seen) / np.sqrt(variance)
        if t < n - window:
            old, middle, new = t - window, t, t + window
            for p in range(pixels):
                a[p] += float(counts[middle, p]) - float(counts[old, p])
                b[p] += float(counts[new, p]) - float(counts[middle, p])
    return result


def robust_score(z: Array, around: int = AROUND) -> Array:
    """Distance from the median of the `around` nearest values, in robust standard deviations; NaN stays NaN.

    Notes
    -----
    The standard deviation is the larger of that of the `around` nearest values and that of all: neighbouring values of a scan share
    most of their frames, so that 101 of them hold some four that are independent, and often lie close together by chance.

    Examples
    --------
    >>> robust_score(np.array([1.0, 3.0, 2.0, 9.0, np.nan])).round(2)
    array([-1.01,  0.34, -0.34,  4.38,   nan])
    """
    result = np.full(len(z), np.nan)
    known = np.flatnonzero(np.isfinite(z))
    if not known.size:
        return result
    near = sliding_window_view(z[known], min(around, known.size))
    place = np.clip(np.arange(known.size) - (around - 1) // 2, 0, len(near) - 1)
    middle = np.median(near, axis=1)
    local = np.median(np.abs(near - middle[:, None]), axis=1)
    away = z[known] - middle[place]
    width = SD * np.maximum(local[place], np.median(np.abs(away)))
    result[known] = away / np.where(width > 0, width, np.inf)
    return result


def noise_tail(counts: Array, window: int, *, frames: int = SURROGATE_FRAMES, seed: int = 0) -> alarms.Tail:
    """Peaks of the robust score of the scan of noise alone.

    Surrogate series are made of differences of successive frames, shuffled and with random signs, over the photons of both: they
    have the noise of the data, and neither drift nor events.

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Four windows of frames and six, or more.
    window : int
    frames : int
        Length of all surrogates together.
    seed : int
    """
    rng, n = np.random.default_rng(seed), len(counts) // 2
    one, other = (counts[start : 2 * n : 2].astype(np.int32) for start in (0, 1))
    away, both = other - one, other + one
    usable = n - 2 * window + 1
    if usable < 1:
        raise ValueError(f"{len(counts)} good frames; a threshold for windows of {window} needs {4 * window} or more")

    def score() -> Array:
        return robust_score(_scan_differences(away, both, rng.permutation(n), rng.choice([-1.0, 1.0], n), window))

    return alarms.of_surrogates(score, usable, frames, separation(window))


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
def _scan_differences(away: Array, both: Array, order: Array, sign: Array, window: int) -> Array:  # pragma: no cover
    """Return the scan of differences `away`, the noise of which is that of `both` photons, as if they were frames in this order."""
    n, pixels = len(order), away.shape[1]
    result = np.full(n, np.nan)
    change, photons = np.zeros(pixels), np.zeros(pixels)
    for t in range(2 * window):
        k = order[t]
        step = -sign[k] if t < window else sign[k]
        for p in range(pixels):
            change[p] += step * away[k, p]
            photons[p] += both[k, p]
    for t in range(window, n - window + 1):
        chi, seen, variance = 0.0, 0, 0.0
        for p in range(pixels):
            if photons[p] > 0:
                chi += change[p] ** 2 / photons[p]
                seen += 1
                variance += 2.0 - 2.0 / photons[p]
        if variance > 0:
            result[t] = (chi - seen) / np.sqrt(variance)
        if t < n - window:
            old, middle, new = order[t - window], order[t], order[t + window]
            for p in range(pixels):
                change[p] += sign[old] * away[old, p] - 2.0 * sign[middle] * away[middle, p] + sign[new] * away[new, p]
                photons[p] += both[new, p] - both[old, p]
    return result
