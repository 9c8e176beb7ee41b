"""Triple lines: where three grains meet, and the points where four do.

A length is that of a smooth line through the edges of voxels: every edge counts by its
component along the local tangent. Of a straight line that is exact, however the grid cuts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from xcdi.backend import Array

__all__ = ["TripleLine", "quadruple_points", "triple_lines"]

FEWEST = 3  # edges of voxels that make a line
REACH = 3.0  # voxels over which tangents are taken


@dataclass(frozen=True)
class TripleLine:
    """Where grains i < j < k meet: length [nm], middle (x, y, z) [nm] and unit vector along it."""

    grains: tuple[int, int, int]
    length: float
    centroid: Array
    direction: Array


def triple_lines(label: Array, basis: Array) -> list[TripleLine]:
    """Lines where three grains meet inside the particle, at least three voxel edges long.

    Parameters
    ----------
    label : int array, shape (z, y, x)
        Grains 1, 2, ... of the whole particle (:func:`xcdi.kernels.avalanches.boundaries.filled`); 0 outside.
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2, the middle n // 2 at the origin.

    Returns
    -------
    list of TripleLine
        Sorted by their grains. Lines between the same three grains are one.
    """
    basis = np.asarray(basis, dtype=float)
    grains, places, along = _edges(label)
    result = []
    for three in np.unique(grains, axis=0):
        own = (grains == three).all(axis=1)
        if own.sum() >= FEWEST:
            middle = (places[own] - np.array(label.shape) // 2) @ basis.T
            length, direction = _length(middle, along[own] @ basis.T, REACH * float(np.linalg.norm(basis, axis=0).max()))
            result.append(TripleLine((int(three[0]), int(three[1]), int(three[2])), length, middle.mean(axis=0), direction))
    return result


def _edges(label: Array) -> tuple[Array, Array, Array]:
    """Voxel edges with three grains around: grains (n, 3), middles (n, 3), and steps (n, 3) that keep one sense along a line."""
    grains, places, along = [np.empty((0, 3), int)], [np.empty((0, 3))], [np.empty((0, 3))]
    for axis in range(3):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        corners = ((0, 0), (1, 0), (1, 1), (0, 1))  # once round the axis
        ring = np.stack([_shifted(label, {b: at_b, c: at_c}) for at_b, at_c in corners], axis=-1)
        ordered = np.sort(ring, axis=-1)
        three = (ordered[..., 0] > 0) & ((np.diff(ordered, axis=-1) != 0).sum(axis=-1) == 2)
        around, step = ring[three], np.zeros(3)
        step[axis] = 1.0
        names = np.array([np.unique(four) for four in around], int).reshape(-1, 3)
        middle = np.argwhere(three) + 0.5 * (np.arange(3) != axis)
        grains.append(names)
        places.append(middle)
        along.append(_sense(around, names)[:, None] * step)
    return np.concatenate(grains), np.concatenate(places), np.concatenate(along)


def _shifted(label: Array, shift: dict[int, int]) -> Array:
    """`label` moved by 0 or 1 along two axes, cut to what all four moves have."""
    return label[tuple(slice(shift[a], label.shape[a] - 1 + shift[a]) if a in shift else slice(None) for a in range(3))]


def _sense(around: Array, names: Array) -> Array:
    """1 where the names come round in rising order, -1 where in falling, 0 where one comes twice: which way a line runs past an edge."""
    rank = (around[:, :, None] > names[:, None, :]).sum(axis=2)
    turn = (np.roll(rank, -1, axis=1) - rank) % 3
    return np.select([(turn == 1).sum(axis=1) == 3, (turn == 2).sum(axis=1) == 3], [1.0, -1.0], 0.0)


def _length(places: Array, steps: Array, reach: float) -> tuple[float, Array]:
    """Length [nm] of the smooth line through edges, each seen along the mean step around it, and the direction of the whole."""
    tree = cKDTree(places)
    tangent = np.array([steps[near].sum(axis=0) for near in tree.query_ball_point(places, reach)])
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-300)
    direction = np.linalg.eigh(tangent.T @ tangent)[1][:, -1]
    return float(abs((steps * tangent).sum())), direction * (1.0 if direction @ steps.sum(axis=0) >= 0 else -1.0)


def quadruple_points(label: Array) -> int:
    """Count the places where four grains meet.

    Examples
    --------
    >>> quadruple_points(np.array([[[1, 2], [1, 2]], [[3, 3], [4, 4]]]))
    1
    """
    parts = [slice(None, -1), slice(1, None)]
    eight = np.stack([label[a, b, c] for a in parts for b in parts for c in parts], axis=-1)
    ordered = np.sort(eight, axis=-1)
    distinct = (np.diff(ordered, axis=-1) != 0).sum(axis=-1) + 1 - (ordered[..., 0] == 0)
    return int(ndi.label(distinct >= 4, np.ones((3, 3, 3)))[1])
