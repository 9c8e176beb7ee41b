"""When the pattern changes at once: a two-window scan that a slow drift does not trigger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from xcdi.backend import Array
from xcdi.kernels.avalanches.patterns import fill_diagonal

__all__ = ["Found", "find_events", "noise_level", "scan_statistic", "score", "threshold"]

SHORTEST = 3  # frames that a window next to another event must still have
AROUND = 101  # frames of the local robust baseline


class Found(NamedTuple):
    """Result of :func:`find_events`.

    Attributes
    ----------
    frame : int array, shape (event,)
        First frame of the new state, rising; of the clearest step where several merged.
    first, last : int array, shape (event,)
        The same as `frame`, or the first and last of the merged steps.
    score : array, shape (event,)
        z of each event, with windows that end at its neighbours.
    merged : bool array, shape (event,)
        True where another step is nearer than can be told apart.
    trace : array, shape (time,)
        z of every frame with full windows; NaN near the ends and in bad frames.
    threshold : float
        z above which a change counts.
    """

    frame: Array
    first: Array
    last: Array
    score: Array
    merged: Array
    trace: Array
    threshold: float


@lru_cache(maxsize=1024)
def _contrast(before: int, after: int) -> tuple[Array, float]:
    """Weights that see a step of 1 between `before` and `after` frames but no linear drift; and the noise they let through."""
    n = before + after
    step = (np.arange(n) >= before).astype(np.float64)
    trend = np.stack([np.ones(n), np.linspace(-1, 1, n)], axis=1)
    rest = step - trend @ np.linalg.lstsq(trend, step, rcond=None)[0]
    c = rest / (rest @ step)
    padded = np.pad(c, 1)
    pairs = 2 * np.outer(padded, padded)
    middle = np.arange(1, n + 1)  # the diagonal comes from the neighbours: see fill_diagonal
    for one, other, sign in ((middle - 1, middle, 1), (middle, middle + 1, 1), (middle - 1, middle + 1, -1)):
        np.add.at(pairs, (one, other), sign * c**2)
    return c, float(np.sqrt((np.triu(pairs, 1) ** 2).sum()))


def noise_level(products: Array) -> float:
    """Standard deviation that photon noise alone gives to a product of two frames.

    Taken from products of differences of successive frames, in which neither
    the pattern nor its drift appears; the few that span an event are clipped.
    """
    i, j = np.triu_indices(len(products) - 1, 2)
    if not i.size:
        return float("nan")
    d = _differences(products)[i, j]
    low, high = np.quantile(d, [0.002, 0.998])
    return float(np.sqrt(np.mean(np.clip(d, low, high) ** 2)) / 2)


def _differences(products: Array) -> Array:
    """Products of ``x_(t+1) - x_t`` with each other."""
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


def scan_statistic(products: Array, window: int, *, noise: float | None = None, breaks: tuple[int, ...] = ()) -> Array:
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

    Returns
    -------
    array, shape (time,)
        -inf at the ends, and within 3 frames of a break.
    """
    noise = noise_level(products) if noise is None else noise
    return np.array([_limited(products, t, breaks, window, noise) for t in range(len(products))])


def _limited(products: Array, frame: int, others: tuple[int, ...], window: int, noise: float) -> float:
    """Score with windows that end at the other events."""
    if frame in others:
        return -np.inf
    start = max([frame - window, 0, *(b for b in others if b < frame)])
    stop = min([frame + window, len(products), *(b for b in others if b > frame)])
    return score(products, frame, start, stop, noise=noise)


