"""Labelled data as HDF5 and back without loss: values as datasets with units, labels in one JSON text beside them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError

__all__ = ["Spot", "decode_value", "encode_value", "put", "read_labelled", "write_labelled"]

PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
SMALL = 1 << 16  # bytes; below this an array is not worth a compressed chunk
LONGEST_TEXT, MOST_NUMBERS = 30_000, 4_096  # of an HDF5 attribute, which has room for 64 kB
LARGE = 1 << 26  # bytes of real numbers, whose noise does not compress: from here on minutes would be spent to save a tenth
PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True, "chunks": True}

Spot = Callable[[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]  # variable, dims -> HDF5 path, dims in the file's order


def write_labelled(file: h5py.File, key: str, ds: xr.Dataset, spot: Spot) -> None:
    """Store `ds` so that :func:`read_labelled` gives it back exactly.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    key : str
        Name of the dataset among the results; its labels go to ``/xcdi/<key>``.
    ds : Dataset
        Anything with numbers, truth values, text and times.
    spot : function
        Where a variable goes, and in which order its dims lie in the file.

    Raises
    ------
    XcdiError
        If a value or attribute is of a kind that no file can hold.
    """
    entries = []
    if "stored" in ds and ds.stored.dtype.kind == "O":
        ds = ds.drop_vars("stored")  # raw frames: they lie in the scan's own files
    for number, name in enumerate(ds.variables):
        variable, dims = ds.variables[name], [str(dim) for dim in ds.variables[name].dims]
        plain = name if isinstance(name, str) and PLAIN_NAME.fullmatch(name) else f"variable_{number}"
        path, stored = spot(plain, tuple(dims))
        values = np.asarray(variable.transpose(*stored).values) if list(stored) != dims else np.asarray(variable.values)
        put(file, path, _storable(values, f"{key}.{name}"), readable(variable.attrs))
        entries.append(
            {
                "name": encode_value(name),
                "path": path,
                "dims": dims,
                "stored": list(stored),
                "coord": name in ds.coords,
                "indexed": name in ds.xindexes,
                "dtype": _dtype_name(values),
                "attrs": encode_value(dict(variable.attrs)),
            }
        )
    labels = {"attrs": encode_value(dict(ds.attrs)), "variables": entries}
    put(file, f"/xcdi/{key}", json.dumps(labels), {})


def read_labelled(file: h5py.File, key: str) -> xr.Dataset:
    """The dataset that :func:`write_labelled` stored as `key`."""
    labels = json.loads(file[f"/xcdi/{key}"].asstr()[()])
    variables: dict[Hashable, xr.Variable] = {}
    for entry in labels["variables"]:
        values = _restored(file[entry["path"]], entry["dtype"])
        variable = xr.Variable(entry["stored"], values, decode_value(entry["attrs"]))
        variables[decode_value(entry["name"])] = variable.transpose(*entry["dims"])
    coords = [name for name, entry in zip(variables, labels["variables"], strict=True) if entry["coord"]]
    loose = [name for name, entry in zip(variables, labels["variables"], strict=True) if name in entry["dims"] and not entry["indexed"]]
    return xr.Dataset(variables, attrs=decode_value(labels["attrs"])).set_coords(coords).drop_indexes(loose)


def put(file: h5py.Group, path: str, values: Any, attrs: Mapping[str, Any]) -> h5py.Dataset:
    """Write one dataset with its attributes; large arrays carry a checksum and are compressed, the largest of real numbers are not."""
    data = file.create_dataset(path, data=values, **_layout(values))
    for name, value in attrs.items():
        data.attrs[name] = value
    return data


def _layout(values: Any) -> dict[str, Any]:
    if not isinstance(values, np.ndarray) or values.dtype.kind == "O" or values.nbytes < SMALL:
        return {}
    if values.dtype.kind == "f" and values.nbytes >= LARGE:
        return {"fletcher32": True, "chunks": True}
    return PACKED


def _storable(values: Array, where: str) -> Any:
    """`values` as a type that HDF5 has."""
    if values.dtype.kind in "mM":
        return values.view("i8")
    if values.dtype.kind == "U" or (values.dtype.kind == "O" and all(isinstance(v, str) for v in values.ravel())):
        text = np.array(values, dtype=h5py.string_dtype())
        if any("\0" in v for v in values.ravel()):
            raise XcdiError(f"{where}: text with a NUL character cannot be stored")
        return text
    if values.dtype.kind not in "biufcS":
        raise XcdiError(f"{where}: values of type {values.dtype} cannot be stored; expected numbers, truth values, text or times")
    return values


def _dtype_name(values: Array) -> str:
    return "object" if values.dtype.kind == "O" else values.dtype.str


def _restored(data: h5py.Dataset, dtype: str) -> Array:
    """Values as they were; an error that names file and dataset where they cannot be read."""
    try:
        return _read(data, dtype)
    except (OSError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise XcdiError(f"{data.file.filename}: dataset {data.name!r} is damaged ({why}); copy the file again, or make it anew") from None


def _read(data: h5py.Dataset, dtype: str) -> Array:
    if dtype == "object" or np.dtype(dtype).kind == "U":
        text = np.asarray(data.asstr()[()], dtype=object)
        return text if dtype == "object" else text.astype(dtype)
    values = np.asarray(data[()])
    return values.view(dtype) if np.dtype(dtype).kind in "mM" else values.astype(dtype, copy=False)


def readable(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Those attributes that HDF5 can hold as they are: for people and other programs.

    Examples
    --------
    >>> readable({"grade": "good", "table": {"a": 1}})
    {'grade': 'good'}
    """
    return {name: value for name, value in attrs.items() if isinstance(name, str) and PLAIN_NAME.fullmatch(name) and _fits(value)}


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < LONGEST_TEXT and "\0" not in value
    if isinstance(value, (list, tuple)) and not all(type(v) in (bool, int, float) for v in value):
        return False
    if isinstance(value, (bool, int, float, np.generic, np.ndarray, list, tuple)):
        numbers = np.asarray(value)
        return numbers.dtype.kind in "biuf" and 0 < numbers.size <= MOST_NUMBERS
    return False


