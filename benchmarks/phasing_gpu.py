"""One iteration of many starts on the GPU against the two transforms that it cannot do without, and against the CPU.

Run: python benchmarks/phasing_gpu.py [--edge 256] [--starts 1 4] [--seconds 2]. Times are the device's own (events), best of
many, the variants interleaved. Without a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np

from xcdi.backend import Array, Cuda, gpu_library, gpu_memory
from xcdi.errors import XcdiError
from xcdi.kernels.phasing import cuda
from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.memory import available_memory, plan


def problem(edge: int, starts: int, *, coherent: bool = True) -> tuple[Estimate, Measured]:
    """Random objects and data on the host."""
    rng, shape = np.random.default_rng(0), (edge, edge, edge)
    wave = rng.random((starts, *shape), dtype=np.float32) * np.exp(6.28j * rng.random((starts, *shape), dtype=np.float32))
    support = np.zeros((starts, *shape), bool)
    support[:, edge // 3 : -(edge // 3), edge // 3 : -(edge // 3), edge // 4 : -(edge // 4)] = True
    amplitude = edge**1.5 * rng.random(shape, dtype=np.float32)
    lag = (np.minimum(np.arange(edge), edge - np.arange(edge)) / edge).astype(np.float32) ** 2
    coherence = None if coherent else np.exp(-2.0 * (lag[:, None, None] + lag[:, None] + lag[: edge // 2 + 1]))
    return Estimate(wave.astype(np.complex64), support), Measured(amplitude, np.ones(shape, bool), 0.0, coherence)


def on_device(cupy: ModuleType, estimate: Estimate, measured: Measured) -> tuple[Estimate, Measured]:
    coherence = None if measured.coherence is None else cupy.asarray(measured.coherence)
    there = Measured(cupy.asarray(measured.amplitude), cupy.asarray(measured.valid), measured.background, coherence)
    return Estimate(cupy.asarray(estimate.rho), cupy.asarray(estimate.support)), there


def milliseconds(cupy: ModuleType, work: Callable[[], object]) -> float:
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end))


def best(cupy: ModuleType, variants: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Least time of every variant [ms]."""
    for work in variants.values():
        work()
    found = dict.fromkeys(variants, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, work in variants.items():
            found[name] = min(found[name], milliseconds(cupy, work))
    return found


def times(cupy: ModuleType, edge: int, starts: int, seconds: float) -> None:
    variants: dict[str, Callable[[], object]] = {}
    device = Cuda(cuda.source())
    wave: Array = on_device(cupy, *problem(edge, starts))[0].rho

    def transforms() -> None:
        device.forward(wave, wave)
        device.backward(wave, wave)

    variants["two transforms"] = transforms
    for name, coherent in (("coherent", True), ("partially coherent", False)):
        runner = Batched(*on_device(cupy, *problem(edge, starts, coherent=coherent)))
        for move in ("hio", "error_reduction"):
            variants[f"{move}, {name}"] = partial(runner.run, move, 1)
    variants["support, sigma 1"] = partial(runner.redraw, "shrink_wrap", 1.0, 0.1)
    found = best(cupy, variants, seconds)
    for name, ms in found.items():
        print(f"{edge:4d}^3 x {starts:<3d} {name:36s} {ms:9.3f} ms  {ms / found['two transforms']:5.2f}")


def agreement(cupy: ModuleType, edge: int) -> None:
    """Largest difference of one step from the same step on the CPU, of the largest voxel."""
    for name, coherent in (("coherent", True), ("partially coherent", False)):
        start, measured = problem(edge, 2, coherent=coherent)
        here, there = Batched(start, measured), Batched(*on_device(cupy, start, measured))
        for runner in (here, there):
            runner.run("hio", 1)
        cpu, gpu = here.estimate(), there.estimate()
        apart = np.abs(cupy.asnumpy(gpu.rho) - cpu.rho).max() / np.abs(cpu.rho).max()
        residual = np.abs(cupy.asnumpy(gpu.residual) / cpu.residual - 1).max()
        print(f"{edge:4d}^3 one step against the CPU, {name:20s} object {apart:.1e}, residual {residual:.1e} (bar 1e-5)")


def memory(cupy: ModuleType, edge: int, starts: int) -> None:
    """What the device gave against what was planned."""
    cupy.get_default_memory_pool().free_all_blocks()
    planned = plan((edge,) * 3, starts, available=available_memory("gpu"), runner="gpu", partial_coherence=True)
    before = gpu_memory()[0]
    begin = on_device(cupy, *problem(edge, planned.at_once, coherent=False))
    runner = Batched(*begin)
    runner.run("hio", 1)
    runner.redraw("shrink_wrap", 1.0, 0.1)
    held = runner.estimate()
    cupy.get_default_memory_pool().free_all_blocks()
    taken = before - gpu_memory()[0]
    print(f"{edge:4d}^3 x {held.rho.shape[0]} memory {taken / 1e9:.2f} GB taken, {planned.needed / 1e9:.2f} GB planned")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=256)
    parser.add_argument("--starts", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    try:
        cupy = gpu_library()
    except XcdiError as error:
        print(f"no GPU here: not run ({error})")
        return
    print(f"GPU: {cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()}, CuPy {cupy.__version__}")
    agreement(cupy, 96)
    memory(cupy, options.edge, max(options.starts))
    for starts in options.starts:
        times(cupy, options.edge, starts, options.seconds)
    times(cupy, 64, 32, options.seconds)


if __name__ == "__main__":
    main()
