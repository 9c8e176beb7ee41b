"""Results with events of two or more reflections of one particle in; how far and in which direction each event slipped out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.settings import Model
from xcdi.stages import reflections, slip_vectors

READS = "results"


class Settings(Model):
    """Everything a user of this pipeline may change."""

    longest: int = Field(default=14, ge=2, description="most frames on either side of an event")
    centres: int = Field(default=8, ge=1, description="places tried on each boundary, each with both grains and five radii")
    normal_error_deg: float = Field(default=8.0, gt=0, description="standard error of the normal of a boundary")
    seed: int = Field(default=0, ge=0, description="seed of the choice of these places; same seed, same bits")


def run(
    results: Sequence[dict[str, xr.Dataset]], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Join the events on their common clock and fit one displacement to what all reflections saw. Uses neither device nor workers."""
    ready(results, settings)
    turned = [{**result, "crystal": reflections.oriented(result["crystal"], result["peak"])} for result in results]
    return {"slips": slip_vectors.combine(turned, **settings.model_dump())}


def ready(results: Sequence[dict[str, xr.Dataset]], settings: Settings) -> None:
    """Refuse fewer than two results, and those without crystal or events."""
    if len(results) < slip_vectors.NEEDED:
        count = f"{len(results)} result{'s' * (len(results) != 1)}"
        raise XcdiError(f"{count}; slip vectors need {slip_vectors.NEEDED} or more reflections of one particle")
    for number, result in enumerate(results, 1):
        missing = [name for name in slip_vectors.WANTED if name not in result]
        if missing:
            raise XcdiError(f"result {number} of {len(results)} holds no {missing[0]}; expected those of superlattice")


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    ds = result["slips"]
    modes = [f"{int((ds.mode == mode).sum())} {mode}" for mode in slip_vectors.MODES if (ds.mode == mode).any()]
    sizes = np.linalg.norm(ds.slip.values, axis=-1)
    known = sizes[np.isfinite(sizes)]
    length = f"  slips {known.min():.2f} … {known.max():.2f} nm" if known.size else "  no slip vector"
    return f"{ds.sizes['reflection']} reflections  {ds.sizes['event']} events  {', '.join(modes) or 'no mode'}{length}"


def table(result: dict[str, xr.Dataset]) -> str:
    """One line for each event: when, where, how far, and whether that was shear or opening; and what no reflection sees."""
    ds = result["slips"]
    lines = ["time (s)   seen   boundary   slip x, y, z (nm)                          angle to boundary   mode"]
    for k in range(ds.sizes["event"]):
        one = ds.isel(event=k)
        place = f"{int(one.boundary_i)} | {int(one.boundary_j)}" if int(one.boundary) >= 0 else "none"
        seen = f"{int(one.seen.sum())} of {ds.sizes['reflection']}"
        lines.append(
            f"{float(one.time):8.1f}   {seen:<6} {place:<8}   {_vector(one):<40}   {_angle(one):<17}   {one['mode'].item()}".rstrip()
        )
    return "\n".join([*lines, *notes(ds)])


def notes(ds: xr.Dataset) -> list[str]:
    """What the slips are, and which slips no reflection shows."""
    told = [f"model: {ds.attrs['model']}", f"slip: {ds.attrs['slip_is']}; {ds.attrs['length_note']}"]
    if not isinstance(ds.attrs["unseen_along"], str):
        along = ", ".join(f"{part:+.2f}" for part in np.atleast_1d(ds.attrs["unseen_along"]))
        told.append(
            f"not seen: slips along ({along}), and by lattice vectors; slips above {ds.attrs['longest_slip']:.2f} nm may look shorter"
        )
    else:
        told.append(f"not seen: slips by lattice vectors; slips above {ds.attrs['longest_slip']:.2f} nm may look shorter")
    return told


def _vector(one: xr.Dataset) -> str:
    if not np.isfinite(one.slip.values).all():
        return "-"
    return ", ".join(f"{value:+.2f} ± {error:.2f}" for value, error in zip(one.slip.values, one.slip_error.values, strict=True))


def _angle(one: xr.Dataset) -> str:
    if not np.isfinite(float(one.shear_angle)):
        return "-"
    return f"{float(one.shear_angle):.0f} ± {float(one.shear_angle_error):.0f} deg"
