"""What each detector of events finds on the same simulated series, so that the default is chosen by figures.

python benchmarks/event_detection.py [--seeds 1 2] [--first-free 201] [--free 6] [--detectors scan poisson novelty kernel]

For n = 1, 0.3 and 0.1 photons per pixel and frame: recall of events of D >= 0.03 (0.1 below n = 1), precision, error of the
frame, on 1000 frames of 64 x 64 with ageing; detections on event-free, ageing or ballistic series beside the number that the
stated rate leads one to expect, at that rate and at a hundred times it; CPU seconds of one search.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from acceptance_cases import Case
from acceptance_judges_series import Series
from acceptance_series import true_events
from acceptance_units import Bench

from xcdi import artificial, io
from xcdi.stages import detection
from xcdi.stages.detection import DETECTORS, Detector
from xcdi.stages.series import Movie, movie
from xcdi.stages.series_correlation import Correlating, correlate

WINDOW, RATE, MANY = 12, 0.2, 20.0
DROPS = {"1.0": 0.03, "0.3": 0.1, "0.1": 0.1}
LARGE = {"1.0": (), "0.3": (("event_sizes", (0.03, 0.25)),), "0.1": (("event_sizes", (0.03, 0.25)),)}
FREE = ("strong-ageing", "ballistic")


@dataclass
class Tally:
    """What one detector did at one count rate."""

    asked: int = 0
    hit: int = 0
    listed: int = 0
    false: int = 0
    late: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    alarms: int = 0
    expected: float = 0.0
    many: int = 0

    def line(self, detector: str, mean: str) -> str:
        """One line of the table."""
        right = 1 - self.false / self.listed if self.listed else float("nan")
        late = f"{np.mean(self.late):+.2f} ± {np.std(self.late):.2f}" if self.late else "-"
        free = f"{self.alarms} ({self.expected:.2f})   {self.many} ({self.expected * MANY / RATE:.1f})"
        return (
            f"{detector:<8} {mean:>4}   {self.hit / max(self.asked, 1):6.3f} of {self.asked:<4} {right:9.3f} of {self.listed:<4}"
            f" {late:>14}   {free:>22}   {np.median(self.seconds):6.2f}"
        )


def made(variant: str, seed: int, options: tuple[tuple[str, Any], ...] = ()) -> tuple[Movie, dict[str, Any]]:
    """Return one simulated series as images, and its true events."""
    case = Case("detection", (), variant=f"bare,{variant}", options=(("frames", 1000), *options))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(case, seed, Path(folder))
        artificial.simulate(case.experiment, bench.raw, profile=case.profile, seed=seed, variant=case.variant, **dict(case.options))
        scan = io.open_scan(bench.raw, "particle_series", bench.beamline)
        return movie(correlate(scan, Correlating())), true_events(bench)


def searched(seen: Movie, detector: Detector, tally: Tally, rate: float = RATE) -> detection.Found:
    """Search, and note the CPU seconds."""
    begin = time.process_time()
    found = detection.search(seen, WINDOW, rate, 0, detector)
    tally.seconds += (time.process_time() - begin,)
    return found


def judged(seen: Movie, true: dict[str, Any], detector: Detector, tally: Tally, drop: float) -> None:
    """Compare what one detector finds with what happened."""
    found = searched(seen, detector, tally)
    flags = ["artefact" if bad else "" for bad in found.artefact]
    series = Series({"frame": found.changes.frame.tolist(), "flags": flags}, true, len(seen.ok))
    tally.asked += int(series.asked(drop).sum())
    tally.hit += len(series.exact(drop))
    tally.listed += len(series.internal)
    tally.false += len(series.matches(drop).false)
    tally.late += tuple(series.late(drop))


def quiet(seen: Movie, detector: Detector, tally: Tally) -> None:
    """Count what one detector finds where nothing happens."""
    found = searched(seen, detector, tally)
    tally.alarms += len(found.changes.frame)
    tally.expected += float(detection.attributes(found)["false_alarms_expected"])
    tally.many += len(searched(seen, detector, tally, MANY).changes.frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="series with events, at each count rate")
    parser.add_argument("--free", type=int, default=6, help="event-free series at each count rate, of either drift in turn")
    parser.add_argument("--first-free", type=int, default=201, help="seed of the first of them")
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=DETECTORS)
    options = parser.parse_args()
    searched(made("even,strong-ageing", options.seeds[0])[0], "scan", Tally())  # compiles
    print(f"detector    n   recall           precision           late [frame]   free: seen (expected) at {RATE:g}, {MANY:g}   CPU [s]")
    for mean, drop in DROPS.items():
        dim = "" if mean == "1.0" else f",dim-{mean}"
        tallies = {name: Tally() for name in options.detectors}
        for seed in options.seeds:
            seen, true = made(f"even,strong-ageing{dim}", seed, LARGE[mean])
            for name, tally in tallies.items():
                judged(seen, true, name, tally, drop)
        for k in range(options.free):
            seen, _ = made(f"no-events,{FREE[k % 2]}{dim}", options.first_free + k)
            for name, tally in tallies.items():
                quiet(seen, name, tally)
        for name, tally in tallies.items():
            print(tally.line(name, mean), flush=True)


if __name__ == "__main__":
    main()
