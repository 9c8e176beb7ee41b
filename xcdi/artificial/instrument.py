"""Diffractometer: where the peaks lie, and which step in q a pixel and an angle make.

Laboratory axes: z along the beam, y up, x = y cross z. The flat detector is
perpendicular to the beam, columns rise along x and rows along y. The sample
turns about y, right-handed, and meets its first peak at angle zero. Vectors of
the sample are given as they lie in the laboratory at that angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.profiles import Profile
from xcdi.errors import XcdiError

__all__ = [
    "HC_KEV_NM",
    "Sampling",
    "beam_centre",
    "bragg_angle",
    "exit_direction",
    "exit_of",
    "masked_pixels",
    "offset",
    "orientation",
    "reciprocal_vector",
    "rotation_about_y",
    "sampling",
    "series_angle_deg",
    "tag",
    "wavelength_nm",
]

HC_KEV_NM = 1.239842
BEAM, UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
ROUNDING = 1e-9  # rad
Vector = NDArray[np.float64]
Miller = tuple[int, int, int]


@dataclass(frozen=True)
class Sampling:
    """The sheared grid that a rocking scan measures.

    Attributes
    ----------
    peak : array, shape (3,)
        Reciprocal lattice vector G, components x, y, z [1/nm].
    steps : array, shape (3, 3)
        Columns are the steps in q [1/nm] of one angle, one row, one column.
    shape : tuple of int
        Number of angles, rows and columns; index ``n // 2`` is at G.
    angle : float
        Angle of the sample [rad] that brings G onto the Ewald sphere.
    step : float
        Angle [rad] between two frames.
    """

    peak: Vector
    steps: NDArray[np.float64]
    shape: tuple[int, int, int]
    angle: float = 0.0
    step: float = 1.0

    @property
    def voxels(self) -> NDArray[np.float64]:
        """Columns are the steps [nm] of the three indices of the transformed data (Hofmann and others, 2020)."""
        return 2 * np.pi * np.linalg.inv(self.steps * np.array(self.shape)).T

    @property
    def directions(self) -> NDArray[np.float64]:
        """Rows are the unit vectors along G, along y (or as near as can be), and the third that makes them right-handed."""
        along = self.peak / np.linalg.norm(self.peak)
        up = UP - (UP @ along) * along
        up /= np.linalg.norm(up)
        return np.array([along, up, np.cross(along, up)])


def wavelength_nm(p: Profile) -> float:
    """Wavelength [nm] of the beam."""
    return HC_KEV_NM / p.energy_kev


def rotation_about_y(angle: float) -> NDArray[np.float64]:
    """Matrix of a right-handed turn by `angle` [rad] about y.

    Examples
    --------
    >>> rotation_about_y(np.pi / 2).round(9) @ [0, 0, 1]
    array([1., 0., 0.])
    """
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def tag(hkl: Miller) -> str:
    """Return a reflection as a part of a name.

    Examples
    --------
    >>> tag((1, 1, -1))
    '11m1'
    """
    return "".join(str(n).replace("-", "m") for n in hkl)


def _first_peak(p: Profile) -> Vector:
    """G of the first reflection, on the Ewald sphere at angle zero in the plane of x and z."""
    k = 2 * np.pi / wavelength_nm(p)
    two_theta = 2 * np.arcsin(p.q_peak / (2 * k))
    return k * (np.array([np.sin(two_theta), 0.0, np.cos(two_theta)]) - BEAM)


def orientation(p: Profile) -> NDArray[np.float64]:
    """Matrix that turns directions of the cubic crystal into the laboratory at angle zero.

    The first reflection lies along its G; a zone axis of type <110> that holds it lies as near the beam as it can,
    so the reflections of that zone are all near the detector plane.
    """
    first = np.array(p.reflections[0], float)
    zones = np.array([[1, -1, 0], [1, 0, -1], [0, 1, -1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], float)
    zone = zones[abs(zones @ first).argmin()]
    zone -= zone @ first / (first @ first) * first
    frame = [first / np.linalg.norm(first), zone / np.linalg.norm(zone)]
    crystal = np.stack([frame[0], np.cross(frame[1], frame[0]), frame[1]], axis=1)
    along = _first_peak(p) / p.q_peak
    laboratory = np.stack([along, UP, np.cross(along, UP)], axis=1)
    return laboratory @ crystal.T


def reciprocal_vector(p: Profile, hkl: Miller) -> Vector:
    """G [1/nm] of the reflection `hkl`, at angle zero of the sample."""
    if hkl == p.reflections[0]:
        return _first_peak(p)
    return orientation(p) @ np.array(hkl, float) * (p.q_peak / np.linalg.norm(p.reflections[0]))


def bragg_angle(p: Profile, peak: Vector) -> float:
    """Return the smallest angle [rad] of the sample that brings `peak` onto the Ewald sphere; exactly 0 for the first peak.

    Raises
    ------
    XcdiError
        If no angle does.
    """
    k = 2 * np.pi / wavelength_nm(p)
    reach = np.hypot(peak[0], peak[2])
    sine = -(peak @ peak) / (2 * k * reach) if reach else -np.inf
    if abs(sine) > 1:
        place = np.round(peak, 3).tolist()
        raise XcdiError(f"a reflection at {place} 1/nm lies along the axis of rotation and never diffracts; choose another")
    direction = np.arctan2(peak[2], peak[0])
    angles = direction - np.array([np.arcsin(sine), np.pi - np.arcsin(sine)])
    angles = (angles + np.pi) % (2 * np.pi) - np.pi
    smallest = float(angles[abs(angles).argmin()])
    return smallest if abs(smallest) > ROUNDING else 0.0


def exit_direction(p: Profile, hkl: Miller) -> Vector:
    """Unit vector of the diffracted beam in the laboratory."""
    peak = reciprocal_vector(p, hkl)
    return exit_of(p, rotation_about_y(bragg_angle(p, peak)) @ peak)


def exit_of(p: Profile, transfer: Vector) -> Vector:
    """Unit vector of the beam that has taken up the momentum `transfer` [1/nm]."""
    out = transfer + 2 * np.pi / wavelength_nm(p) * BEAM
    return out / np.linalg.norm(out)


def beam_centre(p: Profile, hkl: Miller | None = None) -> tuple[float, float]:
    """Row and column where the direct beam would hit the detector, placed so that the reflection `hkl` falls on `p.peak_px`."""
    x, y, z = exit_direction(p, hkl or p.reflections[0])
    per_pixel = p.distance_m / p.pixel_m / z
    return float(p.peak_px[0] - per_pixel * y), float(p.peak_px[1] - per_pixel * x)


def sampling(p: Profile, hkl: Miller | None = None) -> Sampling:
    """Return G and the q steps of the scan of a reflection, the first by default (Yang, Phillips and others, arXiv:1909.05353).

    The steps of a pixel are those of the tangent plane of the Ewald sphere at
    the peak; the step of an angle is ``R(d omega)^T Q - Q``. All are given in the frame of the sample at angle zero.
    A reflection nearer the axis of rotation is turned in larger steps, so that its steps in q are as long as the first's.
    """
    peak = reciprocal_vector(p, hkl or p.reflections[0])
    angle = bragg_angle(p, peak)
    step = np.deg2rad(p.angle_step_deg) * p.q_peak / np.hypot(peak[0], peak[2])
    home = rotation_about_y(angle).T
    exit_ = exit_direction(p, hkl or p.reflections[0])
    per_pixel = 2 * np.pi / wavelength_nm(p) * p.pixel_m * exit_[2] / p.distance_m
    tangent = home @ (np.eye(3) - np.outer(exit_, exit_)) * per_pixel
    turned = rotation_about_y(step).T @ peak - peak
    return Sampling(peak, np.stack([turned, tangent[:, 1], tangent[:, 0]], axis=1), (p.angles, p.box, p.box), angle, step)


def offset(s: Sampling, angle: float, *, arc: bool = False) -> Vector:
    """Return how far [1/nm] the middle of the detector is from G with the sample `angle` [rad] beyond it.

    Along the tangent, as the steps are; or with `arc` exactly, ``R(angle)^T G - G``.
    """
    if arc:
        return rotation_about_y(angle).T @ s.peak - s.peak
    return s.steps[:, 0] * (angle / s.step)


def series_angle_deg(p: Profile) -> float:
    """Angle [deg] that the series is taken at."""
    step = np.linalg.norm(sampling(p).steps[:, 0])
    return float(p.series_offset / step * p.angle_step_deg)


def masked_pixels(p: Profile) -> NDArray[np.bool_]:
    """True, shape `p.detector`, in module gaps and behind the beamstop."""
    rows, columns = np.ogrid[: p.detector[0], : p.detector[1]]
    masked = np.zeros(p.detector, bool)
    if p.beamstop is not None:
        row, column, radius = p.beamstop
        masked |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    for y0, y1, x0, x1 in p.gaps:
        masked[y0:y1, x0:x1] = True
    return masked
