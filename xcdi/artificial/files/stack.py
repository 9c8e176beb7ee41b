"""One plain HDF5 file: a stack of frames, and every number beside it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from xcdi.artificial.detector import frame_dtype
from xcdi.artificial.faults import Faults
from xcdi.artificial.files.layout import SQUEEZED, START, Scan, describe_beam, describe_detector, group, mask_and_flat
from xcdi.artificial.profiles import Profile
from xcdi.artificial.writing import put

__all__ = ["write"]


def write(folder: Path, scan: Scan, p: Profile, faulty: Faults) -> Path:
    """Write ``<name>.h5``, one frame at a time; return it. Where frames were lost, numbers and times jump."""
    path, planned = folder / f"{scan.name}.h5", len(scan.monitor)
    kept = np.setdiff1d(np.arange(planned), faulty.lost)
    with h5py.File(path, "w") as file:
        entry = group(file, "entry", "NXentry")
        put(entry, "start_time", START)
        instrument = group(entry, "instrument", "NXinstrument")
        detector = describe_detector(instrument, p, scan)
        put(detector, "frames_planned", planned)
        mask_and_flat(detector, p, faulty)
        describe_beam(instrument, p)
        put(group(instrument, "monitor", "NXmonitor"), "data", scan.monitor[kept], "counts")
        angle = scan.angle_deg[kept] if scan.angle_deg.ndim else scan.angle_deg
        put(group(group(entry, "sample", "NXsample"), "goniometer", "NXtransformations"), "omega", angle, "deg")
        data = group(entry, "data", "NXdata")
        put(data, "frame_number", kept + 1, "1")
        put(data, "time", kept * p.frame_time_s, "s")
        shape = (len(kept), *p.detector)
        counts = data.create_dataset("data", shape, frame_dtype(p), chunks=(1, *p.detector), maxshape=(planned, *p.detector), **SQUEEZED)
        counts.attrs["units"] = "counts"
        for place, (_, frame) in enumerate(scan.frames):
            counts[place] = frame
    return path
