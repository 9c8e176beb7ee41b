"""``xcdi calibrate``: where the detector is, from the direct beam; lines for the beamline file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from xcdi.cli.output import printable
from xcdi.errors import XcdiError

__all__ = ["calibrate"]


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
    return 0


def told(found: xr.Dataset, scan: xr.Dataset, source: str) -> list[str]:
    """Lines of a beamline file, with the errors as remarks; the centre counts pixels of the whole chip."""
    values = {str(name): float(value) for name, value in zip(found.parameter.values, found.value.values, strict=True)}
    errors = {str(name): float(error) for name, error in zip(found.parameter.values, found.error.values, strict=True)}
    origin, by = scan.attrs.get("roi_origin", (0, 0)), scan.attrs.get("binning", (1, 1))
    names = ("centre_row", "centre_column")
    centre = [(values[name] + 0.5) * n - 0.5 + start for name, n, start in zip(names, by, origin, strict=True)]
    off = [errors[name] * n for name, n in zip(names, by, strict=True)]
    distance = f'distance = {{ value = {1e3 * values["distance"]:.4f}, units = "mm", source = "{source}" }}'
    tilts = ", ".join(
        f'{{ axis = "{axis}", angle_deg = {values[name]:.4f}, source = "{source}" }}'
        for name, axis in (("in_plane", "z+"), ("tilt_x", "x+"), ("tilt_y", "y+"))
    )
    return [
        "[quantities]",
        f"{distance}  # {_error(1e3 * errors['distance'])}",
        "[geometry]",
        f"centre_px = [{centre[0]:.3f}, {centre[1]:.3f}]  # {_error(off[0])}, {_error(off[1])}",
        f"tilt = [{tilts}]  # {', '.join(_error(errors[name]) for name in ('in_plane', 'tilt_x', 'tilt_y'))}",
    ]


def _error(error: float) -> str:
    return "kept" if math.isnan(error) else f"+- {error:.2g}"
