"""Runs cuphaser (CPU path with pyFFTW) for compare.py.

It redraws its support to a volume that must be given; it gets the true one, which no user has. 200 iterations of the
difference map and 100 of error reduction, blur of the support from 4 to 2 voxels. Cubes only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import tempfile
from typing import Any

import mrcfile
import numpy as np
import serving

CONFIG = """[parameters]
size = {size}
num_threads = {threads}
[files]
intens_fname = intensity.ccp4
output_prefix = {prefix}
{support}
[algorithm]
algorithm = {moves}
beta = {beta}
real_valued = False
{more}
"""


class Cuphaser:
    version = importlib.metadata.version("cuphaser")

    def __init__(self, options: argparse.Namespace) -> None:
        from cuphaser import phaser

        self._make, self._threads = phaser.Phaser, options.threads
        self._folder = tempfile.mkdtemp()
        os.chdir(self._folder)  # it writes the plans of its transforms where it stands

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        self._size, self._n = len(problem["counts"]), iterations
        self._volume = int(problem["support"].sum())
        self._write("intensity.ccp4", np.where(problem["valid"], problem["counts"], -1).astype(np.float32))
        self._write("support.ccp4", np.fft.ifftshift(problem["support"]).astype(np.int8))
        self._timed = self._phaser("support_fname = support.ccp4", f"{iterations} HIO", 0.9, "")
        self._timed.state.iterate[0] = np.fft.ifftshift(problem["start"])

    def hio(self) -> None:
        for i in range(self._n):
            self._timed.run_iteration(min(i + 1, self._n - 1))  # its last one writes a file

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        phaser = self._phaser("support_fname = support.ccp4", "200 HIO 100 ER", 0.9, "")
        phaser.state.iterate[0] = np.fft.ifftshift(start)
        for i in range(300):
            phaser.run_iteration(i + 1)
        return {"rho": np.fft.fftshift(phaser.state.iterate[0]).astype(np.complex64), "iterations": 300}

    def recipe(self, seed: int) -> dict[str, Any]:
        np.random.seed(seed)  # noqa: NPY002  (it draws from there)
        support = f"support_fname = none\nsupport_numvox = {self._volume}"  # without a name it opens the folder
        phaser = self._phaser(support, "200 DM 100 ER", 1.0, "local_variation = True\nblur_schedule = 4 2")
        for i in range(300):
            phaser.run_iteration(i + 1)
        rho = phaser.state.iterate[0] * (phaser.proj.support > 0)
        return {"rho": np.asarray(rho, np.complex64), "iterations": 300, "support_voxels": self._volume}

    def _phaser(self, support: str, moves: str, beta: float, more: str) -> Any:
        path = os.path.join(self._folder, "config.ini")
        prefix = os.path.join(self._folder, "out")
        with open(path, "w") as file:
            file.write(
                CONFIG.format(size=self._size, threads=self._threads, prefix=prefix, support=support, moves=moves, beta=beta, more=more)
            )
        return self._make(path)

    def _write(self, name: str, array: np.ndarray) -> None:
        with mrcfile.new(os.path.join(self._folder, name), overwrite=True) as file:
            file.set_data(array)


if __name__ == "__main__":
    serving.serve(Cuphaser)
