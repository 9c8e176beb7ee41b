"""Time and memory of the multi-tau two-time correlation against the number of frames, and beside a banded matrix product.

python benchmarks/correlation_multi_tau.py [--frames 10000 100000 1000000] [--pixels 10000] [--mean 0.01] [--out FOLDER]

Goals: 1e6 frames of 1e4 pixels at 0.01 photons in 10 minutes and 2 GB, both linear in the frames;
short series at least 15 times faster than boost-corr's multi-tau (benchmarks/PEERS.md).
One thread; processor time, for other work on the machine does not count. Making the photons is timed apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from xcdi.kernels.correlation import photons, views
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.pyramid import Pyramid

TILES, BLOCK, CHANNELS, BRIGHTEST = 32, 4096, 16, 5.0
SHORT = ((4000, 0.1, 1.12), (4000, 0.01, 0.872), (20000, 0.01, 6.06))  # frames, photons per pixel, boost-corr's wall s on two threads


def blocks(frames, pixels, mean, seed=0):
    """Photons of a speckle pattern of which a part is renewed from block to block, and the time [s] that making them took."""
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal((2, pixels))
    for start in range(0, frames, BLOCK):
        begun, size = time.process_time(), min(BLOCK, frames - start)
        wave = 0.95 * wave + np.sqrt(1 - 0.95**2) * rng.standard_normal(wave.shape)
        bright = np.minimum(np.sum(wave**2, axis=0) / 2, BRIGHTEST)
        chance = mean * BRIGHTEST
        drawn = rng.geometric(chance, int(size * pixels * chance + 10 * np.sqrt(size * pixels * chance) + 10))
        place = np.cumsum(drawn) - 1
        place = place[: np.searchsorted(place, size * pixels)]
        place = place[rng.random(place.size) * BRIGHTEST < bright[place % pixels]]
        edges = np.searchsorted(place, np.arange(size + 1) * pixels)
        some = Photons(edges.astype(np.int64), (place % pixels).astype(np.int32), np.ones(place.size, np.uint8), pixels)
        yield some, time.process_time() - begun


def tiles(pixels):
    return np.arange(pixels) * TILES // pixels


def long(frames, pixels, mean):
    """One series in a process of its own, so that the peak of its memory is its own."""
    warm = Pyramid(tiles(pixels)).add(next(blocks(BLOCK, pixels, mean))[0]).add(next(blocks(2 * CHANNELS, pixels, mean))[0])
    views.replicas(warm), views.age_lag_map(warm, np.linspace(0, BLOCK, 9))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total, made, found = Pyramid(tiles(pixels)), 0.0, 0
    wall, begun = time.perf_counter(), time.process_time()
    for some, took in blocks(frames, pixels, mean):
        total, made, found = total.add(some), made + took, found + some.pixel.size
    folded = time.process_time() - begun - made
    g2, replicas = views.ratio_of_sums(total), views.replicas(total)
    grid = views.age_lag_map(total, np.linspace(0, frames, 257))
    return {
        "frames": frames,
        "photons": found,
        "fold_s": folded,
        "views_s": time.process_time() - begun - made - folded,
        "generator_s": made,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_before_mb": before / 1024,
        "kept_mb": kept(total) / 2**20,
        "numbers_per_frame": numbers(total) / frames,
        "delays": views.delays(total).tolist(),
        "g2": g2.tolist(),
        "error": np.sqrt((TILES - 1) * replicas.var(axis=0)).tolist(),
        "map": grid.tolist(),
    }


def numbers(total):
    return sum(total.table(level).size for level in range(len(total.levels))) + total.tile_totals().size


def kept(total):
    pieces = [rows.values for level in total.levels for rows in level.rows] + [rows.values for rows in (*total.totals, *total.good)]
    return sum(a.nbytes for a in pieces) + sum(level.head.nbytes + level.tail.nbytes for level in total.levels)


def banded(frames, pixels):
    """Time [s] of single-precision products of blocks of frames with as many before them, over all levels."""
    rng = np.random.default_rng(0)
    strip = rng.poisson(0.1, (2 * CHANNELS - 1, pixels)).astype(np.float32)
    best = fastest(lambda: strip[CHANNELS - 1 :] @ strip.T, repeats=20)
    return 2 * frames / CHANNELS * best


def fastest(work, repeats=5):
    """Least processor time of a few runs, in seconds."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def short(pixels=10000):
    """Series that fit in memory, dense and as photons, beside what boost-corr took."""
    print(f"{'frames':>8s} {'mean':>6s} {'channels':>8s} {'dense uint8':>12s} {'photons':>10s} {'g2':>8s}   boost-corr / xcdi, dense")
    for frames, mean, peer in SHORT:
        counts = np.random.default_rng(0).poisson(mean, (frames, pixels)).astype(np.uint8)
        events = photons.from_dense(counts)
        for channels in (8, 16):
            empty = Pyramid(np.zeros(pixels, int), channels)
            dense, sparse = (fastest(lambda c=c, e=empty: e.add(c)) for c in (counts, events))
            whole = empty.add(events)
            view = fastest(lambda w=whole: views.ratio_of_sums(w))
            print(f"{frames:8d} {mean:6.2f} {channels:8d} {dense:10.3f} s {sparse:8.3f} s {view:6.3f} s   {peer / (dense + view):6.1f}")


