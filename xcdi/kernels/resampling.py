"""A complex volume on another grid: skewed to upright and back, without loss or quickly.

Index i of a volume with voxel basis V stands at V (i - n // 2) in the laboratory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba as nb
import numpy as np
from numba.extending import overload
from scipy import fft

from xcdi.backend import Array

__all__ = ["lab_basis", "resample", "resample_linear"]

WIDTH = 8  # fine-grid points under the gridding kernel, per axis
EDGE = 1e-9  # of a voxel: so near the outermost samples is on them
BETA = 0.97 * np.pi * WIDTH * 0.75  # best shape for a grid twice as fine (Barnett, SIAM J. Sci. Comput. 41, C479, 2019)


def lab_basis(voxel: float | Sequence[float] | Array) -> Array:
    """Voxel basis of an upright grid (z, y, x): one edge length, three (z, y, x), or a basis as it is.

    Examples
    --------
    >>> lab_basis(2.0)
    array([[0., 0., 2.],
           [0., 2., 0.],
           [2., 0., 0.]])
    """
    edge = np.asarray(voxel, dtype=float)
    return edge if edge.shape == (3, 3) else np.eye(3)[:, ::-1] * np.broadcast_to(edge, 3)


def resample(volume: Array, basis: Array, *, voxel: Array, shape: Sequence[int], centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Array:
    r"""Return the field of `volume` on another grid, exact for what the first grid can hold.

    The trigonometric polynomial through the samples is evaluated at each new point: spectrum,
    twofold finer grid, and a kernel :math:`e^{\beta(\sqrt{1-t^2}-1)}` over 8^3 of its points
    whose effect on the spectrum was divided out before. Relative error 1e-7 for doubles.

    Parameters
    ----------
    volume : complex or real array, shape (..., n0, n1, n2)
        Samples; resample the complex object, never its phase.
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2 of `volume`.
    voxel : float, three floats (z, y, x), or array (3, 3)
        The new grid: edge of an upright voxel [nm], or again a basis.
    shape : three ints
        Of the result.
    centre : three floats, optional
        Laboratory place (x, y, z) [nm] of the result's middle index n // 2.

    Returns
    -------
    array, shape (..., *shape)
        Same precision; complex. 0 where a point lies outside `volume`.

    Notes
    -----
    Source: Barnett, Magland and af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019), type 2.

    Examples
    --------
    >>> wave = np.exp(2j * np.pi * np.arange(8) / 8) * np.ones((8, 8, 8))
    >>> finer = resample(wave, lab_basis(1.0), voxel=0.5, shape=(1, 1, 3))
    >>> bool(abs(finer[0, 0, 2] - np.exp(2j * np.pi * 4.5 / 8)) < 1e-6)
    True
    """
    matrix, offset = _index_map(basis, voxel, volume.shape[-3:], shape, centre)
    batch = volume.reshape(-1, *volume.shape[-3:])
    out = np.zeros((len(batch), *shape), dtype=np.result_type(volume.dtype, np.complex64))
    for result, field in zip(out, batch, strict=True):
        _gather(_fine_grid(field), matrix, offset, np.array(field.shape), result)
    return out.reshape(*volume.shape[:-3], *shape)


def resample_linear(volume: Array, basis: Array, *, voxel: Array, shape: Sequence[int], centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Array:
    """Return `volume` on another grid by trilinear interpolation: for supports, weights and previews.

    Never overshoots; smooths at the scale of a voxel. Arguments as for :func:`resample`; real stays real.
    """
    matrix, offset = _index_map(basis, voxel, volume.shape[-3:], shape, centre)
    batch = volume.reshape(-1, *volume.shape[-3:])
    out = np.zeros((len(batch), *shape), dtype=volume.dtype)
    for result, field in zip(out, batch, strict=True):
        _gather_linear(field, matrix, offset, result)
    return out.reshape(*volume.shape[:-3], *shape)


def _index_map(basis: Array, voxel: Array, shape: Sequence[int], new_shape: Sequence[int], centre: Sequence[float]) -> tuple[Array, Array]:
    """Matrix and offset from an index of the new grid to the (fractional) index of the old one."""
    to_index = np.linalg.inv(np.asarray(basis, dtype=float))
    matrix = to_index @ lab_basis(voxel)
    middle = np.array([n // 2 for n in new_shape])
    offset = np.array([n // 2 for n in shape]) + to_index @ np.asarray(centre, dtype=float) - matrix @ middle
    return matrix, offset


def _fine_grid(field: Array) -> Array:
    """The samples on a grid twice as fine, divided by the kernel's spectrum, wrapped around by its width along the last axis."""
    spectrum = fft.fftn(field)
    for axis in range(3):
        spectrum = _widen(spectrum, axis)
    fine = fft.ifftn(spectrum, overwrite_x=True)
    return np.concatenate([fine[..., -WIDTH:], fine, fine[..., :WIDTH]], axis=-1)


