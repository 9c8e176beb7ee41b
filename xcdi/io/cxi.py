"""What makes a reconstruction a CXI file, a NeXus file and a VTKHDF file at once; no map is stored twice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import __version__
from xcdi.backend import Array
from xcdi.io.record import put

__all__ = ["decorate"]

CXI_VERSION = 160
VTK_VERSION = (2, 2)
SPATIAL = ("z", "y", "x")
FIRST_SHOWN = ("strain", "strain_volume", "displacement", "phase", "amplitude")
GROUPS = ("peak", "grains", "boundaries", "triple_lines", "dislocations")
JOULES_PER_KEV = 1.602176634e-16
LONG_NAMES = {
    "strain": "strain along G",
    "strain_volume": "strain of volume",
    "displacement": "displacement along G (nm)",
    "phase": "phase (rad)",
    "amplitude": "amplitude",
    "strain_error": "standard error of the strain",
    "d_spacing": "lattice spacing (nm)",
}


def decorate(file: h5py.File, result: Mapping[str, xr.Dataset], provenance: Mapping[str, Any] | None = None) -> None:
    """Add CXI 1.6, NXdata and VTKHDF labels around the arrays of a crystal and its parts.

    Parameters
    ----------
    file : h5py.File
        Open for writing, with the arrays of `result` in their places.
    result : mapping of Dataset
    provenance : mapping, optional
        `pipeline` and `scan` of it give the title.

    Notes
    -----
    Source: Maia, Nature Methods 9, 854 (2012), doi:10.1038/nmeth.2110, and version 1.6 of its reference document: lengths
    and energies in SI units, `image_size` as width, height, depth. Its links from the image to source, detector and process
    are left out, for NeXus bears no groups in an NXdata: all three stand in the entry.
    """
    if not {"object", "crystal", "series", *GROUPS} & set(result):
        return
    put(file, "/cxi_version", CXI_VERSION, {})
    entry = file.require_group("/entry_1")
    entry.attrs["NX_class"] = "NXentry"
    _origin(entry, provenance or {})
    for key in GROUPS:
        if key in result:
            file.require_group(f"/entry_1/{key}").attrs["NX_class"] = "NXcollection"
    if "peak" in result:
        _instrument(entry, result["peak"])
    if "object" in result:
        _image(entry, result["object"])
    if "series" in result:
        _maps(entry, "series", result["series"], ("state", *SPATIAL))
    if "crystal" in result:
        group = _maps(entry, "crystal", result["crystal"], SPATIAL)
        for name in list(group):
            if name not in entry and isinstance(group[name], h5py.Dataset):
                entry[name] = group[name]
        _vtk(file, result["crystal"])
    shown = [name for name in ("crystal", "series", "image_1") if "signal" in _attrs(entry.get(name))]
    if shown:
        entry.attrs["default"] = shown[0]
    file.attrs["default"] = "entry_1"


def _attrs(found: Any) -> Mapping[str, Any]:
    return found.attrs if isinstance(found, h5py.Group) else {}


def _origin(entry: h5py.Group, provenance: Mapping[str, Any]) -> None:
    """Title of the entry, and which program wrote it."""
    pipeline, scan = (str(provenance.get(name, "")) for name in ("pipeline", "scan"))
    _once(entry, "program_name", f"xcdi {__version__}")
    if pipeline:
        _once(entry, "title", f"{pipeline} of {scan}" if scan else pipeline)
        process = _group(entry, "process_1", "NXprocess")
        words = {"program": "xcdi", "version": __version__, "command": f"xcdi run {pipeline}"}
        for name, value in words.items():
            _once(process, name, value)
        _once(process, "comments", "settings, inputs and seed are in /provenance")


def _instrument(entry: h5py.Group, peak: xr.Dataset) -> None:
    """What is known of photons and detector, in SI units; CXI calls the energy of a photon that of the source."""
    instrument = _group(entry, "instrument_1", "NXinstrument")
    if isinstance(peak.attrs.get("beamline"), str):
        _once(instrument, "name", peak.attrs["beamline"])
    energy, distance = _numbers(peak, "energy_kev", 1), _numbers(peak, "distance_m", 1)
    if energy:
        source = _group(instrument, "source_1", "NXsource")
        _once(source, "energy", energy[0] * JOULES_PER_KEV, units="J", note="of one photon, as CXI has it")
        _once(_group(instrument, "beam_1", "NXbeam"), "incident_energy", energy[0], units="keV")
    detector = _group(instrument, "detector_1", "NXdetector")
    for name, value in zip(("distance", "y_pixel_size", "x_pixel_size"), distance + _numbers(peak, "pixel_size_m", 2), strict=False):
        _once(detector, name, value, units="m")
    if "/entry_1/peak/counts" in entry.file and "data" not in detector:
        detector["data"] = h5py.SoftLink("/entry_1/peak/counts")


def _numbers(ds: xr.Dataset, name: str, count: int) -> list[float]:
    """Attribute `name` as `count` finite numbers, or none at all."""
    try:
        found = np.asarray(ds.attrs.get(name), dtype=float).ravel()
    except (TypeError, ValueError):
        return []
    return found.tolist() if len(found) == count and np.isfinite(found).all() else []


def _image(entry: h5py.Group, ds: xr.Dataset) -> None:
    """CXI 1.6: the phased object in the frame of the data, whose three axes need not be at right angles."""
    group = _group(entry, "image_1", "NXcollection")
    if "rho" not in ds or "data" not in group:
        return
    data = group["data"]
    for name, value in {"data_type": "electron density", "data_space": "real", "is_fft_shifted": 0, "dimensionality": data.ndim}.items():
        _once(group, name, value)
    axes = _oblique(group, ds) if "voxel_basis" in ds else []
    _plot(group, "data", axes, "phased object in the frame of the data")
    if "data_1" not in entry:
        main = _group(entry, "data_1", "NXdata")
        main["data"] = h5py.SoftLink("/entry_1/image_1/data")
        main.attrs["signal"] = "data"


def _oblique(group: h5py.Group, ds: xr.Dataset) -> list[str]:
    """Size of the object, and distances along its three axes; names of the latter."""
    data, basis = group["data"], ds.voxel_basis.to_numpy()
    if basis.ndim != 2 or basis.shape[1] != data.ndim or basis.dtype.kind not in "fiu" or "image_size" in group:
        return []
    edges = np.linalg.norm(basis.astype(float), axis=0)
    put(group, "image_size", (edges * data.shape * 1e-9)[::-1], {"units": "m", "order": "width, height, depth"})
    names = [f"along_{dim}" for dim in ds.rho.dims]
    for name, edge, n in zip(names, edges, data.shape, strict=True):
        _once(group, name, edge * (np.arange(n) - n // 2), units="nm", long_name=f"{name.replace('_', ' ')}, oblique (nm)")
    return names


def _maps(entry: h5py.Group, key: str, ds: xr.Dataset, dims: Sequence[str]) -> h5py.Group:
    """NXdata of maps with dims `dims`, the strain first; a plain collection if there is no such map."""
    group = _group(entry, key, "NXcollection")
    maps = [str(name) for name in ds.data_vars if ds[name].dims == tuple(dims) and ds[name].dtype.kind in "iufc" and name in group]
    shown = [*(name for name in FIRST_SHOWN if name in maps), *maps]
    if shown:
        _plot(group, shown[0], dims, "laboratory frame: z along the beam, y up")
    return group


def _plot(group: h5py.Group, signal: str, axes: Sequence[Hashable], title: str) -> None:
    """Make `group` an NXdata that shows `signal`, over those `axes` that fit, with its error."""
    group.attrs.update(NX_class="NXdata", signal=signal)
    _once(group, "title", title)
    _label(group[signal], signal)
    fits = [str(name) in group and group[str(name)].shape == (n,) for name, n in zip(axes, group[signal].shape, strict=False)]
    if any(fits) and len(fits) == group[signal].ndim:
        group.attrs["axes"] = [str(name) if fit else "." for name, fit in zip(axes, fits, strict=True)]
        group.attrs.update({f"{name}_indices": k for k, (name, fit) in enumerate(zip(axes, fits, strict=True)) if fit})
    if f"{signal}_error" in group and f"{signal}_errors" not in group and group[f"{signal}_error"].shape == group[signal].shape:
        group[f"{signal}_errors"] = group[f"{signal}_error"]


def _label(data: h5py.Dataset, name: str) -> None:
    if name in LONG_NAMES and "long_name" not in data.attrs:
        data.attrs["long_name"] = LONG_NAMES[name]


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    """Group `name` below `parent`, of class `kind`."""
    group = parent.require_group(name)
    group.attrs["NX_class"] = kind
    return group


def _once(group: h5py.Group, name: str, value: Any, **attrs: str) -> None:
    """Write a small value unless something of that name is there."""
    if name not in group:
        put(group, name, value, attrs)


def _vtk(file: h5py.File, ds: xr.Dataset) -> None:
    """ImageData of VTKHDF: ParaView opens the maps where they are, lengths in nm, axes x y z."""
    axes = [_regular(ds, name) for name in reversed(SPATIAL)]
    maps = [str(name) for name in ds.data_vars if ds[name].dims == SPATIAL and ds[name].dtype.kind in "iufb"]
    maps = [name for name in maps if name in file["/entry_1/crystal"]]
    if any(axis is None for axis in axes) or not maps:
        return
    starts, steps, counts = zip(*(axis for axis in axes if axis is not None), strict=True)
    vtk = file.create_group("VTKHDF")
    vtk.attrs["Version"] = np.array(VTK_VERSION)
    _ascii(vtk, "Type", "ImageData")
    vtk.attrs["WholeExtent"] = np.array([edge for count in counts for edge in (0, count - 1)])
    vtk.attrs["Origin"], vtk.attrs["Spacing"], vtk.attrs["Direction"] = np.array(starts), np.array(steps), np.eye(3).ravel()
    points = vtk.create_group("PointData")
    for name in maps:
        if ds[name].dtype.kind == "b":  # VTK knows no truth values
            put(points, name, ds[name].to_numpy().astype(np.uint8), {})
        else:
            points[name] = file[f"/entry_1/crystal/{name}"]
    shown = [name for name in FIRST_SHOWN if name in maps]
    _ascii(points, "Scalars", (shown or maps)[0])


def _ascii(group: h5py.Group, name: str, text: str) -> None:
    """Attribute as text of fixed length, the only kind that VTK reads."""
    group.attrs.create(name, np.bytes_(text), dtype=h5py.string_dtype("ascii", len(text)))


def _regular(ds: xr.Dataset, name: str) -> tuple[float, float, int] | None:
    """Start, step and number of points of an even coordinate; None if it is not even."""
    if name not in ds.coords or ds[name].dims != (name,) or ds.sizes[name] < 2:
        return None
    points: Array = ds[name].to_numpy().astype(float)
    steps = np.diff(points)
    if steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-4):
        return None
    return float(points[0]), float(np.mean(steps)), len(points)
