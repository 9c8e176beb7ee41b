"""Scans that come one after the other: followed while they grow, or run when they are complete."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from threading import Event
from types import ModuleType
from typing import Any

from xcdi.jobs import bugs, pipelines
from xcdi.jobs.ahead import Ahead
from xcdi.jobs.job import MENDABLE, Job, Outcome
from xcdi.jobs.live import Update, publish, watch
from xcdi.jobs.making import members, together
from xcdi.jobs.one import run_job
from xcdi.jobs.origin import is_done

__all__ = ["follow_scans"]


def follow_scans(job: Job, *, stop: Event, **pace: Any) -> Generator[Update | Outcome, None, None]:
    """Follow the scan of `job`, or where it names none, each scan that lands in its folder.

    Parameters
    ----------
    job : Job
        A pipeline with ``watch`` follows each scan while it grows; one without takes it when it is complete.
    stop : Event
        Set it to end with the current scan.
    **pace
        ``block``, ``poll_s``, ``patience_s``, ``every_s`` of :func:`watch`.

    Yields
    ------
    Update or Outcome
        Updates while a scan grows; its outcome at its end. A scan that fails does not stop the next.
    """
    pipeline = pipelines.find(job.pipeline)
    growing = hasattr(pipeline, "watch")
    scans = [job.scan] if job.scan else _appearing(job, stop, pace) if growing else _landing(job, pipeline, stop, pace)
    for scan in scans:
        one = replace(job, scan=scan)
        if is_done(one):
            yield Outcome(scan, "skipped", 0.0, path=str(one.output))
        elif growing:
            yield from _followed(one, stop, pace)
        else:
            yield from _imaged(one)
        if stop.is_set():
            return


def _followed(job: Job, stop: Event, pace: dict[str, Any]) -> Iterator[Update | Outcome]:
    begin, summary, table = time.monotonic(), "", ""
    with bugs.caught(job) as trouble:
        for update in watch(job, stop=stop, **pace):
            summary, table = update.summary, update.table
            yield update
    if trouble:
        yield Outcome(job.scan, "failed", time.monotonic() - begin, error=trouble[0])
    else:
        yield Outcome(job.scan, "done", time.monotonic() - begin, summary, str(job.output), table=table)


def _imaged(job: Job) -> Iterator[Outcome]:
    """Run a complete scan, and show it as the latest."""
    from xcdi import io

    outcome = run_job(job)
    yield outcome
    if outcome.status == "done":
        publish(io.load(job.output), job, pipelines.settings_of(job, pipelines.find(job.pipeline))[1])


def _appearing(job: Job, stop: Event, pace: dict[str, Any]) -> Iterator[str]:
    """Names of scans as soon as they are there, each once."""
    from xcdi import io

    seen: set[str] = set()
    news = time.monotonic()
    while not stop.is_set() and time.monotonic() - news <= pace["patience_s"]:
        try:
            names = io.list_scans(job.path, job.beamline)
        except MENDABLE:
            names = []  # not there yet, or being written
        for scan in names:
            if scan not in seen:
                seen.add(scan)
                yield scan
                news = time.monotonic()
        stop.wait(pace["poll_s"])


def _landing(job: Job, pipeline: ModuleType, stop: Event, pace: dict[str, Any]) -> Iterator[str]:
    """Names of scans, or of experiments whose last scan has come, each once."""
    from xcdi import io

    chosen = pipelines.settings_of(job, pipeline)[0]
    names = io.new_scans(job.path, job.beamline, poll_s=pace["poll_s"], patience_s=pace["patience_s"])
    seen: list[str] = []
    arriving = Ahead(names, stop, most=1000)
    for scan in arriving:
        seen.append(scan)
        yield from (name for name in together(seen, pipeline, chosen) if scan in members(pipeline, chosen, name))
    if arriving.error is not None:
        raise arriving.error
