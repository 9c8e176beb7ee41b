"""The instrument of a scan: its camera, its circles and its photons, from attributes and motors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Circle, Geometry
from xcdi.errors import SchemaError
from xcdi.kernels import geometry

__all__ = ["attribute", "camera", "q_basis", "rocking", "sample_rotation", "wavelength"]

UNEVEN = 0.2  # of a step that an angle or an energy may stray from even spacing
STILL_DEG = 0.01  # that a circle which does not rock may drift during a scan
ENERGY = "energy"  # rocking_motor of a scan of the photon energy


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
        tilt=tuple((tilt.axis, math.radians(tilt.angle_deg)) for tilt in layout.tilt),
        shift=_shift(scan, layout, frame),
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


def wavelength(scan: xr.Dataset, frame: int | None = None) -> float:
    """Wavelength [nm] of the scan's photons; of one frame where the energy is scanned."""
    if frame is not None and scan.attrs.get("rocking_motor") == ENERGY:
        return geometry.wavelength(float(_per_frame(scan, ENERGY)[frame]))
    return geometry.wavelength(float(attribute(scan, "energy_kev", "state quantities.energy in the beamline file")))


def _turns(scan: xr.Dataset, circles: Sequence[Circle], frame: int) -> tuple[geometry.Turn, ...]:
    """Axis and angle [rad] of every circle at one frame."""
    return tuple((circle.axis, math.radians(_per_frame(scan, circle.motor)[frame] - circle.zero_deg)) for circle in circles)


def sample_rotation(scan: xr.Dataset, frame: int) -> Array:
    """Rotation (3, 3) by which the circles have turned the sample at one frame.

    Raises
    ------
    SchemaError
        If the scan lacks the geometry, or the angle of a circle.
    """
    return geometry.compose(_turns(scan, _layout(scan).sample, frame))


def _shift(scan: xr.Dataset, layout: Geometry, frame: int) -> tuple[float, float, float]:
    """How far [m] the detector's stage has moved it at one frame, arm at zero."""
    moved = np.zeros(3)
    for stage in layout.stage:
        values = _per_frame(scan, stage.motor)
        unit = scan[stage.motor].attrs.get("units")
        if unit != "mm":
            raise SchemaError(f"motor {stage.motor!r} of the detector's stage is in {unit!r}, expected 'mm'; state that under [motors]")
        moved += (values[frame] - stage.zero_mm) * 1e-3 * geometry.unit(stage.axis)
    return float(moved[0]), float(moved[1]), float(moved[2])


def _per_frame(scan: xr.Dataset, motor: str) -> Array:
    """Angles [deg] (positions [mm], energies [keV]) of a motor, one per frame."""
    if motor not in scan.variables:
        raise SchemaError(f"the scan has no motor {motor!r}, which its geometry turns; name its place under [motors] in the beamline file")
    angles = np.broadcast_to(scan[motor].to_numpy().astype(float), scan.sizes["frame"])
    if not np.isfinite(angles).all():
        raise SchemaError(f"motor {motor!r} has no angle at frame {int(np.flatnonzero(~np.isfinite(angles))[0])}")
    return angles


def rocking(scan: xr.Dataset, frame: int) -> geometry.Rocking | geometry.EnergyScan:
    """The circle that rocks, with the circles outside it as they stand at `frame`; or the step of the energy.

    Raises
    ------
    SchemaError
        If nothing rocks, the steps are uneven, or another circle moves as well.
    """
    motor = attribute(scan, "rocking_motor", "no motor of the sample moves during it, so its frames are no rocking curve")
    layout = _layout(scan)
    _still(scan, motor, layout)
    if motor == ENERGY:
        energies = _per_frame(scan, ENERGY)
        return geometry.EnergyScan(_even_step(energies, ENERGY, "keV") / float(energies[frame]))
    place = next((i for i, circle in enumerate(layout.sample) if circle.motor == motor), None)
    if place is None:
        raise SchemaError(f"rocking_motor {motor!r} is no circle of the sample ({', '.join(c.motor for c in layout.sample) or 'none'})")
    step = math.radians(_even_step(_per_frame(scan, motor), motor, "deg"))
    return geometry.Rocking(layout.sample[place].axis, step, _turns(scan, layout.sample[:place], frame))


def _still(scan: xr.Dataset, motor: str, layout: Geometry) -> None:
    """Refuse a scan in which a second circle moves: its frames have no common steps."""
    for circle in (*layout.sample, *layout.detector):
        if circle.motor == motor or circle.motor not in scan.variables:
            continue  # a sample circle inside the one that rocks is not needed
        way = float(np.ptp(_per_frame(scan, circle.motor)))
        if way > STILL_DEG:
            raise SchemaError(f"{circle.motor!r} moves by {way:.4g} deg while {motor!r} is scanned; phasing needs one that moves alone")


def _even_step(angles: Array, motor: str, unit: str) -> float:
    """Step of evenly spaced `angles` or energies."""
    if len(angles) < 2:
        raise SchemaError(f"one frame; {motor!r} needs two or more to have a step")
    step, start = np.polyfit(np.arange(len(angles)), angles, 1)
    stray = np.abs(angles - start - step * np.arange(len(angles)))
    if stray.max() > UNEVEN * abs(step):
        worst = int(stray.argmax())
        raise SchemaError(
            f"{motor!r} is {stray[worst]:.4g} {unit} off even steps of {step:.4g} {unit} at frame {worst}; phasing needs even steps"
        )
    return float(step)


def q_basis(scan: xr.Dataset, index: tuple[int, int, int]) -> geometry.QBasis:
    """Steps of reciprocal space and Q at (frame, row, column) [1/nm]."""
    frame, row, column = index
    return geometry.q_basis(camera(scan, frame), (row, column), rocking(scan, frame), wavelength=wavelength(scan, frame))
