"""Judge: it compares the files of a result with the truth of the simulation, and shares no code with the analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from xcdi.artificial import (
    score_attribution,
    score_catalogue,
    score_events,
    score_files,
    score_geometry,
    score_grains,
    score_phasing,
    score_speckle,
    score_strain,
)
from xcdi.artificial.compared import Compared
from xcdi.artificial.pooling import raw_material
from xcdi.artificial.score_origin import foreign
from xcdi.artificial.verdict import Row, Skipped, Truth
from xcdi.errors import XcdiError, suggest

__all__ = ["PARTS", "Verdict", "evidence", "judge", "score"]

Paths = Sequence[str | Path] | str | Path
PARTS: dict[str, Callable[[Compared], Iterable[Row | Skipped]]] = {
    "ingest": score_files.rows,
    "geometry": score_geometry.rows,
    "phasing": score_phasing.rows,
    "strain": score_strain.rows,
    "grains": score_grains.rows,
    "events": score_events.rows,
    "attribution": score_attribution.rows,
}
SUITES = {"speckle": score_speckle.rows, "catalogue": score_catalogue.rows}  # without a particle
RESULT_GROUPS = ("entry", "entry_1")


class Verdict(NamedTuple):
    """Rows of what is judged, and what is not and why."""

    rows: list[Row]
    skipped: list[Skipped]


def score(result_paths: Paths, truth_path: str | Path, *, parts: Iterable[str] = PARTS) -> list[Row]:
    """Compare results with the truth; the rows of :func:`judge` alone."""
    return judge(result_paths, truth_path, parts=parts).rows


def judge(result_paths: Paths, truth_path: str | Path, *, parts: Iterable[str] = PARTS) -> Verdict:
    """Compare results with the truth.

    Parameters
    ----------
    result_paths : path or sequence of paths
        HDF5 files of results; what is asked for is taken from the first that has it.
    truth_path : path
        ``truth.h5`` of the simulation; its variant decides what is asked, and the bars.
    parts : iterable of str
        Names in `PARTS`, for experiments with a particle.

    Returns
    -------
    Verdict
        One row per figure: ``stage``, ``name``, ``measured`` (a number or a word),
        ``bar`` (text such as ``">= 0.95"``) and ``pass``. What a pipeline that was run should have given and did not
        is ``"absent"`` and does not pass; what no given result is about is skipped.

    Raises
    ------
    XcdiError
        If a file cannot be opened, is no result or no truth, or there is no such part.
    """
    parts = list(parts)
    for part in parts:
        if part not in PARTS:
            raise XcdiError(f"nothing called {part!r} to score{suggest(part, PARTS)}")
    with _compared(result_paths, truth_path) as seen:
        judged = list(_judged(seen, parts))
    return Verdict([one for one in judged if not isinstance(one, Skipped)], [one for one in judged if isinstance(one, Skipped)])


def evidence(result_paths: Paths, truth_path: str | Path) -> dict[str, Any]:
    """Return what a benchmark pools over many runs, as plain numbers and lists: see :func:`xcdi.artificial.pooling.raw_material`."""
    with _compared(result_paths, truth_path) as seen:
        return raw_material(seen)


def _judged(seen: Compared, parts: list[str]) -> Iterator[Row | Skipped]:
    if seen.tensors:
        yield Skipped("strain tensor", "no tensor component is compared")
    suite = seen.truth.config.get("suite", "particle")
    if suite in SUITES:
        yield from SUITES[suite](seen.results, seen.truth)
        return
    for part in parts:
        yield from PARTS[part](seen)


@contextmanager
def _compared(result_paths: Paths, truth_path: str | Path) -> Iterator[Compared]:
    paths = [result_paths] if isinstance(result_paths, (str, Path)) else result_paths
    with ExitStack() as stack:
        results = [stack.enter_context(_opened(path)) for path in paths]
        for path, file in zip(paths, results, strict=True):
            if not any(group in file for group in RESULT_GROUPS):
                raise XcdiError(f"{path}: holds neither of {' and '.join(RESULT_GROUPS)}; expected a result of 'xcdi run'")
        truth = stack.enter_context(_opened(truth_path))
        if "config" not in truth or "seed" not in truth:
            raise XcdiError(f"{truth_path}: holds no config and seed; expected the truth.h5 that 'xcdi simulate' wrote")
        known = Truth(truth)
        for path, file in zip(paths, results, strict=True):
            differs = foreign(file, known)
            if differs:
                raise XcdiError(
                    f"{truth_path}: this truth is of another experiment than {path}: {differs}; give the one beside its raw files"
                )
        yield Compared(results, known)


def _opened(path: str | Path) -> Any:
    what = "expected a result or the truth.h5 of a simulation"
    if not Path(path).is_file():
        raise XcdiError(f"{path}: {'is a folder' if Path(path).is_dir() else 'no such file'}; {what}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise XcdiError(f"{path}: cannot be opened as HDF5 ({error}); {what}") from None
