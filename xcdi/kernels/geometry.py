"""Where pixels and rocking steps lie in reciprocal space, and voxels in the laboratory.

Laboratory axes: z along the beam, y up, x = y cross z. Vectors are (x, y, z);
volumes are (z, y, x). Angles are radians, wavelengths nm, q is 1/nm. The circles and
the detector are in :mod:`xcdi.kernels.diffractometer`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels.diffractometer import (
    HC,
    Camera,
    EnergyScan,
    QBasis,
    Rocking,
    Turn,
    compose,
    q_basis,
    q_map,
    q_of_pixel,
    rotation,
    unit,
    wavelength,
)
from xcdi.kernels.resampling import lab_basis, resample, resample_linear

__all__ = [
    "HC",
    "Camera",
    "EnergyScan",
    "QBasis",
    "Rocking",
    "Turn",
    "azimuth",
    "bragg_spacing",
    "centre_of_mass",
    "compose",
    "find_peak",
    "lab_basis",
    "q_basis",
    "q_map",
    "q_of_pixel",
    "q_regions",
    "resample",
    "resample_linear",
    "rotation",
    "tile_sums",
    "two_theta",
    "unit",
    "voxel_basis",
    "voxel_lengths",
    "wavelength",
]


def voxel_basis(steps: Array, shape: Sequence[int]) -> Array:
    r"""Real-space steps of the object phased from a volume of that shape: :math:`2\pi B^{-T}`, B = [N_i q_i].

    Parameters
    ----------
    steps : array, shape (3, 3)
        Columns are the reciprocal steps [1/nm].
    shape : three ints
        Frames, rows, columns of the phased volume.

    Returns
    -------
    array, shape (3, 3)
        Columns are the steps in space [nm] of index 0, 1, 2.

    Raises
    ------
    ValueError
        If the three steps lie in a plane, as when Q is along the rocking axis.

    Examples
    --------
    >>> voxel_basis(np.diag([0.1, 0.2, 0.4]), (10, 10, 10)).diagonal().round(3)
    array([6.283, 3.142, 1.571])
    """
    edges = np.asarray(steps, dtype=float) * np.asarray(shape, dtype=float)
    lengths = np.linalg.norm(edges, axis=0)
    if not np.all(lengths > 0) or abs(np.linalg.det(edges / lengths)) < 1e-6:
        raise ValueError("the q steps of frame, row and column lie in one plane: the rocking axis is along Q, or the step is 0")
    return 2 * np.pi * np.linalg.inv(edges).T


def voxel_lengths(basis: Array) -> Array:
    """Lengths [nm] of the three columns of a voxel basis."""
    return np.linalg.norm(np.asarray(basis), axis=0)


def two_theta(q: Array, *, wavelength: float) -> Array:
    """Scattering angle [rad] of the vectors `q`, shape (..., 3) [1/nm]."""
    return 2 * np.arcsin(np.clip(np.linalg.norm(q, axis=-1) * wavelength / (4 * np.pi), 0.0, 1.0))


def bragg_spacing(q: Array) -> Array:
    """Lattice spacing 2 pi / |q| [nm] of the vectors `q`, shape (..., 3)."""
    return 2 * np.pi / np.linalg.norm(q, axis=-1)


def azimuth(q: Array) -> Array:
    """Angle [rad] about the beam of the vectors `q`, shape (..., 3): 0 along x, pi/2 up."""
    return np.arctan2(q[..., 1], q[..., 0])


def q_regions(q: Array, edges: Sequence[float]) -> Array:
    """Number the pixels by their |q|: 1 for edges[0] <= |q| < edges[1], and so on; 0 is outside.

    Parameters
    ----------
    q : array, shape (..., 3) or (...)
        Vectors, or their lengths if the last axis is not 3 [1/nm].
    edges : rising numbers
        n + 1 of them for n regions [1/nm].

    Returns
    -------
    int16 array

    Examples
    --------
    >>> q_regions(np.array([0.5, 1.0, 1.9, 2.0]), [1.0, 1.5, 2.0])
    array([0, 1, 2, 0], dtype=int16)
    """
    length = np.linalg.norm(q, axis=-1) if q.shape[-1:] == (3,) and q.ndim > 1 else q
    if len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise ValueError(f"edges must rise and be two or more, got {list(edges)}")
    label = np.digitize(length, edges)
    return np.where(label == len(edges), 0, label).astype(np.int16)


def find_peak(total: Array, valid: Array, *, sigma: float = 1.5) -> tuple[int, int]:
    """Brightest place (row, column) of an image, blind to single hot pixels and to gaps.

    A 3 x 3 median removes what one pixel alone shows; a Gaussian of `sigma` pixels, normalised by
    the valid area under it, averages the speckle.
    """
    weight = ndi.gaussian_filter(valid.astype(float), sigma)
    calm = np.where(valid, np.minimum(total, 3 * ndi.median_filter(np.where(valid, total, 0.0).astype(float), 3)), 0.0)
    smooth = ndi.gaussian_filter(calm, sigma)
    smooth = np.where(weight > 0.3, smooth / np.maximum(weight, 0.3), 0.0)
    row, column = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    return int(row), int(column)


def tile_sums(frames: Array, size: int) -> Array:
    """Sum square tiles of `size` pixels of every frame, shape (frame, y / size, x / size), the last tiles smaller.

    Examples
    --------
    >>> tile_sums(np.ones((1, 3, 5)), 2)
    array([[[4., 4., 2.],
            [2., 2., 1.]]])
    """
    rows = np.add.reduceat(frames, np.arange(0, frames.shape[1], size), axis=1, dtype=np.float64)
    return np.add.reduceat(rows, np.arange(0, frames.shape[2], size), axis=2)


def centre_of_mass(volume: Array, valid: Array, *, floor: float = 0.2) -> Array:
    """Centre of mass of what exceeds `floor` of the maximum, in (fractional) indices.

    The threshold is subtracted, so that a voxel crossing it does not make the answer jump.
    """
    weight = np.where(valid, volume, 0.0)
    weight = np.clip(weight - floor * weight.max(), 0.0, None)
    if not weight.sum() > 0:
        raise ValueError("nothing but zeros where the centre of mass was asked for")
    return np.array([np.average(index, weights=weight) for index in np.indices(weight.shape)])
