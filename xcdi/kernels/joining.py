"""Objects phased from several reflections of one crystal, laid upon each other: by amplitude, and by hand.

Their phases differ, as each sees another component of the displacement; their amplitudes do not. An object and its twin,
turned inside out and conjugated, have the same data, and a crystal with a centre of symmetry has the same amplitude either
way. Four reflections tell by their phases: the G of any four are linearly dependent, and so are their phases. Where three of them
lie in one plane that says nothing of the fourth.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from skimage.registration import phase_cross_correlation

from xcdi.backend import Array
from xcdi.kernels import registration
from xcdi.kernels.phasing.alignment import overlap

__all__ = ["UNLIKE", "Hands", "choose_hands", "shift_onto", "stated_hands"]

UNLIKE = 0.7  # of the residual of the next best hands, below which those that are chosen are certain
ROUNDING = 1e-12  # of all squares, below which a residual is that of the arithmetic
FINER = 50  # parts of a voxel to which a shift is found


class Hands(NamedTuple):
    """Which objects are turned inside out, and what that rests on.

    Attributes
    ----------
    twin : bool array, shape (n,)
        The first is never turned: all of them together may be.
    by : str
        ``"amplitude"``, ``"phase"``, ``"user"``, or ``"guess"``, where either hand of some fits.
    ratio : float
        Residual of the phases over that of the next best choice; NaN where phases were not asked.
    undecided : bool array, shape (n,)
        Which of them fit the first either way.
    denied : bool
        The user states what amplitude or phases speak against.
    """

    twin: Array
    by: str
    ratio: float
    undecided: Array
    denied: bool = False


def shift_onto(amplitude: Array, reference: Array) -> tuple[Array, float]:
    """Voxels (3,) to move `amplitude` by so that it lies upon `reference`, and their overlap then, 1 at most.

    Source: Guizar-Sicairos, Thurman and Fienup, Opt. Lett. 33, 156 (2008), doi 10.1364/OL.33.000156.

    Examples
    --------
    >>> z, y, x = np.meshgrid(*3 * [np.arange(12.0) - 6], indexing="ij")
    >>> shift, alike = shift_onto(np.exp(-(z**2 + y**2 + (x - 1.5) ** 2) / 4), np.exp(-(z**2 + y**2 + x**2) / 4))
    >>> (shift + 0.0).round(1).tolist(), round(alike, 2)
    ([0.0, 0.0, -1.5], 1.0)
    """
    shift, _, _ = phase_cross_correlation(reference, amplitude, upsample_factor=FINER, normalization=None)
    return np.asarray(shift, dtype=float), overlap(reference, registration.moved(amplitude, shift).real)


def choose_hands(likeness: Array, g: Array, gradients: Array, weight: Array) -> Hands:
    r"""Choose for each of several objects whether it or its twin belongs to the first.

    Parameters
    ----------
    likeness : array, shape (n, 2)
        Overlap of the amplitude with the first one's, as it is and turned inside out.
    g : array, shape (n, 3)
        Reciprocal lattice vectors.
    gradients : array, shape (n, 2, 3, ...)
        Phase gradients as they are and turned, laid upon the first, without their means.
    weight : array, shape (...)
        Of the voxels.

    Returns
    -------
    Hands

    Notes
    -----
    Where the amplitudes differ by :data:`xcdi.kernels.registration.AMBIGUOUS` they decide. The rest is chosen together by what of the
    gradients no distortion explains: :math:`\min \sum |(1 - G G^+)\nabla\phi|^2` over all choices. One is undecided where the best
    choice that turns it over leaves nearly as little.
    """
    likeness, g = np.asarray(likeness, dtype=float), np.asarray(g, dtype=float)
    clear = np.abs(likeness[:, 0] - likeness[:, 1]) >= registration.AMBIGUOUS
    clear[0] = True
    guess = likeness[:, 1] > likeness[:, 0]
    guess[0] = False
    if clear.all():
        return Hands(guess, "amplitude", float("nan"), ~clear)
    if len(g) <= np.linalg.matrix_rank(g):
        return Hands(guess, "guess", float("nan"), ~clear)
    choices = np.array(
        [np.array(hands) for hands in product(*((own,) if sure else (False, True) for own, sure in zip(guess, clear, strict=True)))]
    )
    left = _residuals(choices, g, gradients, weight)
    best = int(left.argmin())
    turned = [left[choices[:, k] != choices[best, k]].min(initial=np.inf) for k in range(len(g))]  # what is clear is never turned
    ratios = np.array([_ratio(left[best], other) for other in turned])
    undecided = ratios >= UNLIKE
    return Hands(choices[best], "guess" if undecided.any() else "phase", float(ratios.max()), undecided)


def stated_hands(twins: Array, likeness: Array, g: Array, gradients: Array, weight: Array) -> Hands:
    """Hands that the user states, and what amplitude and phases say of them; arrays as in :func:`choose_hands`."""
    found = choose_hands(likeness, g, gradients, weight)
    twins = np.asarray(twins, dtype=bool)
    denied = bool(((twins != found.twin) & ~found.undecided).any())
    if found.by != "amplitude" and len(g) > np.linalg.matrix_rank(g):  # they may be undecided against the first, and not among themselves
        denied = denied or _ratio(*_residuals(np.array([found.twin, twins]), np.asarray(g, dtype=float), gradients, weight)) < UNLIKE
    return found._replace(twin=twins, by="user", denied=denied)


def _ratio(best: float, other: float) -> float:
    """Root of a residual over another, 1 where both are nothing."""
    return float(np.sqrt(best / other)) if other > 0 else 1.0


def _residuals(choices: Array, g: Array, gradients: Array, weight: Array) -> Array:
    """Weighed squares of the gradients that no distortion explains, for every choice of hands; what only rounding leaves is nothing."""
    n = len(g)
    unit = g / np.linalg.norm(g, axis=1, keepdims=True)
    outside = np.eye(n) - unit @ np.linalg.pinv(unit)
    flat = np.asarray(gradients).reshape(2 * n, -1) / np.repeat(np.linalg.norm(g, axis=1), 2)[:, None]
    gram = (flat * np.tile(np.ravel(weight), 3)) @ flat.T
    chosen = (2 * np.arange(n) + hands.astype(int) for hands in choices)
    left = np.array([float((outside * gram[np.ix_(rows, rows)]).sum()) for rows in chosen])
    return np.where(left > ROUNDING * np.trace(gram), left, 0.0)
