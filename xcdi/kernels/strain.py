"""Displacement, strain and tilt of a crystal from the phase of its complex object.

Sign of the whole package: a lattice displaced by u has phase -G.u, so tension along
G makes the phase fall along G. Derivatives come from products of neighbours, never
from an unwrapped phase; unwrapping serves the displacement map alone.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numba as nb
import numpy as np
from scipy import ndimage as ndi
from scipy import special

from xcdi.backend import Array, namespace
from xcdi.kernels import slopes
from xcdi.kernels.diffractometer import BEAM
from xcdi.kernels.phasing import uncertainty

__all__ = [
    "Unwrapped",
    "defined_gradient",
    "directions",
    "displacement",
    "distortion",
    "error_factor",
    "gradient",
    "local_spread",
    "mean_gradient",
    "near_limit",
    "noise_floor",
    "phase_error",
    "phase_scatter",
    "reportable",
    "unwrap",
]

NEIGHBOURS = 1.0  # voxels: sd of the Gaussian over which variances are averaged
LEAST = 1e-4  # of the median variance: voxels below that would draw the mean of their neighbours' logarithms to nothing
NEAR = 0.7  # of a step of pi: from there on a phase step is nearly ambiguous


class Unwrapped(NamedTuple):
    """A phase without jumps [rad], and how many pairs of neighbours still differ by more than pi."""

    phase: Array
    breaks: int


def gradient(rho: Array, basis: Array, support: Array | None = None) -> Array:
    r"""Gradient of the phase of `rho` without unwrapping, in laboratory axes.

    .. math:: \partial_i\phi = \arg\left[\rho_{+}\rho_0^* + \rho_0\rho_{-}^*\right]

    per index, then turned into space by the basis: steps up to pi per voxel are told
    apart, neighbours count by their amplitude, and where one side is zero the other speaks alone.

    Parameters
    ----------
    rho : complex array, shape (..., n0, n1, n2)
        Object, zero outside its support.
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2.
    support : bool array, shape (n0, n1, n2), optional
        `rho` counts as zero outside it.

    Returns
    -------
    array, shape (3, ..., n0, n1, n2)
        Components x, y, z [rad/nm]; 0 where a voxel has no neighbour.

    Notes
    -----
    For equal amplitudes this is the central difference of the phase; its noise is sigma_phi / sqrt(2) per voxel.
    NumPy's arrays take one pass (:func:`xcdi.kernels.slopes.slopes`) with the same values to the rounding of their precision.
    Source: the complex exponential in place of an unwrapped phase, Yang et al., J. Appl. Cryst. 55, 1184 (2022).

    Examples
    --------
    >>> ramp = np.exp(0.3j * np.arange(4)) * np.ones((4, 4, 4))  # along the last index
    >>> bool(np.allclose(gradient(ramp, 2.0 * np.eye(3))[2], 0.15))
    True
    """
    xp = namespace(rho)
    to_space = np.linalg.inv(np.asarray(basis, dtype=float)).T
    if xp is np and rho.dtype in (np.complex64, np.complex128):
        return slopes.slopes(rho, to_space, support)
    return defined_gradient(rho if support is None else xp.where(support, rho, xp.zeros_like(rho)), to_space)


def defined_gradient(rho: Array, to_space: Array) -> Array:
    """Gradient as it is defined, for any array library; arguments as for :func:`xcdi.kernels.slopes.slopes`."""
    xp = namespace(rho)
    per_index = xp.stack([_angle(_step(rho, axis)) for axis in (-3, -2, -1)])
    matrix = xp.asarray(to_space, dtype=per_index.dtype)
    return xp.stack([sum(matrix[a, i] * per_index[i, ...] for i in range(3)) for a in range(3)])


def _step(rho: Array, axis: int) -> Array:
    """Product with the neighbours on either side of every voxel along one axis; its argument is the phase step."""
    xp = namespace(rho)
    moved = xp.moveaxis(rho, axis, 0)
    pair = moved[1:, ...] * xp.conj(moved[:-1, ...])
    none = xp.zeros_like(moved[:1, ...])
    return xp.moveaxis(xp.concat([pair, none]) + xp.concat([none, pair]), 0, axis)


def _angle(z: Array) -> Array:
    """Argument in (-pi, pi]; 0 of zero: adding nothing makes -0 to 0, whose angle is not pi."""
    xp = namespace(z)
    return xp.atan2(xp.imag(z) + 0.0, xp.real(z) + 0.0)


def mean_gradient(rho: Array) -> Array:
    """Phase step per voxel along each index, as the whole object shows it, shape (3,) [rad].

    The argument of the sum of neighbour products: intensity-weighted, blind to 2 pi, and the place of
    the Bragg peak to first order.
    """
    xp = namespace(rho)
    steps = []
    for axis in (-3, -2, -1):
        moved = xp.moveaxis(rho, axis, 0)
        steps.append(_angle(xp.sum(moved[1:, ...] * xp.conj(moved[:-1, ...]))))
    return xp.stack(steps)


def directions(g: Array) -> tuple[Array, Array, Array]:
    """Unit vectors along G and across it: G, t1 = beam x G (azimuthal), t2 = G x t1 (in the plane of beam and G).

    Examples
    --------
    >>> [v.tolist() for v in directions(np.array([2.0, 0.0, 0.0]))]
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    along = np.asarray(g, dtype=float) / np.linalg.norm(g)
    across = np.cross(BEAM, along)
    if np.linalg.norm(across) < 1e-6:
        raise ValueError(f"G = {np.asarray(g).tolist()} 1/nm lies along the beam; tilts have no azimuthal direction")
    across = across / np.linalg.norm(across)
    return along, across, np.cross(along, across)


