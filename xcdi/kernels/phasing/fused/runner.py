"""The runner of the two sweeps: one start on the CPU, in arrays that are made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.engine import named
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move, average
from xcdi.kernels.phasing.fused import blurring, layout, sweeps
from xcdi.kernels.phasing.fused.passes import axis, factors
from xcdi.kernels.phasing.fused.vectors import BLOCK, LANES

__all__ = ["Fused", "fits"]

_FREE = np.float32(-1.0)  # goal of a pixel that is not valid
_TILE = 1024  # rows of blocks in a tile along z, 128 KiB: in the second cache, in few pages
_PIECES = 4  # of the work, for every thread


class Work(NamedTuple):
    """What one thread needs for itself."""

    one: np.ndarray
    two: np.ndarray
    column: np.ndarray
    plane: np.ndarray


def fits(shape: tuple[int, ...], measured: Measured | None = None) -> bool:
    """Return whether :class:`Fused` takes this shape (z, y, x), and these data.

    Every axis must be a product of two or more of 2, 3, 4, 5, 7 and 8; it is quickest where y and x are multiples of 16.

    Examples
    --------
    >>> fits((96, 128, 60)), fits((96, 128, 61))
    (True, False)
    """
    plain = measured is None or (measured.coherence is None and np.ndim(measured.background) == 0)
    return plain and len(shape) == 3 and all(factors(n) for n in shape)


class Fused:
    """One start in complex64 on the CPU, shape (z, y, x), advanced by two sweeps an iteration without allocating.

    The same bits come out for any number of `workers`.

    Parameters
    ----------
    start : Estimate
        Of a shape that :func:`fits`.
    measured : Measured
        Coherent light on a uniform background.
    workers : int
        Threads of each sweep; keep 1 where the starts themselves run in threads.
    """

    def __init__(self, start: Estimate, measured: Measured, *, workers: int = 1) -> None:
        if not fits(start.rho.shape):
            raise ValueError(
                f"shape {tuple(start.rho.shape)}: every axis must be a product of 2, 3, 5 and 7, not one of 1, 2, 3, 5, 7; use InPlace"
            )
        z, y, x = self._shape = start.rho.shape
        tall, wide = -(-y // LANES), -(-x // LANES)
        self._width = _width(z, wide * y)
        step = wide * y * BLOCK + self._width * BLOCK  # off a power of two, or all rows of a tile fall on the same lines of the cache
        self._z, self._y, self._x = axis(z, self._width, step), axis(y, 1, BLOCK), axis(x, 1, BLOCK)
        self._step, self._strip = step, tall * x * LANES
        self._wave = layout.aligned(max(z * step, 2 * z * self._strip))
        self._rho = layout.aligned(2 * z * self._strip)
        self._support = layout.aligned(z * self._strip, np.uint8)
        self._goal = layout.aligned(z * wide * y * LANES)
        self._errors = np.zeros(wide * y // self._width)
        line, column = max(z * self._width, y, x) * BLOCK, tall * LANES * BLOCK
        sizes = (line, line, column, wide * LANES * column)
        self._works = [Work(*map(layout.aligned, sizes)) for _ in range(workers)]
        self._pool = ThreadPoolExecutor(workers - 1, "fused") if workers > 1 else None
        self.load(start)
        self.measure(measured)

    def measure(self, measured: Measured) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        if not fits(self._shape, measured):
            raise ValueError("partial coherence or a background that is not the same everywhere, expected neither; use InPlace")
        self._check(measured.amplitude, measured.valid)
        self._measured = measured
        self._background = np.float32(measured.background)
        self._goal[...] = _FREE
        energy = 0.0
        for i, (amplitude, valid) in enumerate(zip(measured.amplitude, measured.valid, strict=True)):
            goals = np.where(valid, amplitude, _FREE).astype(np.float32)
            layout.lay_goals(goals, self._goal, i, self._shape[0], self._width)
            energy += float(np.sum(np.maximum(goals, 0.0) ** 2, dtype=np.float64))
        self._norm = math.sqrt(energy)

    def load(self, estimate: Estimate) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        self._check(estimate.rho, estimate.support)
        for i, plane in enumerate(estimate.rho):
            layout.lay_rho(_floats(np.ascontiguousarray(plane, np.complex64)), self._rho, 2 * i * self._strip)
        self._lay_support(estimate)
        self._stale = True
        self._residual = float(estimate.residual)

    def run(self, move: str | Move, n: int, beta: float | None = None) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        pair = _pair(move, beta)
        if pair is not None:
            return self.step(n, *pair)
        step, estimate = named(move, beta), self.estimate()
        for _ in range(n):
            estimate = step(estimate, self._measured)
        return self.load(estimate)

    def mean(self, move: str | Move, n: int, beta: float | None = None) -> Estimate:
        """Do `n` iterations, one or more, and return the mean of their objects, with the support and residual of the last.

        The next iteration goes on from the last object, not from the mean.
        """
        pair = _pair(move, beta)
        if pair is None:
            return average(self._each(move, n, beta))
        total = layout.aligned(self._rho.size)
        self.step(n, *pair, total=total)
        return self._lifted(total, 1.0 / n)

    def step(self, n: int, a: float, b: float, *, total: np.ndarray | None = None) -> None:
        """Do `n` iterations that keep ``a * rho + b * p`` outside the support; add every object to `total`, if any."""
        keep, take = np.float32(a), np.float32(b)
        if n and self._stale:
            self._planes(keep, take, fresh=True)
        for _ in range(n):
            self._columns()
            self._planes(keep, take, fresh=False)
            if total is not None:
                self._gather(total)
        if n:
            self._residual = math.sqrt(float(np.sum(self._errors))) / self._norm

    def redraw(self, move: str, sigma: float, threshold: float, floor: int = 0) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        if move not in ("shrink_wrap", "shrink_wrap_rms", "shrink_wrap_volume"):
            redrawn = getattr(moves, move)(self.estimate(), self._measured, sigma=sigma, threshold=threshold, floor=floor)
            return self._lay_support(redrawn)
        blurred = self._wave[: self._support.size]
        self._stale = True  # the half-transformed wave makes room; it is made again from the object
        peak, rms = self._blur(blurred, sigma)
        match move:
            case "shrink_wrap":
                limit = np.float32(threshold * peak)
            case "shrink_wrap_rms":
                limit = np.float32(threshold * rms)
            case _:
                limit = self._limit_of_volume(blurred, threshold)
        if blurring.count(blurred, limit) >= floor:
            blurring.choose(blurred, limit, self._support)
        return None

    def residual(self) -> float:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        return self._residual

    def estimate(self) -> Estimate:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        return self._lifted(self._rho, 1.0)

    def _check(self, *arrays: Array) -> None:
        """Compiled loops look at no bounds, so this does."""
        for array in arrays:
            if tuple(array.shape) != self._shape:
                raise ValueError(f"an array of shape {tuple(array.shape)}, expected {self._shape}: make another runner for another shape")

    def _lifted(self, tiles: np.ndarray, factor: float) -> Estimate:
        rho, support = np.empty(self._shape, np.complex64), np.empty(self._shape, bool)
        for i in range(self._shape[0]):
            layout.lift_rho(tiles, 2 * i * self._strip, np.float32(factor), _floats(rho[i]))
            layout.lift_flags(self._support, i * self._strip, support[i].view(np.uint8))
        return Estimate(rho, support, self._residual)

    def _lay_support(self, estimate: Estimate) -> None:
        for i, plane in enumerate(estimate.support):
            layout.lay_flags(np.ascontiguousarray(plane, bool).view(np.uint8), self._support, i * self._strip)

    def _each(self, move: str | Move, n: int, beta: float | None) -> Iterator[Estimate]:
        for _ in range(n):
            self.run(move, 1, beta)
            yield self.estimate()

    def _columns(self) -> None:
        """Sweep A."""
        scale = np.float32(1.0 / math.prod(self._shape))

        def part(first: int, last: int, work: Work) -> None:
            sweeps.columns(first, last, self._wave, self._goal, self._background, scale, self._errors, work, self._z)

        self._share(self._errors.size, part)

    def _planes(self, keep: np.float32, take: np.float32, *, fresh: bool) -> None:
        """Sweep B; where `fresh`, it only makes the wave from the object."""

        def part(first: int, last: int, work: Work) -> None:
            sweeps.planes(first, last, self._wave, self._step, self._rho, self._support, keep, take, fresh, work, self._y, self._x)

        self._share(self._shape[0], part)
        self._stale = False

    def _gather(self, total: np.ndarray) -> None:
        """Add the object to `total`."""
        plane = 2 * self._strip

        def part(first: int, last: int, work: Work) -> None:
            sweeps.gather(total[first * plane : last * plane], self._rho[first * plane : last * plane])

        self._share(self._shape[0], part)

    def _blur(self, blurred: np.ndarray, sigma: float) -> tuple[float, float]:
        """Put the blurred modulus of the object into `blurred`; return its maximum, and its rms inside the support."""
        z, y, x = self._shape
        weights = [blurring.half_weights(n, sigma) for n in self._shape]
        unit = self._width * LANES
        tiles = -(-self._strip // unit)
        peaks, squares = np.zeros(tiles, np.float32), np.zeros(tiles)

        def along_yx(first: int, last: int, work: Work) -> None:
            blurring.blur_planes(first, last, self._rho, blurred, work.one, work.two, y, x, weights[1], weights[2])

        def along_z(first: int, last: int, work: Work) -> None:
            blurring.blur_columns(first, last, blurred, self._support, work.one, work.two, z, unit, weights[0], peaks, squares)

        self._share(z, along_yx)
        self._share(tiles, along_z)
        return float(peaks.max()), math.sqrt(float(np.sum(squares)) / max(int(np.count_nonzero(self._support)), 1))

    def _limit_of_volume(self, blurred: np.ndarray, volume: float) -> np.float32:
        """Return what the largest of `blurred` exceed that fill `volume`, a part or a number of the voxels."""
        size = math.prod(self._shape)
        kept = min(max(round(volume * size if volume < 1 else volume), 1), size)
        ordered = self._wave[blurred.size : 2 * blurred.size]
        ordered[...] = blurred
        ordered.partition(blurred.size - kept)
        return np.nextafter(ordered[blurred.size - kept], np.float32(-1.0))

    def _share(self, n: int, part: Callable[[int, int, Work], None]) -> None:
        """Do `part` of all of 0:n, in pieces that the threads take as they come free."""
        if self._pool is None:
            return part(0, n, self._works[0])
        size = max(1, n // (_PIECES * len(self._works)))
        pieces = iter(range(0, n, size))

        def drain(work: Work) -> None:
            for first in pieces:
                part(first, min(first + size, n), work)

        others = [self._pool.submit(drain, work) for work in self._works[1:]]
        drain(self._works[0])
        for other in others:
            other.result()
        return None


def _pair(move: str | Move, beta: float | None) -> tuple[float, float] | None:
    return moves.outside(move, beta) if isinstance(move, str) else None


def _width(z: int, columns: int) -> int:
    """Return how many columns of blocks a tile of `z` rows holds: a power of two that divides all `columns`."""
    return math.gcd(columns, max(1, 1 << min(3, (_TILE // z).bit_length() - 1)))


def _floats(plane: np.ndarray) -> np.ndarray:
    """View a complex64 plane (y, x) as float32 (y, x, 2)."""
    return plane.view(np.float32).reshape(*plane.shape, 2)
