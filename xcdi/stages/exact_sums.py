"""Exact sums of products of one region of pixels: all at once, or row by row as its frames come in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from xcdi.backend import Array, on_device
from xcdi.kernels.correlation import appending, choice, coarse, lagged
from xcdi.kernels.correlation.normalise import unit_weights
from xcdi.kernels.correlation.photons import Photons, join, on_slots, to_dense
from xcdi.kernels.correlation.products import raw_products
from xcdi.stages.trust import of_pixels

__all__ = ["ExactSums", "begun"]

SPARSE = 0.1  # counts above zero per pixel and frame, from which on lists of photons are the slower way


class Past(Protocol):
    """Frames so far."""

    def appended(self, new: Photons, *, threads: int) -> tuple[Past, Array]:
        """The frames with `new` ones behind them, and the products of these with all, integers (new, all)."""
        ...


@dataclass(frozen=True)
class Segments:
    """Frames so far with many photons each, in segments that are joined as they grow, so that each frame is moved few times."""

    segments: tuple[Photons, ...] = ()

    def appended(self, new: Photons, *, threads: int) -> tuple[Past, Array]:
        """As in :class:`Past`."""
        sides = [choice.products(new, segment, threads=threads) for segment in self.segments]
        rows = np.concatenate([*sides, choice.products(new, threads=threads)], axis=1)
        segments = (*self.segments, new)
        while len(segments) > 1 and segments[-2].frames <= segments[-1].frames:
            segments = (*segments[:-2], join(segments[-2:]))
        return Segments(segments), rows.astype(np.int64)


@dataclass(frozen=True, eq=False)
class ExactSums:
    """Sums over pixels of ``2**level n_p(t) n_p(t2)``.

    Attributes
    ----------
    level : int array, shape (pixel,)
        Of the weight of each pixel, a power of two.
    levels : tuple of (int, bool array (pixel,))
        The pixels of each level in this region.
    pasts : tuple of Past
        What is kept of the frames so far, per level; none before the first frame.
    rows : tuple of integer arrays, shape (new, all so far)
        One for each block that was added.
    threads : int
        At most so many at once; the sums do not depend on it.
    device : str
        Where sums that are taken all at once are computed.
    """

    level: Array
    levels: tuple[tuple[int, Array], ...]
    pasts: tuple[Past, ...] = ()
    rows: tuple[Array, ...] = ()
    threads: int = 1
    device: str = "cpu"

    def add(self, photons: Photons) -> Self:
        """Return the sums with the frames `photons` (of all pixels) appended; only their rows are computed."""
        parts = [of_pixels(photons, here) for _, here in self.levels]
        pasts, total = [], None
        for (level, _), past, part in zip(self.levels, self.pasts or map(_begun, parts), parts, strict=True):
            grown, rows = past.appended(part, threads=self.threads)
            pasts.append(grown)
            total = rows << level if total is None else total + (rows << level)
        return replace(self, pasts=tuple(pasts), rows=(*self.rows, _small(total)))

    def fill(self, out: Array, photons: Photons) -> None:
        """Write the whole symmetric matrix to `out`, float64 (time, time2): from the rows, or from all `photons` at once."""
        if not self.rows:
            out[...] = 0
            for level, here in self.levels:
                out += self._products(of_pixels(photons, here), level)
        for rows in self.rows:
            start, stop = rows.shape[1] - rows.shape[0], rows.shape[1]
            out[start:stop, :stop] = rows
            out[:stop, start:stop] = rows.T

    def fill_blocks(self, out: Array, ok: Array, width: int) -> None:
        """Write the matrix of good frames added up, `width` at a time, to `out`, float64 zeros (block, block)."""
        for rows in self.rows:
            coarse.block_sums(rows, ok, width, out)

    def lagged(self, slot: Array, ok: Array, photons: Photons, dropped: Array) -> Array:
        """Sums over pairs of good frames by their delay, float64 (delay,), without the pixels where `dropped` is true."""
        out = np.zeros(int(slot[-1]) + 1, np.int64)
        for rows in self.rows:
            coarse.lag_sums(rows, ok, slot, out)
        for level, here in self.levels:
            if np.any(here & dropped):
                gone = on_slots(of_pixels(photons, here & dropped, ok), slot)
                sums = lagged.tile_sums(gone, unit_weights(gone.pixels), np.zeros(gone.pixels, int))
                out -= np.rint(sums.lagged[0]).astype(np.int64) << level
        return out.astype(np.float64)

    def holds(self, pixels: Array) -> bool:
        """Whether any of these `pixels` (pixel,) is in the sums."""
        return any(bool(np.any(here & pixels)) for _, here in self.levels)

    def less(self, out: Array, photons: Photons, dropped: Array) -> None:
        """Take the products of the pixels where `dropped` (pixel,) is true off `out`."""
        for level, here in self.levels:
            if np.any(here & dropped):
                out -= self._products(of_pixels(photons, here & dropped), level)

    def _products(self, photons: Photons, level: int) -> Array:
        if self.device == "cpu":
            found = choice.products(photons, threads=self.threads)
        else:
            found = on_device(raw_products, self.device)(to_dense(photons))
        found *= 2.0**level
        return found


def begun(here: Array, level: Array, *, threads: int = 1, device: str = "cpu") -> ExactSums:
    """Sums without a frame yet, of the pixels where `here` (pixel,) is true; `level` and the rest as in :class:`ExactSums`."""
    levels = tuple((int(k), here & (level == k)) for k in np.unique(level[here]))
    return ExactSums(level, levels, threads=threads, device=device)


def _begun(first: Photons) -> Past:
    """Past of the kind that suits the first frames."""
    if first.pixel.size > SPARSE * first.pixels * first.frames:
        return Segments()
    return appending.nothing(first.pixels)


def _small(rows: Array) -> Array:
    """Rows in half the memory where they fit."""
    return rows.astype(np.int32) if rows.size and rows.max() < 2**31 else rows
