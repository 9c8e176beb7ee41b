"""Grains of a crystal from one complex object.

Inside a grain amplitude is high and the phase goes on as its slope says; at a
boundary the amplitude dips, the phase jumps, or the slope changes. One map of
:func:`order` falls for all three.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from xcdi.backend import Array
from xcdi.kernels.dislocations import residues
from xcdi.kernels.strain import gradient

__all__ = ["faces", "interior", "label_grains", "order", "region_means"]

NEAR, FAR = 0.8, 1.6  # voxels: one neighbour for dips and jumps of phase, three for changes of slope
REACH = 3
OPEN = 0.85  # order of the best quarter of a seam that ends inside a grain: round a dislocation 0.93, on true boundaries up to 0.66


def order(rho: Array, support: Array) -> Array:
    r"""How well every voxel continues its neighbours: 1 in a perfect grain, low at boundaries.

    .. math:: o = \frac{|\sum w_1\,\rho\,e^{-i g\cdot\delta}|}{A\sum w_1}\;
                  \frac{|\sum w_2\,\rho\,e^{-i g\cdot\delta}|}{\sum w_2 |\rho|}

    with Gaussian weights of 0.8 and 1.6 voxels and g the local phase slope: the first factor sees
    dips and jumps, the second, blind to amplitude, changes of slope.

    Parameters
    ----------
    rho : complex array, shape (z, y, x)
        On voxels of roughly equal edges near the resolution.
    support : bool array, same shape

    Returns
    -------
    float array, same shape
        0 outside; the scale A makes the 90th percentile inside 1, so no factor on `rho` matters.
    """
    inside = np.where(support, rho, 0).astype(np.complex128)
    slope = gradient(_calm(inside), np.eye(3))
    result = np.zeros(rho.shape)
    _order(np.pad(inside, REACH), np.pad(np.asarray(support, dtype=bool), REACH), slope, result)
    level = np.percentile(result[support], 90) if support.any() else 0.0
    return result / level if level > 0 else result


def _calm(rho: Array) -> Array:
    """The object weighted down to what its nearest neighbours confirm: a slope for every voxel, one odd phase ignored."""
    slope = gradient(rho, np.eye(3))
    total = rho * 2.0
    for axis in range(3):
        for side in (1, -1):
            there = np.roll(rho, -side, axis)
            edge = [slice(None)] * 3
            edge[axis] = slice(-1, None) if side == 1 else slice(0, 1)
            there[tuple(edge)] = 0
            total = total + there * np.exp(-1j * side * slope[axis])
    return total


@nb.njit(cache=True, nogil=True)
def _order(rho, support, slope, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill `out` from arrays that are `REACH` wider on every side."""
    turn = np.empty((3, 2 * REACH + 1), np.complex128)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                if not support[i + REACH, j + REACH, k + REACH]:
                    continue
                for a in range(3):
                    for d in range(-REACH, REACH + 1):
                        turn[a, d + REACH] = np.exp(-1j * d * slope[a, i, j, k])
                near = far = 0j
                near_weight = far_weight = 0.0
                for a in range(2 * REACH + 1):
                    for b in range(2 * REACH + 1):
                        for c in range(2 * REACH + 1):
                            r2 = (a - REACH) ** 2 + (b - REACH) ** 2 + (c - REACH) ** 2
                            if r2 > (REACH + 0.5) ** 2 or not support[i + a, j + b, k + c]:
                                continue
                            value = rho[i + a, j + b, k + c]
                            turned = value * turn[0, a] * turn[1, b] * turn[2, c]
                            w = np.exp(-r2 / (2 * FAR * FAR))
                            far += w * turned
                            far_weight += w * abs(value)
                            if r2 <= 3:
                                w = np.exp(-r2 / (2 * NEAR * NEAR))
                                near += w * turned
                                near_weight += w
                if far_weight > 0:
                    out[i, j, k] = abs(near) / near_weight * abs(far) / far_weight


def label_grains(rho: Array, support: Array, *, merge: float = 0.75, smallest: float = 0.03) -> Array:
    """Number the grains of a crystal.

    Cores are where :func:`order` exceeds Otsu's threshold of its own histogram, or `merge` if that is
    lower; the deepest places of the cores seed a watershed of the order; neighbours whose boundary keeps
    more than `merge` of the order of a perfect grain become one, and so do those whose boundary is open over a quarter of it,
    as a seam that ends at a dislocation is; a grain too small goes to the neighbour it is least apart from.

    Parameters
    ----------
    rho : complex array, shape (z, y, x)
    support : bool array, same shape
    merge : float
        0.75 lies between true boundaries (0.06 to 0.62 in five simulated reconstructions at 1e7 photons,
        tilts of 0.3 degree) and false ones inside one grain (above 0.83 for strain of 5e-3 rms and a
        quarter of noise; down to 0.75 for 1e-2).
    smallest : float
        Of the volume of the support.

    Returns
    -------
    int16 array, shape (z, y, x)
        0 outside, 1 the largest grain, and so on. Pieces of the support that do not touch are not joined; those too
        small to be a grain and without a neighbour are 0.

    Notes
    -----
    What one reflection cannot show stays unseen: a grain outside its window is a hole, a twin that shares
    the reflection is the same grain unless its phase jumps.
    Source: Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979); watershed: Meyer, Signal Process. 38, 113 (1994).
    """
    support = np.asarray(support, dtype=bool)
    if not support.any():
        return np.zeros(support.shape, np.int16)
    map_ = order(rho, support)
    label = watershed(-ndi.gaussian_filter(map_, 0.6), _seeds(map_, support, merge), mask=support)
    return _without_specks(_merged(label, np.where(_on_core(rho, support), np.nan, map_), merge, smallest), smallest)


