"""What follows the scans: a pipeline that reads the results of all of them, those of now and those of before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xcdi.cli.output import printable, result_line, shown_path
from xcdi.cli.tasks import Request, Then
from xcdi.jobs.job import Job, Outcome
from xcdi.jobs.making import make_job

__all__ = ["announced", "planned", "pool", "pooled_job"]

LABEL = "together"


def pooled_job(request: Request, then: Then, results: Sequence[str | Path]) -> Job:
    """The job that reads `results`; it is the same as that of ``xcdi run PIPELINE RESULT...`` by hand."""
    paths = [Path(path) for path in results]
    common: dict[str, Any] = {"settings": then.settings, "device": request.device, "redo": request.redo}
    return make_job(then.pipeline, paths, workers=request.threads, out=request.out, **common)


def pool(request: Request, then: Then, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Run the second pipeline on the results that there are, in the order of the scans, and say which are not among them.

    Returns
    -------
    list of Outcome
        Its own; or nothing where no scan left a result, which is said in one line.
    """
    from xcdi.jobs.many import run_many

    failed = [outcome.scan for outcome in outcomes if outcome.status == "failed"]
    there = [job for job in jobs if job.scan not in failed]
    if not there:
        print(f"{then.name}: no result to read, as every scan failed; mend them and give the same command again", flush=True)
        return []
    print(f"{announced(then, len(there))}{_without(failed)}, {request.device}", flush=True)
    done = [replace(outcome, scan=LABEL) for outcome in run_many([pooled_job(request, then, [job.output for job in there])])]
    for outcome in done:
        print(result_line(outcome, len(LABEL)), flush=True)
    return done


def announced(then: Then, count: int) -> str:
    """The second pipeline, and on how much.

    Examples
    --------
    >>> announced(Then("avalanche_statistics", "avalanche_statistics", ""), 2)
    'avalanche_statistics on 2 results'
    """
    return f"{then.name} on {count} result{'s' * (count != 1)}"


def planned(request: Request, then: Then, jobs: Sequence[Job], cannot: Sequence[str]) -> str:
    """Say what would be pooled into which file, or that it is there already."""
    from xcdi.jobs.origin import is_done

    left = [job for job in jobs if job.scan not in cannot]
    if not left:
        return f"then {then.name}: no result to read"
    job = pooled_job(request, then, [one.output for one in left])
    known = all(is_done(one) for one in left) and is_done(job)
    return f"then {announced(then, len(left))}{_without(cannot)}{', there already' * known}  → {shown_path(job.output)}"


def _without(scans: Sequence[str]) -> str:
    return f", without {', '.join(map(printable, scans))}" if scans else ""
