"""A rocking scan and a series of one particle in; its strain, its dynamics, and its events on their grain boundaries out."""

from __future__ import annotations

import xarray as xr
from pydantic import Field, model_validator

from xcdi.settings import Model
from xcdi.stages import strain
from xcdi.stages.avalanches import attribute, find_events, series_offset
from xcdi.stages.detection import Detecting
from xcdi.stages.grains import allowed, counted
from xcdi.stages.imaging import Imaging, image
from xcdi.stages.readiness import rocks
from xcdi.stages.series_correlation import Correlating, correlate

__all__ = ["INPUTS", "Settings", "ready", "run", "summary", "table"]

INPUTS = ("rocking", "series")


class Settings(Model):
    """Everything a user of this pipeline may change."""

    rocking: str = Field(default="{scan}_rocking", description="name of the rocking scan; {scan} stands for the experiment")
    series: str = Field(default="{scan}_series", description="name of the series at a fixed angle")
    seed: int = Field(default=0, ge=0, description="seed of the random starts and of the surrogates; same seed, same bits")
    imaging: Imaging = Field(default=Imaging(), description="the crystal")
    correlation: Correlating = Field(default=Correlating(), description="the dynamics")
    events: Detecting = Field(default=Detecting(), description="the avalanches")

    @model_validator(mode="after")
    def _sound(self) -> Settings:
        allowed(self.imaging.structure, self.imaging.strain.hkl)
        if self.correlation.map != "full":
            raise ValueError(f"correlation.map is {self.correlation.map!r}, and events are found on the counts of a 'full' one")
        return self


def run(
    rocking: xr.Dataset, series: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Image the particle, correlate its series, find the events, and ask which grain boundary slipped in each.

    Events of an unreliable crystal keep their sizes and carry no boundary.
    """
    result = image(rocking, settings.imaging, seed=settings.seed, device=device, workers=workers)
    correlation = correlate(series, settings.correlation, device=device, workers=workers)
    events = find_events(correlation, seed=settings.seed, **settings.events.model_dump())
    if result["object"].attrs["grade"] == "unreliable":
        events = events.assign_attrs(attribution="none: the phased object is unreliable, so no boundary can be named")
    else:
        offset = series_offset(result["peak"], series)
        events = attribute(events, correlation, result["object"], result["crystal"], result["boundaries"], offset=offset)
    return {**result, "correlation": correlation, "events": events}


def ready(rocking: xr.Dataset, series: xr.Dataset, settings: Settings) -> None:
    """Refuse what can be told without frames: too few of them, nothing that rocks, an angle or distance that nobody states."""
    rocks(rocking)


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    phased, crystal, events = result["object"], result["crystal"], result["events"]
    largest = f"  largest drop {float(events['drop'].max()):.3f}" if events.sizes["event"] else ""
    return (
        f"agreement {phased.attrs['agreement']:.3f} ({phased.attrs['grade']})  {strain.told(crystal, phased.attrs['grade'])}  "
        f"{counted(result['grains'].sizes['grain'], 'grain')}  {counted(events.sizes['event'], 'event')}{largest}"
    )


def table(result: dict[str, xr.Dataset]) -> str:
    """The events, one line each: when, how large, on which grain boundary, and how sure that is."""
    events = result["events"]
    lines = ["time (s)   frame   drop              boundary   confidence   flags"]
    for k in range(events.sizes["event"]):
        one = events.isel(event=k)
        lines.append(
            f"{float(one['time']):8.1f}   {int(one['frame']):5d}   {float(one['drop']):.4f} ± {float(one['drop_error']):.4f}   "
            f"{_place(one):<8}   {_confidence(one):>10}   {one['flags'].item()}".rstrip()
        )
    return "\n".join(lines)


def _place(event: xr.Dataset) -> str:
    """The two grains that the boundary parts."""
    if "boundary" not in event or int(event["boundary"]) < 0:
        return "none"
    return f"{int(event['boundary_i'])} | {int(event['boundary_j'])}"


def _confidence(event: xr.Dataset) -> str:
    return f"{float(event['probability']):.2f}" if "probability" in event else "-"
