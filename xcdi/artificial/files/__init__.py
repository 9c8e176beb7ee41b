"""File writers of the detector: one module for each format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage import io as pictures

from xcdi.artificial.faults import Faults
from xcdi.artificial.files import areadetector, eiger, stack
from xcdi.artificial.files.layout import START, Scan
from xcdi.artificial.profiles import Profile

__all__ = ["FLAT", "FORMATS", "START", "write_scan"]

FLAT = "flat.tif"
FORMATS: dict[str, Callable[[Path, Scan, Profile, Faults], Path]] = {
    "eiger": eiger.write,
    "stack": stack.write,
    "areadetector": areadetector.write,
}


def write_scan(
    folder: Path,
    name: str,
    frames: Iterable[NDArray[Any]],
    p: Profile,
    faulty: Faults,
    *,
    hkl: tuple[int, int, int] | None = None,
    angle_deg: ArrayLike,
    monitor: NDArray[Any],
) -> Path:
    """Write one scan into `folder`, a frame at a time, and the flat field beside it; return the file to open.

    Parameters
    ----------
    folder : Path
        Must exist.
    name : str
        Name of the scan.
    frames : iterable of arrays
        As many as `monitor` has values.
    p : Profile
        Format, geometry and times.
    faulty : Faults
        Its lost frames are taken from `frames` and not written.
    hkl : tuple of int, optional
        Reflection that the detector looks at, by default the first.
    angle_deg : float or array, shape (frame,)
        Position of the motor ``omega``.
    monitor : array, shape (frame,)
        Counts of the beam monitor.
    """
    written = ((number, frame) for number, frame in enumerate(frames) if number not in faulty.lost)
    pictures.imsave(folder / FLAT, faulty.flat, check_contrast=False)
    return FORMATS[p.format](folder, Scan(name, written, np.asarray(angle_deg, float), monitor, hkl), p, faulty)
