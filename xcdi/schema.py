"""The names, dimensions and units that every labelled array in xcdi uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError

__all__ = [
    "CORRELATION",
    "CRYSTAL",
    "DISLOCATIONS",
    "EVENTS",
    "LAB",
    "OBJECT",
    "PEAK",
    "SCAN",
    "Field",
    "SchemaError",
    "is_avalanche",
    "require",
]

LAB = ("z", "y", "x")


class Field(NamedTuple):
    """What a variable of that name must look like."""

    dims: tuple[str, ...]
    units: str


SCAN = {
    "counts": Field(("frame", "y", "x"), "1"),
    "valid": Field(("y", "x"), ""),
    "frame_ok": Field(("frame",), ""),
    "time": Field(("frame",), "s"),
    "rocking": Field(("frame",), "deg"),
    "monitor": Field(("frame",), "1"),
    "stored": Field(("frame",), ""),  # lazy, optional: frames as they lie on disk, or None; see xcdi.io.stored
}
PEAK = {
    **{name: field for name, field in SCAN.items() if name != "stored"},
    "counts": Field(("frame", "y", "x"), "1"),
    "valid": Field(("frame", "y", "x"), ""),
    "q_basis": Field(("axis", "index"), "1/nm"),
    "q_peak": Field(("axis",), "1/nm"),
}
OBJECT = {
    "rho": Field(LAB, "1"),
    "support": Field(LAB, ""),
    "rho_error": Field(LAB, "1"),
    "voxel_basis": Field(("axis", "index"), "nm"),
    "q_peak": Field(("axis",), "1/nm"),
}
CRYSTAL = {
    "amplitude": Field(LAB, "1"),
    "phase": Field(LAB, "rad"),
    "support": Field(LAB, ""),
    "displacement": Field(LAB, "nm"),
    "displacement_error": Field(LAB, "nm"),
    "strain": Field(LAB, "1"),
    "strain_error": Field(LAB, "1"),
    "strain_absolute": Field(LAB, "1"),
    "tilt_1": Field(LAB, "rad"),
    "tilt_2": Field(LAB, "rad"),
    "d_spacing": Field(LAB, "nm"),
    "d_spacing_error": Field(LAB, "nm"),
    "lattice_parameter": Field(LAB, "nm"),
    "refraction_phase": Field(LAB, "rad"),
    "grain": Field(LAB, ""),
    "depth": Field(LAB, "nm"),
    **{f"strain_{a}": Field(LAB, "1") for a in ("xx", "yy", "zz", "xy", "xz", "yz", "volume", "equivalent")},
    **{f"rotation_{a}": Field(LAB, "rad") for a in "xyz"},
    **{f"u_{a}": Field(LAB, "nm") for a in "xyz"},
    "misfit": Field(LAB, "1"),
}
DISLOCATIONS = {
    "charge": Field(("line",), ""),
    "length_nm": Field(("line",), "nm"),
    "centroid": Field(("line", "axis"), "nm"),
    "direction": Field(("line", "axis"), "1"),
    "grain": Field(("line",), ""),
    "depth_nm": Field(("line",), "nm"),
    "boundary_i": Field(("line",), ""),
    "boundary_j": Field(("line",), ""),
    "closed": Field(("line",), ""),
    "node_line": Field(("node",), ""),
    "node_position": Field(("node", "axis"), "nm"),
}
CORRELATION = {
    "two_time": Field(("region", "time", "time2"), "1"),
    "g2": Field(("region", "delay"), "1"),
    "g2_error": Field(("region", "delay"), "1"),
    "q": Field(("region",), "1/nm"),
}
EVENTS = {
    "time": Field(("event",), "s"),
    "frame": Field(("event",), "1"),
    "score": Field(("event",), "1"),
    "drop": Field(("event",), "1"),
    "drop_error": Field(("event",), "1"),
    "drop_internal": Field(("event",), "1"),
    "fraction": Field(("event",), "1"),
    "strain_step": Field(("event",), "1"),
    "rotation_step": Field(("event",), "deg"),
}
NOT_AVALANCHES = ("artefact", "rigid", "tilt", "beam", "module")


def is_avalanche(flags: Iterable[str]) -> np.ndarray:
    """Which events changed the inside of the sample: no word of `NOT_AVALANCHES` stands in their flags.

    Parameters
    ----------
    flags : iterable of str
        Words parted by ", ", one text per event.

    Returns
    -------
    bool array, shape (event,)

    Examples
    --------
    >>> is_avalanche(["", "rigid, short window", "possibly merged"])
    array([ True, False,  True])
    """
    return np.array([not set(str(text).split(", ")) & set(NOT_AVALANCHES) for text in flags], bool)


def require(ds: xr.Dataset, *names: str, schema: dict[str, Field] = SCAN) -> xr.Dataset:
    """Return `ds` unchanged if it has every variable in `names`, with the right dims and units.

    Raises
    ------
    SchemaError
        Says which variable is missing or how it differs.

    Examples
    --------
    >>> scan = xr.Dataset({"time": ("frame", [0.0, 0.5], {"units": "s"})})
    >>> require(scan, "time") is scan
    True
    """
    for name in names:
        field = schema[name]
        if name not in ds.variables:
            raise SchemaError(f"needs {name!r} {field.dims}, and the data have {', '.join(map(str, ds.variables))}")
        found = ds[name]
        if found.dims != field.dims:
            raise SchemaError(f"{name!r} has dims {found.dims}, expected {field.dims}")
        if found.attrs.get("units", "") != field.units:
            raise SchemaError(f"{name!r} is in {found.attrs.get('units', 'no units')!r}, expected {field.units!r}")
    return ds
