"""Ingest against the bare decompressor: frames to memory, frames to photons, and memory against the number of frames.

Run: python benchmarks/ingest.py [--frames 24] [--only photons]. Frames are simulated: Poisson counts that fall off as a power of the
radius, module gaps of sentinels; 2167 x 2070 to memory, 1065 x 1030 to photons. Trust the ratios of one run, not its milliseconds.
Times are CPU times of one thread, medians of rounds in which all take turns; the two-thread ratio is of wall times.
"""

from __future__ import annotations

import argparse
import ctypes
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xcdi.io  # first: it tells HDF5 which filters it may load  # isort: skip
import h5py
import hdf5plugin
import numba
import numpy as np

from xcdi.beamline import load_beamline
from xcdi.io.chunks import piece, read_frames, stack
from xcdi.io.stored import Packed
from xcdi.io.vetting import Place
from xcdi.kernels import decoding
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import from_dense
from xcdi.kernels.decoding_photons import Selection, Writer, select

SHAPE, SMALLER = (2167, 2070), (1065, 1030)
CASES = {"sparse u32": (0.02, "u4"), "denser u16": (0.5, "u2"), "bright u32": (5.0, "u4")}
PHOTONS = [(mean, dtype) for mean in (0.001, 0.01, 0.1) for dtype in ("u2", "u4")]
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of glibc's mallopt


def frames(n: int, mean: float, dtype: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    profile = (np.hypot(y - 0.9 * shape[0], x - 0.5 * shape[1]) + 30.0) ** -2.5
    counts = rng.poisson(profile * mean / profile.mean(), (n, *shape)).astype(dtype)
    counts[:, 514:551] = np.iinfo(dtype).max
    if shape == SHAPE:
        counts[:, :, 1030:1040] = np.iinfo(dtype).max
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


def interleaved(works: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Times of one call of each [s], all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = clock()
            work()
            times[name].append(clock() - start)
    return times


def ratio(times: dict[str, list[float]], over: str, under: str) -> float:
    """Median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def to_photons(folder: Path, n: int, rounds: int) -> None:
    """Chunk to photons: against the decompressor alone, against h5py slices made sparse, and by two threads."""
    keep = ctypes.CDLL(None).mallopt  # fresh pages for every frame would slow the decompressor more than its work
    keep(MMAP_THRESHOLD, 1 << 30)
    keep(TRIM_THRESHOLD, 1 << 30)
    valid = np.ones(SMALLER, bool)
    valid[514:551] = False
    place = np.full(SMALLER, -1, np.int32)
    place[valid] = np.arange(valid.sum())
    window = place.copy()
    window[:400], window[600:], window[:, :400], window[:, 600:] = -1, -1, -1, -1
    inside = np.zeros(SMALLER, bool)
    inside[400:600, 400:600] = valid[400:600, 400:600]
    window[inside] = np.arange(inside.sum())
    for mean, dtype in PHOTONS:
        path = write_eiger(folder, f"p{mean}{dtype}", frames(4, mean, dtype, SMALLER), n)
        print(photon_row(path, f"{dtype} mean {mean:5.3f}", select(place), select(window), valid, rounds), flush=True)


def photon_row(path: Path, name: str, chosen: Selection, part: Selection, valid: np.ndarray, rounds: int) -> str:
    """One line of ratios."""
    source = stack([piece(Place(path, "/entry/data/data"), root=path.parent)])
    n, itemsize, flat = source.shape[0], source.dtype.itemsize, np.flatnonzero(valid)
    stored = list(source.stored(0, n))
    raw, writer = [frame.raw for frame in stored], Writer(chosen, source.dtype)

    def chunks() -> None:
        writer.end = 0
        for frame in stored:
            frame.write(writer)

    def slices() -> None:
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            for i in range(n):
                from_dense(data[i].reshape(1, -1)[:, flat])

    works = {
        "bare": lambda: bare(raw, itemsize),
        "photons": chunks,
        "file": lambda: gathered(source.stored(0, n), chosen, chosen.pixels),
        "part": lambda: gathered(source.stored(0, n), part, part.pixels),
        "h5py": slices,
    }
    interleaved(works, 1, time.process_time)
    times = interleaved(works, rounds, time.process_time)
    us = 1e6 / n
    return (
        f"{name} {sum(map(len, raw)) // n:6d} bytes {writer.end // n:6d} events   bare {min(times['bare']) * us:4.0f} us"
        f"   photons {ratio(times, 'photons', 'bare'):4.2f} of bare   from file {ratio(times, 'file', 'bare'):4.2f}"
        f"   200 x 200 of it {ratio(times, 'part', 'bare'):4.2f}   h5py + sparsify / from file {ratio(times, 'h5py', 'file'):4.1f}"
        f"   two threads {two_threads(stored * max(1, 100 // n), chosen, rounds)}"
    )


def two_threads(stored: list[Packed], chosen: Selection, rounds: int) -> str:
    """Gain in wall time by a second thread, and what two threads gained at that moment that have nothing to wait for."""
    works: dict[str, Callable[[], object]] = {}
    for k in (1, 2):
        works[f"ours{k}"] = lambda k=k: gathered(stored, chosen, chosen.pixels, threads=k)
        works[f"idle{k}"] = lambda k=k: list(ThreadPoolExecutor(k).map(spin, [120_000_000 // k] * k))
    interleaved(works, 1, time.perf_counter)
    times = interleaved(works, rounds, time.perf_counter)
    ours, idle = (ratio(times, f"{name}1", f"{name}2") for name in ("ours", "idle"))
    return f"{ours:4.2f} (free of waiting {idle:4.2f}; best times {min(times['ours1']) / min(times['ours2']):4.2f})"


@numba.njit(nogil=True)
def spin(n: int) -> int:
    """Work that needs no memory."""
    x = np.uint64(1)
    for _ in range(n):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
    return x


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
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=["frames", "photons", "memory"])
    parser.add_argument("--peak", nargs=2)
    options = parser.parse_args()
    if options.peak:
        peak(Path(options.peak[0]), options.peak[1])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "frames": lambda: ratios(folder, options.frames),
            "photons": lambda: to_photons(folder, options.frames, options.rounds),
            "memory": lambda: memory(folder),
        }
        for part, show in parts.items():
            if options.only in (None, part):
                show()


if __name__ == "__main__":
    main()
