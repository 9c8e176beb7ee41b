"""A night's batch: 20 scans, one corrupt, killed halfway and begun again; then one worker against two.

Run: python benchmarks/batch.py [--scans 20] [--turns 3]. Scans are simulated (profile pico).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py

from xcdi import artificial

XCDI = [sys.executable, "-c", "import sys; from xcdi.cli import main; sys.exit(main())"]


def night(folder: Path, scans: int) -> Path:
    """Write `scans` Eiger scans into one folder; the seventh is cut short."""
    raw = folder / "raw"
    raw.mkdir()
    for k in range(1, scans + 1):
        made = artificial.simulate("particle", folder / f"one{k}", profile="pico", seed=k)
        shutil.copy(made / "particle_rocking_master.h5", raw / f"p{k:02d}_master.h5")
        with h5py.File(raw / f"p{k:02d}_master.h5", "r+") as master:
            for name in list(master["entry/data"]):
                data = made / f"particle_rocking_{name}.h5"
                shutil.copy(data, raw / f"p{k:02d}_{name}.h5")
                del master["entry/data"][name]
                master["entry/data"][name] = h5py.ExternalLink(f"p{k:02d}_{name}.h5", "/entry/data/data")
        shutil.rmtree(made)
    victim = raw / "p07_data_000001.h5"
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    return raw


def command(raw: Path, out: Path, workers: int, scans: list[str]) -> list[str]:
    return [*XCDI, "run", "bcdi_strain", str(raw), *scans, "--beamline", "demo", "--workers", str(workers), "--out", str(out)]


def killed_halfway(raw: Path, out: Path, scans: int) -> int:
    """Begin, kill without warning when half the results are there, and say how many were."""
    begun = subprocess.Popen(command(raw, out, 2, []), stdout=subprocess.DEVNULL, start_new_session=True)
    while len(list(out.glob("*.h5"))) < scans // 2 and begun.poll() is None:
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGKILL)  # its workers with it, as when a node is lost
    begun.wait()
    return len(list(out.glob("*.h5")))


def seconds(raw: Path, out: Path, workers: int, scans: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command(raw, out, workers, scans), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3, help="comparisons of one worker with two; 0 for none")
    options = parser.parse_args()
    scans = options.scans
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = night(folder, scans)
        there = killed_halfway(raw, folder / "out", scans)
        print(f"killed with {there} results there")
        again = subprocess.run(command(raw, folder / "out", 2, []), capture_output=True, text=True, check=False)
        print(again.stdout + again.stderr + f"exit {again.returncode}; {len(list((folder / 'out').glob('*.h5')))} results")
        whole = [f"p{k:02d}" for k in range(8, scans + 1)]
        ratios = []
        for turn in range(options.turns):
            one, two = (seconds(raw, folder / f"w{workers}_{turn}", workers, whole) for workers in (1, 2))
            ratios.append(one / two)
            print(f"{len(whole)} scans: one worker {one:.1f} s, two {two:.1f} s, ratio {one / two:.2f}")
        if ratios:
            print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
