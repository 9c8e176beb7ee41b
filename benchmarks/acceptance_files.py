"""Measures of what happens to raw frames: masks, bad frames, corrections, the place of the peak, and the live mode."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xcdi import io
from xcdi.artificial import detector, profiles, scattering
from xcdi.artificial.instrument import beam_centre, masked_pixels
from xcdi.errors import XcdiError
from xcdi.stages import corrections, geometry
from xcdi.stages.series_correlation import Correlating, correlate

__all__ = ["centring", "frames", "live", "losses", "pixels", "trend"]

LARGE, COUNTS = (512, 512), (60, 300)  # frames that memory is measured with
XCDI = [sys.executable, "-c", "import sys; from xcdi.cli import main; sys.exit(main())"]
BEAMLINE = """
name = "stack"
format = "hdf5"
[layout]
counts = "/entry/counts"
time = {{ path = "/entry/time", units = "s" }}
frames_expected = {{ value = {frames}, units = "1", source = "the experiment" }}
"""


def profile_of(bench: Any) -> profiles.Profile:
    """Return the profile that the files were made from."""
    return profiles.Profile(**{name: value for name, value in bench.config.items() if name in profiles.Profile.model_fields})


def pixels(bench: Any) -> dict[str, Any]:
    """Compare the pixels that the whole series is trusted in with those that are good, and the counts with the file's."""
    scan = io.open_scan(bench.raw, "particle_series", bench.beamline)
    valid = corrections.find_bad_pixels(scan).valid.to_numpy()
    masked = masked_pixels(profile_of(bench))
    with h5py.File(bench.truth, "r") as file:
        bad = {name: file[f"artifacts/{name}"][()].reshape(-1, 2) for name in ("dead", "hot", "flickering")}
    honest = ~masked
    for places in bad.values():
        honest[tuple(places.T)] = False
    return {
        "masked_trusted": int((valid & masked).sum()),
        **{f"{name}_{what}": int(count) for name, places in bad.items() for what, count in _caught(valid, places).items()},
        "false": int((~valid & honest).sum()),
        "false_on_streaks": int((~valid & honest & _crossed(bench, valid.shape)).sum()),
        "pixels": int(valid.size),
        "altered": _altered(bench, scan),
        "box": _in_box(bench, scan, bad),
    }


