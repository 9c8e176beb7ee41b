"""Which counts of a block of frames can be trusted: raw frames in, photons of the regions' pixels out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import regions
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import Photons, from_dense, relabelled, without
from xcdi.kernels.correlation.products import EXACT_DOUBLE

__all__ = ["Pixels", "Taken", "good_frames", "good_pixels", "image", "of_pixels", "pixels_of", "take"]

SURE = 20  # photons of a usual frame from which one without any is bad: by chance that is one in 5e8
HOLED = 0.05  # share of a frame's pixels without data from which on the frame is bad, not the pixels


class Pixels(NamedTuple):
    """Pixels of the regions, in the order of the detector.

    Attributes
    ----------
    region, y, x : int32 array, shape (pixel,)
        Number of the region, 1 or more, and place on the detector.
    place : int32 array, shape (y, x)
        Number of each detector pixel, -1 outside.
    around : int32 array, shape (pixel, 8)
        Neighbours, from :func:`xcdi.kernels.regions.neighbours`.
    """

    region: Array
    y: Array
    x: Array
    place: Array
    around: Array


class Taken(NamedTuple):
    """What is kept of one block.

    Attributes
    ----------
    photons : Photons
        Trusted counts; none in frames that are not `ok`.
    time : array, shape (time,)
        [s]
    ok : bool array, shape (time,)
        Frames that are whole.
    monitor : array, shape (time,)
        NaN where there is none.
    untrusted : bool array, shape (pixel,)
        Held no trustworthy count in some good frame.
    """

    photons: Photons
    time: Array
    ok: Array
    monitor: Array
    untrusted: Array


def pixels_of(labels: Array, valid: Array) -> Pixels:
    """The valid pixels of a label image (y, x), 0 outside.

    Examples
    --------
    >>> pixels_of(np.array([[0, 1], [2, 1]]), np.array([[True, True], [True, False]])).place
    array([[-1,  0],
           [ 1, -1]], dtype=int32)
    """
    y, x = np.nonzero((labels > 0) & valid)
    place = np.full(labels.shape, -1, np.int32)
    place[y, x] = np.arange(y.size)
    return Pixels(labels[y, x].astype(np.int32), y.astype(np.int32), x.astype(np.int32), place, regions.neighbours(y, x))


def take(block: xr.Dataset, pixels: Pixels, *, workers: int = 1) -> Taken:
    """Photons of one block, without what cannot be trusted.

    Parameters
    ----------
    block : SCAN
        Raw counts, in memory; or ``stored`` in their place, what is on disk of each frame.
    pixels : Pixels
    workers : int
        Threads that decode.

    Raises
    ------
    XcdiError
        If counts are negative or no whole numbers, or what is stored are other frames than the scan's.
    """
    photons, missing, holes = _stored(block, pixels, workers) if "stored" in block else _dense(block, pixels)
    ok = ~missing & (block.frame_ok.to_numpy() if "frame_ok" in block else True)
    frame = np.repeat(np.arange(photons.frames), np.diff(photons.start))
    wrong = (photons.count > _largest(block, pixels)) | ~ok[frame]
    untrusted = holes
    untrusted[photons.pixel[wrong & ok[frame]]] = True
    photons = without(photons, wrong)
    untrusted[photons.pixel[regions.lonely(photons, pixels.around)]] = True
    monitor = block.monitor.to_numpy().astype(float) if "monitor" in block else np.full(ok.size, np.nan)
    return Taken(_small(photons), block.time.to_numpy().astype(float), ok, monitor, untrusted)


def _largest(block: xr.Dataset, pixels: Pixels) -> float:
    """Largest count to trust: of the detector, and for sums of squares that stay exact."""
    exact = int(np.sqrt(EXACT_DOUBLE / max(pixels.y.size, 1)))
    return float(min(block.attrs.get("saturation", exact), exact))


def _small(photons: Photons) -> Photons:
    """Counts in the smallest type that holds them."""
    return photons._replace(count=photons.count.astype(np.min_scalar_type(int(photons.count.max(initial=0)))))


def _stored(block: xr.Dataset, pixels: Pixels, workers: int) -> tuple[Photons, Array, Array]:
    """Photons out of what is on disk, the frames without data, and the pixels without data in others."""
    frames = block.stored.to_numpy()
    _check_stored(frames, pixels.place.shape)
    photons, read = gathered(frames, pixels.place, pixels.y.size, threads=workers)
    kinds = [stored.dtype for stored in frames if stored is not None][:1]
    absent = photons.count == _as_unsigned(block.attrs.get("sentinel"), kinds)
    if kinds and kinds[0].kind == "i" and np.any((photons.count > np.iinfo(kinds[0]).max) & ~absent):
        raise XcdiError("negative counts in the regions; the correlation takes raw photon counts")
    frame = np.repeat(np.arange(photons.frames), np.diff(photons.start))
    missing = ~read | (np.bincount(frame[absent], minlength=photons.frames) > HOLED * pixels.y.size)
    holes = np.zeros(pixels.y.size, bool)
    holes[photons.pixel[absent & ~missing[frame]]] = True
    return without(photons, absent), missing, holes


def _check_stored(frames: Array, shape: tuple[int, ...]) -> None:
    """Refuse what was stored of other pixels than the scan's, or is no frame."""
    for at, frame in enumerate(frames):
        if frame is not None and not hasattr(frame, "write"):
            raise XcdiError(
                f"frame {at} of `stored` is of type {type(frame).__name__}, expected a frame as on disk, or None; drop `stored`"
            )
        there = shape if frame is None else tuple(getattr(frame, "shape", shape))
        if there != shape:
            raise XcdiError(
                f"the frames on disk are {there} pixels and the scan was cut to {shape}; drop `stored`, or cut the regions instead"
            )


