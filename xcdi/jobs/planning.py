"""What a job would do and need, said before it is done."""

from __future__ import annotations

from typing import Any

from xcdi.jobs import pipelines
from xcdi.jobs.job import Job
from xcdi.jobs.one import open_inputs

__all__ = ["block_bytes", "describe", "plan"]

FLOAT = 4  # bytes of a corrected count
BLOCKS_HELD = 2  # per thread: as stored, and on the way to float


def plan(job: Job) -> str:
    """Say on one line what the job would read and the memory its blocks of frames take; reads no frame.

    Raises
    ------
    XcdiError
        If an input cannot be opened, or the pipeline's own ``ready(*inputs, settings)``, where it has one, refuses what it can
        tell without frames.
    """
    pipeline = pipelines.find(job.pipeline)
    chosen = pipelines.settings_of(job, pipeline)[0]
    scans = open_inputs(job, pipeline, chosen)
    if hasattr(pipeline, "ready"):
        pipeline.ready(*scans, chosen)
    if pipelines.reads_results(pipeline):
        return f"{len(job.results)} result{'s' * (len(job.results) != 1)}"
    need = max(block_bytes(scan, job) for scan in scans)
    return f"{' and '.join(map(describe, scans))}, at least {_size(need)} for {job.workers} × {job.chunk} frames"


def describe(scan: Any) -> str:
    """Frames, size and type of a scan, and how many frames are missing."""
    frames, rows, columns = scan.counts.shape
    expected = scan.attrs.get("frames_expected", frames)
    missing = f" of {expected}" if expected != frames else ""
    bad = int((~scan.frame_ok).sum()) if "frame_ok" in scan else 0
    gaps = f" ({bad} not readable)" if bad else ""
    return f"{frames}{missing} frames{gaps} of {rows} × {columns} {scan.counts.dtype}"


def block_bytes(scan: Any, job: Job) -> int:
    """Least memory that the blocks of frames in work take, all threads together."""
    frames, rows, columns = scan.counts.shape
    pixel = scan.counts.dtype.itemsize + BLOCKS_HELD * FLOAT
    return min(frames, job.chunk) * rows * columns * pixel * job.workers


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
