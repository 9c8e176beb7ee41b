"""A two-time correlation larger than memory: seconds, memory and disk of its tiles, and whether the answer is right.

python benchmarks/correlation_tiles.py [frames] [pixels] [mean] [workers] [folder]

Goal: 5e4 frames of 1e4 pixels at 0.05 photons on 2 cores in 4 GB of memory, all tiles of the upper triangle on disk.
Speckle of contrast 1 that relaxes exponentially, photons Poisson; the file is read again by windows and compared.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from xcdi.io.tiles import TileFile, Tiles
from xcdi.kernels.correlation import products
from xcdi.stages import tiles
from xcdi.stages.correlation import TwoTime

BLOCK, STILL, KEPT = 512, 16, 0.98  # frames of a block; frames of one pattern; share of the field kept from pattern to pattern


def blocks(frames, side, mean, rng):
    """Blocks of a scan whose speckle pattern changes a little every few frames."""
    wave = (rng.standard_normal((2, side * side)) / np.sqrt(2)).astype(np.float32)
    for start in range(0, frames, BLOCK):
        counts = np.zeros((BLOCK, side * side), np.uint8)
        for first in range(0, BLOCK, STILL):
            edges = np.cumsum(np.sum(wave**2, axis=0), dtype=float)
            events = rng.poisson(mean * STILL * edges[-1])
            pixel = np.searchsorted(edges, rng.random(events) * edges[-1])
            np.add.at(counts, (first + rng.integers(0, STILL, events), pixel), 1)
            fresh = rng.standard_normal(wave.shape, np.float32) / np.float32(np.sqrt(2))
            wave = np.float32(KEPT) * wave + np.float32(np.sqrt(1 - KEPT**2)) * fresh
        stop = min(start + BLOCK, frames)
        yield scan(counts[: stop - start].reshape(-1, side, side), start, stop)


def scan(counts, start, stop):
    """One block as SCAN."""
    return xr.Dataset(
        {"counts": (("frame", "y", "x"), counts, {"units": "1"}), "valid": (("y", "x"), np.ones(counts.shape[1:], bool), {"units": ""})},
        coords={"time": ("frame", np.arange(start, stop) * 1e-3, {"units": "s"})},
    )


def expected(lag):
    """The correlation at a lag, averaged over the places that the earlier frame has in its pattern."""
    steps, rest = divmod(lag, STILL)
    return 1 + KEPT ** (2 * steps) * ((STILL - rest) + rest * KEPT**2) / STILL


def peak_gb():
    """Largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def rechecked(path, series, size=64):
    """Whether some windows of the file hold the products of the photons, exactly."""
    photons, n = series.regions[0].photons, series.time.size
    rng = np.random.default_rng(1)
    with TileFile(path) as file:
        for _ in range(5):
            a, b = rng.integers(0, n - size, 2)
            left, right = (np.stack([dense_frame(photons, t) for t in range(s, s + size)]) for s in (a, b))
            if not np.array_equal(file.products(a, a + size, b, b + size), products.raw_products(left, right)):
                return False
    return True


def dense_frame(photons, t):
    """Counts of one frame."""
    counts = np.zeros(photons.pixels, np.int64)
    here = slice(photons.start[t], photons.start[t + 1])
    counts[photons.pixel[here]] = photons.count[here]
    return counts


def main(frames=50_000, pixels=10_000, mean=0.05, workers=2, folder=None):
    side = round(pixels**0.5)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path, start = Path(place) / "tiles.h5", time.perf_counter()
        rules = TwoTime(np.ones((side, side), bool), "N1", workers=workers)
        series = tiles.gathered(blocks(frames, side, mean, np.random.default_rng(0)), rules)
        photons = series.regions[0].photons
        seen = photons.totals.sum() / frames / photons.pixels
        print(f"{frames} frames, {photons.pixels} good pixels of {side**2}, {seen:.4f} photons each")
        print(f"  simulated and gathered  {time.perf_counter() - start:8.1f} s   peak {peak_gb():.2f} GB")
        done = []

        def progress(count, of):
            done.append((time.perf_counter() - start, time.process_time(), count, of))

        with Tiles(path) as store:
            start, began = time.perf_counter(), time.process_time()
            found = tiles.tiled(series, store, workers=workers, progress=progress)
            took, after_file = time.perf_counter() - start, time.time() - path.stat().st_mtime
        macs = frames * (frames + 1) / 2 * photons.pixels
        tiled_s, processor_s = done[-1][0], done[-1][1] - began
        print(f"  all tiles computed      {tiled_s:8.1f} s   {macs / tiled_s / 1e9:.0f} GMAC/s, {processor_s:.1f} s of processor time")
        print(f"  one file of them        {took - tiled_s - after_file:8.1f} s")
        print(f"  g2, its errors, fit     {after_file:8.1f} s")
        print(f"  peak memory {peak_gb():.2f} GB, file {path.stat().st_size / 1e9:.2f} GB, {workers} workers, {done[-1][3]} tiles")
        print(f"  windows of the file equal the photons' products: {rechecked(path, series)}")
        for lag in (1, 100, min(1000, frames // 2), min(5000, frames // 2)):
            g2, error = float(found.g2[0, lag]), float(found.g2_error[0, lag])
            print(f"  g2 at lag {lag:5d}: {g2:.4f} +- {error:.4f}, expected {expected(lag):.4f}")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, int, float, int, str), sys.argv[1:], strict=False)))
