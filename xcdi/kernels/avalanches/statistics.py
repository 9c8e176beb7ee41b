"""The statistics of avalanches: power laws with two ends, what else might fit, and the times between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from xcdi.backend import Array

__all__ = [
    "PowerLaw",
    "Tail",
    "Waiting",
    "bootstrap",
    "ccdf",
    "compare_tails",
    "cut_by_distance",
    "fit_power_law",
    "power_law_ccdf",
    "sample_power_law",
    "waiting_times",
]

STEEPEST = 8.0  # exponents are sought between -1 and this


class PowerLaw(NamedTuple):
    """Result of :func:`fit_power_law`.

    Attributes
    ----------
    exponent, error : float
        tau of ``p(x) ~ x^-tau`` and its standard error from the curvature of the likelihood.
    smallest, largest : float
        The range that was fitted.
    n : int
        Sizes in that range.
    distance : float
        Largest difference (Kolmogorov-Smirnov) between the sizes and the fit.
    """

    exponent: float
    error: float
    smallest: float
    largest: float
    n: int
    distance: float


class Tail(NamedTuple):
    """One alternative of :func:`compare_tails`: `ratio` > 0 where the power law is better, `p` the chance of that by luck."""

    name: str
    ratio: float
    p: float


class Waiting(NamedTuple):
    """Result of :func:`waiting_times`: times between events [s], the same over their local mean, and two p-values."""

    gaps: Array
    rescaled: Array
    p_exponential: float
    p_rescaled: float


def ccdf(sizes: Array) -> tuple[Array, Array]:
    """Sizes in rising order, and the share of all that is at least as large.

    Examples
    --------
    >>> ccdf(np.array([3.0, 1.0]))
    (array([1., 3.]), array([1. , 0.5]))
    """
    rising = np.sort(np.asarray(sizes, np.float64))
    return rising, 1 - np.arange(rising.size) / max(rising.size, 1)


def fit_power_law(sizes: Array, smallest: float, largest: float | None = None) -> PowerLaw:
    r"""Maximum-likelihood exponent of a power law between two ends.

    .. math:: p(x) = \frac{(1 - \tau)\, x^{-\tau}}{b^{1-\tau} - a^{1-\tau}}, \quad a \leq x \leq b

    Parameters
    ----------
    sizes : array, shape (event,)
    smallest : float
        a; choose it above the size from which all events are found.
    largest : float, optional
        b, from physics (a fraction cannot pass 1). By default the largest size,
        which biases the exponent low by about 1 / (n ln(b / a)).

    Notes
    -----
    The law without an upper end (Clauset, Shalizi and Newman, SIAM Review 51,
    661 (2009), eq. 3.1) gives exponents 0.2 to 0.4 too steep when sizes span 20
    to 100 times; hence two ends, as in Deluca and Corral, Acta Geophysica 61,
    1351 (2013). Distance and likelihood have no closed maximum; it is searched.

    Examples
    --------
    >>> fit_power_law(np.array([1.0, 1.5, 2.0, 3.0, 5.0, 9.0]), 1.0, 10.0).n
    6
    """
    sizes = np.asarray(sizes, np.float64)
    largest = float(np.max(sizes)) if largest is None else float(largest)
    if not 0 < smallest < largest:
        raise ValueError(f"a power law from {smallest:g} to {largest:g} needs 0 < smallest < largest")
    x = sizes[(sizes >= smallest) & (sizes <= largest)]
    if x.size < 2:
        raise ValueError(f"{x.size} size(s) between {smallest:g} and {largest:g}; a fit needs at least 2")
    exponent, error = _maximum(float(np.mean(np.log(x / smallest))), float(np.log(largest / smallest)), x.size)
    rising, above = ccdf(x)
    model = power_law_ccdf(rising, exponent, smallest, largest)
    distance = float(np.max(np.maximum(np.abs(above - model), np.abs(above - 1 / x.size - model))))
    return PowerLaw(exponent, error, float(smallest), largest, int(x.size), distance)


def _maximum(mean_log: float, span: float, n: int) -> tuple[float, float]:
    """Exponent and its error from the mean logarithm of x/a and the logarithm of b/a."""
    found = optimize.minimize_scalar(lambda t: t * mean_log + _log_norm(1 - t, span), bounds=(-1.0, STEEPEST), method="bounded")
    exponent = float(found.x)
    h = 1e-3
    curvature = (_log_norm(1 - exponent - h, span) - 2 * _log_norm(1 - exponent, span) + _log_norm(1 - exponent + h, span)) / h**2
    return exponent, float(1 / np.sqrt(n * max(curvature, 1e-12)))


def _log_norm(power: float, span: float) -> float:
    """Logarithm of the integral of ``exp(power y)`` from 0 to `span`; smooth through power 0."""
    y = power * span
    if abs(y) < 1e-6:
        return float(np.log(span) + y / 2)
    return float(np.log(span) + (y if y > 0 else 0.0) + np.log(-np.expm1(-abs(y)) / abs(y)))


def power_law_ccdf(x: Array, exponent: float, smallest: float, largest: float) -> Array:
    """Share at or above `x` of a power law between two ends; 1 below, 0 above them.

    Examples
    --------
    >>> power_law_ccdf(np.array([1.0, 2.0, 4.0]), 1.0, 1.0, 4.0)
    array([1. , 0.5, 0. ])
    """
    span = np.log(largest / smallest)
    y = np.clip(np.log(np.asarray(x, np.float64) / smallest), 0, span)
    power = 1 - exponent
    if abs(power * span) < 1e-9:
        return 1 - y / span
    return np.clip((np.expm1(power * span) - np.expm1(power * y)) / np.expm1(power * span), 0, 1)


def sample_power_law(n: int, exponent: float, smallest: float, largest: float, rng: np.random.Generator) -> Array:
    """Draw `n` sizes from a power law between two ends."""
    u, span, power = rng.random(n), np.log(largest / smallest), 1 - exponent
    y = u * span if abs(power) < 1e-12 else np.log1p(u * np.expm1(power * span)) / power
    return smallest * np.exp(y)


def bootstrap(
    sizes: Array, smallest: float, largest: float | None = None, *, n: int = 400, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the exponent that holds `level` of its values for sizes drawn again with replacement.

    Notes
    -----
    Basic bootstrap on the scale of the exponent: the quantiles are mirrored
    about the estimate (Davison and Hinkley, Bootstrap Methods, 1997, eq. 5.6).
    """
    fit = fit_power_law(sizes, smallest, largest)
    x = np.log(np.asarray(sizes, np.float64)[(sizes >= fit.smallest) & (sizes <= fit.largest)] / fit.smallest)
    rng = np.random.default_rng(seed)
    span = float(np.log(fit.largest / fit.smallest))
    drawn = [_maximum(float(x[rng.integers(x.size, size=x.size)].mean()), span, x.size)[0] for _ in range(n)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(2 * fit.exponent - high), float(2 * fit.exponent - low)


def cut_by_distance(sizes: Array, largest: float | None = None, *, least: int = 50) -> float:
    """Lower end at which the fit comes nearest to the sizes (Kolmogorov-Smirnov), leaving `least` of them or more.

    Source: Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), section 3.3.
    """
    rising = np.unique(np.asarray(sizes, np.float64))
    rising = rising[rising > 0]
    allowed = rising[[int((sizes >= a).sum()) >= least for a in rising]]
    if allowed.size < 2:
        raise ValueError(f"{len(sizes)} sizes; to choose a lower end needs more than {least}")
    tried = allowed[np.unique(np.linspace(0, allowed.size - 1, min(allowed.size, 60)).astype(int))]
    return float(min(tried[:-1], key=lambda a: fit_power_law(sizes, float(a), largest).distance))


def compare_tails(sizes: Array, smallest: float, largest: float | None = None) -> tuple[Tail, ...]:
    """Compare the power law between two ends with other laws on the same sizes.

    Parameters
    ----------
    sizes : array, shape (event,)
    smallest, largest : float
        Range of all laws; `largest` is the largest size by default.

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
    x = x[(x >= fit.smallest) & (x <= fit.largest)]
    y, span = np.log(x / fit.smallest), float(np.log(fit.largest / fit.smallest))
    own = -fit.exponent * y - _log_norm(1 - fit.exponent, span)
    others = {"exponential": _exponential(y, span), "lognormal": _lognormal(y, span)}
    tails = [_vuong(name, own, other) for name, other in others.items()]
    gain = max(0.0, float((_cutoff(y, span, fit.exponent) - own).sum()))
    return (*tails, Tail("cutoff", -gain, float(stats.chi2.sf(2 * gain, 1))))


def _vuong(name: str, own: Array, other: Array) -> Tail:
    difference = own - other
    ratio = float(difference.sum() / (np.std(difference) * np.sqrt(difference.size) or 1.0))
    return Tail(name, ratio, float(special.erfc(abs(ratio) / np.sqrt(2))))


def _fitted(log_density: Callable[[Array, Array], Array], y: Array, span: float, starts: Sequence[tuple[float, ...]]) -> Array:
    """Log density (per unit x/a) of each y at the maximum of the likelihood; `log_density` is normalised on a grid."""
    grid = np.linspace(0, span, 2001)

    def of(parameters: Array) -> Array:
        shape = log_density(grid, parameters) + grid
        top = float(shape.max())
        norm = top + np.log(np.trapezoid(np.exp(shape - top), grid))
        return log_density(y, parameters) - norm

    tries = [optimize.minimize(lambda p: -float(of(p).sum()), start, method="Nelder-Mead", options={"maxiter": 400}) for start in starts]
    return of(min(tries, key=lambda found: float(found.fun)).x)


def _exponential(y: Array, span: float) -> Array:
    rate = 1 / max(float(np.mean(np.exp(y)) - 1), 1e-9)
    return _fitted(lambda t, p: -np.exp(p[0]) * np.exp(t), y, span, [(np.log(rate),)])


def _lognormal(y: Array, span: float) -> Array:
    mean, sd = float(y.mean()), float(y.std()) + 1e-9
    starts = [(mean, np.log(sd)), (-span, np.log(2 * span))]
    return _fitted(lambda t, p: -0.5 * ((t - p[0]) / np.exp(np.clip(p[1], -20, 20))) ** 2 - t, y, span, starts)


def _cutoff(y: Array, span: float, exponent: float) -> Array:
    starts = [(exponent, -span - 2.0), (exponent - 0.3, 1.0 - span)]
    return _fitted(lambda t, p: -p[0] * t - np.exp(np.clip(p[1], -40, 40) + t), y, span, starts)


def waiting_times(times: Sequence[Array], *, neighbours: int = 20, chance: int = 300, seed: int = 0) -> Waiting:
    """Times between events, and whether they are those of chance alone.

    Parameters
    ----------
    times : sequence of arrays, each of shape (event,)
        Times of each series [s].
    neighbours : int
        Gaps per degree of the trend that is taken out. The rate of an ageing sample
        falls, which alone makes waiting times look broad.
    chance : int
        Samples of chance that the p-values compare with, treated like the data.
    seed : int
        Seed of these.

    Returns
    -------
    Waiting
        The p-values rest on the Kolmogorov-Smirnov distance from an exponential
        of the same mean. They are NaN for fewer than 8 gaps.
    """
    series = [np.diff(np.sort(np.asarray(t, np.float64))) for t in times]
    series = [gaps for gaps in series if gaps.size]
    gaps, local = _pooled(series, neighbours)
    if gaps.size < 8:
        return Waiting(gaps, local, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = [_pooled([rng.exponential(size=g.size) for g in series], neighbours) for _ in range(chance)]
    p = [float(np.mean([_distance(d[k]) >= _distance(own) for d in drawn])) for k, own in enumerate((gaps, local))]
    return Waiting(gaps, local, *p)


def _pooled(series: Sequence[Array], neighbours: int) -> tuple[Array, Array]:
    """All gaps, and all gaps over the trend of their own series."""
    if not series:
        return np.zeros(0), np.zeros(0)
    return np.concatenate(list(series)), np.concatenate([_rescale(gaps, neighbours) for gaps in series])


def _rescale(gaps: Array, neighbours: int) -> Array:
    """Gaps over a local mean: a quadratic in the order of the event, fitted to the logarithm of the gaps."""
    if gaps.size < 8:
        return gaps / (gaps.mean() if gaps.size else 1.0)
    order = np.linspace(-1, 1, gaps.size)
    degree = int(np.clip(gaps.size // neighbours, 1, 3))
    trend = np.polynomial.polynomial.polyval(order, np.polynomial.polynomial.polyfit(order, np.log(np.maximum(gaps, 1e-12)), degree))
    scaled = gaps / np.exp(trend)
    return scaled / scaled.mean()


def _distance(gaps: Array) -> float:
    """Kolmogorov-Smirnov distance from an exponential with the mean of the gaps."""
    rising = np.sort(gaps / gaps.mean())
    model, n = -np.expm1(-rising), rising.size
    return float(max(np.max(np.arange(1, n + 1) / n - model), np.max(model - np.arange(n) / n)))
