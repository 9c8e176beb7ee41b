"""What a measured peak says of itself before it is phased: sampling, gaps, photons, symmetry, fringes.

Everything here runs on the host, on counts (frame, y, x) as the detector has them: the peak about the
middle of the box, not at index 0. A *speckle* is as wide as the oversampling ratio, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from scipy import ndimage as ndi

from xcdi.backend import Array

__all__ = [
    "background",
    "brightest",
    "centre_of_mass",
    "completed",
    "dark_frames",
    "ends",
    "gap_width",
    "isolated",
    "oversampling",
    "photon_reach",
    "plateau",
    "spread",
    "symmetry",
    "visibility",
]

FAINTEST = 0.01  # of the autocorrelation's maximum: where the object ends
ALONE = 20.0  # times its brightest neighbour: no voxel of oversampled data is
TILES = 6  # pieces of the box along each axis, of which the darkest are background
LIT = 30.0  # counts per voxel, on average over a speckle, that fringes are looked for in


def completed(counts: Array, valid: Array) -> np.ndarray:
    """Return the counts with every missing voxel filled from its surroundings, near ones first.

    Parameters
    ----------
    counts : array, shape (frame, y, x)
    valid : bool array, shape (frame, y, x)

    Returns
    -------
    float array, shape (frame, y, x)
        For estimates of what is lost; never data to be phased.

    Examples
    --------
    >>> float(completed(np.full((1, 1, 5), 7.0), np.array([[[True, True, False, True, True]]]))[0, 0, 2].round(3))
    7.0
    """
    filled = np.where(valid, counts, 0.0).astype(np.float32)
    known = np.asarray(valid, np.float32)
    missing = ~np.asarray(valid)
    for width in (1.0, 2.0, 4.0, 8.0, 16.0):
        if not missing.any() or not known.any():
            break
        near = ndi.gaussian_filter(known, width, mode="constant", truncate=3.0)
        mean = ndi.gaussian_filter(np.where(valid, counts, 0.0).astype(np.float32), width, mode="constant", truncate=3.0)
        reached = missing & (near > 0.05)
        filled[reached] = mean[reached] / near[reached]
        missing &= ~reached
    return filled


def isolated(counts: Array) -> np.ndarray:
    """Return the voxels that are far brighter than all their 26 neighbours: hot pixels and cosmic rays, never fringes.

    Where an object is oversampled, no maximum is narrower than a voxel; photon noise is allowed for.

    Examples
    --------
    >>> counts = np.zeros((3, 5, 5))
    >>> counts[1, 2, 3] = 500
    >>> np.argwhere(isolated(counts)).tolist()
    [[1, 2, 3]]
    """
    around = np.ones((3, 3, 3), bool)
    around[1, 1, 1] = False
    beside = ndi.maximum_filter(np.asarray(counts), footprint=around, mode="constant")
    return np.asarray(counts > ALONE * (beside + 1.0))


def brightest(counts: Array) -> tuple[int, ...]:
    """Return the index of the brightest voxel, counts averaged over 3 x 3 x 3 so that no single pixel decides."""
    calm = ndi.uniform_filter(np.asarray(counts, np.float32), 3, mode="nearest")
    return tuple(int(i) for i in np.unravel_index(int(calm.argmax()), calm.shape))


def centre_of_mass(counts: Array, floor: float = 0.0) -> np.ndarray:
    """Return the centre of mass (frame, y, x) of the counts above `floor`, in pixels from index 0.

    Examples
    --------
    >>> centre_of_mass(np.array([[[0.0, 1.0, 3.0]]])).tolist()
    [0.0, 0.0, 1.75]
    """
    weight = np.maximum(np.asarray(counts, float) - floor, 0.0)
    sides = [weight.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    return np.array([side @ np.arange(len(side)) / side.sum() for side in sides])


def oversampling(counts: Array, valid: Array) -> np.ndarray:
    r"""Return pixels per finest fringe along each axis: length of the array over that of the object.

    .. math:: r = n / L, \qquad L = \max\Big\{\,|l| : \sum_\text{lines} |F^{-1} I|^2(l) > 0.01^2 \sum_\text{lines} |F^{-1} I|^2(0)\Big\}

    with one-dimensional transforms along the axis, whose shot noise is taken off: the extent of the autocorrelation.

    Parameters
    ----------
    counts : array, shape (frame, y, x)
    valid : bool array, shape (frame, y, x)
        Only unbroken lines are used; where gaps break too many, shorter pieces of them.

    Returns
    -------
    array, shape (3,)
        2 is the least that fixes the phases along an axis. Where the autocorrelation fills the array it has
        wrapped around, and the figure, below 2, is the most that its value at half the array allows. NaN without
        light, or where gaps leave no piece long enough to tell.

    Notes
    -----
    The ratio belongs to the pixels, not to the box: a smaller box leaves it, every second frame halves it. The tips
    of a faceted or strained crystal are fainter than the limit: simulated ones came out 0.05 to 0.3 of itself too
    large. Lines fade to nothing at both ends, slowly where there is light, so that a peak cut off does not look like
    an object that fills the array. Sources: Sayre, Acta Cryst. 5, 843 (1952), doi 10.1107/S0365110X52002276;
    Miao, Kirz and Sayre, Acta Cryst. D 56, 1312 (2000), doi 10.1107/S0907444900008970.
    """
    ratio = []
    for axis, n in enumerate(np.shape(counts)):
        lines, light = np.moveaxis(np.asarray(valid), axis, -1), np.moveaxis(np.asarray(counts), axis, -1)
        part = _unbroken(light, lines)
        piece = light[..., part][lines[..., part].all(axis=-1)].astype(np.float32)
        whole = part == slice(0, n) and max(ends(piece.sum(axis=0))) < 0.02
        found = _ratio(*_power(piece, whole=whole))
        ratio.append(found if whole or found >= 2 else float("nan"))
    return np.array(ratio)


def _unbroken(counts: np.ndarray, valid: np.ndarray) -> slice:
    """Longest piece of the last axis whose unbroken lines hold a quarter of the counts, or else the most."""
    share = 0.25 * float(counts.sum(where=valid))
    n = counts.shape[-1]
    best, most = slice(0, n), -1.0
    for part in _windows(n):
        whole = valid[..., part].all(axis=-1, keepdims=True)
        light = float(counts[..., part].sum(where=whole))
        if light > most:
            best, most = part, light
        if light >= share and light > 0:
            break
    return best


def _power(lines: np.ndarray, *, whole: bool) -> tuple[np.ndarray, float, float]:
    """Power of the transforms of lines (line, pixel) at lags 0 ... n // 2 without shot noise, five times its scatter, lags of blur."""
    size = lines.shape[-1]
    place = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / max(size / (8 if whole else 2), 1.0)
    fade = np.sin(np.pi / 2 * np.clip(place, 0.0, 1.0)).astype(np.float32) ** 2
    noise = (lines * fade**2).sum(axis=-1, dtype=float)
    power = np.sum(np.abs(scipy.fft.rfft(lines * fade, axis=-1)) ** 2, axis=0, dtype=float)
    return power - noise.sum(), 5.0 * float(np.sqrt(np.sum(noise**2))), 0.0 if whole else 1.0


