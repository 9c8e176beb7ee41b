"""Where a run of phase retrieval begins: the first support, and data damped towards low resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xcdi.backend import Array, namespace
from xcdi.kernels import fourier
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.moves import blur

__all__ = ["autocorrelation_box", "damp"]


def autocorrelation_box(measured: Measured, *, threshold: float = 0.01, sigma: float = 1.0) -> Array:
    """Return the box that the object fits in: half the extent of the autocorrelation, axis by axis.

    Parameters
    ----------
    measured : Measured
        Origin at index 0.
    threshold : float
        Fraction of the largest modulus of the autocorrelation that still counts.
    sigma : float
        Blur before the threshold, voxels.

    Returns
    -------
    bool array, shape (z, y, x)
        True within the box. Origin at index 0; never more than half the array along an axis.

    Notes
    -----
    Strain makes the autocorrelation fall off fast, so its shape above a few
    per cent is far smaller than the object: 6 % kept 8 to 18 % of the voxels of
    simulated particles of four grains. Its extent at 1 % was right to a voxel in five of five.
    """
    xp = namespace(measured.amplitude)
    intensity = xp.where(measured.valid, measured.amplitude, 0.0) ** 2
    pattern = blur(xp.abs(fourier.backward(xp.astype(intensity, xp.complex64))), sigma)
    above = pattern > threshold * xp.max(pattern)
    box = xp.ones(above.shape, dtype=xp.bool)
    for axis, n in enumerate(above.shape):
        lag = xp.asarray(np.abs(np.fft.fftfreq(n) * n))
        seen = xp.any(above, axis=tuple(other for other in range(3) if other != axis))
        reach = xp.max(xp.where(seen, lag, 0.0)) / 2 + 0.5
        inside = (lag <= reach) & (lag <= n / 4)
        box = box & xp.reshape(inside, tuple(n if other == axis else 1 for other in range(3)))
    return box


def damp(measured: Measured, width: float) -> Measured:
    r"""Return the data multiplied by :math:`\exp(-q^2 / 2 w^2)`: the same object at low resolution.

    Parameters
    ----------
    width : float
        w in cycles per voxel; 0.5 is the edge of the array.

    Notes
    -----
    Multiplying by a real Gaussian leaves the phases of the wave alone, so the
    object that fits the damped data is the blurred object. Convolving the data,
    which some programs offer as a low pass, does something else.
    """
    xp = namespace(measured.amplitude)
    amplitude = measured.amplitude
    for axis, n in zip(fourier.AXES, amplitude.shape[-3:], strict=True):
        window = np.exp(-0.5 * (np.fft.fftfreq(n) / width) ** 2).astype(np.float32)
        amplitude = amplitude * xp.reshape(xp.asarray(window), tuple(n if other == axis else 1 for other in fourier.AXES))
    return replace(measured, amplitude=amplitude)
