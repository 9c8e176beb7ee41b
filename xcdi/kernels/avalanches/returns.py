"""What stretches between events have in common: does a later one return to an earlier pattern, and do drops multiply?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import sizes

__all__ = ["Return", "product_rule", "returned"]

FEWEST = 4  # frames of a stretch that counts


class Return(NamedTuple):
    """How much of the pattern before an event comes back after a later one.

    Attributes
    ----------
    likeness, error : float
        Largest correlation of the stretch before the event with any beyond the one that follows it, in units of the contrast.
    share, share_error : float
        The part of the event's drop that it undoes: 0 nothing, 1 all; negative where the pattern changes further.
    stretch : int
        Which stretch that is.
    """

    likeness: float
    error: float
    share: float
    share_error: float
    stretch: int


NOTHING = Return(float("nan"), float("nan"), float("nan"), float("nan"), -1)


def returned(products: Array, stretches: Sequence[Array], event: int) -> Return:
    r"""Look for the pattern before an event in all stretches after the next one.

    .. math:: R_k = \max_{j > k + 1} \frac{C_{kj} - 1}{\beta}

    Parameters
    ----------
    products : array, shape (time, time)
        Of the deviations of all frames; the diagonal is not used.
    stretches : sequence of int arrays
        Frames between one event and the next; the first before the first event.
    event : int
        Which event: it lies between stretch `event` and stretch `event` + 1.

    Examples
    --------
    >>> x = np.repeat([1.0, -1.0, 1.0], 4)[:, None]
    >>> returned(x @ x.T, [np.arange(4), np.arange(4, 8), np.arange(8, 12)], 0).likeness
    1.0
    """
    own, later = stretches[event], [j for j in range(event + 2, len(stretches)) if stretches[j].size >= FEWEST]
    if own.size < FEWEST or stretches[event + 1].size < 2 or not later:
        return NOTHING
    found = {j: _drop(products, own, stretches[j]) for j in later}
    best = min(later, key=lambda j: found[j][0])
    (back, error), (drop, drop_error) = found[best], _drop(products, own, stretches[event + 1])
    if not drop > 0:
        return Return(1 - back, error, float("nan"), float("nan"), best)
    share = 1 - back / drop
    return Return(1 - back, error, share, float(np.hypot(error, back / drop * drop_error) / drop), best)


def _drop(products: Array, one: Array, other: Array) -> tuple[float, float]:
    both = np.concatenate([one, other])
    return sizes.drop_of(products[np.ix_(both, both)], one.size)


def product_rule(products: Array, before: Array, between: Array, after: Array) -> tuple[float, float]:
    r"""Correlation across two neighbouring events over the product of those across each, and its error.

    .. math:: \frac{\rho_{13}}{\rho_{12}\rho_{23}} = \frac{C_{13} C_{22}}{C_{12} C_{23}}

    1 for independent events; above 1 where the second undoes a part of the first, below where both change the same
    region further: repeated slip of one place.

    Parameters
    ----------
    products : array, shape (time, time)
    before, between, after : int arrays
        Frames of the three stretches, two or more each.

    Returns
    -------
    ratio, error : float
        Error by a jackknife over frames, which is photon noise alone: few speckles make the ratio of independent events scatter
        by ten times that. NaN where stretches have nothing in common.

    Examples
    --------
    >>> x = np.repeat([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]], 3, axis=0)
    >>> product_rule(x @ x.T, np.arange(3), np.arange(3, 6), np.arange(6, 9))
    (1.0, 0.0)
    """
    stretches = [before, between, after]
    if min(s.size for s in stretches) < 2:
        return float("nan"), float("nan")
    order = np.concatenate(stretches)
    owner = np.repeat(np.arange(3), [s.size for s in stretches])
    other = products[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(other, 0.0)
    ratios = [_ratio(other, owner, np.arange(order.size) != k) for k in range(-1, order.size)]
    whole, leaves = ratios[0], np.array(ratios[1:])
    parts = [leaves[owner == g] for g in range(3) if (owner == g).sum() > 2]
    return whole, float(np.sqrt(sum((p.size - 1) * np.var(p) for p in parts)))


def _ratio(other: Array, owner: Array, keep: Array) -> float:
    """The ratio from the frames that are kept; products have no diagonal."""
    member = np.stack([(owner == g) & keep for g in range(3)]).astype(np.float64)
    count = member.sum(axis=1)
    mean = member @ other @ member.T / (np.outer(count, count) - np.diag(count))
    if not min(mean[0, 1], mean[1, 2], mean[1, 1]) > 0:
        return float("nan")
    return float(mean[0, 2] * mean[1, 1] / (mean[0, 1] * mean[1, 2]))