def _windows(n: int) -> list[slice]:
    """The whole line, then ever shorter pieces of it, down to a quarter."""
    step, sizes = max(n // 16, 1), (n * 3 // 4, n * 9 // 16, n * 7 // 16, n // 3, n // 4)
    return [slice(0, n)] + [slice(a, a + size) for size in sizes if size > 3 for a in range(0, n - size + 1, step)]


def _ratio(power: np.ndarray, noise: float, blur: float) -> float:
    """Array length over object length, from the power at lags 0 ... n // 2."""
    n = 2 * (len(power) - 1)
    if n < 2 or power[0] <= noise:
        return float("nan")
    modulus, least = np.sqrt(np.maximum(power, 0.0)), np.sqrt(max(FAINTEST**2 * power[0], noise))
    last = int(np.flatnonzero(modulus > least)[-1])
    if last >= n // 2 - 1:
        return float(2.0 - min(modulus[-1] / modulus[0], 1.0))
    step = (modulus[last] - least) / max(modulus[last] - modulus[last + 1], 1e-12)
    return float(n / max(last + min(step, 1.0) - blur, 1.0))


def plateau(counts: Array) -> int:
    """Return how many voxels share the largest count, if it is 100 or more: a counter that has stopped, or 0.

    Three voxels or more are told; chance gives so many equal counts of that size nearly never.

    Examples
    --------
    >>> plateau(np.array([5000, 5000, 17, 5000])), plateau(np.array([1, 1, 1, 1]))
    (3, 0)
    """
    top = np.max(counts)
    found = int(np.count_nonzero(counts == top))
    return found if top >= 100 and found >= 3 else 0


def gap_width(missing: Array, widths: Sequence[float]) -> np.ndarray:
    """Return how wide the gap is at every missing voxel, in speckles and to a pixel; 0 elsewhere.

    Parameters
    ----------
    missing : bool array, shape (frame, y, x)
    widths : three numbers
        Pixels per speckle along each axis.

    Returns
    -------
    array, shape (frame, y, x)
        Twice the distance to the nearest voxel that is there.

    Examples
    --------
    >>> missing = np.zeros((5, 5, 5), bool)
    >>> missing[:, 1:3, :] = True
    >>> float(gap_width(missing, (2.0, 4.0, 2.0)).max())
    0.5
    """
    return 2.0 * np.asarray(ndi.distance_transform_edt(missing, sampling=[1.0 / pixels for pixels in widths]))


def background(counts: Array, valid: Array) -> float:
    """Return counts per voxel where the box is darkest: the mean of the darkest tenth of 6 x 6 x 6 tiles.

    Examples
    --------
    >>> counts = np.full((12, 12, 12), 0.5)
    >>> counts[4:8, 4:8, 4:8] = 1e4
    >>> background(counts, np.ones(counts.shape, bool))
    0.5
    """
    edges = [np.linspace(0, n, min(TILES, n) + 1).astype(int)[:-1] for n in np.shape(counts)]
    photons, pixels = np.where(valid, counts, 0.0).astype(float), np.asarray(valid, float)
    for axis, starts in enumerate(edges):
        photons, pixels = (np.add.reduceat(a, starts, axis=axis) for a in (photons, pixels))
    mean = np.sort((photons[pixels > 0] / pixels[pixels > 0]).ravel())
    return float(mean[: max(1, len(mean) // 10)].mean()) if len(mean) else float("nan")


def ends(curve: Array, background: float = 0.0) -> tuple[float, float]:
    """Return the level at the beginning and the end of a rocking curve over `background`, per its maximum.

    Parameters
    ----------
    curve : array, shape (frame,)
        Counts of every frame; two frames are averaged at each end.

    Examples
    --------
    >>> ends(np.array([0.0, 0.0, 4.0, 8.0, 6.0, 2.0]))
    (0.0, 0.5)
    """
    curve = np.maximum(np.asarray(curve, float) - background, 0.0)
    top = max(float(curve.max()), 1e-12)
    return float(curve[:2].mean()) / top, float(curve[-2:].mean()) / top


def photon_reach(counts: Array, radius: Array, *, speckle: float, background: float = 0.0) -> float:
    """Return the distance from the peak, in the unit of `radius`, at which a speckle still holds one photon.

    Parameters
    ----------
    counts, radius : arrays of one shape
        Radius from the peak; NaN or negative where a voxel shall not count.
    speckle : float
        Voxels in a speckle: the product of the oversampling ratios.
    background : float
        Counts per voxel that are not of the crystal. Besides one photon, three standard deviations of it are asked for.

    Returns
    -------
    float
        A full period of that length, 2 pi over it, is what can be expected to be resolved. NaN where no voxel counts.

    Examples
    --------
    >>> photon_reach(np.ones(3), np.full(3, -1.0), speckle=8.0)
    nan
    """
    used = np.nan_to_num(np.asarray(radius, float), nan=-1.0) >= 0
    if not used.any():
        return float("nan")
    order = np.linspace(0, float(radius[used].max()) * (1 + 1e-9), 25)
    shell = np.digitize(radius[used], order) - 1
    voxels = np.bincount(shell, minlength=24)
    mean = np.bincount(shell, np.asarray(counts, float)[used], 24) / np.maximum(voxels, 1)
    asked = 1.0 / speckle + 3.0 * np.sqrt(max(background, 0.0) / np.maximum(voxels, 1))
    weak = np.flatnonzero((mean - background < asked) & (voxels > 0))
    return float(order[weak[0]]) if len(weak) else float(order[-1])


def spread(counts: Array, ratio: Sequence[float]) -> float:
    r"""Return how many speckles share the light: 1 for a perfect crystal of any size, more for a distorted one.

    .. math:: s = \frac{(\sum I)^2}{\sum I^2} \Big/ \left(\tfrac32\right)^3 r_1 r_2 r_3

    Notes
    -----
    1 for a box; 2 to 4 for rounded and faceted shapes without strain, which fill less of the box around them. The shot
    noise of the sum of squares is taken off.
    """
    counts = np.asarray(counts, float)
    squares = np.sum(counts**2) - counts.sum()
    return float(counts.sum() ** 2 / max(squares, 1.0) / (3.375 * float(np.prod(ratio))))


def symmetry(counts: Array) -> float:
    """Return the likeness of the peak to its own inversion through the best centre: 1 for a crystal without strain.

    Notes
    -----
    Friedel's law: a real object scatters centrosymmetrically about its Bragg peak; what breaks it is displacement.

    Examples
    --------
    >>> counts = np.zeros((8, 8, 8))
    >>> counts[3:5, 3:5, 2:7] = 100
    >>> round(symmetry(counts), 3)
    1.0
    """
    counts = np.asarray(counts, np.float32)
    size = [scipy.fft.next_fast_len(2 * n - 1, real=True) for n in counts.shape]
    with_itself = scipy.fft.irfftn(scipy.fft.rfftn(counts, size) ** 2, size)
    squares = float(np.sum(counts.astype(float) ** 2))
    return float(min(with_itself.max() / squares, 1.0)) if squares > 0 else float("nan")


def visibility(counts: Array, valid: Array, ratio: Sequence[float], background: float = 0.0) -> float:
    r"""Return the visibility of the fringes, from how dark the dips between bright speckles are; NaN with fewer than ten dips.

    .. math:: V = \frac{1 - d}{1 + d}, \qquad d = \frac{\sum_\text{dips} (I - b)}{\sum_\text{dips} (\langle I \rangle - b)}

    A dip is a voxel no brighter than its 26 neighbours; the mean is over a speckle around it, and at least 30 counts.

    Parameters
    ----------
    counts : array, shape (frame, y, x)
        Filled where missing (:func:`completed`).
    valid : bool array, shape (frame, y, x)
        A dip next to a voxel that is not valid does not count.
    ratio : three numbers
        Pixels per speckle.
    background : float
        b, counts per voxel.

    Returns
    -------
    float
        Near 1 for coherent light: the wave of a finite object is 0 on lines, which the dips touch. Simulated crystals
        gave 0.98 without blur, 0.92 to 0.95 at a blur of 0.2 pixels, 0.77 at 0.5 and 0.67 to 0.86 at 0.8, where
        those with few fringes lose their dips altogether.
    """
    counts = np.asarray(counts, np.float32)
    mean = ndi.gaussian_filter(counts, 0.7 * np.asarray(ratio)) - background
    dips = (counts <= ndi.minimum_filter(counts, 3, mode="nearest")) & (mean > LIT)
    dips &= ndi.minimum_filter(np.asarray(valid), 3, mode="nearest")
    if np.count_nonzero(dips) < 10:
        return float("nan")
    depth = float(np.clip(np.sum(counts[dips] - background) / np.sum(mean[dips]), 0.0, 1.0))
    return (1 - depth) / (1 + depth)


def dark_frames(curve: Array) -> np.ndarray:
    """Return the frames with less than a fiftieth of the light of both their neighbours: lost or blocked, for a peak does not blink.

    Parameters
    ----------
    curve : array, shape (frame,)
        Counts of every frame; next to fewer than 1000 nothing is said.

    Examples
    --------
    >>> dark_frames(np.array([2e3, 5e3, 0.0, 7e3, 4e3])).tolist()
    [2]
    """
    curve = np.asarray(curve, float)
    beside = np.minimum(curve[:-2], curve[2:])
    return np.flatnonzero((curve[1:-1] < beside / 50) & (beside >= 1000)) + 1
