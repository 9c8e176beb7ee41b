"""Runs QoraPhase (JAX) for compare.py, with its default recipe: 500 RAAR, 20 HIO in half a support, 200 ER.

Times leave compilation out, which every shape and every recipe pays once (2 to 15 s). One thread is had by holding the
process on one core.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

import numpy as np
import serving


class Qora:
    version = importlib.metadata.version("qoraphase")

    def __init__(self, options: argparse.Namespace) -> None:
        import jax
        import qoraphase

        self._jax, self._qp = jax, qoraphase

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        jax, qp = self._jax, self._qp
        counts, mask = problem["counts"].astype(np.float32), ~problem["valid"]
        self._whole = qp.CDI(counts, mask=mask)
        self._fixed = fixed = qp.CDI(counts, mask=mask, support=problem["support"])
        self._state = self._begun(problem["start"])
        run = jax.jit(qp.HIO(iterations).run)
        self._step = lambda state: run(state, fixed)[0]

    def hio(self) -> None:
        self._state = self._step(self._state)
        self._state.obj.block_until_ready()

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        state, _ = self._jax.jit(self._qp.Recipe(self._qp.HIO(200), self._qp.ER(100)).run)(self._begun(start), self._fixed)
        return {"rho": np.asarray(state.obj), "iterations": 300}

    def _begun(self, start: np.ndarray) -> Any:
        rho = self._jax.numpy.asarray(start * np.float32(np.sqrt(start.size)))  # its transform is unitary
        return self._qp.ReconState(rho, self._fixed.support, self._jax.numpy.int32(0), self._jax.random.key(0))

    def recipe(self, seed: int) -> dict[str, Any]:
        result = self._whole.reconstruct(seed=seed)
        rho = np.asarray(result.object) * np.asarray(result.support)
        return {"rho": rho.astype(np.complex64), "iterations": 720, "support_voxels": int(np.asarray(result.support).sum())}


if __name__ == "__main__":
    serving.serve(Qora, pinned=True)