def picture(rows, folder):
    """Time and memory against the number of frames; one-time correlation and age-lag map of the longest series."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(18, 4), constrained_layout=True)
    n = np.array([row["frames"] for row in rows])
    for name, label in (("fold_s", "sums"), ("views_s", "g2, errors, map")):
        axes[0].loglog(n, [row[name] for row in rows], "o-", label=label)
    axes[0].loglog(n, rows[-1]["fold_s"] * n / n[-1], "k:", label="linear")
    axes[0].set(xlabel="frames", ylabel="processor time [s]")
    axes[0].legend()
    axes[1].loglog(n, [row["peak_mb"] for row in rows], "o-", label="peak of the process")
    axes[1].loglog(n, [row["kept_mb"] for row in rows], "o-", label="pyramid")
    axes[1].loglog(n, rows[-1]["kept_mb"] * n / n[-1], "k:", label="linear")
    axes[1].set(xlabel="frames", ylabel="memory [MB]")
    axes[1].legend()
    last = rows[-1]
    axes[2].errorbar(last["delays"][1:], last["g2"][1:], last["error"][1:], fmt=".")
    axes[2].set(xscale="log", xlabel="delay [frames]", ylabel="g2", title=f"{last['frames']} frames")
    grid = np.array(last["map"])[1:]
    shown = axes[3].pcolormesh(
        np.linspace(0, last["frames"], grid.shape[1]), last["delays"][1:], grid, vmin=1, vmax=np.nanpercentile(grid, 98)
    )
    axes[3].set(yscale="log", xlabel="age [frames]", ylabel="delay [frames]")
    figure.colorbar(shown, label="C")
    figure.savefig(Path(folder) / "correlation_multi_tau.png", dpi=110)


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--frames", type=int, nargs="*", default=[10000, 100000, 1000000])
    asked.add_argument("--pixels", type=int, default=10000)
    asked.add_argument("--mean", type=float, default=0.01)
    asked.add_argument("--out", help="folder for the picture")
    asked.add_argument("--one", type=int, help="one series of so many frames, its numbers as JSON")
    given = asked.parse_args()
    if given.one is not None:
        print(json.dumps(long(given.one, given.pixels, given.mean)))
        return
    rows = []
    for frames in given.frames:
        command = [sys.executable, __file__, "--one", str(frames), "--pixels", str(given.pixels), "--mean", str(given.mean)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        reference = banded(frames, given.pixels)
        print(f"{frames} frames of {given.pixels} pixels, {row['photons']:.3g} photons")
        print(f"  sums {row['fold_s']:.2f} s, {row['fold_s'] / reference:.2f} of a banded sgemm; g2, errors and map {row['views_s']:.2f} s")
        print(f"  photons made in {row['generator_s']:.1f} s; everything {row['wall_s']:.1f} s of wall time")
        print(
            f"  peak {row['peak_mb']:.0f} MB, {row['peak_before_mb']:.0f} MB of it before the first frame; pyramid {row['kept_mb']:.0f} MB"
        )
        print(f"  {row['numbers_per_frame']:.1f} numbers a frame, {TILES} of them the totals of tiles")
    if given.out:
        picture(rows, given.out)
    short(given.pixels)


if __name__ == "__main__":
    main()
