"""Where an event happened: which part of which grain must slip to change the pattern as it did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

from xcdi.backend import Array
from xcdi.kernels.avalanches import patterns, sizes

__all__ = [
    "Change",
    "Fit",
    "Region",
    "View",
    "attribute",
    "boundary_voxels",
    "candidates",
    "change",
    "find_view",
    "likeness",
    "posterior",
    "region_voxels",
    "region_wave",
    "slip",
    "wave",
]

SPECKLES = 25.0  # independent speckles that carry the change; the misfit that a wrong model leaves is shared by their pixels
NONE = 0.85  # part of the change that "none of these" leaves unexplained


class Change(NamedTuple):
    """A measured change of the mean pattern, one over its variance (0 where not valid), and the misfit that noise alone has."""

    counts: Array
    weight: Array
    noise: float


class View(NamedTuple):
    """How the series sees the object.

    Attributes
    ----------
    offset : float
        Angle of the series, in steps of the rocking scan from its middle frame n // 2.
    shift_px : tuple of float
        (row, column) by which the measured pattern lies off the model's.
    scale : float
        Measured counts over model intensity.
    likeness : float
        Correlation coefficient of the two patterns.
    """

    offset: float
    shift_px: tuple[float, float]
    scale: float
    likeness: float


class Region(NamedTuple):
    """A part of grain `grain` within `radius` [nm] of the voxel `centre` (index) on boundary number `boundary`."""

    boundary: int
    grain: int
    centre: tuple[int, int, int]
    radius: float


class Fit(NamedTuple):
    """How well each region explains a change: least misfit and its phase [rad], shape (region,); `unchanged` is the misfit of no event."""

    misfit: Array
    phase: Array
    unchanged: float


def wave(rho: Array, view: View) -> Array:
    """Far field (row, column) of an object (angle, row, column) in its data frame, as the series sees it; middle n // 2.

    A fixed angle between those of the rocking scan is one fractional plane of the
    three-dimensional transform; a shift of the pattern is a phase ramp across the object.

    Examples
    --------
    >>> point = np.zeros((3, 4, 4), complex); point[1, 2, 2] = 2.0
    >>> bool(np.allclose(wave(point, View(0.3, (0.0, 0.0), 1.0, 1.0)), 2.0))
    True
    """
    line = _lines(rho.shape, view)
    return _transform(np.tensordot(line[0], rho, axes=(0, 0)) * np.outer(line[1], line[2]))


def _lines(shape: tuple[int, ...], view: View) -> list[Array]:
    """Phase factors along each index of the data frame that make the projection a view."""
    turns = (view.offset, -view.shift_px[0], -view.shift_px[1])
    return [np.exp(-2j * np.pi * turn * (np.arange(n) - n // 2) / n) for turn, n in zip(turns, shape, strict=True)]


def _transform(plane: Array) -> Array:
    """Far field of a projection; the origin of both is the middle n // 2."""
    return fft.fftshift(fft.fft2(fft.ifftshift(plane)))


def find_view(rho: Array, pattern: Array, valid: Array, *, offset: float = 0.0, reach: float = 2.0) -> View:
    """Angle, shift and scale at which the object gives the measured pattern.

    Parameters
    ----------
    rho : complex array, shape (angle, row, column)
    pattern : array, shape (row, column)
        Mean counts on the grid of the object's transform.
    valid : bool array, shape (row, column)
    offset : float
        Angle expected, in steps of the rocking scan from its middle.
    reach : float
        How far from it to search.
    """
    best = None
    for step in (0.25, 0.0625):
        middle = offset if best is None else best.offset
        width = reach if best is None else 0.25
        tried = [_matched(rho, pattern, valid, middle + d) for d in np.arange(-width, width + step / 2, step)]
        best = max(tried, key=lambda view: view.likeness)
    assert best is not None
    return best


def _matched(rho: Array, pattern: Array, valid: Array, offset: float) -> View:
    """Best shift and scale at one angle."""
    model = np.abs(wave(rho, View(offset, (0.0, 0.0), 1.0, 0.0))) ** 2
    moved = sizes.register(model * float(pattern[valid].sum() / model[valid].sum()), pattern, valid)
    model = np.abs(wave(rho, View(offset, moved, 1.0, 0.0))) ** 2
    return View(float(offset), moved, float(pattern[valid].sum() / model[valid].sum()), likeness(model, pattern, valid))


def likeness(model: Array, pattern: Array, valid: Array) -> float:
    """Correlation coefficient of the square roots of two patterns over the valid pixels."""
    return float(np.corrcoef(np.sqrt(model[valid]), np.sqrt(np.maximum(pattern[valid], 0.0)))[0, 1])


def change(before: Array, after: Array, valid: Array) -> Change:
    """Change between two groups of frames (time, row, column) and its photon noise, smoothed over the nearest pixels."""
    pre, post = before.mean(axis=0), after.mean(axis=0)
    floor = 0.02 * float(pre[valid].mean()) / len(before)
    smooth = patterns.smooth_valid(pre, valid, 1.0) / len(before) + patterns.smooth_valid(post, valid, 1.0) / len(after)
    weight = np.where(valid, 1 / (smooth + floor), 0.0)
    noise = float((weight * (pre / len(before) + post / len(after)))[valid].sum())
    return Change(np.where(valid, post - pre, 0.0), weight, noise)


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


