"""Laws of avalanches that are known exactly: sizes, branching trees, and times with and without aftershocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from xcdi.artificial.schedules import omori_delays

__all__ = [
    "Shocks",
    "SizeLaw",
    "Trees",
    "ageing_times",
    "borel",
    "detected_share",
    "log_normal",
    "mean_profile",
    "omori_share",
    "power_law",
    "trees",
    "with_aftershocks",
]

Numbers = NDArray[np.float64]
POINTS = 20_001  # of the grid in ln(size) on which a law without a formula is integrated; its error is below 1e-8


class SizeLaw(NamedTuple):
    """A law of sizes: the share of all that is at most x, and its inverse."""

    share: Callable[[Any], Numbers]
    quantile: Callable[[Any], Numbers]


class Trees(NamedTuple):
    """Branching trees: members of each generation of all trees, one tree after the other, and generations per tree."""

    activity: NDArray[np.int64]
    generations: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Members of every tree."""
        return np.add.reduceat(self.activity, np.cumsum(self.generations) - self.generations)


class Shocks(NamedTuple):
    """Events in order of time [s], their sizes, and the event that set off each; -1 for none."""

    time: Numbers
    size: Numbers
    parent: NDArray[np.int64]


def power_law(exponent: float, smallest: float, largest: float, cutoff: float = np.inf) -> SizeLaw:
    r"""Return the law ``p(x) ~ x^-exponent exp(-x / cutoff)`` between two ends.

    Examples
    --------
    >>> law = power_law(1.5, 0.01, 1.0)
    >>> law.share([0.01, 0.04, 1.0]).round(4)
    array([0.    , 0.5556, 1.    ])
    >>> law.quantile(law.share(0.3)).round(6)
    np.float64(0.3)
    """
    grid = np.linspace(np.log(smallest), np.log(largest), POINTS)
    density = np.exp((1 - exponent) * (grid - grid[0]) - np.exp(grid) / cutoff)
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    share /= share[-1]

    def inverse(u: Any) -> Numbers:
        return np.clip(np.exp(np.interp(u, share, grid)), smallest, largest)

    return SizeLaw(lambda x: np.interp(np.log(x), grid, share), inverse)


def log_normal(median: float, sd: float) -> SizeLaw:
    """Return the log-normal law; `sd` is that of ln x."""
    return SizeLaw(lambda x: special.ndtr(np.log(np.asarray(x) / median) / sd), lambda u: median * np.exp(sd * special.ndtri(u)))


def borel(size: Any, mean: float) -> Numbers:
    r"""Probability that a branching tree with Poisson offspring has `size` members.

    .. math:: P(S) = e^{-\lambda S} (\lambda S)^{S - 1} / S!

    Source: Borel, C. R. Acad. Sci. 214, 452 (1942); Otter, Ann. Math. Stat. 20, 206 (1949).
    Its tail at mean 1 is ``S**-1.5 / sqrt(2 pi)``, the exponent of the mean field.

    Examples
    --------
    >>> borel([1, 2], 1.0).round(4)
    array([0.3679, 0.1353])
    """
    s = np.asarray(size, np.float64)
    return np.exp(-mean * s + (s - 1) * np.log(mean * s) - special.gammaln(s + 1))


