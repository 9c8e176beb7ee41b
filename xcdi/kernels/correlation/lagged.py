"""Sums over pixels of products of counts at every delay, tile by tile: what adds up, before any division.

Each tile is summed the cheaper way: pair by pair over the times at which a
pixel counted, or by Fourier transforms of its series. Both give the same to
float rounding; pairs of equally weighted pixels are integers and exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from scipy import fft

from xcdi.backend import Array
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.photons import Photons

__all__ = ["TileSums", "autocorrelation", "by_pixel", "tile_sums"]

PAIR_S, POINT_S = 0.6e-9, 0.45e-9  # seconds per pair of events, and per point of a transform and doubling of its length
BATCH = 2**22  # points of series held at a time


class TileSums(NamedTuple):
    """Sums over the pixels of each tile; those of several tiles together are their sums.

    Attributes
    ----------
    lagged : float64 array, shape (tile, delay)
        ``sum_p a_p**2 sum_t n_p(t) n_p(t + delay)``; at delay zero of ``n_p (n_p - 1)``, free of shot noise.
    mean : float64 array, shape (tile, time)
        ``sum_p b_p n_p(t)``.
    own : float64 array, shape (tile,)
        ``sum_t sum_p (b_p n_p(t))**2``.
    norm, norm2, shot : float64 array, shape (tile,)
        Sums of ``w_p**2``, ``w_p**4`` and ``b_p**2``, with a, b and w as in :class:`Weights`.
    """

    lagged: Array
    mean: Array
    own: Array
    norm: Array
    norm2: Array
    shot: Array


def tile_sums(counts: Array | Photons, weights: Weights, tile: Array, *, threads: int = 1) -> TileSums:
    """Collect the sums of every tile.

    Parameters
    ----------
    counts : integer array, shape (time, pixel), or Photons
        Zero in the frames that are not to be used.
    weights : Weights
        As for the two-time correlation; ``Weights(ones, ones, n, n)`` for the mean of each frame.
    tile : integer array, shape (pixel,)
        Number of each pixel's tile, 0, 1, ...
    threads : int
        Tiles at a time. Each is summed by one thread, so this changes no bit.

    Examples
    --------
    >>> ones = np.ones(2)
    >>> tile_sums(np.array([[1, 2], [3, 0], [1, 1]]), Weights(ones, ones, 2.0, 2.0), np.array([0, 1])).lagged
    array([[6., 6., 1.],
           [2., 0., 2.]])
    """
    frames, pixels = (counts.frames, counts.pixels) if isinstance(counts, Photons) else counts.shape
    tiles = int(tile.max()) + 1
    members = np.split(np.argsort(tile, kind="stable"), np.cumsum(np.bincount(tile, minlength=tiles))[:-1])
    add = _from_lists(counts) if isinstance(counts, Photons) else _from_frames(np.asarray(counts))
    square, mean = np.asarray(weights.product, float) ** 2, np.asarray(weights.mean, float)
    lagged, means, own = np.zeros((tiles, frames)), np.zeros((tiles, frames)), np.zeros(tiles)

    def one(k: int) -> None:
        own[k] = add(members[k], square, mean, lagged[k], means[k])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(tiles)))
    w2 = np.divide(mean**2, square, out=np.zeros(pixels), where=square > 0)
    norm, norm2, shot = (np.bincount(tile, values, tiles) for values in (w2, w2 * w2, mean**2))
    return TileSums(lagged, means, own, norm, norm2, shot)


def autocorrelation(series: Array) -> Array:
    """Autocorrelation along the last axis, at delays 0 to its length - 1.

    Examples
    --------
    >>> autocorrelation(np.array([1.0, 2.0, 3.0])).round(9)
    array([14.,  8.,  3.])
    """
    n = series.shape[-1]
    size = fft.next_fast_len(2 * n, real=True)
    return fft.irfft(np.abs(fft.rfft(series, size)) ** 2, size)[..., :n]


def by_pixel(photons: Photons) -> tuple[Array, Array, Array]:
    """Photons pixel by pixel: where each pixel's begin (pixel + 1,), their times, rising, and their counts.

    Examples
    --------
    >>> from xcdi.kernels.correlation.photons import from_dense
    >>> by_pixel(from_dense(np.array([[0, 2], [4, 3]])))[1]
    array([1, 0, 1], dtype=int32)
    """
    begin = np.zeros(photons.pixels + 1, np.int64)
    begin[1:] = np.cumsum(np.bincount(photons.pixel, minlength=photons.pixels))
    time, count = np.empty(photons.pixel.size, np.int32), np.empty_like(photons.count)
    _transpose(photons.start, photons.pixel, photons.count, begin[:-1].copy(), time, count)
    return begin, time, count


Adding = Callable[[Array, Array, Array, Array, Array], float]


def _from_lists(photons: Photons) -> Adding:
    """Function that adds some pixels of `photons` to the sums of a tile."""
    begin, time, count = by_pixel(photons)

    def add(here: Array, square: Array, mean: Array, lagged: Array, means: Array) -> float:
        if _pairs_are_cheaper(np.diff(begin)[here], lagged.size):
            return _add_lists(begin, time, count, here, square, mean, lagged, means)
        own, spectrum = 0.0, _Spectrum(lagged.size)
        for some in _batches(here, lagged.size):
            series = np.zeros((some.size, lagged.size), count.dtype)
            _series(begin, time, count, some, series)
            own += spectrum.add(series, square[some], mean[some], lagged, means)
        lagged += spectrum.correlation()
        return own

    return add


def _from_frames(counts: Array) -> Adding:
    """The same for dense frames (time, pixel)."""

    def add(here: Array, square: Array, mean: Array, lagged: Array, means: Array) -> float:
        own, spectrum = 0.0, _Spectrum(lagged.size)
        for some in _batches(here, lagged.size):
            series = np.ascontiguousarray(np.take(counts, some, axis=1).T)
            events = np.count_nonzero(series, axis=1)
            if _pairs_are_cheaper(events, lagged.size):
                begin = np.concatenate([[0], np.cumsum(events)])
                time = np.nonzero(series)[1].astype(np.int32)
                every = np.arange(some.size)
                own += _add_lists(begin, time, series[series > 0], every, square[some], mean[some], lagged, means)
            else:
                own += spectrum.add(series, square[some], mean[some], lagged, means)
        lagged += spectrum.correlation()
        return own

    return add


class _Spectrum:
    """Power spectra of series, added up; transformed back once."""

    def __init__(self, frames: int) -> None:
        self._frames, self._size = frames, fft.next_fast_len(2 * frames, real=True)
        self._power: Array | None = None
        self._first = 0.0

    def add(self, series: Array, square: Array, mean: Array, lagged: Array, means: Array) -> float:
        """Add some pixels (pixel, time) to the power and to `means`; return their part of the self-terms."""
        n = series.astype(float)
        means += mean @ n
        squares, sums = np.einsum("pt,pt->p", n, n), n.sum(axis=1)
        self._first += float(square @ (squares - sums))
        spectrum = fft.rfft(np.sqrt(square)[:, None] * n, self._size)
        power = np.einsum("pf,pf->f", spectrum.real, spectrum.real) + np.einsum("pf,pf->f", spectrum.imag, spectrum.imag)
        self._power = power if self._power is None else self._power + power
        return float(mean**2 @ squares)

    def correlation(self) -> Array:
        """Sum of the autocorrelations, its first element by factorial moments."""
        if self._power is None:
            return np.zeros(self._frames)
        found = fft.irfft(self._power, self._size)[: self._frames]
        found[0] = self._first
        return found


def _batches(here: Array, frames: int) -> Iterator[Array]:
    step = max(1, BATCH // max(2 * frames, 1))
    for start in range(0, here.size, step):
        yield here[start : start + step]


def _pairs_are_cheaper(events: Array, frames: int) -> bool:
    pairs = float(np.sum(events * (events - 1.0))) / 2
    return pairs * PAIR_S < events.size * 2 * frames * np.log2(2 * frames + 2) * POINT_S


@numba.njit(nogil=True, cache=True)
def _transpose(start, pixel, count, at, time, count2):  # type: ignore[no-untyped-def]
    for t in range(start.size - 1):
        for e in range(start[t], start[t + 1]):
            here = at[pixel[e]]
            time[here] = t
            count2[here] = count[e]
            at[pixel[e]] = here + 1


@numba.njit(nogil=True, cache=True)
def _series(begin, time, count, some, series):  # type: ignore[no-untyped-def]
    for k in range(some.size):
        for e in range(begin[some[k]], begin[some[k] + 1]):
            series[k, time[e]] = count[e]


@numba.njit(nogil=True, cache=True)
def _add_lists(begin, time, count, some, square, mean, lagged, means):  # type: ignore[no-untyped-def]
    own = 0.0
    for k in range(some.size):
        p = some[k]
        stop = begin[p + 1]
        for i in range(begin[p], stop):
            first, n = time[i], float(count[i])
            means[first] += mean[p] * n
            own += (mean[p] * n) ** 2
            lagged[0] += square[p] * n * (n - 1.0)
            n *= square[p]
            for j in range(i + 1, stop):
                lagged[time[j] - first] += n * count[j]
    return own
