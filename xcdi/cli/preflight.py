"""``xcdi diagnose``: what a rocking scan says of itself, before it is phased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xcdi.cli.output import printable, shown_path
from xcdi.cli.tasks import Request, jobs_of, prepare, ready_folder
from xcdi.errors import XcdiError
from xcdi.jobs.bugs import caught
from xcdi.jobs.job import Job

__all__ = ["diagnose"]


def diagnose(request: Request, out: Path | None) -> int:
    """Read every scan, and print what was found; 1 if one cannot be phased or read, 2 if none can.

    Parameters
    ----------
    request : Request
        Its pipeline's settings give the corrections and the box.
    out : path, optional
        Folder of a picture per scan.
    """
    pipeline, chosen = prepare(request)
    if not hasattr(chosen, "box"):
        raise XcdiError(
            f"{request.pipeline} cuts no box around a peak; give the settings of bcdi_strain, or of your own pipeline with a box"
        )
    jobs = jobs_of(request, pipeline, chosen)
    if out is not None:
        ready_folder(out)
    good = []
    for job in jobs:
        with caught(job) as trouble:
            good.append(_told(job, pipeline, chosen, out))
        for line in trouble:
            good.append(False)
            print(f"{printable(job.scan)}  failed  {line}")
    return 0 if all(good) else 1 if any(good) else 2


def _told(job: Job, pipeline: Any, chosen: Any, out: Path | None) -> bool:
    """Print the findings of one scan; True if it can be phased."""
    from xcdi.jobs.one import open_inputs, threads
    from xcdi.stages import imaging, preflight

    with threads(job.workers):
        scan = open_inputs(job, pipeline, chosen)[0]
        peak = imaging.cut(scan, chosen)
        findings = preflight.diagnose(scan, peak)
    size = " × ".join(str(peak.sizes[dim]) for dim in ("frame", "y", "x"))
    stops = sum(finding.verdict == "stop" for finding in findings)
    warnings = sum(finding.verdict == "warning" for finding in findings)
    verdict = "cannot be phased" if stops else f"can be phased, {warnings} warning{'s' * (warnings != 1)}"
    print(f"{printable(job.scan)}  {verdict}, in a box of {size} of {' × '.join(map(str, scan.counts.shape))}")
    for line in preflight.told(findings):
        print(f"  {line}")
    if out is not None:
        print(f"  → {shown_path(_drawn(preflight.noted(peak, findings), out / f'{job.output.stem}_preflight.png'))}")
    return not stops


def _drawn(peak: Any, path: Path) -> Path:
    from xcdi.plot import preflight, saving

    saving.png(preflight.card(peak), path, dpi=150, bbox_inches="tight")
    return path
