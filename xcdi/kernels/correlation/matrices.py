"""Square matrices over time: their diagonals, and what is known of them."""

from __future__ import annotations

from xcdi.backend import Array, namespace

__all__ = ["diagonal", "on_diagonal", "or_nan", "outer", "over_outer"]


def diagonal(matrix: Array, lag: int = 0) -> Array:
    """Elements (i, i + lag)."""
    xp, n = namespace(matrix), matrix.shape[0]
    return xp.reshape(matrix, (-1,))[lag : (n - lag) * n : n + 1]


def on_diagonal(matrix: Array, values: Array) -> Array:
    """Put `values` on the diagonal of `matrix`, in place where it is contiguous; return it."""
    xp, n = namespace(matrix), matrix.shape[0]
    flat = xp.reshape(matrix, (-1,))
    flat[:: n + 1] = values
    return xp.reshape(flat, (n, n))


def outer(v: Array) -> Array:
    """Product of every element with every other."""
    return v[:, None] * v[None, :]


def over_outer(matrix: Array, v: Array, scale: float) -> Array:
    """Divide `matrix` in place by the outer product of `v` and multiply it by `scale`, some rows at a time; return it.

    Examples
    --------
    >>> import numpy as np
    >>> over_outer(np.array([[2.0, 6.0], [6.0, 18.0]]), np.array([1.0, 3.0]), 0.5)
    array([[1., 1.],
           [1., 1.]])
    """
    rows = max(1, 2**20 // max(matrix.shape[0], 1))
    for start in range(0, matrix.shape[0], rows):
        here = slice(start, min(start + rows, matrix.shape[0]))
        matrix[here, :] *= scale
        matrix[here, :] /= v[here, None] * v[None, :]
    return matrix


def or_nan(a: Array) -> Array:
    """`a` where it is positive, NaN elsewhere."""
    xp = namespace(a)
    return xp.where(a > 0, a, xp.asarray(xp.nan, dtype=a.dtype))
