"""Simulated experiment: it makes the particle, measures it, and writes files and truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import catalogues, crystal, detector, files, motion, particle, profiles, scattering, slips, speckle, truth, variants
from xcdi.artificial.drops import drops
from xcdi.artificial.instrument import Sampling, sampling, series_angle_deg, tag
from xcdi.artificial.profiles import Profile
from xcdi.artificial.replay import put_in_place
from xcdi.artificial.spots import Spot, spots
from xcdi.artificial.streams import streams
from xcdi.artificial.telling import Tell, silent
from xcdi.errors import XcdiError, suggest

__all__ = ["EXPERIMENTS", "simulate", "simulate_particle"]

VISIBLE = np.deg2rad(3.0)  # a reflection farther than this from its Bragg angle has no series


def simulate(
    name: str,
    out: str | Path,
    profile: str = "nano",
    seed: int = 0,
    variant: str = "",
    *,
    deliver: Callable[[Path, Path], None] = put_in_place,
    tell: Tell = silent,
    **options: Any,
) -> Path:
    """Write the simulated experiment `name` into the folder `out`, and return that folder.

    Parameters
    ----------
    name : str
        ``"particle"``: a rocking scan and a series of one polycrystalline particle, as detector files;
        ``"speckle"``: a plain stack of frames whose two-time correlation is known exactly;
        ``"catalogue"``: events without frames, whose statistics are known;
        ``"crystal"``: a rocking scan of an atomic crystal on a diffractometer, strongly sheared.
    out : str or Path
        Folder; made if absent. Files of the same name in it are replaced.
    profile : str
        Size of the experiment: ``"pico"``, ``"nano"``, ``"std"`` or ``"full"``.
    seed : int
        The same seed gives the same bytes.
    variant : str
        Names of variants, separated by commas, as ``"standard,dim-0.3"``.
    deliver : function
        Brings the finished files from the hidden folder where they were made into `out`: all at once, or as
        :func:`xcdi.artificial.replay.replay` does.
    tell : function
        Told what is being made, how many are done, and of how many.
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
        write(aside, profile, seed, options, variant, tell=tell)
        deliver(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


def simulate_particle(folder: Path, profile_name: str, seed: int, options: dict[str, Any], variant: str, *, tell: Tell = silent) -> None:
    """Write rocking scans, series and truth of one particle into `folder`."""
    p = profiles.profile(profile_name, **variants.variant(profile_name, variant) | options)
    scattering.check_window(p)
    rng = streams(seed)
    grown = particle.build(p, rng)
    events = slips.draw(p, grown, rng)
    setup = Setup(
        folder,
        p,
        grown,
        events,
        motion.draw(p, rng["motion"]),
        detector.faults(p, [slip.frame for slip in events], rng),
        detector.beam(p, p.angles, rng["beam"]),
        detector.beam(p, p.frames, rng["beam"], jump=p.beam_jump),
        spots(p, grown),
        tell,
    )
    rolled = np.zeros(p.frames, int)
    peaks = [_measured(setup, number, rng, rolled) for number in range(len(p.reflections))]
    truth.write_truth(
        folder / "truth.h5",
        p=p,
        seed=seed,
        particle=grown,
        peaks=peaks,
        slips=events,
        motion=setup.moved,
        faulty=setup.faulty,
        spots=setup.spots,
        rolled=rolled,
    )
    for peak in peaks:
        if peak.clean is not None:
            scratch = Path(peak.clean.file.filename)
            peak.clean.file.close()
            scratch.unlink()


class Setup(NamedTuple):
    """What all scans of one experiment share."""

    folder: Path
    p: Profile
    grown: particle.Particle
    events: Sequence[slips.Slip]
    moved: motion.Motion
    faulty: detector.Faults
    rocking_beam: detector.Beam
    series_beam: detector.Beam
    spots: Sequence[Spot]
    tell: Tell


def _measured(setup: Setup, number: int, rng: dict[str, np.random.Generator], rolled: NDArray[Any]) -> truth.Peak:
    """Write the scans of the reflection `number`, and return what is known of it."""
    p, hkl = setup.p, setup.p.reflections[number]
    s = sampling(p, hkl)
    ending = f"_{tag(hkl)}" if number else ""
    field = _rocking(setup, f"particle_rocking{ending}", hkl, s, _source(rng["rocking_counts"], number))
    if abs(np.deg2rad(series_angle_deg(p)) - s.angle) > VISIBLE:
        return truth.Peak(hkl, s, field, None, {})
    clean = _series(setup, f"particle_series{ending}", hkl, s, _source(rng["series_counts"], number), None if number else rolled)
    marks = [slip.frame for slip in setup.events], [slip.duration for slip in setup.events]
    return truth.Peak(hkl, s, field, clean, drops(clean, *marks))


def _source(rng: np.random.Generator, number: int) -> np.random.Generator:
    """Stream of the peak `number`: `rng` for the first, and for the others a child of it each."""
    return rng.spawn(number)[-1] if number else rng


def _rocking(setup: Setup, name: str, hkl: tuple[int, int, int], s: Sampling, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Write the rocking scan of a peak; return the noise-free field in the box, scaled to the photons measured."""
    p, grown, beam = setup.p, setup.grown, setup.rocking_beam
    rho = grown.field(s.peak) * scattering.illumination(p, grown.axes)
    field = scattering.rocking_amplitude(rho, grown.axes, s, p.window, arc=p.arc)
    box = _box_in_window(p, p.box)
    intensity = scattering.blur(np.abs(field) ** 2, p.blur_px)
    scale = p.photons / intensity[:, box, box].sum()
    others = setup.spots if hkl == p.reflections[0] else []

    def patches() -> Iterator[list[detector.Patch]]:
        for number, (mean, gain) in enumerate(zip(intensity, scale * beam.intensity, strict=True)):
            setup.tell(f"frames of {name}", number + 1, p.angles)
            yield [
                detector.Patch(*detector.box_of(p, p.window), mean * gain),
                *(detector.Patch(spot.rows, spot.columns, spot.rocking[number] * gain) for spot in others),
            ]

    frames = detector.expose(patches(), p, setup.faulty.lasting, rng, hkl=hkl)
    angles = np.rad2deg(s.angle + (np.arange(p.angles) - p.angles // 2) * s.step)
    files.write_scan(setup.folder, name, frames, p, setup.faulty.lasting, hkl=hkl, angle_deg=angles, monitor=beam.monitor)
    return field[:, box, box] * np.sqrt(scale)


def _series(
    setup: Setup, name: str, hkl: tuple[int, int, int], s: Sampling, rng: np.random.Generator, rolled: NDArray[Any] | None
) -> h5py.Dataset:
    """Write the series of a peak; return the noise-free frames of the series' box [photons], which stay on disk."""
    p, beam = setup.p, setup.series_beam
    scratch = h5py.File(setup.folder / f"{name}.scratch", "w")
    clean = scratch.create_dataset("clean", (p.frames, p.series_box, p.series_box), "f4", chunks=(1, p.series_box, p.series_box))
    box = _box_in_window(p, p.series_box)
    others = setup.spots if hkl == p.reflections[0] else []

    def patches() -> Iterator[list[detector.Patch]]:
        scale = None
        for number, intensity in enumerate(scattering.series_frames(p, setup.grown, setup.events, s, setup.moved)):
            scale = scale or p.mean_count / intensity[box, box].mean()
            clean[number] = intensity[box, box] * scale
            gain = scale * beam.intensity[number]
            setup.tell(f"frames of {name}", number + 1, p.frames)
            yield [
                detector.Patch(*detector.box_of(p, p.window), intensity * gain),
                *(detector.Patch(spot.rows, spot.columns, spot.series * gain) for spot in others),
            ]

    frames = detector.expose(patches(), p, setup.faulty, rng, hkl=hkl, rolled=rolled)
    files.write_scan(setup.folder, name, frames, p, setup.faulty, hkl=hkl, angle_deg=series_angle_deg(p), monitor=beam.monitor)
    return clean


def _box_in_window(p: Profile, side: int) -> slice:
    start = p.window // 2 - side // 2
    return slice(start, start + side)


EXPERIMENTS: dict[str, Callable[..., None]] = {
    "particle": simulate_particle,
    "speckle": speckle.write_speckle,
    "catalogue": catalogues.write_catalogue,
    "crystal": crystal.simulate_crystal,
}
