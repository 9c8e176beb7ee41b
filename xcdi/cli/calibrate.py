"""``xcdi calibrate``: where the detector is, from the direct beam; lines for the beamline file."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from xcdi.cli.output import printable
from xcdi.errors import XcdiError

__all__ = ["calibrate"]

TILTS = {"in_plane": "z+", "tilt_x": "x+", "tilt_y": "y+"}  # as a beamline file writes them
LARGEST_PX = 1.0  # between the beam and where the fit puts it


def calibrate(file: Path, scan: str, beamline: str, *, keep: Sequence[str] = (), chunk: int = 50) -> int:
    """Fit one scan of the arm through the direct beam, and print the lines to put into the beamline file.

    Parameters
    ----------
    file, scan, beamline
        As of ``xcdi run``.
    keep : names
        Of parameters that stay as the beamline file has them: ``tilt_x`` and so on.
    chunk : int
        Frames read at a time.
    """
    from xcdi import io
    from xcdi.kernels.calibration import PARAMETERS
    from xcdi.stages import calibration

    unknown = sorted(set(keep) - set(PARAMETERS))
    if unknown:
        raise XcdiError(f"calibrate: no parameter {unknown[0]!r} to keep; there are {', '.join(PARAMETERS)}")
    opened = io.open_scan(file, scan, beamline, frames_per_chunk=chunk)
    found = calibration.calibrate(opened, free=[name for name in PARAMETERS if name not in keep])
    of = f"direct beam, scan {printable(scan)}"
    seen = f"{found.attrs['frames']} of {opened.sizes['frame']} frames"
    print(f"{printable(scan)}  direct beam in {seen}, {found.attrs['residual_px']:.2g} px off")
    for line in told(found, opened, of):
        print(line)
    if found.attrs["residual_px"] > LARGEST_PX:
        kept = f"what is kept ({', '.join(keep)}) may be wrong" if keep else "a motor may be off, or the beam may not be the brightest spot"
        print(f"xcdi: the beam is {found.attrs['residual_px']:.2g} px off where these lines put it: {kept}", file=sys.stderr)
    return 0


def told(found: xr.Dataset, scan: xr.Dataset, source: str) -> list[str]:
    """Lines of a beamline file with the errors as remarks, without those that were kept; the centre counts pixels of the whole chip."""
    values = {str(name): float(value) for name, value in zip(found.parameter.values, found.value.values, strict=True)}
    errors = {str(name): float(error) for name, error in zip(found.parameter.values, found.error.values, strict=True)}
    distance = f'distance = {{ value = {1e3 * values["distance"]:.4f}, units = "mm", source = "{source}" }}'
    quantities = [f"{distance}  # {_error(1e3 * errors['distance'])}"] if math.isfinite(errors["distance"]) else []
    geometry = [*_centre(values, errors, scan), *_tilt(values, errors, scan, source)]
    return [line for head, body in (("[quantities]", quantities), ("[geometry]", geometry)) if body for line in (head, *body)]


def _centre(values: dict[str, float], errors: dict[str, float], scan: xr.Dataset) -> list[str]:
    """The line of the centre, if a number of it was fitted."""
    names = ("centre_row", "centre_column")
    origin, by = scan.attrs.get("roi_origin", (0, 0)), scan.attrs.get("binning", (1, 1))
    centre = [(values[name] + 0.5) * n - 0.5 + start for name, n, start in zip(names, by, origin, strict=True)]
    off = [errors[name] * n for name, n in zip(names, by, strict=True)]
    told = f"centre_px = [{centre[0]:.3f}, {centre[1]:.3f}]  # {_error(off[0])}, {_error(off[1])}"
    return [] if all(map(math.isnan, off)) else [told]


def _tilt(values: dict[str, float], errors: dict[str, float], scan: xr.Dataset, source: str) -> list[str]:
    """The line of the tilts, if one was fitted; one that was kept keeps its source."""
    stated = {tilt["axis"]: tilt["source"] for tilt in json.loads(scan.attrs["geometry"]).get("tilt", ())}
    tables = []
    for name, axis in TILTS.items():
        whose = source if math.isfinite(errors[name]) else stated.get(axis, "not measured")
        tables.append(f'{{ axis = "{axis}", angle_deg = {values[name]:.4f}, source = "{whose}" }}')
    told = f"tilt = [{', '.join(tables)}]  # {', '.join(_error(errors[name]) for name in TILTS)}"
    return [] if all(math.isnan(errors[name]) for name in TILTS) else [told]


def _error(error: float) -> str:
    return "kept" if math.isnan(error) else f"+- {error:.2g}"
