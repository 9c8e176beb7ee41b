"""Patterns of all reflections of a particle, before and after its lattice is distorted evenly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import instrument, scattering, scene
from xcdi.artificial.particle import Particle
from xcdi.artificial.profiles import Profile

__all__ = ["KNOWN", "Pair", "pairs"]

KNOWN = np.array([[1.2e-3, -0.7e-3], [0.4e-3, -2.1e-3]])  # tension along x, compression along y, shear, a turn

Matrix = NDArray[np.float64]


class Pair(NamedTuple):
    """Counts (row, column) of one reflection before and after, and its geometry in the plane.

    `g` (2,) is the reciprocal lattice vector, `row_step` and `column_step` (2,) the steps of a pixel [1/nm].
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    g: Matrix
    row_step: Matrix
    column_step: Matrix


def pairs(p: Profile, seed: int, frames: int, known: Matrix = KNOWN) -> list[Pair]:
    """Return the patterns of every reflection of a profile.

    Parameters
    ----------
    p : Profile
    seed : int
        Of the particle and of the photons.
    frames : int
        Frames of one photon per pixel on average, before the distortion and again after it.
    known : array, shape (2, 2)
        Displacement gradient in the detector plane.
    """
    rng, grown, made = np.random.default_rng(seed), scene.drawn(p, seed).particle, []
    for hkl in p.reflections:
        s = instrument.sampling(p, hkl)
        before, after = (rng.poisson(frames * _image(matrix, p, grown, s)) for matrix in (np.zeros((2, 2)), known))
        made.append(Pair(before, after, s.peak[:2], s.steps[:2, 1], s.steps[:2, 2]))
    return made


def _image(matrix: Matrix, p: Profile, grown: Particle, s: instrument.Sampling) -> Matrix:
    """Noise-free pattern of a reflection, one photon per pixel on average."""
    axes = grown.axes
    u = [matrix[i, 0] * axes.x + matrix[i, 1] * axes.y[:, None] + 0 * axes.z[:, None, None] for i in range(2)]
    rho = grown.field(s.peak) * np.exp(-1j * (s.peak[0] * u[0] + s.peak[1] * u[1]))
    image = np.abs(scattering.far_field(rho, axes, s, np.zeros(3), *scattering.pixels(p.box))) ** 2
    return np.asarray(image / image.mean())
