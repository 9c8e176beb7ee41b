"""``xcdi run``: scans through a pipeline, and what would be done."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from xcdi.cli.output import printable, result_line, shown_path, tally, telling
from xcdi.cli.tasks import Request, Then, jobs_of, prepare, prepare_then, ready_folder
from xcdi.cli.then import planned, pool, pooled_job
from xcdi.errors import XcdiError
from xcdi.jobs.bugs import caught
from xcdi.jobs.job import Job, Outcome

__all__ = ["dry_run", "exit_status", "run"]


def run(request: Request, scheduler: str | None = None) -> int:
    """Run every scan that was asked for, then what reads their results; finished results stay, whatever stops us."""
    pipeline, chosen = prepare(request)
    then = prepare_then(request)
    jobs = jobs_of(request, pipeline, chosen)
    if then is not None:
        pooled_job(request, then, [job.output for job in jobs])  # what cannot be is said before anything is done
    ready_folder(request.out)
    from xcdi.jobs.many import run_many

    print(_headline(request, jobs, then), flush=True)
    width = max(len(printable(job.scan)) for job in jobs)
    outcomes: list[Outcome] = []
    try:
        with (
            telling(len(jobs), jobs[0].pipeline_name) as tell,
            closing(run_many(jobs, workers=request.threads, scheduler=scheduler)) as running,
        ):
            for outcome in running:
                outcomes.append(outcome)
                tell(result_line(outcome, width))
        print(tally(outcomes, len(jobs)), flush=True)
        pooled = pool(request, then, jobs, outcomes) if then is not None else []
    except (KeyboardInterrupt, SystemExit):
        print(f"stopped: {tally(outcomes, len(jobs))}; what is done is written, the same command goes on from here", flush=True)
        raise
    return exit_status([*outcomes, *pooled])


def exit_status(outcomes: list[Outcome]) -> int:
    """0 all well, 1 some failed, 2 nothing succeeded.

    Examples
    --------
    >>> exit_status([Outcome("S1", "done", 1.0), Outcome("S2", "failed", 1.0)])
    1
    >>> exit_status([Outcome("S2", "failed", 1.0)])
    2
    """
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if not failed:
        return 0
    return 2 if failed == len(outcomes) else 1


def dry_run(request: Request) -> int:
    """Say what `run` would do, and what memory it needs at least; reads no frame."""
    from xcdi.jobs.origin import is_done
    from xcdi.jobs.planning import plan

    pipeline, chosen = prepare(request)
    then = prepare_then(request)
    jobs = jobs_of(request, pipeline, chosen)
    print(f"{_headline(request, jobs, then)}; nothing is run")
    width = max(len(printable(job.scan)) for job in jobs)
    failed: list[str] = []
    for job in jobs:
        start = f"  {printable(job.scan):<{width}}  "
        with caught(job) as trouble:
            todo = "there already" if is_done(job) else plan(replace(job, workers=request.threads))
            print(f"{start}{todo}  → {shown_path(job.output)}")
        for line in trouble:
            failed.append(job.scan)
            print(f"{start}cannot run  {line}")
    print(f"{len(jobs) - len(failed)} could run, {len(failed)} could not")
    if then is not None:
        print(planned(request, then, jobs, failed))
    return 0 if not failed else 2 if len(failed) == len(jobs) else 1


def _headline(request: Request, jobs: list[Job], then: Then | None = None) -> str:
    if not jobs:
        raise XcdiError(f"{request.path}: nothing to run")
    name = jobs[0].pipeline_name
    if jobs[0].results:
        return f"{name} on {len(jobs[0].results)} result{'s' * (len(jobs[0].results) > 1)}, {request.device}"
    scans = f"{len(jobs)} scan{'s' * (len(jobs) > 1)}"
    where = request.path.name if request.path else ""
    after = f", then {then.name}" if then is not None else ""
    return f"{name}{after} on {scans} of {where or request.path}, beamline {request.beamline}, {request.device}"
