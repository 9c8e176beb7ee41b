"""Cost of products of frames by each kernel, against the matrix product of the same machine, and whether the right one is chosen.

python benchmarks/correlation_kernels.py [--threads 2] [--frames 4000] [--pixels 20000]

With one thread processor time is measured, so that other work on the machine does not count; with more, wall time. All
jobs of a table run in turn, again and again in changing order; the medians are printed. "of 2 x sgemm" counts every
element of the matrix as computed, though a symmetric product needs half of them. Set OPENBLAS_NUM_THREADS to the number of
threads.
"""

import argparse
import itertools
import time

import numpy as np
from scipy import sparse as scipy_sparse

from xcdi.kernels.correlation import choice, dots, photons

GRID = tuple(itertools.product(((200, 5003), (1000, 20_011), (3000, 5003)), (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)))
HOPELESS = 3.0  # kernels expected to take so many times longer than the best are not run


def seconds(jobs, clock, repeats):
    """Median time of each job, all in turn, in another order each time."""
    taken, rng = {name: [] for name in jobs}, np.random.default_rng(1)
    for _ in range(repeats):
        for name in rng.permutation(list(jobs)):
            start = clock()
            jobs[name]()
            taken[name].append(clock() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def drawn(frames, pixels, mean, seed=0):
    """Photons of even illumination."""
    rng = np.random.default_rng(seed)
    if mean > 0.3:
        return np.stack([rng.poisson(mean, pixels).astype(np.uint8) for _ in range(frames)])
    counts = np.zeros(frames * pixels, np.uint8)
    np.add.at(counts, rng.integers(0, counts.size, rng.poisson(mean * counts.size)), 1)
    return counts.reshape(frames, pixels)


def large(frames, pixels, threads, clock, repeats):
    """Each kernel on the counts it is made for."""
    counts, few = drawn(frames, pixels, 0.1), photons.from_dense(drawn(frames, pixels, 0.01))
    single = counts.astype(np.float32)
    later = single[::-1].copy()
    binary = np.minimum(counts, 1)
    rows = scipy_sparse.csr_matrix((few.count.astype(np.int32), few.pixel, few.start), shape=(frames, pixels))
    jobs = {
        "sgemm, two matrices": lambda: single @ later.T,
        "dense, float32": lambda: choice.products(single, kernel="dense"),
        "dense, uint8": lambda: choice.products(counts, kernel="dense"),
        "bits, 0 or 1": lambda: choice.products(binary, kernel="bits", threads=threads),
        "bits, Poisson 0.1": lambda: choice.products(counts, kernel="bits", threads=threads),
        **{f"{unit}, Poisson 0.1": lambda u=unit: choice.products(counts, kernel=u, threads=threads) for unit in dots.units()},
        "sparse, Poisson 0.01": lambda: choice.products(few, kernel="sparse", threads=threads),
        "scipy.sparse, the same": lambda: rows @ rows.T,
    }
    same = [choice.products(counts, kernel=k) for k in ("dense", "bits")]
    took = seconds(jobs, clock, repeats)
    gemm, syrk = took["sgemm, two matrices"], took["dense, float32"]
    print(f"{frames} frames of {pixels} pixels, {threads} thread(s); sgemm {2 * frames**2 * pixels / gemm / 1e9:.0f} GFLOP/s")
    for name, time_ in took.items():
        print(f"  {name:24s} {time_ * 1e3:8.1f} ms   {gemm / 2 / time_:6.2f} of 2 x sgemm   {syrk / time_:6.2f} x dense float32")
    print(f"  sparse is {took['scipy.sparse, the same'] / took['sparse, Poisson 0.01']:.1f} times faster than scipy.sparse")
    print(f"  bits and dense are equal: {np.array_equal(*same)}")


def grid(threads, clock, repeats):
    """The kernel chosen against the best."""
    print(f"kernel chosen, with the time to choose, against the best; {threads} thread(s)")
    print("  frames  pixels   mean  given   chosen  of best   milliseconds measured / expected")
    worst = []
    for ((frames, pixels), mean), listed in itertools.product(GRID, (False, True)):
        counts = drawn(frames, pixels, mean)
        counts = photons.from_dense(counts) if listed else counts
        cost = choice.costs(choice.census(counts))
        tried = [k for k in cost if cost[k] < HOPELESS * min(cost.values())]
        jobs = {k: lambda k=k, c=counts: choice.products(c, kernel=k, threads=threads) for k in tried}
        once = max(seconds(jobs, clock, 1).values())
        again = max(repeats, min(100, int(0.1 / max(once, 1e-4))))
        took = seconds({"auto": lambda c=counts: choice.products(c, threads=threads), **jobs}, clock, again)
        auto = took.pop("auto")
        worst.append(auto / min(took.values()))
        text = "  ".join(f"{k} {took[k] * 1e3:.1f}/{cost[k] * 1e3:.1f}" for k in took)
        chosen, given = min(cost, key=cost.__getitem__), "lists" if listed else "dense"
        print(f"  {frames:6d}  {pixels:6d}  {mean:5g}  {given}  {chosen:>6s}  {worst[-1]:7.2f}   {text}", flush=True)
    print(f"  worst {max(worst):.2f}; {np.mean(np.array(worst) < 1.3):.0%} within 1.3")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--pixels", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("large", "grid"))
    options = parser.parse_args()
    clock = time.process_time if options.threads == 1 else time.perf_counter
    for kernel in ("dense", "bits", "sparse", *dots.units()):  # compile
        for counts in (drawn(9, 65, 0.5), np.minimum(drawn(9, 65, 0.5), 1)):
            choice.products(counts, kernel=kernel)
            choice.products(photons.from_dense(counts), kernel=kernel)
    if options.only != "grid":
        large(options.frames, options.pixels, options.threads, clock, options.repeats)
    if options.only != "large":
        grid(options.threads, clock, max(5, options.repeats))


if __name__ == "__main__":
    main()
