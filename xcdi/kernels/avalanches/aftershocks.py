"""Events that set off others: whether they do, their rate after each event, and a model of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches.waiting import in_frames, local_scale

__all__ = ["Bath", "Clustering", "Stacked", "bath_gap", "clustering", "stacked_rate"]

LAGS = 8  # later events that one event is compared with
SOON = 0.1  # local mean gaps, that a kernel of aftershocks falls by half in
CLOSE = 0.3  # local mean gaps in which followers are counted, for the test of productivity
NEAR, FAR = 1.0, 3.0  # local mean gaps in which aftershocks, and rivals, of a mainshock are sought
EVERY = 20  # gaps per degree of the trend of the rate


class Clustering(NamedTuple):
    """Chances that what was seen is luck: events that follow each other sooner, and large events that are followed by more."""

    p_clustering: float
    p_productivity: float


class Stacked(NamedTuple):
    """Result of :func:`stacked_rate`: middle of every delay [s], and per size class the rate [1/s], its error, and the mean size."""

    delay: Array
    rate: Array
    error: Array
    size: Array


class Bath(NamedTuple):
    """Result of :func:`bath_gap`: mean of log10(mainshock / largest aftershock), its error, that of chance, and how many mainshocks."""

    gap: float
    error: float
    chance: float
    mainshocks: int


def clustering(
    times: Sequence[Array],
    sizes: Sequence[Array],
    *,
    dead: float | Array = 0.0,
    step: float | Array = 0.0,
    chance: int = 400,
    seed: int = 0,
) -> Clustering:
    """Test events for aftershocks: against times of chance of the same slowly changing rate, and against shuffled sizes.

    Parameters
    ----------
    times, sizes : sequence of arrays, each of shape (event,)
        Of each series; times [s] in rising order.
    dead : float or array, shape (series,)
        Events nearer than this cannot be told apart [s].
    step : float or array, shape (series,)
        Frame time [s]; 0 for exact times.
    chance : int
        Samples of chance.
    seed : int
        Seed of these.

    Returns
    -------
    Clustering
        NaN with fewer than 8 gaps.

    Notes
    -----
    Times are counted in local mean gaps. The first figure sums ``1 / (delay + 0.1)`` over the next 8 events of every
    event; the second correlates the logarithm of a size with the rank of the number of events in the third of a gap after it.
    """
    rng = np.random.default_rng(seed)
    frames = np.broadcast_to(step, len(times))
    floors = np.maximum(np.broadcast_to(dead, len(times)) - frames / 2, 0.0)
    gaps = [np.maximum(np.diff(t) - d, f / 2) for t, d, f in zip(times, floors, frames, strict=True)]
    used = [k for k, g in enumerate(gaps) if g.size >= 8]
    if not used:
        return Clustering(float("nan"), float("nan"))
    clocks = [_clock(gaps[k][:, None]) for k in used]
    own = sum(_soon(c) for c in clocks)
    luck = (in_frames(gaps[k].mean() * rng.exponential(size=(gaps[k].size, chance)), frames[k]) for k in used)
    drawn = sum(_soon(_clock(one)) for one in luck)
    pairs = [(_ranks(_followers(c[:, 0])), np.log(sizes[k])) for k, c in zip(used, clocks, strict=True)]
    shuffled = sum(rng.permuted(np.tile(s, (chance, 1)), axis=1) @ n for n, s in pairs)
    return Clustering(_chance(drawn, float(own[0])), _chance(shuffled, sum(float(n @ s) for n, s in pairs)))


def _chance(drawn: Array, own: float) -> float:
    """Share of samples, the data among them, that reach as far as the data."""
    return float((np.sum(drawn >= own - 1e-9 * abs(own)) + 1) / (len(drawn) + 1))


def _clock(gaps: Array) -> Array:
    """Times in local mean gaps, shape (event, sample)."""
    return np.concatenate([np.zeros((1, gaps.shape[1])), np.cumsum(gaps / local_scale(gaps, EVERY), axis=0)])


def _soon(clock: Array) -> Array:
    """How soon events follow each other, shape (sample,)."""
    return sum(np.sum(1 / (clock[k:] - clock[:-k] + SOON), axis=0) for k in range(1, min(LAGS, len(clock) - 1) + 1))


def _followers(clock: Array) -> Array:
    return np.searchsorted(clock, clock + CLOSE, "right") - np.arange(clock.size) - 1


def _ranks(values: Array) -> Array:
    """Centred ranks; ties share theirs."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[which]
    return ranks - ranks.mean()


