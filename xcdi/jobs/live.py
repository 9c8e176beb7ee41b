"""One growing scan: the same pipeline as batch, fed while the detector writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

from xcdi.errors import XcdiError
from xcdi.jobs import pipelines
from xcdi.jobs.ahead import Ahead
from xcdi.jobs.job import Job
from xcdi.jobs.lock import locked
from xcdi.jobs.one import threads
from xcdi.jobs.origin import origin, save

__all__ = ["Update", "publish", "watch"]

SHARE = 0.2  # of the time at most goes into latest.h5 and latest.png


@dataclass(frozen=True)
class Update:
    """Where a live scan stands.

    Attributes
    ----------
    seconds : float
        Since the start of watching.
    frames : int
        Frames in the result.
    waiting : int
        Frames read from the file that are not in the result yet.
    lag_s : float
        Age of the newest frame in the result, since it was read [s].
    summary : str
        The pipeline's own line.
    path : str
        The final result; empty until it is written.
    news : tuple of str
        What a pipeline with ``news`` has found since the last update, or takes back: a line each.
    table : str
        With the final result, further lines of a pipeline that lists what it found.
    """

    scan: str
    seconds: float
    frames: int
    waiting: int
    lag_s: float
    summary: str
    path: str = ""
    news: tuple[str, ...] = ()
    table: str = ""


def watch(
    job: Job, *, block: int = 16, poll_s: float = 0.2, patience_s: float = 30.0, every_s: float = 3.0, stop: Event | None = None
) -> Iterator[Update]:
    """Fold a pipeline over a scan while it grows.

    Parameters
    ----------
    job : Job
        The scan; its pipeline has a ``watch``.
    block : int
        Frames taken at a time. The final result does not depend on it.
    poll_s, patience_s : float
        Seconds between two looks at the file; seconds without a new frame before the end.
    every_s : float
        Least seconds between two updates of ``latest.h5`` and ``latest.png``; longer where they take long to write.
    stop : Event, optional
        Set it to finish early: what was read is written.

    Yields
    ------
    Update
        After every block, and once more when the final result, bit for bit that of a batch run over the same
        frames, is written to ``job.output``.

    Raises
    ------
    XcdiError
        If no frame came, or reading failed; what came before is written first.
    """
    pipeline = pipelines.find(job.pipeline)
    if not hasattr(pipeline, "watch"):
        raise XcdiError(f"{job.pipeline_name} cannot be fed block by block; it takes whole scans as they complete")
    chosen, text = pipelines.settings_of(job, pipeline)
    Path(job.out).mkdir(parents=True, exist_ok=True)
    begin, due = time.monotonic(), 0.0
    result: dict[str, Any] | None = None
    published: dict[str, Any] | None = None
    told: list[str] = []
    with locked(job.output), threads(job.workers):
        feed = Ahead(_blocks(job, block, poll_s, patience_s), stop or Event(), fetch=_in_memory, size=_usable_frames)
        with closing(feed):
            for result in pipeline.watch(feed, chosen, device=job.device, workers=job.workers):
                yield replace(_update(job, feed, begin, pipeline.summary(result)), news=_news(pipeline, result, told))
                if time.monotonic() >= due:
                    due, published = _next_time(publish(result, job, text), every_s), result
        if result is None:
            raise feed.error or XcdiError(f"{job.path}: no frame of scan {job.scan!r} came before the end")
        if published is not result:
            publish(result, job, text)
        save(result, job.output, origin(job, text), frames=[feed.given], complete=_whole(feed))
        table = pipeline.table(result) if hasattr(pipeline, "table") else ""
        yield replace(_update(job, feed, begin, pipeline.summary(result)), path=str(job.output), table=table)
    if feed.error is not None:
        raise feed.error


def publish(result: dict[str, Any], job: Job, text: str) -> float:
    """Bring ``latest.h5`` and ``latest.png`` up to date, each whole at any moment; return the seconds it took."""
    from xcdi.plot import report

    begin = time.monotonic()
    out = Path(job.out)
    save(result, out / "latest.h5", origin(job, text), complete=False)
    with suppress(XcdiError):  # a pipeline of your own may have nothing that we can draw
        report.picture(result, out / "latest.png")
    return time.monotonic() - begin


def _blocks(job: Job, block: int, poll_s: float, patience_s: float) -> Iterator[Any]:
    from xcdi import io

    return io.follow(job.path, job.scan, job.beamline, block=block, poll_s=poll_s, patience_s=patience_s)


def _in_memory(block: Any) -> Any:
    """The block read from disk; its dense frames stay lazy where what is stored of them is smaller."""
    if "stored" not in block:
        return block.load()
    return block.drop_vars("counts").load().assign(counts=block.counts)


def _usable_frames(block: Any) -> int:
    return int(block.frame_ok.sum())


def _whole(feed: Ahead) -> bool:
    """Whether the scan ended by itself and nothing of it is missing."""
    return feed.error is None and not feed.stop.is_set() and bool(feed.last.attrs.get("complete", False))


def _update(job: Job, feed: Ahead, begin: float, summary: str) -> Update:
    now = time.monotonic()
    return Update(job.scan, now - begin, feed.given, feed.fetched - feed.given, now - feed.fetched_at, summary)


def _news(pipeline: ModuleType, result: dict[str, Any], told: list[str]) -> tuple[str, ...]:
    """Lines that were not told before, and those that hold no longer; `told` is brought up to date."""
    now = pipeline.news(result) if hasattr(pipeline, "news") else None
    if now is None:
        return ()
    lines = [line for line in now if line not in told] + [f"taken back: {line}" for line in told if line not in now]
    told[:] = now
    return tuple(lines)


def _next_time(took_s: float, every_s: float) -> float:
    return time.monotonic() + max(every_s, took_s / SHARE)
