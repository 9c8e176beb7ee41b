"""Multi-tau two-time correlation: exact sums of products for every age, on lags that widen with the lag.

Level l has frames of ``2**l`` single frames, aligned on the whole series. Level 0
keeps the lags 0 to m - 1 and the levels above it m/2 to m - 1, in frames of their
own, so the lags reach the length of the series while the memory stays linear in it.

Everything kept is a sum of products of two single frames, so parts of a series
add up: each its own sums, and the products across the seam. A frame that is
missing or bad adds nothing; an incomplete coarse frame is one of which some are missing.

Source: Brugnara et al., J. Synchrotron Rad. 33, 698 (2026).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation import banded, photons, recent
from xcdi.kernels.correlation.photons import Photons

__all__ = ["Level", "Pyramid", "Rows", "beside", "from_arrays", "lags", "merge", "to_arrays"]

BLOCK_VALUES = 2**25  # counts of a block that is worked on at a time
COST_EVENT, COST_PAIR, COST_PIXEL, COST_PRODUCT = 9.0, 0.6, 0.2, 0.03  # ns: benchmarks/correlation_multi_tau.py
COST_SEARCH, COST_SPREAD = 1.0, 2.0  # of dense frames for photons, of photons onto dense frames
EXACT = 2.0**62
TOO_MUCH = "the sums of products leave 64 bits; leave the brightest pixels out"


class Rows(NamedTuple):
    """Rows of a table, from row number `first` on; tables are sums of overlapping rows."""

    first: int
    values: Array  # (row, column)


class Level(NamedTuple):
    """What is kept of one level.

    Attributes
    ----------
    rows : tuple of Rows
        Sums of products: row is the number of the first frame, column the lag.
    by_tile : int64 array, shape (tile, lag)
        The same, summed over all frames, of the pixels of one tile.
    head, tail : unsigned integer array, shape (time, pixel)
        The first frames of the level, where others may still come before, and the last.
    """

    rows: tuple[Rows, ...]
    by_tile: Array
    head: Array
    tail: Array


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Sums of products of a series of frames, for each age, lag and level.

    Attributes
    ----------
    tile : integer array, shape (pixel,)
        Tile of each pixel, for the errors: 0, 1, ..., rising. All zero for no errors.
    channels : int
        Lags m of the lowest level; even, 4 to 32.
    first : int
        Number of the first frame in the whole series.
    frames : int
        Frames so far, missing ones among them.
    levels : tuple of Level
    totals, good : tuple of Rows
        Photons per (frame, tile), and whether the frame is good.

    Examples
    --------
    >>> frozen = np.array([[1, 3], [1, 3], [1, 3]])
    >>> table = Pyramid(np.array([0, 0]), channels=4).add(frozen).table(0)
    >>> table.tolist()
    [[10, 10, 10, 0], [10, 10, 0, 0], [10, 0, 0, 0]]
    """

    tile: Array
    channels: int = 16
    first: int = 0
    frames: int = 0
    levels: tuple[Level, ...] = ()
    totals: tuple[Rows, ...] = ()
    good: tuple[Rows, ...] = ()

    def __post_init__(self) -> None:
        if self.channels % 2 or not 4 <= self.channels <= 32:
            raise ValueError(f"{self.channels} channels; expected an even number from 4 to 32")
        banded.panels(self.tile)

    @property
    def stop(self) -> int:
        """Number of the frame after the last."""
        return self.first + self.frames

    def add(self, counts: Array | Photons, ok: Array | None = None) -> Pyramid:
        """Return the pyramid with more frames appended.

        Parameters
        ----------
        counts : integer array, shape (time, pixel), or Photons
            0 or more.
        ok : bool array, shape (time,), optional
            Frames that are good; the others' counts are left out.

        Raises
        ------
        ValueError
            If a count is negative, the pixels are not as many as before, or sums would leave 64 bits.

        Notes
        -----
        The same numbers for any cuts into blocks. Costs least with some hundred frames at a time.
        """
        size, width = (counts.frames, counts.pixels) if isinstance(counts, Photons) else counts.shape
        if width != self.tile.size:
            raise ValueError(f"the frames have {width} pixels; expected {self.tile.size}")
        ok = np.ones(size, bool) if ok is None else np.asarray(ok, bool)
        total, step = self, max(4 * self.channels, BLOCK_VALUES // max(self.tile.size, 1))
        for start in range(0, size, step):
            stop = min(start + step, size)
            part = photons.of_frames(counts, start, stop) if isinstance(counts, Photons) else _unsigned(counts[start:stop])
            total = merge(total, _of_block(replace(self, first=total.stop), part, ok[start:stop]))
        return total

    def skip(self, frames: int) -> Pyramid:
        """Return the pyramid with so many missing frames appended."""
        none = Photons(np.zeros(frames + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint8), self.tile.size)
        return self.add(none, np.zeros(frames, bool))

    def span(self, level: int) -> tuple[int, int]:
        """Numbers of the first frame of a level and of the one after the last; (0, 0) for none."""
        return (self.first >> level, ((self.stop - 1) >> level) + 1) if self.frames else (0, 0)

    def table(self, level: int) -> Array:
        """Sums of products of a level, int64 (time, lag), for the lags that :func:`lags` gives; column 0 the sums of squares."""
        return _table(self.levels[level].rows, *self.span(level), lags(level, self.channels).size, np.int64)

    def tile_totals(self) -> Array:
        """Photons of each single frame in each tile, int64 (time, tile)."""
        return _table(self.totals, self.first, self.stop, int(self.tile.max(initial=0)) + 1, np.int64)

    def frame_totals(self, tile: int | None = None) -> Array:
        """Photons of each single frame in all tiles, or in one, int64 (time,)."""
        part = slice(None) if tile is None else slice(tile, tile + 1)
        rows = tuple(Rows(r.first, r.values[:, part].sum(axis=1, keepdims=True, dtype=np.int64)) for r in self.totals)
        return _table(rows, self.first, self.stop, 1, np.int64)[:, 0]

    def good_frames(self) -> Array:
        """Which single frames are good, bool (time,)."""
        return _table(self.good, self.first, self.stop, 1, bool)[:, 0]


def lags(level: int, channels: int) -> Array:
    """Lags of the columns of a level, in frames of that level: lag 0, then those that are kept.

    Examples
    --------
    >>> lags(0, 4), lags(3, 4)
    (array([0, 1, 2, 3]), array([0, 2, 3]))
    """
    return np.concatenate([[0], np.arange(1 if level == 0 else channels // 2, channels)])


def merge(left: Pyramid, right: Pyramid) -> Pyramid:
    """Pyramid of two parts of a series, `right` following on `left`.

    Raises
    ------
    ValueError
        If the parts do not follow on each other, or are of other pixels or channels.

    Examples
    --------
    >>> one = Pyramid(np.array([0, 0])).add(np.array([[1, 3]]))
    >>> two = Pyramid(np.array([0, 0]), first=1).add(np.array([[1, 3]]))
    >>> merge(one, two).table(0)[:, :2].tolist()
    [[10, 10], [10, 0]]
    """
    if left.channels != right.channels or not np.array_equal(left.tile, right.tile):
        raise ValueError("the two pyramids are of other pixels or channels; expected the same")
    if right.first != left.stop:
        raise ValueError(f"the right part begins at frame {right.first}, the left ends before {left.stop}; expected one after the other")
    if left.frames == 0 or right.frames == 0:
        return left if right.frames == 0 else right
    whole = replace(left, frames=left.frames + right.frames)
    cut, found = banded.panels(left.tile), []
    for level in range(_levels(whole)):
        left, right = (side if level < len(side.levels) else _raised(side, cut) for side in (left, right))
        found.append(_joined(left, right, level, cut))
    return replace(whole, levels=tuple(found), totals=_stacked(left.totals, right.totals), good=_stacked(left.good, right.good))


def beside(left: Pyramid, right: Pyramid) -> Pyramid:
    """Pyramid of the pixels of both, of the same frames; the tiles of `right` are numbered after those of `left`.

    Raises
    ------
    ValueError
        If the frames are not the same, or not equally good.

    Examples
    --------
    >>> one = Pyramid(np.array([0])).add(np.array([[1], [2]]))
    >>> beside(one, one).table(0)[:, :2].tolist()
    [[2, 4], [8, 0]]
    """
    same = (left.first, left.frames, left.channels) == (right.first, right.frames, right.channels)
    if not same or not np.array_equal(left.good_frames(), right.good_frames()):
        raise ValueError("the two pyramids are of other frames or channels; expected the same, and the same good ones")
    levels = []
    for number, (a, b) in enumerate(zip(left.levels, right.levels, strict=True)):
        rows = (Rows(left.span(number)[0], left.table(number) + right.table(number)),)
        frames = (np.concatenate(pair, axis=1) for pair in ((a.head, b.head), (a.tail, b.tail)))
        levels.append(Level(rows, np.concatenate([a.by_tile, b.by_tile]), *frames))
    tile = np.concatenate([left.tile, right.tile + int(left.tile.max(initial=-1)) + 1])
    totals = np.concatenate([left.tile_totals(), right.tile_totals()], axis=1)
    return replace(left, tile=tile, levels=tuple(levels), totals=(Rows(left.first, _small(totals)),))


def to_arrays(pyramid: Pyramid) -> dict[str, Array]:
    """Return a pyramid as plain arrays by name, to be saved and read back by :func:`from_arrays`.

    Examples
    --------
    >>> whole = Pyramid(np.array([0, 0])).add(np.array([[1, 3], [2, 2]]))
    >>> from_arrays(to_arrays(whole)).table(0).sum().item()
    26
    """
    found = {
        "extent": np.array([pyramid.channels, pyramid.first, pyramid.frames, len(pyramid.levels)]),
        "tile": pyramid.tile,
        "totals": _small(pyramid.tile_totals()),
        "good": pyramid.good_frames(),
    }
    for number, level in enumerate(pyramid.levels):
        parts = {"sums": pyramid.table(number), "by_tile": level.by_tile, "head": level.head, "tail": level.tail}
        found |= {f"{name}_{number}": values for name, values in parts.items()}
    return found


def from_arrays(arrays: Mapping[str, Array]) -> Pyramid:
    """Inverse of :func:`to_arrays`."""
    channels, first, frames, levels = (int(n) for n in arrays["extent"])
    found = [
        Level((Rows(first >> n, arrays[f"sums_{n}"]),), arrays[f"by_tile_{n}"], arrays[f"head_{n}"], arrays[f"tail_{n}"])
        for n in range(levels)
    ]
    totals, good = (Rows(first, arrays["totals"]),), (Rows(first, arrays["good"][:, None]),)
    return Pyramid(arrays["tile"], channels, first, frames, tuple(found), totals, good)


def _levels(p: Pyramid) -> int:
    """Number of levels: those with frames far enough apart, and the lowest."""
    level = 0
    while np.diff(p.span(level + 1))[0] > p.channels // 2:
        level += 1
    return level + 1 if p.frames else 0


def _of_block(empty: Pyramid, counts: Array | Photons, ok: Array) -> Pyramid:
    """Pyramid of one block, from the frame ``empty.first`` on."""
    p = replace(empty, frames=ok.size, good=(Rows(empty.first, ok[:, None]),))
    counts = counts if ok.all() else _good(counts, ok)
    turn, cut = _first_dense(p, counts), banded.panels(p.tile)
    if turn and not isinstance(counts, Photons):
        counts = photons.from_dense(counts)
    p = replace(p, totals=(Rows(p.first, _small(banded.tile_totals(counts, cut))),))
    most = int((counts.count if isinstance(counts, Photons) else counts).max(initial=0))
    if float(most) * 2.0 ** _levels(p) * float(np.sum(p.totals[0].values, dtype=float)) > EXACT:
        raise ValueError(TOO_MUCH)
    sparse = [_sparse_level(p, counts, level) for level in range(min(turn, _levels(p)))]
    return replace(p, levels=(*sparse, *_dense_levels(p, counts, turn, most, cut)))


def _good(counts: Array | Photons, ok: Array) -> Array | Photons:
    """Counts of the good frames, the others without a photon."""
    if isinstance(counts, Photons):
        return photons.relabelled(counts, np.arange(counts.pixels, dtype=np.int32), counts.pixels, ok)
    return np.where(ok[:, None], counts, counts.dtype.type(0))


def _dense_levels(p: Pyramid, counts: Array | Photons, turn: int, most: int, cut: banded.Panels) -> Iterator[Level]:
    """Levels from `turn` on, each out of the frames of the one below; `most` is the largest count."""
    if turn >= _levels(p):
        return
    if isinstance(counts, Photons):
        frames, most = recent.coarse_frames(counts, p.first, turn, *p.span(turn)), most << turn
    else:
        frames = counts
    for level in range(turn, _levels(p)):
        if level > turn:
            frames, most = banded.halved(frames, p.first >> (level - 1), most), 2 * most
        most = int(frames.max(initial=0)) if most > banded.SIGNED_BYTE else most
        sums = banded.dense(frames, lags(level, p.channels), cut, most)
        yield _level(p, p.first >> level, sums, frames[: p.channels], frames[-p.channels :])


def _first_dense(p: Pyramid, counts: Array | Photons) -> int:
    """Lowest level at which dense frames cost less than photons; 0 for all."""
    if isinstance(counts, Photons):
        found, search, spread = counts.pixel.size, 0.0, COST_SPREAD
    else:
        found, search, spread = np.count_nonzero(counts[::16]) * min(16, len(counts)), COST_SEARCH, 0.0
    least, best, values, levels = np.inf, 0, float(p.frames * p.tile.size), _levels(p)
    dense = [(COST_PIXEL + COST_PRODUCT * lags(n, p.channels).size) * values / 2**n for n in range(levels)]
    sparse = [found * (COST_EVENT + COST_PAIR * lags(n, p.channels).size * found * 2**n / max(values, 1)) for n in range(levels)]
    for turn in range(levels + 1):
        total = sum(sparse[:turn]) + sum(dense[turn:]) + found * (spread if turn < levels else 0.0) + values * (search if turn else 0.0)
        if total < least:
            least, best = total, turn
    return best


def _sparse_level(p: Pyramid, counts: Photons, level: int) -> Level:
    start, stop = p.span(level)
    sums = recent.events(counts, p.first, level, lags(level, p.channels), p.tile)
    edges = (start, min(start + p.channels, stop)), (max(stop - p.channels, start), stop)
    return _level(p, start, sums, *(recent.coarse_frames(counts, p.first, level, *edge) for edge in edges))


def _level(p: Pyramid, start: int, sums: banded.Sums, head: Array, tail: Array) -> Level:
    return Level((Rows(start, sums.by_frame),), sums.by_tile, _small(head if p.first else head[:0]), _small(tail))


def _raised(p: Pyramid, cut: banded.Panels) -> Pyramid:
    """The same pyramid with one more level, of which there are too few frames for a lag."""
    level = len(p.levels)
    frames = banded.halved(p.levels[-1].tail, p.first >> (level - 1))
    sums = banded.dense(frames, lags(level, p.channels), cut)
    return replace(p, levels=(*p.levels, _level(p, p.first >> level, sums, frames, frames)))


def _joined(left: Pyramid, right: Pyramid, level: int, cut: banded.Panels) -> Level:
    """One level of both parts, with the products across the seam."""
    a, b = left.levels[level], right.levels[level]
    m, (start, middle), (resumed, stop) = left.channels, left.span(level), right.span(level)
    tail_start = middle - len(a.tail)
    sums = banded.cross(a.tail, b.head, resumed - tail_start, lags(level, m), cut)
    by_tile = a.by_tile + b.by_tile + sums.by_tile
    if float(np.sum(by_tile[:, 0], dtype=float)) > EXACT:
        raise ValueError(TOO_MUCH)
    rows = _stacked(_stacked(a.rows, (Rows(tail_start, sums.by_frame),)), b.rows)
    shared = middle - resumed  # 1 where the seam cuts a frame of this level in two
    head = _overlaid(a.head, b.head, shared)[:m] if left.first and middle - start <= m else a.head
    tail = _overlaid(a.tail, b.tail, shared if len(b.tail) == stop - resumed else 0)[-m:]
    return Level(rows, by_tile, head, tail)


def _overlaid(first: Array, then: Array, shared: int) -> Array:
    """One series of frames after the other, the last frame of one and the first of the other added where they are the same."""
    if not shared:
        return _small(np.concatenate([first, then]))
    seam = first[-1:].astype(np.uint64) + then[:1]
    return _small(np.concatenate([first[:-1], seam, then[1:]], dtype=np.uint64))


def _stacked(left: tuple[Rows, ...], right: tuple[Rows, ...]) -> tuple[Rows, ...]:
    """All rows, the latest joined as long as those before them are not much more, so that adding one by one stays cheap."""
    rows = [*left]
    for new in right:
        rows.append(new)
        while len(rows) > 1 and len(rows[-2].values) < 2 * len(rows[-1].values):
            late, early = rows.pop(), rows.pop()
            start, stop = min(early.first, late.first), max(r.first + len(r.values) for r in (early, late))
            kind = np.result_type(early.values, late.values)
            rows.append(Rows(start, _table((early, late), start, stop, late.values.shape[1], kind)))
    return tuple(rows)


def _table(rows: tuple[Rows, ...], start: int, stop: int, columns: int, kind: type | np.dtype) -> Array:
    whole = np.zeros((stop - start, columns), kind)
    for first, values in rows:
        whole[first - start : first - start + len(values)] += values.astype(kind, copy=False)
    return whole


def _unsigned(counts: Array) -> Array:
    if counts.dtype.kind == "i" and counts.min(initial=0) < 0:
        raise ValueError("negative counts; expected 0 or more")
    if counts.dtype == np.uint8:
        return counts
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))), copy=False)


def _small(values: Array) -> Array:
    """The same values in the smallest unsigned type, on memory of their own."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
