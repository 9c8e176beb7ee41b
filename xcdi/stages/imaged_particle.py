"""The imaged particle as a series may see it: object, grains and boundaries in one frame, and whether it is the same particle."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches.regions import Nest, Region, nests, regions_of
from xcdi.stages.series import Movie

__all__ = ["Particle", "grains_in_data_frame", "imaged", "on_box", "same_experiment"]

RADII = tuple(np.geomspace(0.2, 1.3, 9))  # of balls, of the radius of a sphere of the particle's volume
DEPTHS = tuple(np.geomspace(0.08, 0.8, 8))  # of slabs, the same
SAME = {"energy_kev": 1e-3, "distance_m": 5e-3, "pixel_size_m": 1e-3}  # relative
COVERED = 0.4  # of the object's pixels that the series must have


class Particle(NamedTuple):
    """The imaged particle in its data frame.

    Attributes
    ----------
    rho : complex array, shape (angle, row, column)
        With the phase ramp it was measured with; 0 outside the grains.
    label : int array, same shape
        Grain, 0 outside.
    basis : array, shape (3, 3)
        Columns are the steps [nm] of the three indices.
    pairs : list of (int, int)
        Grains of each boundary.
    areas : list of float
        Of each boundary [nm2].
    found : list of Nest
        Regions that may slip.
    regions : list of Region
        The same, one by one.
    """

    rho: np.ndarray
    label: np.ndarray
    basis: np.ndarray
    pairs: list[tuple[int, int]]
    areas: list[float]
    found: list[Nest]
    regions: list[Region]


def imaged(phased: xr.Dataset, crystal: xr.Dataset, boundaries: xr.Dataset, *, centres: int, seed: int) -> Particle:
    """Bring object, grains and boundaries together, with the regions that may slip.

    Parameters
    ----------
    phased, crystal, boundaries : Dataset
        As of :func:`xcdi.stages.attribution.attribute`.
    centres : int
        Places on each boundary.
    seed : int
        Of their choice.
    """
    basis, label = phased.voxel_basis.to_numpy(), grains_in_data_frame(crystal, phased)
    place = (np.moveaxis(np.indices(label.shape), 0, -1) - np.array(label.shape) // 2) @ basis.T
    ramp = np.exp(1j * place @ np.asarray(phased.attrs.get("ramp", np.zeros(3)), float))
    rho = np.where(label > 0, phased.rho.to_numpy().astype(np.complex128) * ramp, 0.0)
    pairs = [(int(i), int(j)) for i, j in zip(boundaries.i.values, boundaries.j.values, strict=True)]
    areas = list(boundaries.area_nm2.to_numpy().astype(float)) if "area_nm2" in boundaries else [1.0] * len(pairs)
    volume = float((label > 0).sum()) * abs(float(np.linalg.det(basis)))
    sphere = (0.75 * volume / np.pi) ** (1 / 3)
    radii, depths = ([sphere * part for part in parts] for parts in (RADII, DEPTHS))
    found = nests(label, pairs, basis, radii=radii, depths=depths, centres=centres, grains=True, seed=seed)
    return Particle(rho, label, basis, pairs, areas, found, regions_of(found))


def grains_in_data_frame(crystal: xr.Dataset, phased: xr.Dataset) -> np.ndarray:
    """Grain number of every voxel of the phased object: that of the nearest laboratory voxel, 0 outside.

    Parameters
    ----------
    crystal : CRYSTAL
        With `grain`; coordinates x, y, z [nm] whose zero is the middle voxel of `phased`.
    phased : OBJECT
    """
    if "grain" not in crystal:
        raise SchemaError("the crystal has no 'grain'; run stages.grains.grains on it first")
    shape = phased.rho.shape
    index = np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) // 2
    place = index @ phased.voxel_basis.to_numpy().T
    near, inside = [], np.ones(shape, bool)
    for dim, axis in (("z", 2), ("y", 1), ("x", 0)):
        line = crystal[dim].to_numpy()
        at = np.rint((place[..., axis] - line[0]) / (line[1] - line[0])).astype(int)
        inside &= (at >= 0) & (at < line.size)
        near.append(np.clip(at, 0, line.size - 1))
    return np.where(inside, crystal.grain.transpose("z", "y", "x").to_numpy()[tuple(near)], 0)


def same_experiment(correlation: xr.Dataset, phased: xr.Dataset) -> None:
    """Refuse a series of another photon energy, camera or reflection than the object was imaged with.

    Raises
    ------
    XcdiError
        Names what differs, both values, and what to do. What either side does not state is not compared.
    """
    for name, tolerance in SAME.items():
        if name in correlation.attrs and name in phased.attrs:
            one, other = (np.asarray(ds.attrs[name], float) for ds in (correlation, phased))
            if not np.allclose(one, other, rtol=tolerance, atol=0):
                raise XcdiError(f"{name} of the series is {_told(one)}, of the crystal {_told(other)}; both must be of one set-up")
    if "q_peak" in correlation.attrs and "q_peak" in phased and "q_basis" in phased:
        one, other = np.asarray(correlation.attrs["q_peak"], float), phased.q_peak.to_numpy()
        room = float(np.linalg.norm(np.abs(phased.q_basis.to_numpy()) @ (np.array(phased.rho.shape) / 2)))
        if np.linalg.norm(one - other) > room:
            raise XcdiError(f"q of the series is {_told(one)} 1/nm, of the crystal {_told(other)}; both must be of one reflection")


def _told(value: np.ndarray) -> Any:
    return f"{float(value):.6g}" if value.ndim == 0 else f"({', '.join(f'{v:.4g}' for v in value)})"


def on_box(seen: Movie, phased: xr.Dataset) -> Movie:
    """Put the series on the grid of pixels that the object was made from.

    Raises
    ------
    SchemaError
        If the object does not say which pixels those are.
    XcdiError
        If the series has too few of them.
    """
    if "box" not in phased.attrs:
        raise SchemaError("the object has no attribute 'box', the pixels it was made from; take it from stages.phasing")
    box = json.loads(phased.attrs["box"])
    start, stop = ([int(box[dim][end]) for dim in ("y", "x")] for end in (0, 1))
    shape = (stop[0] - start[0], stop[1] - start[1])
    if shape != phased.rho.shape[1:]:
        raise SchemaError(f"the box of the object has {shape} pixels and its object {phased.rho.shape[1:]}; they must agree")
    parts = [_overlap(start[k], stop[k], seen.corner[k], seen.valid.shape[k]) for k in range(2)]
    frames, valid = np.zeros((len(seen.frames), *shape), seen.frames.dtype), np.zeros(shape, bool)
    (to_row, of_row), (to_column, of_column) = parts
    frames[:, to_row, to_column] = seen.frames[:, of_row, of_column]
    valid[to_row, to_column] = seen.valid[of_row, of_column]
    if valid.mean() < COVERED:
        raise XcdiError(
            f"the series has {valid.mean():.0%} of the pixels {start} to {stop} that the object was made from, "
            f"expected {COVERED:.0%} or more; choose the same region"
        )
    return seen._replace(frames=frames, valid=valid, corner=(start[0], start[1]))


def _overlap(start: int, stop: int, corner: int, length: int) -> tuple[slice, slice]:
    """Where pixels `corner` and on lie among `start` to `stop`, and the same pixels counted from the corner; empty if nowhere."""
    low = max(start, corner)
    high = max(min(stop, corner + length), low)
    return slice(low - start, high - start), slice(low - corner, high - corner)
