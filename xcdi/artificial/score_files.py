"""Judge of ingest: which pixels and frames the analysis took for good, and when it thinks they were taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.compared import Compared
from xcdi.artificial.verdict import Row, Skipped, at_least, at_most, missing, of_stage

__all__ = ["frame_numbers", "rows"]

LASTING, FLICKERING = 0.99, 0.90  # least shares of hot and dead, and of flickering pixels that are masked
FALSE_MASKS = 1e-4
TIME_S = 1e-6


class View(NamedTuple):
    """Pixels that a scan was cut to, and those of them that were used; both of the whole detector."""

    seen: NDArray[np.bool_]
    used: NDArray[np.bool_]


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of ingest, as far as results keep what they masked: the box of the peak, and the pixels of the series."""
    if "detector" not in seen.truth.config or "artifacts/dead" not in seen.truth:
        yield Skipped("ingest", "the simulation has no faulty detector")
        return
    rocking, series = _rocking_view(seen), _series_view(seen)
    views = [view for view in (rocking, series) if view is not None]
    if views:
        yield from of_stage("ingest", _pixel_rows(seen, views))
    if rocking is not None:
        yield from of_stage("ingest", [_false_masks(seen, rocking)])
    if seen.has("entry/twotime"):
        yield from of_stage("ingest", _frame_rows(seen))
    if not views:
        yield Skipped("ingest", "no result says which pixels it used")


def _blank(seen: Compared) -> NDArray[np.bool_]:
    return np.zeros(seen.truth.config["detector"], bool)


def _rocking_view(seen: Compared) -> View | None:
    valid, box = seen["entry_1/peak/valid"], seen.note("entry_1/peak", "box")
    if valid is None or box is None:
        return None
    edges, view = json.loads(box), View(_blank(seen), _blank(seen))
    place = slice(*edges["y"]), slice(*edges["x"])
    view.seen[place], view.used[place] = True, np.any(valid, axis=0)
    return view


def _series_view(seen: Compared) -> View | None:
    """The rectangle that holds the pixels of the series; which of the others were left out on purpose is not known."""
    y, x = seen["entry/twotime/pixel_y"], seen["entry/twotime/pixel_x"]
    if y is None or x is None:
        return None
    view = View(_blank(seen), _blank(seen))
    view.seen[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    view.used[y, x] = True
    return view


def _gaps(seen: Compared) -> NDArray[np.bool_]:
    """Module gaps and the beamstop."""
    config, gaps = seen.truth.config, _blank(seen)
    for y0, y1, x0, x1 in config["gaps"]:
        gaps[y0:y1, x0:x1] = True
    if config["beamstop"] is not None:
        row, column, radius = config["beamstop"]
        y, x = np.indices(gaps.shape)
        gaps |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return gaps


def _lying(seen: Compared, *names: str) -> NDArray[np.bool_]:
    pixels = _blank(seen)
    for name in names:
        pixels[tuple(seen.truth[f"artifacts/{name}"].reshape(-1, 2).T)] = True
    return pixels


def _pixel_rows(seen: Compared, views: list[View]) -> Iterator[Row]:
    gaps = _gaps(seen)
    yield at_most("gap and beamstop pixels used", sum(int((view.used & gaps).sum()) for view in views), 0)
    for what, names, bar in (("hot and dead", ("hot", "dead"), LASTING), ("flickering", ("flickering",), FLICKERING)):
        lying = _lying(seen, *names) & ~gaps
        there = sum(int((view.seen & lying).sum()) for view in views)
        used = sum(int((view.used & lying).sum()) for view in views)
        if there:
            yield at_least(f"{what} pixels masked, share of {there} in the boxes", 1 - used / there, bar)


def _false_masks(seen: Compared, view: View) -> Row:
    """Pixels masked in every frame of the rocking scan that are honest."""
    wrong = view.seen & ~view.used & ~_gaps(seen) & ~_lying(seen, "hot", "dead", "flickering")
    return at_most(f"honest pixels masked, share of {int(view.seen.sum())}", wrong.sum() / view.seen.sum(), FALSE_MASKS)


def frame_numbers(seen: Compared, count: int) -> NDArray[np.int64]:
    """Return which exposures the `count` frames of a series are: those never written are left out, unless the result keeps their places."""
    exposures = np.arange(int(seen.truth.config["frames"]))
    written = np.setdiff1d(exposures, seen.truth["artifacts/lost"]) if "artifacts/lost" in seen.truth else exposures
    return (written if count == len(written) else exposures)[:count]


def _frame_rows(seen: Compared) -> Iterator[Row | Skipped]:
    good = seen["entry/twotime/frame_ok"]
    bad = {int(k) for name in ("dropped", "doubled", "lost") if f"artifacts/{name}" in seen.truth for k in seen.truth[f"artifacts/{name}"]}
    if good is None:
        yield missing("dropped, doubled and lost frames that were used", "<= 0")
        return
    numbers = frame_numbers(seen, len(good))
    used = set(numbers[np.asarray(good, bool)].tolist()) | _correlated(seen, numbers)
    yield at_most(f"dropped, doubled and lost frames used, of {len(bad)}", len(bad & used), 0)
    yield from _time_row(seen, numbers)


def _correlated(seen: Compared, numbers: NDArray[np.int64]) -> set[int]:
    """Exposures that have a number in the two-time matrix."""
    matrix: Any = seen["entry/twotime/two_time_corr_func"]
    if matrix is None or matrix.shape[-1] != len(numbers):
        return set()
    return set(numbers[np.isfinite(matrix).any(axis=(0, 2))].tolist())


def _time_row(seen: Compared, numbers: NDArray[np.int64]) -> Iterator[Row | Skipped]:
    time = seen["entry/twotime/time"]
    if time is None or len(time) != len(numbers):
        yield missing("time of the frames, largest error [s]", f"<= {TIME_S:g}")
        return
    true = numbers * float(seen.truth.config["frame_time_s"])
    yield at_most("time of the frames, largest error [s]", np.abs((time - time[0]) - (true - true[0])).max(), TIME_S)
