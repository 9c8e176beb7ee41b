"""What makes a correlation file valid NXxpcs, and readable to pyXPCSViewer, where the needed numbers are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import __version__
from xcdi.backend import Array
from xcdi.io.record import put

__all__ = ["NEEDED", "decorate"]

NEEDED = ("scan", "start_time", "energy_kev", "count_time_s", "frame_time_s", "centre_px", "pixel_size_m")
TWO_TIME = {"storage_mode": "one_array_q_first", "baseline_reference": np.int64(1), "time_origin_location": "lower_left"}
ONE_ARRAY = {"storage_mode": "one_array"}
PIXELS = ("pixel_y", "pixel_x", "region_of_pixel", "mean_count", "frame_ok", "time")  # without which pyXPCSViewer opens no file
UNITS = {
    "detector_distance": "m",
    "pixel_size": "m",
    "beam_center_x": "pixel",
    "beam_center_y": "pixel",
    "static_v_list_dim0": "1/angstrom",
}
SHAPE_FROM = "the smallest detector that holds the pixels, and one row and one column more"
PARTS = 10  # of the series, whose intensities show whether it is stable
BAND = 256  # rows of a matrix at a time


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
    drawn = "two_time_corr_func" in two_time
    two_time.attrs["NX_class"], data.attrs["NX_class"] = "NXdata" if drawn else "NXcollection", "NXdata"
    entry.attrs["default"] = "twotime" if drawn else "data"
    if drawn:
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
    """The layout of APS's boost_corr under ``/xpcs``, for pyXPCSViewer; an empty group is how it knows the kind."""
    for name in ("bluesky", "bluesky/metadata"):
        file.require_group(f"/entry/instrument/{name}").attrs["NX_class"] = "NXcollection"
    links = {
        "multitau/normalized_g2": "/entry/data/g2",
        "multitau/normalized_g2_err": "/entry/data/g2_derr",
        "multitau/delay_list": "/entry/data/delay_difference",
    }
    for name, target in links.items():
        if target in file:
            file[f"/xpcs/{name}"] = h5py.SoftLink(target)
    entry, lacking = file["/entry"], _lacking(file, ds)
    if lacking:
        entry.attrs["not_for_pyXPCSViewer_for_lack_of"] = ", ".join(lacking)
        return
    xpcs = file["/xpcs"]
    _every_frame(xpcs["multitau"])
    _q_map(xpcs.create_group("qmap"), ds)
    _intensities(xpcs, ds)
    left_out = [why for why in (_image(xpcs, ds), _two_time(xpcs, ds)) if why]
    if left_out:
        entry.attrs["pyXPCSViewer_lacks"] = "; ".join(left_out)


def _lacking(file: h5py.File, ds: xr.Dataset) -> list[str]:
    """What the viewer cannot open a file without."""
    lacking = [name for name in PIXELS if name not in ds]
    lacking += [name for name, spot in (("g2_error", "normalized_g2_err"), ("delay", "delay_list")) if f"/xpcs/multitau/{spot}" not in file]
    lacking += ["distance_m"] * ("distance_m" not in ds.attrs)
    lacking += ["square pixels"] * (len(set(ds.attrs["pixel_size_m"])) > 1)
    return lacking + [f"more than one {name}" for name in ("time", "delay") if ds.sizes.get(name, 2) < 2]


def _every_frame(group: h5py.Group) -> None:
    """Delays and times count frames as they were measured: none is skipped, none are averaged."""
    for name in ("stride_frame", "avg_frame"):
        put(group, f"config/{name}", np.int64(1), {})


def _q_map(group: h5py.Group, ds: xr.Dataset) -> None:
    """Where the regions lie on the detector and in q, as the viewer's maps: its q is in 1/angstrom."""
    count = ds.sizes["region"]
    known, numbers = "q" in ds, np.arange(count)
    q = ds.q.to_numpy() / 10 if known else np.full(count, np.nan)
    names, units = (["q", "phi"], ["1/angstrom", "deg"]) if known else (["region", "part"], ["", ""])
    region = _on_detector(ds, ds.region_of_pixel.to_numpy().astype(np.min_scalar_type(count)), 0)
    (row, column), size = ds.attrs["centre_px"], float(ds.attrs["pixel_size_m"][0])
    of_regions = {"roi_map": region, "index_mapping": numbers, "num_pts": np.array([count, 1]), "v_list_dim1": np.array([np.nan])}
    fields = {f"{kind}_{name}": value for kind in ("dynamic", "static") for name, value in of_regions.items()}
    fields |= {"static_v_list_dim0": q, "dynamic_v_list_dim0": q if known else numbers + 1, "mask": (region > 0).astype("u1")}
    fields |= {"beam_center_x": float(column), "beam_center_y": float(row)}
    fields |= {"detector_distance": float(ds.attrs["distance_m"]), "pixel_size": size}
    for name, value in fields.items():
        if name == "static_roi_map":
            group[name] = h5py.SoftLink("/xpcs/qmap/dynamic_roi_map")
        else:
            put(group, name, value, {"units": UNITS[name]} if name in UNITS else {})
    group["dynamic_v_list_dim0"].attrs["units"] = units[0]
    put(group, "map_names", np.array(names, dtype=h5py.string_dtype()), {})
    put(group, "map_units", np.array(units, dtype=h5py.string_dtype()), {})
    group.attrs["shape_from"] = SHAPE_FROM
    group.attrs["hash"] = _digest(*fields.values(), *names, ds.attrs["energy_kev"])


