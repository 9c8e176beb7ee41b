"""Scene: all that the scans of one simulated experiment share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.artificial import detector, motion, slips
from xcdi.artificial.particle import Particle, build
from xcdi.artificial.profiles import Profile
from xcdi.artificial.spots import Spot, spots
from xcdi.artificial.streams import streams

__all__ = ["Scene", "counting", "drawn"]

OTHERS = 1000  # children of a stream that belong to peaks after the first begin at this number


class Scene(NamedTuple):
    """What is measured, with what, and what goes wrong; the same for every reflection.

    Attributes
    ----------
    p, seed : Profile, int
        What it was made from.
    particle : Particle
        Before the first event.
    events : sequence of Slip
        In order of time.
    moved : Motion
        Of the whole particle during the series.
    rocking_faults, series_faults : Faults
        Of the detector.
    rocking_beam, series_beam : Beam
        Intensity of every frame.
    spots : sequence of Spot
        Of grains that are turned away.
    """

    p: Profile
    seed: int
    particle: Particle
    events: Sequence[slips.Slip]
    moved: motion.Motion
    rocking_faults: detector.Faults
    series_faults: detector.Faults
    rocking_beam: detector.Beam
    series_beam: detector.Beam
    spots: Sequence[Spot]


def drawn(p: Profile, seed: int) -> Scene:
    """Draw the scene of profile `p`; the same seed gives the same."""
    rng = streams(seed)
    particle = build(p, rng)
    events = slips.draw(p, particle, rng)
    moved = motion.draw(p, rng["motion"])
    faults = detector.faults(p, [slip.frame for slip in events], rng)
    first, second = rng["beam"].spawn(2)
    beams = detector.beam(p, p.angles, first), detector.beam(p, p.frames, second, jump=p.beam_jump)
    return Scene(p, seed, particle, events, moved, detector.rocking_faults(p, faults, rng), faults, *beams, spots(p, particle))


def counting(seed: int, name: str, number: int) -> np.random.Generator:
    """Stream of the counting noise `name` of peak `number`: it depends on no other peak."""
    rng = streams(seed)[name]
    if number == 0:
        return rng
    sequence = rng.bit_generator.seed_seq
    assert isinstance(sequence, np.random.SeedSequence)
    return np.random.default_rng(np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, OTHERS + number)))
