"""Solutions: which ends of phase retrieval to believe, how far, and the labelled object they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import fourier
from xcdi.kernels.geometry import voxel_basis
from xcdi.kernels.phasing import alignment, clusters, moves, quality, resolution, uncertainty
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.placing import Placing, place, placing
from xcdi.schema import LAB
from xcdi.stages.searching import Found, Machine, anneal

__all__ = ["Choice", "choose", "labelled"]

WORSE = 1.1  # times the best misfit that a solution may have and still be averaged
ALIKE = 0.9  # least overlap with the best of a solution that is averaged with it
SAME = 0.8  # least mean overlap of two groups of starts that found one object
BRED = ("evolutionary", "tree")  # policies whose starts are children of each other
EDGE = 0.4  # of the 90th percentile of the amplitude: where the crystal ends


class Choice(NamedTuple):
    """Which solutions to believe.

    Attributes
    ----------
    rhos : complex array, shape (solution, z, y, x)
        Those averaged, aligned with the best, which comes first.
    residual : float array, shape (start,)
        Misfit of every start that was carried on, NaN of the others.
    overlap : float array, shape (start, start)
        Of every pair of starts, aligned, where all of them ended at the same resolution.
    cluster : int array, shape (start,)
        Which answer a start found.
    kept : bool array, shape (start,)
        It found the answer that is believed.
    chi, noise : float
        Misfit of the best, and what photon noise alone would leave.
    kin : bool
        The starts were bred from each other, so that they agree even where they are wrong.
    """

    rhos: Array
    residual: Array
    overlap: Array
    cluster: Array
    kept: Array
    chi: float
    noise: float
    kin: bool = False

    def grade(self) -> quality.Grade:
        """Return how far to believe the mean; kin is limited at best."""
        agreement = quality.agreement(self.rhos)
        told = quality.judge(quality.Evidence(agreement, len(self.rhos), float(self.kept.mean()), self.chi, self.noise))
        return quality.Grade("limited", f"{told.why}; they were bred from each other") if self.kin and told.word == "good" else told


def choose(found: Found) -> Choice:
    """Average the solutions that fit nearly as well as the best and look like it; say which starts found it.

    Raises
    ------
    XcdiError
        If every start ended with a support of more than half of the array, or none.
    """
    chi = np.array([quality.chi(end.rho, found.measured) for end in found.ends])
    sizes = np.array([end.support.sum() for end in found.ends])
    sane = (sizes <= 2 * np.median(sizes)) & (sizes <= found.measured.valid.size / 2) & (sizes > 0)
    if not sane.any():
        raise XcdiError("every start ended with a support of more than half of the array, or none; take finer steps or a larger distance")
    best = int(np.where(sane, chi, np.inf).argmin())
    fits = np.flatnonzero(sane & (chi <= WORSE * chi[best]) & clusters.solved(np.where(sane, chi, np.inf)))
    fits = fits[np.argsort(chi[fits], kind="stable")]
    aligned = alignment.align(np.stack([found.ends[i].rho for i in fits]), found.ends[best].rho)
    like = np.array([alignment.overlap(rho, found.ends[best].rho) >= ALIKE for rho in aligned])
    residual = np.full(len(found.searched), np.nan)
    residual[found.carried] = chi
    overlap, cluster, kept = _starts(found, int(found.carried[best]))
    noise = quality.chi_noise(found.ends[best].rho, found.measured, np.random.default_rng(0))
    return Choice(aligned[like], residual, overlap, cluster, kept, float(chi[best]), noise, found.recipe.policy in BRED)


def labelled(peak: xr.Dataset, measured: Measured, held: Array, found: Found, choice: Choice, *, seed: int, machine: Machine) -> xr.Dataset:
    """Put the mean of the solutions in its place, with its errors, and label it: OBJECT.

    Parameters
    ----------
    peak : PEAK
    measured : Measured
        With the pixels of `held` valid.
    held : bool array, shape (z, y, x)
        Pixels that no start was fitted to.
    found, choice
        Of :func:`xcdi.stages.searching.search` and :func:`choose`.
    seed : int
        Of the halves of the photons.
    """
    mean = choice.rhos.mean(axis=0)
    how = placing(mean)
    made = {
        **_placed(choice, mean, how),
        **_errors(choice, mean, how, found, seed=seed, machine=machine),
        **_of_starts(choice, found),
        **_resolved(peak.q_basis.to_numpy(), measured, choice),
        "voxel_basis": (("axis", "index"), voxel_basis(peak.q_basis.to_numpy(), mean.shape), {"units": "nm"}),
        "q_basis": peak.q_basis,
        "q_peak": peak.q_peak,
    }
    named = xr.Dataset(made, attrs=peak.attrs)
    return named.assign_attrs(**_told(choice, how, found, measured, held), ramp=_ramp(peak.q_basis.to_numpy(), how, mean.shape))


def _starts(found: Found, best: int) -> tuple[Array, Array, Array]:
    """Overlap of every pair of starts, the answer each found, and whether it is that of start `best`."""
    every = len(found.carried) == len(found.searched)
    ends = [found.ends[i] for i in np.argsort(found.carried)] if every else found.searched
    overlap = alignment.pairwise(np.stack([np.where(end.support, end.rho, 0) for end in ends]))
    cluster = clusters.cluster(overlap, alike=ALIKE if every else SAME)
    return overlap, cluster, cluster == cluster[best]


def _placed(choice: Choice, mean: Array, how: Placing) -> dict[str, Any]:
    """The mean, where it is, the solutions, and their scatter."""
    rho, rhos = place(mean, how), np.stack([place(rho, how) for rho in choice.rhos])
    spread = np.sqrt(np.sum(np.abs(rhos - rho) ** 2, axis=0) / max(len(rhos) - 1, 1))
    return {
        "rho": (LAB, rho, {"units": "1"}),
        "support": (LAB, quality.extent(rho, edge=EDGE), {"units": ""}),
        "rho_error": (LAB, spread.astype(np.float32), {"units": "1"}),
        "solutions": (("solution", *LAB), rhos, {"units": "1"}),
    }


def _errors(choice: Choice, mean: Array, how: Placing, found: Found, *, seed: int, machine: Machine) -> dict[str, Any]:
    """Standard errors of the mean; none of a single solution, which nothing can be compared with."""
    if len(choice.rhos) < 2:
        return {}
    inside = quality.extent(mean, edge=EDGE)
    near = moves.grow(Estimate(mean.astype(np.complex64), inside), found.measured, voxels=2)

    def refit(half: Measured, _: int) -> Array:
        return anneal(near, half, found.recipe, machine)

    photons = uncertainty.of_photons(mean, found.measured, inside, refit, seed=seed)
    errors = uncertainty.standard_errors(choice.rhos, inside, photons)
    still = how._replace(gradient=(0.0, 0.0, 0.0))
    placed = {"amplitude_error": (errors.amplitude, "1"), "phase_error": (errors.phase, "rad")}
    return {name: (LAB, np.real(place(error.astype(np.complex64), still)), {"units": unit}) for name, (error, unit) in placed.items()}


def _of_starts(choice: Choice, found: Found) -> dict[str, Any]:
    """What is known of every start."""
    return {
        "residual": ("start", choice.residual, {"units": "1"}),
        "search_residual": ("start", found.misfit, {"units": "1"}),
        "kept": ("start", choice.kept, {"units": ""}),
        "cluster": ("start", choice.cluster, {"units": ""}),
        "overlap": (("start", "start2"), choice.overlap, {"units": "1"}),
    }


def _resolved(steps: Array, measured: Measured, choice: Choice) -> dict[str, Any]:
    """The transfer function in shells and along x, y, z of the laboratory, and the resolution it gives along each."""
    q = np.stack([fourier.uncentre(part) for part in _q(steps, measured.valid.shape)])
    curve = resolution.prtf(choice.rhos, measured, np.linalg.norm(q, axis=0))
    along = resolution.directed(resolution.transfer(choice.rhos), measured, q)
    limits = [resolution.resolution(one, np.pi / one.q[-1]) for one in along]
    values = [np.interp(curve.q, one.q, one.value, right=np.nan) for one in along]
    return {
        "q": ("q", curve.q, {"units": "1/nm"}),
        "direction": ("direction", ["x", "y", "z"]),
        "prtf": ("q", curve.value, {"units": "1"}),
        "prtf_axis": (("direction", "q"), np.stack(values), {"units": "1"}),
        "resolution_nm": ("direction", np.array(limits), {"units": "nm"}),
    }


def _told(choice: Choice, how: Placing, found: Found, measured: Measured, held: Array) -> dict[str, Any]:
    """The numbers that go with the object, as attributes."""
    grade, seen = choice.grade(), found.measured
    fit = quality.fit(choice.rhos[0], replace(measured, coherence=seen.coherence, background=seen.background), held)
    twin = "inverted conjugate" if how.inverted else "as it came"
    return {
        "grade": grade.word,
        "grade_why": grade.why,
        "agreement": quality.agreement(choice.rhos),
        "n_good": int(choice.kept.sum()),
        "residual": choice.chi,
        "residual_noise": choice.noise,
        "fitted_deviance": fit.fitted,
        "free_deviance": fit.free,
        "overfit": fit.overfit,
        "coherence": found.coherence,
        "memory": found.plan,
        "twin": f"unknown from one reflection; {twin}, by the {how.rule} ({how.margin:.3f})",
    }


def _ramp(steps: Array, how: Placing, shape: tuple[int, ...]) -> list[float]:
    """Phase gradient that was taken out, as a wave vector along x, y, z [1/nm]."""
    ramp: list[float] = (steps @ (np.array(how.gradient) * shape / (2 * np.pi))).tolist()
    return ramp


def _q(steps: Array, shape: tuple[int, ...]) -> Array:
    """Wave vector of every pixel from the middle of the box, (axis, z, y, x) [1/nm]."""
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    return np.tensordot(steps, index, axes=1)
