"""What makes a reconstruction a CXI file, a NeXus file and a VTKHDF file at once; nothing is stored twice."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.io.record import put

__all__ = ["decorate"]

CXI_VERSION = 160
VTK_VERSION = (2, 2)
SPATIAL = ("z", "y", "x")
FIRST_SHOWN = ("strain", "displacement", "phase", "amplitude")
GROUPS = {"peak": "NXcollection", "grains": "NXcollection", "boundaries": "NXcollection"}


def decorate(file: h5py.File, result: Mapping[str, xr.Dataset]) -> None:
    """Add CXI, NXdata and VTKHDF labels around the arrays of "object" and "crystal"."""
    if not {"object", "crystal", "peak", "grains", "boundaries"} & set(result):
        return
    put(file, "/cxi_version", CXI_VERSION, {})
    entry = file.require_group("/entry_1")
    entry.attrs["NX_class"] = "NXentry"
    if "object" in result:
        _image(file.require_group("/entry_1/image_1"), result["object"])
        entry.attrs["default"] = "image_1"
    if "crystal" in result:
        _crystal(entry, result["crystal"])
        _vtk(file, result["crystal"])
        entry.attrs["default"] = "crystal"
    for key, kind in GROUPS.items():
        if key in result:
            file.require_group(f"/entry_1/{key}").attrs["NX_class"] = kind
    file.attrs["default"] = "entry_1"


def _image(group: h5py.Group, ds: xr.Dataset) -> None:
    """CXI 1.6: the phased object in the frame of the data."""
    group.attrs.update(NX_class="NXdata")
    if "rho" not in ds or "data" not in group:
        return
    group.attrs["signal"] = "data"
    labels = {"data_type": "electron density", "data_space": "real", "is_fft_shifted": 0}
    for name, value in labels.items():
        if name not in group:
            put(group, name, value, {})
    if "voxel_basis" in ds and ds.voxel_basis.ndim == 2 and "image_size" not in group:
        step = np.linalg.norm(ds.voxel_basis.to_numpy().astype(float), axis=0)
        if len(step) == group["data"].ndim:
            put(group, "image_size", step * group["data"].shape * 1e-9, {"units": "m"})


def _crystal(entry: h5py.Group, ds: xr.Dataset) -> None:
    """NXdata of the laboratory maps, and the same maps as direct children of the entry (hard links)."""
    group = entry.require_group("crystal")
    group.attrs["NX_class"] = "NXdata"
    shown = [name for name in FIRST_SHOWN if name in ds and name in group]
    if shown:
        group.attrs["signal"] = shown[0]
    if all(axis in group for axis in SPATIAL) and shown and ds[shown[0]].dims == SPATIAL:
        group.attrs["axes"] = list(SPATIAL)
    for name in list(group):
        if name not in entry:
            entry[name] = group[name]


def _vtk(file: h5py.File, ds: xr.Dataset) -> None:
    """ImageData of VTKHDF: ParaView opens the maps where they are, lengths in nm, axes x y z."""
    axes = [_regular(ds, name) for name in reversed(SPATIAL)]
    maps = [str(name) for name in ds.data_vars if ds[name].dims == SPATIAL and ds[name].dtype.kind in "iuf"]
    maps = [name for name in maps if name in file["/entry_1/crystal"]]
    if any(axis is None for axis in axes) or not maps:
        return
    starts, steps, counts = zip(*(axis for axis in axes if axis is not None), strict=True)
    vtk = file.create_group("VTKHDF")
    vtk.attrs["Version"] = np.array(VTK_VERSION)
    vtk.attrs.create("Type", np.bytes_("ImageData"), dtype=h5py.string_dtype("ascii", len("ImageData")))
    vtk.attrs["WholeExtent"] = np.array([edge for count in counts for edge in (0, count - 1)])
    vtk.attrs["Origin"], vtk.attrs["Spacing"], vtk.attrs["Direction"] = np.array(starts), np.array(steps), np.eye(3).ravel()
    points = vtk.create_group("PointData")
    for name in maps:
        points[name] = file[f"/entry_1/crystal/{name}"]
    shown = [name for name in FIRST_SHOWN if name in maps]
    points.attrs["Scalars"] = (shown or maps)[0]


def _regular(ds: xr.Dataset, name: str) -> tuple[float, float, int] | None:
    """Start, step and number of points of an even coordinate; None if it is not even."""
    if name not in ds.coords or ds[name].dims != (name,) or ds.sizes[name] < 2:
        return None
    points: Array = ds[name].to_numpy().astype(float)
    steps = np.diff(points)
    if steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-4):
        return None
    return float(points[0]), float(np.mean(steps)), len(points)
