"""Square matrices over time: their diagonals, and what is known of them."""

from __future__ import annotations

from xcdi.backend import Array, namespace

__all__ = ["diagonal", "on_diagonal", "or_nan", "outer"]


def diagonal(matrix: Array, lag: int = 0) -> Array:
    """Elements (i, i + lag)."""
    xp, n = namespace(matrix), matrix.shape[0]
    return xp.reshape(matrix, (-1,))[lag : (n - lag) * n : n + 1]


def on_diagonal(matrix: Array, values: Array) -> Array:
    """`matrix` with `values` as its diagonal."""
    xp = namespace(matrix)
    here = xp.eye(matrix.shape[0], dtype=xp.bool)
    return xp.where(here, values[:, None], matrix)


def outer(v: Array) -> Array:
    """Product of every element with every other."""
    return v[:, None] * v[None, :]


def or_nan(a: Array) -> Array:
    """`a` where it is positive, NaN elsewhere."""
    xp = namespace(a)
    return xp.where(a > 0, a, xp.asarray(xp.nan, dtype=a.dtype))
