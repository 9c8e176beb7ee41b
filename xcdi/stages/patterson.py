"""Quick look: the vectors between what moved in an event and what did not, without a crystal."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.kernels.avalanches import patterns, patterson
from xcdi.schema import EVENTS, require
from xcdi.stages.event_sides import sides
from xcdi.stages.series import movie

__all__ = ["difference_patterson"]

LEAST = 2  # frames on either side


def difference_patterson(events: xr.Dataset, correlation: xr.Dataset, *, longest: int = 12, reach_nm: float = 1500.0) -> xr.Dataset:
    """Map the difference Patterson of every event.

    Parameters
    ----------
    events : EVENTS
    correlation : CORRELATION
        Of the same series, with its counts and the attribute `dq` (row and column step, 1/nm).
    longest : int
        Most frames on either side.
    reach_nm : float
        Longest vector shown; the particle's size is enough.

    Returns
    -------
    Dataset
        `patterson` (event, row_nm, column_nm): magnitude over that of photon noise alone, float32, NaN for an event with
        fewer than 2 frames on a side; `time` and `frame` of the events. Along rows and columns of the detector, projected along the beam.

    Notes
    -----
    The map is the same at opposite vectors, and the nearest of a change of brightness stand out in the middle. It says how far
    from the rest something moved, not where: attribution with a crystal does.
    """
    require(events, "time", "frame", schema=EVENTS)
    if "dq" not in correlation.attrs:
        raise SchemaError("the correlation has no attribute 'dq', the steps of its pixels in 1/nm; state the geometry in the beamline file")
    seen = movie(correlation)
    scale = patterns.frame_scale(seen.frames, seen.valid, seen.ok)
    steps = [2 * np.pi / (n * float(dq)) for n, dq in zip(seen.valid.shape, correlation.attrs["dq"], strict=True)]
    lags = [np.arange(n) - n // 2 for n in seen.valid.shape]
    near = [np.abs(lag * step) <= reach_nm for lag, step in zip(lags, steps, strict=True)]
    maps = np.full((events.sizes["event"], *(int(part.sum()) for part in near)), np.nan, np.float32)
    for k in range(len(maps)):
        before, after = sides(events, k, np.flatnonzero(seen.ok), longest)
        if min(before.size, after.size) >= LEAST:
            pre, post = (seen.frames[part] / scale[part, None, None] for part in (before, after))
            maps[k] = _over_noise(pre, post, seen.valid)[np.ix_(*near)]
    coords = {f"{name}_nm": (f"{name}_nm", (lag * step)[part], {"units": "nm"}) for name, lag, step, part in _axes(lags, steps, near)}
    patterson_map = (("event", "row_nm", "column_nm"), maps, {"units": "1", "long_name": "difference Patterson over photon noise"})
    return xr.Dataset({"patterson": patterson_map, "time": events.time, "frame": events.frame}, coords=coords)


def _axes(lags: list[np.ndarray], steps: list[float], near: list[np.ndarray]) -> zip[tuple[str, np.ndarray, float, np.ndarray]]:
    return zip(("row", "column"), lags, steps, near, strict=True)


def _over_noise(pre: np.ndarray, post: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Magnitude of the map in units of what photon noise gives."""
    means = pre.mean(axis=0), post.mean(axis=0)
    variance = float((means[0] / len(pre) + means[1] / len(post))[valid].sum())
    return np.abs(patterson.difference(*means, valid)) * valid.size / max(np.sqrt(variance), 1e-300)
