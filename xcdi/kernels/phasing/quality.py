"""How far to believe a reconstruction: its misfit against photon noise, the alarm of over-fitting, and its grade.

Everything here runs on the host, on the few objects that a run ends with, with the origin at index 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage as ndi
from scipy.special import gammaln, xlogy

from xcdi.backend import Array
from xcdi.kernels.phasing.alignment import overlaps
from xcdi.kernels.phasing.estimate import Measured, expected
from xcdi.kernels.phasing.likelihood import misfit

__all__ = [
    "Evidence",
    "Fit",
    "Grade",
    "agreement",
    "chi",
    "chi_noise",
    "extent",
    "fit",
    "judge",
    "noise_deviance",
]

GOOD = ("good", 0.965, 1.15, 1e-3)  # least agreement; most misfit over photon noise, or part of the photons unexplained
LIMITED = ("limited", 0.90, 1.20, 1.5e-3)
DIM = 0.08  # misfit of photon noise above which a wrong object is hidden in it
DOSE = 2.0  # misfit that a high dose may raise a right object to; a blur of one pixel had 2.5 at an overlap of 0.60
COMMON = (2 / 3, 1.3)  # part of the starts that found an object that is not fitted to the noise but limited, and its misfit
HALF = 0.5  # of all starts must then have found the object
FEW, MANY = 1e-4, 1e2  # counts expected between which the deviance of photon noise is summed


class Fit(NamedTuple):
    """Poisson deviance over that which photon noise alone gives on the same pixels: 1 at the truth.

    Attributes
    ----------
    fitted : float
        Of the pixels the object was fitted to.
    free : float
        Of those held out; NaN without any.
    """

    fitted: float
    free: float

    @property
    def overfit(self) -> float:
        """How much worse the free pixels are met than the fitted ones; 1 where no noise was fitted.

        Alarm above 1.3: a particle of four grains had 1.14 in its own support, 1.25 in one a quarter too large;
        objects of overlap 0.78 to 0.90 with the truth had 1.4 to 1.7.
        """
        return self.free / self.fitted


class Evidence(NamedTuple):
    """What a grade rests on.

    Attributes
    ----------
    agreement : float
        Mean overlap of all pairs of the independent full-resolution solutions kept; NaN for a single one.
    solutions : int
        How many those are.
    share : float
        Part of all starts that found the answer believed, at whatever resolution they ended.
    chi, noise : float
        :func:`chi` of the best solution, and its :func:`chi_noise`.
    """

    agreement: float
    solutions: int
    share: float
    chi: float
    noise: float

    @property
    def misfit(self) -> float:
        """Chi over that of photon noise."""
        return self.chi / self.noise if self.noise > 0 else float("inf")

    @property
    def unexplained(self) -> float:
        """Part of the photons that neither the object nor photon noise explains, whatever the dose."""
        return max(self.chi**2 - self.noise**2, 0.0)


class Grade(NamedTuple):
    """``"good"``, ``"limited"`` (maps, no statistics) or ``"unreliable"``, and `why` in words."""

    word: str
    why: str


def agreement(rhos: Array) -> float:
    """Return the mean overlap of all pairs of aligned objects (start, z, y, x); NaN for a single one.

    The misfit to the data hardly tells a nearly right solution from a wrong one, the scatter of starts does.
    """
    rows, columns = np.triu_indices(len(rhos), 1)
    return float(overlaps(rhos)[rows, columns].mean()) if len(rows) else float("nan")


def judge(evidence: Evidence) -> Grade:
    """Return how far to believe a reconstruction, and why.

    Notes
    -----
    An object is *good* where independent solutions agree (overlap 0.965) and nothing but photon noise is left of the data: chi
    within 1.15 of it, or unexplained less than 1e-3 of the photons, which is what a hard support edge
    leaves at high dose. It is *limited* where they agree to 0.90 and fit within 1.2, or 1.5e-3; also within
    1.3 where two thirds of all starts found it, as on measured data, in which more than photons vary: wrong
    objects were found by an eighth to a quarter of the starts. A single solution is unreliable: two of overlap
    0.80 and 0.82 fitted within 1.15. Few photons hide a wrong object from the misfit (noise above 0.08); then
    half of all starts must have found it.

    The thresholds were set on 35 simulated particles of nine cases, 1e6 to 1e8 photons, and then tightened on fifteen others phased by
    the default recipe: five easy ones of overlap 0.99 with the truth agreed to 0.986 or better at misfits of 1.09 to 1.13; one of
    0.88 to 0.93, depending on how long it was annealed, agreed to 0.950-0.961 at 1.07 to 1.09, and is limited. At 1e8
    photons objects of 0.997 had a misfit of 1.6, with 6e-4 unexplained; wrong ones leave 2e-3. Blurred data without a coherence
    model are unreliable.

    Examples
    --------
    >>> judge(Evidence(0.99, 3, 0.9, 0.058, 0.053)).word, judge(Evidence(0.95, 3, 1.0, 0.085, 0.058)).word
    ('good', 'unreliable')
    """
    unseen = evidence.noise > DIM and evidence.share < HALF
    for word, agreed, over, left in (GOOD, LIMITED):
        fits = evidence.misfit <= over or (evidence.unexplained <= left and evidence.misfit <= DOSE)
        if fits and not unseen and evidence.solutions > 1 and evidence.agreement >= agreed:
            return Grade(word, _told(evidence))
    common = evidence.share >= COMMON[0] and evidence.solutions > 1 and evidence.agreement >= LIMITED[1] and evidence.misfit <= COMMON[1]
    return Grade("limited" if common else "unreliable", _told(evidence))


def chi(rho: Array, measured: Measured) -> float:
    """Return the misfit of the expected amplitude of `rho` over the valid pixels; 0 is perfect."""
    modulus = np.sqrt(_mean(rho, measured))[measured.valid]
    seen = measured.amplitude[measured.valid]
    return float(np.linalg.norm(modulus - seen) / np.linalg.norm(seen))


def chi_noise(rho: Array, measured: Measured, rng: np.random.Generator) -> float:
    """Return the :func:`chi` that counting photons alone would give if `rho` were the truth.

    Its ratio to chi is a warning above 1.1, no grade: a hard support edge
    raises it for good objects at high counts.
    """
    mean = _mean(rho, measured)[measured.valid].astype(np.float64)
    counts = rng.poisson(mean)
    return float(np.linalg.norm(np.sqrt(mean) - np.sqrt(counts)) / np.sqrt(max(counts.sum(), 1)))


def fit(rho: Array, measured: Measured, held: Array | None = None) -> Fit:
    """Return how well `rho` meets the pixels it was fitted to, and those in `held` that it was not.

    Parameters
    ----------
    rho : complex array, shape (z, y, x)
    measured : Measured
    held : bool array, shape (z, y, x), optional
        Of :func:`xcdi.kernels.phasing.likelihood.held_out`; no step of the run may have seen them.
    """
    mean = _mean(rho, measured)
    held = np.zeros(mean.shape, bool) if held is None else held & measured.valid
    fitted, free = (_over_noise(mean, measured, where) for where in (measured.valid & ~held, held))
    return Fit(fitted, free)


def noise_deviance(mean: Array) -> np.ndarray:
    r"""Return what photon noise alone adds to the deviance of a pixel that expects `mean` counts.

    .. math:: \sum_n P(n \mid m) \left[m - n + n \ln(n / m)\right]

    Notes
    -----
    1/2 for many counts and :math:`-m \ln m` for few, with 0.58 near one count between them: a mean over a detector that is
    mostly dark says nothing until it is divided by this. Summed on a grid of `m` and interpolated; beyond 100 counts
    the series 1/2 + 1/(12 m).

    Examples
    --------
    >>> noise_deviance(np.array([1e-9, 1.0, 1e6])).round(3)
    array([0.   , 0.573, 0.5  ])
    """
    grid, n = np.geomspace(FEW, MANY, 97)[:, None], np.arange(300.0)
    chance = np.exp(xlogy(n, grid) - grid - gammaln(n + 1))
    table = np.sum(chance * (grid - n + xlogy(n, n / grid)), axis=1)
    m = np.asarray(mean, np.float64)
    between = np.exp(np.interp(np.log(np.clip(m, FEW, MANY)), np.log(grid[:, 0]), np.log(table)))
    return np.where(m < FEW, -xlogy(m, m), np.where(m > MANY, 0.5 + 1 / (12 * np.maximum(m, MANY)), between))


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


def _mean(rho: Array, measured: Measured) -> np.ndarray:
    """Counts expected of an object."""
    return np.asarray(expected(scipy.fft.fftn(rho), measured))


def _over_noise(mean: np.ndarray, measured: Measured, where: Array) -> float:
    if not where.any():
        return float("nan")
    return float(misfit(mean, measured, where) / noise_deviance(mean[where]).mean())


def _told(evidence: Evidence) -> str:
    """Say in words what the grade rests on."""
    n = evidence.solutions
    alike = f"{n} solutions agree to {evidence.agreement:.3f}" if n > 1 else "a single solution, with none to agree with"
    hidden = ", which photon noise would hide" if evidence.noise > DIM else ""
    return f"{alike}; misfit {evidence.misfit:.2f} times that of photon noise{hidden}; found by {evidence.share:.0%} of the starts"
