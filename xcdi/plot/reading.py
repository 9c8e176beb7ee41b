"""What pictures and tables ask of labelled data: a variable, a number, a vector, and how to write it."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.schema import is_avalanche

__all__ = ["genuine", "number", "quantity_label", "shown", "value", "vector"]


def genuine(events: xr.Dataset) -> np.ndarray:
    """Return which events are flagged neither as an artefact nor as rigid motion.

    Examples
    --------
    >>> genuine(xr.Dataset({"time": ("event", [0.0, 1.0]), "flags": ("event", ["rigid", ""])}))
    array([False,  True])
    """
    if "flags" not in events:
        return np.ones(events.sizes.get("event", 0), bool)
    return is_avalanche(events["flags"].values)


def number(value: float, error: float | None = None, digits: int = 3) -> str:
    """Return a number as one writes it, with its error to two significant digits.

    Examples
    --------
    >>> number(1.5034, 0.0712)
    '1.503 ± 0.071'
    >>> number(0.000123)
    '0.000123'
    """
    if error is None or not np.isfinite(error) or error <= 0:
        return f"{value:.{digits}g}" if np.isfinite(value) else "–"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def quantity_label(variable: xr.DataArray, words: str) -> str:
    """Return `words` with the unit of `variable` in brackets, if it has one.

    Examples
    --------
    >>> quantity_label(xr.DataArray(0.0, attrs={"units": "s"}), "delay")
    'delay (s)'
    """
    unit = str(variable.attrs.get("units", ""))
    return words if unit in ("", "1") else f"{words} ({unit.replace('1/nm', 'nm$^{-1}$').replace('1/s', 's$^{-1}$')})"


def shown(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return the variable `name`.

    Raises
    ------
    SchemaError
        Says what is missing, and what there is.

    Examples
    --------
    >>> float(shown(xr.Dataset({"a": 2.0}), "a"))
    2.0
    """
    if name not in dataset.variables:
        raise SchemaError(f"this picture needs {name!r}, and the data have {', '.join(map(str, dataset.variables))}")
    return dataset[name]


def value(dataset: xr.Dataset, name: str, region: int | None = None) -> float | None:
    """Return the number `name` from the variables or attributes of `dataset`, or None if it is not there or not finite.

    Examples
    --------
    >>> value(xr.Dataset(attrs={"threshold": 6.0}), "threshold")
    6.0
    >>> value(xr.Dataset(), "threshold") is None
    True
    """
    found = dataset[name].values if name in dataset.variables else dataset.attrs.get(name)
    if found is None or isinstance(found, str):
        return None
    flat = np.ravel(np.asarray(found, dtype=float))
    if flat.size == 0:
        return None
    picked = float(flat[region] if region is not None and region < flat.size else flat[0])
    return picked if np.isfinite(picked) else None


def vector(dataset: xr.Dataset, name: str) -> np.ndarray | None:
    """Return the vector `name` (x, y, z) from the variables or attributes of `dataset`, or None."""
    found = dataset[name].values if name in dataset.variables else dataset.attrs.get(name)
    return None if found is None or np.size(found) != 3 else np.asarray(found, dtype=float).reshape(3)
