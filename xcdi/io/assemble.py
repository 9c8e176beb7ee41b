"""From a stack of frames and the sources of its quantities to a labelled scan."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.beamline import Beamline, Quantity
from xcdi.errors import XcdiError
from xcdi.io import units
from xcdi.io.chunks import Stack, frames, sentinel
from xcdi.io.images import read_image, relative_flat
from xcdi.io.listed import Listed
from xcdi.io.quantities import Sources, first_found, number, read_spec
from xcdi.io.region import Region, region
from xcdi.io.stored import stored

__all__ = ["Found", "assemble"]

STILL_DEG = 1e-3  # a motor that moves less than this only trembles
STILL_ENERGY = 1e-4  # share of itself that the photon energy may stray without being scanned
MOST_MASKED = 0.5
Reduce = Callable[..., Array]
UNIT_OF = {"distance": "m", "frame_time": "s", "count_time": "s", "dead_time": "s"}
ATTRIBUTE = {"distance": "distance_m"} | {f"{k}_time": f"{k}_time_s" for k in ("frame", "count", "dead")}


@dataclass(frozen=True)
class Found:
    """What a format found out about one scan."""

    stack: Stack | Listed
    sources: Sources
    expected: int | None  # frames planned; None: nobody says
    masks: tuple[tuple[str, Array], ...] = ()  # name, and True where a pixel is bad
    saturation: float | None = None
    start_time: str | None = None
    standard: Mapping[str, tuple[Quantity, ...]] = field(default_factory=dict)  # usual places, after the beamline's
    closed: bool = True  # whether its writer has finished
    home: Path | None = None  # file of the frames, where the numbers stand in another


def assemble(found: Found, path: Path, scan: str, beamline: Beamline, *, frames_per_chunk: int, growing: bool) -> xr.Dataset:
    """Label the scan; only its first frame is read.

    Parameters
    ----------
    found : Found
        What the format knows.
    path, scan, beamline
        As the user named them.
    frames_per_chunk : int
        Frames in one lazy block.
    growing : bool
        Whether the scan is still being written: it then ends with the last frame that has all its numbers.

    Raises
    ------
    XcdiError
        If there is no frame, no pixel to trust, or an array does not fit the frames.
    """
    if beamline.spec and found.sources.spec is None:
        found = replace(found, sources=found.sources._replace(spec=read_spec(beamline.spec, path)))
    numbers = _per_frame(found, beamline)
    n = _ready(found.stack, numbers) if growing else found.stack.shape[0]
    if n == 0:
        raise XcdiError(f"{path.name}: scan {scan!r} holds no frame; expected {found.expected or 'some'}")
    source = found.stack.upto(n)
    if not growing:
        for name, (values, _) in numbers.items():
            _check_length(name, values, n, found)
    part = region(found.sources, beamline)
    images, valid = _images(found, beamline, part, path.parent if path.is_file() else path)
    valid &= _trusted_at_first(source)
    if not valid.any():
        raise XcdiError(f"{found.sources.where}: no pixel of scan {scan!r} can be trusted; check the masks of beamline {beamline.name!r}")
    ok = source.written()[:n]
    data = {
        "counts": (("frame", "y", "x"), frames(source, frames_per_chunk=frames_per_chunk), {"units": "1"}),
        "valid": (("y", "x"), valid, {"units": ""}),
        "frame_ok": (("frame",), ok, {"units": ""}),
        **images,
    }
    if source.single:
        data["stored"] = (("frame",), stored(source, frames_per_chunk=frames_per_chunk), {"units": ""})
    ds = xr.Dataset(data)
    for name, (values, unit) in numbers.items():
        ds[name] = ((), values, {"units": unit}) if values.ndim == 0 else (("frame",), values[:n], {"units": unit})
    ds = ds.set_coords([name for name in numbers if name != "monitor"])
    ds = _with_time(ds, found.sources.where)
    ds = _with_rocking(ds, beamline).assign_attrs(_attributes(found, path, scan, beamline, ok, growing))
    scanned = ds.attrs.get("rocking_motor") == "energy"
    return ds.assign_attrs(_energy(found, beamline, scanned=scanned) | _pixels(found, beamline, part))


def _places(found: Found, beamline: Beamline, name: str) -> tuple[Quantity, ...]:
    stated = getattr(beamline.layout, name, None) or beamline.quantities.get(name)
    return (stated,) if stated else found.standard.get(name, ())


def _per_frame(found: Found, beamline: Beamline) -> dict[str, tuple[Array, str]]:
    """Values and unit of time, monitor and motors; those no source has are left out."""
    motors: dict[str, tuple[Quantity, ...]] = {name: (place,) for name, place in beamline.motors.items()}
    motors = motors or {name.removeprefix("motor:"): p for name, p in found.standard.items() if name.startswith("motor:")}
    wanted = {name: (p, "deg" if p[0].units in units.SIZES["angle"] else p[0].units) for name, p in motors.items()}
    wanted |= {"time": (_places(found, beamline, "time"), "s"), "monitor": (_places(found, beamline, "monitor"), "1")}
    wanted |= {} if "energy" in motors else {"energy": (_places(found, beamline, "energy"), "keV")}
    values = {name: (first_found(found.sources, places, unit, name), unit) for name, (places, unit) in wanted.items()}
    present = {name: (v, unit) for name, (v, unit) in values.items() if v is not None and not (name == "energy" and _steady(v))}
    if "time" not in present:
        step = number(
            first_found(found.sources, _places(found, beamline, "frame_time"), "s", "frame_time"), "frame_time", found.sources.where
        )
        if step is not None:
            present["time"] = (np.arange(max(found.stack.shape[0], found.expected or 0)) * step, "s")
    return present


def _steady(energy: Array) -> bool:
    """Whether the photon energy only trembles; an attribute says it then."""
    return bool(energy.ndim == 0 or energy.size < 2 or np.nanmax(energy) - np.nanmin(energy) <= STILL_ENERGY * np.nanmean(energy))


def _ready(stack: Stack | Listed, numbers: Mapping[str, tuple[Array, str]]) -> int:
    """Frames whose counts and numbers are all on disk; numbers not yet written may be NaN."""
    there = np.flatnonzero(stack.written())
    ready = int(there[-1]) + 1 if there.size else 0
    for values, _ in numbers.values():
        if values.ndim:
            finite = np.flatnonzero(np.isfinite(values))
            ready = min(ready, int(finite[-1]) + 1 if finite.size else 0)
    return ready


def _check_length(name: str, values: Array, n: int, found: Found) -> None:
    """A scan that was stopped early may have numbers for all the frames that were planned."""
    if values.ndim and len(values) not in (n, max(n, found.expected or 0)):
        raise XcdiError(
            f"{found.sources.where}: {name!r} has {len(values)} values for {n} frames; expected one value, or one for each frame"
        )


def _images(found: Found, beamline: Beamline, part: Region, folder: Path) -> tuple[dict[str, Any], Array]:
    """Dark and flat, and which pixels masks, gaps and images allow."""
    detector, shape = beamline.detector, found.stack.shape[1:]
    if detector.shape and not part.fits(shape, detector.shape) and not (detector.bad_pixels or detector.flat or detector.dark):
        raise XcdiError(f"{found.sources.where}: frames are {shape}, beamline {beamline.name!r} has a detector of {detector.shape}")
    valid = np.ones(shape, bool)
    for name, bad in found.masks:
        valid &= ~_fitting(name, bad, shape, found.sources.where)
    for gap in detector.gaps:
        valid[part.covers(gap)] = False
    images: dict[str, Any] = {}
    if detector.bad_pixels:
        bad = _image(folder, detector.bad_pixels, shape, part, np.max) != 0
        valid &= ~_fitting(detector.bad_pixels, bad, shape, found.sources.where)
    if detector.flat:
        flat, seen = relative_flat(_image(folder, detector.flat, shape, part, np.mean))
        images["flat"], valid = (("y", "x"), flat, {"units": "1"}), valid & seen
    if detector.dark:
        dark = _image(folder, detector.dark, shape, part, np.sum).astype(np.float32)
        images["dark"] = (("y", "x"), dark, {"units": "1"})
    return images, valid


def _image(folder: Path, name: str, shape: tuple[int, int], part: Region, reduce: Reduce) -> Array:
    """An image beside the scan, cut and binned as the frames are; one that has their shape is taken as it is."""
    if part.binning == (1, 1):
        return read_image(folder, name, shape, part.origin)
    fine = read_image(folder, name, (shape[0] * part.binning[0], shape[1] * part.binning[1]), part.origin)
    return reduce(fine.reshape(shape[0], part.binning[0], shape[1], part.binning[1]), axis=(1, 3))


def _fitting(name: str, bad: Array, shape: tuple[int, ...], where: str) -> Array:
    if bad.shape != shape:
        turned = "; it looks transposed" if bad.shape == shape[::-1] else ""
        raise XcdiError(f"{where}: mask {name!r} has shape {bad.shape}, frames have {shape}{turned}")
    if bad.mean() > MOST_MASKED:
        raise XcdiError(
            f"{where}: mask {name!r} rejects {bad.mean():.0%} of the pixels; a pixel is bad where the mask is not 0, so it may be inverted"
        )
    return bad


def _trusted_at_first(source: Stack | Listed) -> Array:
    """Pixels that hold a value in the first frame that has any."""
    empty = sentinel(source.dtype)
    for i in np.flatnonzero(source.written()[: source.shape[0]])[:8]:
        frame = source.read(int(i), int(i) + 1)[0]
        there = np.isfinite(frame) if empty is None else frame != empty
        if there.any():
            return there
    return np.ones(source.shape[1:], bool)


def _with_time(ds: xr.Dataset, where: str) -> xr.Dataset:
    """Time counts from the first frame and rises; where the file's does not, it is left out."""
    if "time" not in ds:
        return ds
    time = ds.time.to_numpy()
    if time.ndim == 0 or not (np.diff(time) > 0).all():
        if time.ndim and len(time) > 1:
            warnings.warn(f"{where}: times do not rise from frame to frame and are left out; state layout.frame_time instead", stacklevel=2)
        if time.ndim == 0 or len(time) > 1:
            return ds.drop_vars("time")
    return ds.assign_coords(time=("frame", time - time[0], {"units": "s"}))


