"""How relaxation depends on the momentum transfer: power law of the rate, trend of the exponent, over regions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from xcdi.backend import Array

__all__ = ["PowerLaw", "Trend", "power_law", "trend"]


class PowerLaw(NamedTuple):
    r"""A rate that goes as ``prefactor q**exponent``.

    Attributes
    ----------
    prefactor, exponent : float
        The prefactor is the rate at q = 1; with an exponent of 2 it is a diffusion coefficient. An exponent of 1 is ballistic.
    errors : (float, float)
        One standard error of each.
    q, rate, rate_error : float
        Where the law is known best, and what it is there; independent of the exponent.
    chi2 : float
        Squared misfit in units of the errors; NaN without errors.
    points : int
        Regions that were used.
    """

    prefactor: float
    exponent: float
    errors: tuple[float, float]
    q: float
    rate: float
    rate_error: float
    chi2: float
    points: int

    @property
    def p_value(self) -> float:
        """Chance of so large a chi2 if the law and the errors are right."""
        return _chance(self.chi2, self.points - 2)


class Trend(NamedTuple):
    """A quantity on a straight line over the logarithm of q.

    Attributes
    ----------
    mean, slope : float
        Weighted mean over the regions, and change per factor e in q.
    errors : (float, float)
        One standard error of each.
    chi2 : float
        Squared misfit in units of the errors; NaN without errors.
    points : int
        Regions that were used.
    """

    mean: float
    slope: float
    errors: tuple[float, float]
    chi2: float
    points: int

    @property
    def p_value(self) -> float:
        """Chance of so large a chi2 if the line and the errors are right."""
        return _chance(self.chi2, self.points - 2)


def power_law(q: Array, rate: Array, error: Array | None = None) -> PowerLaw:
    r"""Fit :math:`\Gamma(q) = D q^n` by weighted least squares of the logarithms.

    Parameters
    ----------
    q, rate : array, shape (region,)
        Those that are not finite and positive are left out.
    error : array, shape (region,), optional
        Standard errors of the rates, from replicas; without them every region weighs the same, and errors come from the scatter.

    Returns
    -------
    PowerLaw
        All NaN with fewer than two regions of different q.

    Notes
    -----
    Errors of q are not known to it. Regions of one sample share nothing but the sample, so their errors are taken as independent.

    Examples
    --------
    >>> q = np.array([0.01, 0.02, 0.04])
    >>> found = power_law(q, 3.0 * q**2, 0.1 * q**2)
    >>> round(found.prefactor, 6), round(found.exponent, 6)
    (3.0, 2.0)
    """
    known = np.isfinite(rate) & (rate > 0) & np.isfinite(q) & (q > 0)
    relative = None if error is None else np.divide(error, rate, out=np.full(np.shape(rate), np.nan), where=known)
    logs = np.log(np.where(known, rate, 1.0))
    line = trend(q, np.where(known, logs, np.nan), relative)
    middle = _middle(q, np.where(known, logs, np.nan), relative)
    prefactor = float(np.exp(line.mean - line.slope * middle))
    spread = float(np.hypot(line.errors[0], middle * line.errors[1]))
    at = float(np.exp(line.mean))
    return PowerLaw(
        prefactor,
        line.slope,
        (prefactor * spread, line.errors[1]),
        float(np.exp(middle)),
        at,
        at * line.errors[0],
        line.chi2,
        line.points,
    )


def trend(q: Array, value: Array, error: Array | None = None) -> Trend:
    """Fit a straight line over ln q, as to the exponents of stretched exponentials; see :func:`power_law`.

    Examples
    --------
    >>> found = trend(np.array([1.0, np.e]), np.array([1.5, 1.2]), np.array([0.1, 0.1]))
    >>> round(found.mean, 6), round(found.slope, 6), round(found.errors[0], 4)
    (1.35, -0.3, 0.0707)
    """
    known, weight = _weights(q, value, error)
    x = np.log(np.where(known, q, 1.0)) - _middle(q, value, error)
    y = np.where(known, value, 0.0)
    above, below = float(np.sum(weight * x * y)), float(np.sum(weight * x * x))
    points, nan = int(known.sum()), float("nan")
    if points < 2 or below <= 1e-12 * weight.sum():
        return Trend(nan, nan, (nan, nan), nan, points)
    mean, slope = float(np.sum(weight * y) / weight.sum()), above / below
    misfit = float(np.sum(weight * (y - mean - slope * x) ** 2))
    noise = 1.0 if error is not None else misfit / max(points - 2, 1)
    errors = float(np.sqrt(noise / weight.sum())), float(np.sqrt(noise / below))
    return Trend(mean, slope, errors, nan if error is None else misfit, points)


def _weights(q: Array, value: Array, error: Array | None) -> tuple[Array, Array]:
    """Regions that are known, and the weight of each: one over its variance."""
    known = np.isfinite(q) & (q > 0) & np.isfinite(value)
    if error is None:
        return known, known.astype(float)
    known = known & np.isfinite(error) & (error > 0)
    return known, np.divide(1.0, error**2, out=np.zeros(np.shape(error)), where=known)


def _middle(q: Array, value: Array, error: Array | None) -> float:
    """Weighted mean of ln q."""
    known, weight = _weights(q, value, error)
    return float(np.sum(weight * np.log(np.where(known, q, 1.0))) / weight.sum()) if known.any() else float("nan")


def _chance(chi2: float, free: int) -> float:
    return float(special.gammaincc(free / 2, chi2 / 2)) if free > 0 else float("nan")
