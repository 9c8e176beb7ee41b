"""Runs xcdi for compare.py: ``--engine inplace`` (library transforms) or ``--engine fused``; one start of its default recipe."""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

import numpy as np
import serving


class Xcdi:
    version = importlib.metadata.version("xcdi")

    def __init__(self, options: argparse.Namespace) -> None:
        self._workers = options.threads
        if options.engine == "fused":
            from xcdi.kernels.phasing.fused.runner import Fused as Runner
        else:
            from xcdi.kernels.phasing.inplace import InPlace as Runner
        self._runner = Runner

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        from xcdi.kernels.fourier import uncentre
        from xcdi.kernels.phasing.estimate import Estimate, Measured

        valid = uncentre(problem["valid"])
        amplitude = uncentre(np.sqrt(np.where(problem["valid"], problem["counts"], 0)).astype(np.float32))
        self._measured, self._n = Measured(amplitude, valid), iterations
        self._begun = lambda start: Estimate(uncentre(start), uncentre(problem["support"]))
        self._timed = self._runner(self._begun(problem["start"]), self._measured, workers=self._workers)

    def hio(self) -> None:
        self._timed.run("hio", self._n, 0.9)

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        self._timed.load(self._begun(start))
        self._timed.run("hio", 200, 0.9)
        self._timed.run("error_reduction", 100)
        return {"rho": np.fft.fftshift(self._timed.estimate().rho), "iterations": 300}

    def recipe(self, seed: int) -> dict[str, Any]:
        from xcdi.kernels.phasing.schedule import iterations
        from xcdi.stages.recipe import Recipe
        from xcdi.stages.searching import Machine, look, search

        measured, none = self._measured, np.zeros(self._measured.valid.shape, bool)
        recipe = Recipe(starts=1, coherence="off")
        found = search(measured, none, recipe, seed=seed, machine=Machine("cpu", self._workers))
        seen, box = look(measured, recipe)
        steps = [*found.recipe.searching(seen.peak, int(box.sum())), *found.recipe.refining(1)]
        end = found.ends[0]
        return {"rho": np.fft.fftshift(end.rho), "iterations": iterations(steps), "support_voxels": int(np.count_nonzero(end.support))}


if __name__ == "__main__":
    serving.serve(Xcdi)
