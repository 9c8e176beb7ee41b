"""Ingest against the bare decompressor, and memory against the number of frames.

Run: python benchmarks/ingest.py [--frames 40]. Frames are simulated: 2167 x 2070, Poisson counts that fall off as a power of the
radius, module gaps of sentinels. Trust the ratios of one run, not its milliseconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import xcdi.io  # first: it tells HDF5 which filters it may load  # isort: skip
import h5py
import hdf5plugin
import numpy as np

from xcdi.beamline import load_beamline
from xcdi.io.chunks import piece, read_frames, stack
from xcdi.io.vetting import Place
from xcdi.kernels import decoding

SHAPE = (2167, 2070)
CASES = {"sparse u32": (0.02, "u4"), "denser u16": (0.5, "u2"), "bright u32": (5.0, "u4")}


def frames(n: int, mean: float, dtype: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    profile = (np.hypot(y - 0.9 * shape[0], x - 0.5 * shape[1]) + 30.0) ** -2.5
    counts = rng.poisson(profile * mean / profile.mean(), (n, *shape)).astype(dtype)
    counts[:, 514:551] = counts[:, :, 1030:1040] = np.iinfo(dtype).max
    return counts


def write_eiger(folder: Path, name: str, counts: np.ndarray, n: int) -> Path:
    """Master and one data file with `n` frames, which repeat those of `counts`."""
    packed = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
    with h5py.File(folder / f"{name}_data_000001.h5", "w") as file:
        data = file.create_dataset("entry/data/data", (n, *counts.shape[1:]), counts.dtype, chunks=(1, *counts.shape[1:]), **packed)
        data[: len(counts)] = counts
        for i in range(len(counts), n):
            data.id.write_direct_chunk((i, 0, 0), data.id.read_direct_chunk((i % len(counts), 0, 0))[1])
    with h5py.File(folder / f"{name}_master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink(f"{name}_data_000001.h5", "/entry/data/data")
        file["entry/instrument/detector/detectorSpecific/nimages"] = n
    return folder / f"{name}_data_000001.h5"


def fastest(work: Callable[[], object], repeats: int = 7) -> float:
    """Least CPU time of one call [s]."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def bare(raw: list[bytes], itemsize: int) -> str:
    """The fastest decompressor at hand, without reading, without a place to put its output."""
    if decoding.decompress is None:
        raise SystemExit("install dectris-compression: it is what ingest is measured against")
    for chunk in raw:
        decoding.decompress(chunk, "bslz4", elem_size=itemsize)
    return "dectris-compression"


def ratios(folder: Path, n: int) -> None:
    for name, (mean, dtype) in CASES.items():
        path = write_eiger(folder, name.replace(" ", "_"), frames(4, mean, dtype), n)
        source = stack([piece(Place(path, "/entry/data/data"), root=folder)])
        out = np.empty(source.shape, source.dtype)
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            raw = [data.id.read_direct_chunk((i, 0, 0))[1] for i in range(n)]
            slices = fastest(lambda data=data, out=out: data.read_direct(out), 3)
        alone = fastest(lambda raw=raw, source=source: bare(raw, source.dtype.itemsize))
        ours = fastest(lambda source=source, out=out: read_frames(source, 0, n, out=out))
        fresh = fastest(lambda source=source: read_frames(source, 0, n))
        ms = 1e3 / n
        print(
            f"{name:11s} {out.nbytes / sum(map(len, raw)):5.1f}x packed   bare {alone * ms:5.2f} ms/frame   ingest {ours * ms:5.2f} "
            f"= {ours / alone:4.2f} of bare   into fresh memory {fresh / alone:4.2f}   h5py {slices / alone:4.2f}",
            flush=True,
        )


def peak(path: Path, scan: str) -> None:
    """Print the peak memory [MB] of summing a whole scan block by block."""
    home = load_beamline("demo")
    counts = xcdi.io.open_scan(path, scan, home, frames_per_chunk=20).counts
    total = counts.data.sum(dtype="u8").compute(scheduler="synchronous")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, int(total))


def memory(folder: Path) -> None:
    counts = frames(4, 0.02, "u4")
    found = {}
    for n in (200, 2000):
        write_eiger(folder, f"m{n}", counts, n)
        run = [sys.executable, __file__, "--peak", str(folder), f"m{n}"]
        found[n] = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[0])
    print(f"peak memory {found[200]} MB for 200 frames, {found[2000]} MB for 2000: {found[2000] / found[200]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--peak", nargs=2)
    options = parser.parse_args()
    if options.peak:
        peak(Path(options.peak[0]), options.peak[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        ratios(Path(folder), options.frames)
        memory(Path(folder))


if __name__ == "__main__":
    main()
