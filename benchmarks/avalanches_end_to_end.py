"""Sixteen simulated scans through one command, five times over: the exponent of their avalanches against that of noise-free sizes.

Run: python benchmarks/avalanches_end_to_end.py [--repeats 5] [--scans 16] [--pipeline xpcs_events] [--keep FOLDER]

Each repeat simulates its scans (1 photon per pixel and frame, 1000 frames, ageing) as raw detector files in one folder, gives one command,

    xcdi run xpcs_events RAW --beamline demo_stack --then avalanche_statistics --set avalanche_statistics.smallest=0.03

and compares what it wrote with the truth, which no pipeline opens. Raw files are deleted after each repeat. FOLDER keeps the results and
pictures of the last. With `--pipeline superlattice` each particle is imaged as well.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

import xcdi
from xcdi import artificial
from xcdi.kernels.avalanches import power_laws

XCDI = [sys.executable, "-c", "import sys; from xcdi.cli import main; sys.exit(main())"]
OPTIONS = {"profile": "nano", "variant": "bare,strong-ageing", "frames": 1000, "event_rate": 0.1, "annealing": 0.15}
RANGE = (0.03, 0.6)
APART, WIDEST = 0.2, 0.6  # bars: difference of tau, width of its interval
PARTS = {"superlattice": ("rocking", "series")}  # scans of each experiment that a pipeline reads; others read the series alone


class Repeat(NamedTuple):
    """What one repeat gave: exponents, interval, counts, and seconds of the command."""

    seeds: range
    found: float
    low: float
    high: float
    n: int
    listed: int
    true: float
    n_true: int
    smallest: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Near, narrow, and covering."""
        return abs(self.found - self.true) <= APART and self.high - self.low <= WIDEST and self.low <= self.true <= self.high


def night(folder: Path, seeds: range, parts: tuple[str, ...]) -> list[np.ndarray]:
    """Write the scans of all experiments into one folder, and return the noise-free drops of each."""
    folder.mkdir(parents=True)
    drops = []
    for seed in seeds:
        made = artificial.simulate("particle", folder / f"one{seed}", seed=seed, **OPTIONS)
        for part in parts:
            shutil.move(made / f"particle_{part}.h5", folder / f"p{seed:03d}_{part}.h5")
        shutil.move(made / "flat.tif", folder / "flat.tif")  # the same of all: these detectors are even
        drops.append(noise_free(made / "truth.h5"))
        shutil.rmtree(made)
    return drops


def noise_free(truth: Path) -> np.ndarray:
    """Drops of all true events as the measurement would have them without photon noise."""
    with h5py.File(truth, "r") as file:
        drops = file["events/drop_N5"][()] if "events/drop_N5" in file else np.zeros(0)
    return drops[np.isfinite(drops)]


def repeat(work: Path, seeds: range, pipeline: str, workers: int) -> Repeat:
    """Simulate, give the command, compare; raw files are deleted."""
    raw, out = work / "raw", work / "out"
    for folder in (raw, out):
        shutil.rmtree(folder, ignore_errors=True)
    truth = np.concatenate(night(raw, seeds, PARTS.get(pipeline, ("series",))))
    begin = time.perf_counter()
    words = ["run", pipeline, str(raw), "--beamline", "demo_stack", "--out", str(out), "--workers", str(workers)]
    words += ["--then", "avalanche_statistics", "--set", f"avalanche_statistics.smallest={RANGE[0]}"]
    print(f"$ xcdi {' '.join(words)}", flush=True)
    told = subprocess.run([*XCDI, *words], check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - begin
    print("\n".join(line for line in told.splitlines() if re.match(r"\S|  together", line)), flush=True)
    shutil.rmtree(raw)
    return compared(out / "avalanche_statistics.h5", truth, seeds, seconds)


def compared(path: Path, truth: np.ndarray, seeds: range, seconds: float) -> Repeat:
    """Exponent of the result beside that of the noise-free sizes, by the same estimator over the range of the truth."""
    found = xcdi.load(path)["statistics"]
    fit = power_laws.fit_power_law(truth, *RANGE)
    tau, low, high = (float(found.get(name, np.nan)) for name in ("exponent", "exponent_low", "exponent_high"))
    n, listed, smallest = int(found.n), int(found.n_all), float(found.smallest)
    return Repeat(seeds, tau, low, high, n, listed, fit.exponent, fit.n, smallest, seconds)


def row(one: Repeat) -> str:
    """One line of the table."""
    return (
        f"| {one.seeds.start}-{one.seeds.stop - 1} | {one.found:.3f} [{one.low:.3f}, {one.high:.3f}] | {one.n} of {one.listed} | "
        f"{one.smallest:.3g} | {one.true:.3f} ({one.n_true}) | {one.found - one.true:+.3f} | {one.high - one.low:.3f} | "
        f"{'yes' if one.low <= one.true <= one.high else 'no'} | {'pass' if one.passed else 'FAIL'} | {one.seconds:.0f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scans", type=int, default=16)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--pipeline", default="xpcs_events")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the results and pictures of the last repeat")
    options = parser.parse_args()
    done = []
    with tempfile.TemporaryDirectory() as name:
        for k in range(options.repeats):
            start = options.first + k * options.scans
            done.append(repeat(Path(name), range(start, start + options.scans), options.pipeline, options.workers))
            print(row(done[-1]), flush=True)
        out = Path(name) / "out"
        subprocess.run([*XCDI, "plot", str(out / "avalanche_statistics.h5")], check=True)
        if options.keep:
            shutil.copytree(out, options.keep, dirs_exist_ok=True)
    print("\n| seeds | tau found [95 %] | events fitted | from D | tau noise-free (N) | difference | width | covers | bar | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(map(row, done)))
    passed = sum(one.passed for one in done)
    print(f"\n{passed} of {len(done)} repeats pass")
    return 0 if passed >= 0.8 * len(done) else 1


if __name__ == "__main__":
    sys.exit(main())
