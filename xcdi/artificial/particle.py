"""Particle: its shape, its grains, and how its lattice is displaced along G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xcdi.artificial.instrument import sampling
from xcdi.artificial.profiles import Profile

__all__ = ["Axes", "Boundary", "Particle", "boundaries", "build", "grid", "labels", "shape_function"]

Grid = NDArray[Any]


class Axes(NamedTuple):
    """Positions [nm] along x, y and z of the grid an object is drawn on; arrays are (z, y, x)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]

    def dot(self, vector: Grid) -> Grid:
        """Scalar product of every position with `vector` (x, y, z), shape (z, y, x)."""
        return vector[0] * self.x + vector[1] * self.y[:, None] + vector[2] * self.z[:, None, None]

    def points(self) -> Grid:
        """All positions, shape (z, y, x, 3); the last axis is x, y, z."""
        z, y, x = np.meshgrid(self.z, self.y, self.x, indexing="ij")
        return np.stack([x, y, z], axis=-1)


@dataclass(frozen=True)
class Particle:
    """A polycrystalline particle; arrays are (z, y, x), vectors (x, y, z), lengths nm.

    Attributes
    ----------
    axes : Axes
        Positions of the voxels.
    amplitude : array
        0 outside, 1 in the middle of a grain, less in its boundary layer.
    label : array of int16
        Grain of every voxel, from 1; 0 outside.
    displacement : array
        Displacement along G [nm].
    strain, tilt_up, tilt_third : array
        Its derivatives along G, along y, and along the third direction (:attr:`Sampling.directions`); 0 outside.
    slow : array, shape (y, x)
        Pattern of the slow relaxation, mean 0 and mean square 1 under the object [rad].
    sites, strains, tilts : array, shape (grain, 3), (grain,), (grain, 2)
        Centre, mean strain and mean tilts [rad] of every grain.
    q_peak : float
        Length of G [1/nm].
    """

    axes: Axes
    amplitude: Grid
    label: Grid
    displacement: Grid
    strain: Grid
    tilt_up: Grid
    tilt_third: Grid
    slow: Grid
    sites: Grid
    strains: Grid
    tilts: Grid
    q_peak: float

    @property
    def rho(self) -> NDArray[np.complex128]:
        """The complex object ``A exp(-i G u)`` (Robinson and Harder, Nature Materials 8, 291 (2009))."""
        return self.amplitude * np.exp(-1j * self.q_peak * self.displacement)


class Boundary(NamedTuple):
    """Where two grains meet."""

    grains: tuple[int, int]
    area_nm2: float
    normal: Grid
    voxels: Grid  # positions (n, 3) of the voxels on either side


def grid(p: Profile) -> Axes:
    """Positions centred on the particle, with two edge lengths of room around it."""
    sizes = (int(np.ceil((size + 4 * p.edge_nm) / p.voxel_nm)) for size in p.size_nm)
    x, y, z = ((np.arange(n, dtype=np.float64) - (n - 1) / 2) * p.voxel_nm for n in sizes)
    return Axes(x, y, z)


def shape_function(points: Grid, size_nm: tuple[float, float, float]) -> Grid:
    """Return 1 on the surface of the truncated octahedron, less inside, more outside; points are (..., 3).

    Examples
    --------
    >>> shape_function(np.array([[0.0, 50, 0], [35.0, 35, 35]]), (100.0, 100.0, 100.0))
    array([1. , 1.2])
    """
    scaled = np.abs(2 * points / np.array(size_nm))
    return np.maximum(scaled.max(axis=-1), scaled.sum(axis=-1) / 1.75)


def labels(points: Grid, sites: Grid) -> tuple[Grid, Grid]:
    """Return the nearest site of every point, and the distance [same unit] to the plane that bounds its cell.

    Examples
    --------
    >>> cell, gap = labels(np.array([[1.0, 0, 0]]), np.array([[0.0, 0, 0], [4.0, 0, 0]]))
    >>> int(cell[0]), float(gap[0])
    (0, 1.0)
    """
    squares = np.stack([((points - site) ** 2).sum(axis=-1) for site in sites])
    cell = squares.argmin(axis=0)
    if len(sites) == 1:
        return cell, np.full(cell.shape, np.inf)
    apart = np.linalg.norm(sites[:, None] - sites[None], axis=-1)
    width = np.moveaxis(np.where(apart > 0, apart, np.inf)[cell], -1, 0)
    planes = (squares - squares.min(axis=0)) / (2 * width)
    own = np.arange(len(sites)).reshape(-1, *[1] * cell.ndim) == cell
    return cell, np.where(own, np.inf, planes).min(axis=0)


def _grain_sites(points: Grid, inside: Grid, p: Profile, rng: np.random.Generator) -> Grid:
    """Random sites in the inner 0.85 of the shape, evened out by three rounds of Lloyd's algorithm."""
    tries = (rng.random((100 * p.grains, 3)) - 0.5) * np.array(p.size_nm)
    sites = tries[shape_function(tries, p.size_nm) < 0.85][: p.grains]
    held = points[inside]
    for _ in range(3):
        cell, _ = labels(held, sites)
        sites = np.array([held[cell == g].mean(axis=0) if (cell == g).any() else sites[g] for g in range(len(sites))])
    return sites


