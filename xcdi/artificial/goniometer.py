"""Goniometer: circles that carry a crystal and a detector, and the grid in q that rocking one of them measures.

Laboratory axes: z along the beam, y up, x = y cross z. The sample stands on theta (about +y),
chi (about -z) and phi (about +y), the detector on delta (about +y) and gamma (about -x), outermost
first, as at beamline 34-ID-C. With all at zero the detector faces the beam: columns rise along x, rows fall along y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.spatial.transform import Rotation

from xcdi.artificial.instrument import BEAM, Sampling
from xcdi.errors import XcdiError

__all__ = ["DETECTOR", "SAMPLE", "Camera", "Pose", "carried", "exact_q", "pose", "sampling", "turn"]

Vector = NDArray[np.float64]
Circles = tuple[tuple[str, str], ...]

SAMPLE: Circles = (("theta", "y+"), ("chi", "z-"), ("phi", "y+"))
DETECTOR: Circles = (("delta", "y+"), ("gamma", "x-"))
ROUNDING = 1e-12
FLAT = 0.02  # smallest volume of three unit steps in q that still is a volume


@dataclass(frozen=True)
class Camera:
    """Photons and detector: wave number [1/nm], distance and pixel in one unit, and (row, column) of G as seen from the axis of the arm."""

    wave_number: float
    distance: float
    pixel: float
    peak_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Pose:
    """A crystal that diffracts: all angles [deg] by name, G in the laboratory [1/nm], and the rotations of sample and arm."""

    angles: Mapping[str, float]
    peak: Vector
    sample: NDArray[np.float64] = field(repr=False)
    arm: NDArray[np.float64] = field(repr=False)


def turn(axis: str, angle_deg: float) -> NDArray[np.float64]:
    """Matrix of a right-handed turn about ``"y+"`` and the like.

    Examples
    --------
    >>> turn("x-", 90).round(9) @ [0, 0, 1]
    array([0., 1., 0.])
    """
    along = np.eye(3)["xyz".index(axis[0])] * (-1 if axis[1] == "-" else 1)
    return Rotation.from_rotvec(np.deg2rad(angle_deg) * along).as_matrix()


def carried(circles: Circles, angles: Mapping[str, float]) -> NDArray[np.float64]:
    """Rotation of what the innermost of `circles` carries."""
    total = np.eye(3)
    for motor, axis in circles:
        total = total @ turn(axis, angles[motor])
    return total


def pose(camera: Camera, resting: ArrayLike, angles: Mapping[str, float]) -> Pose:
    """Return the angles at which a crystal diffracts: theta is turned to the Bragg condition, then the arm to the diffracted beam.

    Parameters
    ----------
    camera : Camera
        Its `peak_px` says which pixel the beam shall hit.
    resting : vector (x, y, z)
        G [1/nm] with all angles at zero.
    angles : mapping
        Of chi and phi [deg], which stay as they are.

    Raises
    ------
    XcdiError
        If no theta brings G onto the Ewald sphere with the exit beam on the side of +x.
    """
    k = camera.wave_number
    tilted = carried(SAMPLE, {**angles, "theta": 0.0}) @ np.asarray(resting, float)
    theta = _bragg_theta(tilted, k)
    sample = carried(SAMPLE, {**angles, "theta": theta})
    peak = sample @ np.asarray(resting, float)
    delta, gamma = _arm(camera, (peak + k * BEAM) / k)
    every = {"theta": theta, "chi": float(angles["chi"]), "phi": float(angles["phi"]), "delta": delta, "gamma": gamma}
    return Pose(every, peak, sample, carried(DETECTOR, every))


def _bragg_theta(tilted: Vector, k: float) -> float:
    """Smallest angle [deg] about y with ``2 k.G + G^2 = 0`` and G towards +x."""
    reach = np.hypot(tilted[0], tilted[2])
    sine = tilted @ tilted / (2 * k * reach) if reach else np.inf
    if sine > 1:
        raise XcdiError(
            f"G at {np.round(tilted, 3).tolist()} 1/nm is too near the axis of theta and never diffracts; change chi, phi or mounting_deg"
        )
    # theta turns the projection of G in the plane of z and x, clockwise from +x to -z; it shall point sin^-1(sine) below +x
    angle = np.rad2deg(np.arctan2(tilted[2], tilted[0]) + np.arcsin(sine))
    return float((angle + 180) % 360 - 180)


def _arm(camera: Camera, direction: Vector) -> tuple[float, float]:
    """Angles delta and gamma [deg] that bring pixel `peak_px` into `direction`."""
    place = _seen(camera, 0, 0)
    place /= np.linalg.norm(place)

    def miss(angles: Vector) -> Vector:
        off = carried(DETECTOR, {"delta": angles[0], "gamma": angles[1]}) @ place - direction
        return np.array([off[0] * direction[2] - off[2] * direction[0], off[1]])

    start = np.rad2deg([np.arctan2(direction[0], direction[2]), np.arcsin(direction[1])])
    found = optimize.root(miss, start, tol=1e-14)
    return float(found.x[0]), float(found.x[1])


def _seen(camera: Camera, rows: ArrayLike, columns: ArrayLike) -> Vector:
    """Places (..., 3) of pixels from the one G falls on, as seen from the sample with the arm at zero."""
    down, along = np.broadcast_arrays(np.asarray(rows, float) + camera.peak_px[0], np.asarray(columns, float) + camera.peak_px[1])
    return np.stack([along * camera.pixel, -down * camera.pixel, np.full(down.shape, camera.distance)], axis=-1)


def exact_q(camera: Camera, at: Pose, rocking: str, beyond_deg: float, rows: ArrayLike, columns: ArrayLike) -> Vector:
    """Return how far [1/nm] pixels are from G, shape (..., 3), in the laboratory as the crystal stands in `at`.

    Parameters
    ----------
    camera, at : Camera, Pose
        The pose is the middle of the scan.
    rocking : str
        The circle of the sample that is `beyond_deg` from there.
    rows, columns : arrays that fit together
        Pixels, counted from the one that G falls on.
    """
    place = _seen(camera, rows, columns) @ at.arm.T
    q = camera.wave_number * (place / np.linalg.norm(place, axis=-1, keepdims=True) - BEAM)
    moved = carried(SAMPLE, {**at.angles, rocking: at.angles[rocking] + beyond_deg})
    home = at.sample @ moved.T  # from the laboratory back into the crystal, drawn as it stands in the middle
    return q @ home.T - at.peak


def sampling(camera: Camera, at: Pose, rocking: str, step_deg: float, shape: tuple[int, int, int]) -> Sampling:
    """Return the sheared grid of a scan, tangent to the exact q at G (Yang, Phillips and others, arXiv:1909.05353).

    Raises
    ------
    XcdiError
        If rocking that circle leaves G on the Ewald sphere, or nearly so.
    """
    exit_ = at.peak / camera.wave_number + BEAM
    place = np.linalg.norm(_seen(camera, 0, 0))
    tangent = np.eye(3) - np.outer(exit_, exit_)
    column, row = (camera.wave_number * camera.pixel / place * tangent @ at.arm @ side for side in np.array([[1.0, 0, 0], [0, -1, 0]]))
    moved = carried(SAMPLE, {**at.angles, rocking: at.angles[rocking] + step_deg})
    turned = at.sample @ moved.T @ at.peak - at.peak
    steps: NDArray[Any] = np.stack([turned, row, column], axis=1)
    steps[np.abs(steps) < ROUNDING * np.abs(steps).max()] = 0.0  # so that a sum that separates is known to
    if abs(np.linalg.det(steps / np.linalg.norm(steps, axis=0))) < FLAT:
        raise XcdiError(f"rocking {rocking!r} does not lead G through the Ewald sphere; rock another circle")
    return Sampling(at.peak, steps, shape, np.deg2rad(at.angles[rocking]), np.deg2rad(step_deg))
