"""Many catalogues of events as one: what counts as an avalanche, from which size on a series is complete, how time was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches.events import merges_below
from xcdi.schema import is_avalanche

__all__ = ["Pool", "errors", "exposure", "fraction", "pool", "select", "values", "whose"]

ERRORS = {"drop": "drop_error", "drop_internal": "internal_error", "drop_whitened": "whitened_error", "fraction": "fraction_error"}


class Pool(NamedTuple):
    """Avalanches of every series.

    Attributes
    ----------
    series : tuple of Dataset
        EVENTS that are avalanches of positive size, in order of time.
    size : str
        Column that is their size.
    complete : array, shape (series,)
        Size from which a series finds all events; NaN where it does not say, infinite where it finds none of any size.
    frame_time : array, shape (series,)
        [s]; 0 where no frame is known.
    dead : array, shape (series,)
        Events nearer than this were merged [s].
    window : array, shape (series,)
        Frames of the search on either side; 0 where none is known.
    length : array, shape (series,)
        How long each series lasted [s]; NaN where it does not say.
    exposure : array, shape (series,)
        How long each was looked at [s]: its good frames alone.
    """

    series: tuple[xr.Dataset, ...]
    size: str
    complete: np.ndarray
    frame_time: np.ndarray
    dead: np.ndarray
    window: np.ndarray
    length: np.ndarray
    exposure: np.ndarray


def pool(catalogues: Sequence[xr.Dataset], size: str) -> Pool:
    """Put catalogues together.

    Raises
    ------
    XcdiError
        If there is none.
    SchemaError
        If one lacks the time or the size of its events.
    """
    if not catalogues:
        raise XcdiError("no events to count; give one result with events, or more")
    frame_time = np.array([_frame_time(ds) for ds in catalogues])
    window = np.array([int(ds.attrs.get("window", 0)) for ds in catalogues])
    dead = np.array([_apart(ds) for ds in catalogues]) * frame_time
    complete = np.array([_complete(ds, size) for ds in catalogues])
    length = np.array([float(ds.attrs.get("duration_s", np.nan)) for ds in catalogues])
    seen = np.array([exposure(ds) for ds in catalogues])
    return Pool(tuple(_usable(ds, size) for ds in catalogues), size, complete, frame_time, np.maximum(dead, 0), window, length, seen)


def select(found: Pool, keep: np.ndarray) -> Pool:
    """Return some of the series, `keep` of shape (series,) being true."""
    arrays = {name: value[keep] for name, value in found._asdict().items() if isinstance(value, np.ndarray)}
    return found._replace(series=tuple(ds for ds, one in zip(found.series, keep, strict=True) if one), **arrays)


def exposure(events: xr.Dataset) -> float:
    """Time [s] that a series was looked at: that of its good frames. NaN where it does not say how long it lasted.

    Examples
    --------
    >>> exposure(xr.Dataset({"score_trace": ("series_frame", np.zeros(100))}, attrs={"duration_s": 50.0, "good_frames": 80}))
    40.0
    """
    length, frames = float(events.attrs.get("duration_s", np.nan)), events.sizes.get("series_frame", 0)
    return length * min(float(events.attrs.get("good_frames", frames)) / frames, 1.0) if frames else length


def _apart(events: xr.Dataset) -> int:
    """Frames below which two events are one, as the search says; of searches that do not say, that of the default detector."""
    window = int(events.attrs.get("window", 0))
    return int(events.attrs.get("separation", merges_below(window) if window else 0))


def values(found: Pool, column: str = "") -> np.ndarray:
    """Sizes, or another column, of all avalanches, one series after the other; NaN where a series lacks the column."""
    parts = [ds[column].values if column in ds else np.full(ds.sizes["event"], np.nan) for ds in found.series] if column else []
    return np.concatenate(parts or [ds[found.size].values for ds in found.series] or [np.zeros(0)]).astype(float)


def whose(found: Pool) -> np.ndarray:
    """Number of the series of every avalanche."""
    return np.repeat(np.arange(len(found.series)), [ds.sizes["event"] for ds in found.series])


def errors(found: Pool) -> np.ndarray:
    """Standard errors of all sizes; NaN where nobody says."""
    error = values(found, ERRORS[found.size])
    if found.size == "fraction":
        drops = np.clip(values(found, "drop"), 0, 0.99)
        error = np.where(np.isfinite(error), error, values(found, "drop_error") / (2 * np.sqrt(1 - drops)))
    return error


def fraction(ds: xr.Dataset) -> np.ndarray:
    """Equivalent fraction of every event: as measured, or 1 - sqrt(1 - drop); of what has neither, its size."""
    if "fraction" in ds:
        return np.asarray(ds["fraction"].values, float)
    return 1 - np.sqrt(1 - np.clip(ds["drop"].values, 0, 1)) if "drop" in ds else np.zeros(ds.sizes["event"])


def _usable(events: xr.Dataset, size: str) -> xr.Dataset:
    """Events of positive size that are neither artefacts nor rigid motion."""
    for name in ("time", size):
        if name not in events:
            raise SchemaError(
                f"statistics of {size!r} need the column {name!r}, and the events have {', '.join(map(str, events.data_vars))}"
            )
    keep = np.isfinite(events[size].values) & (events[size].values > 0)
    if "flags" in events:
        keep &= is_avalanche(events["flags"].values)
    return events.isel(event=np.flatnonzero(keep)).sortby("time")


def _frame_time(events: xr.Dataset) -> float:
    """Time [s] of one frame of the series that was searched; 0 where there was none."""
    length = float(events.attrs.get("duration_s", np.nan))
    frames = events.sizes.get("series_frame", int(events.attrs.get("good_frames", 0)))
    return length / (frames - 1) if frames > 1 and np.isfinite(length) else 0.0


def _complete(events: xr.Dataset, size: str) -> float:
    """Size from which all events are found; it is stated as a drop, which says nothing of a whitened one."""
    drop = float(events.attrs.get("completeness", np.nan))
    if size == "drop_whitened" and np.isfinite(drop):
        return float("nan")
    return 1 - float(np.sqrt(max(1 - drop, 0.0))) if size == "fraction" and np.isfinite(drop) else drop
