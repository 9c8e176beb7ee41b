"""What to say of a file that a beamline does not fit: that it is a result, or which beamline would fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py

from xcdi.beamline import Beamline, beamline_names, load_beamline
from xcdi.errors import XcdiError
from xcdi.io.vetting import open_file

__all__ = ["hint", "is_result"]

MOST = 20  # files of a folder that are looked at
PART = re.compile(r"_data_\d+\.h5$")  # of an Eiger's master


def is_result(path: Path) -> bool:
    """Whether `path` is a file that xcdi has written."""
    try:
        with open_file(path) as file:
            return "xcdi" in file and "provenance" in file
    except XcdiError:
        return False


def hint(path: Path, beamline: Beamline, scan: str = "") -> str:
    """Continue an error about the scan at `path`: what it is instead, or nothing where the beamline fits its layout.

    Parameters
    ----------
    path : path
        File, or folder, that was given.
    beamline : Beamline
        That it was read by.
    scan : str
        Name of the scan, where one was named.
    """
    files = list(_candidates(path, scan))
    if files and all(map(is_result, files)):
        return f"; {'it is a result' if path.is_file() else 'these are results'} of xcdi, and raw data are expected"
    for place in files:
        try:
            with open_file(place) as file:
                better = "" if _fits(file, beamline) else _best(file)
        except XcdiError:
            continue
        if better:
            return f"; is {beamline.name!r} the right beamline? {place.name} looks like one of {better!r}"
    return ""


def _candidates(path: Path, scan: str) -> Iterator[Path]:
    """Files to look at; the master instead of its data files."""
    if path.is_dir():
        found = sorted(path.glob("*.h5"))
        found = [file for file in found if scan and file.name.startswith(scan)] or found
    else:
        found = [path]
    for file in found[:MOST]:
        master = file.with_name(PART.sub("_master.h5", file.name))
        yield master if master.is_file() else file


def _fits(file: h5py.File, beamline: Beamline) -> bool:
    """Whether frames stand where the beamline has them; one whose scans are groups may fit anything."""
    if "{scan}" in beamline.layout.counts:
        return False
    there = file.get(beamline.layout.counts)
    if beamline.format == "eiger":
        master = file.filename.endswith("_master.h5")
        return master and (isinstance(there, h5py.Dataset) or any(re.fullmatch(r"data(_\d+)?", name) for name in there or ()))
    return isinstance(there, h5py.Dataset) and there.ndim in (3, 4)


def _best(file: h5py.File) -> str:
    """Name of the beamline that has most of its places in the file, or nothing."""
    homes = {name: load_beamline(name) for name in beamline_names()}
    found = {name: sum(place in file for place in _places(home)) for name, home in homes.items() if _fits(file, home)}
    return max(found, key=found.__getitem__) if found else ""


def _places(beamline: Beamline) -> Iterator[str]:
    """Paths that a beamline file names."""
    layout = beamline.layout
    stated = (layout.time, layout.monitor, layout.frame_time, *beamline.quantities.values(), *beamline.motors.values())
    yield from (quantity.path for quantity in stated if quantity is not None and quantity.path)
    if beamline.detector.mask:
        yield beamline.detector.mask
