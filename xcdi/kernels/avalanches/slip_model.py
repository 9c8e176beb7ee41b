r"""One displacement for all reflections: how well the slip of a region by :math:`\Delta u` explains what each of them saw.

Every reflection has its own object, in its own data frame, and its own pattern; the region is a place in space, the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from xcdi.backend import Array
from xcdi.kernels.avalanches.attribution import Change
from xcdi.kernels.avalanches.regions import boundary_voxels, spread
from xcdi.kernels.avalanches.slips import reach
from xcdi.kernels.avalanches.views import View

__all__ = ["Body", "Common", "Cost", "Part", "common_slip", "costs", "full_length", "members", "part_waves", "parts_at", "slipped"]

STEP = np.pi / 10  # of the largest phase, between displacements that are tried
NEWTON = 12
SPECKLES = 25.0  # independent speckles that share the misfit which a wrong model leaves
LENGTH = 0.3  # of a length, its standard error: a larger region that slips less looks alike


class Part(NamedTuple):
    """A part of grain `grain` within `radius` [nm] of the place `centre` (x, y, z) [nm] on boundary number `boundary`."""

    boundary: int
    grain: int
    centre: tuple[float, float, float]
    radius: float


class Body(NamedTuple):
    """The particle as one reflection has it.

    Attributes
    ----------
    rho : complex array, shape (angle, row, column)
        In the data frame of the reflection.
    voxels : int array, shape (n, 3)
        Indices of its voxels.
    places : array, shape (n, 3)
        Where they are in the common frame, x, y, z [nm].
    grain : int array, shape (n,)
        Grain of each, by the common numbering.
    hand : float
        -1 if the object is turned inside out against the common frame, else 1.
    """

    rho: Array
    voxels: Array
    places: Array
    grain: Array
    hand: float


class Cost(NamedTuple):
    r"""What the slip of each region by any phase leaves unexplained in one reflection.

    Attributes
    ----------
    linear : array, shape (region, 2)
        Products of the measured change with what :math:`\cos\varphi - 1` and :math:`\sin\varphi` multiply.
    square : array, shape (region, 3)
        Products of these with each other: first, both, second.
    unchanged, noise : float
        Misfit of no slip, and of the photon noise alone.
    """

    linear: Array
    square: Array
    unchanged: float
    noise: float


class Common(NamedTuple):
    """The slip that explains all reflections together.

    Attributes
    ----------
    vector, covariance : array, shape (d,), (d, d)
        Displacement [nm] of the region and its covariance, with what other regions would say.
    part : int
        The region.
    probability : array, shape (region,)
        Of each region.
    left : array, shape (n,)
        Part of the change of each reflection, beyond photon noise, that stays unexplained.
    """

    vector: Array
    covariance: Array
    part: int
    probability: Array
    left: Array


def parts_at(body: Body, pairs: Sequence[tuple[int, int]], *, radii: Sequence[float], centres: int, seed: int) -> list[Part]:
    """Both sides of every boundary of a body: parts within each of the `radii` [nm] of some places on it.

    Parameters
    ----------
    body : Body
    pairs : sequence of (int, int)
        The grains of each boundary; one without a common face gives no part.
    radii : sequence of float
    centres : int
        Places on each boundary, each the farthest from those before; `seed` chooses the first.
    """
    label, place = np.zeros(body.rho.shape, int), np.zeros((*body.rho.shape, 3))
    label[tuple(body.voxels.T)], place[tuple(body.voxels.T)] = body.grain, body.places
    rng, made = np.random.default_rng(seed), []
    for number, pair in enumerate(pairs):
        on_face = place[tuple(boundary_voxels(label, pair).T)]
        for x, y, z in on_face[spread(on_face, centres, rng)]:
            made += [Part(number, int(grain), (float(x), float(y), float(z)), float(radius)) for grain in pair for radius in radii]
    return made


def members(body: Body, part: Part) -> Array:
    """Numbers of the voxels of a body that belong to a part."""
    away = body.places - np.asarray(part.centre)
    return np.flatnonzero((body.grain == part.grain) & (np.einsum("ij,ij->i", away, away) <= part.radius**2))


def slipped(body: Body, part: Part, phase: float) -> Body:
    """The body after a part has slipped so that its phase in the common frame turns by `phase` [rad], which is -G.u."""
    rho = body.rho.copy()
    rho[tuple(body.voxels[members(body, part)].T)] *= np.exp(1j * body.hand * phase)
    return body._replace(rho=rho)


def part_waves(body: Body, held: Sequence[Array], view: View) -> Iterator[Array]:
    """Yield the far field (row, column) of each part alone, as :func:`xcdi.kernels.avalanches.views.wave` has the whole.

    Parameters
    ----------
    body : Body
    held : sequence of int arrays
        :func:`members` of each part, which do not change from event to event.
    view : View
    """
    shape, turns = body.rho.shape, (view.offset, -view.shift_px[0], -view.shift_px[1])
    lines = [np.exp(-2j * np.pi * turn * (np.arange(n) - n // 2) / n) for turn, n in zip(turns, shape, strict=True)]
    seen = body.rho[tuple(body.voxels.T)] * np.prod([line[v] for line, v in zip(lines, body.voxels.T, strict=True)], axis=0)
    pixel, plane = np.ravel_multi_index(tuple(body.voxels[:, 1:].T), shape[1:]), shape[1:]
    for some in held:
        real, imaginary = (np.bincount(pixel[some], values[some], plane[0] * plane[1]) for values in (seen.real, seen.imag))
        yield fft.fftshift(fft.fft2(fft.ifftshift((real + 1j * imaginary).reshape(plane))))


def costs(seen: Change, whole: Array, parts: Iterable[Array], scale: float) -> Cost:
    r"""Products that say how well a slip of each region by any phase explains a measured change.

    .. math:: \Delta I = 2 (\cos\varphi - 1) (\mathrm{Re}\, E^* E_\chi - |E_\chi|^2) - 2 \sin\varphi\, \mathrm{Im}\, E^* E_\chi

    Parameters
    ----------
    seen : Change
        From :func:`xcdi.kernels.avalanches.attribution.change`.
    whole, parts : complex arrays, shape (row, column)
        Fields of the object and of each region.
    scale : float
        Counts per model intensity.
    """
    linear, square = [], []
    for part in parts:
        cross = np.conj(whole) * part
        u, v = 2 * scale * (cross.real - np.abs(part) ** 2), -2 * scale * cross.imag
        wu, wv = seen.weight * u, seen.weight * v
        linear.append(((wu * seen.counts).sum(), (wv * seen.counts).sum()))
        square.append(((wu * u).sum(), (wu * v).sum(), (wv * v).sum()))
    unchanged = float((seen.weight * seen.counts**2).sum())
    return Cost(np.array(linear).reshape(-1, 2), np.array(square).reshape(-1, 3), unchanged, seen.noise)


def misfit(cost: Cost, phase: Array) -> Array:
    """Misfit (region, ...) of a slip of each region by `phase` (region or 1, ...) [rad] as this object has it."""
    c, s = np.cos(phase) - 1, np.sin(phase)
    gu, gv = (_beside(column, c) for column in cost.linear.T)
    uu, uv, vv = (_beside(column, c) for column in cost.square.T)
    return cost.unchanged + c * c * uu + 2 * c * s * uv + s * s * vv - 2 * (c * gu + s * gv)


def _beside(column: Array, like: Array) -> Array:
    return column.reshape(-1, *[1] * (like.ndim - 1))


def width(cost: Cost, lowest: float) -> float:
    """Misfit by which a likelihood falls to 1/e: photon noise, and the error of the model that the best slip leaves."""
    return 2 * (1 + max(lowest - cost.noise, 0.0) / SPECKLES)


def common_slip(costs: Sequence[Cost], g: Array, hands: Sequence[float], *, step: float = STEP) -> Common:
    r"""Displacement and region that explain the changes of all reflections together, :math:`\varphi_k = -G_k \cdot \Delta u`.

    Parameters
    ----------
    costs : sequence of Cost
        Of each reflection, over the same regions.
    g : array, shape (n, d)
        Reflections [1/nm]; they span d dimensions, n >= d.
    hands : sequence of float
        -1 for objects that are turned inside out.
    step : float
        Largest phase [rad] between two displacements of the first search.

    Returns
    -------
    Common

    Notes
    -----
    Searched among :math:`|G_k \cdot \Delta u| < \pi` for all k; longer slips alias. Reflections count by what their own best slip leaves:
    a poor object says little. Regions are told from one another by the mean over the reflections, not by the sum: what is wrong with
    the shape of a region is wrong in all of them.
    """
    g = np.asarray(g, dtype=float)
    grid = _grid(g, step)
    phases = -np.asarray(hands)[:, None] * (g @ grid.T)
    each = [misfit(cost, phase[None]) for cost, phase in zip(costs, phases, strict=True)]
    widths = np.array([width(cost, float(one.min())) for cost, one in zip(costs, each, strict=True)])
    total = sum(one / w for one, w in zip(each, widths, strict=True))
    start = grid[total.argmin(axis=1)]
    vectors, heights, spreads = _refined(costs, g, np.asarray(hands), widths, start)
    probability = np.exp((heights.min() - heights) / len(costs))  # the error of a region's shape is common to all reflections
    probability /= probability.sum()
    best = int(heights.argmin())
    away = vectors - vectors[best]
    covariance = spreads[best] + np.einsum("r,ri,rj->ij", probability, away, away)
    own = -np.asarray(hands) * (g @ vectors[best])
    left = [_left(cost, float(misfit(cost, np.full(1, phase))[best])) for cost, phase in zip(costs, own, strict=True)]
    return Common(vectors[best], covariance, best, probability, np.array(left))


def full_length(found: Common, g: Array) -> tuple[Array, Array]:
    r"""Slip [nm] and its covariance, with a length at which the modelled change is as strong as the one that is seen.

    The best slip is too short: least squares find of a modelled change, whose region is never quite right, only the part that it
    shares with what is seen. The length is therefore that of the best slip over :math:`\sqrt{1 - \mathrm{left}}`, though no longer
    than what :func:`xcdi.kernels.avalanches.slips.reach` tells from a shorter one. The direction stays.

    Parameters
    ----------
    found : Common
    g : array, shape (n, d)
        Reflections [1/nm] of :func:`common_slip`.

    Returns
    -------
    vector, covariance : array, shape (d,), (d, d)
        The covariance includes what is not known of the length.

    Notes
    -----
    The reduced major axis, Ricker, J. Fish. Res. Board Can. 30, 409 (1973), between attenuation, where all error is in the model
    (Fuller, Measurement Error Models (Wiley, 1987), section 1.1), and none.

    Examples
    --------
    >>> half = Common(np.array([0.2, 0.0]), np.zeros((2, 2)), 0, np.ones(1), np.array([0.75, 0.75]))
    >>> full_length(half, np.eye(2))[0].tolist()
    [0.4, 0.0]
    """
    farthest = np.pi / max(float(np.abs(np.asarray(g) @ found.vector).max()), 1e-12)
    longer = max(min(max(1 - float(found.left.mean()), 1e-12) ** -0.5, farthest), 1.0)
    vector = longer * found.vector
    return vector, longer**2 * found.covariance + LENGTH**2 * np.outer(vector, vector)


def _left(cost: Cost, lowest: float) -> float:
    return max(lowest - cost.noise, 0.0) / max(cost.unchanged - cost.noise, 1e-12)


def _grid(g: Array, step: float) -> Array:
    """Displacements (m, d) of the cell in which no phase is half a turn or more, no two of them a `step` of phase apart."""
    spacing = step / np.linalg.norm(g, axis=1).max()
    directions = np.vstack([np.eye(g.shape[1]), g / np.linalg.norm(g, axis=1, keepdims=True)])
    far = np.pi / np.linalg.svd(g, compute_uv=False)[-1] * np.sqrt(len(g))
    far = max(far, float(reach(g, directions).max(initial=0.0, where=reach(g, directions) < 1e3)))
    line = spacing * np.arange(-int(far / spacing), int(far / spacing) + 1)
    grid = np.stack(np.meshgrid(*g.shape[1] * [line], indexing="ij"), axis=-1).reshape(-1, g.shape[1])
    return grid[(np.abs(grid @ g.T) < np.pi).all(axis=1)]


def _refined(costs: Sequence[Cost], g: Array, hands: Array, widths: Array, start: Array) -> tuple[Array, Array, Array]:
    """Newton's steps of the displacement of every region (region, d): vectors, misfits over their widths, covariances."""
    vectors = start.copy()
    signed = -hands[:, None] * g
    for _ in range(NEWTON):
        slope, bend = _derivatives(costs, signed, widths, vectors)
        vectors = vectors - np.clip(np.linalg.solve(bend, slope[..., None])[..., 0], -0.1, 0.1)
    _, bend = _derivatives(costs, signed, widths, vectors)
    phases = vectors @ signed.T
    heights = sum(misfit(cost, phases[:, k]) / widths[k] for k, cost in enumerate(costs))
    outside = (np.abs(phases) > 1.2 * np.pi).any(axis=1)
    return vectors, np.where(outside, np.inf, heights), np.linalg.inv(bend)


def _derivatives(costs: Sequence[Cost], signed: Array, widths: Array, vectors: Array) -> tuple[Array, Array]:
    """Slope (region, d) and curvature (region, d, d), made positive, of the misfits over their widths."""
    slope = np.zeros(vectors.shape)
    bend = 1e-9 * np.eye(vectors.shape[1]) + np.zeros((len(vectors), *2 * vectors.shape[1:]))
    for cost, way, wide in zip(costs, signed, widths, strict=True):
        phase = vectors @ way
        c, s, dc, ds = np.cos(phase) - 1, np.sin(phase), -np.sin(phase), np.cos(phase)
        (gu, gv), (uu, uv, vv) = cost.linear.T, cost.square.T
        first = 2 * (c * dc * uu + (dc * s + c * ds) * uv + s * ds * vv - dc * gu - ds * gv)
        ddc, dds = -np.cos(phase), -np.sin(phase)
        second = 2 * ((dc**2 + c * ddc) * uu + (ddc * s + 2 * dc * ds + c * dds) * uv + (ds**2 + s * dds) * vv - ddc * gu - dds * gv)
        slope += (first / wide)[:, None] * way
        bend += (np.abs(second) / wide)[:, None, None] * np.outer(way, way)
    return slope, bend
