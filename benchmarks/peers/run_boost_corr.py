"""Runs boost-corr (CPU) for compare_correlation.py: ``--engine two_time`` or ``--engine multi_tau``.

Its two correlators are fed batches of frames from memory, as its own readers would; what its command line then does of itself
is done: smoothing by the static map, maps with g2 and five partial g2, g2 with errors. Reading and writing files is not.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
from typing import Any

import correlating
import numpy as np
import torch
from boost_corr import MultitauCorrelator, TwotimeCorrelator
from boost_corr.xpcs_aps_8idi.xpcs_qpartitionmap import XpcsQPartitionMap, find_bin_count

BATCH = 8  # frames; its default
MEMORY = 4.0  # GB that its multi-tau may plan with; of the 36 it takes by default it would fill most, and take twice the time


class BoostCorr:
    version = importlib.metadata.version("boost-corr")

    def __init__(self, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        self.run = self._two_time if options.engine == "two_time" else self._multi_tau

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        self._frames = [torch.from_numpy(counts[start : start + BATCH]) for start in range(0, len(counts), BATCH)]
        self._n, self._shape = len(counts), (1, counts.shape[1])
        self._widths = None
        edges = np.searchsorted(regions, np.arange(1, regions.max() + 2))
        slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
        names = list(range(1, len(slices) + 1))
        self._qinfo = {"dq_idx": names, "dq_slc": slices, "sq_idx": names, "sq_slc": slices}
        self._partition = _partition(regions)

    def _two_time(self) -> Any:
        correlator = TwotimeCorrelator(self._qinfo, self._n, det_size=self._shape)
        for batch in self._frames:
            correlator.process(batch)
        correlator.post_processing(smooth_method="sqmap")
        first, last = None, None
        for last in correlator.get_twotime_generator():
            first = first or last
        return first, last

    def _multi_tau(self) -> Any:
        correlator = MultitauCorrelator(self._shape, self._n, queue_size=BATCH, max_memory=MEMORY)
        for batch in self._frames:
            correlator.process(batch)
        correlator.post_process()
        self._widths = 2 ** correlator.tau_bin[1]
        return self._partition.normalize_multitau(correlator.get_results()[1])

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        if self._widths is not None:
            return {"lags": raw["delay_list"], "widths": self._widths, "g2": raw["g2"].T, "symmetric": np.array(True)}
        first, last = raw
        return {
            "lags": np.arange(1, self._n),
            "widths": np.ones(self._n - 1, int),
            "g2": last["c2_g2"].T[:, 1:],
            "map": first["correlation_map/c2_00001"],
        }


def _partition(regions: np.ndarray) -> XpcsQPartitionMap:
    """Return its map of pixels without the file that it is otherwise read from."""
    made = XpcsQPartitionMap.__new__(XpcsQPartitionMap)
    made.dq_dim = made.sq_dim = int(regions.max())
    count, empty = find_bin_count(regions, made.sq_dim + 1)
    labels = torch.from_numpy(regions)
    everywhere = torch.arange(regions.size)
    made.info = {"mask_idx_1d": everywhere, "sqmap_full": labels, "sqmap_crop": labels, "dqmap_crop": labels}
    made.info |= {"scount": torch.from_numpy(count), "snan_idx": torch.from_numpy(empty)}
    return made


if __name__ == "__main__":
    correlating.serve(BoostCorr)
