"""The demo: simulate one experiment, analyse its raw files, and compare with the truth."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xcdi import artificial, io, jobs
from xcdi.artificial.score import score
from xcdi.cli.score import lines, tally
from xcdi.errors import XcdiError
from xcdi.plot import report

__all__ = ["demo"]

EXPERIMENT = "particle"
JUDGED = ("geometry", "phasing", "strain", "grains", "events", "attribution")  # `xcdi score` asks also for masks and bad frames


def demo(out: Path, seed: int) -> int:
    """Run everything once in the folder `out`; 0 if every figure meets its bar, else 1."""
    begin = time.perf_counter()
    raw = out / "raw"
    with _step(f"simulate a superlattice particle, seed {seed}", raw):
        artificial.simulate(EXPERIMENT, raw, profile="nano", seed=seed)
    results: list[Path] = []
    for pipeline in ("superlattice", "avalanche_statistics"):
        source = raw if pipeline == "superlattice" else results[0]
        with _step(f"run {pipeline}", out):
            results.append(_run(pipeline, source, out))
    with _step("compare with the truth", out / "report.html"):
        rows = score(results, raw / "truth.h5", parts=JUDGED)
        _write(out / "score.json", json.dumps({"rows": rows}, indent=1))
        loaded = [io.load(path) for path in results]
        report.html(loaded, out / "report.html", title=f"xcdi demo, seed {seed}", score_rows=rows, provenance=io.provenance_of(results[0]))
    for line in lines(rows):
        print(line)
    print(f"{tally(rows)}, {time.perf_counter() - begin:.0f} s; open {out / 'report.html'}")
    return 0 if all(row["pass"] for row in rows) else 1


def _run(pipeline: str, source: Path, out: Path) -> Path:
    job = jobs.make_job(pipeline, source, EXPERIMENT, beamline="demo", out=out, workers=os.cpu_count() or 1)
    outcome = jobs.run_job(job)
    if outcome.status == "failed":
        raise XcdiError(outcome.error)
    return Path(outcome.path)


@contextmanager
def _step(what: str, where: Path) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    print(f"  {time.perf_counter() - begin:6.1f} s  {what}  → {where}", flush=True)


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
