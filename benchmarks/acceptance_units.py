"""One unit of the acceptance table: simulate a case with one seed, measure it, and keep the figures as JSON."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import acceptance_direct
import acceptance_files
import acceptance_imaging
import acceptance_live_events
import acceptance_series
import acceptance_shear
import acceptance_statistics
import h5py
import numpy as np
from acceptance_cases import Case

from xcdi import artificial, jobs
from xcdi.errors import XcdiError

__all__ = ["MEASURES", "Bench", "load", "run"]

BEAMLINES = {"eiger": "demo", "stack": "demo_stack", "areadetector": "demo_areadetector"}


@dataclass(frozen=True)
class Bench:
    """The simulated files of one unit, and the way to analyse them.

    Attributes
    ----------
    case, seed : Case, int
        What it is.
    folder : Path
        Everything in it is deleted afterwards.
    """

    case: Case
    seed: int
    folder: Path

    @property
    def raw(self) -> Path:
        """Folder of the simulated files."""
        return self.folder / "raw"

    @property
    def truth(self) -> Path:
        """The truth; no analysis opens it."""
        return self.raw / "truth.h5"

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every option that the experiment was made with."""
        with h5py.File(self.truth, "r") as file:
            return json.loads(file["config"].asstr()[()])

    @property
    def beamline(self) -> str:
        """Name of the beamline that reads these files."""
        return BEAMLINES[self.config["format"]] if "format" in self.config else "demo_crystal"

    def analyse(self, pipeline: str, scan: str) -> Path:
        """Run a pipeline as `xcdi run` does, and return its result."""
        job = jobs.make_job(pipeline, self.raw, scan, beamline=self.beamline, out=self.folder / "out", settings=self.case.settings)
        outcome = jobs.run_job(job)
        if outcome.status == "failed":
            raise XcdiError(f"{pipeline} on {scan}: {outcome.error}")
        return Path(outcome.path)


def statistics(bench: Bench) -> dict[str, Any]:
    """Return the lines of one function of `acceptance_statistics`, which draws its own seeds."""
    found = getattr(acceptance_statistics, bench.case.name.removeprefix("statistics-"))()
    return {"rows": found if isinstance(found, list) else [found]}


MEASURES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    name: getattr(module, name)
    for module in (acceptance_direct, acceptance_files, acceptance_imaging, acceptance_series)
    for name in module.__all__
} | {"slips": acceptance_shear.slips, "statistics": statistics, "live_events": acceptance_live_events.live_events}


def run(case: Case, seed: int, work: Path, version: str) -> dict[str, Any]:
    """Measure one unit and write its JSON; what goes wrong is written there in one line, and stops nothing else."""
    begin = time.perf_counter()
    folder = work / "raw" / f"{case.name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Any] = {}
    errors: list[str] = []
    try:
        bench = Bench(case, seed, folder)
        folder.mkdir(parents=True)
        if case.experiment:
            artificial.simulate(case.experiment, bench.raw, profile=case.profile, seed=seed, variant=case.variant, **dict(case.options))
        for name in case.measures:
            _measure(name, bench, found, errors)
    except Exception as error:  # the table must say what failed, whatever it was
        errors.append(_line(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    unit = {"case": case.as_dict(), "seed": seed, "version": version, "seconds": time.perf_counter() - begin}
    unit |= {"errors": errors, "found": found}
    _write(place(work, case, seed), json.dumps(unit, default=_plain))
    return unit


def _measure(name: str, bench: Bench, found: dict[str, Any], errors: list[str]) -> None:
    try:
        found[name] = MEASURES[name](bench)
    except Exception as error:
        errors.append(f"{name}: {_line(error)}")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON knows them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def place(work: Path, case: Case, seed: int) -> Path:
    """Where the figures of a unit are kept."""
    return work / f"{case.name}-{seed}.json"


def load(work: Path, case: Case, seed: int) -> dict[str, Any] | None:
    """Return the unit as it was measured last, or None if it never was, or the case has changed since."""
    path = place(work, case, seed)
    if not path.is_file():
        return None
    unit = json.loads(path.read_text(encoding="utf-8"))
    return unit if unit["case"] == json.loads(json.dumps(case.as_dict())) else None


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(f".{os.getpid()}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
