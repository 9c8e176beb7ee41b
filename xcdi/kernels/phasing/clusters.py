"""Clusters: which starts of a run found the same object, and which of the objects found to believe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from xcdi.backend import Array

__all__ = ["Modes", "believed", "cluster", "gap", "modes", "solved"]

RATIO = 1.1  # least step between the misfits of solved and failed starts
CLEAR = 3.0  # times the typical step between neighbours that it has to be
SAME = 1.02  # misfits within this factor tell nothing; then the larger cluster is believed


class Modes(NamedTuple):
    """Orthogonal modes of several objects: `weight` (mode) sums to 1, `rho` (mode, z, y, x)."""

    weight: np.ndarray
    rho: np.ndarray


def cluster(overlaps: Array, *, alike: float) -> np.ndarray:
    """Return which starts found the same object.

    Parameters
    ----------
    overlaps : array, shape (start, start)
        Of the objects, each pair aligned: :func:`xcdi.kernels.phasing.alignment.pairwise`.
    alike : float
        Least mean overlap of two groups that are one answer.

    Returns
    -------
    int array, shape (start,)
        Number of its answer, from 0; numbers fall with size, then with the first start.

    Notes
    -----
    Average linkage. Single linkage chains: starts that fail half way lie between two answers and join
    them. Complete linkage lets one noisy start split an answer, and the noise of every start lowers all
    overlaps alike. Source: Sokal and Michener, Univ. Kansas Sci. Bull. 38, 1409 (1958).

    Examples
    --------
    >>> cluster(np.array([[1, 0.3, 0.4], [0.3, 1, 0.9], [0.4, 0.9, 1]]), alike=0.8)
    array([1, 0, 0])
    """
    n = len(overlaps)
    if n < 2:
        return np.zeros(n, int)
    apart = np.clip(1 - np.asarray(overlaps, float), 0, None)
    tree = linkage(squareform((apart + apart.T) / 2 * (1 - np.eye(n)), checks=False), "average")
    return _numbered(fcluster(tree, 1 - alike, "distance"))


def believed(labels: Array, residuals: Array) -> int:
    """Return the answer to believe: the largest of those whose best misfit equals the least within 2 %.

    Parameters
    ----------
    labels : int array, shape (start,)
        Of :func:`cluster`.
    residuals : float array, shape (start,)

    Examples
    --------
    >>> believed(np.array([0, 0, 1, 2]), np.array([0.051, 0.052, 0.050, 0.09])), believed(np.array([0, 0, 1]), np.array([0.07, 0.07, 0.05]))
    (0, 1)
    """
    labels, residuals = np.asarray(labels), np.asarray(residuals, float)
    best = {int(label): residuals[labels == label].min() for label in np.unique(labels)}
    near = [label for label, least in best.items() if least <= SAME * min(best.values())]
    return max(near, key=lambda label: (np.count_nonzero(labels == label), -best[label]))


def gap(residuals: Array) -> float:
    """Return the misfit that parts starts that got there from those that did not; infinite if nothing parts them.

    Parameters
    ----------
    residuals : float array, shape (start,)

    Notes
    -----
    The first step between neighbours in order of misfit that is a ratio of at least 1.1, and three times (in its
    logarithm) the median step below it. Starts that solved lie within a few per cent of one another, since what is
    left is photon noise; the first step parts them, not the largest, because failures differ more among each other.
    Without such a step all solved, or none did.

    Examples
    --------
    >>> float(round(gap(np.array([0.050, 0.051, 0.0515, 0.08, 0.11])), 4)), gap(np.array([0.050, 0.051, 0.052]))
    (0.0642, inf)
    """
    ordered = np.log(np.sort(np.asarray(residuals, float)))
    steps = np.diff(ordered)
    for k, step in enumerate(steps):
        if step >= max(np.log(RATIO), CLEAR * float(np.median(steps[:k])) if k else 0.0):
            return float(np.exp((ordered[k] + ordered[k + 1]) / 2))
    return float("inf")


def solved(residuals: Array) -> np.ndarray:
    """Return which starts lie below the :func:`gap` of those that are finite, bool (start,).

    Examples
    --------
    >>> solved(np.array([0.05, np.inf, 0.051, np.inf])).tolist()
    [True, False, True, False]
    """
    residuals = np.asarray(residuals, float)
    return np.asarray(residuals < gap(residuals[np.isfinite(residuals)]))


def modes(rhos: Array) -> Modes:
    r"""Return the orthogonal modes of aligned objects (start, z, y, x), strongest first.

    The first mode is a better mean than the mean, its weight another measure of agreement.

    Notes
    -----
    From the eigenvectors of the (start, start) matrix of inner products, which costs start\ :sup:`2` passes instead of a
    decomposition of the objects. A mode without weight is zero.
    Source: Favre-Nicolin, Leake and Chushkin, Sci. Rep. 10, 2664 (2020), doi 10.1038/s41598-020-57561-2.
    """
    flat = np.asarray(rhos).reshape(len(rhos), -1)
    gram = np.asarray(flat @ flat.conj().T, np.complex128)
    power, vectors = np.linalg.eigh((gram + gram.conj().T) / 2)
    power, vectors = np.maximum(power[::-1], 0), vectors[:, ::-1]
    rows = vectors.conj().T.astype(flat.dtype) @ flat / np.sqrt(len(flat)).astype(flat.real.dtype)
    return Modes(power / power.sum(), rows.reshape(np.shape(rhos)))


def _numbered(names: np.ndarray) -> np.ndarray:
    """Number groups from 0 by falling size, then by their first member."""
    _, first, which, sizes = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    return np.asarray(np.argsort(order)[which])