def distortion(gradient: Array, g: Array, direction: Array) -> Array:
    r"""Derivative of the displacement along G: strain if `direction` is along G, tilt [rad] if across.

    .. math:: \partial_d u_G = -\nabla\phi\cdot\hat d / |G|

    Parameters
    ----------
    gradient : array, shape (3, ...)
        Phase gradient x, y, z [rad/nm].
    g : array, shape (3,)
        Reciprocal lattice vector [1/nm].
    direction : array, shape (3,)
        Unit vector.
    """
    length = float(np.linalg.norm(g))
    return sum(gradient[a, ...] * (-float(direction[a]) / length) for a in range(3))


def displacement(phase: Array, g: Array) -> Array:
    """Displacement along G [nm] from the phase [rad]: ``-phase / |G|``; tension along G is positive.

    Examples
    --------
    >>> displacement(np.array([0.0, -2.0]), np.array([4.0, 0.0, 0.0])).tolist()
    [-0.0, 0.5]
    """
    return -phase / float(np.linalg.norm(g))


def phase_error(rho: Array, rho_error: Array) -> Array:
    """Standard deviation of the phase [rad] from that of the complex value, half of whose variance is across it."""
    xp = namespace(rho)
    size = xp.abs(rho)
    seen = size > 0
    return xp.where(seen, rho_error / xp.where(seen, size, xp.ones_like(size)) / 2**0.5, xp.full_like(size, float("inf")))


def noise_floor(phase_error: Array, basis: Array, g: Array, direction: Array) -> Array:
    r"""Error of strain or tilt from the phase error of a voxel: :math:`\sigma_\phi / (\sqrt{2}\, h |G|)`.

    `h` is the voxel along `direction`; on a skewed grid the three index steps add in squares.

    Examples
    --------
    >>> round(float(noise_floor(np.array(0.1), 33.5 * np.eye(3), np.array([1.3742, 0, 0]), np.array([1.0, 0, 0]))), 5)
    0.00154
    """
    per_index = np.linalg.inv(np.asarray(basis, dtype=float)) @ np.asarray(direction, dtype=float)
    return phase_error * float(np.linalg.norm(per_index) / np.sqrt(2) / np.linalg.norm(g))


def local_spread(maps: Array, inside: Array) -> np.ndarray:
    r"""Standard deviation over several maps of one quantity, its logarithm averaged over nearby voxels.

    Parameters
    ----------
    maps : array, shape (solution, z, y, x)
        Two or more.
    inside : bool array, shape (z, y, x)

    Returns
    -------
    array, shape (z, y, x)
        0 outside.

    Notes
    -----
    A handful of solutions tells the variance of a voxel to a factor of two. The mean of its logarithm over a Gaussian
    of one voxel's width evens that out, and does not carry the large errors of surfaces and boundaries inward as the mean of
    the variance would; :math:`\psi(\nu/2) - \ln(\nu/2)`, the mean of the logarithm for Gaussian errors, is taken off.
    Source: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), doi 10.2202/1544-6115.1027 (moments of the log variance).
    """
    half = (len(maps) - 1) / 2
    variance = np.where(inside, np.var(np.asarray(maps, dtype=float), axis=0, ddof=1), 0.0)
    least = LEAST * float(np.median(variance[inside])) if np.any(inside) else 0.0
    if least == 0:
        return np.zeros(variance.shape)
    log = np.where(inside, np.log(np.maximum(variance, least)) - special.digamma(half) + np.log(half), 0.0)
    total, share = (ndi.gaussian_filter(part, NEIGHBOURS, mode="constant") for part in (log, np.asarray(inside, dtype=float)))
    return np.where(inside, np.exp(total / np.where(inside, share, 1.0) / 2), 0.0)


