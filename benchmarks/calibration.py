"""Calibration: how often the truth lies within the standard errors of the phase that the pipeline states.

    python benchmarks/calibration.py --seeds 6 7 8 9 10

simulates and images one particle per seed (or takes results made before: ``--results FOLDER`` with CASE-SEED/result.h5
and CASE-SEED/truth.h5), and prints per case, seed and quartile of the stated error the share of core voxels whose phase
is within one and two of it. Core voxels are more than 1.2 voxels from the surface and from every grain boundary.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from acceptance_cases import case
from acceptance_units import Bench

from xcdi import artificial, io
from xcdi.artificial.align import Alignment, align, fit_window, to_image, to_wave
from xcdi.artificial.score_strain import DEEP
from xcdi.artificial.verdict import Truth
from xcdi.kernels.phasing import uncertainty

__all__ = ["Stated", "coverage", "main", "stated", "table"]

WITHIN_ONE, WITHIN_TWO = (0.60, 0.76), (0.90, 0.98)


class Stated(NamedTuple):
    """Core voxels of one result: `off`, the error of their phase, and the standard error `told` of it [rad]; its grade and overlap."""

    off: np.ndarray
    told: np.ndarray
    grade: str
    overlap: float


def stated(result: Path, truth: Path) -> Stated | None:
    """Compare the phase of a result, and its stated error, with the truth, voxel by voxel; None where it states no error."""
    made = io.load(result)["object"]
    if "phase_error" not in made:
        return None
    rho, told = made.rho.to_numpy(), made.phase_error.to_numpy()
    with h5py.File(truth, "r") as file:
        true = Truth(file)
        seen = _window(true["amplitude_data_frame"], rho)
        found = align(rho, seen)
        laid = _laid_back(seen, found)
        depth = _depth(true, found, rho.shape, made.voxel_basis.to_numpy())
        core = (depth > DEEP * true.resolution) & made.support.to_numpy() & np.isfinite(told)
    off = np.angle(uncertainty.in_common(laid, rho, core) * rho.conj())
    return Stated(off[core], told[core], str(made.attrs["grade"]), found.overlap)


def _window(field: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """The true object as the window of `rho` shows it, wherever in q that lies."""
    room = [max(a, b) for a, b in zip(rho.shape, field.shape, strict=True)]
    ours, theirs = (np.abs(fit_window(wave, room)) ** 2 for wave in (to_wave(rho), field))
    common = np.abs(np.fft.ifftn(np.fft.fftn(ours).conj() * np.fft.fftn(theirs)))
    place = np.unravel_index(common.argmax(), common.shape)
    return to_image(fit_window(field, rho.shape, [int(p) - n if p > n // 2 else int(p) for p, n in zip(place, room, strict=True)]))


def _laid_back(true: np.ndarray, found: Alignment) -> np.ndarray:
    """The truth as it lies upon the result: its voxels, and the errors stated there, are then not interpolated."""
    back = Alignment(found.overlap, False, -found.shift, -found.ramp).laid(true)
    return to_image(to_wave(back).conj()) if found.twin else back


def _depth(truth: Truth, found: Alignment, shape: Sequence[int], basis: np.ndarray) -> np.ndarray:
    """Distance [nm] of every voxel of the result from the nearest boundary of the truth."""
    offsets = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    positions = found.in_truth(offsets) @ basis.T
    return truth.sample(truth.depth, positions[..., ::-1])


def coverage(stated: Sequence[Stated]) -> np.ndarray:
    """Return the shares within one and two errors, shape (5, 2): of all voxels, and of each quartile of the stated error."""
    off, told = (np.concatenate([getattr(one, name) for one in stated]) for name in ("off", "told"))
    ratio = np.abs(off) / told
    quarters = np.array_split(np.argsort(told, kind="stable"), 4)
    return np.array([[np.mean(ratio[part] < k) for k in (1, 2)] for part in (np.arange(len(told)), *quarters)])


def table(name: str, results: dict[int, Stated]) -> Iterator[str]:
    """Yield the lines of one case."""
    for seed, one in results.items():
        shares = coverage([one])[0]
        yield (
            f"{name:12s} seed {seed:2d}  {one.grade:10s} overlap {one.overlap:.3f}  rms error {np.sqrt(np.mean(one.off**2)):.3f} rad, "
            f"stated {np.sqrt(np.mean(one.told**2)):.3f}  within one {shares[0]:.3f}, two {shares[1]:.3f}  ({len(one.off)} voxels)"
        )
    for part, (one, two) in zip(
        ("all", "quartile 1", "quartile 2", "quartile 3", "quartile 4"), coverage(list(results.values())), strict=True
    ):
        held = WITHIN_ONE[0] <= one <= WITHIN_ONE[1] and WITHIN_TWO[0] <= two <= WITHIN_TWO[1]
        yield f"{name:12s} {part:11s} within one {one:.3f} (0.60-0.76)  within two {two:.3f} (0.90-0.98)  {'pass' if held else 'FAIL'}"


def _result(folder: Path, name: str, seed: int) -> tuple[Path, Path]:
    """Simulate and image one particle; return its result and truth."""
    bench = Bench(case(name), seed, folder / f"{name}-{seed}")
    bench.raw.mkdir(parents=True)
    one = bench.case
    artificial.simulate(one.experiment, bench.raw, profile=one.profile, seed=seed, variant=one.variant, **dict(one.options))
    return bench.analyse("bcdi_strain", "particle_rocking"), bench.truth


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How often the truth lies within the stated errors of the phase.")
    parser.add_argument("--cases", nargs="+", default=["easy", "standard"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, 6)))
    parser.add_argument("--results", type=Path, help="folder of results made before")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.cases:
            results = {}
            for seed in asked.seeds:
                place = None if asked.results is None else asked.results / f"{name}-{seed}"
                pair = _result(Path(folder), name, seed) if place is None else (place / "result.h5", place / "truth.h5")
                found = stated(*pair)
                if found is None:
                    print(f"{name:12s} seed {seed:2d}  a single solution: no error is stated")
                else:
                    results[seed] = found
            print(*table(name, results), sep="\n", flush=True)


if __name__ == "__main__":
    main()
