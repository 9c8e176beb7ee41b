"""Avalanches, labelled: events in a correlation series, where they happened, and the statistics of many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import patterns, sizes
from xcdi.stages.attribution import attribute, series_offset
from xcdi.stages.catalogues import statistics
from xcdi.stages.detection import Found, search, sides
from xcdi.stages.series import Movie, movie

__all__ = ["attribute", "find_events", "series_offset", "statistics"]

NORMALISATIONS = {"N4": sizes.covariance_weights, "N5": sizes.noise_weights}
RINGS = ("inner", "middle", "outer")
RING_EDGES = (1.5, 4.0)  # fringes
FRINGE = 0.6  # of the width of a speckle, which adds grains of different size
MOVED_PX = 0.1  # least shift that is called motion
UNDONE = 0.03  # part of the drop that may be left when undoing a rigid motion on a grid of pixels


def find_events(
    correlation: xr.Dataset,
    *,
    window: int = 12,
    false_alarms: float = 0.2,
    longest: int = 18,
    normalisation: Literal["N4", "N5"] = "N5",
    seed: int = 0,
) -> xr.Dataset:
    """Find and measure the sudden changes in a series of speckle patterns.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `counts` (time, pixel), `pixel_y`, `pixel_x`, `time`; bad
        frames in `frame_ok` (time) or the attribute `bad_frames`.
    window : int
        Good frames on either side in the search.
    false_alarms : float
        Wanted false alarms of photon noise in 10 000 frames.
    longest : int
        Most frames on either side in the measurement.
    normalisation : {"N4", "N5"}
        Weights of the drop: covariance, or counts over their envelope weighed by noise.
    seed : int
        Seed of the surrogates behind the threshold.

    Returns
    -------
    Dataset
        EVENTS. `strain_step` and `rotation_step` [deg, about the beam] are there if the
        correlation has the attributes `q_peak` [1/nm], `dq` (row and column step, 1/nm)
        and `centre_px` of the direct beam, and no circle carries the detector.
        The text `flags` says "possibly merged" (a second step nearer than half a
        window), "rigid" (the pattern moved as a whole), "artefact" (a few pixels
        alone), "short window". A slip by a lattice vector is invisible.

    Raises
    ------
    XcdiError
        If fewer good frames are left than a threshold needs.
    """
    found = search(movie(correlation), window, false_alarms, seed)
    rows = [_measure(found, k, longest, normalisation, window) for k in range(len(found.changes.frame))]
    ds = _table(found, rows)
    trace = xr.DataArray(found.changes.trace, dims="series_frame", attrs={"units": "1"})
    kept = {k: v for k, v in correlation.attrs.items() if k in ("scan", "beamline", "source")}
    ds = ds.assign({"score_trace": trace, **_rigid_strain(ds, correlation, _peak(found.movie))})
    return ds.assign_attrs(
        **kept,
        detector="detrended two-window scan of smoothed speckle patterns",
        normalisation=normalisation,
        window=window,
        threshold=found.changes.threshold,
        false_alarms_per_10000=false_alarms,
        good_frames=int(found.movie.ok.sum()),
        duration_s=float(np.ptp(found.movie.time)) if found.movie.time.size else 0.0,
        speckle_px=found.speckle_px,
        completeness=_completeness(ds, found.changes.threshold),
        seed=seed,
    )


class Row(NamedTuple):
    """One measured event."""

    size: sizes.Size
    before: int
    after: int
    flags: str


def _measure(found: Found, k: int, longest: int, normalisation: str, window: int) -> Row:
    seen = found.movie
    good = np.flatnonzero(seen.ok)
    before, after = sides(found.changes, k, good, longest)
    scale = patterns.frame_scale(seen.frames, seen.valid, seen.ok)
    pre, post = (seen.frames[part] / scale[part, None, None] for part in (before, after))
    mean = seen.frames[good].mean(axis=0, dtype=np.float64)
    weighting = NORMALISATIONS[normalisation](mean, seen.valid)
    size = sizes.measure_event(pre, post, seen.valid, weighting, rings=_rings(seen, found.speckle_px))
    short = min(before.size, after.size) < window // 2
    return Row(size, before.size, after.size, _flags(size, bool(found.artefact[k]), bool(found.changes.merged[k]), short))


def _flags(size: sizes.Size, artefact: bool, merged: bool, short: bool) -> str:
    moved = float(np.hypot(*size.shift_px)) > MOVED_PX and size.drop > 3 * size.drop_error
    rigid = moved and size.drop_internal < max(3 * size.internal_error, UNDONE * size.drop)
    words = {"artefact": artefact, "rigid": rigid, "possibly merged": merged, "short window": short}
    return ", ".join(word for word, so in words.items() if so)


def _peak(seen: Movie) -> tuple[float, float]:
    """Row and column of the brightest place of the mean pattern, in the image."""
    smooth = patterns.smooth_valid(seen.frames[seen.ok].mean(axis=0, dtype=np.float64), seen.valid, 2.0)
    row, column = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    return float(row), float(column)


def _rings(seen: Movie, speckle_px: float) -> np.ndarray:
    """Annulus of every pixel about the peak: nearer than 1.5 fringes, between, farther than 4."""
    row, column = _peak(seen)
    y, x = np.indices(seen.valid.shape)
    return np.digitize(np.hypot(y - row, x - column) / (FRINGE * speckle_px), RING_EDGES)


def _table(found: Found, rows: Sequence[Row]) -> xr.Dataset:
    """EVENTS from the measured rows."""
    changes = found.changes

    def column(values: Any, units: str, dtype: Any = np.float64) -> xr.DataArray:
        return xr.DataArray(np.array(values, dtype).reshape(len(rows)), dims="event", attrs={"units": units})

    sized = {name: column([getattr(r.size, name) for r in rows], "1") for name in sizes.Size._fields[:5]}
    rings = {f"drop_{name}": column([r.size.drop_by_ring[i] for r in rows], "1") for i, name in enumerate(RINGS)}
    shifts = {f"shift_{name}": column([r.size.shift_px[i] for r in rows], "pixel") for i, name in enumerate(("row", "column"))}
    return xr.Dataset(
        {
            "time": column(found.movie.time[changes.frame], "s"),
            "frame": column(changes.frame, "1", np.int64),
            "first_frame": column(changes.first, "1", np.int64),
            "last_frame": column(changes.last, "1", np.int64),
            "score": column(changes.score, "1"),
            **sized,
            **rings,
            **shifts,
            "frames_before": column([r.before for r in rows], "1", np.int64),
            "frames_after": column([r.after for r in rows], "1", np.int64),
            "flags": column([r.flags for r in rows], "", str),
        }
    )


def _rigid_strain(ds: xr.Dataset, correlation: xr.Dataset, peak: tuple[float, float]) -> dict[str, xr.DataArray]:
    """Uniform strain and rotation about the beam that the shifts of the pattern mean, if its place in reciprocal space is known."""
    if not {"q_peak", "dq", "centre_px"} <= set(correlation.attrs) or _has_arm(correlation):
        return {}
    length = float(np.linalg.norm(np.atleast_1d(correlation.attrs["q_peak"])))
    step = np.broadcast_to(np.asarray(correlation.attrs["dq"], np.float64), (2,))
    corner = np.array([correlation.pixel_y.values.min(), correlation.pixel_x.values.min()], np.float64)
    out = (np.array(peak) + corner - np.asarray(correlation.attrs["centre_px"], np.float64)) * step
    out /= np.linalg.norm(out)
    moved = np.stack([ds.shift_row.values, ds.shift_column.values], axis=-1) * step
    strain = xr.DataArray(-(moved @ out) / length, dims="event", attrs={"units": "1"})
    turn = xr.DataArray(np.degrees(moved @ np.array([-out[1], out[0]]) / length), dims="event", attrs={"units": "deg"})
    return {"strain_step": strain, "rotation_step": turn}


def _has_arm(correlation: xr.Dataset) -> bool:
    """True if circles carry the detector: `centre_px` is then their axis and not the direct beam, away from which q grows."""
    return bool(json.loads(correlation.attrs.get("geometry", "{}")).get("detector"))


def _completeness(ds: xr.Dataset, threshold: float) -> float:
    """Drop above which nine in ten events of this series would pass the threshold; NaN with fewer than 5 events."""
    usable = (ds["drop"].values > 0) & (ds["flags"].values == "")
    if usable.sum() < 5:
        return float("nan")
    return float(np.quantile((ds["drop"].values / ds["score"].values)[usable], 0.9) * threshold)
