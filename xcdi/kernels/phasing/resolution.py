"""Resolution: how far out in q the phases can be believed, in shells and along axes.

Everything here runs on the host, with the origin at index 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft

from xcdi.backend import Array
from xcdi.kernels.phasing.estimate import Measured

__all__ = ["Shells", "crossing", "directed", "fourier_shells", "prtf", "resolution", "transfer"]

FINEST = 2.0  # voxels: no better resolution is ever stated
CONE = 30.0  # degrees about an axis that count as along it


class Shells(NamedTuple):
    """A curve over shells of constant resolution: `q` of its middle, and `value`."""

    q: np.ndarray
    value: np.ndarray


def prtf(rhos: Array, measured: Measured, radius: Array, *, shells: int = 32) -> Shells:
    r"""Return the phase-retrieval transfer function of aligned objects, averaged in shells.

    .. math:: \mathrm{PRTF}(q) = \left\langle \left|\langle F\rho_k\rangle_k\right| \right\rangle_q / \langle\sqrt{I}\rangle_q

    Parameters
    ----------
    rhos : complex array, shape (start, z, y, x)
        Aligned, origin at index 0.
    measured : Measured
    radius : array, shape (z, y, x)
        Distance from the peak in the unit that `q` shall have, origin at index 0.
    shells : int
        Number of shells up to the largest that lies wholly in the array.

    Notes
    -----
    1 where all starts agree on the phase; NaN in a shell without a valid count. It is no grade: it can stay above 1/e
    to the edge of the array for a wrong object. Quote no resolution below 2 voxels.
    Source: Chapman et al., J. Opt. Soc. Am. A 23, 1179 (2006), doi 10.1364/JOSAA.23.001179.
    """
    return _ratio(transfer(rhos), measured.amplitude, radius, measured.valid, shells)


def directed(wave: Array, measured: Measured, q: Array, *, shells: int = 32, cone: float = CONE) -> list[Shells]:
    """Return the transfer function along each axis of `q`: within `cone` degrees of it, either way.

    Parameters
    ----------
    wave : array, shape (z, y, x)
        Of :func:`transfer`.
    measured : Measured
    q : array, shape (axis, z, y, x)
        Distance from the peak along orthogonal axes, origin at index 0.
    shells : int
        Number of shells up to the largest value along that axis that the array holds both ways.
    cone : float
        Degrees.

    Returns
    -------
    list of Shells, one per axis
    """
    radius, least = np.linalg.norm(q, axis=0), np.cos(np.deg2rad(cone))
    cones = [measured.valid & (np.abs(along) >= least * radius) for along in q]
    return [_ratio(wave, measured.amplitude, radius, where, shells, _reach(along, radius)) for along, where in zip(q, cones, strict=True)]


def transfer(rhos: Array) -> np.ndarray:
    """Return the modulus of the mean far field of aligned objects (start, z, y, x), shape (z, y, x)."""
    return np.asarray(np.abs(scipy.fft.fftn(np.mean(rhos, axis=0))))


def resolution(curve: Shells, voxel: float) -> float:
    r"""Return :math:`2\pi/q` where the transfer function first falls below 1/e, never below two voxels.

    Parameters
    ----------
    curve : Shells
        `q` in radians per unit of length.
    voxel : float
        Edge of a voxel along that direction, in the same unit of length.

    Examples
    --------
    >>> resolution(Shells(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0])), 2.0)
    4.0
    """
    return max(2 * np.pi / crossing(curve), FINEST * voxel)


def crossing(curve: Shells, level: float = float(np.exp(-1))) -> float:
    """Return where a curve first falls below `level`, between its samples; its last q if it never does.

    Low values before it has first risen above are passed over: the innermost shells hold few pixels, and a blur or
    grains that cancel each other there leave them dark. A curve that never rises ends at its first q.

    Examples
    --------
    >>> crossing(Shells(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.75, 0.25])), 0.5)
    2.5
    >>> crossing(Shells(np.array([1.0, 2.0, 3.0]), np.array([0.3, 0.75, 0.25])), 0.5)
    2.5
    """
    told = np.isfinite(curve.value)
    q, value = curve.q[told], curve.value[told]
    above = np.flatnonzero(value >= level)
    if not above.size:
        return float(curve.q[0])
    below = np.flatnonzero(value[above[0] :] < level)
    if not below.size:
        return float(curve.q[-1])
    k = int(above[0] + below[0])
    return float(np.interp(level, [value[k], value[k - 1]], [q[k], q[k - 1]]))


def fourier_shells(one: Array, other: Array, radius: Array, *, shells: int = 32) -> Shells:
    r"""Return the Fourier shell correlation of two aligned objects from independent halves of the photons.

    .. math:: \mathrm{FSC}(q) = \mathrm{Re}\sum_q F_1 F_2^* \Big/ \sqrt{\sum_q |F_1|^2 \sum_q |F_2|^2}

    Parameters
    ----------
    one, other : complex array, shape (z, y, x)
        Aligned, origin at index 0.
    radius : array, shape (z, y, x)
        As for :func:`prtf`.

    Notes
    -----
    Unlike the PRTF it also falls where photons decide the phase alike in every start, since the halves
    share none. Source: Harauz and van Heel, Optik 73, 146 (1986).
    """
    a, b = scipy.fft.fftn(one), scipy.fft.fftn(other)
    largest = _largest(radius)
    shell, used = _shell(radius, np.ones(radius.shape, bool), shells, largest)
    common, first, second = (np.bincount(shell, values[used], shells) for values in ((a * np.conj(b)).real, np.abs(a) ** 2, np.abs(b) ** 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Shells((np.arange(shells) + 0.5) * largest / shells, common / np.sqrt(first * second))


def _ratio(wave: Array, amplitude: Array, radius: Array, where: Array, shells: int, largest: float | None = None) -> Shells:
    """Return the sum of `wave` over that of `amplitude` in every shell; NaN where nothing was measured."""
    largest = _largest(radius) if largest is None else largest
    shell, used = _shell(radius, where, shells, largest)
    seen, kept = (np.bincount(shell, a[used], shells) for a in (amplitude, wave))
    with np.errstate(invalid="ignore"):
        return Shells((np.arange(shells) + 0.5) * largest / shells, kept / np.where(seen > 0, seen, np.nan))


def _shell(radius: Array, where: Array, shells: int, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the shell of every pixel that lies in one, and which pixels those are."""
    shell = (radius / largest * shells).astype(int)
    used = where & (shell < shells)
    return shell[used], used


def _largest(radius: Array) -> float:
    """Radius of the largest ball that lies wholly in the array."""
    return min(float(radius.take(n // 2, axis=axis).min()) for axis, n in enumerate(radius.shape))


def _reach(along: Array, radius: Array) -> float:
    """How far the array reaches along an axis of q both ways: on the line of pixels nearest to that axis."""
    near = np.abs(along) >= 0.98 * radius
    return float(min(along[near].max(), -along[near].min())) or float(np.abs(along).max())
