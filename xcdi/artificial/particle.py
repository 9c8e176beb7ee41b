"""Particle: its shape, its grains, and how its lattice is displaced along G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xcdi.artificial import dislocations
from xcdi.artificial.dislocations import Dislocation
from xcdi.artificial.instrument import sampling
from xcdi.artificial.profiles import Profile
from xcdi.artificial.shapes import SHAPES, odd_object

__all__ = ["Axes", "Boundary", "Particle", "boundaries", "build", "grid", "labels"]

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
        0 outside, 1 in the middle of a grain, less in its boundary layer; of all grains.
    cell, label : array of int16
        Grain of every voxel; `cell` from 0 and outside the particle the nearest one, `label` from 1 and outside 0.
    displacement : array
        Displacement along the first G [nm].
    across : array, shape (2, z, y, x)
        Displacement along the other two of :attr:`Sampling.directions` of the first G.
    distortion : array, shape (3, 3, z, y, x)
        Derivative of the displacement along direction i in direction j; 0 outside.
    slow : array, shape (y, x)
        Pattern of the slow relaxation, mean 0 and mean square 1 under the object [rad].
    sites, distortions : array, shape (grain, 3), (grain, 3, 3)
        Centre and mean distortion of every grain.
    turned : array, shape (grain,)
        Turn [rad] of a grain about the beam, which takes it away from every recorded peak; 0 for most.
    directions : array, shape (3, 3)
        Rows are unit vectors: along the first G, along y, and across both.
    lines : tuple of Dislocation
        Dislocations.
    """

    axes: Axes
    amplitude: Grid
    cell: Grid
    label: Grid
    displacement: Grid
    across: Grid
    distortion: Grid
    slow: Grid
    sites: Grid
    distortions: Grid
    turned: Grid
    directions: Grid
    q_peak: float
    lines: tuple[Dislocation, ...] = ()

    @property
    def rho(self) -> NDArray[np.complex128]:
        """The complex object ``A exp(-i G u)`` of the first peak (Robinson and Harder, Nature Materials 8, 291 (2009))."""
        return self.seen * np.exp(-1j * self.q_peak * self.displacement)

    @property
    def seen(self) -> Grid:
        """Amplitude of the grains that are not turned away."""
        return np.where(self.turned[self.cell] == 0, self.amplitude, 0.0)

    def field(self, peak: Grid) -> NDArray[np.complex128]:
        """The complex object ``A exp(-i G . u)`` of the reciprocal vector `peak` [1/nm]."""
        along = self.directions @ peak
        phase = along[0] * self.displacement + along[1] * self.across[0] + along[2] * self.across[1]
        return self.seen * np.exp(-1j * phase)

    @property
    def vector(self) -> Grid:
        """Displacement (3, z, y, x), components x, y, z [nm]."""
        return np.einsum("dv,dzyx->vzyx", self.directions, np.stack([self.displacement, *self.across]))


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
    sites = tries[SHAPES[p.shape](tries, p.size_nm) < 0.85][: p.grains]
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


