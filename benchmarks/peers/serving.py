"""The half of a peer's runner that is the same for all: orders in, timed iterations and objects out.

A runner is started with the peer's own Python, which needs numpy and scipy besides the peer. Orders are lines of JSON on
standard input, answers lines of JSON on standard output; what the peer itself prints goes to the error stream.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.fft

__all__ = ["Peer", "random_start", "serve"]


class Peer(Protocol):
    """What a runner offers. Arrays have the peak and the middle of the object at n // 2."""

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        """Take `counts`, `valid`, `support` and `start` (z, y, x), for blocks of so many iterations."""

    def hio(self) -> None:
        """Do one block of iterations of HIO, feedback 0.9, in the fixed support, from wherever it is."""

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        """Do 200 HIO and 100 ER from `start` in the given support, which stays: `rho`, `iterations`."""

    def recipe(self, seed: int) -> dict[str, Any]:
        """Run what its users run, knowing nothing but the data: `rho`, `iterations`, and what else is worth saving."""


def serve(make: Callable[[argparse.Namespace], Peer], *, pinned: bool = False) -> None:
    """Answer orders until the input ends. `make` imports the peer; `pinned` holds one thread on one core, where nothing else does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", default="")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if pinned and options.threads == 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    peer = make(options)
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(obey(peer, order, options.threads)) + "\n")
        answers.flush()


def obey(peer: Peer, order: dict[str, Any], threads: int) -> dict[str, Any]:
    """Do one order: load, time, recipe or plain."""
    match order["do"]:
        case "load":
            with np.load(order["file"]) as saved:
                problem = dict(saved)
            peer.load(problem, order["iterations"])
            return {"version": getattr(peer, "version", "")}
        case "time":
            return _time(peer, order["shape"], order["iterations"], order["repeats"], threads)
        case "recipe" | "plain":
            begin = time.perf_counter(), time.process_time()
            result = peer.recipe(order["seed"]) if order["do"] == "recipe" else peer.plain(random_start(order["problem"], order["seed"]))
            wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
            np.savez(order["file"], wall=wall, cpu=cpu, **result)
            return {"wall": wall, "cpu": cpu}
    raise ValueError(f"order {order['do']!r}, expected load, time, recipe or plain")


def random_start(file: str, seed: int) -> np.ndarray:
    """Return an object of random amplitude and phase in the support of the problem in that file, at the scale of its counts."""
    with np.load(file) as problem:
        support, counts = problem["support"], problem["counts"]
    rng = np.random.default_rng(seed)
    start = np.where(support, rng.uniform(0.5, 1, support.shape) * np.exp(2j * np.pi * rng.random(support.shape)), 0)
    return (start * np.sqrt(counts.sum() / counts.size / np.sum(np.abs(start) ** 2))).astype(np.complex64)


def _time(peer: Peer, shape: list[int], iterations: int, repeats: int, threads: int) -> dict[str, Any]:
    """Time a block of iterations and as many pairs of transforms in turn; ms per iteration, wall and CPU."""
    work = np.random.default_rng(0).random(shape, np.float32).astype(np.complex64)
    hio, pair = [], []
    for _ in range(repeats):
        hio.append(_clock(peer.hio, iterations))
        pair.append(_clock(partial(_pairs, work, iterations, threads), iterations))
    return {"hio": hio, "pair": pair}


def _pairs(work: np.ndarray, n: int, threads: int) -> None:
    for _ in range(n):
        scipy.fft.ifftn(scipy.fft.fftn(work, overwrite_x=True, workers=threads), overwrite_x=True, workers=threads)


def _clock(run: Callable[[], object], n: int) -> list[float]:
    begin = time.perf_counter(), time.process_time()
    run()
    return [1e3 * (time.perf_counter() - begin[0]) / n, 1e3 * (time.process_time() - begin[1]) / n]
