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
                if safe is not None and _grown(runner, safe, worse):
                    safe = _back(runner, safe, worse)
                else:
                    safe = None  # or two copies are held at a time
                    safe = runner.estimate()
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


def _grown(runner: Runner, safe: Estimate, worse: float) -> Array:
    """Whether any start's misfit has grown by more than the factor `worse`."""
    xp = namespace(safe.rho)
    return xp.any(xp.asarray(runner.residual() > worse * safe.residual))


def _back(runner: Runner, safe: Estimate, worse: float) -> Estimate:
    """Go back to `safe`, start by start where the misfit has grown; return where that leads."""
    xp = namespace(safe.rho)
    grown = xp.asarray(runner.residual() > worse * safe.residual)
    back = grown[..., None, None, None]
    now = runner.estimate()
    support = xp.where(back, safe.support, now.support)
    kept = Estimate(xp.where(back, safe.rho, now.rho), support, xp.where(grown, safe.residual, now.residual))
    runner.load(kept)
    return kept


def _mean(runner: Runner, moves: tuple[Advance, ...], cycles: int) -> Estimate:
    total = _nothing_like(runner.estimate().rho)
    for _ in range(cycles):
        for move, n, beta in moves:
            runner.run(move, n, beta)
        _add_inside(total, runner.estimate())
    total /= cycles
    return replace(runner.estimate(), rho=total)


def _nothing_like(rho: Array) -> Array:
    return namespace(rho).zeros_like(rho)


def _add_inside(total: Array, now: Estimate) -> None:
    """Add what is within the support, plane by plane: one more whole object would be the peak of memory."""
    xp = namespace(now.rho)
    for z in range(now.rho.shape[-3]):
        total[..., z, :, :] += xp.where(now.support[..., z, :, :], now.rho[..., z, :, :], 0.0)
