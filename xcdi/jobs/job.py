"""What one job is, and where its result goes."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from xcdi.errors import XcdiError

__all__ = ["MENDABLE", "Job", "Outcome", "file_name", "one_line"]

MENDABLE = (XcdiError, OSError, MemoryError)  # what a user can do something about; everything else is a bug


@dataclass(frozen=True)
class Job:
    """One scan to put through one pipeline: names and numbers only, so that it can travel to any process.

    Attributes
    ----------
    pipeline : str
        A name in ``xcdi.pipelines``, a dotted module, or a ``.py`` file.
    path : str
        File or folder that holds the scan.
    scan : str
        Name of the scan; of the experiment, for a pipeline with several inputs.
    beamline : str
        Name of a beamline, or its TOML file.
    settings : str
        The pipeline's settings as TOML text; empty means its defaults.
    device : str
        ``"cpu"`` or ``"gpu"``.
    out : str
        Folder of the results.
    workers : int
        Threads this job may use.
    chunk : int
        Frames read at a time.
    redo : bool
        Compute even where the same result exists.
    results : tuple of str
        Result files, for a pipeline that reads results; then `path` and `scan` are not used.
    """

    pipeline: str
    path: str
    scan: str
    beamline: str = ""
    settings: str = ""
    device: str = "cpu"
    out: str = "."
    workers: int = 1
    chunk: int = 50
    redo: bool = False
    results: tuple[str, ...] = ()

    @property
    def pipeline_name(self) -> str:
        """Last part of the pipeline's name, or the stem of its file."""
        return Path(self.pipeline).stem if self.pipeline.endswith(".py") else self.pipeline.rpartition(".")[2]

    @property
    def output(self) -> Path:
        """Where the result goes: ``out/scan_pipeline.h5``, or ``out/pipeline.h5`` for a pipeline that reads results.

        Examples
        --------
        >>> Job("bcdi_strain", "night.h5", "S012", out="out").output.as_posix()
        'out/S012_bcdi_strain.h5'
        """
        scan = "" if self.results else f"{file_name(self.scan)}_"
        return Path(self.out) / f"{scan}{self.pipeline_name}.h5"


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``"done"``, ``"skipped"`` or ``"failed"``; then `error` says why in one line.

    `table` holds further lines of a pipeline that lists what it found.
    """

    scan: str
    status: str
    seconds: float
    summary: str = ""
    path: str = ""
    error: str = ""
    table: str = ""


def file_name(scan: str) -> str:
    r"""Return a name for files of `scan` that stays in its folder and on one line.

    A name that had to be changed carries a checksum, so that two scans never share a file.

    Examples
    --------
    >>> file_name("S012")
    'S012'
    >>> file_name("../night/1.1")
    'night_1.1-9aa95329'
    """
    clean = re.sub(r"[^\w.+-]+", "_", scan).strip("._")[:120] or "scan"
    return clean if clean == scan else f"{clean}-{zlib.crc32(scan.encode(errors='surrogatepass')):08x}"


def one_line(error: BaseException) -> str:
    """Say what `error` says on one line; a system error leads with its file.

    Examples
    --------
    >>> one_line(FileNotFoundError(2, "No such file or directory", "night.h5"))
    'night.h5: no such file or directory'
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    text = " ".join(text.split()) or type(error).__name__
    return f"not enough memory: {text}" if isinstance(error, MemoryError) else text
