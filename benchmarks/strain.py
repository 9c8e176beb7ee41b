"""Strain and the laboratory frame of one crystal, against unwrapping by scikit-image and interpolation by scipy.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/strain.py [--edge 256] [--rounds 7] [--exact].
Everything runs in one thread and the variants are interleaved, so trust their ratios more than their times: CPU time, best and median of
the rounds, each divided by that of the first line. Both sides get the same complex64 array and the same support. `limit` is the time in
which a bare copy of large arrays moves the bytes that must be read and written once; it is measured in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from scipy import ndimage as ndi
from skimage.restoration import unwrap_phase

from xcdi.kernels import geometry, resampling, strain

Variants = dict[str, Callable[[], object]]
Times = dict[str, list[float]]

DEEP = 2  # voxels below the surface where the values are compared
CAMERA = geometry.Camera(
    (0.0, 0.0), 1.5, (75e-6, 75e-6), circles=(("y+", np.radians(31.64)),)
)  # gold 111 at 9.65 keV: 15.8 degrees of shear
BARS = {"strain": 12.0, "frame": 4.0}  # performance.md, section D


def crystal(edge: int) -> np.ndarray:
    """Return a complex64 volume of equal amplitude and a phase of many turns with some noise."""
    z, y, x = np.meshgrid(*3 * [np.arange(edge, dtype=np.float32) - edge // 2], indexing="ij", sparse=True)
    noise = np.random.default_rng(0).standard_normal((edge, edge, edge), np.float32)
    return np.exp(1j * (4 * np.sin(x / 30) * np.cos(y / 40) + 0.08 * z + 0.05 * noise)).astype(np.complex64)


def supports(edge: int) -> dict[str, np.ndarray]:
    """Return the middle three quarters of every axis, and the ball that fits in."""
    line = np.arange(edge) - edge // 2
    z, y, x = np.meshgrid(line, line, line, indexing="ij", sparse=True)
    half = 3 * edge // 8
    within = [(-half <= a) & (a < half) for a in (z, y, x)]
    box = within[0] & within[1] & within[2]
    return {"whole box": box, "ball": box & (x**2 + y**2 + z**2 <= half**2)}


def timed(variants: Variants, rounds: int) -> Times:
    """CPU times of every variant [ms], interleaved, the first round for warming up left out."""
    times: Times = {name: [] for name in variants}
    for kept in range(rounds + 1):
        for name, run in variants.items():
            start = time.process_time()
            run()
            if kept:
                times[name].append(1e3 * (time.process_time() - start))
    return times


def with_limit(variants: Variants, rounds: int, what: str, size: int) -> Times:
    """Time the variants, and add the time in which a copy of large arrays, 268 MB each, would move `size` bytes."""
    source = np.ones(2**26, np.float32)
    target = source + 1
    times = timed({**variants, "copy": partial(np.copyto, target, source)}, rounds)
    copy = times.pop("copy")
    return {**times, f"limit: {what}, {size / 1e6:.0f} MB": [each * size / (2 * source.nbytes) for each in copy]}


def lines(times: Times) -> Iterator[str]:
    """One line for every variant: best and median time, and both divided by those of the first."""
    first = next(iter(times.values()))
    for name, each in times.items():
        best, middle = min(each) / min(first), statistics.median(each) / statistics.median(first)
        yield f"  {name:44s} {min(each):9.1f} {statistics.median(each):9.1f} ms   {best:7.2f} {middle:7.2f}"


def verdict(times: Times, rivals: Sequence[str], bar: float) -> str:
    """How many times faster the first variant is than the fastest rival."""
    first = next(iter(times.values()))
    by = [min(how(times[name]) for name in rivals) / how(first) for how in (min, statistics.median)]
    return f"  {by[0]:.1f} x faster by the best, {by[1]:.1f} x by the median: bar {bar:g} x {'met' if min(by) >= bar else 'MISSED'}"


def slope_table(rho: np.ndarray, name: str, support: np.ndarray, rounds: int) -> None:
    """Print what three components of strain cost without unwrapping and with it."""
    box = tuple(slice(int(u[0]), int(u[-1]) + 1) for u in (np.flatnonzero(support.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1))))
    part = np.ascontiguousarray(rho[box])
    masked = np.ma.masked_array(np.angle(part), mask=~support[box])
    phase = unwrap_phase(masked).filled(0)
    variants: Variants = {
        "gradient of the wrapped phase (xcdi)": partial(strain.gradient, rho, np.eye(3), support),
        "unwrap_phase (skimage)": lambda: unwrap_phase(masked),
        "  angle before it (numpy)": lambda: np.angle(part),
        "  gradient after it (numpy)": lambda: np.gradient(phase),
    }
    times = with_limit(variants, rounds, "box read, gradient written", part.size * (8 + 1 + 12))
    print(f"strain, {'x'.join(map(str, part.shape))} of {'x'.join(map(str, rho.shape))}, {name}, {support.mean():.0%} of the voxels inside")
    print(*lines(times), verdict(times, ["unwrap_phase (skimage)"], BARS["strain"]), sep="\n")
    deep = ndi.binary_erosion(support[box], iterations=DEEP)
    ours = strain.gradient(rho, np.eye(3), support)[(slice(None), *box)]
    apart = max(float(np.abs(a - b)[deep].max()) for a, b in zip(ours, np.gradient(phase), strict=True))
    print(f"  largest difference of a component {DEEP} voxels deep: {apart:.1e} rad per voxel", flush=True)


def frame(rho: np.ndarray, rounds: int) -> None:
    """Print what it costs to bring a complex volume from the frame of the detector to the laboratory."""
    steps = geometry.q_basis(CAMERA, (0, 0), geometry.Rocking("y+", np.radians(0.01)), wavelength=geometry.wavelength(9.65)).steps
    basis = geometry.voxel_basis(steps, rho.shape)
    voxel = resampling.lab_basis(float(geometry.voxel_lengths(basis).min()))
    matrix, offset = resampling._index_map(basis, voxel, rho.shape, rho.shape, (0, 0, 0))
    places = np.tensordot(matrix, np.indices(rho.shape, dtype=float), axes=1) + offset[:, None, None, None]
    within = np.all([(a >= 0) & (a <= n - 1) for a, n in zip(places, rho.shape, strict=True)], axis=0)
    real, imaginary = np.ascontiguousarray(rho.real), np.ascontiguousarray(rho.imag)
    variants: Variants = {
        "resample_linear, complex (xcdi)": partial(resampling.resample_linear, rho, basis, voxel=voxel, shape=rho.shape),
        "affine_transform, complex (scipy)": partial(ndi.affine_transform, rho, matrix, offset, order=1),
        "affine_transform, real and imaginary (scipy)": lambda: [
            ndi.affine_transform(a, matrix, offset, order=1) for a in (real, imaginary)
        ],
        "map_coordinates, complex (scipy)": partial(ndi.map_coordinates, rho, places, order=1),
        "map_coordinates, real and imaginary (scipy)": lambda: [ndi.map_coordinates(a, places, order=1) for a in (real, imaginary)],
    }
    times = with_limit(variants, rounds, "field read and written", 2 * rho.nbytes)
    print(
        f"frame, {'x'.join(map(str, rho.shape))} complex64, shear 15.8 degrees, {within.mean():.0%} of the new voxels inside the old grid"
    )
    print(*lines(times), verdict(times, [name for name in times if "scipy" in name], BARS["frame"]), sep="\n")
    apart = np.abs(
        resampling.resample_linear(rho, basis, voxel=voxel, shape=rho.shape) - ndi.affine_transform(rho, matrix, offset, order=1)
    )[within].max()
    print(f"  largest difference of a voxel: {apart:.1e} of 1", flush=True)


def exact(edge: int, rounds: int) -> None:
    """Print what exactness costs, on a smaller grid."""
    rho, basis = crystal(edge), np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.0], [0.28, 0.0, 1.0]])
    ways = (("resample_linear (xcdi)", resampling.resample_linear), ("resample, exact (xcdi)", resampling.resample))
    print(f"exact against linear, {edge}^3 complex64")
    print(
        *lines(timed({name: partial(how, rho, basis, voxel=np.eye(3), shape=rho.shape) for name, how in ways}, rounds)),
        sep="\n",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--exact", action="store_true", help="also the exact resampling that the pipeline uses for objects, on half the edge"
    )
    options = parser.parse_args()
    rho = crystal(options.edge)
    print("one thread, CPU time: best and median, then both as multiples of the first line")
    for name, support in supports(options.edge).items():
        slope_table(rho, name, support, options.rounds)
    frame(rho, options.rounds)
    if options.exact:
        exact(options.edge // 2, options.rounds)


if __name__ == "__main__":
    main()
