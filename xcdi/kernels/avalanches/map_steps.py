"""Steps in a two-time correlation without its pixels: found by the scan, and confirmed where frames across a step share less."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import events, steps
from xcdi.kernels.avalanches import false_alarms as alarms
from xcdi.kernels.avalanches.patterns import fill_diagonal

__all__ = ["Drop", "Gumbel", "Steps", "find", "own_peaks", "same_lag"]

CONFIRMED = 3.0  # robust standard deviations by which a step must lower the correlation
ROUNDING = 1e-12  # of the largest value, below which noise is none


class Drop(NamedTuple):
    """What is lost across a step, in units of C, and what is kept beside it: each the mean over the same lags, with the same weights."""

    lost: float
    kept: float

    @property
    def relative(self) -> float:
        """Part of the correlation that is lost; NaN where none is kept."""
        return self.lost / self.kept if self.kept > 0 else float("nan")


def same_lag(excess: Array, frame: int, start: int, stop: int) -> Drop:
    """Correlation that pairs of frames across a step lack, beside pairs of the same lag that lie wholly before or after it.

    Parameters
    ----------
    excess : array, shape (time, time)
        C - 1; its diagonal is not used.
    frame, start, stop : int
        First frame of the new state, and the frames that are looked at.

    Returns
    -------
    Drop
        `kept` is that of the side, before or after, which correlates less: a baseline that jumps raises one side alone,
        and brightness that jumps puts the pairs across between the two sides, so that neither loses anything. Whatever depends
        on the lag alone, decay and oscillation, loses nothing either.

    Examples
    --------
    >>> state = np.repeat([0, 1], 6)
    >>> drop = same_lag(np.where(state[:, None] == state, 0.4, 0.3), 6, 0, 12)
    >>> round(drop.lost, 6), round(drop.relative, 6)
    (0.1, 0.25)
    """
    before, after = frame - start, stop - frame
    sums, total = np.zeros(3), 0.0
    for lag in range(1, min(before, after)):
        line = np.diagonal(excess[start:stop, start:stop], lag)
        parts = line[: before - lag], line[before:], line[before - lag : before]
        weight = 1 / sum(1 / len(part) for part in parts)
        sums += weight * np.array([part.mean() for part in parts])
        total += weight
    if not total:
        return Drop(float("nan"), float("nan"))
    pre, post, across = sums / total
    return Drop(float(min(pre, post) - across), float(min(pre, post)))


class Gumbel(NamedTuple):
    """Distribution of the peaks of a scan: middle and scale, and how many there are in 10 000 frames."""

    middle: float
    scale: float
    number: float

    def rate(self, z: Array | float) -> Array:
        """Peaks of `z` or more in 10 000 frames.

        Examples
        --------
        >>> round(float(Gumbel(2.0, 0.5, 400.0).rate(6.0)), 3)
        0.134
        """
        away = np.maximum((np.asarray(z, np.float64) - self.middle) / self.scale, -30.0)
        return self.number * -np.expm1(-np.exp(-away))

    def level(self, false_alarms: float) -> float:
        """Score that `false_alarms` peaks in 10 000 frames pass."""
        share = min(false_alarms / self.number, 0.5)
        return float(self.middle - self.scale * np.log(-np.log1p(-share)))


def own_peaks(z: Array, window: int) -> Gumbel:
    """Distribution of the peaks of a scan that is freed of its baseline, from their quartiles: a few steps among them do not change it.

    Speckles that rearrange within a window make peaks that no surrogate of photon noise has.

    Parameters
    ----------
    z : array, shape (time,)
        NaN or infinite where there is none.
    window : int
        Frames between peaks.
    """
    heights = alarms.peaks(np.where(np.isfinite(z), z, -np.inf), window)
    low, high = np.quantile(heights, [0.25, 0.75])
    scale = max(float(high - low), 1e-12) / (np.log(-np.log(0.25)) - np.log(-np.log(0.75)))
    return Gumbel(float(low + scale * np.log(-np.log(0.25))), float(scale), alarms.PER * len(heights) / len(z))


class Steps(NamedTuple):
    """Result of :func:`find`.

    Attributes
    ----------
    found : Found
        The steps; its trace and threshold are those of the scan.
    drop, drop_error : array, shape (event,)
        Part of the correlation that is lost across each, and what is lost by chance elsewhere.
    noise : Noise
        How often noise alone reaches a score.
    own : Gumbel
        The same of the peaks of this map beside its steps.
    standing : array, shape (time,)
        Score of every frame, less what it is around, in units of the width it has there or of noise: what the rates hold for.
    visible : float
        Drop that makes the score of the threshold; more than 1 where no change, however large, would be seen.
    """

    found: events.Found
    drop: Array
    drop_error: Array
    noise: events.Noise
    own: Gumbel
    standing: Array
    visible: float


def find(c: Array, ok: Array, *, window: int = 12, false_alarms: float = 0.2, seed: int = 0) -> Steps:
    """Find the steps of a two-time correlation.

    Parameters
    ----------
    c : array, shape (time, time)
        1 for frames that share nothing; the diagonal is not used. Rows and columns of bad frames may be NaN.
    ok : bool array, shape (time,)
        Which frames are good; four windows and six, or more.
    window, false_alarms, seed
        As for :func:`xcdi.kernels.avalanches.events.find_events`.

    Returns
    -------
    Steps
        The scan of :func:`xcdi.kernels.avalanches.events.find_events`, with C - 1 as products. Of what it finds those are kept
        across which the correlation falls, at equal lag, by 3 robust standard deviations of what it does elsewhere, and which
        stand out of the other peaks of this map as much as out of noise.

    Raises
    ------
    ValueError
        If the frames are too few, or the map holds no noise that a step could be compared with.
    """
    good = np.flatnonzero(ok)
    excess = np.asarray(c, np.float64)[np.ix_(good, good)] - 1
    np.fill_diagonal(excess, 0.0)
    products = fill_diagonal(excess)
    level = events.noise_level(products)
    if not level > ROUNDING * float(np.abs(excess).max()):
        raise ValueError(f"the noise of an element is {level:.2g}; without noise no rate of false alarms can be told")
    found = events.find_events(products, ok, window=window, false_alarms=false_alarms, seed=seed)
    at = [int(np.searchsorted(good, frame)) for frame in found.frame]
    noise = events.noise_tail(products, window, breaks=at, seed=seed, noise=level)
    drops = [_drop(excess, t, [b for b in at if b != t], window) for t in at]
    centre, spread = _usual(np.array([_drop(excess, t, [], window).lost for t in range(len(good))]))
    quiet = events.scan_statistic(products, window, noise=level, breaks=tuple(at))
    own = own_peaks(events.standing(np.where(np.isfinite(quiet), quiet, np.nan), window), window)
    base, width = events.surroundings(products, tuple(at), window, level)
    out = (found.score - base) / width
    asked = max(found.threshold, own.level(false_alarms))
    found = found._replace(threshold=asked, false_alarm_rate=np.maximum(found.false_alarm_rate, own.rate(out)))
    kept = np.array([one.lost - centre > CONFIRMED * spread for one in drops], bool) & (out >= asked)
    found = found._replace(**{name: getattr(found, name)[kept] for name in events.COLUMNS})
    relative = np.array([one.relative for one in drops], float)[kept]
    error = np.array([spread / one.kept if one.kept > 0 else np.nan for one in drops], float)[kept]
    standing = np.full(len(ok), np.nan)
    standing[good] = events.standing(found.trace[good], window)
    return Steps(found, relative, error, noise, own, standing, _visible(excess, window, level, found.threshold))


def _visible(excess: Array, window: int, noise: float, level: float) -> float:
    """Drop whose step, twice that part of the correlation near the diagonal, has the score `level`; infinite where nothing correlates."""
    near = float(np.median([np.diagonal(excess, lag).mean() for lag in range(1, window)]))
    return level * noise * steps.step_noise(window) / (2 * near) if near > 0 else float("inf")


def _drop(excess: Array, frame: int, others: list[int], window: int) -> Drop:
    """What is lost across a step, seen up to the other steps."""
    start = max([frame - window, 0, *(b for b in others if b < frame)])
    stop = min([frame + window, len(excess), *(b for b in others if b > frame)])
    return same_lag(excess, frame, start, stop)


def _usual(lost: Array) -> tuple[float, float]:
    """Median and robust standard deviation of what is lost where nothing happens."""
    known = lost[np.isfinite(lost)]
    middle = float(np.median(known))
    return middle, 1.4826 * float(np.median(np.abs(known - middle)))
