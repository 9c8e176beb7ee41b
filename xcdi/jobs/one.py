"""One job: open the scan, run the pipeline, save the result whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from xcdi.jobs import bugs, pipelines
from xcdi.jobs.job import Job, Outcome
from xcdi.jobs.lock import locked, remove_parts
from xcdi.jobs.making import members
from xcdi.jobs.origin import frames_of, is_done, origin, save

__all__ = ["open_inputs", "run_job", "threads"]


def run_job(job: Job) -> Outcome:
    """Put one scan through its pipeline and save the result.

    Returns
    -------
    Outcome
        ``"skipped"`` where the same result exists, ``"failed"`` with one line where the scan, its settings or
        the machine do not allow it, or a bug does not; its traceback is kept in a file.
    """
    begin = time.perf_counter()
    with bugs.caught(job) as trouble, threads(job.workers):
        return _run(job, begin)
    return Outcome(job.scan, "failed", time.perf_counter() - begin, error=trouble[0])


def _run(job: Job, begin: float) -> Outcome:
    Path(job.out).mkdir(parents=True, exist_ok=True)
    pipeline = pipelines.find(job.pipeline)
    with locked(job.output):
        if is_done(job):
            return Outcome(job.scan, "skipped", time.perf_counter() - begin, path=str(job.output))
        remove_parts(job.output)  # of a process that was killed while it wrote
        chosen, text = pipelines.settings_of(job, pipeline)
        made_from = origin(job, text)
        inputs = open_inputs(job, pipeline, chosen)
        result = pipeline.run(*inputs, chosen, device=job.device, workers=job.workers)
        complete = all(scan.attrs.get("complete", True) for scan in inputs if hasattr(scan, "frame_ok"))
        seconds = time.perf_counter() - begin
        bugs.traceback_file(job).unlink(missing_ok=True)  # of an earlier try
        save(result, job.output, made_from, frames=frames_of(inputs), complete=complete, seconds=seconds)
    table = pipeline.table(result) if hasattr(pipeline, "table") else ""
    return Outcome(job.scan, "done", time.perf_counter() - begin, pipeline.summary(result), str(job.output), table=table)


def open_inputs(job: Job, pipeline: ModuleType, chosen: Any) -> list[Any]:
    """Open what the pipeline takes: one scan, several scans of one experiment, or a list of results.

    No frame is read: scans are lazy.
    """
    from xcdi import io
    from xcdi.beamline import load_beamline

    if pipelines.reads_results(pipeline):
        return [[_wanted(io.load(path), pipelines.parts(pipeline)) for path in job.results]]
    beamline = load_beamline(job.beamline)
    return [io.open_scan(job.path, scan, beamline, frames_per_chunk=job.chunk) for scan in members(pipeline, chosen, job.scan)]


def _wanted(result: dict[str, Any], parts: frozenset[str] | None) -> dict[str, Any]:
    """What the pipeline reads of a result; the matrices of a hundred others would not fit in memory together."""
    return result if parts is None else {name: part for name, part in result.items() if name in parts}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let dask use `count` threads of this process, and none beyond it where `count` is 1."""
    import dask

    scheduler = {"scheduler": "threads", "num_workers": count} if count > 1 else {"scheduler": "synchronous"}
    with dask.config.set(scheduler):
        yield