def phase_scatter(solutions: Array, inside: Array) -> np.ndarray:
    """Standard deviation [rad] of the phase over aligned `solutions` (solution, z, y, x), two or more: (z, y, x), NaN outside.

    Each without the phase and the phase ramp that no data fix; variances averaged as the standard errors of the phasing are.
    """
    across = uncertainty.smooth(uncertainty.of_starts(solutions, inside).across, inside)
    size = np.abs(np.mean(solutions, axis=0))
    seen = inside & (size > 0)
    return np.where(seen, np.sqrt(across) / np.where(seen, size, 1.0), np.nan)


def error_factor(scatter: Array, phase_error: Array) -> float:
    """Ratio of the standard error of a mean phase to the scatter of single phases: the median over voxels that have both.

    What is derived from the phases alike, as strain is, has its scatter turned into a standard error by the same factor; the
    correlation of neighbouring voxels is in the scatter.

    Parameters
    ----------
    scatter : array, shape (z, y, x)
        Of :func:`phase_scatter` [rad].
    phase_error : array, shape (z, y, x)
        Of :func:`xcdi.kernels.phasing.uncertainty.standard_errors` [rad].

    Raises
    ------
    ValueError
        If no voxel has both, or the solutions are all the same.

    Examples
    --------
    >>> error_factor(np.array([0.2, 0.1, np.nan]), np.array([0.1, 0.05, 0.1]))
    0.5
    """
    told = np.isfinite(phase_error) & (np.nan_to_num(scatter) > 0)
    if not told.any():
        raise ValueError("no voxel has both a phase error and solutions that differ")
    return float(np.median(phase_error[told] / scatter[told]))


def reportable(basis: Array, g: Array, direction: Array) -> float:
    r"""Largest strain or tilt that is not ambiguous: :math:`\pi / (|G| h)`, `h` the longest of the three voxel edges along `direction`.

    Examples
    --------
    >>> round(reportable(33.5 * np.eye(3), np.array([1.3742, 0, 0]), np.array([1.0, 0, 0])), 4)  # 6.8 %
    0.0682
    """
    longest = np.abs(np.asarray(direction, dtype=float) @ np.asarray(basis, dtype=float)).max()
    return float(np.pi / (np.linalg.norm(g) * longest))


def near_limit(gradient: Array, basis: Array, inside: Array) -> float:
    """Share of the voxels inside with a phase step within 30 % of pi along any index.

    Parameters
    ----------
    gradient : array, shape (3, n0, n1, n2)
        Components x, y, z [rad/nm].
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2 of the grid that the object was phased on.
    inside : bool array, shape (n0, n1, n2)
    """
    steps = np.asarray(basis, dtype=float).T @ np.asarray(gradient)[:, inside]
    return float(np.mean(np.abs(steps).max(axis=0) > NEAR * np.pi))


def unwrap(rho: Array, support: Array) -> Unwrapped:
    """Phase of `rho` without jumps inside the support, for display: bright voxels first, walls of the dark last.

    Parameters
    ----------
    rho : complex array, shape (n0, n1, n2)
    support : bool array, same shape

    Returns
    -------
    Unwrapped
        `phase` [rad], NaN outside; separate pieces each start near 0. `breaks` counts the pairs of
        neighbours that still differ by more than pi: above zero there is a dislocation or a boundary
        with a phase jump, and no phase without jumps exists.
    """
    phase = np.full(rho.shape, np.nan)
    bright = np.abs(rho).astype(float)
    left = np.array(support, dtype=bool)
    _flood(np.angle(rho).astype(float), bright, np.argsort(-bright, axis=None), left, phase)
    breaks = sum(int(np.sum(np.abs(np.diff(phase, axis=axis)) > np.pi)) for axis in range(3))
    return Unwrapped(phase, breaks)


@nb.njit(cache=True, nogil=True)
def _flood(wrapped, bright, order, left, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Grow from the brightest voxel of every piece, always next to the brightest reached; takes what it reaches from `left`."""
    n0, n1, n2 = left.shape
    for start in order:
        i, j, k = start // (n1 * n2), start // n2 % n1, start % n2
        if not left[i, j, k]:
            continue
        left[i, j, k] = False
        out[i, j, k] = wrapped[i, j, k]
        front = [(-bright[i, j, k], start)]
        while len(front) > 0:
            _, here = heapq.heappop(front)
            i, j, k = here // (n1 * n2), here // n2 % n1, here % n2
            for d in range(6):
                a = i + (d == 0) - (d == 1)
                b = j + (d == 2) - (d == 3)
                c = k + (d == 4) - (d == 5)
                if 0 <= a < n0 and 0 <= b < n1 and 0 <= c < n2 and left[a, b, c]:
                    left[a, b, c] = False
                    excess = wrapped[a, b, c] - out[i, j, k]
                    out[a, b, c] = wrapped[a, b, c] - 2 * np.pi * np.round(excess / (2 * np.pi))
                    heapq.heappush(front, (-bright[a, b, c], (a * n1 + b) * n2 + c))
