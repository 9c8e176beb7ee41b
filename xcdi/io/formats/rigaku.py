"""Rigaku sparse: 64 bits for each photon event, in one file (500k) or in six, one for each module (3M)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Beamline
from xcdi.errors import XcdiError, suggest
from xcdi.io.assemble import Found, assemble
from xcdi.io.growing import blocks
from xcdi.io.listed import Listed, expected, lost, numbers_beside
from xcdi.kernels.decoding_lists import Census, census, split

__all__ = ["follow", "list_scans", "look", "open_scan"]

ONE, FIRST = ".bin", ".bin.000"
MODULE = (512, 1024)  # rows, columns
ORDER = (5, 0, 4, 1, 3, 2)  # endings of the files of the modules in raster order: three rows of two
GAP = (70, 52)  # rows, columns between modules
SHIFT = 1 << 20  # what some modules add to the numbers of all their pixels
AT_ONCE = 1 << 22  # events
SETTLED_S = 2.0  # a file that has not grown for so long holds its last frame in whole


@dataclass(frozen=True)
class Module:
    """One file: where its frames start, and where its pixels are in the frame."""

    path: Path
    start: Array  # events before each frame, and all
    shift: int
    corner: tuple[int, int]


@dataclass(frozen=True)
class Modules:
    """All files of one scan."""

    files: tuple[Module, ...]
    columns: int

    def events(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Start of each frame (and the end), pixel in raster order, count; module by module within a frame."""
        parts = [_module_events(file, start, stop, self.columns) for file in self.files]
        if len(parts) == 1:
            return parts[0]
        frame = np.concatenate([np.repeat(np.arange(stop - start), np.diff(first)) for first, _, _ in parts])
        order = np.argsort(frame, kind="stable")
        pixel, count = (np.concatenate([part[k] for part in parts])[order] for k in (1, 2))
        return np.sum([first for first, _, _ in parts], axis=0), pixel, count


def list_scans(path: Path, beamline: Beamline) -> list[str]:
    """Names of the scans: files at `path`, a file or a folder, without their ending."""
    if path.is_dir():
        return sorted({_name(file) for file in path.iterdir() if file.name.endswith((ONE, FIRST))})
    return [_name(path)]


def open_scan(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50) -> xr.Dataset:
    """Open one scan; its frames stay on disk.

    Raises
    ------
    XcdiError
        If there is no such scan, a module's file is missing, or frames do not rise.
    """
    return _open(path, scan, beamline, frames_per_chunk=frames_per_chunk, settled_s=None)


def look(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int = 50, settled_s: float = SETTLED_S) -> xr.Dataset:
    """What is on disk already of a scan that is being measured; its last frame once the file has not grown for `settled_s`."""
    return _open(path, scan, beamline, frames_per_chunk=frames_per_chunk, settled_s=settled_s)


def follow(path: Path, scan: str, beamline: Beamline, *, block: int, poll_s: float, patience_s: float) -> Iterator[xr.Dataset]:
    """Yield blocks of `block` frames while the files grow."""
    settled = min(SETTLED_S, patience_s / 2)
    seen = partial(look, path, scan, beamline, frames_per_chunk=block, settled_s=settled)
    return blocks(seen, block=block, poll_s=poll_s, patience_s=patience_s)


def _name(path: Path) -> str:
    return path.name.split(ONE)[0] if ONE in path.name else path.stem


def _files(path: Path, scan: str, beamline: Beamline) -> list[Path]:
    """The file of the scan, or those of its six modules in raster order."""
    if not path.is_dir() and scan != _name(path):
        raise XcdiError(f"{path.name} holds scan {_name(path)!r}, not {scan!r}; name that, or the folder instead of the file")
    folder = path if path.is_dir() else path.parent
    if not scan or Path(scan).name != scan:
        raise XcdiError(f"{folder}: no scan {scan!r}{suggest(scan, list_scans(folder, beamline) or ['no *' + ONE])}")
    if (folder / f"{scan}{ONE}").is_file():
        return [folder / f"{scan}{ONE}"]
    modules = [folder / f"{scan}{ONE}.00{k}" for k in ORDER]
    missing = sorted(file.name for file in modules if not file.is_file())
    if len(missing) == len(modules):
        raise XcdiError(f"{folder}: no scan {scan!r}{suggest(scan, list_scans(folder, beamline) or ['no *' + ONE])}")
    if missing:
        raise XcdiError(
            f"{folder}: {len(missing)} of 6 modules of scan {scan!r} are missing: {', '.join(missing)}; copy them beside the others"
        )
    return modules


