"""What policies of further rounds find at equal cost: two hard particles, seed by seed, against the truth.

Run: python benchmarks/phasing_policies.py [--seeds 3] [--policies independent greedy evolutionary tree] [--work FOLDER]

Both are particles of four grains, simulated here: one of the standard case, one tilted by 0.8 degrees rms. Every policy may spend
the iterations that 12 independent starts spend, within 2 %, on the same voxels; the best 3 go on. Less is spent where starts agree
early. The cost told is in pairs of transforms of the whole data, refinement and all. A grade that promises more than the overlap
with the truth is marked (!): children of one parent agree even where they are wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr

from xcdi import io
from xcdi.artificial import simulate
from xcdi.artificial.align import align, fit_window, to_image
from xcdi.kernels import fourier
from xcdi.kernels.phasing import background, likelihood
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.schedule import iterations
from xcdi.stages import imaging, searching, solutions
from xcdi.stages.recipe import Recipe

CASES: dict[str, dict[str, Any]] = {
    "standard": {"seed": 4, "variant": "standard"},
    "tilt-0.8": {"seed": 2, "variant": "tilt-0.8"},
}
AFFORDED: dict[str, dict[str, int | None]] = {  # starts and rounds that cost as much as 12 independent starts
    "independent": {"starts": 12, "rounds": None},
    "greedy": {"starts": 4, "rounds": 3},
    "evolutionary": {"starts": 6, "rounds": 3},
    "tree": {"starts": 6, "rounds": 3},
}
SETTINGS = Recipe(low_resolution=False, finalists=3, branches=3, coherence="off")
RIGHT = {"good": 0.96, "limited": 0.90, "unreliable": 0.0}  # overlap with the truth that a grade promises


class Run(NamedTuple):
    """Overlap with the truth of the mean and of the best of the finalists, the choice, cost [pairs of transforms], CPU time [s]."""

    overlap: float
    finest: float
    choice: solutions.Choice
    cost: int
    seconds: float

    def overrated(self) -> bool:
        return self.overlap < RIGHT[self.choice.grade().word]


def run(peak: xr.Dataset, true: np.ndarray, recipe: Recipe, seed: int) -> Run:
    """Phase as reconstruct does, without the errors, and compare with the truth."""
    measured = _measured(peak)
    held = likelihood.held_out(measured, np.random.default_rng([seed, 1]), share=recipe.held_out)
    told: list[int] = []
    machine = searching.Machine(progress=lambda _, of: told.append(of))
    begin = time.process_time()
    found = searching.search(measured, held, recipe, seed=seed, machine=machine)
    choice = solutions.choose(found)
    seconds = time.process_time() - begin
    likeness = [_overlap(rho, true) for rho in (choice.rhos.mean(axis=0), *(end.rho for end in found.ends))]
    return Run(likeness[0], max(likeness[1:]), choice, cost(found, played=len(told) - len(found.carried)), seconds)


def cost(found: searching.Found, *, played: int) -> int:
    """Return the iterations of all `played` starts, children too, and of those carried on; all are on the whole data."""
    seen, _ = searching.look(found.measured, found.recipe)
    first, again = found.recipe.searching(seen.peak, 1), found.recipe.searching_again(seen.peak, 1)
    later = first if found.recipe.policy == "greedy" else again
    n = len(found.searched)
    refined = len(found.carried) * iterations(found.recipe.refining(1))
    return n * iterations(first) + (played - n) * iterations(later) + refined


def _measured(peak: xr.Dataset) -> Measured:
    """Amplitude, validity and background, origin at index 0."""
    valid = peak.valid.to_numpy()
    counts = np.where(valid, np.maximum(peak.counts.to_numpy(), 0), 0)
    seen = Measured(fourier.uncentre(np.sqrt(counts, dtype=np.float32)), fourier.uncentre(valid))
    return Measured(seen.amplitude, seen.valid, background.constant(seen))


def _overlap(rho: np.ndarray, true: np.ndarray) -> float:
    return align(fourier.centre(rho), true).overlap


def simulated(folder: Path, seed: int, variant: str) -> tuple[xr.Dataset, np.ndarray]:
    """Return the peak of a simulated particle, and the true object as its box shows it, (z, y, x), its middle at n // 2."""
    if not (folder / "truth.h5").exists():
        simulate("particle", folder, profile="nano", seed=seed, variant=variant, frames=20)
    (file,) = (path for path in folder.glob("particle_rocking*.h5") if "_data_" not in path.name)
    peak = imaging.cut(io.open_scan(file, "particle_rocking", "demo"), imaging.Imaging())
    with h5py.File(folder / "truth.h5") as truth:
        field = truth["amplitude_data_frame"]
        top, _, left, _ = (int(edge) for edge in field.attrs["box"])
        wave = field[:].astype(np.complex128)
    starts = [begin for begin, _ in json.loads(peak.attrs["box"]).values()]
    middle = [begin + n // 2 for begin, n in zip(starts, peak.counts.shape, strict=True)]
    theirs = [begin + n // 2 for begin, n in zip((0, top, left), wave.shape, strict=True)]
    return peak, to_image(fit_window(wave, peak.counts.shape, [a - b for a, b in zip(middle, theirs, strict=True)]))


def table(work: Path, names: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Lines: every policy on every case, seed by seed, and the mean of the seeds."""
    yield "case      policy        seed  overlap  best one  misfit  /noise  agreement  kept      averaged  grade         cost  CPU s"
    for case, how in CASES.items():
        peak, true = simulated(work / case, **how)
        for name in names:
            recipe = SETTINGS.model_copy(update={"policy": name, **AFFORDED[name]})
            runs = [run(peak, true, recipe, seed) for seed in seeds]
            yield from (f"{case:9} {name:12} {seed:5} {_row(one)}" for seed, one in zip(seeds, runs, strict=True))
            overlap, finest, spent = (np.mean([getattr(one, part) for one in runs]) for part in ("overlap", "finest", "cost"))
            over = sum(one.overrated() for one in runs)
            yield f"{case:9} {name:12}  mean    {overlap:.3f}     {finest:.3f}  cost {spent:.0f}, overrated {over} of {len(runs)}"


def _row(one: Run) -> str:
    choice = one.choice
    kept = f"{int(choice.kept.sum())} of {len(choice.kept)}"
    grade = choice.grade().word + (" (!)" if one.overrated() else "")
    return (
        f"   {one.overlap:.3f}     {one.finest:.3f}   {choice.chi:.4f}   {choice.chi / choice.noise:.3f}      "
        f"{solutions.quality.agreement(choice.rhos):.3f}  {kept:9} {len(choice.rhos):8}  {grade:14} {one.cost:5} {one.seconds:6.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--policies", nargs="+", default=list(AFFORDED), choices=list(AFFORDED))
    parser.add_argument("--work", type=Path, help="where simulated particles are kept; not set: a temporary folder")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        for line in table(told.work or Path(scratch), told.policies, range(told.seeds)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
