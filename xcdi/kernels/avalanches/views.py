"""Views: how the series sees the imaged object, as a whole and region by region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import patterns, sizes
from xcdi.kernels.avalanches.regions import Nest

__all__ = ["View", "find_view", "followed", "likeness", "nest_waves", "resemblance", "wave"]

DIM = 0.05  # of the brightest line of the projection; dimmer ones are not changed
FAINT = 1e-4  # of the largest amplitude; what is fainter has no part in the far field


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
    held = _held(np.abs(rho) > FAINT * np.abs(rho).max())
    line = _line(rho.shape[0], view.offset)[held[0]]
    rows, columns = _transforms(rho.shape, view, held)
    return rows @ np.tensordot(line, rho[held], axes=(0, 0)) @ columns


def _line(n: int, offset: float) -> Array:
    """Phase factors along the angle index that make the projection a view."""
    return np.exp(-2j * np.pi * offset * (np.arange(n) - n // 2) / n)


def _held(there: Array) -> tuple[slice, ...]:
    """The box that holds all that is true."""
    edges = []
    for axis in range(there.ndim):
        full = np.flatnonzero(there.any(axis=tuple(other for other in range(there.ndim) if other != axis)))
        edges.append(slice(int(full[0]), int(full[-1]) + 1) if full.size else slice(0, 1))
    return tuple(edges)


def _transforms(shape: tuple[int, ...], view: View, held: tuple[slice, ...]) -> tuple[Array, Array]:
    """Matrices that take a projection, cut to the box that holds it, to its far field: rows from the left, columns from the right."""
    both = []
    for n, by, part in zip(shape[1:], view.shift_px, held[1:], strict=True):
        middle = np.arange(n) - n // 2
        both.append(np.exp(-2j * np.pi * np.outer(middle - by, middle[part]) / n))
    return both[0], both[1].T


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


def resemblance(model: Array, frames: Array, valid: Array) -> float:
    """Correlation of the speckles of a model with those of frames (time, row, column), free of photon noise: 1 for the object itself.

    Counts are taken over their envelope, and no frame meets itself, as in :func:`xcdi.kernels.avalanches.sizes.drop`.
    """
    weighting = sizes.noise_weights(frames.mean(axis=0), valid, crossover=2.0 / len(frames))
    seen, made = (_over_envelope(images, valid, weighting) for images in (frames, model[None]))
    products = seen @ seen.T
    count = len(frames)
    own = (products.sum() - np.trace(products)) / (count * (count - 1)) * float((made**2).sum())
    return float((seen @ made[0]).mean() / np.sqrt(own)) if own > 0 else float("nan")


def _over_envelope(frames: Array, valid: Array, weighting: sizes.Weighting) -> Array:
    """Weighed deviations of the valid pixels from their mean (time, pixel)."""
    weight = weighting.weight[valid]
    relative = frames[:, valid] / weighting.envelope[valid]
    return (relative - (relative @ weight**2 / (weight**2).sum())[:, None]) * weight


def nest_waves(rho: Array, label: Array, found: Sequence[Nest], view: View) -> Iterator[Array]:
    """Yield the far fields (shell, row, column) of the shells of each nest alone, as :func:`wave` would give them."""
    held = _held(label > 0)
    voxels = np.argwhere(label > 0)
    seen = (rho * _line(rho.shape[0], view.offset)[:, None, None])[tuple(voxels.T)].astype(np.complex64)
    plane = (held[1].stop - held[1].start, held[2].stop - held[2].start)
    pixel = (voxels[:, 1] - held[1].start) * plane[1] + voxels[:, 2] - held[2].start
    rows, columns = (matrix.astype(np.complex64) for matrix in _transforms(rho.shape, view, held))
    for nest in found:
        yield rows @ _planes(nest, pixel[nest.voxels], seen[nest.voxels], plane) @ columns


def _planes(nest: Nest, pixel: Array, values: Array, plane: tuple[int, int]) -> Array:
    """Projections (shell, row, column) of the shells of a nest."""
    count = nest.share.shape[1]
    inside = nest.shell < count
    place = nest.shell[inside] * (plane[0] * plane[1]) + pixel[inside]
    size = count * plane[0] * plane[1]
    shells = np.bincount(place, values.real[inside], size) + 1j * np.bincount(place, values.imag[inside], size)
    return shells.reshape(count, *plane).astype(np.complex64)


def followed(rho: Array, pattern: Array, valid: Array, view: View, frames: int, *, steps: int = 5) -> Array:
    """Return the object, changed along its projection, so that its far field follows the measured pattern.

    Parameters
    ----------
    rho : complex array, shape (angle, row, column)
        0 outside the object; stays 0 there.
    pattern : array, shape (row, column)
        Mean counts of the `frames` last frames.
    valid : bool array, shape (row, column)
    view : View
        From :func:`find_view`.
    frames : int
    steps : int
        Of error reduction in the plane of the projection.

    Notes
    -----
    A series at one angle sees the object's projection alone. What changes slowly, and what the
    reconstruction left out, is made up for there: all voxels on one line take the same factor. Pixels are
    weighed as in a Wiener filter, with one photon in all as much noise as signal.
    """
    held = _held(rho != 0)
    line = _line(rho.shape[0], view.offset)[held[0]]
    rows, columns = _transforms(rho.shape, view, held)
    start = np.tensordot(line, rho[held], axes=(0, 0))
    photons = frames * patterns.smooth_valid(pattern, valid, 0.7)
    share = np.where(valid, photons / (photons + 1), 0.0) / (len(rows) * columns.shape[1])
    target = np.sqrt(np.maximum(pattern, 0.0) / view.scale)
    plane = start
    for _ in range(steps):
        far = rows @ plane @ columns
        away = share * (target / np.maximum(np.abs(far), 1e-12) - 1) * far
        plane = plane + rows.conj().T @ away @ columns.conj().T
    bright = np.abs(start) > DIM * np.abs(start).max()
    factor = np.where(bright, plane / np.where(bright, start, 1), 1)
    factor *= np.clip(np.abs(factor), 0.5, 2) / np.maximum(np.abs(factor), 1e-9)
    result = rho.copy()
    result[held] *= factor
    return result
