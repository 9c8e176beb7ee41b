"""What the search does not call an event and a reader must know: jumps of the beam, modules that restart, frames left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import artefacts
from xcdi.schema import NOT_AVALANCHES
from xcdi.stages.detection import Found
from xcdi.stages.measurement import EXPLAINED, Series

__all__ = ["left_out", "rows", "told"]

BESIDE = 3  # frames from an event within which a change of brightness is its own
SIDE = 12  # frames before a dark module
MOST = 6  # stretches of frames that are named


def rows(found: Found, series: Series, correlation: xr.Dataset) -> xr.Dataset:
    """Rows of EVENTS for what is none, with the flags "beam" and "module".

    Returns
    -------
    Dataset
        `time`, `frame`, `first_frame`, `last_frame`, `score`, `frames_before`, `frames_after`, `brightness_step`, `brightness_error`,
        `duration`, `duration_resolved`, `flags`. "beam": brightness, or the monitor, jumps while the pattern stays.
        "module": for some frames the counts of a rectangle change by one factor; only where the correlation kept these frames.
    """
    each = sorted([*_jumps(found, series, correlation), *_restarts(series, correlation)], key=lambda row: row["frame"])
    units = {"time": "s", "duration": "s", "flags": "", "duration_resolved": ""}
    names = list(each[0]) if each else ["frame"]
    return xr.Dataset({name: ("event", np.array([row[name] for row in each]), {"units": units.get(name, "1")}) for name in names})


def _jumps(found: Found, series: Series, correlation: xr.Dataset) -> list[dict[str, Any]]:
    """Jumps of the brightness or of the monitor away from all events."""
    seen = series.movie
    brightness = seen.frames[:, seen.valid].sum(axis=1, dtype=np.float64)
    levels = [brightness] + ([correlation.monitor.values.astype(float)] if "monitor" in correlation else [])
    listed: dict[int, float] = {}
    for level in levels:
        for frame, score in zip(*artefacts.jumps(np.nan_to_num(level), seen.ok), strict=True):
            apart = [abs(frame - other) for other in listed]
            inside = (found.changes.first - BESIDE <= frame) & (frame <= found.changes.last + BESIDE)
            if not inside.any() and min(apart, default=SIDE) >= SIDE:
                listed[int(frame)] = float(score)
    return [_row(series, frame, frame, score, "beam", brightness) for frame, score in listed.items()]


def _restarts(series: Series, correlation: xr.Dataset) -> list[dict[str, Any]]:
    """Stretches of frames that the correlation trusts and brightness does not, in which a rectangle alone differs."""
    seen = series.movie
    trusted = correlation.frame_ok.values.astype(bool) if "frame_ok" in correlation else np.ones(seen.ok.size, bool)
    found = []
    for start, stop in _stretches(trusted & ~seen.ok):
        before = series.good[series.good < start][-SIDE:]
        during = seen.frames[start:stop]
        if before.size and during[:, seen.valid].any():
            block = artefacts.block(seen.frames[before], during, seen.valid)
            if block.explained > EXPLAINED:
                brightness = seen.frames[:, seen.valid].sum(axis=1, dtype=np.float64)
                found.append(_row(series, start, stop, block.score, "module", brightness))
    return found


def _stretches(flag: np.ndarray) -> list[tuple[int, int]]:
    """Half-open stretches in which `flag` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flag, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _row(series: Series, first: int, last: int, score: float, flag: str, brightness: np.ndarray) -> dict[str, Any]:
    """One row; the step of the brightness is that of the counts themselves, whatever the monitor says."""
    before, after = series.good[series.good < first][-SIDE:], series.good[series.good >= last][:SIDE]
    step = artefacts.brightness_step(brightness[before], brightness[after], photons=float(brightness[series.good].mean()))
    frame_time = float(np.median(np.diff(series.movie.time)))
    return {
        "time": float(series.movie.time[first]),
        "frame": first,
        "first_frame": first,
        "last_frame": last,
        "score": score,
        "frames_before": before.size,
        "frames_after": after.size,
        "brightness_step": step.step,
        "brightness_error": step.error,
        "duration": max(last - first, 1) * frame_time,
        "duration_resolved": last - first > 1,
        "flags": flag,
    }


def left_out(ok: np.ndarray) -> str:
    """Which frames were not used, in words.

    Examples
    --------
    >>> left_out(np.array([True, False, False, True, False]))
    '3 of 5 frames: 1-2, 4'
    """
    stretches = _stretches(~ok)
    named = ", ".join(str(a) if b - a == 1 else f"{a}-{b - 1}" for a, b in stretches[:MOST])
    more = f" and {len(stretches) - MOST} more stretches" if len(stretches) > MOST else ""
    return f"{int((~ok).sum())} of {ok.size} frames: {named}{more}" if stretches else "none"


def told(flags: Sequence[str] | np.ndarray) -> str:
    """How many events are none of the sample, by the words in their flags.

    Examples
    --------
    >>> told(["rigid", "", "tilt, short window", "rigid"])
    '2 rigid, 1 tilt'
    """
    words = [word for flag in flags for word in str(flag).split(", ")]
    return ", ".join(f"{words.count(word)} {word}" for word in NOT_AVALANCHES if word in words) or "none"
