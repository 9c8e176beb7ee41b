"""How probable the counts are that an object was not fitted to: pixels held out, and the Poisson deviance there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xcdi.backend import Array, namespace, to_device
from xcdi.kernels.fourier import AXES, forward
from xcdi.kernels.phasing.estimate import Measured, expected

__all__ = ["deviance", "held_out", "misfit", "without"]

LEAST = 1e-12  # counts expected at least: keeps the logarithm finite where an object is dark and the data are not
AWAY = 4  # pixels along each axis between the peak and the middle of a cluster
CLUSTER = 7  # a pixel and its six neighbours


def held_out(measured: Measured, rng: np.random.Generator, *, share: float = 0.03) -> Array:
    """Choose the pixels that judge an object and are not fitted: clusters of a pixel and its six neighbours, all valid.

    Parameters
    ----------
    measured : Measured
        Amplitude and validity, shape (z, y, x), origin at index 0.
    rng : numpy Generator
        Draws on the host, so that every device holds out the same pixels.
    share : float
        Part of the valid pixels; a little less is held out, because clusters may overlap.

    Returns
    -------
    bool array, shape (z, y, x)
        None within a few pixels of the brightest one, where no object does without its data.

    Notes
    -----
    Data are oversampled, so a lone pixel is known from its neighbours and judges nothing; the middle of a
    cluster is not. Source: free log-likelihood, Favre-Nicolin, Leake and Chushkin,
    Sci. Rep. 10, 2664 (2020), doi 10.1038/s41598-020-57561-2.

    Examples
    --------
    >>> seen = Measured(np.ones((16, 16, 16)), np.ones((16, 16, 16), bool))
    >>> int(held_out(seen, np.random.default_rng(0)).sum())
    124
    """
    valid = np.asarray(to_device(measured.valid, "cpu"))
    amplitude = np.where(valid, np.asarray(to_device(measured.amplitude, "cpu")), 0)
    allowed = np.logical_and.reduce([valid, *_moved(valid)]) & ~_near(np.unravel_index(amplitude.argmax(), valid.shape), valid.shape)
    middles = np.flatnonzero(allowed)
    number = min(round(share * np.count_nonzero(valid) / CLUSTER), middles.size)
    held = np.zeros(valid.shape, bool)
    held.reshape(-1)[rng.choice(middles, number, replace=False)] = True
    return namespace(measured.valid).asarray(np.logical_or.reduce([held, *_moved(held)]))


def without(measured: Measured, held: Array) -> Measured:
    """Return the data to fit: `measured` with the pixels of `held` missing."""
    return replace(measured, valid=measured.valid & ~held)


def deviance(rho: Array, measured: Measured, where: Array) -> Array | float:
    r"""Return half the Poisson deviance of an object per pixel: about 0.5 at the truth where there are counts.

    .. math:: \langle m - n + n \ln(n / m) \rangle, \qquad m = \max(|F\rho|^2 * \hat\gamma + b,\ 10^{-12})

    Parameters
    ----------
    rho : complex array, shape (..., z, y, x)
        Object, origin at index 0.
    measured : Measured
        n is the square of its amplitude; its coherence and background are in m.
    where : bool array, shape (z, y, x)
        The pixels to judge by; those among them that are not valid are left out.

    Returns
    -------
    float, or float64 array, shape (...)
        0 where every count is met exactly; least, on average, at the true counts. NaN without a pixel.
    """
    return misfit(expected(forward(rho), measured), measured, where)


def misfit(mean: Array, measured: Measured, where: Array) -> Array | float:
    """Return :func:`deviance` of the counts `mean`, shape (..., z, y, x), that some object is expected to give.

    Examples
    --------
    >>> seen = Measured(np.full((1, 1, 2), 2.0), np.ones((1, 1, 2), bool))
    >>> round(misfit(np.asarray([[[4.0, 8.0]]]), seen, seen.valid), 3)  # (0 + 8 - 4 - 4 ln 2) / 2
    0.614
    """
    xp = namespace(mean)
    judged = where & measured.valid
    n = xp.astype(xp.where(judged, measured.amplitude, 0.0), xp.float64) ** 2
    m = xp.clip(xp.astype(xp.where(judged, mean, 0.0), xp.float64), min=LEAST)
    ratio = xp.where(n > 0, n, m) / m
    each = xp.where(judged, m - n + n * xp.log(ratio), 0.0)
    count = xp.sum(xp.astype(judged, xp.float64))
    total = xp.sum(each, axis=AXES) / xp.where(count > 0, count, float("nan"))
    return total if total.ndim else float(total)


def _moved(a: np.ndarray) -> list[np.ndarray]:
    """Return `a` moved by one pixel to its six sides, periodic."""
    return [np.roll(a, step, axis) for axis in range(3) for step in (-1, 1)]


def _near(peak: tuple[np.intp, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return where a pixel is within AWAY of the peak along every axis, periodic."""
    near = np.ones(shape, bool)
    for axis, (middle, n) in enumerate(zip(peak, shape, strict=True)):
        away = np.abs((np.arange(n) - middle + n // 2) % n - n // 2)
        near &= np.expand_dims(away <= AWAY, tuple(other for other in range(3) if other != axis))
    return near
