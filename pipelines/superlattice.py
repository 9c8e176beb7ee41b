"""A rocking scan and a series of one particle in; its strain, its dynamics, its events on their grain boundaries, their statistics out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from xcdi.settings import Model
from xcdi.stages import clock, strain
from xcdi.stages.attribution import UnlikeError
from xcdi.stages.avalanches import attribute, find_events, series_offset, statistics
from xcdi.stages.catalogues import Counting
from xcdi.stages.completeness import told
from xcdi.stages.detection import Detecting, long_enough
from xcdi.stages.event_table import counted_events, listed
from xcdi.stages.grains import allowed, counted
from xcdi.stages.imaging import Imaging, image
from xcdi.stages.patterson import difference_patterson
from xcdi.stages.readiness import rocks, stands
from xcdi.stages.series_correlation import Correlating, correlate
from xcdi.stages.tilts import flag_tilts

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
    statistics: Counting = Field(default=Counting(), description="their sizes, rates and waiting times")

    @model_validator(mode="after")
    def _sound(self) -> Settings:
        allowed(self.imaging.structure, self.imaging.strain.hkl)
        if self.correlation.map != "full":
            raise ValueError(f"correlation.map is {self.correlation.map!r}, and events are found on the counts of a 'full' one")
        return self


def run(
    rocking: xr.Dataset, series: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Correlate the series and find its events, image the particle, ask which grain boundary slipped in each event, and count.

    All times are seconds from frame 0 of the series, all places laboratory axes. Events of an unreliable crystal keep their sizes
    and carry no boundary; nor do those of a series that does not look like the crystal.
    """
    clock.timed(series)
    correlation = correlate(series, settings.correlation, device=device, workers=workers)
    events = find_events(correlation, seed=settings.seed, **settings.events.model_dump())
    result = image(rocking, settings.imaging, seed=settings.seed, device=device, workers=workers)
    offset = series_offset(result["peak"], series)
    events = flag_tilts(events, correlation, result["peak"], offset=offset, longest=settings.events.longest)
    when, where = clock.clock(rocking, series), clock.frame(result["peak"], offset)
    if result["object"].attrs["grade"] == "unreliable":
        events = events.assign_attrs(attribution="none: the phased object is unreliable, so no boundary can be named")
    else:
        try:
            events = attribute(events, correlation, result["object"], result["crystal"], result["boundaries"], offset=offset)
        except UnlikeError as error:  # strain and events stand without each other
            events = events.assign_attrs(attribution=f"none: {error}")
    known = "boundary" in events
    found = statistics([events], boundaries=[result["boundaries"]] if known else (), seed=settings.seed, **settings.statistics.model_dump())
    placed = {name: result[name].assign_attrs(where) for name in ("crystal", "grains", "boundaries")}
    timed = {"correlation": correlation.assign_attrs(clock=when["clock"]), "events": events.assign_attrs(when | where)}
    quick = {"patterson": difference_patterson(events, correlation)} if "dq" in correlation.attrs and events.sizes["event"] else {}
    return {**result, **placed, **timed, **quick, "statistics": found}


def ready(rocking: xr.Dataset, series: xr.Dataset, settings: Settings) -> None:
    """Refuse what can be told without frames: too few of them, nothing that rocks, an angle, distance or time that nobody states."""
    rocks(rocking)
    clock.timed(series)
    stands(series)
    long_enough(series, settings.events.window)


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    phased, crystal = result["object"], result["crystal"]
    placeless = "  no boundary named" if "attribution" in result["events"].attrs else ""
    return (
        f"agreement {phased.attrs['agreement']:.3f} ({phased.attrs['grade']})  {strain.told(crystal, phased.attrs['grade'])}  "
        f"{counted(result['grains'].sizes['grain'], 'grain')}  {counted_events(result['events'])}{placeless}"
    )


def table(result: dict[str, xr.Dataset]) -> str:
    """The events, one line each; how small one may be and still be seen; what one series tells of their statistics."""
    attrs = result["events"].attrs
    notes = [attrs[name] for name in ("attribution", "warning") if attrs.get(name)]
    return "\n".join(filter(None, [listed(result["events"]), told(attrs), *notes, _counts(result["statistics"])]))


def _counts(found: xr.Dataset) -> str:
    """Rate of the events, and the exponent of their sizes or why there is none: one series seldom has enough of them."""
    words = f"statistics: {counted(int(found.n_all), 'event')}, {float(found.rate):.3g} ± {float(found.rate_error):.2g} 1/s"
    if "exponent" in found:
        return f"{words}, exponent {float(found.exponent):.2f} ± {float(found.exponent_error):.2f} from {int(found.n)}"
    size = f" of D = {float(found.smallest):.2g} or more" if int(found.n_all) and np.isfinite(float(found.smallest)) else ""
    return f"{words}, no exponent: it needs {found.attrs['minimum']} events{size}, and there are {int(found.n)}"
