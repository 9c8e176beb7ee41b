"""What makes a correlation file valid NXxpcs, and readable to pyXPCSViewer, where the needed numbers are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import __version__
from xcdi.io.record import put

__all__ = ["NEEDED", "decorate"]

NEEDED = ("scan", "start_time", "energy_kev", "count_time_s", "frame_time_s", "centre_px", "pixel_size_m")
TWO_TIME = {"storage_mode": "one_array_q_first", "baseline_reference": np.int64(1), "time_origin_location": "lower_left"}
ONE_ARRAY = {"storage_mode": "one_array"}


def decorate(file: h5py.File, result: Mapping[str, xr.Dataset]) -> None:
    """Add NeXus labels around "correlation", "events" and "statistics"."""
    keys = [key for key in result if file.get(f"/entry/{'twotime' if key == 'correlation' else key}") is not None]
    if not keys:
        return
    entry = file["/entry"]
    entry.attrs["NX_class"] = "NXentry"
    for key in keys:
        if key != "correlation":
            entry[key].attrs["NX_class"] = "NXcollection"
    if "correlation" in keys:
        _correlation(entry, result["correlation"])
    if "default" not in file.attrs:
        file.attrs["default"] = "entry"


def _correlation(entry: h5py.Group, ds: xr.Dataset) -> None:
    two_time, data = entry["twotime"], entry.require_group("data")
    two_time.attrs["NX_class"] = data.attrs["NX_class"] = "NXdata"
    entry.attrs["default"] = "twotime"
    if "two_time_corr_func" in two_time:
        two_time.attrs["signal"] = "two_time_corr_func"
        two_time["two_time_corr_func"].attrs.update(TWO_TIME, populated_elements="all")
        two_time.attrs["axes"] = _axes(two_time, "two_time_corr_func", ("q", "time", "time2"))
    if "g2" in data:
        data.attrs["signal"] = "g2"
        data.attrs["axes"] = _axes(data, "g2", ("delay", "q"))
        if "g2_derr" in data and "g2_errors" not in data:
            data["g2_errors"] = data["g2_derr"]  # the name that viewers draw as error bars
    for name in ("g2", "g2_derr"):
        if name in data:
            data[name].attrs.update(ONE_ARRAY)
    lacking = [name for name in NEEDED if name not in ds.attrs] + [name for name in ("g2",) if name not in data]
    if lacking:
        entry.attrs["not_NXxpcs_for_lack_of"] = ", ".join(lacking)
        return
    _definition(entry, ds.attrs)
    _instrument(entry, ds.attrs)
    if "delay" in ds:
        frames = np.rint(ds.delay.to_numpy() / ds.attrs["frame_time_s"]).astype(np.int64)
        put(data, "delay_difference", frames, {"units": "frames", **ONE_ARRAY})
    _viewer(entry.file, ds)


def _axes(group: h5py.Group, signal: str, names: Sequence[str]) -> list[str]:
    """Names of the axes of `signal`, a dot where there is none of its length."""
    shape = group[signal].shape
    fits = [k < len(names) and names[k] in group and group[names[k]].shape == (n,) for k, n in enumerate(shape)]
    return [names[k] if fit else "." for k, fit in enumerate(fits)]


def _definition(entry: h5py.Group, attrs: Mapping[str, Any]) -> None:
    """Fields that NXxpcs asks of every entry."""
    put(entry, "definition", "NXxpcs", {"version": "2024.02"})
    put(entry, "entry_identifier", str(attrs["scan"]), {})
    digits = re.findall(r"\d+", str(attrs["scan"]))
    put(entry, "scan_number", np.int64(digits[-1] if digits and len(digits[-1]) < 18 else 0), {})  # 0: the scan has a name only
    put(entry, "start_time", _iso(str(attrs["start_time"])), {})
    process = entry.create_group("process")
    process.attrs["NX_class"] = "NXprocess"
    put(process, "program", "xcdi", {})
    put(process, "version", __version__, {})


def _iso(time: str) -> str:
    """Time with a zone, as NeXus wants it; detectors that write none mean UTC."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _instrument(entry: h5py.Group, attrs: Mapping[str, Any]) -> None:
    instrument = entry.create_group("instrument")
    instrument.attrs["NX_class"] = "NXinstrument"
    beam = instrument.create_group("incident_beam")
    beam.attrs["NX_class"] = "NXbeam"
    put(beam, "incident_energy", float(attrs["energy_kev"]), {"units": "keV"})
    detector = instrument.create_group("detector_1")
    detector.attrs["NX_class"] = "NXdetector"
    (row, column), (height, width) = attrs["centre_px"], attrs["pixel_size_m"]
    seconds = {"count_time": attrs["count_time_s"], "frame_time": attrs["frame_time_s"]}
    metres = {"beam_center_x": column * width, "beam_center_y": row * height, "x_pixel_size": width, "y_pixel_size": height}
    if "distance_m" in attrs:
        metres["distance"] = attrs["distance_m"]
    for unit, values in (("s", seconds), ("m", metres)):
        for name, value in values.items():
            put(detector, name, float(value), {"units": unit})


def _viewer(file: h5py.File, ds: xr.Dataset) -> None:
    """Soft links under ``/xpcs``, as APS's boost_corr lays its results out; the empty group is how the viewer knows the kind."""
    for name in ("bluesky", "bluesky/metadata"):
        file.require_group(f"/entry/instrument/{name}").attrs["NX_class"] = "NXcollection"
    links = {
        "multitau/normalized_g2": "/entry/data/g2",
        "multitau/normalized_g2_err": "/entry/data/g2_derr",
        "multitau/delay_list": "/entry/data/delay_difference",
        "temporal_mean/scattering_2d": "/entry/data/frame_average",
        "spatial_mean/intensity_vs_time": "/entry/data/frame_sum",
        "qmap/dynamic_v_list_dim0": "/entry/twotime/q",
    }
    for name, target in links.items():
        if target in file:
            file[f"/xpcs/{name}"] = h5py.SoftLink(target)
