"""When the pattern changes at once: a two-window scan that a slow drift does not trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import false_alarms as alarms
from xcdi.kernels.avalanches import poisson_scan
from xcdi.kernels.avalanches.false_alarms import Tail
from xcdi.kernels.avalanches.steps import SHORTEST, differences, limited, noise_level, scan_statistic, score, second_step, shuffled

__all__ = [
    "COLUMNS",
    "SHORTEST",
    "Found",
    "Noise",
    "baseline",
    "confirm",
    "find_events",
    "frames_needed",
    "merges_below",
    "noise_level",
    "noise_tail",
    "peaked",
    "scan_statistic",
    "score",
    "standing",
    "surroundings",
    "threshold",
]

COLUMNS = ("frame", "first", "last", "score", "merged", "false_alarm_rate")  # of `Found`, one value an event
BEYOND = 6  # good frames beyond four windows that a threshold needs
AROUND = 101  # frames of the local robust baseline
SURROGATE_FRAMES = 20_000
REMARKS = 10.0  # single events in 10 000 that noise makes look like two


class Found(NamedTuple):
    """Result of :func:`find_events`.

    Attributes
    ----------
    frame : int array, shape (event,)
        First frame of the new state, rising; of the clearest step where several merged.
    first, last : int array, shape (event,)
        The same as `frame`, or the first and last of the merged steps; of a step after lost frames `first` is the first of those.
    score : array, shape (event,)
        z of each event, with windows that end at its neighbours.
    merged : bool array, shape (event,)
        True where another step is nearer than can be told apart, or two or more frames are lost right before, in which one may hide.
    trace : array, shape (time,)
        z of every frame with full windows; NaN near the ends and in bad frames.
    threshold : float
        z above which a change counts.
    false_alarm_rate : array, shape (event,)
        Events in 10 000 frames that noise alone gives at this score or above.
    """

    frame: Array
    first: Array
    last: Array
    score: Array
    merged: Array
    trace: Array
    threshold: float
    false_alarm_rate: Array


class Noise(NamedTuple):
    """What noise alone does: its level, the tail of the scan, and by how much a second step seems to explain a single one."""

    level: float
    tail: Tail
    second: float


def merges_below(window: int) -> int:
    """Frames apart at which steps are events of their own; nearer ones merge.

    Examples
    --------
    >>> merges_below(12)
    5
    """
    return window // 2 - 1


def threshold(
    products: Array,
    window: int,
    *,
    false_alarms: float = 0.2,
    breaks: Sequence[int] = (),
    frames: int = SURROGATE_FRAMES,
    seed: int = 0,
) -> float:
    """Z that noise alone passes `false_alarms` times in 10 000 frames; see :func:`noise_tail`."""
    return noise_tail(products, window, breaks=breaks, frames=frames, seed=seed).tail.level(false_alarms)


def noise_tail(
    products: Array, window: int, *, breaks: Sequence[int] = (), frames: int = SURROGATE_FRAMES, seed: int = 0, noise: float | None = None
) -> Noise:
    """How high noise alone makes the scan, and how often.

    Surrogate series are made of differences of successive frames, shuffled and
    with random signs: they have the noise of the data, its outliers included, and
    neither drift nor events. The rate of separate peaks above z is continued by
    an exponential beyond what the surrogates reach.

    Parameters
    ----------
    products : array, shape (time, time)
    window : int
        Frames on either side.
    breaks : sequence of int
        Events already known, whose differences are left out.
    frames : int
        Length of all surrogates together.
    seed : int
        Seed of the shuffling.
    noise : float, optional
        From :func:`noise_level`, by default of `products`.
    """
    rng = np.random.default_rng(seed)
    noise = noise_level(products) if noise is None else noise
    pool = _quiet_differences(products, window, breaks)
    n = len(pool)
    usable = n - 2 * window + 1
    peaks: list[float] = []
    seconds: list[float] = []
    repeats = -(-frames // usable)
    for _ in range(repeats):
        order, sign = rng.permutation(n), rng.choice([-1.0, 1.0], n)
        surrogate = shuffled(pool, order, sign, 2 * window)
        z = scan_statistic(surrogate, window, noise=noise, part=(window, n - window + 1))
        peaks.extend(alarms.peaks(z, window))
        seconds.extend(_seconds(surrogate, window, noise))
    return Noise(noise, alarms.tail(peaks, repeats * usable), alarms.tail(seconds, len(seconds)).level(REMARKS))


def _quiet_differences(products: Array, window: int, breaks: Sequence[int]) -> Array:
    """Products of differences that span no known event and share no frame."""
    every = np.arange(0, len(products) - 1, 2)
    quiet = np.setdiff1d(every, np.asarray(breaks, int) - 1)
    chosen = quiet if len(quiet) >= 2 * window + 2 else every  # of a short series those across events too: a stricter threshold
    if len(chosen) < 2 * window + 2:
        raise ValueError(f"{len(products)} good frames; a threshold for windows of {window} needs {4 * window + 6} or more")
    return np.ascontiguousarray((differences(products) / 2)[np.ix_(chosen, chosen)])


def _seconds(surrogate: Array, window: int, noise: float) -> list[float]:
    """What a second step explains of noise beside a large first one, in windows that do not overlap."""
    middles = range(window, len(surrogate) - window + 1, 2 * window)
    return [second_step(surrogate, t, t - window, t + window, window // 2, noise=noise, certain=True) for t in middles]


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
        False alarms of photon noise in 10 000 frames; see :func:`noise_tail`. Where the
        scan's baseline is higher or wider than noise makes it (a strongly curved
        drift), a higher score is asked.
    refine : int
        Frames that an event may move by when its neighbours are known.
    seed : int
        Seed of the surrogates behind the threshold.

    Notes
    -----
    An event is marked as merged, too, where two steps explain it better than one by more than noise does in
    999 of 1000 large single events; see :func:`xcdi.kernels.avalanches.steps.second_step`.
    A slip by a whole lattice vector, or perpendicular to G, changes nothing and is not seen.
    """
    level = noise_level(products)
    breaks: tuple[int, ...] = ()
    for _ in range(2):  # a first threshold still holds the noise that events add
        noise = noise_tail(products, window, breaks=breaks, seed=seed, noise=level)
        asked = noise.tail.level(false_alarms)
        breaks = _prune(products, _search(products, window, level, asked, refine), window, level, asked)
    return _listed(products, ok, breaks, window, noise, asked)


