"""What is said of an error that nobody foresaw: one line, and its traceback in a file."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xcdi.jobs.job import MENDABLE, Job, one_line

__all__ = ["caught", "traceback_file", "why"]


@contextmanager
def caught(job: Job) -> Iterator[list[str]]:
    """Keep to this scan whatever goes wrong with it; the list then holds the line that says what.

    Examples
    --------
    >>> with caught(Job("bcdi_strain", "night.h5", "S012")) as trouble:
    ...     open("night.h5")
    >>> trouble
    ['night.h5: no such file or directory']
    """
    trouble: list[str] = []
    try:
        yield trouble
    except Exception as error:
        trouble.append(why(error, job))


def why(error: Exception, job: Job) -> str:
    """Say on one line why `job` failed; the traceback of a bug is written beside its results.

    Examples
    --------
    >>> why(FileNotFoundError(2, "No such file or directory", "night.h5"), Job("bcdi_strain", "night.h5", "S012"))
    'night.h5: no such file or directory'
    """
    if isinstance(error, MENDABLE):
        return one_line(error)
    path = traceback_file(job)
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        mend = f"report it with its traceback, {path}"
    except OSError as full:
        mend = f"report it; its traceback could not be written ({one_line(full)})"
    whose = f"xcdi or {job.pipeline_name}.py" if job.pipeline.endswith(".py") else "xcdi"
    return f"bug in {whose}: {type(error).__name__}: {one_line(error)}; {mend}"


def traceback_file(job: Job) -> Path:
    """Where the traceback of a bug goes: beside the result, or where there is no such folder, among the temporary files."""
    folder = Path(job.out) if Path(job.out).is_dir() else Path(tempfile.gettempdir())
    return folder / f"{job.output.stem}_traceback.txt"
