"""Statistics of speckle: contrast without shot noise."""

from __future__ import annotations

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation.products import square_sum

__all__ = ["contrast"]


def contrast(counts: Array) -> float:
    r"""Speckle contrast :math:`\langle k(k-1) \rangle / \langle k \rangle^2 - 1`, free of shot noise.

    Parameters
    ----------
    counts : integer array, shape (time, pixel)
        Pixels of equal expected intensity.

    Notes
    -----
    The square of the mean is over pairs of different pixels, without the bias of (contrast + 1/mean)/pixels.

    Examples
    --------
    >>> import numpy as np
    >>> contrast(np.array([[0, 2, 0, 2]]))
    0.5
    """
    xp = namespace(counts)
    total, squares = xp.sum(xp.astype(counts, xp.float64), axis=1), square_sum(counts)
    pairs = float(xp.sum(total * total - squares))
    if pairs <= 0:
        return float("nan")
    return float(xp.sum(squares - total)) * (counts.shape[1] - 1) / pairs - 1
