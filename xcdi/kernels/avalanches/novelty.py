"""When the pattern becomes a new one: the novelty of every frame in a two-time correlation."""

from __future__ import annotations

import numba as nb
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import false_alarms as alarms
from xcdi.kernels.avalanches.poisson_scan import SURROGATE_FRAMES, robust_score, separation
from xcdi.kernels.avalanches.steps import differences, shuffled

__all__ = ["covariance", "noise_tail", "novelty"]


def covariance(counts: Array) -> Array:
    """Products of the deviations of frames from their means (N4), shape (time, time); the contrast is not divided out.

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Good frames and valid pixels; each frame is divided by its mean.
    """
    mean = np.maximum(counts.mean(axis=1, dtype=np.float64), 1e-300).astype(np.float32)
    away = counts / mean[:, None] - np.float32(1)
    return np.asarray(away @ away.T, np.float64) / counts.shape[1]


def novelty(c: Array, window: int) -> Array:
    r"""Squared distance between the patterns before and after every frame, from a two-time correlation.

    .. math:: S(t) = \tfrac12 [\overline{C(pre, pre)} + \overline{C(post, post)}] - \overline{C(pre, post)}

    Parameters
    ----------
    c : array, shape (time, time)
        Its diagonal, which holds shot noise, is not used.
    window : int
        Frames before and after.

    Returns
    -------
    array, shape (time,)
        NaN within a window of the ends.

    Notes
    -----
    The squared maximum mean discrepancy of the two windows: Gretton et al., J. Mach. Learn. Res. 13, 723 (2012).

    Examples
    --------
    >>> state = np.repeat([0, 1], 4)
    >>> novelty(1.0 + 0.5 * (state[:, None] == state), 3)[4].round(6)
    np.float64(0.5)
    """
    return _novelty(np.ascontiguousarray(c, np.float64), window)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
def _novelty(c: Array, window: int) -> Array:  # pragma: no cover
    n = len(c)
    result = np.full(n, np.nan)
    pairs = window * (window - 1) / 2
    for t in range(window, n - window + 1):
        within, between = 0.0, 0.0
        for i in range(t - window, t + window):
            for j in range(i + 1, t + window):
                if i < t <= j:
                    between += c[i, j]
                else:
                    within += c[i, j]
        result[t] = within / (2 * pairs) - between / window**2
    return result


def noise_tail(c: Array, window: int, *, frames: int = SURROGATE_FRAMES, seed: int = 0) -> alarms.Tail:
    """Peaks of the robust score of the novelty of noise alone.

    Surrogates are made of differences of successive frames, shuffled and with random signs, as in
    :func:`xcdi.kernels.avalanches.events.noise_tail`.

    Parameters
    ----------
    c : array, shape (time, time)
        Four windows of frames and six, or more.
    window : int
    frames : int
        Length of all surrogates together.
    seed : int
    """
    rng = np.random.default_rng(seed)
    pool = np.ascontiguousarray(differences(np.asarray(c, np.float64))[::2, ::2] / 2)
    n = len(pool)
    usable = n - 2 * window + 1
    if usable < 1:
        raise ValueError(f"{len(c)} good frames; a threshold for windows of {window} needs {4 * window} or more")

    def score() -> Array:
        noise = shuffled(pool, rng.permutation(n), rng.choice([-1.0, 1.0], n), 2 * window)
        return robust_score(_novelty(noise, window))

    return alarms.of_surrogates(score, usable, frames, separation(window))
