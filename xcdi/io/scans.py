"""Scans in: the doors through which raw frames enter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import xarray as xr

from xcdi.beamline import Beamline, load_beamline
from xcdi.errors import XcdiError
from xcdi.io.growing import finished
from xcdi.io.hints import hint
from xcdi.resolve import load_module
from xcdi.schema import require

__all__ = ["follow", "list_scans", "new_scans", "open_scan"]


def open_scan(path: str | Path, scan: str, beamline: Beamline | str, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """Open one scan lazily, in the form of `schema.SCAN`.

    Parameters
    ----------
    path : path
        File of the scan, or the folder it is in.
    scan : str
        Its name, one of :func:`list_scans`.
    beamline : Beamline or str
        The hardware, or the name of its file.
    frames_per_chunk : int
        Frames that are read at once.

    Returns
    -------
    Dataset
        `counts` (frame, y, x) as stored, lazy; `valid` (y, x) and `frame_ok` (frame); `time`, motors, `rocking`, `monitor`
        and attributes as far as the files or the beamline state them. A frame that cannot be read is all sentinel
        (NaN in real numbers).

    Raises
    ------
    XcdiError
        If the scan is not there, or its files are not to be trusted; one line that says why.
    """
    home = _known(beamline)
    try:
        found = _format(home).open_scan(Path(path), scan, home, frames_per_chunk=frames_per_chunk)
    except XcdiError as error:
        told = hint(Path(path), home, scan)
        raise (XcdiError(f"{error}{told}") if told else error) from None
    return require(found, "counts", "valid", "frame_ok")


def list_scans(path: str | Path, beamline: Beamline | str) -> list[str]:
    """Names of the scans in the file or folder `path`."""
    home = _known(beamline)
    if not Path(path).exists():
        raise XcdiError(f"{path}: no such file or folder")
    return _format(home).list_scans(Path(path), home)


def follow(
    path: str | Path, scan: str, beamline: Beamline | str, *, block: int = 16, poll_s: float = 0.5, patience_s: float = 10.0
) -> Iterator[xr.Dataset]:
    """Yield a scan in blocks of `block` frames while it is measured.

    A frame is handed on once its counts and all its numbers are on disk, and never twice. Ends when the frames that were
    ordered are there, or nothing new came for `patience_s`; the last block may be shorter.

    Raises
    ------
    XcdiError
        If nothing at all came within `patience_s`.
    """
    home = _known(beamline)
    return _format(home).follow(Path(path), scan, home, block=block, poll_s=poll_s, patience_s=patience_s)


def new_scans(path: str | Path, beamline: Beamline | str, *, poll_s: float = 1.0, patience_s: float = 60.0) -> Iterator[str]:
    """Yield the names of the scans in `path` as they complete, those that are there already first.

    A scan is complete when all frames that were ordered are on disk, or when it did not grow for `patience_s`.
    Ends when no scan completed or grew for `patience_s`.
    """
    home, done = _known(beamline), set()
    sizes: dict[str, int] = {}
    since: dict[str, float] = {}
    news = time.monotonic()
    while True:
        for name in _names(Path(path), home):
            if name in done:
                continue
            size, whole = _state(Path(path), name, home)
            if size != sizes.get(name):
                sizes[name], since[name], news = size, time.monotonic(), time.monotonic()
            if whole or (size and time.monotonic() - since[name] > patience_s):
                done.add(name)
                yield name
                news = time.monotonic()
        if time.monotonic() - news > patience_s:
            return
        time.sleep(poll_s)


def _names(path: Path, beamline: Beamline) -> list[str]:
    try:
        return list_scans(path, beamline)
    except XcdiError:
        return []


def _state(path: Path, scan: str, beamline: Beamline) -> tuple[int, bool]:
    """Frames on disk, and whether these are all."""
    try:
        found = _format(beamline).look(path, scan, beamline)
    except (XcdiError, OSError, RuntimeError, KeyError):  # HDF5 fails in many ways on a file that is being written
        return 0, False
    return int(found.frame_ok.sum()), finished(found)


def _known(beamline: Beamline | str) -> Beamline:
    return load_beamline(beamline) if isinstance(beamline, str) else beamline


def _format(beamline: Beamline) -> ModuleType:
    place = beamline.format if "." in beamline.format else f"xcdi.io.formats.{beamline.format}"
    try:
        return load_module(place)
    except XcdiError:
        raise XcdiError(
            f"beamline {beamline.name!r}: no format {beamline.format!r}; there is eiger, hdf5, or a dotted name of your own"
        ) from None
