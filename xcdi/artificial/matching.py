"""Matching of detections with true events: which were found, which imagined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEAR", "WINDOW", "Matches", "close_pairs", "match", "scorable"]

WINDOW = 12  # frames that detection needs on either side of an event
LARGE = 0.03
NEAR = 3  # frames within which a detection belongs to an event; its error of time is judged apart


@dataclass(frozen=True)
class Matches:
    """Which detection belongs to which true event.

    Attributes
    ----------
    pairs : list of (int, int)
        Indices of a true event and of the detection near it.
    false : list of int
        Detections that no true event explains.
    """

    pairs: list[tuple[int, int]]
    false: list[int]


def scorable(frames: NDArray[Any], drops: NDArray[Any], length: int, *, window: int = WINDOW, large: float = LARGE) -> NDArray[np.bool_]:
    """Return which true events can be asked for: `large`, `window` from the ends, and half of it from their neighbours.

    Examples
    --------
    >>> scorable(np.array([5, 30, 33, 60]), np.array([0.1, 0.1, 0.1, 0.1]), 100)
    array([False, False, False,  True])
    """
    apart = np.abs(np.subtract.outer(frames, frames)) + length * np.eye(len(frames), dtype=int)
    alone = apart.min(axis=1, initial=length) >= window / 2
    return (frames >= window) & (frames <= length - window) & alone & (np.nan_to_num(drops) >= large)


def match(
    found: NDArray[Any],
    frames: NDArray[Any],
    asked: NDArray[Any],
    *,
    last: NDArray[Any] | None = None,
    near: float = NEAR,
    window: int = WINDOW,
    hidden: NDArray[Any] | None = None,
) -> Matches:
    """Match detections at frames `found` with true events that begin at `frames` and end at `last`, nearest first.

    An event that is `asked` for must be met within `near` frames, once. Any other true
    event explains detections within half a window of it, unless it is `hidden`: one that cannot be seen.

    Examples
    --------
    >>> match(np.array([31, 80]), np.array([30, 60]), np.array([True, True]))
    Matches(pairs=[(0, 0)], false=[1])
    """
    last = frames if last is None else last
    away = np.maximum(np.maximum(frames - found[:, None], found[:, None] - last), 0)  # (detection, event)
    excuses = ~asked if hidden is None else ~asked & ~hidden
    pairs: list[tuple[int, int]] = []
    for number, true in sorted(np.argwhere((away <= near) & asked).tolist(), key=lambda both: away[both[0], both[1]]):
        if true not in [pair[0] for pair in pairs] and number not in [pair[1] for pair in pairs]:
            pairs.append((true, number))
    met = [number for _, number in pairs]
    excused = (excuses & (away <= window / 2)).any(axis=1)
    return Matches(sorted(pairs), [number for number in range(len(found)) if number not in met and not excused[number]])


def close_pairs(frames: NDArray[Any], length: int, *, window: int = WINDOW) -> list[tuple[int, int]]:
    """Return neighbours nearer than half a window, both of them a window from everything else and from the ends.

    Examples
    --------
    >>> close_pairs(np.array([20, 24, 60]), 100)
    [(0, 1)]
    """
    ends = np.concatenate([[0], frames, [length]])
    apart = np.diff(ends)
    return [(k, k + 1) for k in range(len(frames) - 1) if 0 < apart[k + 1] < window / 2 and apart[k] >= window and apart[k + 2] >= window]
