"""Units that files use, and the few that xcdi uses inside."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.errors import SchemaError, suggest

__all__ = ["HC_KEV_NM", "convert", "known", "plausible"]

HC_KEV_NM = 1.2398419843320026  # h c, exact in the SI of 2019


class Unit(NamedTuple):
    """What a unit measures, and how many of the first unit of that kind it is."""

    kind: str
    size: float


SIZES = {
    "length": {"m": 1.0, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "angstrom": 1e-10, "pm": 1e-12, "cm": 1e-2},
    "energy": {"keV": 1.0, "eV": 1e-3, "MeV": 1e3},
    "angle": {"deg": 1.0, "rad": 180 / math.pi, "mrad": 0.18 / math.pi, "urad": 180e-6 / math.pi},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0},
    "number": {"1": 1.0, "": 1.0, "counts": 1.0, "count": 1.0, "cts": 1.0},
    "pixel": {"px": 1.0},
    "temperature": {"K": 1.0},
}
UNITS = {name: Unit(kind, size) for kind, sizes in SIZES.items() for name, size in sizes.items()}
SPELLINGS = {
    "meter": "m", "metre": "m", "meters": "m", "metres": "m", "millimeter": "mm", "micron": "um", "microns": "um", "µm": "um", "μm": "um",
    "micrometer": "um", "nanometer": "nm", "\u00c5": "angstrom", "\u212b": "angstrom",
    "A": "angstrom", "Angstrom": "angstrom", "angstroms": "angstrom",
    "ANGSTROM": "angstrom", "ev": "eV", "kev": "keV", "KeV": "keV", "KEV": "keV", "degree": "deg", "degrees": "deg", "°": "deg",
    "radian": "rad", "radians": "rad", "sec": "s", "second": "s", "seconds": "s", "millisecond": "ms", "µs": "us", "μs": "us",
    "microsecond": "us", "pixel": "px", "pixels": "px", "kelvin": "K", "dimensionless": "1",
}  # fmt: skip
LIMITS = {
    "energy": (0.05, 500.0, "keV"),
    "distance": (1e-3, 100.0, "m"),
    "pixel_size": (1e-7, 1e-2, "m"),
    "frame_time": (1e-9, 1e5, "s"),
    "count_time": (1e-9, 1e5, "s"),
}


def known(name: str) -> bool:
    """Whether `name` is a unit, in any usual spelling.

    Examples
    --------
    >>> known("Angstrom"), known("furlong")
    (True, False)
    """
    return SPELLINGS.get(name.strip(), name.strip()) in UNITS


def convert(value: Array | float, unit: str, wanted: str) -> Array:
    """`value` in the unit `wanted`; a wavelength becomes a photon energy.

    Parameters
    ----------
    value : array or float
        In `unit`.
    unit, wanted : str
        As "um", "keV", "deg".

    Raises
    ------
    SchemaError
        If a unit is unknown, or measures something else.

    Examples
    --------
    >>> float(convert(500.0, "mm", "m"))
    0.5
    >>> round(float(convert(1.2398419843320026, "angstrom", "keV")), 12)
    10.0
    """
    source, target = _unit(unit), _unit(wanted)
    value = np.asarray(value, float)
    if source.kind == target.kind:
        return value if source.size == target.size else _ratio(value, source.size, target.size)
    if (source.kind, target.kind) == ("length", "energy"):
        with np.errstate(divide="ignore"):
            return HC_KEV_NM / (value * (source.size / 1e-9) * target.size)
    raise SchemaError(f"{unit!r} measures {source.kind}, expected {target.kind} as {wanted!r}")


def _ratio(value: Array, source: float, target: float) -> Array:
    """Exact where one unit is a whole multiple of the other."""
    return value * (source / target) if source >= target else value / (target / source)


def _unit(name: str) -> Unit:
    name = SPELLINGS.get(name.strip(), name.strip())
    if name not in UNITS:
        raise SchemaError(f"unknown unit {name!r}{suggest(name, [u for u in UNITS if u])}")
    return UNITS[name]


def plausible(name: str, value: float, where: str) -> float:
    """Return `value` of the quantity `name` if any instrument could have it.

    Raises
    ------
    SchemaError
        If it is zero, negative, not finite, or far outside what exists: mostly a wrong unit.
    """
    if name not in LIMITS:
        return value
    low, high, unit = LIMITS[name]
    if not low <= value <= high:
        raise SchemaError(f"{where}: {name} is {value:g} {unit}, expected {low:g} to {high:g}; is it written in another unit?")
    return value
