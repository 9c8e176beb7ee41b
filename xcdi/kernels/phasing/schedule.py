"""A run of phase retrieval as a list of steps, and the loop that plays it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from xcdi.backend import Array, namespace
from xcdi.kernels.phasing.engine import Runner
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move
from xcdi.kernels.phasing.starts import damp

__all__ = ["Advance", "Average", "Damp", "Guard", "Redraw", "Step", "iterations", "play"]


class Advance(NamedTuple):
    """Do `n` iterations of a move, by its name in moves or as a function."""

    move: str | Move
    n: int
    beta: float | None = None


class Redraw(NamedTuple):
    """Redraw the support by a ``shrink_wrap`` of moves; with fewer than `floor` voxels the old one stays."""

    move: str
    sigma: float
    threshold: float
    floor: int = 0


class Damp(NamedTuple):
    """Go on against the data damped to `width` cycles per voxel around `centre`, along z, y, x; ``inf`` is the data as they are."""

    width: tuple[float, float, float]
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Guard(NamedTuple):
    """Go back to the last guard, support and all, if the misfit has grown by more than this factor since."""

    worse: float = 1.1


class Average(NamedTuple):
    """Do the moves `cycles` times and end at the mean of the objects, within their supports, that every time ends at."""

    moves: tuple[Advance, ...]
    cycles: int


Step = Advance | Redraw | Damp | Guard | Average


def play(runner: Runner, measured: Measured, steps: Iterable[Step]) -> Estimate:
    """Let `runner` take all `steps`, against `measured` or damped forms of it; return where it ends."""
    mean, safe = None, None
    for step in steps:
        mean = None
        match step:
            case Advance(move, n, beta):
                runner.run(move, n, beta)
            case Redraw(move, sigma, threshold, floor):
                runner.redraw(move, sigma, threshold, floor)
            case Damp(width, centre):
                runner.measure(damp(measured, width, centre))
            case Guard(worse):
                safe = _guarded(runner, safe, worse)
            case Average(moves, cycles):
                safe = None  # an object more, for which there is no need any longer
                mean = _mean(runner, moves, cycles)
    return mean or runner.estimate()


def iterations(steps: Iterable[Step]) -> int:
    """Return how many iterations the `steps` do in all.

    Examples
    --------
    >>> iterations([Advance("hio", 40), Redraw("shrink_wrap", 1.0, 0.1), Average((Advance("raar", 8), Advance("error_reduction", 2)), 6)])
    100
    """
    total = 0
    for step in steps:
        match step:
            case Advance(_, n, _):
                total += n
            case Average(moves, cycles):
                total += cycles * sum(move.n for move in moves)
    return total


def _guarded(runner: Runner, safe: Estimate | None, worse: float) -> Estimate:
    """Return where the run may come back to: what it has now or, start by start where the misfit grew, what it had."""
    if safe is None:
        return runner.estimate()
    xp = namespace(safe.rho)
    grown = xp.asarray(runner.residual() > worse * safe.residual)
    if not xp.any(grown):
        del safe  # or two copies are held at a time
        return runner.estimate()
    now = runner.estimate()
    back = grown[..., None, None, None]
    support = xp.where(back, safe.support, now.support)
    kept = Estimate(xp.where(back, safe.rho, now.rho), support, xp.where(grown, safe.residual, now.residual))
    runner.load(kept)
    return kept


def _mean(runner: Runner, moves: tuple[Advance, ...], cycles: int) -> Estimate:
    total: Array = None
    for _ in range(cycles):
        for move, n, beta in moves:
            runner.run(move, n, beta)
        now = runner.estimate()
        inside = namespace(now.rho).where(now.support, now.rho, 0.0)
        if total is None:
            total = inside
        else:
            total += inside
    total /= cycles
    return replace(now, rho=total)
