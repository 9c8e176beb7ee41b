"""Maxima of likelihoods that have no closed form, and the errors that their curvature gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize

from xcdi.backend import Array

__all__ = ["covariance", "maximum"]

STEP = 1e-3  # of the parameters, for the curvature


def maximum(log_likelihood: Callable[[Array], float], starts: Sequence[Sequence[float]]) -> Array:
    """Parameters of the highest likelihood that is reached from the starts.

    Examples
    --------
    >>> maximum(lambda p: -float((p[0] - 2) ** 2), [(0.0,)]).round(3)
    array([2.])
    """
    tries = [
        optimize.minimize(lambda p: -log_likelihood(p), start, method="Nelder-Mead", options={"maxiter": 600, "xatol": 1e-4, "fatol": 1e-5})
        for start in starts
    ]
    return np.asarray(min(tries, key=lambda found: float(found.fun)).x)


def covariance(log_likelihood: Callable[[Array], float], at: Array) -> Array:
    """Covariance of parameters from the curvature of the likelihood at its maximum, shape (parameter, parameter).

    NaN where the likelihood is not curved downwards, so that the data do not fix the parameters.

    Examples
    --------
    >>> covariance(lambda p: -float((p[0] - 2) ** 2) / 2, np.array([2.0])).round(3)
    array([[1.]])
    """
    n = at.size
    shift = STEP * np.eye(n)
    hessian = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            corner = [log_likelihood(at + a * shift[i] + b * shift[j]) * a * b for a in (-1, 1) for b in (-1, 1)]
            hessian[i, j] = hessian[j, i] = sum(corner) / (4 * STEP**2)
    if not np.all(np.isfinite(hessian)) or np.any(np.linalg.eigvalsh(-hessian) <= 0):
        return np.full((n, n), np.nan)
    return np.asarray(np.linalg.inv(-hessian))
