"""The times between events: whether they are those of chance, and which law they follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from xcdi.backend import Array
from xcdi.kernels.avalanches import likelihood
from xcdi.kernels.avalanches.tails import vuong

__all__ = ["Law", "Waiting", "compare_waiting", "in_frames", "local_scale", "waiting_times"]

SHORTEST = 1e-6  # of the mean gap: events at one time would have no logarithm
FEWEST = 8  # gaps of a series for a trend, and of all for a test


class Waiting(NamedTuple):
    """Result of :func:`waiting_times`.

    Attributes
    ----------
    gaps, floor : array, shape (gap,)
        Times between events [s], and the shortest that could be seen [s].
    rescaled, rescaled_floor : array, shape (gap,)
        Both over the local mean.
    p_exponential, p_rescaled : float
        Chance that gaps of an exponential law lie as far from one.
    p_shape, p_shape_rescaled : float
        The same for a gamma law: chance that exponential gaps lean as far towards more, or fewer, short ones.
    """

    gaps: Array
    floor: Array
    rescaled: Array
    rescaled_floor: Array
    p_exponential: float
    p_rescaled: float
    p_shape: float
    p_shape_rescaled: float


class Law(NamedTuple):
    """One law of :func:`compare_waiting`: parameters and errors by name, AIC, and the comparison with an exponential.

    `ratio` > 0 where the exponential is better, `p` the chance of a ratio as far from 0.
    """

    name: str
    parameters: dict[str, float]
    errors: dict[str, float]
    aic: float
    ratio: float
    p: float


def waiting_times(
    times: Sequence[Array],
    *,
    dead: float | Array = 0.0,
    step: float | Array = 0.0,
    neighbours: int = 20,
    chance: int = 300,
    seed: int = 0,
) -> Waiting:
    """Times between events, and whether they are those of chance alone.

    Parameters
    ----------
    times : sequence of arrays, each of shape (event,)
        Times of each series [s].
    dead : float or array, shape (series,)
        Events nearer than this cannot be told apart [s], so that no shorter gap is seen.
    step : float or array, shape (series,)
        Frame time [s], of which all gaps are whole numbers; 0 for exact times.
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
        The first two p-values rest on the Kolmogorov-Smirnov distance, from an exponential
        of the same mean, of what gaps have beyond `dead`; the others on the slope of the likelihood of a gamma law
        where it is an exponential (score test). They are NaN for fewer than 8 gaps.
    """
    series = [np.diff(np.sort(np.asarray(t, np.float64))) for t in times]
    floors = np.maximum(np.broadcast_to(dead, len(series)) - np.broadcast_to(step, len(series)) / 2, 0.0)
    kept = [
        (g, np.minimum(f, g - (s / 2 if s else 1e-3 * g)), float(s))
        for g, f, s in zip(series, floors, np.broadcast_to(step, len(series)), strict=True)
        if g.size
    ]
    gaps, floor = (np.concatenate([part[k] for part in kept] or [np.zeros(0)]) for k in (0, 1))
    scale = np.concatenate([local_scale(g - f, neighbours) for g, f, _ in kept] or [np.zeros(0)])
    if gaps.size < FEWEST:
        return Waiting(gaps, floor, gaps / scale, floor / scale, *(float("nan"),) * 4)
    own = _figures(gaps - floor, floor, scale)
    drawn = _chance(kept, neighbours, chance, np.random.default_rng(seed))
    p = [float((np.sum(d >= mine) + 1) / (chance + 1)) for d, mine in zip(drawn, own, strict=True)]
    return Waiting(gaps, floor, gaps / scale, floor / scale, *p)


def local_scale(gaps: Array, neighbours: int = 20) -> Array:
    """Local mean of gaps: a polynomial in the order of the event, fitted to their logarithm; shape as that of `gaps`.

    Parameters
    ----------
    gaps : array, shape (gap,) or (gap, sample)
    neighbours : int
        Gaps per degree of the polynomial, which is 1 to 3.
    """
    if len(gaps) < FEWEST:
        return np.broadcast_to(gaps.mean(axis=0), gaps.shape) if len(gaps) else gaps
    order = np.linspace(-1, 1, len(gaps))
    powers = np.vander(order, int(np.clip(len(gaps) // neighbours, 1, 3)) + 1)
    trend = np.exp(powers @ (np.linalg.pinv(powers) @ np.log(np.maximum(gaps, 1e-12))))
    return trend * (gaps / trend).mean(axis=0)


def _chance(series: Sequence[tuple[Array, Array, float]], neighbours: int, chance: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Figures of samples of chance, raw and rescaled: as many gaps in every series, in whole frames where the data are."""
    overall = float(np.concatenate([g - f for g, f, _ in series]).mean())
    raw, local, scale = [], [], []
    for gaps, floor, step in series:
        drawn = rng.exponential(size=(gaps.size, chance))
        raw.append(in_frames(drawn * overall, step))
        local.append(in_frames(drawn * (gaps - floor).mean(), step))
        scale.append(local_scale(local[-1], neighbours))
    floors = np.concatenate([floor for _, floor, _ in series])[:, None]
    one, other = (np.concatenate(parts) for parts in (raw, local))
    own_scale = np.concatenate(scale)
    raw_figures, local_figures = _figures(one, floors, np.ones_like(one)), _figures(other, floors, own_scale)
    return raw_figures[0], local_figures[1], raw_figures[2], local_figures[3]


def _figures(beyond: Array, floor: Array, scale: Array) -> tuple[Array, ...]:
    """Distance from an exponential, raw and rescaled, and lean towards a gamma law likewise, along the first axis."""
    local, local_floor = beyond / scale, floor / scale
    return _distance(beyond), _distance(local), _lean(beyond, floor), _lean(local, local_floor)


