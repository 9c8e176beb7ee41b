"""Words of the judge: a row of the score, and how it looks things up in results and truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, SupportsFloat, TypedDict

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["ABSENT", "Row", "Skipped", "Truth", "at_least", "at_most", "attribute", "between", "dataset", "missing", "of_stage", "one_of"]

ABSENT = "absent"
Row = TypedDict("Row", {"stage": str, "name": str, "measured": float | str, "bar": str, "pass": bool})


class Skipped(NamedTuple):
    """What is not judged, and why."""

    what: str
    why: str


def of_stage(stage: str, judged: Iterable[Row | Skipped]) -> Iterator[Row | Skipped]:
    """Yield what was judged with `stage` filled in: the part of the analysis that a row is about."""
    for row in judged:
        yield row if isinstance(row, Skipped) else {**row, "stage": stage}


def at_least(name: str, measured: SupportsFloat, bar: float) -> Row:
    """Return the row of a figure that must reach `bar`.

    Examples
    --------
    >>> at_least("overlap", 0.97, 0.95)
    {'stage': '', 'name': 'overlap', 'measured': 0.97, 'bar': '>= 0.95', 'pass': True}
    """
    return _row(name, float(measured), f">= {bar:g}", bool(float(measured) >= bar))


def at_most(name: str, measured: SupportsFloat, bar: float) -> Row:
    """Return the row of a figure that must stay below `bar`; NaN does not."""
    return _row(name, float(measured), f"<= {bar:g}", bool(float(measured) <= bar))


def between(name: str, measured: SupportsFloat, low: float, high: float) -> Row:
    """Return the row of a figure that must lie between two bars.

    Examples
    --------
    >>> between("slope", 1.2, 0.95, 1.05)["pass"]
    False
    """
    return _row(name, float(measured), f"{low:g} to {high:g}", bool(low <= float(measured) <= high))


def one_of(name: str, measured: str, words: tuple[str, ...]) -> Row:
    """Return the row of a word that must be one of `words`."""
    return _row(name, measured, " or ".join(words), measured in words)


def missing(name: str, bar: str) -> Row:
    """Return the row of something that no result holds."""
    return _row(name, ABSENT, bar, False)


def _row(name: str, measured: float | str, bar: str, met: bool) -> Row:
    return {"stage": "", "name": name, "measured": measured, "bar": bar, "pass": met}


def dataset(results: Iterable[h5py.File], path: str) -> NDArray[Any] | None:
    """Return what stands at `path` in the first result that has it."""
    for file in results:
        if isinstance(file.get(path), h5py.Dataset):
            return file[path][()]
    return None


def attribute(results: Iterable[h5py.File], name: str, *, under: str = "/") -> str | None:
    """Return, as text, the first attribute or scalar called `name` in the group `under` of the results, or below it."""
    for file in results:
        group = file.get(under)
        if not isinstance(group, h5py.Group):
            continue
        found: list[Any] = [group.attrs[name]] if name in group.attrs else []

        def visit(path: str, item: h5py.Group | h5py.Dataset, found: list[Any] = found) -> None:
            if name in item.attrs:
                found.append(item.attrs[name])
            elif path.rpartition("/")[2] == name and isinstance(item, h5py.Dataset) and item.shape == ():
                found.append(item[()])

        group.visititems(visit)
        if found:
            return found[0].decode() if isinstance(found[0], bytes) else str(found[0])
    return None


class Truth:
    """The truth file, read as it is needed."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file

    def __getitem__(self, path: str) -> NDArray[Any]:
        """Return what stands at `path`; of the labels, only grains that this peak shows."""
        values = self.file[path][()]
        if path == "label" and "turned" in self.file:
            return np.where(np.concatenate([[0], self.file["turned"][()]])[values] == 0, values, 0)
        return values

    def __contains__(self, path: str) -> bool:
        return path in self.file

    @cached_property
    def config(self) -> dict[str, Any]:
        """Settings of the simulation."""
        return dict(json.loads(self.file["config"][()]))

    @cached_property
    def voxel(self) -> float:
        """Side of a voxel of the object's grid [nm]."""
        return float(self["axes/x"][1] - self["axes/x"][0])

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Distance [nm] of every voxel from the nearest boundary or surface."""
        label = self["label"]
        edge = label == 0
        for axis in range(3):
            cut = np.diff(label, axis=axis) != 0
            for side in ((0, 1), (1, 0)):
                edge |= np.pad(cut, [side if a == axis else (0, 0) for a in range(3)])
        return (ndimage.distance_transform_edt(~edge) * self.voxel).astype(np.float32)

    @cached_property
    def resolution(self) -> float:
        """Side [nm] of a cube of the same volume as a voxel of the transformed data."""
        return float(abs(np.linalg.det(self["geometry/voxel_basis"])) ** (1 / 3))

    def sample(self, values: NDArray[Any], positions: NDArray[Any], *, order: int = 1) -> NDArray[Any]:
        """Return `values` of the object's grid at `positions` (..., 3) in nm, order z, y, x; 0 outside."""
        origin = np.array([self[f"axes/{name}"][0] for name in "zyx"])
        places = np.moveaxis((positions - origin) / self.voxel, -1, 0)
        return ndimage.map_coordinates(values, places, order=order, mode="constant")
