"""Attribution: events ascribed to the right boundary, how far stated probabilities are to be believed, and time.

    python benchmarks/attribution.py --seeds 101 102 103 --work FOLDER --picture attribution.png

images one particle per seed and keeps it, with the series of every variant, in the folder; a second run only attributes.
Seeds from 101 on are for setting constants, 1 to 8 for judging. Rows: share of events whose boundary comes first, is among
the first three, whose grain is right; then, by stated probability, the share that is right.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xcdi import artificial, io
from xcdi.artificial.compared import Compared
from xcdi.artificial.score_attribution import Ascribed, ascribed
from xcdi.artificial.score_events import hear
from xcdi.artificial.verdict import Truth
from xcdi.stages.attribution import attribute, series_offset
from xcdi.stages.avalanches import find_events
from xcdi.stages.imaging import Imaging, image
from xcdi.stages.series_correlation import Correlating, correlate

__all__ = ["main", "reliability", "row"]

VARIANTS = ("even", "slab", "whole-grain", "gradual")
EDGES = (0.0, 0.4, 0.6, 0.8, 0.95, 1.0)
SURE, RIGHT, LARGE, SHARE = 0.8, 0.75, 0.05, 0.3  # bars: of those stated SURE, RIGHT are; SHARE of events of drop LARGE are


def prepared(work: Path, profile: str, variant: str, seed: int) -> tuple[Path, Path, Path]:
    """Files of the imaged particle, of the correlated series with its events, and of the truth; made where absent."""
    work.mkdir(parents=True, exist_ok=True)
    name = f"{profile}-{seed}-{variant.replace(',', '+')}"
    places = work / f"{profile}-{seed}-image.h5", work / f"{name}.h5", work / f"{name}.truth.h5"
    if all(place.exists() for place in places):
        return places
    raw = work / f"raw-{name}"
    artificial.simulate("particle", raw, profile=profile, seed=seed, variant=variant)
    if not places[0].exists():
        io.save(image(io.open_scan(raw, "particle_rocking", "demo"), Imaging(), seed=0), places[0], provenance={})
    series = io.open_scan(raw, "particle_series", "demo")
    correlation = correlate(series, Correlating())
    offset = series_offset(io.load(places[0])["peak"], series)
    found = find_events(correlation, seed=0).assign_attrs(offset=offset)
    io.save({"correlation": correlation, "events": found}, places[1], provenance={})
    shutil.move(raw / "truth.h5", places[2])
    shutil.rmtree(raw)
    return places


def told(places: tuple[Path, Path, Path]) -> tuple[list[Ascribed], float, int]:
    """What is said of every true event that was found, CPU seconds of attribution, and events in all."""
    imaged, series = io.load(places[0]), io.load(places[1])
    begin = time.process_time()
    crystal = (imaged["object"], imaged["crystal"], imaged["boundaries"])
    events = attribute(series["events"], series["correlation"], *crystal, offset=float(series["events"].attrs["offset"]))
    took, result = time.process_time() - begin, places[1].with_suffix(".result.h5")
    io.save({**imaged, "correlation": series["correlation"], "events": events}, result, provenance={"scan": "particle"})
    with h5py.File(result, "r") as file, h5py.File(places[2], "r") as true:
        seen = Compared([file], Truth(true))
        heard = hear(seen)
        said = ascribed(seen, replace(heard, light=heard.light._replace(drop=0.0))) if heard else []
    result.unlink()
    return said, took, events.sizes["event"]


def row(name: str, said: Sequence[Ascribed]) -> str:
    """One line: shares of events that are right."""
    ranks = [one.rank or 0 for one in said]
    first, third = np.mean([rank == 1 for rank in ranks]), np.mean([1 <= rank <= 3 for rank in ranks])
    moved = np.mean([bool(one.moved) for one in said])
    return f"{name:28s} {len(said):3d} events  moved grain {moved:.3f}  first three {third:.3f}  first {first:.3f}"


def reliability(said: Sequence[Ascribed]) -> Iterator[tuple[float, float, float, int]]:
    """Yield, for each bin of stated probability: its mean, the share that is right, the standard error of that, and how many."""
    stated, right = np.array([one.probability for one in said]), np.array([one.right for one in said])
    for low, high in pairwise(EDGES):
        part = (stated > low) & (stated <= high)
        if part.any():
            share = float(right[part].mean())
            yield float(stated[part].mean()), share, float(np.sqrt(max(share * (1 - share), 0.01) / part.sum())), int(part.sum())


def calibration(said: Sequence[Ascribed]) -> Iterator[str]:
    """Yield the table of reliability, and the two bars."""
    for mean, share, error, count in reliability(said):
        yield f"  stated {mean:.2f}  right {share:.2f} ± {error:.2f}  ({count})"
    sure = [one.right for one in said if one.probability >= SURE]
    large = [one.probability >= SURE for one in said if one.drop >= LARGE]
    yield f"  of {len(sure)} stated {SURE:g} or more, right: {np.mean(sure) if sure else np.nan:.2f} (>= {RIGHT:g})"
    yield f"  of {len(large)} with D >= {LARGE:g}, stated {SURE:g} or more: {np.mean(large) if large else np.nan:.2f} (>= {SHARE:g})"


def draw(said: Sequence[Ascribed], place: Path) -> None:
    """Draw the share that is right over the stated probability."""
    figure = Figure(figsize=(4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1], color="0.6", lw=1)
    bins = list(reliability(said))
    ax.errorbar([b[0] for b in bins], [b[1] for b in bins], [b[2] for b in bins], fmt="o-", color="#0072b2", capsize=2)
    for mean, share, _, count in bins:
        ax.annotate(str(count), (mean, share), textcoords="offset points", xytext=(6, -12))
    ax.set(xlabel="stated probability", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.08))
    figure.savefig(place, dpi=150)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print rows, calibration and time."""
    parser = argparse.ArgumentParser(description="Events ascribed to boundaries, and how sure that is.")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--profile", default="nano")
    parser.add_argument("--work", type=Path, required=True, help="folder where particles and series are kept")
    parser.add_argument("--picture", type=Path, help="PNG of stated probability against the share that is right")
    asked = parser.parse_args(arguments)
    every: list[Ascribed] = []
    for variant in asked.variants:
        some: list[Ascribed] = []
        for seed in asked.seeds:
            said, took, count = told(prepared(asked.work, asked.profile, variant, seed))
            print(f"{row(f'{variant} {seed}', said)}  {took:.1f} s of CPU for {count} events", flush=True)
            some += said
        print(row(f"{variant}, all seeds", some))
        every += some
    print("stated probability, all variants", *calibration(every), sep="\n")
    if asked.picture:
        draw(every, asked.picture)


if __name__ == "__main__":
    main()
