"""How far to believe a reconstruction: misfit, agreement between starts, their grade and resolution.

Everything here runs on the host, on the few objects that a run ends with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels.phasing.estimate import Measured

__all__ = ["Modes", "Shells", "agreement", "align", "chi", "chi_noise", "extent", "grade", "modes", "overlap", "overlaps", "prtf"]


class Shells(NamedTuple):
    """A curve over shells of constant resolution: `q` of its middle, and `value`."""

    q: np.ndarray
    value: np.ndarray


class Modes(NamedTuple):
    """Orthogonal modes of several objects: `weight` (mode) sums to 1, `rho` (mode, z, y, x)."""

    weight: np.ndarray
    rho: np.ndarray


def overlap(a: Array, b: Array) -> float:
    r"""Return :math:`|\langle a, b\rangle| / (\|a\|\,\|b\|)`: 1 for objects equal up to a complex factor.

    Examples
    --------
    >>> round(overlap(np.array([1.0, 1.0]), np.array([1j, 1j])), 6)
    1.0
    """
    return float(abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b)))


def overlaps(rhos: Array) -> np.ndarray:
    """Return the overlap of every pair of objects (start, z, y, x) as a matrix (start, start)."""
    flat = np.asarray(rhos).reshape(len(rhos), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return np.abs(flat.conj() @ flat.T)


def agreement(rhos: Array) -> float:
    """Return the mean overlap of all pairs of aligned objects (start, z, y, x); NaN for a single one.

    This is the number that grades a reconstruction: the misfit to the data
    hardly tells a right solution from a wrong one, the scatter of starts does.
    """
    rows, columns = np.triu_indices(len(rhos), 1)
    return float(overlaps(rhos)[rows, columns].mean()) if len(rows) else float("nan")


def grade(agreement: float, n_good: int, starts: int) -> str:
    """Return ``"good"``, ``"limited"`` (maps, no statistics) or ``"unreliable"``.

    Parameters
    ----------
    agreement : float
        Mean overlap of the kept starts.
    n_good, starts : int
        Kept starts, and all of them; 5 of 8 are asked for, 4 of 8 for ``"limited"``.

    Examples
    --------
    >>> grade(0.95, 7, 8), grade(0.86, 7, 8), grade(0.95, 3, 8)
    ('good', 'limited', 'unreliable')
    """
    share = n_good / starts
    if n_good >= 2 and agreement >= 0.90 and share >= 5 / 8:
        return "good"
    return "limited" if n_good >= 2 and agreement >= 0.84 and share >= 4 / 8 else "unreliable"


def align(rho: Array, reference: Array) -> np.ndarray:
    """Return `rho` moved onto `reference` by what no data can tell: twin, shift and global phase.

    Parameters
    ----------
    rho, reference : complex array, shape (z, y, x)

    Returns
    -------
    complex array, shape (z, y, x)
        The better of `rho` and its twin, shifted (periodic, sub-voxel, as a
        phase ramp in Fourier space) and turned to the largest real overlap.

    Notes
    -----
    The shift maximises the cross-correlation, to 1/50 voxel: Guizar-Sicairos,
    Thurman and Fienup, Opt. Lett. 33, 156 (2008), doi 10.1364/OL.33.000156.
    """
    shift, value, wave = _better(scipy.fft.fftn(rho), scipy.fft.fftn(reference))
    moved = scipy.fft.ifftn(wave * _ramp(shift, wave.shape))
    return (moved * np.exp(-1j * np.angle(value))).astype(np.asarray(rho).dtype)


def chi(rho: Array, measured: Measured) -> float:
    """Return the misfit of the far-field modulus of `rho` over the valid pixels; 0 is perfect. Origin at index 0."""
    modulus = np.abs(scipy.fft.fftn(rho))[measured.valid]
    seen = measured.amplitude[measured.valid]
    return float(np.linalg.norm(modulus - seen) / np.linalg.norm(seen))


def chi_noise(rho: Array, measured: Measured, rng: np.random.Generator) -> float:
    """Return the :func:`chi` that counting photons alone would give if `rho` were the truth.

    Its ratio to chi is a warning above 1.1, no grade: a hard support edge
    raises it for good objects at high counts.
    """
    mean = np.abs(scipy.fft.fftn(rho))[measured.valid].astype(np.float64) ** 2
    counts = rng.poisson(mean)
    return float(np.linalg.norm(np.sqrt(mean) - np.sqrt(counts)) / np.sqrt(max(counts.sum(), 1)))


def prtf(rhos: Array, measured: Measured, radius: Array, *, shells: int = 32) -> Shells:
    r"""Return the phase-retrieval transfer function of aligned objects, averaged in shells.

    .. math:: \mathrm{PRTF}(q) = \left\langle \left|\langle F\rho_k\rangle_k\right| \right\rangle_q / \langle\sqrt{I}\rangle_q

    Parameters
    ----------
    rhos : complex array, shape (start, z, y, x)
        Aligned, origin at index 0.
    measured : Measured
    radius : array, shape (z, y, x)
        Distance from the peak in the unit that `q` shall have, origin at index 0.
    shells : int
        Number of shells up to the largest that lies wholly in the array.

    Notes
    -----
    1 where all starts agree on the phase. It is no grade: it can stay above 1/e
    to the edge of the array for a wrong object. Quote no resolution below 2 voxels.
    Source: Chapman et al., J. Opt. Soc. Am. A 23, 1179 (2006), doi 10.1364/JOSAA.23.001179.
    """
    wave = np.abs(sum(scipy.fft.fftn(rho) for rho in rhos)) / len(rhos)
    largest = min(radius.take(n // 2, axis=axis).min() for axis, n in enumerate(radius.shape))
    shell = (radius / largest * shells).astype(int)
    used = measured.valid & (shell < shells)
    seen, kept = (np.bincount(shell[used], a[used], shells) for a in (measured.amplitude, wave))
    with np.errstate(invalid="ignore"):
        return Shells((np.arange(shells) + 0.5) * largest / shells, kept / np.where(seen > 0, seen, np.nan))


def extent(rho: Array, *, edge: float = 0.4) -> np.ndarray:
    """Return where the object is: its modulus above `edge` of its 90th percentile there, without holes and specks.

    The percentile is taken above that share of the energy-weighted mean first, then within the extent
    itself, so that neither empty space nor one bright voxel decides it. Specks are pieces of less than
    1 % of the whole.
    """
    modulus = np.abs(rho)
    inside = modulus > edge * np.sum(modulus**3) / np.sum(modulus**2)
    for _ in range(3):
        inside = modulus > edge * np.percentile(modulus[inside], 90)
    pieces, _ = ndi.label(inside)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(ndi.binary_fill_holes((sizes >= 0.01 * sizes.sum())[pieces] & inside))


def modes(rhos: Array) -> Modes:
    """Return the orthogonal modes of aligned objects (start, z, y, x), strongest first.

    The first mode is a better mean than the mean, its weight another measure of
    agreement. Source: Favre-Nicolin, Leake and Chushkin, Sci. Rep. 10, 2664 (2020), doi 10.1038/s41598-020-57561-2.
    """
    flat = np.asarray(rhos).reshape(len(rhos), -1)
    _, singular, rows = np.linalg.svd(flat, full_matrices=False)
    power = singular**2
    scaled = rows * (singular / np.sqrt(len(rhos)))[:, None]
    return Modes(power / power.sum(), scaled.reshape(np.shape(rhos)))


def _better(wave: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, complex, np.ndarray]:
    """Choose between a wave and its conjugate (the twin) the one that can be moved nearer to `target`."""
    found = [(*_best_shift(psi, target), psi) for psi in (wave, np.conj(wave))]
    return max(found, key=lambda one: abs(one[1]))


def _best_shift(wave: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, complex]:
    """Return the shift (voxels) that brings `wave` onto `target`, and the complex correlation there."""
    cross = wave * np.conj(target)
    map_ = np.abs(scipy.fft.ifftn(cross))
    shift = -np.array(np.unravel_index(map_.argmax(), map_.shape), dtype=float)
    value = 0j
    for step in (0.2, 0.02):
        offsets = np.arange(-5, 6) * step
        local = cross
        for axis, n in enumerate(cross.shape):
            turn = np.exp(-2j * np.pi * np.outer(shift[axis] + offsets, np.fft.fftfreq(n)))
            local = np.moveaxis(np.tensordot(turn, local, axes=(1, axis)), 0, axis)
        best = np.unravel_index(np.abs(local).argmax(), local.shape)
        shift, value = shift + offsets[list(best)], complex(local[best])
    return shift, value


def _ramp(shift: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the wave factor that moves an object by `shift` voxels."""
    factors = [np.exp(-2j * np.pi * s * np.fft.fftfreq(n)) for s, n in zip(shift, shape, strict=True)]
    return factors[0][:, None, None] * factors[1][None, :, None] * factors[2][None, None, :]
