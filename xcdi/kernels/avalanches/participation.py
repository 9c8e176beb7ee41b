"""Which grain boundaries take part: counts per boundary, beside their area and what they part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from xcdi.backend import Array

__all__ = ["Regression", "poisson_regression", "rank_correlation", "shares", "without_prior"]

ROUNDS = 50


class Regression(NamedTuple):
    """Result of :func:`poisson_regression`: coefficients and standard errors, the first that of the constant, and the overdispersion."""

    coefficient: Array
    error: Array
    dispersion: float


def shares(boundary: Array, probability: Array, size: Array, boundaries: int) -> tuple[Array, Array]:
    """Events and summed size of every boundary, each event divided over its candidates by their probability.

    Parameters
    ----------
    boundary : int array, shape (event, candidate)
        Number of the boundary from 0; negative for none.
    probability : array, shape (event, candidate)
        What is missing from 1 belongs to no boundary.
    size : array, shape (event,)
    boundaries : int

    Returns
    -------
    events, sizes : array, shape (boundary,)

    Examples
    --------
    >>> shares(np.array([[0, 1]]), np.array([[0.75, 0.25]]), np.array([0.2]), 2)
    (array([0.75, 0.25]), array([0.15, 0.05]))
    """
    weight = np.where((boundary >= 0) & (boundary < boundaries), np.nan_to_num(probability), 0.0)
    place = np.clip(boundary, 0, boundaries - 1).ravel()
    spread = np.broadcast_to(np.asarray(size, np.float64)[:, None], weight.shape)
    events, sizes = (np.bincount(place, w.ravel(), minlength=boundaries) for w in (weight, weight * spread))
    return events, sizes


def without_prior(boundary: Array, probability: Array, area: Array) -> Array:
    """Probabilities as they would be if, before the data, no boundary were likelier than another.

    Parameters
    ----------
    boundary : int array, shape (event, candidate)
        Number of the boundary from 0; negative for none.
    probability : array, shape (event, candidate)
        With a prior in proportion to area.
    area : array, shape (boundary,)

    Returns
    -------
    array, shape (event, candidate)
        Of every event the boundaries together keep their probability. Events with a candidate of unknown area stay as they are.

    Notes
    -----
    A prior that grows with area makes counts grow with area, whatever the events do. Candidates beyond the first few are not
    known, so this is right only where the first is nearly certain.

    Examples
    --------
    >>> without_prior(np.array([[0, 1]]), np.array([[0.75, 0.25]]), np.array([3.0, 1.0]))
    array([[0.5, 0.5]])
    """
    there = (boundary >= 0) & (boundary < len(area))
    own = np.where(there, np.nan_to_num(probability), 0.0)
    size = np.where(there, np.asarray(area, np.float64)[np.clip(boundary, 0, len(area) - 1)], 1.0)
    known = np.all(np.isfinite(size) & (size > 0), axis=-1, keepdims=True)
    bare = own / np.where(known, size, 1.0)
    total = bare.sum(axis=-1, keepdims=True)
    return np.asarray(bare * np.where(total > 0, own.sum(axis=-1, keepdims=True) / np.where(total > 0, total, 1.0), 0.0))


def rank_correlation(x: Array, y: Array, group: Array, *, n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Rank correlation (Spearman) of two properties of boundaries, and its p-value from permutations within each group.

    Parameters
    ----------
    x, y : array, shape (boundary,)
    group : int array, shape (boundary,)
        Particle of every boundary: what differs between particles proves nothing about boundaries. Ranks are those within it.
    n, seed : int
        Permutations and their seed.

    Notes
    -----
    Two-sided. NaN if no group has three boundaries, or nothing varies.
    """
    known = np.isfinite(x) & np.isfinite(y)
    parts = [np.flatnonzero(known & (group == g)) for g in np.unique(group)]
    parts = [part for part in parts if part.size >= 3]
    if not parts:
        return float("nan"), float("nan")
    a, b = (np.concatenate([_centred_ranks(np.asarray(v)[part]) for part in parts]) for v in (x, y))
    size = np.sqrt((a @ a) * (b @ b))
    if size == 0:
        return float("nan"), float("nan")
    rng, edges = np.random.default_rng(seed), np.cumsum([part.size for part in parts])[:-1]
    drawn = np.concatenate([rng.permuted(np.tile(one, (n, 1)), axis=1) for one in np.split(b, edges)], axis=1) @ a
    return float(a @ b / size), float((np.sum(np.abs(drawn) >= abs(a @ b) * (1 - 1e-9)) + 1) / (n + 1))


def _centred_ranks(values: Array) -> Array:
    ranks = stats.rankdata(values) / values.size
    return np.asarray(ranks - ranks.mean())


def poisson_regression(count: Array, regressors: Array) -> Regression:
    r"""Regression of counts: ``ln mean = b0 + sum b x``.

    Parameters
    ----------
    count : array, shape (boundary,)
        Events, or shares of them.
    regressors : array, shape (boundary, regressor)

    Returns
    -------
    Regression
        Errors are widened by the overdispersion where that is above 1. NaN where the counts fix nothing.

    Notes
    -----
    Iterated weighted least squares: McCullagh and Nelder, Generalized Linear Models, 1989, section 2.5.
    """
    design = np.column_stack([np.ones(len(count)), regressors])
    none = Regression(np.full(design.shape[1], np.nan), np.full(design.shape[1], np.nan), float("nan"))
    if len(count) <= design.shape[1] or not np.sum(count) > 0 or np.linalg.matrix_rank(design) < design.shape[1]:
        return none
    b = np.zeros(design.shape[1])
    b[0] = np.log(np.mean(count))
    for _ in range(ROUNDS):
        mean = np.exp(np.clip(design @ b, -30, 30))
        curve = design.T @ (mean[:, None] * design)
        if np.linalg.cond(curve) > 1e12:
            return none
        step = np.linalg.solve(curve, design.T @ (count - mean))
        b = b + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
    dispersion = float(np.sum((count - mean) ** 2 / mean) / (len(count) - design.shape[1]))
    return Regression(b, np.sqrt(np.diag(np.linalg.inv(curve)) * max(dispersion, 1.0)), dispersion)
