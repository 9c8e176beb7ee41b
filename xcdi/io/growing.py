"""Scans that are still being written: look again and again, and hand on every frame once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError

__all__ = ["blocks", "finished"]

Look = Callable[[], xr.Dataset]


def finished(scan: xr.Dataset) -> bool:
    """Whether all frames that were planned are on disk; False where nobody said how many."""
    planned = scan.attrs.get("frames_expected")
    return planned is not None and scan.sizes["frame"] >= planned and bool(scan.frame_ok.all())


def blocks(look: Look, *, block: int, poll_s: float, patience_s: float) -> Iterator[xr.Dataset]:
    """Yield consecutive blocks of `block` frames of what `look` finds; the last may be shorter.

    Parameters
    ----------
    look : function
        Returns the scan as far as it is on disk, or raises XcdiError while there is none.
    block : int
        Frames in a block.
    poll_s, patience_s : float
        Time between two looks, and silence after which the scan is taken to be over [s].

    Raises
    ------
    XcdiError
        If nothing at all came within `patience_s`; says what the last look found wrong.
    """
    done, seen, news = 0, (0, 0), time.monotonic()
    while True:
        scan, trouble = _try(look)
        late = time.monotonic() - news > patience_s
        if scan is not None:
            ok = scan.frame_ok.to_numpy()
            if (len(ok), int(ok.sum())) != seen:
                seen, news, late = (len(ok), int(ok.sum())), time.monotonic(), False
            over = finished(scan)
            for stop in _stops(ok, done, block, whole=late or over):
                yield scan.isel(frame=slice(done, stop))
                done, news = stop, time.monotonic()
            if over and done >= len(ok):
                return
        if late:
            if not done:
                raise XcdiError(f"nothing came for {patience_s:g} s: {trouble or 'no frame is complete'}")
            return
        time.sleep(poll_s)


def _try(look: Look) -> tuple[xr.Dataset | None, XcdiError | None]:
    """The scan, or why there is none yet."""
    try:
        return look(), None
    except XcdiError as error:
        return None, error


def _stops(ok: Array, done: int, block: int, *, whole: bool) -> Iterator[int]:
    """Where the blocks end that can be handed on now.

    A hole is waited for until `block` later frames are there: files may land out of order.
    """
    ready = len(ok)
    holes = done + np.flatnonzero(~ok[done:])
    if not whole and holes.size and len(ok) - holes[0] <= block:
        ready = int(holes[0])
    while ready - done >= block:
        done += block
        yield done
    if whole and ready > done:
        yield ready
