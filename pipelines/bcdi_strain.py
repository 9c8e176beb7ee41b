"""One rocking scan of one Bragg peak in; the strained crystal and its grains out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.stages import preflight, strain
from xcdi.stages.imaging import Imaging, image


class Settings(Imaging):
    """Everything a user of this pipeline may change."""

    seed: int = Field(default=0, ge=0, description="seed of the random starts; same seed, same bits")


def run(scan: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """Correct, crop, phase, and map the strain of one rocking scan."""
    return image(scan, settings, seed=settings.seed, device=device, workers=workers)


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    peak, phased, crystal = result["peak"], result["object"], result["crystal"]
    middle = peak.attrs["d_spacing_nm"]
    spacing = crystal.attrs.get("mean_d_spacing_nm", middle)  # of the object, wherever its peak lies in the box; an unreliable one has none
    sine = np.sin(np.radians(peak.attrs["two_theta_deg"] / 2)) * middle / spacing
    return (
        f"2theta {2 * np.degrees(np.arcsin(sine)):.2f} deg  d {spacing * 10:.3f} A  "
        f"residual {phased.attrs['residual']:.4f}  agreement {phased.attrs['agreement']:.3f}  "
        f"{strain.told(crystal, phased.attrs['grade'])}  {result['grains'].sizes['grain']} grains  {phased.attrs['grade']}"
    )


def table(result: dict[str, xr.Dataset]) -> str:
    """What speaks against the object: why it is not graded good, and what was wrong with the peak before it was phased."""
    phased = result["object"]
    why = [] if phased.attrs["grade"] == "good" else [f"{phased.attrs['grade']}: {phased.attrs['grade_why']}"]
    return "\n".join([*why, *preflight.told(preflight.recalled(result["peak"]), least="warning")])
