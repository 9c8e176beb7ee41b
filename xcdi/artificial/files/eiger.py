"""Dectris Eiger: a master and data files, laid out as its FileWriter does."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from xcdi.artificial.detector import frame_dtype
from xcdi.artificial.faults import Faults
from xcdi.artificial.files.layout import SQUEEZED, START, Scan, describe_beam, describe_detector, group, mask_and_flat
from xcdi.artificial.profiles import Profile
from xcdi.artificial.writing import put

__all__ = ["data_files", "write"]


def write(folder: Path, scan: Scan, p: Profile, faulty: Faults) -> Path:
    """Write ``<name>_master.h5`` and its data files, one frame at a time; return the master."""
    numbers = data_files(len(scan.monitor), p.frames_per_file, faulty.lost)
    names = [f"{scan.name}_data_{k + 1:06d}.h5" for k in range(len(numbers))]
    for name, part in zip(names, numbers, strict=True):
        _write_data(folder / name, scan.frames, part, p)
    master = folder / f"{scan.name}_master.h5"
    with h5py.File(master, "w") as file:
        entry = group(file, "entry", "NXentry")
        put(entry, "definition", "NXmx")
        put(entry, "start_time", START)
        links = group(entry, "data", "NXdata")
        for k, name in enumerate(names):
            links[f"data_{k + 1:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        instrument = group(entry, "instrument", "NXinstrument")
        _describe_details(describe_detector(instrument, p, scan), scan, p, faulty)
        describe_beam(instrument, p)
        put(group(instrument, "monitor", "NXmonitor"), "data", scan.monitor, "counts")
        put(group(group(entry, "sample", "NXsample"), "goniometer", "NXtransformations"), "omega", scan.angle_deg, "deg")
    return master


def data_files(frames: int, per_file: int, lost: Container[int] = ()) -> list[range]:
    """Frames of every data file: a file ends when it is full, or where frames were lost.

    Examples
    --------
    >>> data_files(7, 3, lost=(3, 4))
    [range(0, 3), range(5, 7)]
    """
    files: list[range] = []
    for number in (k for k in range(frames) if k not in lost):
        if not files or files[-1].stop != number or len(files[-1]) == per_file:
            files.append(range(number, number))
        files[-1] = range(files[-1].start, number + 1)
    return files


def _write_data(path: Path, source: Iterator[tuple[int, NDArray[Any]]], numbers: range, p: Profile) -> None:
    with h5py.File(path, "w") as file:
        data_group = group(group(file, "entry", "NXentry"), "data", "NXdata")
        shape = (len(numbers), *p.detector)
        data = data_group.create_dataset("data", shape, frame_dtype(p), chunks=(1, *p.detector), **SQUEEZED)
        data.attrs["image_nr_low"], data.attrs["image_nr_high"] = numbers.start + 1, numbers.stop
        for number, frame in islice(source, len(numbers)):
            data[number - numbers.start] = frame


def _describe_details(detector: h5py.Group, scan: Scan, p: Profile, faulty: Faults) -> None:
    details = detector.create_group("detectorSpecific")
    mask_and_flat(details, p, faulty)
    for name, number in (
        ("nimages", len(scan.monitor)),
        ("ntrigger", 1),
        ("countrate_correction_count_cutoff", p.cutoff),
        ("x_pixels_in_detector", p.detector[1]),
        ("y_pixels_in_detector", p.detector[0]),
    ):
        put(details, name, number)
