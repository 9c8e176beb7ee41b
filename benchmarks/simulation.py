"""Time, size on disk and peak memory of the simulated experiments: ``python benchmarks/simulation.py [--profiles nano std]``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xcdi.artificial.catalogues import VARIANTS as CATALOGUES
from xcdi.artificial.crystal import VARIANTS as CRYSTALS
from xcdi.artificial.speckle import SPECKLE_VARIANTS
from xcdi.artificial.variants import VARIANTS

SUITES = {
    "speckle": [*SPECKLE_VARIANTS],
    "particle": ["", "bare", *VARIANTS],
    "catalogue": [*CATALOGUES],
    "crystal": [*CRYSTALS],
}


def measured(command: list[str], out: Path) -> tuple[float, float, float]:
    """Seconds, MB on disk, and MB of peak memory of a command that writes into `out`."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {child.returncode}")
    size = sum(path.stat().st_size for path in out.iterdir())
    return time.perf_counter() - begin, size / 1e6, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", nargs="+", default=["nano", "std"])
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=list(SUITES))
    parser.add_argument("--variants", nargs="+", help="only these")
    parser.add_argument("--set", nargs="+", default=[], dest="assignments", help="options, as frames=200")
    wanted = parser.parse_args()
    print("| suite | variant | profile | time | on disk | peak memory |")
    print("|---|---|---|---|---|---|")
    for profile in wanted.profiles:
        for suite in wanted.suites:
            for variant in wanted.variants or SUITES[suite]:
                folder = Path(tempfile.mkdtemp())
                command = [str(Path(sys.executable).with_name("xcdi")), "simulate", suite, str(folder), "--profile", profile]
                command += ["--variant", variant] if variant else []
                command += [word for assignment in wanted.assignments for word in ("--set", assignment)]
                seconds, disk, memory = measured(command, folder)
                print(f"| {suite} | {variant or '-'} | {profile} | {seconds:.1f} s | {disk:.1f} MB | {memory:.0f} MB |", flush=True)
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
