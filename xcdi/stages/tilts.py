"""Steps of the particle's tilt, told from slips by the measured rocking scan: they show its neighbouring plane."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.kernels.avalanches import artefacts, patterns
from xcdi.schema import EVENTS, PEAK, is_avalanche, require
from xcdi.stages.event_sides import sides
from xcdi.stages.not_events import told
from xcdi.stages.series import Movie, movie

__all__ = ["flag_tilts"]

EXPLAINED = 0.7  # part of what a tilt of the changed particle could explain that it must explain
ALIKE = 0.75  # correlation with the rocking scan below which nothing can be told
REACH = 1.5  # frames of the rocking scan
LEAST = 3  # frames on either side


def flag_tilts(events: xr.Dataset, correlation: xr.Dataset, peak: xr.Dataset, *, offset: float, longest: int = 18) -> xr.Dataset:
    """Flag the events that a turn of the particle about the rocking axis explains.

    Such a turn moves no speckle on the detector, so registration cannot tell it; it changes the pattern into the one that the rocking
    scan has measured at a neighbouring angle.

    Parameters
    ----------
    events : EVENTS
    correlation : CORRELATION
        Of the same series, with its counts.
    peak : PEAK
        `counts`, `valid`, `rocking` [deg] and the attribute ``box``, from a rocking scan of the same particle.
    offset : float
        Angle of the series, in steps of the rocking scan from the middle frame n // 2: :func:`xcdi.stages.attribution.series_offset`.
    longest : int
        Most frames on either side of an event.

    Returns
    -------
    EVENTS
        With "tilt" in the flags of those, `tilt_step` [deg] that fits each event best and the part of its change, `tilt_explained`, that it
        explains; NaN for what is no event of the sample already, or has too few frames on a side; and the attribute
        `not_avalanches` counted anew. A particle that has changed since its
        rocking scan answers a tilt differently: where the two patterns correlate by less than 0.75 nothing is flagged.

    Raises
    ------
    SchemaError
        If the peak does not say which pixels it was cut from.
    """
    require(events, "time", "frame", schema=EVENTS)
    require(peak, "counts", "valid", "rocking", schema=PEAK)
    if "box" not in peak.attrs:
        raise SchemaError("the peak has no attribute 'box', the pixels it was cut from; take it from the same run as the object")
    seen = movie(correlation)
    box = {dim: (int(edges[0]), int(edges[1])) for dim, edges in json.loads(peak.attrs["box"]).items()}
    rocking, valid, part = _shared(seen, peak, box)
    angle = peak.sizes["frame"] // 2 + offset
    scale = patterns.frame_scale(seen.frames, seen.valid, seen.ok)
    relative = seen.frames[(slice(None), *part)] / scale[:, None, None]
    found = [
        artefacts.tilt(relative[before], relative[after], valid, rocking, angle, reach=REACH)
        if min(before.size, after.size) >= LEAST
        else artefacts.Tilt(*3 * (float("nan"),))
        for before, after in _sides(events, seen, longest)
    ]
    return _labelled(events, found, float(np.mean(np.diff(peak.rocking.to_numpy()))))


def _shared(seen: Movie, peak: xr.Dataset, box: dict[str, tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Rocking scan, valid pixels, and the part of the movie, on the pixels that both have."""
    of_movie, of_peak = [], []
    for k, dim in enumerate(("y", "x")):
        low = max(box[dim][0], seen.corner[k])
        high = max(min(box[dim][1], seen.corner[k] + seen.valid.shape[k]), low)
        of_movie.append(slice(low - seen.corner[k], high - seen.corner[k]))
        of_peak.append(slice(low - box[dim][0], high - box[dim][0]))
    counts, known = (peak[name].transpose("frame", "y", "x").to_numpy()[:, of_peak[0], of_peak[1]] for name in ("counts", "valid"))
    valid = seen.valid[of_movie[0], of_movie[1]] & known.all(axis=0)
    return counts.astype(np.float64), valid, (of_movie[0], of_movie[1])


def _sides(events: xr.Dataset, seen: Movie, longest: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Good frames on the two sides of each event, none of what is no event already."""
    good, own = np.flatnonzero(seen.ok), is_avalanche(events["flags"].values)
    for k in range(own.size):
        yield sides(events, k, good, longest) if own[k] else (good[:0], good[:0])


def _labelled(events: xr.Dataset, found: list[artefacts.Tilt], step: float) -> xr.Dataset:
    explained = np.array([one.explained for one in found], np.float64)
    tilted = [one.likeness > ALIKE and one.explained > EXPLAINED * one.likeness**2 for one in found]
    flags = [
        ", ".join(word for word in ("tilt" if so else "", str(told)) if word)
        for so, told in zip(tilted, events["flags"].values, strict=True)
    ]
    return events.assign(
        tilt_step=("event", step * np.array([one.step for one in found], np.float64), {"units": "deg"}),
        tilt_explained=("event", explained, {"units": "1"}),
        flags=("event", np.array(flags, str), events["flags"].attrs),
    ).assign_attrs(not_avalanches=told(flags))
