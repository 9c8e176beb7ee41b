"""Saving: every file is written aside and then renamed, so it is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from xcdi.plot import style

__all__ = ["aside", "png"]


def png(made: Figure, path: Path, *, dpi: float, **options: Any) -> None:
    """Write a figure as PNG; `options` are those of matplotlib's ``savefig``."""
    with style.paper():
        aside(path, lambda part: made.savefig(part, format="png", dpi=dpi, **options))


def aside(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside `path`, and give it that name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
