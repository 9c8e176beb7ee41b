"""Stage: which pixels are correlated together, a box around a Bragg peak or rings of q, and where they are in q."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import geometry
from xcdi.kernels.regions import box_around
from xcdi.stages import instrument
from xcdi.stages.geometry import q_regions

__all__ = ["box_region", "labelled", "peak_region", "q_sectors", "with_momentum"]

PLACED = ("geometry", "energy_kev", "distance_m", "pixel_size_m", "centre_px")  # attributes that give a pixel its q


def box_region(shape: tuple[int, int], box: Sequence[int]) -> Array:
    """Bool (y, x) of the pixels in the box (y0, y1, x0, x1).

    Raises
    ------
    XcdiError
        If the box leaves the detector.

    Examples
    --------
    >>> box_region((2, 3), (0, 2, 1, 2)).sum()
    np.int64(2)
    """
    y0, y1, x0, x1 = box
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise XcdiError(f"box {y0, y1, x0, x1} leaves the detector of {shape[0]} x {shape[1]} pixels; expected y0, y1, x0, x1 within it")
    region = np.zeros(shape, bool)
    region[y0:y1, x0:x1] = True
    return region


def peak_region(blocks: Iterable[xr.Dataset], size: int, *, frames: int) -> Array:
    """Bool (y, x) of a box of `size` pixels around the brightest place in the sum of the first `frames` frames.

    The answer is the same for any blocks that these frames come in.

    Raises
    ------
    XcdiError
        If none of these frames holds a photon.
    """
    total, valid, left = None, None, frames
    for block in blocks:
        counts = block.counts.isel(frame=slice(0, left)).to_numpy()
        absent = ~(counts >= 0) | (counts == block.attrs.get("sentinel", -1)) | (counts > block.attrs.get("saturation", np.inf))
        part = np.where(absent, 0, counts).sum(axis=0, dtype=float)
        total, valid = (part, block.valid.to_numpy()) if total is None else (total + part, valid)
        left -= len(counts)
        if left <= 0:
            break
    if total is None or not np.any(total[valid] > 0):
        raise XcdiError(f"the first {frames} frames hold no photon, so there is no peak to find; set box, or more reference_frames")
    return box_region(total.shape, box_around(geometry.find_peak(total, valid), size, total.shape))


def q_sectors(scan: xr.Dataset, q_edges: Sequence[float], azimuth_edges: Sequence[float] | None = None) -> Array:
    """Labels (y, x) of rings of |q|, each cut into sectors of azimuth; 0 is outside.

    Parameters
    ----------
    scan : SCAN
        With the attributes that give its pixels a place; no counts are read.
    q_edges : rising numbers
        [1/nm].
    azimuth_edges : rising numbers, optional
        [deg], 0 along x and 90 up. Sectors of one ring are numbered first.

    Raises
    ------
    XcdiError
        If a sector has no valid pixel, or the scan has no geometry.
    """
    found = q_regions(scan, q_edges)
    label = found.label.to_numpy().astype(int)
    if azimuth_edges is None:
        return label
    turned = (found.azimuth.to_numpy() - azimuth_edges[0]) % 360 + azimuth_edges[0]
    sector = np.digitize(turned, azimuth_edges)
    count = len(azimuth_edges) - 1
    label = np.where((label > 0) & (sector > 0) & (sector <= count), (label - 1) * count + sector, 0)
    for k in range(1, (len(q_edges) - 1) * count + 1):
        if not np.any(label == k):
            ring, part = divmod(k - 1, count)
            raise XcdiError(
                f"no valid pixel at {q_edges[ring]:g} to {q_edges[ring + 1]:g} 1/nm and azimuth {azimuth_edges[part]:g} to "
                f"{azimuth_edges[part + 1]:g} deg; choose edges that the detector sees"
            )
    return label


def with_momentum(correlation: xr.Dataset, scan: xr.Dataset) -> xr.Dataset:
    """Return the correlation with the mean |q| of each region, where the scan says where its pixels are.

    Parameters
    ----------
    correlation : CORRELATION
    scan : SCAN
        Any block of the same scan.

    Returns
    -------
    CORRELATION
        With `q` (region) [1/nm] and attributes `q_peak` (x, y, z) at the middle of
        the first region [1/nm] and `dq` (row, column), the steps of a pixel [1/nm];
        unchanged if the scan lacks energy, distance, pixel size, centre or geometry.
    """
    if not set(PLACED) <= set(scan.attrs):
        return correlation
    camera, wavelength = instrument.camera(scan, 0), instrument.wavelength(scan)
    row, column, region = (correlation[name].to_numpy() for name in ("pixel_y", "pixel_x", "region_of_pixel"))
    length = np.linalg.norm(geometry.q_of_pixel(camera, row, column, wavelength=wavelength), axis=-1)
    q = [float(length[region == k].mean()) for k in range(1, int(region.max()) + 1)]
    middle = [(int(p[region == 1].min()) + int(p[region == 1].max()) + 1) // 2 for p in (row, column)]
    corners = np.array([middle, [middle[0] + 1, middle[1]], [middle[0], middle[1] + 1]])
    peak, down, along = geometry.q_of_pixel(camera, corners[:, 0], corners[:, 1], wavelength=wavelength)
    steps = [float(np.linalg.norm(down - peak)), float(np.linalg.norm(along - peak))]
    return correlation.assign(q=("region", q, {"units": "1/nm"})).assign_attrs(q_peak=peak.tolist(), dq=steps)


def labelled(given: Array) -> Array:
    """Turn a region, a stack of regions or a label image into labels, shape (y, x), 0 outside.

    Raises
    ------
    XcdiError
        If regions overlap, a region is empty, or there is none.

    Examples
    --------
    >>> labelled(np.array([[True, False]]))
    array([[1, 0]])
    """
    given = np.asarray(given)
    if given.ndim == 3:
        if np.any(given.sum(axis=0) > 1):
            raise XcdiError(f"the {len(given)} regions overlap in {int(np.sum(given.sum(axis=0) > 1))} pixels; give each pixel to one")
        given = np.einsum("ryx,r->yx", given.astype(int), np.arange(1, len(given) + 1))
    labels = given.astype(int)
    lacking = set(range(1, int(labels.max(initial=0)) + 1)) - set(np.unique(labels).tolist())
    if labels.max(initial=0) < 1 or lacking:
        raise XcdiError(f"{'region ' + str(min(lacking)) if lacking else 'every region'} is empty; widen its edges or its box")
    return labels
