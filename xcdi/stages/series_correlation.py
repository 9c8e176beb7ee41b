"""Stages in a row: one series of frames at a fixed angle in; its two-time correlation out, at once or as it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import xarray as xr
from pydantic import Field, model_validator

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.settings import Model
from xcdi.stages.blocks import frame_blocks
from xcdi.stages.correlation import TwoTime
from xcdi.stages.regions import box_region, peak_region, q_sectors, with_momentum

__all__ = ["Correlating", "correlate", "follow"]


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
    memory_gb: float | None = Field(default=None, gt=0, description="most it may take [GB]; not set: the machine's memory")

    @model_validator(mode="after")
    def _one_kind_of_region(self) -> Correlating:
        if self.box is not None and self.q_edges is not None:
            raise ValueError("box and q_edges both set; expected one of them")
        if self.azimuth_edges is not None and self.q_edges is None:
            raise ValueError("azimuth_edges cut rings, and q_edges is not set; set q_edges as well")
        for name in ("q_edges", "azimuth_edges"):
            edges = getattr(self, name)
            if edges is not None and (len(edges) < 2 or any(b <= a for a, b in pairwise(edges))):
                raise ValueError(f"{name} {edges}: expected two or more rising numbers")
        return self


class Fold(NamedTuple):
    """The correlation so far, and the latest block."""

    total: TwoTime
    block: xr.Dataset


def correlate(scan: xr.Dataset, how: Correlating, *, device: str = "cpu", workers: int = 1) -> xr.Dataset:
    """Correlate a whole scan, block by block, so that the frames need not fit in memory.

    Returns
    -------
    CORRELATION

    Raises
    ------
    XcdiError
        If there is no frame, no photon, or no memory for the result.
    """
    if scan.sizes["frame"] < 2:
        raise XcdiError(f"{scan.sizes['frame']} frame; a correlation in time needs at least 2")
    folds = deque(_folded(frame_blocks(_needed(scan), workers=workers), how, device), maxlen=1)
    return _result(folds[-1] if folds else None, provisional=False)


def follow(blocks: Iterable[xr.Dataset], how: Correlating, *, device: str = "cpu") -> Iterator[xr.Dataset]:
    """Yield the correlation after every block; the last equals that of :func:`correlate` bit for bit."""
    fold, found = None, None
    for fold in _folded((_needed(block) for block in blocks), how, device):
        found = _result(fold)
        yield found
    if found is None or found.attrs["provisional"]:
        yield _result(fold, provisional=False)


def _needed(scan: xr.Dataset) -> xr.Dataset:
    """The scan without images that only corrections read."""
    return scan[[name for name in ("counts", "valid", "frame_ok", "time", "monitor") if name in scan.variables]]


def _folded(blocks: Iterable[xr.Dataset], how: Correlating, device: str) -> Iterator[Fold]:
    """The correlation after each block, from the block on that completes the reference."""
    total: TwoTime | None = None
    waiting: list[xr.Dataset] = []
    for block in blocks:
        if total is not None:
            total = total.add(block)
            yield Fold(total, block)
            continue
        waiting.append(block)
        known = how.box is not None or how.q_edges is not None
        if known or sum(b.sizes["frame"] for b in waiting) >= how.reference_frames:
            total = _begun(waiting, how, device)
            yield Fold(total, block)
    if total is None and waiting:
        yield Fold(_begun(waiting, how, device), waiting[-1])


def _begun(blocks: list[xr.Dataset], how: Correlating, device: str) -> TwoTime:
    total = TwoTime(
        _region(blocks, how),
        normalisation=how.normalisation,
        smoothing_px=how.smoothing_px,
        crossover=how.crossover,
        device=device,
        memory_bytes=None if how.memory_gb is None else int(how.memory_gb * 1e9),
    )
    for block in blocks:
        total = total.add(block)
    return total


def _region(blocks: list[xr.Dataset], how: Correlating) -> Array:
    """The box that is set, the rings, or the box around the peak of the first frames."""
    if how.q_edges is not None:
        return q_sectors(blocks[0], how.q_edges, how.azimuth_edges)
    if how.box is not None:
        return box_region((blocks[0].sizes["y"], blocks[0].sizes["x"]), how.box)
    return peak_region(blocks, how.box_size, frames=how.reference_frames)


def _result(fold: Fold | None, **notes: bool) -> xr.Dataset:
    if fold is None:
        raise XcdiError("the scan holds no frame; nothing to correlate")
    return with_momentum(fold.total.result(), fold.block).assign_attrs(notes)
