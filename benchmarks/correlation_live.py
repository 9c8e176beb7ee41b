"""Two-time map kept up while frames arrive: does it fall behind, and does it end as the batch would?

python benchmarks/correlation_live.py [--frames 12000] [--pixels 65536] [--mean 0.05] [--block 20] [--rate 200] [--threads 2] [--check]

Frames are drawn before the clock starts. A block counts as arrived when its last frame is; it is begun when it has arrived
and the one before it is done. Lag is the time from its arrival until its rows are in the map. Wall time
is what counts on a machine that does nothing else; processor time shows what is left for reading and decoding.
"""

import argparse
import time

import numpy as np

from xcdi.kernels.correlation import appending, photons, sparse


def drawn(frames, pixels, mean, rng):
    """Poisson frames of independent pixels, without ever being dense."""
    parts = [np.unique(rng.integers(0, pixels, rng.poisson(mean * pixels)).astype(np.int32), return_counts=True) for _ in range(frames)]
    start = np.concatenate([[0], np.cumsum([pixel.size for pixel, _ in parts])]).astype(np.int64)
    count = np.concatenate([count for _, count in parts]).astype(np.uint8)
    return photons.Photons(start, np.concatenate([pixel for pixel, _ in parts]), count, pixels)


def live(some, block, rate, threads, report):
    """Map of all frames, in its lower triangle, and a table of what each block took."""
    whole = np.zeros((some.frames, some.frames), np.int32)
    past, done, table = appending.nothing(some.pixels), 0.0, []
    for first in range(0, some.frames, block):
        last = min(first + block, some.frames)
        clock, processor = time.perf_counter(), time.process_time()
        past, rows = past.appended(photons.of_frames(some, first, last), threads=threads)
        whole[first:last, :last] = rows
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        done = max(done, last / rate) + clock
        table.append((last, clock, processor, done - last / rate))
        if last // report > first // report:
            part = np.array([row for row in table if row[0] > last - report])
            frames = last - (part[0, 0] - block)
            wall, cpu = part[:, 1].sum() / frames, part[:, 2].sum() / frames
            print(
                f"{last:8d} {1 / wall:9.0f} {1 / cpu:9.0f} {part[:, 1].max() * 1e3:10.1f} {part[:, 3].max() * 1e3:9.1f}"
                f" {past.bytes / 1e6:9.1f} {len(past.segments):9d}"
            )
    return whole, past, np.array(table)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind, value in (("frames", int, 12000), ("pixels", int, 65536), ("mean", float, 0.05), ("block", int, 20)):
        parser.add_argument(f"--{name}", type=kind, default=value)
    for name, kind, value in (("rate", float, 200.0), ("threads", int, 2), ("report", int, 1000)):
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--check", action="store_true", help="compare with the batch, bit by bit")
    asked = parser.parse_args()
    some = drawn(asked.frames, asked.pixels, asked.mean, np.random.default_rng(0))
    appending.nothing(some.pixels).appended(photons.of_frames(some, 0, 2))[0].appended(photons.of_frames(some, 2, 4))  # compiled
    print(f"{some.frames} frames of {some.pixels} pixels at {asked.mean} photons, blocks of {asked.block}, {asked.threads} threads")
    print("  frames  frames/s  per cpu-s  worst (ms)  lag (ms)  past (MB)  segments")
    whole, _, table = live(some, asked.block, asked.rate, asked.threads, asked.report)
    wall, cpu = table[:, 1].sum(), table[:, 2].sum()
    print(
        f"all: {wall:.1f} s wall, {cpu:.1f} s processor for {some.frames / asked.rate:.0f} s of frames at {asked.rate:g} frames/s;", end=" "
    )
    print(f"worst lag {table[:, 3].max() * 1e3:.0f} ms, lag at the end {table[-1, 3] * 1e3:.0f} ms")
    if asked.check:
        batch = sparse.products(some, threads=asked.threads, dtype=np.int32)
        same = all(np.array_equal(whole[t, : t + 1], batch[t, : t + 1]) for t in range(some.frames))
        print(f"map equal to batch, bit by bit: {same}")


if __name__ == "__main__":
    main()
