"""What states have to be so that they can be compared: reliable, of one reflection, and of one particle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.phasing import alignment
from xcdi.schema import CRYSTAL, require
from xcdi.stages.state_frame import State
from xcdi.stages.strain import object_of, vector_of

__all__ = ["check", "likeness", "without_others"]

LONGER = 1.1  # |q| of one state over that of another: beyond are different reflections
ASIDE = 5.0  # degrees between their directions, the same
SHAPE = 0.96  # overlap of amplitudes: 0.973 or more of 19 simulated states that slipped, 0.94 with few photons; 0.955 at most of 27 others
INSIDE = 0.7  # local overlap: 0.79 or more of the same states, few photons or many; 0.60 at most of different particles


def check(crystals: Sequence[xr.Dataset], usable: Sequence[bool]) -> None:
    """Refuse what is no series: too few crystals, incomplete, alike to the last bit, unreliable, or of several reflections."""
    if len(crystals) < 2:
        raise XcdiError(f"{len(crystals)} state of a particle; a series needs two or more")
    for crystal in crystals:
        require(crystal, "support", "grain", schema=CRYSTAL)
        object_of(crystal)
    _not_twice(crystals)
    if not any(usable):
        raise XcdiError(f"all {len(crystals)} states are unreliable, and nothing can be measured against them; phase them again")
    if sum(usable) < 2:
        only = list(usable).index(True)
        raise XcdiError(f"state {only} alone of {len(crystals)} is reliable, and nothing can be compared with it; phase the others again")
    _one_reflection(crystals)


def _not_twice(crystals: Sequence[xr.Dataset]) -> None:
    """Refuse one result given twice: no two scans agree to the last bit."""
    for (i, one), (k, other) in combinations(enumerate(crystals), 2):
        if np.array_equal(one.rho, other.rho):
            raise XcdiError(f"states {i} and {k} are one result, identical to the last bit; give each once")


def _one_reflection(crystals: Sequence[xr.Dataset]) -> None:
    """Refuse wave vectors of different lengths or directions."""
    waves = np.array([vector_of(crystal, "q_mean") for crystal in crystals])
    lengths = np.linalg.norm(waves, axis=1)
    if lengths.max() > LONGER * lengths.min():
        raise XcdiError(f"|q| of the states is {lengths.min():.4g} to {lengths.max():.4g} 1/nm: these are different reflections; give one")
    turns = np.degrees(np.arccos(np.clip(waves @ waves[0] / (lengths * lengths[0]), -1, 1)))
    if turns.max() > ASIDE:
        k = int(turns.argmax())
        raise XcdiError(
            f"G of state {k} points {turns[k]:.3g} degrees away from that of state 0, {ASIDE:g} at most: "
            "these are different reflections; give one"
        )


def likeness(states: Sequence[State], first: int) -> list[tuple[float, float]]:
    """Overlap of the amplitude of every state with that of the first, and the local one: of parts that may have any phase."""
    shapes = [np.abs(state.rho).astype(float) for state in states]
    return [(alignment.overlap(shapes[first], shape), state.how.local_overlap) for state, shape in zip(states, shapes, strict=True)]


def without_others(states: Sequence[State], first: int) -> tuple[list[State], list[str]]:
    """The states, those that do not look like the first not usable, and what to say of these.

    Slips leave the amplitude, and the phase within grains; noise leaves the phase. Where neither is alike it is another particle.

    Raises
    ------
    XcdiError
        If no other state is left.
    """
    alike = likeness(states, first)
    odd = [state.usable and one[0] < SHAPE and one[1] < INSIDE for state, one in zip(states, alike, strict=True)]
    told = [
        f"state {k} does not look like the particle of state {first} (amplitude overlap {alike[k][0]:.2f}, local {alike[k][1]:.2f})"
        for k in np.flatnonzero(odd)
    ]
    kept = [state._replace(usable=state.usable and not other) for state, other in zip(states, odd, strict=True)]
    if sum(state.usable for state in kept) < 2:
        raise XcdiError(f"{'; '.join(told)}; give states of one particle")
    return kept, [f"{one}: it has no numbers" for one in told]
