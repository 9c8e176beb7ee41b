"""Avalanches, labelled: events in a correlation series, where they happened, and the statistics of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.stages import completeness, detection, measurement, not_events
from xcdi.stages.attribution import attribute, series_offset
from xcdi.stages.catalogues import statistics
from xcdi.stages.detection import Detector, Found
from xcdi.stages.measurement import Normalisation, Series
from xcdi.stages.series import movie

__all__ = ["attribute", "find_events", "series_offset", "statistics"]


def find_events(
    correlation: xr.Dataset,
    *,
    detector: Detector = "scan",
    window: int = 12,
    false_alarms: float = 0.2,
    longest: int = 18,
    normalisation: Normalisation = "N5",
    seed: int = 0,
) -> xr.Dataset:
    """Find and measure the sudden changes in a series of speckle patterns.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `counts` (time, pixel), `pixel_y`, `pixel_x`, `time`; bad
        frames in `frame_ok` (time) or the attribute `bad_frames`; `monitor` (time) where there is one.
    detector : {"scan", "poisson", "novelty", "kernel"}
        How they are found; see :mod:`xcdi.stages.detection`.
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
        EVENTS, one row for each, in order of time:

        drop, fraction
            ``D = 1 - rho`` and ``1 - sqrt(rho)`` with errors; `drop_internal` once the rigid shift is undone; by annulus and by sector.
            Contrast cancels and photon noise does.
        drop_whitened
            The same with every pixel's photon noise alike: the column to rank events by, as it follows the changed part of the object
            best (rank correlation near 0.8). No drop is a volume.
        anisotropy
            Drop in the azimuthal over that in the radial sector: tilts against spacings.
        region_length
            [nm], 1 / q at which the drop reaches half of its plateau. No measure of the size of a region: on simulated particles of
            four grains it does not rank the true radius, without photon noise as well.
        strain_step, rotation_step
            What the shift of the pattern means for the lattice along G and, in degrees, for its turn about the beam.
        duration
            [s], where `duration_resolved`; else the time of a frame, than which it is not known to be longer.
        return_index, returned
            Largest correlation with a stretch after the next event, in units of the contrast; part of the drop that it undoes.
        product_ratio
            Correlation across this event and the next over the product of both: 1 where they are independent. Its error is photon noise
            alone; few speckles scatter it by some 0.02 to 0.05 more.
        brightness_step
            Relative change of the pattern's intensity, over the monitor where there is one.

        Sectors and lengths are NaN, and strain and rotation absent, unless the correlation has the attributes `q_peak` [1/nm],
        `dq` (row and column step, 1/nm) and `centre_px` of the direct beam, and no circle carries the detector. The text `flags` says
        "artefact" (a few pixels alone), "module" (the gain of a rectangle), "rigid" (the pattern moved as a whole), "tilt",
        "beam" (its brightness alone jumped), "possibly merged" (a second step nearer than half a window), "short window"; the
        first five are no events of the sample, as :func:`xcdi.schema.is_avalanche` tells. A slip by a lattice vector is invisible.
        How many events of which size are found: `injected_found` (injected), and the attributes `smallest_visible` and
        `completeness`; see :func:`xcdi.stages.completeness.curve`.

    Raises
    ------
    XcdiError
        If fewer good frames are left than a threshold needs.
    """
    seen = movie(correlation)
    found = detection.search(seen, window, false_alarms, seed, detector)
    series = measurement.prepared(found, correlation, normalisation)
    found = measurement.joined(found, series)
    ds = _in_time(_table(found, series, longest), not_events.rows(found, series, correlation))
    trace = xr.DataArray(found.changes.trace, dims="series_frame", attrs={"units": "1"})
    kept = {k: v for k, v in correlation.attrs.items() if k in ("scan", "beamline", "source")}
    injected, seen_from = completeness.curve(found, ds, seed=seed)
    return ds.assign({"score_trace": trace, **injected}).assign_attrs(
        **kept,
        **detection.attributes(found),
        **_light(series),
        normalisation=normalisation,
        good_frames=int(series.good.size),
        duration_s=float(np.ptp(series.movie.time)) if series.movie.time.size else 0.0,
        speckle_px=found.speckle_px,
        **seen_from,
        not_avalanches=not_events.told(ds["flags"].values),
        left_out=not_events.left_out(series.movie.ok),
        seed=seed,
    )


def _table(found: Found, series: Series, longest: int) -> xr.Dataset:
    """EVENTS that the search found, measured."""
    changes, n = found.changes, len(found.changes.frame)
    spans = [measurement.span(found, series, k, longest) for k in range(n)]
    rows = [measurement.measured(found, series, spans, k, found.window) for k in range(n)]
    timed: dict[str, Any] = {
        "time": _column(series.movie.time[changes.frame], "s"),
        "frame": _column(changes.frame, "1", np.int64),
        "first_frame": _column([s.first for s in spans], "1", np.int64),
        "last_frame": _column([s.last for s in spans], "1", np.int64),
        "score": _column(changes.score, "1"),
    }
    sized = {name: _column([row[name] for row in rows], units) for name, units in measurement.columns(series).items()}
    sides = {f"frames_{side}": _column([getattr(s, side).size for s in spans], "1", np.int64) for side in ("before", "after")}
    told = {
        "duration_resolved": _column([row["duration_resolved"] for row in rows], "", bool),
        "flags": _column([row["flags"] for row in rows], "", str),
    }
    return xr.Dataset({**timed, **sized, **sides, **told, **detection.columns(found)})


def _column(values: Any, units: str, dtype: Any = np.float64) -> xr.DataArray:
    return xr.DataArray(np.array(values, dtype).reshape(-1), dims="event", attrs={"units": units})


def _in_time(events: xr.Dataset, others: xr.Dataset) -> xr.Dataset:
    """Both in one table, in order of time; what only one of them has is NaN in the rest."""
    if not others.sizes["event"]:
        return events
    blank = {name: ("event", np.full(others.sizes["event"], np.nan), column.attrs) for name, column in events.items()}
    filled = {name: others[name] if name in others else xr.DataArray(value[1], dims="event") for name, value in blank.items()}
    both = {name: xr.concat([column, filled[name]], "event").astype(_kind(column)) for name, column in events.items()}
    order = np.argsort(both["frame"].values, kind="stable")
    return xr.Dataset({name: column.assign_attrs(events[name].attrs) for name, column in both.items()}).isel(event=order)


def _kind(column: xr.DataArray) -> Any:
    return str if column.dtype.kind == "U" else column.dtype


def _light(series: Series) -> dict[str, float]:
    """Photons per pixel and frame, and all of them, in the good frames."""
    seen = series.movie
    total = float(seen.frames[series.good][:, seen.valid].sum(dtype=np.float64))
    return {"mean_count": total / (series.good.size * int(seen.valid.sum())), "photons": total}
