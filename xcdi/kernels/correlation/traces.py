"""The correlation along the diagonals of a two-time matrix: its trace over age, its distribution, and the noise that it shows itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["Distribution", "adjacent_noise", "distribution", "traces"]


class Distribution(NamedTuple):
    """Distribution of the correlation at one lag.

    Attributes
    ----------
    edges : array, shape (bin + 1,)
    density : array, shape (bin,)
        Integrates to one.
    mean, spread, noise : float
        Mean, standard deviation, and how much of that is noise (its standard deviation).
    """

    edges: Array
    density: Array
    mean: float
    spread: float
    noise: float


def traces(two_time: Array, lags: Array) -> Array:
    """Correlation along the diagonals of a two-time matrix, minus one.

    Parameters
    ----------
    two_time : array, shape (time, time2)
    lags : integer array, shape (lag,)
        In frames, above zero.

    Returns
    -------
    array, shape (lag, time)
        Time is that of the earlier frame; NaN where there is no later one.

    Examples
    --------
    >>> traces(np.array([[9.0, 1.5], [1.5, 9.0]]), np.array([1]))
    array([[0.5, nan]])
    """
    found = np.full((len(lags), len(two_time)), np.nan)
    for row, lag in zip(found, lags, strict=True):
        row[: max(len(two_time) - lag, 0)] = np.diagonal(two_time, lag) - 1
    return found


def distribution(trace: Array, noise_variance: float, *, bins: int | None = None) -> Distribution:
    """Distribution of the correlation at one lag, and how wide noise alone would make it.

    Parameters
    ----------
    trace : array, shape (time,)
        One row of :func:`traces`; NaN is left out.
    noise_variance : float
        Raw variance less ``chi``, or :func:`adjacent_noise`.
    bins : int, optional
        By default by the rule of Freedman and Diaconis.

    Examples
    --------
    >>> found = distribution(np.random.default_rng(1).standard_normal(1000), 0.25)
    >>> round(float(np.sum(found.density * np.diff(found.edges))), 6), found.noise
    (1.0, 0.5)
    """
    known = trace[np.isfinite(trace)]
    if known.size < 2:
        return Distribution(np.array([0.0, 1.0]), np.array([0.0]), float("nan"), float("nan"), float("nan"))
    density, edges = np.histogram(known, bins=bins or "fd", density=True)
    return Distribution(edges, density, float(known.mean()), float(known.std(ddof=1)), max(noise_variance, 0.0) ** 0.5)


def adjacent_noise(trace: Array) -> Array:
    """Variance of the part of a trace that is new in every frame, from each value's difference to its two neighbours.

    All that a matrix without its pixels tells of noise: that of photons. The noise of finite speckles lives as long as they do and
    is not in it.

    Parameters
    ----------
    trace : array, shape (..., time)

    Returns
    -------
    array, shape (...)
        NaN where fewer than three values in a row are known.

    Notes
    -----
    Source: Gasser, Sroka & Jennen-Steinmetz, Biometrika 73, 625 (1986), doi:10.1093/biomet/73.3.625.

    Examples
    --------
    >>> float(adjacent_noise(np.arange(10.0)))
    0.0
    """
    bend = trace[..., :-2] - 2 * trace[..., 1:-1] + trace[..., 2:]
    known = np.isfinite(bend)
    count = known.sum(axis=-1)
    sums = np.sum(np.where(known, bend, 0.0) ** 2, axis=-1)
    return np.divide(sums, 6.0 * count, out=np.full(np.shape(sums), np.nan), where=count > 0)
