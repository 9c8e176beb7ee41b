"""Runs pyCHX for compare_correlation.py: ``--engine two_time`` (its array method, with g2) or ``--engine multi_tau``.

Its correlators import plotting and file readers that its package does not ask for, two of them not to be had; they have no part
in the numbers and are replaced by empty modules. Its compressed file is replaced by the same events in memory. One thread, but for BLAS.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from typing import Any
from unittest.mock import MagicMock

import correlating
import numpy as np

sys.modules.update({name: MagicMock() for name in ("modest_image", "pyCHX.chx_libs")})
from pyCHX import chx_correlationc  # noqa: E402
from pyCHX.Two_Time_Correlation_Function import get_one_time_from_two_time  # noqa: E402

BUFFERS = 8


class Events:
    """What its correlators ask of a compressed file."""

    def __init__(self, counts: np.ndarray) -> None:
        self.beg, self.end = 0, len(counts)
        self.md = {"ncols": 1, "nrows": counts.shape[1]}
        self._frames = [(np.flatnonzero(frame).astype(np.int32), frame[frame > 0].astype(np.int16)) for frame in counts]

    def rdrawframe(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self._frames[i]


class PyChx:
    version = importlib.metadata.version("pyCHX")

    def __init__(self, options: argparse.Namespace) -> None:
        self.run = self._two_time if options.engine == "two_time" else self._multi_tau

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        self._regions = regions[None, :].astype(int)
        if self.run == self._two_time:
            self._pixels = counts.astype(float)
        else:
            self._events = Events(counts)

    def _two_time(self) -> Any:
        found = chx_correlationc.auto_two_Arrayc(self._pixels, self._regions)
        return found, get_one_time_from_two_time(found)

    def _multi_tau(self) -> Any:
        return chx_correlationc.cal_g2c(self._events, self._regions, num_buf=BUFFERS)

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        if self.run == self._two_time:
            found, g2 = raw
            return {"lags": np.arange(1, len(g2)), "widths": np.ones(len(g2) - 1, int), "g2": g2[1:].T, "map": found[:, :, 0]}
        g2, lags = raw
        widths = 2 ** np.maximum(0, np.arange(len(lags)) // (BUFFERS // 2) - 1)
        return {"lags": lags[1:], "widths": widths[1:], "g2": g2[1:].T, "symmetric": np.array(True)}


if __name__ == "__main__":
    correlating.serve(PyChx)
