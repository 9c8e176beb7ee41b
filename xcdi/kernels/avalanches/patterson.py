"""Difference Patterson: the quick look that needs no crystal at where a change may be."""

from __future__ import annotations

import numpy as np
from scipy import fft

from xcdi.backend import Array

__all__ = ["difference"]


def difference(pre: Array, post: Array, valid: Array | None = None) -> Array:
    r"""Change of the autocorrelation of the object between two patterns; the origin is the middle n // 2.

    .. math:: \Delta P(\mathbf r) = \mathcal F^{-1}(I_{post} - I_{pre})

    Parameters
    ----------
    pre, post : array, shape (row, column)
        Mean patterns of one angle.
    valid : bool array, shape (row, column), optional
        Pixels that are not count as unchanged, which blurs the map by their transform.

    Returns
    -------
    complex array, shape (row, column)
        Hermitian about the middle; in a projection along the beam. A region that slips by a phase changes
        its products with the rest only, never those of the region with itself: where the map stands out are the vectors, in both
        senses, between what moved and what did not. The value in the middle is the change of brightness.

    Notes
    -----
    Source: difference Patterson maps of crystallography, Rossmann, Acta Cryst. 13, 221 (1960).

    Examples
    --------
    >>> still = np.ones((4, 4))
    >>> bool(np.all(difference(still, still) == 0))
    True
    """
    if pre.shape != post.shape:
        raise ValueError(f"patterns of {pre.shape} and {post.shape} pixels have no difference; they must be of one shape")
    change = np.asarray(post, float) - np.asarray(pre, float)
    if valid is not None:
        change = np.where(valid, change, 0.0)
    return fft.fftshift(fft.ifft2(fft.ifftshift(change)))
