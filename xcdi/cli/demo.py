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
from xcdi.errors import XcdiError
from xcdi.plot import report

__all__ = ["demo"]

EXPERIMENT = "particle"


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
        rows = score(results, raw / "truth.h5")
        _write(out / "score.json", json.dumps({"rows": rows}, indent=1))
        loaded = [io.load(path) for path in results]
        report.html(loaded, out / "report.html", title=f"xcdi demo, seed {seed}", score_rows=rows, provenance=io.provenance_of(results[0]))
    for row in rows:
        print(f"  {'pass' if row['pass'] else 'FAIL'}  {row['name']:<58} {_text(row['measured']):>10}   bar {row['bar']}")
    missed = sum(not row["pass"] for row in rows)
    print(f"{len(rows) - missed} of {len(rows)} figures meet their bar, {time.perf_counter() - begin:.0f} s; open {out / 'report.html'}")
    return 1 if missed else 0


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


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
