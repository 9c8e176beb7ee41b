"""The part of a detector chip that the frames show, and how its pixels were binned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xcdi.beamline import Beamline, Quantity
from xcdi.errors import SchemaError
from xcdi.io.quantities import Sources, number, quantity

__all__ = ["Region", "region"]


class Region(NamedTuple):
    """First pixel (row, column) on the chip, and chip pixels (rows, columns) in one pixel of a frame."""

    origin: tuple[int, int]
    binning: tuple[int, int]

    def of_chip(self, place: Sequence[float]) -> list[float]:
        """Place (row, column) on a frame of a place on the chip.

        Examples
        --------
        >>> Region((10, 4), (2, 3)).of_chip((12.5, 8.0))
        [1.0, 1.0]
        """
        return [(p - start + 0.5) / n - 0.5 for p, start, n in zip(place, self.origin, self.binning, strict=True)]

    def fits(self, frame: tuple[int, ...], chip: tuple[int, int]) -> bool:
        """Whether frames of that shape are the whole chip or, from an origin that is stated, a part of it."""
        if self.origin == (0, 0):
            return all(n == size // by for n, size, by in zip(frame, chip, self.binning, strict=True))
        return all(start + n * by <= size for n, size, start, by in zip(frame, chip, self.origin, self.binning, strict=True))

    def covers(self, gap: tuple[int, int, int, int]) -> tuple[slice, slice]:
        """Pixels of a frame that a gap (y0, y1, x0, x1) of the chip touches.

        Examples
        --------
        >>> Region((10, 0), (2, 1)).covers((13, 15, 3, 5))
        (slice(1, 3, None), slice(3, 5, None))
        """
        y0, y1, x0, x1 = gap
        spans = zip(((y0, y1), (x0, x1)), self.origin, self.binning, strict=True)
        rows, columns = (slice(max((low - first) // n, 0), max(-((first - high) // n), 0)) for (low, high), first, n in spans)
        return rows, columns


def region(sources: Sources, beamline: Beamline) -> Region:
    """Where the frames lie on the chip: as the file says (quantities), else as the beamline says (detector).

    Raises
    ------
    SchemaError
        If the file's numbers are no whole pixels.
    """
    stated = beamline.detector
    origin = _pair(sources, beamline, ("roi_row", "roi_column"), stated.roi_origin, least=0)
    return Region(origin, _pair(sources, beamline, ("binning_row", "binning_column"), stated.binning, least=1))


def _pair(sources: Sources, beamline: Beamline, names: tuple[str, str], stated: tuple[int, int], *, least: int) -> tuple[int, int]:
    places = [beamline.quantities.get(name) for name in names]
    row, column = (stated[i] if place is None else _whole(sources, place, names[i]) for i, place in enumerate(places))
    if min(row, column) < least:
        raise SchemaError(f"{sources.where}: {names[0]}, {names[1]} are {row}, {column}; expected {least} or more")
    return row, column


def _whole(sources: Sources, place: Quantity, name: str) -> int:
    """A whole number of pixels."""
    value = number(quantity(sources, place, "1" if name.startswith("binning") else "px", name), name, sources.where)
    if value is None or value != round(value):
        raise SchemaError(f"{sources.where}: {name} at {place.path or place.spec or 'value'!r} is {value}; expected a whole number")
    return round(value)
