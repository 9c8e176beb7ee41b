"""Results out and in: one HDF5 file that is whole or absent, and reads back exactly."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import __version__
from xcdi.errors import XcdiError
from xcdi.io import cxi, nexus
from xcdi.io.places import home_of, place_of
from xcdi.io.record import put, read_labelled, readable, write_labelled
from xcdi.io.vetting import open_file

__all__ = ["load", "provenance", "provenance_of", "save", "settings_of"]

LIBRARIES = ("numpy", "scipy", "h5py", "hdf5plugin", "numba", "scikit-image", "xarray", "dask", "pydantic", "cupy-cuda12x", "cupy-cuda13x")


def save(result: Mapping[str, xr.Dataset], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write a pipeline's result to the HDF5 file `path`; after any failure the old file, or none, is there.

    Parameters
    ----------
    result : mapping of Dataset
        By name: "object", "crystal", "correlation", ...; docs/results.md says what goes where.
    path : path
        File to make or to replace.
    provenance : mapping
        Where the result comes from, mostly of :func:`provenance`; stored under ``/provenance``, apart from the data.

    Raises
    ------
    XcdiError
        If the folder cannot be written to, the disk is full, or a value is of a kind that no file holds.
    """
    path = Path(path)
    with _whole_or_absent(path) as aside, h5py.File(aside, "w", track_order=True) as file:
        file.attrs.update(NX_class="NXroot", creator="xcdi", creator_version=__version__)
        file.create_group("xcdi", track_order=True)
        for key, ds in result.items():
            write_labelled(file, key, ds, partial(place_of, key))
            file.require_group(home_of(key)).attrs.update(readable(ds.attrs))
        cxi.decorate(file, result, provenance)
        nexus.decorate(file, result)
        _write_provenance(file.create_group("provenance", track_order=True), provenance)


def load(path: str | Path) -> dict[str, xr.Dataset]:
    """Read what :func:`save` wrote: the same datasets with the same dims, coordinates, attributes and types.

    Raises
    ------
    XcdiError
        If there is no such file, or xcdi did not write it.
    """
    with open_file(path) as file:
        if "xcdi" not in file:
            raise XcdiError(f"{path}: holds no result of xcdi; expected a file that 'xcdi run' wrote")
        return {key: read_labelled(file, key) for key in file["xcdi"]}


def settings_of(path: str | Path) -> str | None:
    """The settings, as TOML text, that made the result `path`; None if there is no whole result."""
    try:
        with open_file(path) as file:
            found = file.get("/provenance/settings")
            return found.asstr()[()] if isinstance(found, h5py.Dataset) else None
    except XcdiError:
        return None


def provenance_of(path: str | Path) -> dict[str, Any]:
    """Where the result `path` comes from, as it was given to :func:`save`; a list of tables comes back as its columns.

    Raises
    ------
    XcdiError
        If there is no such file, or it says nothing of its origin.
    """
    with open_file(path) as file:
        group = file.get("/provenance")
        if not isinstance(group, h5py.Group):
            raise XcdiError(f"{path}: does not say where it comes from; expected a file that 'xcdi run' wrote")
        return _read_provenance(group)


def provenance(
    settings: str,
    inputs: Iterable[str | Path],
    *,
    pipeline: str = "",
    device: str = "cpu",
    workers: int = 1,
    seed: int | None = None,
    seconds: float | None = None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Where a result comes from, for :func:`save`.

    Parameters
    ----------
    settings : str
        TOML text of all settings.
    inputs : paths
        Files that were read; the data files of an Eiger master need no mention.
    pipeline, device, workers, seed
        As they were used.
    seconds : float, optional
        How long it took [s].
    notes : mapping, optional
        Text and numbers to keep beside these.
    """
    files = [file for path in inputs for file in _with_data_files(Path(path))]
    return {
        "settings": settings,
        "xcdi_version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_fingerprint(file) for file in files],
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))} | {"python": platform.python_version()},
        "machine": platform.platform(),
        "pipeline": pipeline,
        "device": device,
        "workers": workers,
        **({} if seed is None else {"seed": seed}),
        **({} if seconds is None else {"seconds": seconds}),
        **(notes or {}),
    }


def _with_data_files(path: Path) -> list[Path]:
    stem = path.name.removesuffix("_master.h5")
    return [path, *(sorted(path.parent.glob(f"{stem}_data_*.h5")) if stem != path.name else ())]


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        state = path.stat()
    except OSError:
        return {"path": str(path), "bytes": -1, "modified": ""}
    return {"path": str(path), "bytes": state.st_size, "modified": datetime.fromtimestamp(state.st_mtime, UTC).isoformat()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write_provenance(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Tables become groups, lists of tables become columns."""
    group.attrs["NX_class"] = "NXcollection"
    for name, value in values.items():
        if isinstance(value, Mapping):
            _write_provenance(group.create_group(name, track_order=True), value)
        elif isinstance(value, (list, tuple)) and value and all(isinstance(row, Mapping) for row in value):
            columns = {key: [row.get(key) for row in value] for key in value[0]}
            _write_provenance(group.create_group(name, track_order=True), columns)
        elif value is not None:
            array = np.asarray(value)
            stored = np.array(value, dtype=h5py.string_dtype()) if array.dtype.kind in "UO" else array
            put(group, name, stored, {"units": "s"} if name == "seconds" else {})


def _read_provenance(group: h5py.Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[name] = _read_provenance(item)
        else:
            text = h5py.check_string_dtype(item.dtype) is not None
            value = item.asstr()[()] if text else item[()]
            found[name] = value.tolist() if hasattr(value, "tolist") else value
    return found


@contextmanager
def _whole_or_absent(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its name once it is complete and on disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise XcdiError(f"{path}: is a folder, expected the name of a file to write")
        yield aside
        _sync(aside)
        os.replace(aside, path)
        _sync(path.parent)
    except (OSError, RuntimeError) as error:
        raise XcdiError(f"{path}: cannot be written ({_why(error, path)})") from error
    finally:
        aside.unlink(missing_ok=True) if aside.parent.is_dir() else None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: OSError | RuntimeError, path: Path) -> str:
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOSPC or "No space left" in text or "errno = 28" in text:
        return f"the disk is full, {shutil.disk_usage(path.parent).free} bytes are free"
    if code in (errno.ENOTDIR, errno.EEXIST):
        return f"{path.parent} is a file or lies below one; choose another folder"
    return os.strerror(code).lower() if code else text.splitlines()[0]
