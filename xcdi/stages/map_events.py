"""Stage: sudden changes in a two-time correlation alone, without the frames behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import events as scan
from xcdi.kernels.avalanches import false_alarms as alarms
from xcdi.kernels.avalanches import map_steps
from xcdi.stages.detection import SURROGATES, too_short

__all__ = ["find", "told"]

DETECTOR = "detrended two-window scan of C - 1, confirmed at equal lag"


def find(correlation: xr.Dataset, *, window: int = 12, false_alarms: float = 0.2, region: int = 0, seed: int = 0) -> xr.Dataset:
    """Find the frames of a two-time correlation across which it drops at once.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `two_time` (region, time, time2); rows of bad frames NaN, the diagonal never used.
    window : int
        Good frames on either side.
    false_alarms : float
        False alarms of noise wanted in 10 000 frames.
    region : int
    seed : int
        Seed of the surrogates.

    Returns
    -------
    Dataset
        EVENTS: `time`, `frame`, `score`, `drop` with `drop_error` (part of the correlation that is lost at equal lag),
        `false_alarm_rate`; `score_trace` of every frame. Attributes: `threshold`, `false_alarms_expected` in this map,
        `smallest_expected` (the drop whose score is the threshold: above 1 none would be seen), `strongest_frame`,
        `strongest_score`, `strongest_rate` of what stands out most, significant or not. Without pixels, what moved
        rigidly and what is an artefact cannot be told.

    Raises
    ------
    XcdiError
        If there are too few frames for the window, a good frame has values that are none, or the map holds no noise.
    """
    c = correlation["two_time"].values[region]
    ok = _ok(c)
    if int(ok.sum()) < scan.frames_needed(window):
        raise XcdiError(too_short(int(ok.sum()), ok.size, window))
    try:
        steps = map_steps.find(c, ok, window=window, false_alarms=false_alarms, seed=seed)
    except ValueError as error:
        raise XcdiError(str(error)) from error
    return _table(correlation, steps, ok, window=window, false_alarms=false_alarms, seed=seed)


def _ok(c: Array) -> Array:
    """Frames that have values; one that has some only is refused."""
    off = ~np.eye(len(c), dtype=bool)
    known = np.isfinite(c) & off
    ok = np.asarray(known.any(axis=1))
    holes = np.flatnonzero(ok & (known.sum(axis=1) < ok.sum() - 1))
    if holes.size:
        row = int(holes[0])
        raise XcdiError(f"frame {row} has {int(known[row].sum())} values of {int(ok.sum()) - 1}; leave out frames that lack some")
    return ok


def _table(correlation: xr.Dataset, steps: map_steps.Steps, ok: Array, *, window: int, false_alarms: float, seed: int) -> xr.Dataset:
    found, time = steps.found, correlation["time"]
    unit = str(time.attrs.get("units", "frame"))

    def column(values: Any, units: str) -> tuple[str, Array, dict[str, str]]:
        return "event", np.asarray(values), {"units": units}

    flags = np.where(found.merged, "possibly merged", "").astype(str)
    table = xr.Dataset(
        {
            "time": column(time.values[found.frame], unit),
            "frame": column(found.frame, "1"),
            "first_frame": column(found.first, "1"),
            "last_frame": column(found.last, "1"),
            "score": column(found.score, "1"),
            "drop": column(steps.drop, "1"),
            "drop_error": column(steps.drop_error, "1"),
            "false_alarm_rate": column(found.false_alarm_rate, "1"),
            "flags": column(flags, ""),
            "score_trace": ("series_frame", found.trace, {"units": "1"}),
        }
    )
    searched = int(ok.sum()) - 2 * scan.SHORTEST
    best = int(np.nanargmax(steps.standing))
    return table.assign_attrs(
        detector=DETECTOR,
        window=window,
        threshold=found.threshold,
        false_alarms_per_10000=false_alarms,
        false_alarms_expected=false_alarms * searched / alarms.PER,
        surrogates=SURROGATES,
        separation=scan.merges_below(window),
        smallest_expected=steps.visible,
        strongest_frame=best,
        strongest_score=float(steps.standing[best]),
        strongest_rate=float(max(steps.noise.tail.rate(steps.standing[best]), steps.own.rate(steps.standing[best]))),
        good_frames=int(ok.sum()),
        duration_s=float(np.ptp(time.values)) if unit == "s" else float("nan"),
        seed=seed,
    )


def told(events: xr.Dataset) -> list[str]:
    """Lines that say what :func:`find` found, with the rate of false alarms; or that nothing is significant."""
    attrs = events.attrs
    rate, number = attrs["false_alarms_per_10000"], attrs["false_alarms_expected"]
    bar = f"noise alone gives {rate:g} per 10 000 frames, {number:.2g} expected in these {attrs['good_frames']}"
    if not events.sizes["event"]:
        best, common = attrs["strongest_frame"], attrs["strongest_rate"]
        many = common * number / rate
        highest = f"what stands out most, at frame {best}, has score {attrs['strongest_score']:.1f} of {attrs['threshold']:.1f}"
        lines = [
            f"events: none is significant ({bar})",
            f"  {highest}; noise does that {common:.2g} times per 10 000 frames, {many:.2g} here",
        ]
    else:
        lines = [f"events: {events.sizes['event']} ({bar})", *(_line(events.isel(event=k)) for k in range(events.sizes["event"]))]
    return [*lines, f"  smallest drop visible with windows of {attrs['window']}: {_smallest(attrs['smallest_expected'])}"]


def _line(event: xr.Dataset) -> str:
    """One event."""
    unit = str(event["time"].attrs["units"])
    when = f" ({float(event['time']):g} s)" if unit == "s" else ""
    drop = f"drop {float(event['drop']):.3f} ± {float(event['drop_error']):.3f}"
    rate = f"noise alone: {float(event['false_alarm_rate']):.2g} per 10 000 frames"
    return f"  frame {int(event['frame'])}{when}  {drop}  score {float(event['score']):.1f}  {rate}  {event['flags'].item()}".rstrip()


def _smallest(drop: float) -> str:
    return f"D = {drop:.2g}" if drop < 1 else "none, the noise of this map hides even a complete change"
