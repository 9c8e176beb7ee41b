"""Runs xpcs-correlator for compare_correlation.py: ``--engine dense``, ``sparse_map``, ``sparse_ages`` or ``sparse_g2``.

All in this process, without its Dask cluster. Dense: map of all times, in float32 blocks of at most 1000 frames; sparse: events
by pixel, sorted beforehand; the whole map, a map of 100 ages by lags in logarithmic bins, or g2 alone. Each gives g2 at every
lag. Its sparse paths use one thread whatever is asked for.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
from typing import Any

import correlating
import numpy as np
import xpcscorr

WIDTH = 100  # pixels of a row of the detector


class XpcsCorrelator:
    version = importlib.metadata.version("xpcs-correlator")

    def __init__(self, options: argparse.Namespace) -> None:
        logging.disable(logging.CRITICAL)
        forms: dict[str, dict[str, Any]] = {
            "sparse_ages": {"ttcf_format": "age,lag", "age_binning": 100, "lag_binning": (2, 50)},
            "sparse_g2": {},
        }
        self._form = forms.get(options.engine, {"ttcf_format": "t1,t2"})
        self.run = self._dense if options.engine == "dense" else self._sparse

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        self._mask = regions.reshape(-1, WIDTH)
        self._frames = counts.reshape(-1, *self._mask.shape)
        if self.run == self._sparse:
            pixel, self._time = (a.astype(np.uint32) for a in np.nonzero(counts.T))
            self._intensity = counts[self._time, pixel]
            self._pointer = np.searchsorted(pixel, np.arange(counts.shape[1] + 1)).astype(np.uint64)

    def _dense(self) -> Any:
        options = {"dask_cluster_type": None, "chunks_N": max(1, len(self._frames) // 1000)}
        return xpcscorr.correlator_dense_chunked(self._frames, self._mask, **self._form, extra_options=options)

    def _sparse(self) -> Any:
        return xpcscorr.correlator_sparse_pixel_chunked(
            self._intensity,
            self._time,
            self._pointer,
            self._frames.shape,
            self._mask,
            **self._form,
            extra_options={"dask_cluster_type": None},
        )

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        n = len(self._frames)
        found = {"lags": np.arange(1, n), "widths": np.ones(n - 1, int), "g2": raw.g2}
        return {**found, "map": raw.ttcf[0]} if self._form.get("ttcf_format") == "t1,t2" else found


if __name__ == "__main__":
    correlating.serve(XpcsCorrelator)
