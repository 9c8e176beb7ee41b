"""Runs cohere-core (numpy backend) for compare.py.

Its settings are those of its examples: half the array as first support, support redrawn in every iteration at 0.1 of the
maximum after a blur of 1 voxel, halves cut off in iteration 2. It has no mask: what is not valid is handed over as zero,
as its preprocessing does. It goes to the detector with the other sign, so its objects are conjugated here.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import tempfile
from typing import Any

import numpy as np
import serving

EXAMPLE: dict[str, Any] = {
    "algorithm_sequence": "3*(20*ER+180*HIO)+20*ER",
    "hio_beta": 0.9,
    "initial_support_area": (0.5, 0.5, 0.5),
    "shrink_wrap_trigger": [1, 1],
    "shrink_wrap_type": "GAUSS",
    "shrink_wrap_threshold": 0.1,
    "shrink_wrap_gauss_sigma": 1.0,
    "twin_trigger": [2],
}


class Cohere:
    version = importlib.metadata.version("cohere-core")

    def __init__(self, options: argparse.Namespace) -> None:
        from cohere_core.controller import phasing

        self._make, self._single = phasing.Rec, options.engine == "single"
        self._folder = tempfile.mkdtemp()

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        self._data = os.path.join(self._folder, "data.npy")
        np.save(self._data, np.sqrt(np.where(problem["valid"], problem["counts"], 0)).astype(np.float32))
        self._timed = self._rec({"algorithm_sequence": f"{iterations}*HIO", "hio_beta": 0.9})
        start = np.conj(problem["start"])
        self._timed.ds_image = start if self._single else start.astype(np.complex128)  # its own random start is complex128
        self._timed.support = problem["support"].astype(int)

    def hio(self) -> None:
        self._timed.iterate()

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        rec = self._rec({"algorithm_sequence": "200*HIO+100*ER", "hio_beta": 0.9})
        rec.ds_image, rec.support = np.conj(start).astype(np.complex128), self._timed.support
        rec.iterate()
        return {"rho": np.conj(rec.ds_image).astype(np.complex64), "iterations": 300}

    def recipe(self, seed: int) -> dict[str, Any]:  # cannot be seeded: its seed is the clock
        rec = self._rec(dict(EXAMPLE))
        if rec.iterate() != 0:
            return {"rho": np.zeros(rec.dims, np.complex64), "iterations": 620}
        rho = np.conj(rec.ds_image * rec.support).astype(np.complex64)
        return {"rho": rho, "iterations": 620, "support_voxels": int(rec.support.sum())}

    def _rec(self, params: dict[str, Any]) -> Any:
        rec = self._make(params, self._data, "np", debug=True)
        if rec.init_dev(-1) != 0 or rec.init_iter_loop() != 0:
            raise RuntimeError("cohere refused its settings")
        return rec


if __name__ == "__main__":
    serving.serve(Cohere)
