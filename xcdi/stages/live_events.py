"""Events of a growing series, announced as they happen, beside its correlation; at the end both are those of the whole series."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches.events import frames_needed
from xcdi.kernels.avalanches.online import Announcement, OnlineScan
from xcdi.kernels.correlation.photons import join, pixel_sums, to_dense
from xcdi.stages import series_correlation
from xcdi.stages.avalanches import find_events
from xcdi.stages.correlation import TwoTime
from xcdi.stages.detection import Detecting
from xcdi.stages.series_correlation import Correlating, Fold
from xcdi.stages.trust import good_pixels

__all__ = ["Seen", "announced", "follow_events", "looking"]


class Seen(NamedTuple):
    """The series so far: CORRELATION, or None before the first look at it, and EVENTS."""

    correlation: xr.Dataset | None
    events: xr.Dataset


class Watcher:
    """The online scan of the pixels that a correlation takes, and what it announced.

    Parameters
    ----------
    how : Detecting
    seed : int
        Seed of the surrogates.
    """

    def __init__(self, how: Detecting, seed: int) -> None:
        self.how, self.seed = how, seed
        self.scan: OnlineScan | None = None
        self.found: list[Announcement] = []
        self.time: list[float] = []
        self._pieces = 0

    def take(self, total: TwoTime) -> None:
        """Scan the frames of the blocks that are new in `total`."""
        known = total.known
        y, x = known.y - known.y.min(), known.x - known.x.min()
        if self.scan is None:
            keep = good_pixels(pixel_sums(join([piece.photons for piece in total.pieces])), total.pieces, known)
            valid = np.zeros((int(y.max()) + 1, int(x.max()) + 1), bool)
            valid[y[keep], x[keep]] = True
            self.scan = OnlineScan(valid, window=self.how.window, false_alarms=self.how.false_alarms, seed=self.seed)
        for piece in total.pieces[self._pieces :]:
            self.scan.distrust(y[piece.untrusted], x[piece.untrusted])
            self.time.extend(piece.time.tolist())
            for counts, ok in zip(to_dense(piece.photons), piece.ok, strict=True):
                frame = np.zeros(self.scan.valid.shape, counts.dtype)
                frame[y, x] = counts
                self.found += self.scan.push(frame, bool(ok))
        self._pieces = len(total.pieces)

    def events(self) -> xr.Dataset:
        """EVENTS as far as they were announced, in order of time."""
        found = sorted(self.found)

        def column(values: list[Any], units: str, dtype: type = float) -> xr.DataArray:
            return xr.DataArray(np.array(values, dtype), dims="event", attrs={"units": units})

        return xr.Dataset(
            {
                "time": column([self.time[one.frame] for one in found], "s"),
                "frame": column([one.frame for one in found], "1", np.int64),
                "announced": column([one.known for one in found], "1", np.int64),
                "score": column([one.score for one in found], "1"),
                "drop": column([one.drop for one in found], "1"),
                "drop_error": column([one.drop_error for one in found], "1"),
                "flags": column(["artefact" * one.artefact for one in found], "", str),
            },
            attrs=self._notes(),
        )

    def _notes(self) -> dict[str, Any]:
        settled, good = (self.scan.settled, self.scan.good) if self.scan is not None else (False, 0)
        notes = {
            "provisional": True,
            "detector": "detrended two-window scan, frame by frame",
            "window": self.how.window,
            "false_alarms_per_10000": self.how.false_alarms,
            "frames_looked_at": len(self.time),
            "good_frames": good,
        }
        return notes | ({"threshold": self.scan.level} if self.scan is not None and settled else {})


def follow_events(
    blocks: Iterable[xr.Dataset], how: Correlating, detecting: Detecting, *, seed: int = 0, device: str = "cpu", workers: int = 1
) -> Iterator[Seen]:
    """Yield what is known after every block; the last is the correlation and the events of the whole series.

    Parameters
    ----------
    blocks : iterable of SCAN
        The series, as it comes in.
    how : Correlating
        With a full map.
    detecting : Detecting
    seed : int
        Seed of the surrogates and of what is injected.

    Notes
    -----
    An event is announced with the block that shows it for sure: its window is full, or half of it shows twice the z that is asked.
    Looks at the correlation are as rare as `live_share` makes them and hold no announcement up.
    The announced events are provisional: weights, threshold and neighbours are those of the frames so far.

    Raises
    ------
    XcdiError
        At the end, if there are too few good frames for the final search.
    """
    watcher, fold, correlation = Watcher(detecting, seed), None, None
    begin, spent = time.monotonic(), 0.0
    for fold in series_correlation.folded(blocks, how, device, workers, growing=device == "cpu"):
        assert isinstance(fold.total, TwoTime), "events need a correlation with a full map"
        watcher.take(fold.total)
        started = time.monotonic()
        if correlation is None or spent <= how.live_share * (started - begin):
            correlation = _look(fold) or correlation
            spent += time.monotonic() - started
        yield Seen(correlation, watcher.events())
    if fold is not None:
        final = series_correlation.result(fold, provisional=False)
        yield Seen(final, find_events(final, seed=seed, **detecting.model_dump()))


def _look(fold: Fold) -> xr.Dataset | None:
    """The correlation so far; None where there is nothing to see yet, as with the shutter closed."""
    try:
        return series_correlation.look(fold)
    except XcdiError:
        return None


def looking(events: xr.Dataset) -> str:
    """Say how many frames there are of those that a threshold needs; nothing once there are enough.

    Examples
    --------
    >>> looking(xr.Dataset(attrs={"provisional": True, "good_frames": 31, "window": 12}))
    'looking: 31 of 54 frames'
    """
    good, enough = int(events.attrs.get("good_frames", 0)), frames_needed(int(events.attrs.get("window", 0)))
    return f"looking: {good} of {enough} frames" if events.attrs.get("provisional") and good < enough else ""


def announced(events: xr.Dataset) -> list[str]:
    """Say of each event that was announced when it was, how large, and how soon it was known.

    Examples
    --------
    >>> one = {"time": [206.0], "frame": [412], "announced": [427], "drop": [0.0812], "flags": [""]}
    >>> announced(xr.Dataset({k: ("event", v) for k, v in one.items()}))
    ['event at frame 412 (206.0 s), D 0.081, announced 15 frames later']
    """
    return [_said(events.isel(event=k)) for k in range(events.sizes["event"])]


def _said(one: xr.Dataset) -> str:
    what = one["flags"].item() or "event"
    later = int(one["announced"]) - int(one["frame"])
    return f"{what} at frame {int(one['frame'])} ({float(one['time']):.1f} s), D {float(one['drop']):.2g}, announced {later} frames later"
