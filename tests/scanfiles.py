"""Files as detectors write them, small and odd."""

import time
from pathlib import Path
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np

import xcdi.io
from xcdi.beamline import Beamline

PACKED = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
SHAPE = (13, 17)


class Eiger(NamedTuple):
    """One scan on disk and the truth about it."""

    folder: Path
    name: str
    counts: np.ndarray
    omega: np.ndarray

    @property
    def master(self):
        return self.folder / f"{self.name}_master.h5"

    def data(self, number):
        return self.folder / f"{self.name}_data_{number:06d}.h5"

    def open(self, **options):
        return xcdi.io.open_scan(self.folder, self.name, "demo", **options)


def write_data(path, counts, low=None, **how):
    """One data file of an Eiger."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("entry/data/data", data=counts, **({"chunks": (1, *counts.shape[1:]), **PACKED} | how))
        if low is not None:
            data.attrs["image_nr_low"], data.attrs["image_nr_high"] = low, low + len(counts) - 1


def write_master(path, files, n, mask, omega, *, nimages=None):
    """The master of an Eiger, with links to data files that may not be there yet."""
    with h5py.File(path, "w") as file:
        for number in range(1, files + 1):
            name = path.name.replace("_master", f"_data_{number:06d}")
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        numbers = {"frame_time": (0.5, "s"), "count_time": (490.0, "ms"), "detector_distance": (1900.0, "mm"), "x_pixel_size": (75.0, "um")}
        numbers |= {"y_pixel_size": (75e-6, "m"), "beam_center_x": (8.5, "pixel"), "beam_center_y": (-3.0, "pixel")}
        for name, (value, unit) in numbers.items():
            detector[name] = value
            detector[name].attrs["units"] = unit
        special = {"pixel_mask": mask, "nimages": nimages or n, "ntrigger": 1, "countrate_correction_count_cutoff": 60_000}
        for name, value in special.items():
            detector[f"detectorSpecific/{name}"] = value
        file["entry/instrument/beam/incident_wavelength"] = 1.2398419843320026
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
        file["entry/sample/goniometer/omega"] = omega
        file["entry/instrument/monitor/data"] = np.linspace(0.9e6, 1.1e6, n)
        file["entry/start_time"] = "2024-01-01T00:00:00"


def make_eiger(folder, name="S1", n=11, per_file=4, dtype="u2", **master):
    """A scan of `n` frames with a dead row, a noisy pixel that may be used, and one sentinel that no mask knows."""
    rng = np.random.default_rng(len(name) + n)
    counts = rng.poisson(2.0, (n, *SHAPE)).astype(dtype)
    counts[:, 3, 5] = np.iinfo(dtype).max
    mask = np.zeros(SHAPE, "u4")
    mask[7] = 1
    mask[0, 0] = 1 << 20  # a bit above the sixteen that reject
    omega = np.linspace(-1.0, 1.0, n)
    files = -(-n // per_file)
    for k in range(files):
        write_data(folder / f"{name}_data_{k + 1:06d}.h5", counts[k * per_file : (k + 1) * per_file], k * per_file + 1)
    write_master(folder / f"{name}_master.h5", files, n, mask, omega, **master)
    return Eiger(folder, name, counts, omega)


def stack_beamline(**more):
    """A beamline of plain HDF5 whose frames are at /{scan}/frames."""
    known = {"name": "plain", "format": "hdf5", "layout": {"counts": "/{scan}/frames"}}
    return Beamline.model_validate(known | more)


def write_stack(path, frames, scan="S1", **how):
    with h5py.File(path, "a") as file:
        return file.create_dataset(f"{scan}/frames", data=frames, **how).name


def grow(path, counts, pause_s):
    """Write `counts` frame by frame, as a detector does under SWMR."""
    with h5py.File(path, "w", libver="latest") as file:
        file["L/frame_time"] = 0.1
        written = file.create_dataset(
            "L/counts", (0, *counts.shape[1:]), counts.dtype, maxshape=(None, *counts.shape[1:]), chunks=(1, 7, 5)
        )
        file.swmr_mode = True
        for i, frame in enumerate(counts):
            written.resize(i + 1, axis=0)
            written[i] = frame
            written.flush()
            time.sleep(pause_s)
