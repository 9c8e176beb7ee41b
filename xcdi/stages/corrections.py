"""Stages: raw counts in, comparable counts out.

Every name in ``__all__`` is local to a block of frames, so that a scan may be
corrected while it is measured; what needs the whole scan is
:func:`find_bad_pixels`, and no settings file can name it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import corrections
from xcdi.resolve import resolve
from xcdi.schema import require
from xcdi.stages.blocks import framewise

__all__ = ["dark", "dead_time", "flat", "per_monitor", "to_float"]


def apply(scan: xr.Dataset, names: Iterable[str], *, device: str = "cpu") -> xr.Dataset:
    """Apply the corrections called `names` (of this module, or ``file.py:function``) in order."""
    for name in names:
        scan = resolve(name, sys.modules[__name__])(scan, device=device)
    return scan


def to_float(scan: xr.Dataset, *, device: str = "cpu") -> xr.Dataset:
    """Make counts single precision, with NaN where the file holds no trustworthy count."""
    require(scan, "counts", "valid")
    limits = {"sentinel": scan.attrs.get("sentinel"), "saturation": scan.attrs.get("saturation")}
    trusted = [scan.valid] + ([scan.frame_ok] if "frame_ok" in scan else [])
    counts = framewise(corrections.missing_as_nan, scan.counts, *trusted, device=device, dtype="float32", **limits)
    return _with(scan, counts)


def dark(scan: xr.Dataset, *, device: str = "cpu") -> xr.Dataset:
    """Subtract the scan's dark frame and clip at zero."""
    _needs(scan, "dark", "name it as detector.dark in the beamline file")
    return _with(scan, framewise(corrections.subtract_dark, scan.counts, scan.dark, device=device))


def flat(scan: xr.Dataset, *, device: str = "cpu") -> xr.Dataset:
    """Divide by the relative response of the pixels."""
    _needs(scan, "flat", "name it as detector.flat in the beamline file")
    return _with(scan, framewise(corrections.divide_flat, scan.counts, scan.flat, device=device))


def per_monitor(scan: xr.Dataset, *, device: str = "cpu") -> xr.Dataset:
    """Divide every frame by its incident flux, in units of the beamline's reference flux."""
    require(scan, "counts", "monitor")
    if "monitor_reference" not in scan.attrs:
        raise SchemaError("no monitor_reference in the beamline file; per_monitor scales frames to it")
    relative = scan.monitor / scan.attrs["monitor_reference"]
    return _with(scan, framewise(corrections.per_monitor, scan.counts, relative, device=device))


def dead_time(scan: xr.Dataset, *, device: str = "cpu") -> xr.Dataset:
    """Undo the counter's losses; needs ``count_time_s`` and ``dead_time_s``."""
    for name in ("count_time_s", "dead_time_s"):
        if name not in scan.attrs:
            raise SchemaError(f"no {name} for the dead-time correction; the file or the beamline must state it")
    times = {"exposure_s": scan.attrs["count_time_s"], "dead_time_s": scan.attrs["dead_time_s"]}
    return _with(scan, framewise(corrections.dead_time, scan.counts, device=device, **times))


def find_bad_pixels(scan: xr.Dataset) -> xr.Dataset:
    """Take hot and dead pixels out of `valid`, judged by the sum of all frames as they were stored.

    Sums of raw counts are exact, so the answer is the same for any chunk of frames.

    Raises
    ------
    XcdiError
        If no pixel is left, or counts are negative.
    """
    counts = to_float(scan).counts
    total, low = _computed(counts.sum("frame", dtype=float), counts.fillna(np.inf).min("frame", skipna=False))
    if low.min(initial=0.0) < 0:
        raise XcdiError(f"{int((low < 0).sum())} pixels hold negative counts (lowest {low.min():g}); expected counts of 0 or more")
    bad = corrections.hot_pixels(total) | corrections.dead_pixels(total)
    bad |= np.isinf(low)  # never once measured
    valid = scan.valid.to_numpy() & ~bad
    if not valid.any():
        raise XcdiError("no trustworthy pixel is left after masks, hot and dead pixels; check the pixel mask")
    found = int((bad & scan.valid.to_numpy()).sum())
    return scan.assign(valid=(("y", "x"), valid, {"units": ""})).assign_attrs(bad_pixels=found)


def _with(scan: xr.Dataset, counts: xr.DataArray) -> xr.Dataset:
    """The scan with other counts; what is on disk of its frames is no longer what they are."""
    return scan.drop_vars("stored", errors="ignore").assign(counts=counts)


def _needs(scan: xr.Dataset, name: str, mend: str) -> None:
    if name not in scan:
        raise SchemaError(f"the scan has no {name!r} image; {mend}, or leave the correction out")


def _computed(*arrays: xr.DataArray) -> tuple[np.ndarray, ...]:
    """Compute lazy arrays in one pass over the frames."""
    together = xr.Dataset({str(k): a for k, a in enumerate(arrays)}).compute()
    return tuple(together[str(k)].to_numpy() for k in range(len(arrays)))
