"""Truth: everything that the simulation knows, in one file that no analysis opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.detector import BadFrames, BadPixels, box_of
from xcdi.artificial.instrument import Sampling, beam_centre, sampling, series_angle_deg
from xcdi.artificial.particle import Boundary, Particle
from xcdi.artificial.profiles import Profile
from xcdi.artificial.slips import Slip

__all__ = ["write_truth"]

CLEAN_VALUES = 20_000_000  # noise-free frames are kept up to this many numbers


def write_truth(
    path: Path,
    *,
    p: Profile,
    seed: int,
    particle: Particle,
    boundaries: Sequence[Boundary],
    field: NDArray[np.complex128],
    slips: Sequence[Slip],
    drops: Mapping[str, NDArray[np.float64]],
    clean: NDArray[np.float32],
    pixels: BadPixels,
    frames: BadFrames,
) -> None:
    """Write ``truth.h5``.

    Parameters
    ----------
    path : Path
        File to write.
    p, seed : Profile, int
        What the experiment was made from.
    particle, boundaries : Particle, sequence of Boundary
        The object before the first event.
    field : array, shape (angle, row, column)
        Noise-free complex far field in the box; index ``n // 2`` is at G.
    slips, drops : sequence of Slip, dict of arrays
        Events and their noise-free drops by normalisation.
    clean : array, shape (frame, row, column)
        Noise-free frames of the box [photons].
    pixels, frames : BadPixels, BadFrames
        What went wrong on the detector.
    """
    with h5py.File(path, "w") as file:
        file["seed"], file["config"] = seed, p.model_dump_json()
        _write_particle(file, particle)
        _write_boundaries(file.create_group("boundaries"), boundaries)
        _write_geometry(file.create_group("geometry"), p, sampling(p))
        _write_field(file, p, field)
        _write_events(file.create_group("events"), slips, drops)
        if clean.size <= CLEAN_VALUES:
            _put(file, "clean", clean, "photons", compression="gzip", compression_opts=1, shuffle=True)
        artifacts = file.create_group("artifacts")
        for name, value in {**pixels._asdict(), **frames._asdict()}.items():
            artifacts[name] = np.asarray(value)


def _write_particle(file: h5py.File, particle: Particle) -> None:
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    _put(file, "object", particle.rho.astype(np.complex64), "1", **options)
    for name, values, units in (
        ("amplitude", particle.amplitude, "1"),
        ("u", particle.displacement, "nm"),
        ("strain", particle.strain, "1"),
        ("tilt_up", particle.tilt_up, "rad"),
        ("tilt_third", particle.tilt_third, "rad"),
        ("slow", particle.slow, "rad"),
    ):
        _put(file, name, values.astype(np.float32), units, **options)
    _put(file, "label", particle.label, "", **options)
    for name, positions in particle.axes._asdict().items():
        _put(file, f"axes/{name}", positions, "nm")
    for name, values, units in (("sites", particle.sites, "nm"), ("eps", particle.strains, "1"), ("omega", particle.tilts, "rad")):
        _put(file, name, values, units)


def _write_boundaries(group: h5py.Group, boundaries: Sequence[Boundary]) -> None:
    pairs = np.array([b.grains for b in boundaries], int).reshape(-1, 2)
    _put(group, "i", pairs[:, 0], "")
    _put(group, "j", pairs[:, 1], "")
    _put(group, "area", np.array([b.area_nm2 for b in boundaries]), "nm2")
    _put(group, "normal", np.array([b.normal for b in boundaries]).reshape(-1, 3), "1")
    _put(group, "centroid", np.array([b.voxels.mean(axis=0) for b in boundaries]).reshape(-1, 3), "nm")


def _write_geometry(group: h5py.Group, p: Profile, s: Sampling) -> None:
    for name, values, units in (
        ("G", s.peak, "1/nm"),
        ("q1", s.steps[:, 2], "1/nm"),
        ("q2", s.steps[:, 1], "1/nm"),
        ("q3", s.steps[:, 0], "1/nm"),
        ("q_basis", s.steps, "1/nm"),
        ("voxel_basis", s.voxels, "nm"),
        ("directions", s.directions, "1"),
        ("series_angle", series_angle_deg(p), "deg"),
        ("beam_centre", np.array(beam_centre(p)), "pixel"),
    ):
        _put(group, name, values, units)


def _write_field(file: h5py.File, p: Profile, field: NDArray[np.complex128]) -> None:
    """Keep the far field in the box, and its transform: the object as well as this box can show it."""
    shown = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field)))
    for name, values in (("amplitude_data_frame", field), ("object_data_frame", shown)):
        _put(file, name, values.astype(np.complex64), "1")
        rows, columns = box_of(p, p.box)
        file[name].attrs["box"] = [rows.start, rows.stop, columns.start, columns.stop]


def _write_events(group: h5py.Group, slips: Sequence[Slip], drops: Mapping[str, NDArray[np.float64]]) -> None:
    pairs = np.array([slip.grains for slip in slips], int).reshape(-1, 2)
    for name, values, units in (
        ("time", [slip.time for slip in slips], "s"),
        ("frame", np.array([slip.frame for slip in slips], int), "1"),
        ("boundary", np.array([slip.boundary for slip in slips], int), ""),
        ("i", pairs[:, 0], ""),
        ("j", pairs[:, 1], ""),
        ("moving", np.array([slip.moving for slip in slips], int), ""),
        ("centre", np.array([slip.centre for slip in slips]).reshape(-1, 3), "nm"),
        ("radius", [slip.radius for slip in slips], "nm"),
        ("phase", [slip.phase for slip in slips], "rad"),
        ("fraction", [slip.fraction for slip in slips], "1"),
        *((f"drop_{name}", values, "1") for name, values in drops.items()),
    ):
        _put(group, name, np.asarray(values), units)


def _put(group: h5py.Group, name: str, values: Any, units: str, **options: Any) -> None:
    group.create_dataset(name, data=values, **options)
    group[name].attrs["units"] = units
