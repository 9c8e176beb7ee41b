"""Truth: everything that the simulation knows, in one file that no analysis opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.faults import artifacts, box_of
from xcdi.artificial.instrument import Sampling, beam_centre, series_angle_deg, tag
from xcdi.artificial.particle import Boundary, Particle, boundaries
from xcdi.artificial.profiles import Profile
from xcdi.artificial.scene import Scene
from xcdi.artificial.slips import Slip, powers
from xcdi.artificial.writing import put, write_field, write_sampling

__all__ = ["Peak", "write_truth"]

SQUEEZED: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
CLEAN_VALUES = 20_000_000  # noise-free frames are kept up to this many numbers


class Peak(NamedTuple):
    """What is known of one reflection.

    Attributes
    ----------
    hkl : tuple of int
        Its indices.
    sampling : Sampling
        Of its rocking scan.
    field : array, shape (angle, row, column)
        Noise-free complex far field in the box; index ``n // 2`` is at G.
    clean : array, shape (frame, row, column), or None
        Noise-free frames of the series' box [photons].
    drops : dict of arrays
        Noise-free drops of the events, by normalisation.
    rocking_over, over : arrays of int, shape (angle,), (frame,)
        Pixels whose counter came to its limit in each frame of the rocking scan and of the series.
    """

    hkl: tuple[int, int, int]
    sampling: Sampling
    field: NDArray[np.complex128]
    clean: Any
    drops: Mapping[str, NDArray[np.float64]]
    rocking_over: NDArray[np.int64]
    over: NDArray[np.int64]


def write_truth(path: Path, scene: Scene, peaks: Sequence[Peak]) -> None:
    """Write ``truth.h5``.

    Parameters
    ----------
    path : Path
        File to write.
    scene : Scene
        The particle, its events, its motion, and what went wrong on the detector.
    peaks : sequence of Peak
        What every reflection shows; the first stands at the top of the file, the others under ``reflections``.
    """
    p, spots = scene.p, scene.spots
    with h5py.File(path, "w") as file:
        file["seed"], file["config"] = scene.seed, json.dumps({"suite": "particle"} | p.model_dump(mode="json"))
        _write_particle(file, scene.particle)
        _write_boundaries(file.create_group("boundaries"), boundaries(scene.particle))
        _write_lines(file.create_group("dislocations"), scene.particle)
        for number, peak in enumerate(peaks):
            _write_peak(file.create_group(f"reflections/{tag(peak.hkl)}") if number else file, p, peak)
        _write_events(file.create_group("events"), scene.events, peaks[0].drops, powers(scene.particle, scene.events))
        put(file, "motion/shift", scene.moved.shift, "pixel")
        put(file, "motion/angle", np.rad2deg(scene.moved.angle), "deg")
        put(file, "spots/grain", np.array([spot.grain for spot in spots], int), "")
        put(file, "spots/centre", np.array([spot.centre for spot in spots]).reshape(-1, 2), "pixel")
        _write_artifacts(file.create_group("artifacts"), scene, peaks[0])


def _write_artifacts(group: h5py.Group, scene: Scene, first: Peak) -> None:
    """What the detector did wrong in the series, under ``rocking`` what it did in the rocking scan; and the beam."""
    for name, value in artifacts(scene.series_faults).items():
        group.create_dataset(name, data=np.asarray(value), **(SQUEEZED if name == "flat" else {}))
    for place, faults, beam, over in (
        (group, None, scene.series_beam, first.over),
        (group.create_group("rocking"), scene.rocking_faults, scene.rocking_beam, first.rocking_over),
    ):
        put(place, "beam", beam.intensity, "1")
        put(place, "over_limit", over, "pixel")
        for name, value in ({} if faults is None else artifacts(faults)).items():
            if name in ("dropped", "doubled") or name.startswith("streak"):
                place[name] = np.asarray(value)


def _write_peak(group: h5py.Group, p: Profile, peak: Peak) -> None:
    group.attrs["hkl"] = peak.hkl
    _write_geometry(group.create_group("geometry"), p, peak)
    write_field(group, peak.field, _corners(p, p.box))
    if peak.clean is not None and peak.clean.size <= CLEAN_VALUES:
        _copy(peak.clean, group.create_dataset("clean", peak.clean.shape, "f4", chunks=(1, *peak.clean.shape[1:]), **SQUEEZED))
        group["clean"].attrs["units"], group["clean"].attrs["box"] = "photons", _corners(p, p.series_box)
    for name, values in peak.drops.items():
        put(group, f"drops/{name}", values, "1")


def _copy(source: h5py.Dataset, target: h5py.Dataset, block: int = 64) -> None:
    for start in range(0, len(source), block):
        target[start : start + block] = source[start : start + block]


def _write_particle(file: h5py.File, particle: Particle) -> None:
    put(file, "object", particle.rho.astype(np.complex64), "1", **SQUEEZED)
    for name, values, units in (
        ("amplitude", particle.amplitude, "1"),
        ("u", particle.displacement, "nm"),
        ("u_vector", particle.vector, "nm"),
        ("strain", particle.distortion[0, 0], "1"),
        ("tilt_up", particle.distortion[0, 1], "rad"),
        ("tilt_third", particle.distortion[0, 2], "rad"),
        ("distortion", particle.distortion, "1"),
        ("slow", particle.slow, "rad"),
    ):
        put(file, name, values.astype(np.float32), units, **SQUEEZED)
    put(file, "label", particle.label, "", **SQUEEZED)
    for name, positions in particle.axes._asdict().items():
        put(file, f"axes/{name}", positions, "nm")
    means = particle.distortions
    for name, values, units in (
        ("sites", particle.sites, "nm"),
        ("eps", means[:, 0, 0], "1"),
        ("omega", means[:, 0, 1:], "rad"),
        ("distortions", means, "1"),
        ("turned", np.rad2deg(particle.turned), "deg"),
    ):
        put(file, name, values, units)


def _write_lines(group: h5py.Group, particle: Particle) -> None:
    group["kind"] = [line.kind for line in particle.lines] or np.array([], "S5")
    put(group, "grain", np.array([line.grain + 1 for line in particle.lines], int), "")
    for name, units in (("point", "nm"), ("line", "1"), ("burgers", "nm")):
        put(group, name, np.array([getattr(line, name) for line in particle.lines]).reshape(-1, 3), units)


def _write_boundaries(group: h5py.Group, boundaries: Sequence[Boundary]) -> None:
    pairs = np.array([b.grains for b in boundaries], int).reshape(-1, 2)
    put(group, "i", pairs[:, 0], "")
    put(group, "j", pairs[:, 1], "")
    put(group, "area", np.array([b.area_nm2 for b in boundaries]), "nm2")
    put(group, "normal", np.array([b.normal for b in boundaries]).reshape(-1, 3), "1")
    put(group, "centroid", np.array([b.voxels.mean(axis=0) for b in boundaries]).reshape(-1, 3), "nm")


def _write_geometry(group: h5py.Group, p: Profile, peak: Peak) -> None:
    write_sampling(group, peak.sampling)
    for name, values, units in (
        ("bragg_angle", np.rad2deg(peak.sampling.angle), "deg"),
        ("angle_step", np.rad2deg(peak.sampling.step), "deg"),
        ("series_angle", series_angle_deg(p), "deg"),
        ("beam_centre", np.array(beam_centre(p, peak.hkl)), "pixel"),
    ):
        put(group, name, values, units)


def _corners(p: Profile, side: int) -> list[int]:
    rows, columns = box_of(p, side)
    return [rows.start, rows.stop, columns.start, columns.stop]


def _write_events(group: h5py.Group, slips: Sequence[Slip], drops: Mapping[str, NDArray[np.float64]], power: NDArray[np.float64]) -> None:
    pairs = np.array([slip.grains for slip in slips], int).reshape(-1, 2)
    put(group, "i", pairs[:, 0], "")
    put(group, "j", pairs[:, 1], "")
    for name, units in (("time", "s"), ("radius", "nm"), ("phase", "rad"), ("fraction", "1"), ("healing", "1")):
        put(group, name, np.array([getattr(slip, name) for slip in slips], float), units)
    for name in ("frame", "boundary", "moving", "parent", "duration"):
        put(group, name, np.array([getattr(slip, name) for slip in slips], int), "1" if name in ("frame", "duration") else "")
    for name, units in (("centre", "nm"), ("displacement", "nm"), ("normal", "1")):
        put(group, name, np.array([getattr(slip, name) for slip in slips]).reshape(-1, 3), units)
    for name in ("shape", "kind"):
        group[name] = [getattr(slip, name) for slip in slips] or np.array([], "S5")
    for name, values in drops.items():
        put(group, f"drop_{name}", values, "1")
    put(group, "power", power, "1")