def confirm(
    products: Array,
    ok: Array | None,
    proposed: Array,
    *,
    window: int = 12,
    false_alarms: float = 0.2,
    refine: int = 2,
    seed: int = 0,
) -> Found:
    """Keep of `proposed` frames (counted among the good ones) those that the scan of :func:`find_events` finds significant.

    Parameters
    ----------
    products, ok, window, false_alarms, refine, seed
        As for :func:`find_events`.
    proposed : int array, shape (proposal,)
    """
    level = noise_level(products)
    breaks: tuple[int, ...] = ()
    for _ in range(2):
        noise = noise_tail(products, window, breaks=breaks, seed=seed, noise=level)
        asked = noise.tail.level(false_alarms)
        kept = [int(t) for t in proposed]
        for at in tuple(kept):
            _adjust(products, kept, at, window, level, refine)
        breaks = _prune(products, tuple(sorted(set(kept))), window, level, asked)
    return _listed(products, ok, breaks, window, noise, asked)


def peaked(products: Array, ok: Array | None, z: Array, tail: Tail, *, window: int = 12, false_alarms: float = 0.2, seed: int = 0) -> Found:
    """Events at the peaks of another scan, no two nearer than 0.8 of a window.

    Parameters
    ----------
    products, ok, window, false_alarms, seed
        As for :func:`find_events`; the products only tell whether a second step is near.
    z : array, shape (good frame,)
        Score of every frame, NaN where there is none.
    tail : Tail
        Peaks of that score without events.
    """
    asked = tail.level(false_alarms)
    at = alarms.chosen_peaks(z, asked, poisson_scan.separation(window))
    noise = noise_tail(products, window, breaks=at.tolist(), seed=seed)
    good = np.arange(len(products)) if ok is None else np.flatnonzero(ok)
    trace = np.full(len(products) if ok is None else len(ok), np.nan)
    trace[good] = z
    merged = np.array([_doubled(products, tuple(at), k, window, noise) for k in range(at.size)], bool)
    first, hidden = _over_gaps(good, at)
    return Found(good[at], first, good[at], z[at], merged | hidden, trace, asked, tail.rate(z[at]))


