"""Simulated experiment: it makes the particle, measures it, and writes files and truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import detector, files, particle, profiles, scattering, slips, speckle, truth
from xcdi.artificial.drops import drops
from xcdi.artificial.instrument import sampling, series_angle_deg
from xcdi.artificial.profiles import Profile
from xcdi.artificial.streams import streams
from xcdi.errors import XcdiError, suggest

__all__ = ["EXPERIMENTS", "simulate", "simulate_particle"]


def simulate(name: str, out: str | Path, profile: str = "nano", seed: int = 0, **options: Any) -> Path:
    """Write the simulated experiment `name` into the folder `out`, and return that folder.

    Parameters
    ----------
    name : str
        ``"particle"``: a rocking scan and a series of one polycrystalline particle, as detector files;
        ``"speckle"``: a plain stack of frames whose two-time correlation is known exactly.
    out : str or Path
        Folder; made if absent. Files of the same name in it are replaced.
    profile : str
        Size of the experiment: ``"pico"``, ``"nano"``, ``"std"`` or ``"full"``.
    seed : int
        The same seed gives the same bytes.
    **options
        Single values of :class:`xcdi.artificial.profiles.Profile`, or :class:`xcdi.artificial.speckle.Speckle`,
        to change, as ``events=False``.

    Raises
    ------
    XcdiError
        If there is no such experiment, profile or option, or `out` is a file.
    """
    if name not in EXPERIMENTS:
        raise XcdiError(f"no experiment {name!r}{suggest(name, EXPERIMENTS)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise XcdiError(f"{out} is a file, expected a folder to write into; choose another name")
    write = EXPERIMENTS[name]
    out.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(dir=out, prefix=".writing-"))
    try:
        write(aside, profile, seed, options)
        for path in sorted(aside.iterdir(), key=lambda path: (path.stem.endswith("_master"), path.name)):
            os.replace(path, out / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


def simulate_particle(folder: Path, profile_name: str, seed: int, options: dict[str, Any]) -> None:
    """Write rocking scan, series and truth of one particle into `folder`."""
    p = profiles.profile(profile_name, **options)
    scattering.check_window(p)
    rng = streams(seed)
    grown = particle.build(p, rng)
    events = slips.draw(p, grown, rng)
    bad = detector.bad_pixels(p, rng["pixels"])
    lies = detector.bad_frames(p, [slip.frame for slip in events], rng["frames"])
    field = _rocking(folder, p, grown, bad, rng)
    clean = _series(folder, p, grown, events, bad, lies, rng)
    truth.write_truth(
        folder / "truth.h5",
        p=p,
        seed=seed,
        particle=grown,
        boundaries=particle.boundaries(grown),
        field=field,
        slips=events,
        drops=drops(clean, [slip.frame for slip in events]),
        clean=clean,
        pixels=bad,
        frames=lies,
    )


def _rocking(
    folder: Path, p: Profile, grown: particle.Particle, bad: detector.BadPixels, rng: dict[str, np.random.Generator]
) -> NDArray[np.complex128]:
    """Write the rocking scan; return the noise-free field in the box, scaled to the photons measured."""
    field = scattering.rocking_amplitude(grown.rho, grown.axes, sampling(p), p.window)
    box = _box_in_window(p)
    intensity = scattering.blur(np.abs(field) ** 2, p.blur_px)
    scale = p.photons / intensity[:, box, box].sum()
    beam = detector.beam(p, p.angles, rng["beam"])
    means = intensity * scale * beam.intensity[:, None, None]
    frames = detector.expose(means, p, bad, detector.BadFrames(), rng["rocking_counts"])
    angles = (np.arange(p.angles) - p.angles // 2) * p.angle_step_deg
    files.write_scan(folder, "particle_rocking", frames, p, angle_deg=angles, monitor=beam.monitor)
    return field[:, box, box] * np.sqrt(scale)


def _series(
    folder: Path,
    p: Profile,
    grown: particle.Particle,
    events: Iterable[slips.Slip],
    bad: detector.BadPixels,
    lies: detector.BadFrames,
    rng: dict[str, np.random.Generator],
) -> NDArray[np.float32]:
    """Write the series; return the noise-free frames of the box [photons]."""
    beam = detector.beam(p, p.frames, rng["beam"])
    clean = np.empty((p.frames, p.box, p.box), np.float32)
    box = _box_in_window(p)

    def means() -> Iterator[NDArray[np.float64]]:
        scale = None
        for number, intensity in enumerate(scattering.series_frames(p, grown, events)):
            scale = scale or p.mean_count / intensity[box, box].mean()
            clean[number] = intensity[box, box] * scale
            yield intensity * scale * beam.intensity[number]

    frames = detector.expose(means(), p, bad, lies, rng["series_counts"])
    files.write_scan(folder, "particle_series", frames, p, angle_deg=series_angle_deg(p), monitor=beam.monitor)
    return clean


def _box_in_window(p: Profile) -> slice:
    start = p.window // 2 - p.box // 2
    return slice(start, start + p.box)


EXPERIMENTS: dict[str, Callable[[Path, str, int, dict[str, Any]], None]] = {"particle": simulate_particle, "speckle": speckle.write_speckle}