def encode_value(value: Any) -> Any:
    """`value` as JSON, with a tag where JSON has no such type.

    Examples
    --------
    >>> encode_value((1, None))
    {'tuple': [1, None]}
    """
    if value is None or isinstance(value, (str, bool)) or type(value) in (int, float):
        return value
    if isinstance(value, list):
        return [encode_value(v) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [encode_value(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[encode_value(k), encode_value(v)] for k, v in value.items()]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcSmM":
        kind = "scalar" if isinstance(value, np.generic) else "array"
        raw = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {kind: raw, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "U":
        return {
            "scalar" if isinstance(value, np.generic) else "array": value.tolist(),
            "dtype": value.dtype.str,
            "shape": list(value.shape),
        }
    raise XcdiError(f"an attribute of type {type(value).__name__} cannot be stored; expected text, numbers, arrays, lists or tables")


def decode_value(value: Any) -> Any:
    """Inverse of :func:`encode_value`."""
    if isinstance(value, list):
        return [decode_value(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "dtype" in value:
        return _decode_array(value)
    (tag, inner), *_ = value.items()
    if tag == "tuple":
        return tuple(decode_value(v) for v in inner)
    if tag == "dict":
        return {decode_value(k): decode_value(v) for k, v in inner}
    return base64.b64decode(inner) if tag == "bytes" else complex(*inner)


def _decode_array(value: dict[str, Any]) -> Any:
    kind, dtype = ("array" if "array" in value else "scalar"), np.dtype(value["dtype"])
    if dtype.kind == "U":
        array = np.array(value[kind], dtype=dtype).reshape(value["shape"])
    else:
        array = np.frombuffer(base64.b64decode(value[kind]), dtype).reshape(value["shape"]).copy()
    return array if kind == "array" else array[()]