def _listed(products: Array, ok: Array | None, breaks: tuple[int, ...], window: int, noise: Noise, asked: float) -> Found:
    """Events of the steps at `breaks`, counted in all frames."""
    scores = np.array([limited(products, b, _without(breaks, b), window, noise.level) for b in breaks], float)
    base, width = surroundings(products, breaks, window, noise.level)
    groups = _groups(np.array(breaks, int), merges_below(window))
    best = np.array([g[np.argmax(scores[g])] for g in groups], int)
    good = np.arange(len(products)) if ok is None else np.flatnonzero(ok)
    frame, last = (good[np.array(breaks, int)[k]] for k in (best, [g[-1] for g in groups]))
    first, hidden = _over_gaps(good, np.array(breaks, int)[[g[0] for g in groups]])
    trace = np.full(len(products) if ok is None else len(ok), np.nan)
    trace[good] = _finite(scan_statistic(products, window, noise=noise.level))
    rate = noise.tail.rate(((scores - base) / width)[best])
    merged = np.array([len(g) > 1 or _doubled(products, breaks, int(g[0]), window, noise) for g in groups], bool)
    return Found(frame, first, last, scores[best], merged | hidden, trace, asked, rate)


def _over_gaps(good: Array, at: Array) -> tuple[Array, Array]:
    """First frame in which the steps `at` may have come, and whether more than one lost frame before them could hide another."""
    lost = good[at] - good[np.maximum(at - 1, 0)] - 1
    return np.where(lost > 1, good[at] - lost, good[at]), lost > 1


def _doubled(products: Array, breaks: tuple[int, ...], k: int, window: int, noise: Noise) -> bool:
    """Whether a second step beside step `k` is more than noise makes."""
    at = int(breaks[k])
    start = max([at - window, 0, *(b for b in breaks if b < at)])
    stop = min([at + window, len(products), *(b for b in breaks if b > at)])
    return second_step(products, at, start, stop, window // 2, noise=noise.level) > noise.second


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
        near = (max(0, best - 3 * window), min(len(z), best + 3 * window))
        z[slice(*near)] = scan_statistic(products, window, noise=noise, breaks=tuple(breaks), part=near)


def _adjust(products: Array, breaks: list[int], around: int, window: int, noise: float, refine: int) -> None:
    """Move the events near `around` to their best frames, in place, twice over."""
    for k in [k for k, b in enumerate(breaks) if abs(b - around) <= 2 * window] * 2:
        others = tuple(breaks[:k] + breaks[k + 1 :])
        first, stop = max(breaks[k] - refine, 0), min(breaks[k] + refine + 1, len(products))
        breaks[k] = first + int(np.argmax(scan_statistic(products, window, noise=noise, breaks=others, part=(first, stop))))


def _prune(products: Array, breaks: tuple[int, ...], window: int, noise: float, level: float) -> tuple[int, ...]:
    """Drop the weakest event until all pass what their surroundings ask."""
    while breaks:
        base, width = surroundings(products, breaks, window, noise)
        scores = [limited(products, b, _without(breaks, b), window, noise) for b in breaks]
        excess = np.array(scores) - level * width - base
        worst = int(np.argmin(excess))
        if excess[worst] >= 0:
            break
        breaks = _without(breaks, breaks[worst])
    return breaks


def surroundings(products: Array, breaks: tuple[int, ...], window: int, noise: float) -> tuple[Array, Array]:
    """Baseline and width of the scan between the events, at each of them."""
    return baseline(_finite(scan_statistic(products, window, noise=noise, breaks=breaks)), breaks, window)


def frames_needed(window: int) -> int:
    """Good frames below which noise has no measure: four windows and six, two of which differ in nothing but noise.

    Examples
    --------
    >>> frames_needed(12)
    54
    """
    return 4 * window + BEYOND


def baseline(z: Array, breaks: tuple[int, ...], window: int) -> tuple[Array, Array]:
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


def standing(z: Array, window: int) -> Array:
    """How far every value of the scan stands out of what is around it, in units of the width there or of noise, shape (time,)."""
    base, width = baseline(z, tuple(range(len(z))), window)
    return (z - base) / width


def _without(breaks: tuple[int, ...], one: int) -> tuple[int, ...]:
    return tuple(b for b in breaks if b != one)
