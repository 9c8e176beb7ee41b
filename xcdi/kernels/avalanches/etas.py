"""The model of events that set off others, which do so in turn (ETAS), fitted by its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from xcdi.backend import Array

__all__ = ["Etas", "fit_etas"]


class Etas(NamedTuple):
    """Result of :func:`fit_etas`; every number stands with its standard error.

    Attributes
    ----------
    rate : (float, float)
        Background [1/s] of one series.
    share : (float, float)
        K: mean number of direct aftershocks of an event if one waits forever; NaN for p <= 1, where there is no such number.
    c : (float, float)
        Delay [s] from which the rate falls.
    p : (float, float)
        Exponent of its fall.
    productivity : (float, float)
        a of aftershocks ~ size ** a.
    chance : float
        p-value of a constant rate without aftershocks (likelihood ratio).
    """

    rate: tuple[float, float]
    share: tuple[float, float]
    c: tuple[float, float]
    p: tuple[float, float]
    productivity: tuple[float, float]
    chance: float


class _Series(NamedTuple):
    """Delay of every pair [s], the earlier event of it, where each later event begins, ln sizes, and the time left after each."""

    delay: Array
    first: Array
    begin: Array
    log_size: Array
    left: Array
    length: float


def fit_etas(times: Sequence[Array], sizes: Sequence[Array], ends: Sequence[float]) -> Etas:
    r"""Rate of events after events, with nested aftershocks told apart.

    .. math:: \lambda(t) = \mu + \kappa \sum_{t_i < t} S_i^a\, (t - t_i + c)^{-p}

    Parameters
    ----------
    times, sizes : sequence of arrays, each of shape (event,)
        Of each series; times [s] in rising order, from 0 on.
    ends : sequence of float
        Length of each series [s].

    Notes
    -----
    Source: Ogata, J. Am. Stat. Assoc. 83, 9 (1988); the law of decay is that of Utsu (Omori), J. Phys. Earth 43, 1 (1995).
    Needs 1000 events or so for p. Time and memory grow as the sum of the squares of the events per series. A c below
    the shortest delay that can be seen means nothing. Errors from the curvature of the likelihood.
    """
    middle = float(np.mean(np.log(np.concatenate(list(sizes)))))
    series = [_prepared(np.asarray(t, float), np.log(s) - middle, float(e)) for t, s, e in zip(times, sizes, ends, strict=True)]
    n, length = sum(s.log_size.size for s in series), sum(s.length for s in series)
    longest = max(s.length for s in series)
    start = np.array([np.log(0.5 * n / length), np.log(0.5), np.log(0.01 * length / n), 1.2, 0.3])
    bounds = [(-40, 20), (-12, 3), (start[2] - 12, start[2] + 8), (0.3, 4.0), (-3.0, 4.0)]
    best = optimize.minimize(lambda p: _negative(p, series, longest), start, jac=True, bounds=bounds, method="L-BFGS-B").x
    spread = _covariance(best, series, longest)
    rate, share, c, p, a = _numbers(lambda x: np.array(_named(x, series, longest)), best, spread)
    gain = -_negative(best, series, longest)[0] - (n * np.log(n / length) - n)
    return Etas(rate, share, c, p, a, float(stats.chi2.sf(2 * max(gain, 0.0), 4)))


def _prepared(t: Array, log_size: Array, length: float) -> _Series:
    later, first = np.tril_indices(t.size, -1)
    return _Series(t[later] - t[first], first, np.searchsorted(later, np.arange(1, t.size)), log_size, length - t, length)


def _kernel(left: Array, c: float, p: float) -> Array:
    """Integral of ``(x + c)^-p`` from 0 to `left`."""
    q = 1 - p if abs(p - 1) > 1e-7 else 1e-7
    return ((left + c) ** q - c**q) / q


def _negative(parameters: Array, series: Sequence[_Series], longest: float) -> tuple[float, Array]:
    """Minus the log-likelihood, and its slope; parameters ln rate, ln share within `longest`, ln c, p, a."""
    rate, share, c = np.exp(parameters[:3])
    p, a = float(parameters[3]), float(parameters[4])
    norm = float(_kernel(np.array(longest), c, p))
    kappa, h = share / norm, 1e-5
    dlog = (
        np.array([(longest + c) ** -p - c**-p, (_kernel(np.array(longest), c, p + h) - _kernel(np.array(longest), c, p - h)) / (2 * h)])
        / norm
    )
    value, slope = 0.0, np.zeros(5)
    for s in series:
        weight = np.exp(a * s.log_size)
        log = np.log(s.delay + c)
        each = weight[s.first] * np.exp(-p * log)
        excited, by_c, by_p, by_a = (_per_event(v, s) for v in (each, -p * each / (s.delay + c), -each * log, each * s.log_size[s.first]))
        intensity = rate + kappa * excited
        mass = _kernel(s.left, c, p)
        mass_c, mass_p = (s.left + c) ** -p - c**-p, (_kernel(s.left, c, p + h) - _kernel(s.left, c, p - h)) / (2 * h)
        value += float(np.log(intensity).sum() - rate * s.length - kappa * (weight @ mass))
        per = kappa / intensity
        slope[0] += rate * float((1 / intensity).sum() - s.length)
        whole = float(per @ excited - kappa * (weight @ mass))
        slope[1] += whole
        slope[2] += c * (float(per @ by_c - kappa * (weight @ mass_c)) - dlog[0] * whole)
        slope[3] += float(per @ by_p - kappa * (weight @ mass_p)) - dlog[1] * whole
        slope[4] += float(per @ by_a - kappa * ((weight * s.log_size) @ mass))
    return -value, -slope


def _per_event(values: Array, s: _Series) -> Array:
    """Sum over all earlier events, for every event."""
    return np.concatenate([[0.0], np.add.reduceat(values, s.begin)]) if s.begin.size else np.zeros(s.log_size.size)


def _covariance(best: Array, series: Sequence[_Series], longest: float) -> Array:
    h = 1e-4 * np.eye(best.size)
    curve = np.array([(_negative(best + d, series, longest)[1] - _negative(best - d, series, longest)[1]) / 2e-4 for d in h])
    curve = (curve + curve.T) / 2
    if np.any(np.linalg.eigvalsh(curve) <= 0):
        return np.full(curve.shape, np.nan)
    return np.asarray(np.linalg.inv(curve))


def _named(p: Array, series: Sequence[_Series], longest: float) -> tuple[float, ...]:
    """Background, share, c, p and productivity of the fitted parameters."""
    rate, share, c = np.exp(p[:3])
    weight = float(np.mean(np.concatenate([np.exp(p[4] * s.log_size) for s in series])))
    forever = c ** (1 - p[3]) / (p[3] - 1) if p[3] > 1 else np.nan
    return float(rate), float(share / _kernel(np.array(longest), c, float(p[3])) * forever * weight), float(c), float(p[3]), float(p[4])


def _numbers(of: Callable[[Array], Array], best: Array, spread: Array) -> list[tuple[float, float]]:
    """Numbers and their standard errors, to first order."""
    h = 1e-4 * np.eye(best.size)
    slope = np.array([(of(best + d) - of(best - d)) / 2e-4 for d in h])
    return [(float(value), float(error)) for value, error in zip(of(best), np.sqrt(np.diag(slope.T @ spread @ slope)), strict=True)]
