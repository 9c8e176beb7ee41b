"""Shear test without files: what limits the slips that several reflections tell, the object, the boundary or the drops.

python benchmarks/shear.py [--seeds 1 2 3 4 5 6] [--work DIR]

Simulated particles of the variant three-peaks, patterns before and after each event (14 frames of 1 photon per pixel on
either side, times of the events given), objects phased from rocking scans of 10^7 photons, or the true ones. What takes
long is kept in DIR.
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from acceptance_shear import NAMED, SHARE, compared

from xcdi.artificial import instrument, particle, profiles, scattering, scene, slips, variants
from xcdi.kernels.avalanches import slips as kernel
from xcdi.stages import geometry, phasing, slip_vectors, strain
from xcdi.stages.grains import grains

FRAMES = 14  # on either side of an event
SPECKLE_PX = 5.4
SHOWN = 0.1  # of the largest amplitude, from which a voxel belongs to the true object


def simulated(seed: int, folder: Path) -> dict[str, Any]:
    """Mean patterns around each event, rocking scans and true objects of every reflection; the events."""
    path = folder / f"fast{seed}.npz"
    if not path.exists():
        np.savez(path, **_drawn(seed))
    with np.load(path) as held:
        return dict(held)


def _drawn(seed: int) -> dict[str, Any]:
    p = profiles.profile("nano", **variants.variant("nano", "bare,three-peaks"))
    drawn = scene.drawn(p, seed)
    power = drawn.particle.seen**2
    names = {"disp": "displacement", "normal": "normal", "frame": "frame", "fraction": "fraction"}
    made: dict[str, Any] = {short: np.array([getattr(one, name) for one in drawn.events]) for short, name in names.items()}
    made["volfrac"] = np.array([(power * slips.region(drawn.particle, one)).sum() for one in drawn.events]) / power.sum()
    for number, hkl in enumerate(p.reflections):
        s = instrument.sampling(p, hkl)
        field = scattering.rocking_amplitude(drawn.particle.field(s.peak), drawn.particle.axes, s, p.box)
        rocking = scattering.blur(np.abs(field) ** 2, p.blur_px)
        start = np.deg2rad(instrument.series_angle_deg(p)) - s.angle
        of_peak = {
            "rho": np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field))).astype(np.complex64),
            "rock": (rocking * p.photons / rocking.sum()).astype(np.float32),
            "G": s.peak,
            "steps": s.steps,
            "vox": s.voxels,
            "offset": start / s.step,
            "pat": _patterns(p, drawn, s, start),
        }
        made |= {f"{name}{number}": value for name, value in of_peak.items()}
    return made


def _patterns(p: profiles.Profile, drawn: scene.Scene, s: instrument.Sampling, start: float) -> np.ndarray:
    """Patterns (event, 2, row, column) of one photon per pixel in the middle of the frames on either side."""
    clock, state, made = slips.slow_clock(p, np.arange(p.frames) * p.frame_time_s), drawn.particle.field(s.peak), []
    for one in drawn.events:
        turned = np.exp(-1j * (s.peak @ one.displacement) * slips.region(drawn.particle, one))
        after = state * slips.healed(drawn.particle, one) * turned
        made.append([_pattern(p, drawn.particle, s, start, rho, clock[one.frame + by]) for rho, by in ((state, -7), (after, 7))])
        state = after
    patterns = np.array(made, np.float32)
    return patterns * p.mean_count / patterns[0, 0].mean()


def _pattern(
    p: profiles.Profile, grown: particle.Particle, s: instrument.Sampling, start: float, rho: np.ndarray, clock: float
) -> np.ndarray:
    relaxed = (rho * np.exp(-1j * clock * grown.slow)).astype(np.complex64)
    field = scattering.far_field(relaxed, grown.axes, s, instrument.offset(s, start), *scattering.pixels(p.box))
    return scattering.blur(np.abs(field) ** 2, p.blur_px)


def imaged(seed: int, made: dict[str, Any], folder: Path) -> list[dict[str, xr.Dataset]]:
    """Peak, phased object, crystal, grains and boundaries of every reflection."""
    path = folder / f"own{seed}.pkl"
    if not path.exists():
        path.write_bytes(pickle.dumps([_finished(_phased(seed, made, k)) for k in range(_count(made))]))
    return pickle.loads(path.read_bytes())


def _count(made: dict[str, Any]) -> int:
    return sum(name.startswith("pat") for name in made)


def _phased(seed: int, made: dict[str, Any], k: int) -> dict[str, xr.Dataset]:
    counts = np.random.default_rng([seed, k, 7]).poisson(made[f"rock{k}"]).astype(np.float32)
    dims, box = ("frame", "y", "x"), {dim: [0, n] for dim, n in zip(("frame", "y", "x"), counts.shape, strict=True)}
    peak = xr.Dataset(
        {
            "counts": (dims, counts, {"units": "1"}),
            "valid": (dims, np.ones(counts.shape, bool), {"units": ""}),
            "q_basis": (("axis", "index"), made[f"steps{k}"], {"units": "1/nm"}),
            "q_peak": (("axis",), made[f"G{k}"], {"units": "1/nm"}),
            "frame_ok": (("frame",), np.ones(len(counts), bool), {"units": ""}),
            "rocking": (("frame",), np.arange(len(counts)) - len(counts) // 2.0, {"units": "deg"}),
        },
        attrs={"rocking_motor": "omega", "box": json.dumps(box), "scan": f"peak{k}"},
    )
    return {"peak": peak, "object": phasing.reconstruct(peak, phasing.Recipe(), seed=0, workers=1)}


def _finished(one: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Bring an object to the laboratory, and find its grains."""
    crystal, table, boundaries = grains(strain.field(geometry.to_lab(one["object"]), strain.Straining()))
    return {**one, "crystal": crystal, "grains": table, "boundaries": boundaries}


