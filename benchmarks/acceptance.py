"""Every row of the acceptance table on simulated experiments, over several seeds.

python benchmarks/acceptance.py [--rows WORD...] [--seeds N] [--work DIR] [--jobs 2]

Each case with each seed is simulated, analysed, measured and deleted; its figures
stay in DIR, so that the next run goes on where this one ended. A unit that was
measured with another version of xcdi is measured anew, if a row asked for needs it.
Writes ACCEPTANCE.md beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import acceptance_report as report
import acceptance_units as units
from acceptance_cases import CASES, Case
from acceptance_rows import ROWS, Row

HERE = Path(__file__).parent
PAGE = HERE / "ACCEPTANCE.md"
MEASURED = ("xcdi", "pipelines")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def version() -> str:
    """Return the commit, and a checksum of what has changed since in the code that is measured, or that measures."""
    git = ["git", "-C", str(HERE.parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain", *MEASURED, str(HERE / "acceptance*.py")], capture_output=True, text=True, check=False
    ).stdout
    if not changed.strip():
        return commit
    sources = sorted([*(path for part in MEASURED for path in (HERE.parent / part).rglob("*.py")), *HERE.glob("acceptance*.py")])
    return f"{commit}+{hashlib.sha1(b''.join(path.read_bytes() for path in sources)).hexdigest()[:8]}"


def asked(words: Sequence[str]) -> list[Row]:
    """Rows whose stage, test or cases hold any of the words; all of them without words."""
    return [row for row in ROWS if not words or any(w.lower() in " ".join([row.stage, row.test, *row.cases]).lower() for w in words)]


def due(rows: Sequence[Row], work: Path, now: str, most: int | None) -> Iterator[tuple[Case, int]]:
    """Yield the units that these rows need and that are not measured yet, in the order of the table of cases, first seeds first."""
    wanted = [one for one in CASES if any(one.name in row.cases for row in rows)]
    for seed in range(1, max((one.seeds for one in wanted), default=0) + 1):
        for one in wanted:
            if seed > min(one.seeds, most or one.seeds):
                continue
            unit = units.load(work, one, seed)
            if unit is None or unit["version"] != now or unit["errors"]:
                yield one, seed


def quiet() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def measure(todo: list[tuple[Case, int]], work: Path, now: str, jobs: int) -> bool:
    """Run the units in processes of their own, and say what became of each; False where it was stopped before the end."""
    begin = time.perf_counter()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # the processes read it before they load numpy: units run side by side
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet)
    running: dict[Future[dict], tuple[Case, int]] = {}
    try:
        running = {pool.submit(units.run, one, seed, work, now): (one, seed) for one, seed in todo}
        for count, future in enumerate(as_completed(running), 1):
            one, seed = running[future]
            unit = future.result()
            said = "  ".join(unit["errors"]) or "done"
            elapsed = time.perf_counter() - begin
            print(f"{elapsed:7.0f} s  {count:3d} of {len(todo)}  {one.name} seed {seed}  {unit['seconds']:.1f} s  {said}", flush=True)
    except BrokenProcessPool:
        print("a process died, perhaps of memory; the same command goes on from here", flush=True)
        return False
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", flush=True)
        return False
    finally:
        stop(pool)
        shutil.rmtree(work / "raw", ignore_errors=True)
    return True


def stop(pool: ProcessPoolExecutor) -> None:
    """End the processes without waiting for the units that have not begun."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def write(path: Path, text: str) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="only rows, or cases, that hold one of these words")
    parser.add_argument("--seeds", type=int, help="at most so many seeds of each case")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "xcdi_acceptance", help="where figures are kept")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    now = version()
    todo = list(due(asked(options.rows), options.work, now, options.seeds))
    print(f"version {now}: {len(todo)} units to measure; figures in {options.work}", flush=True)
    whole = not todo or measure(todo, options.work, now, options.jobs)
    asked_for = [*(["--rows", *options.rows] if options.rows else []), *(["--seeds", str(options.seeds)] if options.seeds else [])]
    write(options.out, report.markdown(options.work, now, " ".join(["python benchmarks/acceptance.py", *asked_for])))
    print(f"→ {options.out}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
