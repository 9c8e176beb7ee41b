"""Plain HDF5: one dataset of frames, every other number where the beamline file says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Beamline
from xcdi.errors import XcdiError, suggest
from xcdi.io.assemble import Found, assemble
from xcdi.io.chunks import piece, stack
from xcdi.io.growing import blocks
from xcdi.io.quantities import Sources, array, number, quantity, read_spec
from xcdi.io.vetting import locate, open_file

__all__ = ["follow", "list_scans", "look", "open_scan"]

ENDINGS = (".h5", ".hdf5", ".nxs", ".hdf")
BAD = 0x0000FFFF  # bits of a pixel mask that reject a pixel: NXdetector of the NeXus definitions


def list_scans(path: Path, beamline: Beamline) -> list[str]:
    """Names of the scans in a file, or of the files in a folder if each holds one scan; files of other things beside them are none."""
    before, mark, after = beamline.layout.counts.strip("/").partition("{scan}")
    if path.is_dir():
        files = [] if mark else sorted(p for p in path.iterdir() if p.suffix in ENDINGS)
        return [p.stem for p in [p for p in files if _may_hold(p, before)] or files]
    with open_file(path) as file:
        if not mark:
            return [path.stem]
        group = file.get(before) if before else file
        names = list(group) if isinstance(group, h5py.Group) else []
        return [name for name in names if locate(file, f"/{before}{name}{after}", root=path.parent) is not None]


def _may_hold(path: Path, counts: str) -> bool:
    """Whether a file has frames, or cannot be read, which is to be told when its turn comes."""
    try:
        with open_file(path) as file:
            return locate(file, f"/{counts}", root=path.parent) is not None
    except XcdiError:
        return True


def open_scan(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """Open one scan; its frames stay on disk.

    Raises
    ------
    XcdiError
        If there is no such scan, or an array does not fit the frames.
    """
    return _open(_file(path, scan, beamline), scan, beamline, frames_per_chunk=frames_per_chunk, growing=False)


def look(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """What is on disk already of a scan that is being measured."""
    return _open(_file(path, scan, beamline), scan, beamline, frames_per_chunk=frames_per_chunk, growing=True)


def follow(path: Path, scan: str, beamline: Beamline, *, block: int, poll_s: float, patience_s: float) -> Iterator[xr.Dataset]:
    """Yield blocks of `block` frames while the file grows, by SWMR or not."""
    return blocks(partial(look, path, scan, beamline, frames_per_chunk=block), block=block, poll_s=poll_s, patience_s=patience_s)


def _file(path: Path, scan: str, beamline: Beamline) -> Path:
    if path.is_dir():
        known = list_scans(path, beamline)
        if scan not in known:
            hint = suggest(scan, known) if known else "; name the file that holds it"
            raise XcdiError(f"{path}: no scan {scan!r}{hint}")
        return next(p for p in sorted(path.iterdir()) if p.stem == scan and p.suffix in ENDINGS)
    if "{scan}" not in beamline.layout.counts and scan != path.stem and path.is_file():
        raise XcdiError(f"{path.name} holds scan {path.stem!r}, not {scan!r}; name that, or the folder instead of the file")
    return path


def _open(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int, growing: bool) -> xr.Dataset:
    with open_file(path) as file:
        spec = read_spec(beamline.spec, path) if beamline.spec else None
        sources = Sources(file, path.parent, scan, spec)
        name = beamline.layout.counts.format(scan=scan)
        place = locate(file, name, root=path.parent)
        if place is None:
            known = list_scans(path, beamline) if "{scan}" in beamline.layout.counts else []
            hint = suggest(scan, known) if known else ""
            raise XcdiError(f"{path.name}: no dataset {name!r} (counts of scan {scan}, by beamline {beamline.name!r}){hint}")
        found = Found(
            stack=stack([piece(place, root=path.parent)]),
            sources=sources,
            expected=_expected(sources, beamline),
            masks=tuple(_masks(sources, beamline)),
            closed=not file.swmr_mode,
        )
        return assemble(found, path, scan, beamline, frames_per_chunk=frames_per_chunk, growing=growing)


def _expected(sources: Sources, beamline: Beamline) -> int | None:
    """Frames that were planned, where the beamline says where that stands."""
    place = beamline.layout.frames_expected
    planned = None if place is None else number(quantity(sources, place, "1", "frames_expected"), "frames_expected", sources.where)
    return None if planned is None else int(planned)


def _masks(sources: Sources, beamline: Beamline) -> Iterator[tuple[str, Array]]:
    """The pixel mask that the beamline names, True where a pixel is bad."""
    if beamline.detector.mask is None:
        return
    name = beamline.detector.mask.format(scan=sources.scan)
    found = array(sources, name)
    if found is None:
        raise XcdiError(f"{sources.where}: no dataset {name!r} (pixel mask, by beamline {beamline.name!r})")
    yield name, (np.squeeze(found[0]).astype(np.int64) & BAD) != 0
