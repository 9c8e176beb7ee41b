"""Groups and numbers that the files of all formats have in common, as NeXus names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.detector import count_time, frame_dtype
from xcdi.artificial.faults import Faults
from xcdi.artificial.instrument import beam_centre, masked_pixels, wavelength_nm
from xcdi.artificial.profiles import Profile
from xcdi.artificial.writing import put

__all__ = ["SQUEEZED", "START", "Scan", "describe_beam", "describe_detector", "group", "mask_and_flat", "put_image"]

START = "2024-01-01T00:00:00.000000"
SQUEEZED = dict(hdf5plugin.Bitshuffle(cname="lz4"))


class Scan(NamedTuple):
    """One scan as the detector delivers it."""

    name: str
    frames: Iterator[tuple[int, NDArray[Any]]]  # number and counts of every frame that is written
    angle_deg: NDArray[np.float64]  # one, or one for each frame
    monitor: NDArray[np.float64]  # for each frame that was planned
    hkl: tuple[int, int, int] | None = None  # reflection that the detector looks at, by default the first


def group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    """Make a group of the NeXus class `kind`."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made


def put_image(parent: h5py.Group, name: str, image: NDArray[Any]) -> None:
    """Write an image of the whole detector, compressed as frames are."""
    parent.create_dataset(name, data=image, chunks=image.shape, **SQUEEZED)


def describe_detector(instrument: h5py.Group, p: Profile, scan: Scan) -> h5py.Group:
    """Write the numbers of the detector that any analysis needs; return its group."""
    detector = group(instrument, "detector", "NXdetector")
    row, column = beam_centre(p, scan.hkl)
    bits = 8 * frame_dtype(p).itemsize
    put(detector, "description", "simulated")
    for name, value, units in (
        ("count_time", count_time(p), "s"),
        ("frame_time", p.frame_time_s, "s"),
        ("dead_time", p.dead_time_s, "s"),
        ("detector_distance", p.distance_m, "m"),
        ("x_pixel_size", p.pixel_m, "m"),
        ("y_pixel_size", p.pixel_m, "m"),
        ("beam_center_x", column, "pixel"),
        ("beam_center_y", row, "pixel"),
        ("bit_depth_image", bits, None),
        ("bit_depth_readout", bits, None),
        ("saturation_value", p.cutoff - 1, None),  # NXmx: the largest valid count; the counter stops one above it
        ("flatfield_correction_applied", 0, None),
        ("countrate_correction_applied", 0, None),
    ):
        put(detector, name, value, units)
    return detector


def describe_beam(instrument: h5py.Group, p: Profile) -> None:
    """Write the wavelength."""
    put(group(instrument, "beam", "NXbeam"), "incident_wavelength", 10 * wavelength_nm(p), "angstrom")


def mask_and_flat(parent: h5py.Group, p: Profile, faulty: Faults) -> None:
    """Write the pixel mask, and the factors that make pixels alike: frames are to be multiplied with them, as Dectris has it."""
    put_image(parent, "pixel_mask", masked_pixels(p).astype(np.uint32))
    put_image(parent, "flatfield", (1 / faulty.flat).astype(np.float32))
