"""Results of three or more reflections of one particle in; its strain tensor, rotation and displacement vector out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.settings import Model
from xcdi.stages import reflections, tensor

READS = "results"


class Settings(Model):
    """Everything a user of this pipeline may change."""

    voxel_nm: float | None = Field(default=None, gt=0, description="voxel of the maps; not set: the finest of the results")
    twins: tuple[bool, ...] | None = Field(default=None, description="which results are turned inside out; not set: found out")


def run(
    results: Sequence[dict[str, xr.Dataset]], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Put the crystals of all results together, in the frame of the first. Takes no time worth a device or a second worker."""
    ready(results, settings)
    crystals = [reflections.oriented(result["crystal"], result["peak"]) for result in results]
    return {"crystal": tensor.combine(crystals, voxel_nm=settings.voxel_nm, twins=settings.twins)}


def ready(results: Sequence[dict[str, xr.Dataset]], settings: Settings) -> None:
    """Refuse results without a crystal and its peak, and fewer than three of them."""
    without = [place for place, result in enumerate(results, 1) if "crystal" not in result or "peak" not in result]
    if without:
        raise XcdiError(f"result {without[0]} of {len(results)} holds no crystal with its peak; expected those of bcdi_strain")
    if len(results) < tensor.NEEDED:
        count = f"{len(results)} result{'s' * (len(results) != 1)}"
        raise XcdiError(f"{count}; a strain tensor needs {tensor.NEEDED} or more reflections of one particle")


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line; none of an unreliable tensor."""
    crystal = result["crystal"]
    start = f"{len(crystal.attrs['twins'])} reflections  condition {crystal.attrs['condition']:.1f}"
    if crystal.attrs["grade"] == "unreliable":
        return f"{start}  no strain: the tensor is unreliable"
    low, high = np.nanpercentile(crystal.strain_volume, [1, 99])
    turn = float(np.degrees(np.sqrt(np.nanmean(sum(crystal[f"rotation_{a}"] ** 2 for a in "xyz")))))
    alike = np.asarray(crystal.attrs.get("held_inner_correlation", crystal.attrs.get("held_correlation", [])), dtype=float)
    known = alike[np.isfinite(alike)]
    check = f"foretold with correlation {known.min():.3f} or more" if known.size else "no held-out check"
    return f"{start}  volume strain {low:+.1e} … {high:+.1e}  rotation rms {turn:.2f} deg  {check}  {crystal.attrs['grade']}"


def table(result: dict[str, xr.Dataset]) -> str:
    """How well each reflection is foretold from the others, and what speaks against the tensor."""
    notes = result["crystal"].attrs
    lines = [str(notes["warning"])] if "warning" in notes else []
    if notes["left_out"] != "none":
        lines.append(f"left out as unreliable: {notes['left_out']}")
    if "held_rms" not in notes:
        return "\n".join([*lines, notes["held_out"]])
    names = notes["reflections"].split(", ")
    width = max(map(len, names))
    for where, key in (("inside of grains", "held_inner"), ("all voxels", "held")):
        if f"{key}_rms" in notes:
            lines.append(f"{where:<{width}}  {'rms error':>9}  {'rms of it':>9}  correlation")
            rows = zip(names, *(notes[f"{key}_{what}"] for what in ("rms", "spread", "correlation")), strict=True)
            lines += [f"{name:<{width}}  {_foretold(*found)}" for name, *found in rows]
    return "\n".join(lines)


def _foretold(rms: float, spread: float, alike: float) -> str:
    """Figures of one reflection, or why there are none."""
    if np.isnan(rms):
        return "not foretold: the others lie in one plane"
    return f"{rms:9.1e}  {spread:9.1e}  {alike:11.3f}"
