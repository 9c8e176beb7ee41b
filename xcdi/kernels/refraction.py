"""Refraction and absorption inside a crystal: how far X-rays travel in it, and the phase and amplitude that this adds.

Sign of the whole package: a wave is exp(i k.r - i omega t) and the refractive index n = 1 - delta + i beta, so a way L
in matter multiplies it by exp(-i k delta L - k beta L), and an object is s exp(-i G.u) exp(-i k delta L - k beta L).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array

__all__ = ["optical_path", "path_lengths", "undone"]

BLUR = 1.0  # voxels: sd of the Gaussian that turns a surface of steps into a smooth one
RIM = 4  # voxels of nothing around the support, wider than the blur
SURFACE = 0.5  # level of the blurred support
STEP = 0.5  # voxels: surfaces are found between two points that far apart


def path_lengths(support: Array, basis: Array, direction: Array) -> np.ndarray:
    """Return how far [nm] it is inside the support from every voxel along `direction`.

    Parameters
    ----------
    support : bool array, shape (n0, n1, n2)
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2.
    direction : array, shape (3,)
        Components x, y, z; of any length.

    Returns
    -------
    array of float32, shape (n0, n1, n2)
        0 outside. Re-entrant shapes count every part that the ray crosses. In a ball of 10 voxels' radius the rms error is
        a quarter of a voxel.

    Notes
    -----
    The surface is the middle level of the support blurred by a voxel, and sharpened so that round shapes keep their size;
    linear interpolation along the ray finds it.

    Examples
    --------
    >>> slab = np.zeros((9, 9, 9), bool)
    >>> slab[:, :, 2:7] = True
    >>> lengths = path_lengths(slab, 10.0 * np.eye(3), np.array([0.0, 0.0, 1.0]))  # index 2 is z here
    >>> bool(np.abs(lengths[4, 4] - [0, 0, 45, 35, 25, 15, 5, 0, 0]).max() < 1)
    True
    """
    inside = np.pad(np.asarray(support, dtype=bool), RIM)
    filled = inside.astype(np.float32)
    smooth = ndi.gaussian_filter(filled, BLUR) - BLUR**2 / 2 * ndi.gaussian_laplace(filled, BLUR)
    along = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    per_nm = np.linalg.inv(np.asarray(basis, dtype=float)) @ along  # voxels
    step = STEP / float(np.abs(per_nm).max())  # nm
    found = np.zeros(inside.shape, np.float32)
    _march(smooth - SURFACE, inside, per_nm * step, found)
    found *= step
    return found[RIM:-RIM, RIM:-RIM, RIM:-RIM]


def optical_path(support: Array, basis: Array, k_in: Array, k_out: Array) -> np.ndarray:
    """Return how far [nm] the beam travels in the support before it is scattered at a voxel, and after: float32 (n0, n1, n2).

    Parameters
    ----------
    support, basis
        As for :func:`path_lengths`.
    k_in, k_out : array, shape (3,)
        Directions of the beam and of what is scattered, x, y, z; of any length.
    """
    return path_lengths(support, basis, -np.asarray(k_in)) + path_lengths(support, basis, k_out)


def undone(path: Array, *, delta: float, beta: float, wavelength: float) -> np.ndarray:
    r"""Return the factor, complex64, that takes refraction and absorption off an object.

    .. math:: \exp[(i\delta + \beta)\, k L], \qquad k = 2\pi/\lambda

    Parameters
    ----------
    path : array
        Of :func:`optical_path` [nm].
    delta, beta : float
        Of the refractive index 1 - delta + i beta.
    wavelength : float
        In vacuum [nm].

    Notes
    -----
    Source: Harder, Pfeifer, Williams, Vartanyants and Robinson, Phys. Rev. B 76, 115425 (2007), doi 10.1103/PhysRevB.76.115425.
    Left out: bending of rays (of the order delta squared) and multiple scattering (the dynamical theory).

    Examples
    --------
    >>> turn = undone(np.array([0.0, 1000.0]), delta=1e-5, beta=0.0, wavelength=0.1)
    >>> [round(float(phase), 4) for phase in np.angle(turn)]
    [0.0, 0.6283]
    """
    k = 2 * np.pi / wavelength
    return np.asarray(np.exp((beta + 1j * delta) * k * np.asarray(path, dtype=float)), dtype=np.complex64)


@nb.njit(cache=True, nogil=True)
def _march(smooth, inside, stride, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Walk from every voxel inside to the edge of the array, and add up the parts above zero."""
    n0, n1, n2 = smooth.shape
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                if not inside[i, j, k]:
                    continue
                here, total, m = smooth[i, j, k], 0.0, 1
                while True:
                    a, b, c = i + m * stride[0], j + m * stride[1], k + m * stride[2]
                    if a < 0 or b < 0 or c < 0 or a >= n0 - 1 or b >= n1 - 1 or c >= n2 - 1:
                        break
                    there = _between(smooth, a, b, c)
                    total += _above(here, there)
                    here, m = there, m + 1
                out[i, j, k] = total


@nb.njit(cache=True, nogil=True)
def _above(here, there):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Part of a line from `here` to `there` that lies above zero."""
    if here >= 0 and there >= 0:
        return 1.0
    if here < 0 and there < 0:
        return 0.0
    return max(here, there) / abs(here - there)


@nb.njit(cache=True, nogil=True)
def _between(smooth, a, b, c):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Value at (a, b, c) by linear interpolation."""
    i, j, k = int(a), int(b), int(c)
    u, v, w = a - i, b - j, c - k
    low = (smooth[i, j, k] * (1 - w) + smooth[i, j, k + 1] * w) * (1 - v) + (
        smooth[i, j + 1, k] * (1 - w) + smooth[i, j + 1, k + 1] * w
    ) * v
    i += 1
    high = (smooth[i, j, k] * (1 - w) + smooth[i, j, k + 1] * w) * (1 - v) + (
        smooth[i, j + 1, k] * (1 - w) + smooth[i, j + 1, k + 1] * w
    ) * v
    return low * (1 - u) + high * u
