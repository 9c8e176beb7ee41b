"""Patterns of two reflections of a particle before and after its lattice is distorted evenly, and what their shifts tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import instrument, scattering, scene
from xcdi.artificial.particle import Particle
from xcdi.artificial.profiles import Profile
from xcdi.kernels import kinematics
from xcdi.kernels.avalanches import sizes

__all__ = ["KNOWN", "measured"]

KNOWN = np.array([[1.2e-3, -0.7e-3], [0.4e-3, -2.1e-3]])  # tension along x, compression along y, shear, a turn
SHIFT_ERROR_PX = 0.05

Matrix = NDArray[np.float64]


def measured(p: Profile, seed: int, frames: int, known: Matrix = KNOWN) -> kinematics.Plane:
    """Return the distortion that the patterns of all reflections of a profile show.

    Parameters
    ----------
    p : Profile
        Two reflections or more.
    seed : int
        Of the particle and of the photons.
    frames : int
        Frames of one photon per pixel on average, before the distortion and again after it.
    known : array, shape (2, 2)
        Displacement gradient in the detector plane.
    """
    rng, grown = np.random.default_rng(seed), scene.drawn(p, seed).particle
    shifts, g, errors = [], [], []
    for hkl in p.reflections:
        s = instrument.sampling(p, hkl)
        before, after = (rng.poisson(frames * _image(matrix, p, grown, s)) for matrix in (np.zeros((2, 2)), known))
        by = sizes.register(before, after, np.ones(before.shape, bool))
        shifts.append(kinematics.shift_in_q(by, s.steps[:2, 1], s.steps[:2, 2]))
        g.append(s.peak[:2])
        errors.append(SHIFT_ERROR_PX * np.linalg.norm(s.steps[:2, 1]))
    return kinematics.plane_distortion(shifts, g, errors)


def _image(matrix: Matrix, p: Profile, grown: Particle, s: instrument.Sampling) -> NDArray[np.float64]:
    """Noise-free pattern of a reflection, one photon per pixel on average."""
    axes = grown.axes
    u = [matrix[i, 0] * axes.x + matrix[i, 1] * axes.y[:, None] + 0 * axes.z[:, None, None] for i in range(2)]
    rho = grown.field(s.peak) * np.exp(-1j * (s.peak[0] * u[0] + s.peak[1] * u[1]))
    image = np.abs(scattering.far_field(rho, axes, s, np.zeros(3), *scattering.pixels(p.box))) ** 2
    return np.asarray(image / image.mean())
