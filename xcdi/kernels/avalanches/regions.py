"""Regions that may slip: balls about places of a boundary, slabs along it, and whole grains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from xcdi.backend import Array

__all__ = ["Nest", "Region", "Shape", "boundary_voxels", "nests", "region_share", "regions_of", "spread"]

Shape = Literal["ball", "slab", "grain"]
SHELLS = 14  # of a nest of balls
SOFT = 0.5  # of the radius, on either side of it, over which the slip of a ball fades


class Region(NamedTuple):
    """A part of one grain that may slip.

    Attributes
    ----------
    boundary : int
        Number of the boundary that it lies on; -1 for a whole grain, which lies on all of its own.
    grain : int
        The one that moves.
    centre : tuple of int
        Voxel on the boundary, the middle of a ball; of a slab that of the boundary, of a grain its own.
    radius : float
        Where the slip of a ball has fallen to half, or the thickness of a slab [nm]; infinity for a grain.
    shape : str
        ``"ball"``, ``"slab"`` or ``"grain"``.
    """

    boundary: int
    grain: int
    centre: tuple[int, int, int]
    radius: float
    shape: Shape = "ball"


class Nest(NamedTuple):
    """Regions of one grain about one place, of growing size.

    Attributes
    ----------
    boundary, grain, centre, shape
        As of :class:`Region`.
    voxels : int array, shape (voxel,)
        Those of the grain, as numbers among the voxels of all grains.
    shell : int array, shape (voxel,)
        Which shell about the place each lies in; voxels beyond the last have a number of their own.
    radii : tuple of float
        Rising [nm].
    share : array, shape (region, shell)
        How much of its slip each shell takes part in, 0 to 1.
    """

    boundary: int
    grain: int
    centre: tuple[int, int, int]
    shape: Shape
    voxels: Array
    shell: Array
    radii: tuple[float, ...]
    share: Array


def boundary_voxels(label: Array, pair: tuple[int, int]) -> Array:
    """Voxels (n, 3) of either grain of `pair` that touch the other across a face.

    Examples
    --------
    >>> boundary_voxels(np.array([[[1, 1, 2, 0]]]), (1, 2))
    array([[0, 0, 1],
           [0, 0, 2]])
    """
    cross = ndimage.generate_binary_structure(3, 1)
    one, other = (label == g for g in pair)
    touching = (one & ndimage.binary_dilation(other, cross)) | (other & ndimage.binary_dilation(one, cross))
    return np.argwhere(touching)


def nests(
    label: Array,
    pairs: Sequence[tuple[int, int]],
    basis: Array,
    *,
    radii: Sequence[float],
    depths: Sequence[float] = (),
    centres: int = 24,
    grains: bool = False,
    seed: int = 0,
) -> list[Nest]:
    """Regions that could slip, by what they have in common: both sides of every boundary, and every grain.

    Parameters
    ----------
    label : int array, shape (angle, row, column)
        Grains in the data frame, 0 outside.
    pairs : sequence of (int, int)
        The grains of each boundary; one without a common face gives no region.
    basis : array, shape (3, 3)
        Columns are the steps [nm] of the three indices.
    radii, depths : sequence of float
        Of balls and of slabs [nm], rising. One that would hold all of its grain, or none, is left out.
    centres : int
        Places per boundary, spread as evenly as `seed` lets them (farthest first), each with balls on either side.
    grains : bool
        Whether whole grains are candidates: those of any pair.
    """
    rng = np.random.default_rng(seed)
    voxels = np.argwhere(label > 0)
    places, owner = voxels @ basis.T, label[tuple(voxels.T)]
    members = {int(grain): np.flatnonzero(owner == grain) for grain in np.unique(owner)}
    found: list[Nest] = []
    for number, pair in enumerate(pairs):
        face = boundary_voxels(label, pair)
        if not len(face):
            continue
        tree, middle = cKDTree(face @ basis.T), _place(face[_nearest(face, basis)])
        chosen = [_place(voxel) for voxel in face[spread(face @ basis.T, centres, rng)]]
        for grain in pair:
            inside = members[grain]
            for centre in chosen:
                found.append(_balls(number, grain, centre, inside, np.linalg.norm(places[inside] - basis @ centre, axis=1), radii))
            found.append(_slabs(number, grain, middle, inside, tree.query(places[inside])[0], depths))
    for grain in sorted({grain for pair in pairs for grain in pair} & set(members)) if grains else ():
        inside = members[grain]
        middle = _place(voxels[inside][_nearest(voxels[inside], basis)])
        found.append(Nest(-1, grain, middle, "grain", inside, np.zeros(len(inside), int), (float("inf"),), np.ones((1, 1))))
    return [nest for nest in found if nest.radii]


def _balls(number: int, grain: int, centre: tuple[int, int, int], inside: Array, away: Array, radii: Sequence[float]) -> Nest:
    """Balls whose half radius reaches the grain and leaves some of it out."""
    kept = tuple(float(r) for r in radii if away.min() <= r < away.max())
    edges = np.linspace(0.0, (1 + SOFT) * max(kept, default=1.0), SHELLS + 1)
    share = np.array([_fading((edges[1:] + edges[:-1]) / 2, r) for r in kept])
    return Nest(number, grain, centre, "ball", inside, np.searchsorted(edges[1:], away), kept, share)


def _slabs(number: int, grain: int, centre: tuple[int, int, int], inside: Array, away: Array, depths: Sequence[float]) -> Nest:
    kept = tuple(float(d) for d in depths if away.min() <= d < away.max())
    return Nest(number, grain, centre, "slab", inside, np.searchsorted(kept, away), kept, np.tri(len(kept)))


def _fading(away: Array, radius: float) -> Array:
    """Part of the slip at a distance from the middle: all, then less, half at `radius`, then none. A grain does not tear inside."""
    inner = np.clip((away / radius - (1 - SOFT)) / (2 * SOFT), 0.0, 1.0)
    return (1 + np.cos(np.pi * inner)) / 2


def _place(voxel: Array) -> tuple[int, int, int]:
    return int(voxel[0]), int(voxel[1]), int(voxel[2])


def _nearest(voxels: Array, basis: Array) -> int:
    """Number of the voxel nearest to the middle of all."""
    places = voxels @ basis.T
    return int(np.argmin(np.linalg.norm(places - places.mean(axis=0), axis=1)))


def spread(places: Array, n: int, rng: np.random.Generator) -> Array:
    """Numbers of at most `n` of the places (place, axis), each the farthest from those before; all of them where there are no more.

    Examples
    --------
    >>> sorted(spread(np.arange(5.0)[:, None], 2, np.random.default_rng(1)).tolist()) != [0, 1]
    True
    """
    if len(places) <= n:
        return np.arange(len(places))
    chosen = [int(rng.integers(len(places)))]
    nearest = np.full(len(places), np.inf)
    while len(chosen) < n:
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen)


def regions_of(found: Sequence[Nest]) -> list[Region]:
    """All regions, nest by nest, the smallest of each first."""
    return [Region(nest.boundary, nest.grain, nest.centre, radius, nest.shape) for nest in found for radius in nest.radii]


def region_share(label: Array, region: Region, basis: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """How much every voxel takes part in the slip of a region, 0 to 1, shape of `label`.

    Parameters
    ----------
    label : int array, shape (angle, row, column)
    region : Region
    basis : array, shape (3, 3)
        Columns are the steps [nm] of the three indices.
    pairs : sequence of (int, int)
        Grains of each boundary; a slab lies along its own.
    """
    inside = label == region.grain
    result = inside.astype(float)
    if region.shape == "grain":
        return result
    voxels = np.argwhere(inside)
    middle = boundary_voxels(label, pairs[region.boundary]) if region.shape == "slab" else np.array([region.centre])
    away = cKDTree(middle @ basis.T).query(voxels @ basis.T)[0]
    result[inside] = away <= region.radius if region.shape == "slab" else _fading(away, region.radius)
    return result
