"""How boundaries between grains moved from one state of a crystal to another, and how the grains slipped along them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import linear_sum_assignment

from xcdi.backend import Array

__all__ = ["Face", "Motion", "face", "jump_change", "match_labels", "motion", "pairs", "total_area"]

FEWEST = 6  # faces of voxels that make a boundary
PATCH = 9  # faces that move as one: a resolution element of three voxels by three
ALIKE = 8  # voxels whose phases speak as one: a resolution element of two voxels each way
REACH = 3  # voxels from a boundary in which its jump is taken


class Face(NamedTuple):
    """Where two grains meet: area [nm2], centroid [nm] and unit normal from the first to the second (z, y, x), number of voxel faces."""

    area: float
    centroid: Array
    normal: Array
    faces: int


class Motion(NamedTuple):
    """Shift of a boundary along its normal [nm] and the volume it swept [nm3], both positive where the first grain grew; their errors."""

    shift: float
    shift_error: float
    swept: float
    swept_error: float


def match_labels(label: Array, reference: Array) -> Array:
    """Give grains the numbers of those of `reference` that they overlap most, one to one; others get numbers above.

    Parameters
    ----------
    label, reference : int array, shape (z, y, x)
        Grains 1, 2, ...; 0 outside.

    Examples
    --------
    >>> match_labels(np.array([[[1, 1, 2, 2, 3]]]), np.array([[[2, 2, 2, 1, 1]]])).tolist()
    [[[2, 2, 1, 1, 3]]]
    """
    most, known = int(label.max()), int(reference.max())
    shared = np.zeros((most + 1, known + 1), int)
    np.add.at(shared, (label.ravel(), reference.ravel()), 1)
    own, other = linear_sum_assignment(-shared[1:, 1:])
    new = np.zeros(most + 1, np.int16)
    for i, j in zip(own + 1, other + 1, strict=True):
        new[i] = j if shared[i, j] else 0
    left = [i for i in range(1, most + 1) if new[i] == 0]
    new[left] = known + 1 + np.arange(len(left))
    return new[label]


def pairs(label: Array) -> list[tuple[int, int]]:
    """Pairs of grains, smaller number first, that touch in at least six voxel faces."""
    found = np.concatenate([np.sort(np.stack([a[m], b[m]], 1), 1) for a, b, m in _touching(label)])
    both, count = np.unique(found, axis=0, return_counts=True)
    return [(int(i), int(j)) for (i, j), n in zip(both, count, strict=True) if n >= FEWEST]


def face(label: Array, pair: tuple[int, int], voxel: Array) -> Face | None:
    """Boundary of a pair of grains, or None where they do not touch in at least six voxel faces.

    Parameters
    ----------
    label : int array, shape (z, y, x)
    pair : (int, int)
    voxel : array, shape (3,)
        Edges of a voxel along z, y, x [nm].

    Notes
    -----
    The area is that of the vector sum of the faces: exact for a plane however it is cut into voxels.
    """
    voxel, places, vector = np.asarray(voxel, dtype=float), [], np.zeros(3)
    for axis, (a, b, _) in enumerate(_touching(label)):
        step = np.eye(3)[axis]
        for way, here in ((1, (a == pair[0]) & (b == pair[1])), (-1, (a == pair[1]) & (b == pair[0]))):
            places.append(np.argwhere(here) + step / 2)
            vector[axis] += way * np.count_nonzero(here) * np.prod(voxel) / voxel[axis]
    where = (np.concatenate(places) - np.array(label.shape) // 2) * voxel
    if len(where) < FEWEST or not vector.any():
        return None
    area = float(np.linalg.norm(vector))
    return Face(area, where.mean(axis=0), vector / area, len(where))


def total_area(label: Array, voxel: Array) -> float:
    """Area [nm2] of all boundaries between grains."""
    faces = (face(label, pair, voxel) for pair in pairs(label))
    return float(sum(one.area for one in faces if one is not None))


def motion(label: Array, reference: Array, pair: tuple[int, int], voxel: Array, *, drawn: Array | None = None) -> Motion:
    r"""Return how the boundary of a pair of grains moved from `reference` to `label`.

    .. math:: \Delta V = (N_{j \to i} - N_{i \to j})\, v, \qquad s = \Delta V / A

    Parameters
    ----------
    label, reference : int array, shape (z, y, x)
        Grains of the two states, with the same numbers.
    pair : (int, int)
        Touching in `reference`.
    voxel : array, shape (3,)
        Edges of a voxel [nm].
    drawn : array, shape (3,), optional
        How far everything in `label` truly lies from where it is drawn [nm]: what rounding to voxels has left of a shift.

    Notes
    -----
    Counting is right below a voxel where the boundary crosses the grid: its error is that of a voxel face,
    averaged over the steps it makes, and the scatter of the shift along the boundary.
    """
    before = face(reference, pair, voxel)
    if before is None:
        return Motion(np.nan, np.nan, np.nan, np.nan)
    i, j = pair
    volume = float(np.prod(voxel))
    gained = np.count_nonzero((reference == j) & (label == i)) - np.count_nonzero((reference == i) & (label == j))
    rest = 0.0 if drawn is None else float(np.asarray(drawn) @ before.normal)
    shift = gained * volume / before.area + rest
    error = _motion_error(label, reference, pair, np.asarray(voxel, dtype=float), before)
    return Motion(shift, error, shift * before.area, error * before.area)


def _motion_error(label: Array, reference: Array, pair: tuple[int, int], voxel: Array, before: Face) -> float:
    """Standard error of a boundary's shift [nm]: steps of the grid, and scatter along the boundary."""
    edge = float(np.abs(before.normal) @ voxel / np.abs(before.normal).sum())
    away = np.sqrt(max(1 - np.abs(before.normal).max() ** 2, 0.0)) * np.sqrt(before.area) / edge  # steps across the grid
    grid = edge / 6**0.5 / max(1.0, away)
    signed = _signed(label, pair, voxel) - _signed(reference, pair, voxel)
    near = _beside(reference, pair)
    seen = signed[near & np.isfinite(signed)]
    spread = float(seen.std()) if seen.size > 1 else edge
    return float(np.hypot(grid, spread / np.sqrt(max(before.faces / PATCH, 1.0))))


