"""Centre, distance and tilts of a detector on an arm, from where the direct beam falls on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels.diffractometer import BEAM, Camera

__all__ = ["PARAMETERS", "Calibration", "calibrate", "direct_beam"]

TILTS = {"in_plane": "z+", "tilt_x": "x+", "tilt_y": "y+"}  # outermost first
PARAMETERS = ("centre_row", "centre_column", "distance", *TILTS)
LARGEST_CONDITION = 1e5


@dataclass(frozen=True)
class Calibration:
    """What the direct beam says.

    Attributes
    ----------
    camera : Camera
        Its centre, distance and tilts (about z, x, y, outermost first), arm and stage at zero.
    errors : dict
        Standard error of every parameter that was fitted: pixels, the unit of distance, rad.
    residual : float
        Root mean square distance [px] along one axis between found and expected places, per degree of freedom.
    """

    camera: Camera
    errors: dict[str, float]
    residual: float


def direct_beam(camera: Camera) -> Array:
    """Place (row, column) where the direct beam meets the plane of the detector, shape (2,).

    Examples
    --------
    >>> turned = Camera((10.0, 20.0), 1.0, (1e-3, 1e-3), circles=(("y+", 0.01),))
    >>> direct_beam(turned).round(3).tolist()  # the arm goes along x, the beam falls behind
    [10.0, 10.0]
    """
    meeting = np.stack([camera.row_step, camera.column_step, -BEAM], axis=1)
    down, along, _ = np.linalg.solve(meeting, -camera.centre)
    return np.array([camera.centre_px[0] + down, camera.centre_px[1] + along])


def calibrate(found: Array, views: Sequence[Camera], *, free: Sequence[str] = PARAMETERS, sigma: float | None = None) -> Calibration:
    r"""Least-squares centre, distance and tilts of a detector whose arm or stage moved through the direct beam.

    .. math:: \min \sum_i |p_i - p(\text{centre}, D, \text{tilts}; \text{arm}_i)|^2, \qquad
              C = \sigma^2 (J^T J)^{-1}

    Parameters
    ----------
    found : array, shape (n, 2)
        Row and column of the beam in every frame [px].
    views : n cameras
        As they stood: circles and shift, pixel size and directions are known; centre and distance begin the
        search, and what is not in `free` is kept.
    free : names of PARAMETERS
        Without an arm, a stage tells the centre and the turn in the plane, and no distance.
    sigma : float, optional
        Error of one place along one axis [px]; by default from the residual.

    Raises
    ------
    XcdiError
        If there are fewer places than unknowns, or the places cannot tell two of them apart.

    Notes
    -----
    A tilt moves the beam by its product with the square of the arm's angle only, so that its error is large
    where the detector is small; an offset of an arm's motor looks like a shift of the centre, and is in it.
    Source: Kriegner, Wintersberger and Stangl, J. Appl. Cryst. 46, 1162 (2013), doi 10.1107/S0021889813017214.
    """
    found = np.asarray(found, dtype=float)
    unknown = [name for name in free if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"no parameter {unknown[0]!r}; there are {', '.join(PARAMETERS)}")
    if found.size <= len(free):
        raise XcdiError(
            f"{len(found)} places of the direct beam for {len(free)} unknowns; measure at more angles, or keep some as they are"
            f" (calibrate --keep {free[-1]})"
        )

    def misfit(values: Array) -> Array:
        return (np.stack([direct_beam(with_parameters(view, free, values)) for view in views]) - found).ravel()

    start = _start(found, views, free)
    fit = optimize.least_squares(misfit, start, x_scale="jac", xtol=1e-11, ftol=1e-11, gtol=1e-11)
    _tell_apart(fit.jac, free)
    residual = float(np.sqrt(np.sum(fit.fun**2) / (found.size - len(free))))
    spread = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac))) * (residual if sigma is None else sigma)
    fitted = with_parameters(replace(views[0], circles=(), shift=(0.0, 0.0, 0.0)), free, fit.x)
    return Calibration(fitted, {name: float(error) for name, error in zip(free, spread, strict=True)}, residual)


def with_parameters(camera: Camera, names: Sequence[str], values: Array) -> Camera:
    """Return the camera with some of PARAMETERS set; the tilts of others are kept where they are about z, x, y."""
    now = dict(zip(PARAMETERS, (*camera.centre_px, camera.distance, *_tilts(camera)), strict=True))
    now |= {name: float(value) for name, value in zip(names, values, strict=True)}
    tilt = tuple((axis, now[name]) for name, axis in TILTS.items())
    return replace(camera, centre_px=(now["centre_row"], now["centre_column"]), distance=now["distance"], tilt=tilt)


def _tilts(camera: Camera) -> list[float]:
    if not camera.tilt:
        return [0.0] * len(TILTS)
    if [axis for axis, _ in camera.tilt] != list(TILTS.values()):
        raise XcdiError(f"the detector is tilted about {[axis for axis, _ in camera.tilt]}; leave tilt out, or write it about z+, x+, y+")
    return [angle for _, angle in camera.tilt]


def _start(found: Array, views: Sequence[Camera], free: Sequence[str]) -> Array:
    """Distance from the pair of places that are farthest apart, centre from the first place, tilts as they are."""
    first, last = np.unravel_index(int(np.argmax(np.linalg.norm(found[:, None] - found[None], axis=-1))), (len(found),) * 2)
    one, other = (views[int(i)].arm.T @ BEAM for i in (first, last))
    way = float(np.linalg.norm((found[first] - found[last]) * views[0].pixel))
    turn = float(np.linalg.norm(one - other))
    distance = way / turn if "distance" in free and turn > 0 else views[0].distance
    view = replace(views[0], distance=distance)
    centre = np.asarray(view.centre_px) + found[0] - direct_beam(view)
    known = dict(zip(PARAMETERS, (*centre, distance, *_tilts(view)), strict=True))
    return np.array([known[name] for name in free])


def _tell_apart(jacobian: Array, free: Sequence[str]) -> None:
    """Refuse a fit whose places do not determine every parameter."""
    lengths = np.linalg.norm(jacobian, axis=0)
    blind = [name for name, length in zip(free, lengths, strict=True) if not length > 0]
    if blind:
        raise XcdiError(f"the places of the direct beam do not depend on {blind[0]}; keep it as it is (calibrate --keep {blind[0]})")
    _, sizes, mixtures = np.linalg.svd(jacobian / lengths)
    if sizes[-1] * LARGEST_CONDITION < sizes[0]:
        weight = np.abs(mixtures[-1])
        names = [name for name, w in zip(free, weight, strict=True) if w > 0.3 * weight.max()]
        told = f"the places of the direct beam cannot tell {', '.join(names)} apart"
        raise XcdiError(f"{told}; measure at other angles, or keep one (calibrate --keep {names[-1]})")