def _as_unsigned(sentinel: int | None, kinds: list[np.dtype]) -> int:
    """The sentinel as the count that its bits are; -1 where there is none."""
    if sentinel is None or not kinds:
        return -1
    return int(sentinel) % 2 ** (8 * kinds[0].itemsize)


def _dense(block: xr.Dataset, pixels: Pixels) -> tuple[Photons, Array, Array]:
    """Photons of dense frames, the frames without data, and the pixels without data in others."""
    y, x = pixels.y, pixels.x
    window = block.counts.isel(y=slice(int(y.min()), int(y.max()) + 1), x=slice(int(x.min()), int(x.max()) + 1))
    values = window.to_numpy()[:, y - y.min(), x - x.min()]
    absent = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        values = np.where(absent, 0, values)
        if not np.array_equal(values, np.round(values)):
            raise SchemaError("counts are no whole numbers; the correlation takes raw photon counts, before any correction")
    if "sentinel" in block.attrs:
        absent |= values == block.attrs["sentinel"]
    values = np.where(absent, 0, values)
    if (values < 0).any():
        low = values.min()
        raise XcdiError(
            f"{int((values < 0).sum())} negative counts in the regions (lowest {low:g}); the correlation takes raw photon counts"
        )
    missing = absent.mean(axis=1) > HOLED
    return from_dense(values.astype(np.uint64) if values.dtype.kind == "f" else values), missing, np.any(absent[~missing], axis=0)


def good_pixels(total: Array, taken: tuple[Taken, ...], pixels: Pixels) -> Array:
    """Pixels that held a trustworthy count in every good frame, and that fit their neighbours.

    Parameters
    ----------
    total : int array, shape (pixel,)
        Counts over all frames.
    taken : tuple of Taken
    pixels : Pixels

    Returns
    -------
    bool array, shape (pixel,)
    """
    trusted = ~np.any([np.zeros(total.shape, bool), *(part.untrusted for part in taken)], axis=0)
    seen, valid = image(total, trusted, pixels.y, pixels.x)
    return trusted & ~regions.misfits(seen, valid)[pixels.y - pixels.y.min(), pixels.x - pixels.x.min()]


def good_frames(total: Array, taken: tuple[Taken, ...]) -> Array:
    """Frames that are whole, are not dark where others are bright, and are no single outliers in brightness.

    Where a frame has so few photons that one without any is no surprise, such a frame is good, and weighs nothing.

    Parameters
    ----------
    total : int array, shape (time,)
        Counts of each frame in good pixels.
    taken : tuple of Taken

    Raises
    ------
    XcdiError
        If there is none.
    """
    ok, seen = np.concatenate([part.ok for part in taken]), total > 0
    if not np.any(ok & seen):
        raise XcdiError(f"none of {ok.size} frames has a trustworthy count in the regions; check the mask, the box and the shutter")
    if np.median(total[ok & seen]) >= SURE:
        ok = ok & seen
    monitor = np.concatenate([part.monitor for part in taken])
    usable = np.isfinite(monitor) & (monitor > 0)
    photon = 1 / np.where(usable, monitor, 1.0) if np.all(usable[ok]) else np.ones(total.shape)
    return ok & ~regions.outlier_frames(total * photon, ok, photon=photon)


def of_pixels(photons: Photons, here: Array, keep: Array | None = None) -> Photons:
    """Photons of the pixels where `here` (pixel,) is true, in the frames where `keep` (time,) is; the same object if that is all."""
    if np.all(here) and (keep is None or np.all(keep)):
        return photons
    new = np.where(here, np.cumsum(here) - 1, -1).astype(np.int32)
    return relabelled(photons, new, int(here.sum()), keep)


def image(values: Array, known: Array, y: Array, x: Array) -> tuple[Array, Array]:
    """Image (y, x) of the pixels' bounding box, and where it is known."""
    shape = int(np.ptp(y)) + 1, int(np.ptp(x)) + 1
    picture, valid = np.zeros(shape), np.zeros(shape, bool)
    picture[y - y.min(), x - x.min()] = values
    valid[y - y.min(), x - x.min()] = known
    return picture, valid
