"""Alignment: how a reconstruction lies against the truth, which no measurement of the intensity can fix.

Free are a phase, the place, a phase ramp (the origin of q), and the twin: the
object turned inside out and conjugated. All are found here, to a fraction of a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Alignment", "align", "fit_window", "on_grid", "to_image", "to_wave"]

Volume = NDArray[np.complexfloating[Any, Any]]
ROUNDS = 4
FINEST = 1 / 128  # last step of the search [voxel]


@dataclass(frozen=True)
class Alignment:
    """Where the voxels of a reconstruction are in the truth.

    Attributes
    ----------
    overlap : float
        Normalised complex overlap, 1 for the same object.
    twin : bool
        Whether the reconstruction is the truth turned inside out.
    shift : array, shape (3,)
        How far the reconstruction (or its twin) is displaced [voxel], order z, y, x.
    ramp : array, shape (3,)
        Its displacement in q, in steps of the transform.
    """

    overlap: float
    twin: bool
    shift: NDArray[np.float64]
    ramp: NDArray[np.float64]

    def in_truth(self, offsets: NDArray[Any]) -> NDArray[np.float64]:
        """Positions in the truth of voxels at `offsets` (..., 3) from the central voxel, order z, y, x [voxel]."""
        return (-offsets if self.twin else offsets) - self.shift

    def laid(self, rho: Volume) -> Volume:
        """Return the reconstruction as it lies upon the truth; a factor remains free."""
        posed = to_image(to_wave(rho).conj()) if self.twin else rho
        return to_image(to_wave(posed * _ramp(rho.shape, -self.ramp)) * _ramp(rho.shape, self.shift))


def to_wave(rho: Volume) -> Volume:
    """Far field of `rho`; both have their origin at ``n // 2``."""
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))


def to_image(wave: Volume) -> Volume:
    """Inverse of :func:`to_wave`."""
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(wave)))


def fit_window(wave: Volume, shape: Sequence[int], shift: Sequence[int] = (0, 0, 0)) -> Volume:
    """Return the part of `wave` that a window of `shape` sees, zero where `wave` ends.

    The middle of the window is at the middle of `wave` plus `shift`.

    Examples
    --------
    >>> fit_window(np.arange(27).reshape(3, 3, 3), (1, 1, 4))
    array([[[ 0, 12, 13, 14]]])
    """
    places = [np.arange(n) - n // 2 + have // 2 + s for n, have, s in zip(shape, wave.shape, shift, strict=True)]
    seen = [(place >= 0) & (place < have) for place, have in zip(places, wave.shape, strict=True)]
    out = np.zeros(tuple(shape), wave.dtype)
    out[np.ix_(*(np.flatnonzero(s) for s in seen))] = wave[np.ix_(*(place[s] for place, s in zip(places, seen, strict=True)))]
    return out


def on_grid(field: Volume, steps: NDArray[Any], x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.complex64]:
    """Return the object (z, y, x) at the positions `x`, `y`, `z` [nm] whose far field is `field` (angle, row, column).

    Parameters
    ----------
    field : array
        Sampled at multiples of `steps` from the middle index ``n // 2``.
    steps : array, shape (3, 3)
        Columns are the steps in q [1/nm]; the row step lies along y, the others in the plane of x and z.
    x, y, z : arrays
        Positions on an orthogonal grid.
    """
    j, n, m = (np.arange(size) - size // 2 for size in field.shape)
    rows = np.exp(1j * np.outer(y, n) * steps[1, 1]).astype(np.complex64)
    part = np.einsum("yn,jnm->jym", rows, field.astype(np.complex64), optimize=True)
    planes: list[Volume] = []
    for depth in z:
        columns = np.exp(1j * np.outer(m, steps[0, 2] * x + steps[2, 2] * depth)).astype(np.complex64)
        angles = np.exp(1j * np.outer(j, steps[0, 0] * x + steps[2, 0] * depth)).astype(np.complex64)
        planes.append(np.einsum("jyx,jx->yx", part @ columns, angles))
    return (np.stack(planes) / field.size).astype(np.complex64)


def align(rho: Volume, truth: Volume) -> Alignment:
    """Find how `rho` lies against `truth`, arrays of one shape with their origin at ``n // 2``.

    The ramp comes from the intensities, which the twin shares, the shift from
    the waves; then each is refined with the other held, in steps down to 1/128 voxel.
    """
    ramp = _strongest(np.abs(to_wave(truth)) ** 2, np.abs(to_wave(rho)) ** 2)
    first = [_refined(rho, truth, twin, ramp, rounds=1) for twin in (False, True)]
    better = max(first, key=lambda alignment: alignment.overlap)
    return _refined(rho, truth, better.twin, ramp)


def _refined(rho: Volume, truth: Volume, twin: bool, ramp: NDArray[Any], *, rounds: int = ROUNDS) -> Alignment:
    posed = to_image(to_wave(rho).conj()) if twin else rho
    wanted = to_wave(truth)
    shift = _strongest(truth, posed * _ramp(rho.shape, -ramp))
    for round_ in range(rounds):
        start = 0.5 if round_ == 0 else 0.25
        shift = _climb(wanted.conj() * to_wave(posed * _ramp(rho.shape, -ramp)), shift, start)
        moved = to_image(to_wave(posed) * _ramp(rho.shape, shift))
        ramp = -_climb(truth.conj() * moved, -ramp, start)
    moved = to_image(to_wave(posed * _ramp(rho.shape, -ramp)) * _ramp(rho.shape, shift))
    overlap = abs(np.vdot(truth, moved)) / (np.linalg.norm(truth) * np.linalg.norm(moved) or np.inf)
    return Alignment(float(overlap), twin, shift, ramp)


def _ramp(shape: tuple[int, ...], d: NDArray[Any]) -> Volume:
    """Phase factors ``exp(2 pi i n d / N)``: in q they move an image by -d voxels, in space a wave by d steps."""
    phases = [np.exp(2j * np.pi * (np.arange(n) - n // 2) * step / n) for n, step in zip(shape, d, strict=True)]
    return phases[0][:, None, None] * phases[1][:, None] * phases[2]


def _strongest(fixed: NDArray[Any], moving: NDArray[Any]) -> NDArray[np.float64]:
    """Whole steps by which `moving` is displaced against `fixed`, from the peak of their cross-correlation."""
    overlap = np.abs(np.fft.ifftn(np.fft.fftn(fixed).conj() * np.fft.fftn(moving)))
    place = np.unravel_index(overlap.argmax(), overlap.shape)
    return np.array([p - n if p > n // 2 else p for p, n in zip(place, overlap.shape, strict=True)], float)


def _climb(product: Volume, d: NDArray[Any], step: float) -> NDArray[np.float64]:
    """Maximise ``|sum product exp(2 pi i n d / N)|`` from `d`: best of 27 neighbours, then half the step."""
    while step >= FINEST:
        trials = [d[axis] + np.array([-step, 0.0, step]) for axis in range(3)]
        a, b, c = (np.exp(2j * np.pi * np.outer(trial, np.arange(n) - n // 2) / n) for trial, n in zip(trials, product.shape, strict=True))
        value = np.abs(np.einsum("ai,bj,ck,ijk->abc", a, b, c, product, optimize=True))
        best = np.unravel_index(value.argmax(), value.shape)
        d = np.array([trial[i] for trial, i in zip(trials, best, strict=True)])
        if best == (1, 1, 1):
            step /= 2
    return d
