"""Judge of dislocations: how much of a true line is found, how near, with which sense, and what is found that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.compared import Compared, Lab
from xcdi.artificial.verdict import Row, Skipped, at_least, at_most, missing

__all__ = ["Found", "Held", "found", "held", "rows"]

PLANES = 0.75
NEAR = 2.0  # voxels
DEEP_NM = 100.0
HOME = "entry_1/dislocations"
NAMES = (
    "dislocation, share of the planes of its grain it is found in",
    "dislocation, distance from the true line, median [voxel]",
    "dislocation, false vortices inside a grain",
)

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Lines of a result, laid upon the truth.

    Attributes
    ----------
    nodes : list of array, shape (node, 3)
        Of every line, where they are in the truth (x, y, z) [nm].
    charge : array of int, shape (line,)
        About `direction`, as the truth would have it: the twin of a crystal winds the other way.
    direction : array, shape (line, 3)
    """

    nodes: list[Points]
    charge: NDArray[np.int64]
    direction: Points


@dataclass(frozen=True)
class Held:
    """One true line against what was found.

    Attributes
    ----------
    planes : int
        Planes across the line that its grain has.
    share : float
        Part of them in which a found line is within 2 voxels of it.
    distance : float
        Median distance in those planes [voxel]; NaN if there is none.
    charge : int
        Of the line found in most of them; 0 if there is none. The true charge is 1.
    """

    planes: int
    share: float
    distance: float
    charge: int


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of dislocations; where the truth has none, only false ones can be told."""
    true, lab = held(seen), seen.lab
    if found(seen) is None or lab is None:
        if len(_true_lines(seen)):
            yield from (missing(n, bar) for n, bar in zip(NAMES, (f">= {PLANES:g}", f"<= {NEAR:g}", "<= 0"), strict=True))
        return
    for number, line in enumerate(true or []):
        which = "" if len(true or []) == 1 else f" ({number + 1})"
        yield at_least(NAMES[0] + which, line.share, PLANES)
        yield at_most(NAMES[1] + which, line.distance, NEAR)
        yield at_least(f"dislocation, charge over the true{which}", line.charge, 1)
    yield at_most(NAMES[2], false_vortices(seen), 0)


def found(seen: Compared) -> Found | None:
    """Return the lines of a result where they are in the truth, or None if it holds no table of them or no crystal."""
    nodes, of, charge, direction = (seen[f"{HOME}/{name}"] for name in ("node_position", "node_line", "charge", "direction"))
    lab, axes = seen.lab, [seen[f"entry_1/{name}"] for name in "zyx"]
    if nodes is None or of is None or charge is None or direction is None or lab is None or any(axis is None for axis in axes):
        return None
    sense = -1 if _turned(lab) else 1
    places = _in_truth(lab, [axis for axis in axes if axis is not None], np.asarray(nodes, float).reshape(-1, 3))
    each = [places[of == n] for n in range(len(charge))]
    return Found(each, sense * np.asarray(charge, int), np.asarray(direction, float).reshape(-1, 3))


def held(seen: Compared) -> list[Held] | None:
    """Return every true line of a single grain against what was found; None if no result holds lines."""
    lines = found(seen)
    if lines is None or seen.lab is None:
        return None
    return [_held(seen, lines, k, seen.lab.voxel) for k in _true_lines(seen)]


def false_vortices(seen: Compared) -> int:
    """Count lines, wherever the result places them, of which two nodes or more are deep in a true grain and near no true line."""
    lines, lab = found(seen), seen.lab
    if lines is None or lab is None:
        return 0
    astray = [0] * len(lines.nodes)
    for n, nodes in enumerate(lines.nodes):
        deep = seen.truth.sample(seen.truth.depth, nodes[:, ::-1]) > DEEP_NM
        for k in range(len(seen.truth["dislocations/grain"])):
            deep &= _away(seen, k, nodes)[0] > NEAR * lab.voxel
        astray[n] = int(deep.sum())
    return sum(count >= 2 for count in astray)


def _true_lines(seen: Compared) -> list[int]:
    """Numbers of the true lines that lie in a grain which this peak shows."""
    if "dislocations/grain" not in seen.truth:
        return []
    return [k for k, grain in enumerate(seen.truth["dislocations/grain"]) if grain > 0 and (seen.truth["label"] == grain).any()]


def _held(seen: Compared, lines: Found, k: int, voxel: float) -> Held:
    """One true line; its planes are a voxel of the result apart."""
    grain, point, along = (seen.truth[f"dislocations/{name}"][k] for name in ("grain", "point", "line"))
    reach = float(np.ptp(seen.truth["axes/x"])) * 2
    heights = np.arange(-reach, reach, voxel)
    inside = seen.truth.sample(seen.truth["label"], (point + np.outer(heights, along))[:, ::-1], order=0) == grain
    heights = heights[inside]
    nearest, best = np.full(len(heights), np.inf), np.full(len(heights), -1)
    for n, nodes in enumerate(lines.nodes):
        away, height = _away(seen, k, _dense(nodes, voxel / 4))
        for h, where in enumerate(np.abs(height - heights[:, None]) <= voxel / 2):
            if where.any() and away[where].min() < nearest[h]:
                nearest[h], best[h] = away[where].min(), n
    near = nearest <= NEAR * voxel
    if not near.any():
        return Held(len(heights), 0.0, float("nan"), 0)
    most = int(np.bincount(best[near]).argmax())
    sense = 1 if lines.direction[most] @ along > 0 else -1
    return Held(len(heights), float(near.mean()), float(np.median(nearest[near]) / voxel), int(sense * lines.charge[most]))


def _dense(nodes: Points, step: float) -> Points:
    """Points at most `step` apart along a line."""
    if len(nodes) < 2:
        return nodes
    many = max(2, int(np.ceil(np.linalg.norm(np.diff(nodes, axis=0), axis=1).max() / step)) * (len(nodes) - 1) + 1)
    at, own = np.linspace(0, len(nodes) - 1, many), np.arange(len(nodes))
    return np.stack([np.interp(at, own, nodes[:, c]) for c in range(3)], axis=1)


def _away(seen: Compared, k: int, points: Points) -> tuple[Points, Points]:
    """Distance of points from the true line `k`, and their height along it [nm]."""
    away = points - seen.truth["dislocations/point"][k]
    height = away @ seen.truth["dislocations/line"][k]
    return np.linalg.norm(away - np.outer(height, seen.truth["dislocations/line"][k]), axis=1), height


def _turned(lab: Lab) -> bool:
    """Whether the result is the twin of the truth: its axes run backwards."""
    return bool(lab.positions[-1, 0, 0, 0] < lab.positions[0, 0, 0, 0])


def _in_truth(lab: Lab, axes: list[Points], nodes: Points) -> Points:
    """Positions (x, y, z) [nm] in the truth of points (x, y, z) [nm] of the result."""
    first = lab.positions[0, 0, 0]
    steps = np.array([lab.positions[1, 0, 0] - first, lab.positions[0, 1, 0] - first, lab.positions[0, 0, 1] - first])
    index = np.stack([(nodes[:, 2 - a] - axis[0]) / (axis[1] - axis[0]) for a, axis in enumerate(axes)], axis=1)
    return (first + index @ steps)[:, ::-1]
