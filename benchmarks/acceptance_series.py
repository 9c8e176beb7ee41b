"""Measures of series: events found and their sizes, the shift of the whole pattern, and the boundary that an event is ascribed to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import io
from xcdi.artificial.compared import Compared
from xcdi.artificial.score_attribution import ascribed
from xcdi.artificial.score_events import hear
from xcdi.artificial.verdict import Truth
from xcdi.kernels.avalanches import patterns, sizes
from xcdi.stages import avalanches
from xcdi.stages.series import movie
from xcdi.stages.series_correlation import Correlating, correlate

__all__ = ["attribution", "events", "shifts"]

WINDOW = 12


def events(bench: Any) -> dict[str, Any]:
    """Find the events of a series, as `superlattice` does, and list them beside the true ones."""
    correlation = correlate(io.open_scan(bench.raw, "particle_series", bench.beamline), Correlating())
    found = avalanches.find_events(correlation)
    return {"found": {**_columns(found), "brighter": _brighter(found, correlation)}, "true": true_events(bench), "frames": _frames(bench)}


def _columns(found: xr.Dataset) -> dict[str, Any]:
    names = ("frame", "drop", "drop_whitened", "drop_error", "drop_internal", "shift_row", "shift_column", "flags")
    return {name: [str(flag) for flag in found[name].values] if name == "flags" else found[name].values for name in names}


def _brighter(found: xr.Dataset, correlation: xr.Dataset) -> list[float]:
    """Relative change of the pattern's brightness across each event; the monitor is not used, as the beam of bare series is steady."""
    mean = correlation.mean_count.values[0]
    good = np.flatnonzero(correlation.frame_ok.values)
    steps = []
    for first, last in zip(found.first_frame.values, found.last_frame.values, strict=True):
        before, after = good[good < first][-WINDOW:], good[good >= last][:WINDOW]
        steps.append(float(mean[after].mean() / mean[before].mean() - 1) if min(before.size, after.size) else float("nan"))
    return steps


def true_events(bench: Any) -> dict[str, Any]:
    """Frame, kind, sizes and grains of the true events."""
    with h5py.File(bench.truth, "r") as file:
        group = file["events"]
        wanted = ("frame", "fraction", "phase", "i", "j", "moving", "drop_N3", "drop_N5")
        numbers = {name: group[name][()] for name in wanted if name in group}
        empty = {name: [] for name in ("drop_N3", "drop_N5") if name not in numbers}
        return {**numbers, **empty, "kind": [kind.decode() for kind in group["kind"][()]]}


def _frames(bench: Any) -> int:
    return int(bench.config["frames"])


def shifts(bench: Any) -> dict[str, Any]:
    """Measure the shift of the pattern between windows of 12 frames, as of events, where the true one is known."""
    correlation = correlate(io.open_scan(bench.raw, "particle_series", bench.beamline), Correlating())
    seen = movie(correlation)
    good = np.flatnonzero(seen.ok)
    mean = seen.frames[good].mean(axis=0, dtype=np.float64)
    weights = sizes.noise_weights(mean, seen.valid)
    relative = seen.frames / patterns.frame_scale(seen.frames, seen.valid, seen.ok)[:, None, None]
    with h5py.File(bench.truth, "r") as file:
        moved = file["motion/shift"][()]
    middle = int(np.searchsorted(good, _frames(bench) // 2))
    errors, true = [], []
    for start in _starts(good.size, middle):
        before, after = good[start : start + WINDOW], good[start + WINDOW : start + 2 * WINDOW]
        found = sizes.measure_event(relative[before], relative[after], seen.valid, weights).shift_px
        true.append(moved[after].mean(axis=0) - moved[before].mean(axis=0))
        errors.append(np.array(found) - true[-1])
    across = list(_starts(good.size, middle)).index(middle - WINDOW)
    return {"errors_px": np.array(errors), "moved_px": np.array(true), "step_error_px": errors[across]}


def _starts(count: int, middle: int) -> range:
    """First frames of pairs of windows, one pair after the other; the step at `middle` falls between the two windows of one."""
    return range((middle - WINDOW) % (2 * WINDOW), count - 2 * WINDOW + 1, 2 * WINDOW)


def attribution(bench: Any) -> dict[str, Any]:
    """Image the particle, find the events of its series, and ask the judge which are ascribed to the right boundary; all, however small."""
    path = bench.analyse("superlattice", "particle")
    with h5py.File(path, "r") as file, h5py.File(bench.truth, "r") as true:
        seen = Compared([file], Truth(true))
        heard = hear(seen)
        told = ascribed(seen, replace(heard, light=heard.light._replace(drop=0.0))) if heard else []
        grade, overlap = seen.grade, float(seen.image.overlap)
    return {"rank": [one.rank for one in told], "moved": [one.moved for one in told], "grade": grade, "overlap": overlap}
