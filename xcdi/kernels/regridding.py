"""The arc of a rocking scan: how far q strays from even steps, and the intensities on the even grid.

Frames of a rocking scan lie on a circle, rows and columns on the Ewald sphere; phase retrieval takes both as straight.
An index is (frame, row, column), its q is in the crystal, drawn in laboratory axes as they stand at the reference frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels.diffractometer import Camera, EnergyScan, QBasis, Rocking, compose, q_basis, q_of_pixel, unit

__all__ = ["Grid", "Regridded", "arc_sagitta", "regrid", "stray", "true_q"]

ROUNDS = 5  # each leaves a few percent of the place's error, as the arc is that flat
ORDER = 5  # of the spline
LIT, HOT = 1.0, 4.0  # counts per voxel, averaged over 3 x 3 x 3, and the most that one of them counts: a hot pixel is no light
LATTICE = 9  # places per axis that the arc is measured at


class Grid(NamedTuple):
    """How the frames of a box lie in reciprocal space.

    Attributes
    ----------
    camera : Camera
        Pixels counted from the first of the box (:func:`xcdi.kernels.diffractometer.crop`).
    rocking : Rocking or EnergyScan
    reference : (frame, row, column)
        Where the even steps are taken, in the box.
    wavelength : float
        [nm], at the reference frame.
    """

    camera: Camera
    rocking: Rocking | EnergyScan
    reference: tuple[int, int, int]
    wavelength: float

    @property
    def basis(self) -> QBasis:
        """The even steps."""
        return q_basis(self.camera, self.reference[1:], self.rocking, wavelength=self.wavelength)


class Regridded(NamedTuple):
    """Intensities on the even grid, 0 where not `valid`."""

    counts: Array
    valid: Array


def true_q(grid: Grid, index: Array) -> Array:
    """Scattering vector in the crystal at places of the scan.

    Parameters
    ----------
    grid : Grid
    index : array, shape (3, ...)
        Frame, row, column; may be fractional.

    Returns
    -------
    array, shape (3, ...)
        [1/nm]

    Examples
    --------
    >>> camera = Camera((0.0, -500.0), 1.0, (1e-4, 1e-4))
    >>> there = true_q(Grid(camera, Rocking("y+", 1e-3), (5, 0, 0), 0.1), np.array([5.0, 0.0, 0.0]))
    >>> bool(np.allclose(there, q_of_pixel(camera, 0.0, 0.0, wavelength=0.1)))
    True
    """
    frame, row, column = index
    q = np.moveaxis(q_of_pixel(grid.camera, row, column, wavelength=grid.wavelength), -1, 0)
    away = frame - grid.reference[0]
    if isinstance(grid.rocking, EnergyScan):
        return q * (1 + grid.rocking.step * away)
    axis = compose(grid.rocking.outer) @ unit(grid.rocking.axis)
    return _turned(q, axis, -grid.rocking.step * away)


def _turned(vectors: Array, axis: Array, angle: Array) -> Array:
    """Rotate `vectors` (3, ...) about a unit vector, each by its own angle [rad] (Rodrigues)."""
    along = np.tensordot(axis, vectors, axes=1)
    beside = np.cross(axis, vectors, axisb=0, axisc=0)
    return vectors * np.cos(angle) + beside * np.sin(angle) + np.multiply.outer(axis, along * (1 - np.cos(angle)))


def stray(grid: Grid, index: Array) -> Array:
    """How far the true q is from that of even steps, in voxels along frame, row, column; `index` as for :func:`true_q`."""
    middle = (3, *[1] * (np.ndim(index) - 1))
    steps, peak = grid.basis
    beyond = true_q(grid, index) - peak.reshape(middle)
    return np.tensordot(np.linalg.inv(steps), beyond, axes=1) - index + np.reshape(grid.reference, middle)


def arc_sagitta(grid: Grid, shape: Sequence[int], counts: Array | None = None) -> Array:
    r"""Largest distance of the true q from that of even steps in a box, in voxels along frame, row, column.

    Mostly :math:`|Q|\omega^2/2` of the last frame; what a square detector sees of the Ewald sphere is in it.

    Parameters
    ----------
    grid : Grid
    shape : three ints
        Of the box.
    counts : array of that shape, optional
        The distance is taken where there is light; by default everywhere.

    Returns
    -------
    array, shape (3,)
        0 in the dark.

    Examples
    --------
    >>> camera = Camera((0.0, -500.0), 1.0, (1e-4, 1e-4))
    >>> short, long = (arc_sagitta(Grid(camera, Rocking("y+", 1e-3), (n // 2, 0, 0), 0.1), (n, 1, 1)).max() for n in (21, 41))
    >>> round(float(long / short), 1)  # twice as far, four times the arc, but for what the first step takes with it
    3.8
    """
    if counts is None:
        lines = (np.linspace(0, n - 1, LATTICE) for n in shape)
        index = np.stack(np.meshgrid(*lines, indexing="ij")).reshape(3, -1)
    else:
        index = np.argwhere(ndi.uniform_filter(np.clip(counts, 0, HOT).astype(float), 3) > LIT).T.astype(float)
    return np.abs(stray(grid, index)).max(axis=1, initial=0.0)


def regrid(counts: Array, valid: Array, grid: Grid) -> Regridded:
    """Intensities where even steps would have measured them.

    Parameters
    ----------
    counts : array, shape (frame, row, column)
        Counts of the box; what is not valid is not read.
    valid : bool array, same shape
    grid : Grid

    Returns
    -------
    Regridded
        Single precision.

    Notes
    -----
    A spline of fifth order goes through the counts: halfway between two samples it keeps 0.84, 0.97 and 1.00 of the depth of fringes
    of 2.5, 3 and 4 samples, straight lines 0.31, 0.50 and 0.71. What is interpolated is no count any more: neighbours share their
    noise, whose variance is 0.6 to 1 of the counts, and undershoots are cut at 0. A place is valid if the 4 x 4 x 4 samples around it
    are, so gaps widen by up to two samples, and the faces of the box are lost.

    Source: Unser, IEEE Signal Process. Mag. 16 (6), 22 (1999), doi 10.1109/79.799930 (splines).
    """
    place = _places(grid, counts.shape)
    kept = _surrounded(valid, place)
    smooth = ndi.map_coordinates(_filled(counts, valid), place, order=ORDER, mode="mirror")
    return Regridded(np.where(kept, np.maximum(smooth, 0), 0).astype(np.float32), kept)


def _surrounded(valid: Array, place: Array) -> Array:
    """Whether all of the 4 x 4 x 4 samples around a place are in the box and valid."""
    missing = ndi.binary_dilation(~valid, np.ones((3, 3, 3)), border_value=1).astype(np.float32)
    return np.asarray(ndi.map_coordinates(missing, place, order=1, mode="nearest") == 0)


def _filled(counts: Array, valid: Array) -> Array:
    """Counts, those of the nearest valid sample where they are missing: a step to 0 would ring."""
    if valid.all() or not valid.any():
        return np.where(valid, counts, 0).astype(np.float64)
    nearest = ndi.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return np.asarray(counts[tuple(nearest)], dtype=np.float64)


def _places(grid: Grid, shape: Sequence[int]) -> Array:
    """Index (3, ...) in the scan of what has the q of every voxel of even steps."""
    even = np.indices(shape, dtype=float)
    place = even
    for _ in range(ROUNDS):
        place = even - stray(grid, place)
    return np.where(np.abs(place - np.round(place)) < 1e-6, np.round(place), place)
