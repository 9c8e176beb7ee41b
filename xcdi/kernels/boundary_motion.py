"""How boundaries between grains moved from one state of a crystal to another, and how the grains slipped along them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import linear_sum_assignment

from xcdi.backend import Array
from xcdi.kernels.avalanches import boundaries

__all__ = ["Face", "Motion", "face", "jump_change", "match_labels", "motion", "pairs", "total_area"]

PATCH = 9  # faces that move as one: a resolution element of three voxels by three
ALIKE = 8  # voxels whose phases speak as one: a resolution element of two voxels each way
TOGETHER = 64  # voxels whose error by the ensembles is one: four each way
ROUND = 0.1  # of the area: a shorter vector area has no direction
REACH = 3  # voxels from a boundary in which its jump is taken


class Face(NamedTuple):
    """Where two grains meet; vectors are (z, y, x).

    Attributes
    ----------
    area : float
        Of a smooth surface through the boundary [nm2].
    vector : array, shape (3,)
        Sum of its face vectors [nm2], from the first grain to the second; zero of a closed surface.
    leaning : array, shape (3,)
        Mean modulus of its normal.
    centroid : array, shape (3,)
        [nm] from the middle voxel n // 2.
    faces : int
        Of voxels.
    """

    area: float
    vector: Array
    leaning: Array
    centroid: Array
    faces: int

    @property
    def normal(self) -> Array:
        """Mean unit normal from the first grain to the second; NaN where one lies around the other."""
        length = float(np.linalg.norm(self.vector))
        return self.vector / length if length > ROUND * self.area else np.full(3, np.nan)


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
    return [pair for pair, _ in boundaries.contacts(label)]


def face(label: Array, pair: tuple[int, int], voxel: Array) -> Face | None:
    """Boundary of a pair of grains, or None where they do not touch in at least six voxel faces.

    Parameters
    ----------
    label : int array, shape (z, y, x)
        Grooves closed by :func:`xcdi.kernels.avalanches.boundaries.filled`, which take a part of every boundary otherwise.
    pair : (int, int)
    voxel : array, shape (3,)
        Edges of a voxel along z, y, x [nm].

    Examples
    --------
    >>> split = np.array([1, 1, 1, 2, 2, 2]) * np.ones((20, 20, 1), int)
    >>> found = face(split, (2, 1), np.array([1.0, 1.0, 1.0]))
    >>> round(found.area, 6), (found.normal + 0.0).tolist()
    (400.0, [0.0, 0.0, -1.0])
    """
    met = _met(label, pair)
    if not len(met):
        return None
    voxel = np.asarray(voxel, dtype=float)
    across = (met[:, 1] - met[:, 0]) * (np.prod(voxel) / voxel)
    area = float(boundaries.areas_between(label, pair, met, np.diag(voxel)).sum())
    centroid = (met.mean(axis=(0, 1)) - np.array(label.shape) // 2) * voxel
    return Face(area, across.sum(axis=0), np.minimum(np.abs(across).sum(axis=0) / area, 1.0), centroid, len(met))


def total_area(label: Array, voxel: Array) -> float:
    """Area [nm2] of all boundaries between grains; of `label` the grooves are closed, as for :func:`face`."""
    basis = np.diag(np.asarray(voxel, dtype=float))
    return float(sum(boundaries.areas_between(label, pair, met, basis).sum() for pair, met in boundaries.contacts(label)))


def motion(label: Array, reference: Array, pair: tuple[int, int], voxel: Array, *, drawn: Array | None = None) -> Motion:
    r"""Return how the boundary of a pair of grains moved from `reference` to `label`.

    .. math:: \Delta V = (N_{j \to i} - N_{i \to j})\, v, \qquad s = \Delta V / A

    Parameters
    ----------
    label, reference : int array, shape (z, y, x)
        Grains of the two states, with the same numbers. Where grooves are left open, the boundary between them speaks.
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
    rest = 0.0 if drawn is None else float(np.asarray(drawn) @ before.vector) / before.area
    shift = gained * volume / before.area + rest
    error = _motion_error(label, reference, pair, np.asarray(voxel, dtype=float), before)
    return Motion(shift, error, shift * before.area, error * before.area)


def _motion_error(label: Array, reference: Array, pair: tuple[int, int], voxel: Array, before: Face) -> float:
    """Standard error of a boundary's shift [nm]: steps of the grid, and scatter along the boundary."""
    edge = float(before.leaning @ voxel / before.leaning.sum())
    away = float(np.linalg.norm(np.sort(before.leaning)[:2])) * np.sqrt(before.area) / edge  # steps across the grid
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
        State times the conjugate of the reference, registered; 0 outside of either.
    label, reference : int array, same shape
        Grains of the two, grooves closed; only voxels that stayed in their grain speak.
    pair : (int, int)
    phase_error : array, same shape, optional
        Error of the phase of `ratio` [rad], by the ensembles; taken as common to four voxels each way.

    Notes
    -----
    A slip by whole lattice planes is a change by 2 pi n, and cannot be seen. The phase of `ratio`
    has no static jump and no static slope, so it is compared as it is, within three voxels of the boundary.
    Its error is the scatter of the voxels and `phase_error`, both averaged. What phasing does to a whole grain is in neither.
    """
    near = ndi.binary_dilation(_beside(reference, pair), np.ones((3, 3, 3)), iterations=REACH - 1)
    levels, variance = [], 0.0
    for number in pair:
        own = (reference == number) & (label == number) & (ratio != 0)
        stayed, inner = near & own, near & ndi.binary_erosion(own)
        use = inner if np.count_nonzero(inner) >= ALIKE else stayed
        if not use.any():
            return np.nan, np.nan
        level = ratio[use].sum()
        levels.append(level)
        variance += float(np.average(np.angle(ratio[use] * np.conj(level)) ** 2, weights=np.abs(ratio[use]))) * ALIKE / use.sum()
        if phase_error is not None:
            variance += float(np.median(phase_error[use])) ** 2 * min(1.0, TOGETHER / use.sum())
    return float(np.angle(levels[1] * np.conj(levels[0]))), float(np.sqrt(variance))


def _met(label: Array, pair: tuple[int, int]) -> Array:
    """Voxel faces (n, 2, 3) between a pair, from the first grain to the second; none where they are too few."""
    met = dict(boundaries.contacts(label)).get((min(pair), max(pair)), np.zeros((0, 2, 3), int))
    return met if pair[0] < pair[1] else met[:, ::-1]


def _beside(label: Array, pair: tuple[int, int]) -> Array:
    """Voxels on either side of the boundary of a pair."""
    beside = np.zeros(label.shape, bool)
    beside[tuple(np.moveaxis(_met(label, pair), 2, 0))] = True
    return beside


def _signed(label: Array, pair: tuple[int, int], voxel: Array) -> Array:
    """Distance [nm] from the boundary of a pair, positive in the first grain, NaN in neither."""
    first, second = (label == number for number in pair)
    if not (first.any() and second.any()):
        return np.full(label.shape, np.nan)
    to_first, to_second = (ndi.distance_transform_edt(~one, sampling=voxel) for one in (first, second))
    return np.where(first, to_second - voxel.min() / 2, np.where(second, voxel.min() / 2 - to_first, np.nan))
