"""Judge of grains: their number, their shapes, and the boundaries between them; beside them, that of dislocations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import score_dislocations
from xcdi.artificial.compared import Compared
from xcdi.artificial.verdict import Row, Skipped, at_least, at_most, between, missing, of_stage

__all__ = ["Faces", "boundary_matches", "grain_counts", "rand_index", "rows"]

COUNT, RAND = 1, 0.6
NORMAL_DEG, LARGE_FACE = 15.0, 60  # a face is judged from that many voxels on
AREA = 2.0  # factor; what is a face at the rim of a particle is a matter of taste


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of grains and dislocations."""
    if not seen.has("entry_1/grain", "entry_1/image_1/data", "entry_1/amplitude"):
        yield Skipped("grains", "no result holds a crystal")
    elif seen.case.overlap is None:
        yield Skipped("grains", f"nothing is asked of a {seen.case.name} case")
    elif seen.unreliable:
        yield Skipped("grains", "the result calls its object unreliable")
    else:
        yield from of_stage("grains", (*_label_rows(seen), *_boundary_rows(seen)))
        yield from of_stage("dislocation", score_dislocations.rows(seen))


def grain_counts(seen: Compared) -> tuple[int, int, float] | None:
    """Return the number of grains found, the number of true ones, and the adjusted Rand index; None if there is no map of grains."""
    label, lab = seen["entry_1/grain"], seen.lab
    if label is None or lab is None or not (label > 0).any():
        return None
    true = seen.truth.sample(seen.truth["label"], lab.positions, order=0)
    both = (label > 0) & (true > 0)
    return len(np.unique(label[label > 0])), len(np.unique(true[true > 0])), rand_index(label[both], true[both])


def _label_rows(seen: Compared) -> Iterator[Row | Skipped]:
    names = ("number of grains, distance from the truth", "grains, adjusted Rand index")
    counted = grain_counts(seen)
    if counted is None:
        yield from (missing(name, bar) for name, bar in zip(names, (f"<= {COUNT:g}", f">= {RAND:g}"), strict=True))
        return
    found, true, rand = counted
    yield at_most(names[0], abs(found - true), COUNT)
    if true > 1:  # the index of a single grain is 0 or 1 by convention
        yield at_least(names[1], rand, RAND)


class Faces(NamedTuple):
    """Large boundaries that both result and truth know: angle between the normals [deg], and measured over true area."""

    normal_deg: list[float]
    area_ratio: list[float]


def boundary_matches(seen: Compared) -> Faces | None:
    """Compare boundaries between grains that both know, if the true face is large; None if no result holds boundaries."""
    names, lab = seen.grain_names, seen.lab
    normal, area = seen["entry_1/boundaries/normal"], seen["entry_1/boundaries/area_nm2"]
    i, j = (seen[f"entry_1/boundaries/{side}"] for side in "ij")
    if names is None or lab is None or normal is None or area is None or i is None or j is None or "boundaries/i" not in seen.truth:
        return None
    pairs = [{names.get(int(one), -1), names.get(int(other), -2)} for one, other in zip(i, j, strict=True)]
    true = {name: seen.truth[f"boundaries/{name}"] for name in ("i", "j", "normal", "area")}
    large = [k for k in range(len(true["area"])) if true["area"][k] > LARGE_FACE * lab.voxel**2]
    met = [(k, pairs.index({true["i"][k], true["j"][k]})) for k in large if {true["i"][k], true["j"][k]} in pairs]
    cosines = [min(abs(normal[found] @ true["normal"][k]) / np.linalg.norm(normal[found]), 1.0) for k, found in met]
    return Faces(np.degrees(np.arccos(cosines)).tolist(), [float(area[found] / true["area"][k]) for k, found in met])


def _boundary_rows(seen: Compared) -> Iterator[Row | Skipped]:
    faces = boundary_matches(seen)
    if not faces or not faces.area_ratio:
        yield Skipped("boundaries", "no large one is in both result and truth")
        return
    count = len(faces.area_ratio)
    yield at_most(f"normals of large boundaries, median error of {count} [deg]", float(np.median(faces.normal_deg)), NORMAL_DEG)
    if seen.case.tilt is not None:
        yield between(f"area of large boundaries over the true, median of {count}", float(np.median(faces.area_ratio)), 1 / AREA, AREA)


def rand_index(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the adjusted Rand index of two labellings: 1 if they agree, 0 for chance (Hubert and Arabie, J. Classification 2, 193 (1985)).

    Examples
    --------
    >>> rand_index(np.array([1, 1, 2, 2]), np.array([7, 7, 5, 5]))
    1.0
    """
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(other, return_inverse=True)
    if a.size < 2:
        return 1.0
    table = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)).reshape(a.max() + 1, -1)
    joint, rows_, columns, every = (_pairs(n) for n in (table, table.sum(axis=1), table.sum(axis=0), a.size))
    chance = rows_ * columns / every
    most = (rows_ + columns) / 2
    return float((joint - chance) / (most - chance)) if most != chance else 1.0


def _pairs(counts: Any) -> float:
    """Pairs that can be drawn from groups of these sizes."""
    counts = np.asarray(counts, float)
    return float((counts * (counts - 1) / 2).sum())
