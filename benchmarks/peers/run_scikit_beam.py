"""Runs scikit-beam for compare_correlation.py: ``--engine two_time`` or ``--engine multi_tau``, eight buffers; one thread.

Its two-time correlation is of all times where it is given a buffer for every frame, which takes a minute for 1000 frames.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

import correlating
import numpy as np
from skbeam.core import correlation

BUFFERS = 8


class ScikitBeam:
    version = importlib.metadata.version("scikit-beam")

    def __init__(self, options: argparse.Namespace) -> None:
        self.run = self._two_time if options.engine == "two_time" else self._multi_tau

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        self._images, self._labels = counts[:, None, :], regions[None, :].astype(int)
        self._levels = int(np.log2(len(counts) / (BUFFERS - 1))) + 1

    def _two_time(self) -> Any:
        n = len(self._images)
        return correlation.two_time_corr(self._labels, self._images, n, n, 1)

    def _multi_tau(self) -> Any:
        return correlation.multi_tau_auto_corr(self._levels, BUFFERS, self._labels, self._images)

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        if self.run == self._two_time:
            g2 = correlation.one_time_from_two_time(raw.g2)
            return {"lags": np.arange(1, g2.shape[1]), "widths": np.ones(g2.shape[1] - 1, int), "g2": g2[:, 1:], "map": raw.g2[0]}
        g2, lags = raw
        widths = 2 ** np.maximum(0, np.arange(len(lags)) // (BUFFERS // 2) - 1)
        return {"lags": lags[1:], "widths": widths[1:], "g2": g2[1:].T, "symmetric": np.array(True)}


if __name__ == "__main__":
    correlating.serve(ScikitBeam)