def _grain_distortion(volumes: Grid, p: Profile, rng: dict[str, np.random.Generator]) -> tuple[Grid, Grid]:
    """Distortion (grain, 3, 3) and offset (grain, 3) [periods of the lattice] of every grain; the mean distortion is zero.

    The row along G is drawn by itself, so that it is the same however many peaks are recorded.
    """
    first = rng["distortion"].standard_normal((len(volumes), 3)) * [p.strain, *[np.deg2rad(p.tilt_deg)] * 2]
    first -= volumes @ first / volumes.sum()
    offsets = rng["distortion"].random(len(volumes))
    strains = rng["transverse"].standard_normal((len(volumes), 5)) * p.strain
    turn = rng["transverse"].standard_normal(len(volumes)) * np.deg2rad(p.tilt_deg)
    xy, xz, yy, zz, yz = (strains - volumes @ strains / volumes.sum()).T
    turn -= volumes @ turn / volumes.sum()
    second = np.stack([2 * xy - first[:, 1], yy, yz + turn], axis=1)
    third = np.stack([2 * xz - first[:, 2], yz - turn, zz], axis=1)
    return np.stack([first, second, third], axis=1), np.column_stack([offsets, rng["transverse"].random((len(volumes), 2))])


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
        Streams ``grains``, ``distortion``, ``smooth``, ``slow`` and others of :func:`xcdi.artificial.streams.streams`.
    """
    axes = grid(p)
    points = axes.points()
    if p.object != "particle":
        return _odd(p, axes, points, rng)
    surface = SHAPES[p.shape](points, p.size_nm)
    soft = 1 / (1 + np.exp((surface - 1) * np.mean(p.size_nm) / (2 * 0.35 * p.edge_nm)))
    inside = soft > 0.5
    sites = _grain_sites(points, inside, p, rng["grains"])
    cell, gap = labels(points, sites)
    volumes = np.bincount(cell[inside], minlength=len(sites))
    distortions, offsets = _grain_distortion(volumes, p, rng)
    lines = dislocations.draw(p, points, cell, inside & (gap > 2 * p.edge_nm) & (surface < 0.7), rng["dislocations"])
    amplitude = soft * (1 - 0.6 * np.exp(-((gap / (0.6 * p.edge_nm)) ** 2))) * _grain_amplitudes(p, len(sites), rng)[cell]
    u, slopes = _of_grains(cell, (points - sites[cell]) @ sampling(p).directions.T, distortions, offsets * (2 * np.pi / p.q_peak))
    _add_smooth(u, slopes, p, inside, [rng["smooth"], *rng["transverse"].spawn(2)])
    _add_lines(u, slopes, p, points, cell, lines)
    slopes, label = (slopes * inside).astype(np.float32), np.where(inside, cell + 1, 0).astype(np.int16)
    return Particle(
        axes=axes,
        amplitude=amplitude * dislocations.core_amplitude(lines, p, points, cell),
        cell=cell.astype(np.int16),
        label=label,
        displacement=u[0],
        across=u[1:],
        distortion=slopes,
        slow=_slow_pattern(amplitude, 2.5 * p.edge_nm / p.voxel_nm, rng["slow"]),
        sites=sites,
        distortions=_means(slopes, label, len(sites)),
        turned=_turned(p, len(sites), rng["high_angle"]),
        directions=sampling(p).directions,
        q_peak=p.q_peak,
        lines=tuple(lines),
    )


def _grain_amplitudes(p: Profile, count: int, rng: dict[str, np.random.Generator]) -> Grid:
    own = rng["amplitudes"].uniform(0.8, 1.0, count)
    return p.debye_waller * (own if p.grain_amplitudes else np.ones(count))


def _turned(p: Profile, count: int, rng: np.random.Generator) -> Grid:
    """Turn [rad] of every grain about the beam: 10 to 30 degrees either way for `high_angle` of them."""
    chosen, angles = rng.permutation(count), np.deg2rad(rng.uniform(10, 30, count)) * rng.choice([-1, 1], count)
    return np.where(np.isin(np.arange(count), chosen[: min(p.high_angle, count - 1)]), angles, 0.0)


def _of_grains(cell: Grid, away: Grid, distortions: Grid, offsets: Grid) -> tuple[Grid, Grid]:
    """Displacement (3, z, y, x) [nm] of grains that are evenly distorted about their sites, and its slopes (3, 3, z, y, x)."""
    u = np.einsum("zyxij,zyxj->izyx", distortions[cell], away)
    return u + np.moveaxis(offsets[cell], -1, 0), np.moveaxis(distortions[cell], (-2, -1), (0, 1)).copy()


def _add_smooth(u: Grid, slopes: Grid, p: Profile, inside: Grid, sources: list[np.random.Generator]) -> None:
    for component, source in enumerate(sources):
        smooth, gradient = _smooth_displacement(inside, p, component, source)
        u[component] += smooth
        slopes[component] += gradient


def _add_lines(u: Grid, slopes: Grid, p: Profile, points: Grid, cell: Grid, lines: list[Dislocation]) -> None:
    directions = sampling(p).directions
    for line in lines:
        there = (cell == line.grain) | (line.grain < 0)
        moved, gradient = dislocations.displaced(line, p, points)
        u += np.einsum("dv,vzyx->dzyx", directions, moved) * there
        slopes += np.einsum("dv,ew,vwzyx->dezyx", directions, directions, gradient, optimize=True) * there


def _odd(p: Profile, axes: Axes, points: Grid, rng: dict[str, np.random.Generator]) -> Particle:
    """A hard object: its strain is the gradient of its phase."""
    amplitude, phase, label, sites = odd_object(p.object, points, p.size_nm, p.voxel_nm)
    wave = np.exp(1j * phase)
    along = np.stack([(wave.conj() * g).imag for g in np.gradient(wave, p.voxel_nm)[::-1]]) / -p.q_peak
    directions = sampling(p).directions
    distortion = np.zeros((3, 3, *label.shape), np.float32)
    distortion[0] = np.einsum("dv,vzyx->dzyx", directions, along) * (label > 0)
    cell = np.maximum(label - 1, 0).astype(np.int16)
    return Particle(
        axes=axes,
        amplitude=amplitude,
        cell=cell,
        label=label.astype(np.int16),
        displacement=-phase / p.q_peak,
        across=np.zeros((2, *label.shape)),
        distortion=distortion,
        slow=_slow_pattern(amplitude, 2.5 * p.edge_nm / p.voxel_nm, rng["slow"]),
        sites=sites,
        distortions=_means(distortion, label, len(sites)),
        turned=np.zeros(len(sites)),
        directions=directions,
        q_peak=p.q_peak,
    )


def _means(distortion: Grid, label: Grid, count: int) -> Grid:
    """Mean distortion (grain, 3, 3) of every grain; 0 of one without a voxel."""
    means = np.zeros((count, 3, 3))
    for grain in np.unique(label[label > 0]):
        means[grain - 1] = distortion[:, :, label == grain].mean(axis=-1, dtype=float)
    return means


def _smooth_displacement(inside: Grid, p: Profile, component: int, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Smooth part of one component of u [nm], and its slopes along the three directions; correlation length 250 nm."""
    field = _smooth_field(inside.shape, 125.0 / p.voxel_nm, rng)
    dz, dy, dx = np.gradient(field, p.voxel_nm)
    slopes = np.einsum("dv,vzyx->dzyx", sampling(p).directions, np.stack([dx, dy, dz]))
    scale = p.smooth_strain / slopes[component][inside].std()
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
