"""Rocking scans of one particle in several states: before a slip, after it, after the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import detector, files, scattering
from xcdi.artificial.instrument import reciprocal_vector, sampling
from xcdi.artificial.particle import Particle
from xcdi.artificial.profiles import Profile
from xcdi.artificial.scene import Scene, counting
from xcdi.artificial.slips import Slip, changed_fraction, healed, region

__all__ = ["grain_slip", "scan_name", "state_fields", "write_states"]

AFTER = 500  # peaks of one experiment come before this number, states after it: each has counting noise of its own


def scan_name(number: int) -> str:
    """Name of the rocking scan of state `number`.

    Examples
    --------
    >>> scan_name(2)
    'particle_state2'
    """
    return f"particle_state{number}"


def grain_slip(particle: Particle, p: Profile, grain: int, phase: float) -> Slip:
    """Slip of the whole grain `grain` (1, 2, ...) along G, such that its phase changes by ``-phase`` [rad].

    The displacement is ``phase / |G|`` along G, as of every other slip: the object is multiplied with ``exp(-i phase)``.
    """
    along = reciprocal_vector(p, p.reflections[0])
    there = particle.label == grain
    if not there.any():
        raise ValueError(f"the particle has no grain {grain}; it has 1 to {int(particle.label.max())}")
    centre = particle.axes.points()[there].mean(axis=0)
    moved = phase / float(along @ along) * along
    changed = changed_fraction(particle, there.astype(float), phase)
    return Slip(0.0, 0, -1, (grain, grain), grain, centre, np.inf, moved, phase, changed, shape="grain")


def state_fields(particle: Particle, slips: Sequence[Slip], peak: NDArray[np.float64]) -> list[NDArray[np.complex128]]:
    """Objects of reflection `peak` before the first slip and after each, (z, y, x)."""
    fields = [particle.field(peak)]
    for slip in slips:
        fields.append(fields[-1] * healed(particle, slip) * np.exp(-1j * (peak @ slip.displacement) * region(particle, slip)))
    return fields


def write_states(folder: str | Path, scene: Scene, slips: Sequence[Slip], *, every_s: float) -> list[str]:
    """Write the rocking scans of a particle before `slips` and after each of them; return the names of the scans.

    Parameters
    ----------
    folder : path
        Made if absent.
    scene : Scene
        As from :func:`xcdi.artificial.scene.drawn`; its first reflection is measured, its events do not happen.
    slips : sequence of Slip
        In the order in which they happen.
    every_s : float
        From the start of one scan to that of the next [s].

    Raises
    ------
    ValueError
        If the format of the files keeps no start of a scan.
    """
    p, folder = scene.p, Path(folder)
    if p.format == "areadetector":
        raise ValueError("areadetector files keep no start of a scan, which tells states apart; choose format 'eiger' or 'stack'")
    folder.mkdir(parents=True, exist_ok=True)
    s = sampling(p, p.reflections[0])
    angles = np.rad2deg(s.angle + (np.arange(p.angles) - p.angles // 2) * s.step)
    names = []
    for number, rho in enumerate(state_fields(scene.particle, slips, s.peak)):
        frames = _frames(scene, rho * scattering.illumination(p, scene.particle.axes), number)
        names.append(scan_name(number))
        beam = scene.rocking_beam.monitor
        master = files.write_scan(folder, names[-1], frames, p, scene.rocking_faults, angle_deg=angles, monitor=beam)
        _start(master, number * every_s)
    return names


def _frames(scene: Scene, rho: NDArray[np.complex128], number: int) -> Iterator[NDArray[Any]]:
    """Counts of the rocking scan of `rho`, frame by frame."""
    p, s = scene.p, sampling(scene.p, scene.p.reflections[0])
    field = scattering.rocking_amplitude(rho, scene.particle.axes, s, p.window, arc=p.arc)
    intensity = scattering.blur(np.abs(field) ** 2, p.blur_px)
    start = p.window // 2 - p.box // 2
    box = slice(start, start + p.box)
    intensity *= p.photons / intensity[:, box, box].sum()
    around = detector.box_of(p, p.window)
    patches = ([detector.Patch(*around, mean * beam)] for mean, beam in zip(intensity, scene.rocking_beam.intensity, strict=True))
    rng = counting(scene.seed, "rocking_counts", AFTER + number)
    return detector.expose(patches, p, scene.rocking_faults, rng, hkl=p.reflections[0])


def _start(master: Path, seconds: float) -> None:
    """Move the start of a written scan."""
    with h5py.File(master, "r+") as file:
        begin = datetime.fromisoformat(files.START) + timedelta(seconds=seconds)
        file["entry/start_time"][()] = begin.isoformat(timespec="microseconds")
