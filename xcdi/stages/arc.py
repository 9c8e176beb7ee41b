"""Stage: how far the arc of a rocking scan strays from even steps of q, and the peak brought to even steps."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.kernels import diffractometer, regridding
from xcdi.schema import PEAK, require
from xcdi.stages import instrument

__all__ = ["Judged", "judge", "sagitta", "straightened"]

DIMS = ("frame", "y", "x")
WORTH, TOO_DEEP = 0.1, 0.4  # fringes: a quarter of a voxel and a whole one where a fringe has two and a half


class Judged(NamedTuple):
    """Voxels along frame, y, x (NaN where unknown), their unit, a verdict, and what it means."""

    figure: tuple[float, ...]
    unit: str
    verdict: str
    sentence: str


def sagitta(peak: xr.Dataset) -> Array | None:
    """Largest distance of the true q from that of even steps, where there is light.

    Parameters
    ----------
    peak : PEAK
        With the attributes and the motors of its scan.

    Returns
    -------
    array, shape (3,), or None
        Voxels along frame, y, x; None where no geometry is known.
    """
    require(peak, "counts", "valid", schema=PEAK)
    if "geometry" not in peak.attrs:
        return None
    counts = np.where(peak.valid, np.nan_to_num(peak.counts.to_numpy()), 0)
    return regridding.arc_sagitta(_grid(peak), counts.shape, counts)


def straightened(peak: xr.Dataset, beyond: float) -> xr.Dataset:
    """Bring the intensities to even steps of q if the arc of the scan is deeper than `beyond` voxels.

    Parameters
    ----------
    peak : PEAK
        With the attributes and the motors of its scan.
    beyond : float
        [voxels], along any of frame, y, x.

    Returns
    -------
    PEAK
        As it was, or with other `counts` and `valid`; the attribute regridded then says what that does to the noise.
    """
    depth = sagitta(peak)
    if depth is None or depth.max() <= beyond:
        return peak
    valid = peak.valid.to_numpy() & np.isfinite(peak.counts.to_numpy())
    counts, valid = regridding.regrid(peak.counts.to_numpy(), valid, _grid(peak))
    said = (
        f"counts interpolated on even steps of q, from which the scan strayed by up to {depth.max():.2f} voxels; "
        "neighbours share their noise, whose variance is 0.6 to 1 of the counts"
    )
    return peak.assign(counts=(DIMS, counts, peak.counts.attrs), valid=(DIMS, valid, peak.valid.attrs)).assign_attrs(regridded=said)


def judge(peak: xr.Dataset, per_fringe: Array) -> Judged:
    """Say whether the arc is deep enough to harm fringes of so many voxels along frame, y, x, and what to do about it."""
    depth = sagitta(peak)
    if depth is None:
        return Judged((float("nan"),), "voxels", "ok", "no geometry is known; the steps of q are taken as even")
    figure, deepest = tuple(depth.round(3).tolist()), float(np.max(depth / per_fringe))
    if "regridded" in peak.attrs:
        return Judged(figure, "voxels", "ok", "the intensities were brought to even steps of q")
    if deepest <= WORTH:
        return Judged(figure, "voxels", "ok", "even steps of q are as good as the true ones")
    said = "the outer fringes are not where even steps of q have them; take a shorter scan, or set regrid_beyond"
    return Judged(figure, "voxels", "warning" if deepest > TOO_DEEP else "notice", said)


def _grid(peak: xr.Dataset) -> regridding.Grid:
    """How the frames of the box lie in reciprocal space, the even steps taken at its middle."""
    box = json.loads(peak.attrs.get("box", "{}"))
    frame, row, column = (n // 2 for n in peak.counts.shape)
    first = (box["y"][0], box["x"][0]) if box else (0, 0)
    camera = diffractometer.crop(instrument.camera(peak, frame), first)
    return regridding.Grid(camera, instrument.rocking(peak, frame), (frame, row, column), instrument.wavelength(peak, frame))
