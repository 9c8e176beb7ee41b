"""Shapes: what is inside a particle, and the objects that are hard to phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["SHAPES", "OddObject", "odd_object", "shape_function"]

Grid = NDArray[Any]
SIZE = 0.46  # half the width of a hard object, in the units that its cells are drawn in
SMOOTH_NM = 25.0  # half a voxel of the data


def shape_function(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    """Return 1 on the surface of the truncated octahedron, less inside, more outside; points are (..., 3).

    Examples
    --------
    >>> shape_function(np.array([[0.0, 50, 0], [35.0, 35, 35]]), (100.0, 100.0, 100.0))
    array([1. , 1.2])
    """
    scaled = np.abs(2 * points / np.array(size_nm))
    return np.maximum(scaled.max(axis=-1), scaled.sum(axis=-1) / 1.75)


def _ellipsoid(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    return np.linalg.norm(2 * points / np.array(size_nm), axis=-1)


def _sphere(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    return _ellipsoid(points, (min(size_nm),) * 3)


def _touching(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    """Two octahedra, 0.6 of the extent each along x, that overlap in the middle."""
    size = np.array(size_nm) * [0.6, 0.9, 0.9]
    apart = np.array([0.2 * size_nm[0], 0.0, 0.0])
    return np.minimum(*(shape_function(points + side * apart, tuple(size)) for side in (-1, 1)))


def _corner(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    """The octahedron without one corner, as if it had dissolved."""
    return np.maximum(shape_function(points, size_nm), (2 * points / np.array(size_nm)).sum(axis=-1))


SHAPES: dict[str, Callable[[Grid, tuple[float, float, float]], Grid]] = {
    "octahedron": shape_function,
    "sphere": _sphere,
    "ellipsoid": _ellipsoid,
    "touching": _touching,
    "corner": _corner,
}


class OddObject(NamedTuple):
    """A hard object: its amplitude, phase [rad], grain of every voxel (0 outside), and the sites of the grains [nm]."""

    amplitude: Grid
    phase: Grid
    label: Grid
    sites: Grid


def odd_object(name: str, points: Grid, size_nm: tuple[float, float, float], voxel_nm: float) -> OddObject:
    """Draw one of the objects that plain phase-retrieval schedules fail on.

    ``grain-N`` is one faceted cell with a cubic phase of 8 to 12 rad, and for odd N a vortex;
    ``poly-N`` is a body cut into seven grains, each with an amplitude, an offset, a tilt and a strain of its own.
    The same `name` is always the same object.

    Parameters
    ----------
    name : str
        ``"grain-0"``, ``"poly-1"`` and so on.
    points : array, shape (z, y, x, 3)
        Positions x, y, z [nm].
    size_nm : tuple
        Extent of the object along x, y, z.
    voxel_nm : float
        Side of a voxel.
    """
    kind, _, number = name.partition("-")
    rng = np.random.default_rng(int(number))
    scaled = 2 * points / np.array(size_nm)
    amplitude, phase, cell, sites = (_grain if kind == "grain" else _poly)(scaled, rng, int(number))
    rho = amplitude * np.exp(1j * phase)
    sigma = SMOOTH_NM / voxel_nm
    rho = ndimage.gaussian_filter(rho.real, sigma) + 1j * ndimage.gaussian_filter(rho.imag, sigma)
    return OddObject(abs(rho), np.angle(rho), np.where(amplitude > 0, cell + 1, 0), sites * np.array(size_nm) / 2)


def _cells(scaled: Grid, sites: Grid) -> Grid:
    return np.argmin([((scaled * SIZE - site) ** 2).sum(axis=-1) for site in sites], axis=0)


def _grain(scaled: Grid, rng: np.random.Generator, number: int) -> tuple[Grid, Grid, Grid, Grid]:
    rng.uniform(size=(60, 3))  # keeps the draws, and so the objects, of the study that found them hard
    sites = rng.uniform(-1.2, 1.2, (14, 3))
    sites[0] = 0.02
    inside = (_cells(scaled[..., ::-1], sites) == 0) & (abs(scaled).max(axis=-1) < 1)
    z, y, x = np.moveaxis(scaled, -1, 0)  # the study named the slow axis x
    phase = 0.8 * np.pi * (1.1 * x * y + 0.9 * z**2 - 0.7 * x * z + 0.8 * y**3 - 0.6 * x**2)
    if number % 2:
        phase = phase + np.arctan2(y - 0.1, x + 0.15)
    return inside.astype(float), phase, np.zeros(inside.shape, int), np.zeros((1, 3))


def _poly(scaled: Grid, rng: np.random.Generator, number: int) -> tuple[Grid, Grid, Grid, Grid]:
    rng.uniform(size=(60, 3))
    sites = rng.uniform(-0.7, 0.7, (7, 3))
    cell = _cells(scaled[..., ::-1], sites)
    z, y, x = np.moveaxis(scaled, -1, 0)  # the study named the slow axis x
    inside = (1.1 * x**2 + 0.9 * y**2 + z**2 + 0.25 * x * y < 1) & (abs(x + y) < 1.15) & (z < 0.8)
    amplitude, phase = np.zeros(cell.shape), np.zeros(cell.shape)
    for k in range(len(sites)):
        c, offset = rng.standard_normal(9), rng.uniform(-np.pi, np.pi)
        tilted = offset + 0.405 * np.pi * (c[0] * x + c[1] * y + c[2] * z) + 0.8 * (c[3] * x * y + c[4] * y * z + c[5] * x * x)
        phase[cell == k] = tilted[cell == k]
        amplitude[cell == k] = rng.uniform(0.55, 1.0)
    return np.where(inside, amplitude, 0.0), phase, cell, sites[:, ::-1] / SIZE
