"""The transform convention of the whole package, in one place.

Forward means real space to detector, kernel ``exp(-2 pi i q r)``, unnormalised
as numpy's, over the last three axes: the sum of the intensity is the number of
voxels times the sum of ``|rho|^2``. Index 0 is the origin of both spaces;
:func:`centre` and :func:`uncentre` are for people and plots. With this sign a
lattice displaced by ``u`` has phase ``-G.u``.
"""

from __future__ import annotations

from xcdi.backend import Array, namespace

__all__ = ["AXES", "backward", "centre", "forward", "uncentre"]

AXES = (-3, -2, -1)


def forward(rho: Array) -> Array:
    """Return the far-field wave of the object `rho`, shape (..., z, y, x).

    Examples
    --------
    >>> import numpy as np
    >>> forward(np.ones((1, 1, 2))).real
    array([[[2., 0.]]])
    """
    return namespace(rho).fft.fftn(rho, axes=AXES)


def backward(psi: Array) -> Array:
    """Return the object whose far-field wave is `psi`; inverse of :func:`forward`."""
    return namespace(psi).fft.ifftn(psi, axes=AXES)


def centre(a: Array) -> Array:
    """Move the origin from index 0 to the middle (n // 2) of the last three axes."""
    return namespace(a).fft.fftshift(a, axes=AXES)


def uncentre(a: Array) -> Array:
    """Move the origin from the middle to index 0; inverse of :func:`centre`."""
    return namespace(a).fft.ifftshift(a, axes=AXES)
