"""A beamline as data: where things are in its files, and its geometry."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from xcdi import settings
from xcdi.errors import SettingsError, suggest
from xcdi.settings import Model

__all__ = [
    "Beamline",
    "Circle",
    "Detector",
    "Geometry",
    "Layout",
    "Quantity",
    "Spec",
    "Stage",
    "Tilt",
    "beamline_names",
    "load_beamline",
]

Named = Literal["x+", "x-", "y+", "y-", "z+", "z-"]
Axis = Named | tuple[float, float, float]  # three numbers: a tilted axis (x, y, z) of any length


def _long_enough(axis: Axis) -> Axis:
    if not isinstance(axis, str) and not any(axis):
        raise ValueError("an axis of three zeros points nowhere")
    return axis


class Quantity(Model):
    """One physical quantity: exactly one place where it stands, and its unit."""

    path: str | None = Field(default=None, description="HDF5 path; {scan} stands for the scan's name")
    spec: str | None = Field(default=None, description="column or motor of the SPEC or FIO scan")
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
    binning: tuple[int, int] = Field(default=(1, 1), description="rows, columns of the chip that were summed into one pixel of a frame")
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
    """A SPEC or FIO file beside the frames."""

    file: str = Field(description="name of the SPEC or .fio file, from the frames' folder; {scan} stands for what scan_from finds")
    scan_from: str = Field(description="regular expression on the frames' file name; its first group is the scan")


class Circle(Model):
    """One axis of rotation of a diffractometer, right-handed about `axis`."""

    motor: str
    axis: Axis
    zero_deg: float = Field(default=0.0, description="reading of the motor where the axes of the circles inside stand as stated")

    _turns = field_validator("axis")(_long_enough)


class Stage(Model):
    """One translation of the detector, carried by its arm if it has one."""

    motor: str
    axis: Axis = Field(description="where the detector goes as the motor rises, arm at zero")
    zero_mm: float = Field(description="reading of the motor where the centre pixel is in the beam, or on the axis of the arm")

    _moves = field_validator("axis")(_long_enough)


class Tilt(Model):
    """One fixed rotation of the detector about its centre pixel, right-handed about `axis`, arm at zero."""

    axis: Axis
    angle_deg: float
    source: str = Field(description="who says so: a calibration, a drawing")

    _turns = field_validator("axis")(_long_enough)


class Geometry(Model):
    """Circles from the outermost in, laboratory axes: z along the beam, y up, x completes a right-handed set."""

    sample: tuple[Circle, ...] = ()
    detector: tuple[Circle, ...] = ()
    stage: tuple[Stage, ...] = Field(default=(), description="translations of the detector")
    tilt: tuple[Tilt, ...] = Field(default=(), description="fixed rotations of the detector, outermost first")
    columns: Named = Field(description="direction in which the column number rises, arm at zero")
    rows: Named = Field(description="direction in which the row number rises, arm at zero")
    centre_px: tuple[float, float] | None = Field(
        default=None, description="row, column on the axis of the arm, on the whole chip, not binned; None: from the file"
    )

    @model_validator(mode="after")
    def _across(self) -> Geometry:
        if self.columns[0] == self.rows[0]:
            raise ValueError(f"columns {self.columns!r} and rows {self.rows!r} run along one line")
        return self


class Beamline(Model):
    """Everything a scan file does not say about itself."""

    name: str
    format: str = Field(description="module in xcdi.io.formats, or a dotted name of your own")
    monitor_reference: float | None = Field(default=None, description="monitor counts that frames are scaled to")
    detector: Detector = Detector()
    layout: Layout
    quantities: dict[str, Quantity] = Field(
        default_factory=dict,
        description="energy, distance, pixel_size (or _y, _x), centre_row, centre_column, dead_time, "
        "roi_row, roi_column, binning_row, binning_column",
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
