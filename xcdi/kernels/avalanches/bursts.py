"""Bursts: events that follow each other closely, taken as one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["Bursts", "merge"]


class Bursts(NamedTuple):
    """Result of :func:`merge`, one number per burst.

    Attributes
    ----------
    first : array, shape (burst,)
        Time of its first event [s].
    duration : array, shape (burst,)
        Last time less first time, and one frame [s].
    members : array, shape (burst,)
        Events in it.
    drop : array, shape (burst,)
        ``1 - product of (1 - drop)``: what the whole burst changed.
    fraction : array, shape (burst,)
        Sum of the fractions.
    """

    first: Array
    duration: Array
    members: Array
    drop: Array
    fraction: Array


def merge(times: Array, drops: Array, fractions: Array, gap: float, frame_time: float = 0.0) -> Bursts:
    """Merge events of one series whose distance is at most `gap`.

    Parameters
    ----------
    times : array, shape (event,)
        In rising order [s].
    drops, fractions : array, shape (event,)
    gap : float
        Longest distance within a burst [s].
    frame_time : float
        Time of one frame [s], which every duration has at least.

    Notes
    -----
    The gap is a choice, and with it waiting times and exponents change: see :func:`xcdi.stages.lasting.bursts`, which takes many.

    Examples
    --------
    >>> merge(np.array([0.0, 1.0, 5.0]), np.array([0.5, 0.5, 0.1]), np.array([0.3, 0.3, 0.05]), 1.5).drop
    array([0.75, 0.1 ])
    """
    times = np.asarray(times, np.float64)
    if not times.size:
        return Bursts(times, times, np.zeros(0, int), times, times)
    begin = np.flatnonzero(np.concatenate([[True], np.diff(times) > gap]))
    end = np.append(begin[1:], times.size) - 1
    return Bursts(
        times[begin],
        times[end] - times[begin] + frame_time,
        end - begin + 1,
        1 - np.multiply.reduceat(1 - np.asarray(drops, np.float64), begin),
        np.add.reduceat(np.asarray(fractions, np.float64), begin),
    )
