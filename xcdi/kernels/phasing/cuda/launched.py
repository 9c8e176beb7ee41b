"""The passes of an iteration as launches of the kernels beside this file, in arrays made once; the host never waits for the device."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Protocol

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.phasing.cuda.twins import Data
from xcdi.kernels.phasing.moves import gaussian_weights

__all__ = ["Device", "Launched"]

_THREADS = 256  # of a block
_EACH = 4  # voxels that a thread takes, at the least. None of these may depend on the device: sums would change their last bits
_MOST_BLOCKS = 4096  # per start: several rounds on the largest devices, so that the last one costs little


class Device(Protocol):
    """What launches kernels by name and transforms (start, z, y, x) over the last three axes, unnormalised."""

    def launch(self, kernel: str, grid: tuple[int, int], threads: int, *arguments: Array) -> None:
        """Start `kernel`; return at once."""

    def forward(self, a: Array, out: Array) -> None:
        """Transform complex `a` into `out`, which may be `a`."""

    def backward(self, a: Array, out: Array) -> None:
        """Transform complex `a` back into `out`, which may be `a`."""

    def to_half(self, a: Array, out: Array) -> None:
        """Transform real `a` into the half spectrum `out`."""

    def from_half(self, a: Array, out: Array) -> None:
        """Transform the half spectrum `a` into real `out`; `a` is lost."""


class Launched:
    """:class:`xcdi.kernels.phasing.cuda.twins.Passes` on a device; objects and supports are overwritten.

    Parameters
    ----------
    device : Device
    xp : module
        Array library of the device.
    shape : tuple of int
        (start, z, y, x).
    """

    def __init__(self, device: Device, xp: ModuleType, shape: tuple[int, ...]) -> None:
        self._device, self._xp, self._shape = device, xp, shape
        starts, *edges = shape
        self._n = math.prod(edges)
        self._half_shape = (starts, *edges[:2], edges[2] // 2 + 1)
        self._psi = xp.empty(shape, dtype=xp.complex64)
        self._real = xp.empty(shape, dtype=xp.float32)
        self._blocks = blocks = min(-(-self._n // (_THREADS * _EACH)), _MOST_BLOCKS)
        self._error = xp.empty((starts, blocks), dtype=xp.float32)
        self._part = xp.empty((starts, blocks), dtype=xp.float32)
        self._size = xp.empty((starts, blocks), dtype=xp.int32)
        self._half: Array | None = None
        self._window: tuple[float, Array] | None = None

    def step(self, rho: Array, support: Array, data: Data, a: float, b: float) -> tuple[Array, Array]:
        """See :class:`xcdi.kernels.phasing.cuda.twins.Passes`."""
        psi = self._psi
        self._device.forward(rho, psi)
        self._impose(psi, data)
        self._device.backward(psi, psi)
        self._launch("update", rho, psi, support, np.float32(a), np.float32(b), np.int64(self._n))
        return rho, self._error

    def redraw(self, rho: Array, support: Array, move: str, sigma: float, threshold: float, floor: int) -> Array:
        """See :class:`xcdi.kernels.phasing.cuda.twins.Passes`."""
        blurred, n = self._real, np.int64(self._n)
        self._launch("modulus", rho, blurred, n)
        self._blur(self._window_of(sigma), self._spectrum_in_psi())
        level = self._xp.astype(threshold * (self._peak() if move == "shrink_wrap" else self._rms_inside(support)), self._xp.float32)
        self._launch("count_above", blurred, level, self._size, n)
        self._launch("redraw", blurred, level, self._total(self._size, self._xp.int64), np.int64(floor), support, n)
        return support

    def _impose(self, psi: Array, data: Data) -> None:
        shared = (
            data.target,
            data.background,
            np.int32(data.background.size > 1),
            np.float32(1.0 / self._n),
            self._error,
            np.int64(self._n),
        )
        if data.coherence is None:
            return self._launch("impose", psi, *shared)
        if self._half is None:
            self._half = self._xp.empty(self._half_shape, dtype=self._xp.complex64)
        self._launch("intensity", psi, self._real, np.int64(self._n))
        self._blur(data.coherence, self._half)
        return self._launch("impose_expected", psi, self._real, *shared)

    def _blur(self, window: Array, spectrum: Array) -> None:
        """Multiply the spectrum of ``self._real`` by `window`, in the room of `spectrum`."""
        self._device.to_half(self._real, spectrum)
        self._launch("multiply", spectrum, window, np.float32(1.0 / self._n), np.int64(math.prod(self._half_shape[1:])))
        self._device.from_half(spectrum, self._real)

    def _peak(self) -> Array:
        self._launch("peak", self._real, self._part, np.int64(self._n))
        return self._xp.max(self._part, axis=-1)

    def _rms_inside(self, support: Array) -> Array:
        xp = self._xp
        self._launch("power_inside", self._real, support, self._part, self._size, np.int64(self._n))
        size = self._total(self._size, xp.int64)
        return xp.where(size > 0, xp.sqrt(self._total(self._part, xp.float64) / xp.where(size > 0, size, 1)), xp.inf)

    def _total(self, parts: Array, dtype: type) -> Array:
        return self._xp.sum(parts, axis=-1, dtype=dtype)

    def _spectrum_in_psi(self) -> Array:
        """Return room for a half spectrum: the far field is not needed between two iterations."""
        return self._xp.reshape(self._xp.reshape(self._psi, (-1,))[: math.prod(self._half_shape)], self._half_shape)

    def _window_of(self, sigma: float) -> Array:
        """Return the spectrum of the blur of :func:`xcdi.kernels.phasing.moves.blur`, in the half layout."""
        if self._window is None or self._window[0] != sigma:
            xp, (_, z, y, x) = self._xp, self._shape
            lines = [np.fft.fft(gaussian_weights(n, sigma)).real.astype(np.float32) for n in (z, y, x)]
            along_z, along_y, along_x = (xp.asarray(line) for line in (lines[0], lines[1], lines[2][: x // 2 + 1]))
            self._window = sigma, along_z[:, None, None] * along_y[:, None] * along_x
        return self._window[1]

    def _launch(self, kernel: str, *arguments: Array) -> None:
        self._device.launch(kernel, (self._blocks, self._shape[0]), _THREADS, *arguments)
