"""What lies between grains: boundaries, the surface of the particle, and how far a voxel is from either.

Areas are those of smooth surfaces through the faces of voxels: every face counts by
its component along the local normal. Of a plane that is exact, however the grid cuts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels.avalanches.grains import faces, interior, order
from xcdi.kernels.strain import gradient

__all__ = [
    "Boundary",
    "areas_between",
    "boundaries",
    "contacts",
    "depth",
    "filled",
    "grain_phases",
    "phase_jumps",
    "surface_areas",
]

FEWEST = 6  # faces of voxels that make a boundary
SMOOTH = 1.5  # voxels over which normals are taken
REACH = 4  # voxels around a region that its normals need
GROOVE = ndi.generate_binary_structure(3, 2)


@dataclass(frozen=True)
class Boundary:
    """Where grains `i` and `j` touch.

    Attributes
    ----------
    i, j : int
        Labels, i < j.
    area : float
        Of a smooth surface through the boundary [nm2].
    flatness : float
        Length of the vector area over `area`: 1 for a plane.
    centroid, normal : array, shape (3,)
        (x, y, z) [nm]; unit vector (x, y, z) from i to j.
    dip : float
        1 - amplitude on the boundary over that in the two grains; 0 for none.
    order : float
        Median of :func:`xcdi.kernels.avalanches.grains.order` on it: what keeps the two grains apart is that this is low.
    phase_jump, jump_error : float
        Phase of j less that of i where both slopes meet the centroid, in (-pi, pi] [rad], and its
        standard error from the spread along the boundary.
    """

    i: int
    j: int
    area: float
    flatness: float
    centroid: Array
    normal: Array
    dip: float
    order: float
    phase_jump: float
    jump_error: float


def filled(label: Array) -> Array:
    """Labels of the whole particle: grooves and holes go to the grain that is nearest.

    The amplitude falls where a boundary meets the surface, and more so along triple lines, so a support made from
    the amplitude has grooves there; in it a boundary has 0.6 to 0.8 of its area (simulated particles of 4 and 5 grains).

    Parameters
    ----------
    label : int array, shape (z, y, x)
        Grains 1, 2, ...; 0 outside.

    Returns
    -------
    int array, same shape
        Closed over a voxel and its diagonals, and without holes.

    Examples
    --------
    >>> split = np.array([1, 1, 0, 2, 2]) * np.ones((5, 5, 1), int)
    >>> filled(split)[2, 2].tolist()
    [1, 1, 1, 2, 2]
    """
    wide = np.pad(label, 3)
    whole = ndi.binary_fill_holes(ndi.binary_closing(wide > 0, GROOVE))
    nearest = ndi.distance_transform_edt(wide == 0, return_distances=False, return_indices=True)
    return np.where(whole, wide[tuple(nearest)], 0)[3:-3, 3:-3, 3:-3].astype(label.dtype)


def depth(label: Array, basis: Array) -> Array:
    """Distance [nm] of every voxel from the nearest boundary or surface, on an upright grid; 0 outside.

    Examples
    --------
    >>> depth(np.array([[[1, 1, 1, 2]]]), 10.0 * np.eye(3))[0, 0].tolist()
    [5.0, 5.0, 5.0, 5.0]
    """
    steps = np.linalg.norm(basis, axis=0)
    wide, result = np.pad(label, 1), np.zeros(np.add(label.shape, 2))
    for grain, box in enumerate(ndi.find_objects(wide), start=1):
        if box is not None:
            around = tuple(slice(part.start - 1, part.stop + 1) for part in box)
            own = wide[around] == grain
            result[around] += np.where(own, _to_faces(own, steps), 0)
    return result[1:-1, 1:-1, 1:-1]


def _to_faces(own: Array, steps: Array) -> Array:
    """Distance from the faces of a region: to the nearest voxel outside it, less half a step along the way."""
    away, nearest = ndi.distance_transform_edt(own, sampling=steps, return_indices=True)
    step = (np.indices(own.shape) - nearest) * steps[:, None, None, None]
    longest = np.abs(step).max(axis=0)
    half = np.take(steps, np.abs(step).argmax(axis=0)) / 2
    return away * (1 - np.divide(half, longest, out=np.zeros_like(away), where=longest > 0))


def surface_areas(label: Array, basis: Array) -> Array:
    """Outer surface [nm2] of grains 1, 2, ..., shape (grain,)."""
    wide = np.pad(label, REACH).astype(int)
    labels, indices = faces(wide + 1)
    outer = labels[:, 0] == 1
    own, places = labels[outer, 1] - 1, indices[outer]
    area = _smooth_areas(places, ndi.gaussian_filter((wide > 0).astype(float), SMOOTH), basis) if own.size else np.zeros(0)
    return np.bincount(own, weights=area, minlength=int(label.max()) + 1)[1:]


def _face_vectors(basis: Array) -> Array:
    """Matrix that turns the index step across a voxel face into the face's vector area [nm2]."""
    basis = np.asarray(basis, dtype=float)
    return abs(np.linalg.det(basis)) * np.linalg.inv(basis).T


