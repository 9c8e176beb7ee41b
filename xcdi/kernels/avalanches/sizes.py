"""How large an event is: the drop of correlation, what rigid motion explains of it, and what is an artefact."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage
from skimage.registration import phase_cross_correlation

from xcdi.backend import Array
from xcdi.kernels.avalanches import events, patterns

__all__ = ["Size", "Weighting", "collapses", "covariance_weights", "drop", "measure_event", "noise_weights", "register", "shift"]


class Weighting(NamedTuple):
    """How pixels enter a correlation: counts are divided by `envelope` and weighed by `weight`, both (y, x)."""

    envelope: Array
    weight: Array


class Size(NamedTuple):
    """Result of :func:`measure_event`.

    Attributes
    ----------
    drop, drop_error : float
        ``D = 1 - rho``: 0 nothing changed, 1 nothing is left in common.
    drop_internal, internal_error : float
        The same once the rigid shift is undone.
    fraction : float
        ``1 - sqrt(rho)``: part of the amplitude squared whose phase became random.
    shift_px : tuple of float
        (row, column) by which the pattern moved.
    drop_by_ring : array, shape (ring,)
        Drop in each annulus; NaN where none was given or it holds no signal.
    """

    drop: float
    drop_error: float
    drop_internal: float
    internal_error: float
    fraction: float
    shift_px: tuple[float, float]
    drop_by_ring: Array


def covariance_weights(mean: Array, valid: Array) -> Weighting:
    """Weights of the covariance estimate (N4): all pixels alike, no envelope."""
    return Weighting(np.ones(mean.shape), valid.astype(np.float64))


def noise_weights(mean: Array, valid: Array, *, envelope_px: float = 8.0, crossover: float = 2.0) -> Weighting:
    """Weights of the noise-weighted estimate (N5): counts over their envelope S, weighed with S / (S + `crossover`)."""
    envelope = np.maximum(patterns.smooth_valid(mean, valid, envelope_px), 1e-12)
    return Weighting(envelope, np.where(valid, envelope / (envelope + crossover), 0.0))


def drop(before: Array, after: Array) -> tuple[float, float]:
    r"""Drop of the correlation between two groups of patterns, and its error.

    .. math:: D = 1 - \frac{\langle x_s x_t \rangle_{s \in pre,\, t \in post}}
                {\sqrt{\langle x_s x_t \rangle_{s \neq t \in pre} \langle x_s x_t \rangle_{s \neq t \in post}}}

    Parameters
    ----------
    before, after : array, shape (time, pixel)
        Deviations from the mean of the frame, weighed; two frames or more of each.

    Returns
    -------
    drop, error : float
        The contrast cancels, and shot noise does: no frame meets itself. The
        error is a jackknife over frames. NaN where a group has no contrast.

    Examples
    --------
    >>> drop(np.array([[1.0, -1.0]] * 3), np.array([[1.0, -1.0]] * 2))
    (0.0, 0.0)
    """
    if min(len(before), len(after)) < 2:
        return float("nan"), float("nan")
    both = np.concatenate([before, after])
    products, n = both @ both.T, len(before)
    first = np.arange(len(both)) < n
    leaves = _leave_one_out(products, first)
    whole = _one_minus(*_sums(products, first))
    groups = [leaves[part] for part in (first, ~first) if part.sum() > 2]
    variance = sum((len(g) - 1) * float(np.var(g)) for g in groups)
    return whole, float(np.sqrt(variance)) if groups else float("nan")


def _sums(products: Array, first: Array) -> tuple[float, float, float]:
    """Mean product within the first group, within the second, and between them."""
    pre, post = products[np.ix_(first, first)], products[np.ix_(~first, ~first)]
    within = [(block.sum() - np.trace(block)) / (len(block) * (len(block) - 1)) for block in (pre, post)]
    return float(within[0]), float(within[1]), float(products[np.ix_(first, ~first)].mean())


def _one_minus(pre: float, post: float, between: float) -> float:
    return 1 - between / float(np.sqrt(pre * post)) if pre > 0 and post > 0 else float("nan")


def _leave_one_out(products: Array, first: Array) -> Array:
    """Drop without each frame in turn, shape (time,); NaN where only one frame would be left."""
    result = np.full(len(first), np.nan)
    for k in range(len(first)):
        if (first if first[k] else ~first).sum() > 2:
            rest = np.arange(len(first)) != k
            result[k] = _one_minus(*_sums(products[np.ix_(rest, rest)], first[rest]))
    return result


def measure_event(before: Array, after: Array, valid: Array, weighting: Weighting, *, rings: Array | None = None) -> Size:
    """Measure one event from the frames on its two sides.

    Parameters
    ----------
    before, after : array, shape (time, y, x)
        Counts over the brightness of their frame, up to 18 frames each, never
        across another event.
    valid : bool array, shape (y, x)
    weighting : Weighting
        From :func:`noise_weights` or :func:`covariance_weights`.
    rings : int array, shape (y, x), optional
        Annulus of every pixel, from 0; -1 for none.

    Notes
    -----
    What changes slowly within the windows adds to the drop, in proportion to their length squared.
    The rotation of the particle about an axis in the detector plane moves no
    speckle; it is not undone.
    """
    whole, error = drop(_deviations(before, valid, weighting), _deviations(after, valid, weighting))
    moved = register(before.mean(axis=0), after.mean(axis=0), valid)
    back = shift(after, (-moved[0], -moved[1]), valid)
    inner = _inside(valid, int(np.ceil(max(np.abs(moved))))) if max(np.abs(moved)) > 0.5 else valid
    inside, inside_error = drop(_deviations(before, inner, weighting), _deviations(back, inner, weighting))
    fraction = 1 - float(np.sqrt(min(max(1 - whole, 0.0), 1.0)))
    return Size(whole, error, inside, inside_error, fraction, moved, _by_ring(before, after, valid, weighting, rings))


def _by_ring(before: Array, after: Array, valid: Array, weighting: Weighting, rings: Array | None) -> Array:
    if rings is None:
        return np.full(3, np.nan)
    parts = [valid & (rings == k) for k in range(int(rings.max()) + 1)]
    return np.array([drop(_deviations(before, p, weighting), _deviations(after, p, weighting))[0] if p.any() else np.nan for p in parts])


def _deviations(frames: Array, valid: Array, weighting: Weighting) -> Array:
    """Weighed deviations of the valid pixels from the weighed mean of their frame, shape (time, pixel)."""
    weight = weighting.weight[valid]
    relative = frames[:, valid] / weighting.envelope[valid]
    mean = relative @ weight**2 / (weight**2).sum()
    return (relative - mean[:, None]) * weight


def register(before: Array, after: Array, valid: Array) -> tuple[float, float]:
    """(row, column) by which the pattern moved, to 0.01 px, by upsampled cross-correlation.

    Source: Guizar-Sicairos, Thurman and Fienup, Optics Letters 33, 156 (2008).

    Examples
    --------
    >>> spot = np.zeros((16, 16)); spot[7, 7] = 1.0
    >>> register(spot, np.roll(spot, 2, axis=1), np.ones((16, 16), bool))
    (0.0, 2.0)
    """
    reference, moving = (np.where(valid, image, 0.0) for image in (before, after))
    found, _, _ = phase_cross_correlation(reference, moving, upsample_factor=100, normalization=None)
    return float(-found[0]) + 0.0, float(-found[1]) + 0.0


def shift(frames: Array, by: tuple[float, float], valid: Array) -> Array:
    """Move frames (time, y, x) by (rows, columns), fractions of a pixel included.

    Invalid pixels count as the mean of the frames around them. A Fourier shift
    keeps the noise of a pixel as it was; speckles wider than two pixels are moved exactly.
    """
    mean = patterns.smooth_valid(frames.mean(axis=0), valid, 1.5)
    filled = np.where(valid, frames, mean)
    spectrum = fft.fft2(filled, workers=1)
    return fft.ifft2(ndimage.fourier_shift(spectrum, (0.0, *by)), workers=1).real


def _inside(valid: Array, margin: int) -> Array:
    """Valid pixels whose neighbours within `margin` are valid, away from the rim of the image."""
    return ndimage.binary_erosion(valid, np.ones((2 * margin + 1,) * 2), border_value=0)


def collapses(frames: Array, valid: Array, split: int, *, speckle_px: float, few: int = 5, left: float = 0.3) -> Array:
    """Pixels that alone make an event: empty unless its score falls to `left` of itself without them.

    Parameters
    ----------
    frames : array, shape (time, y, x)
        Counts of the good frames around the event.
    valid : bool array, shape (y, x)
    split : int
        First of them that shows the new state.
    speckle_px : float
        Width of a speckle.
    few : int
        How many pixels, those of the largest change in units of their noise.
    left : float
        Part of the score that a true event keeps: it moves whole speckles.

    Returns
    -------
    int array, shape (few, 2) or (0, 2)
        Row and column of each.
    """
    before, after = frames[:split].mean(axis=0), frames[split:].mean(axis=0)
    change = np.where(valid, np.abs(after - before) / np.sqrt(before + after + 1.0 / len(frames)), 0.0)
    brightest = np.stack(np.unravel_index(np.argsort(change, axis=None)[-few:], change.shape), axis=1)
    rest = valid.copy()
    rest[tuple(brightest.T)] = False
    with_them, without = (_score(frames, v, split, speckle_px) for v in (valid, rest))
    return brightest if without < left * with_them else brightest[:0]


def _score(frames: Array, valid: Array, split: int, speckle_px: float) -> float:
    """Squared step over photon noise, in the few frames of one event."""
    ok = np.ones(len(frames), bool)
    products = patterns.likeness(patterns.patterns(frames, valid, ok, speckle_px=speckle_px))
    return events.score(products, split, 0, len(frames), noise=events.noise_level(products))
