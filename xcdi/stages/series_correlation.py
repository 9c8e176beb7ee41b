"""Stages in a row: one series of frames at a fixed angle in; its two-time correlation out, at once or as it grows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import q_dependence
from xcdi.settings import Model
from xcdi.stages import fluctuations, tiles
from xcdi.stages.blocks import frame_blocks
from xcdi.stages.correlation import TwoTime
from xcdi.stages.multi_tau import MultiTau
from xcdi.stages.preview import preview
from xcdi.stages.regions import box_region, peak_region, q_sectors, with_momentum
from xcdi.stages.tiles import Series

__all__ = ["Correlating", "Fold", "beyond", "correlate", "folded", "follow", "look", "opened_by", "placed", "result", "series"]

EXACT, OF_LEVELS = ("N1", "N4", "N5"), ("N1", "N4")
LEAST_FRAMES = 16  # good frames, for a variance over time
FIRST = 512  # frames that tell bad pixels before a correlation on levels begins


class Correlating(Model):
    """Which pixels of a series are correlated, and how."""

    box: tuple[int, int, int, int] | None = Field(default=None, description="y0, y1, x0, x1 of the region [px]; not set: around the peak")
    box_size: int = Field(default=64, ge=2, description="size of the box that is put around the peak [px]")
    reference_frames: int = Field(default=16, ge=1, description="frames at the start whose sum finds the peak; live waits for them")
    q_edges: tuple[float, ...] | None = Field(default=None, description="edges of rings of |q|, instead of a box [1/nm]")
    azimuth_edges: tuple[float, ...] | None = Field(default=None, description="edges of the sectors that rings are cut into [deg]")
    normalisation: Literal["N1", "N2", "N3", "N4", "N5"] = Field(
        default="N5",
        description="N1 frame mean, N2 pixel time mean, N3 smooth envelope, N4 covariance, N5 envelope weighted by noise; "
        "live, N2, N3 and N5 are provisional until the last frame",
    )
    smoothing_px: float = Field(default=8.0, gt=0, description="width (sigma) of the smooth envelope; several speckles [px]")
    crossover: float = Field(default=2.0, gt=0, description="counts per pixel and frame where speckle takes over from shot noise (N5)")
    map: Literal["full", "tiles", "multi_tau"] = Field(
        default="full",
        description="full: the matrix in memory; tiles: exact sums of it in a file of tiles, for some 100 000 frames (N1, N4, N5); "
        "multi_tau: later delays in ever longer frames, for millions (N1, N4)",
    )
    tiles_folder: Path | None = Field(default=None, description="folder for the file of tiles, SCAN_tiles.h5, which can be resumed")
    channels: int = Field(default=16, ge=4, le=32, multiple_of=2, description="delays on each level of multi_tau")
    fluctuations: bool = Field(
        default=True, description="whether traces, their variance without noise, and speckle statistics are added, where counts are kept"
    )
    live_share: float = Field(
        default=0.25, gt=0, le=1, description="part of the time that live looks at the result may take; frames come first"
    )
    memory_gb: float | None = Field(default=None, gt=0, description="most it may take [GB]; not set: the machine's memory")

    @model_validator(mode="after")
    def _fits_together(self) -> Correlating:
        if self.box is not None and self.q_edges is not None:
            raise ValueError("box and q_edges both set; expected one of them")
        if (self.map == "tiles") != (self.tiles_folder is not None):
            raise ValueError("map = 'tiles' and tiles_folder go together; set both or neither")
        possible = {"full": ("N1", "N2", "N3", "N4", "N5"), "tiles": EXACT, "multi_tau": OF_LEVELS}[self.map]
        if self.normalisation not in possible:
            raise ValueError(f"normalisation {self.normalisation} has no map = {self.map!r}; expected one of {', '.join(possible)}")
        if self.azimuth_edges is not None and self.q_edges is None:
            raise ValueError("azimuth_edges cut rings, and q_edges is not set; set q_edges as well")
        for name in ("q_edges", "azimuth_edges"):
            edges = getattr(self, name)
            if edges is not None and (len(edges) < 2 or any(b <= a for a, b in pairwise(edges))):
                raise ValueError(f"{name} {edges}: expected two or more rising numbers")
        return self


class Fold(NamedTuple):
    """The correlation so far, and the latest block."""

    total: TwoTime | MultiTau
    block: xr.Dataset


def correlate(scan: xr.Dataset, how: Correlating, *, device: str = "cpu", workers: int = 1) -> xr.Dataset:
    """Correlate a whole scan, block by block, so that the frames need not fit in memory.

    Where the scan offers what is on disk of each frame (``stored``), photons are read from that, and dense
    frames only to find the peak.

    Returns
    -------
    CORRELATION

    Raises
    ------
    XcdiError
        If there is no frame, no photon, or no memory for the result.
    """
    _check_frames(scan)
    if how.map == "tiles":
        raise XcdiError("a correlation in tiles needs a file for them; see series, or xcdi run xpcs_two_time")
    if how.map == "multi_tau":
        _on_cpu(how, device)
        return _multi_tau(scan, how, workers)
    blocks = frame_blocks(_needed(scan), workers=workers)
    region = _region([scan], how) if "stored" in scan else None
    folds = deque(folded(blocks, how, device, workers, region=region), maxlen=1)
    return result(folds[-1] if folds else None, provisional=False)


def beyond(correlation: xr.Dataset, how: Correlating) -> dict[str, xr.Dataset]:
    """What else the counts tell, for a result: fluctuations of the correlation, and statistics of the speckles.

    Nothing where that is not wanted, the counts were not kept, or there are fewer frames than a variance over time needs.
    """
    if not how.fluctuations or not {"two_time", "counts"} <= set(correlation.variables) or int(correlation.frame_ok.sum()) < LEAST_FRAMES:
        return {}
    return {
        "fluctuations": fluctuations.fluctuations(correlation, crossover=how.crossover),
        "speckles": fluctuations.speckle_statistics(correlation),
    }


def follow(blocks: Iterable[xr.Dataset], how: Correlating, *, device: str = "cpu", workers: int = 1) -> Iterator[xr.Dataset]:
    """Yield the correlation as blocks come in; the last of a full one equals that of :func:`correlate` bit for bit.

    Frames come first: a look takes no more than `live_share` of the time, and is a coarse one of a long series. On levels
    frames cannot be read again: what is found late to be bad stays in, and the result says so and is provisional.
    """
    if how.map == "tiles":
        raise XcdiError("a correlation in tiles takes whole scans; follow this one with map = 'full' or 'multi_tau'")
    fold, looked, begin, spent = None, None, time.monotonic(), 0.0
    if how.map == "full":
        folds = folded(blocks, how, device, workers, growing=device == "cpu")
    else:
        _on_cpu(how, device)
        folds = _levels_folded(blocks, how, workers)
    for fold in folds:
        started = time.monotonic()
        if looked is not None and spent > how.live_share * (started - begin):
            continue
        try:
            found = look(fold)
        except XcdiError:  # nothing to see yet, as with the shutter closed; what is wrong to the end is said then
            continue
        looked = fold
        spent += time.monotonic() - started
        yield found
    if fold is None:
        return
    if looked is not fold or (found.attrs["provisional"] and how.map == "full"):
        yield result(fold, **({"provisional": False} if how.map == "full" else {}))


def series(scan: xr.Dataset, how: Correlating, *, device: str = "cpu", workers: int = 1) -> Series:
    """Photons of a whole scan, for a correlation in tiles; no block of frames is kept.

    Raises
    ------
    XcdiError
        If there is no frame or no photon, or `device` is no CPU.
    """
    _check_frames(scan)
    _on_cpu(how, device)
    rules = _rules(_region([scan], how), how, device="cpu", workers=workers, growing=False)
    return tiles.gathered(frame_blocks(_needed(scan), workers=workers), rules)


def _multi_tau(scan: xr.Dataset, how: Correlating, workers: int) -> xr.Dataset:
    """The correlation on levels; again where bad pixels or frames were found only after they had been counted."""
    scan = scan.assign_attrs(frames_expected=scan.sizes["frame"])
    start = _empty_levels(_region([scan], how), how, workers)
    total = _levels(scan, start)
    first, judged = total, total.judge()
    if total.found_late():
        total = _levels(scan, replace(start, judged=judged))
    return placed(total.result(), scan).assign_attrs(provisional=False, passes=1 if total is first else 2)


def _empty_levels(region: Array, how: Correlating, workers: int) -> MultiTau:
    memory = _memory(how)
    return MultiTau(region, normalisation=how.normalisation, channels=how.channels, workers=workers, memory_bytes=memory)


def _memory(how: Correlating) -> int | None:
    """Most that it may take, in bytes; None: what the machine has."""
    return None if how.memory_gb is None else int(how.memory_gb * 1e9)


def _levels(scan: xr.Dataset, total: MultiTau) -> MultiTau:
    for block in opened_by(frame_blocks(_needed(scan), workers=total.workers), FIRST):
        total = total.add(block)
    return total


def opened_by(blocks: Iterable[xr.Dataset], first: int) -> Iterator[xr.Dataset]:
    """The same frames, their first block of `first` frames whatever the blocks are, so that what is judged by it does not depend on them.

    Examples
    --------
    >>> one = xr.Dataset({"time": ("frame", [0.0, 1.0])})
    >>> [b.sizes["frame"] for b in opened_by([one, one, one], 3)]
    [3, 1, 2]
    """
    waiting: list[xr.Dataset] = []
    blocks = iter(blocks)
    for block in blocks:
        waiting.append(block)
        if sum(b.sizes["frame"] for b in waiting) >= first:
            break
    if not waiting:
        return
    joined = waiting[0] if len(waiting) == 1 else xr.concat(waiting, "frame", data_vars="minimal", coords="minimal", compat="override")
    joined = joined.assign_attrs(waiting[-1].attrs)
    yield joined.isel(frame=slice(0, first))
    if joined.sizes["frame"] > first:
        yield joined.isel(frame=slice(first, None))
    yield from blocks


def _on_cpu(how: Correlating, device: str) -> None:
    if device != "cpu":
        raise XcdiError(f"map = {how.map!r} is computed on the CPU; pass device='cpu', or map = 'full'")


def _check_frames(scan: xr.Dataset) -> None:
    if scan.sizes["frame"] < 2:
        raise XcdiError(f"{scan.sizes['frame']} frame; a correlation in time needs at least 2")


def _needed(scan: xr.Dataset) -> xr.Dataset:
    """The scan without images that only corrections read, and without dense frames where photons can be read."""
    names = ("stored" if "stored" in scan else "counts", "valid", "frame_ok", "time", "monitor")
    return scan[[name for name in names if name in scan.variables]]


def folded(
    blocks: Iterable[xr.Dataset], how: Correlating, device: str, workers: int, *, region: Array | None = None, growing: bool = False
) -> Iterator[Fold]:
    """The correlation after each block, from the block on that completes the reference."""
    total: TwoTime | None = None
    waiting: list[xr.Dataset] = []
    start = partial(_begun, how=how, device=device, workers=workers, region=region, growing=growing)
    known = region is not None or how.box is not None or how.q_edges is not None
    for block in blocks:
        if total is not None:
            total = total.add(_needed(block))
            yield Fold(total, block)
            continue
        waiting.append(block)
        if known or sum(b.sizes["frame"] for b in waiting) >= how.reference_frames:
            total = start(waiting)
            yield Fold(total, block)
    if total is None and waiting:
        yield Fold(start(waiting), waiting[-1])


def _levels_folded(blocks: Iterable[xr.Dataset], how: Correlating, workers: int) -> Iterator[Fold]:
    """The correlation on levels after each block; bad pixels are those of the first frames."""
    total: MultiTau | None = None
    for block in opened_by(blocks, FIRST):
        if total is None:
            total = _empty_levels(_region([block], how), how, workers)
        total = total.add(_needed(block))
        yield Fold(total, block)


def _begun(blocks: list[xr.Dataset], how: Correlating, region: Array | None, **options: Any) -> TwoTime:
    total = _rules(_region(blocks, how) if region is None else region, how, **options)
    for block in blocks:
        total = total.add(_needed(block))
    return total


def _rules(region: Array, how: Correlating, **options: Any) -> TwoTime:
    """The correlation without a frame yet."""
    return TwoTime(
        region,
        normalisation=how.normalisation,
        smoothing_px=how.smoothing_px,
        crossover=how.crossover,
        reference_frames=how.reference_frames,
        memory_bytes=_memory(how),
        **options,
    )


def _region(blocks: list[xr.Dataset], how: Correlating) -> Array:
    """The box that is set, the rings, or the box around the peak of the first frames."""
    if how.q_edges is not None:
        return q_sectors(blocks[0], how.q_edges, how.azimuth_edges)
    if how.box is not None:
        return box_region((blocks[0].sizes["y"], blocks[0].sizes["x"]), how.box)
    return peak_region(blocks, how.box_size, frames=how.reference_frames)


def placed(found: xr.Dataset, scan: xr.Dataset) -> xr.Dataset:
    """The correlation with q of its regions, and how their relaxation rates go with it: ``rate = D q**n``.

    Attributes `q_exponent` n and `q_exponent_error` are there where three regions or more have a rate and a q.
    """
    found = with_momentum(found, scan)
    if "q" not in found or found.sizes["region"] < 3:
        return found
    known = np.isfinite(found.rate_error.to_numpy()) & (found.rate_error.to_numpy() > 0)
    if known.sum() < 3:
        return found
    law = q_dependence.power_law(*(found[name].to_numpy()[known] for name in ("q", "rate", "rate_error")))
    return found.assign_attrs(q_exponent=law.exponent, q_exponent_error=law.errors[1])


def look(fold: Fold) -> xr.Dataset:
    """The correlation of a growing series so far; its map made of frames added up where there are many."""
    return placed(preview(fold.total) if isinstance(fold.total, TwoTime) else fold.total.result(), fold.block)


def result(fold: Fold | None, **notes: bool) -> xr.Dataset:
    """The correlation of all frames that were folded; refuses a scan without any."""
    if fold is None:
        raise XcdiError("the scan holds no frame; nothing to correlate")
    return placed(fold.total.result(), fold.block).assign_attrs(notes)