def _smooth_areas(places: Array, rising: Array, basis: Array) -> Array:
    """Area [nm2] of every face (n, 2, 3), seen along the direction in which `rising` grows from its first side to the second."""
    middle = places.mean(axis=1).T
    slope = np.stack([ndi.map_coordinates(part, middle, order=1, mode="nearest") for part in np.gradient(rising)], axis=1)
    normal = slope @ np.linalg.inv(np.asarray(basis, dtype=float))
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    across = (places[:, 1] - places[:, 0]) @ _face_vectors(basis).T
    sense = np.sign((across * normal).sum()) or 1.0
    return sense * (across * normal).sum(axis=1)


class _Field(NamedTuple):
    """An object, its grains, their inner voxels, the slope of its phase [1/nm], and its voxel basis."""

    label: Array
    inner: Array
    rho: Array
    slope: Array
    basis: Array


def _field(label: Array, rho: Array, basis: Array) -> _Field:
    return _Field(label, interior(label), rho, gradient(np.where(label > 0, rho, 0), basis), basis)


def boundaries(label: Array, rho: Array, basis: Array) -> list[Boundary]:
    """Describe every pair of grains that touch in at least six voxel faces.

    Parameters
    ----------
    label : int array, shape (z, y, x)
        Grains 1, 2, ...; 0 outside. Grooves between them are closed first (:func:`filled`).
    rho : complex array, same shape
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2, the middle n // 2 at the origin.

    Returns
    -------
    list of Boundary
        Sorted by i, then j.
    """
    basis = np.asarray(basis, dtype=float)
    whole, left = filled(label), order(rho, label > 0)
    field = _field(label, rho, basis)
    result = []
    for (i, j), met in contacts(whole):
        vector = _face_vectors(basis) @ (met[:, 1] - met[:, 0]).sum(axis=0)
        centroid, normal = _plane(met, label.shape, basis, vector)
        area = float(areas_between(whole, (i, j), met, basis).sum())
        flat = min(float(np.linalg.norm(vector)) / area, 1.0)
        jump, error = _jump_at((i, j), centroid, met, field)
        seen = _on_object(label, met)
        dip = _dip(field, (i, j), seen)
        result.append(Boundary(i, j, area, flat, centroid, normal, dip, float(np.median(_least(left, seen))), jump, error))
    return result


