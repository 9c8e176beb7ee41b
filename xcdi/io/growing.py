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
        Time between two looks, and silence after which the scan is taken to be over [s]. So long a missing
        frame is waited for too, since files may land out of order; then it is a gap.

    Raises
    ------
    XcdiError
        If nothing at all came within `patience_s`; says what the last look found wrong.
    """
    done, seen, news, hole = 0, (0, 0), time.monotonic(), (-1, 0.0)
    while True:
        scan, trouble = _try(look)
        now = time.monotonic()
        late = now - news > patience_s
        if scan is not None:
            ok = scan.frame_ok.to_numpy()
            if (len(ok), int(ok.sum())) != seen:
                seen, news, late = (len(ok), int(ok.sum())), now, False
            first = _first_hole(ok, done)
            hole = hole if hole[0] == first else (first, now)
            over = finished(scan)
            for stop in _stops(len(ok) if late or now - hole[1] > patience_s else first, done, block, whole=late or over):
                yield scan.isel(frame=slice(done, stop))
                done, news = stop, time.monotonic()
            if over and done >= len(ok):
                return
        if late:
            if not done:
                raise XcdiError(f"nothing came for {patience_s:g} s: {trouble or 'no frame is complete'}")
            return
        time.sleep(poll_s)


def _try(look: Look) -> tuple[xr.Dataset | None, str]:
    """The scan, or why there is none yet; HDF5 fails in many ways on a file that is being written."""
    try:
        return look(), ""
    except (XcdiError, OSError, RuntimeError, KeyError) as error:
        return None, str(error)


def _first_hole(ok: Array, done: int) -> int:
    """First frame from `done` on that is missing though later ones are there; all frames if none is."""
    holes = np.flatnonzero(~ok[done:])
    return done + int(holes[0]) if holes.size else len(ok)


def _stops(ready: int, done: int, block: int, *, whole: bool) -> Iterator[int]:
    """Where the blocks end that can be handed on now."""
    while ready - done >= block:
        done += block
        yield done
    if whole and ready > done:
        yield ready
