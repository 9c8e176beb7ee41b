"""From pooled figures to verdicts: files, geometry, phasing, strain and grains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from acceptance_verdict import Check, Found, Verdict, at_least, at_most, evidence, judged, many, within

NAN = float("nan")
ARC = 0.03  # deg


# files


def pixels(found: Found) -> Verdict:
    seen = evidence(found, "pixels")
    caught = {name: [one[f"{name}_caught"] for one in seen] for name in ("dead", "hot", "flickering")}
    there = {name: [one[f"{name}_all"] for one in seen] for name in caught}
    both = (sum(caught["dead"]) + sum(caught["hot"])) / max(sum(there["dead"]) + sum(there["hot"]), 1)
    inside = {name: [sum(one["box"][name][what] for one in seen) for what in ("caught", "all")] for name in caught}
    box = ", ".join(f"{name} {got} of {all_}" for name, (got, all_) in inside.items())
    each = ", ".join(f"{name} {sum(caught[name])} of {sum(there[name])}" for name in caught)
    checks = [
        at_most("gap or beamstop pixels trusted", [one["masked_trusted"] for one in seen], 0),
        at_least("hot and dead", [both], 0.99),
        at_least("flickering", [sum(caught["flickering"]) / max(sum(there["flickering"]), 1)], 0.90),
        Check("false masks", [one["false"] / one["pixels"] for one in seen], lambda v: v < 1e-4),
        at_most("counts altered", [one["altered"] for one in seen], 0),
    ]
    streaks, false = (sum(one[name] for one in seen) for name in ("false_on_streaks", "false"))
    note = f"masked: {each}; in the box of the correlation: {box}; {streaks} of {false} false masks lie on cosmic rays"
    return judged(checks, many(len(seen), "seed"), note)


def frames(found: Found) -> Verdict:
    seen = evidence(found, "frames")
    missed = [len(set(one["lying"]) - set(one["flagged"])) for one in seen]
    used = [len(set(one["lying"]) & set(one["used"])) for one in seen]
    false = sum(len(set(one["flagged"]) - set(one["lying"]) - set(one["lost"])) for one in seen)
    checks = [
        at_most("bad frames not flagged", missed, 0),
        at_most("bad frames used", used, 0),
        at_most("time error [s]", [one["time_error_s"] for one in seen], 1e-6),
    ]
    lying = sum(len(one["lying"]) for one in seen)
    lost = sum(len(one["lost"]) for one in seen)
    return judged(checks, f"{len(seen)} series, {lying} bad and {lost} lost frames", f"good frames flagged: {false}")


def corrections(found: Found) -> Verdict:
    lost, trends = evidence(found, "losses"), evidence(found, "trend")
    checks = [
        Check("bias of the peak", [one["bias"] for one in lost], lambda v: abs(v) < 5e-3),
        Check("bias of pixels above 1e4 counts", [one["bias_bright"] for one in lost], lambda v: abs(v) < 5e-3),
        Check("bias of the series", [one["bias"] for one in trends], lambda v: abs(v) < 5e-3),
        Check("trend over Poisson", [one["over_poisson"] for one in trends], lambda v: v < 1.2),
    ]
    told = sorted({one["told"] for one in lost if one["told"]})
    before = np.median([one["before"] for one in lost])
    note = f"bright pixels before correction {before:+.3f}" + (f"; the files do not tell, so the truth did: {told[0]}" if told else "")
    return judged(checks, f"{len(lost)} + {len(trends)} seeds", note)


def live(found: Found) -> Verdict:
    seen = evidence(found, "live")
    checks = [
        at_most("largest difference to batch", [one["difference"] for one in seen], 1e-6),
        Check("memory per raw frame more", [one["memory_share"] for one in seen], lambda v: v < 0.25),
    ]
    same = sum(one["same_bits"] for one in seen)
    note = f"bit for bit the same in {same} of {len(seen)}; memory: what 240 frames of 1 MB more take, over their raw size"
    return judged(checks, many(len(seen), "series"), note)


# geometry and forward model


def reference(found: Found) -> Verdict:
    seen = evidence(found, "geometry")[-1]
    checks = [
        at_most("lengths", np.abs(seen["lengths"]).ravel(), 1e-4),
        at_most("angles [deg]", np.ravel(seen["angles_deg"]), 0.01),
        at_most("voxels beyond rounding", np.ravel(seen["voxels"]), 1e-4),
    ]
    return judged(checks, "3 lines, 27 figures", "voxels are printed with 0.005 nm of rounding, which is taken off before comparing")


def round_trip(found: Found) -> Verdict:
    seen = evidence(found, "round_trip")[-1]
    checks = [Check(label, seen[key], lambda v: v < 1e-6) for label, key in (("to the laboratory", "lab"), ("and back", "back"))]
    return judged(checks, "3 setups", "largest error over the largest value of a smooth complex field; the third setup is the atomic case")


def centring(found: Found) -> Verdict:
    errors = np.abs([one["error"] for one in evidence(found, "centring")])
    checks = [at_most(name, errors[:, k], 0.1) for k, name in enumerate(("angle [step]", "row [px]", "column [px]"))]
    note = "a particle without strain, whose peak is at a known place; gaps, bad pixels and noise on"
    return judged(checks, many(len(errors), "seed"), note)


def forward(found: Found) -> Verdict:
    seen = evidence(found, "forward")
    count = f"{many(len(seen), 'lattice')} of {seen[0]['scatterers']}"
    return judged([at_most("error", [one["error"] for one in seen], 1e-6)], count, "over the brightest pixel")


# phasing


def _column(seen: Sequence[dict], name: str) -> list[float]:
    return [float(one.get(name, NAN)) for one in seen]


def _covered(seen: Sequence[dict]) -> list[Check]:
    """Figures of strain say little where much of the particle has none; nothing is checked where no unit counted it."""
    share = [at_least("share of deep true voxels that have a strain", _column(seen, "strain_share"), 0.9)]
    return share if any("strain_share" in one for one in seen) else []


def _grades(seen: Sequence[dict]) -> str:
    return "grades: " + ", ".join(f"{one['grade']} ({one['n_good']}/{one['starts']})" for one in seen)


def phasing_easy(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    checks = [
        at_least("cc", _column(seen, "overlap"), 0.95),
        at_least("R", _column(seen, "agreement"), 0.90),
        at_least("IoU", _column(seen, "shape_overlap"), 0.92),
        at_least("n_good", _column(seen, "n_good"), 5, share=0.8),
        Check("graded good", [float(one["grade"] == "good") for one in seen], lambda v: v == 1, share=0.8),
    ]
    return judged(checks, many(len(seen), "seed"), _grades(seen))


def phasing(cc: float, *, strain: float | None = None, tilt: float | None = None) -> Callable[[Found], Verdict]:
    """Return the judge of a case of phasing: overlap, and rms of strain and tilt where these are asked."""

    def judge(found: Found) -> Verdict:
        seen = evidence(found, "imaging")
        checks = [at_least("cc", _column(seen, "overlap"), cc)]
        checks += [at_most("strain rms", _column(seen, "strain_rms"), strain)] if strain else []
        checks += _covered(seen) if strain else []
        checks += [at_most("tilt rms [rad]", _column(seen, "tilt_rms"), tilt)] if tilt else []
        return judged(checks, many(len(seen), "seed"), _grades(seen))

    return judge


def phasing_hard(found: Found) -> Verdict:
    """Pass where the grade is true; that the case is solved is welcome."""
    seen = evidence(found, "imaging")
    right = [one["grade_true"] for one in seen]
    drawn = [float(one["grade"] == "unreliable" and one["statistics"]) for one in seen]
    checks = [
        Check("true grades", [float(r) for r in right], lambda v: v == 1),
        Check("unreliable with statistics", drawn, lambda v: v == 0),
    ]
    told = "; ".join(f"cc {one['overlap']:.2f} R {one['agreement']:.2f} {one['n_good']}/{one['starts']} {one['grade']}" for one in seen)
    return judged(checks, many(len(seen), "seed"), told)


def phasing_errors(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    stated, true = _column(seen, "strain_stated"), _column(seen, "strain_robust")
    ratio = within("stated / true", np.divide(stated, true), 0.5, 2.0)
    return judged([ratio], many(len(seen), "seed"), "median strain sd over 1.48 MAD of the error")


def symmetry(found: Found) -> Verdict:
    seen = evidence(found, "symmetry")
    checks = [Check("cc of the twins, less R", [one["cc"] - one["agreement"] for one in seen], lambda v: v >= -0.01)]
    told = ", ".join(f"cc {one['cc']:.4f} R {one['agreement']:.4f}" for one in seen)
    note = f"{told}; the row names no figure: 'same' is taken as no farther apart than the starts of one run, to 0.01"
    return judged(checks, many(len(seen), "seed"), note)


# strain and grains


def strain_easy(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    checks = [
        at_most("rms", _column(seen, "strain_rms"), 1.5e-3),
        at_least("correlation", _column(seen, "strain_correlation"), 0.93),
        within("slope", _column(seen, "strain_slope"), 0.95, 1.05),
        Check("bias", _column(seen, "bias"), lambda v: abs(v) < 2e-4),
        *_covered(seen),
    ]
    return judged(checks, many(len(seen), "seed"))


def strain_atomic(found: Found) -> Verdict:
    seen = evidence(found, "atomic")
    checks = [
        at_least("cc", _column(seen, "overlap"), 0.95),
        at_most("rms", _column(seen, "strain_rms"), 1e-4),
        at_least("correlation", _column(seen, "strain_correlation"), 0.93),
        within("slope", _column(seen, "strain_slope"), 0.95, 1.05),
        Check("bias", _column(seen, "bias"), lambda v: abs(v) < 2e-5),
        at_most("d error", np.abs(_column(seen, "spacing")), 1e-4),
        within("crossing / true", [one.get("q_prtf", NAN) / one.get("q_true", NAN) for one in seen], 0.8, 1.2),
        *_covered(seen),
    ]
    return judged(checks, many(len(seen), "seed"), _grades(seen))


def strain_grains(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    strains, tilts = (np.abs(np.concatenate([one.get(name, [NAN]) for one in seen])) for name in ("grain_strain", "grain_tilt_deg"))
    checks = [at_most("strain error", strains, 4e-4), at_most("tilt error [deg]", tilts, ARC)]
    return judged(checks, f"{len(strains)} grains, {many(len(seen), 'seed')}")


def strain_ramp(found: Found) -> Verdict:
    seen = evidence(found, "ramp")
    checks = [
        at_most("d error", [abs(one[kind]["spacing"]) for one in seen for kind in ("noisy", "clean")], 1e-4),
        at_most("largest strain without noise", [one["clean"]["largest"] for one in seen], 1e-4),
    ]
    noisy = np.median([one["noisy"]["rms"] for one in seen]), np.median([one["noisy"]["largest"] for one in seen])
    clean = np.median([one["clean"]["rms"] for one in seen])
    return judged(checks, many(len(seen), "seed"), f"rms {clean:.1e}; at 1e7 photons rms {noisy[0]:.1e}, largest {noisy[1]:.1e}")


def dislocation(found: Found) -> Verdict:
    seen = evidence(found, "screw")
    checks = [
        at_least("share of planes", _column(seen, "share"), 0.75),
        at_most("distance [voxel]", _column(seen, "distance"), 2.0),
        Check("charge over the true", _column(seen, "charge"), lambda v: v == 1),
        at_most("false vortices", _column(seen, "false"), 0),
    ]
    return judged(checks, many(len(seen), "seed"), "grades: " + ", ".join(one["grade"] for one in seen))


def grains(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    rand, normals = _column(seen, "rand"), [angle for one in seen for angle in one.get("normal_deg", [])]
    checks = [
        at_most("count apart", [abs(one.get("grains_found", NAN) - one.get("grains_true", NAN)) for one in seen], 1),
        at_least("Rand", rand, 0.6),
        at_least("mean Rand", [float(np.mean(rand))], 0.75),
        at_most("normals [deg]", normals, 15.0),
    ]
    return judged(checks, f"{many(len(seen), 'seed')}, {len(normals)} faces", "faces that both the result and the truth have")


def resolution(found: Found) -> Verdict:
    seen = evidence(found, "imaging")
    ratio = [one.get("q_prtf", NAN) / one.get("q_true", NAN) for one in seen]
    note = "a curve that stays above 1/e counts as crossing at 2 voxels"
    return judged([within("crossing / true", ratio, 0.8, 1.2)], many(len(seen), "seed"), note)


def statistic(number: int = 0) -> Callable[[Found], Verdict]:
    """Return the judge that takes a line of the statistics as it is."""

    def judge(found: Found) -> Verdict:
        one = evidence(found, "statistics")[-1]["rows"][number]
        return Verdict(one["measured"], one["spread"] or "-", one["test"], one["pass"], one["note"])

    return judge
