"""What advances a run of phase retrieval: the verbs every runner has, and the plain one.

:class:`Plain` plays the moves of :mod:`xcdi.kernels.phasing.moves` one after the other, for
any array library: it is the definition. :class:`xcdi.kernels.phasing.inplace.InPlace` works in
arrays made once, on the CPU; the others are faster twins of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from xcdi.backend import Array
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move

__all__ = ["Plain", "Runner", "named"]


class Runner(Protocol):
    """What advances one start, or a batch of them: the same verbs in place and through the moves."""

    def measure(self, measured: Measured) -> None:
        """Go on against other data, as when their damping or their coherence changes."""

    def load(self, estimate: Estimate) -> None:
        """Go on from `estimate`."""

    def run(self, move: str | Move, n: int, beta: float | None = None) -> None:
        """Do `n` iterations of the move with that name, or of that function."""

    def redraw(self, move: str, sigma: float, threshold: float, floor: int = 0) -> None:
        """Redraw the support by that move of moves; with fewer than `floor` voxels the old one stays."""

    def residual(self) -> Array | float:
        """Return the misfit that the last iteration started from."""

    def estimate(self) -> Estimate:
        """Return a copy of what is believed now."""


class Plain:
    """The pure moves, one after the other; the definition.

    Nothing is read back between iterations, so a device is never waited for.
    """

    def __init__(self, start: Estimate, measured: Measured) -> None:
        self._estimate, self._measured = start, measured

    def measure(self, measured: Measured) -> None:
        """See :class:`Runner`."""
        self._measured = measured

    def load(self, estimate: Estimate) -> None:
        """See :class:`Runner`."""
        self._estimate = estimate

    def run(self, move: str | Move, n: int, beta: float | None = None) -> None:
        """See :class:`Runner`."""
        step = named(move, beta)
        for _ in range(n):
            self._estimate = step(self._estimate, self._measured)

    def redraw(self, move: str, sigma: float, threshold: float, floor: int = 0) -> None:
        """See :class:`Runner`."""
        self._estimate = getattr(moves, move)(self._estimate, self._measured, sigma=sigma, threshold=threshold, floor=floor)

    def residual(self) -> Array | float:
        """See :class:`Runner`."""
        return self._estimate.residual

    def estimate(self) -> Estimate:
        """See :class:`Runner`."""
        return self._estimate


def named(move: str | Move, beta: float | None) -> Move:
    """Return the move of that name, with its feedback set where it has one; a function is its own move."""
    if not isinstance(move, str):
        return move
    function: Callable[..., Estimate] = getattr(moves, move)
    return function if beta is None else partial(function, beta=beta)
