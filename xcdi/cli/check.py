"""``xcdi check``: everything that would go wrong, without computing."""

from __future__ import annotations

from xcdi.cli.output import printable
from xcdi.cli.tasks import Request, jobs_of, prepare, ready_folder
from xcdi.jobs.bugs import caught
from xcdi.jobs.job import Job

__all__ = ["check"]


def check(request: Request) -> int:
    """Check pipeline, settings, beamline, and where a file is given its scans; 2 if anything is wrong."""
    from xcdi.jobs.planning import plan

    pipeline, chosen = prepare(request)
    print(f"settings  ok  {request.settings or 'defaults'}")
    if request.beamline:
        print(f"beamline  ok  {request.beamline}")
    if request.path is None:
        return 0
    ready_folder(request.out)
    jobs = jobs_of(request, pipeline, chosen)
    width = max(len("settings"), *(len(printable(job.scan)) for job in jobs))

    def looked(job: Job) -> bool:
        with caught(job) as trouble:
            print(f"{printable(job.scan):<{width}}  ok  {plan(job)}")
        for line in trouble:
            print(f"{printable(job.scan):<{width}}  wrong  {line}")
        return not trouble

    wrong = [job for job in jobs if not looked(job)]
    return 2 if wrong else 0
