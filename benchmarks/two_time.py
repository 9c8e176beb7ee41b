"""Cost of two-time numerators against the matrix product of the same machine, measured side by side.

python benchmarks/two_time.py [times] [pixels]

Goal: the exact sums of products at 0.9 of twice the sgemm rate, counting every
element of the matrix as computed (a symmetric product needs half of them); 0.75
with the counts kept as uint8.
"""

import sys
import time

import numpy as np

from xcdi.kernels.correlation import normalise, products


def fastest(work, repeats=5):
    """Least processor time of a few runs, in seconds; other work on the machine does not count."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main(times=2000, pixels=20000):
    counts = np.random.default_rng(0).poisson(0.3, (times, pixels)).astype(np.uint8)
    single, later = counts.astype(np.float32), np.ascontiguousarray(counts.astype(np.float32)[::-1])
    flop = 2 * times**2 * pixels
    weights = normalise.noise_weights(np.full(pixels, 0.3))
    work = {
        "sgemm, two matrices": lambda: single @ later.T,
        "exact products, float32 counts": lambda: products.raw_products(single),
        "exact products, uint8 counts": lambda: products.raw_products(counts),
        "append 50 frames, uint8 counts": lambda: products.raw_products(counts[:50], counts),
        "N1 from the products": lambda s=normalise.sums(counts): normalise.by_mean(s),
        "N5, uint8 counts": lambda: normalise.weighted(counts, weights),
    }
    seconds = {name: fastest(job) for name, job in work.items()}
    rate = flop / seconds["sgemm, two matrices"]
    print(f"{times} frames of {pixels} pixels; sgemm {rate / 1e9:.0f} GFLOP/s")
    for name, took in seconds.items():
        part = 50 / times if name.startswith("append") else 1
        print(f"  {name:32s} {took * 1e3:8.1f} ms   {part * flop / took / (2 * rate):5.2f} of 2 x sgemm")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
