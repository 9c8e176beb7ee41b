r"""Synthetic events in measured frames: photons turned about the peak, and how visible the search finds them.

From some frame on, every photon moves with probability a to the pixel opposite of its own, seen
from the peak. Photons stay independent of each other, the envelope stays, and the part of the pattern that
is not symmetric changes by :math:`a (I_R - I)`. Its size is that of an event which keeps the contrast,

.. math:: D = \frac{|x' - x|^2}{2 |x|^2} = a^2 Q,

with x the vector of the search, about the envelope, and Q the value for a = 1. (The estimator ``1 - rho`` itself would be wrong:
mixing two patterns flattens their sum, so that the change is up to twice what its correlation says.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, special

from xcdi.backend import Array
from xcdi.kernels.avalanches import patterns
from xcdi.kernels.avalanches.steps import scan_statistic, score

__all__ = ["Curve", "Whitening", "between", "expected", "fit_curve", "opposite", "turned", "visibility", "whitening"]

NEAR = 3  # frames by which a found event may be off
STEEPNESS = np.exp(np.linspace(np.log(0.05), np.log(1.0), 25))  # widths of the rise, in ln D
PLACES = 121  # values of ln D that its middle is sought at


class Whitening(NamedTuple):
    """How frames become vectors: less `mean`, times `weight` (both (y, x)), smoothed with `sigma` pixels; as in the search."""

    mean: Array
    weight: Array
    sigma: float

    def __call__(self, frames: Array) -> Array:
        """Vectors of all pixels, float32, shape (time, y x x)."""
        away = ((frames - self.mean) * self.weight).astype(np.float32)
        smooth = ndimage.gaussian_filter(away, (0, self.sigma, self.sigma), mode="constant")
        return np.where(self.weight > 0, smooth, 0).reshape(len(frames), -1)


class Curve(NamedTuple):
    """Share of events found against their drop: D of which half and nine in ten are found, and relative errors of both."""

    half: float
    most: float
    half_error: float
    most_error: float


def whitening(mean: Array, valid: Array, speckle_px: float, *, crossover: float = 1.0) -> Whitening:
    """Return the rule by which :func:`xcdi.kernels.avalanches.patterns.patterns` makes vectors, for a known mean (y, x)."""
    sigma = patterns.SMOOTHING * speckle_px
    smooth = np.maximum(patterns.smooth_valid(mean, valid, sigma), 0.0)
    return Whitening(mean, np.where(valid, 1 / np.sqrt(smooth + crossover), 0.0), sigma)


def opposite(valid: Array, peak: tuple[float, float]) -> Array:
    """Flat index of the pixel opposite of each, about `peak` (row, column); its own where there is none or one is not valid.

    Examples
    --------
    >>> opposite(np.ones((1, 4), bool), (0, 1))
    array([2, 1, 0, 3])
    """
    rows, columns = valid.shape
    y, x = np.indices(valid.shape)
    across, along = round(2 * peak[0]) - y, round(2 * peak[1]) - x
    inside = (across >= 0) & (across < rows) & (along >= 0) & (along < columns) & valid
    inside[inside] = valid[across[inside], along[inside]]
    return np.where(inside, across * columns + along, np.arange(valid.size).reshape(valid.shape)).ravel()


def turned(frames: Array, partner: Array, share: float, rng: np.random.Generator) -> Array:
    """Frames (time, y, x) of which each photon has moved to the opposite pixel with probability `share`; no photon is lost.

    Examples
    --------
    >>> turned(np.array([[[1, 0, 5]]]), np.array([2, 1, 0]), 1.0, np.random.default_rng(0))
    array([[[5, 0, 1]]])
    """
    flat = np.rint(frames).astype(np.int64).reshape(len(frames), -1)
    lit = np.nonzero(flat)
    moved = np.zeros_like(flat)
    moved[lit] = rng.binomial(flat[lit], share)
    return (flat - moved + moved[:, partner]).reshape(frames.shape)


def between(vectors: Array) -> float:
    """Mean product of different vectors (time, pixel), in which noise is no square of itself; NaN for fewer than two.

    Examples
    --------
    >>> between(np.array([[1.0, 0.0], [3.0, 0.0]]))
    3.0
    """
    count, total = len(vectors), vectors.sum(axis=0, dtype=np.float64)
    return float(total @ total - (vectors**2).sum(dtype=np.float64)) / (count * (count - 1)) if count > 1 else float("nan")


def visibility(vectors: Array, changed: Array, at: int, breaks: tuple[int, ...], window: int, noise: float) -> float:
    """Highest z within 3 frames of `at`, from where on frames are replaced.

    Parameters
    ----------
    vectors : array, shape (time, pixel)
        Of all good frames.
    changed : array, shape (window + 3 or less, pixel)
        Of the frames from `at` on, as if an event had happened.
    at : int
    breaks : tuple of int
        Events already known, which end the windows.
    window : int
    noise : float
        Level of the search.
    """
    start = max(at - window - NEAR, 0)
    local = np.concatenate([vectors[start:at], changed])
    products = patterns.likeness(local)
    known = tuple(b - start for b in breaks if start < b < start + len(local))
    middle = at - start
    return float(scan_statistic(products, window, noise=noise, breaks=known, part=(middle - NEAR, middle + NEAR + 1)).max())


def expected(signal: float, window: int, noise: float) -> float:
    r"""Return the z that a drop of 1 is expected to have, from counts and contrast alone.

    Parameters
    ----------
    signal : float
        Squared norm of the pattern about its envelope, without noise, as a vector of the search.
    window : int
    noise : float
        Level of the search.

    Notes
    -----
    A drop D moves the pattern x by :math:`|\Delta x|^2 = 2 D |x|^2`. For two plain windows of W frames and P pixels of \mu counts and
    contrast \beta, all alike, this is :math:`D \beta W \mu \sqrt{2 P / 3}` (block contrast of the two-time map); here pixels weigh by
    their noise, a speckle of several pixels counts once, and the trend that is taken out costs a factor of about 4.
    """
    step = np.repeat([0.0, 1.0], window)
    return score(2 * signal * np.outer(step, step), window, 0, 2 * window, noise=noise)


def fit_curve(drops: Array, found: Array) -> Curve:
    """Fit a logistic curve in ln D to events that were found or not, by its mean over all curves weighed by their likelihood.

    Parameters
    ----------
    drops : array, shape (event,)
        Above 0.
    found : bool array, shape (event,)

    Examples
    --------
    >>> d = np.exp(np.linspace(np.log(0.01), np.log(0.1), 200))
    >>> bool(abs(fit_curve(d, d > 0.03).half / 0.03 - 1) < 0.05)
    True
    """
    x = np.log(drops)
    middle = np.linspace(x.min() - 0.5, x.max() + 0.5, PLACES)[:, None, None]
    width = STEEPNESS[:, None]
    rise = (x - middle) / width
    chance = np.where(found, -special.log1p(np.exp(-rise)), -special.log1p(np.exp(rise))).sum(axis=2)
    weight = np.exp(chance - chance.max())
    weight /= weight.sum()
    levels = [middle[..., 0] + 0 * width.T, middle[..., 0] + np.log(9) * width.T]
    mean = [float((weight * level).sum()) for level in levels]
    sd = [float(np.sqrt((weight * (level - m) ** 2).sum())) for level, m in zip(levels, mean, strict=True)]
    return Curve(float(np.exp(mean[0])), float(np.exp(mean[1])), sd[0], sd[1])