def _on_detector(ds: xr.Dataset, values: Array, empty: float) -> Array:
    """Image (row, column) of one value per pixel; `empty` where no region is, which is somewhere, as the viewer expects."""
    y, x = ds.pixel_y.to_numpy(), ds.pixel_x.to_numpy()
    image = np.full((int(y.max()) + 2, int(x.max()) + 2), empty, values.dtype)
    image[y, x] = values
    return image


def _digest(*values: Any) -> str:
    """By which the viewer knows maps that it has read already."""
    found = sha256()
    for value in values:
        found.update(repr((np.shape(value), np.asarray(value).tobytes())).encode())
    return found.hexdigest()


def _intensities(xpcs: h5py.Group, ds: xr.Dataset) -> None:
    """Counts per pixel: of every frame, of every region, and of every region in parts of the series; frames without data are 0."""
    mean, ok = ds.mean_count.to_numpy(), ds.frame_ok.to_numpy()
    pixels = np.bincount(ds.region_of_pixel.to_numpy(), minlength=ds.sizes["region"] + 1)[1:]
    counts, unit = np.where(ok, mean, 0.0), {"units": "1"}
    trace = pixels @ counts / pixels.sum()
    put(xpcs, "spatial_mean/intensity_vs_time", np.stack([np.arange(ok.size), trace]), unit)
    put(
        xpcs, "temporal_mean/scattering_1d", counts.sum(axis=1) / ok.sum(), unit
    )  # not (1, region): of one region the viewer makes a number
    edges = np.linspace(0, ok.size, min(PARTS, ok.size) + 1).astype(int)[:-1]
    seen = np.add.reduceat(ok.astype(int), edges)
    parts = np.where(seen > 0, np.add.reduceat(counts, edges, axis=1) / np.maximum(seen, 1), np.nan)
    put(xpcs, "temporal_mean/scattering_1d_segments", parts.T, unit)


def _image(xpcs: h5py.Group, ds: xr.Dataset) -> str:
    """Mean counts of every pixel; or why there are none."""
    if "counts" not in ds:
        return "scattering_2d, as the result holds no counts of its pixels"
    mean = ds.counts.to_numpy()[ds.frame_ok.to_numpy()].mean(axis=0, dtype=float)
    put(xpcs, "temporal_mean/scattering_2d", _on_detector(ds, mean, np.nan), {"units": "1"})
    return ""


def _two_time(xpcs: h5py.Group, ds: xr.Dataset) -> str:
    """Upper halves of the two-time maps, without storing them again, and their g2; or why there are none."""
    if "two_time" not in ds or ds.two_time.dims != ("region", "time", "time2"):
        return "two-time maps, as the result holds no matrix"
    frames, count = ds.sizes["time"], ds.sizes["region"]
    clock = ds.time.to_numpy() / ds.attrs["frame_time_s"]
    if np.any(np.abs(clock - clock[0] - np.arange(frames)) > 0.5):
        return "two-time maps, as their rows are not one frame time apart"
    if not all(_symmetric(one) for one in ds.two_time.to_numpy()):
        return "two-time maps, as a matrix is not symmetric"
    group = xpcs.create_group("twotime")
    maps, source = group.create_group("correlation_map"), xpcs.file["/entry/twotime/two_time_corr_func"]
    for k in range(count):
        _upper_half(maps, f"c2_{k + 1:05d}", source, k)
    _g2_of_every_lag(group, xpcs["multitau"], frames)
    put(group, "normalized_g2_segments", np.empty((frames, 0, count)), {"units": "1"})  # no part of the series by itself
    put(group, "processed_bins", np.arange(1, count + 1), {})
    _every_frame(group)
    return ""


def _g2_of_every_lag(group: h5py.Group, multitau: h5py.Group, frames: int) -> None:
    """The g2 beside a map, which the viewer draws over 0, 1, 2 ... frames; NaN where there is none."""
    lag, g2 = multitau["delay_list"][()], multitau["normalized_g2"]
    if np.array_equal(lag, np.arange(frames)):
        group["normalized_g2"] = h5py.SoftLink("/entry/data/g2")
        return
    every, inside = np.full((frames, g2.shape[1]), np.nan), lag < frames
    every[lag[inside]] = g2[()][inside]
    put(group, "normalized_g2", every, {"units": "1"})


def _symmetric(matrix: Array) -> bool:
    """Whether a matrix is its transpose, bit for bit; NaN is itself."""
    bands = range(0, len(matrix), BAND)
    return all(np.array_equal(matrix[k : k + BAND, k:], matrix[k:, k : k + BAND].T, equal_nan=True) for k in bands)


def _upper_half(group: h5py.Group, name: str, source: h5py.Dataset, region: int) -> None:
    """A virtual dataset: what `source` holds of `region` on and above the diagonal, and 0 below.

    The viewer adds the transpose and halves the diagonal, which gives the matrix back bit for bit. One mapping for each
    band of rows, as the time that HDF5 takes to put a selection together grows with its square.
    """
    frames = source.shape[1]
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_obj_track_times(False)  # dates are in the provenance alone
    for first in range(0, frames, BAND):
        there, here = h5py.h5s.create_simple(source.shape), h5py.h5s.create_simple((frames, frames))
        there.select_none()
        here.select_none()
        for k in range(first, min(first + BAND, frames)):
            there.select_hyperslab((region, k, k), (1, 1, frames - k), op=h5py.h5s.SELECT_OR)
            here.select_hyperslab((k, k), (1, frames - k), op=h5py.h5s.SELECT_OR)
        layout.set_virtual(here, b".", source.name.encode(), there)
    layout.set_fill_value(np.zeros((), source.dtype))
    h5py.h5d.create(group.id, name.encode(), source.id.get_type(), h5py.h5s.create_simple((frames, frames)), dcpl=layout)
    group[name].attrs["units"] = "1"