def _open(path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int, settled_s: float | None) -> xr.Dataset:
    files = _files(path, scan, beamline)
    sources = numbers_beside(files[0], scan)
    try:
        planned = expected(sources, beamline)
        stack, gaps = _stack(files, planned, settled_s)
        found = Found(stack, sources, planned, masks=(("gaps between modules", gaps),), home=files[0])
        return assemble(found, path, scan, beamline, frames_per_chunk=frames_per_chunk, growing=settled_s is not None)
    finally:
        sources.file.close()


def _stack(files: list[Path], planned: int | None, settled_s: float | None) -> tuple[Listed, Array]:
    """All frames, and True between the modules."""
    growing = settled_s is not None
    counted = [_census(file) for file in files]
    n = max(found.events.size for found in counted)
    if growing:
        n -= n > 0 and time.time() - max(file.stat().st_mtime for file in files) < (settled_s or 0.0)
    else:
        n = max(n, planned or 0)
    six = len(files) > 1
    shape = (3 * MODULE[0] + 2 * GAP[0], 2 * MODULE[1] + GAP[1]) if six else MODULE
    gaps, whole, modules = np.ones(shape, bool), np.ones(n, bool), []
    for k, (file, found) in enumerate(zip(files, counted, strict=True)):
        y, x = (k // 2 * (MODULE[0] + GAP[0]), k % 2 * (MODULE[1] + GAP[1]))
        gaps[y : y + MODULE[0], x : x + MODULE[1]] = False
        events = np.zeros(max(n, found.events.size), np.int64)
        events[: found.events.size] = found.events
        whole &= ~lost(events)[:n]
        if file.stat().st_size % 8 and found.events.size <= n:
            whole[found.events.size - 1 :] = False  # cut short within its last frame
        shift = SHIFT if found.lowest >= SHIFT and found.events.size else 0
        modules.append(Module(file, np.concatenate([[0], np.cumsum(events)]), shift, (y, x)))
    return Listed(Modules(tuple(modules), shape[1]), (n, *shape), np.dtype(np.uint16), whole), gaps


def _census(file: Path) -> Census:
    """Read the file once, for the events of each frame."""
    found = census(np.zeros(0, np.uint64))
    done = 0
    while True:
        words = _words(file, done, AT_ONCE)
        found = census(words, found if done else None)
        done += words.size
        if words.size < AT_ONCE:
            break
    if found.fall >= 0:
        raise XcdiError(f"{file.name}: frames do not rise at event {found.fall}; it is damaged, or two files were joined")
    return found


def _words(file: Path, first: int, n: int) -> Array:
    try:
        return np.fromfile(file, "<u8", count=n, offset=8 * first)
    except OSError as error:
        raise XcdiError(f"{file}: cannot be read ({error.strerror or error})") from None


def _module_events(file: Module, start: int, stop: int, columns: int) -> tuple[Array, Array, Array]:
    """Events of one module, its pixels where they are in the frame; beyond the module as -1."""
    first = file.start[start : stop + 1] - file.start[start]
    _, pixel, count = split(_words(file.path, int(file.start[start]), int(first[-1])))
    if pixel.size < first[-1]:
        raise XcdiError(f"{file.path.name}: was {int(file.start[-1])} events long and is shorter now")
    pixel -= np.int32(file.shift)
    row, column = np.divmod(pixel, MODULE[1])
    inside = (pixel >= 0) & (row < MODULE[0])
    raster = (row + file.corner[0]) * columns + column + file.corner[1]
    return first, np.where(inside, raster, -1).astype(np.int32), count
