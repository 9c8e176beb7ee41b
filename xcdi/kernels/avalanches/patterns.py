"""Speckle patterns made comparable: weighed by their noise, smoothed over one speckle, and multiplied with each other.

A change of state moves intensity between neighbouring pixels together, because
a speckle is several pixels wide; shot noise does not. A scan that looks at
single pixels therefore throws most of its power away. Here every frame becomes a
vector ``x_t`` (counts over the square root of their expected noise, smoothed over
one speckle) and all that follows needs only the products ``x_s . x_t``.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from xcdi.backend import Array

__all__ = [
    "fill_diagonal",
    "frame_scale",
    "likeness",
    "patterns",
    "peak_place",
    "smooth_valid",
    "speckle_width",
    "steady_frames",
    "steady_pixels",
]

FRAMES_AT_ONCE = 2**24  # pixels that are smoothed in one go; bounds memory
SMOOTHING = 0.18  # sd of the smoothing Gaussian over the width of a speckle


def frame_scale(frames: Array, valid: Array, ok: Array) -> Array:
    """Brightness of every frame over the mean of the good ones, shape (time,); NaN for frames that are not `ok`.

    Examples
    --------
    >>> frame_scale(np.array([[[1.0, 1.0]], [[3.0, 3.0]]]), np.ones((1, 2), bool), np.ones(2, bool))
    array([0.5, 1.5])
    """
    total = np.where(ok, frames[:, valid].sum(axis=1, dtype=np.float64), np.nan)
    mean = np.nanmean(total) if np.any(ok) else np.nan
    return total / mean


def steady_frames(frames: Array, valid: Array, ok: Array, *, sigmas: float = 8.0, around: int = 31) -> Array:
    """Return `ok` without frames whose brightness leaps out of their neighbourhood: dropped, doubled, or shuttered.

    Parameters
    ----------
    frames : array, shape (time, y, x)
    valid : bool array, shape (y, x)
    ok : bool array, shape (time,)
    sigmas : float
        Allowed distance from the median of `around` frames, in robust standard
        deviations of the whole series (at least that of photon noise).
    """
    total = frames[:, valid].sum(axis=1, dtype=np.float64)
    good = ok & (total > 0)
    if good.sum() < 3:
        return good
    near = ndimage.median_filter(total[good], size=min(around, int(good.sum())), mode="nearest")
    away = total[good] - near
    spread = max(1.4826 * float(np.median(np.abs(away))), float(np.sqrt(np.median(near))))
    result = good.copy()
    result[good] = np.abs(away) <= sigmas * spread
    return result


def steady_pixels(frames: Array, valid: Array, ok: Array, *, sigmas: float = 8.0, lone: float = 4.0) -> Array:
    """Return `valid` without pixels that no speckle explains: flickering, or far above every neighbour.

    Parameters
    ----------
    frames : array, shape (time, y, x)
    valid, ok : bool arrays, shapes (y, x) and (time,)
    sigmas : float
        Allowed excess of the noise over that of photons, in its standard deviations.
    lone : float
        Largest mean over that of the brightest of the four neighbours.

    Notes
    -----
    The mean square of successive differences is twice the mean for Poisson
    counts. What drifts or steps once adds next to nothing to it; beam
    fluctuations of 10 % are allowed for.
    """
    good = np.flatnonzero(ok)
    if good.size < 8:
        return valid.copy()
    mean, jump = _mean_and_jump(frames, good)
    expected = mean + 0.01 * mean**2
    steady = jump <= expected + sigmas * np.sqrt((3 * expected**2 + expected) / good.size) + 5.0 / good.size
    around = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    near = ndimage.maximum_filter(np.where(valid, mean, 0.0), footprint=around, mode="constant")
    return valid & steady & (mean <= lone * near + sigmas * np.sqrt(mean / good.size) + 5.0 / good.size)


def _mean_and_jump(frames: Array, good: Array) -> tuple[Array, Array]:
    """Mean of the good frames, and half the mean square of their successive differences, per pixel."""
    last = frames[good[0]].astype(np.float64)
    mean, jump = last.copy(), np.zeros(last.shape)
    for t in good[1:]:
        this = frames[t].astype(np.float64)
        mean, jump, last = mean + this, jump + (this - last) ** 2, this
    return mean / good.size, jump / (2 * (good.size - 1))


def smooth_valid(image: Array, valid: Array, sigma: float) -> Array:
    """Gaussian average of the valid pixels around each pixel, shape (y, x); 0 where there is none.

    Examples
    --------
    >>> smooth_valid(np.array([[2.0, 9.0, 2.0]]), np.array([[True, False, True]]), 1.0)
    array([[2., 2., 2.]])
    """
    weight = ndimage.gaussian_filter(valid.astype(np.float64), sigma, mode="constant")
    total = ndimage.gaussian_filter(np.where(valid, image, 0.0), sigma, mode="constant")
    return np.where(weight > 1e-6, total / np.maximum(weight, 1e-6), 0.0)


def peak_place(mean: Array, valid: Array) -> tuple[float, float]:
    """Row and column of the brightest valid place of a mean pattern, smoothed by 2 pixels."""
    smooth = np.where(valid, smooth_valid(mean, valid, 2.0), 0.0)
    row, column = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    return float(row), float(column)


def speckle_width(mean: Array, valid: Array, *, envelope_px: float = 8.0) -> float:
    """Width of a speckle in pixels: half maximum to half maximum of the autocorrelation of the mean pattern.

    Notes
    -----
    The slow envelope is divided out first. Limited to 1 ... `envelope_px`.
    """
    envelope = np.maximum(smooth_valid(mean, valid, envelope_px), 1e-12)
    relative = np.where(valid, (mean - envelope) / np.sqrt(envelope), 0.0)
    spectrum = np.abs(fft.rfft2(relative, [2 * n for n in relative.shape])) ** 2
    correlation = fft.irfft2(spectrum, [2 * n for n in relative.shape])
    reach = max(2, min(int(2 * envelope_px), *relative.shape))
    profile = (correlation[0, :reach] + correlation[:reach, 0]) / (2 * correlation[0, 0] or 1.0)
    below = int(np.argmax(profile < 0.5))
    if profile[below] >= 0.5:
        return float(envelope_px)
    crossing = below - (0.5 - profile[below]) / (profile[below - 1] - profile[below])
    return float(np.clip(2 * crossing, 1.0, envelope_px))


def patterns(frames: Array, valid: Array, ok: Array, *, speckle_px: float, crossover: float = 1.0) -> Array:
    r"""Every good frame as a vector of comparable numbers.

    .. math:: x_t = K * \frac{n_{tp} / s_t - \bar n_p}{\sqrt{S_p + c}}

    Parameters
    ----------
    frames : array, shape (time, y, x)
        Counts.
    valid, ok : bool arrays, shapes (y, x) and (time,)
        Pixels and frames to use.
    speckle_px : float
        Width of a speckle; the Gaussian K has 0.18 of it as standard deviation.
    crossover : float
        c: where S is larger, pixels are weighed by their noise; below it by their
        counts, as is most powerful for small changes in proportion to the intensity.

    Returns
    -------
    float32 array, shape (good frame, valid pixel)
        s is the brightness of the frame, S the mean pattern smoothed over 0.18 speckles.
    """
    good = np.flatnonzero(ok)
    scale = frame_scale(frames, valid, ok)[good]
    mean = sum((frames[t] / s for t, s in zip(good, scale, strict=True)), np.zeros(valid.shape)) / max(good.size, 1)
    sigma = SMOOTHING * speckle_px
    weight = np.where(valid, 1 / np.sqrt(np.maximum(smooth_valid(mean, valid, sigma), 0.0) + crossover), 0.0)
    result = np.empty((good.size, int(valid.sum())), np.float32)
    step = max(1, FRAMES_AT_ONCE // valid.size)
    for start in range(0, good.size, step):
        part = slice(start, start + step)
        away = (frames[good[part]] / scale[part, None, None] - mean) * weight
        result[part] = ndimage.gaussian_filter(away, (0, sigma, sigma), mode="constant")[:, valid]
    return result


def likeness(vectors: Array) -> Array:
    """Products of all pairs of patterns, shape (time, time), with a diagonal free of shot noise."""
    return fill_diagonal(np.asarray(vectors @ vectors.T, np.float64))


def fill_diagonal(products: Array) -> Array:
    """Replace the diagonal, which holds the noise of each frame with itself, by what the neighbours say.

    ``x_t.x_t`` becomes ``x_(t-1).x_t + x_t.x_(t+1) - x_(t-1).x_(t+1)``: no frame
    meets itself, and the value is exact on a plateau, on both sides of one step
    and, to first order, in a drift. No noise model is needed.

    Examples
    --------
    >>> x = np.array([1.0, 1.0, 3.0, 3.0])
    >>> fill_diagonal(np.outer(x, x)).diagonal()
    array([1., 1., 9., 9.])
    """
    n = len(products)
    if n < 3:
        raise ValueError(f"{n} frame(s); products without noise need at least 3")
    left, right = np.arange(n) - 1, np.arange(n) + 1
    left[0], right[-1] = 2, n - 3
    middle = np.arange(n)
    result = products.copy()
    result[middle, middle] = products[left, middle] + products[middle, right] - products[left, right]
    return result
