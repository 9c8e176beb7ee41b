"""Direct beam on a detector that moves: where it fell in every frame, and what that says of centre, distance and tilts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Geometry
from xcdi.errors import XcdiError
from xcdi.kernels import calibration, geometry
from xcdi.schema import require
from xcdi.stages import instrument
from xcdi.stages.geometry import trusted

__all__ = ["calibrate", "direct_beam"]

WINDOW = 8  # pixels on either side of the brightest that the centre of mass is taken from
STILL = 1e-3  # deg or mm, that a motor may tremble
UNITS = dict(zip(calibration.PARAMETERS, ("px", "px", "m", "deg", "deg", "deg"), strict=True))
UNKNOWN = {"centre_px": [0.0, 0.0], "distance_m": 1.0}  # where a search begins that does not depend on it


def direct_beam(scan: xr.Dataset, *, workers: int = 1) -> xr.Dataset:
    """Centre of mass of the direct beam in every frame.

    Parameters
    ----------
    scan : SCAN
        `counts`, `valid`: an attenuated beam, brighter than all else.

    Returns
    -------
    Dataset
        `row`, `column` (frame) [px]; NaN where a frame has no count, or the beam touches its edge.
    """
    require(scan, "counts", "valid")
    valid = scan.valid.to_numpy()
    places = [_place(frame, valid) for counts in trusted(scan, workers=workers) for frame in counts]
    row, column = np.array(places).reshape(-1, 2).T
    return xr.Dataset({"row": ("frame", row, {"units": "px"}), "column": ("frame", column, {"units": "px"})})


def calibrate(scan: xr.Dataset, *, free: Sequence[str] = calibration.PARAMETERS, workers: int = 1) -> xr.Dataset:
    """Centre, distance and tilts of the detector from a scan of its arm (or stage) through the direct beam.

    Parameters
    ----------
    scan : SCAN
        With the motors of the detector, and the attributes geometry and pixel_size_m.
    free : names
        Of ``centre_row``, ``centre_column``, ``distance``, ``in_plane``, ``tilt_x``, ``tilt_y``; the others are kept.

    Returns
    -------
    Dataset
        `value` and `error` (parameter) in `units` (parameter), NaN error where a parameter was kept; `row`, `column` (frame).
        Centre in pixels of the frames. Attributes residual_px, frames.

    Raises
    ------
    XcdiError
        If the detector does not move, the beam was seen in too few frames, they cannot tell the parameters apart, or nobody states
        what is to be kept.
    """
    if "distance" not in free:
        instrument.attribute(scan, "distance_m", "state quantities.distance in the beamline file, or let the distance be fitted")
    if not {"centre_row", "centre_column"} <= set(free):
        instrument.attribute(scan, "centre_px", "state geometry.centre_px in the beamline file, or let both numbers of it be fitted")
    _moves(scan)
    known = scan.assign_attrs(UNKNOWN | scan.attrs)
    places = direct_beam(scan, workers=workers)
    found = np.stack([places.row.to_numpy(), places.column.to_numpy()], axis=1)
    seen = np.flatnonzero(np.isfinite(found).all(axis=1))
    if not seen.size:
        raise XcdiError("no frame shows the direct beam away from its edge; move less far, or open the region of interest")
    fit = calibration.calibrate(found[seen], [instrument.camera(known, int(frame)) for frame in seen], free=free)
    values = [*fit.camera.centre_px, fit.camera.distance, *(np.degrees(angle) for _, angle in fit.camera.tilt)]
    errors = [fit.errors.get(name, np.nan) * (180 / np.pi if UNITS[name] == "deg" else 1) for name in calibration.PARAMETERS]
    table = {
        "value": ("parameter", np.array(values, dtype=float)),
        "error": ("parameter", np.array(errors)),
        "units": ("parameter", list(UNITS.values())),
    }
    named = places.assign(table).assign_coords(parameter=list(UNITS))
    return named.assign_attrs(residual_px=fit.residual, frames=int(seen.size))


def _moves(scan: xr.Dataset) -> None:
    """Refuse a scan in which neither the arm nor the stage of the detector moves."""
    layout = Geometry.model_validate(json.loads(instrument.attribute(scan, "geometry", "add a [geometry] table to the beamline file")))
    motors = [circle.motor for circle in layout.detector] + [stage.motor for stage in layout.stage]
    if all(float(np.ptp(scan[motor].to_numpy())) <= STILL for motor in motors if motor in scan.variables):
        known = f"; its motors are {', '.join(motors)}" if motors else "; the beamline names none under [geometry] detector or stage"
        raise XcdiError(f"no motor of the detector moves in this scan{known}; give a scan of the arm through the direct beam")


def _place(counts: Array, valid: Array) -> tuple[float, float]:
    """Row and column of the beam in one frame."""
    if not counts.any():
        return np.nan, np.nan
    middle = geometry.find_peak(counts, valid)
    if any(i - WINDOW < 0 or i + WINDOW >= n for i, n in zip(middle, counts.shape, strict=True)):
        return np.nan, np.nan
    around = tuple(slice(i - WINDOW, i + WINDOW + 1) for i in middle)
    row, column = geometry.centre_of_mass(counts[around], valid[around])
    return float(row + middle[0] - WINDOW), float(column + middle[1] - WINDOW)
