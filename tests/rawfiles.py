"""A rocking scan and a series of a plain round peak, as raw files: quick to make, with all that a detector does."""

import numpy as np

from xcdi.artificial import detector
from xcdi.artificial.files import write_scan
from xcdi.artificial.streams import streams


def write_raw(folder, p, seed=3):
    """Write both scans of profile `p` into `folder`; return the faults."""
    rng, offsets = streams(seed), np.arange(p.window) - p.window // 2
    faulty = detector.faults(p, [], rng)
    peak = p.mean_count * np.exp(-(offsets[:, None] ** 2 + offsets**2) / p.box)
    angles = (np.arange(p.angles) - p.angles // 2) * p.angle_step_deg
    for scan, frames, what, angle in (("rocking", p.angles, faulty.lasting, angles), ("series", p.frames, faulty, 0.3)):
        beam = detector.beam(p, frames, rng["beam"])
        means = ([detector.Patch(*detector.box_of(p, p.window), peak * gain)] for gain in beam.intensity)
        counts = detector.expose(means, p, what, rng[f"{scan}_counts"])
        write_scan(folder, f"particle_{scan}", counts, p, what, angle_deg=angle, monitor=beam.monitor)
    return faulty
