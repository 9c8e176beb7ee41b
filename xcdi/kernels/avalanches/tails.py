"""What else might fit sizes: exponential, log-normal, and a power law that is cut off, beside the power law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from xcdi.backend import Array
from xcdi.kernels.avalanches import likelihood
from xcdi.kernels.avalanches.power_laws import fit_power_law, log_norm

__all__ = ["Tail", "compare_tails", "vuong"]

POINTS = 801  # of the grid in ln(size) on which laws without a formula are normalised


class Tail(NamedTuple):
    """One alternative of :func:`compare_tails`: `ratio` > 0 where the power law is better, `p` the chance of that by luck."""

    name: str
    ratio: float
    p: float


class _Sizes(NamedTuple):
    """Logarithms of sizes over the least lower end, of the lower end of each likewise, and a grid to the upper end."""

    log: Array
    end: Array
    grid: Array


def compare_tails(sizes: Array, smallest: float | Array, largest: float | None = None) -> tuple[Tail, ...]:
    """Compare the power law between two ends with other laws on the same sizes.

    Parameters
    ----------
    sizes : array, shape (event,)
    smallest, largest : float
        Range of all laws; `smallest` may be one of every event's own series, `largest` is the largest size by default.

    Returns
    -------
    tuple of Tail
        "exponential", "lognormal", and "cutoff" (power law times an
        exponential). For the first two, normalised log-likelihood ratios (Vuong,
        Econometrica 57, 307 (1989)); the power law is a case of the third, whose
        ratio is never positive and whose p is that of a likelihood-ratio test.

    Notes
    -----
    All laws are cut at both ends, unlike those of the package `powerlaw`
    (Alstott, Bullmore and Plenz, PLoS ONE 9, e85777 (2014)), which serves as
    reference where the upper end is far away.
    """
    fit = fit_power_law(sizes, smallest, largest)
    x = np.asarray(sizes, np.float64)
    a = np.broadcast_to(np.asarray(smallest, np.float64), x.shape)
    inside = (x >= a) & (x <= fit.largest)
    span = float(np.log(fit.largest / fit.smallest))
    seen = _Sizes(np.log(x[inside] / fit.smallest), np.log(a[inside] / fit.smallest), np.linspace(0, span, POINTS))
    own = (1 - fit.exponent) * (seen.log - seen.end) - log_norm(1 - fit.exponent, span - seen.end)
    tails = [Tail(name, *vuong(own, law(seen))) for name, law in (("exponential", _exponential), ("lognormal", _lognormal))]
    gain = max(0.0, float((_cutoff(seen, fit.exponent) - own).sum()))
    return (*tails, Tail("cutoff", -gain, float(stats.chi2.sf(2 * gain, 1))))


def vuong(own: Array, other: Array) -> tuple[float, float]:
    """Log-likelihood ratio over its standard deviation, and the chance of one as large where both laws are equally good.

    Parameters
    ----------
    own, other : array, shape (event,)
        Log density of every event.

    Notes
    -----
    Source: Vuong, Econometrica 57, 307 (1989).
    """
    difference = own - other
    ratio = float(difference.sum() / (np.std(difference) * np.sqrt(difference.size) or 1.0))
    return ratio, float(special.erfc(abs(ratio) / np.sqrt(2)))


def _fitted(shape: Callable[[Array, Array], Array], seen: _Sizes, starts: Sequence[tuple[float, ...]]) -> Array:
    """Log density (per unit ln x) of every size at the maximum of the likelihood; `shape` is normalised on a grid."""

    def of(parameters: Array) -> Array:
        line = shape(seen.grid, parameters)
        top = float(line.max())
        weight = np.exp(line - top)
        parts = (weight[1:] + weight[:-1]) * (seen.grid[1] / 2)
        tail = np.append(np.cumsum(parts[::-1])[::-1], 0.0)
        return shape(seen.log, parameters) - top - np.log(np.maximum(np.interp(seen.end, seen.grid, tail), 1e-300))

    return of(likelihood.maximum(lambda p: float(of(p).sum()), starts))


def _exponential(seen: _Sizes) -> Array:
    rate = 1 / max(float(np.mean(np.exp(seen.log) - np.exp(seen.end))), 1e-9)
    return _fitted(lambda t, p: t - np.exp(p[0] + t), seen, [(np.log(rate),)])


def _lognormal(seen: _Sizes) -> Array:
    mean, sd, span = float(seen.log.mean()), float(seen.log.std()) + 1e-9, float(seen.grid[-1])
    starts = [(mean, np.log(sd)), (-span, np.log(2 * span))]
    return _fitted(lambda t, p: -0.5 * ((t - p[0]) / np.exp(np.clip(p[1], -20, 20))) ** 2, seen, starts)


def _cutoff(seen: _Sizes, exponent: float) -> Array:
    span = float(seen.grid[-1])
    starts = [(exponent, -span - 2.0), (exponent - 0.3, 1.0 - span)]
    return _fitted(lambda t, p: (1 - p[0]) * t - np.exp(np.clip(p[1], -40, 40) + t), seen, starts)
