"""Sides of an event: the good frames before and after it, none of another event's."""

from __future__ import annotations

import numpy as np
import xarray as xr

__all__ = ["between", "sides"]


def sides(events: xr.Dataset, number: int, good: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Good frames before and after the event `number`, at most `longest` of each, up to its neighbours.

    Parameters
    ----------
    events : EVENTS
        With `first_frame` and `last_frame` where an event takes more than one.
    number : int
    good : int array
        Frames to use, rising.
    longest : int
    """
    first, last = (events[name].values if name in events else events.frame.values for name in ("first_frame", "last_frame"))
    return between(first, last, number, good, longest)


def between(first: np.ndarray, last: np.ndarray, number: int, good: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of events that take the frames `first` to `last`, both of shape (event,).

    Examples
    --------
    >>> between(np.array([4, 8]), np.array([4, 9]), 1, np.arange(12), 3)
    (array([5, 6, 7]), array([ 9, 10, 11]))
    """
    start = last[number - 1] if number else 0
    stop = first[number + 1] if number + 1 < len(first) else np.inf
    return good[(good >= start) & (good < first[number])][-longest:], good[(good >= last[number]) & (good < stop)][:longest]
