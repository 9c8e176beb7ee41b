"""From the words of the command line to jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import create_model

from xcdi import settings as settings_files
from xcdi.cli.output import usable_cores
from xcdi.errors import XcdiError
from xcdi.jobs import pipelines
from xcdi.jobs.job import Job
from xcdi.jobs.making import experiments, make_job
from xcdi.settings import Model

__all__ = ["Request", "Then", "chosen_settings", "jobs_of", "live_job", "prepare", "prepare_then", "ready_folder"]


@dataclass(frozen=True)
class Request:
    """What was asked for, as it was written."""

    pipeline: str
    path: Path | None
    scans: list[str]
    beamline: str
    settings: Path | None
    assignments: list[str]
    device: str
    out: Path
    workers: int | None
    chunk: int
    redo: bool = False
    then: str = ""

    @property
    def threads(self) -> int:
        """Workers asked for; every core this process may use, or one for a GPU, where none were."""
        return self.workers or (1 if self.device == "gpu" else usable_cores())


@dataclass(frozen=True)
class Then:
    """What reads the results of all scans when these are done: a pipeline and its settings as TOML text."""

    pipeline: str
    name: str
    settings: str


def prepare(request: Request) -> tuple[ModuleType, Any]:
    """Limit threads, then import the pipeline and build its settings: all that can fail before a file is opened."""
    from xcdi.jobs.setup import use_threads

    use_threads(request.threads)
    pipeline = pipelines.find(request.pipeline)
    chosen = chosen_settings(request, pipeline)
    if not pipelines.reads_results(pipeline):
        _known_beamline(request)
    if request.device == "gpu":
        from xcdi.backend import gpu_library

        gpu_library()
    return pipeline, chosen


def chosen_settings(request: Request, pipeline: ModuleType) -> Any:
    """The pipeline's settings: defaults, then the file, then every ``--set``; without those of a second pipeline."""
    if not request.then:
        return _filled(request, pipeline.Settings)
    values = _with_second(request, pipeline)[0].model_dump(mode="json")
    values.pop(_name_of(request.then))
    return settings_files.from_mapping(pipeline.Settings, values)


def prepare_then(request: Request) -> Then | None:
    """The second pipeline of a run, with its settings: the table, and every ``--set``, that begins with its name.

    Raises
    ------
    XcdiError
        If it does not read results, or the first pipeline takes none but them.
    """
    if not request.then:
        return None
    both, name = _with_second(request, pipelines.find(request.pipeline))
    return Then(request.then, name, settings_files.to_toml(getattr(both, name)))


def _with_second(request: Request, pipeline: ModuleType) -> tuple[Any, str]:
    """Settings of both pipelines, filled: those of the second are a table of its name."""
    second, name = pipelines.find(request.then), _name_of(request.then)
    if not pipelines.reads_results(second):
        readers = ", ".join(each for each in pipelines.names() if pipelines.reads_results(pipelines.find(each)))
        raise XcdiError(f"--then {request.then}: takes scans, expected a pipeline that reads results: {readers}, or your own")
    if pipelines.reads_results(pipeline):
        raise XcdiError(f"--then {request.then}: {request.pipeline} takes results itself; run {request.then} on its result by hand")
    if name in pipeline.Settings.model_fields:
        raise XcdiError(f"--then {request.then}: {request.pipeline} has a setting of that name; give the file of one another name")
    table: dict[str, Any] = {name: (second.Settings, second.Settings())}
    kind: type[Model] = create_model("Both", __base__=pipeline.Settings, **table)
    return _filled(request, kind), name


def _filled(request: Request, kind: Any) -> Any:
    chosen = settings_files.read(kind, request.settings) if request.settings else kind()
    return settings_files.override(chosen, *request.assignments)


def _name_of(place: str) -> str:
    """Last part of a pipeline's name, or the stem of its file."""
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def jobs_of(request: Request, pipeline: ModuleType, chosen: Any) -> list[Job]:
    """One job per scan that was named, or per scan that is there.

    Raises
    ------
    XcdiError
        If there is no scan at all, or one is named twice.
    """
    assert request.path is not None
    common: dict[str, Any] = {
        "settings": settings_files.to_toml(chosen),
        "device": request.device,
        "out": request.out,
        "redo": request.redo,
    }
    if pipelines.reads_results(pipeline):
        return [make_job(request.pipeline, _results(request), workers=request.threads, **common)]
    scans = request.scans or experiments(request.path, request.beamline, pipeline, chosen)
    if not scans:
        raise XcdiError(f"{request.path}: no scan for {request.pipeline} here, by beamline {request.beamline!r}{_instead(request)}")
    twice = sorted({scan for scan in scans if scans.count(scan) > 1})
    if twice:
        raise XcdiError(f"scan {twice[0]!r} is named twice; name each once")
    return [make_job(request.pipeline, request.path, scan, beamline=request.beamline, chunk=request.chunk, **common) for scan in scans]


def _instead(request: Request) -> str:
    """What the files are, where they are no scans of this beamline."""
    from xcdi.beamline import load_beamline
    from xcdi.io.hints import hint

    assert request.path is not None
    return hint(request.path, load_beamline(request.beamline))


def _results(request: Request) -> list[Path]:
    """Result files that were named; a folder holds too much to guess which of its results belong together."""
    assert request.path is not None
    paths = [request.path, *map(Path, request.scans)]
    folder = next((path for path in paths if path.is_dir()), None)
    if folder is not None:
        raise XcdiError(f"{folder}: is a folder; name the results that {request.pipeline} shall take, as {folder}/*.h5 of one pipeline")
    return paths


def live_job(request: Request, pipeline: ModuleType, chosen: Any) -> Job:
    """The job of a scan that may not be there yet."""
    if pipelines.reads_results(pipeline):
        raise XcdiError(f"{request.pipeline} reads results, not scans; use 'xcdi run {request.pipeline} RESULT...'")
    assert request.path is not None
    return make_job(
        request.pipeline,
        request.path,
        request.scans[0] if request.scans else "",
        beamline=request.beamline,
        settings=settings_files.to_toml(chosen),
        device=request.device,
        out=request.out,
        workers=request.threads,
        chunk=request.chunk,
        redo=request.redo,
    )


def ready_folder(out: Path) -> None:
    """Make the folder of the results, or say why it cannot be."""
    blocker = next((place for place in [out, *out.parents] if place.exists()), None)
    if blocker is not None and not blocker.is_dir():
        raise XcdiError(f"{blocker}: is a file, expected a folder to write into; choose another")
    out.mkdir(parents=True, exist_ok=True)


def _known_beamline(request: Request) -> None:
    from xcdi.beamline import beamline_names, load_beamline

    if not request.beamline:
        raise XcdiError(f"{request.pipeline} needs --beamline; there is {', '.join(beamline_names()) or 'none yet'}, or your own file.toml")
    load_beamline(request.beamline)
