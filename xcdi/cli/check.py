"""``xcdi check``: everything that would go wrong, without computing."""

from __future__ import annotations

from collections.abc import Callable

from xcdi.cli.output import printable
from xcdi.cli.tasks import Request, jobs_of, prepare, ready_folder
from xcdi.jobs.job import MENDABLE, one_line

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

    def looked(scan: str, look: Callable[[], str]) -> bool:
        try:
            print(f"{printable(scan):<{width}}  ok  {look()}")
        except MENDABLE as error:
            print(f"{printable(scan):<{width}}  wrong  {one_line(error)}")
            return False
        return True

    good = [looked(job.scan, lambda job=job: plan(job)) for job in jobs]  # type: ignore[misc]
    return 0 if all(good) else 2