def _lean(beyond: Array, floor: Array) -> Array:
    """Size of the slope of the likelihood against the shape of a gamma law, at the shape 1, along the first axis."""
    mean = beyond.mean(axis=0)
    x, a = (beyond + floor) / mean, np.maximum(floor / mean, 1e-9)
    expected = np.log(a) + np.exp(a) * special.exp1(a)  # of ln x, for an exponential beyond a
    return np.abs(np.mean(np.log(np.maximum(x, SHORTEST)) - expected, axis=0))


def in_frames(gaps: Array, step: float) -> Array:
    """Gaps as whole frames show them, in the middle of each; as they are for a step of 0.

    Examples
    --------
    >>> in_frames(np.array([0.2, 1.3]), 0.5)
    array([0.25, 1.25])
    """
    return step * (np.floor(gaps / step) + 0.5) if step else gaps


def _distance(gaps: Array) -> Array:
    """Kolmogorov-Smirnov distance, along the first axis, from an exponential with the mean of the gaps."""
    rising = np.sort(gaps / gaps.mean(axis=0), axis=0)
    n = len(rising)
    step = (np.arange(n + 1) / n).reshape(-1, *(1,) * (rising.ndim - 1))
    model = -np.expm1(-rising)
    return np.max(np.maximum(step[1:] - model, model - step[:-1]), axis=0)


def compare_waiting(gaps: Array, floor: Array | float = 0.0) -> tuple[Law, ...]:
    r"""Fit three laws to waiting times: exponential, gamma, and a double power law.

    .. math:: p \sim e^{-x/s}, \quad p \sim x^{k - 1} e^{-x/s}, \quad p \sim [(x/s)^\alpha + (x/s)^\beta]^{-1}, \ \alpha < 1 < \beta

    Parameters
    ----------
    gaps : array, shape (gap,)
        Raw, or over their local mean.
    floor : float or array, shape (gap,)
        Shortest that could be seen; every gap counts given that it is longer.

    Returns
    -------
    tuple of Law
        "exponential" (scale), "gamma" (shape, scale) and "double power law" (short, long, scale). The
        exponential is a case of the gamma, whose p is that of a likelihood-ratio test; the double power law is
        compared by Vuong's normalised ratio. The lowest AIC is the best law.

    Notes
    -----
    Gamma: Corral, Phys. Rev. Lett. 92, 108501 (2004). Double power law with exponents ~0.93 and ~2.45:
    Baro et al., Phys. Rev. Lett. 110, 088702 (2013), on porous glass.
    """
    x = np.maximum(np.asarray(gaps, np.float64), SHORTEST * np.mean(gaps))
    a = np.clip(np.broadcast_to(np.asarray(floor, np.float64), x.shape), 0, 0.999 * x)
    mean = float(np.mean(x - a))
    plain = -(x - a) / mean - np.log(mean)
    exponential = Law("exponential", {"scale": mean}, {"scale": mean / np.sqrt(x.size)}, 2 - 2 * float(plain.sum()), 0.0, 1.0)
    return exponential, _gamma(x, a, mean, plain), _double(x, a, mean, plain)


def _gamma(x: Array, a: Array, mean: float, plain: Array) -> Law:
    def density(p: Array) -> Array:
        k, s = np.exp(np.clip(p, -12, 12)) * [1, mean]
        above = np.log(np.maximum(special.gammaincc(k, a / s), 1e-300))
        return (k - 1) * np.log(x / s) - x / s - np.log(s) - special.gammaln(k) - above

    best, error = _maximum(density, [(0.0, 0.0), (-0.7, 0.5)])
    own = density(best)
    gain = max(0.0, float((own - plain).sum()))
    names = {"shape": float(np.exp(best[0])), "scale": mean * float(np.exp(best[1]))}
    errors = {name: names[name] * e for name, e in zip(names, error, strict=True)}
    return Law("gamma", names, errors, 4 - 2 * float(own.sum()), -gain, float(stats.chi2.sf(2 * gain, 1)))


def _double(x: Array, a: Array, mean: float, plain: Array) -> Law:
    def density(p: Array) -> Array:
        below, beyond, s = np.exp(np.clip(p, -5, 5)) * [1, 1, mean]
        width, part = below + beyond, below / (below + beyond)
        log = np.log(x / s)
        norm = np.log(np.pi / width / np.sin(np.pi * part)) + np.log(s)
        above = special.betainc(1 - part, part, 1 / (1 + (a / s) ** width))
        return -np.logaddexp((1 - below) * log, (1 + beyond) * log) - norm - np.log(np.maximum(above, 1e-300))

    best, error = _maximum(density, [(0.0, 0.4, 0.0), (-1.0, 0.3, 0.5)])
    own, (below, beyond, s) = density(best), np.exp(best) * [1, 1, mean]
    names = {"short": 1 - float(below), "long": 1 + float(beyond), "scale": float(s)}
    errors = dict(zip(names, np.array([below, beyond, s]) * error, strict=True))
    return Law("double power law", names, errors, 6 - 2 * float(own.sum()), *vuong(plain, own))


def _maximum(density: Callable[[Array], Array], starts: Sequence[tuple[float, ...]]) -> tuple[Array, Array]:
    """Best parameters, and their standard errors."""

    def total(p: Array) -> float:
        return float(density(p).sum())

    best = likelihood.maximum(total, starts)
    return best, np.sqrt(np.diag(likelihood.covariance(total, best)))
