"""Places of frames on a regular time axis, block by block, as :func:`xcdi.stages.one_time.slots` gives them for a whole series."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.stages import one_time

__all__ = ["Axis"]

SLOPE = 1e-3  # what the step may be wrong by, as the first block tells it


class Axis(NamedTuple):
    """The time axis of the frames so far.

    Attributes
    ----------
    step : float
        Time from frame to frame [s].
    frames : int
        Number of frames so far.
    time, slot
        When the last frame was [s], and its place; the first is at 0.
    since, place
        The same of the first frame after the last long pause, which need not be a whole number of frames.
    """

    step: float
    frames: int = 0
    time: float = 0.0
    slot: int = 0
    since: float = 0.0
    place: int = 0

    def placed(self, time: Array, expected: int = 0) -> tuple[Array, Array, Self]:
        """Places of the next frames, how many frames are missing before each, and the axis with them.

        Parameters
        ----------
        time : array, shape (time,)
            When they were [s].
        expected : int
            Number of frames there will be, if it is known; a pause may be the longer, the more there are.

        Raises
        ------
        XcdiError
            If times do not rise, are at no regular axis, or pauses make the axis many times longer than the series.

        Examples
        --------
        >>> Axis(0.5).placed(np.array([0.0, 0.5, 1.5, 2.0]))[:2]
        (array([0, 1, 3, 4]), array([0, 0, 1, 0]))
        """
        if not time.size:
            return np.zeros(0, int), np.zeros(0, int), self
        rise = np.diff(time, prepend=self.time)
        rise[0] = rise[0] if self.frames else self.step + 0 * time[0]
        self._check_rising(rise)
        steps = np.maximum(np.round(rise / self.step), 1)
        slot = self.slot + np.cumsum(steps).astype(int) - (not self.frames)
        begin = self._begun(steps)
        since, place = np.where(begin < 0, self.since, time[begin]), np.where(begin < 0, self.place, slot[begin])
        off = np.where(steps < one_time.LONG, np.abs(rise / self.step - steps), 0.0)
        self._check_regular(time, off, np.abs((time - since) / self.step - (slot - place)), SLOPE * (slot - place))
        frames = self.frames + time.size
        if slot[-1] + 1 > one_time.LONGER * max(frames, expected) + one_time.SPARE:
            raise XcdiError(f"pauses make the time axis of {frames} frames {slot[-1] + 1} frames long; correlate the parts separately")
        last = float(time[-1]), int(slot[-1]), float(since[-1]), int(place[-1])
        return slot, (steps - 1).astype(int), self._replace(**dict(zip(self._fields[1:], (frames, *last), strict=True)))

    def _begun(self, steps: Array) -> Array:
        """Number of the new frame with which the run of each begins; below zero if it began before."""
        begins = steps >= one_time.LONG
        begins[0] |= not self.frames
        return np.maximum.accumulate(np.where(begins, np.arange(steps.size), -1))

    def _check_rising(self, rise: Array) -> None:
        if not np.all(rise > 0):
            at = self.frames + int(np.argmin(rise > 0))
            raise XcdiError(f"frame {at} does not come after the frame before it; expected rising times of all frames")

    def _check_regular(self, time: Array, off: Array, drift: Array, allowed: Array) -> None:
        """Refuse frames that are `off` after the frame before, or come to be since the last long pause."""
        late = (off > one_time.OFF) | (drift > one_time.OFF + allowed)
        if np.any(late):
            at = int(np.argmax(late))
            raise XcdiError(
                f"frame {self.frames + at} is at {time[at]:g} s, {max(off[at], drift[at]):.1f} frame times off a regular axis of "
                f"{self.step:g} s; correlate parts of another frame time separately"
            )