def _smooth_field(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Grid:
    """Gaussian random field of correlation `sigma` [voxel]; the room around it keeps opposite sides independent."""
    room = int(np.ceil(4 * sigma))
    noise = rng.standard_normal([n + room for n in shape])
    return ndimage.gaussian_filter(noise, sigma, mode="wrap")[tuple(slice(n) for n in shape)]


def _grain_distortion(volumes: Grid, p: Profile, rng: np.random.Generator) -> tuple[Grid, Grid, Grid]:
    """Strain, two tilts and offset [periods of the lattice] of every grain; the mean distortion is zero."""
    random = rng.standard_normal((len(volumes), 3)) * [p.strain, *[np.deg2rad(p.tilt_deg)] * 2]
    random -= volumes @ random / volumes.sum()
    return random[:, 0], random[:, 1:], rng.random(len(volumes))


def _slow_pattern(amplitude: Grid, sigma: float, rng: np.random.Generator) -> Grid:
    weight = (amplitude**2).sum(axis=0)
    field = ndimage.gaussian_filter(rng.standard_normal(weight.shape), sigma, mode="wrap")
    field -= (weight * field).sum() / weight.sum()
    return field / np.sqrt((weight * field**2).sum() / weight.sum())


def build(p: Profile, rng: dict[str, np.random.Generator]) -> Particle:
    """Draw the particle of profile `p`.

    Parameters
    ----------
    p : Profile
        Sizes and strengths.
    rng : dict
        Streams ``grains``, ``distortion``, ``smooth`` and ``slow`` of :func:`xcdi.artificial.streams.streams`.
    """
    axes = grid(p)
    points = axes.points()
    surface = shape_function(points, p.size_nm)
    soft = 1 / (1 + np.exp((surface - 1) * np.mean(p.size_nm) / (2 * 0.35 * p.edge_nm)))
    inside = soft > 0.5
    sites = _grain_sites(points, inside, p, rng["grains"])
    cell, gap = labels(points, sites)
    amplitude = soft * (1 - 0.6 * np.exp(-((gap / (0.6 * p.edge_nm)) ** 2)))

    along, up, third = (axes.dot(direction) for direction in sampling(p).directions)
    strains, tilts, offsets = _grain_distortion(np.bincount(cell[inside], minlength=len(sites)), p, rng["distortion"])
    smooth, slopes = _smooth_displacement(inside, p, rng["smooth"])
    home = np.stack([sites @ direction for direction in sampling(p).directions])
    displacement = strains[cell] * (along - home[0][cell]) + offsets[cell] * (2 * np.pi / p.q_peak) + smooth
    displacement += tilts[cell, 0] * (up - home[1][cell]) + tilts[cell, 1] * (third - home[2][cell])
    return Particle(
        axes=axes,
        amplitude=amplitude,
        label=np.where(inside, cell + 1, 0).astype(np.int16),
        displacement=displacement,
        strain=np.where(inside, strains[cell] + slopes[0], 0.0),
        tilt_up=np.where(inside, tilts[cell, 0] + slopes[1], 0.0),
        tilt_third=np.where(inside, tilts[cell, 1] + slopes[2], 0.0),
        slow=_slow_pattern(amplitude, 2.5 * p.edge_nm / p.voxel_nm, rng["slow"]),
        sites=sites,
        strains=strains,
        tilts=tilts,
        q_peak=p.q_peak,
    )


def _smooth_displacement(inside: Grid, p: Profile, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Smooth part of u [nm] and its slopes along G, y and the third direction; correlation length 250 nm."""
    field = _smooth_field(inside.shape, 125.0 / p.voxel_nm, rng)
    dz, dy, dx = np.gradient(field, p.voxel_nm)
    slopes = np.einsum("dv,vzyx->dzyx", sampling(p).directions, np.stack([dx, dy, dz]))
    scale = p.smooth_strain / slopes[0][inside].std()
    return field * scale, slopes * scale


def boundaries(particle: Particle) -> list[Boundary]:
    """All pairs of grains that touch, with the area of the plane between them.

    A plane shows more voxel faces than its area by the sum of the components of its normal.
    """
    faces: dict[tuple[int, int], list[Grid]] = {}
    points = particle.axes.points()
    for axis in range(3):
        low, high = (np.take(particle.label, range(s, particle.label.shape[axis] - 1 + s), axis) for s in (0, 1))
        low_points, high_points = (np.take(points, range(s, points.shape[axis] - 1 + s), axis) for s in (0, 1))
        meet = (low != high) & (low > 0) & (high > 0)
        pairs = np.sort(np.stack([low[meet], high[meet]], axis=1), axis=1)
        ends = np.stack([low_points[meet], high_points[meet]], axis=1)
        for pair in np.unique(pairs, axis=0):
            faces.setdefault((int(pair[0]), int(pair[1])), []).append(ends[(pairs == pair).all(axis=1)])
    return [_boundary(pair, np.concatenate(faces[pair]), particle) for pair in sorted(faces)]


def _boundary(pair: tuple[int, int], ends: Grid, particle: Particle) -> Boundary:
    across = particle.sites[pair[1] - 1] - particle.sites[pair[0] - 1]
    normal = across / np.linalg.norm(across)
    voxel = np.prod([np.diff(axis[:2])[0] for axis in particle.axes]) ** (2 / 3)
    return Boundary(pair, float(len(ends) * voxel / np.abs(normal).sum()), normal, np.unique(ends.reshape(-1, 3), axis=0))
