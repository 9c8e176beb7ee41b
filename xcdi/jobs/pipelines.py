"""How a pipeline is found by its name; nothing in xcdi imports one."""

from __future__ import annotations

import ast
import tomllib
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from xcdi import settings
from xcdi.errors import SettingsError, XcdiError, suggest
from xcdi.jobs.job import Job
from xcdi.resolve import load_module

__all__ = ["find", "first_line", "inputs", "names", "parts", "reads_results", "settings_of"]


def names() -> dict[str, Path]:
    """Name and file of every pipeline that comes with xcdi."""
    home = Path(str(files("xcdi.pipelines")))
    return {path.stem: path for path in sorted(home.glob("*.py")) if not path.stem.startswith("_")}


def find(place: str) -> ModuleType:
    """Import the pipeline `place`: a name, a dotted module, or a ``.py`` file.

    Raises
    ------
    XcdiError
        If there is none, or it has no ``Settings`` and ``run``.
    """
    if not place.endswith(".py") and "." not in place:
        if place not in names():
            raise XcdiError(f"no pipeline {place!r}{suggest(place, names())}")
        place = f"xcdi.pipelines.{place}"
    module = load_module(place)
    missing = [name for name in ("Settings", "run", "summary") if not hasattr(module, name)]
    if missing:
        raise XcdiError(f"{place} has no {' and no '.join(missing)}; a pipeline has Settings, run and summary")
    return module


def settings_of(job: Job, pipeline: ModuleType) -> tuple[Any, str]:
    """Build the job's settings, and write all of them, defaults too, as TOML text."""
    try:
        values = tomllib.loads(job.settings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings: not TOML: {error}") from None
    chosen = settings.from_mapping(pipeline.Settings, values)
    return chosen, settings.to_toml(chosen)


def inputs(pipeline: ModuleType) -> tuple[str, ...]:
    """Names of the scans that a pipeline takes together, or nothing where it takes one."""
    return tuple(getattr(pipeline, "INPUTS", ()))


def reads_results(pipeline: ModuleType) -> bool:
    """Whether the pipeline takes result files instead of scans."""
    return getattr(pipeline, "READS", "scans") == "results"


def parts(pipeline: ModuleType) -> frozenset[str] | None:
    """Names of the parts of each result that a pipeline reads, by its ``PARTS``; None: all of them."""
    return frozenset(pipeline.PARTS) if hasattr(pipeline, "PARTS") else None


def first_line(file: Path) -> str:
    """First line of a Python file's docstring, without running the file."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