def trees(count: int, mean: float, largest: int, rng: np.random.Generator) -> Trees:
    """Draw `count` Galton-Watson trees of one ancestor and Poisson(`mean`) offspring; those beyond `largest` are drawn again."""
    parts: list[Trees] = []
    while (have := sum(len(part.generations) for part in parts)) < count:
        parts.append(_finite_trees(count - have, mean, largest, rng))
    return Trees(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _finite_trees(count: int, mean: float, largest: int, rng: np.random.Generator) -> Trees:
    """Trees, in the order of their ancestors, that died out before they passed `largest`."""
    owner, members, total = np.arange(count), np.ones(count, np.int64), np.zeros(count, np.int64)
    owners, lives = [], []
    while owner.size:
        owners.append(owner)
        lives.append(members)
        total[owner] += members
        members = rng.poisson(mean * members)
        alive = (members > 0) & (total[owner] <= largest)
        owner, members = owner[alive], members[alive]
    whose, activity = np.concatenate(owners), np.concatenate(lives)
    order = np.argsort(whose, kind="stable")  # generations of one tree stay in their order
    order = order[total[whose[order]] <= largest]
    return Trees(activity[order], np.bincount(whose[order], minlength=count)[total <= largest])


def mean_profile(generations: int, mean: float) -> Numbers:
    r"""Mean members of every generation of the trees that live for just so many `generations`, shape (generation,).

    .. math:: \langle Z_t \rangle_T = \frac{g_t(q_{T-t}) - g_t(q_{T-t-1})}{q_T - q_{T-1}}, \quad g_t(s) = s f_t'(s)

    with f_t the t-th iterate of ``f(s) = exp(mean (s - 1))`` and q_n = f_n(0),
    the chance to be extinct after n generations (Harris, The Theory of Branching Processes, 1963, chapter I).

    Examples
    --------
    >>> mean_profile(3, 1.0).round(3)
    array([1.   , 1.452, 1.296])
    """
    extinct = [0.0]
    for _ in range(generations):
        extinct.append(float(np.exp(mean * (extinct[-1] - 1))))

    def expected(t: int, s: float) -> float:
        """Mean of ``Z_t s^Z_t``."""
        value, slope = s, 1.0
        for _ in range(t):
            value = float(np.exp(mean * (value - 1)))
            slope *= mean * value
        return s * slope

    within = [expected(t, extinct[generations - t]) - expected(t, extinct[generations - t - 1]) for t in range(generations)]
    return np.array(within) / (extinct[generations] - extinct[generations - 1])


def ageing_times(count: int, duration: float, age: float | None, rng: np.random.Generator) -> Numbers:
    """Draw `count` times in order within `duration`, at a steady rate or, with an `age`, at a rate ~ 1 / (age + time).

    A Poisson process whose number of events is given has times that are independent draws.
    """
    u = np.sort(rng.random(count))
    return u * duration if age is None else age * np.expm1(u * np.log1p(duration / age))


def omori_share(delay: Any, p: float, c: float) -> Numbers:
    r"""Share of aftershocks that come within `delay` at a rate ~ ``(delay + c)**-p``, p > 1 (Utsu, J. Phys. Earth 43, 1 (1995)).

    Examples
    --------
    >>> omori_share([0.0, 0.3], 1.5, 0.1)
    array([0. , 0.5])
    """
    return 1 - (1 + np.asarray(delay) / c) ** (1 - p)


def with_aftershocks(
    background: Numbers,
    law: SizeLaw,
    *,
    ratio: float,
    productivity: float,
    p: float,
    c: float,
    end: float,
    sizes: np.random.Generator,
    offspring: np.random.Generator,
    delays: np.random.Generator,
) -> Shocks:
    """Let every event have Poisson aftershocks, these theirs, and so on until `end` (Ogata, J. Am. Stat. Assoc. 83, 9 (1988)).

    Parameters
    ----------
    background : array, shape (event,)
        Times that nothing sets off [s].
    law : SizeLaw
        Of all events, whatever set them off.
    ratio : float
        Mean number of aftershocks of an event, if one waits forever: the branching ratio.
    productivity : float
        They are ~ size ** productivity.
    p, c : float
        Exponent and time constant [s] of :func:`omori_share`.
    end : float
        Later events are not seen [s].
    sizes, offspring, delays : Generator
        One source of chance each.
    """
    mean = np.mean(law.quantile((np.arange(100_000) + 0.5) / 100_000) ** productivity)
    time = background
    every = [Shocks(time, law.quantile(sizes.random(time.size)), np.full(time.size, -1, np.int64))]
    first = 0
    while every[-1].time.size:
        last = every[-1]
        children = offspring.poisson(ratio * last.size**productivity / mean)
        delay = omori_delays(int(children.sum()), delays, p=p, c=c)
        time, parent = np.repeat(last.time, children) + delay, np.repeat(first + np.arange(last.time.size), children)
        seen = time < end
        first += last.time.size
        every.append(Shocks(time[seen], law.quantile(sizes.random(int(seen.sum()))), parent[seen]))
    return _in_order(*(np.concatenate(arrays) for arrays in zip(*every, strict=True)))


def _in_order(time: Numbers, size: Numbers, parent: NDArray[np.int64]) -> Shocks:
    order = np.argsort(time, kind="stable")
    place = np.append(np.argsort(order), -1)  # the last entry is that of parent -1
    return Shocks(time[order], size[order], place[parent[order]])


def detected_share(size: Any, centre: float, width: float) -> Numbers:
    """Chance that an event of this size is found: logistic in its logarithm.

    Examples
    --------
    >>> detected_share(0.03, 0.03, 0.3)
    np.float64(0.5)
    """
    return special.expit(np.log(np.asarray(size) / centre) / width)
