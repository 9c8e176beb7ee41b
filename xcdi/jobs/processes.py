"""Worker processes that run one job at a time and may die without taking the others along."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from xcdi.jobs.job import Job, Outcome
from xcdi.jobs.setup import plain_warnings, use_threads

__all__ = ["run_in_processes"]

PATIENCE_S = 2.0  # for a process that was asked to stop


class Worker(NamedTuple):
    """A worker process and our end of the pipe to it."""

    process: BaseProcess
    pipe: Connection


def run_in_processes(jobs: Sequence[Job], count: int) -> Iterator[Outcome]:
    """Run `jobs` in `count` processes and yield each outcome as it comes.

    A process that dies (a crash in a library, the system's out-of-memory killer) fails its own scan; another
    takes its place. When the caller stops iterating, the processes are stopped too.
    """
    waiting = deque(jobs)
    workers = [_start(jobs[0].workers) for _ in range(count)]
    busy: dict[Connection, Job] = {}
    try:
        for worker in workers:
            _give(worker, waiting, busy)
        while busy:
            for pipe in [pipe for pipe in wait(list(busy)) if isinstance(pipe, Connection)]:
                job = busy.pop(pipe)
                place = next(i for i, worker in enumerate(workers) if worker.pipe is pipe)
                outcome = _answer(workers[place])
                if outcome is None:
                    outcome = Outcome(job.scan, "failed", 0.0, error=_why_it_died(workers[place].process))
                    if waiting:
                        workers[place] = _start(job.workers)
                if waiting:
                    _give(workers[place], waiting, busy)
                yield outcome
    finally:
        _stop(workers)


def _start(threads: int) -> Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads), daemon=True)
    process.start()
    theirs.close()  # so that its death closes the pipe
    return Worker(process, ours)


def _work(pipe: Connection, threads: int) -> None:
    """Life of a worker process: jobs in, outcomes out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    use_threads(threads)
    from xcdi.jobs.one import run_job

    with plain_warnings():
        while True:
            try:
                pipe.send(run_job(pipe.recv()))
            except (EOFError, BrokenPipeError):  # the parent has gone; what was done is written
                return


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # through every 'finally', so that no half-written file stays


def _give(worker: Worker, waiting: deque[Job], busy: dict[Connection, Job]) -> None:
    job = waiting.popleft()
    busy[worker.pipe] = job
    try:
        worker.pipe.send(job)
    except BrokenPipeError:
        return  # it died before it began: reading from it says so


def _answer(worker: Worker) -> Outcome | None:
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        return None


def _why_it_died(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name
        cause = "; the system may have run out of memory: try fewer --workers" if name == "SIGKILL" else ""
        return f"its worker process was killed by {name}{cause}"
    return f"its worker process ended with status {code}: a bug, its traceback is above"


def _stop(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE_S)
        worker.pipe.close()
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
