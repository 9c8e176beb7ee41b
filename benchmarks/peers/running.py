"""A peer that runs in its own Python, seen from here: started once, then asked by lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Engine", "Running", "ends", "engines", "started"]

HERE = Path(__file__).parent


class Engine(NamedTuple):
    """What is compared: its name in the tables, the runner's script, the Python for it, and the runner's option."""

    name: str
    script: str
    python: str
    option: str = ""


@dataclass
class Running:
    """A started runner."""

    engine: Engine
    process: subprocess.Popen[str]

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give one order and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.engine.name} died on {order}; see its error stream")
        return json.loads(answer)


@contextmanager
def started(engine: Engine, *, threads: int, log: Path) -> Iterator[Running]:
    """Start a runner, and end it afterwards."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [engine.python, str(HERE / engine.script), "--threads", str(threads), "--engine", engine.option]
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **limits}, cwd=log.parent
        )
        try:
            yield Running(engine, process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait()


def ends(
    engine: Engine, data: dict[str, np.ndarray], name: str, starts: int, work: Path, *, what: str = "recipe"
) -> list[dict[str, np.ndarray]]:
    """Return what the engine's recipe makes of the data from so many starts; those found in the folder are not run again."""
    folder = work / (name if what == "recipe" else f"{name}_{what}")
    folder.mkdir(exist_ok=True)
    files = [folder / f"{engine.script}{engine.option}_{seed}.npz" for seed in range(starts)]
    if not all(file.exists() for file in files):
        np.savez(folder / f"{engine.script}_data.npz", **data)
        with started(engine, threads=1, log=work / "errors.txt") as running:
            problem = str(folder / f"{engine.script}_data.npz")
            running.ask(do="load", file=problem, iterations=2)
            for seed, file in enumerate(files):
                if not file.exists():
                    running.ask(do=what, seed=seed, file=str(file), problem=problem)
    return [_loaded(file) for file in files]


def _loaded(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as saved:
        return dict(saved)


def engines(pythons: dict[str, str], own: str) -> list[Engine]:
    """Return what can be compared, given the Python of each peer and our own."""
    ours = [Engine("xcdi, library transforms", "run_xcdi.py", own, "inplace")]
    if (HERE.parents[1] / "xcdi" / "kernels" / "phasing" / "fused" / "runner.py").exists():
        ours.append(Engine("xcdi, fused", "run_xcdi.py", own, "fused"))
    names = {"qoraphase": "QoraPhase", "pynx": "PyNX", "cuphaser": "cuphaser", "cohere": "cohere, numpy"}
    return [*ours, *(Engine(title, f"run_{key}.py", pythons[key]) for key, title in names.items() if key in pythons)]
