"""One iteration of phase retrieval, and one support, against the two transforms that no other runner can do without.

Run: python benchmarks/phasing.py [--shapes 64 128 32x64x96] [--threads 1 2] [--memory]. The variants are interleaved, so trust
their ratios more than their times: one thread is timed by the CPU and several by the wall, best and median of many.
The plain moves are the definition that the other two runners must equal. `--memory` prints the peak resident memory
of a whole process that takes one start at 256^3 through every kind of step of the default schedule.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.fft

from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.fused import Fused
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.schedule import Advance, Average, Guard, Redraw, play

Variants = dict[str, Callable[[], object]]


def problem(shape: tuple[int, ...]) -> tuple[Estimate, Measured]:
    """Return a random object and data that it does not fit; without a transform, so that its making needs no more memory than itself."""
    rng = np.random.default_rng(0)
    rho = np.empty(shape, np.complex64)
    for part in (rho.real, rho.imag):
        for plane in part:
            plane[...] = rng.standard_normal(shape[1:], np.float32)
    support = np.zeros(shape, bool)
    support[tuple(slice(n // 3, n - n // 3) for n in shape)] = True
    amplitude = rng.random(shape, np.float32)
    amplitude *= 1.5 * np.sqrt(rho.size)
    return Estimate(rho, support), Measured(amplitude, np.ones(shape, bool))


def timed(variants: Variants, seconds: float) -> dict[str, tuple[list[float], list[float]]]:
    """CPU and wall times of every variant [ms], interleaved, for so many seconds or three times at least."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in variants}
    for run in variants.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["two transforms"][0]) < 3:
        for name, run in variants.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            times[name][1].append(1e3 * (time.perf_counter() - wall))
            times[name][0].append(1e3 * (time.process_time() - cpu))
    return times


def variants(shape: tuple[int, ...], workers: int) -> Variants:
    start, measured = problem(shape)
    work = start.rho.copy()
    fused, inplace, redrawn = (runner(start, measured, workers=workers) for runner in (Fused, InPlace, Fused))
    plain = Plain(start, measured)

    def pair() -> None:
        forward = scipy.fft.fftn(work, overwrite_x=True, workers=workers)
        scipy.fft.ifftn(forward, overwrite_x=True, workers=workers)

    return {
        "two transforms": pair,
        "hio, fused": partial(fused.run, "hio", 1),
        "hio, in place": partial(inplace.run, "hio", 1),
        "hio, plain move": partial(plain.run, "hio", 1),
        "support, sigma 1, fused": partial(redrawn.redraw, "shrink_wrap", 1.0, 0.1),
        "support, sigma 1, in place": partial(inplace.redraw, "shrink_wrap", 1.0, 0.1),
    }


def table(shape: tuple[int, ...], workers: int, seconds: float) -> None:
    found = timed(variants(shape, workers), seconds)
    pair = found["two transforms"]
    for name, (cpu, wall) in found.items():
        ratios = (
            [min(cpu) / min(pair[0])] if workers == 1 else [min(wall) / min(pair[1]), statistics.median(wall) / statistics.median(pair[1])]
        )
        best = min(cpu if workers == 1 else wall)
        shown = " ".join(f"{ratio:6.2f}" for ratio in ratios)
        print(
            f"{'x'.join(map(str, shape)):12s} {workers} thread{'s' if workers > 1 else ' '}  {name:27s} {best:9.2f} ms {shown}", flush=True
        )


def peak(edge: int) -> None:
    """Do what `--memory` measures, and print the peak of this process."""
    start, measured = problem((edge, edge, edge))
    cycle = (Advance("raar", 2), Advance("error_reduction", 2))
    steps = [Advance("hio", 20), Guard(), Redraw("shrink_wrap", 1.0, 0.1), Guard(), Average(cycle, 2)]
    play(Fused(start, measured), measured, steps)
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{gib:.2f} GiB at the most: one start at {edge}^3, with its data and all of the process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["64", "128", "256"], help="64 is 64x64x64")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return peak(options.peak)
    if options.memory:
        subprocess.run([sys.executable, __file__, "--peak", "256"], check=True)
        return None
    for text in options.shapes:
        edges = tuple(map(int, text.split("x")))
        for workers in options.threads:
            table(edges if len(edges) == 3 else 3 * edges, workers, options.seconds)
    return None


if __name__ == "__main__":
    main()