def _with_rocking(ds: xr.Dataset, beamline: Beamline) -> xr.Dataset:
    """Name the sample motor that moves most, if one does; else the photon energy, if that moves."""
    circles = beamline.geometry.sample if beamline.geometry else ()
    travel = {c.motor: float(np.ptp(ds[c.motor].to_numpy())) for c in circles if c.motor in ds and ds[c.motor].ndim and ds[c.motor].size}
    moving = {motor: way for motor, way in travel.items() if way > STILL_DEG}
    if moving:
        motor = max(moving, key=moving.__getitem__)
        return ds.assign_coords(rocking=ds[motor].variable).assign_attrs(rocking_motor=motor)
    return ds.assign_attrs(rocking_motor="energy") if "energy" in ds and beamline.geometry else ds


def _attributes(found: Found, path: Path, scan: str, beamline: Beamline, ok: Array, growing: bool) -> dict[str, Any]:
    """Attributes of the scan; a quantity that nobody states is absent."""
    n, source = len(ok), str(found.home or Path(found.sources.file.filename))
    expected = found.expected if found.expected is not None or growing else n
    attrs: dict[str, Any] = {
        "scan": scan,
        "beamline": beamline.name,
        "source": source,
        "complete": bool(found.closed and ok.all() and n >= (expected or n)),
        "frames_expected": expected,
        "frames_missing": int((~ok).sum()),
        "sentinel": sentinel(found.stack.dtype),
        "saturation": beamline.detector.saturation if beamline.detector.saturation is not None else found.saturation,
        "monitor_reference": beamline.monitor_reference,
        "start_time": found.start_time,
        "geometry": beamline.geometry.model_dump_json() if beamline.geometry else None,
    }
    for name, unit in UNIT_OF.items():
        attrs[ATTRIBUTE[name]] = number(first_found(found.sources, _places(found, beamline, name), unit, name), name, found.sources.where)
    return {name: value for name, value in attrs.items() if value is not None}


