"""One rocking scan of one Bragg peak in; the strained crystal and its grains out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from xcdi.stages import preflight, strain
from xcdi.stages.grains import WITHOUT_HKL, allowed, counted
from xcdi.stages.imaging import Imaging, image
from xcdi.stages.readiness import rocks


class Settings(Imaging):
    """Everything a user of this pipeline may change."""

    seed: int = Field(default=0, ge=0, description="seed of the random starts; same seed, same bits")

    @model_validator(mode="after")
    def _sound(self) -> Settings:
        allowed(self.structure, self.strain.hkl)
        return self


def run(scan: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """Correct, crop, phase, and map the strain of one rocking scan."""
    return image(scan, settings, seed=settings.seed, device=device, workers=workers)


def ready(scan: xr.Dataset, settings: Settings) -> None:
    """Refuse what can be told without frames: too few of them, nothing that rocks, an angle or distance that nobody states."""
    rocks(scan)


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    peak, phased, crystal = result["peak"], result["object"], result["crystal"]
    middle = peak.attrs["d_spacing_nm"]
    spacing = crystal.attrs.get("mean_d_spacing_nm", middle)  # of the object, wherever its peak lies in the box; an unreliable one has none
    sine = np.sin(np.radians(peak.attrs["two_theta_deg"] / 2)) * middle / spacing
    return (
        f"2theta {2 * np.degrees(np.arcsin(sine)):.2f} deg  d {spacing:.4f} nm  "
        f"residual {phased.attrs['residual']:.4f}  agreement {phased.attrs['agreement']:.3f}  "
        f"{strain.told(crystal, phased.attrs['grade'])}  {counted(result['grains'].sizes['grain'], 'grain')}  {phased.attrs['grade']}"
    )


def table(result: dict[str, xr.Dataset]) -> str:
    """What speaks against the object: why it is not graded good, what was wrong with its peak, and a setting that had no effect."""
    phased = result["object"]
    why = [] if phased.attrs["grade"] == "good" else [f"{phased.attrs['grade']}: {phased.attrs['grade_why']}"]
    made = str(result["boundaries"].attrs.get("burgers_from", ""))
    notice = [f"notice   Burgers vector  {made}"] if made.endswith(WITHOUT_HKL) else []
    return "\n".join([*why, *preflight.told(preflight.recalled(result["peak"]), least="warning"), *notice])