def with_truth(made: dict[str, Any], results: list[dict[str, xr.Dataset]]) -> list[dict[str, xr.Dataset]]:
    """The same with the true objects in place of those that were phased."""
    found = []
    for k, one in enumerate(results):
        rho = made[f"rho{k}"]
        values = {"rho": (one["object"].rho.dims, rho, {"units": "1"})}
        values["support"] = (one["object"].rho.dims, np.abs(rho) > SHOWN * np.abs(rho).max(), {"units": ""})
        kept = one["object"][["voxel_basis", "q_basis", "q_peak"]].assign(values)
        found.append(_finished({**one, "object": kept.assign_attrs(one["object"].attrs | {"grade": "good", "ramp": [0.0] * 3})}))
    return found


def with_series(seed: int, made: dict[str, Any], results: list[dict[str, xr.Dataset]]) -> list[dict[str, xr.Dataset]]:
    """Add a series, and its events at their true times, to every result."""
    rng = np.random.default_rng(seed)
    return [{**one, **_series(made, k, rng), "crystal": _still(one["crystal"], k)} for k, one in enumerate(results)]


def _still(crystal: xr.Dataset, k: int) -> xr.Dataset:
    return crystal.assign_attrs(sample_rotation=np.eye(3).ravel().tolist(), scan=f"peak{k}")


def _series(made: dict[str, Any], k: int, rng: np.random.Generator) -> dict[str, xr.Dataset]:
    means = np.repeat(made[f"pat{k}"].reshape(-1, *made[f"pat{k}"].shape[2:]), FRAMES, axis=0)
    rows, columns = np.indices(means.shape[1:]).reshape(2, -1)
    correlation = xr.Dataset(
        {
            "counts": (("time", "pixel"), rng.poisson(means).reshape(len(means), -1)),
            "pixel_y": ("pixel", rows),
            "pixel_x": ("pixel", columns),
        },
        coords={"time": ("time", np.arange(len(means)) * 0.5, {"units": "s"})},
    )
    frame = FRAMES * (2 * np.arange(len(made["frame"])) + 1)
    events = xr.Dataset(dict.fromkeys(("frame", "first_frame", "last_frame"), ("event", frame)))
    attrs = {"window": 12, "view_offset": float(made[f"offset{k}"]), "speckle_px": SPECKLE_PX}
    return {"correlation": correlation, "events": events.assign(time=("event", 0.5 * frame)).assign_attrs(attrs)}