def _crossed(bench: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels that a cosmic ray crossed in some frame."""
    crossed = np.zeros(shape, bool)
    with h5py.File(bench.truth, "r") as file:
        crossed[tuple(file["artifacts/streak_pixels"][:, 1:].T)] = True
    return crossed


def _caught(valid: np.ndarray, places: np.ndarray) -> dict[str, int]:
    return {"caught": int((~valid[tuple(places.T)]).sum()), "all": len(places)}


def _in_box(bench: Any, scan: xr.Dataset, bad: dict[str, np.ndarray]) -> dict[str, Any]:
    """The same for the pixels that the correlation keeps, where every frame is looked at."""
    found = correlate(scan, Correlating())
    rows, columns = found.pixel_y.to_numpy().astype(int), found.pixel_x.to_numpy().astype(int)
    kept = np.zeros((scan.sizes["y"], scan.sizes["x"]), bool)
    kept[rows, columns] = True
    inside = {
        name: places[(places >= [rows.min(), columns.min()]).all(axis=1) & (places <= [rows.max(), columns.max()]).all(axis=1)]
        for name, places in bad.items()
    }
    return {name: _caught(kept, places) for name, places in inside.items()}


def _altered(bench: Any, scan: xr.Dataset) -> int:
    """Values of the scan that differ from those in the files, read without xcdi."""
    wanted = _stored(bench)
    return int((scan.counts.to_numpy() != wanted).sum()) if wanted.shape == scan.counts.shape else wanted.size


def _stored(bench: Any) -> np.ndarray:
    """Frames of the series as they are in the data files."""
    parts = []
    for path in sorted(bench.raw.glob("particle_series*_data_*.h5")) or [bench.raw / "particle_series.h5"]:
        with h5py.File(path, "r") as file:
            parts.append(file["entry/data/data"][()])
    return np.concatenate(parts)


def frames(bench: Any) -> dict[str, Any]:
    """List the frames that are flagged beside those that lie, and compare the time of each with the true one."""
    scan = io.open_scan(bench.raw, "particle_series", bench.beamline)
    found = correlate(scan, Correlating())
    with h5py.File(bench.truth, "r") as file:
        lies = {name: file[f"artifacts/{name}"][()].astype(int) for name in ("dropped", "doubled", "lost") if f"artifacts/{name}" in file}
    lost = lies.pop("lost", np.array([], int))
    step, planned = float(bench.config["frame_time_s"]), int(bench.config["frames"])
    time_s, ok = found.time.to_numpy(), found.frame_ok.to_numpy()
    number = {planned: np.arange(planned), planned - len(lost): np.setdiff1d(np.arange(planned), lost)}.get(len(time_s))
    if number is None:
        raise XcdiError(f"{len(time_s)} frames in the result; expected {planned}, or {planned - len(lost)} without those that were lost")
    used = np.isfinite(found.two_time.to_numpy()[0]).any(axis=1)
    return {
        "lying": np.concatenate(list(lies.values())),
        "lost": lost,
        "flagged": number[~ok],
        "used": number[used],
        "time_error_s": float(np.abs(time_s - time_s[0] - step * (number - number[0])).max()),
    }


def _with_losses(bench: Any, scan: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The scan with the dead time and the flat field; says which of them its files did not tell."""
    told = []
    with h5py.File(bench.truth, "r") as file:
        if "flat" not in scan:
            scan = scan.assign(flat=(("y", "x"), file["artifacts/flat"][()].astype(np.float32), {"units": "1"}))
            told.append("flat field")
    if "dead_time_s" not in scan.attrs:
        scan = scan.assign_attrs(dead_time_s=float(bench.config["dead_time_s"]))
        told.append("dead time")
    return scan, ", ".join(told)


def _corrected(bench: Any, name: str) -> tuple[xr.Dataset, str]:
    scan, told = _with_losses(bench, io.open_scan(bench.raw, name, bench.beamline))
    scan = corrections.find_bad_pixels(scan)
    return corrections.apply(scan, ("to_float", "dead_time", "flat", "per_monitor")), told


def _box(bench: Any) -> dict[str, slice]:
    with h5py.File(bench.truth, "r") as file:
        top, bottom, left, right = (int(edge) for edge in file["amplitude_data_frame"].attrs["box"])
    return {"y": slice(top, bottom), "x": slice(left, right)}


def _stray(bench: Any, box: dict[str, slice]) -> np.ndarray:
    """Counts per frame (y, x) in the box that no correction takes off: background, the detector's own, and the ring about the beam."""
    p = profile_of(bench)
    rows, columns = np.ogrid[box["y"], box["x"]]
    row, column = beam_centre(p)
    away = np.hypot(rows - row, columns - column) - np.hypot(p.peak_px[0] - row, p.peak_px[1] - column)
    own = detector.OWN_RATE * p.frame_time_s if p.background else 0.0
    return p.background + own + p.ring * np.exp(-((away / (detector.RING_WIDTH * p.box)) ** 2) / 2)


def losses(bench: Any) -> dict[str, Any]:
    """Compare the corrected intensity of a rocking scan with the noise-free one: of the whole peak, and of its brightest pixels."""
    scan, told = _corrected(bench, "particle_rocking")
    box = _box(bench)
    counts, valid = scan.counts.isel(box).to_numpy(), scan.valid.isel(box).to_numpy()
    with h5py.File(bench.truth, "r") as file:
        clean = scattering.blur(np.abs(file["amplitude_data_frame"][()]) ** 2, bench.config["blur_px"])
    held = np.isfinite(counts) & valid
    bright = held & (clean > 1e4)
    raw = io.open_scan(bench.raw, "particle_rocking", bench.beamline).counts.isel(box).to_numpy().astype(float)
    return {
        "bias": float(counts[held].sum() / (clean + _stray(bench, box))[held].sum() - 1),
        "bias_bright": float(counts[bright].sum() / clean[bright].sum() - 1) if bright.any() else float("nan"),
        "before": float(raw[bright].sum() / clean[bright].sum() - 1) if bright.any() else float("nan"),
        "bright": int(bright.sum()),
        "told": told,
    }


def trend(bench: Any) -> dict[str, Any]:
    """Compare the brightness of the box, frame by frame and over the monitor, with the noise-free one, in units of photon noise."""
    scan, told = _corrected(bench, "particle_series")
    with h5py.File(bench.truth, "r") as file:
        clean = file["clean"][()].astype(float)
        lies = np.concatenate([file[f"artifacts/{name}"][()].astype(int) for name in ("dropped", "doubled")])
        box = _box(bench) if "box" not in file["clean"].attrs else None
        edges = [int(edge) for edge in file["clean"].attrs["box"]] if box is None else []
    box = box or {"y": slice(*edges[:2]), "x": slice(*edges[2:])}
    counts = scan.counts.isel(box).to_numpy()
    held = np.isfinite(counts).all(axis=0) & scan.valid.isel(box).to_numpy()
    good = np.setdiff1d(np.arange(len(counts)), lies)
    seen, wanted = counts[good][:, held].sum(axis=1), clean[good][:, held].sum(axis=1) + _stray(bench, box)[held].sum()
    noise = np.sqrt(seen.mean()) / seen.mean()
    ratio = seen / wanted
    return {"over_poisson": float(ratio.std() / ratio.mean() / noise), "bias": float(ratio.mean() - 1), "told": told}


def centring(bench: Any) -> dict[str, Any]:
    """Find the peak of a particle without strain: it lies at G, which falls on a known pixel and frame."""
    scan = corrections.find_bad_pixels(io.open_scan(bench.raw, "particle_rocking", bench.beamline))
    found = geometry.with_q(corrections.apply(scan, ("to_float",))).attrs["peak_centre"]
    true = [bench.config["angles"] // 2, *bench.config["peak_px"]]
    return {"error": np.subtract(found, true)}


def live(bench: Any) -> dict[str, Any]:
    """Write a series frame by frame while `xcdi live` reads it, and compare with the batch result of the same file."""
    written = _stored(bench)
    growing = bench.folder / "growing.h5"
    begun = _begin_live(bench, growing, len(written))
    _write(growing, written, pause_s=0.05)
    _end(begun)
    batch = [*XCDI, "run", "xpcs_two_time", str(growing), *_options(bench, len(written)), "--out", str(bench.folder / "batch")]
    subprocess.run(batch, check=True, stdout=subprocess.DEVNULL)
    one, other = (_two_time(bench.folder / kind / "growing_xpcs_two_time.h5") for kind in ("live", "batch"))
    return {
        "difference": float(np.nanmax(np.abs(one - other))) if one.shape == other.shape else float("inf"),
        "same_bits": one.tobytes() == other.tobytes(),
        **_memory(bench, written),
    }


def _options(bench: Any, count: int) -> list[str]:
    home = bench.folder / f"stack{count}.toml"
    home.write_text(BEAMLINE.format(frames=count), encoding="utf-8")
    return ["--beamline", str(home), "--set", "normalisation=N4", "--set", "box_size=24"]


def _begin_live(bench: Any, path: Path, count: int) -> subprocess.Popen[bytes]:
    pace = ["--block", "7", "--patience", "5", "--every", "0.5", "--out", str(bench.folder / "live")]
    return subprocess.Popen([*XCDI, "live", "xpcs_two_time", str(path), *_options(bench, count), *pace], stdout=subprocess.DEVNULL)


def _end(begun: subprocess.Popen[bytes]) -> float:
    """Wait for a process, and return the most memory that it took [MB]; the kernel's account of children would count this process too."""
    most = 0.0
    while begun.poll() is None:
        with suppress(OSError):
            lines = Path(f"/proc/{begun.pid}/status").read_text(encoding="utf-8").splitlines()
            most = max([most, *(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.1)
    if begun.returncode:
        raise XcdiError(f"xcdi live ended with status {begun.returncode}; expected 0")
    return most


def _memory(bench: Any, written: np.ndarray) -> dict[str, Any]:
    """Most memory of `xcdi live` over a short and a long series of large frames, and its growth over that of the raw frames."""
    rows, columns = LARGE
    taken = []
    for count in COUNTS:
        images = np.zeros((count, rows, columns), written.dtype)
        images[:, : written.shape[1], : written.shape[2]] = written[np.arange(count) % len(written)]
        path = bench.folder / f"large{count}.h5"
        _write(path, images, pause_s=0)
        del images
        taken.append(_end(_begin_live(bench, path, count)))
    raw = (COUNTS[1] - COUNTS[0]) * rows * columns * written.dtype.itemsize / 2**20
    return {"memory_mb": taken, "memory_share": (taken[1] - taken[0]) / raw}


def _write(path: Path, images: np.ndarray, *, pause_s: float) -> None:
    """A detector that appends one frame at a time and lets others read (SWMR)."""
    with h5py.File(path, "w", libver="latest") as file:
        shape = images.shape[1:]
        counts = file.create_dataset("entry/counts", (0, *shape), images.dtype, maxshape=(None, *shape), chunks=(1, *shape))
        times = file.create_dataset("entry/time", (0,), "f8", maxshape=(None,), chunks=(64,))
        file.swmr_mode = True
        for k, image in enumerate(images):
            counts.resize(k + 1, 0)
            times.resize(k + 1, 0)
            counts[k], times[k] = image, 0.5 * k
            counts.flush()
            times.flush()
            time.sleep(pause_s)


def _two_time(path: Path) -> np.ndarray:
    with h5py.File(path, "r") as file:
        return file["entry/twotime/two_time_corr_func"][()]
