"""Are quoted errors of g2 true? Real scatter over independent regions over the mean quoted error, 1 where they are.

python benchmarks/correlation_errors.py [regions] [frames] [across] [processes]

Speckle of four modes (contrast 0.25) whose field forgets itself as exp(-t / 50 frames), in regions
of across x across pixels; speckles of 1 pixel are independent pixels, speckles of s pixels have
the intensity correlation exp(-pi r**2 / s**2), area s**2. Each region is drawn anew. The intensities of
a region serve every count rate, so the rows of one speckle size share their speckles, not their photons.
Goal: 0.85 to 1.15 at lags 1 to half of the frames, single lags and bins of lags.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numba
import numpy as np

from xcdi.kernels import regions
from xcdi.kernels.correlation import jackknife, lagged
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.relaxation import log_bins

MEANS = (0.001, 0.01, 0.1, 2.0, 10.0)
MODES, TAU = 4, 50.0
EDGE = 8  # pixels around a region that the smoothing of its fields may reach


def taps(speckle_px):
    """Weights of the smoothing along one axis, unit in the sum of squares: the field correlates as exp(-pi r**2 / 2 s**2)."""
    r = np.arange(-EDGE, EDGE + 1)
    kernel = np.exp(-np.pi * r**2 / speckle_px**2)
    kernel[kernel < 1e-4] = 0
    return (kernel / np.sqrt(np.sum(kernel**2))).astype(np.float32)


@numba.njit(nogil=True, cache=True)
def smoothed(noise, kernel, out):
    """Convolve one image along both axes; `out` is smaller by the reach on each side."""
    reach, (rows, columns) = kernel.size // 2, out.shape
    half = np.zeros((noise.shape[0], columns), np.float32)
    for k in range(kernel.size):
        if kernel[k] > 0:
            for y in range(noise.shape[0]):
                for x in range(columns):
                    half[y, x] += kernel[k] * noise[y, x + k]
    out[:] = 0
    for k in range(kernel.size):
        if kernel[k] > 0:
            for y in range(rows):
                for x in range(columns):
                    out[y, x] += kernel[k] * half[y + k, x]
    return reach


def intensities(rng, frames, across, speckle_px):
    """Intensity (time, pixel) of mean 1 of one region."""
    keep, found = np.exp(-1 / TAU), np.zeros((frames, across, across), np.float32)
    drive, kernel = np.float32(np.sqrt(1 - keep**2)), taps(speckle_px)
    for _ in range(2 * MODES):
        noise = rng.standard_normal((frames, *(2 * [across + (2 * EDGE if speckle_px > 1 else 0)])), dtype=np.float32)
        noise[1:] *= drive
        if speckle_px > 1:
            fields = np.empty_like(found)
            for t in range(frames):
                smoothed(noise[t], kernel, fields[t])
        else:
            fields = noise
        forget(fields, np.float32(keep), found)
    found /= 2 * MODES
    return found.reshape(frames, -1)


@numba.njit(nogil=True, cache=True)
def forget(fields, keep, total):
    """Turn drives into an autoregression along time, in place; add its square to `total`."""
    flat, out = fields.reshape(fields.shape[0], -1), total.reshape(total.shape[0], -1)
    for t in range(flat.shape[0]):
        for p in range(flat.shape[1]):
            if t > 0:
                flat[t, p] += keep * flat[t - 1, p]
            out[t, p] += flat[t, p] ** 2


@numba.njit(nogil=True, cache=True)
def photons(rng, intensity, mean, counts):
    """Poisson counts, by one uniform number each below 12 photons."""
    for t in range(intensity.shape[0]):
        for p in range(intensity.shape[1]):
            expected = mean * intensity[t, p]
            if expected > 12:
                counts[t, p] = rng.poisson(expected)
                continue
            u, term, n = rng.random(), np.exp(-expected), 0
            while u > term and n < 100:
                u -= term
                n += 1
                term *= expected / n
            counts[t, p] = n


def region(seed, *, frames, across, speckle_px, edges):
    """g2 and its quoted errors of one region at every count rate: (mean, [g2, error], lag or bin)."""
    rng = np.random.default_rng(seed)
    light = intensities(rng, frames, across, speckle_px)
    pixels = across**2
    even = Weights(np.ones(pixels), np.ones(pixels), float(pixels), float(pixels))
    tile = regions.tiles(*np.divmod(np.arange(pixels), across), speckle_px=speckle_px)
    found = []
    for mean in MEANS:
        counts = np.empty(light.shape, np.uint8 if mean < 5 else np.uint16)
        photons(rng, light, mean, counts)
        sums = lagged.tile_sums(counts, even, tile)
        parts = [
            (jackknife.whole(sums, e), jackknife.one_time_error(jackknife.without_each(sums, e), jackknife.pair_variance(sums, e)))
            for e in (None, edges)
        ]
        found.append([np.concatenate(both) for both in zip(*parts, strict=True)])
    return np.array(found)


def lags(frames):
    """Lags that are shown: 1, 3, 10, ..., half of the frames."""
    shown = [1, 3, 10, 30, 100, 300, 1000, 3000]
    return [lag for lag in shown if lag < frames // 2] + [frames // 2]


def table(found, frames, edges):
    """Lines of one speckle size."""
    scatter, quoted = found[:, :, 0].std(axis=0, ddof=1), found[:, :, 1].mean(axis=0)
    unknown = np.mean(~(found[:, :, 1, 1 : frames // 2 + 1] > 0), axis=0)
    single, bins = lags(frames), [frames + int(np.searchsorted(edges, lag, "right")) - 1 for lag in lags(frames)]
    for mean, ratio, zero in zip(MEANS, scatter / quoted, unknown, strict=True):
        half = ratio[1 : frames // 2 + 1]
        in_bins = ratio[frames : frames + int(np.searchsorted(edges, frames // 2, "right"))]
        told = "".join(f" {ratio[k]:5.2f}" for k in single) + "  |" + "".join(f" {ratio[k]:5.2f}" for k in bins)
        inside = np.mean((half > 0.85) & (half < 1.15))
        worst = f"lags 1 to N/2: {half.min():.2f} to {half.max():.2f}, median {np.median(half):.2f}, inside {inside:.3f}"
        print(f"  {mean:<6g}{told}  | {worst}; bins {in_bins.min():.2f} to {in_bins.max():.2f}; no error {zero.max():.3f}", flush=True)


def main(count=400, frames=1000, across=50, processes=2):
    edges = log_bins(frames)
    print(f"{count} regions of {across} x {across} pixels, {frames} frames; scatter / quoted error at single lags, then at bins of lags")
    with ProcessPoolExecutor(processes) as pool:
        for speckle_px in (1.0, 2.0):
            one = partial(region, frames=frames, across=across, speckle_px=speckle_px, edges=edges)
            found = np.array(list(pool.map(one, range(count), chunksize=4)))
            tiles = regions.tiles(*np.divmod(np.arange(across**2), across), speckle_px=speckle_px).max() + 1
            print(f"speckles of {speckle_px:g} pixels, {tiles} tiles; columns: lags {lags(frames)}")
            table(found, frames, edges)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
