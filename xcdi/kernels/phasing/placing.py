"""What the data leave open, settled by fixed rules: which twin, where in the array, on which phase ramp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels import fourier

__all__ = ["Placing", "inversion", "phase_gradient", "place", "placing", "skewness"]

_AXES = tuple(range(3))


class Placing(NamedTuple):
    """How an object was put in its place.

    Attributes
    ----------
    inverted : bool
        The inverted conjugate was taken.
    skewness : float
        Of the amplitude along its most lopsided axis, after that choice; near 0 the choice was a toss-up.
    shift : three ints
        Voxels it was rolled along z, y, x.
    gradient : three floats
        Mean phase gradient that was taken out, rad per voxel along z, y, x.
    """

    inverted: bool
    skewness: float
    shift: tuple[int, int, int]
    gradient: tuple[float, float, float]


def placing(rho: Array) -> Placing:
    """Return how to place `rho`, complex (z, y, x): its heavier side at low indices of its most lopsided axis,
    its centre of mass at n // 2, its mean phase gradient zero.

    Notes
    -----
    One reflection cannot tell an object from its inverted conjugate. The rule makes
    the same choice in every run, which is all that can be had; it may be the wrong one.
    """
    skew = skewness(np.abs(rho))
    worst = float(skew[np.abs(skew).argmax()])
    inverted = worst < 0
    turned = inversion(rho) if inverted else rho
    gradient = phase_gradient(turned)
    shift = tuple(int(n // 2 - round(c)) for n, c in zip(rho.shape, _circular_mean(np.abs(turned)), strict=True))
    return Placing(inverted, abs(worst), shift, gradient)  # type: ignore[arg-type]


def place(rho: Array, how: Placing) -> np.ndarray:
    """Return the complex object `rho` (z, y, x) inverted, rolled and freed of its ramp as `how` says."""
    turned = np.roll(inversion(rho) if how.inverted else rho, how.shift, axis=_AXES)
    for axis, (n, slope) in enumerate(zip(turned.shape, how.gradient, strict=True)):
        turn = np.exp(-1j * slope * (np.arange(n) - n // 2)).astype(turned.dtype)
        turned = turned * turn.reshape(_along(axis, n))
    return turned


def inversion(rho: Array) -> np.ndarray:
    """Return the inverted conjugate of `rho`, which scatters the same intensity; origin at index 0.

    Examples
    --------
    >>> inversion(np.array([[[1, 2j, 3]]]))
    array([[[1.-0.j, 3.-0.j, 0.-2.j]]])
    """
    return np.roll(np.conj(np.flip(rho, axis=fourier.AXES)), 1, axis=fourier.AXES)


def phase_gradient(rho: Array) -> tuple[float, float, float]:
    """Return the mean phase gradient of `rho`, weighted by its squared amplitude, rad per voxel along z, y, x.

    Examples
    --------
    >>> [round(g, 6) for g in phase_gradient(np.exp(0.3j * np.arange(5)).reshape(1, 1, 5) * np.ones((2, 2, 1)))]
    [0.0, 0.0, 0.3]
    """
    steps = (np.vdot(_part(rho, axis, slice(None, -1)), _part(rho, axis, slice(1, None))) for axis in _AXES)
    z, y, x = (float(np.angle(step)) for step in steps)
    return z, y, x


def skewness(amplitude: Array) -> np.ndarray:
    """Return the third central moment of `amplitude` along z, y, x in units of its width cubed.

    Inversion changes its sign, so it can choose between an object and its twin.

    Examples
    --------
    >>> skewness(np.array([[[0.0, 1.0, 1.0, 2.0, 0.0, 0.0]]])).round(2)
    array([ 0.  ,  0.  , -0.49])
    """
    middle = _circular_mean(amplitude)
    values = []
    for axis, n in enumerate(amplitude.shape):
        profile = _profile(amplitude, axis)
        x = (np.arange(n) - middle[axis] + n / 2) % n - n / 2
        width = np.sqrt(profile @ x**2)
        values.append(profile @ (x - profile @ x) ** 3 / width**3 if width > 0 else 0.0)
    return np.array(values)


def _circular_mean(amplitude: Array) -> list[float]:
    """Centre of mass on the periodic array, in indices."""
    turns = (_profile(amplitude, axis) @ np.exp(2j * np.pi * np.arange(n) / n) for axis, n in enumerate(amplitude.shape))
    return [float(np.angle(turn) / (2 * np.pi) % 1 * n) for turn, n in zip(turns, amplitude.shape, strict=True)]


def _profile(amplitude: Array, axis: int) -> np.ndarray:
    """Share of `amplitude` at every index of `axis`."""
    profile = np.sum(amplitude, axis=tuple(other for other in _AXES if other != axis), dtype=np.float64)
    return np.asarray(profile / profile.sum())


def _part(a: Array, axis: int, part: slice) -> Array:
    return a[tuple(part if other == axis else slice(None) for other in _AXES)]


def _along(axis: int, n: int) -> Sequence[int]:
    return tuple(n if other == axis else 1 for other in _AXES)
