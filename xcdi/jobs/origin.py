"""Where a result comes from: what is written beside it, and what tells whether it must be made again."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xcdi.jobs import pipelines
from xcdi.jobs.job import MENDABLE, Job
from xcdi.jobs.making import members

__all__ = ["frames_of", "is_done", "origin", "save"]

PARTS = re.compile(r"_data_\d+\.h5$")  # they come with their master


def origin(job: Job, text: str) -> dict[str, Any]:
    """What a result of `job` is made from and by, as of now; `text` holds all its settings."""
    from xcdi import io, settings
    from xcdi.beamline import load_beamline

    beamline = settings.to_toml(load_beamline(job.beamline)) if job.beamline else ""
    return io.provenance(
        text,
        _files(job),
        pipeline=job.pipeline,
        device=job.device,
        workers=job.workers,
        seed=tomllib.loads(text).get("seed"),
        notes={"scan": job.scan, "beamline": beamline},
    )


def save(
    result: dict[str, Any], path: Path, made_from: dict[str, Any], *, frames: Sequence[int] = (), complete: bool = True, **more: Any
) -> None:
    """Write `result` with its origin to `path`; whole or not at all.

    Parameters
    ----------
    result : dict of Dataset
        What the pipeline returned.
    path : path
        Result file.
    made_from : dict
        :func:`origin` of the job when its input was opened.
    frames : sequence of int
        Usable frames of each scan that went in.
    complete : bool
        Whether these were all the frames that will ever come.
    **more
        To keep beside these, as ``seconds``.
    """
    from xcdi import io

    io.save(result, path, provenance=made_from | {"frames": [int(n) for n in frames], "complete": complete} | more)


def is_done(job: Job) -> bool:
    """Whether the job's result exists, from the same settings, beamline and input."""
    from xcdi import io

    if job.redo or not job.output.is_file():
        return False
    wanted = origin(job, pipelines.settings_of(job, pipelines.find(job.pipeline))[1])
    try:
        found = io.provenance_of(job.output)
        same = tomllib.loads(found["settings"]) == tomllib.loads(wanted["settings"])
        same &= all(found[key] == wanted[key] for key in ("pipeline", "scan", "beamline"))
        same &= found["inputs"] == {key: [row[key] for row in wanted["inputs"]] for key in found["inputs"]}
        return same and (found["complete"] or found["frames"] == _frames_now(job))
    except (*MENDABLE, KeyError):
        return False  # not a result of ours, or not of this version: it is made anew


def frames_of(inputs: Sequence[Any]) -> list[int]:
    """Usable frames of each scan."""
    return [int(scan.frame_ok.sum()) for scan in inputs if hasattr(scan, "frame_ok")]


def _frames_now(job: Job) -> list[int]:
    """Usable frames on disk: a scan that was not complete may have grown."""
    from xcdi.jobs.one import open_inputs

    pipeline = pipelines.find(job.pipeline)
    return frames_of(open_inputs(job, pipeline, pipelines.settings_of(job, pipeline)[0]))


def _files(job: Job) -> list[Path]:
    """Result files, or the scan's file, or those of a folder that bear the name of a scan of the job."""
    path = Path(job.path)
    if job.results or path.is_file():
        return [Path(result) for result in job.results] or [path]
    pipeline = pipelines.find(job.pipeline)
    scans = members(pipeline, pipelines.settings_of(job, pipeline)[0], job.scan)
    ours = re.compile(f"(?:{'|'.join(map(re.escape, scans))})(?![0-9A-Za-z])")
    return sorted(file for file in path.iterdir() if ours.match(file.name) and not PARTS.search(file.name) and file.is_file())
