r"""What the shifts of several peaks on a detector say of the crystal: its mean distortion in the detector plane.

A distortion moves every peak by its own amount, :math:`\delta G = -D^T G`: along G by strain, across by shear and rotation
together. One peak cannot tell those two apart; two that are not in line can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels import tensor
from xcdi.kernels.avalanches import sizes

__all__ = ["Plane", "distortion_of_patterns", "distortion_steps", "plane_distortion", "shift_in_q"]


class Plane(NamedTuple):
    r"""Mean distortion in a plane with axes x, y, and its standard errors.

    Attributes
    ----------
    matrix, error : array, shape (2, 2)
        :math:`D_{ij} = \partial u_i / \partial x_j`.
    strain, strain_error : array, shape (3,)
        xx, yy, xy of its symmetric part.
    rotation, rotation_error : float
        From x to y [rad].
    chi2 : float
        Of the shifts per degree of freedom; NaN with two peaks, which leave none.
    """

    matrix: Array
    error: Array
    strain: Array
    strain_error: Array
    rotation: float
    rotation_error: float
    chi2: float


def shift_in_q(pixels: Array, row_step: Array, column_step: Array) -> Array:
    """Shift of a peak in reciprocal space [1/nm] from that of its pattern, (row, column) in pixels.

    Examples
    --------
    >>> shift_in_q([2.0, -1.0], np.array([0.0, 1e-3]), np.array([1e-3, 0.0])).tolist()
    [-0.001, 0.002]
    """
    row, column = pixels
    return np.asarray(row_step, dtype=float) * row + np.asarray(column_step, dtype=float) * column


def plane_distortion(shifts: Array, g: Array, errors: Array) -> Plane:
    r"""Mean distortion in the plane from the shifts of two or more peaks, by weighted least squares.

    .. math:: D = \left(-[\delta G_1\,\delta G_2]\,[G_1\,G_2]^{-1}\right)^T

    Parameters
    ----------
    shifts : array, shape (n, 2)
        By which each peak moved [1/nm], components x, y of the plane.
    g : array, shape (n, 2)
        Where it was; two of them must not be in line.
    errors : array, shape (n,)
        Standard error of a component of each shift [1/nm].

    Raises
    ------
    ValueError
        If the peaks are fewer than two or in line, or an error is not above 0.

    Notes
    -----
    Exact for u as a function of the place where the matter is now; the gradient with respect to the place where it was
    differs in second order.

    Examples
    --------
    >>> turned = plane_distortion([[0.0, 2e-3], [-1e-3, 0.0]], [[2.0, 0.0], [0.0, 1.0]], [1e-4, 1e-4])
    >>> round(turned.rotation, 9), (np.abs(turned.strain) < 1e-12).all()
    (0.001, np.True_)
    """
    shifts, g, errors = (np.asarray(one, dtype=float) for one in (shifts, g, errors))
    if not np.all(errors > 0):
        raise ValueError(f"errors of the shifts are {errors.tolist()} 1/nm, expected all above 0")
    found = tensor.distortion(shifts[:, :, None], g, 1 / errors[:, None] ** 2)
    matrix, covariance = found.matrix[..., 0], found.covariance[..., 0]
    own = np.sqrt(np.diag(covariance))
    mixed = float(np.sqrt(np.trace(covariance))) / 2
    return Plane(
        matrix=matrix,
        error=np.repeat(own[:, None], 2, axis=1),
        strain=np.array([matrix[0, 0], matrix[1, 1], (matrix[0, 1] + matrix[1, 0]) / 2]),
        strain_error=np.array([*own, mixed]),
        rotation=float(matrix[1, 0] - matrix[0, 1]) / 2,
        rotation_error=mixed,
        chi2=float(found.chi2[0]),
    )


def distortion_of_patterns(pairs: Iterable[tuple[Array, Array, Array, Array, Array]], *, error_px: float) -> Plane:
    """Mean distortion in the plane from patterns of two or more peaks, before and after.

    Parameters
    ----------
    pairs : iterable of (before, after, g, row_step, column_step)
        Of each peak: images, shape (row, column), without pixels that are not to be trusted; g (2,), where it was;
        the steps (2,) of a row and of a column [1/nm].
    error_px : float
        Standard error of a shift [pixels]; 0.02 between simulated patterns of twelve photons per pixel.

    Returns
    -------
    Plane

    Raises
    ------
    ValueError
        As :func:`plane_distortion`.
    """
    shifts, where, errors = [], [], []
    for before, after, g, row_step, column_step in pairs:
        by = sizes.register(before, after, np.ones(before.shape, bool))
        shifts.append(shift_in_q(np.array(by), row_step, column_step))
        where.append(g)
        errors.append(error_px * np.linalg.norm(row_step))
    return plane_distortion(np.array(shifts), np.array(where), np.array(errors))


def distortion_steps(shifts: Array, errors: Array, g: Array, row_steps: Array, column_steps: Array) -> list[Plane | None]:
    """Mean distortion in the plane at each of several events; None where fewer than two peaks that are not in line have a shift.

    Parameters
    ----------
    shifts : array, shape (event, n, 2)
        By which each pattern moved, (row, column) [pixels]; NaN where it was not registered.
    errors : array, shape (event, n)
        Standard error of either component [pixels].
    g : array, shape (n, 2)
        Reflections [1/nm], components along the axes of the plane.
    row_steps, column_steps : array, shape (n, 2)
        Steps of a row and of a column of each [1/nm].

    Examples
    --------
    >>> steps = np.array([[0.0, 1e-3]] * 2), np.array([[1e-3, 0.0]] * 2)
    >>> one, none = distortion_steps([[[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [np.nan, 0.0]]], np.full((2, 2), 0.02), np.eye(2), *steps)
    >>> round(one.rotation, 9), none is None
    (0.001, True)
    """
    shifts, errors, g = (np.asarray(one, dtype=float) for one in (shifts, errors, g))
    moved = shifts[..., :1] * row_steps + shifts[..., 1:] * column_steps
    error = errors * np.linalg.norm(row_steps, axis=-1)
    known = np.isfinite(moved).all(axis=-1) & (errors > 0)
    return [
        plane_distortion(one[there], g[there], wide[there]) if np.linalg.matrix_rank(g[there], tol=1e-3 * np.abs(g).max()) == 2 else None
        for one, wide, there in zip(moved, error, known, strict=True)
    ]
