"""Simulated experiment: it makes the particle, measures it, and writes files and truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import catalogues, crystal, detector, files, profiles, scattering, speckle, truth, variants
from xcdi.artificial.drops import drops
from xcdi.artificial.instrument import Sampling, sampling, series_angle_deg, tag
from xcdi.artificial.replay import put_in_place
from xcdi.artificial.scene import Scene, counting, drawn
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
        If there is no such experiment, profile or option, or `out` is a file or holds an experiment of other files.
    """
    if name not in EXPERIMENTS:
        raise XcdiError(f"no experiment {name!r}{suggest(name, EXPERIMENTS)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise XcdiError(f"{out} is a file, expected a folder to write into; choose another name")
    out.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(dir=out, prefix=".writing-"))
    try:
        EXPERIMENTS[name](aside, profile, seed, options, variant, tell=tell)
        _refuse_mixture(aside, out)
        deliver(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # succeeds if nothing has come to be
    return out


def _refuse_mixture(aside: Path, out: Path) -> None:
    """Raise XcdiError if files of another simulated experiment would stay beside the new ones."""
    new = {path.name for path in aside.iterdir()}
    left = sorted(path.name for path in out.glob("*.h5") if path.name not in new and path.name.startswith(tuple(EXPERIMENTS)))
    if left and (out / "truth.h5").exists():
        raise XcdiError(
            f"{out} holds {left[0]} of an experiment of other files, which would stay beside this one's truth; choose another folder"
        )


def simulate_particle(folder: Path, profile_name: str, seed: int, options: dict[str, Any], variant: str, *, tell: Tell = silent) -> None:
    """Write rocking scans, series and truth of one particle into `folder`."""
    p = profiles.profile(profile_name, **variants.variant(profile_name, variant) | options)
    scattering.check_window(p)
    scene = drawn(p, seed)
    peaks = [_measured(folder, scene, number, tell) for number in range(len(p.reflections))]
    truth.write_truth(folder / "truth.h5", scene, peaks)
    for peak in peaks:
        if peak.clean is not None:
            scratch = Path(peak.clean.file.filename)
            peak.clean.file.close()
            scratch.unlink()


def _measured(folder: Path, scene: Scene, number: int, tell: Tell) -> truth.Peak:
    """Write the scans of the reflection `number`, and return what is known of it."""
    p, hkl = scene.p, scene.p.reflections[number]
    look = Look(folder, scene, number, sampling(p, hkl), tell)
    field, full = _rocking(look)
    if abs(np.deg2rad(series_angle_deg(p)) - look.sampling.angle) > VISIBLE:
        return truth.Peak(hkl, look.sampling, field, None, {}, full, np.empty(0, int))
    clean, over = _series(look)
    marks = [slip.frame for slip in scene.events], [slip.duration for slip in scene.events]
    return truth.Peak(hkl, look.sampling, field, clean, drops(clean, *marks), full, over)


class Look(NamedTuple):
    """The detector at one of the reflections."""

    folder: Path
    scene: Scene
    number: int
    sampling: Sampling
    tell: Tell

    def name(self, scan: str) -> str:
        """Name of a scan of this reflection."""
        return f"particle_{scan}" + (f"_{tag(self.scene.p.reflections[self.number])}" if self.number else "")

    def patches(self, scan: str, mean: NDArray[Any], gain: float, frame: int) -> list[detector.Patch]:
        """Photons of a frame: around the peak, and on the first one's detector those of turned grains."""
        around = detector.Patch(*detector.box_of(self.scene.p, len(mean)), mean * gain)
        if self.number:
            return [around]
        shown = [spot.rocking[frame] if scan == "rocking" else spot.series for spot in self.scene.spots]
        return [around, *(detector.Patch(s.rows, s.columns, i * gain) for s, i in zip(self.scene.spots, shown, strict=True))]


def _rocking(look: Look) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
    """Write the rocking scan of a peak; return the noise-free field in the box [sqrt(photons)], and counters at their limit."""
    scene, p, s = look.scene, look.scene.p, look.sampling
    rho = scene.particle.field(s.peak) * scattering.illumination(p, scene.particle.axes)
    field = scattering.rocking_amplitude(rho, scene.particle.axes, s, p.window, arc=p.arc)
    box = _middle(p.window, p.box)
    intensity = scattering.blur(np.abs(field) ** 2, p.blur_px)
    scale = p.photons / intensity[:, box, box].sum()

    def patches() -> Iterator[list[detector.Patch]]:
        for number, (mean, beam) in enumerate(zip(intensity, scene.rocking_beam.intensity, strict=True)):
            look.tell(f"frames of {look.name('rocking')}", number + 1, p.angles)
            yield look.patches("rocking", mean, scale * beam, number)

    full, hkl = np.zeros(p.angles, int), p.reflections[look.number]
    frames = detector.expose(patches(), p, scene.rocking_faults, counting(scene.seed, "rocking_counts", look.number), hkl=hkl, over=full)
    angles = np.rad2deg(s.angle + (np.arange(p.angles) - p.angles // 2) * s.step)
    name, monitor = look.name("rocking"), scene.rocking_beam.monitor
    files.write_scan(look.folder, name, frames, p, scene.rocking_faults, hkl=hkl, angle_deg=angles, monitor=monitor)
    return field[:, box, box] * np.sqrt(scale), full


def _series(look: Look) -> tuple[h5py.Dataset, NDArray[np.int64]]:
    """Write the series of a peak; return its noise-free frames [photons], which stay on disk, and counters at their limit."""
    scene, p = look.scene, look.scene.p
    scratch = h5py.File(look.folder / f"{look.name('series')}.scratch", "w")
    clean = scratch.create_dataset("clean", (p.frames, p.series_box, p.series_box), "f4", chunks=(1, p.series_box, p.series_box))

    def patches() -> Iterator[list[detector.Patch]]:
        scale = None
        for number, intensity in enumerate(scattering.series_frames(p, scene.particle, scene.events, look.sampling, scene.moved)):
            box = _middle(len(intensity), p.series_box)
            scale = scale or p.mean_count / intensity[box, box].mean()
            clean[number] = intensity[box, box] * scale
            look.tell(f"frames of {look.name('series')}", number + 1, p.frames)
            yield look.patches("series", intensity, scale * scene.series_beam.intensity[number], number)

    over, hkl = np.zeros(p.frames, int), p.reflections[look.number]
    frames = detector.expose(patches(), p, scene.series_faults, counting(scene.seed, "series_counts", look.number), hkl=hkl, over=over)
    name, monitor = look.name("series"), scene.series_beam.monitor
    files.write_scan(look.folder, name, frames, p, scene.series_faults, hkl=hkl, angle_deg=series_angle_deg(p), monitor=monitor)
    return clean, over


def _middle(room: int, side: int) -> slice:
    """The `side` pixels in the middle of `room`."""
    start = room // 2 - side // 2
    return slice(start, start + side)


EXPERIMENTS: dict[str, Callable[..., None]] = {
    "particle": simulate_particle,
    "speckle": speckle.write_speckle,
    "catalogue": catalogues.write_catalogue,
    "crystal": crystal.simulate_crystal,
}
