"""Replay: a finished series written into its place frame by frame, as the detector's own file writer would."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the detector's compression)
import numpy as np

from xcdi.artificial.growing import Mirror
from xcdi.errors import XcdiError

__all__ = ["Pace", "put_in_place", "replay"]

SERIES = "_series"
MASTER = "_master"
Came = Callable[[int, int], None]  # frames that came, frames that will
Writer = Generator[int, None, None]


@dataclass(frozen=True)
class Pace:
    """When frames come, and what goes wrong with their writer.

    Attributes
    ----------
    rate_hz : float
        Frames per second.
    stalls : tuple of (int, float)
        Frames that come late, and by how many seconds; those behind them are late too.
    losses : tuple of (int, int)
        First frames of gaps, and how many frames are never written there.
    kill_after : int, optional
        Frames after which the writer is killed.
    """

    rate_hz: float
    stalls: tuple[tuple[int, float], ...] = ()
    losses: tuple[tuple[int, int], ...] = ()
    kill_after: int | None = None

    def due_s(self, frame: int) -> float:
        """Seconds from the start until `frame` comes.

        Examples
        --------
        >>> Pace(10, stalls=((2, 1.5),)).due_s(1), Pace(10, stalls=((2, 1.5),)).due_s(3)
        (0.2, 1.9)
        """
        return (frame + 1) / self.rate_hz + sum(seconds for first, seconds in self.stalls if first <= frame)

    def loses(self, frame: int) -> bool:
        """Whether `frame` is never written."""
        return any(first <= frame < first + count for first, count in self.losses)


def put_in_place(aside: Path, out: Path, keep: Callable[[Path], bool] = lambda path: True) -> None:
    """Move the files in `aside` that `keep` says yes to into `out`; a master comes after the files that it links."""
    for path in sorted(filter(keep, aside.iterdir()), key=lambda path: (path.stem.endswith(MASTER), path.name)):
        os.replace(path, out / path.name)


def replay(aside: Path, out: Path, pace: Pace, tell: Came = lambda came, planned: None) -> None:
    """Put all files in `aside` into `out`: at once, but the series frame by frame.

    Stacks grow; an Eiger's master comes first, and each data file as it is complete. Several
    series grow together. If it is stopped, what was written of the series is removed.

    Parameters
    ----------
    aside, out : Path
        Folder of the finished files, emptied; and where they go, on the same disk.
    pace : Pace
        When frames come, and what goes wrong.
    tell : function, optional
        Called after every frame with the number of frames that came and that will come.

    Raises
    ------
    XcdiError
        If there is no series.
    """
    series = sorted(path for path in aside.iterdir() if _is_series(path))
    if not series:
        raise XcdiError("this experiment has no series that could be written live; leave out --live")
    there = sorted(path.name for path in series if (out / path.name).exists())
    if there:
        raise XcdiError(f"{out} holds {there[0]} of an earlier experiment; live writing needs a folder without a series, choose another")
    heads = [path for path in series if path.stem.endswith(MASTER) or not any(p.stem.endswith(MASTER) for p in series)]
    with ExitStack() as cleaning:
        for path in series:
            cleaning.callback((out / path.name).unlink, missing_ok=True)
        with ExitStack() as stack:
            writers = [stack.enter_context(closing(_writer(head, out, pace))) for head in heads]
            planned = max(next(writer) for writer in writers)
            _check(pace, planned)
            put_in_place(aside, out, keep=lambda path: not _is_series(path))
            _pace(writers, planned, aside, pace, tell)
        cleaning.pop_all()  # it ended well: all stays


def _is_series(path: Path) -> bool:
    return SERIES in path.stem and path.suffix == ".h5"


def _pace(writers: list[Writer], planned: int, aside: Path, pace: Pace, tell: Came) -> None:
    """Let every writer write one frame after the other, each in its time."""
    begin = time.monotonic()
    for frame in range(planned):
        time.sleep(max(0.0, begin + pace.due_s(frame) - time.monotonic()))
        for writer in writers:
            next(writer, None)
        tell(frame + 1, planned)
        if pace.kill_after == frame + 1:
            shutil.rmtree(aside, ignore_errors=True)
            os.kill(os.getpid(), signal.SIGKILL)


def _check(pace: Pace, planned: int) -> None:
    """Raise XcdiError if something is to happen at a frame that never comes, or nothing is to come at all."""
    asked = [
        *(frame for frame, _ in pace.stalls),
        *(frame for frame, _ in pace.losses),
        *([] if pace.kill_after is None else [pace.kill_after - 1]),
    ]
    late = [frame for frame in asked if frame >= planned]
    if late:
        raise XcdiError(f"something is to happen at frame {late[0]}, and the series has frames 0 to {planned - 1}")
    if not all(np.isfinite(seconds) for _, seconds in pace.stalls):
        raise XcdiError("a stall takes a number of seconds, not infinity")


def _writer(head: Path, out: Path, pace: Pace) -> Writer:
    """Yield the number of frames planned before the first frame, and again after each."""
    return _eiger(head, out, pace) if head.stem.endswith(MASTER) else _stack(head, out, pace)


def _stack(source: Path, out: Path, pace: Pace) -> Writer:
    """Grow one file; lost frames leave no trace but a jump of the numbers."""
    with h5py.File(source) as file, Mirror(file, out / source.name) as mirror:
        source.unlink()  # what is open can still be read
        rows = {number: row for row, number in enumerate(mirror.numbers)}
        yield mirror.planned
        for frame in range(mirror.planned):
            if frame in rows and not pace.loses(frame):
                mirror.append(rows[frame])
            yield mirror.planned


def _eiger(master: Path, out: Path, pace: Pace) -> Writer:
    """Put the master into its place, and then every data file when its last frame has come."""
    with h5py.File(master) as file:
        links = file["entry/data"]
        names = [links.get(name, getlink=True).filename for name in sorted(links)]
        planned = int(file["entry/instrument/detector/detectorSpecific/nimages"][()])
    os.replace(master, out / master.name)
    yield planned
    due = 0
    for name in names:
        part = master.parent / f"{name}.part"
        with h5py.File(master.parent / name) as file, Mirror(file, part, grow=False) as mirror:
            first = int(file["entry/data/data"].attrs["image_nr_low"]) - 1
            for _ in range(due, first):  # lost between two files
                yield planned
            due = first + len(mirror.numbers)
            for frame in range(first, due):
                if not pace.loses(frame):
                    mirror.fill(frame - first)
                if frame + 1 < due:
                    yield planned
        os.replace(part, out / name)
        (master.parent / name).unlink()
        yield planned
