"""Runs xcdi for compare_correlation.py: ``--engine map``, ``ages``, ``g2``, ``multi_tau`` or ``multi_tau_errors``.

Counts are given as photons, frame by frame, as its reader makes them of a detector's files and its stages hold them. `map` is the
two-time correlation of all times, normalised by the mean of each frame, and g2 as the ratio of sums; `ages` the same sums, tile by
tile, kept by 100 ages at every lag; `g2` those at every lag alone; `multi_tau` the sums of a pyramid of eight channels, with errors
by the jackknife over 25 tiles of pixels or without.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

import correlating
import numba
import numpy as np

from xcdi.kernels.correlation import age_lag, lagged, one_time, photons, views
from xcdi.kernels.correlation.choice import products
from xcdi.kernels.correlation.jackknife import jackknife_error
from xcdi.kernels.correlation.levels import correlation, levels
from xcdi.kernels.correlation.normalise import unit_weights
from xcdi.kernels.correlation.pyramid import Pyramid
from xcdi.kernels.correlation.tiling import tiles

TILE = 2000  # frames of a tile of a map
AGES, JACKKNIFE = 100, 25


class Xcdi:
    version = importlib.metadata.version("xcdi")

    def __init__(self, options: argparse.Namespace) -> None:
        numba.set_num_threads(options.threads)
        self._threads, self._option = options.threads, options.engine
        self._one = getattr(self, "_multi_tau" if "multi_tau" in options.engine else f"_{options.engine}")

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        self._parts = [photons.from_dense(counts[:, regions == k]) for k in range(1, regions.max() + 1)]

    def run(self) -> Any:
        if self._option != "map":
            return [self._one(part) for part in self._parts]
        first = self._one(self._parts[0])
        return [first, *(self._one(part)[:1] for part in self._parts[1:])]  # one map at a time, as of boost-corr

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        if "multi_tau" in self._option:
            p = raw[0][0]
            lags = views.delays(p)[1:]
            widths = np.concatenate([[1 << level] * np.sum(_own(p, level) > 0) for level in range(len(p.levels))])
            return {"lags": lags, "widths": widths, "g2": np.array([one[1][1:] for one in raw])}
        g2 = np.array([one[0][1:] for one in raw])
        found = {"lags": np.arange(1, g2.shape[1] + 1), "widths": np.ones(g2.shape[1], int), "g2": g2}
        return {**found, "map": raw[0][1]} if self._option == "map" else found

    def _map(self, counts: photons.Photons) -> tuple[np.ndarray, np.ndarray]:
        n, pixels = counts.frames, counts.pixels
        some = levels(counts, unit_weights(pixels))
        found, sums = np.zeros((n, n)), np.zeros((2, 1, n))
        for i, i2, j, j2 in tiles(n, None, TILE):
            c = correlation(self._tile(counts, i, i2, j, j2), some, slice(i, i2), slice(j, j2))
            one_time.add_diagonals(c, i, j, some.level, one_time.cuts((0, n)), *sums)
            found[i:i2, j:j2] = c
        return sums[0, 0] / sums[1, 0], found

    def _ages(self, counts: photons.Photons) -> tuple[np.ndarray, np.ndarray]:
        n, pixels = counts.frames, counts.pixels
        some = levels(counts, unit_weights(pixels))
        how = age_lag.pairing(some, np.arange(n), np.arange(1, AGES) * (n - 1) / AGES)
        table = age_lag.empty(how)
        for i, i2, j, j2 in tiles(n, None, TILE):
            age_lag.merge(table, age_lag.reduced(self._tile(counts, i, i2, j, j2), i, j, how))
        return age_lag.one_time(table, how, some)[0], age_lag.aged(table, how, some)[0]

    def _tile(self, counts: photons.Photons, i: int, i2: int, j: int, j2: int) -> np.ndarray:
        here, there = (photons.of_frames(counts, *part) for part in ((i, i2), (j, j2)))
        return products(here, None if i == j else there, threads=self._threads)

    def _g2(self, counts: photons.Photons) -> tuple[np.ndarray]:
        sums = lagged.tile_sums(counts, unit_weights(counts.pixels), np.zeros(counts.pixels, int), threads=self._threads)
        return (counts.pixels * sums.lagged[0] / lagged.autocorrelation(sums.mean[0]),)

    def _multi_tau(self, counts: photons.Photons) -> tuple[Any, ...]:
        pixels = counts.pixels
        tile = np.arange(pixels) * min(JACKKNIFE, pixels) // pixels if "errors" in self._option else np.zeros(pixels, int)
        p = Pyramid(tile, channels=8).add(counts)
        return p, views.ratio_of_sums(p), jackknife_error(views.replicas(p)) if tile.any() else None


def _own(p: Pyramid, level: int) -> np.ndarray:
    """Lags of a level that a series of that many frames has, 0 left out."""
    first = 1 if level == 0 else p.channels // 2
    return np.arange(first, min(p.channels, np.diff(p.span(level))[0]))


if __name__ == "__main__":
    correlating.serve(Xcdi)
