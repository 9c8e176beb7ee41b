"""What is measured, what is believed, and the loop that improves belief.

A *move* is any function ``(estimate, measured) -> estimate``. A *schedule* is a
list of moves, one per iteration, built with ordinary list arithmetic::

    schedule = 5 * (40 * [hio] + [shrink_wrap]) + 50 * [error_reduction]

The origin is at index 0 of both spaces (:func:`xcdi.kernels.fourier.uncentre`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES, backward, forward

__all__ = ["Estimate", "Measured", "Move", "average", "expected", "iterate", "onto_data", "random_start"]


@dataclass(frozen=True)
class Measured:
    """What the detector saw: square root of the counts, and which of them to trust.

    Attributes
    ----------
    amplitude : float array, shape (z, y, x)
        Square root of the corrected counts; may be NaN where not valid.
    valid : bool array, shape (z, y, x)
        True where the pixel can be trusted. The others stay free: they are never set to zero.
    background : float or float array, shape (z, y, x)
        Counts per pixel that are expected besides those of the crystal.
    coherence : real array, shape (z, y, x // 2 + 1), or None
        Degree of mutual coherence at every lag within the crystal, origin at index 0, in the half layout
        of ``rfftn``; 1 at no lag. None is full coherence.
    """

    amplitude: Array
    valid: Array
    background: Array | float = 0.0
    coherence: Array | None = None


@dataclass(frozen=True)
class Estimate:
    """What we believe about the crystal after some number of moves.

    Attributes
    ----------
    rho : complex array, shape (..., z, y, x)
        Object; leading axes are independent starts.
    support : bool array, shape (..., z, y, x)
        Where the object may be other than zero.
    residual : float or array, shape (...)
        Misfit of the object that the last move started from; 0 is a perfect fit.
    """

    rho: Array
    support: Array
    residual: Array | float = float("nan")


Move = Callable[[Estimate, Measured], Estimate]


def iterate(start: Estimate, measured: Measured, schedule: Iterable[Move]) -> Iterator[Estimate]:
    """Yield the estimate after every move of `schedule`.

    The caller decides what a run is: exhaust it for a batch job, look at every
    tenth estimate for a live view, stop early when the residual stalls.

    Examples
    --------
    >>> seen = Measured(np.ones((1, 1, 2)), np.ones((1, 1, 2), bool))
    >>> start = Estimate(np.ones((1, 1, 2)), np.ones((1, 1, 2), bool))
    >>> same = lambda estimate, measured: estimate
    >>> len(list(iterate(start, seen, 3 * [same])))
    3
    """
    estimate = start
    for move in schedule:
        estimate = move(estimate, measured)
        yield estimate


def onto_data(rho: Array, measured: Measured) -> tuple[Array, Array]:
    r"""Replace the modulus of the far field by the measured one, where valid.

    .. math:: P_M\,\rho = F^{-1}\left[\sqrt{I / M}\; F\rho\right], \qquad M = |F\rho|^2 * \hat\gamma + b

    with M what is expected of `rho`: for coherent light without background it is :math:`|F\rho|^2`.

    Parameters
    ----------
    rho : complex array, shape (..., z, y, x)
        Object, origin at index 0.
    measured : Measured
        Amplitude and validity, shape (z, y, x).

    Returns
    -------
    projected : complex array, shape (..., z, y, x)
    residual : float array, shape (...)
        Norm of the amplitude error over the valid pixels, divided by the norm
        of the measured amplitude there. Before the projection; 0 is perfect.

    Notes
    -----
    Pixels that are not valid keep the wave they have: a gap is unknown, not dark.
    """
    xp = namespace(rho)
    psi = forward(rho)
    modulus = xp.sqrt(expected(psi, measured))
    error = xp.where(measured.valid, modulus - measured.amplitude, 0.0)
    scale = xp.where(measured.valid, measured.amplitude, 0.0)
    residual = xp.sqrt(xp.sum(error**2, axis=AXES) / xp.sum(scale**2))
    tiny = float(xp.finfo(modulus.dtype).smallest_normal)
    ratio = xp.where(measured.valid, measured.amplitude / xp.clip(modulus, min=tiny), 1.0)
    return backward(ratio * psi), residual


def expected(psi: Array, measured: Measured) -> Array:
    """Return the counts that the far-field wave `psi` (..., z, y, x) should give: blurred by partial coherence, on its background."""
    xp = namespace(psi)
    intensity = xp.real(psi) ** 2 + xp.imag(psi) ** 2
    if measured.coherence is not None:
        correlation = xp.fft.rfftn(intensity, axes=AXES) * measured.coherence
        intensity = xp.clip(xp.fft.irfftn(correlation, s=intensity.shape[-3:], axes=AXES), min=0.0)
    return intensity + measured.background


def random_start(measured: Measured, support: Array, rng: np.random.Generator) -> Estimate:
    """Return an object of random amplitude and random phase inside `support`.

    Its energy is that of the data: the sum of the counts is the number of
    voxels times the sum of ``|rho|^2``.

    Parameters
    ----------
    measured : Measured
        Gives the scale, and the array library and precision of the result.
    support : bool array, shape (z, y, x)
    rng : numpy Generator
        Draws on the host, so that every device starts from the same object.
    """
    xp = namespace(measured.amplitude)
    shape = tuple(measured.amplitude.shape)
    wave = rng.uniform(0.5, 1.0, shape) * np.exp(2j * np.pi * rng.random(shape))
    rho = xp.where(support, xp.asarray(wave.astype(np.complex64)), 0.0)
    energy = xp.sum(xp.where(measured.valid, measured.amplitude, 0.0) ** 2) / rho.size
    scale = xp.sqrt(energy / xp.sum(xp.abs(rho) ** 2))
    return Estimate(rho * xp.astype(scale, xp.float32), support)


def average(estimates: Iterable[Estimate]) -> Estimate:
    """Return the mean object of `estimates`, with the support and residual of the last.

    The iterates of a feedback move circle around the answer; their mean lies
    nearer to it than any of them.

    Examples
    --------
    >>> one = Estimate(np.ones((1, 1, 2)), np.ones((1, 1, 2), bool), 0.1)
    >>> average([one, Estimate(3 * one.rho, one.support, 0.2)]).rho
    array([[[2., 2.]]])
    """
    estimates = iter(estimates)
    last = next(estimates)
    total, n = last.rho, 1
    for last in estimates:
        total, n = total + last.rho, n + 1
    return Estimate(total / n, last.support, last.residual)
