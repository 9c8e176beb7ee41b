"""Exact sums over pixels of the products of counts in two frames."""

from __future__ import annotations

import numpy as np

from xcdi.backend import Array, is_on_gpu, namespace
from xcdi.kernels.correlation import dense, gemm
from xcdi.kernels.correlation.dense import EXACT_DOUBLE, EXACT_SINGLE

__all__ = ["EXACT_DOUBLE", "EXACT_SINGLE", "raw_products", "square_sum"]

PANEL_BYTES = 2**27  # of single-precision copies of counts at a time


def raw_products(counts: Array, later: Array | None = None) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    counts : integer array, shape (time, pixel)
        Photon counts, 0 or more.
    later : integer array, shape (time2, pixel), optional
        Second set of frames; by default the same as `counts`.

    Returns
    -------
    float64 array, shape (time, time2)
        Integers, exact.

    Raises
    ------
    ValueError
        If a sum could pass 2**53.

    Notes
    -----
    Single precision is exact where every partial sum stays below 2**24; other panels
    of pixels are multiplied in double. On a GPU whole counts go through fewer bits (:mod:`gemm`).

    Examples
    --------
    >>> raw_products(np.array([[1, 2], [3, 0]]))
    array([[5., 3.],
           [3., 9.]])
    """
    xp = namespace(counts)
    if xp is np:
        return dense.products(counts, later)
    if is_on_gpu(counts) and all(c.dtype.kind in "bui" for c in (counts, counts if later is None else later)):
        product = gemm.products(counts, later)
        if product is not None:
            return product
    rows = counts.shape[0] + (0 if later is None else later.shape[0])
    panel = max(256, PANEL_BYTES // (4 * max(rows, 1)))
    total = None
    for start in range(0, max(counts.shape[1], 1), panel):
        here = (slice(None), slice(start, min(start + panel, counts.shape[1])))
        product = _panel(counts[here], None if later is None else later[here])
        total = xp.astype(product, xp.float64) if total is None else total + xp.astype(product, xp.float64)
    return total


def _panel(counts: Array, later: Array | None) -> Array:
    """Products of one panel of pixels, in the lowest precision that is exact."""
    xp = namespace(counts)
    both = (counts,) if later is None else (counts, later)
    bound = max(float(xp.max(c)) if 0 not in c.shape else 0.0 for c in both) ** 2 * counts.shape[1]
    if bound >= EXACT_SINGLE:  # that is pessimistic for a bright pixel among dark ones; Cauchy and Schwarz know better
        bound = max(float(xp.max(square_sum(c))) for c in both)
    if bound >= EXACT_DOUBLE:
        raise ValueError(f"a sum of products could reach {bound:.2g}, past the 2**53 that is exact; leave the brightest pixels out")
    kind = xp.float32 if bound < EXACT_SINGLE else xp.float64
    left = xp.astype(counts, kind)
    right = left if later is None else xp.astype(later, kind)
    return xp.matmul(left, xp.matrix_transpose(right))


def square_sum(counts: Array) -> Array:
    """Sum over pixels of the squares of counts, shape (time,), float64."""
    xp = namespace(counts)
    real = xp.astype(counts, xp.float64)
    return xp.sum(real * real, axis=1)
