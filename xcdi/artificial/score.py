"""Judge: it compares the files of a result with the truth of the simulation, and shares no code with the analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py

from xcdi.artificial import score_events, score_object
from xcdi.artificial.verdict import Row, Truth
from xcdi.errors import XcdiError, suggest

__all__ = ["PARTS", "score"]

PARTS = {"object": score_object.rows, "events": score_events.rows}


def score(result_paths: Sequence[str | Path] | str | Path, truth_path: str | Path, *, parts: Iterable[str] = PARTS) -> list[Row]:
    """Compare results with the truth.

    Parameters
    ----------
    result_paths : path or sequence of paths
        HDF5 files of results; what is asked for is taken from the first that has it.
    truth_path : path
        ``truth.h5`` of the simulation.
    parts : iterable of str
        ``"object"`` (phasing, strain, grains) and ``"events"``.

    Returns
    -------
    list of dict
        One row per figure: ``name``, ``measured`` (a number or a word),
        ``bar`` (text such as ``">= 0.95"``) and ``pass``. What no result holds is ``"absent"`` and does not pass.

    Raises
    ------
    XcdiError
        If a file cannot be opened, or there is no such part.
    """
    parts = list(parts)
    for part in parts:
        if part not in PARTS:
            raise XcdiError(f"nothing called {part!r} to score{suggest(part, PARTS)}")
    paths = [result_paths] if isinstance(result_paths, (str, Path)) else result_paths
    with ExitStack() as stack:
        results = [stack.enter_context(_opened(path)) for path in paths]
        truth = Truth(stack.enter_context(_opened(truth_path)))
        lab = score_object.lab_frame(results, truth)
        return [row for part in parts for row in PARTS[part](results, truth, lab)]


def _opened(path: str | Path) -> Any:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise XcdiError(f"{path}: cannot be opened as HDF5 ({error.strerror or error}); expected a result or a truth file") from None
