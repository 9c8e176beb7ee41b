"""The instrument of a scan: its camera, its circles and its photons, from attributes and motors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Geometry
from xcdi.errors import SchemaError
from xcdi.kernels import geometry

__all__ = ["attribute", "camera", "q_basis", "rocking", "wavelength"]

UNEVEN = 0.2  # of a step that an angle may stray from even spacing


def camera(scan: xr.Dataset, frame: int = 0) -> geometry.Camera:
    """Where the pixels of one frame are, from the scan's attributes and motors.

    Raises
    ------
    SchemaError
        Names the attribute or motor that is missing.
    """
    layout = _layout(scan)
    return geometry.Camera(
        centre_px=_pair(attribute(scan, "centre_px", "state geometry.centre_px (row, column) in the beamline file")),
        distance=float(attribute(scan, "distance_m", "state quantities.distance in the beamline file")),
        pixel=_pair(attribute(scan, "pixel_size_m", "state quantities.pixel_size in the beamline file")),
        columns=layout.columns,
        rows=layout.rows,
        circles=_turns(scan, layout.detector, frame),
    )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)


def _layout(scan: xr.Dataset) -> Geometry:
    text = attribute(scan, "geometry", "add a [geometry] table to the beamline file")
    return Geometry.model_validate(json.loads(text))


def attribute(scan: xr.Dataset, name: str, remedy: str) -> Any:
    """Return an attribute of the scan, or say what to do about its absence."""
    if name not in scan.attrs:
        raise SchemaError(f"the scan has no {name!r}; {remedy}")
    return scan.attrs[name]


def wavelength(scan: xr.Dataset) -> float:
    """Wavelength [nm] of the scan's photons."""
    return geometry.wavelength(float(attribute(scan, "energy_kev", "state quantities.energy in the beamline file")))


def _turns(scan: xr.Dataset, circles: Sequence[Any], frame: int) -> tuple[geometry.Turn, ...]:
    """Axis and angle [rad] of every circle at one frame."""
    return tuple((circle.axis, np.radians(_angle(scan, circle.motor)[frame])) for circle in circles)


def _angle(scan: xr.Dataset, motor: str) -> Array:
    """Angles [deg] of a motor, one per frame."""
    if motor not in scan.variables:
        raise SchemaError(f"the scan has no motor {motor!r}, which its geometry turns; name its place under [motors] in the beamline file")
    angles = np.broadcast_to(scan[motor].to_numpy().astype(float), scan.sizes["frame"])
    if not np.isfinite(angles).all():
        raise SchemaError(f"motor {motor!r} has no angle at frame {int(np.flatnonzero(~np.isfinite(angles))[0])}")
    return angles


def rocking(scan: xr.Dataset, frame: int) -> geometry.Rocking:
    """The circle that rocks, with the circles outside it as they stand at `frame`."""
    motor = attribute(scan, "rocking_motor", "no motor of the sample moves during it, so its frames are no rocking curve")
    circles = _layout(scan).sample
    place = next((i for i, circle in enumerate(circles) if circle.motor == motor), None)
    if place is None:
        raise SchemaError(f"rocking_motor {motor!r} is no circle of the sample ({', '.join(c.motor for c in circles) or 'none'})")
    return geometry.Rocking(circles[place].axis, np.radians(_even_step(_angle(scan, motor), motor)), _turns(scan, circles[:place], frame))


def _even_step(angles: Array, motor: str) -> float:
    """Step [deg] of evenly spaced `angles`."""
    if len(angles) < 2:
        raise SchemaError(f"one frame; {motor!r} needs two or more to have a step")
    step, start = np.polyfit(np.arange(len(angles)), angles, 1)
    stray = np.abs(angles - start - step * np.arange(len(angles)))
    if stray.max() > UNEVEN * abs(step):
        worst = int(stray.argmax())
        raise SchemaError(
            f"{motor!r} is {stray[worst]:.4g} deg off even steps of {step:.4g} deg at frame {worst}; phasing needs even steps"
        )
    return float(step)


def q_basis(scan: xr.Dataset, index: tuple[int, int, int]) -> geometry.QBasis:
    """Steps of reciprocal space and Q at (frame, row, column) [1/nm]."""
    frame, row, column = index
    return geometry.q_basis(camera(scan, frame), (row, column), rocking(scan, frame), wavelength=wavelength(scan))
