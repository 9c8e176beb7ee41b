"""Physical quantities of a scan: from its HDF5 file, from a SPEC file, or as the beamline states them; never by default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from xcdi.backend import Array
from xcdi.beamline import Quantity, Spec
from xcdi.errors import SchemaError, XcdiError
from xcdi.io import units
from xcdi.io.fio import read_fio
from xcdi.io.vetting import locate, opened

__all__ = ["Sources", "SpecScan", "array", "first_found", "number", "quantity", "read_spec", "text"]


class SpecScan(NamedTuple):
    """One scan of a SPEC or FIO file."""

    where: str
    columns: dict[str, Array]
    motors: dict[str, float]


class Sources(NamedTuple):
    """Where quantities of one scan can stand."""

    file: h5py.File
    root: Path
    scan: str
    spec: SpecScan | None = None

    @property
    def where(self) -> str:
        """Start of every message."""
        return Path(self.file.filename).name


def array(sources: Sources, path: str) -> tuple[Array, str] | None:
    """Values and unit (maybe "") of the dataset at `path`; None if there is none."""
    place = locate(sources.file, path.format(scan=sources.scan), root=sources.root)
    if place is None:
        return None
    with opened(place, root=sources.root) as data:
        unit = data.attrs.get("units", "")
        return data[()], unit.decode() if isinstance(unit, bytes) else str(unit)


def text(sources: Sources, path: str) -> str | None:
    """Text at `path`; None if there is none."""
    found = array(sources, path)
    if found is None:
        return None
    value = np.asarray(found[0]).ravel()[:1].tolist()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def quantity(sources: Sources, place: Quantity, wanted: str, name: str) -> Array | None:
    """Values of one quantity in the unit `wanted`; None where its source does not have it.

    A unit written in the file wins over the one that the beamline names, if xcdi knows it.

    Raises
    ------
    SchemaError
        If the unit measures something else, or the values are no numbers.
    """
    if place.value is not None:
        return units.convert(place.value, place.units, wanted)
    found = _from_spec(sources, place.spec) if place.spec else array(sources, str(place.path))
    if found is None:
        return None
    values, unit = found
    values = np.squeeze(values) if np.size(values) == 1 else np.asarray(values)
    if values.dtype.kind not in "uifb" or values.ndim > 1:
        raise SchemaError(f"{sources.where}: {name} at {place.path or place.spec!r} is {values.dtype}{values.shape}, expected numbers")
    try:
        return units.convert(values, unit if unit and units.known(unit) else place.units, wanted)
    except SchemaError as error:
        raise SchemaError(f"{sources.where}: {name}: {error}") from None


def first_found(sources: Sources, places: Iterable[Quantity], wanted: str, name: str) -> Array | None:
    """The quantity from the first of `places` that has it."""
    for place in places:
        values = quantity(sources, place, wanted, name)
        if values is not None:
            return values
    return None


def number(values: Array | None, name: str, where: str) -> float | None:
    """One number for the whole scan; None if unknown, or zero where only a positive number makes sense.

    Detectors write 0 for a distance, an energy or a time that nobody told them.

    Raises
    ------
    SchemaError
        If it changes during the scan, or no instrument could have it.
    """
    if values is None or not np.size(values):
        return None
    low, high = float(np.min(values)), float(np.max(values))
    if high - low > 1e-3 * abs(high):
        raise SchemaError(f"{where}: {name} goes from {low:g} to {high:g} during the scan; expected one value")
    value = float(np.ravel(values)[0])
    if value == 0 and name in units.LIMITS:
        return None
    return units.plausible(name, value, where)


def _from_spec(sources: Sources, name: str) -> tuple[Array, str] | None:
    spec = sources.spec
    if spec is None:
        raise SchemaError(f"{name!r} is to come from a SPEC file, and the beamline names none; add a [spec] table")
    if name in spec.columns:
        return spec.columns[name], ""
    return (np.asarray(spec.motors[name]), "") if name in spec.motors else None


def read_spec(spec: Spec, frames: Path) -> SpecScan:
    """Columns and motors of the SPEC or FIO scan that belongs to the file `frames`.

    Raises
    ------
    XcdiError
        If the file's name does not tell the scan, or the SPEC file does not have it.
    """
    match = re.search(spec.scan_from, frames.name)
    if match is None or not match.groups():
        raise XcdiError(f"{frames.name}: its name does not tell the scan by {spec.scan_from!r}; expected a name that fits, with one group")
    path = frames.parent / spec.file.format(scan=match[1])
    if path.suffix == ".fio":
        return SpecScan(path.name, *read_fio(path))
    return _spec_scan(path, match[1], frames)


def _spec_scan(path: Path, number: str, frames: Path) -> SpecScan:
    """Scan `number` of the SPEC file at `path`."""
    from silx.io.specfile import SfErrScanNotFound, SpecFile

    try:
        with closing(SpecFile(str(path))) as file:
            scan = file[f"{int(number)}.1"]
            columns = {name: np.array(scan.data_column_by_name(name)) for name in scan.labels}
            motors = {name: float(scan.motor_position_by_name(name)) for name in scan.motor_names}
    except OSError:
        raise XcdiError(f"{path}: no such SPEC file; the beamline expects it beside {frames.name}") from None
    except (KeyError, ValueError, SfErrScanNotFound):
        raise XcdiError(f"{path.name}: no scan {number}, which {frames.name} belongs to") from None
    return SpecScan(f"{path.name} scan {number}", columns, motors)