def phase_jumps(label: Array, rho: Array, basis: Array) -> Array:
    """Phase jumps [rad] of one more object across the :func:`boundaries` of `label`, in their order, shape (boundary,).

    Of the solutions of one phasing they are its errors.
    """
    basis = np.asarray(basis, dtype=float)
    field, jumps = _field(label, rho, basis), []
    for (i, j), met in contacts(filled(label)):
        centroid = ((met.mean(axis=1) - np.array(label.shape) // 2) @ basis.T).mean(axis=0)
        jumps.append(_jump_at((i, j), centroid, met, field)[0])
    return np.array(jumps)


def contacts(label: Array) -> Iterator[tuple[tuple[int, int], Array]]:
    """Pairs of grains that touch in enough faces, and these faces (n, 2, 3)."""
    labels, indices = faces(label)
    for i, j in np.unique(labels, axis=0):
        met = indices[(labels == (i, j)).all(axis=1)]
        if len(met) >= FEWEST:
            yield (int(i), int(j)), met


def _on_object(label: Array, met: Array) -> Array:
    """Those faces whose voxels both belong to the object, not to a groove that was closed; all if there are none."""
    seen = (label[tuple(np.moveaxis(met, 2, 0))] > 0).all(axis=1)
    return met[seen] if seen.any() else met


def _least(values: Array, met: Array) -> Array:
    """Smaller of the values on the two sides of every face."""
    return np.min(values[tuple(np.moveaxis(met, 2, 0))], axis=1)


def areas_between(label: Array, pair: tuple[int, int], met: Array, basis: Array) -> Array:
    """Area of every face between two grains; other grains and the outside do not bend its normal."""
    low = np.maximum(met.min(axis=(0, 1)) - REACH, 0)
    box = tuple(slice(start, stop + REACH + 1) for start, stop in zip(low, met.max(axis=(0, 1)), strict=True))
    one, other = (ndi.gaussian_filter((label[box] == n).astype(float), SMOOTH) for n in pair)
    return _smooth_areas(met - low, (other - one) / np.maximum(one + other, 1e-3), basis)


def _plane(met: Array, shape: tuple[int, ...], basis: Array, vector: Array) -> tuple[Array, Array]:
    """Centroid [nm] and normal of faces (n, 2, 3): the plane of least weighted squares, faces far from it counting little.

    Source: iteratively reweighted least squares with Cauchy weights, Holland and Welsch, Commun. Stat. A 6, 813 (1977).
    """
    places = (met.mean(axis=1) - np.array(shape) // 2) @ basis.T
    weight = np.ones(len(places))
    least = 0.3 * np.linalg.norm(basis, axis=0).min()  # a flat face of voxels already strays by that much
    for _ in range(10):
        middle = np.average(places, axis=0, weights=weight)
        away = places - middle
        normal = np.linalg.eigh((away * weight[:, None]).T @ away)[1][:, 0]
        off = away @ normal
        weight = 1 / (1 + (off / (2 * max(1.4826 * np.median(np.abs(off)), least))) ** 2)
    return places.mean(axis=0), normal * (1.0 if normal @ vector >= 0 else -1.0)


def _dip(field: _Field, pair: tuple[int, int], met: Array) -> float:
    """One minus the amplitude on the faces over that inside both grains."""
    size = np.abs(field.rho)
    inside = np.mean([np.median(size[field.inner & (field.label == n)]) for n in pair])
    return float(1 - _least(size, met).mean() / inside)


def _jump_at(pair: tuple[int, int], centroid: Array, met: Array, field: _Field) -> tuple[float, float]:
    """Phase jump across faces, and its error: values within three voxels of them, turned back to the centroid by their mean slope."""
    label, inner, rho, slope, basis = field
    low = np.maximum(met.min(axis=(0, 1)) - 3, 0)
    box = tuple(slice(start, stop + 4) for start, stop in zip(low, met.max(axis=(0, 1)), strict=True))
    place = np.moveaxis(np.indices(label[box].shape), 0, -1) + low - np.array(label.shape) // 2
    owners = label[box]
    sides = []
    for side in range(2):
        near = np.zeros(owners.shape, bool)
        near[tuple((met[:, side] - low).T)] = True
        near = ndi.binary_dilation(near, np.ones((3, 3, 3)), iterations=2) & (owners == pair[side])
        use = near & inner[box] if (near & inner[box]).any() else near
        sides.append(_turned(rho[box][use], slope[(slice(None), *box)][:, use], place[use] @ basis.T - centroid))
    return _jump(sides[0], sides[1])


def _turned(rho: Array, slope: Array, place: Array) -> Array:
    """Values turned back to the origin of `place` (n, 3) by their intensity-weighted mean slope."""
    weight = np.abs(rho) ** 2
    return rho * np.exp(-1j * place @ (slope @ weight / max(weight.sum(), 1e-300)))


def _jump(one: Array, other: Array) -> tuple[float, float]:
    """Phase of the other side less that of the one, and its standard error."""
    mean = [side.sum() for side in (one, other)]
    spread = [np.angle(side * np.conj(m)).var() / max(len(side), 1) for side, m in zip((one, other), mean, strict=True)]
    return float(np.angle(mean[1] * np.conj(mean[0]))), float(np.sqrt(sum(spread)))


def grain_phases(label: Array, rho: Array, basis: Array) -> Array:
    """Phase [rad] of grains 1, 2, ... at their centroids, their mean slopes taken off, shape (grain,).

    Parameters
    ----------
    label : int array, shape (z, y, x)
    rho : complex array, same shape
    basis : array, shape (3, 3)
    """
    slope, inner = gradient(np.where(label > 0, rho, 0), basis), interior(label)
    phases = []
    for grain in range(1, int(label.max()) + 1):
        use = inner & (label == grain)
        place = np.argwhere(use) @ np.asarray(basis, dtype=float).T
        phases.append(np.angle(_turned(rho[use], slope[:, use], place - place.mean(axis=0)).sum()))
    return np.array(phases)
