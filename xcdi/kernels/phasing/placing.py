"""What the data leave open, settled by fixed rules: which twin, where in the array, on which phase ramp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels import fourier

__all__ = ["Placing", "curvature", "inversion", "phase_gradient", "place", "placing", "skewness"]

REACH = 0.7  # of the rms width: how far apart the curvature of the phase is taken
FLAT = 0.02  # a curvature below this says nothing
_AXES = tuple(range(3))
_DIRECTIONS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1))


class Placing(NamedTuple):
    """How an object was put in its place.

    Attributes
    ----------
    inverted : bool
        The inverted conjugate was taken.
    margin : float
        What the choice rests on, at most 1; below some hundredths it was a toss-up.
    rule : str
        ``"curvature of the phase"``, or ``"skewness of the amplitude"`` where the phase is flat.
    shift : three ints
        Voxels it was rolled along z, y, x.
    gradient : three floats
        Mean phase gradient that was taken out, rad per voxel along z, y, x.
    """

    inverted: bool
    margin: float
    rule: str
    shift: tuple[int, int, int]
    gradient: tuple[float, float, float]


def placing(rho: Array) -> Placing:
    """Return how to place `rho`, complex (z, y, x): upright, its centre of mass at n // 2, its mean phase gradient zero.

    Notes
    -----
    One reflection cannot tell an object from its inverted conjugate, whose phase bends
    the other way and whose amplitude leans to the other side. Upright is what bends
    upwards along the direction of its strongest mean curvature or, with a flat phase,
    has its long tail at high indices. The rule makes the same choice in every run,
    which is all that can be had; it may be the wrong one.
    """
    rule, features = "curvature of the phase", curvature(rho)
    if np.abs(features).max() < FLAT:
        rule, features = "skewness of the amplitude", skewness(np.abs(rho) ** 2)
    strongest = float(features[np.abs(features).argmax()])
    turned = inversion(rho) if strongest < 0 else rho
    z, y, x = (n // 2 - round(c) for n, c in zip(rho.shape, _circular_mean(np.abs(turned)), strict=True))
    gradient = phase_gradient(np.roll(turned, (z, y, x), axis=_AXES))
    return Placing(strongest < 0, abs(strongest), rule, (z, y, x), gradient)


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


def curvature(rho: Array) -> np.ndarray:
    r"""Return the mean curvature of the phase along nine directions, each between -1 and 1.

    .. math:: c_d = \mathrm{Im} \sum_r w(r)\, e^{i[\phi(r+d) + \phi(r-d) - 2\phi(r)]} \Big/ \sum_r w(r)

    along the axes and the face diagonals, `d` being 0.7 of the rms width of the object and
    `w` the geometric mean of the amplitudes. Blind to shift, ramp and global phase;
    inversion changes its sign. For a crystal it is the mean gradient of its strain and tilt.

    Examples
    --------
    >>> z, y, x = np.meshgrid(*3 * [np.arange(11) - 5], indexing="ij")
    >>> bent = (z**2 + y**2 + x**2 < 16) * np.exp(0.1j * x**2)
    >>> bool(curvature(bent)[2] > 0.1), bool(np.allclose(curvature(inversion(bent)), -curvature(bent)))
    (True, True)
    """
    widths = _widths(np.abs(rho) ** 2)
    values = []
    for direction in _DIRECTIONS:
        length = REACH / np.sqrt(sum(np.square(direction)))
        step = [round(d * width * length) for d, width in zip(direction, widths, strict=True)]
        ends = np.roll(rho, step, axis=_AXES) * np.roll(rho, [-s for s in step], axis=_AXES)
        bend = ends * np.conj(rho) ** 2
        size = np.abs(bend)
        weight = np.sqrt(size)  # of the fourth power of an amplitude; only the phase of `bend` is wanted
        values.append(np.sum(bend.imag / np.maximum(weight, np.finfo(size.dtype).tiny)) / max(weight.sum(), np.finfo(size.dtype).tiny))
    return np.array(values)


def skewness(amplitude: Array) -> np.ndarray:
    """Return the third central moment of `amplitude` along z, y, x in units of its width cubed.

    Inversion changes its sign, so it can choose between an object and its twin.

    Examples
    --------
    >>> skewness(np.array([[[0.0, 1.0, 1.0, 2.0, 0.0, 0.0]]])).round(2)
    array([ 0.  ,  0.  , -0.49])
    """
    values = []
    for axis in _AXES:
        profile, x = _about_middle(amplitude, axis)
        width = np.sqrt(profile @ x**2)
        values.append(profile @ x**3 / width**3 if width > 0 else 0.0)
    return np.array(values)


def _widths(weight: Array) -> list[float]:
    """Rms width of `weight` along every axis."""
    return [float(np.sqrt(profile @ x**2)) for profile, x in (_about_middle(weight, axis) for axis in _AXES)]


def _about_middle(weight: Array, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of `weight` at every index of `axis`, and the periodic distance of that index from their mean."""
    n, profile = weight.shape[axis], _profile(weight, axis)
    x = (np.arange(n) - _circular_mean(weight)[axis] + n / 2) % n - n / 2
    return profile, x - profile @ x


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
