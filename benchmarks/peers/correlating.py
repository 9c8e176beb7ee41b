"""The half of a correlator's runner that is the same for all: orders in, times and results out.

A runner is started with the peer's own Python, which needs numpy besides the peer. Orders are lines of JSON on standard
input, answers lines of JSON on standard output; what the peer itself prints goes to the error stream.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from speckle_cases import BETA, TAU

__all__ = ["Correlator", "serve"]

SYRK = (2000, 4000)  # rows and columns of the product that times are compared with


class Correlator(Protocol):
    """What a runner offers."""

    version: str

    def load(self, counts: np.ndarray, regions: np.ndarray) -> None:
        """Take counts (time, pixel) and the region of each pixel, from 1 on, and bring them into the form the peer wants; not timed."""

    def run(self) -> Any:
        """Correlate; timed."""

    def result(self, raw: Any) -> dict[str, np.ndarray]:
        """Name what `run` gave: `lags`, `widths` (lag,), `g2` (region, lag); `map` (time, time) of the first region where there is one."""


def serve(make: Callable[[argparse.Namespace], Correlator]) -> None:
    """Answer orders until the input ends. `make` imports the peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", default="")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make(options)
    for line in sys.stdin:
        answers.write(json.dumps(obey(peer, json.loads(line))) + "\n")
        answers.flush()


def obey(peer: Correlator, order: dict[str, Any]) -> dict[str, Any]:
    """Do one order: load or run."""
    if order["do"] == "load":
        with np.load(order["file"]) as saved:
            counts, regions, pairs = saved["counts"], saved["regions"], saved["pairs"]
        peer.load(np.ascontiguousarray(counts[:500, ::10]), regions[::10])
        peer.result(peer.run())  # compiles
        peer.load(counts, regions)
        peer.pairs = pairs  # type: ignore[attr-defined]
        return {"version": peer.version}
    resting = _forget_peak()
    begin = time.perf_counter(), time.process_time()
    raw = peer.run()
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    peak = _memory("VmHWM") - resting
    if order.get("file"):
        _save(order["file"], peer.result(raw), peer.pairs)  # type: ignore[attr-defined]
    del raw
    return {"wall": wall, "cpu": cpu, "peak": peak, "syrk": _syrk()}


def _save(file: str, result: dict[str, np.ndarray], pairs: np.ndarray) -> None:
    found = result.pop("map", None)
    if found is not None:
        result["pairs"] = np.asarray(found[pairs[0], pairs[1]], float)
        result["offset"] = np.array(_offset(found))
    np.savez(file, **result)


def _offset(found: np.ndarray) -> float:
    """Mean above the diagonal, less what is expected there."""
    n = len(found)
    lags = np.arange(1, n)
    expected = 1 + BETA * np.sum((n - lags) * np.exp(-2 * lags / TAU)) / (n * (n - 1) / 2)
    rows = [np.asarray(row[t + 1 :], float) for t, row in enumerate(found)]
    known = sum(np.count_nonzero(np.isfinite(row)) for row in rows)
    return float(sum(np.nansum(row) for row in rows) / known - expected)


def _syrk() -> float:
    """CPU seconds per 2**30 multiply-adds of a product of a matrix and its own transpose, every element of it counted."""
    a = np.random.default_rng(0).random(SYRK, np.float32)
    a @ a.T
    begin = time.process_time()
    a @ a.T
    return (time.process_time() - begin) / (SYRK[0] ** 2 * SYRK[1] / 2**30)


def _forget_peak() -> float:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))
