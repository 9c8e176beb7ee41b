"""Stages in a row: one rocking scan in; the phased, strained crystal and its grains out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field, field_validator

from xcdi.resolve import resolve
from xcdi.settings import Model
from xcdi.stages import arc, corrections, dislocations, geometry, phasing, preflight, strain
from xcdi.stages.grains import Structure, triple_lines, without_statistics
from xcdi.stages.grains import grains as find_grains
from xcdi.stages.readiness import enough
from xcdi.stages.strain import Straining

__all__ = ["Imaging", "cut", "image", "usable_corrections"]


class Imaging(Model):
    """How a crystal is imaged."""

    corrections: tuple[str, ...] | None = Field(default=None, description="names in order; not set: every one the scan has data for")
    box: tuple[int, int, int] | None = Field(default=None, description="voxels along frame, y, x; not set: chosen from the peak")
    regrid_beyond: float | None = Field(
        default=None,
        gt=0,
        description="voxels that the arc of the scan may stray from even steps of q before counts are interpolated; not set: any",
    )
    voxel_nm: float | None = Field(default=None, gt=0, description="voxel of the orthogonal maps; not set: the finest of the data")
    recipe: phasing.Recipe = phasing.Recipe()
    structure: Structure | None = Field(
        default=None, description="fcc, bcc or sc; with strain.hkl it gives the Burgers vector of boundaries"
    )
    strain: Straining = Field(default=Straining(), description="what is known of the crystal beforehand")

    @field_validator("corrections")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            resolve(name, corrections)  # a typo is reported before any frame is read
        return names


def image(scan: xr.Dataset, how: Imaging, *, seed: int, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """Correct, crop, phase, straighten, differentiate, and find the grains.

    Parameters
    ----------
    scan : SCAN
        One rocking scan of one Bragg peak.
    how : Imaging
    seed : int
        Seed of the random starts.

    Returns
    -------
    dict
        ``peak``, ``object``, ``crystal``, ``grains``, ``boundaries``, ``triple_lines``, ``dislocations``.

    Raises
    ------
    XcdiError
        If the scan does not rock, has too few frames, or nothing can be trusted.
    """
    enough(scan)
    peak = cut(scan, how, device=device)
    peak = preflight.noted(peak, preflight.diagnose(scan, peak))
    phased = phasing.reconstruct(peak, how.recipe, seed=seed, device=device, workers=workers)
    crystal = strain.field(geometry.to_lab(phased, voxel_nm=how.voxel_nm), how.strain)
    crystal, grains, boundaries = find_grains(crystal, structure=how.structure)
    if phased.attrs["grade"] == "unreliable":
        grains, boundaries = without_statistics(grains, boundaries)
    return {
        "peak": peak,
        "object": phased,
        "crystal": crystal,
        "grains": grains,
        "boundaries": boundaries,
        "triple_lines": triple_lines(crystal),
        "dislocations": dislocations.lines(crystal),
    }


def cut(scan: xr.Dataset, how: Imaging, *, device: str = "cpu") -> xr.Dataset:
    """Correct the frames of a rocking scan and cut out its peak: PEAK, with the names of the corrections in an attribute."""
    names = usable_corrections(scan) if how.corrections is None else how.corrections
    frames = corrections.apply(corrections.find_bad_pixels(scan), names, device=device)
    peak = phasing.crop_to_peak(geometry.with_q(frames), how.box).assign_attrs(corrections=" ".join(names))
    return peak if how.regrid_beyond is None else arc.straightened(peak, how.regrid_beyond)


def usable_corrections(scan: xr.Dataset) -> tuple[str, ...]:
    """Names of the corrections that `scan` carries the data for, in the order they are applied."""
    have = {
        "to_float": True,
        "dead_time": "dead_time_s" in scan.attrs and "count_time_s" in scan.attrs,
        "dark": "dark" in scan,
        "flat": "flat" in scan,
        "per_monitor": "monitor" in scan and "monitor_reference" in scan.attrs and bool(np.all(scan.monitor > 0)),
    }
    return tuple(name for name, there in have.items() if there)
