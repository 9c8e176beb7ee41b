"""What a scan needs to be phased, or searched for events, as far as it can be told before a frame is read."""

from __future__ import annotations

import xarray as xr

from xcdi.errors import XcdiError
from xcdi.stages import instrument

__all__ = ["enough", "rocks", "stands"]

FEWEST = 8  # frames


def rocks(scan: xr.Dataset) -> None:
    """Refuse a scan of too few frames, one in which nothing rocks evenly, or whose detector or energy nobody states.

    Raises
    ------
    XcdiError
        Says what is missing.
    """
    enough(scan)
    instrument.rocking(scan, 0)
    instrument.camera(scan, 0)
    instrument.wavelength(scan, 0)


def enough(scan: xr.Dataset) -> None:
    """Refuse a scan of fewer than eight frames.

    Examples
    --------
    >>> enough(xr.Dataset(coords={"frame": range(8)}))
    """
    frames = scan.sizes["frame"]
    if frames < FEWEST:
        raise XcdiError(f"{frames} frame{'s' * (frames != 1)}; a rocking scan of a Bragg peak needs at least {FEWEST} to be phased")


def stands(scan: xr.Dataset) -> None:
    """Refuse a series during which a motor of the sample moves: it is a rocking scan.

    Examples
    --------
    >>> stands(xr.Dataset(attrs={"scan": "S1"}))
    """
    motor = scan.attrs.get("rocking_motor")
    if motor is not None:
        name = scan.attrs.get("scan", "the series")
        raise XcdiError(f"{name!r} is a rocking scan, as {motor!r} moves in it; events need a series of frames at a fixed angle")