def candidates(
    label: Array, pairs: Sequence[tuple[int, int]], basis: Array, *, radii: Sequence[float], centres: int = 8, seed: int = 0
) -> list[Region]:
    """Regions that could slip: both sides of every boundary, some centres on it, some radii.

    Parameters
    ----------
    label : int array, shape (angle, row, column)
        Grains in the data frame, 0 outside.
    pairs : sequence of (int, int)
        The grains of each boundary; one without a common face gives no region.
    basis : array, shape (3, 3)
        Columns are the steps [nm] of the three indices.
    radii : sequence of float
        nm.
    centres : int
        Per boundary, spread as evenly as `seed` lets them (farthest first).
    """
    rng = np.random.default_rng(seed)
    result = []
    for number, pair in enumerate(pairs):
        voxels = boundary_voxels(label, pair)
        for centre in _spread(voxels, basis, centres, rng):
            place = (int(centre[0]), int(centre[1]), int(centre[2]))
            result += [Region(number, int(grain), place, float(radius)) for grain in pair for radius in radii]
    return result


def _spread(voxels: Array, basis: Array, n: int, rng: np.random.Generator) -> Array:
    """At most `n` of the voxels, each the farthest from those before."""
    if len(voxels) <= n:
        return voxels
    places = voxels @ basis.T
    chosen = [int(rng.integers(len(voxels)))]
    nearest = np.full(len(voxels), np.inf)
    while len(chosen) < n:
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(nearest)))
    return voxels[chosen]


def region_voxels(label: Array, region: Region, basis: Array) -> Array:
    """Voxels of a region, bool, shape of `label`."""
    away = (np.moveaxis(np.indices(label.shape), 0, -1) - np.array(region.centre)) @ basis.T
    return (label == region.grain) & (np.linalg.norm(away, axis=-1) <= region.radius)


def slip(rho: Array, label: Array, region: Region, basis: Array, phase: float) -> Array:
    """Return the object after the region has slipped by `phase` [rad], which is -G.u."""
    return np.where(region_voxels(label, region, basis), rho * np.exp(1j * phase), rho)


def region_wave(rho: Array, label: Array, regions: Sequence[Region], basis: Array, view: View) -> Iterator[Array]:
    """Yield the far field of each region alone, as :func:`wave` would give it."""
    voxels = np.argwhere(label > 0)
    places, grain = voxels @ basis.T, label[tuple(voxels.T)]
    seen = rho[tuple(voxels.T)] * np.prod([line[v] for line, v in zip(_lines(rho.shape, view), voxels.T, strict=True)], axis=0)
    plane = rho.shape[1:]
    pixel = np.ravel_multi_index(tuple(voxels[:, 1:].T), plane)
    for region in regions:
        away = np.linalg.norm(places - np.array(region.centre) @ basis.T, axis=1)
        part = (grain == region.grain) & (away <= region.radius)
        parts = (np.bincount(pixel[part], values[part], plane[0] * plane[1]) for values in (seen.real, seen.imag))
        real, imaginary = parts
        yield _transform((real + 1j * imaginary).reshape(plane))


def attribute(seen: Change, whole: Array, parts: Iterable[Array], scale: float, *, phases: int = 24) -> Fit:
    r"""Compare a measured change of the pattern with the slip of each region by each phase.

    .. math:: \Delta I = |E + (e^{i\varphi} - 1) E_\chi|^2 - |E|^2
                = 2 (\cos\varphi - 1) (\mathrm{Re}\, E^* E_\chi - |E_\chi|^2) - 2 \sin\varphi\, \mathrm{Im}\, E^* E_\chi

    so two products per region serve all phases.

    Parameters
    ----------
    seen : Change
        From :func:`change`.
    whole, parts : complex arrays, shape (row, column)
        Fields of the object and of each region.
    scale : float
        Counts per model intensity.
    phases : int
        Phases tried, evenly from -pi to pi.
    """
    phi = -np.pi + 2 * np.pi * np.arange(1, phases + 1) / phases
    phi = phi[np.abs(phi) > 1e-9]
    c, s = 2 * scale * (np.cos(phi) - 1), -2 * scale * np.sin(phi)
    unchanged = float((seen.weight * seen.counts**2).sum())
    misfit, best = [], []
    for part in parts:
        cross = np.conj(whole) * part
        u, v = cross.real - np.abs(part) ** 2, cross.imag
        wu, wv = seen.weight * u, seen.weight * v
        gain = 2 * (c * (wu * seen.counts).sum() + s * (wv * seen.counts).sum())
        cost = c**2 * (wu * u).sum() + 2 * c * s * (wu * v).sum() + s**2 * (wv * v).sum()
        chosen = int(np.argmin(cost - gain))
        misfit.append(unchanged + float(cost[chosen] - gain[chosen]))
        best.append(float(phi[chosen]))
    return Fit(np.array(misfit), np.array(best), unchanged)


def posterior(fit: Fit, boundary: Array, n: int, noise: float) -> Array:
    """Probability of each of `n` boundaries and, last, of none of them, shape (n + 1,).

    Parameters
    ----------
    fit : Fit
        At least one region.
    boundary : int array, shape (region,)
        Boundary of every region.
    n : int
        Number of boundaries; one without a region has probability 0.
    noise : float
        Misfit that photon noise alone leaves.

    Notes
    -----
    Boundaries are equally likely beforehand, and so are the regions of each. What
    the best region leaves above the noise is the error of the model (shape
    of the region, object, ageing); it is taken to be spread over some 25
    speckles, not over all pixels, which calibrates the probabilities on simulated
    series. "None" explains 15 % of the change, as any region might.
    """
    lowest = float(fit.misfit.min())
    left = max(lowest - noise, 0.0)
    width = 2 * (1 + left / SPECKLES)
    none = np.exp((lowest - noise - NONE * max(fit.unchanged - noise, 0.0)) / width)
    likelihood = np.exp((lowest - fit.misfit) / width)
    total = np.array([likelihood[boundary == k].mean() if np.any(boundary == k) else 0.0 for k in range(n)])
    every = np.append(total, none * float(total.max()))
    return every / every.sum()
