r"""The whole distortion of a crystal from several of its reflections: displacement, strain tensor, rotation.

Every reflection sees the lattice along its own G, phase = -G.u; three that do not lie in a plane see it all,
more than three check one another. Gradients need no common origin of the phases, only a common place.
All reflections are of one state of the crystal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array, namespace

__all__ = [
    "STRAINS",
    "Distortion",
    "Held",
    "calm",
    "condition",
    "displacement",
    "distortion",
    "equivalent",
    "held_out",
    "phase_gradient",
    "rotation",
    "rotation_error",
    "strain",
    "strain_error",
]

STRAINS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # xx, yy, zz, xy, xz, yz
TURNS = ((2, 1), (0, 2), (1, 0))  # of rotation about x, y, z
FLAT = 1e-12  # determinant over that of even weights, below which a voxel's reflections lie in a plane
SINGULAR = 1e3  # condition number from which all of them do


class Distortion(NamedTuple):
    r"""Displacement gradient of every voxel, and how well it is known.

    Attributes
    ----------
    matrix : array, shape (d, d, ...)
        :math:`D_{ij} = \partial u_i / \partial x_j`; NaN where fewer than d reflections have a weight.
    covariance : array, shape (d, d, ...)
        Of :math:`D_{ij}` and :math:`D_{kj}`, the same for every j, if the weights are one over the squared errors;
        elements of different j have no error in common.
    chi2 : array, shape (...)
        Weighted sum of the squared residuals per degree of freedom: about 1 if the weights are right, NaN
        where no degree of freedom is left.
    """

    matrix: Array
    covariance: Array
    chi2: Array


class Held(NamedTuple):
    """How well the other reflections foretell one: both in units of strain.

    Attributes
    ----------
    rms : float
        Of the difference, foretold less measured, over voxels and directions.
    spread : float
        The same of what was measured: what a forecast of zero would miss by.
    correlation : float
        Of forecast and measurement.
    """

    rms: float
    spread: float
    correlation: float


def condition(g: Array) -> float:
    """Condition number of the directions of reflections `g` (n, d): 1 at right angles, infinite in a plane.

    Examples
    --------
    >>> round(condition(np.diag([1.0, 2.0, 5.0])), 6)
    1.0
    """
    g = np.asarray(g, dtype=float)
    sizes = np.linalg.svd(g / np.linalg.norm(g, axis=1, keepdims=True), compute_uv=False)
    return float(sizes[0] / sizes[-1]) if len(sizes) == g.shape[1] and sizes[-1] > 0 else float("inf")


def distortion(gradients: Array, g: Array, weights: Array) -> Distortion:
    r"""Displacement gradient from the phase gradients of several reflections, by weighted least squares in every voxel.

    .. math:: \partial_j\phi_n = -\sum_i G_{ni} D_{ij}, \qquad
              D_{\cdot j} = -\Big(\sum_n w_n G_n G_n^T\Big)^{-1} \sum_n w_n G_n\,\partial_j\phi_n

    Parameters
    ----------
    gradients : array, shape (n, d, ...)
        Phase gradient of each reflection [rad/nm], components along the d axes.
    g : array, shape (n, d)
        Their reciprocal lattice vectors [1/nm]; n >= d, not in one plane.
    weights : array, shape (n, ...)
        One over the squared error of a component of the gradient; 0 where a reflection says nothing.

    Returns
    -------
    Distortion

    Raises
    ------
    ValueError
        If the reflections are too few, or lie in one plane.

    Notes
    -----
    u is a function of the place where the matter is now, as everywhere in this package; the relation is then exact.
    Source: Hofmann et al., Phys. Rev. Materials 4, 013801 (2020), arXiv:1903.04079 (gradients, no unwrapping);
    Newton et al., Nature Mater. 9, 120 (2010), doi 10.1038/nmat2607; Yang et al., J. Appl. Cryst. 55, 1184 (2022).

    Examples
    --------
    >>> tension = np.zeros((3, 3, 1)); tension[0, 0] = -2e-3  # the phase of the first G, along x, falls along x
    >>> found = distortion(tension, 2.0 * np.eye(3), np.ones((3, 1)))
    >>> round(float(found.matrix[0, 0, 0]), 9)
    0.001
    """
    g = _checked(g)
    xp = namespace(gradients)
    n, d = g.shape
    shape = gradients.shape[2:]
    values = xp.permute_dims(xp.reshape(gradients, (n, d, -1)), (2, 0, 1))  # (voxel, n, d)
    solution, covariance, chi2 = _solved(values, g, xp.permute_dims(xp.reshape(weights, (n, -1)), (1, 0)))
    matrix, square = (xp.reshape(xp.permute_dims(one, (1, 2, 0)), (d, d, *shape)) for one in (solution, covariance))
    return Distortion(matrix, square, xp.reshape(chi2, shape))


def displacement(phases: Array, g: Array, weights: Array) -> tuple[Array, Array]:
    r"""Displacement vector from the unwrapped phases of several reflections: :math:`\phi_n = -G_n\cdot u`.

    Parameters
    ----------
    phases : array, shape (n, ...)
        [rad], without jumps. Every reflection has an arbitrary constant: u is known up to a constant vector.
    g : array, shape (n, d)
        [1/nm].
    weights : array, shape (n, ...)
        One over the squared phase error.

    Returns
    -------
    u : array, shape (d, ...)
        [nm].
    error : array, shape (d, ...)
        Its standard error if the weights are those of the phases [nm].

    Raises
    ------
    ValueError
        If the reflections are too few, or lie in one plane.

    Examples
    --------
    >>> u, error = displacement(np.array([[-1.0], [0.0], [4.0]]), 2.0 * np.eye(3), np.ones((3, 1)))
    >>> u[:, 0].tolist(), error[:, 0].tolist()
    ([0.5, 0.0, -2.0], [0.5, 0.5, 0.5])
    """
    g = _checked(g)
    xp = namespace(phases)
    n, d = g.shape
    values, heavy = (xp.permute_dims(xp.reshape(one, (n, -1)), (1, 0)) for one in (phases, weights))
    u, covariance, _ = _solved(values[:, :, None], g, heavy)
    error = xp.stack([xp.sqrt(covariance[:, i, i]) for i in range(d)])
    shape = (d, *phases.shape[1:])
    return xp.reshape(xp.permute_dims(u[:, :, 0], (1, 0)), shape) + 0.0, xp.reshape(error, shape)


def calm(label: Array) -> np.ndarray:
    """Voxels of a grain whose neighbours, corners included, are all of that grain: away from surface and boundaries.

    Examples
    --------
    >>> calm(np.pad(np.ones((3, 3, 4), int), 1)).sum()  # two voxels have all their neighbours
    np.int64(2)
    """
    label = np.asarray(label)
    return np.asarray((label > 0) & (ndi.minimum_filter(label, 3, mode="constant") == ndi.maximum_filter(label, 3, mode="constant")))


def phase_gradient(matrix: Array, g: Array) -> Array:
    """Phase gradient (d, ...) [rad/nm] that a distortion (d, d, ...) gives a reflection `g` (d,): minus its transpose times G.

    Examples
    --------
    >>> phase_gradient(np.diag([1e-3, 0, 0]), np.array([2.0, 0.0, 0.0])).tolist()
    [-0.002, 0.0, 0.0]
    """
    xp = namespace(matrix)
    return xp.stack([sum(matrix[i, j, ...] * -float(g[i]) for i in range(len(g))) for j in range(matrix.shape[1])]) + 0.0


def strain(matrix: Array) -> Array:
    r"""Six components xx, yy, zz, xy, xz, yz of :math:`(D + D^T) / 2`, shape (6, ...), of a distortion (3, 3, ...).

    Examples
    --------
    >>> strain(np.array([[1.0, 4.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])).tolist()
    [1.0, 2.0, 3.0, 2.0, 0.0, 0.0]
    """
    return namespace(matrix).stack([(matrix[i, j, ...] + matrix[j, i, ...]) / 2 for i, j in STRAINS])


def rotation(matrix: Array) -> Array:
    r"""Rotation vector :math:`\omega = \frac12 \nabla\times u` (x, y, z) [rad], right-handed, shape (3, ...), of a distortion.

    Examples
    --------
    >>> rotation(np.array([[0.0, -1e-3, 0.0], [1e-3, 0.0, 0.0], [0.0, 0.0, 0.0]])).tolist()  # x turns towards y
    [0.0, 0.0, 0.001]
    """
    return namespace(matrix).stack([(matrix[i, j, ...] - matrix[j, i, ...]) / 2 for i, j in TURNS])


def strain_error(covariance: Array) -> Array:
    """Standard errors of the six components of :func:`strain`, shape (6, ...), from those of the distortion."""
    xp = namespace(covariance)
    parts = [xp.sqrt(covariance[i, i, ...]) if i == j else _mixed(covariance, i, j) for i, j in STRAINS]
    return xp.stack(parts)


def rotation_error(covariance: Array) -> Array:
    """Standard errors of the components of :func:`rotation`, shape (3, ...) [rad], from those of the distortion."""
    return namespace(covariance).stack([_mixed(covariance, i, j) for i, j in TURNS])


def equivalent(strain: Array) -> Array:
    r"""Equivalent strain of von Mises, :math:`\sqrt{\frac23\, e_{ij} e_{ij}}` with e the deviator; shape (...) of (6, ...).

    Examples
    --------
    >>> float(equivalent(np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])))
    0.0
    """
    xp = namespace(strain)
    mean = (strain[0, ...] + strain[1, ...] + strain[2, ...]) / 3
    straight = sum((strain[k, ...] - mean) ** 2 for k in range(3))
    return xp.sqrt(2 / 3 * (straight + 2 * sum(strain[k, ...] ** 2 for k in range(3, 6))))


def held_out(gradients: Array, g: Array, weights: Array, *, flattest: float = SINGULAR) -> list[Held | None]:
    """Foretell every reflection from the others, and compare.

    Parameters
    ----------
    gradients, g, weights
        As for :func:`distortion`, of four or more reflections; voxels in which all of them have a weight count.
    flattest : float
        Largest :func:`condition` of reflections that others are foretold from.

    Returns
    -------
    list of Held or None
        One for each; None where the others lie in one plane, or nearly so, and cannot foretell it.

    Raises
    ------
    ValueError
        If there are no more reflections than are needed, or no voxel has a weight of all.
    """
    g = np.asarray(g, dtype=float)
    if len(g) <= g.shape[1]:
        raise ValueError(f"{len(g)} reflections; one can be held out from {g.shape[1] + 1} or more")
    seen = np.all(np.asarray(weights) > 0, axis=0)
    if not seen.any():
        raise ValueError("no voxel is seen by all reflections; nothing can be foretold")
    values, heavy = np.asarray(gradients)[:, :, seen], np.asarray(weights)[:, seen]
    rests = [[k for k in range(len(g)) if k != n] for n in range(len(g))]
    return [None if condition(g[rest]) > flattest else _held(values, g, heavy, n, rest) for n, rest in enumerate(rests)]


def _held(gradients: Array, g: Array, weights: Array, n: int, rest: list[int]) -> Held:
    """Compare reflection `n` with what the `rest` foretell of it."""
    length = float(np.linalg.norm(g[n]))
    told = phase_gradient(distortion(gradients[rest], g[rest], weights[rest]).matrix, g[n]) / -length
    measured = gradients[n] / -length
    spread, correlation = float(np.sqrt(np.mean(measured**2))), float("nan")
    if np.std(told) > 0 and np.std(measured) > 0:
        correlation = float(np.corrcoef(told.ravel(), measured.ravel())[0, 1])
    return Held(float(np.sqrt(np.mean((told - measured) ** 2))), spread, correlation)


def _checked(g: Array) -> np.ndarray:
    """Reflections (n, d) that are enough and not in one plane."""
    vectors = np.asarray(g, dtype=float)
    if condition(vectors) > SINGULAR:
        raise ValueError(f"{len(vectors)} reflections {vectors.round(3).tolist()} do not span {vectors.shape[1]} dimensions")
    return vectors


def _solved(values: Array, g: Sequence[Sequence[float]] | np.ndarray, weights: Array) -> tuple[Array, Array, Array]:
    """Solve -G x = values in every voxel: x (voxel, d, k), its covariance (voxel, d, d), chi2 (voxel,)."""
    xp = namespace(values)
    design = xp.asarray(-np.asarray(g), dtype=values.dtype)  # (n, d)
    d = design.shape[1]
    heavy = xp.permute_dims(design, (1, 0)) * xp.astype(weights, values.dtype)[:, None, :]  # (voxel, d, n)
    normal = heavy @ design
    size = sum(normal[:, i, i] for i in range(d)) / d
    known = (size > 0) & (xp.linalg.det(normal / xp.where(size > 0, size, xp.ones_like(size))[:, None, None]) > FLAT)
    solvable = xp.where(known[:, None, None], normal, xp.eye(d, dtype=values.dtype))
    covariance = xp.where(known[:, None, None], xp.linalg.inv(solvable), xp.asarray(xp.nan, dtype=values.dtype))
    solution = covariance @ (heavy @ values)
    squares = xp.sum(xp.sum((values - design @ solution) ** 2, axis=2) * xp.astype(weights, values.dtype), axis=1)
    free = (xp.sum(xp.astype(weights > 0, values.dtype), axis=1) - d) * values.shape[2]
    chi2 = xp.where(free > 0, squares / xp.where(free > 0, free, xp.ones_like(free)), xp.asarray(xp.nan, dtype=values.dtype))
    return solution, covariance, chi2


def _mixed(covariance: Array, i: int, j: int) -> Array:
    """Standard error of half the sum, or the difference, of D_ij and D_ji, which have no error in common."""
    return namespace(covariance).sqrt(covariance[i, i, ...] + covariance[j, j, ...]) / 2
