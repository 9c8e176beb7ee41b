"""Dectris Eiger: one master file per scan, frames in data files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Beamline, Quantity
from xcdi.errors import XcdiError, suggest
from xcdi.io.assemble import Found, assemble
from xcdi.io.chunks import Piece, Stack, piece, stack
from xcdi.io.growing import blocks
from xcdi.io.quantities import Sources, array, text
from xcdi.io.vetting import Place, inside, locate, open_file

__all__ = ["follow", "list_scans", "look", "open_scan"]

ENDING = "_master.h5"
DETECTOR = "/entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
BAD = 0x0000FFFF  # bits of a pixel mask that reject a pixel: NXdetector of the NeXus definitions


def _at(path: str, units: str) -> Quantity:
    return Quantity(path=path, units=units)


STANDARD: dict[str, tuple[Quantity, ...]] = {
    "energy": (
        _at("/entry/instrument/beam/incident_wavelength", "angstrom"),
        _at("/entry/instrument/beam/incident_energy", "eV"),
        _at(f"{SPECIFIC}/photon_energy", "eV"),
    ),
    "distance": (_at(f"{DETECTOR}/detector_distance", "m"), _at(f"{DETECTOR}/distance", "m")),
    "pixel_size_y": (_at(f"{DETECTOR}/y_pixel_size", "m"),),
    "pixel_size_x": (_at(f"{DETECTOR}/x_pixel_size", "m"),),
    "centre_row": (_at(f"{DETECTOR}/beam_center_y", "px"),),
    "centre_column": (_at(f"{DETECTOR}/beam_center_x", "px"),),
    "frame_time": (_at(f"{DETECTOR}/frame_time", "s"),),
    "count_time": (_at(f"{DETECTOR}/count_time", "s"),),
    "dead_time": (_at(f"{DETECTOR}/dead_time", "s"),),  # of a counter after a photon; not the pause between frames
    **{f"motor:{name}": (_at(f"/entry/sample/goniometer/{name}", "deg"),) for name in ("omega", "chi", "kappa", "phi")},
}


def list_scans(path: Path, beamline: Beamline) -> list[str]:
    """Names of the scans: the masters at `path`, a master or a folder, without their ending."""
    if path.is_dir():
        return sorted(master.name.removesuffix(ENDING) for master in path.glob(f"*{ENDING}"))
    with open_file(path):
        return [_name(path)]


def open_scan(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """Open one scan; its frames stay on disk.

    Raises
    ------
    XcdiError
        If there is no such scan, a data file is missing, or the files contradict each other.
    """
    master = _master(path, scan, beamline)
    return _open(master, scan, beamline, frames_per_chunk=frames_per_chunk, growing=False)


def look(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """What is on disk already of a scan that is being measured."""
    return _open(_master(path, scan, beamline), scan, beamline, frames_per_chunk=frames_per_chunk, growing=True)


def follow(path: Path, scan: str, beamline: Beamline, *, block: int, poll_s: float, patience_s: float) -> Iterator[xr.Dataset]:
    """Yield blocks of `block` frames while master and data files appear."""
    return blocks(partial(look, path, scan, beamline, frames_per_chunk=block), block=block, poll_s=poll_s, patience_s=patience_s)


def _name(path: Path) -> str:
    return path.name.removesuffix(ENDING) if path.name.endswith(ENDING) else path.stem


def _master(path: Path, scan: str, beamline: Beamline) -> Path:
    """The file that holds `scan`."""
    if path.is_dir():
        master = path / f"{scan}{ENDING}"
        if not scan or Path(scan).name != scan or not master.is_file():
            raise XcdiError(f"{path}: no scan {scan!r}{suggest(scan, list_scans(path, beamline) or ['no *' + ENDING])}")
        return master
    if path.is_file() and scan != _name(path):
        raise XcdiError(f"{path.name} holds scan {_name(path)!r}, not {scan!r}; name that, or the folder instead of the file")
    return path


def _open(master: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int, growing: bool) -> xr.Dataset:
    with open_file(master) as file:
        sources = Sources(file, master.parent, scan)
        found = Found(
            stack=_stack(sources, beamline, growing),
            sources=sources,
            expected=_expected(sources),
            masks=tuple(_masks(sources, beamline)),
            saturation=_saturation(sources),
            start_time=text(sources, f"{SPECIFIC}/data_collection_date") or text(sources, "/entry/start_time"),
            standard=_standard(sources),
        )
        return assemble(found, master, scan, beamline, frames_per_chunk=frames_per_chunk, growing=growing)


def _standard(sources: Sources) -> dict[str, tuple[Quantity, ...]]:
    """Where numbers stand; without the dead time if the detector has made up for it already."""
    applied = [array(sources, f"{place}/countrate_correction_applied") for place in (DETECTOR, SPECIFIC)]
    done = any(found is not None and np.ravel(found[0])[0] for found in applied)
    return {name: places for name, places in STANDARD.items() if not (done and name == "dead_time")}


def _stack(sources: Sources, beamline: Beamline, growing: bool) -> Stack:
    """Frames of all data files, in the order of their links."""
    name = beamline.layout.counts.format(scan=sources.scan)
    home = locate(sources.file, name, root=sources.root)
    if home is None:
        raise XcdiError(f"{sources.where}: no {name!r} (counts of scan {sources.scan}, by beamline {beamline.name!r})")
    group = sources.file.get(home.path)
    if isinstance(group, h5py.Dataset):
        return stack([piece(home, root=sources.root)])
    places = _linked(group, sources)
    missing = [place.file.name for place in places if not place.file.is_file()]
    if missing and not growing:
        names = ", ".join(missing[:5])
        raise XcdiError(f"{sources.where}: {len(missing)} of {len(places)} data files are missing: {names}; copy them beside the master")
    pieces = _in_order([place for place in places if place.file.is_file()], sources.root)
    if not pieces:
        raise XcdiError(f"{sources.where}: {name!r} has no data file yet; expected links data_000001 and so on")
    return stack(pieces)


def _linked(group: h5py.Group, sources: Sources) -> list[Place]:
    """Where ``data_000001`` and its followers lead, whether or not the files are there."""
    places = []
    for name in sorted((key for key in group if re.fullmatch(r"data_\d+", key)), key=lambda key: int(key[5:])):
        link = group.get(name, getlink=True)
        here = Place(Path(sources.file.filename), f"{group.name}/{name}")
        if isinstance(link, h5py.ExternalLink):
            here = Place(inside(here.file.parent / link.filename, sources.root, here), link.path)
        places.append(here)
    if not places and "data" in group:
        place = locate(sources.file, f"{group.name}/data", root=sources.root)
        places = [] if place is None else [place]
    return places


def _in_order(places: list[Place], root: Path) -> list[Piece]:
    """Pieces placed by ``image_nr_low`` where all files have it, else one after the other."""
    low = [_image_number(place) for place in places]
    numbered = bool(low) and all(number is not None for number in low)
    pieces: list[Piece] = []
    for place, number in zip(places, low, strict=True):
        behind = pieces[-1].first + len(pieces[-1]) if pieces else 0
        pieces.append(piece(place, root=root, first=int(number) - 1 if numbered and number is not None else behind))
    return pieces


def _image_number(place: Place) -> int | None:
    with open_file(place.file) as file:
        data = file.get(place.path)
        number = None if data is None else data.attrs.get("image_nr_low")
    return None if number is None or int(number) < 1 else int(number)


def _expected(sources: Sources) -> int | None:
    """Frames that were ordered."""
    images, triggers = (array(sources, f"{SPECIFIC}/{name}") for name in ("nimages", "ntrigger"))
    if images is None:
        return None
    return int(np.ravel(images[0])[0]) * (int(np.ravel(triggers[0])[0]) if triggers is not None else 1)


def _saturation(sources: Sources) -> float | None:
    """Largest count whose correction for lost photons can be trusted."""
    for name in (f"{DETECTOR}/saturation_value", f"{SPECIFIC}/countrate_correction_count_cutoff"):
        found = array(sources, name)
        if found is not None:
            return float(np.ravel(found[0])[0])
    return None


def _masks(sources: Sources, beamline: Beamline) -> Iterator[tuple[str, Array]]:
    """Pixel masks, True where a pixel is bad."""
    stated = beamline.detector.mask
    for name in (stated,) if stated else (f"{SPECIFIC}/pixel_mask", f"{DETECTOR}/pixel_mask"):
        found: Any = array(sources, name)
        if found is not None:
            yield name, (np.squeeze(found[0]).astype(np.int64) & BAD) != 0
        elif stated:
            raise XcdiError(f"{sources.where}: no dataset {name!r} (pixel mask, by beamline {beamline.name!r})")
