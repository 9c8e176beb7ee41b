"""Results with events in; sizes, exponents and waiting times of all of them together out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.settings import Model
from xcdi.stages import avalanches

READS = "results"


class Settings(Model):
    """Everything a user of this pipeline may change."""

    size: Literal["drop", "drop_internal", "fraction"] = Field(default="drop", description="column of the events that is their size")
    smallest: float = Field(default=0.03, gt=0, description="lower end of the power law; above the size from which all events are found")
    largest: float | None = Field(default=0.6, gt=0, description="upper end of the power law; leave it out for the largest size found")
    minimum: int = Field(default=50, ge=2, description="fewest events for which an exponent is given")
    seed: int = Field(default=0, ge=0, description="seed of the bootstrap; same seed, same bits")


def run(
    results: Sequence[dict[str, xr.Dataset]], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Pool the events of all results. Takes no time worth a device or a second worker."""
    catalogues = [result["events"] for result in results if "events" in result]
    if not catalogues:
        raise XcdiError(f"none of {len(results)} results holds events; expected those of a pipeline that finds them, such as superlattice")
    return {"statistics": avalanches.statistics(catalogues, **settings.model_dump())}


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    ds = result["statistics"]
    counted = f"{int(ds.n_all)} events in {ds.attrs['series']} series  rate {float(ds.rate):.3g} 1/s"
    if "exponent" not in ds:
        return f"{counted}  no exponent: {ds.attrs['note']}"
    return (
        f"{counted}  exponent {float(ds.exponent):.2f} ± {float(ds.exponent_error):.2f} from {int(ds.n)} of {float(ds.smallest):g} or more"
    )
