"""Shear test: slips along a boundary or across it, measured by three reflections; the measure of one particle, and the judge of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from acceptance_verdict import Check, Found, Verdict, at_least, at_most, evidence, judged, many
from xcdi.pipelines import slip_vectors

from xcdi import io, jobs
from xcdi.artificial.instrument import tag
from xcdi.errors import XcdiError

__all__ = ["asked", "compared", "judge", "shares", "slips"]

SHARE = 0.02  # of the scattering power that slipped, from which events are asked for
NEAR = 3  # frames by which a detection may be off
NAMED = ("shear", "opening")
BARS = (15.0, 5.0, 0.9)


def slips(bench: Any) -> dict[str, Any]:
    """Run `superlattice` at each reflection of one particle and `slip_vectors` on their results; compare with the true slips."""
    names = ["", *(f"_{tag(tuple(hkl))}" for hkl in bench.config["reflections"][1:])]
    results = [io.load(_analysed(bench, name)) for name in names]
    ds = slip_vectors.run(results)["slips"]
    with h5py.File(bench.truth, "r") as file:
        true = {name: file[f"events/{name}"][()] for name in ("frame", "displacement", "normal", "fraction")} | {"share": shares(file)}
    grades = [str(result["object"].attrs["grade"]) for result in results]
    return {"events": compared(ds, true), "grades": grades, "model": ds.attrs["model"], "twins_by": ds.attrs.get("twins_by", "-")}


def _analysed(bench: Any, name: str) -> Path:
    settings = f'rocking = "{{scan}}_rocking{name}"\nseries = "{{scan}}_series{name}"\n[correlation]\nfluctuations = false\n'
    out = bench.folder / f"out{name}"
    outcome = jobs.run_job(jobs.make_job("superlattice", bench.raw, "particle", beamline=bench.beamline, out=out, settings=settings))
    if outcome.status == "failed":
        raise XcdiError(f"superlattice on the reflection{name}: {outcome.error}")
    return Path(outcome.path)


def shares(file: h5py.File) -> np.ndarray:
    """Share of the scattering power in the region of every true event: the f of the formula for its drop."""
    label, power = file["label"][()], file["amplitude"][()] ** 2
    axes = [file[f"axes/{name}"][()] for name in "zyx"]
    found = []
    for moving, (x, y, z), radius in zip(*(file[f"events/{name}"][()] for name in ("moving", "centre", "radius")), strict=True):
        away = ((axes[0] - z) ** 2)[:, None, None] + ((axes[1] - y) ** 2)[:, None] + (axes[2] - x) ** 2
        found.append(float((power * (label == moving) * np.exp(-((away / radius**2) ** 2))).sum() / power.sum()))
    return np.array(found)


def compared(ds: xr.Dataset, true: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """One entry for every true event: what it was, and what was found of it, if it was.

    Slips are compared in the plane of the reflections. All of one particle may be turned over together, as one object and its twin.
    """
    plane = np.asarray(ds.attrs["plane_axes"]).reshape(-1, 3)
    told = []
    for k, frame in enumerate(true["frame"]):
        wanted, normal = true["displacement"][k], true["normal"][k]
        kind = "opening" if abs(wanted @ normal) > 0.5 * np.linalg.norm(wanted) else "shear"
        one: dict[str, Any] = {"share": float(true["share"][k]), "fraction": float(true["fraction"][k]), "kind": kind, "found": False}
        away = np.abs(ds["frame"].values - frame)
        if away.size and away.min() <= NEAR:
            event = ds.isel(event=int(away.argmin()))
            one |= {"found": True, "mode": str(event["mode"].item()), "drops_mode": str(event["line_mode"].item())}
            off = _angle(plane @ event.line.values, plane @ wanted)
            one |= {"drops": min(off, 180 - off), "drops_error": float(event.line_error)}
            one |= {"model": _angle(plane @ event.slip.values, plane @ wanted)}
            one |= {"length": float(np.linalg.norm(plane @ event.slip.values) / np.linalg.norm(plane @ wanted))}
        told.append(one)
    signed = np.array([one["model"] for one in told if np.isfinite(one.get("model", np.nan))])
    if signed.size and np.median(signed) > 90:
        for one in told:
            one |= {"model": 180 - one["model"]} if one["found"] else {}
    return told


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    sizes = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.degrees(np.arccos(np.clip(one @ other / sizes, -1, 1)))) if np.isfinite(sizes) and sizes > 0 else float("nan")


def asked(found: Found) -> list[list[dict[str, Any]]]:
    """Events of each particle that are large enough and were detected."""
    return [[one for one in unit["events"] if one["share"] > SHARE and one["found"]] for unit in evidence(found, "slips")]


def judge(found: Found) -> Verdict:
    """Angles of the slips in the plane of the reflections, and the modes that are named; what is called unknown is counted apart."""
    each = asked(found)
    checks = [_median(label, key, bar, each) for label, key, bar in (("drops [deg]", "drops", BARS[0]), ("model [deg]", "model", BARS[1]))]
    checks.append(_right(each))
    every = [one for some in each for one in some]
    far = [float(np.nanquantile([one[key] for one in every], 0.8)) if every else float("nan") for key in ("drops", "model")]
    named = sum(one["mode"] in NAMED for one in every)
    silent = sum(not np.isfinite(one["model"]) for one in every)
    missed = sum(one["share"] > SHARE and not one["found"] for unit in evidence(found, "slips") for one in unit["events"])
    told = (
        f"80 % within {far[0]:.0f} and {far[1]:.1f} deg; {len(every) - named} of {len(every)} modes unknown or invisible; "
        f"{silent} without a model, {missed} not detected; share of the power that slipped > {SHARE:g}; the sign of all slips of a "
        "particle is that of its object or twin"
    )
    return judged(checks, f"{many(len(each), 'seed')}, {len(every)} events", told)


def _median(label: str, key: str, bar: float, each: list[list[dict[str, Any]]]) -> Check:
    some = [[one[key] for one in unit if np.isfinite(one[key])] for unit in each]
    every = [value for values in some for value in values]
    return at_most(f"median {label}", [float(np.median(every))] if every else [], bar, apart=[float(np.median(v)) for v in some if v])


def _right(each: list[list[dict[str, Any]]]) -> Check:
    some = [[one["mode"] == one["kind"] for one in unit if one["mode"] in NAMED] for unit in each]
    every = [mark for marks in some for mark in marks]
    return at_least("named mode right", [float(np.mean(every))] if every else [], BARS[2], apart=[float(np.mean(m)) for m in some if m])
