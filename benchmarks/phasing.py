"""One iteration of phase retrieval, and one support, against the two transforms that it cannot do without.

Run: python benchmarks/phasing.py [--edges 64 128]. CPU time of one thread, best of many; the variants are interleaved,
so trust their ratios. The plain moves are the definition that the runner in place must equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.fft

from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.inplace import InPlace


def problem(edge: int) -> tuple[Estimate, Measured]:
    rng = np.random.default_rng(0)
    shape = (edge, edge, edge)
    rho = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    support = np.zeros(shape, bool)
    support[(slice(edge // 3, -(edge // 3)),) * 3] = True
    amplitude = np.abs(scipy.fft.fftn(rho)) * rng.random(shape, dtype=np.float32)
    return Estimate(rho, support), Measured(amplitude, np.ones(shape, bool))


def best(variants: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Least CPU time of every variant [ms]."""
    found = dict.fromkeys(variants, float("inf"))
    for run in variants.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in variants.items():
            begin = time.process_time()
            run()
            found[name] = min(found[name], 1e3 * (time.process_time() - begin))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    for edge in options.edges:
        start, measured = problem(edge)
        fast, plain, work = InPlace(start, measured), Plain(start, measured), start.rho.copy()
        found = best(
            {
                "two transforms": lambda work=work: scipy.fft.ifftn(scipy.fft.fftn(work, overwrite_x=True), overwrite_x=True),
                "hio in place": lambda fast=fast: fast.run("hio", 1),
                "hio, plain move": lambda plain=plain: plain.run("hio", 1),
                "support, sigma 1": lambda fast=fast: fast.redraw("shrink_wrap", 1.0, 0.1),
                "support, sigma 2.5": lambda fast=fast: fast.redraw("shrink_wrap", 2.5, 0.1),
            },
            options.seconds,
        )
        for name, ms in found.items():
            print(f"{edge:4d}^3  {name:20s} {ms:8.2f} ms  {ms / found['two transforms']:5.2f}")


if __name__ == "__main__":
    main()
