"""``xcdi doctor``: what this machine has, in lines to paste into a question."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xcdi import __version__
from xcdi.cli.output import usable_cores
from xcdi.errors import XcdiError
from xcdi.jobs.job import one_line

__all__ = ["doctor"]

PACKAGES = (
    "numpy",
    "scipy",
    "h5py",
    "hdf5plugin",
    "numba",
    "scikit-image",
    "matplotlib",
    "xarray",
    "dask",
    "distributed",
    "pydantic",
    "silx",
)
OPTIONAL = ("dectris-compression", "pyvista", "dask-jobqueue", "pyzmq", "cbor2", "tornado")
GPU_PACKAGES = ("cupy", "cupy-cuda12x", "cupy-cuda13x")
DRIVER = Path("/proc/driver/nvidia/version")


def doctor() -> int:
    """Print one line per finding; what is missing is no failure."""
    for subject, lines in {"xcdi": _software(), "machine": _machine(), "hdf5": _hdf5(), "gpu": _gpu()}.items():
        for line in lines:
            print(f"{subject:<8}  {line}", flush=True)
    return 0


def _software() -> Iterator[str]:
    yield f"{__version__} in {Path(__file__).parents[1]}"
    yield f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}"
    yield ", ".join(f"{name} {_version(name) or 'MISSING'}" for name in PACKAGES)
    yield "optional: " + ", ".join(f"{name} {_version(name) or 'not installed'}" for name in OPTIONAL)


def _machine() -> Iterator[str]:
    yield f"{_cpu()}, {usable_cores()} of {os.cpu_count()} cores usable"
    total, free = (os.sysconf("SC_PAGE_SIZE") * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    yield f"memory {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free; {shutil.disk_usage('.').free / 2**30:.1f} GiB free on this disk"
    limits = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ}
    yield "threads limited by " + ", ".join(f"{k}={v}" for k, v in limits.items()) if limits else "threads not limited by the environment"


def _hdf5() -> Iterator[str]:
    import h5py

    import xcdi.io  # noqa: F401  (registers the filters as a run does)

    yield f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}"
    filters = {"bitshuffle": 32008, "blosc": 32001, "zstd": 32015, "lz4": 32004, "gzip": 1}
    yield "filters " + ", ".join(f"{name} {'yes' if h5py.h5z.filter_avail(code) else 'MISSING'}" for name, code in filters.items())
    yield f"bitshuffle-LZ4 {_round_trip()}"


def _round_trip() -> str:
    """Compress frames as a detector does and read them back through HDF5."""
    import h5py
    import hdf5plugin
    import numpy as np

    frames = np.random.default_rng(0).poisson(0.1, (3, 127, 131)).astype(np.uint32)
    with h5py.File("doctor.h5", "w", driver="core", backing_store=False) as file:
        stored = file.create_dataset("frames", data=frames, chunks=(1, 127, 131), compression=hdf5plugin.Bitshuffle())
        begin = time.perf_counter()
        same = np.array_equal(stored[:], frames)
    return f"reads back {'the same' if same else 'DIFFERENT'} frames, {(time.perf_counter() - begin) * 1e3 / 3:.2f} ms each"


def _gpu() -> Iterator[str]:
    driver = DRIVER.read_text(errors="replace").partition("\n")[0] if DRIVER.is_file() else "none found"
    yield f"driver: {driver}"
    installed = [f"{name} {_version(name)}" for name in GPU_PACKAGES if _version(name)]
    yield f"CuPy: {', '.join(installed) or 'not installed; pip install xcdi[cuda12] or xcdi[cuda13]'}"
    if installed:
        from xcdi.backend import gpu_library

        try:
            yield from _device(gpu_library())
        except (XcdiError, RuntimeError, OSError, ImportError) as error:  # what CUDA and its loader raise
            yield f"not usable: {one_line(error)}"


def _device(cupy: object) -> Iterator[str]:
    """Name and memory of the device, then a kernel compiled and an FFT checked against the CPU."""
    import numpy as np

    runtime = cupy.cuda.runtime  # type: ignore[attr-defined]
    properties = runtime.getDeviceProperties(0)
    free, total = runtime.memGetInfo()
    yield f"{properties['name'].decode()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {runtime.runtimeGetVersion()}"
    source = 'extern "C" __global__ void twice(float* a) { a[threadIdx.x] *= 2.0f; }'
    numbers = cupy.arange(32, dtype=np.float32)  # type: ignore[attr-defined]
    cupy.RawKernel(source, "twice")((1,), (32,), (numbers,))  # type: ignore[attr-defined]
    good = np.array_equal(numbers.get(), 2 * np.arange(32, dtype=np.float32))
    yield f"compile and run a kernel: {'ok' if good else 'WRONG RESULT'}"
    volume = np.random.default_rng(0).random((31, 32, 37)).astype(np.complex64)
    difference = np.abs(cupy.fft.fftn(cupy.asarray(volume)).get() - np.fft.fftn(volume)).max() / volume.size  # type: ignore[attr-defined]
    yield f"FFT against the CPU: {'ok' if difference < 1e-5 else 'WRONG RESULT'}, largest difference {difference:.1e} of the sum"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine()
    )
