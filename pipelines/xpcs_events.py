"""One series of frames at a fixed angle in; its two-time correlation and its events out, announced as they happen where it is live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import xarray as xr
from pydantic import Field, model_validator
from xcdi.pipelines import xpcs_two_time

from xcdi.settings import Model
from xcdi.stages import clock
from xcdi.stages.avalanches import find_events
from xcdi.stages.completeness import told
from xcdi.stages.detection import Detecting, long_enough
from xcdi.stages.event_table import counted_events, listed
from xcdi.stages.live_events import announced, follow_events, looking
from xcdi.stages.readiness import stands
from xcdi.stages.series_correlation import Correlating, correlate

__all__ = ["BLOCK", "Settings", "news", "ready", "run", "summary", "table", "watch"]

BLOCK = 4  # frames taken at a time while a series grows: an announcement waits for no more of them


class Settings(Model):
    """Everything a user of this pipeline may change."""

    seed: int = Field(default=0, ge=0, description="seed of the surrogates and of injected events; same seed, same bits")
    correlation: Correlating = Field(default=Correlating(), description="the dynamics")
    events: Detecting = Field(default=Detecting(), description="the avalanches")

    @model_validator(mode="after")
    def _sound(self) -> Settings:
        if self.correlation.map != "full":
            raise ValueError(f"correlation.map is {self.correlation.map!r}, and events are found on the counts of a 'full' one")
        return self


def run(scan: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """Correlate a whole series, and find and measure its events."""
    clock.timed(scan)
    stands(scan)
    correlation = correlate(scan, settings.correlation, device=device, workers=workers)
    return {"correlation": correlation, "events": find_events(correlation, seed=settings.seed, **settings.events.model_dump())}


def ready(scan: xr.Dataset, settings: Settings) -> None:
    """Refuse what can be told without frames: times that nobody states, a sample that turns, fewer frames than events need."""
    clock.timed(scan)
    stands(scan)
    long_enough(scan, settings.events.window)


def watch(
    blocks: Iterable[xr.Dataset], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> Iterator[dict[str, xr.Dataset]]:
    """Yield the correlation so far and the events announced so far, marked provisional; the last equals :func:`run` bit for bit."""
    for seen in follow_events(blocks, settings.correlation, settings.events, seed=settings.seed, device=device, workers=workers):
        yield {**({} if seen.correlation is None else {"correlation": seen.correlation}), "events": seen.events}


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    events = result["events"]
    frames = [xpcs_two_time.summary(result)] if "correlation" in result else []
    if events.attrs.get("provisional"):
        words = [f"{events.attrs['frames_looked_at']} frames", looking(events), counted_events(events)]
        return "  ".join(filter(None, words))
    return "  ".join([*frames, counted_events(events), told(events.attrs)])


def news(result: dict[str, xr.Dataset]) -> list[str] | None:
    """A line for each event that was announced, while the series grows; at its end the table says it all."""
    events = result["events"]
    return announced(events) if events.attrs.get("provisional") else None


def table(result: dict[str, xr.Dataset]) -> str:
    """The events, one line each, and how small one may be and still be seen."""
    return "\n".join(filter(None, [listed(result["events"]), told(result["events"].attrs)]))
