"""Probability: how sure it is that an event lies on one boundary and not on another, or on none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from xcdi.backend import Array
from xcdi.kernels.avalanches.attribution import Change, Fit
from xcdi.kernels.avalanches.regions import Region, Shape

__all__ = ["Belief", "evidence", "posterior", "speckles"]

SHAPES: dict[Shape, float] = {"ball": 0.5, "slab": 0.25, "grain": 0.25}
NONE = 0.1  # before the data: how many events lie in no candidate
WRONG = (0.05, 0.7)  # part of the change that the model of a right region gets wrong; set on simulated series of seeds above 100
LEVELS = 12


class Belief(NamedTuple):
    """What is believed of one event.

    Attributes
    ----------
    side : array, shape (boundary, 2)
        Probability that the first, or the second, grain of each boundary moved there.
    none : float
        Probability that no candidate is right. All add up to 1.
    region : int array, shape (boundary, 2)
        The most likely region of each side, -1 where there is none.
    """

    side: Array
    none: float
    region: Array

    @property
    def boundary(self) -> Array:
        """Probability of each boundary and, last, of none of them, shape (boundary + 1,)."""
        return np.append(self.side.sum(axis=1), self.none)


def speckles(seen: Change, moved: Array, rho: Array) -> float:
    r"""How many independent numbers carry a change.

    .. math:: N = \frac{(\sum_p m_p)^2}{\sum_p m_p^2} \frac{2 K}{P}, \qquad m_p = (\Delta I_p)^2 / V_p

    Parameters
    ----------
    seen : Change
    moved : array, shape (row, column)
        The change that a model gives, in any unit.
    rho : complex array, shape (angle, row, column)
        The object, 0 outside.

    Notes
    -----
    The participation ratio counts the pixels that carry the change. The intensity of an object whose
    projection covers K of P pixels is given by 2 K real numbers.
    """
    power = seen.weight * moved**2
    pixels = float(power.sum() ** 2 / max(float((power**2).sum()), 1e-300))
    return max(pixels * min(2 * np.count_nonzero(np.any(rho != 0, axis=0)) / moved.size, 1.0), 1.0)


def evidence(fit: Fit, noise: float, count: float) -> tuple[Array, float]:
    r"""Log-likelihood of every region, shape (region,), and of none of them.

    .. math:: \ln L(e) = -\frac{1}{2} \left[ \frac{Q}{1 + e^2 S / N} + N \ln(1 + e^2 S / N) \right]

    with the misfit Q of a region and S of no event, both above that of photon noise and in units of its variance.

    Parameters
    ----------
    fit : Fit
    noise : float
        Misfit of photon noise alone.
    count : float
        N: independent numbers that carry the change, :func:`speckles`.

    Notes
    -----
    Photon noise has variance 1 in these units, and the error of the model (its object, the shape of its regions) is spread
    over the numbers that carry the change. Which part e^2 of the change the model of a right region gets
    wrong in one event is not known: it is averaged over `WRONG`, evenly in its logarithm. None of the regions is a change of
    that size in all of those numbers, which nothing foresees.
    """
    change, left = max(fit.unchanged - noise, 1e-3), np.maximum(fit.misfit - noise, 0.0)
    width = 1 + np.geomspace(*WRONG, LEVELS) * change / count
    each = -0.5 * (left[:, None] / width + count * np.log(width))
    alone = 1 + change / count
    none = -0.5 * (change / alone + count * np.log(alone))
    return logsumexp(each, axis=1) - np.log(LEVELS), float(none)


def posterior(
    logs: Array, others: Sequence[float], regions: Sequence[Region], pairs: Sequence[tuple[int, int]], areas: Sequence[float]
) -> Belief:
    """Probability of every boundary, by side, and of none of them.

    Parameters
    ----------
    logs : array, shape (region,)
        Log-likelihoods, from :func:`evidence`.
    others : sequence of float
        The same of all that is none of them, as a change that nothing foresees, and rigid motion: equally likely beforehand.
    regions : sequence of Region
    pairs : sequence of (int, int)
        Grains of each boundary.
    areas : sequence of float
        Of each boundary, in any unit.

    Notes
    -----
    Beforehand every place of every boundary is as likely as any other, so boundaries are as their areas; so
    are both sides of it, and the regions of one shape. A whole grain lies on all its
    boundaries, which share its probability as their areas: nothing in the pattern says more.
    """
    top = max(float(logs.max(initial=-np.inf)), *others)
    likelihood = np.exp(logs - top)
    index = _by_side(regions, pairs)
    weight = np.asarray(areas, float) / np.sum(areas) * (1 - NONE) / 2
    side, best = np.zeros((len(pairs), 2)), np.full((len(pairs), 2), -1)
    for (number, which), shapes in index.items():
        means = {shape: float(likelihood[members].mean()) for shape, members in shapes.items()}
        share = sum(SHAPES[shape] for shape in means)
        side[number, which] = weight[number] * sum(SHAPES[shape] * mean for shape, mean in means.items()) / share
        most = max(means, key=lambda shape: SHAPES[shape] * means[shape])
        best[number, which] = shapes[most][int(np.argmax(logs[shapes[most]]))]
    unknown = NONE * float(np.mean(np.exp(np.asarray(others, float) - top)))
    total = side.sum() + unknown
    return Belief(side / total, unknown / total, best)


def _by_side(regions: Sequence[Region], pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], dict[Shape, list[int]]]:
    """Numbers of the regions on either side of every boundary, by shape; a whole grain is on every boundary it has."""
    found: dict[tuple[int, int], dict[Shape, list[int]]] = {}
    for k, region in enumerate(regions):
        for number, pair in enumerate(pairs):
            if region.grain in pair and region.boundary in (number, -1):
                found.setdefault((number, pair.index(region.grain)), {}).setdefault(region.shape, []).append(k)
    return found
