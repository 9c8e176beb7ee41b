"""Motion of the whole particle: drift, steps and turns, which are no events."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.profiles import Profile

__all__ = ["Motion", "draw"]


class Motion(NamedTuple):
    """Where the peak lies in every frame, (frame, 2) rows and columns [px] from its place, and how far the particle has turned [rad]."""

    shift: NDArray[np.float64]
    angle: NDArray[np.float64]


def draw(p: Profile, rng: np.random.Generator) -> Motion:
    """Draw the motion during a series: a random walk on the detector, one step in the middle, and a steady turn."""
    walk = rng.standard_normal((p.frames, 2)) * p.drift_px * np.sqrt(p.frame_time_s / 60)
    shift = np.cumsum(walk, axis=0) - walk[0]
    shift[p.frames // 2 :, 1] += p.step_px
    time: NDArray[Any] = np.arange(p.frames) * p.frame_time_s
    return Motion(shift, np.deg2rad(p.turning_deg_h) * time / 3600)
