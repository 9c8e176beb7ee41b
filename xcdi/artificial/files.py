"""File writer of the detector: a master and data files, laid out as an Eiger does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xcdi.artificial.detector import CUTOFF
from xcdi.artificial.instrument import beam_centre, masked_pixels, wavelength_nm
from xcdi.artificial.profiles import Profile

__all__ = ["READOUT_S", "START", "write_scan"]

START = "2024-01-01T00:00:00.000000"
READOUT_S = 3e-6


def write_scan(
    folder: Path, name: str, frames: Iterable[NDArray[np.uint32]], p: Profile, *, angle_deg: ArrayLike, monitor: NDArray[Any]
) -> Path:
    """Write ``<name>_master.h5`` and its data files into `folder`, one frame at a time; return the master.

    Parameters
    ----------
    folder : Path
        Must exist.
    name : str
        Name of the scan.
    frames : iterable of arrays
        As many as `monitor` has values.
    p : Profile
        Geometry and times.
    angle_deg : float or array, shape (frame,)
        Position of the motor ``omega``.
    monitor : array, shape (frame,)
        Counts of the beam monitor.
    """
    count = len(monitor)
    source = iter(frames)
    sizes = [min(p.frames_per_file, count - start) for start in range(0, count, p.frames_per_file)]
    for number, size in enumerate(sizes):
        _write_data(folder / f"{name}_data_{number + 1:06d}.h5", source, (size, *p.detector), first=1 + number * p.frames_per_file)
    master = folder / f"{name}_master.h5"
    with h5py.File(master, "w") as file:
        entry = _group(file, "entry", "NXentry")
        _put(entry, "definition", "NXmx")
        _put(entry, "start_time", START)
        links = _group(entry, "data", "NXdata")
        for number in range(len(sizes)):
            links[f"data_{number + 1:06d}"] = h5py.ExternalLink(f"{name}_data_{number + 1:06d}.h5", "/entry/data/data")
        instrument = _group(entry, "instrument", "NXinstrument")
        _describe_detector(_group(instrument, "detector", "NXdetector"), p, count)
        _put(_group(instrument, "beam", "NXbeam"), "incident_wavelength", 10 * wavelength_nm(p), "angstrom")
        _put(_group(instrument, "monitor", "NXmonitor"), "data", monitor, "counts")
        _put(_group(_group(entry, "sample", "NXsample"), "goniometer", "NXtransformations"), "omega", np.asarray(angle_deg, float), "deg")
    return master


def _write_data(path: Path, source: Iterator[NDArray[np.uint32]], shape: tuple[int, ...], *, first: int) -> None:
    with h5py.File(path, "w") as file:
        group = _group(_group(file, "entry", "NXentry"), "data", "NXdata")
        data = group.create_dataset("data", shape, "u4", chunks=(1, *shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4"))
        data.attrs["image_nr_low"], data.attrs["image_nr_high"] = first, first + shape[0] - 1
        for number, frame in enumerate(islice(source, shape[0])):
            data[number] = frame


def _describe_detector(group: h5py.Group, p: Profile, count: int) -> None:
    row, column = beam_centre(p)
    _put(group, "description", "simulated")
    for name, value, units in (
        ("count_time", p.frame_time_s - READOUT_S, "s"),
        ("frame_time", p.frame_time_s, "s"),
        ("detector_distance", p.distance_m, "m"),
        ("x_pixel_size", p.pixel_m, "m"),
        ("y_pixel_size", p.pixel_m, "m"),
        ("beam_center_x", column, "pixel"),
        ("beam_center_y", row, "pixel"),
    ):
        _put(group, name, value, units)
    details = group.create_group("detectorSpecific")
    details.create_dataset("pixel_mask", data=masked_pixels(p).astype(np.uint32), compression="gzip")
    for name, number in (
        ("nimages", count),
        ("ntrigger", 1),
        ("countrate_correction_count_cutoff", CUTOFF),
        ("x_pixels_in_detector", p.detector[1]),
        ("y_pixels_in_detector", p.detector[0]),
    ):
        _put(details, name, number)


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _put(group: h5py.Group, name: str, value: Any, units: str | None = None) -> None:
    group[name] = value
    if units:
        group[name].attrs["units"] = units
