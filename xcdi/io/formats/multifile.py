"""CHX multifile (.cmp): a header of 1024 bytes, then for each frame how many pixels saw photons, which, and how many."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Beamline, Quantity
from xcdi.errors import XcdiError, suggest
from xcdi.io.assemble import Found, assemble
from xcdi.io.growing import blocks
from xcdi.io.listed import Listed, expected, lost, numbers_beside

__all__ = ["follow", "list_scans", "look", "open_scan"]

ENDING = ".cmp"
MAGIC = b"Version-COMP0001"
HEADER = struct.Struct("<16s8d7I916x")
LENGTH = struct.Struct("<I")
LARGEST = 1 << 28  # pixels
STATED = {"count_time": (2, "s"), "frame_time": (4, "s"), "energy": (5, "angstrom")}  # places in the header after its name


@dataclass(frozen=True)
class Multifile:
    """One file and where its frames are."""

    path: Path
    at: Array  # byte at which each frame's pixels begin
    events: Array
    width: int  # bytes of a count

    def read(self, i: int) -> tuple[Array, Array]:
        """Pixels and counts of frame `i`."""
        n = int(self.events[i])
        with self.path.open("rb") as file:
            file.seek(int(self.at[i]))
            raw = file.read(n * (4 + self.width))
        if len(raw) < n * (4 + self.width):
            raise XcdiError(f"{self.path.name}: was longer before; frame {i} is not whole any more")
        return np.frombuffer(raw, "<i4", n), np.frombuffer(raw, f"<u{self.width}", n, 4 * n)


@dataclass(frozen=True)
class Frames:
    """The photons of a multifile."""

    file: Multifile

    def events(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Start of each frame (and the end), pixel in raster order, count."""
        parts = [self.file.read(i) for i in range(start, stop)]
        first = np.concatenate([[0], np.cumsum(self.file.events[start:stop])])
        pixel, count = (np.concatenate([part[k] for part in parts] or [np.zeros(0, np.int32)]) for k in (0, 1))
        return first, pixel, count


def list_scans(path: Path, beamline: Beamline) -> list[str]:
    """Names of the scans: files at `path`, a file or a folder, without their ending."""
    return sorted(file.stem for file in path.glob(f"*{ENDING}")) if path.is_dir() else [path.stem]


def open_scan(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """Open one scan; its frames stay on disk.

    Raises
    ------
    XcdiError
        If there is no such scan, or the file is none of its kind or damaged.
    """
    return _open(path, scan, beamline, frames_per_chunk=frames_per_chunk, growing=False)


def look(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """What is on disk already of a scan that is being measured."""
    return _open(path, scan, beamline, frames_per_chunk=frames_per_chunk, growing=True)


def follow(path: Path, scan: str, beamline: Beamline, *, block: int, poll_s: float, patience_s: float) -> Iterator[xr.Dataset]:
    """Yield blocks of `block` frames while the file grows."""
    return blocks(partial(look, path, scan, beamline, frames_per_chunk=block), block=block, poll_s=poll_s, patience_s=patience_s)


def _file(path: Path, scan: str, beamline: Beamline) -> Path:
    if path.is_dir():
        file = path / f"{scan}{ENDING}"
        if not scan or Path(scan).name != scan or not file.is_file():
            raise XcdiError(f"{path}: no scan {scan!r}{suggest(scan, list_scans(path, beamline) or ['no *' + ENDING])}")
        return file
    if scan != path.stem:
        raise XcdiError(f"{path.name} holds scan {path.stem!r}, not {scan!r}; name that, or the folder instead of the file")
    return path


def _open(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int, growing: bool) -> xr.Dataset:
    file = _file(path, scan, beamline)
    header = _header(file)
    sources = numbers_beside(file, scan)
    try:
        planned = expected(sources, beamline)
        stack = _stack(file, header, 0 if growing else planned or 0, growing)
        found = Found(stack, sources, planned, standard=_standard(header, file.name), home=file)
        return assemble(found, path, scan, beamline, frames_per_chunk=frames_per_chunk, growing=growing)
    finally:
        sources.file.close()


def _header(path: Path) -> tuple[float, ...]:
    """The numbers of the header; the last seven are bytes of a count, columns, rows, and which of them."""
    try:
        with path.open("rb") as file:
            raw = file.read(HEADER.size)
    except OSError as error:
        raise XcdiError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        raise XcdiError(f"{path.name}: no multifile; expected {HEADER.size} bytes that begin with {MAGIC.decode()!r}")
    _, *numbers = HEADER.unpack(raw)
    width, x, y, *part = numbers[8:]
    if width == 8:
        raise XcdiError(f"{path.name}: holds means of several frames; compress it again with bins = 1, photons are whole numbers")
    if width not in (2, 4) or not 0 < x * y <= LARGEST:
        raise XcdiError(f"{path.name}: counts of {width} bytes in frames of {y} x {x}; expected 2 or 4 bytes: its header is damaged")
    if part != [0, x, 0, y]:
        raise XcdiError(f"{path.name}: holds the part {part} of frames of {y} x {x}; expected whole frames")
    return tuple(numbers)


def _standard(header: tuple[float, ...], name: str) -> dict[str, tuple[Quantity, ...]]:
    """Numbers of the header that have one unit for all who write it; 0 is one that its writer did not know."""
    source = f"header of {name}"
    found: dict[str, tuple[Quantity, ...]] = {}
    found |= {key: (Quantity(value=header[k], units=unit, source=source),) for key, (k, unit) in STATED.items() if header[k] > 0}
    for key, size in (("pixel_size_x", header[6]), ("pixel_size_y", header[7])):
        if 0 < size < 1e-2:  # metres; 75 stands where nobody knew
            found[key] = (Quantity(value=size, units="m", source=source),)
    return found


def _stack(path: Path, header: tuple[float, ...], planned: int, growing: bool) -> Listed:
    width, x, y = (int(v) for v in header[8:11])
    at, events, cut = _index(path, width, x * y)
    if cut and growing:
        at, events = at[:-1], events[:-1]
    there = len(events)
    at, events = (np.concatenate([v, np.zeros(max(planned - there, 0), np.int64)]) for v in (at, events))
    whole = ~lost(events)
    whole[there:] = False
    if cut and not growing:
        whole[there - 1], events[there - 1] = False, 0
    return Listed(Frames(Multifile(path, at, events, width)), (len(events), y, x), np.dtype(f"u{width}"), whole)


def _index(path: Path, width: int, size: int) -> tuple[Array, Array, bool]:
    """Where each frame's pixels begin, how many these are, and whether the last frame is cut short."""
    at: list[int] = []
    events: list[int] = []
    end, here = path.stat().st_size, HEADER.size
    with path.open("rb", buffering=0) as file:
        while here < end:
            file.seek(here)
            raw = file.read(LENGTH.size)
            n = LENGTH.unpack(raw)[0] if len(raw) == LENGTH.size else 0
            if n > size:
                raise XcdiError(f"{path.name}: frame {len(at)} claims {n} pixels of {size}; the file is damaged from byte {here} on")
            at.append(here + LENGTH.size)
            events.append(n)
            here += LENGTH.size + n * (4 + width)
    return np.array(at, np.int64), np.array(events, np.int64), here > end
