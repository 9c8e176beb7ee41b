"""Where pixels and rocking steps lie in reciprocal space, and voxels in the laboratory.

Laboratory axes: z along the beam, y up, x = y cross z. Vectors are (x, y, z);
volumes are (z, y, x). Angles are radians, wavelengths nm, q is 1/nm; distance and
pixel size share one unit (only their ratio counts). Circles are listed from the
outermost in, as the diffractometer carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels.resampling import lab_basis, resample, resample_linear

__all__ = [
    "HC",
    "Camera",
    "QBasis",
    "Rocking",
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
    "voxel_basis",
    "voxel_lengths",
    "wavelength",
]

HC = 1.2398419843  # keV nm (CODATA 2018, exact)
BEAM = np.array([0.0, 0.0, 1.0])
NAMED = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
Turn = tuple[str, float]  # axis such as "y+" and angle in rad


class QBasis(NamedTuple):
    """Sampling of reciprocal space: columns of `steps` are one frame, row, column on; `peak` is Q [1/nm]."""

    steps: Array
    peak: Array


class Rocking(NamedTuple):
    """The circle that moves during a scan: its axis, its step [rad], and the circles outside it."""

    axis: str
    step: float
    outer: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Camera:
    """A flat detector, on an arm (its circles) or on a stage facing the beam (no circles).

    Attributes
    ----------
    centre_px : (row, column)
        The pixel on the axis of the arm; without circles the direct beam. It may lie off the frame.
    distance, pixel : float, (height, width)
        From the sample to that pixel, and of one pixel, in one unit.
    columns, rows : axis
        Direction in which the column and the row number rise with the arm at zero.
    circles : of the arm, outermost first
    """

    centre_px: tuple[float, float]
    distance: float
    pixel: tuple[float, float]
    columns: str = "x+"
    rows: str = "y-"
    circles: tuple[Turn, ...] = ()

    @property
    def arm(self) -> Array:
        """Rotation of the arm, (3, 3)."""
        return compose(self.circles)

    @property
    def column_step(self) -> Array:
        """From one column to the next, in the laboratory."""
        return self.arm @ unit(self.columns) * self.pixel[1]

    @property
    def row_step(self) -> Array:
        """From one row to the next, in the laboratory."""
        return self.arm @ unit(self.rows) * self.pixel[0]


def wavelength(energy_kev: float) -> float:
    """Wavelength [nm] of photons of that energy.

    Examples
    --------
    >>> round(wavelength(9.65), 6)
    0.128481
    """
    return HC / energy_kev


def unit(axis: str | Sequence[float]) -> Array:
    """Unit vector of ``"y-"`` and the like, or of three numbers."""
    if isinstance(axis, str):
        return np.array(NAMED[axis[0]]) * (-1.0 if axis[1:] == "-" else 1.0)
    vector = np.asarray(axis, dtype=float)
    return vector / np.linalg.norm(vector)


def rotation(axis: str | Sequence[float], angle: float) -> Array:
    """Right-handed rotation about `axis` by `angle` [rad], shape (3, 3).

    Examples
    --------
    >>> np.round(rotation("y+", np.pi / 2) @ [0, 0, 1], 12)
    array([1., 0., 0.])
    """
    x, y, z = unit(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def compose(circles: Sequence[Turn]) -> Array:
    """Rotation of what the innermost of `circles` carries; no circles give the identity."""
    total = np.eye(3)
    for axis, angle in circles:
        total = total @ rotation(axis, angle)
    return total


def pixel_position(camera: Camera, row: Array, column: Array) -> Array:
    """Place of a pixel as seen from the sample, shape (..., 3), in the unit of `camera`."""
    down = np.asarray(row, dtype=float)[..., None] - camera.centre_px[0]
    along = np.asarray(column, dtype=float)[..., None] - camera.centre_px[1]
    return camera.distance * camera.arm @ BEAM + down * camera.row_step + along * camera.column_step


def q_of_pixel(camera: Camera, row: Array, column: Array, *, wavelength: float) -> Array:
    r"""Scattering vector :math:`Q = k(\hat r - \hat z)` that reaches a pixel.

    Parameters
    ----------
    camera : Camera
    row, column : numbers or arrays of one shape
        Fractions are allowed, and pixels off the frame.
    wavelength : float
        [nm].

    Returns
    -------
    array, shape (..., 3)
        [1/nm], laboratory axes x, y, z.

    Examples
    --------
    >>> flat = Camera(centre_px=(0, 0), distance=1.0, pixel=(1e-3, 1e-3))
    >>> q_of_pixel(flat, 0, 0, wavelength=0.1)
    array([0., 0., 0.])
    """
    place = pixel_position(camera, row, column)
    direction = place / np.linalg.norm(place, axis=-1, keepdims=True)
    return 2 * np.pi / wavelength * (direction - BEAM)


def q_map(camera: Camera, shape: tuple[int, int], *, wavelength: float) -> Array:
    """Scattering vector of every pixel of a frame, shape (y, x, 3) [1/nm]."""
    rows, columns = np.indices(shape, dtype=float)
    return q_of_pixel(camera, rows, columns, wavelength=wavelength)


def q_basis(camera: Camera, pixel: tuple[float, float], rocking: Rocking, *, wavelength: float) -> QBasis:
    r"""Steps in reciprocal space of one frame, one row and one column at a pixel.

    .. math:: q_{row} = \frac{k}{r} P(p_{row}), \quad P(v) = v - (v\cdot\hat k_f)\hat k_f, \qquad
              q_{frame} = O\,R(-\delta\omega)\,O^T Q - Q

    `O` is the rotation of the circles outside the rocking one. Circles inside it cancel: the
    steps are in the crystal, drawn in laboratory axes as they stand at the reference frame.

    Parameters
    ----------
    camera : Camera
    pixel : (row, column)
        Where the scan's frames meet the reflection; may be fractional.
    rocking : Rocking
        Axis, step per frame [rad] and outer circles.
    wavelength : float
        [nm].

    Returns
    -------
    QBasis
        `steps` (3, 3): columns frame, row, column; `peak` (3,): Q at `pixel`. [1/nm]

    Notes
    -----
    Tangents at `pixel`: valid while the rocking arc |Q| w^2 / 2 stays below half a pixel.
    Source: Maddali et al., J. Appl. Cryst. 53, 393 (2020); Li et al., J. Appl. Cryst. 53, 404 (2020).
    """
    k = 2 * np.pi / wavelength
    place = pixel_position(camera, *pixel)
    r = float(np.linalg.norm(place))
    peak = k * (place / r - BEAM)
    across = np.eye(3) - np.outer(place, place) / r**2
    outer = compose(rocking.outer)
    turned = outer @ rotation(rocking.axis, -rocking.step) @ outer.T @ peak
    steps = np.stack([turned - peak, k / r * across @ camera.row_step, k / r * across @ camera.column_step], axis=1)
    return QBasis(steps, peak)


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
