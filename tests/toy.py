"""A pipeline for tests of the machine: sums frames, and misbehaves when its scan's name says so."""

import os
import time
from collections.abc import Iterable, Iterator

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.settings import Model


class Settings(Model):
    """What a toy needs."""

    factor: int = Field(1, description="multiplies the sum")
    pause_s: float = Field(0.0, ge=0, description="pretends to work")


def run(scan: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """The whole scan as one block."""
    *_, last = watch([scan], settings, device=device, workers=workers)
    return last


def watch(
    blocks: Iterable[xr.Dataset], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> Iterator[dict[str, xr.Dataset]]:
    """Yield the sums after every block."""
    total: np.ndarray | int = 0
    for block in blocks:
        if block.attrs["scan"] == "crash":
            os.abort()
        if block.attrs["scan"] == "hopeless":
            raise XcdiError("nothing can be made of this scan")
        time.sleep(settings.pause_s)
        total = total + settings.factor * block.counts.astype(np.int64).sum("frame").to_numpy()
        yield {"object": xr.Dataset({"residual": ("start", np.ravel(total).astype(float), {"units": "1"})})}


def summary(result: dict[str, xr.Dataset]) -> str:
    """The sum of all counts."""
    return f"sum {int(result['object'].residual.sum())}"
