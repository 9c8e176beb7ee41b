"""Registration: one state of a crystal laid upon another, although parts of it have slipped.

Place comes from the amplitude, which a slip leaves alone; hand, ramp and phase from what most of the crystal
agrees on. The ramp is kept: it is the mean strain and tilt of the state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage as ndi

from xcdi.backend import Array
from xcdi.kernels import strain
from xcdi.kernels.phasing import placing
from xcdi.kernels.phasing.alignment import overlap

__all__ = ["AMBIGUOUS", "Registration", "apply", "levelled", "moved", "ramp_error", "register", "turned", "without_ramp"]

AMBIGUOUS = 0.03  # overlap, local or of amplitudes, by which one hand has to be better than the other
HIGH = 0.995  # overlap above which nothing has slipped, and the phase may help to find the place
CALM = 1.0  # voxels that amplitudes are smoothed by
ALIKE = (2 * np.pi**0.5 * CALM) ** 3  # voxels of a map so smoothed that speak as one
BRIGHT = 0.1  # of the largest amplitude: there is crystal
NEAR = 3.0  # voxels: half the width of a part that moves as one
ROUNDS = 8
FEWEST = 8  # voxels that have a ramp
GATES = (0.6, 0.45, 0.35, 0.3, 0.3, 0.3)  # rad: what differs by more from the rest has slipped
BINS = 72


class Registration(NamedTuple):
    """How a crystal has to be moved to lie upon another; see :func:`apply`.

    Attributes
    ----------
    twin : bool
        Turned inside out about the middle voxel n // 2, and conjugated.
    margin : float
        Local overlap with the reference less that of the other hand; below `AMBIGUOUS` the hand is a guess.
    shift, shift_error : array, shape (3,)
        Voxels to move it by along index 0, 1, 2, and their standard errors.
    ramp : array, shape (3,)
        Phase per voxel [rad] to take off, zero at the middle voxel.
    phase : float
        Phase [rad] to take off.
    overlap, local_overlap : float
        With the reference afterwards, at most 1; the local one adds the moduli of its parts a few voxels wide,
        so grains that slipped whole still count.
    """

    twin: bool
    margin: float
    shift: Array
    shift_error: Array
    ramp: Array
    phase: float
    overlap: float
    local_overlap: float


def register(rho: Array, reference: Array) -> Registration:
    """Return how to move `rho` to lie upon `reference`.

    Parameters
    ----------
    rho, reference : complex array, shape (n0, n1, n2)
        On one upright grid, with room around the crystal for it to move.

    Notes
    -----
    The shift minimises the squared difference of the smoothed amplitudes, with voxels that really changed
    counting less (Cauchy weights); its error is the curvature's. Where the overlap is above 0.995
    it is sharpened on the complex field. Of ramp and phase those are taken off that make the change zero in
    the largest part that moved alike: a grain that slips stands out whole.

    Examples
    --------
    >>> z, y, x = np.meshgrid(*3 * [np.arange(16) - 8], indexing="ij")
    >>> ball = np.exp(-(z**2 + y**2 + (x + 0.1 * x**2) ** 2) / 12) * np.exp(0.02j * x**2)
    >>> found = register(np.roll(ball, (1, -2, 0), (0, 1, 2)), ball)
    >>> (found.shift.round(2) + 0.0).tolist(), found.twin
    ([-1.0, 2.0, 0.0], False)
    """
    found = [_one_hand(rho, reference, twin) for twin in (False, True)]
    best, other = sorted(found, key=lambda one: -one.local_overlap)
    return best._replace(margin=best.local_overlap - other.local_overlap)


def apply(rho: Array, how: Registration) -> Array:
    """Return `rho` (..., n0, n1, n2) turned, moved by a ramp in Fourier space, and freed of ramp and phase."""
    return without_ramp(moved(turned(rho) if how.twin else rho, how.shift), how.ramp, how.phase)


def without_ramp(rho: Array, ramp: Array, phase: float) -> Array:
    """Return complex `rho` (..., n0, n1, n2) without a phase ramp [rad per voxel], zero at the middle voxel, and a phase [rad]."""
    return np.asarray(rho * np.exp(-1j * _plane(rho.shape[-3:], ramp, phase)).astype(rho.dtype))


def turned(rho: Array) -> Array:
    """Return the twin: turned inside out about the middle voxel n // 2, conjugated.

    Examples
    --------
    >>> turned(np.array([[[1, 2j, 3]]]))
    array([[[3.-0.j, 0.-2.j, 1.-0.j]]])
    """
    return np.roll(placing.inversion(rho), [2 * (n // 2) for n in rho.shape[-3:]], axis=(-3, -2, -1))


def moved(volume: Array, shift: Array) -> Array:
    """Return `volume` (..., n0, n1, n2) moved by `shift` voxels, exactly for its band, round the edges; complex."""
    wave = scipy.fft.fftn(volume, axes=(-3, -2, -1))
    for axis, s in zip((-3, -2, -1), shift, strict=True):
        n = volume.shape[axis]
        line = np.exp(-2j * np.pi * s * scipy.fft.fftfreq(n)).astype(wave.dtype)
        wave = wave * line.reshape(-1, *[1] * (-1 - axis))
    return np.asarray(scipy.fft.ifftn(wave, axes=(-3, -2, -1)))


def levelled(ratio: Array) -> tuple[Array, float]:
    """Ramp [rad per voxel] and phase [rad] of the largest part of `ratio` that has one.

    Parameters
    ----------
    ratio : complex array, shape (n0, n1, n2)
        Product of one state with the conjugate of another; its modulus is the weight.

    Returns
    -------
    ramp : array, shape (3,)
        Along index 0, 1, 2, about the middle voxel.
    phase : float

    Notes
    -----
    Start: weighted median of the local slope and the mode of the phase; then least squares over the voxels that
    are within 0.6, at last 0.3 rad. A mean would be drawn away by what has slipped.

    Examples
    --------
    >>> phase = 0.1 * np.arange(-4, 5) * np.ones((9, 9, 1)) + 0.5
    >>> phase[:3] += 2.0  # a third has slipped
    >>> ramp, level = levelled(np.exp(1j * phase))
    >>> (ramp.round(6) + 0.0).tolist(), round(level, 6)
    ([0.0, 0.0, 0.1], 0.5)
    """
    strong = _strong(ratio)
    if np.count_nonzero(strong) < FEWEST:
        return np.zeros(3), 0.0
    values, share = ratio[strong], np.abs(ratio[strong])
    slope = strain.gradient(ratio, np.eye(3))[:, strong]
    place = np.argwhere(strong) - np.array(ratio.shape) // 2
    ramp = np.array([_median(component, share) for component in slope])
    level = _mode(values * np.exp(-1j * place @ ramp))
    design = np.column_stack([place, np.ones(len(place))]).astype(float)
    for gate in GATES:
        left = np.angle(values * np.exp(-1j * (place @ ramp + level)))
        use = np.abs(left) < gate
        heavy = design[use] * share[use, None]
        step = np.linalg.lstsq(heavy.T @ design[use], heavy.T @ left[use], rcond=None)[0]
        ramp, level = ramp + step[:3], level + step[3]
    return ramp, float(np.angle(np.exp(1j * level)))


def ramp_error(ratio: Array) -> Array:
    """Standard error (3,) of the ramp of :func:`levelled` [rad per voxel]: how it changes as one octant after another is left out.

    Neighbouring voxels have errors in common as far as a grain reaches, which their scatter about the ramp does not show.
    NaN where the octants are too small.

    Notes
    -----
    Source: Kunsch, Ann. Stat. 17, 1217 (1989), doi 10.1214/aos/1176347265 (jackknife by blocks).

    Examples
    --------
    >>> x = np.arange(9) * np.ones((9, 9, 1))
    >>> straight, bent = np.exp(0.1j * x), np.exp(1j * (0.1 * x + 0.01 * x**2))
    >>> bool(ramp_error(straight).max() < 1e-9), bool(ramp_error(bent)[2] > 1e-3)
    (True, True)
    """
    place = np.argwhere(_strong(ratio))
    if len(place) < 8 * FEWEST:
        return np.full(3, np.nan)
    half = np.indices(ratio.shape) > np.median(place, axis=0).reshape(3, 1, 1, 1)
    octant = half[0] * 4 + half[1] * 2 + half[2]
    ramps = np.array([levelled(np.where(octant == k, 0, ratio))[0] for k in range(8)])
    return np.asarray(np.sqrt(7 / 8 * np.square(ramps - ramps.mean(axis=0)).sum(axis=0)))


def _strong(ratio: Array) -> Array:
    """Where there is crystal."""
    weight = np.abs(ratio)
    return np.asarray((weight > BRIGHT**2 * weight.max()) & (weight > 0))


def _one_hand(rho: Array, reference: Array, twin: bool) -> Registration:
    """The best registration that turns `rho`, or that does not."""
    own = turned(rho) if twin else np.asarray(rho)
    here, there = (ndi.gaussian_filter(np.abs(one).astype(float), CALM) for one in (own, reference))
    shift, error = _place(here, there)
    ramp, phase = levelled(moved(own, shift) * np.conj(reference))
    first = _described(own, reference, shift, error, ramp, phase)
    if first.overlap > HIGH:
        first = _described(own, reference, *_sharpened(own, reference, first))
    return first._replace(twin=twin)


def _described(own: Array, reference: Array, shift: Array, error: Array, ramp: Array, phase: float) -> Registration:
    """Registration of an object that has the right hand already, with its overlaps."""
    plain = Registration(False, 0.0, shift, error, ramp, phase, 0.0, 0.0)
    there = apply(own, plain)
    return plain._replace(overlap=overlap(reference, there), local_overlap=_local_overlap(reference, there))


def _local_overlap(a: Array, b: Array) -> float:
    """Overlap of two objects of which the parts, `NEAR` voxels wide, may have any phase."""
    ratio, norm = b * np.conj(a), float(np.linalg.norm(a) * np.linalg.norm(b))
    near = [ndi.gaussian_filter(part.astype(float), NEAR) for part in (ratio.real, ratio.imag)]
    return float(np.hypot(*near).sum() / norm) if norm > 0 else 0.0


def _place(here: Array, there: Array) -> tuple[Array, Array]:
    """Shift [voxel] of amplitude `here` onto `there`, and its standard error: Gauss and Newton, outliers weighted down."""
    map_ = scipy.fft.ifftn(scipy.fft.fftn(there) * np.conj(scipy.fft.fftn(here))).real
    shift = np.array(np.unravel_index(map_.argmax(), map_.shape), float)
    shift -= np.array(map_.shape) * (shift > np.array(map_.shape) / 2)
    crystal = there > BRIGHT * there.max()
    error = np.full(3, np.inf)
    for _ in range(ROUNDS):
        now = moved(here, shift).real
        inside = now[crystal]
        size = (inside @ there[crystal]) / (inside @ inside)  # one state may be brighter than the other
        left = there[crystal] - size * inside
        design = np.column_stack([*(-size * g[crystal] for g in np.gradient(now)), inside])
        scale = 3 * 1.4826 * float(np.median(np.abs(left)))
        weight = 1 / (1 + (left / scale) ** 2) if scale > 0 else np.ones(left.shape)
        inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
        shift = shift + (inverse @ (design.T @ (weight * left)))[:3]
        noise = float((weight * left**2).sum() / weight.sum())
        error = np.sqrt(noise * ALIKE * np.diag(inverse)[:3])
    return shift, error


def _sharpened(own: Array, reference: Array, first: Registration) -> tuple[Array, Array, Array, float]:
    """Shift, its error, ramp and phase by least squares on the complex field."""
    shift, ramp, phase, error = first.shift, first.ramp, first.phase, first.shift_error
    crystal = np.abs(reference) > BRIGHT * np.abs(reference).max()
    place = np.argwhere(crystal) - np.array(reference.shape) // 2
    for _ in range(ROUNDS // 2):
        now = apply(own, first._replace(shift=shift, ramp=ramp, phase=phase))
        scale = np.vdot(now, reference).real / np.vdot(now, now).real
        turn = np.exp(-1j * _plane(own.shape, ramp, phase))
        slope = [-g[crystal] * turn[crystal] for g in np.gradient(moved(own, shift))]
        inside = now[crystal]
        design = scale * np.column_stack([*slope, *(-1j * inside[:, None] * place).T, -1j * inside, inside])
        left = (reference - scale * now)[crystal]
        real = np.concatenate([design.real, design.imag])
        inverse = np.linalg.pinv(real.T @ real)
        step = inverse @ (real.T @ np.concatenate([left.real, left.imag]))
        shift, ramp, phase = shift + step[:3], ramp + step[3:6], phase + float(step[6])
        error = np.sqrt(float((np.abs(left) ** 2).mean()) / 2 * 8 * np.diag(inverse)[:3])
    return shift, error, ramp, phase


def _plane(shape: tuple[int, ...], ramp: Array, phase: float) -> Array:
    """Phase (n0, n1, n2) of a ramp about the middle voxel."""
    a, b, c = (slope * (np.arange(n) - n // 2) for slope, n in zip(ramp, shape, strict=True))
    return np.asarray(a[:, None, None] + b[:, None] + c + phase)


def _median(values: Array, weight: Array) -> float:
    """Weighted median."""
    rising = np.argsort(values)
    total = np.cumsum(weight[rising])
    return float(values[rising][np.searchsorted(total, total[-1] / 2)])


def _mode(values: Array) -> float:
    """Phase [rad] that most of the weight of complex `values` has."""
    angle = np.angle(values)
    counts, edges = np.histogram(angle, BINS, (-np.pi, np.pi), weights=np.abs(values))
    smooth = ndi.gaussian_filter1d(counts, 2.0, mode="wrap")
    return float(edges[smooth.argmax()] + np.pi / BINS)
