"""FIO files of DESY's beamlines: parameters at the start of a scan, and its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.errors import XcdiError

__all__ = ["Fio", "read_fio"]

COLUMN = re.compile(r"Col\s+(\d+)\s+(\S+)\s+\S+")
PARAMETER = re.compile(r"([^=\s]+)\s*=\s*(\S+)")


class Fio(NamedTuple):
    """One scan: values per point, and one value each of what stood still. Words are left out."""

    columns: dict[str, Array]
    motors: dict[str, float]


def read_fio(path: Path) -> Fio:
    """Read the sections ``%p`` (name = value) and ``%d`` (columns and rows) of a FIO file; a column that holds a word is left out.

    Raises
    ------
    XcdiError
        If there is no such file, or a row has another number of values than there are columns.

    Notes
    -----
    Source: the layout as online (spock, spectra) of DESY writes it; lines that begin with ``!`` are remarks, and so are last
    lines that begin with a word and have another number of words than there are columns.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        raise XcdiError(f"{path}: no such FIO file; the beamline expects it there") from None
    sections: dict[str, list[str]] = {}
    section = ""
    for line in (text.strip() for text in lines):
        if line.startswith("%"):
            section = line[:2]
        elif line and not line.startswith("!"):
            sections.setdefault(section, []).append(line)
    return Fio(_columns(sections.get("%d", []), path), _motors(sections.get("%p", [])))


def _motors(lines: Sequence[str]) -> dict[str, float]:
    found = (PARAMETER.match(line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match and _is_number(match[2])}


def _columns(lines: Sequence[str], path: Path) -> dict[str, Array]:
    names = [match[2] for match in (COLUMN.match(line) for line in lines) if match]
    rows = [line.split() for line in lines if not COLUMN.match(line)]
    while rows and len(rows[-1]) != len(names) and not _is_number(rows[-1][0]):
        rows.pop()  # a remark that closes the file
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise XcdiError(f"{path.name}: point {number} has {len(row)} values for {len(names)} columns; is the file cut short?")
    numbers = {i: [row[i] for row in rows] for i in range(len(names))}
    return {names[i]: np.array([float(v) for v in values]) for i, values in numbers.items() if all(map(_is_number, values))}


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