def threshold(
    products: Array, window: int, *, false_alarms: float = 0.2, breaks: Sequence[int] = (), frames: int = 20_000, seed: int = 0
) -> float:
    """Z that noise alone passes `false_alarms` times in 10 000 frames.

    Surrogate series are made of differences of successive frames, shuffled and
    with random signs: they have the noise of the data, its outliers included, and
    neither drift nor events. The rate of separate peaks above z is continued by
    an exponential beyond what the surrogates reach.

    Parameters
    ----------
    products : array, shape (time, time)
    window : int
        Frames on either side.
    false_alarms : float
        Wanted false alarms in 10 000 frames.
    breaks : sequence of int
        Events already known, whose differences are left out.
    frames : int
        Length of all surrogates together.
    seed : int
        Seed of the shuffling.
    """
    rng = np.random.default_rng(seed)
    noise = noise_level(products)
    every = np.arange(0, len(products) - 1, 2)
    quiet = np.setdiff1d(every, np.asarray(breaks, int) - 1)
    chosen = quiet if len(quiet) >= 2 * window + 2 else every  # of a short series those across events too: a stricter threshold
    pool = _differences(products)[np.ix_(chosen, chosen)] / 2
    n = len(pool)
    if n < 2 * window + 2:
        raise ValueError(f"{len(products)} good frames; a threshold for windows of {window} needs {4 * window + 6} or more")
    usable = n - 2 * window + 1
    peaks: list[float] = []
    repeats = -(-frames // usable)
    for _ in range(repeats):
        order, sign = rng.permutation(n), rng.choice([-1.0, 1.0], n)
        surrogate = fill_diagonal(pool[np.ix_(order, order)] * np.outer(sign, sign))
        z = scan_statistic(surrogate, window, noise=noise)[window : n - window + 1]
        peaks.extend(_peaks(z, window))
    return _tail_level(np.sort(peaks), repeats * usable, false_alarms)


def _peaks(z: Array, apart: int) -> Array:
    """Local maxima of `z` at least `apart` frames from any higher value."""
    highest = ndimage.maximum_filter1d(z, 2 * apart + 1, mode="nearest")
    return z[(z == highest) & np.isfinite(z)]


def _tail_level(peaks: Array, frames: int, false_alarms: float) -> float:
    """Level that peaks pass `false_alarms` times in 10 000 frames: an exponential through the highest tenth."""
    wanted = false_alarms * frames / 10_000
    n = max(10, len(peaks) // 10)
    tail = np.asarray(peaks)[-n:]
    decay = float(np.mean(tail - tail[0])) * n / (n - 1)
    return float(tail[0] + decay * np.log(n / wanted))


def find_events(
    products: Array, ok: Array | None = None, *, window: int = 12, false_alarms: float = 0.2, refine: int = 2, seed: int = 0
) -> Found:
    """Find sudden changes of the pattern, the clearest first.

    Every event found ends the windows of all others, so that neighbours neither
    hide nor imitate each other; each is then moved to where its own score is
    highest (the maximum of the likelihood for a step in a linear drift).

    Parameters
    ----------
    products : array, shape (good frame, good frame)
        From :func:`xcdi.kernels.avalanches.patterns.likeness`.
    ok : bool array, shape (time,), optional
        Which frames those are; by default all.
    window : int
        Good frames on either side. Events nearer than half of it merge into one,
        which is then marked; none is found within 3 frames of the ends.
    false_alarms : float
        False alarms of photon noise in 10 000 frames; see :func:`threshold`. Where the
        scan's baseline is higher or wider than noise makes it (a strongly curved
        drift), a higher score is asked.
    refine : int
        Frames that an event may move by when its neighbours are known.
    seed : int
        Seed of the surrogates behind the threshold.

    Notes
    -----
    A slip by a whole lattice vector, or perpendicular to G, changes nothing and is not seen.
    """
    noise = noise_level(products)
    breaks: tuple[int, ...] = ()
    for _ in range(2):  # a first threshold still holds the noise that events add
        level = threshold(products, window, false_alarms=false_alarms, breaks=breaks, seed=seed)
        breaks = _prune(products, _search(products, window, noise, level, refine), window, noise, level)
    scores = np.array([_limited(products, b, _without(breaks, b), window, noise) for b in breaks], float)
    groups = _groups(np.array(breaks, int), window // 2 - 1)
    best = np.array([g[np.argmax(scores[g])] for g in groups], int)
    good = np.arange(len(products)) if ok is None else np.flatnonzero(ok)
    frame, first, last = (good[np.array(breaks, int)[k]] for k in (best, [g[0] for g in groups], [g[-1] for g in groups]))
    trace = np.full(len(products) if ok is None else len(ok), np.nan)
    trace[good] = _finite(scan_statistic(products, window, noise=noise))
    return Found(frame, first, last, scores[best], np.array([len(g) > 1 for g in groups], bool), trace, level)


def _groups(frames: Array, apart: int) -> list[Array]:
    """Indices of `frames`, split where the gap is `apart` or more."""
    if not frames.size:
        return []
    return np.split(np.arange(frames.size), np.flatnonzero(np.diff(frames) >= apart) + 1)


def _finite(z: Array) -> Array:
    return np.where(np.isfinite(z), z, np.nan)


def _search(products: Array, window: int, noise: float, level: float, refine: int) -> tuple[int, ...]:
    """Add the highest peak, adjust its neighbours, look again around it; until nothing passes `level`."""
    breaks: list[int] = []
    z = scan_statistic(products, window, noise=noise)
    while True:
        best = int(np.argmax(z))
        if not z[best] >= level:
            return tuple(sorted(breaks))
        breaks.append(best)
        _adjust(products, breaks, best, window, noise, refine)
        for t in range(max(0, best - 3 * window), min(len(z), best + 3 * window)):
            z[t] = _limited(products, t, tuple(breaks), window, noise)


def _adjust(products: Array, breaks: list[int], around: int, window: int, noise: float, refine: int) -> None:
    """Move the events near `around` to their best frames, in place, twice over."""
    for k in [k for k, b in enumerate(breaks) if abs(b - around) <= 2 * window] * 2:
        others = tuple(breaks[:k] + breaks[k + 1 :])
        places = range(breaks[k] - refine, breaks[k] + refine + 1)
        breaks[k] = max((t for t in places if 0 <= t < len(products)), key=lambda t: _limited(products, t, others, window, noise))


def _prune(products: Array, breaks: tuple[int, ...], window: int, noise: float, level: float) -> tuple[int, ...]:
    """Drop the weakest event until all pass what their surroundings ask."""
    while breaks:
        base, width = _baseline(_finite(scan_statistic(products, window, noise=noise, breaks=breaks)), breaks, window)
        excess = [
            _limited(products, b, _without(breaks, b), window, noise) - level * w - z for b, z, w in zip(breaks, base, width, strict=True)
        ]
        worst = int(np.argmin(excess))
        if excess[worst] >= 0:
            break
        breaks = _without(breaks, breaks[worst])
    return breaks


def _baseline(z: Array, breaks: tuple[int, ...], window: int) -> tuple[Array, Array]:
    """Median (at least 0) and robust width (at least 1) of the scan around each event, shape (event,).

    The larger of those over two windows on either side and over 101 frames: a fast drift at the start does not wait for 101.
    """
    base, width = np.zeros(len(breaks)), np.ones(len(breaks))
    for k, b in enumerate(breaks):
        for reach in (2 * window, AROUND // 2):
            near = z[max(0, b - reach) : b + reach + 1]
            near = near[np.isfinite(near)]
            if near.size >= reach // 2:
                middle = float(np.median(near))
                base[k] = max(base[k], middle)
                width[k] = max(width[k], 1.4826 * float(np.median(np.abs(near - middle))))
    return base, width


def _without(breaks: tuple[int, ...], one: int) -> tuple[int, ...]:
    return tuple(b for b in breaks if b != one)
