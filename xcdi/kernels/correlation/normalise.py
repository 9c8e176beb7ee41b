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

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation.matrices import diagonal, on_diagonal, or_nan, outer
from xcdi.kernels.correlation.products import raw_products, square_sum

__all__ = [
    "Sums",
    "Weights",
    "by_mean",
    "covariance",
    "frame_weight",
    "noise_weights",
    "sums",
    "weighted",
]


class Sums(NamedTuple):
    """Exact sums over the pixels of one region, each integer-valued float64.

    Attributes
    ----------
    products : array, shape (time, time2)
        ``sum_p n_p(t) n_p(t2)``; on the diagonal ``sum_p n_p (n_p - 1)``, which is
        free of shot noise.
    total, squares : array, shape (time,)
        ``sum_p n_p`` and ``sum_p n_p**2``.
    pixels : int
        Number of pixels.
    """

    products: Array
    total: Array
    squares: Array
    pixels: int


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


def sums(counts: Array, products: Array | None = None) -> Sums:
    """Collect the exact sums that the normalisations by mean and by covariance need.

    Parameters
    ----------
    counts : integer array, shape (time, pixel)
    products : array, shape (time, time2), optional
        What :func:`raw_products` gives for `counts`, if it is known already.

    Examples
    --------
    >>> import numpy as np
    >>> sums(np.array([[1, 2], [3, 0]])).products
    array([[2., 3.],
           [3., 6.]])
    """
    xp = namespace(counts)
    raw = raw_products(counts) if products is None else products
    total = xp.sum(xp.astype(counts, xp.float64), axis=1)
    squares = square_sum(counts)
    return Sums(on_diagonal(raw, squares - total), total, squares, counts.shape[1])


def by_mean(s: Sums) -> Array:
    r"""Two-time correlation normalised by the mean of each frame (N1).

    .. math:: C(t_1, t_2) = \frac{\langle n_p(t_1)\, n_p(t_2) \rangle_p}
                                 {\langle n_p(t_1) \rangle_p \langle n_p(t_2) \rangle_p}

    Parameters
    ----------
    s : Sums

    Returns
    -------
    float64 array, shape (time, time2)
        1 for uncorrelated frames, 1 + contrast for a frozen speckle pattern.
        The diagonal holds factorial moments over pairs of different pixels, so
        neither shot noise nor its bias is in it.

    Notes
    -----
    For pixels of equal expected intensity; the shape of a Bragg peak inflates it. A frame without a photon gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> by_mean(sums(np.array([[10, 30], [10, 30]])))[0, 1].item()
    1.25
    """
    mean = or_nan(s.total)
    ratio = s.pixels * s.products / outer(mean)
    pairs = mean * mean - s.squares
    return on_diagonal(ratio, diagonal(s.products) * (s.pixels - 1) / or_nan(pairs))


def covariance(s: Sums) -> Array:
    r"""One plus the correlation coefficient of the patterns of two frames, free of shot noise (N4).

    .. math:: C = 1 + \frac{\mathrm{cov}_p(n(t_1), n(t_2))}{\sqrt{v(t_1) v(t_2)}}, \quad
              v = V \langle n \rangle^2, \quad
              V = \frac{\sum_t \langle n(n-1) \rangle - \langle n \rangle^2}{\sum_t \langle n \rangle^2}

    Parameters
    ----------
    s : Sums

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
    pairs = (s.total * s.total - s.squares) / max(s.pixels * (s.pixels - 1), 1)
    variance = (s.squares - s.total) / s.pixels - pairs
    xp = namespace(s.total)
    joint = (s.products - outer(s.total) / s.pixels) / max(s.pixels - 1, 1)
    scale = or_nan(xp.sum(variance)) / xp.sum(pairs) * outer(or_nan(s.total) / s.pixels)
    return 1 + on_diagonal(joint, variance) / scale


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
    >>> import numpy as np
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


def weighted(counts: Array, weights: Weights) -> Array:
    r"""Two-time correlation of counts divided by a smooth envelope, each pixel weighed by its noise (N2, N3, N5).

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
    Products of centred values, in single precision: exact to 1e-6.
    """
    xp = namespace(counts)
    first, own, second = _moments(counts, weights)
    norm, different = weights.norm or float("nan"), weights.norm**2 - weights.norm2 or float("nan")
    mean, pairs = or_nan(first / norm), or_nan(first * first - own) / different
    centred = _centred(counts, weights, mean)
    c = 1 + xp.astype(xp.matmul(centred, xp.matrix_transpose(centred)), xp.float64) / norm
    return on_diagonal(c + 0 * outer(mean), second / norm / pairs)


def frame_weight(counts: Array, weights: Weights) -> Array:
    """Weighted mean of counts over envelope, shape (time,); NaN for a frame without photons."""
    first, _, _ = _moments(counts, weights)
    return or_nan(first / (weights.norm or float("nan")))


def _moments(counts: Array, weights: Weights) -> tuple[Array, Array, Array]:
    """Sums over pixels, per frame, of ``b n``, of ``(b n)**2`` and of ``a**2 n (n - 1)``; some frames at a time."""
    xp = namespace(counts)
    once = xp.stack([weights.mean, -(weights.product**2)], axis=1)
    twice = xp.stack([weights.mean**2, weights.product**2], axis=1)
    parts, step = [], max(1, 2**20 // max(counts.shape[1], 1))
    for start in range(0, counts.shape[0], step):
        n = xp.astype(counts[start : min(start + step, counts.shape[0]), :], xp.float64)
        linear, square = xp.matmul(n, once), xp.matmul(n * n, twice)
        parts.append(xp.stack([linear[:, 0], square[:, 0], linear[:, 1] + square[:, 1]], axis=0))
    found = xp.concat(parts, axis=1)
    return found[0, :], found[1, :], found[2, :]


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
