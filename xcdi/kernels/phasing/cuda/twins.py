"""The passes of an iteration as array expressions: what the kernels beside them must equal, and what runs where there is no GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES
from xcdi.kernels.phasing.moves import blur

__all__ = [
    "DARK",
    "FREE",
    "Data",
    "Passes",
    "Twins",
    "impose",
    "intensity",
    "modulus",
    "multiply",
    "peak",
    "redraw",
    "rms_inside",
    "update",
]

FREE = -1.0  # target of a pixel that is not valid
DARK = 1e-15  # least modulus that is divided by


@dataclass(frozen=True)
class Data:
    """What is measured, as the passes want it; shared by all starts.

    Attributes
    ----------
    target : float32 array, shape (z, y, x)
        Measured amplitude, `FREE` where not valid.
    background : float32 array, shape (1,) or (z, y, x)
        Counts per pixel.
    coherence : float32 array, shape (z, y, x // 2 + 1), or None
    energy : float64 array, shape ()
        Sum of the squares of the valid amplitudes.
    """

    target: Array
    background: Array
    coherence: Array | None
    energy: Array


class Passes(Protocol):
    """What an iteration and a new support are made of, for arrays (start, z, y, x)."""

    def step(self, rho: Array, support: Array, data: Data, a: float, b: float) -> tuple[Array, Array]:
        """Return the next objects, and the squared errors of the present ones (start, part): their sum is the error.

        Outside the support ``a * rho + b * p`` is kept, with p the projection onto the data. `rho` may be overwritten.
        """

    def redraw(self, rho: Array, support: Array, move: str, sigma: float, threshold: float, floor: int) -> Array:
        """Return the supports by ``shrink_wrap`` or ``shrink_wrap_rms``. `support` may be overwritten."""


class Twins:
    """:class:`Passes` for any array library; the definition."""

    def step(self, rho: Array, support: Array, data: Data, a: float, b: float) -> tuple[Array, Array]:
        """See :class:`Passes`."""
        xp, n = namespace(rho), _voxels(rho)
        psi = xp.fft.fftn(rho, axes=AXES)
        counts = intensity(psi)
        if data.coherence is not None:
            spectrum = multiply(xp.fft.rfftn(counts, axes=AXES), data.coherence, 1.0 / n)
            counts = xp.fft.irfftn(spectrum, s=rho.shape[-3:], axes=AXES, norm="forward")
        psi, error = impose(psi, counts, data, 1.0 / n)
        del counts  # as large as half an object of every start
        psi = xp.fft.ifftn(psi, axes=AXES, norm="forward")
        return update(rho, psi, support, a, b), error

    def redraw(self, rho: Array, support: Array, move: str, sigma: float, threshold: float, floor: int) -> Array:
        """See :class:`Passes`."""
        blurred = blur(modulus(rho), sigma)
        level = threshold * (peak(blurred) if move == "shrink_wrap" else rms_inside(blurred, support))
        return redraw(blurred, level, support, floor)


def impose(psi: Array, counts: Array, data: Data, scale: float) -> tuple[Array, Array]:
    """Return `psi` with the measured modulus where there is one, times `scale`, and the squared error before that, (start, 1).

    Parameters
    ----------
    counts : float32 array, shape (start, z, y, x)
        What is expected of the crystal; below zero counts as zero.
    scale : float
        Carries the 1/N of the transform back.
    """
    xp = namespace(psi)
    modulus = xp.sqrt(xp.where(counts > 0.0, counts, 0.0) + data.background)
    known = data.target >= 0.0
    miss = xp.where(known, modulus - data.target, 0.0)
    ratio = scale * xp.where(known, data.target / xp.where(modulus > DARK, modulus, DARK), 1.0)
    error = xp.sum(miss * miss, axis=AXES, dtype=xp.float64)
    return psi * ratio, xp.reshape(error, (-1, 1))


def intensity(psi: Array) -> Array:
    """Return the squared modulus."""
    xp = namespace(psi)
    return xp.real(psi) ** 2 + xp.imag(psi) ** 2


def modulus(rho: Array) -> Array:
    """Return the modulus."""
    return namespace(rho).abs(rho)


def multiply(spectrum: Array, window: Array, scale: float) -> Array:
    """Return `spectrum` times the real `window` times `scale`."""
    return spectrum * (scale * window)


def update(rho: Array, p: Array, support: Array, a: float, b: float) -> Array:
    """Return `p` inside the support and ``a * rho + b * p`` outside."""
    xp = namespace(rho)
    return xp.where(support, p, a * rho + b * p if a else b * p)


def peak(blurred: Array) -> Array:
    """Return the largest value of every start, shape (start,)."""
    return namespace(blurred).max(blurred, axis=AXES)


def rms_inside(blurred: Array, support: Array) -> Array:
    """Return the root mean square inside the support of every start, shape (start,); infinite where it is empty."""
    xp = namespace(blurred)
    power = xp.sum(xp.where(support, blurred, 0.0) ** 2, axis=AXES, dtype=xp.float64)
    size = xp.sum(xp.astype(support, xp.float64), axis=AXES)
    return xp.astype(xp.where(size > 0.0, xp.sqrt(power / xp.where(size > 0.0, size, 1.0)), xp.inf), xp.float32)


def redraw(blurred: Array, level: Array, support: Array, floor: int) -> Array:
    """Return the voxels above the level of their start, where they are `floor` or more, else the old support."""
    xp = namespace(blurred)
    found = blurred > xp.reshape(level, (-1, 1, 1, 1))
    size = xp.sum(xp.astype(found, xp.int64), axis=AXES, keepdims=True)
    return xp.where(size >= floor, found, support)


def _voxels(rho: Array) -> int:
    z, y, x = rho.shape[-3:]
    return int(z * y * x)