def _on_core(rho: Array, support: Array) -> Array:
    """Voxels at a corner of a phase residue: the core of a dislocation, where order is low without a boundary."""
    core = np.zeros(support.shape, bool)
    for axis, turned in enumerate(residues(rho, support) != 0):
        one, other = (np.eye(3, dtype=int)[(axis + n) % 3] for n in (1, 2))
        for corner in (0 * one, one, other, one + other):
            core |= np.roll(turned, corner, axis=(0, 1, 2))
    return core


def _seeds(map_: Array, support: Array, merge: float) -> Array:
    """Number the deepest places of the cores; what would be merged anyway is not cut up first."""
    inner = ndi.binary_erosion(np.pad(support, 1))[1:-1, 1:-1, 1:-1]
    values = map_[inner] if inner.any() else map_[support]
    core = support & (map_ > (min(threshold_otsu(values), merge) if np.ptp(values) > 0 else 0.0))
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(np.pad(core, 1))[1:-1, 1:-1, 1:-1], 1.0)
    top = core & (depth == ndi.maximum_filter(depth, 5))
    pieces, _ = ndi.label(support)
    without = support & ~np.isin(pieces, np.unique(pieces[top]))  # a piece of the support without a core is its own seed
    return ndi.label(top | without, np.ones((3, 3, 3)))[0]


def _merged(label: Array, map_: Array, merge: float, smallest: float) -> Array:
    """Join regions, the least apart first, until every boundary and every size counts."""
    label = label.copy()
    limit = smallest * np.count_nonzero(label)
    while True:
        apart = _seen_between(label, map_, merge)
        if not apart:
            return label
        sizes = np.bincount(label.ravel())
        (i, j), best = max(apart.items(), key=lambda item: item[1])
        if best <= merge:
            weak = {pair: value for pair, value in apart.items() if min(sizes[list(pair)]) < limit}
            if not weak:
                return label
            i, j = max(weak, key=weak.__getitem__)
        label[label == j] = i


def faces(label: Array) -> tuple[Array, Array]:
    """Pairs of voxels that touch across a boundary, smaller label first: labels (n, 2), indices (n, 2, 3)."""
    labels, indices = [], []
    for step in np.eye(3, dtype=int):
        low, high = (tuple(slice(None, -d) if d else slice(None) for d in step), tuple(slice(d, None) for d in step))
        here = np.argwhere((label[low] != label[high]) & (label[low] > 0) & (label[high] > 0))
        indices.append(np.stack([here, here + step], axis=1))
        labels.append(label[tuple(np.moveaxis(indices[-1], 2, 0))])
    both, places = np.concatenate(labels), np.concatenate(indices)
    turned = both[:, 0] > both[:, 1]
    places[turned] = places[turned, ::-1]
    return np.sort(both, axis=1), places


def _seen_between(label: Array, map_: Array, merge: float) -> dict[tuple[int, int], float]:
    """Order left on the boundary of every pair of neighbours: the median, or above `merge` if its best quarter is open.

    Faces where the order is NaN count only for a pair that has no others, and as none.
    """
    labels, indices = faces(label)
    left = np.min(map_[tuple(np.moveaxis(indices, 2, 0))], axis=1)
    pairs, which = np.unique(labels, axis=0, return_inverse=True)
    result = {}
    for n, (i, j) in enumerate(pairs):
        own = left[which.ravel() == n]
        own = own[np.isfinite(own)] if np.isfinite(own).any() else np.zeros(1)
        half, quarter = np.quantile(own, [0.5, 0.75])
        result[int(i), int(j)] = max(float(half), float(quarter) * merge / OPEN)
    return result


def _without_specks(label: Array, smallest: float) -> Array:
    """Number regions by size, those below the `smallest` part of all voxels not at all, unless there are no others."""
    sizes = np.bincount(label.ravel())[1:]
    large = np.flatnonzero(sizes >= smallest * sizes.sum()) + 1
    return _by_size(np.where(np.isin(label, large), label, 0) if large.size else label)


def _by_size(label: Array) -> Array:
    """Number 1, 2, ... from the largest region down."""
    names, sizes = np.unique(label[label > 0], return_counts=True)
    new = np.zeros(int(label.max()) + 1, np.int16)
    new[names[np.argsort(-sizes, kind="stable")]] = np.arange(1, len(names) + 1)
    return new[label]


def interior(label: Array) -> Array:
    """Voxels whose six neighbours carry their own label; grains without any keep all their voxels."""
    same = np.ones(label.shape, bool)
    padded = np.pad(label, 1)
    for axis in range(3):
        for side in (-1, 1):
            same &= np.roll(padded, side, axis)[1:-1, 1:-1, 1:-1] == label
    inner = same & (label > 0)
    return inner | ((label > 0) & ~np.isin(label, np.unique(label[inner])))


def region_means(values: Array, label: Array, weight: Array) -> Array:
    """Weighted mean of `values` (..., z, y, x) over the interior of grains 1, 2, ..., shape (..., grain).

    Examples
    --------
    >>> region_means(np.array([[[1.0, 3.0, 9.0]]]), np.array([[[1, 1, 2]]]), np.ones((1, 1, 3)))
    array([2., 9.])
    """
    inner = interior(label)
    numbers = np.arange(1, int(label.max()) + 1)
    return np.stack(
        [np.average(values[..., part], weights=weight[part], axis=-1) for part in (inner & (label == n) for n in numbers)], axis=-1
    )
