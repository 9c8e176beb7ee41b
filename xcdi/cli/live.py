"""``xcdi live``: a line per update while the detector writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from xcdi.cli.output import printable, result_line, tally
from xcdi.cli.run import exit_status
from xcdi.cli.stopping import finishing
from xcdi.cli.tasks import Request, live_job, prepare, ready_folder
from xcdi.jobs.job import Outcome
from xcdi.jobs.landing import follow_scans
from xcdi.jobs.live import Update

__all__ = ["live", "update_line"]

BLOCK = 16  # frames taken at a time, where the pipeline asks for nothing else
LINE_S = 0.5  # between two lines of one scan


def live(request: Request, *, patience_s: float, block: int | None, every_s: float, poll_s: float) -> int:
    """Follow one scan, or each scan that lands in a folder; Ctrl-C finishes and writes."""
    pipeline, chosen = prepare(request)
    job = live_job(request, pipeline, chosen)
    ready_folder(request.out)
    print(f"{job.pipeline_name} live on {request.path}, beamline {request.beamline}, {request.device}; stop with Ctrl-C", flush=True)
    outcomes: list[Outcome] = []
    with finishing() as (stop, asked):
        pace: dict[str, Any] = {
            "patience_s": patience_s,
            "block": block or getattr(pipeline, "BLOCK", BLOCK),
            "every_s": every_s,
            "poll_s": poll_s,
        }
        with closing(follow_scans(job, stop=stop, **pace)) as events:
            _tell(events, outcomes)
    print(f"{'stopped: ' if asked else ''}{tally(outcomes, len(outcomes))}", flush=True)
    return 128 + asked[0] if asked else exit_status(outcomes)


def _tell(events: Iterator[Update | Outcome], outcomes: list[Outcome]) -> None:
    """One line per update, not more often than one can read; one per scan at its end."""
    due = 0.0
    for event in events:
        if isinstance(event, Outcome):
            outcomes.append(event)
            print(result_line(event, len(printable(event.scan))), flush=True)
            continue
        for line in event.news:  # each must be seen, however fast they come
            print(f"{event.seconds:8.1f} s {event.frames:6d} frames  {line}", flush=True)
        if event.seconds >= due and not event.path:
            due = event.seconds + LINE_S
            print(update_line(event), flush=True)


def update_line(update: Update) -> str:
    """One line for the state of a growing scan; says so when we are behind the detector.

    Examples
    --------
    >>> update_line(Update("S001", 1.6, 64, 0, 0.1, "contrast 0.448"))
    '     1.6 s     64 frames  contrast 0.448'
    """
    behind = f"  ({update.waiting} frames and {update.lag_s:.1f} s behind)" if update.waiting else ""
    summary = update.summary.removeprefix(f"{update.frames} frames").strip()
    return f"{update.seconds:8.1f} s {update.frames:6d} frames  {summary}{behind}"
