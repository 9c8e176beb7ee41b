"""Events of a series that grows at frame rate: how soon each is announced, and whether the end is what a batch run gives."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from acceptance_files import XCDI
from acceptance_series import true_events
from acceptance_verdict import Check, Found, Verdict, at_least, at_most, evidence, judged, many

from xcdi import jobs
from xcdi.artificial.matching import NEAR, WINDOW, scorable
from xcdi.errors import XcdiError

__all__ = ["live_events", "soon"]

RATE = 10.0  # frames per second
SAID = re.compile(r"event at frame (\d+) \(.*?\), D [\d.e+-]+, announced (\d+) frames later")
LARGE = 0.05
LATEST = WINDOW + 5


def live_events(bench: Any) -> dict[str, Any]:
    """Let the series grow while it is followed, and list what was announced, beside the true events."""
    growing = bench.folder / "growing"
    growing.mkdir(exist_ok=True)
    writer = _begin_writer(bench, growing)
    said: dict[int, int] = {}
    behind = 0
    for update in jobs.watch(_job(bench, growing, "live"), block=4, patience_s=180):
        behind = max(behind, update.waiting)
        for frame, later in SAID.findall("  ".join(line for line in update.news if not line.startswith("taken back"))):
            said.setdefault(int(frame), int(later))
    if writer.wait():
        raise XcdiError(f"xcdi simulate ended with status {writer.returncode}; expected 0")
    batch = jobs.run_job(_job(bench, growing, "batch"))
    if batch.status == "failed":
        raise XcdiError(f"xpcs_events: {batch.error}")
    different = _different(bench.folder / "live" / Path(batch.path).name, Path(batch.path))
    told = {"frame": list(said), "later": list(said.values()), "behind": behind, "different": different}
    return {**told, "true": true_events(bench), "frames": int(bench.config["frames"])}


def _begin_writer(bench: Any, growing: Path) -> subprocess.Popen[bytes]:
    case = bench.case
    options = [word for name, value in case.options for word in ("--set", f"{name}={json.dumps(value)}")]
    what = ["simulate", case.experiment, str(growing), "--profile", case.profile, "--seed", str(bench.seed), "--variant", case.variant]
    return subprocess.Popen([*XCDI, *what, *options, "--live", str(RATE)], stdout=subprocess.DEVNULL)


def _job(bench: Any, path: Path, out: str) -> jobs.Job:
    return jobs.make_job("xpcs_events", path, "particle_series", beamline=bench.beamline, out=bench.folder / out)


def _different(one: Path, other: Path) -> list[str]:
    """Datasets of two result files that are not the same bit for bit, those of their origin left out."""
    with h5py.File(one, "r") as a, h5py.File(other, "r") as b:
        names = [set(_datasets(file)) for file in (a, b)]
        both = names[0] & names[1]
        return sorted((names[0] ^ names[1]) | {name for name in both if not _same(a[name][()], b[name][()])})


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return [name for name in found if not name.startswith("provenance")]


def _same(a: Any, b: Any) -> bool:
    one, other = np.asarray(a), np.asarray(b)
    return bool(np.array_equal(one, other)) if one.dtype.kind == "O" else one.dtype == other.dtype and one.tobytes() == other.tobytes()


def soon(found: Found) -> Verdict:
    """Every event of D >= 0.05 that stands alone is announced within a window and five frames; the end is that of a batch run."""
    late: list[float] = []
    missed = asked = false = 0
    seen = evidence(found, "live_events")
    for one in seen:
        frames, drops = np.array(one["true"]["frame"], int), np.array(one["true"]["drop_N5"], float)
        wanted = scorable(frames, drops, one["frames"], window=WINDOW, large=LARGE)
        heard, later = np.array(one["frame"], int), np.array(one["later"], int)
        false += sum(np.abs(frames - frame).min(initial=one["frames"]) > WINDOW / 2 for frame in heard)
        for frame in frames[wanted]:
            near = np.flatnonzero(np.abs(heard - frame) <= NEAR)
            asked, missed = asked + 1, missed + (near.size == 0)
            late += [float(heard[k] + later[k] - frame) for k in near[:1]]
    checks = [
        at_least("announced", [(asked - missed) / asked] if asked else [], 1.0),
        Check("frames after the event", late, lambda v: 0 <= v <= LATEST),
        at_most("datasets that differ from batch", [float(len(one["different"])) for one in seen], 0),
    ]
    note = (
        f"{false} announced that were none; at most {max((one['behind'] for one in seen), default=0)} frames were waiting to be looked at"
    )
    return judged(checks, f"{many(len(seen), 'series')}, {asked} events", note)
