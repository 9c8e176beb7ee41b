"""The search for events in a series: the detectors, and the pixels that alone make an event."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import change_points, novelty, patterns, poisson_scan, sizes
from xcdi.kernels.avalanches import events as scan
from xcdi.kernels.avalanches import false_alarms as alarms
from xcdi.settings import Model
from xcdi.stages import event_sides
from xcdi.stages.series import Movie

__all__ = [
    "DETECTORS",
    "Detecting",
    "Detector",
    "Found",
    "attributes",
    "columns",
    "long_enough",
    "search",
    "sides",
    "too_short",
]

Detector = Literal["scan", "poisson", "novelty", "kernel"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)
NAMES: dict[Detector, str] = {
    "scan": "detrended two-window scan of smoothed speckle patterns",
    "poisson": "Poisson two-window scan of pixel sums, local robust score",
    "novelty": "novelty of the two-time covariance, local robust score",
    "kernel": "kernel change points confirmed by the detrended two-window scan",
}
SURROGATES = "20 000 frames of differences of successive frames, shuffled and with random signs: no drift and no event is in them"
NEARER = "steps nearer than {apart} good frames are one event, marked 'possibly merged' where a second step is seen or frames are lost"
NARROWEST = 4  # frames of a window


class Detecting(Model):
    """How events are found and measured."""

    detector: Detector = Field(
        default="scan",
        description="scan: detrended, of patterns; poisson: pixel sums; novelty: two-time map; kernel: proposals that the scan confirms",
    )
    window: int = Field(default=12, ge=NARROWEST, description="frames on each side of a change that are compared")
    false_alarms: float = Field(default=0.2, gt=0, description="expected false events per 10 000 frames")
    longest: int = Field(default=18, ge=4, description="most frames on each side that measure an event")


class Found(NamedTuple):
    """Events of the whole series with what is needed to measure them."""

    changes: scan.Found
    artefact: np.ndarray
    movie: Movie
    speckle_px: float
    detector: Detector = "scan"
    window: int = 12
    false_alarms: float = 0.2


def columns(found: Found) -> dict[str, xr.DataArray]:
    """What the search says of each event, for the dataset EVENTS: `false_alarm_rate`.

    Returns
    -------
    dict of DataArray
        `false_alarm_rate` (event): events in 10 000 frames that noise alone gives at the score of this event or above.
    """
    rate = np.maximum(np.asarray(found.changes.false_alarm_rate, np.float64), alarms.RAREST)
    note = f"events that noise alone gives in 10 000 frames at this score or above; {alarms.RAREST:g} stands for that or less"
    return {"false_alarm_rate": xr.DataArray(rate, dims="event", attrs={"units": "1", "long_name": note})}


def attributes(found: Found) -> dict[str, Any]:
    """What the search says of the whole series, for the attributes of EVENTS.

    Returns
    -------
    dict
        `detector`, `window`, `threshold`, `false_alarms_per_10000`, `false_alarms_expected` (in this series), `surrogates` (how the rates
        were found), `separation` (frames below which two steps are one event), `blind` (frames at each end in which none is found),
        `merging` (both in words).
    """
    window, wanted = found.window, found.false_alarms
    apart, blind = _separation(found.detector, window), _blind(found.detector, window)
    searched = max(int(found.movie.ok.sum()) - 2 * blind, 0)
    return {
        "detector": NAMES[found.detector],
        "window": window,
        "threshold": found.changes.threshold,
        "false_alarms_per_10000": wanted,
        "false_alarms_expected": wanted * searched / alarms.PER,
        "surrogates": SURROGATES,
        "separation": apart,
        "blind": blind,
        "merging": f"{NEARER.format(apart=apart)}; none is found within {blind} good frames of the ends",
    }


def _separation(detector: Detector, window: int) -> int:
    """Good frames below which two steps are one event."""
    return scan.merges_below(window) if detector in ("scan", "kernel") else poisson_scan.separation(window)


def _blind(detector: Detector, window: int) -> int:
    """Good frames at each end in which no event is found."""
    return scan.SHORTEST if detector in ("scan", "kernel") else window


def search(seen: Movie, window: int, false_alarms: float, seed: int, detector: Detector = "scan") -> Found:
    """Search, take out the pixels that alone make an event, search again; artefacts stay in the list, marked.

    Parameters
    ----------
    seen : Movie
    window : int
        Good frames on either side.
    false_alarms : float
        False alarms of photon noise wanted in 10 000 frames.
    seed : int
        Seed of the surrogates.
    detector : {"scan", "poisson", "novelty", "kernel"}

    Raises
    ------
    XcdiError
        If the series is too short for the window, or holds no photon, or nothing in it can be trusted.
    """
    _searchable(seen, window)
    mean = seen.frames[seen.ok].mean(axis=0, dtype=np.float64)
    width = patterns.speckle_width(mean, seen.valid)
    artefacts: list[scan.Found] = []
    while True:
        changes = _changes(seen, width, window, false_alarms, seed, detector)
        bad, pixels = _artefacts(seen, changes, window, width)
        if not pixels.size or len(artefacts) == 5:
            break
        artefacts.append(_only(changes, bad))
        valid = seen.valid.copy()
        valid[tuple(pixels.T)] = False
        seen = seen._replace(valid=valid)
    listed, marked = _together(changes, artefacts)
    marked |= np.isin(listed.frame, changes.frame[bad])  # those of the last search, whose pixels were not left out any more
    return Found(listed, marked, seen, width, detector, window, false_alarms)


def _searchable(seen: Movie, window: int) -> None:
    """Refuse in one line a series in which no event could be found."""
    good, needed = int(seen.ok.sum()), scan.frames_needed(window)
    if not seen.valid.any():
        raise XcdiError(f"none of {seen.valid.size} pixels can be trusted; events need some, so look at the mask and at the frames")
    if not good:
        raise XcdiError(f"none of {seen.ok.size} frames can be used: each is marked bad, holds no photon, or leaps in brightness")
    if good < needed:
        raise XcdiError(too_short(good, seen.ok.size, window))
    if float(np.ptp(seen.frames[seen.ok][:, seen.valid])) == 0:
        value = float(seen.frames[seen.ok][0, seen.valid][0])
        raise XcdiError(f"every valid pixel has {value:g} in each of {good} good frames; counts that never change show no event")


def too_short(good: int, frames: int, window: int) -> str:
    """Words for a series with fewer good frames than that, with the window that it has room for.

    Examples
    --------
    >>> too_short(30, 31, 12)
    '30 good frames of 31; events with window=12 need 54 or more: take a window of 6 or less'
    """
    most = (good - scan.BEYOND) // 4
    hint = f"take a window of {most} or less" if most >= NARROWEST else "a longer series is needed"
    counted = f"{good} good frame{'' if good == 1 else 's'} of {frames}"
    return f"{counted}; events with window={window} need {scan.frames_needed(window)} or more: {hint}"


def long_enough(series: xr.Dataset, window: int) -> None:
    """Refuse a series that has too few frames even if all of them are good.

    Examples
    --------
    >>> long_enough(xr.Dataset(coords={"frame": range(60)}), 12)
    """
    frames = series.sizes["frame"]
    if frames < scan.frames_needed(window):
        raise XcdiError(too_short(frames, frames, window))


def _changes(seen: Movie, width: float, window: int, false_alarms: float, seed: int, detector: Detector) -> scan.Found:
    """Events of one pass of the detector."""
    products = patterns.likeness(patterns.patterns(seen.frames, seen.valid, seen.ok, speckle_px=width))
    if detector == "scan":
        return scan.find_events(products, seen.ok, window=window, false_alarms=false_alarms, seed=seed)
    if detector == "kernel":
        proposed = change_points.proposals(products, len(products) // window)
        return scan.confirm(products, seen.ok, proposed, window=window, false_alarms=false_alarms, seed=seed)
    counts = seen.frames[seen.ok][:, seen.valid]
    if detector == "poisson":
        trace, tail = poisson_scan.poisson_scan(counts, window), poisson_scan.noise_tail(counts, window, seed=seed)
    else:
        c = novelty.covariance(counts)
        trace, tail = novelty.novelty(c, window), novelty.noise_tail(c, window, seed=seed)
    return scan.peaked(products, seen.ok, poisson_scan.robust_score(trace), tail, window=window, false_alarms=false_alarms, seed=seed)


def _artefacts(seen: Movie, changes: scan.Found, window: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Which events a few pixels make alone, and these pixels."""
    good = np.flatnonzero(seen.ok)
    bad, pixels = np.zeros(len(changes.frame), bool), [np.zeros((0, 2), int)]
    for k in range(bad.size):
        before, after = sides(changes, k, good, window)
        if min(before.size, after.size) >= scan.SHORTEST:
            around = seen.frames[np.concatenate([before, after])]
            pixels.append(sizes.collapses(around, seen.valid, before.size, speckle_px=width))
            bad[k] = len(pixels[-1]) > 0
    return bad, np.unique(np.concatenate(pixels), axis=0)


def sides(changes: scan.Found, k: int, good: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Good frames before and after event `k`, up to its neighbours, `longest` at most."""
    return event_sides.between(changes.first, changes.last, k, good, longest)


def _only(changes: scan.Found, keep: np.ndarray) -> scan.Found:
    return changes._replace(**{name: getattr(changes, name)[keep] for name in scan.COLUMNS})


def _together(changes: scan.Found, artefacts: list[scan.Found]) -> tuple[scan.Found, np.ndarray]:
    """One list in order of time; an artefact that coincides with an event that stands without it is not listed twice."""
    parts = [changes, *artefacts]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in scan.COLUMNS}
    marked = np.repeat([False] + [True] * len(artefacts), [len(part.frame) for part in parts])
    near = np.array([m and np.any(np.abs(changes.frame - f) <= 2) for m, f in zip(marked, joined["frame"], strict=True)], bool)
    order = np.argsort(joined["frame"], kind="stable")
    order = order[~near[order]]
    return changes._replace(**{name: values[order] for name, values in joined.items()}), marked[order]
