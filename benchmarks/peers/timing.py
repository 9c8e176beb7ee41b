"""Time per iteration of HIO, every engine in turn, against the pair of transforms timed in the same process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from crystals import crystal, problem
from running import Engine, Running, started

__all__ = ["section"]

BLOCK = {64: 20, 128: 5, 256: 2}  # iterations in one timed block
PHOTONS = {64: 1e7, 128: 1e8, 256: 1e8}


def section(engines: list[Engine], edges: list[int], threads: list[int], visits: int, work: Path) -> str:
    """Return the table."""
    lines = [
        "Wall time per iteration in ms, and what it is of one forward and inverse `scipy.fft` transform in complex64, threads alike,",
        "timed in the same process in turn; in brackets the same ratio of CPU time. Least time, median ratios; the engines take turns,",
        "block by block. PyNX and cohere on numpy use one thread whatever is asked for.",
        "",
        "| edge | threads | engine | version | ms | of the pair | (CPU) |",
        "|---|---|---|---|---|---|---|",
    ]
    for edge in edges:
        file = work / f"timing_{edge}.npz"
        np.savez(file, **problem(crystal(edge, hard=False), PHOTONS.get(edge, 1e8), seed=1))
        for n in threads:
            lines += _table(engines, edge, n, visits, file, work)
    return "\n".join(lines)


def _table(engines: list[Engine], edge: int, threads: int, visits: int, file: Path, work: Path) -> list[str]:
    block = BLOCK.get(edge, 2)
    with ExitStack() as stack:
        running = [stack.enter_context(started(one, threads=threads, log=work / "errors.txt")) for one in engines]
        versions = [one.ask(do="load", file=str(file), iterations=block)["version"] for one in running]
        seen = [_visit(one, edge, block) for one in running]  # the first visit compiles and plans
        seen = [[] for _ in running]
        for _ in range(visits):
            for one, times in zip(running, seen, strict=True):
                times.append(_visit(one, edge, block))
    return [_row(edge, threads, one.engine.name, v, np.array(times)) for one, v, times in zip(running, versions, seen, strict=True)]


def _visit(one: Running, edge: int, block: int) -> np.ndarray:
    """Return (hio or pair, wall or CPU) in ms."""
    answer = one.ask(do="time", shape=[edge] * 3, iterations=block, repeats=1)
    return np.array([answer["hio"][0], answer["pair"][0]])


def _row(edge: int, threads: int, name: str, version: str, times: np.ndarray) -> str:
    wall, cpu = np.median(times[:, 0] / times[:, 1], axis=0)
    ms = times[:, 0, 0].min()
    return f"| {edge} | {threads} | {name} | {version} | {ms:.1f} | {wall:.2f} | ({cpu:.2f}) |"
