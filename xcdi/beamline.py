"""A beamline as data: where things are in its files, and its geometry."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from xcdi import settings
from xcdi.errors import SettingsError, suggest
from xcdi.settings import Model

__all__ = ["Beamline", "Circle", "Detector", "Geometry", "Layout", "Quantity", "Spec", "beamline_names", "load_beamline"]

Axis = Literal["x+", "x-", "y+", "y-", "z+", "z-"]


class Quantity(Model):
    """One physical quantity: exactly one place where it stands, and its unit."""

    path: str | None = Field(default=None, description="HDF5 path; {scan} stands for the scan's name")
    spec: str | None = Field(default=None, description="column or motor of the SPEC scan")
    value: float | None = Field(default=None, description="a number that no file holds")
    units: str = Field(description="unit it is written in")
    source: str | None = Field(default=None, description="with value: who says so")

    @model_validator(mode="after")
    def _one_place(self) -> Quantity:
        if sum(place is not None for place in (self.path, self.spec, self.value)) != 1:
            raise ValueError("give exactly one of path, spec, value")
        if self.value is not None and not self.source:
            raise ValueError("a value needs its source")
        return self


class Detector(Model):
    """An area detector."""

    shape: tuple[int, int] | None = Field(default=None, description="rows, columns; from the frames where not given")
    gaps: tuple[tuple[int, int, int, int], ...] = Field(default=(), description="y0, y1, x0, x1, half open")
    bad_pixels: str | None = Field(default=None, description="image beside the scan, non-zero where a pixel is bad")
    flat: str | None = Field(default=None, description="image beside the scan: relative response of the pixels")
    dark: str | None = Field(default=None, description="image beside the scan: counts without beam")
    mask: str | None = Field(default=None, description="HDF5 path of a pixel mask, non-zero where a pixel is bad")
    roi_origin: tuple[int, int] = Field(default=(0, 0), description="row, column of the frames' first pixel on the whole chip")
    saturation: float | None = Field(default=None, description="largest count that can be trusted")


class Layout(Model):
    """HDF5 paths inside one scan; ``{scan}`` stands for the scan's name."""

    counts: str = Field(description="dataset of frames; for eiger the group of the links data_000001 ...")
    time: Quantity | None = None
    monitor: Quantity | None = None
    frame_time: Quantity | None = None
    count_time: Quantity | None = None
    frames_expected: Quantity | None = Field(default=None, description="number of frames that were planned")


class Spec(Model):
    """A SPEC file beside the frames."""

    file: str = Field(description="name of the SPEC file beside the frames; {scan} stands for what scan_from finds")
    scan_from: str = Field(description="regular expression on the frames' file name; its first group is the scan")


class Circle(Model):
    """One axis of rotation of a diffractometer, right-handed about `axis`."""

    motor: str
    axis: Axis


class Geometry(Model):
    """Circles from the outermost in, laboratory axes: z along the beam, y up, x completes a right-handed set."""

    sample: tuple[Circle, ...] = ()
    detector: tuple[Circle, ...] = ()
    columns: Axis = Field(description="direction in which the column number rises, arm at zero")
    rows: Axis = Field(description="direction in which the row number rises, arm at zero")
    centre_px: tuple[float, float] | None = Field(default=None, description="row, column on the axis of the arm; None: from the file")


class Beamline(Model):
    """Everything a scan file does not say about itself."""

    name: str
    format: str = Field(description="module in xcdi.io.formats, or a dotted name of your own")
    monitor_reference: float | None = Field(default=None, description="monitor counts that frames are scaled to")
    detector: Detector = Detector()
    layout: Layout
    quantities: dict[str, Quantity] = Field(
        default_factory=dict, description="energy, distance, pixel_size (or _y, _x), centre_row, centre_column, dead_time"
    )
    motors: dict[str, Quantity] = Field(default_factory=dict)
    spec: Spec | None = None
    geometry: Geometry | None = None


def beamline_names() -> dict[str, Path]:
    """Name and file of every beamline that comes with xcdi."""
    home = Path(str(files("xcdi.beamline_configs")))
    return {path.stem: path for path in sorted(home.glob("*.toml"))}


def load_beamline(name: str) -> Beamline:
    """Read ``beamline_configs/<name>.toml``, or the TOML file at the path `name`.

    Raises
    ------
    SettingsError
        If there is no such beamline, or its file holds what a beamline has not.
    """
    if name.endswith(".toml"):
        return settings.read(Beamline, name)
    known = beamline_names()
    if name not in known:
        raise SettingsError(f"no beamline {name!r}{suggest(name, known)}")
    return settings.read(Beamline, known[name])
