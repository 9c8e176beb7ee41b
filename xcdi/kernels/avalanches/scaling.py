"""Sizes, durations and shapes of avalanches: how one grows with the other, and whether the exponents agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from xcdi.backend import Array
from xcdi.kernels.avalanches.power_laws import fit_power_law

__all__ = ["Relation", "Shape", "average_shape", "exponent_relation", "mean_size", "size_slope"]

REPEATED, FEW, CLASSES = 0.4, 20, 12  # part of durations that are different, from which on they are classed; fewest; classes
FLATTEST = 0.01  # of a shape that is fitted: g - 1 is this or more


class Relation(NamedTuple):
    """Result of :func:`exponent_relation`; each with its standard error.

    Attributes
    ----------
    tau, alpha, slope : (float, float)
        Exponents of sizes and durations, and of the mean size at given duration, 1 / (sigma nu z).
    expected : (float, float)
        (alpha - 1) / (tau - 1), which scaling wants to be the slope.
    p : float
        Chance of a difference from the slope as large as that found.
    """

    tau: tuple[float, float]
    alpha: tuple[float, float]
    slope: tuple[float, float]
    expected: tuple[float, float]
    p: float


class Shape(NamedTuple):
    """Result of :func:`average_shape`.

    Attributes
    ----------
    time : array, shape (time,)
        Part of the duration, from 0 to 1.
    shape, error : array, shape (time,)
        Mean activity over ``duration^(exponent - 1)``, scaled to mean 1, and the spread over classes of duration.
    exponent : (float, float)
        1 / (sigma nu z) at which the classes fall onto each other, and its error.
    fitted : (float, float)
        The same from the form of the shape.
    asymmetry : (float, float)
        a of ``[u (1 - u)]^(g - 1) [1 - a (u - 1/2)]``; above 0 for activity that rises fast and falls slowly.
    """

    time: Array
    shape: Array
    error: Array
    exponent: tuple[float, float]
    fitted: tuple[float, float]
    asymmetry: tuple[float, float]


def mean_size(sizes: Array, durations: Array) -> tuple[Array, Array, Array]:
    """Durations in rising order, the mean size of the avalanches of each, and their number.

    Durations that hardly repeat, as they are no whole frames, are put into classes even in their logarithm.

    Examples
    --------
    >>> mean_size(np.array([1.0, 3.0, 9.0]), np.array([2.0, 2.0, 5.0]))
    (array([2., 5.]), array([2., 9.]), array([2, 1]))
    """
    t = np.asarray(durations, np.float64)
    lives, which = np.unique(t, return_inverse=True)
    if lives.size > max(REPEATED * t.size, FEW):
        edges = np.geomspace(lives[0], lives[-1] * (1 + 1e-9), CLASSES + 1)
        _, which = np.unique(np.searchsorted(edges, t, "right"), return_inverse=True)
        lives = np.exp(np.bincount(which, weights=np.log(t)) / np.bincount(which))
    number = np.bincount(which)
    return lives, np.bincount(which, weights=sizes) / number, number


def size_slope(sizes: Array, durations: Array, shortest: float, longest: float, *, n: int = 200, seed: int = 0) -> tuple[float, float]:
    """Exponent of the mean size at given duration, 1 / (sigma nu z), and its error from sizes drawn again.

    Parameters
    ----------
    sizes, durations : array, shape (event,)
    shortest, longest : float
        Durations that are used.
    n, seed : int
        Samples of the bootstrap, and their seed.

    Notes
    -----
    Line through the logarithms, each duration weighed by the number of its avalanches. NaN with fewer than 3 durations.
    In the mean field 2, and 1.75 for durations of 5 to 100 generations.
    """
    x, t = _within(sizes, durations, shortest, longest)
    rng = np.random.default_rng(seed)
    drawn = [_slope(x[k], t[k]) for k in (rng.integers(x.size, size=x.size) for _ in range(n if x.size else 0))]
    return _slope(x, t), float(np.std(drawn, ddof=1)) if drawn else float("nan")


def _within(sizes: Array, durations: Array, shortest: float, longest: float) -> tuple[Array, Array]:
    t = np.asarray(durations, np.float64)
    used = (t >= shortest) & (t <= longest)
    return np.asarray(sizes, np.float64)[used], t[used]


def _slope(sizes: Array, durations: Array) -> float:
    lives, mean, number = mean_size(sizes, durations)
    if lives.size < 3:
        return float("nan")
    x, y = np.log(lives), np.log(mean)
    x, y = x - np.average(x, weights=number), y - np.average(y, weights=number)
    return float(np.sum(number * x * y) / np.sum(number * x * x))


def exponent_relation(
    sizes: Array, durations: Array, ends: tuple[float, float | None], lives: tuple[float, float], *, n: int = 200, seed: int = 0
) -> Relation:
    r"""Check ``(alpha - 1) / (tau - 1) = 1 / (sigma nu z)`` on the same avalanches.

    Parameters
    ----------
    sizes, durations : array, shape (event,)
    ends, lives : (float, float)
        Ranges of sizes and durations. Of durations that are whole frames give ends half a frame beyond.
    n, seed : int
        Samples of the bootstrap, drawn for all three exponents together, and their seed.

    Notes
    -----
    Source: Sethna, Dahmen and Myers, Nature 410, 242 (2001). Over short ranges the relation need not hold: critical
    branching over sizes 5 to 2000 and durations 5 to 100 has 1.59 on one side and 1.75 on the other.
    """
    x, t = np.asarray(sizes, np.float64), np.asarray(durations, np.float64)
    rng = np.random.default_rng(seed)
    own = _exponents(x, t, ends, lives)
    drawn = np.array([_exponents(x[k], t[k], ends, lives) for k in (rng.integers(x.size, size=x.size) for _ in range(n))])
    tau, alpha, slope, expected = ((float(v), float(e)) for v, e in zip(own, drawn.std(axis=0, ddof=1), strict=True))
    apart = (own[3] - own[2]) / np.std(drawn[:, 3] - drawn[:, 2], ddof=1)
    return Relation(tau, alpha, slope, expected, float(special.erfc(abs(apart) / np.sqrt(2))))


def _exponents(x: Array, t: Array, ends: tuple[float, float | None], lives: tuple[float, float]) -> tuple[float, float, float, float]:
    tau, alpha = fit_power_law(x, *ends).exponent, fit_power_law(t, *lives).exponent
    return tau, alpha, _slope(*_within(x, t, *lives)), (alpha - 1) / (tau - 1)


def average_shape(profiles: Sequence[Array], shortest: int, longest: int, *, points: int = 20, classes: int = 5) -> Shape:
    r"""Average shape of avalanches, scaled onto each other, with its asymmetry.

    .. math:: V(t | T) \sim T^{g - 1} [u (1 - u)]^{g - 1} [1 - a (u - 1/2)], \quad u = t / T

    Parameters
    ----------
    profiles : sequence of arrays, each of shape (frame,)
        Activity of every avalanche, one number per frame.
    shortest, longest : int
        Frames of those that are used.
    points : int
        Times of the shape.
    classes : int
        Classes of duration, even in its logarithm, that must fall onto each other.

    Notes
    -----
    Source: Laurson et al., Nat. Commun. 4, 2927 (2013). Needs 1000 avalanches or so. Frames near the ends hold a part of an
    avalanche; the first and the last tenth are left out of the fit.
    """
    u = (np.arange(points) + 0.5) / points
    used = [p for p in profiles if shortest <= len(p) <= longest]
    edges = np.geomspace(shortest, longest + 1, classes + 1)
    which = np.searchsorted(edges, [len(p) for p in used], "right") - 1
    if np.unique(which).size < 3:
        raise ValueError(
            f"{len(used)} profiles of {shortest} to {longest} frames fill {np.unique(which).size} of {classes} classes; 3 are needed"
        )
    resampled = np.array([np.interp(u, (np.arange(len(p)) + 0.5) / len(p), p) for p in used])
    kept = [k for k in range(classes) if np.sum(which == k) > 1]
    mean = np.array([resampled[which == k].mean(axis=0) for k in kept])
    noise = np.array([resampled[which == k].std(axis=0, ddof=1) / np.sqrt(np.sum(which == k)) for k in kept])
    life = np.array([np.exp(np.mean(np.log([len(p) for p, w in zip(used, which, strict=True) if w == k]))) for k in kept])
    exponent = _collapse(mean, noise, life)
    scaled, weight = mean / life[:, None] ** (exponent[0] - 1), (life[:, None] ** (exponent[0] - 1) / np.maximum(noise, 1e-12)) ** 2
    shape = np.sum(scaled * weight, axis=0) / weight.sum(axis=0)
    height = shape.mean()
    error = np.sqrt(np.sum(weight * (scaled - shape) ** 2, axis=0) / weight.sum(axis=0) / max(len(kept) - 1, 1)) / height
    return Shape(
        u, shape / height, error, exponent, *_laurson(u, shape / height, np.maximum(error, 1 / np.sqrt(weight.sum(axis=0)) / height))
    )


def _collapse(mean: Array, noise: Array, life: Array) -> tuple[float, float]:
    """Exponent g at which mean / life^(g - 1) agree, from the heights of the classes, and its error."""
    height, sd = np.log(mean.mean(axis=1)), np.sqrt(np.mean(noise**2, axis=1) / mean.shape[1]) * 2 / mean.mean(axis=1)
    x, weight = np.log(life), 1 / np.maximum(sd, 1e-9) ** 2
    x = x - np.average(x, weights=weight)
    return 1 + float(np.sum(weight * x * height) / np.sum(weight * x * x)), float(np.sum(weight * x * x) ** -0.5)


def _laurson(u: Array, shape: Array, error: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Exponent and asymmetry of a shape, each with its error."""
    inner = (u > 0.1) & (u < 0.9)

    def form(x: Array, height: float, power: float, a: float) -> Array:
        return height * (4 * x * (1 - x)) ** power * (1 - a * (x - 0.5))

    best, spread = optimize.curve_fit(form, u[inner], shape[inner], (1.5, 1.0, 0.0), error[inner], bounds=([0, FLATTEST, -2], [9, 4, 2]))
    sd = np.sqrt(np.diag(spread))
    return (1 + float(best[1]), float(sd[1])), (float(best[2]), float(sd[2]))
