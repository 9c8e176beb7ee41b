"""One step of the pattern in a few frames, seen in the products of all pairs of them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numba as nb
import numpy as np

from xcdi.backend import Array

__all__ = ["SHORTEST", "differences", "limited", "noise_level", "scan_statistic", "score", "second_step", "shuffled", "step_noise"]

SHORTEST = 3  # frames that a window next to another event must still have


class _Contrasts(NamedTuple):
    """Weights for every number of frames before and after, shape (before, after, frame), and the noise they let through."""

    weights: Array
    spread: Array


@lru_cache(maxsize=1024)
def _contrast(before: int, after: int) -> tuple[Array, float]:
    """Weights that see a step of 1 between `before` and `after` frames but no linear drift; and the noise they let through."""
    n = before + after
    step = (np.arange(n) >= before).astype(np.float64)
    rest = _without_trend(step)
    c = rest / (rest @ step)
    padded = np.pad(c, 1)
    pairs = 2 * np.outer(padded, padded)
    middle = np.arange(1, n + 1)  # the diagonal comes from the neighbours: see fill_diagonal
    for one, other, sign in ((middle - 1, middle, 1), (middle, middle + 1, 1), (middle - 1, middle + 1, -1)):
        np.add.at(pairs, (one, other), sign * c**2)
    return c, float(np.sqrt((np.triu(pairs, 1) ** 2).sum()))


def step_noise(window: int) -> float:
    """Standard deviation of the squared step between two windows, over that of one product of two frames.

    Examples
    --------
    >>> step_noise(6) > step_noise(12) > step_noise(24)
    True
    """
    return _contrast(window, window)[1]


def _without_trend(values: Array) -> Array:
    """`values` less the straight line through them."""
    trend = np.stack([np.ones(len(values)), np.linspace(-1, 1, len(values))], axis=1)
    return values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]


@lru_cache(maxsize=16)
def _contrasts(window: int) -> _Contrasts:
    weights, spread = np.zeros((window + 1, window + 1, 2 * window)), np.ones((window + 1, window + 1))
    for before in range(SHORTEST, window + 1):
        for after in range(SHORTEST, window + 1):
            weights[before, after, : before + after], spread[before, after] = _contrast(before, after)
    return _Contrasts(weights, spread)


def noise_level(products: Array) -> float:
    """Standard deviation that photon noise alone gives to a product of two frames.

    Taken from products of differences of successive frames, in which neither
    the pattern nor its drift appears; the few that span an event are clipped.
    """
    i, j = np.triu_indices(len(products) - 1, 2)
    if not i.size:
        return float("nan")
    d = differences(products)[i, j]
    low, high = np.quantile(d, [0.002, 0.998])
    return float(np.sqrt(np.mean(np.clip(d, low, high) ** 2)) / 2)


def differences(products: Array) -> Array:
    """Products of ``x_(t+1) - x_t`` with each other, shape (time - 1, time - 1).

    Examples
    --------
    >>> x = np.array([1.0, 1.0, 4.0])
    >>> differences(np.outer(x, x))
    array([[0., 0.],
           [0., 9.]])
    """
    return products[1:, 1:] + products[:-1, :-1] - products[1:, :-1] - products[:-1, 1:]


def score(products: Array, frame: int, start: int, stop: int, *, noise: float) -> float:
    """Z of a step at `frame`, seen in the frames from `start` to `stop`; -inf with fewer than 3 on a side.

    Notes
    -----
    The squared step of the pattern, less its linear drift, in units of the
    standard deviation that photon noise gives it. No frame is multiplied with
    itself, so its mean is 0 without an event whatever the counts.
    """
    if min(frame - start, stop - frame) < SHORTEST:
        return -np.inf
    c, spread = _contrast(frame - start, stop - frame)
    return float(c @ products[start:stop, start:stop] @ c) / (noise * spread)


def scan_statistic(
    products: Array, window: int, *, noise: float | None = None, breaks: tuple[int, ...] = (), part: tuple[int, int] | None = None
) -> Array:
    """Z of a step at every frame, windows ending at the ends and at `breaks`; shape (time,).

    Parameters
    ----------
    products : array, shape (time, time)
        From :func:`xcdi.kernels.avalanches.patterns.likeness`.
    window : int
        Frames on either side.
    noise : float, optional
        From :func:`noise_level`, by default of `products`.
    breaks : tuple of int
        Events already known.
    part : (int, int), optional
        First frame asked for and the one after the last; by default all.

    Returns
    -------
    array, shape (time,), or the length of `part`
        -inf at the ends, and within 3 frames of a break.
    """
    noise = noise_level(products) if noise is None else noise
    first, stop = (0, len(products)) if part is None else part
    known = np.array(sorted(breaks), np.int64)
    return _scan(np.ascontiguousarray(products), window, noise, known, first, stop, *_contrasts(window))


def limited(products: Array, frame: int, others: tuple[int, ...], window: int, noise: float) -> float:
    """Score of a step at `frame` with windows that end at the other events; -inf if it is one of them."""
    return float(scan_statistic(products, window, noise=noise, breaks=others, part=(frame, frame + 1))[0])


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
def _scan(
    products: Array, window: int, noise: float, breaks: Array, first: int, stop: int, weights: Array, spread: Array
) -> Array:  # pragma: no cover
    """Quadratic form of the contrast that fits at each frame; the products are symmetric."""
    n = products.shape[0]
    result = np.full(stop - first, -np.inf)
    for frame in range(first, stop):
        begin, end, free = max(frame - window, 0), min(frame + window, n), True
        for other in breaks:
            if other == frame:
                free = False
            elif other < frame:
                begin = max(begin, other)
            else:
                end = min(end, other)
        before, after = frame - begin, end - frame
        if not free or min(before, after) < SHORTEST:
            continue
        c, total = weights[before, after], 0.0
        for i in range(before + after):
            row = 0.5 * c[i] * products[begin + i, begin + i]
            for j in range(i + 1, before + after):
                row += c[j] * products[begin + i, begin + j]
            total += 2.0 * c[i] * row
        result[frame - first] = total / (noise * spread[before, after])
    return result


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
def shuffled(pool: Array, order: Array, sign: Array, reach: int) -> Array:  # pragma: no cover
    """Products in a new order with new signs, diagonal filled from the neighbours; only what lies within `reach` of the diagonal."""
    n = len(order)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, min(n, i + reach + 1)):
            result[i, j] = pool[order[i], order[j]] * sign[i] * sign[j]
            result[j, i] = result[i, j]
    for i in range(n):
        left, right = (i - 1 if i > 0 else 2), (i + 1 if i < n - 1 else n - 3)
        result[i, i] = result[left, i] + result[i, right] - result[left, right]
    return result


def second_step(products: Array, frame: int, start: int, stop: int, apart: int, *, noise: float, certain: bool = False) -> float:
    """How much better two steps at least 2 and less than `apart` frames apart explain an event than one.

    Parameters
    ----------
    products : array, shape (time, time)
    frame, start, stop : int
        Best frame of a single step, and the frames it is seen in.
    apart : int
        Steps farther apart than this are events of their own.
    noise : float
        From :func:`noise_level`.
    certain : bool
        One of the steps is at `frame`, as it is when it is large.

    Returns
    -------
    float
        Squared change explained by the best such pair less that by the best step with one frame in between its two states (an
        event in the middle of an exposure), over the noise; -inf where there is no room. Whatever drifts linearly is left out.
    """
    places = range(max(start + SHORTEST, frame - apart + 1), min(stop - SHORTEST, frame + apart - 1) + 1)
    near = products[start:stop, start:stop]
    gain = {False: -np.inf, True: -np.inf}
    for a in places:
        for b in range(a + 1, min(a + apart, places.stop)):
            if frame in (a, b) or not (certain or a > frame + 1 or b < frame - 1):
                basis = _pair(stop - start, a - start, b - start)
                gain[b - a > 1] = max(gain[b - a > 1], float(np.einsum("ki,ij,kj->", basis, near, basis)))
    return (gain[True] - gain[False]) / noise if np.isfinite(gain[False]) else -np.inf


@lru_cache(maxsize=8192)
def _pair(n: int, a: int, b: int) -> Array:
    """Two orthonormal directions of steps at `a` and `b` in `n` frames, free of linear drift, shape (2, n)."""
    both = [_without_trend((np.arange(n) >= at).astype(np.float64)) for at in (a, b)]
    return np.ascontiguousarray(np.linalg.qr(np.stack(both, axis=1))[0].T)
