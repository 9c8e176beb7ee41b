"""Crystals of several reflections of one particle brought into one frame, on one grid, and of one hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import geometry, joining, strain
from xcdi.schema import LAB
from xcdi.stages import instrument
from xcdi.stages.strain import basis_of, object_of, vector_of

__all__ = ["Grid", "Placed", "Seen", "apart", "beyond", "error_on_grid", "grid_of", "name_of", "oriented", "registered", "seen_of"]

ROOM = 3  # voxels around the largest crystal


class Seen(NamedTuple):
    """One reflection's crystal, and how it comes into the frame of the first: turned by `turn` about `centre`."""

    crystal: xr.Dataset
    name: str
    turn: Array
    centre: Array  # x, y, z [nm] in its own frame


class Grid(NamedTuple):
    """Upright grid in the frame of the first crystal whose middle n // 2 is at the centre of that crystal."""

    voxel: float
    shape: tuple[int, int, int]


class Placed(NamedTuple):
    """A reflection on the common grid, and where that puts its crystal."""

    rho: Array
    support: Array
    twin: bool
    shift: Array  # x, y, z [nm]


def oriented(crystal: xr.Dataset, peak: xr.Dataset) -> xr.Dataset:
    """Return the crystal with the attribute sample_rotation: how the circles had turned the sample when it was measured.

    Parameters
    ----------
    crystal : CRYSTAL
    peak : PEAK
        With the attribute geometry and the motors of all circles that carry the sample; the middle frame n // 2 counts, as
        for `q_peak`.

    Raises
    ------
    SchemaError
        If the peak lacks the geometry, a motor or its angle.
    """
    turned = instrument.sample_rotation(peak, peak.sizes["frame"] // 2)
    return crystal.assign_attrs(sample_rotation=turned.ravel().tolist())


def name_of(crystal: xr.Dataset) -> str:
    """Name of the scan that a crystal was phased from."""
    return str(crystal.attrs.get("scan", "without a name"))


def _rotation(crystal: xr.Dataset) -> Array:
    return np.asarray(crystal.attrs["sample_rotation"], dtype=float).reshape(3, 3)


def seen_of(crystal: xr.Dataset, first: xr.Dataset) -> Seen:
    """How a crystal comes into the laboratory as it was when `first` was measured."""
    weight = np.where(crystal.support, np.abs(object_of(crystal)) ** 2, 0.0)
    lines = (crystal[axis].to_numpy() for axis in "xyz")
    sums = (weight.sum(axis=tuple(k for k in range(3) if LAB[k] != axis)) for axis in "xyz")
    centre = np.array([np.average(line, weights=total) for line, total in zip(lines, sums, strict=True)])
    return Seen(crystal, name_of(crystal), _rotation(first) @ _rotation(crystal).T, centre)


def grid_of(seen: Sequence[Seen], voxel_nm: float | None) -> Grid:
    """A grid that holds every crystal turned either way, with room to move."""
    voxel = voxel_nm or min(float(np.linalg.norm(basis_of(one.crystal), axis=0).min()) for one in seen)
    reach = np.max([np.abs(_places(one) @ one.turn.T).max(axis=0) for one in seen], axis=0)[::-1] / voxel
    sides = [2 * (math.ceil(half) + ROOM) for half in reach]
    return Grid(voxel, (sides[0], sides[1], sides[2]))


def _places(one: Seen) -> Array:
    """Places (voxel, 3) of the support, x, y, z [nm] from the centre."""
    index = np.argwhere(one.crystal.support.to_numpy())
    lines = [one.crystal[dim].to_numpy()[index[:, k]] for k, dim in enumerate(LAB)]
    return np.stack(lines[::-1], axis=1) - one.centre


def _onto(one: Seen, grid: Grid, twin: bool, shift: Array) -> dict[str, Any]:
    """Arguments of resampling that bring arrays of a crystal onto the grid, moved by `shift` [nm], turned inside out or not."""
    hand = -1.0 if twin else 1.0
    middle = np.array([float(one.crystal[axis][one.crystal.sizes[axis] // 2]) for axis in "xyz"])
    origin = hand * one.turn @ (middle - one.centre) + shift
    return {"basis": hand * one.turn @ basis_of(one.crystal), "voxel": grid.voxel, "shape": grid.shape, "centre": -origin}


def _placed(one: Seen, grid: Grid, *, twin: bool = False, shift: Array | None = None) -> Placed:
    """The complex object of a reflection, resampled exactly, and its support."""
    moved = np.zeros(3) if shift is None else shift
    onto = _onto(one, grid, twin, moved)
    rho = geometry.resample(object_of(one.crystal), **onto)
    support = geometry.resample_linear(one.crystal.support.to_numpy().astype(np.float32), **onto) > 0.5
    return Placed(np.conj(rho) if twin else rho, support, twin, moved)


def registered(seen: Sequence[Seen], grid: Grid, twins: Sequence[bool] | None = None) -> tuple[list[Placed], joining.Hands]:
    """Lay every reflection upon the first, and choose their hands together, unless `twins` says them."""
    first = _placed(seen[0], grid)
    reference = np.abs(first.rho) * first.support
    either: list[list[Placed]] = [[first, first]]
    likeness = [[1.0, 1.0]]
    for one in seen[1:]:
        both = [_laid(one, grid, reference, twin) for twin in (False, True)]
        either.append([placed for placed, _ in both])
        likeness.append([alike for _, alike in both])
    hands = _chosen(seen, either, likeness, grid, twins)
    return [pair[int(twin)] for pair, twin in zip(either, hands.twin, strict=True)], hands


def _chosen(
    seen: Sequence[Seen], either: list[list[Placed]], likeness: list[list[float]], grid: Grid, twins: Sequence[bool] | None
) -> joining.Hands:
    """Hands by amplitude and phase, where both hands of all reflections are; or those that are stated, and what speaks against them."""
    reference = np.abs(either[0][0].rho)
    common = np.all([placed.support for pair in either for placed in pair], axis=0)
    if not common.any():
        raise apart(seen)
    basis, weight = geometry.lab_basis(grid.voxel), np.where(common, reference**2, 0.0)
    slopes = [[beyond(np.where(common, placed.rho, 0), weight, basis)[0] for placed in pair] for pair in either]
    g = np.array([one.turn @ vector_of(one.crystal, "q_peak") for one in seen])
    data = np.array(likeness), g, np.array(slopes), weight
    return joining.choose_hands(*data) if twins is None else joining.stated_hands(np.array(twins), *data)


def _laid(one: Seen, grid: Grid, reference: Array, twin: bool) -> tuple[Placed, float]:
    """A reflection of one hand where its amplitude fits best, and how well it does."""
    there = _placed(one, grid, twin=twin)
    shift, alike = joining.shift_onto(np.abs(there.rho) * there.support, reference)
    return _placed(one, grid, twin=twin, shift=grid.voxel * shift[::-1]), alike


def beyond(rho: Array, weight: Array, basis: Array) -> tuple[Array, Array]:
    """Phase gradient (3, z, y, x) beyond its weighted mean, and the mean (3,)."""
    slope = strain.gradient(rho, basis)
    mean = np.array([np.average(component, weights=weight) for component in slope])
    return np.where(weight > 0, slope - mean[:, None, None, None], 0.0), mean


def error_on_grid(one: Seen, placed: Placed, grid: Grid, name: str) -> Array:
    """An error map on the common grid, not watered down by what lies outside the crystal."""
    values = one.crystal[name].to_numpy()
    known = np.isfinite(values) & one.crystal.support.to_numpy()
    onto = _onto(one, grid, placed.twin, placed.shift)
    total = geometry.resample_linear(np.where(known, values, 0.0).astype(float), **onto)
    share = geometry.resample_linear(known.astype(float), **onto)
    return np.where(share > 0, total / np.maximum(share, 1e-12), 0.0)


def apart(seen: Sequence[Seen]) -> XcdiError:
    """What to raise where crystals have nothing in common."""
    return XcdiError(f"the crystals of {', '.join(one.name for one in seen)} share no voxel; are they of one particle in one state?")
