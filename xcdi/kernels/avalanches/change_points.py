"""Frames at which the pattern may change: kernel change points, which a test with a known rate of false alarms must confirm."""

from __future__ import annotations

import numpy as np

from xcdi.backend import Array

__all__ = ["embedded", "proposals"]

DIRECTIONS = 40  # of the patterns, those that vary most
SHORTEST = 3  # frames between two change points


def embedded(products: Array, directions: int = DIRECTIONS) -> Array:
    """Vectors whose products are those given, as nearly as so few components can, shape (time, component).

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> near = embedded(x @ x.T, 2)
    >>> bool(np.allclose(near @ near.T, x @ x.T))
    True
    """
    values, vectors = np.linalg.eigh(products)
    kept = values[-directions:] > 0
    return np.ascontiguousarray(vectors[:, -directions:][:, kept] * np.sqrt(values[-directions:][kept]))


def proposals(products: Array, count: int) -> Array:
    """First frames of the new states of the best split of the series into `count` + 1 parts, rising.

    Parameters
    ----------
    products : array, shape (time, time)
        Of the patterns; its diagonal free of noise.
    count : int
        How many; a series too short for them has as many as it has room for.

    Notes
    -----
    A linear kernel on the patterns, split by dynamic programming (`ruptures.KernelCPD`): Truong, Oudre and Vayatis,
    Signal Processing 167, 107299 (2020). It says nothing about significance, and a drift gives as many points as one asks for.

    Examples
    --------
    >>> state = np.repeat([1.0, 2.0, 0.5], [5, 7, 6])
    >>> proposals(np.outer(state, state), 2).tolist()
    [5, 12]
    """
    import ruptures  # loads much that nothing else here needs

    n = len(products)
    most = min(count, n // SHORTEST - 1)
    if most < 1 or not np.any(products):
        return np.zeros(0, int)
    found = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST).fit(embedded(products)).predict(n_bkps=most)
    return np.array([at for at in found if 0 < at < n], int)
