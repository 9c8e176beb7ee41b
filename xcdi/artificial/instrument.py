"""Diffractometer: where the peak lies, and which step in q a pixel and an angle make.

Laboratory axes: z along the beam, y up, x = y cross z. The flat detector is
perpendicular to the beam, columns rise along x and rows along y. The sample
turns about y, right-handed, and meets the peak at angle zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.profiles import Profile

__all__ = ["HC_KEV_NM", "Sampling", "beam_centre", "masked_pixels", "rotation_about_y", "sampling", "series_angle_deg", "wavelength_nm"]

HC_KEV_NM = 1.239842


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
    """

    peak: NDArray[np.float64]
    steps: NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def voxels(self) -> NDArray[np.float64]:
        """Columns are the steps [nm] of the three indices of the transformed data (Hofmann and others, 2020)."""
        return 2 * np.pi * np.linalg.inv(self.steps * np.array(self.shape)).T

    @property
    def directions(self) -> NDArray[np.float64]:
        """Rows are the unit vectors along G, along y, and the third that makes them right-handed."""
        along = self.peak / np.linalg.norm(self.peak)
        up = np.array([0.0, 1.0, 0.0])
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


def _two_theta(p: Profile) -> float:
    return 2 * np.arcsin(p.q_peak * wavelength_nm(p) / (4 * np.pi))


def beam_centre(p: Profile) -> tuple[float, float]:
    """Row and column where the direct beam would hit the detector plane."""
    return float(p.peak_px[0]), float(p.peak_px[1] - p.distance_m * np.tan(_two_theta(p)) / p.pixel_m)


def sampling(p: Profile) -> Sampling:
    """Return G and the q steps of the scan (science as in Yang, Phillips and others, arXiv:1909.05353).

    The steps of a pixel are those of the tangent plane of the Ewald sphere at
    the peak; the step of an angle is ``R(d omega)^T Q - Q``, in the frame of the crystal.
    """
    k = 2 * np.pi / wavelength_nm(p)
    two_theta = _two_theta(p)
    exit_ = np.array([np.sin(two_theta), 0.0, np.cos(two_theta)])
    peak = k * (exit_ - [0.0, 0.0, 1.0])
    per_pixel = k * p.pixel_m * np.cos(two_theta) / p.distance_m
    tangent = np.eye(3) - np.outer(exit_, exit_)
    column, row = per_pixel * tangent[:, 0], per_pixel * tangent[:, 1]
    angle = rotation_about_y(np.deg2rad(p.angle_step_deg)).T @ peak - peak
    return Sampling(peak, np.stack([angle, row, column], axis=1), (p.angles, p.box, p.box))


def series_angle_deg(p: Profile) -> float:
    """Angle [deg] that the series is taken at."""
    step = np.linalg.norm(sampling(p).steps[:, 0])
    return float(p.series_offset / step * p.angle_step_deg)


def masked_pixels(p: Profile) -> NDArray[np.bool_]:
    """True, shape `p.detector`, in module gaps and behind the beamstop."""
    rows, columns = np.ogrid[: p.detector[0], : p.detector[1]]
    row, column, radius = p.beamstop
    masked = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    for y0, y1, x0, x1 in p.gaps:
        masked[y0:y1, x0:x1] = True
    return masked
