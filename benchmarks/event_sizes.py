"""What the measurement of events gives on simulated series beside the truth: durations, returns, places, and what is no event.

python benchmarks/event_sizes.py [durations] [returns] [products] [places] [none] [full] [beside] [tilts] [shifts] [ranks] [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from xcdi import artificial, io
from xcdi.artificial import profiles, scattering, variants
from xcdi.artificial.drops import drops
from xcdi.artificial.instrument import beam_centre, sampling, series_angle_deg
from xcdi.artificial.scene import Scene, counting, drawn
from xcdi.schema import is_avalanche
from xcdi.stages import avalanches
from xcdi.stages.series_correlation import Correlating, correlate
from xcdi.stages.tilts import flag_tilts

SIDE = 64
NONE = ("step", "beam-jump", "late-hot", "turning", "restart")
AWAY = 20  # frames between an artefact in the middle and a true event
LARGE = {"events": True, "event_pattern": "even", "event_spacing": 36, "event_sizes": (0.04, 0.25)}


class Truth(NamedTuple):
    """True events of a series, and its motion [px]."""

    slips: Sequence[Any]
    drop: np.ndarray
    moved: np.ndarray


def series(variant: str, seed: int, turned: np.ndarray | None = None, **options: Any) -> tuple[xr.Dataset, Truth]:
    """Counts of a bare series in memory, as CORRELATION keeps them, and what happened in it."""
    p = profiles.profile("nano", **variants.variant("nano", f"bare,{variant}") | options)
    scene, sampled = drawn(p, seed), sampling(p)
    scene = scene if turned is None else scene._replace(moved=scene.moved._replace(angle=scene.moved.angle + turned))
    clean = np.empty((p.frames, SIDE, SIDE), np.float32)
    for k, whole in enumerate(scattering.series_frames(p, scene.particle, scene.events, sampled, scene.moved)):
        middle = slice(len(whole) // 2 - SIDE // 2, len(whole) // 2 + SIDE // 2)
        clean[k] = whole[middle, middle]
    clean *= p.mean_count / clean[0].mean()
    counts = counting(seed, "series_counts", 0).poisson(clean * scene.series_beam.intensity[:, None, None])
    corner = [centre - SIDE // 2 for centre in p.peak_px]
    _misbehave(counts, scene, corner)
    marks = [slip.frame for slip in scene.events], [slip.duration for slip in scene.events]
    drop = drops(clean, *marks)["N5"] if scene.events else np.zeros(0)
    y, x = np.indices((SIDE, SIDE)).reshape(2, -1)
    steps = [float(np.linalg.norm(sampled.steps[:, k])) for k in (1, 2)]
    place = {"q_peak": [p.q_peak, 0.0, 0.0], "dq": steps, "centre_px": beam_centre(p)}
    made = xr.Dataset(
        {
            "counts": (("time", "pixel"), counts.reshape(p.frames, -1).astype(np.uint16)),
            "pixel_y": ("pixel", y + corner[0]),
            "pixel_x": ("pixel", x + corner[1]),
        },
        coords={"time": ("time", np.arange(p.frames) * p.frame_time_s, {"units": "s"})},
        attrs=place,
    )
    return made, Truth(scene.events, drop, scene.moved.shift)


def tilted(seed: int, step_deg: float) -> tuple[xr.Dataset, xr.Dataset, Truth]:
    """A series with slips in which the particle tilts by a step in the middle, its rocking scan as PEAK, and the truth."""
    p = profiles.profile("nano", **variants.variant("nano", "bare,strong-ageing") | LARGE)
    scene, sampled = drawn(p, seed), sampling(p)
    turned = np.deg2rad(step_deg) * (np.arange(p.frames) >= p.frames // 2)
    made, truth = series("strong-ageing", seed, turned=turned, **LARGE)
    field = scattering.rocking_amplitude(scene.particle.field(sampled.peak), scene.particle.axes, sampled, p.window)
    start = p.window // 2 - SIDE // 2
    intensity = scattering.blur(np.abs(field) ** 2, p.blur_px)[:, start : start + SIDE, start : start + SIDE]
    counts = np.random.default_rng(seed).poisson(intensity * p.photons / intensity.sum())
    angles = (np.arange(p.angles) - p.angles // 2) * p.angle_step_deg
    box = {dim: (centre - SIDE // 2, centre + SIDE // 2) for dim, centre in zip("yx", p.peak_px, strict=True)}
    peak = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("frame", "y", "x"), np.ones(counts.shape, bool)),
            "rocking": ("frame", angles, {"units": "deg"}),
        },
        attrs={"box": json.dumps(box), "offset": series_angle_deg(p) / p.angle_step_deg},
    )
    return made, peak, truth


def _misbehave(counts: np.ndarray, scene: Scene, corner: Sequence[int]) -> None:
    """Pixels that turn hot and a half that restarts, in place."""
    late, rng = scene.series_faults.late, np.random.default_rng(scene.seed)
    if late is not None:
        for (row, column), rate in zip(late.pixels, late.rate, strict=True):
            counts[late.frame :, row - corner[0], column - corner[1]] += rng.poisson(rate, len(counts) - late.frame)
    counts[list(scene.series_faults.restart), :, : SIDE // 2] = 0


def full(variant: str, seed: int, **options: Any) -> xr.Dataset:
    """The same through files, with gaps, bad pixels, dropped frames, background, noise of the monitor."""
    with tempfile.TemporaryDirectory() as folder:
        artificial.simulate("particle", folder, "nano", seed, variant, **options)
        scan = io.open_scan(Path(folder), "particle_series", "demo")
        found = correlate(scan, Correlating()).load()
        return found.assign(monitor=("time", scan.monitor.to_numpy())) if "monitor" in scan else found


def matched(events: xr.Dataset, truth: Truth) -> list[tuple[int, int]]:
    """Event found and true slip, where the one lies within the other or a frame of it."""
    pairs = []
    for k, slip in enumerate(truth.slips):
        inside = (events.frame.values >= slip.frame - 1) & (events.frame.values <= slip.frame + slip.duration)
        pairs += [(int(np.flatnonzero(inside)[0]), k)] if inside.sum() == 1 else []
    return pairs


def durations(seeds: Sequence[int]) -> None:
    rows, twice, alone = [], 0, []
    for seed in seeds:
        data, truth = series("gradual,strong-ageing", seed)
        events = avalanches.find_events(data)
        pairs = matched(events, truth)
        twice += events.sizes["event"] - len({d for d, _ in pairs})
        for d, t in pairs:
            frames = float(events.duration[d] / 0.5), float(events.duration_error[d] / 0.5), bool(events.duration_resolved[d])
            rows.append((truth.slips[t].duration, *frames, float(events["drop"][d]), truth.drop[t]))
    rows = [row for row in rows if row[5] > 0.02]
    true, seen, error, resolved, drop, clean = (np.array(column, float) for column in zip(*rows, strict=True))
    known = resolved > 0
    print(f"gradual: {len(rows)} events of D > 0.02 matched, {twice} detections that match none")
    print(f"  resolved {int(known.sum())}; of true 1-2 frames {int(known[true <= 2].sum())} of {int((true <= 2).sum())}")
    for low, high in ((3, 5), (6, 10)):
        part = (true >= low) & (true <= high)
        print(f"  of true {low}-{high} frames {int(known[part].sum())} of {int(part.sum())} resolved")
    away = (seen - true)[known]
    pull = away / error[known]
    print(f"  measured - true [frame]: mean {away.mean():+.2f}, rms {rms(away):.2f}, rms over error {rms(pull):.2f}")
    sized = clean > 0.05
    alone = (drop / clean - 1)[sized]
    print(f"  drop over noise-free drop, D > 0.05, {int(sized.sum())} events: bias {alone.mean():+.3f}, sd {alone.std(ddof=1):.3f}")
    for row in rows:
        print("   true {:2d}  measured {:5.1f} +- {:3.1f} {}  D {:.3f} (noise-free {:.3f})".format(*row))


def returns(seeds: Sequence[int]) -> None:
    for name in ("reversible", "even,strong-ageing", "even"):
        shares = []
        for seed in seeds:
            data, truth = series(name, seed)
            events = avalanches.find_events(data)
            for d, t in matched(events, truth):
                if truth.drop[t] > 0.01 and np.isfinite(events.returned[d]):
                    back = t + 1 < len(truth.slips) and truth.slips[t + 1].kind == "return"
                    shares.append((back, float(events.returned[d]), float(events.returned_error[d]), float(events.return_index[d])))
        for which, word in ((True, "undone later"), (False, "not undone")):
            part = np.array([s[1:] for s in shares if s[0] is which])
            if part.size:
                shown = (part[:, 0] > 0.5) & (part[:, 0] > 3 * part[:, 1])
                middle = np.median(part[:, 0])
                print(f"{name}: {len(part)} events {word}: share returned {middle:+.2f} (median), above 0.5: {int(shown.sum())}")


def products(seeds: Sequence[int]) -> None:
    for name in ("even", "reversible"):
        found = {True: [], False: []}
        for seed in seeds:
            data, truth = series(name, seed)
            events = avalanches.find_events(data)
            partner = {d: truth.slips[t] for d, t in matched(events, truth)}
            for d in sorted(partner):
                if d + 1 in partner and np.isfinite(events.product_ratio[d]):
                    found[partner[d + 1].kind == "return"].append((float(events.product_ratio[d]), float(events.product_error[d])))
        for again, word in ((False, "different events"), (True, "there and back")):
            values = np.array(found[again])
            if values.size:
                mean, sd, error = values[:, 0].mean(), values[:, 0].std(), rms(values[:, 1])
                pull = (values[:, 0] - 1) / values[:, 1]
                print(f"{name}: {len(values)} neighbours, {word}: ratio {mean:.3f}, sd {sd:.3f}, error {error:.4f} (rms)")
                middle, far = np.median(abs(pull)), int((abs(pull) > 3).sum())
                print(f"  ratio - 1 over its error: rms {rms(pull):.2f}, median size {middle:.2f}, above 3: {far}")


def places(seeds: Sequence[int]) -> None:
    """Sectors and lengths against the radius of the region and noise-free values."""
    length, true, error, anisotropy = [], [], [], []
    for seed in seeds:
        data, truth = series("even,strong-ageing", seed, event_sizes=(0.03, 0.25))
        events = avalanches.find_events(data)
        for d, t in matched(events, truth):
            anisotropy.append(float(events.anisotropy[d]))
            if np.isfinite(events.region_length[d]) and truth.drop[t] > 0.02:
                length.append(float(events.region_length[d]))
                error.append(float(events.region_length_error[d]))
                true.append(truth.slips[t].radius)
    rank = stats.spearmanr(length, true)[0] if len(length) > 3 else float("nan")
    factor, spread = np.median(np.array(true) / np.array(length)), np.nanquantile(anisotropy, [0.16, 0.5, 0.84]).round(2)
    print(f"region_length: {len(length)} events, Spearman with the true radius {rank:.2f}, radius over length {factor:.2f} (median)")
    print(f"anisotropy: {len(anisotropy)} events, quantiles 16, 50, 84 %: {spread}")


def none(seeds: Sequence[int], profile: str = "bare") -> None:
    for name in NONE:
        told: Counter[str] = Counter()
        internal = 0
        for seed in seeds:
            variant = f"{name},strong-ageing"
            events = avalanches.find_events(series(variant, seed)[0] if profile == "bare" else full(variant, seed))
            told.update(str(flag) or "internal" for flag in events["flags"].values)
            internal += int(is_avalanche(events["flags"].values).sum())
        print(f"{profile} {name}: {len(seeds)} series, {internal} internal; {dict(told)}", flush=True)


def beside(seeds: Sequence[int]) -> None:
    """A true event 20 frames before each artefact, and others elsewhere."""
    for name in NONE:
        near, found, false, told = 0, 0, 0, Counter()
        for seed in seeds:
            data, truth = series(name, seed, **LARGE)
            events = avalanches.find_events(data)
            good = is_avalanche(events["flags"].values)
            frames = events.frame.values[good]
            middle = 300 if name == "restart" else 200
            for slip, drop in zip(truth.slips, truth.drop, strict=True):
                if abs(slip.frame - middle) <= 24 and drop > 0.03:
                    near += 1
                    found += bool((abs(frames - slip.frame) <= 1).any())
            true = np.array([slip.frame for slip in truth.slips])
            false += sum(bool(abs(true - frame).min() > 6) for frame in frames)
            told.update(str(flag) for flag in events["flags"].values[~good])
        print(f"{name}: {found} of {near} true events within 24 frames found as internal, {false} false internal; {dict(told)}", flush=True)


def tilts(seeds: Sequence[int]) -> None:
    """A sudden tilt in the middle, slips elsewhere: what is flagged, with the rocking scan at hand."""
    for step in (0.03, 0.1):
        seen, flagged, steps, slips, wrong, highest = 0, 0, [], 0, 0, 0.0
        for seed in seeds:
            data, peak, truth = tilted(seed, step)
            events = flag_tilts(avalanches.find_events(data), data, peak, offset=peak.attrs["offset"])
            told = np.array(["tilt" in flags for flags in events["flags"].values])
            middle = abs(events.frame.values - 200) <= 1
            seen, flagged = seen + int(middle.any()), flagged + int(told[middle].any())
            steps += events.tilt_step.values[middle].tolist()
            own = [d for d, _ in matched(events, truth)]
            slips, wrong = slips + len(own), wrong + int(told[own].sum())
            highest = max([highest, *events.tilt_explained.values[own][np.isfinite(events.tilt_explained.values[own])]])
        print(f"tilt by {step} deg: seen in {seen} of {len(seeds)} series, flagged in {flagged}, steps {np.round(steps, 3).tolist()} deg")
        print(f"  {wrong} of {slips} slips flagged; most that a tilt explains of a slip {highest:.2f}", flush=True)


def shifts(seeds: Sequence[int]) -> None:
    error, said = [], []
    for seed in seeds:
        data, truth = series("step,strong-ageing", seed)
        events = avalanches.find_events(data)
        for k in np.flatnonzero(abs(events.frame.values - 200) <= 1):
            before, after = int(events.frames_before[k]), int(events.frames_after[k])
            true = truth.moved[200 : 200 + after].mean(axis=0) - truth.moved[200 - before : 200].mean(axis=0)
            error += [float(events.shift_row[k]) - true[0], float(events.shift_column[k]) - true[1]]
            said += [float(events.shift_row_error[k]), float(events.shift_column_error[k])]
    print(f"shift across a step of 0.5 px: {len(error)} values, rms error {rms(error):.4f} px, told {np.mean(said):.4f} px")


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def ranks(seeds: Sequence[int]) -> None:
    columns = ("drop", "drop_internal", "drop_inner", "drop_middle", "drop_outer", "drop_whitened", "fraction")
    rows, fraction = [], []
    for seed in seeds:
        data, truth = series("even,strong-ageing", seed, frames=1000)
        events = avalanches.find_events(data)
        for d, t in matched(events, truth):
            rows.append([float(events[name][d]) if name in events else np.nan for name in columns])
            fraction.append(truth.slips[t].fraction)
    table = np.array(rows)
    for k, name in enumerate(columns):
        known = np.isfinite(table[:, k])
        if known.any():
            rank = stats.spearmanr(table[known, k], np.array(fraction)[known])[0]
            print(f"{name}: Spearman with the changed fraction {rank:.3f} ({known.sum()} events)")


TASKS = {"durations": durations, "returns": returns, "products": products, "places": places, "none": none, "beside": beside, "tilts": tilts}
TASKS |= {"shifts": shifts, "ranks": ranks, "full": lambda seeds: none(seeds, "nano")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    asked = parser.parse_args()
    for name in asked.tasks or TASKS:
        begin = time.process_time()
        TASKS[name](asked.seeds)
        print(f"-- {name}: {time.process_time() - begin:.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
