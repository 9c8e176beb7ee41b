"""Detector corrections on counts, shape (..., y, x). Each is one function; NaN means "not measured"."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from xcdi.backend import Array, namespace

__all__ = ["dead_pixels", "dead_time", "divide_flat", "hot_pixels", "missing_as_nan", "per_monitor", "subtract_dark"]


def missing_as_nan(
    counts: Array, valid: Array, frame_ok: Array | None = None, *, sentinel: int | None = None, saturation: float | None = None
) -> Array:
    """Counts as float32 with NaN wherever nothing was measured.

    Parameters
    ----------
    counts : array, shape (..., y, x)
        As stored. The sentinel is looked for before any conversion, since a
        cast turns 2**32 - 1 into -1 or 4294967300.
    valid : bool array, shape (y, x)
        True where the pixel can be trusted.
    frame_ok : bool array, shape (...,), optional
        True where the frame can be trusted.
    sentinel : int, optional
        Stored value that means "no data".
    saturation : float, optional
        Largest count that can be trusted.

    Examples
    --------
    >>> frame = np.array([[7, 65535, 3]], dtype=np.uint16)
    >>> missing_as_nan(frame, np.array([[True, True, False]]), sentinel=65535)
    array([[ 7., nan, nan]], dtype=float32)
    """
    xp = namespace(counts)
    measured = valid & xp.ones(counts.shape, dtype=xp.bool)
    if frame_ok is not None:
        measured = measured & frame_ok[..., None, None]
    if sentinel is not None:
        measured = measured & (counts != sentinel)
    if saturation is not None:
        measured = measured & (counts <= saturation)
    return xp.where(measured, xp.astype(counts, xp.float32), xp.asarray(xp.nan, dtype=xp.float32))


def subtract_dark(counts: Array, dark: Array) -> Array:
    """Subtract the dark frame `dark`, shape (y, x), and clip at zero; NaN stays NaN.

    Examples
    --------
    >>> subtract_dark(np.array([[5.0, 1.0]]), np.array([[2.0, 2.0]]))
    array([[3., 0.]])
    """
    xp = namespace(counts)
    return xp.clip(counts - xp.astype(dark, counts.dtype), min=0)


def divide_flat(counts: Array, flat: Array) -> Array:
    """Divide by the relative pixel response `flat`, shape (y, x), mean 1; where `flat` is not positive, NaN.

    Examples
    --------
    >>> divide_flat(np.array([[4.0, 4.0]]), np.array([[2.0, 0.0]]))
    array([[ 2., nan]])
    """
    xp = namespace(counts)
    response = xp.astype(flat, counts.dtype)
    return counts / xp.where(response > 0, response, xp.asarray(xp.nan, dtype=counts.dtype))


def per_monitor(counts: Array, monitor: Array) -> Array:
    """Divide each frame by its relative incident flux `monitor`, shape (frame,); a frame without flux becomes NaN.

    Examples
    --------
    >>> per_monitor(np.array([[[4.0]], [[4.0]]]), np.array([2.0, 0.0]))
    array([[[ 2.]],
    <BLANKLINE>
           [[nan]]])
    """
    xp = namespace(counts)
    flux = xp.astype(monitor, counts.dtype)[..., None, None]
    return counts / xp.where(flux > 0, flux, xp.asarray(xp.nan, dtype=counts.dtype))


def dead_time(counts: Array, *, exposure_s: float, dead_time_s: float) -> Array:
    """Undo the losses of a non-paralysable counter: m / (1 - m tau / t); where the counter was full, NaN.

    Source: Knoll, Radiation Detection and Measurement, 4th ed. (2010), eq. 4.23.

    Examples
    --------
    >>> dead_time(np.array([[9.0]]), exposure_s=1.0, dead_time_s=0.01).round(3)
    array([[9.89]])
    """
    xp = namespace(counts)
    alive = 1 - counts * (dead_time_s / exposure_s)
    return counts / xp.where(alive > 0, alive, xp.asarray(xp.nan, dtype=counts.dtype))


def hot_pixels(total: Array, *, ratio: float = 5.0, sigmas: float = 8.0) -> Array:
    """Pixels that no diffraction pattern can explain, from the counts summed over a scan.

    A speckle of an oversampled pattern spans two pixels or more, so a pixel far
    above all but two of its eight neighbours counts by itself; two of them may
    be hot too.

    Parameters
    ----------
    total : float array, shape (y, x)
        Counts summed over the frames; NaN where nothing was measured.
    ratio, sigmas : float
        Hot means above `ratio` times the third-brightest neighbour and `sigmas`
        of its Poisson noise beyond that.

    Returns
    -------
    bool array, shape (y, x)
        True where the pixel is hot.

    Examples
    --------
    >>> total = np.ones((5, 5)); total[2, 2] = 500
    >>> int(hot_pixels(total).sum())
    1
    """
    seen = np.nan_to_num(total, nan=0.0)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    bound = ratio * ndimage.rank_filter(seen, rank=-3, footprint=ring, mode="nearest")
    return seen > bound + sigmas * np.sqrt(bound + 1)


def dead_pixels(total: Array, *, expected: float = 16.0) -> Array:
    """Pixels that stayed at zero among neighbours whose median is at least `expected` counts.

    A live pixel that expects 16 counts shows none with a chance of 1e-7, rarer than one in 4 million pixels.

    Examples
    --------
    >>> total = np.full((5, 5), 100.0); total[2, 2] = 0
    >>> np.argwhere(dead_pixels(total)).tolist()
    [[2, 2]]
    """
    around = ndimage.median_filter(np.nan_to_num(total, nan=0.0), size=5, mode="nearest")
    return (total == 0) & (around >= expected)