def given_boundary(ds: xr.Dataset, made: dict[str, Any], error_deg: float = 8.0) -> list[tuple[str, str]]:
    """Mode by the true normal of each event's boundary, and the true mode."""
    plane, told = kernel.plane_of(np.reshape(ds.attrs["g"], (-1, 3))), []
    for k, normal in enumerate(made["normal"]):
        vector = plane.axes @ ds.slip.values[k]
        covariance = (vector @ vector) * np.radians(float(ds.direction_error[k])) ** 2 * np.eye(len(vector))
        if not np.isfinite(vector).all():
            continue
        angle = kernel.shear_angle(vector, covariance, normal, plane, normal_error=np.radians(error_deg))
        chance = kernel.shear_probability(*angle, normal, plane)
        mode = "shear" if chance >= slip_vectors.SURE else "opening" if chance <= 1 - slip_vectors.SURE else "unknown"
        along = abs(made["disp"][k] @ normal) > 0.5 * np.linalg.norm(made["disp"][k])
        told.append((mode, "opening" if along else "shear"))
    return [one for one, share in zip(told, made["volfrac"], strict=False) if share > SHARE]


def told(name: str, events: list[dict[str, Any]], given: list[tuple[str, str]]) -> str:
    """One line: angles, modes."""
    some = [one for one in events if one["share"] > SHARE]
    parts = [f"{name:<12} {len(some)} events"]
    for key in ("drops", "model"):
        off = np.array([one[key] for one in some])
        off = off[np.isfinite(off)]
        parts.append(f"{key}: median {np.median(off):.1f}, 80 % within {np.quantile(off, 0.8):.1f} deg" if off.size else f"{key}: none")
    for label, marks in (
        ("mode, own boundary", [(one["mode"], one["kind"]) for one in some]),
        ("drops alone", [(one["drops_mode"], one["kind"]) for one in some]),
        ("mode, true boundary", given),
    ):
        named = [mode == kind for mode, kind in marks if mode in NAMED]
        parts.append(f"{label}: {sum(named)} of {len(named)} right, {len(marks) - len(named)} of {len(marks)} not named")
    length = np.nanmedian([one["length"] for one in some])
    return "\n    ".join([*parts, f"length over the true one: median {length:.2f}"])


def measured(seed: int, name: str, folder: Path) -> dict[str, Any]:
    """Figures of one particle with its own or the true objects; kept in the folder."""
    path = folder / f"shear-{name}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    made = simulated(seed, folder)
    own = imaged(seed, made, folder)
    results = with_series(seed, made, own if name == "own" else with_truth(made, own))
    begin = time.process_time()
    ds = slip_vectors.combine(results)
    seconds = time.process_time() - begin
    true = {"frame": results[0]["events"].frame.values, "displacement": made["disp"], "normal": made["normal"]}
    grades = ", ".join(str(one["object"].attrs["grade"]) for one in results)
    found = {
        "events": compared(ds, true | {"fraction": made["fraction"], "share": made["volfrac"]}),
        "given": given_boundary(ds, made),
        "told": f"{grades}  {ds.attrs['model']}  {seconds:.0f} s of CPU",
    }
    path.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--objects", nargs="+", choices=["own", "true"], default=["own", "true"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "xcdi_shear")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    events: dict[str, list] = {name: [] for name in options.objects}
    given: dict[str, list] = {name: [] for name in options.objects}
    for seed in options.seeds:
        for name in options.objects:
            found = measured(seed, name, options.work)
            events[name] += found["events"]
            given[name] += found["given"]
            print(f"seed {seed}  {name}  {found['told']}", flush=True)
    for name in options.objects:
        print(told(name, events[name], given[name]))


if __name__ == "__main__":
    main()
