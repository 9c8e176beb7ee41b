"""The search for events in a series: the scan, and the pixels that alone make an event."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import events as scan
from xcdi.kernels.avalanches import patterns, sizes
from xcdi.settings import Model
from xcdi.stages.series import Movie

__all__ = ["Detecting", "Found", "search", "sides"]


class Detecting(Model):
    """How events are found and measured."""

    window: int = Field(default=12, ge=4, description="frames on each side of a change that are compared")
    false_alarms: float = Field(default=0.2, gt=0, description="expected false events per 10 000 frames")
    longest: int = Field(default=18, ge=4, description="most frames on each side that measure an event")


class Found(NamedTuple):
    """Events of the whole series with what is needed to measure them."""

    changes: scan.Found
    artefact: np.ndarray
    movie: Movie
    speckle_px: float


def search(seen: Movie, window: int, false_alarms: float, seed: int) -> Found:
    """Search, take out the pixels that alone make an event, search again; artefacts stay in the list, marked."""
    if seen.ok.sum() < 4 * window + 6 or not seen.valid.any():
        raise XcdiError(f"{int(seen.ok.sum())} good frames; events with window={window} need {4 * window + 6} or more and a valid pixel")
    mean = seen.frames[seen.ok].mean(axis=0, dtype=np.float64)
    width = patterns.speckle_width(mean, seen.valid)
    artefacts: list[scan.Found] = []
    while True:
        products = patterns.likeness(patterns.patterns(seen.frames, seen.valid, seen.ok, speckle_px=width))
        changes = scan.find_events(products, seen.ok, window=window, false_alarms=false_alarms, seed=seed)
        bad, pixels = _artefacts(seen, changes, window, width)
        if not pixels.size or len(artefacts) == 5:
            break
        artefacts.append(_only(changes, bad))
        valid = seen.valid.copy()
        valid[tuple(pixels.T)] = False
        seen = seen._replace(valid=valid)
    return _together(changes, artefacts, seen, width)


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
    start = changes.last[k - 1] if k else 0
    stop = changes.first[k + 1] if k + 1 < len(changes.first) else np.inf
    before = good[(good >= start) & (good < changes.first[k])][-longest:]
    after = good[(good >= changes.last[k]) & (good < stop)][:longest]
    return before, after


def _only(changes: scan.Found, keep: np.ndarray) -> scan.Found:
    return changes._replace(**{name: getattr(changes, name)[keep] for name in ("frame", "first", "last", "score", "merged")})


def _together(changes: scan.Found, artefacts: list[scan.Found], seen: Movie, width: float) -> Found:
    """One list in order of time; an artefact that coincides with an event that stands without it is not listed twice."""
    columns = ("frame", "first", "last", "score", "merged")
    parts = [changes, *artefacts]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    marked = np.repeat([False] + [True] * len(artefacts), [len(part.frame) for part in parts])
    near = np.array([m and np.any(np.abs(changes.frame - f) <= 2) for m, f in zip(marked, joined["frame"], strict=True)], bool)
    order = np.argsort(joined["frame"], kind="stable")
    order = order[~near[order]]
    return Found(changes._replace(**{name: values[order] for name, values in joined.items()}), marked[order], seen, width)
