"""Sides of an event: the good frames before and after it, none of another event's."""

from __future__ import annotations

import numpy as np
import xarray as xr

__all__ = ["sides"]


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
    before = good[(good >= (last[number - 1] if number else 0)) & (good < first[number])][-longest:]
    after = good[(good >= last[number]) & (good < (first[number + 1] if number + 1 < len(first) else np.inf))][:longest]
    return before, after
