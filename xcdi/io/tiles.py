"""Tiles of a two-time correlation too large for memory: a journal that survives being killed, then one chunked file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np
import xarray as xr

from xcdi import __version__
from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.io.record import read_labelled, readable, write_labelled
from xcdi.io.results import _whole_or_absent, _why
from xcdi.io.tile_plan import Key, Plan, decoded, encoded
from xcdi.io.vetting import open_file
from xcdi.kernels.correlation import levels
from xcdi.kernels.correlation.levels import Levels

__all__ = ["Key", "Plan", "TileFile", "Tiles", "decoded", "encoded"]

MAGIC = b"xcditile"
RECORD = struct.Struct("<4sIIIQI")  # mark, region, row, column, bytes, checksum
MARK = b"tile"
HEAD_BYTES = 1 << 16  # that a head has at most
SPARE = 1 << 26  # bytes of disk left for everything else


@dataclass
class Tiles:
    """Tiles on their way to the file `path`; what was written before the process was killed is there again.

    While it is used as a context, tiles go to the end of a journal beside `path`,
    each with a checksum, so a tile counts once all its bytes are there, and a
    torn one at the end is dropped. :meth:`finish` copies the compressed tiles as
    they are into one HDF5 file, aside, and renames it; only then does the journal go.

    Attributes
    ----------
    path : Path
        The file to make.
    """

    path: Path
    _places: dict[Key, tuple[int, int]] = field(default_factory=dict)  # offset and length in the journal
    _plan: Plan | None = None
    _made: h5py.File | None = None  # the file itself, where it holds the same tiles already
    _handle: int = -1
    _end: int = 0

    @property
    def journal(self) -> Path:
        """Where the tiles are until all of them are there."""
        return self.path.with_name(f".{self.path.name}.tiles")

    def __enter__(self) -> Self:
        self.path = Path(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.journal, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise XcdiError(f"{self.path}: cannot be written ({_why(error, self.path)})") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(self._handle)
                raise XcdiError(f"{self.path}: another process writes its tiles; wait for it, or choose another file") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._made is not None:
            self._made.close()
        state = os.fstat(self._handle)
        if state.st_nlink and not self._places and state.st_size <= self._end:  # nothing but its head, which this process wrote
            self.journal.unlink(missing_ok=True)
        os.close(self._handle)

    def planned(self, **plan: Any) -> Plan:
        """Begin with the fields of a :class:`Plan`, which is returned; see :meth:`begin`."""
        self.begin(found := Plan(**plan))
        return found

    def packing(self) -> tuple[Callable[[Array], bytes], Callable[[bytes], Array]]:
        """How a tile becomes bytes and bytes a tile: functions that any thread or process may call."""
        assert self._plan is not None, "no plan yet"
        return partial(encoded, plan=self._plan), partial(decoded, plan=self._plan)

    def begin(self, plan: Plan) -> None:
        """Take up the tiles of the same plan that are already there, in the journal or in the file itself, or begin anew.

        Raises
        ------
        XcdiError
            If the file or the journal is of other photons, or the missing tiles and the file made of them do not fit on the disk.
        """
        head = MAGIC + json.dumps(plan._asdict()).encode()
        head = struct.pack("<I", len(head)) + head
        self._made = _of_plan(self.path, plan)
        _check_origin(self.journal, _journal_plan(self._handle), plan)
        self._plan, self._places, self._end = plan, {}, len(head)
        if os.pread(self._handle, len(head), 0) == head:
            self._places, self._end = self._found(len(head))
        try:
            os.ftruncate(self._handle, self._end if self._places else 0)
            if not self._places:
                self._write(head, 0)
        except OSError as error:
            raise XcdiError(f"{self.path}: cannot be written ({_why(error, self.path)})") from error
        there, bound = self._end - len(head), plan.disk_bytes
        need = bound + (0 if self._made else max(bound - there, 0)) + SPARE
        free = shutil.disk_usage(self.path.parent).free
        if need > free:
            raise XcdiError(
                f"{self.path}: the tiles of {plan.frames} frames take up to {need / 1e9:.3g} GB of disk, twice while the file is made, "
                f"and {free / 1e9:.3g} GB are free; take fewer frames, or another disk"
            )

    def __contains__(self, key: Key) -> bool:
        return key in self._places or self._made is not None

    def stored(self, key: Key) -> bytes:
        """Compressed bytes of a tile that is there."""
        if self._made is not None:
            return bytes(self._made["products"].id.read_direct_chunk(self._corner(key))[1])
        offset, length = self._places[key]
        return os.pread(self._handle, length, offset)

    def append(self, key: Key, raw: bytes) -> None:
        """Add one tile, of :func:`encoded`.

        Raises
        ------
        XcdiError
            If the disk is full.
        """
        head = RECORD.pack(MARK, *key, len(raw), zlib.crc32(raw))
        try:
            self._write(head + raw, self._end)
        except OSError as error:
            raise XcdiError(f"{self.path}: cannot be written ({_why(error, self.path)})") from error
        self._places[key] = self._end + len(head), len(raw)
        self._end += len(head) + len(raw)

    def finish(self, frames: xr.Dataset) -> None:
        """Make the file of all tiles and of what is known of the frames; the journal goes.

        Parameters
        ----------
        frames : Dataset
            ``time``, ``level``, ``diagonal`` and ``peak`` (region, time), ``norm`` and ``gain`` (region), and what else is worth keeping.

        Raises
        ------
        XcdiError
            If the file cannot be written.
        """
        assert self._plan is not None
        plan = self._plan
        with _whole_or_absent(self.path) as aside, h5py.File(aside, "w", libver=("earliest", "v110")) as file:
            file.attrs.update(creator="xcdi", creator_version=__version__)
            data = file.create_dataset(
                "products",
                (plan.regions, plan.frames, plan.frames),
                plan.dtype,
                chunks=(1, plan.tile, plan.tile),
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            data.attrs.update(units="1", triangle="upper", tile=plan.tile, plan=json.dumps(plan._asdict()))
            for key in plan.keys:
                data.id.write_direct_chunk(self._corner(key), self.stored(key))
            write_labelled(file, "frames", frames, lambda name, dims: (f"/frames/{name}", dims))
            file["frames"].attrs.update(readable(frames.attrs))
        self.journal.unlink(missing_ok=True)

    def _corner(self, key: Key) -> tuple[int, int, int]:
        assert self._plan is not None, "no plan yet"
        return key.region, key.row * self._plan.tile, key.column * self._plan.tile

    def _write(self, raw: bytes, offset: int) -> None:
        view = memoryview(raw)
        while view:
            done = os.pwrite(self._handle, view, offset)
            view, offset = view[done:], offset + done

    def _found(self, offset: int) -> tuple[dict[Key, tuple[int, int]], int]:
        """Whole tiles in the journal, and the end of the last of them."""
        found = {}
        while len(head := os.pread(self._handle, RECORD.size, offset)) == RECORD.size:
            mark, *key, length, check = RECORD.unpack(head)
            raw = os.pread(self._handle, length, offset + RECORD.size) if mark == MARK else b""
            if mark != MARK or len(raw) != length or zlib.crc32(raw) != check:
                break
            found[Key(*key)] = offset + RECORD.size, length
            offset += RECORD.size + length
        return found, offset


def _of_plan(path: Path, plan: Plan) -> h5py.File | None:
    """The finished file, open, if it holds the tiles of this plan; none if there is none, or its tiles are of another size."""
    if not path.exists():
        return None
    file = open_file(path)
    try:
        there = json.loads(file["products"].attrs["plan"])
    except (KeyError, TypeError, json.JSONDecodeError):
        file.close()
        raise XcdiError(f"{path}: is there and holds no tiles; remove it or choose another tiles_folder") from None
    if there == plan._asdict():
        return file
    file.close()
    _check_origin(path, there, plan)
    return None


def _journal_plan(handle: int) -> dict[str, Any] | None:
    """What the tiles of a journal are of; nothing of one without a whole head."""
    (length,) = struct.unpack("<I", os.pread(handle, 4, 0).ljust(4, b"\0"))
    head = os.pread(handle, length, 4) if len(MAGIC) < length < HEAD_BYTES else b""
    return json.loads(head[len(MAGIC) :]) if len(head) == length and head.startswith(MAGIC) else None


def _check_origin(path: Path, there: dict[str, Any] | None, plan: Plan) -> None:
    """Refuse to replace tiles that took hours and are of something else; those of another size are made anew."""
    if there is not None and there["origin"] != plan.origin:
        raise XcdiError(
            f"{path}: holds the tiles of another series or of other pixels ({there['frames']} frames, {there['regions']} regions); "
            "remove it or choose another tiles_folder"
        )


class TileFile:
    """A finished file of tiles, open for reading; windows of the correlation are read when asked for.

    Parameters
    ----------
    path : path
        What :meth:`Tiles.finish` made.

    Raises
    ------
    XcdiError
        If it is absent, or holds no tiles.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = open_file(path)
        if "products" not in self._file or "plan" not in self._file["products"].attrs:
            self._file.close()
            raise XcdiError(f"{path}: holds no tiles of a two-time correlation")
        self.plan = Plan(**json.loads(self._file["products"].attrs["plan"]))
        self.frames = read_labelled(self._file, "frames")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def levels(self, region: int = 0, *, relative: bool | None = None) -> Levels:
        """What turns the products of one region into its correlation.

        Parameters
        ----------
        region : int
        relative : bool, optional
            Of tiles by mean or by covariance, which are the same: the covariance (N4), or the mean (N1); by default as they were made.
        """
        f = self.frames.isel(region=region)
        form = self.frames.attrs["normalisation"]
        wanted = form if relative is None else ("N4" if relative else "N1")
        names = ("level", "diagonal", "peak", "norm", "gain")
        end = "" if wanted == form else f"_{wanted}"
        if f"gain{end}" not in f:
            raise XcdiError(f"{self._file.filename}: holds tiles normalised by {form}; compute them anew for {wanted}")
        level, diagonal, peak, norm, gain = (f[name + end if name in ("diagonal", "gain") else name].to_numpy() for name in names)
        return Levels(level, diagonal, peak, float(norm), float(gain))

    def products(self, start: int, stop: int, start2: int, stop2: int, *, region: int = 0) -> Array:
        """Exact sums of products of the frames `start` to `stop` with `start2` to `stop2`, both sides of the diagonal."""
        data, t = self._file["products"], self.plan.tile
        out = np.empty((stop - start, stop2 - start2), self.plan.dtype)
        for a, b in _cuts(start, stop, t):
            for c, d in _cuts(start2, stop2, t):
                upper = a // t <= c // t
                block = data[region, a:b, c:d] if upper else data[region, c:d, a:b].T
                out[a - start : b - start, c - start2 : d - start2] = block
        return out

    def window(
        self, start: int, stop: int, start2: int | None = None, stop2: int | None = None, *, region: int = 0, relative: bool | None = None
    ) -> xr.DataArray:
        """Two-time correlation of the frames `start` to `stop` with `start2` to `stop2`; reads the tiles it needs, and no others.

        Parameters
        ----------
        start, stop : int
        start2, stop2 : int, optional
            By default the same frames.
        region : int
        relative : bool, optional
            As for :meth:`levels`.

        Returns
        -------
        DataArray, dims (time, time2)
            As the whole matrix has it, whichever side of the diagonal.

        Raises
        ------
        XcdiError
            If the window leaves the matrix.
        """
        start2, stop2 = start if start2 is None else start2, stop if stop2 is None else stop2
        n = self.plan.frames
        if not (0 <= start < stop <= n and 0 <= start2 < stop2 <= n):
            raise XcdiError(f"a window of frames {start}:{stop} by {start2}:{stop2} leaves the {n} frames of {self._file.filename}")
        found = self.products(start, stop, start2, stop2, region=region)
        c = levels.correlation(found, self.levels(region, relative=relative), slice(start, stop), slice(start2, stop2))
        time = self.frames.time.to_numpy()
        axes: dict[str, Any] = {"time": ("time", time[start:stop], {"units": "s"}), "time2": ("time2", time[start2:stop2], {"units": "s"})}
        return xr.DataArray(c, axes, ("time", "time2"), "two_time", {"units": "1"})

    def tiles(self, region: int = 0) -> Iterator[tuple[int, int, Array]]:
        """Yield first frame, first later frame and products of every tile of a region, one in memory at a time."""
        data, t, n = self._file["products"], self.plan.tile, self.plan.frames
        for _, i, j in (key for key in self.plan.keys if key.region == region):
            yield i * t, j * t, data[region, i * t : min((i + 1) * t, n), j * t : min((j + 1) * t, n)]


def _cuts(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Parts of ``start:stop`` that lie in one tile each."""
    while start < stop:
        end = min((start // step + 1) * step, stop)
        yield start, end
        start = end
