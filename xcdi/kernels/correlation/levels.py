"""Levels: what turns exact sums of products of photons into a two-time correlation, one number per frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.normalise import Weights, moments
from xcdi.kernels.correlation.photons import Photons

__all__ = ["Levels", "correlation", "levels"]


class Levels(NamedTuple):
    """What the two-time correlation of one region takes beside its sums of products.

    ``C = 1 + gain * (norm * products / (level * level2) - 1)`` off the diagonal.

    Attributes
    ----------
    level : float64 array, shape (time,)
        Weighted counts ``sum_p b_p n_p`` of each frame; 0 for a frame without any.
    diagonal : float64 array, shape (time,)
        C(t, t), free of shot noise; NaN where it is not known.
    peak : int64 array, shape (time,)
        ``sum_p a_p**2 n_p**2``: no product of two frames is above the geometric mean of theirs.
    norm, gain : float
        ``sum_p w_p**2``; and 1, or the inverse of the relative variance that a covariance is divided by.
    """

    level: Array
    diagonal: Array
    peak: Array
    norm: float
    gain: float


def levels(photons: Photons, weights: Weights, *, relative: bool = False) -> Levels:
    r"""What the two-time correlation of some photons takes beside its sums of products.

    Parameters
    ----------
    photons : Photons
        Of one region.
    weights : Weights
        Of its pixels, with whole ``a_p**2``: :func:`normalise.unit_weights`, :func:`normalise.level_weights`.
    relative : bool
        Divide by the variance of the pattern, pooled over all frames, as the covariance (N4) does; for equal weights.

    Notes
    -----
    A covariance of equal weights is a straight line of the correlation by mean: with
    :math:`C_1 = P Q / (N N')`, counts N of P pixels, products Q and the pooled relative variance V,
    :math:`C_4 = 1 + \frac{P}{(P - 1) V} (C_1 - 1)`.

    Examples
    --------
    >>> from xcdi.kernels.correlation.normalise import unit_weights
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> levels(from_dense(np.array([[10, 30], [10, 30]])), unit_weights(2)).level
    array([40., 40.])
    """
    level, own, second = moments(photons, weights)
    linear, _, _ = moments(photons, weights._replace(mean=weights.product**2))
    peak = np.rint(second + linear).astype(np.int64)
    norm, different = weights.norm or np.nan, weights.norm**2 - weights.norm2 or np.nan
    pairs = (level * level - own) / different
    known = np.where((level > 0) & (pairs > 0), pairs, np.nan)
    if not relative:
        return Levels(level, second / norm / known, peak, norm, 1.0)
    variance = second / norm - pairs
    total = variance.sum()
    pooled = total / pairs.sum() if total > 0 else np.nan
    squared = np.where(level > 0, (level / norm) ** 2, np.nan)
    return Levels(level, 1 + variance / (pooled * squared), peak, norm, norm / max(norm - 1, 1) / pooled)


def correlation(products: Array, some: Levels, rows: slice, columns: slice) -> Array:
    """Two-time correlation of some frames with others.

    Parameters
    ----------
    products : array, shape (time, time2)
        Weighted sums of products of the counts of the frames `rows` with those of the frames `columns`.
    some : Levels
        Of all frames.
    rows, columns : slice
        Which frames these are, without a step.

    Returns
    -------
    float64 array, shape (time, time2)
        NaN in the rows and columns of frames without photons.

    Examples
    --------
    >>> from xcdi.kernels.correlation.normalise import unit_weights
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> still = levels(from_dense(np.array([[10, 30], [10, 30]])), unit_weights(2))
    >>> correlation(np.array([[1000]]), still, slice(0, 1), slice(1, 2))
    array([[1.25]])
    """
    level = np.where(some.level > 0, some.level, np.nan)
    c = np.multiply(products, some.norm, dtype=float)
    c /= level[rows, None]
    c /= level[None, columns]
    if some.gain != 1.0:
        c = 1 + some.gain * (c - 1)
    here, there = (np.arange(some.level.size)[part] for part in (rows, columns))
    both, i, j = np.intersect1d(here, there, assume_unique=True, return_indices=True)
    c[i, j] = some.diagonal[both]
    return c
