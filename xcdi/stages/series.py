"""A series as images: the counts of a correlation put back into frames, with what can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.kernels.avalanches import patterns

__all__ = ["Movie", "movie"]


class Movie(NamedTuple):
    """The series as images: counts (time, y, x), pixels and frames to trust, time [s], and the detector pixel of the first corner."""

    frames: np.ndarray
    valid: np.ndarray
    ok: np.ndarray
    time: np.ndarray
    corner: tuple[int, int]


def movie(correlation: xr.Dataset) -> Movie:
    """Put the counts of a correlation back into images.

    Raises
    ------
    SchemaError
        If the correlation does not carry the counts of its pixels.
    """
    for name, dims in {"counts": ("time", "pixel"), "pixel_y": ("pixel",), "pixel_x": ("pixel",)}.items():
        if name not in correlation or correlation[name].dims != dims:
            raise SchemaError(f"events need {name!r} {dims} of the correlation; run the correlation with its counts kept")
    y, x = correlation.pixel_y.values.astype(int), correlation.pixel_x.values.astype(int)
    corner = (int(y.min()), int(x.min()))
    shape = (int(np.ptp(y)) + 1, int(np.ptp(x)) + 1)
    values = correlation.counts.values
    frames = np.zeros((values.shape[0], *shape), values.dtype)
    frames[:, y - corner[0], x - corner[1]] = np.nan_to_num(values) if values.dtype.kind == "f" else values
    valid = np.zeros(shape, bool)
    valid[y - corner[0], x - corner[1]] = True
    ok = _frame_ok(correlation) & ~np.any(np.isnan(values) if values.dtype.kind == "f" else values[:, :0], axis=1)
    ok = patterns.steady_frames(frames, valid, ok)
    return Movie(frames, patterns.steady_pixels(frames, valid, ok), ok, correlation.time.values.astype(np.float64), corner)


def _frame_ok(correlation: xr.Dataset) -> np.ndarray:
    """Frames that are not known to be bad, by variable `frame_ok` or attribute `bad_frames`."""
    ok = correlation.frame_ok.values.astype(bool) if "frame_ok" in correlation else np.ones(correlation.sizes["time"], bool)
    ok[np.asarray(correlation.attrs.get("bad_frames", []), int)] = False
    return ok