def jump_change(
    ratio: Array, label: Array, reference: Array, pair: tuple[int, int], *, phase_error: Array | None = None
) -> tuple[float, float]:
    """Return by how much the phase jump from the first to the second grain changed, in (-pi, pi], and its error [rad].

    Parameters
    ----------
    ratio : complex array, shape (z, y, x)
        State times the conjugate of the reference, registered.
    label, reference : int array, same shape
        Grains of the two; only voxels that stayed in their grain speak.
    pair : (int, int)
    phase_error : array, same shape, optional
        Error of the phase of `ratio` [rad], by the ensembles; taken as common to a whole grain, so it does not average out.

    Notes
    -----
    A slip by whole lattice planes is a change by 2 pi n, and cannot be seen. The phase of `ratio`
    has no static jump and no static slope, so it is compared as it is, within three voxels of the boundary.
    """
    near = ndi.binary_dilation(_beside(reference, pair), np.ones((3, 3, 3)), iterations=REACH - 1)
    levels, variance = [], 0.0
    for number in pair:
        stayed = near & (reference == number) & (label == number) & (ratio != 0)
        inner = stayed & ndi.binary_erosion((reference == number) & (label == number))
        use = inner if np.count_nonzero(inner) >= ALIKE else stayed
        if not use.any():
            return np.nan, np.nan
        level = ratio[use].sum()
        levels.append(level)
        variance += float(np.average(np.angle(ratio[use] * np.conj(level)) ** 2, weights=np.abs(ratio[use]))) * ALIKE / use.sum()
        if phase_error is not None:
            variance += float(np.median(phase_error[use])) ** 2
    return float(np.angle(levels[1] * np.conj(levels[0]))), float(np.sqrt(variance))


def _touching(label: Array) -> list[tuple[Array, Array, Array]]:
    """Labels on the two sides of every face along each axis, and where they are two grains."""
    found = []
    for axis in range(3):
        a, b = (np.take(label, range(s, label.shape[axis] - 1 + s), axis) for s in (0, 1))
        found.append((a, b, (a != b) & (a > 0) & (b > 0)))
    return found


def _beside(label: Array, pair: tuple[int, int]) -> Array:
    """Voxels on either side of the boundary of a pair."""
    beside = np.zeros(label.shape, bool)
    for axis, (a, b, _) in enumerate(_touching(label)):
        here = ((a == pair[0]) & (b == pair[1])) | ((a == pair[1]) & (b == pair[0]))
        for s in (0, 1):
            part = [slice(None)] * 3
            part[axis] = slice(s, label.shape[axis] - 1 + s)
            beside[tuple(part)] |= here
    return beside


def _signed(label: Array, pair: tuple[int, int], voxel: Array) -> Array:
    """Distance [nm] from the boundary of a pair, positive in the first grain, NaN in neither."""
    first, second = (label == number for number in pair)
    if not (first.any() and second.any()):
        return np.full(label.shape, np.nan)
    to_first, to_second = (ndi.distance_transform_edt(~one, sampling=voxel) for one in (first, second))
    return np.where(first, to_second - voxel.min() / 2, np.where(second, voxel.min() / 2 - to_first, np.nan))
