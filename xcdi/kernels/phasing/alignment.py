"""Alignment: objects laid upon each other by what no data can tell, and how much they then overlap.

Free are the place, a phase, and the twin: the object turned inside out and conjugated. Everything
here runs on the host, on the few objects that a run ends with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft

from xcdi.backend import Array

__all__ = ["Pose", "align", "overlap", "overlaps", "pairwise", "pose"]

COARSE = 32  # samples per axis of the wave that the shift is first looked for with
STEPS = (0.2, 0.04)  # of the finer grids, in coarse samples; each covers a sample, or a step, of the one before
FINEST = 0.008  # step of the last grid, in coarse samples
EACH_WAY = 5  # steps of a grid either way


class Pose(NamedTuple):
    """How an object has to be moved to lie upon another.

    Attributes
    ----------
    twin : bool
        Its inverted conjugate lies nearer.
    shift : array, shape (3,)
        Voxels to move it (or its twin) by, along z, y, x; at most half the array either way.
    value : complex
        What it then has in common with the other: the modulus is their overlap, at most 1, the angle its phase against it.
    """

    twin: bool
    shift: np.ndarray
    value: complex


def overlap(a: Array, b: Array) -> float:
    r"""Return :math:`|\langle a, b\rangle| / (\|a\|\,\|b\|)`: 1 for objects equal up to a complex factor.

    Examples
    --------
    >>> round(overlap(np.array([1.0, 1.0]), np.array([1j, 1j])), 6)
    1.0
    """
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(abs(np.vdot(a, b)) / norm) if norm > 0 else 0.0


def overlaps(rhos: Array) -> np.ndarray:
    """Return the overlap of every pair of objects (start, z, y, x) as they lie, as a matrix (start, start)."""
    gram = _gram(rhos)
    norm = np.sqrt(np.maximum(np.diag(gram).real, np.finfo(np.float64).tiny))
    return np.asarray(np.abs(gram) / np.outer(norm, norm))


def pairwise(rhos: Array) -> np.ndarray:
    """Return the overlap of every pair of objects (start, z, y, x), each pair aligned by itself, as a matrix (start, start).

    Alignment upon one reference says nothing of two objects that are both unlike it; this does.
    """
    waves = [scipy.fft.fftn(rho) for rho in np.asarray(rhos)]
    found = np.eye(len(waves))
    for i, j in zip(*np.triu_indices(len(waves), 1), strict=True):
        found[i, j] = found[j, i] = abs(pose(waves[i], waves[j]).value)
    return found


def align(rhos: Array, reference: Array) -> np.ndarray:
    """Return objects moved onto `reference` by what no data can tell: twin, shift and global phase.

    Parameters
    ----------
    rhos : complex array, shape (..., z, y, x)
        Leading axes are independent objects.
    reference : complex array, shape (z, y, x)

    Returns
    -------
    complex array, shape (..., z, y, x)
        The better of every object and its twin, shifted (periodic, sub-voxel, as a
        phase ramp in Fourier space) and turned to the largest real overlap.

    Notes
    -----
    Two transforms of the whole object; the rest happens at low resolution or in matrix products.
    """
    rhos, target = np.asarray(rhos), scipy.fft.fftn(np.asarray(reference))
    out = np.empty_like(rhos)
    for index in np.ndindex(rhos.shape[:-3]):
        wave = scipy.fft.fftn(rhos[index])
        how = pose(wave, target)
        turn = np.exp(-1j * np.angle(how.value))
        out[index] = scipy.fft.ifftn(_moved(np.conj(wave) if how.twin else wave, how.shift, turn), overwrite_x=True)
    return out


def pose(wave: Array, target: Array) -> Pose:
    """Return how the object with far field `wave` (z, y, x) has to be moved to lie upon that with far field `target`.

    Notes
    -----
    The shift maximises the cross-correlation, summed directly on ever finer grids around its maximum, as by
    Guizar-Sicairos, Thurman and Fienup, Opt. Lett. 33, 156 (2008), doi 10.1364/OL.33.000156. The maximum is looked for in
    the middle half of the wave, where nearly all photons are: an eighth of the work. The last grid, and the
    overlap, are those of the whole wave. The shift is right to 1/50 voxel.
    """
    near, far = _low(wave), _low(target)
    found = [(*_climb(psi * np.conj(far)), twin) for psi, twin in ((near, False), (np.conj(near), True))]
    samples, _, twin = max(found, key=lambda one: abs(one[1]))
    coarse = np.array(wave.shape) / near.shape  # voxels between two samples of the coarse correlation
    cross = (np.conj(wave) if twin else wave) * np.conj(target)
    shift, value = _best_near(cross, samples * coarse, FINEST * float(coarse.max()))
    size = np.array(wave.shape)
    shift = (shift + size / 2) % size - size / 2
    norm = float(np.linalg.norm(wave) * np.linalg.norm(target))
    return Pose(twin, shift, value / norm if norm > 0 else 0j)


def _gram(rhos: Array) -> np.ndarray:
    """Inner products of all pairs of objects (start, z, y, x), shape (start, start), in double precision."""
    flat = np.asarray(rhos).reshape(len(rhos), -1)
    return np.asarray(flat.conj() @ flat.T, np.complex128)


def _low(wave: Array) -> np.ndarray:
    """Middle of `wave` in q, at least COARSE samples and half of every axis; the origin stays at index 0."""
    for axis, n in enumerate(wave.shape):
        m = min(n, max(COARSE, n // 2))
        kept = np.rint(np.fft.fftfreq(m) * m).astype(int)
        wave = wave if m == n else np.take(wave, kept, axis=axis)
    return np.asarray(wave)


def _climb(cross: np.ndarray) -> tuple[np.ndarray, complex]:
    """Return the shift [samples of `cross`] of largest correlation, and the correlation there."""
    map_ = np.abs(scipy.fft.ifftn(cross))
    shift, value = -np.array(np.unravel_index(map_.argmax(), map_.shape), float), 0j
    for step in STEPS:
        shift, value = _best_near(cross, shift, step)
    return shift, value


def _best_near(cross: np.ndarray, shift: np.ndarray, step: float) -> tuple[np.ndarray, complex]:
    """Return the shift of largest correlation within EACH_WAY steps of `shift` [samples of `cross`], and the correlation."""
    offsets = np.arange(-EACH_WAY, EACH_WAY + 1) * step
    local = cross
    for s, n in zip(shift, cross.shape, strict=True):
        turn = np.exp(-2j * np.pi * np.outer(s + offsets, np.fft.fftfreq(n))).astype(cross.dtype)
        local = np.moveaxis((turn @ local.reshape(n, -1)).reshape(len(offsets), *local.shape[1:]), 0, -1)
    best = np.unravel_index(np.abs(local).argmax(), local.shape)
    return shift + offsets[list(best)], complex(local[best])


def _moved(wave: np.ndarray, shift: np.ndarray, turn: complex) -> np.ndarray:
    """Multiply `wave` by `turn` and by the phase ramp that moves its object by `shift` voxels."""
    z, y, x = (np.exp(-2j * np.pi * s * np.fft.fftfreq(n)).astype(wave.dtype) for s, n in zip(shift, wave.shape, strict=True))
    return np.asarray(wave * (wave.dtype.type(turn) * z[:, None, None] * y[:, None]) * x)
