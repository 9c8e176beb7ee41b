"""The phase gradient of a complex volume in one pass over memory: the fast twin of :func:`xcdi.kernels.strain.gradient`."""

from __future__ import annotations

import numba as nb
import numpy as np
from numba.extending import overload

from xcdi.backend import Array

__all__ = ["arctan2", "slopes"]

HALF_PI, PI = np.float32(np.pi / 2), np.float32(np.pi)
SERIES = tuple(np.float32(a) for a in (0.0028662257, -0.0161657367, 0.0429096138, -0.0752896400, 0.1065626393, -0.1420889944, 0.1999355085))
THIRD = np.float32(-0.3333314528)
ZERO, ONE = np.float32(0), np.float32(1)


def slopes(rho: Array, to_space: Array, support: Array | None = None) -> Array:
    """Phase gradient of one or more volumes, without temporaries.

    Parameters
    ----------
    rho : complex array, shape (..., n0, n1, n2)
        Of NumPy; single precision is the fast case.
    to_space : array, shape (3, 3)
        Component a is the sum over i of ``to_space[a, i]`` times the phase step along index i.
    support : bool array, shape (n0, n1, n2), optional
        Outside it `rho` counts as zero, and only its bounding box is read.

    Returns
    -------
    array, shape (3, ..., n0, n1, n2)
        Real, of the precision of `rho`; 0 outside. For single precision within 5e-7 rad per index step of the definition.

    Examples
    --------
    >>> ramp = (np.exp(0.3j * np.arange(4)) * np.ones((4, 4, 4))).astype(np.complex64)
    >>> slopes(ramp, np.eye(3))[2, 1, 1].round(4)
    array([0.3, 0.3, 0.3, 0.3], dtype=float32)
    """
    out = np.zeros((3, *rho.shape), dtype=rho.real.dtype)  # pages that stay zero are never touched
    inside = np.zeros((0, 0, 0), bool) if support is None else np.ascontiguousarray(support, dtype=bool)
    box = _box(inside, rho.shape[-3:])
    batch = np.ascontiguousarray(rho).reshape(int(np.prod(rho.shape[:-3])), *rho.shape[-3:])
    matrix = np.asarray(to_space, dtype=out.dtype)
    for result, field in zip(np.moveaxis(out.reshape(3, *batch.shape), 1, 0), batch, strict=True):
        _volume(field.view(out.dtype).reshape(*field.shape, 2), inside, box, matrix, result)
    return out


def _box(support: Array, shape: tuple[int, ...]) -> Array:
    """First and last + 1 index along each axis that `support` reaches, shape (3, 2); everything if there is none."""
    if support.size == 0:
        return np.array([[0, n] for n in shape])
    plane = support.any(axis=2)
    lines = (plane.any(axis=1), plane.any(axis=0), support.any(axis=(0, 1)))
    used = [np.flatnonzero(line) for line in lines]
    return np.array([[u[0], u[-1] + 1] if len(u) else [0, 0] for u in used])


def arctan2(y: Array, x: Array) -> Array:
    """Angle of (x, y) [rad]; inside compiled loops -0 counts as 0, and single precision takes a polynomial, within 3e-7 rad.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 4.4.49.

    Examples
    --------
    >>> float(arctan2(1.0, 0.0))
    1.5707963267948966
    """
    return np.arctan2(y, x)


@overload(arctan2, inline="always")
def _compiled_arctan2(y, x):  # type: ignore[no-untyped-def]  # pragma: no cover
    if y != nb.float32:
        return lambda y, x: np.arctan2(y + 0.0, x + 0.0)  # as the definition has it: -0 counts as 0

    def polynomial(y, x):  # type: ignore[no-untyped-def]
        a, b = abs(x), abs(y)
        steep = b > a
        big = b if steep else a
        small = a if steep else b
        r = small / (ONE if big == ZERO else big)
        t = r * r
        p = SERIES[0]
        p = p * t + SERIES[1]
        p = p * t + SERIES[2]
        p = p * t + SERIES[3]
        p = p * t + SERIES[4]
        p = p * t + SERIES[5]
        p = p * t + SERIES[6]
        p = p * t + THIRD
        angle = p * t * r + r
        angle = HALF_PI - angle if steep else angle
        angle = PI - angle if x < ZERO else angle
        return -angle if y < ZERO else angle

    return polynomial


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _volume(rho, support, box, to_space, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write the gradient inside `box`, line by line; the neighbours of a line are copied beside it, zero where they do not count."""
    n2 = box[2, 1] - box[2, 0]
    lines = np.zeros((5, 2, n2 + 2), rho.dtype)  # this line, before and after along index 0, before and after along index 1
    step = np.empty((3, n2), rho.dtype)
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            if not _copy(rho, support, box, i, j, lines[0]):
                continue
            _copy(rho, support, box, i - 1, j, lines[1])
            _copy(rho, support, box, i + 1, j, lines[2])
            _copy(rho, support, box, i, j - 1, lines[3])
            _copy(rho, support, box, i, j + 1, lines[4])
            re, im = lines[0, 0, 1 : n2 + 1], lines[0, 1, 1 : n2 + 1]
            for a in range(2):
                before, after = lines[2 * a + 1], lines[2 * a + 2]
                _steps(re, im, before[0, 1 : n2 + 1], before[1, 1 : n2 + 1], after[0, 1 : n2 + 1], after[1, 1 : n2 + 1], step[a])
            _steps(re, im, lines[0, 0, 0:n2], lines[0, 1, 0:n2], lines[0, 0, 2 : n2 + 2], lines[0, 1, 2 : n2 + 2], step[2])
            for a in range(3):
                into = out[a, i, j, box[2, 0] : box[2, 1]]
                for k in range(n2):
                    into[k] = to_space[a, 0] * step[0, k] + to_space[a, 1] * step[1, k] + to_space[a, 2] * step[2, k]


@nb.njit(cache=True, nogil=True)
def _copy(rho, support, box, i, j, line):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Copy one line of `rho` between zeros; return whether anything but zeros is in it."""
    if i < box[0, 0] or i >= box[0, 1] or j < box[1, 0] or j >= box[1, 1]:
        line[:] = 0
        return False
    start, n2 = box[2, 0], box[2, 1] - box[2, 0]
    source = rho[i, j, start : box[2, 1]]
    some = False
    if support.size == 0:
        for k in range(n2):
            line[0, k + 1] = source[k, 0]
            line[1, k + 1] = source[k, 1]
            some |= (source[k, 0] != 0) | (source[k, 1] != 0)
        return some
    inside = support[i, j, start : box[2, 1]]
    for k in range(n2):
        line[0, k + 1] = source[k, 0] if inside[k] else 0
        line[1, k + 1] = source[k, 1] if inside[k] else 0
        some |= inside[k]
    return some


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _steps(re, im, re0, im0, re2, im2, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Argument of ``after conj(here) + here conj(before)`` along a line; 0 is before, 2 is after."""
    for k in range(out.shape[0]):
        along = re2[k] * re[k] + im2[k] * im[k] + (re[k] * re0[k] + im[k] * im0[k])
        across = im2[k] * re[k] - re2[k] * im[k] + (im[k] * re0[k] - re[k] * im0[k])
        out[k] = arctan2(across, along)
