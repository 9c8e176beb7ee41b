"""The measured 34-ID-C scan: the same box for every engine, and how well their objects fit and agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from judging import agreement, measured_of, misfits
from running import Engine, ends

from xcdi.io import open_scan
from xcdi.kernels.fourier import centre
from xcdi.kernels.phasing import likelihood
from xcdi.kernels.phasing.estimate import Measured
from xcdi.stages import corrections, geometry, phasing
from xcdi.stages.imaging import usable_corrections

__all__ = ["section"]


def section(engines: list[Engine], file: Path, seeds: int, work: Path) -> str:
    """Return the table of misfit, agreement and cost."""
    data = _problem(peak_of(file))
    measured = measured_of(data)
    held = likelihood.held_out(measured, np.random.default_rng(0))
    hidden = {**data, "valid": data["valid"] & ~centre(held)}
    shape = " x ".join(str(n) for n in data["counts"].shape)
    lines = [
        f"One box of {shape}, {data['counts'].sum():.2e} counts, {seeds} starts of each engine's own recipe on one thread.",
        f"{held.mean():.1%} of the pixels are held out in clusters of seven, the same for all; cohere has no mask and saw them.",
        "chi and half deviance per pixel over the pixels fitted, then over those held out (means over the starts), every object",
        "at its best scale. Overlap between starts: twin, shift and phase undone.",
        "",
        "| engine | chi | deviance, fitted | deviance, held out | overlap, mean | least | support, voxels | CPU s a start | wall s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(
        [*lines, *(_row(engine, data if "cohere" in engine.name else hidden, measured, held, seeds, work) for engine in engines)]
    )


def peak_of(file: Path) -> xr.Dataset:
    """Return the corrected scan, cut to its peak, as the imaging pipeline does it."""
    scan = open_scan(file, file.stem, "34idc")
    frames = corrections.apply(corrections.find_bad_pixels(scan), usable_corrections(scan))
    return phasing.crop_to_peak(geometry.with_q(frames))


def _problem(peak: xr.Dataset) -> dict[str, np.ndarray]:
    counts, valid = peak.counts.to_numpy(), peak.valid.to_numpy()
    nothing = np.ones(counts.shape, bool)
    return {"counts": np.maximum(counts, 0), "valid": valid, "support": nothing, "start": nothing.astype(np.complex64)}


def _row(engine: Engine, data: dict[str, np.ndarray], measured: Measured, held: np.ndarray, seeds: int, work: Path) -> str:
    found = ends(engine, data, "scan", seeds, work)
    good = [end["rho"] for end in found if end["rho"].any()]
    chi, fitted, free = np.mean([misfits(rho, measured, held) for rho in good], axis=0)
    pairs = agreement(good)
    sizes = ", ".join(str(int(end.get("support_voxels", 0))) for end in found)
    cpu, wall = (np.mean([end[name] for end in found]) for name in ("cpu", "wall"))
    seen = " (seen)" if "cohere" in engine.name else ""
    return (
        f"| {engine.name} | {chi:.3f} | {fitted:.2f} | {free:.2f}{seen} | {np.mean(pairs):.3f} | {min(pairs):.3f} "
        f"| {sizes} | {cpu:.0f} | {wall:.0f} |"
    )
