"""Where on the detector an event shows: annuli and sectors about the peak, and the length that the rise with |q - G| means."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["AZIMUTHAL", "RADIAL", "Half", "annuli", "half_radius", "ratio", "sectors"]

RADIAL, AZIMUTHAL = 0, 1
NARROW, WIDE, STEPS = 0.05, 2.0, 120  # of the largest radius: where half of the drop may be reached
CERTAIN = 0.5  # relative error up to which a radius is told


class Half(NamedTuple):
    """Radius at which a drop reaches half of its plateau, and its standard error; NaN where the annuli do not tell."""

    radius: float
    error: float


def annuli(shape: tuple[int, int], centre: tuple[float, float], width: float) -> Array:
    """Number of the annulus, `width` pixels wide, that every pixel lies in; 0 is the disc about the centre.

    Examples
    --------
    >>> annuli((1, 5), (0, 0), 2.0)
    array([[0, 0, 1, 1, 2]])
    """
    y, x = np.indices(shape)
    return (np.hypot(y - centre[0], x - centre[1]) / width).astype(int)


def sectors(shape: tuple[int, int], centre: tuple[float, float], along: Array, *, inner: float = 0.0) -> Array:
    """Sector of every pixel: 0 within 45 degrees of the line `along` (in front and behind), 1 across it, -1 nearer than `inner`.

    Parameters
    ----------
    shape : (int, int)
    centre : (row, column)
        Of the peak.
    along : array, shape (2,)
        Direction (row, column) in which q grows.
    inner : float
        Radius [px] within which there is no direction to speak of.

    Examples
    --------
    >>> sectors((3, 3), (1, 1), np.array([0.0, 1.0]), inner=0.5)
    array([[ 0,  1,  0],
           [ 0, -1,  0],
           [ 0,  1,  0]])
    """
    y, x = np.indices(shape)
    out = np.stack([y - centre[0], x - centre[1]], axis=-1)
    forward, across = out @ np.asarray(along), out @ np.array([-along[1], along[0]])
    sector = np.where(np.abs(forward) >= np.abs(across) - 1e-9, RADIAL, AZIMUTHAL)
    return np.where(np.hypot(*np.moveaxis(out, -1, 0)) < inner, -1, sector)


def ratio(above: tuple[float, float], below: tuple[float, float]) -> tuple[float, float]:
    """Quotient of two independent values with errors, and its error; NaN where the lower is not above its own error.

    Examples
    --------
    >>> [round(float(v), 3) for v in ratio((0.2, 0.02), (0.1, 0.01))]
    [2.0, 0.283]
    """
    (a, da), (b, db) = above, below
    if not b > db:
        return float("nan"), float("nan")
    return a / b, float(np.hypot(da, a / b * db) / b)


def half_radius(radius: Array, drop: Array, error: Array) -> Half:
    r"""Radius at which the drop reaches half of its plateau.

    .. math:: D(r) = D_\infty (1 - 2^{-(r / r_{1/2})^2})

    Far from the peak a region of any size has changed the pattern; within about the inverse of its size the
    whole particle outshines it.

    That needs many speckles: no rank was found in simulated crystals without strain either.
    In one of several tilted and strained grains, whose pattern is as wide as
    that of a part of it, the radius does not rank the sizes of regions: see `region_length` in :func:`xcdi.stages.avalanches.find_events`.

    Parameters
    ----------
    radius : array, shape (annulus,)
        Mean distance of each from the peak.
    drop, error : array, shape (annulus,)
        NaN where an annulus has no signal.

    Returns
    -------
    Half
        Mean and standard deviation over all radii that fit, weighed by their likelihood. NaN if that is not within a factor of
        1.5: no event, a region as large as the particle, or annuli that differ by more than their errors.

    Examples
    --------
    >>> r = np.arange(1.0, 9.0)
    >>> round(half_radius(r, 0.1 * (1 - 2 ** -((r / 3) ** 2)), np.full(8, 0.002)).radius, 1)
    3.0
    """
    known = np.isfinite(drop) & np.isfinite(error) & (error > 0)
    if known.sum() < 3:
        return Half(float("nan"), float("nan"))
    r, d, weight = radius[known], drop[known], 1 / error[known] ** 2
    tried = np.geomspace(NARROW, WIDE, STEPS) * r.max()
    shape = 1 - 2.0 ** -((r[None, :] / tried[:, None]) ** 2)
    height = np.maximum(shape @ (weight * d) / (shape**2 @ weight), 0.0)
    chi2 = ((d - height[:, None] * shape) ** 2) @ weight
    spread = max(float(chi2.min()) / (known.sum() - 2), 1.0)  # annuli scatter by more than noise: few speckles each
    likely = np.exp(-(chi2 - chi2.min()) / (2 * spread))
    mean = float((likely * tried).sum() / likely.sum())
    error_ = float(np.sqrt((likely * (tried - mean) ** 2).sum() / likely.sum()))
    return Half(mean, error_) if error_ < CERTAIN * mean else Half(float("nan"), float("nan"))
