"""Oblique sampling: the far field of an object at any q, and the object that a sheared volume of far field holds.

No step needs to lie along an axis. Where the row step does, `scattering` is faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from xcdi.artificial.particle import Axes

__all__ = ["amplitude", "far_field", "image"]

Field = NDArray[np.complexfloating[Any, Any]]
Real = NDArray[np.float64]

WORK = 64_000_000  # bytes of the largest array at work
WIDTH = 6  # samples that one point of an image is gathered from, along each axis
KAISER = 2.3 * WIDTH  # shape of that kernel on a transform twice as fine (Beatty, IEEE Trans. Med. Imaging 24, 799 (2005))


def amplitude(
    rho: Field, axes: Axes, offset: ArrayLike, row_step: ArrayLike, column_step: ArrayLike, rows: ArrayLike, columns: ArrayLike
) -> Field:
    """Return the far field of one frame: the sum of ``rho exp(-i q.r)`` over voxels, one by one.

    Parameters
    ----------
    rho : array, shape (z, y, x)
        Complex object.
    axes : Axes
        Positions of its voxels [nm].
    offset, row_step, column_step : vectors (x, y, z)
        q [1/nm] of pixel (0, 0), and what one row and one column add to it.
    rows, columns : arrays
        Numbers of the pixels, fractions allowed.

    Returns
    -------
    array, shape (row, column)
        In the precision of `rho`.

    Examples
    --------
    >>> axes = Axes(np.array([0.0, 1.0]), np.zeros(1), np.zeros(1))
    >>> amplitude(np.ones((1, 1, 2), complex), axes, [0, 0, 0], [0, 1, 0], [np.pi, 0, 0], [0], [0, 1]).real
    array([[2., 0.]])
    """
    n, m = np.asarray(rows, float), np.asarray(columns, float)
    q = np.asarray(offset, float) + n[:, None, None] * np.asarray(row_step, float) + m[:, None] * np.asarray(column_step, float)
    return far_field(rho, axes, q)


def far_field(rho: Field, axes: Axes, q: ArrayLike) -> Field:
    """Return the sum of ``rho exp(-i q.r)`` over voxels at the vectors `q`, shape (..., 3) [1/nm].

    Summed along x as one matrix product, then along y and z, for as many
    vectors at a time as memory allows; voxels around the object that are 0 are left out.
    """
    places = np.asarray(q, float)
    held, axes = _trimmed(rho, axes)
    flat = places.reshape(-1, 3)
    out = np.zeros(len(flat), np.result_type(rho.dtype, np.complex64))
    lines = held.reshape(-1, held.shape[2])
    for part in _parts(len(flat), held.shape[0] * held.shape[1] * out.itemsize):
        x, y, z = (_waves(positions, flat[part, i], out.dtype) for i, positions in enumerate(axes))
        planes = (lines @ x).reshape(*held.shape[:2], -1)
        planes *= y
        out[part] = np.einsum("zp,zp->p", planes.sum(axis=1), z)
    return out.reshape(places.shape[:-1])


def _waves(positions: Real, q: Real, dtype: np.dtype[Any]) -> Field:
    """``exp(-i q r)``, shape (position, q); the phase is reckoned in double precision."""
    return np.exp(-1j * np.outer(positions, q)).astype(dtype, copy=False)


def _trimmed(rho: Field, axes: Axes) -> tuple[Field, Axes]:
    """Cut the smallest box that holds all voxels that are not 0; of an empty object, one voxel."""
    filled = rho != 0
    spans = []
    for axis in range(3):
        seen = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append(slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 1))
    return np.ascontiguousarray(rho[tuple(spans)]), Axes(axes.x[spans[2]], axes.y[spans[1]], axes.z[spans[0]])


def _parts(count: int, each: int) -> Iterator[slice]:
    """Slices of `count` things of `each` bytes that keep below `WORK`."""
    size = max(1, WORK // each)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def image(field: Field, steps: NDArray[Any], x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.complex64]:
    """Return the object (z, y, x) at the positions `x`, `y`, `z` [nm] whose far field is `field` (angle, row, column).

    .. math:: rho(r) = (1/N) sum_q A(q) exp(i q.r)

    Parameters
    ----------
    field : array
        Sampled at multiples of `steps` from the middle index ``n // 2``.
    steps : array, shape (3, 3)
        Columns are the steps in q [1/nm] of one angle, row and column, in any directions.
    x, y, z : arrays
        Positions on an orthogonal grid; outside the field of view the object repeats itself.

    Notes
    -----
    A transform twice as fine is gathered at the positions with a Kaiser-Bessel kernel, which leaves 1e-5 of the largest value.
    Source: Beatty, Nishimura and Pauly, IEEE Trans. Med. Imaging 24, 799 (2005).
    """
    fine = _fine_transform(field)
    out = np.empty((len(z), len(y), len(x)), np.complex64)
    for depth, position in enumerate(z):
        points = Axes(np.asarray(x, float), np.asarray(y, float), np.array([position], float)).points().reshape(-1, 3)
        turns = points @ np.asarray(steps, float) / (2 * np.pi)  # fraction of the field of view
        out[depth] = _gathered(fine, turns * fine.shape).reshape(len(y), len(x))
    return out


def _fine_transform(field: Field) -> NDArray[np.complex64]:
    """Inverse transform of `field`, two samples to a voxel, corrected for the kernel; position 0 has index 0."""
    share = field.astype(np.complex64) / np.float32(field.size)
    for axis, n in enumerate(field.shape):
        frequency = (np.arange(n) - n // 2) / (2 * n)
        root = np.sqrt((KAISER**2 - (np.pi * WIDTH * frequency) ** 2).astype(complex))
        kernel = WIDTH * (np.sinh(root) / root).real / special.i0(KAISER)
        share /= kernel.astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
    padded = np.zeros([2 * n for n in field.shape], np.complex64)
    padded[tuple(slice(0, n) for n in field.shape)] = share
    rolled = np.roll(padded, [-(n // 2) for n in field.shape], (0, 1, 2))
    fine = np.fft.ifftn(rolled)
    return (fine * fine.size).astype(np.complex64)


def _gathered(fine: NDArray[np.complex64], places: Real) -> NDArray[np.complex64]:
    """Sum the kernel around every one of `places` (point, 3), indices into the periodic array `fine`."""
    first = np.ceil(places - WIDTH / 2).astype(int)
    near = first[:, None, :] + np.arange(WIDTH)[:, None]  # (point, neighbour, axis)
    bump = np.clip(1 - (2 * (near - places[:, None, :]) / WIDTH) ** 2, 0, None)
    weight = (special.i0(KAISER * np.sqrt(bump)) / special.i0(KAISER)).astype(np.float32)
    index = near % fine.shape
    out = np.zeros(len(places), np.complex64)
    for a in range(WIDTH):
        for b in range(WIDTH):
            line = fine[index[:, a, 0, None], index[:, b, 1, None], index[:, :, 2]]
            out += weight[:, a, 0] * weight[:, b, 1] * np.einsum("pc,pc->p", line, weight[:, :, 2])
    return out
