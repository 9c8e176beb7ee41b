"""How often noise alone looks like an event: the peaks of surrogates without events, and their tail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from xcdi.backend import Array

__all__ = ["PER", "RAREST", "Tail", "chosen_peaks", "of_surrogates", "peaks", "tail"]

PER = 10_000  # frames that rates are stated for
RAREST = 0.01  # the least rate that is stated: fifty times beyond what 20 000 frames of surrogates hold
TAIL_PART = 10  # the highest tenth of the peaks makes the tail
FEWEST = 10  # peaks that a tail needs


class Tail(NamedTuple):
    """Rate at which noise alone passes a score.

    Attributes
    ----------
    heights : array, shape (peak,)
        Scores of the separate peaks of all surrogates, rising.
    frames : int
        Length of all surrogates together.
    start, decay : float
        From `start` on the rate falls as ``exp(-(z - start) / decay)``.
    """

    heights: Array
    frames: int
    start: float
    decay: float

    def level(self, false_alarms: float) -> float:
        """Score that is passed `false_alarms` times in 10 000 frames.

        Examples
        --------
        >>> round(Tail(np.arange(100.0), 10_000, 90.0, 2.0).level(1.0), 3)
        94.605
        """
        return float(self.start + self.decay * np.log(self._count() / (false_alarms * self.frames / PER)))

    def rate(self, score: Array | float) -> Array:
        """Times in 10 000 frames that noise alone gives this score or a higher one, shape of `score`.

        Examples
        --------
        >>> Tail(np.arange(100.0), 10_000, 90.0, 2.0).rate(np.array([50.0, 90.0, 94.605])).round(2)
        array([50., 10.,  1.])
        """
        z = np.asarray(score, np.float64)
        counted = len(self.heights) - np.searchsorted(self.heights, z, side="left")
        beyond = self._count() * np.exp(-(np.maximum(z, self.start) - self.start) / self.decay)
        return np.where(z >= self.start, beyond, counted) * (PER / self.frames)

    def _count(self) -> int:
        return _highest(len(self.heights))


def tail(heights: Sequence[float] | Array, frames: int) -> Tail:
    """Continue the rate of peaks beyond the highest by an exponential through the highest tenth.

    Parameters
    ----------
    heights : array, shape (peak,)
        Scores of separate peaks in surrogates, two or more.
    frames : int
        Length of all surrogates together.
    """
    sorted_ = np.sort(np.asarray(heights, np.float64))
    n = min(_highest(len(sorted_)), len(sorted_))
    if n < 2:
        raise ValueError(f"{len(sorted_)} peak(s) in {frames} frames of surrogates; a rate needs 2 or more")
    highest = sorted_[-n:]
    return Tail(sorted_, frames, float(highest[0]), float(np.mean(highest - highest[0])) * n / (n - 1))


def _highest(n: int) -> int:
    return max(FEWEST, n // TAIL_PART)


def peaks(z: Array, apart: int) -> Array:
    """Local maxima of `z` at least `apart` frames from any higher value.

    Examples
    --------
    >>> peaks(np.array([0.0, 3.0, 1.0, 2.0, 0.0, 5.0]), 2)
    array([3., 5.])
    >>> peaks(np.array([np.nan, 3.0, 1.0, np.nan]), 2)
    array([3.])
    """
    known = np.where(np.isfinite(z), z, -np.inf)
    highest = ndimage.maximum_filter1d(known, 2 * apart + 1, mode="nearest")
    return z[(known == highest) & np.isfinite(z)]


def of_surrogates(score: Callable[[], Array], usable: int, frames: int, apart: int) -> Tail:
    """Peaks of a score of noise alone.

    Parameters
    ----------
    score : function
        Returns the score of another surrogate series, shape (time,), at each call.
    usable : int
        Frames of one series that have a score.
    frames : int
        Length of all series together.
    apart : int
        Frames by which peaks are apart.
    """
    repeats = -(-frames // usable)
    return tail(np.concatenate([peaks(score(), apart) for _ in range(repeats)]), repeats * usable)


def chosen_peaks(z: Array, level: float, apart: int) -> Array:
    """Frames of values of `level` or more, the highest first, none nearer than `apart` to one chosen before; rising.

    Examples
    --------
    >>> chosen_peaks(np.array([0.0, 7.0, 8.0, 0.0, 9.0, np.nan]), 6.0, 2)
    array([2, 4])
    """
    chosen: list[int] = []
    left = np.where(np.isfinite(z), z, -np.inf)
    while left.size and left.max() >= level:
        best = int(np.argmax(left))
        chosen.append(best)
        left[max(0, best - apart + 1) : best + apart] = -np.inf
    return np.array(sorted(chosen), int)
