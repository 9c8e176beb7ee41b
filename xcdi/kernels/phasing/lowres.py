"""Data of the same object at low resolution, by cropping in Fourier space, and the way back by padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES, backward, forward
from xcdi.kernels.phasing.box import smooth
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.starts import Spread

__all__ = ["coarse", "crop", "pad"]

WIDTHS = 8  # rms widths of the peak that the low-resolution data reach over
ACROSS = 12  # voxels across the object that they leave at least
WORTH = 1 / 4  # of the voxels at most, or low resolution saves too little


def coarse(shape: Sequence[int], peak: Spread, object_size: Sequence[int], *, worth: float = WORTH) -> tuple[int, ...]:
    """Return the shape of the low-resolution data that a search may begin with; `shape` itself where there is nothing to gain.

    Parameters
    ----------
    shape : (z, y, x)
        Of the data.
    peak : Spread
        Where their counts are, :func:`xcdi.kernels.phasing.starts.spread`.
    object_size : (z, y, x)
        Voxels across the object.
    worth : float
        Share of the voxels that the low-resolution data have at most.

    Notes
    -----
    The crop holds the peak to four rms widths either way and leaves the object twelve voxels across. Five of five strained
    or polycrystalline objects of 30 voxels in 64^3 were then found by 9 to 12 of 12 starts at a tenth of
    the cost. Cut nearer, as by half along an axis where a peak is 0.14 to 0.2 cycles per voxel wide, grains are lost.

    Examples
    --------
    >>> from xcdi.kernels.phasing.starts import Spread
    >>> coarse((64, 64, 64), Spread((0, 0, 0), (0.045, 0.045, 0.045)), (30, 30, 30))
    (30, 30, 30)
    """
    small = []
    for n, c, w, across in zip(shape, peak.centre, peak.width, object_size, strict=True):
        need = max(WIDTHS * w * n + 2 * abs(c) * n, ACROSS * n / max(across, 1))
        small.append(min(n, smooth(math.ceil(need))))
    return tuple(small) if math.prod(small) <= worth * math.prod(shape) else tuple(shape)


def crop(measured: Measured, shape: Sequence[int]) -> Measured:
    """Return the central part of the data: the same object in fewer and larger voxels.

    Parameters
    ----------
    measured : Measured
        Origin at index 0.
    shape : (z, y, x)
        Pixels to keep, no more than there are. Frequencies from ``-(n // 2)`` on, as ``fftfreq`` numbers them.

    Returns
    -------
    Measured
        The counts are what they were, so photon noise stays Poissonian; the sum of the counts kept is the
        number of voxels left times the sum of ``|rho|^2`` of the object there. The blur of partial coherence,
        in pixels, stays too.

    Notes
    -----
    An iteration costs as much less as there are fewer voxels. The object fills the same part of the array.
    """
    _check(shape, measured.amplitude.shape, "crop data")
    background = measured.background if isinstance(measured.background, float | int) else _keep(measured.background, shape)
    return Measured(_keep(measured.amplitude, shape), _keep(measured.valid, shape), background, _coherence(measured, shape))


def pad(estimate: Estimate, shape: Sequence[int]) -> Estimate:
    """Return the object in more and smaller voxels: its far field is the same, and zero where it was not known.

    Parameters
    ----------
    estimate : Estimate
        Shape (..., z, y, x), origin at index 0.
    shape : (z, y, x)
        Voxels wanted, no fewer than there are.

    Returns
    -------
    Estimate
        The inverse of :func:`crop`: exact for an object without detail beyond the crop. The support covers
        every voxel that a voxel of the old one reaches into.
    """
    _check(estimate.rho.shape[-3:], shape, "pad an object")
    psi, support = forward(estimate.rho), estimate.support
    for axis, n in zip(AXES, shape, strict=True):
        psi, support = _widen(psi, axis, n), _cover(support, axis, n)
    return replace(estimate, rho=backward(psi), support=support)


def _check(small: Sequence[int], large: Sequence[int], task: str) -> None:
    if len(small) != 3 or len(large) != 3 or any(not 0 < n <= of for n, of in zip(small, large, strict=True)):
        raise ValueError(f"cannot {task} between {tuple(small)} and {tuple(large)}: three lengths each, none larger in the first")


def _along(array: Array, axis: int, part: slice) -> Array:
    """Return a part of `array` along one of the last three axes."""
    return array[(..., *(part if other == axis else slice(None) for other in AXES))]


def _keep(array: Array, shape: Sequence[int]) -> Array:
    """Keep the frequencies nearest to the origin at index 0."""
    xp = namespace(array)
    for axis, n in zip(AXES, shape, strict=True):
        size = array.shape[axis]
        array = xp.concat([_along(array, axis, slice(0, n - n // 2)), _along(array, axis, slice(size - n // 2, size))], axis=axis)
    return array


def _coherence(measured: Measured, shape: Sequence[int]) -> Array | None:
    """Crop the blur in pixels, not the lags: fewer pixels sample the same lags at larger steps."""
    if measured.coherence is None:
        return None
    xp = namespace(measured.coherence)
    spectrum = measured.coherence + xp.zeros_like(measured.coherence) * 1j
    kernel = _keep(xp.fft.irfftn(spectrum, s=tuple(measured.amplitude.shape), axes=AXES), shape)
    degree = xp.real(xp.fft.rfftn(kernel, axes=AXES))
    return degree / degree[0, 0, 0]


def _widen(psi: Array, axis: int, n: int) -> Array:
    """Put zeros between the positive and the negative frequencies."""
    xp, size = namespace(psi), psi.shape[axis]
    lengths = list(psi.shape)
    lengths[axis] = n - size
    first, last = _along(psi, axis, slice(0, size - size // 2)), _along(psi, axis, slice(size - size // 2, size))
    return xp.concat([first, xp.zeros(tuple(lengths), dtype=psi.dtype), last], axis=axis)


def _cover(support: Array, axis: int, n: int) -> Array:
    """Interpolate linearly, periodic, and keep all that is not zero."""
    xp, size = namespace(support), support.shape[axis]
    below = xp.asarray([(j * size) // n for j in range(n)])
    above = xp.asarray([-(-j * size // n) % size for j in range(n)])
    return xp.take(support, below, axis=axis) | xp.take(support, above, axis=axis)
