"""Views of a multi-tau pyramid: one-time, aged and two-time correlation, divided last, out of the same exact sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation.pyramid import Pyramid, lags

__all__ = [
    "Elements",
    "Places",
    "Spread",
    "age_lag",
    "age_lag_map",
    "aged",
    "delays",
    "diagonal",
    "expected_pairs",
    "places",
    "ratio_of_sums",
    "replicas",
    "spread",
    "symmetric",
    "trc",
    "two_time",
]


class Elements(NamedTuple):
    """Elements of a multi-tau two-time correlation, in rising order of delay and age.

    Attributes
    ----------
    age, delay : float64 array, shape (element,)
        Mean of the two times, in frames from the beginning of the whole series, and their
        difference; of the good single frames, where some are missing.
    width : int64 array, shape (element,)
        Single frames in each of the two frames.
    value : float64 array, shape (element,)
        1 for uncorrelated frames, 1 + contrast for a frozen pattern; NaN where a frame has no photon.
    weight : float64 array, shape (element,)
        Product of the two means, per pixel; with it the average of elements is a ratio of sums.
    """

    age: Array
    delay: Array
    width: Array
    value: Array
    weight: Array


class Places(NamedTuple):
    """Where the elements of :func:`two_time` belong.

    Attributes
    ----------
    level, lag : uint8 array, shape (element,)
        Frames of 2**level single frames, and how many of them the second is after the first.
    start : int64 array, shape (element,)
        Number of the single frame with which the first of the two begins.
    """

    level: Array
    lag: Array
    start: Array


class Spread(NamedTuple):
    """How the elements at one delay scatter over the ages, for chi4.

    Attributes
    ----------
    mean, variance : float64 array, shape (delay,)
        Of the elements, each counting the same. Shot noise and the number of speckles are in the variance.
    number : int64 array, shape (delay,)
        Of elements that are known.
    """

    mean: Array
    variance: Array
    number: Array


class _Coarse(NamedTuple):
    """Photons, good single frames and their mean time, of each frame of a level."""

    total: Array
    good: Array
    time: Array


class _Line(NamedTuple):
    """All ages of one lag: exact numerators and denominators of the two-time correlation."""

    level: int
    lag: int
    above: Array
    below: Array
    left: _Coarse
    right: _Coarse


def delays(p: Pyramid) -> Array:
    """Delays that a pyramid has, in frames, rising, int64 (delay,); 0 is from factorial moments.

    Examples
    --------
    >>> delays(Pyramid(np.array([0, 0]), channels=4).add(np.ones((20, 2), int)))
    array([ 0,  1,  2,  3,  4,  6,  8, 12, 16])
    """
    return np.array([lag << level for level, lag in _kept(p)], np.int64)


def ratio_of_sums(p: Pyramid) -> Array:
    r"""One-time correlation as a ratio of sums over all ages, shape (delay,).

    .. math:: g_2(\tau) = \frac{\sum_t \langle n(t)\, n(t + \tau) \rangle_p}{\sum_t \langle n(t) \rangle_p \langle n(t + \tau) \rangle_p}

    A drift of the intensity cancels; bright frames weigh more.

    Examples
    --------
    >>> ratio_of_sums(Pyramid(np.array([0, 0]), channels=4).add(np.array([[10, 30]] * 3)))[1:]
    array([1.25, 1.25])
    """
    return np.array([_ratio(float(p.tile.size) * np.sum(x.above), np.sum(x.below)) for x in _lines(p)])


def symmetric(p: Pyramid) -> Array:
    r"""One-time correlation by the symmetric normalisation of multi-tau correlators, shape (delay,).

    .. math:: g_2(\tau) = \frac{\overline{\langle n(t)\, n(t + \tau) \rangle_p}}
                               {\overline{\langle n(t) \rangle_p}\; \overline{\langle n(t + \tau) \rangle_p}}

    The bars are means over the good pairs, the left mean over their earlier and the right
    over their later frames. A drift of the intensity shows as correlation at short delays.
    Source: Schaetzel, Drewel and Stimac, J. Mod. Opt. 35, 711 (1988), doi:10.1080/09500348814550731.
    """
    found = []
    for x in _lines(p):
        pairs = np.sum(x.left.good * x.right.good, dtype=float)
        left, right = np.sum(x.left.total * x.right.good, dtype=float), np.sum(x.right.total * x.left.good, dtype=float)
        size = p.tile.size if x.lag else p.tile.size / (1 - 1 / p.tile.size)  # the means are of all pixels, without pairs of them
        found.append(_ratio(size * np.sum(x.above) * pairs, left * right))
    return np.array(found)


def aged(p: Pyramid, edges: Array) -> Array:
    """One-time correlations (ratio of sums) of slices of the age, shape (slice, delay).

    Parameters
    ----------
    p : Pyramid
    edges : array, shape (slice + 1,)
        Rising, in frames. An element counts where the mean of its two times is in the slice.
    """
    found = []
    for x in _lines(p):
        place = np.digitize(_age(x), edges) - 1
        inside = (place >= 0) & (place < len(edges) - 1) & (x.below > 0)
        above, below = (np.bincount(place[inside], a[inside], len(edges) - 1) for a in (x.above, x.below))
        found.append(_ratios(p.tile.size * above, below))
    return np.array(found).reshape(-1, len(edges) - 1).T


def trc(p: Pyramid, delay: int) -> tuple[Array, Array]:
    """Time-resolved correlation: age (the mean of the two times, in frames) and two-time correlation at the delay next to `delay`.

    Examples
    --------
    >>> frozen = Pyramid(np.array([0, 0]), channels=4).add(np.array([[10, 30]] * 4))
    >>> trc(frozen, 1)
    (array([0.5, 1.5, 2.5]), array([1.25, 1.25, 1.25]))
    """
    kept = _kept(p)
    level, lag = min(kept, key=lambda pair: abs((pair[1] << pair[0]) - delay))
    line = _line(p.table(level), _coarse(p, p.frame_totals(), p.good_frames(), level), level, lag, p)
    return _age(line), _ratios(p.tile.size * line.above, line.below)


def two_time(p: Pyramid) -> Array:
    """Multi-tau two-time correlation normalised by the mean of each frame, shape (element,), in the order of :func:`places`.

    Examples
    --------
    >>> two_time(Pyramid(np.array([0, 0]), channels=4).add(np.array([[10, 30]] * 2)))[2:]
    array([1.25])
    """
    return _joined(_ratios(p.tile.size * x.above, x.below) for x in _lines(p))


def places(p: Pyramid) -> Places:
    """Level, lag and first frame of every element: rising in level and lag, then in age.

    Examples
    --------
    >>> places(Pyramid(np.array([0, 0]), channels=4).add(np.ones((3, 2), int))).start
    array([0, 1, 2, 0, 1, 0])
    """
    kept = _kept(p)
    sizes = [int(np.diff(p.span(level))[0]) - lag for level, lag in kept]
    level, lag = (np.repeat(np.array([pair[side] for pair in kept], np.uint8), sizes) for side in (0, 1))
    return Places(level, lag, _joined(np.arange(p.span(at)[0], p.span(at)[0] + n) << at for (at, _), n in zip(kept, sizes, strict=True)))


def expected_pairs(p: Pyramid) -> Array:
    """Pairs of photons in the same pixel that uncorrelated frames would have, shape (delay,)."""
    return np.array([np.sum(x.left.total.astype(float) * x.right.total) / p.tile.size for x in _lines(p)])


def diagonal(p: Pyramid, variance: float | None = None) -> tuple[Array, Array]:
    r"""Every single frame with itself, free of shot noise, as :mod:`xcdi.kernels.correlation.normalise` has it.

    Parameters
    ----------
    p : Pyramid
    variance : float, optional
        Relative variance V of the pattern, pooled over the frames, ``ratio_of_sums(p)[0] - 1``: the covariance (N4) in
        its units, :math:`1 + (\langle n (n - 1) \rangle - \langle n n' \rangle) / (V \langle n \rangle^2)` with n' of another pixel.

    Returns
    -------
    value, weight : float64 array, shape (time,)
        NaN for a frame that tells nothing; and the weight in an average over frames, the squared number of photons.

    Examples
    --------
    >>> still = Pyramid(np.array([0, 0]), channels=4).add(np.array([[11, 31]] * 3))
    >>> diagonal(still, ratio_of_sums(still)[0] - 1)[0].round(2)
    array([1.77, 1.77, 1.77])
    """
    if not p.frames:
        return np.zeros(0), np.zeros(0)
    x, size = next(_lines(p)), float(p.tile.size)
    squared = x.left.total.astype(float) ** 2
    if variance is None:
        return _ratios(size * x.above, x.below), squared
    return 1 + _ratios((size * x.above - x.below) * size / (size - 1), squared) / variance, squared


def age_lag(p: Pyramid) -> Elements:
    """All elements of the multi-tau two-time correlation, normalised by the mean of each frame.

    Examples
    --------
    >>> frozen = Pyramid(np.array([0, 0]), channels=4).add(np.array([[10, 30]] * 3))
    >>> age_lag(frozen).delay
    array([0., 0., 0., 1., 1., 2.])
    """
    lines = list(_lines(p))
    return Elements(
        _joined(_age(x) for x in lines),
        _joined(x.right.time - x.left.time for x in lines),
        1 << places(p).level.astype(np.int64),
        two_time(p),
        _joined(x.below / float(p.tile.size) ** 2 for x in lines),
    )


def age_lag_map(p: Pyramid, edges: Array) -> Array:
    """Two-time correlation on a regular grid of ages, for every delay, shape (delay, age).

    Parameters
    ----------
    p : Pyramid
    edges : array, shape (age + 1,)
        Rising, in frames; frame t reaches from t - 1/2 to t + 1/2.

    Returns
    -------
    float64 array, shape (delay, age)
        Ratio of sums; an element that spans several bins is shared among them. NaN where there is none.
    """
    found = []
    for x in _lines(p):
        start = ((p.first >> x.level) + np.arange(x.above.size + 1) + x.lag / 2) * 2**x.level - 0.5
        above, below = (np.diff(np.interp(edges, start, np.concatenate([[0.0], np.cumsum(a)]))) for a in (x.above, x.below))
        found.append(_ratios(p.tile.size * above, np.where(below > 1e-9 * np.max(x.below, initial=0.0), below, 0.0)))
    return np.array(found).reshape(-1, len(edges) - 1)


def spread(p: Pyramid) -> Spread:
    """Mean and variance over the ages of the two-time correlation at each delay."""
    found = []
    for x in _lines(p):
        c = (p.tile.size * x.above)[x.below > 0] / x.below[x.below > 0]
        found.append((c.mean() if c.size else np.nan, c.var(ddof=1) if c.size > 1 else np.nan, float(c.size)))
    mean, variance, number = (np.array(column) for column in zip(*found, strict=True))
    return Spread(mean, variance, number.astype(np.int64))


def replicas(p: Pyramid) -> Array:
    """One-time correlations (ratio of sums) with one tile of pixels left out at a time, shape (tile, delay).

    Every replica keeps the whole time axis, so correlation in time is in their scatter;
    numerators and denominators are exact. For the error, :func:`xcdi.kernels.relaxation.jackknife_error`.

    Examples
    --------
    >>> frozen = np.array([[2, 6, 2, 6], [2, 6, 2, 6]])
    >>> replicas(Pyramid(np.array([0, 0, 1, 1])).add(frozen))[:, 1]
    array([1.25, 1.25])
    """
    size, found = np.bincount(p.tile), []
    whole = p.frame_totals()
    for k in range(size.size):
        single, row = (whole - p.frame_totals(k)).astype(float), []
        for level, kept in enumerate(p.levels):
            rest = _summed(single, p, level)
            above = np.sum(kept.by_tile, axis=0) - kept.by_tile[k]
            row += _left_out(above, rest, lags(level, p.channels), float(p.tile.size - size[k]), level)
        found.append(row)
    return np.array(found)


def _left_out(above: Array, rest: Array, kept: Array, pixels: float, level: int) -> list[float]:
    """Ratios of sums of one level, of what one tile leaves."""
    row = []
    if level == 0:
        pairs = np.sum(rest * rest) - above[0]
        row.append(_ratio((pixels - 1) * (above[0] - np.sum(rest)), pairs))
    for column, lag in enumerate(kept[1:], 1):
        if lag < rest.size:
            row.append(_ratio(pixels * above[column], np.sum(rest[:-lag] * rest[lag:])))
    return row


def _kept(p: Pyramid) -> list[tuple[int, int]]:
    """Level and lag of every delay."""
    pairs = [(level, int(lag)) for level in range(len(p.levels)) for lag in lags(level, p.channels)]
    return [(level, lag) for level, lag in pairs if lag < np.diff(p.span(level))[0] and (lag or not level)]


def _lines(p: Pyramid) -> Iterator[_Line]:
    kept = _kept(p)
    total, good = p.frame_totals(), p.good_frames()
    for level in range(len(p.levels)):
        table, coarse = p.table(level), _coarse(p, total, good, level)
        yield from (_line(table, coarse, level, lag, p) for at, lag in kept if at == level)


def _line(table: Array, coarse: _Coarse, level: int, lag: int, p: Pyramid) -> _Line:
    n = len(table) - lag
    left, right = (_Coarse(*(a[part] for a in coarse)) for part in (slice(0, n), slice(lag, None)))
    column = int(np.flatnonzero(lags(level, p.channels) == lag)[0])
    total = left.total.astype(float)
    if lag == 0:
        squares = table[:, 0]
        pairs = (squares - left.total) * (1 - 1 / p.tile.size)
        return _Line(level, lag, pairs, total * total - squares, left, right)
    return _Line(level, lag, table[:n, column].astype(float), total * right.total, left, right)


def _coarse(p: Pyramid, total: Array, good: Array, level: int) -> _Coarse:
    when = _summed(good * (p.first + np.arange(p.frames)), p, level)
    number = _summed(good.astype(np.int64), p, level)
    middle = ((np.arange(*p.span(level)) * 2 + 1) * 2.0**level - 1) / 2  # of a frame of which all are missing
    return _Coarse(_summed(total, p, level), number, np.divide(when, number, out=middle, where=number > 0))


def _summed(single: Array, p: Pyramid, level: int) -> Array:
    """Sums over the single frames of each frame of a level."""
    starts = (np.arange(*p.span(level)) << level) - p.first
    return np.add.reduceat(single, np.maximum(starts, 0))


def _joined(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _age(x: _Line) -> Array:
    return (x.left.time + x.right.time) / 2


def _ratio(above: float, below: float) -> float:
    return float(above) / float(below) if below > 0 else float("nan")


def _ratios(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