def stacked_rate(times: Sequence[Array], sizes: Sequence[Array], ends: Sequence[float], edges: Array, classes: Array) -> Stacked:
    """Rate of events after an event, by its size.

    Parameters
    ----------
    times, sizes : sequence of arrays, each of shape (event,)
        Of each series; times [s] in rising order.
    ends : sequence of float
        When each series ends [s].
    edges : array, shape (delay + 1,)
        Edges of the delays [s].
    classes : array, shape (class + 1,)
        Edges of the sizes.

    Returns
    -------
    Stacked
        All later events count, the aftershocks of others too: without aftershocks the rate is the mean rate at every delay.
    """
    number, exposure = (np.zeros((len(classes) - 1, len(edges) - 1)) for _ in range(2))
    total, size = np.zeros(len(classes) - 1), np.zeros(len(classes) - 1)
    for t, s, end in zip(times, sizes, ends, strict=True):
        which = np.clip(np.searchsorted(classes, s, "right") - 1, 0, len(classes) - 2)
        later = np.searchsorted(t, t[:, None] + edges)
        span = np.clip(end - t[:, None], 0, edges)
        np.add.at(number, which, np.diff(later, axis=1))
        np.add.at(exposure, which, np.diff(span, axis=1))
        np.add.at(total, which, 1)
        np.add.at(size, which, s)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Stacked((edges[1:] + edges[:-1]) / 2, number / exposure, np.sqrt(number) / exposure, size / total)


def bath_gap(times: Sequence[Array], sizes: Sequence[Array], *, chance: int = 200, seed: int = 0) -> Bath:
    """How much larger mainshocks are than their largest aftershocks.

    A mainshock has no larger event within three local mean gaps on either side, and one or more within one after it.

    Notes
    -----
    Source: Bath, Tectonophysics 2, 483 (1965); Baro et al., Phys. Rev. Lett. 110, 088702 (2013). What sizes without a memory
    would give is worked out from shuffled ones: the choice of mainshocks alone makes a gap.
    """
    rng = np.random.default_rng(seed)
    clocks = [_clock(np.diff(t)[:, None])[:, 0] for t in times if len(t) > 8]
    used = [np.asarray(s, np.float64) for t, s in zip(times, sizes, strict=True) if len(t) > 8]
    windows = [_windows(clock) for clock in clocks]
    own = np.concatenate([_gaps(s, w) for s, w in zip(used, windows, strict=True)] or [np.zeros(0)])
    if own.size < 2:
        return Bath(float("nan"), float("nan"), float("nan"), int(own.size))
    drawn = [np.concatenate([_gaps(rng.permutation(s), w) for s, w in zip(used, windows, strict=True)]) for _ in range(chance)]
    luck = float(np.mean([d.mean() for d in drawn if d.size]))
    return Bath(float(own.mean()), float(own.std(ddof=1) / np.sqrt(own.size)), luck, int(own.size))


def _windows(clock: Array) -> tuple[Array, Array, Array]:
    """First and last event near every event, and the last that follows it."""
    left, right = np.searchsorted(clock, clock - FAR), np.searchsorted(clock, clock + FAR, "right")
    return left, right, np.searchsorted(clock, clock + NEAR, "right")


def _gaps(sizes: Array, windows: tuple[Array, Array, Array]) -> Array:
    """Logarithm of every mainshock over its largest aftershock."""
    left, right, near = windows
    order = np.arange(sizes.size)
    has = near > order + 1
    places = np.stack([left, right], axis=-1)[has].ravel()
    padded = np.append(sizes, -np.inf)
    highest = np.maximum.reduceat(padded, places)[::2]
    follow = np.maximum.reduceat(padded, np.stack([order + 1, near], axis=-1)[has].ravel())[::2]
    main = sizes[has] >= highest
    return np.log10(sizes[has][main] / follow[main])
