"""Statistics of speckle: contrast without shot noise, by moments and by likelihood, and the size of a speckle."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from scipy import optimize

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation.jackknife import jackknife_error
from xcdi.kernels.correlation.photons import Photons, from_dense
from xcdi.kernels.correlation.products import square_sum

__all__ = [
    "Estimate",
    "Size",
    "contrast",
    "contrast_by_likelihood",
    "contrast_by_moments",
    "histograms",
    "moment_contrast",
    "negative_binomial",
    "size",
    "tile_moments",
]

FLATTEST, SHARPEST = -0.5, 20.0  # contrasts that the likelihood is searched over
NEAR_ZERO = 1e-4  # of contrast times mean, below which the likelihood is taken from its series


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


class Size(NamedTuple):
    """Size of a speckle along one direction of the detector.

    Attributes
    ----------
    width_px, error_px : float
        Full width at half maximum of the correlation between pixels, and its standard error [px].
    correlation, correlation_error : array, shape (shift,)
        Contrast that pixels 0, 1, ... apart share; the first by factorial moments.
    """

    width_px: float
    error_px: float
    correlation: Array
    correlation_error: Array


def contrast(counts: Array | Photons) -> float:
    r"""Speckle contrast :math:`\langle k(k-1) \rangle / \langle k \rangle^2 - 1`, free of shot noise.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Pixels of equal expected intensity.

    Notes
    -----
    The square of the mean is over pairs of different pixels, without the bias of (contrast + 1/mean)/pixels.

    Examples
    --------
    >>> contrast(np.array([[0, 2, 0, 2]]))
    0.5
    """
    if isinstance(counts, Photons):
        total, squares = counts.totals.astype(float), counts.squares.astype(float)
        return float(moment_contrast(total, squares, counts.pixels))
    xp = namespace(counts)
    return float(moment_contrast(xp.sum(xp.astype(counts, xp.float64), axis=1), square_sum(counts), counts.shape[1]))


def moment_contrast(total: Array, squares: Array, pixels: Array | int) -> Array:
    """Contrast from the sums of counts and of squared counts of each frame, shape (..., time); NaN without two photons in a frame.

    Examples
    --------
    >>> float(moment_contrast(np.array([4.0]), np.array([8.0]), 4))
    0.5
    """
    xp = namespace(total)
    pairs = xp.sum(total * total - squares, axis=-1)
    some = pairs > 0
    ratio = xp.sum(squares - total, axis=-1) * (pixels - 1) / xp.where(some, pairs, xp.ones_like(pairs)) - 1
    return xp.where(some, ratio, xp.full_like(ratio, float("nan")))


def contrast_by_moments(counts: Array | Photons, tile: Array) -> Estimate:
    """Contrast by factorial moments, its error from leaving out one tile of pixels after the other.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Pixels of equal expected intensity; zero in frames that are not to be used.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, 0, 1, ...; wider than a speckle.

    Notes
    -----
    Photons of one pixel and frame alone leave a standard error of ``sqrt(2 (1 + contrast) / (pixels frames)) / mean``, whatever
    the estimator. Where that is too much, pairs of photons in different frames know more: see :func:`visibility.contrast_from_lags`.

    Examples
    --------
    >>> contrast_by_moments(np.array([[0, 2, 0, 2, 0, 2]]), np.array([0, 0, 1, 1, 2, 2])).value
    0.25
    """
    total, squares = (sums.astype(float) for sums in tile_moments(counts, tile))
    size = np.bincount(tile)
    left = moment_contrast(total.sum(axis=0) - total, squares.sum(axis=0) - squares, size.sum() - size)
    whole = float(moment_contrast(total.sum(axis=0), squares.sum(axis=0), int(size.sum())))
    return Estimate(whole, float(jackknife_error(left)))


def tile_moments(counts: Array | Photons, tile: Array, *, together: int = 1) -> tuple[Array, Array]:
    """Sums over each tile of the counts, and of the squared counts, of so many consecutive frames added up.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
    tile : integer array, shape (pixel,)
    together : int
        Frames that make one exposure; frames behind the last whole exposure are not used.

    Returns
    -------
    int64 array, shape (tile, exposure)
    int64 array, shape (tile, exposure)

    Examples
    --------
    >>> counts = np.array([[1, 2], [3, 0]])
    >>> [sums.tolist() for sums in tile_moments(counts, np.array([0, 1]), together=2)]
    [[[4], [2]], [[16], [4]]]
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    exposures = events.frames // together
    total = np.zeros((int(tile.max()) + 1, exposures), np.int64)
    squares = np.zeros_like(total)
    row = np.zeros(events.pixels, np.int64)
    _moments(events.start, events.pixel, events.count, tile.astype(np.int64), together, row, total, squares)
    return total, squares


