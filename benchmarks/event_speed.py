"""Time of the whole analysis of one series against its bar: search, measurement, completeness and statistics of 1000 frames in 5 s.

python benchmarks/event_speed.py [--seed 1] [--frames 1000] [--repeats 3]

Draws a series of 64 x 64 pixels of the nano profile (one photon per pixel), calls `find_events` and `statistics` on its counts, and prints
the median of the repeats: CPU time of all threads, and time on the clock, with as many cores as this process may use.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import xarray as xr
from event_sizes import series

from xcdi.stages.avalanches import find_events, statistics

BAR_S = 5.0


def timed(data: xr.Dataset) -> tuple[xr.Dataset, np.ndarray]:
    """Events, and seconds (part, clock): of `find_events` and `statistics`, on the CPU and on the clock."""
    marks = [(time.process_time(), time.perf_counter())]
    events = find_events(data)
    marks.append((time.process_time(), time.perf_counter()))
    statistics([events])
    marks.append((time.process_time(), time.perf_counter()))
    return events, np.diff(marks, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    data, _ = series("even,strong-ageing", asked.seed, frames=asked.frames)
    runs = [timed(data) for _ in range(asked.repeats)]
    events, spent = runs[0][0], np.median([seconds for _, seconds in runs], axis=0)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{asked.frames} frames of 64 x 64, {events.sizes['event']} events, median of {asked.repeats}, {cores} cores")
    for name, (cpu, wall) in zip(("find_events", "statistics"), spent, strict=True):
        print(f"  {name}: {cpu:.2f} s of CPU, {wall:.2f} s on the clock")
    cpu, wall = spent.sum(axis=0)
    print(f"  both: {cpu:.2f} s of CPU, {wall:.2f} s on the clock, {wall / BAR_S:.2f} of {BAR_S:.0f} s")


if __name__ == "__main__":
    main()
