"""EPICS areaDetector: the file of its plugin NDFileHDF5 in the default layout, written frame by frame so that others can read it meanwhile.

Source: NDFileHDF5 of areaDetector/ADCore, default layout (``hdf5_layout``): frames in
``/entry/instrument/detector/data``, hard-linked as ``/entry/data/data``; attributes of frames in ``NDAttributes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.detector import frame_dtype
from xcdi.artificial.faults import Faults
from xcdi.artificial.files.layout import SQUEEZED, Scan, describe_beam, describe_detector, group, mask_and_flat
from xcdi.artificial.profiles import Profile
from xcdi.artificial.writing import put

__all__ = ["ATTRIBUTES", "write"]

EPOCH_S = 1_072_915_200  # 2024-01-01 in seconds after 1990-01-01, where EPICS begins
ATTRIBUTE_CHUNK = 16


class Attribute(NamedTuple):
    """A number that comes with every frame."""

    dtype: str
    description: str
    source: str
    kind: str


def _own(dtype: str, description: str) -> Attribute:
    return Attribute(dtype, description, "Driver", "NDAttrSourceDriver")


ATTRIBUTES = {
    "NDArrayUniqueId": _own("i4", "The unique ID of the NDArray"),
    "NDArrayTimeStamp": _own("f8", "The timestamp of the NDArray as float64"),
    "NDArrayEpicsTSSec": _own("u4", "The NDArray EPICS timestamp seconds past epoch"),
    "NDArrayEpicsTSnSec": _own("u4", "The NDArray EPICS timestamp nanoseconds"),
    "Monitor": Attribute("f8", "Counts of the beam monitor", "SIM:monitor", "NDAttrSourceEPICSPV"),
    "Omega": Attribute("f8", "Angle of the sample in degrees", "SIM:omega", "NDAttrSourceEPICSPV"),
}


def write(folder: Path, scan: Scan, p: Profile, faulty: Faults) -> Path:
    """Write ``<name>.h5``; return it. Where frames were lost, ids and time stamps jump."""
    path = folder / f"{scan.name}.h5"
    angles = np.broadcast_to(scan.angle_deg, scan.monitor.shape)
    with h5py.File(path, "w", libver="latest") as file:
        counts, attributes = _prepare(file, scan, p, faulty)
        file.swmr_mode = True
        for number, frame in scan.frames:
            stamps = _stamps(number, p.frame_time_s)
            _append(counts, attributes, frame, stamps | {"Monitor": scan.monitor[number], "Omega": angles[number]})
    return path


def _prepare(file: h5py.File, scan: Scan, p: Profile, faulty: Faults) -> tuple[h5py.Dataset, dict[str, h5py.Dataset]]:
    """Everything that has to be there before others may read: groups, constants, empty datasets, links."""
    planned = len(scan.monitor)
    entry = group(file, "entry", "NXentry")
    instrument = group(entry, "instrument", "NXinstrument")
    detector = describe_detector(instrument, p, scan)
    put(detector, "frames_planned", planned)
    mask_and_flat(detector, p, faulty)
    describe_beam(instrument, p)
    shape = (planned, *p.detector)
    counts = detector.create_dataset("data", (0, *p.detector), frame_dtype(p), chunks=(1, *p.detector), maxshape=shape, **SQUEEZED)
    counts.attrs["signal"] = 1
    group(entry, "data", "NXdata")["data"] = counts
    listed = group(instrument, "NDAttributes", "NXcollection")
    made = {}
    for name, about in ATTRIBUTES.items():
        made[name] = listed.create_dataset(name, (0,), about.dtype, chunks=(ATTRIBUTE_CHUNK,), maxshape=(None,))
        made[name].attrs["NDAttrName"], made[name].attrs["NDAttrDescription"] = name, about.description
        made[name].attrs["NDAttrSource"], made[name].attrs["NDAttrSourceType"] = about.source, about.kind
    return counts, made


def _stamps(number: int, frame_time_s: float) -> dict[str, float]:
    """Id and time stamps of the frame `number`.

    Examples
    --------
    >>> _stamps(3, 0.5)["NDArrayUniqueId"], _stamps(3, 0.5)["NDArrayEpicsTSnSec"]
    (4, 500000000)
    """
    seconds, nanoseconds = divmod(round(number * frame_time_s * 1e9), 10**9)
    return {
        "NDArrayUniqueId": number + 1,
        "NDArrayTimeStamp": EPOCH_S + number * frame_time_s,
        "NDArrayEpicsTSSec": EPOCH_S + seconds,
        "NDArrayEpicsTSnSec": nanoseconds,
    }


def _append(counts: h5py.Dataset, attributes: Mapping[str, h5py.Dataset], frame: NDArray[Any], values: Mapping[str, float]) -> None:
    """Add a frame and then its attributes, and let readers see each."""
    place = len(counts)
    counts.resize(place + 1, 0)
    counts[place] = frame
    counts.flush()
    for name, dataset in attributes.items():
        dataset.resize(place + 1, 0)
        dataset[place] = values[name]
        dataset.flush()
