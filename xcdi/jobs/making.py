"""How a job is made from what a user names: paths become absolute, scans are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from xcdi.errors import XcdiError
from xcdi.jobs import pipelines
from xcdi.jobs.job import Job

__all__ = ["experiments", "make_job", "members", "together"]


def make_job(
    pipeline: str, path: str | Path | Sequence[Path], scan: str = "", *, beamline: str = "", out: str | Path = ".", **options: Any
) -> Job:
    """Build a job that means the same in any process and folder.

    Parameters
    ----------
    pipeline, scan, beamline, out
        As in :class:`Job`.
    path : path or sequence of paths
        File or folder of the scan; the result files, for a pipeline that reads results.
    **options
        ``settings``, ``device``, ``workers``, ``chunk``, ``redo`` of :class:`Job`.

    Raises
    ------
    XcdiError
        If a pipeline would overwrite a result that it reads.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(p) for p in path]
    found = pipelines.find(pipeline)
    results = tuple(str(p.absolute()) for p in paths) if pipelines.reads_results(found) else ()
    job = Job(
        pipeline=_absolute(pipeline, ".py"),
        path=str(paths[0].absolute()),
        scan=scan or (Path(paths[0]).stem if results else ""),
        beamline=_absolute(beamline, ".toml"),
        out=str(Path(out).absolute()),
        results=results,
        **options,
    )
    if str(job.output) in results:
        raise XcdiError(f"{job.output} is both read and written by {job.pipeline_name}; choose another --out")
    return job


def members(pipeline: ModuleType, chosen: Any, scan: str) -> list[str]:
    """Names of the scans that belong to `scan`: itself, or one for each input of the pipeline."""
    return [getattr(chosen, name).format(scan=scan) for name in pipelines.inputs(pipeline)] or [scan]


def experiments(path: Path, beamline: str, pipeline: ModuleType, chosen: Any) -> list[str]:
    """Names of everything in `path` that the pipeline can take."""
    from xcdi import io

    return together(io.list_scans(path, beamline), pipeline, chosen)


def together(scans: Sequence[str], pipeline: ModuleType, chosen: Any) -> list[str]:
    """Names whose every member is in `scans`, in the order of their first member."""
    inputs = pipelines.inputs(pipeline)
    if not inputs:
        return list(scans)
    before, _, after = getattr(chosen, inputs[0]).partition("{scan}")
    names = [
        scan[len(before) : len(scan) - len(after)]
        for scan in scans
        if scan.startswith(before) and scan.endswith(after) and len(scan) > len(before) + len(after)
    ]
    return [name for name in names if set(members(pipeline, chosen, name)) <= set(scans)]


def _absolute(place: str, suffix: str) -> str:
    return str(Path(place).absolute()) if place.endswith(suffix) else place
