"""Policies: what a further round of a search begins from, by name; or that no further round is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels import fourier
from xcdi.kernels.phasing import alignment, moves, quality
from xcdi.kernels.phasing.estimate import Estimate, Measured, random_start
from xcdi.kernels.phasing.schedule import Step
from xcdi.kernels.phasing.starts import Spread, damp
from xcdi.stages.recipe import Recipe

__all__ = ["POLICIES", "Batch", "Ground", "Policy", "Population", "agreeing", "bred", "fittest", "fresh", "perturbed"]

ALIKE = 0.9  # least overlap with the best of a start that agrees with it
NEAR = 1.05  # times the best misfit that such a start may have
SMOOTH = 2.0  # voxels over which the phase noise of a branch is blurred: grains are turned, not torn
TURN = (0.3, 1.5)  # rad, range of the rms of that noise


class Ground(NamedTuple):
    """What every round stands on.

    Attributes
    ----------
    measured : Measured
        The data that are searched in, on the host.
    inside : bool array, shape (z, y, x)
        First support.
    peak : Spread
        Where those data lie.
    recipe : Recipe
        With nothing left open.
    """

    measured: Measured
    inside: Array
    peak: Spread
    recipe: Recipe

    def voxels(self) -> int:
        """Return the voxels of the first support."""
        return int(self.inside.sum())


class Batch(NamedTuple):
    """Starts of one round, and the steps that all of them take."""

    starts: list[Estimate]
    steps: list[Step]


class Population(NamedTuple):
    """Where starts ended, within their supports, and the misfit (start,) of each."""

    ends: list[Estimate]
    misfit: np.ndarray

    @classmethod
    def of(cls, ends: list[Estimate], measured: Measured) -> Population:
        """Judge `ends` by the data they were searched in."""
        return cls(ends, np.array([quality.chi(end.rho, measured) for end in ends]))

    def best(self) -> Estimate:
        """Return the end of least misfit."""
        return self.ends[int(self.misfit.argmin())]


Seeds = Sequence[np.random.SeedSequence]
Policy = Callable[[Population, Ground, Seeds], Batch | None]


def fresh(ground: Ground, seeds: Seeds) -> Batch:
    """Return random objects, one for each seed, and the whole search."""
    width = tuple(ground.recipe.damping[0] * w for w in ground.peak.width)
    first = damp(ground.measured, width, ground.peak.centre)
    starts = [random_start(first, ground.inside, np.random.default_rng(seed)) for seed in seeds]
    return Batch(starts, ground.recipe.searching(ground.peak, ground.voxels()))


def fittest(one: Population, other: Population, n: int) -> Population:
    """Return the `n` of both that fit best, best first; of equals, those of `one`."""
    misfit = np.concatenate([one.misfit, other.misfit])
    kept = np.argsort(misfit, kind="stable")[:n]
    ends = [*one.ends, *other.ends]
    return Population([ends[i] for i in kept], misfit[kept])


def agreeing(found: Population) -> int:
    """Return how many starts, the best among them, found what the best found: overlap 0.9, and misfit within 1.05 of its own.

    Notes
    -----
    Misfit first: an overlap costs an alignment.
    """
    near = np.flatnonzero(found.misfit <= NEAR * found.misfit.min())
    best = fourier.forward(found.best().rho)
    return sum(abs(alignment.pose(fourier.forward(found.ends[i].rho), best).value) >= ALIKE for i in near)


def bred(found: Population, *, threshold: float) -> list[Estimate]:
    r"""Return the children of every start and the best one.

    .. math:: \rho = \sqrt{|a|\,|b|}\; e^{i \arg(a + b)}

    with b the best start and a the other, laid upon it. What only one of them has is gone; what both have
    keeps its modulus, and the phase lies between theirs.

    Parameters
    ----------
    found : Population
    threshold : float
        Of the largest modulus of a: where, besides in the support of b, the child may be.

    Returns
    -------
    list of Estimate
        In the order of the starts, each with the energy of the best. The child of the best is the best.

    Notes
    -----
    Source: the guided hybrid input-output of Chen, Miao, Wang and Lee, Phys. Rev. B 76, 064113 (2007),
    doi 10.1103/PhysRevB.76.064113, with the phase of the sum where objects are complex. The children take after the best:
    that they agree with it is no evidence that it is right.

    Examples
    --------
    >>> one = Estimate(np.array([[[2, 1j, 0, 0]]], np.complex64), np.array([[[True, True, False, False]]]))
    >>> (child,) = bred(Population([one], np.array([0.1])), threshold=0.1)
    >>> bool(np.allclose(child.rho, one.rho, atol=1e-6))
    True
    """
    best = found.best()
    return [best if end is best else _child(end, best, threshold) for end in found.ends]


def perturbed(parent: Estimate, rng: np.random.Generator) -> Estimate:
    """Return `parent` with random phases: noise smooth over a few voxels, of 0.3 to 1.5 rad rms.

    The modulus and the support stay; parts of the object are turned against each other, which is what starts that failed got wrong.
    """
    noise = moves.blur(rng.standard_normal(parent.rho.shape), SMOOTH)
    turn = rng.uniform(*TURN) * noise / noise.std()
    return replace(parent, rho=(parent.rho * np.exp(1j * turn)).astype(parent.rho.dtype), residual=float("nan"))


def independent(found: Population, ground: Ground, seeds: Seeds) -> None:
    """Do no further round: every start stands for itself."""


def greedy(found: Population, ground: Ground, seeds: Seeds) -> Batch | None:
    """Begin as many random objects again, unless enough starts agree with the best."""
    enough = min(ground.recipe.agree, len(found.ends))
    return None if agreeing(found) >= enough else fresh(ground, seeds)


def evolutionary(found: Population, ground: Ground, seeds: Seeds) -> Batch | None:
    """Breed every start with the best, and take the last legs of the search again, unless all agree."""
    if agreeing(found) == len(found.ends):
        return None
    return Batch(bred(found, threshold=ground.recipe.shrink_threshold), _last_legs(ground))


def tree(found: Population, ground: Ground, seeds: Seeds) -> Batch | None:
    """Branch the best starts, and take the last legs of the search again, unless all agree."""
    if agreeing(found) == len(found.ends):
        return None
    order = np.argsort(found.misfit, kind="stable")
    parents = [found.ends[order[i // ground.recipe.branches]] for i in range(len(seeds))]
    children = [perturbed(parent, np.random.default_rng(seed)) for parent, seed in zip(parents, seeds, strict=True)]
    return Batch(children, _last_legs(ground))


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {"independent": independent, "greedy": greedy, "evolutionary": evolutionary, "tree": tree}
)


def _last_legs(ground: Ground) -> list[Step]:
    return ground.recipe.searching_again(ground.peak, ground.voxels())


def _child(one: Estimate, best: Estimate, threshold: float) -> Estimate:
    a, b = alignment.align(one.rho, best.rho), best.rho
    rho = np.sqrt(np.abs(a) * np.abs(b)) * np.exp(1j * np.angle(a + b))
    norm = np.linalg.norm(rho)
    rho = rho * (np.linalg.norm(b) / norm) if norm > 0 else b
    return Estimate(rho.astype(b.dtype), best.support | (np.abs(a) > threshold * np.abs(a).max()))
