"""Errors of two-time correlations: of elements by a law, of blocks of elements and of ages by leaving out tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.one_time import add_diagonals, cuts
from xcdi.kernels.correlation.photons import Photons, to_dense

__all__ = ["block_error", "element_error", "leave_out_aged"]

ROWS = 256  # of a two-time matrix at a time


def element_error(two_time: Array, level: Array, weights: Weights, contrast: float, *, area: float = 1.0) -> Array:
    r"""Standard error of each element of a two-time correlation, from measured means and contrast.

    .. math::
        \sigma^2 = \frac{\sum_p w_p^4 \left[A a + \frac{B}{S_p}\left(\frac1x + \frac1{x'}\right) + \frac{C}{S_p^2 x x'}\right]}
                        {\left(\sum_p w_p^2\right)^2}, \quad
        A = E_{22} - 4 C E_{21} + 2 (1 + \beta) C^2 + 2 C^3 - C^2, \quad B = E_{21} - C^2

    with the moments :math:`E_{jk} = \langle I^j I'^k \rangle` of two correlated gamma intensities of mean 1, contrast
    :math:`\beta` and :math:`\langle I I' \rangle = C`. Frames that share nothing have
    :math:`(\beta + 1/n)(\beta + 1/n') / N`: each frame is divided by its own mean, which takes part of the noise along.

    Parameters
    ----------
    two_time : array, shape (time, time2)
        Correlation by mean or by envelope; as a rule a smooth one, for a noisy element has a noisy error.
    level : array, shape (time,)
        Mean of counts over envelope of each frame, from :func:`normalise.frame_weight`; with the weights of
        a plain mean, counts per pixel.
    weights : Weights
        Of the pixels; ``Weights(ones, ones, n, n)`` for the mean of each frame.
    contrast : float
        Beta.
    area : float
        Sum over the distance of two pixels of the square of their intensity correlation; 1 for independent pixels,
        about half the area of larger speckles.

    Returns
    -------
    float64 array, shape (time, time2)
        NaN on the diagonal and where a frame is unknown.

    Notes
    -----
    The moments are those of intensities which are sums of 1/contrast circular complex Gaussian modes, linearised in
    the deviations from the mean. Elements that share a frame, or frames that still correlate, have errors in common: a mean over
    elements needs :func:`block_error`.

    Examples
    --------
    >>> even = Weights(np.ones(100), np.ones(100), 100.0, 100.0)
    >>> element_error(np.ones((2, 2)), np.array([0.5, 0.5]), even, 0.5)[0, 1].item()
    0.25
    """
    beta = max(float(contrast), 0.0)
    shared = np.clip(np.asarray(two_time, np.float64) - 1, 0.0, beta) if beta else np.zeros(np.shape(two_time))
    c, one = 1 + shared, np.asarray(level, np.float64)
    moment21 = 1 + beta + 2 * shared + 2 * beta * shared
    rho = shared / beta if beta else shared
    moment22 = beta**3 * (4 * rho + 2 * rho**2) + 8 * beta * shared + beta**2 + 2 * shared**2 + 2 * beta + 4 * shared + 1
    waves = moment22 - 4 * c * moment21 + 2 * (1 + beta) * c**2 + 2 * c**3 - c**2
    w2 = np.divide(weights.mean, weights.product, out=np.zeros(len(weights.mean)), where=weights.product > 0) ** 2
    per_count = np.divide(weights.mean, w2, out=np.zeros_like(w2), where=w2 > 0)  # 1 / S
    sums = [float(np.sum(w2**2 * per_count**power)) for power in range(3)]
    inverse = np.divide(1.0, one, out=np.full_like(one, np.nan), where=one > 0)
    photons = (moment21 - c**2) * sums[1] * (inverse[:, None] + inverse) + c * sums[2] * np.outer(inverse, inverse)
    error = np.sqrt(waves * area * sums[0] + photons) / weights.norm
    np.fill_diagonal(error, np.nan)
    return error


def block_error(counts: Array | Photons, weights: Weights, tile: Array, width: int) -> tuple[Array, Array]:
    """Two-time correlation in blocks of frames by ratio of sums, and the jackknife's standard error of each block.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Zero in the frames that are not to be used.
    weights : Weights
    tile : integer array, shape (pixel,)
    width : int
        Frames of a block; the last has what is left.

    Returns
    -------
    c, error : float64 arrays, shape (block, block)
        Pairs of a frame with itself are left out. NaN where no pair is left.

    Examples
    --------
    >>> even = Weights(np.ones(4), np.ones(4), 4.0, 4.0)
    >>> c, error = block_error(np.array([[1, 3, 1, 3]] * 4), even, np.array([0, 0, 1, 1]), 2)
    >>> c.tolist(), error.tolist()
    ([[1.25, 1.25], [1.25, 1.25]], [[0.0, 0.0], [0.0, 0.0]])
    """
    parts = [_block_sums(n, w, width) for n, w in _tiles(counts, weights, tile)]
    total = _BlockSums(*(sum(part) for part in zip(*parts, strict=True)))
    c = _block_ratio(total, width)
    first, second = np.zeros_like(c), np.zeros_like(c)
    for part in parts:
        away = _block_ratio(_BlockSums(*(a - b for a, b in zip(total, part, strict=True))), width) - c
        first += away
        second += away**2
    tiles = len(parts)
    return c, np.sqrt(np.maximum(second - first**2 / tiles, 0.0) * (tiles - 1) / tiles) if tiles > 1 else np.full_like(c, np.nan)


def leave_out_aged(counts: Array | Photons, weights: Weights, tile: Array, edges: Sequence[float]) -> Array:
    """One-time correlation of each age (ratio of sums) with one tile of pixels left out at a time.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Zero in the frames that are not to be used.
    weights : Weights
    tile : integer array, shape (pixel,)
    edges : sequence of float, (slice + 1,)
        Of ages in frames, as for :func:`one_time.aged`.

    Returns
    -------
    float64 array, shape (tile, slice, delay)
        Delay zero is NaN, and so is what has no pair. :func:`jackknife_error` gives the errors of
        ``aged(by_mean(...), frame_weight(...), edges=edges)``.

    Examples
    --------
    >>> even = Weights(np.ones(4), np.ones(4), 4.0, 4.0)
    >>> leave_out_aged(np.array([[1, 3, 1, 3]] * 3), even, np.array([0, 0, 1, 1]), (0, 1, 3))[:, :, 1].tolist()
    [[1.25, 1.25], [1.25, 1.25]]
    """
    cut, above, means, norms = cuts(edges), [], [], []
    for n, w in _tiles(counts, weights, tile):
        above.append(_diagonal_sums(n * w.product, cut))
        means.append(n @ w.mean)
        norms.append(w.norm)
    every, mean, norm = sum(above), sum(means), sum(norms)
    found = []
    for part, series, weight in zip(above, means, norms, strict=True):
        below = _diagonal_sums((mean - series)[:, None], cut)
        below[:, 0] = 0.0
        ratio = (every - part) * (norm - weight)
        found.append(np.divide(ratio, below, out=np.full_like(below, np.nan), where=below > 0))
    return np.stack(found)


def _tiles(counts: Array | Photons, weights: Weights, tile: Array) -> Iterator[tuple[Array, Weights]]:
    """Counts of each tile (time, pixel) as float64, and its weights."""
    dense = to_dense(counts) if isinstance(counts, Photons) else np.asarray(counts)
    for k in range(int(tile.max()) + 1):
        here = tile == k
        product, mean = weights.product[here], weights.mean[here]
        w2 = np.divide(mean, product, out=np.zeros(len(mean)), where=product > 0) ** 2
        yield dense[:, here].astype(np.float64), Weights(product, mean, float(w2.sum()), float((w2 * w2).sum()))


class _BlockSums(NamedTuple):
    """What adds up over tiles."""

    above: Array  # products of blocks, without those of a frame with itself
    mean: Array  # of each frame
    norm: float | Array


def _block_sums(n: Array, weights: Weights, width: int) -> _BlockSums:
    starts = np.arange(0, len(n), width)
    scaled = n * weights.product
    blocks = np.add.reduceat(scaled, starts, axis=0)
    above = blocks @ blocks.T
    above[np.diag_indices(len(starts))] -= np.add.reduceat(np.einsum("tp,tp->t", scaled, scaled), starts)
    return _BlockSums(above, n @ weights.mean, weights.norm)


def _block_ratio(sums: _BlockSums, width: int) -> Array:
    starts = np.arange(0, len(sums.mean), width)
    blocks = np.add.reduceat(sums.mean, starts)
    below = np.outer(blocks, blocks)
    below[np.diag_indices(len(starts))] -= np.add.reduceat(sums.mean**2, starts)
    known = below > 1e-12 * np.max(below, initial=0.0)
    return np.divide(sums.above * sums.norm, below, out=np.full_like(below, np.nan), where=known)


def _diagonal_sums(rows: Array, cut: Array) -> Array:
    """Sums over each diagonal and age of ``rows @ rows.T``, some of its rows at a time; (slice, delay)."""
    n = len(rows)
    above, below, ones = np.zeros((len(cut) - 1, n)), np.zeros((len(cut) - 1, n)), np.ones(n)
    for start in range(0, n, ROWS):
        add_diagonals(rows[start : start + ROWS] @ rows[start:].T, start, start, ones, cut, above, below)
    return above