def histograms(counts: Array | Photons, tile: Array, group: Array | None = None) -> Array:
    """How many pixels of each tile hold 0, 1, ... photons, in the frames of each group.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
    tile : integer array, shape (pixel,)
    group : integer array, shape (time,), optional
        Group of each frame, 0, 1, ..., or -1 for a frame to leave out. Frames of one group are taken to have one expected
        intensity; by default all.

    Returns
    -------
    int64 array, shape (tile, group, photons)

    Examples
    --------
    >>> histograms(np.array([[1, 0, 2], [0, 0, 1]]), np.zeros(3, int)).tolist()
    [[[3, 2, 1]]]
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    group = np.zeros(events.frames, np.int64) if group is None else group.astype(np.int64)
    found = np.zeros((int(tile.max()) + 1, int(group.max(initial=0)) + 1, int(events.count.max(initial=0)) + 1), np.int64)
    _histograms(events.start, events.pixel, events.count, tile.astype(np.int64), group, found)
    frames = np.bincount(group[group >= 0], minlength=found.shape[1])
    found[:, :, 0] = np.bincount(tile)[:, None] * frames - found[:, :, 1:].sum(axis=2)
    return found


def negative_binomial(histogram: Array) -> Estimate:
    r"""Contrast of largest likelihood, from how often each number of photons was seen.

    .. math:: P(k) = \frac{\Gamma(k + M)}{\Gamma(M)\, k!} \left(1 + \frac{M}{n}\right)^{-k} \left(1 + \frac{n}{M}\right)^{-M},
              \quad \beta = 1/M

    Parameters
    ----------
    histogram : integer array, shape (photons,) or (group, photons)
        Each group has a mean n of its own, which is that of its photons; the contrast is common.

    Returns
    -------
    Estimate
        The error is of independent pixels and frames (curvature of the likelihood). The value is not held above zero, so that
        it has no bias where there is no contrast.

    Notes
    -----
    In the form :math:`\ln P = \sum_{j<k} \ln(1 + \beta j) + k \ln n - (k + 1/\beta) \ln(1 + \beta n) - \ln k!`, which is smooth
    through zero. Source: Goodman, Statistical Optics (1985), chapter 9; Hruszkewycz et al., Phys. Rev. Lett. 109, 185502 (2012),
    doi:10.1103/PhysRevLett.109.185502.

    Examples
    --------
    >>> k = np.arange(60)
    >>> found = negative_binomial(1e6 * (k + 1) * 0.5 ** (k + 2))
    >>> round(found.value, 6)
    0.5
    """
    rows = np.atleast_2d(histogram).astype(float)
    samples = rows.sum(axis=1)
    mean = np.divide(rows @ np.arange(rows.shape[1]), samples, out=np.zeros(len(rows)), where=samples > 0)
    above = rows.sum(axis=0)[::-1].cumsum()[::-1][1:]  # samples with more than j photons
    j = np.arange(above.size)
    if above[1:].sum() == 0:
        return Estimate(float("nan"), float("nan"))
    lowest = max(FLATTEST, -0.99 / max(j[-1], mean.max()))

    def slope(beta: float) -> float:
        return float(above @ (j / (1 + beta * j)) - samples @ _pull(beta, mean)[0])

    if slope(lowest) < 0 or slope(SHARPEST) > 0:
        return Estimate(lowest if slope(lowest) < 0 else SHARPEST, float("inf"))
    best = float(optimize.brentq(slope, lowest, SHARPEST, xtol=1e-12))
    information = float(above @ (j / (1 + best * j)) ** 2 + samples @ _pull(best, mean)[1])
    return Estimate(best, information**-0.5 if information > 0 else float("inf"))


def contrast_by_likelihood(counts: Array | Photons, tile: Array, group: Array | None = None) -> Estimate:
    """Contrast of largest likelihood of negative binomial counts, its error from leaving out one tile after the other.

    Parameters
    ----------
    counts, tile
        As for :func:`contrast_by_moments`.
    group : integer array, shape (time,), optional
        As for :func:`histograms`: frames of different brightness.

    Examples
    --------
    >>> counts = np.random.default_rng(1).poisson(np.random.default_rng(2).exponential(1.0, (300, 100)))
    >>> found = contrast_by_likelihood(counts, np.arange(100) // 10)
    >>> abs(found.value - 1) < 3 * found.error
    True
    """
    found = histograms(counts, tile, group)
    left = np.array([negative_binomial(found.sum(axis=0) - part).value for part in found])
    return Estimate(negative_binomial(found.sum(axis=0)).value, float(jackknife_error(left)))


def size(counts: Array | Photons, y: Array, x: Array, tile: Array, *, envelope: Array | None = None, reach: int = 8) -> tuple[Size, Size]:
    r"""Size of a speckle along y and along x, from what pixels side by side share in the same frame.

    .. math:: \beta(d) = \frac{\sum_t \sum_p n_p(t)\, n_{p+d}(t)}{\sum_t \sum_p \bar n_p(t)\, \bar n_{p+d}(t)} - 1

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        For a pattern that stands still, the sum of all frames as one frame tells the same with less noise.
    y, x : integer array, shape (pixel,)
        Where the pixels are.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, for the errors.
    envelope : array, shape (pixel,), optional
        Expected counts of each pixel, up to a factor; by default all the same.
    reach : int
        Largest distance that is compared [px].

    Returns
    -------
    Size
        Along y.
    Size
        Along x.

    Notes
    -----
    The width is of a Gaussian through :math:`\beta(d)`. A slit of width L gives a speckle of full width
    0.886 :math:`\lambda D/L`. Widths below about a pixel cannot be told apart.

    Examples
    --------
    >>> y, x = np.divmod(np.arange(400), 20)
    >>> pairs = np.repeat(np.random.default_rng(1).exponential(1.0, (50, 20, 10)), 2, axis=2).reshape(50, 400)
    >>> along_y, along_x = size(np.random.default_rng(2).poisson(pairs), y, x, y // 4)
    >>> along_y.width_px < 1.0 < along_x.width_px
    True
    """
    events = counts if isinstance(counts, Photons) else from_dense(counts)
    envelope = np.ones(events.pixels) if envelope is None else np.asarray(envelope, float)
    own = np.zeros(events.pixels, np.int64)
    _pairs(events.start, events.pixel, events.count, np.arange(events.pixels), np.zeros(events.pixels, np.int64), own)
    different = float(np.sum(events.totals.astype(float) ** 2) - events.squares.sum())
    level = envelope * (max(different, 0.0) / (envelope.sum() ** 2 - np.sum(envelope**2))) ** 0.5
    return _along(events, y, x, tile, level, reach, own), _along(events, x, y, tile, level, reach, own)


def _along(events: Photons, up: Array, across: Array, tile: Array, level: Array, reach: int, own: Array) -> Size:
    """The size along the coordinate `up`; `level` squared is the expected sum of products."""
    count, tiles = int(tile.max()) + 1, tile.astype(np.int64)
    seen, expected = np.zeros((count, reach + 1)), np.zeros((count, reach + 1))
    place = np.full((int(np.ptp(up)) + 1 + reach, int(np.ptp(across)) + 1), -1)
    place[up - up.min(), across - across.min()] = np.arange(events.pixels)
    singles = np.zeros(events.pixels, np.int64)
    np.add.at(singles, events.pixel, events.count.astype(np.int64))
    for shift in range(reach + 1):
        other = place[up - up.min() + shift, across - across.min()]
        sums = own - singles if shift == 0 else np.zeros(events.pixels, np.int64)
        if shift:
            _pairs(events.start, events.pixel, events.count, other, np.zeros(events.pixels, np.int64), sums)
        pairs = np.where(other >= 0, level * level[other], 0.0)
        seen[:, shift], expected[:, shift] = np.bincount(tiles, sums, count), np.bincount(tiles, pairs, count)
    return _sized(seen, expected)


def _sized(seen: Array, expected: Array) -> Size:
    """Correlation and width from sums of products per tile, seen and expected."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = seen.sum(axis=0) / expected.sum(axis=0) - 1
        left = (seen.sum(axis=0) - seen) / (expected.sum(axis=0) - expected) - 1
    error = jackknife_error(left)
    width, replicas = _width(whole, error), np.array([_width(row, error) for row in left])
    return Size(width, float(jackknife_error(replicas)), whole, error)


def _width(correlation: Array, error: Array) -> float:
    """Full width at half maximum of the Gaussian through a correlation."""
    known = np.isfinite(correlation) & np.isfinite(error) & (error > 0)
    if known.sum() < 3 or not known[1]:
        return float("nan")
    d, c, sigma = np.flatnonzero(known), correlation[known], error[known]

    def misfit(p: Array) -> Array:
        return (p[0] * np.exp(-4 * np.log(2) * (d / p[1]) ** 2) - c) / sigma

    start = [max(float(c[:2].max()), 1e-3), 2.0]
    return float(optimize.least_squares(misfit, start, bounds=([0.0, 0.2], [np.inf, 4.0 * d[-1]]), x_scale=[start[0], 1.0]).x[1])


@numba.njit(nogil=True, cache=True)
def _moments(start, pixel, count, tile, together, row, total, squares):  # type: ignore[no-untyped-def]
    for g in range(total.shape[1]):
        first, last = start[g * together], start[(g + 1) * together]
        for e in range(first, last):
            row[pixel[e]] += np.int64(count[e])
        for e in range(first, last):
            n = row[pixel[e]]
            total[tile[pixel[e]], g] += n
            squares[tile[pixel[e]], g] += n * n
            row[pixel[e]] = 0


@numba.njit(nogil=True, cache=True)
def _histograms(start, pixel, count, tile, group, found):  # type: ignore[no-untyped-def]
    for t in range(group.size):
        if group[t] >= 0:
            for e in range(start[t], start[t + 1]):
                found[tile[pixel[e]], group[t], np.int64(count[e])] += 1


@numba.njit(nogil=True, cache=True)
def _pairs(start, pixel, count, other, row, sums):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            row[pixel[e]] = np.int64(count[e])
        for e in range(start[t], start[t + 1]):
            q = other[pixel[e]]
            if q >= 0:
                sums[pixel[e]] += np.int64(count[e]) * row[q]
        for e in range(start[t], start[t + 1]):
            row[pixel[e]] = 0


def _pull(beta: float, mean: Array) -> tuple[Array, Array]:
    """``(x - ln(1 + x)) / beta**2`` with ``x = beta mean``, and its derivative by beta."""
    x = beta * mean
    if abs(beta) * max(float(mean.max(initial=0.0)), 1e-300) < NEAR_ZERO:
        return mean**2 * (0.5 - x / 3 + x**2 / 4), mean**3 * (-1 / 3 + x / 2)
    gap = x - np.log1p(x)
    return gap / beta**2, mean * x / (1 + x) / beta**2 - 2 * gap / beta**3
