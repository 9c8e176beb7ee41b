"""Many starts as one batch axis: one transform, one modulus pass and one update for all of them.

:class:`Batched` is the runner for a GPU, where the passes are kernels of
:mod:`xcdi.kernels.phasing.cuda` and the host never waits between two checkpoints. With
arrays of any other library the same passes run as array expressions.
"""

from __future__ import annotations

import math

from xcdi.backend import Array, Cuda, is_on_gpu, namespace
from xcdi.kernels.phasing import cuda, moves
from xcdi.kernels.phasing.cuda.launched import Device, Launched
from xcdi.kernels.phasing.cuda.twins import FREE, Data, Passes, Twins
from xcdi.kernels.phasing.engine import named
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move

__all__ = ["Batched"]


class Batched:
    """Starts (..., z, y, x) in complex64, advanced together against one measurement.

    Parameters
    ----------
    starts : Estimate
        Leading axes are independent starts; a support without them is shared by all at first.
    measured : Measured
        Arrays of the same library, on the same device.
    device : Device, optional
        What launches kernels; by default the GPU for arrays that lie there, and none for others.

    Notes
    -----
    A start ends at the same object whatever others run beside it, up to the rounding of the transform.
    """

    def __init__(self, starts: Estimate, measured: Measured, *, device: Device | None = None) -> None:
        self._xp = namespace(starts.rho)
        *self._lead, z, y, x = starts.rho.shape
        self._shape = (math.prod(self._lead), z, y, x)
        if device is None and is_on_gpu(starts.rho):
            device = Cuda(cuda.source())
        self._passes: Passes = Twins() if device is None else Launched(device, self._xp, self._shape)
        self._rho = self._xp.empty(self._shape, dtype=self._xp.complex64)
        self._support = self._xp.empty(self._shape, dtype=self._xp.bool)
        self.load(starts)
        self.measure(measured)

    def measure(self, measured: Measured) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        self._measured = measured
        self._data = _data(measured, self._shape[1:])

    def load(self, estimate: Estimate) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        xp = self._xp
        self._rho[...] = xp.reshape(xp.astype(estimate.rho, xp.complex64, copy=False), self._shape)
        support = xp.broadcast_to(estimate.support, (*self._lead, *self._shape[1:]))
        self._support[...] = xp.reshape(support, self._shape)
        self._residual, self._error = estimate.residual, None

    def run(self, move: str | Move, n: int, beta: float | None = None) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        pair = moves.outside(move, beta) if isinstance(move, str) else None
        if pair is not None:
            return self.step(n, *pair)
        step, estimate = named(move, beta), self.estimate()
        for _ in range(n):
            estimate = step(estimate, self._measured)
        return self.load(estimate)

    def step(self, n: int, a: float, b: float) -> None:
        """Do `n` iterations that keep ``a * rho + b * p`` outside the support."""
        for _ in range(n):
            self._rho, self._error = self._passes.step(self._rho, self._support, self._data, a, b)

    def redraw(self, move: str, sigma: float, threshold: float, floor: int = 0) -> None:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        if move in ("shrink_wrap", "shrink_wrap_rms"):
            self._support = self._passes.redraw(self._rho, self._support, move, sigma, threshold, floor)
            return
        drawn = getattr(moves, move)(self.estimate(), self._measured, sigma=sigma, threshold=threshold, floor=floor)
        self._support[...] = self._xp.reshape(drawn.support, self._shape)

    def residual(self) -> Array | float:
        """Return the misfit that the last iteration started from, start by start; reading it waits for the device."""
        if self._error is None:
            return self._residual
        error = self._xp.sum(self._error, axis=-1, dtype=self._xp.float64)
        return self._xp.reshape(self._xp.sqrt(error / self._data.energy), tuple(self._lead))

    def estimate(self) -> Estimate:
        """See :class:`xcdi.kernels.phasing.engine.Runner`."""
        shape = (*self._lead, *self._shape[1:])
        rho, support = (self._xp.reshape(self._xp.asarray(a, copy=True), shape) for a in (self._rho, self._support))
        return Estimate(rho, support, self.residual())


def _data(measured: Measured, shape: tuple[int, ...]) -> Data:
    """Return what is measured as the passes want it: contiguous, in single precision."""
    xp = namespace(measured.amplitude)
    target = xp.astype(xp.where(measured.valid, measured.amplitude, FREE), xp.float32)
    energy = xp.sum(xp.where(measured.valid, target, 0.0) ** 2, dtype=xp.float64)
    background = xp.asarray(measured.background, dtype=xp.float32)
    background = xp.reshape(background, (1,)) if background.size == 1 else _own(xp.broadcast_to(background, shape))
    coherence = None if measured.coherence is None else _own(xp.astype(measured.coherence, xp.float32))
    return Data(_own(target), background, coherence, energy)


def _own(array: Array) -> Array:
    """Return a contiguous copy: a kernel reads memory, and knows no strides."""
    xp = namespace(array)
    copy = xp.empty(array.shape, dtype=array.dtype)
    copy[...] = array
    return copy
