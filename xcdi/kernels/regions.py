"""Regions of pixels: their slow envelope, their tiles, and the frames in which they misbehave."""

from __future__ import annotations

import numba
import numpy as np
from scipy import ndimage

from xcdi.backend import Array
from xcdi.kernels.corrections import dead_pixels, hot_pixels
from xcdi.kernels.correlation.photons import Photons

__all__ = ["box_around", "lonely", "misfits", "neighbours", "outlier_frames", "smooth_envelope", "tiles"]

SPECKLES_ACROSS = 5.0  # of a tile
MEDIAN_VARIANCE = 0.287  # of the median of five frames, over that of a frame
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def box_around(centre: tuple[int, int], size: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Box (y0, y1, x0, x1) of `size` pixels around `centre`, moved so that it stays on the detector.

    Examples
    --------
    >>> box_around((1, 50), 8, (100, 100))
    (0, 8, 46, 54)
    """
    edges = []
    for middle, length in zip(centre, shape, strict=True):
        width = min(size, length)
        start = min(max(middle - width // 2, 0), length - width)
        edges += [start, start + width]
    return edges[0], edges[1], edges[2], edges[3]


def smooth_envelope(mean: Array, valid: Array, *, sigma: float) -> Array:
    """Mean image, averaged over a Gaussian of `sigma` pixels, blind to what is not valid.

    Parameters
    ----------
    mean : array, shape (y, x)
        Counts per frame.
    valid : bool array, shape (y, x)
    sigma : float
        Several speckles wide, or the envelope follows the speckles and takes
        their contrast away.

    Examples
    --------
    >>> smooth_envelope(np.array([[2.0, 9.0, 2.0]]), np.array([[True, False, True]]), sigma=1.0)
    array([[2., 2., 2.]])
    """
    weight = ndimage.gaussian_filter(valid.astype(float), sigma, mode="constant", truncate=3.0)
    blurred = ndimage.gaussian_filter(np.where(valid, mean, 0.0), sigma, mode="constant", truncate=3.0)
    return np.divide(blurred, weight, out=np.zeros_like(blurred), where=weight > 1e-12)


def misfits(total: Array, valid: Array) -> Array:
    """Hot and dead pixels of a region, judged by what their neighbours in it counted.

    Parameters
    ----------
    total : array, shape (y, x)
        Counts summed over the scan.
    valid : bool array, shape (y, x)
        Pixels of the region. One with fewer than three neighbours in it is not judged.

    Examples
    --------
    >>> total = np.ones((5, 5)); total[2, 2] = 500
    >>> np.argwhere(misfits(total, total > 0)).tolist()
    [[2, 2]]
    """
    seen = np.where(valid, total, np.nan)
    return (hot_pixels(seen) | dead_pixels(seen)) & _judged(valid)


def neighbours(y: Array, x: Array) -> Array:
    """Which pixels of a set lie around each of them.

    Parameters
    ----------
    y, x : integer array, shape (pixel,)

    Returns
    -------
    int32 array, shape (pixel, 8)
        Numbers of the pixels at the eight places around, -1 where the set has none. All -1 for a pixel
        with fewer than three, which is not judged by its neighbours.

    Examples
    --------
    >>> neighbours(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))[0]
    array([-1, -1, -1, -1,  1, -1,  2,  3], dtype=int32)
    """
    number = np.full((int(np.ptp(y)) + 3, int(np.ptp(x)) + 3), -1, np.int32)
    row, column = y - y.min() + 1, x - x.min() + 1
    number[row, column] = np.arange(len(y))
    around = np.stack([number[row + dy - 1, column + dx - 1] for dy, dx in np.argwhere(RING)], axis=1)
    around[np.sum(around >= 0, axis=1) < 3] = -1
    return around


def lonely(photons: Photons, around: Array, *, ratio: float = 5.0, sigmas: float = 8.0) -> Array:
    """Counts of single frames that none of the eight neighbours shares: flickering pixels, cosmic rays.

    Each frame is judged alone, so the answer is the same for any block of frames.

    Parameters
    ----------
    photons : Photons
    around : int32 array, shape (pixel, 8)
        From :func:`neighbours`.
    ratio, sigmas : float
        Lonely means above `ratio` times the brightest neighbour and `sigmas` of its
        Poisson noise beyond that.

    Returns
    -------
    int array
        Numbers of the events that are lonely.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> frames = np.zeros((2, 9), int); frames[1, 4] = 20
    >>> lonely(from_dense(frames), neighbours(*np.divmod(np.arange(9), 3)))
    array([0])
    """
    flag = np.zeros(photons.pixel.size, bool)
    _judge(photons.start, photons.pixel, photons.count, around, ratio, sigmas, flag)
    return np.flatnonzero(flag)


@numba.njit(nogil=True, cache=True)
def _judge(start, pixel, count, around, ratio, sigmas, flag):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        first, last = start[t], start[t + 1]
        for e in range(first, last):
            if count[e] <= sigmas:  # what no bound allows: the least is that of dark neighbours
                continue
            judged, brightest = False, 0.0
            for k in range(around.shape[1]):
                p = around[pixel[e], k]
                if p >= 0:
                    judged = True
                    at = first + np.searchsorted(pixel[first:last], p)
                    if at < last and pixel[at] == p:
                        brightest = max(brightest, float(count[at]))
            bound = ratio * brightest
            flag[e] = judged and count[e] > bound + sigmas * np.sqrt(bound + 1)


def _judged(valid: Array) -> Array:
    """Pixels of the region with enough neighbours in it to be judged by."""
    return valid & (ndimage.convolve(valid.astype(int), RING.astype(int), mode="constant") >= 3)


def tiles(y: Array, x: Array, *, across: int | None = None, speckle_px: float = 1.0) -> Array:
    """Number of the compact tile that each pixel belongs to; all of nearly the same number of pixels.

    Parameters
    ----------
    y, x : integer array, shape (pixel,)
    across : int, optional
        Strips along y, and tiles in each strip. By default tiles are five speckles wide, so that the speckles which
        two of them share take no more than a twentieth off an error, but 3 to 10 across.
    speckle_px : float
        Width of a speckle, in pixels.

    Examples
    --------
    >>> tiles(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), across=2)
    array([0, 1, 2, 3])
    """
    if across is None:
        across = int(np.clip(np.sqrt(y.size) / (SPECKLES_ACROSS * max(speckle_px, 1.0)), 3, 10))
    label = np.empty(y.shape, int)
    count = 0
    for strip in np.array_split(np.lexsort((x, y)), across):
        for part in np.array_split(strip[np.lexsort((y[strip], x[strip]))], across):
            if part.size:
                label[part] = count
                count += 1
    return label


def outlier_frames(
    total: Array, ok: Array, *, photon: Array | float = 1.0, beside: int = 5, share: float = 0.4, sigmas: float = 8.0
) -> Array:
    """Single frames much brighter or darker than the frames before and than the frames after.

    Parameters
    ----------
    total : array, shape (time,)
        Counts of each frame, or counts per monitor.
    ok : bool array, shape (time,)
        Frames to be judged by; the others are known to be bad already.
    photon : array, shape (time,), or float
        What one photon is in `total`: 1 for counts, one over the monitor for counts per monitor.
    beside : int
        Frames on each side whose median is compared. A frame that continues
        either side is no outlier, so a lasting step in intensity is none.
    share, sigmas : float
        An outlier differs from both medians by this share of them, and by so many robust standard deviations of
        all frames, and of the photons' Poisson statistics.

    Returns
    -------
    bool array, shape (time,)

    Examples
    --------
    >>> total = np.array([200, 220, 200, 180, 420, 200, 200, 220, 180, 600, 620, 600, 580, 620, 600])
    >>> np.flatnonzero(outlier_frames(total, total > 0))
    array([4])
    """
    found = np.zeros(total.shape, bool)
    seen = total[ok].astype(float)
    if seen.size <= beside:
        return found
    padded = np.concatenate([np.full(beside, np.nan), seen, np.full(beside, np.nan)])
    window = np.lib.stride_tricks.sliding_window_view(padded, beside)
    before, after = window[: seen.size].copy(), window[beside + 1 :].copy()
    before[0], after[-1] = after[0], before[-1]  # the ends have one side only
    sides = np.stack([np.nanmedian(before, axis=1), np.nanmedian(after, axis=1)])
    apart = np.abs(seen - sides)
    off = np.min(np.divide(apart, sides, out=np.where(apart > 0, np.inf, 0.0), where=sides > 0), axis=0)
    one = np.broadcast_to(photon, total.shape)[ok]
    chance = one * np.sqrt((sides / one + 1) * (1 + MEDIAN_VARIANCE))  # one photon more, where the medians are of few
    found[ok] = (off > share) & (off > sigmas * 1.4826 * np.median(off)) & np.all(apart > sigmas * chance, axis=0)
    return found
