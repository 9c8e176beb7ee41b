"""Judge of avalanches: events found, missed and imagined, their sizes, and the boundary they are ascribed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.score_object import Lab
from xcdi.artificial.verdict import Row, Truth, at_least, at_most, attribute, dataset, missing

__all__ = ["Matches", "match", "rows", "scorable"]

WINDOW = 12  # frames that detection needs on either side of an event
LARGE, SIZED = 0.03, 0.05  # drops from which an event must be found, and its size be right
JUDGED_BY = "N3"  # normalisation of the drop that decides whether an event is large
NAMES = ("events found", "false events", "drop of correlation, rms relative error", "events ascribed to the right boundary")
BARS = (1.0, 0.0, 0.1, 0.6)


@dataclass(frozen=True)
class Matches:
    """Which detection belongs to which true event.

    Attributes
    ----------
    pairs : list of (int, int)
        Indices of a true event and of the detection within one frame of it.
    false : list of int
        Detections that no true event explains.
    """

    pairs: list[tuple[int, int]]
    false: list[int]


def scorable(frames: NDArray[Any], drops: NDArray[Any], length: int, *, window: int = WINDOW, large: float = LARGE) -> NDArray[np.bool_]:
    """Return which true events can be asked for: `large`, `window` from the ends, and half of it from their neighbours.

    Examples
    --------
    >>> scorable(np.array([5, 30, 33, 60]), np.array([0.1, 0.1, 0.1, 0.1]), 100)
    array([False, False, False,  True])
    """
    apart = np.abs(np.subtract.outer(frames, frames)) + length * np.eye(len(frames), dtype=int)
    alone = apart.min(axis=1, initial=length) >= window / 2
    return (frames >= window) & (frames <= length - window) & alone & (np.nan_to_num(drops) >= large)


def match(found: NDArray[Any], frames: NDArray[Any], asked: NDArray[Any], *, window: int = WINDOW) -> Matches:
    """Match detections at frames `found` with true events at `frames`.

    An event that is `asked` for must be met within one frame. Any other true
    event explains detections within half a window of it.

    Examples
    --------
    >>> match(np.array([31, 80]), np.array([30, 60]), np.array([True, True]))
    Matches(pairs=[(0, 0)], false=[1])
    """
    pairs: list[tuple[int, int]] = []
    false: list[int] = []
    for number, frame in enumerate(found):
        near = np.abs(frames - frame)
        met = [k for k in np.flatnonzero(asked & (near <= 1)) if k not in [pair[0] for pair in pairs]]
        if met:
            pairs.append((int(met[0]), number))
        elif not np.any(~asked & (near <= window / 2)):
            false.append(number)
    return Matches(pairs, false)


def rows(results: Sequence[h5py.File], truth: Truth, lab: Lab | None) -> list[Row]:
    """Return the rows of avalanches; figures of which the truth has no case are left out.

    What the result itself flags as an artefact is not counted as an event.
    """
    found = dataset(results, "entry/events/frame")
    if found is None:
        return [missing(name, bar) for name, bar in zip(NAMES, (">= 1", "<= 0", "<= 0.1", ">= 0.6"), strict=True)]
    frames, drops = truth["events/frame"], truth[f"events/drop_{JUDGED_BY}"]
    asked = scorable(frames, drops, _length(truth))
    meant = np.flatnonzero(~_artefact(results, len(found)))
    plain = match(np.asarray(found)[meant], frames, asked)
    matches = Matches([(true, int(meant[number])) for true, number in plain.pairs], plain.false)
    return [
        *_recall_row(matches, int(asked.sum())),
        at_most(NAMES[1], len(matches.false), BARS[1]),
        *_size_row(results, truth, matches),
        *_attribution_row(results, truth, matches, lab),
    ]


def _artefact(results: Sequence[h5py.File], count: int) -> NDArray[np.bool_]:
    flags = dataset(results, "entry/events/flags")
    words = [] if flags is None else [flag.decode() if isinstance(flag, bytes) else str(flag) for flag in flags]
    return np.array(["artefact" in word for word in words] or [False] * count, bool)


def _length(truth: Truth) -> int:
    return int(json.loads(truth.file["config"][()])["frames"])


def _recall_row(matches: Matches, asked: int) -> list[Row]:
    if not asked:
        return []
    return [at_least(f"{NAMES[0]} of {asked} with a drop of {LARGE:g} or more", len(matches.pairs) / asked, BARS[0])]


def _size_row(results: Sequence[h5py.File], truth: Truth, matches: Matches) -> list[Row]:
    """Compare with the drop that the same normalisation gives without noise."""
    measured = dataset(results, "entry/events/drop")
    if measured is None:
        return [missing(NAMES[2], f"<= {BARS[2]:g}")]
    name = attribute(results, "normalisation", under="entry/events") or attribute(results, "normalisation") or "N5"
    drops = truth[f"events/drop_{name}"] if f"events/drop_{name}" in truth.file else truth["events/drop_N5"]
    errors = [measured[d] / drops[t] - 1 for t, d in matches.pairs if drops[t] >= SIZED]
    if not errors:
        return []
    return [at_most(f"{NAMES[2]} of {len(errors)}", float(np.sqrt(np.mean(np.square(errors)))), BARS[2])]


def _attribution_row(results: Sequence[h5py.File], truth: Truth, matches: Matches, lab: Lab | None) -> list[Row]:
    if not matches.pairs:
        return []
    grains = _true_grains(results, truth, lab)
    sides = [dataset(results, f"entry/events/boundary_{side}") for side in "ij"]
    if grains is None or any(side is None for side in sides):
        return [missing(NAMES[3], f">= {BARS[3]:g}")]
    right = 0
    for true, found in matches.pairs:
        pair = {grains.get(int(side[found]), -1) for side in sides if side is not None}
        right += pair == {int(truth["events/i"][true]), int(truth["events/j"][true])}
    return [at_least(f"{NAMES[3]}, share of {len(matches.pairs)}", right / len(matches.pairs), BARS[3])]


def _true_grains(results: Sequence[h5py.File], truth: Truth, lab: Lab | None) -> dict[int, int] | None:
    """Name of every grain of the result in the truth: the true grain that most of its voxels lie in."""
    label = dataset(results, "entry_1/grain")
    if label is None or lab is None:
        return None
    true = truth.sample(truth["label"], lab.positions, order=0)
    names = {}
    for grain in np.unique(label[label > 0]):
        inside = true[(label == grain) & (true > 0)]
        if inside.size:
            names[int(grain)] = int(np.bincount(inside).argmax())
    return names