def _widen(spectrum: Array, axis: int) -> Array:
    """Zero-pad one axis of a spectrum to twice its length; the Nyquist term is shared by both ends."""
    n = spectrum.shape[axis]
    moved = np.moveaxis(spectrum, axis, 0)
    wide = np.zeros((2 * n, *moved.shape[1:]), dtype=spectrum.dtype)
    frequency = np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)])
    wide[frequency] = moved * (2.0 / _kernel_spectrum(frequency / (2 * n))).astype(spectrum.real.dtype)[:, None, None]
    if n % 2 == 0:
        wide[n // 2] = wide[-(n // 2)] = wide[-(n // 2)] / 2
    return np.ascontiguousarray(np.moveaxis(wide, 0, axis))


def _kernel_spectrum(frequency: Array) -> Array:
    """Fourier integral of the kernel at `frequency` [1 / fine step]."""
    t, weight = np.polynomial.legendre.leggauss(64)
    kernel = np.exp(BETA * (np.sqrt(1 - t**2) - 1)) * weight * WIDTH / 2
    return np.cos(np.pi * WIDTH * frequency[:, None] * t) @ kernel


@nb.njit(cache=True, nogil=True, fastmath=True)
def _gather(fine, matrix, offset, limits, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sum `fine` under the kernel at every point of `out`; 0 for points outside `limits`."""
    half = WIDTH / 2.0
    first = np.empty(3, np.int64)
    weight = np.empty((3, WIDTH), fine.real.dtype)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                inside = True
                for a in range(3):
                    x = matrix[a, 0] * i + matrix[a, 1] * j + matrix[a, 2] * k + offset[a]
                    inside = inside and -0.5 <= x < limits[a] - 0.5
                    first[a] = int(np.ceil(2 * x - half))
                    for b in range(WIDTH):
                        t = (first[a] + b - 2 * x) / half
                        weight[a, b] = np.exp(BETA * (np.sqrt(max(1.0 - t * t, 0.0)) - 1.0))
                if not inside:
                    continue
                total = out[i, j, k] * 0
                for b in range(WIDTH):
                    plane = (first[0] + b) % fine.shape[0]
                    for c in range(WIDTH):
                        line = fine[plane, (first[1] + c) % fine.shape[1]]
                        part = out[i, j, k] * 0
                        for d in range(WIDTH):
                            part += weight[2, d] * line[first[2] + WIDTH + d]
                        total += weight[0, b] * weight[1, c] * part
                out[i, j, k] = total


@nb.njit(cache=True, nogil=True)
def _gather_linear(field, matrix, offset, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Trilinear interpolation of `field` at every point of `out`; 0 beyond its outermost samples."""
    n = out.shape[2]
    place = np.empty((3, n), np.uint64)  # unsigned: a negative index would count from the end, and asking costs time
    weight = np.empty((3, n), field.real.dtype)
    line = np.empty(3)
    step = np.array([min(1, size - 1) for size in field.shape]).astype(np.uint64)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for a in range(3):
                line[a] = matrix[a, 0] * i + matrix[a, 1] * j + offset[a]
            first, stop = _inside(line, matrix[:, 2], field.shape, n)
            for a in range(3):
                _split(line[a], matrix[a, 2], max(field.shape[a] - 2, 0), first, stop, place[a], weight[a])
            for k in range(first, stop):
                a0, b0, c0 = place[0, k], place[1, k], place[2, k]
                a1, b1, c1 = a0 + step[0], b0 + step[1], c0 + step[2]
                u, v, w = weight[0, k], weight[1, k], weight[2, k]
                low = _blend(_blend(field[a0, b0, c0], field[a0, b0, c1], w), _blend(field[a0, b1, c0], field[a0, b1, c1], w), v)
                high = _blend(_blend(field[a1, b0, c0], field[a1, b0, c1], w), _blend(field[a1, b1, c0], field[a1, b1, c1], w), v)
                out[i, j, k] = _blend(low, high, u)


def _blend(here: Array, there: Array, share: Array) -> Array:
    """Return ``here`` and `share` of the way to `there`."""
    return here + (there - here) * share


@overload(_blend, inline="always")
def _compiled_blend(here, there, share):  # type: ignore[no-untyped-def]  # pragma: no cover
    if isinstance(here, nb.types.Complex):  # a complex number times a real one would be compiled as a product of two complex ones
        return lambda here, there, share: complex(
            here.real + (there.real - here.real) * share, here.imag + (there.imag - here.imag) * share
        )
    return lambda here, there, share: here + (there - here) * share


@nb.njit(cache=True, nogil=True)
def _inside(line, slope, shape, n):  # type: ignore[no-untyped-def]  # pragma: no cover
    """First and last + 1 of the `n` points ``line + slope k`` that lie between the outermost samples of all three axes."""
    first, stop = 0, n
    for a in range(3):
        low, high = -EDGE - line[a], shape[a] - 1 + EDGE - line[a]
        if slope[a] == 0:
            if low > 0 or high < 0:
                return 0, 0
            continue
        start, end = low / slope[a], high / slope[a]
        first = max(first, int(np.ceil(min(max(min(start, end), -1.0), n + 1.0))))
        stop = min(stop, int(np.floor(min(max(max(start, end), -1.0), n + 1.0))) + 1)
    return first, max(first, stop)


@nb.njit(cache=True, nogil=True)
def _split(line, slope, last, first, stop, place, weight):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sample below each point of a line, `last` at the most, and how far beyond it the point is."""
    for k in range(first, stop):
        x = max(line + slope * k, 0.0)
        below = min(int(x), last)
        place[k] = below
        weight[k] = x - below
