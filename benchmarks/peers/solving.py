"""How often each engine's own recipe finds the crystal, and what a cross of missing data costs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from crystals import crossed, crystal, problem
from judging import SOLVED, against
from running import Engine, ends

__all__ = ["cross_section", "quality_section"]

EDGE = 64


def quality_section(engines: list[Engine], starts: int, photons: float, work: Path) -> str:
    """Return the table of success rates."""
    lines = [
        f"{EDGE}^3, {photons:.0e} photons, {starts} starts of each engine's own recipe, which knows the data alone (cuphaser the true",
        "volume too).",
        f"Overlap with the truth, twin, shift and phase undone; solved means {SOLVED} or more.",
        "",
        "| crystal | engine | solved | median | worst to best | iterations | CPU s a start |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("easy", "hard"):
        truth = crystal(EDGE, hard=name == "hard")
        data = problem(truth, photons, seed=1)
        for engine in engines:
            overlaps, cost, iterations = _starts(engine, data, truth, name, starts, work)
            solved = int(np.sum(overlaps >= SOLVED))
            lines.append(
                f"| {name} | {engine.name} | {solved} of {starts} | {np.median(overlaps):.3f} "
                f"| {overlaps.min():.3f} to {overlaps.max():.3f} | {iterations} | {cost:.1f} |"
            )
    return "\n".join(lines)


def cross_section(engines: list[Engine], starts: int, width: int, work: Path) -> str:
    """Return the table of what missing data cost."""
    truth = crystal(EDGE, hard=False)
    whole = problem(truth, 1e7, seed=1)
    behind = crossed(whole, width)
    pixels, counts = 1 - behind["valid"].mean(), 1 - behind["counts"].sum() / whole["counts"].sum()
    lines = [
        f"The easy crystal at {EDGE}^3 and 1e7 photons, {starts} starts each, with and without a cross {width} pixels wide through",
        f"the peak, missing in every frame: {pixels:.0%} of the pixels, {counts:.0%} of the counts. cohere has no mask:",
        "the cross is zero to it. Fixed: 200 HIO and 100 ER in the true support grown by a voxel, masked pixels free where the engine can.",
        "Recipe: the engine's own; PyNX then holds the cross at zero for 360 iterations. Overlap with the truth, median (best); 0 is a",
        "run that stopped.",
        "",
        "| engine | fixed, whole | fixed, crossed | cost of the median | recipe, whole | recipe, crossed | cost of the median |",
        "|---|---|---|---|---|---|---|",
    ]
    for engine in engines:
        row = f"| {engine.name} "
        for what in ("plain", "recipe"):
            a = _starts(engine, whole, truth, "easy", starts, work, what)[0]
            b = _starts(engine, behind, truth, f"crossed_{width}", starts, work, what)[0]
            row += f"| {np.median(a):.3f} ({a.max():.3f}) | {np.median(b):.3f} ({b.max():.3f}) | {np.median(a) - np.median(b):.3f} "
        lines.append(row + "|")
    return "\n".join(lines)


def _starts(
    engine: Engine, data: dict[str, np.ndarray], truth: np.ndarray, name: str, starts: int, work: Path, what: str = "recipe"
) -> tuple[np.ndarray, float, int]:
    """Return the overlap of every start with the truth, the median CPU time, and the iterations."""
    found = ends(engine, data, name, starts, work, what=what)
    overlaps = np.array([against(end["rho"], truth) for end in found])
    return overlaps, float(np.median([end["cpu"] for end in found])), max(int(end["iterations"]) for end in found)
