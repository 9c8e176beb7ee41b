"""Many jobs: one after the other, in worker processes, or on a dask cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from queue import Empty, Queue
from typing import Any

from xcdi.errors import XcdiError
from xcdi.jobs import processes
from xcdi.jobs.job import Job, Outcome, one_line
from xcdi.jobs.lock import tidy
from xcdi.jobs.one import run_job
from xcdi.jobs.origin import is_done

__all__ = ["run_many"]

LOOK_S = 5.0  # between two looks at whether the cluster still has workers


def run_many(jobs: Sequence[Job], *, workers: int = 1, scheduler: str | None = None) -> Generator[Outcome, None, None]:
    """Run every job and yield what became of it, as soon as it is known.

    One level at a time: several jobs share `workers` processes and each stays on its own threads; a single
    job gets `workers` threads. The bits of the results do not depend on it.

    Parameters
    ----------
    jobs : sequence of Job
    workers : int
        Processes for several jobs, threads for one.
    scheduler : str, optional
        ``"tcp://host:port"`` of a dask scheduler that runs the jobs instead.

    Raises
    ------
    XcdiError
        If the scheduler does not answer, or its workers do not have the same xcdi.
    """
    missing = []
    for job in jobs:
        if is_done(job):
            tidy(job.output, whole=True)
            yield Outcome(job.scan, "skipped", 0.0, path=str(job.output))
        else:
            missing.append(job)
    if not missing:
        return
    count = min(workers, len(missing))
    shared = [replace(job, workers=max(1, workers // count)) for job in missing]
    if scheduler:
        yield from _on_cluster(shared, scheduler)
        return
    try:
        yield from processes.run_in_processes(shared, count) if count > 1 else map(run_job, shared)
    finally:
        for job in shared:
            tidy(job.output)


def _on_cluster(jobs: Sequence[Job], scheduler: str) -> Iterator[Outcome]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise XcdiError(f"no dask scheduler answers at {scheduler!r}: {one_line(error)}") from None
    with client:
        _same_version(client, scheduler)
        futures = {client.submit(_run_on_worker, job, retries=0, pure=False): job for job in jobs}
        try:
            for future in _as_they_end(client, futures, scheduler):
                yield _outcome(future, futures[future])
        finally:
            client.cancel(list(futures))


def _as_they_end(client: Any, futures: Iterable[Any], scheduler: str) -> Iterator[Any]:
    """Yield each future when it has ended; complain when nobody is left to work on the others."""
    ended: Queue[Any] = Queue()
    pending = len(list(futures))
    for future in futures:
        future.add_done_callback(ended.put)
    while pending:
        try:
            yield ended.get(timeout=LOOK_S)
            pending -= 1
        except Empty:
            if not client.scheduler_info(n_workers=-1)["workers"]:
                raise XcdiError(f"the dask scheduler at {scheduler!r} lost all its workers; the same command goes on from here") from None


def _run_on_worker(job: Job) -> Outcome:
    """Run a job on a cluster's worker, whose jobs may share a process: dask stays out of each."""
    import dask

    if job.workers == 1:
        dask.config.set(scheduler="synchronous")  # for good: threads that restore it in turn would undo each other
    return run_job(job)


def _outcome(future: Any, job: Job) -> Outcome:
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except (KilledWorker, CancelledError):
        return Outcome(job.scan, "failed", 0.0, error="every dask worker that tried it died; their logs say why")


def _same_version(client: Any, scheduler: str) -> None:
    """Refuse a cluster whose workers would compute something else."""
    from xcdi import __version__

    found = client.run(_version)
    if not found:
        raise XcdiError(f"the dask scheduler at {scheduler!r} has no workers; start some with 'dask worker {scheduler}'")
    other = sorted({version for version in found.values() if version != __version__})
    if other:
        raise XcdiError(f"the workers of {scheduler!r} run xcdi {', '.join(other)}, expected {__version__}; install the same everywhere")


def _version() -> str:
    from importlib.util import find_spec

    if find_spec("xcdi") is None:
        return "none"
    from xcdi import __version__

    return __version__
