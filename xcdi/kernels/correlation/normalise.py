"""Normalisations of two-time correlation: exact sums of counts first, one division at the end.

Everything here takes ``counts`` of shape (time, pixel): one row per frame, one
column per pixel of one region. Sums of counts are integers and are computed
exactly, so they are the same for any block size, in any order, on any device.

Source of the normalisations: Bikondoa, J. Appl. Cryst. 50, 357 (2017),
doi:10.1107/S1600576717000577 (by mean, by pixel); Brown, Sutton et al.,
Phys. Rev. E 56, 6601 (1997), doi:10.1103/PhysRevE.56.6601 (covariance).
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation.matrices import diagonal, on_diagonal, or_nan, outer, over_outer
from xcdi.kernels.correlation.photons import Photons, to_dense
from xcdi.kernels.correlation.products import raw_products

__all__ = [
    "Sums",
    "Weights",
    "by_mean",
    "covariance",
    "frame_weight",
    "level_weights",
    "moments",
    "noise_levels",
    "noise_weights",
    "sums",
    "unit_weights",
    "weighted",
]

PANEL_BYTES = 2**27  # of centred counts at a time


class Sums(NamedTuple):
    """Sums over the pixels of one region that its two-time correlation is made of; exact where the weights are whole numbers.

    Attributes
    ----------
    products : array, shape (time, time2)
        ``sum_p a_p**2 n_p(t) n_p(t2)``; on the diagonal ``sum_p a_p**2 n_p (n_p - 1)``, which is
        free of shot noise.
    total, squares : array, shape (time,)
        ``sum_p b_p n_p`` and ``sum_p (b_p n_p)**2``.
    norm, norm2 : float
        Sums of the squared weights ``w_p**2`` and of their squares: both the number of pixels where all weigh 1.
    """

    products: Array
    total: Array
    squares: Array
    norm: float
    norm2: float


class Weights(NamedTuple):
    """How much each pixel counts in products of two frames and in the mean of one.

    Attributes
    ----------
    product, mean : array, shape (pixel,)
        Factors ``a_p = w_p / S_p`` of a count in a product of two, ``b_p = w_p**2 / S_p`` in a frame's mean.
    norm, norm2 : float
        ``sum_p w_p**2`` and ``sum_p w_p**4`` of the weights ``w_p`` these come from.
    """

    product: Array
    mean: Array
    norm: float
    norm2: float


def unit_weights(pixels: int) -> Weights:
    """Weights of pixels that all count the same, for the mean of a frame (N1, N4)."""
    ones = np.ones(pixels)
    return Weights(ones, ones, float(pixels), float(pixels))


def sums(counts: Array | Photons, weights: Weights | None = None, products: Array | None = None) -> Sums:
    """Collect the sums that a two-time correlation is made of.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
    weights : Weights, optional
        By default every pixel weighs 1, and all sums are exact integers.
    products : float64 array, shape (time, time2), optional
        ``sum_p a_p**2 n_p(t) n_p(t2)`` if it is known already; overwritten.

    Examples
    --------
    >>> sums(np.array([[1, 2], [3, 0]])).products
    array([[2., 3.],
           [3., 6.]])
    """
    pixels = counts.pixels if isinstance(counts, Photons) else counts.shape[1]
    if products is None:
        products = _products(counts, weights)
    weights = _like(unit_weights(pixels), counts) if weights is None else weights
    first, own, second = moments(counts, weights)
    return Sums(on_diagonal(products, second), first, own, weights.norm, weights.norm2)


def _products(counts: Array | Photons, weights: Weights | None) -> Array:
    """Products of the counts of two frames, summed over pixels; exact without weights."""
    dense = to_dense(counts) if isinstance(counts, Photons) else counts
    if weights is None:
        return raw_products(dense)
    xp = namespace(dense)
    n = xp.astype(dense, xp.float64) * weights.product
    return xp.matmul(n, xp.matrix_transpose(n))


def _like(weights: Weights, counts: Array | Photons) -> Weights:
    """The weights as arrays of the library of `counts`."""
    if isinstance(counts, Photons) or namespace(counts) is np:
        return weights
    xp = namespace(counts)
    return weights._replace(product=xp.asarray(weights.product), mean=xp.asarray(weights.mean))


def by_mean(s: Sums) -> Array:
    r"""Two-time correlation normalised by the (weighted) mean of each frame (N1, N5).

    .. math:: C(t_1, t_2) = \frac{W \sum_p a_p^2\, n_p(t_1)\, n_p(t_2)}
                                 {\sum_p b_p n_p(t_1)\, \sum_p b_p n_p(t_2)}, \quad W = \sum_p w_p^2

    With ``w_p = a_p S_p`` and ``b_p = a_p**2 S_p`` for an envelope S this is one plus the weighted mean of
    the products of ``n_p / (S_p x) - 1``, where x is the weighted mean of ``n_p / S_p``; with all of them 1
    it is ``<n n'>/(<n> <n'>)``.

    Parameters
    ----------
    s : Sums
        Its products are overwritten.

    Returns
    -------
    float64 array, shape (time, time2)
        1 for uncorrelated frames, 1 + contrast for a frozen speckle pattern.
        The diagonal holds factorial moments over pairs of different pixels, so
        neither shot noise nor its bias is in it.

    Notes
    -----
    With equal weights for pixels of equal expected intensity; the shape of a Bragg peak inflates it. A frame without a photon gives NaN.

    Examples
    --------
    >>> by_mean(sums(np.array([[10, 30], [10, 30]])))[0, 1].item()
    1.25
    """
    mean = or_nan(s.total)
    different = s.norm**2 - s.norm2 or float("nan")
    pairs = or_nan(mean * mean - s.squares)
    itself = diagonal(s.products) / s.norm * different / pairs
    return on_diagonal(over_outer(s.products, mean, s.norm), itself)


def covariance(s: Sums) -> Array:
    r"""One plus the correlation coefficient of the patterns of two frames, free of shot noise (N4).

    .. math:: C = 1 + \frac{\mathrm{cov}_p(n(t_1), n(t_2))}{\sqrt{v(t_1) v(t_2)}}, \quad
              v = V \langle n \rangle^2, \quad
              V = \frac{\sum_t \langle n(n-1) \rangle - \langle n \rangle^2}{\sum_t \langle n \rangle^2}

    Parameters
    ----------
    s : Sums
        With equal weights. Its products are overwritten.

    Returns
    -------
    float64 array, shape (time, time2)
        1 for uncorrelated frames, 2 for a frozen pattern, whatever its contrast
        or shape: single-particle Bragg peaks, low counts.

    Notes
    -----
    The variance of one frame alone is not positive in a third of the frames at
    0.3 photons in each of 2000 pixels; the relative variance V is therefore
    pooled over the frames. It is one number for the whole matrix, a ratio of
    exact sums. The diagonal holds each frame's own v over the pooled one.
    """
    xp, pixels = namespace(s.total), s.norm
    mean = or_nan(s.total)
    pairs = (s.total * s.total - s.squares) / max(pixels * (pixels - 1), 1)
    variance = (s.squares - s.total) / pixels - pairs
    pooled = or_nan(xp.sum(variance)) / xp.sum(pairs)
    itself = 1 + variance / (pooled * (mean / pixels) ** 2)
    c = over_outer(s.products, mean, pixels)  # <n n'> / (<n> <n'>)
    c -= 1
    c *= pixels / max(pixels - 1, 1) / pooled
    c += 1
    return on_diagonal(c, itself)


def noise_weights(envelope: Array, *, crossover: float = 2.0) -> Weights:
    r"""Weights ``w = S / (S + crossover)`` for counts divided by their envelope S (N5).

    Parameters
    ----------
    envelope : array, shape (pixel,)
        Expected counts per frame, 0 or more.
    crossover : float
        Counts at which speckle takes over from shot noise, between 1/contrast and
        2; 0 weighs every pixel the same (N3, or N2 if the envelope is the pixel's
        own mean), infinity as in a covariance.

    Examples
    --------
    >>> noise_weights(np.ones(3), crossover=1.0).norm
    0.75
    """
    xp = namespace(envelope)
    soft = envelope + crossover
    known = soft > 0
    safe = xp.where(known, soft, xp.ones_like(soft))
    w2 = xp.where(known, (envelope / safe) ** 2, xp.zeros_like(soft))
    product = xp.where(known, 1 / safe, xp.zeros_like(soft))
    return Weights(product, envelope * product**2, float(xp.sum(w2)), float(xp.sum(w2 * w2)))


def noise_levels(envelope: Array, *, crossover: float = 2.0) -> Array:
    r"""Weights of N5 as powers of two, so that weighted sums of counts stay exact.

    Parameters
    ----------
    envelope : array, shape (pixel,)
        Expected counts per frame, 0 or more; those of a reference window will do.
    crossover : float
        As in :func:`noise_weights`; above 0.

    Returns
    -------
    int array, shape (pixel,)
        k of ``a_p**2 = 2**k``, the power nearest to ``1 / (S + crossover)**2``, shifted so that the least is 0.

    Notes
    -----
    Any weights give an unbiased correlation; these stay within a factor sqrt(2) of the best ones, which costs 2 %
    in the noise of an element at most.

    Examples
    --------
    >>> noise_levels(np.array([0.0, 0.1, 20.0]))
    array([7, 7, 0])
    """
    level = np.round(-2 * np.log2(np.asarray(envelope) + crossover)).astype(int)
    return level - level.min(initial=level.max(initial=0))


def level_weights(level: Array, envelope: Array) -> Weights:
    """Weights ``a_p**2 = 2**level`` of pixels with the envelope S.

    Examples
    --------
    >>> level_weights(np.array([0, 2]), np.array([1.0, 0.5])).norm
    2.0
    """
    square = np.exp2(level)
    w2 = square * envelope**2
    return Weights(np.sqrt(square), square * envelope, float(w2.sum()), float((w2 * w2).sum()))


def weighted(counts: Array, weights: Weights) -> Array:
    r"""Two-time correlation of counts divided by a smooth envelope, each pixel weighed by its noise (N2, N3; N5 with free weights).

    .. math:: C = 1 + \frac{\sum_p w_p^2\, d_p(t_1)\, d_p(t_2)}{\sum_p w_p^2}, \quad
              d_p(t) = \frac{n_p(t)}{S_p \bar x(t)} - 1

    where :math:`\bar x(t)` is the weighted mean of :math:`n_p(t) / S_p`.

    Parameters
    ----------
    counts : array, shape (time, pixel)
    weights : Weights

    Returns
    -------
    float64 array, shape (time, time2)
        1 for uncorrelated frames, 1 + contrast for a frozen pattern; the diagonal
        from factorial moments. A frame without weight gives NaN.

    Notes
    -----
    Products of centred values, in single precision: exact to 1e-6. The pixels are taken in panels of fixed size, in order.
    """
    xp = namespace(counts)
    first, own, second = moments(counts, weights)
    norm, different = weights.norm or float("nan"), weights.norm**2 - weights.norm2 or float("nan")
    mean, pairs = or_nan(first / norm), or_nan(first * first - own) / different
    panel = max(256, PANEL_BYTES // (4 * max(counts.shape[0], 1)))
    total: Array = 0.0
    for start in range(0, counts.shape[1], panel):
        here = slice(start, min(start + panel, counts.shape[1]))
        part = Weights(weights.product[here], weights.mean[here], 0.0, 0.0)
        centred = _centred(counts[:, here], part, mean)
        total = total + xp.astype(xp.matmul(centred, xp.matrix_transpose(centred)), xp.float64)
    c = 1 + total / norm
    return on_diagonal(c + 0 * outer(mean), second / norm / pairs)


def frame_weight(counts: Array | Photons, weights: Weights) -> Array:
    """Weighted mean of counts over envelope, shape (time,); NaN for a frame without photons."""
    first, _, _ = moments(counts, weights)
    return or_nan(first / (weights.norm or float("nan")))


def moments(counts: Array | Photons, weights: Weights) -> tuple[Array, Array, Array]:
    """Sums over pixels, per frame, of ``b n``, of ``(b n)**2`` and of ``a**2 n (n - 1)``; some frames at a time."""
    if isinstance(counts, Photons):
        found = np.zeros((3, counts.frames))
        _photon_moments(counts.start, counts.pixel, counts.count, weights.mean, weights.product, found)
        return found[0], found[1], found[2]
    xp = namespace(counts)
    once = xp.stack([weights.mean, -(weights.product**2)], axis=1)
    twice = xp.stack([weights.mean**2, weights.product**2], axis=1)
    parts, step = [], max(1, 2**20 // max(counts.shape[1], 1))
    for start in range(0, counts.shape[0], step):
        n = xp.astype(counts[start : min(start + step, counts.shape[0]), :], xp.float64)
        linear, square = xp.matmul(n, once), xp.matmul(n * n, twice)
        parts.append(xp.stack([linear[:, 0], square[:, 0], linear[:, 1] + square[:, 1]], axis=0))
    whole = xp.concat(parts, axis=1)
    return whole[0, :], whole[1, :], whole[2, :]


@numba.njit(nogil=True, cache=True)
def _photon_moments(start, pixel, count, mean, product, found):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            n, b, a = float(count[e]), mean[pixel[e]], product[pixel[e]]
            found[0, t] += b * n
            found[1, t] += (b * n) ** 2
            found[2, t] += a * a * n * (n - 1)


def _centred(counts: Array, weights: Weights, mean: Array) -> Array:
    """``w_p d_p(t)`` in single precision; meaningless for a frame without photons."""
    xp = namespace(counts)
    some = weights.product > 0
    level = xp.where(some, weights.mean / xp.where(some, weights.product, 1.0), 0.0)
    centred = xp.astype(counts, xp.float32)
    centred *= xp.astype(weights.product, xp.float32)
    centred *= xp.astype(xp.where(mean > 0, 1 / mean, 0.0), xp.float32)[:, None]
    centred -= xp.astype(level, xp.float32)
    return centred
