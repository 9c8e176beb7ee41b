"""What stands in an HDF5 file, without following links out of it; only single values are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["contents"]

LINES = 500  # a file with a million groups is not a file to print
DEPTH = 12
LONGEST = 80  # of a value that is shown


def contents(file: Path) -> Iterator[str]:
    """Yield one line per group and dataset: name, shape and type or the single value, units.

    Raises
    ------
    XcdiError
        If it is absent, cut short, or no HDF5 file.
    """
    from xcdi.io.vetting import open_file

    with open_file(file) as handle:
        for number, line in enumerate(_walk(handle, 0)):
            if number == LINES:
                yield f"... and more; the first {LINES} lines are shown"
                return
            yield line


def _walk(group: Any, depth: int) -> Iterator[str]:
    import h5py

    for name in group:
        indent = "  " * depth
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield f"{indent}{name} → {link.filename}:{link.path}"
        elif isinstance(link, h5py.SoftLink):
            yield f"{indent}{name} → {link.path}"
        elif isinstance(group[name], h5py.Dataset):
            yield f"{indent}{name}  {_dataset(group[name])}"
        else:
            yield f"{indent}{name}/"
            if depth < DEPTH:
                yield from _walk(group[name], depth + 1)


def _dataset(dataset: Any) -> str:
    """Shape and type of an array; a single value itself."""
    units = dataset.attrs.get("units", "")
    text = units.decode(errors="replace") if isinstance(units, bytes) else units
    unit = f"  [{text}]" if isinstance(text, str) and text else ""
    words = _is_text(dataset)
    if dataset.shape == ():
        value = dataset.asstr()[()] if words else dataset[()]
        return f"= {' '.join(str(value).split())[:LONGEST]}{unit}"
    shape = " × ".join(map(str, dataset.shape or ("nothing",)))
    return f"{shape} {'text' if words else dataset.dtype}{unit}"


def _is_text(dataset: Any) -> bool:
    """Whether the dataset holds text."""
    import h5py

    return h5py.check_string_dtype(dataset.dtype) is not None
