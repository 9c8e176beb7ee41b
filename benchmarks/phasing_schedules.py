"""What whole schedules of phase retrieval find: hard objects against the truth, the seeds of a measured scan, a cross of missing data.

Run: python benchmarks/phasing_schedules.py [--parts hard scan missing] [--seeds 3] [--data FOLDER] [--work FOLDER] [--recipe JSON]

``hard``: five strained, dislocated or polycrystalline objects of 64^3 voxels and 1e7 photons; one seed sets the noise and
all starts. The cost is in pairs of transforms at 64^3: an iteration is one pair, fewer voxels cost N log N less.
``scan``: a measured scan, from raw frames to a graded object, seed by seed, and how alike the seeds are.
``missing``: particles and a hard object with and without a cross of rows and columns through the peak, in every frame.
With ``--recipe '{"starts": 8}'`` any setting of the recipe is tried.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.fft
import xarray as xr

from xcdi import io
from xcdi.artificial import simulate
from xcdi.artificial.align import align, fit_window, to_image
from xcdi.artificial.shapes import odd_object
from xcdi.kernels.phasing import alignment, background, likelihood
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.schedule import iterations
from xcdi.stages import imaging, phasing, searching, solutions
from xcdi.stages.recipe import Recipe

HARD = ("grain-0", "grain-2", "grain-1", "poly-0", "poly-1")
EDGE, PHOTONS = 64, 1e7
VOXEL_NM, FILLED = 50.0, 0.46  # of the edge that the box of a hard object takes
CROSS = 4  # voxels that a bar of missing data is wide
NRMSE, NRMSE_WORST, COST, LOSS, ALIKE, SECONDS = 0.12, 0.25, 1200, 0.02, 0.95, 60  # bars
MEASURED = Path(os.environ.get("XCDI_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCAN = ("34idc_scan54", "scan54_frames.h5", "scan54_frames", "34idc")


class Solved(NamedTuple):
    """How a hard object was phased: overlap of the mean with the truth, the choice, what was found, cost [pairs], CPU time [s]."""

    overlap: float
    choice: solutions.Choice
    found: searching.Found
    cost: float
    seconds: float

    def nrmse(self) -> float:
        return math.sqrt(max(0.0, 1 - self.overlap**2))


def hard_object(name: str) -> np.ndarray:
    """Return one of HARD, complex64 (z, y, x), its middle at n // 2."""
    along = (np.arange(EDGE) - EDGE // 2) * VOXEL_NM
    z, y, x = np.meshgrid(along, along, along, indexing="ij")
    drawn = odd_object(name, np.stack([x, y, z], axis=-1), (FILLED * EDGE * VOXEL_NM,) * 3, VOXEL_NM)
    return (drawn.amplitude * np.exp(1j * drawn.phase)).astype(np.complex64)


def counted(truth: np.ndarray, seed: int) -> Measured:
    """Return the counts of PHOTONS photons, origin at index 0, with the background that reconstruct would find."""
    mean = np.abs(scipy.fft.fftn(truth.astype(np.complex128))) ** 2
    counts = np.random.default_rng(seed).poisson(mean * (PHOTONS / mean.sum()))
    return _with_background(Measured(np.sqrt(counts).astype(np.float32), np.ones(truth.shape, bool)))


def crossed(measured: Measured) -> Measured:
    """Return the same data behind the cross; origin at index 0."""
    valid = measured.valid & ~cross(measured.amplitude)
    return _with_background(Measured(np.where(valid, measured.amplitude, np.float32(0)), valid))


def cross(brightness: np.ndarray) -> np.ndarray:
    """Return where rows and columns are missing through the brightest pixel, in every frame; periodic."""
    _, row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    spots = zip(brightness.shape[1:], (row, column), strict=True)
    bars = [np.isin(np.arange(n), (at - CROSS // 2 + np.arange(CROSS)) % n) for n, at in spots]
    return np.broadcast_to(bars[0][:, None] | bars[1], brightness.shape)


def solve(truth: np.ndarray, measured: Measured, recipe: Recipe, seed: int) -> Solved:
    """Phase as reconstruct does, and compare the mean of the solutions with the truth."""
    held = likelihood.held_out(measured, np.random.default_rng([seed, 1]), share=recipe.held_out)
    begin = time.process_time()
    found = searching.search(measured, held, recipe, seed=seed, machine=searching.Machine())
    choice = solutions.choose(found)
    seconds = time.process_time() - begin
    mean = choice.rhos.mean(axis=0)
    how = alignment.pose(scipy.fft.fftn(mean), scipy.fft.fftn(truth))
    return Solved(abs(how.value), choice, found, cost(found, likelihood.without(measured, held)), seconds)


def cost(found: searching.Found, fitted: Measured) -> float:
    """Return pairs of transforms at the size of the data: those of all starts and of those carried on.

    Iterations against data in coherent light; a round with a blur, where `found` tells of one, is not in it.
    """
    seen, _ = searching.look(fitted, found.recipe)
    small, full = math.prod(found.recipe.shape(seen)), math.prod(seen.shape)
    ratio = small * math.log(small) / (full * math.log(full))
    search = iterations(found.recipe.searching(seen.peak, 1))
    return len(found.searched) * search * ratio + len(found.carried) * iterations(found.recipe.refining(1))


def _with_background(seen: Measured) -> Measured:
    return replace(seen, background=background.constant(seen))


def hard(recipe: Recipe, seeds: Sequence[int]) -> Iterator[str]:
    """Lines of the table of HARD, and whether each seed meets the bars."""
    yield f"hard objects, {EDGE}^3, {PHOTONS:.0e} photons; NRMSE of the mean, share of starts that found it"
    yield "seed object   NRMSE  grade       starts   averaged  R      cost  low   CPU s  misfit/noise  light"
    for seed in seeds:
        made = []
        for name in HARD:
            truth = hard_object(name)
            made.append(solve(truth, counted(truth, seed), recipe, seed))
            yield f"{seed:4} {name:8} {_row(made[-1])}"
        errors = np.array([one.nrmse() for one in made])
        met = (errors <= NRMSE).sum() >= 3 and errors.max() <= NRMSE_WORST and max(one.cost for one in made) <= COST
        yield (
            f"     seed {seed}: {(errors <= NRMSE).sum()} of {len(HARD)} within {NRMSE}, worst {errors.max():.3f} (bar {NRMSE_WORST}), "
            f"cost {max(one.cost for one in made):.0f} (bar {COST}): {'met' if met else 'missed'}"
        )


def _row(one: Solved) -> str:
    grade, choice = one.choice.grade(), one.choice
    low = one.found.searched[0].rho.shape[0]
    return (
        f"{one.nrmse():.3f}  {grade.word:10} {int(choice.kept.sum()):3} of {len(choice.kept):<3} {len(choice.rhos)} of "
        f"{len(one.found.carried):<4} {solutions.quality.agreement(choice.rhos):.3f} {one.cost:6.0f}  {low:3} {one.seconds:7.1f}  "
        f"{choice.chi / choice.noise:11.2f}  {one.found.coherence}"
    )


def scan(recipe: Recipe, seeds: Sequence[int], data: Path) -> Iterator[str]:
    """Lines of the table of the measured scan, and how alike the objects of all seeds are."""
    folder, file, name, beamline = SCAN
    yield f"{name} at {beamline}, from raw frames to a graded object, 2 workers"
    yield "seed  wall s  CPU s  grade       starts  averaged  R      chi     free deviance  overfit  box"
    rhos, walls = [], []
    for seed in seeds:
        begin, cpu = time.perf_counter(), time.process_time()
        peak = imaging.cut(io.open_scan(data / folder / file, name, beamline), imaging.Imaging())
        made = phasing.reconstruct(peak, recipe, seed=seed, workers=2)
        walls.append(time.perf_counter() - begin)
        cpu = time.process_time() - cpu
        rhos.append(made.rho.to_numpy())
        a = made.attrs
        yield (
            f"{seed:4} {walls[-1]:7.1f} {cpu:6.1f}  {a['grade']:10} {a['n_good']:3} of {made.sizes['start']:<3} "
            f"{made.sizes['solution']:4}    {a['agreement']:.3f}  {a['residual']:.4f} {a['free_deviance']:10.2f} {a['overfit']:12.2f}  "
            f"{peak.counts.shape}  {a['coherence']}"
        )
    pairs = alignment.pairwise(np.stack(rhos))[np.triu_indices(len(rhos), 1)]
    if len(pairs):
        met = pairs.min() >= ALIKE and max(walls) <= SECONDS
        yield (
            f"pairs of seeds: least {pairs.min():.3f}, median {np.median(pairs):.3f} (bar {ALIKE}); "
            f"wall {max(walls):.1f} s at most (bar {SECONDS}): {'met' if met else 'missed'}"
        )


def missing(recipe: Recipe, seeds: Sequence[int], work: Path) -> Iterator[str]:
    """Lines of the table of what the cross costs in overlap with the truth."""
    yield f"a cross {CROSS} voxels wide through the peak, in every frame: overlap with the truth, bar on the loss {LOSS}"
    yield "object      seed  photons lost  whole   with cross  loss    grades"
    for seed in seeds:
        folder = work / f"easy-{seed}"
        if not (folder / "truth.h5").exists():
            simulate("particle", folder, profile="nano", seed=seed, frames=20)
        yield _particle_row(folder, recipe, seed)
    truth = hard_object(HARD[0])
    for seed in seeds:
        measured = counted(truth, seed)
        lost = 1 - (crossed(measured).amplitude ** 2).sum() / (measured.amplitude**2).sum()
        whole, part = (solve(truth, each, recipe, seed) for each in (measured, crossed(measured)))
        words = [one.choice.grade().word for one in (whole, part)]
        yield _loss(HARD[0], seed, lost, (whole.overlap, part.overlap), words)


def _particle_row(folder: Path, recipe: Recipe, seed: int) -> str:
    (file,) = (path for path in folder.glob("particle_rocking*.h5") if "_data_" not in path.name)
    peak = imaging.cut(io.open_scan(file, "particle_rocking", "demo"), imaging.Imaging())
    counts, valid = peak.counts.to_numpy(), peak.valid.to_numpy()
    seen = valid & ~cross(counts)
    torn = peak.assign(counts=peak.counts.where(seen, 0), valid=peak.valid & seen)
    true = _seen(folder / "truth.h5", peak)
    made = [phasing.reconstruct(each, recipe, seed=seed) for each in (peak, torn)]
    overlaps = [align(one.rho.to_numpy(), true).overlap for one in made]
    return _loss("particle", seed, 1 - counts[seen].sum() / counts[valid].sum(), overlaps, [one.attrs["grade"] for one in made])


def _loss(name: str, seed: int, lost: float, overlaps: Sequence[float], grades: Sequence[str]) -> str:
    whole, part = overlaps
    met = "met" if whole - part <= LOSS else "missed"
    return f"{name:10} {seed:5} {lost:11.0%} {whole:9.3f} {part:11.3f} {whole - part:8.3f}  {' / '.join(grades)}: {met}"


def _seen(path: Path, peak: xr.Dataset) -> np.ndarray:
    """The true object as the box of `peak` shows it, (z, y, x), its middle at n // 2."""
    with h5py.File(path) as file:
        field = file["amplitude_data_frame"]
        top, _, left, _ = (int(edge) for edge in field.attrs["box"])
        wave = field[:].astype(np.complex128)
    starts = [begin for begin, _ in json.loads(peak.attrs["box"]).values()]
    middle = [begin + n // 2 for begin, n in zip(starts, peak.counts.shape, strict=True)]
    theirs = [begin + n // 2 for begin, n in zip((0, top, left), wave.shape, strict=True)]
    return to_image(fit_window(wave, peak.counts.shape, [a - b for a, b in zip(middle, theirs, strict=True)]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["hard", "scan", "missing"], choices=["hard", "scan", "missing"])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 1")
    parser.add_argument("--data", type=Path, default=MEASURED, help="folder of measured data; not set: $XCDI_TEST_DATA")
    parser.add_argument("--work", type=Path, help="where simulated particles are kept; not set: a temporary folder")
    parser.add_argument("--recipe", type=Recipe.model_validate_json, default=Recipe(), help="settings, as JSON")
    told = parser.parse_args(arguments)
    seeds = range(1, told.seeds + 1)
    with tempfile.TemporaryDirectory() as scratch:
        lines = {
            "hard": hard(told.recipe, seeds),
            "scan": scan(told.recipe, seeds, told.data),
            "missing": missing(told.recipe, seeds, told.work or Path(scratch)),
        }
        for part in told.parts:
            for line in lines[part]:
                print(line, flush=True)


if __name__ == "__main__":
    main()
