"""Power laws between two ends: fitted, drawn, and tested, for one lower end or one for every series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = [
    "PowerLaw",
    "bootstrap",
    "ccdf",
    "cut_by_distance",
    "fit_power_law",
    "goodness",
    "log_norm",
    "noise_shift",
    "power_law_ccdf",
    "sample_power_law",
]

STEEPEST = 8.0  # exponents are sought between -1 and this
HALVINGS = 44  # of that range, to 1e-12
TRIED = 60  # lower ends among which the nearest fit is sought


class PowerLaw(NamedTuple):
    """Result of :func:`fit_power_law`.

    Attributes
    ----------
    exponent, error : float
        tau of ``p(x) ~ x^-tau`` and its standard error from the curvature of the likelihood.
    smallest, largest : float
        The range that was fitted; of several lower ends the least.
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


class _Fitted(NamedTuple):
    """Sizes in the range: logarithm of each over its lower end, number of that end, and the logarithm of b / a of every end."""

    log: Array
    which: Array
    span: Array


def ccdf(sizes: Array) -> tuple[Array, Array]:
    """Sizes in rising order, and the share of all that is at least as large.

    Examples
    --------
    >>> ccdf(np.array([3.0, 1.0]))
    (array([1., 3.]), array([1. , 0.5]))
    """
    rising = np.sort(np.asarray(sizes, np.float64))
    return rising, 1 - np.arange(rising.size) / max(rising.size, 1)


def fit_power_law(sizes: Array, smallest: float | Array, largest: float | None = None) -> PowerLaw:
    r"""Maximum-likelihood exponent of a power law between two ends.

    .. math:: p(x) = \frac{(1 - \tau)\, x^{-\tau}}{b^{1-\tau} - a^{1-\tau}}, \quad a \leq x \leq b

    Parameters
    ----------
    sizes : array, shape (event,)
    smallest : float or array, shape (event,)
        a; choose it above the size from which all events are found. One for every
        event where series differ: each event then counts given that it passed
        the end of its own series, and all share one exponent.
    largest : float, optional
        b, from physics (a fraction cannot pass 1). By default the largest size,
        which biases the exponent low by about 1 / (n ln(b / a)).

    Notes
    -----
    The law without an upper end (Clauset, Shalizi and Newman, SIAM Review 51,
    661 (2009), eq. 3.1) gives exponents 0.2 to 0.4 too steep when sizes span 20
    to 100 times; hence two ends, as in Deluca and Corral, Acta Geophysica 61,
    1351 (2013), who also join data sets of different lower ends by the product
    of their likelihoods. It has no closed maximum; it is searched.

    Examples
    --------
    >>> fit_power_law(np.array([1.0, 1.5, 2.0, 3.0, 5.0, 9.0]), 1.0, 10.0).n
    6
    """
    seen, a, b = _inside(sizes, smallest, largest)
    share = np.bincount(seen.which, minlength=seen.span.size) / seen.log.size
    exponent = 1 - float(_solve(np.asarray(seen.log.mean()), share, seen.span))
    error = float((seen.log.size * np.sum(share * _variance(1 - exponent, seen.span))) ** -0.5)
    distance = float(_distance(np.sort(_above(seen.log, 1 - exponent, seen.span[seen.which]))))
    return PowerLaw(exponent, error, a, b, int(seen.log.size), distance)


def _inside(sizes: Array, smallest: float | Array, largest: float | None) -> tuple[_Fitted, float, float]:
    """Sizes between the ends, the least lower end, and the upper end."""
    x = np.asarray(sizes, np.float64)
    a = np.broadcast_to(np.asarray(smallest, np.float64), x.shape)
    low = float(np.min(smallest))
    b = float(np.max(x, initial=0.0)) if largest is None else float(largest)
    if not 0 < low < b:
        raise ValueError(f"a power law from {low:g} to {b:g} needs 0 < smallest < largest")
    inside = (x >= a) & (x <= b)
    if inside.sum() < 2:
        raise ValueError(f"{inside.sum()} size(s) between {low:g} and {b:g}; a fit needs at least 2")
    ends, which = np.unique(a[inside], return_inverse=True)
    return _Fitted(np.log(x[inside] / a[inside]), which, np.log(b / ends)), low, b


