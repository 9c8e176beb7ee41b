"""Source of all chance: one independent stream of random numbers per component."""

from __future__ import annotations

import numpy as np

__all__ = ["STREAMS", "streams"]

# The order is part of every simulated file: add at the end only.
STREAMS = (
    "grains",
    "distortion",
    "smooth",
    "slow",
    "event_times",
    "event_kinds",
    "beam",
    "pixels",
    "frames",
    "rocking_counts",
    "series_counts",
    "speckle",
    "speckle_counts",
    "flat",
    "streaks",
    "late",
    "lost",
    "catalogue",
    "transverse",
    "dislocations",
    "high_angle",
    "amplitudes",
    "motion",
    "slips",
    "aftershocks",
    "annealing",
    "crystal",
)


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return one generator per component, all from `seed`; a new component leaves the others unchanged.

    Examples
    --------
    >>> streams(1)["slow"].integers(1000) == streams(1)["slow"].integers(1000)
    np.True_
    """
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(STREAMS, children, strict=True)}
