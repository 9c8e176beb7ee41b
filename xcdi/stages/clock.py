"""One clock and one frame for the scans of one experiment: seconds from frame 0 of its series, axes of the laboratory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError

__all__ = ["clock", "frame", "seconds_between", "timed"]


def timed(series: xr.Dataset) -> None:
    """Refuse a series whose frames have no times: events, rates and waiting times are in seconds.

    Raises
    ------
    XcdiError
        Says where a time may stand.

    Examples
    --------
    >>> timed(xr.Dataset(coords={"time": ("frame", [0.0, 0.5])}))
    """
    if "time" in series.variables:
        return
    name, beamline = series.attrs.get("scan", "the series"), series.attrs.get("beamline", "")
    raise XcdiError(
        f"scan {name!r} has no frame times by beamline {beamline!r}; events need rising times or a frame time in s: "
        'give the beamline file [layout] frame_time = { path = "...", units = "s" }, or a value with its source'
    )


def clock(rocking: xr.Dataset, series: xr.Dataset) -> dict[str, Any]:
    """Attributes that put both scans on the clock of the series.

    Parameters
    ----------
    rocking, series : SCAN
        Attribute start_time, in ISO 8601, where the file of the scan tells it.

    Returns
    -------
    dict
        clock : what 0 s is, in words. series_start, rocking_start : as the files have them. rocking_frame_0_s : time of frame 0 of the
        rocking scan [s], negative before the series, if both files tell when they began. warning : if the crystal was
        imaged after the series had begun, so that it holds slips of its events.

    Examples
    --------
    >>> scans = [xr.Dataset(attrs={"scan": s, "start_time": f"2026-05-04T10:{m}:00Z"}) for s, m in (("rock", 20), ("flow", 22))]
    >>> clock(*scans)["rocking_frame_0_s"]
    -120.0
    """
    attrs: dict[str, Any] = {
        f"{part}_start": str(scan.attrs["start_time"])
        for part, scan in (("rocking", rocking), ("series", series))
        if scan.attrs.get("start_time")
    }
    began = f", which began {attrs['series_start']}" if "series_start" in attrs else ", of which no file says when it began"
    attrs["clock"] = f"seconds from frame 0 of scan {series.attrs.get('scan', 'series')!r}{began}"
    ahead = seconds_between(attrs.get("series_start"), attrs.get("rocking_start"))
    if ahead is None:
        return attrs
    attrs["rocking_frame_0_s"] = ahead
    if ahead > 0:
        attrs["warning"] = f"the rocking scan began {ahead:.4g} s after the series, so the crystal holds slips of events before it"
    return attrs


def frame(peak: xr.Dataset, offset: float) -> dict[str, Any]:
    """Attributes that say in which axes crystal, boundaries and slips stand, and how the sample was turned in the series.

    Parameters
    ----------
    peak : PEAK
        With `rocking` [deg] and the attribute rocking_motor.
    offset : float
        Angle of the series in steps of the rocking scan from its middle frame, as of :func:`xcdi.stages.attribution.series_offset`.

    Returns
    -------
    dict
        frame : in words. series_angle_deg : turn of the sample from the middle of the rocking scan to the series [deg].

    Examples
    --------
    >>> round(frame(xr.Dataset({"rocking": ("frame", [0.0, 0.1, 0.2])}, attrs={"rocking_motor": "omega"}), -0.5)["series_angle_deg"], 3)
    -0.05
    """
    step = float(np.mean(np.diff(peak.rocking.to_numpy().astype(float))))
    motor = peak.attrs.get("rocking_motor", "rocking")
    words = f"laboratory: x, y up, z along the beam, about the middle of the particle, {motor} as in the middle of the rocking scan"
    return {"frame": words, "series_angle_deg": float(offset * step)}


def seconds_between(origin: str | None, moment: str | None) -> float | None:
    """Seconds from `origin` to `moment`; None where one is not known or is no time. Detectors that write no time zone mean UTC."""
    try:
        one, other = (datetime.fromisoformat(str(time)) for time in (origin, moment))
    except ValueError:
        return None
    return (_zoned(other) - _zoned(one)).total_seconds()


def _zoned(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
