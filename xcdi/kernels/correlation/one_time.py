"""One-time correlation functions out of two-time correlations."""

from __future__ import annotations

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation.matrices import diagonal, or_nan

__all__ = ["one_time"]


def one_time(two_time: Array, weight: Array | None = None, *, ages: tuple[float, float] | None = None) -> Array:
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

    Returns
    -------
    array, shape (delay,)
        Index is the delay in frames; NaN where no pair is known.

    Examples
    --------
    >>> import numpy as np
    >>> one_time(np.array([[1.0, 1.5], [1.5, 2.0]]))
    array([1.5, 1.5])
    """
    xp = namespace(two_time)
    n = two_time.shape[0]
    weight = xp.ones((n,), dtype=two_time.dtype) if weight is None else weight
    start, stop = (0.0, float(n)) if ages is None else ages
    place = xp.astype(xp.arange(n), two_time.dtype)
    averages = []
    for lag in range(n):
        c = diagonal(two_time, lag)
        pair = weight[: n - lag] * weight[lag:]
        age = place[: n - lag] + lag / 2
        known = ~xp.isnan(c) & ~xp.isnan(pair) & (age >= start) & (age < stop)
        zero = xp.zeros_like(c)
        averages.append(xp.sum(xp.where(known, c * pair, zero)) / or_nan(xp.sum(xp.where(known, pair, zero))))
    return xp.stack(averages)