def _solve(mean_log: Array, share: Array, span: Array) -> Array:
    """Power k of the density ``exp(k y)`` on 0..span with the mean given, for many samples; `share` weighs ends along the last axis."""
    low, high = np.full(mean_log.shape, 1 - STEEPEST), np.full(mean_log.shape, 2.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        small = np.sum(share * _mean(middle[..., None], span), axis=-1) < mean_log
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return (low + high) / 2


def _mean(power: Array, span: Array) -> Array:
    """Mean of y for a density ``exp(power y)`` on 0..span."""
    y = power * span
    safe = np.where(np.abs(y) < 1e-4, 1.0, y)
    return span * np.where(np.abs(y) < 1e-4, 0.5 + y / 12, -1 / np.expm1(-safe) - 1 / safe)


def _variance(power: float, span: Array) -> Array:
    """Variance of y for a density ``exp(power y)`` on 0..span."""
    y = power * span
    safe = np.where(np.abs(y) < 1e-2, 1.0, y)
    return span**2 * np.where(np.abs(y) < 1e-2, (1 - y**2 / 20) / 12, safe**-2 - 0.25 / np.sinh(safe / 2) ** 2)


def log_norm(power: float, span: Array) -> Array:
    """Logarithm of the integral of ``exp(power y)`` from 0 to `span`; smooth through power 0.

    Examples
    --------
    >>> float(log_norm(0.0, np.array(1.0)))
    0.0
    """
    y = power * np.asarray(span, np.float64)
    safe = np.where(np.abs(y) < 1e-6, 1.0, y)
    return np.log(span) + np.where(np.abs(y) < 1e-6, y / 2, np.maximum(safe, 0) + np.log(-np.expm1(-np.abs(safe)) / np.abs(safe)))


def _above(log: Array, power: Array | float, span: Array) -> Array:
    """Share at or above e^log of a law between 0 and `span`."""
    k = np.asarray(power, np.float64)
    flat = np.abs(k) < 1e-9
    k = np.where(flat, 1e-9, k)
    return np.clip(np.expm1(k * (log - span)) / np.expm1(-k * span), 0, 1) + 0.0  # no -0


def _distance(share: Array) -> Array:
    """Kolmogorov-Smirnov distance of shares, sorted along the last axis, from even ones."""
    n = share.shape[-1]
    step = np.arange(n + 1) / n
    return np.max(np.maximum(step[1:] - share, share - step[:-1]), axis=-1)


def power_law_ccdf(x: Array, exponent: float, smallest: float, largest: float) -> Array:
    """Share at or above `x` of a power law between two ends; 1 below, 0 above them.

    Examples
    --------
    >>> power_law_ccdf(np.array([1.0, 2.0, 4.0]), 1.0, 1.0, 4.0).round(6)
    array([1. , 0.5, 0. ])
    """
    span = np.log(largest / smallest)
    return _above(np.clip(np.log(np.asarray(x, np.float64) / smallest), 0, span), 1 - exponent, span)


def sample_power_law(n: int, exponent: float, smallest: float, largest: float, rng: np.random.Generator) -> Array:
    """Draw `n` sizes from a power law between two ends.

    Examples
    --------
    >>> fit = fit_power_law(sample_power_law(5000, 1.5, 0.01, 0.6, np.random.default_rng(0)), 0.01, 0.6)
    >>> abs(fit.exponent - 1.5) < 3 * fit.error
    True
    """
    return smallest * np.exp(_drawn(rng.random(n), 1 - exponent, np.log(largest / smallest)))


def _drawn(u: Array, power: float, span: Array | float) -> Array:
    """Logarithms of sizes over their lower end, from even chances."""
    return u * span if abs(power) < 1e-12 else np.log1p(u * np.expm1(power * span)) / power


def bootstrap(
    sizes: Array, smallest: float | Array, largest: float | None = None, *, n: int = 400, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the exponent that holds `level` of its values for sizes drawn again with replacement.

    Notes
    -----
    Basic bootstrap on the scale of the exponent: the quantiles are mirrored
    about the estimate (Davison and Hinkley, Bootstrap Methods, 1997, eq. 5.6).
    """
    fit = fit_power_law(sizes, smallest, largest)
    seen, _, _ = _inside(sizes, smallest, largest)
    drawn = 1 - _resampled(seen, n, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(2 * fit.exponent - high), float(2 * fit.exponent - low)


def _resampled(seen: _Fitted, n: int, rng: np.random.Generator) -> Array:
    """Powers of `n` samples drawn from the sizes with replacement."""
    chosen = rng.integers(seen.log.size, size=(n, seen.log.size))
    share = np.stack([np.mean(seen.which[chosen] == end, axis=1) for end in range(seen.span.size)], axis=-1)
    return _solve(seen.log[chosen].mean(axis=1), share, seen.span)


def cut_by_distance(sizes: Array, largest: float | None = None, *, least: int = 50, above: float = 0.0) -> float:
    """Lower end at which the fit comes nearest to the sizes (Kolmogorov-Smirnov), leaving `least` of them or more.

    Parameters
    ----------
    sizes : array, shape (event,)
    largest : float, optional
        Upper end; by default the largest size.
    least : int
        Fewest sizes that must be left.
    above : float
        No end below this is tried: the size from which all events are found.

    Notes
    -----
    Source: Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), section 3.3.
    """
    rising = np.sort(np.asarray(sizes, np.float64))
    cut, _ = _nearest(rising[(rising > 0) & (rising <= (np.inf if largest is None else largest))], largest, least, above)
    return cut


def _nearest(rising: Array, largest: float | None, least: int, above: float) -> tuple[float, float]:
    """Best lower end of sizes in rising order, and the distance there."""
    ends = np.unique(rising[rising >= above])
    place = np.searchsorted(rising, ends)
    allowed = np.flatnonzero(rising.size - place >= least)
    if allowed.size < 2:
        raise ValueError(f"{int((rising >= above).sum())} sizes; to choose a lower end needs more than {least}")
    tried = allowed[np.unique(np.linspace(0, allowed.size - 1, min(allowed.size, TRIED)).astype(int))][:-1]
    ends, place = ends[tried], place[tried]
    b = float(rising[-1]) if largest is None else largest
    log, span, n = np.log(rising), np.log(b / ends), rising.size - place
    mean = np.cumsum(log[::-1])[::-1][place] / n - np.log(ends)
    power = _solve(mean, np.ones((ends.size, 1)), span[:, None])
    share = _above(log - np.log(ends)[:, None], power[:, None], span[:, None])
    order = np.arange(rising.size)
    step = (rising.size - order) / n[:, None]  # at or above, of those at or above the end
    off = np.maximum(np.abs(step - share), np.abs(step - 1 / n[:, None] - share))
    distance = np.max(np.where(order >= place[:, None], off, 0), axis=1)
    return float(ends[np.argmin(distance)]), float(distance.min())


def goodness(
    sizes: Array, smallest: float | Array, largest: float | None = None, *, least: int = 0, above: float = 0.0, n: int = 200, seed: int = 0
) -> float:
    """Chance that sizes of the fitted law lie as far from their own fit as these do; below 0.1 the law is to be rejected.

    Parameters
    ----------
    sizes : array, shape (event,)
    smallest, largest
        As for :func:`fit_power_law`.
    least : int
        Not 0 if `smallest` was chosen by :func:`cut_by_distance` with this `least`: it is then chosen anew
        in every sample, whose sizes below it are drawn from those found there.
    above : float
        Likewise.
    n : int
        Samples.
    seed : int
        Seed of these.

    Notes
    -----
    Semi-parametric bootstrap of Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), section 4.1.
    """
    fit = fit_power_law(sizes, smallest, largest)
    seen, _, _ = _inside(sizes, smallest, largest)
    rng = np.random.default_rng(seed)
    y = _drawn(rng.random((n, fit.n)), 1 - fit.exponent, seen.span[seen.which])
    if not least:
        return _chance(_distances(y, seen, largest is None), fit.distance)
    x = np.asarray(sizes, np.float64)
    below = x[(x < fit.smallest) & (x > 0)]
    drawn = [_sample(fit, one, below, rng) for one in y]
    return _chance(np.array([_nearest(one, largest, min(least, one.size - 2), min(above, one[-3]))[1] for one in drawn]), fit.distance)


def _chance(drawn: Array, own: float) -> float:
    """Share of samples, the data among them, that reach as far as the data."""
    return float((np.sum(drawn >= own) + 1) / (drawn.size + 1))


def _distances(y: Array, seen: _Fitted, to_largest: bool) -> Array:
    """Distance of every sample (sample, event) from its own fit; `to_largest`: its largest size is its upper end."""
    span = np.broadcast_to(seen.span, (len(y), seen.span.size))
    if to_largest:
        top = seen.span.max()
        span = span - (top - (y + (top - seen.span)[seen.which]).max(axis=1))[:, None]
    share = np.bincount(seen.which, minlength=seen.span.size) / seen.log.size
    power = _solve(y.mean(axis=1), share, span)
    return _distance(np.sort(_above(y, power[:, None], span[:, seen.which]), axis=1))


def _sample(fit: PowerLaw, y: Array, below: Array, rng: np.random.Generator) -> Array:
    """As many sizes as were found, in rising order: below the end from those there, above it from the fit."""
    total = y.size + below.size
    tail = rng.binomial(total, y.size / total)
    low = rng.choice(below, total - tail) if below.size else np.zeros(0)
    return np.sort(np.concatenate([low, fit.smallest * np.exp(rng.choice(y, min(tail, y.size), replace=False))]))


def noise_shift(
    sizes: Array, errors: Array, smallest: float | Array, largest: float | None = None, *, n: int = 100, seed: int = 0
) -> tuple[float, float]:
    """How far errors of measurement shift the exponent, and the standard error of that figure.

    The errors are added once more; what they change then is what they changed
    before, to first order (Cook and Stefanski, J. Am. Stat. Assoc. 89, 1314 (1994)).

    Parameters
    ----------
    sizes, errors : array, shape (event,)
        All events, those below the lower end too; standard errors of the sizes.
    smallest, largest
        As for :func:`fit_power_law`.
    n : int
        Copies with noise.
    seed : int
        Seed of it.
    """
    x, b = np.asarray(sizes, np.float64), float(np.max(sizes) if largest is None else largest)
    ends, which = np.unique(np.broadcast_to(np.asarray(smallest, np.float64), x.shape), return_inverse=True)
    noisy = x + np.nan_to_num(errors) * np.random.default_rng(seed).standard_normal((n, x.size))
    inside = (noisy >= ends[which]) & (noisy <= b)
    y = np.log(np.where(inside, noisy, ends[which]) / ends[which])
    number = np.maximum(inside.sum(axis=1), 1)
    share = np.stack([np.sum(inside & (which == end), axis=1) / number for end in range(ends.size)], axis=-1)
    shifted = 1 - _solve(y.sum(axis=1) / number, share, np.log(b / ends)) - fit_power_law(sizes, smallest, largest).exponent
    return float(shifted.mean()), float(shifted.std(ddof=1) / np.sqrt(n))
