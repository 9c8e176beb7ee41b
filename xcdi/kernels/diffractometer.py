"""A diffractometer: circles, stages and a flat detector, and the scattering vector that reaches a pixel.

Laboratory axes: z along the beam, y up, x = y cross z. Vectors are (x, y, z). Angles are
radians, wavelengths nm, q is 1/nm; distance, pixel size and shifts share one unit (only
their ratios count). Circles are listed from the outermost in, as the diffractometer carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = [
    "BEAM",
    "HC",
    "Axis",
    "Camera",
    "EnergyScan",
    "QBasis",
    "Rocking",
    "Turn",
    "compose",
    "crop",
    "pixel_position",
    "q_basis",
    "q_map",
    "q_of_pixel",
    "rotation",
    "unit",
    "wavelength",
]

HC = 1.2398419843  # keV nm (CODATA 2018, exact)
BEAM = np.array([0.0, 0.0, 1.0])
NAMED = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
Axis = str | Sequence[float]  # "y+" and the like, or three numbers
Turn = tuple[Axis, float]  # axis and angle in rad


class QBasis(NamedTuple):
    """Sampling of reciprocal space: columns of `steps` are one frame, row, column on; `peak` is Q [1/nm]."""

    steps: Array
    peak: Array


class Rocking(NamedTuple):
    """The circle that moves during a scan: its axis, its step [rad], and the circles outside it."""

    axis: Axis
    step: float
    outer: tuple[Turn, ...] = ()

    def q_step(self, q: Array) -> Array:
        """From one frame to the next at `q` [1/nm], in the crystal."""
        outer = compose(self.outer)
        turned: Array = outer @ rotation(self.axis, -self.step) @ outer.T @ q
        return turned - q


class EnergyScan(NamedTuple):
    """Frames that differ in photon energy, nothing turning: the step in energy over the energy."""

    step: float

    def q_step(self, q: Array) -> Array:
        """From one frame to the next at `q` [1/nm]: Q grows with the energy."""
        return self.step * q


@dataclass(frozen=True)
class Camera:
    """A flat detector: on an arm (its circles), on a stage (its shift), tilted or square to its axis.

    The arm carries the stage, the stage carries the tilted detector.

    Attributes
    ----------
    centre_px : (row, column)
        The pixel on the axis of the arm with the stage at its zero; without circles the direct beam. It may lie off the frame.
    distance, pixel : float, (height, width)
        From the sample to that pixel, and of one pixel, in one unit.
    columns, rows : axis
        Direction in which the column and the row number rise with arm and tilt at zero.
    circles : of the arm, outermost first
    tilt : of the detector about its centre pixel, outermost first, axes as with the arm at zero
    shift : (x, y, z)
        How far the stage has moved the detector, with the arm at zero, in the unit of `distance`.
    """

    centre_px: tuple[float, float]
    distance: float
    pixel: tuple[float, float]
    columns: Axis = "x+"
    rows: Axis = "y-"
    circles: tuple[Turn, ...] = ()
    tilt: tuple[Turn, ...] = ()
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def arm(self) -> Array:
        """Rotation of the arm, (3, 3)."""
        return compose(self.circles)

    @property
    def attitude(self) -> Array:
        """Rotation of the detector itself, arm and tilt, (3, 3)."""
        return compose((*self.circles, *self.tilt))

    @property
    def centre(self) -> Array:
        """Place of the centre pixel, in the laboratory."""
        return self.arm @ (self.distance * BEAM + np.asarray(self.shift, dtype=float))

    @property
    def column_step(self) -> Array:
        """From one column to the next, in the laboratory."""
        return self.attitude @ unit(self.columns) * self.pixel[1]

    @property
    def row_step(self) -> Array:
        """From one row to the next, in the laboratory."""
        return self.attitude @ unit(self.rows) * self.pixel[0]


def crop(camera: Camera, first: tuple[float, float]) -> Camera:
    """Return the camera of frames that begin at pixel `first` (row, column) of these; negative where a border was added.

    Examples
    --------
    >>> crop(Camera((40.0, 30.0), 1.0, (1e-4, 1e-4)), (10, 20)).centre_px
    (30.0, 10.0)
    """
    return replace(camera, centre_px=(camera.centre_px[0] - first[0], camera.centre_px[1] - first[1]))


def wavelength(energy_kev: float) -> float:
    """Wavelength [nm] of photons of that energy.

    Examples
    --------
    >>> round(wavelength(9.65), 6)
    0.128481
    """
    return HC / energy_kev


def unit(axis: Axis) -> Array:
    """Unit vector of ``"y-"`` and the like, or of three numbers."""
    if isinstance(axis, str):
        return np.array(NAMED[axis[0]]) * (-1.0 if axis[1:] == "-" else 1.0)
    vector = np.asarray(axis, dtype=float)
    return vector / np.linalg.norm(vector)


def rotation(axis: Axis, angle: float) -> Array:
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
    return camera.centre + down * camera.row_step + along * camera.column_step


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


def q_basis(camera: Camera, pixel: tuple[float, float], rocking: Rocking | EnergyScan, *, wavelength: float) -> QBasis:
    r"""Steps in reciprocal space of one frame, one row and one column at a pixel.

    .. math:: q_{row} = \frac{k}{r} P(p_{row}), \quad P(v) = v - (v\cdot\hat k_f)\hat k_f, \qquad
              q_{frame} = O\,R(-\delta\omega)\,O^T Q - Q \quad\text{or}\quad Q\,\delta E / E

    `O` is the rotation of the circles outside the rocking one. Circles inside it cancel: the
    steps are in the crystal, drawn in laboratory axes as they stand at the reference frame.

    Parameters
    ----------
    camera : Camera
    pixel : (row, column)
        Where the scan's frames meet the reflection; may be fractional.
    rocking : Rocking or EnergyScan
        Axis, step per frame [rad] and outer circles; or the step in energy over the energy.
    wavelength : float
        [nm], at the reference frame.

    Returns
    -------
    QBasis
        `steps` (3, 3): columns frame, row, column; `peak` (3,): Q at `pixel`. [1/nm]

    Notes
    -----
    Tangents at `pixel`: valid while the rocking arc |Q| w^2 / 2 stays below half a pixel.
    Source: Maddali et al., J. Appl. Cryst. 53, 393 (2020), arXiv:1909.05353; Li et al., J. Appl. Cryst. 53, 404 (2020),
    arXiv:1909.05354; energy scans: Cha et al., Phys. Rev. Lett. 117, 225501 (2016), doi 10.1103/PhysRevLett.117.225501.
    """
    k = 2 * np.pi / wavelength
    place = pixel_position(camera, *pixel)
    r = float(np.linalg.norm(place))
    peak = k * (place / r - BEAM)
    across = np.eye(3) - np.outer(place, place) / r**2
    steps = np.stack([rocking.q_step(peak), k / r * across @ camera.row_step, k / r * across @ camera.column_step], axis=1)
    return QBasis(steps, peak)