def _energy(found: Found, beamline: Beamline, *, scanned: bool) -> dict[str, float]:
    """Photon energy [keV]; the mean where it is scanned, and every frame has its own."""
    values = first_found(found.sources, _places(found, beamline, "energy"), "keV", "energy")
    energy = number(np.nanmean(values) if scanned and values is not None else values, "energy", found.sources.where)
    return {} if energy is None else {"energy_kev": energy}


def _pixels(found: Found, beamline: Beamline, part: Region) -> dict[str, Any]:
    """Size [m] and centre of the frames' pixels, cut and binned as they are; what nobody states is absent."""
    pixel = _pixel_size(found, beamline)
    centre = _centre(found, beamline, pixel)
    notes: dict[str, Any] = {} if part.origin == (0, 0) else {"roi_origin": list(part.origin)}
    notes |= {} if part.binning == (1, 1) else {"binning": list(part.binning)}
    notes |= {} if pixel is None else {"pixel_size_m": [size * n for size, n in zip(pixel, part.binning, strict=True)]}
    return notes if centre is None else notes | {"centre_px": part.of_chip(centre)}


def _pixel_size(found: Found, beamline: Beamline) -> list[float] | None:
    """Height and width of a pixel [m]."""
    both = _places(found, beamline, "pixel_size")
    sizes = []
    for name in ("pixel_size_y", "pixel_size_x"):
        places = both or _places(found, beamline, name)
        sizes.append(number(first_found(found.sources, places, "m", "pixel_size"), "pixel_size", found.sources.where))
    return None if None in sizes else [float(s) for s in sizes if s is not None]


def _centre(found: Found, beamline: Beamline, pixel: list[float] | None) -> list[float] | None:
    """Row and column on the axis of the detector arm, in pixels."""
    if beamline.geometry and beamline.geometry.centre_px is not None:
        return list(beamline.geometry.centre_px)
    centre = []
    for i, name in enumerate(("centre_row", "centre_column")):
        for place in _places(found, beamline, name):
            length = place.units in units.SIZES["length"]
            if length and pixel is None:
                continue
            value = number(first_found(found.sources, (place,), "m" if length else "px", name), name, found.sources.where)
            if value is not None:
                centre.append(value / pixel[i] if length and pixel else value)
                break
    return centre if len(centre) == 2 else None
