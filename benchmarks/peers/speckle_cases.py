"""Simulated speckle with a known answer, and the exact estimates of g2 that every correlator is held to.

Each pixel is a speckle of four complex Gaussian modes (contrast 1/4), each an AR(1) series with g1 = exp(-lag / 50 frames);
counts are Poisson. So g2(lag) = C(t, t + lag) = 1 + exp(-2 lag / 50) / 4 but for the statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["BETA", "TAU", "Case", "Exact", "analytic", "exact", "simulated"]

BETA, TAU, MODES = 0.25, 50.0, 4
GROUPS = 10  # of pixels, whose scatter is the statistical error
CHUNK = 500  # pixels of one transform


class Case(NamedTuple):
    """Frames, pixels, photons per pixel and frame, and regions of equal size, one block of pixels after the other."""

    frames: int
    pixels: int
    mu: float
    regions: int = 1

    @property
    def name(self) -> str:
        regions = "" if self.regions == 1 else f", {self.regions} regions"
        return f"N {self.frames}, P {self.pixels}{regions}, {self.mu:g} photons"


class Exact(NamedTuple):
    """The estimates of one case, and what they scatter by."""

    g2: np.ndarray
    error: np.ndarray


def simulated(case: Case, work: Path) -> Path:
    """Return the file of the case's counts; one found in the folder is not made again.

    It holds `counts` (time, pixel) uint8, `regions` (pixel,) from 1 on, and `pairs` (2, pair), a sample of t1 < t2.
    """
    file = work / f"speckle_{case.frames}_{case.pixels}_{case.mu:g}_{case.regions}.npz"
    if not file.exists():
        rng = np.random.default_rng(int(1e6 * case.mu) + case.frames)
        pairs = np.sort(rng.choice(case.frames, (4096, 2)), axis=1)
        regions = 1 + np.arange(case.pixels) * case.regions // case.pixels
        np.savez(file, counts=_counts(case, rng), regions=regions.astype(np.int32), pairs=pairs[pairs[:, 0] < pairs[:, 1]].T)
    return file


def _counts(case: Case, rng: np.random.Generator) -> np.ndarray:
    counts = np.empty((case.frames, case.pixels), np.uint8)
    shape, kept = (2, MODES, case.pixels), np.float32(np.exp(-1 / TAU))
    new = np.sqrt(1 - kept * kept)
    field = rng.standard_normal(shape, np.float32)
    for row in counts:
        intensity = np.einsum("imp,imp->p", field, field) / (2 * MODES)
        row[:] = np.minimum(rng.poisson(case.mu * intensity), 255)
        field *= kept
        field += new * rng.standard_normal(shape, np.float32)
    return counts


def analytic(lags: np.ndarray, widths: np.ndarray | int = 1) -> np.ndarray:
    """Return what g2 is expected to be at each lag, between counts summed over so many frames."""
    lags, widths = np.broadcast_arrays(np.asarray(lags), np.asarray(widths))
    return 1 + BETA * np.array([_smeared(int(lag), int(width)) for lag, width in zip(lags, widths, strict=True)])


def _smeared(lag: int, width: int) -> float:
    shift = np.arange(1 - width, width)
    return float(np.sum((width - np.abs(shift)) * np.exp(-2 * np.abs(lag + shift) / TAU)) / width**2)


def exact(counts: np.ndarray, lags: np.ndarray, widths: np.ndarray, *, symmetric: bool) -> Exact:
    """Return g2 of one region in double precision: the ratio of sums, at each lag between sums over `width` frames.

    `symmetric` divides by the product of the two mean intensities, of whole sums alone, as the peers' multi-tau does; otherwise
    by the mean of the products, the last sum being what is left of the series.
    """
    whole, parts, pixels = np.empty(len(lags)), np.empty((GROUPS, len(lags))), counts.shape[1]
    for width in np.unique(widths):
        here = widths == width
        steps = lags[here] // width
        starts = np.arange(0, len(counts) - (width - 1 if symmetric else 0), width)
        series = np.add.reduceat(counts[: starts[-1] + width], starts, axis=0, dtype=float) if width > 1 else counts
        groups = [slice(g * pixels // GROUPS, (g + 1) * pixels // GROUPS) for g in range(GROUPS)]
        numerators = np.stack([_products(series[:, group])[steps] for group in groups])
        totals = np.stack([series[:, group].sum(axis=1, dtype=float) for group in groups])
        whole[here] = pixels * numerators.sum(axis=0) / _norm(totals.sum(axis=0), steps, symmetric)
        sizes = [group.stop - group.start for group in groups]
        for g, size in enumerate(sizes):
            parts[g, here] = size * numerators[g] / _norm(totals[g], steps, symmetric)
    return Exact(whole, parts.std(axis=0, ddof=1) / np.sqrt(GROUPS))


def _products(series: np.ndarray) -> np.ndarray:
    """Sum over pixels and times of the products of counts at each lag, by transforms; integers, but for rounding."""
    n = len(series)
    power = sum(
        np.sum(np.abs(np.fft.rfft(series[:, start : start + CHUNK].T.astype(float), 2 * n, axis=1)) ** 2, axis=0)
        for start in range(0, series.shape[1], CHUNK)
    )
    return np.rint(np.fft.irfft(power)[:n])


def _norm(totals: np.ndarray, steps: np.ndarray, symmetric: bool) -> np.ndarray:
    n = len(totals)
    if symmetric:
        sums = np.concatenate([[0.0], np.cumsum(totals)])
        return sums[n - steps] * (sums[n] - sums[steps]) / (n - steps)
    return _products(totals[:, None])[steps]
