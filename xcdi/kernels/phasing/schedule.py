"""A run of phase retrieval as a list of steps, and the loop that plays it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from xcdi.kernels.phasing.engine import Runner
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move, average
from xcdi.kernels.phasing.starts import damp

__all__ = ["Advance", "Average", "Damp", "Redraw", "Step", "play"]


class Advance(NamedTuple):
    """Do `n` iterations of a move, by its name in moves or as a function."""

    move: str | Move
    n: int
    beta: float | None = None


class Redraw(NamedTuple):
    """Redraw the support: ``shrink_wrap`` or ``shrink_wrap_rms``."""

    move: str
    sigma: float
    threshold: float


class Damp(NamedTuple):
    """Go on against the data damped to `width` cycles per voxel; ``inf`` is the data as they are."""

    width: float


@dataclass(frozen=True)
class Average:
    """Do `n` iterations of a move and end at the mean of their objects."""

    move: str | Move
    n: int
    beta: float | None = None


Step = Advance | Redraw | Damp | Average


def play(runner: Runner, measured: Measured, steps: Iterable[Step]) -> Estimate:
    """Let `runner` take all `steps`, against `measured` or damped forms of it; return where it ends."""
    mean = None
    for step in steps:
        mean = None
        match step:
            case Advance(move, n, beta):
                runner.run(move, n, beta)
            case Redraw(move, sigma, threshold):
                runner.redraw(move, sigma, threshold)
            case Damp(width):
                runner.measure(measured if width == float("inf") else damp(measured, width))
            case Average(move, n, beta):
                mean = average(_each(runner, move, n, beta))
    return mean or runner.estimate()


def _each(runner: Runner, move: str | Move, n: int, beta: float | None) -> Iterator[Estimate]:
    for _ in range(n):
        runner.run(move, 1, beta)
        yield runner.estimate()
