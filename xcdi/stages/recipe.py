"""How a crystal is phased, as settings; and the steps that they and a first look at the data make."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from xcdi.errors import XcdiError
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.estimate import Move
from xcdi.kernels.phasing.lowres import coarse
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Guard, Redraw, Step
from xcdi.kernels.phasing.starts import Spread
from xcdi.resolve import resolve
from xcdi.settings import Model

__all__ = ["Look", "Recipe"]

Moves = tuple[tuple[str, PositiveInt], ...]
Coherence = Literal["auto", "off", "gaussian", "lorentzian", "pseudo_voigt"]
Policy = Literal["independent", "greedy", "evolutionary", "tree"]
FEEDBACK = ("hio", "hpr", "raar", "rrr", "difference_map")
ALL = (math.inf, math.inf, math.inf)  # data as they are
FINE = 2.5  # widths of the peak from which a search is taken up again
ROUNDS = 3  # of a policy that has rounds


class Look(NamedTuple):
    """What a first look at the data tells: their `shape`, where the peak is, and the voxels `across` the object, along z, y, x."""

    shape: tuple[int, int, int]
    peak: Spread
    across: tuple[int, int, int]


class Recipe(Model):
    """How a crystal is phased: a search by many starts, the best refined and annealed, and their mean.

    What is not set is chosen from the data. Where the peak is narrow and the object many voxels wide, the search
    runs at low resolution: more starts, shorter legs, and only the best go on at full resolution. Otherwise every start goes on.
    """

    starts: PositiveInt | None = Field(default=None, description="random objects to begin from; not set: 12 at low resolution, else 8")
    finalists: PositiveInt | None = Field(
        default=None, description="best starts to refine; not set: after low resolution 3 where those are alike, else all"
    )
    policy: Policy = Field(default="independent", description="what further rounds begin from: random objects (greedy), children, branches")
    rounds: PositiveInt | None = Field(default=None, description="rounds of so many starts, at most; not set: 3, of independent starts 1")
    agree: PositiveInt = Field(default=3, description="starts that agree with the best one, at which greedy has enough")
    branches: PositiveInt = Field(default=4, description="children of each of the best starts, in a tree")
    low_resolution: bool | None = Field(default=None, description="search in cropped data; not set: where it costs a quarter or less")
    support_threshold: float = Field(default=0.004, gt=0, lt=1, description="of the autocorrelation's maximum: extent of the first support")
    damping: tuple[PositiveFloat, ...] = Field(
        default=(1.0, 1.5, 2.5, 4.0), min_length=1, description="leg by leg, width of the Gaussian that damps the data [widths of the peak]"
    )
    search: Moves | None = Field(default=None, description="moves of every leg; not set: hio, 60 at low resolution, else 150")
    refine: Moves | None = Field(default=None, description="moves against the whole data; not set: hio, 60 after low resolution, else 300")
    beta: float | None = Field(default=None, gt=0, le=2, description="feedback of hio, rrr, difference_map there; not set: each move's own")
    shrink: str = Field(default="shrink_wrap", description="move that redraws the support: shrink_wrap, ..._rms or ..._volume")
    shrink_every: PositiveInt = Field(default=10, description="iterations between two supports, from the second leg on")
    shrink_sigma: tuple[PositiveFloat, PositiveFloat] = Field(default=(2.5, 1.0), description="blur at first and at last [voxels]")
    shrink_threshold: float = Field(default=0.15, gt=0, lt=1, description="of the largest blurred modulus, or as the move has it")
    shrink_floor: float = Field(default=0.04, ge=0, lt=1, description="of the first support: a smaller one is not taken")
    anneal: tuple[PositiveFloat, ...] = Field(default=(0.95, 0.9, 0.8, 0.7, 0.6, 0.5), description="falling feedback of raar at the end")
    anneal_length: PositiveInt | None = Field(default=None, description="iterations of each; not set: 25 after low resolution, else 200")
    anneal_threshold: float = Field(default=0.10, gt=0, lt=1, description="of the largest blurred modulus: support while annealing")
    worse: float = Field(default=1.1, gt=1, description="growth of the misfit at which a support is undone")
    average: PositiveInt = Field(default=6, description="times that 8 raar and 2 error_reduction are done at last, to take the mean")
    coherence: Coherence = Field(default="auto", description="model of partial coherence; auto: gaussian, if unseen pixels ask for it; off")
    background: float | None = Field(default=None, ge=0, description="counts per pixel besides the crystal's; not set: from the dim pixels")
    held_out: float = Field(default=0.01, ge=0, lt=0.5, description="share of pixels that are not fitted, to judge by")

    @field_validator("search", "refine")
    @classmethod
    def _known(cls, steps: Moves | None) -> Moves | None:
        for name, _ in steps or ():
            resolve(name, moves)  # a typo is reported before any frame is read
        return steps

    @field_validator("shrink")
    @classmethod
    def _redraws(cls, name: str) -> str:
        resolve(name, moves)  # of a typo it says what was meant
        if name not in moves.__all__ or not name.startswith("shrink_wrap"):
            raise XcdiError(f"{name!r} cannot be used to redraw supports; choose shrink_wrap, shrink_wrap_rms or shrink_wrap_volume")
        return name

    @model_validator(mode="after")
    def _has_rounds(self) -> Recipe:
        if self.policy == "independent" and (self.rounds or 1) > 1:
            raise XcdiError(f"rounds is {self.rounds}, but independent starts have one round; set policy to greedy, evolutionary or tree")
        return self

    @model_validator(mode="after")
    def _judged(self) -> Recipe:
        if self.coherence not in ("auto", "off") and self.held_out == 0:
            raise XcdiError(
                f"coherence = {self.coherence!r} is judged by pixels held out, but held_out = 0; set it to 0.01, or coherence to 'off'"
            )
        return self

    def chosen(self, look: Look) -> Recipe:
        """Return the recipe with nothing left open, for data that look like that.

        Notes
        -----
        Starts that found the object, of 12: 9 to 12 for five strained or polycrystalline objects at low resolution. At full
        resolution, of 8: 5 to 8 for particles of four grains tilted by 0.3 to 0.6 degrees. In a crop of half the data
        along an axis on which the peak is wide, those particles were found by none.
        """
        low = coarse(*look) != look.shape if self.low_resolution is None else self.low_resolution
        starts = self.starts or (12 if low else 8)
        return self.model_copy(
            update={
                "low_resolution": low,
                "starts": starts,
                "rounds": self.rounds or (1 if self.policy == "independent" else ROUNDS),
                "finalists": min(self.finalists or (3 if low else starts), starts),
                "search": self.search or (("hio", 60 if low else 150),),
                "refine": self.refine or (("hio", 60 if low else 300),),
                "anneal_length": self.anneal_length or (25 if low else 200),
            }
        )

    def shape(self, look: Look) -> tuple[int, ...]:
        """Return the shape of the data that the search runs on."""
        return coarse(*look, worth=1.0) if self.low_resolution else look.shape

    def searching(self, peak: Spread, voxels: int) -> list[Step]:
        """Return the steps of the search, against data whose `peak` lies there, from a support of that many voxels."""
        floor = int(self.shrink_floor * voxels)
        legs = [(Damp(_scaled(peak.width, factor), peak.centre), self._advances(self.search)) for factor in self.damping]
        steps: list[Step] = [legs[0][0], *legs[0][1]]
        total, done = sum(step.n for _, leg in legs[1:] for step in leg), 0
        for damped, leg in legs[1:]:
            steps.append(damped)
            for step in leg:
                steps += self._shrinking(step, done / total, step.n / total, self.shrink_sigma, floor)
                done += step.n
        return [*steps, Damp(ALL), Advance("error_reduction", 15)]

    def searching_again(self, peak: Spread, voxels: int) -> list[Step]:
        """Return the steps of the search from the first leg of damping 2.5 on, else the last: for objects not random any more."""
        steps = self.searching(peak, voxels)
        legs = [i for i, step in enumerate(steps) if isinstance(step, Damp)]
        return steps[legs[next((k for k, factor in enumerate(self.damping) if factor >= FINE), len(self.damping) - 1)] :]

    def refining(self, voxels: int) -> list[Step]:
        """Return the steps against the whole data, from a support of that many voxels."""
        floor, (_, last) = int(0.4 * voxels), self.shrink_sigma
        leg = self._advances(self.refine)
        total, done, steps = sum(step.n for step in leg), 0, list[Step]()
        for step in leg:
            steps += self._shrinking(step, done / total, step.n / total, (1.5 * last, last), floor)
            done += step.n
        return steps + self.annealing(floor)

    def annealing(self, floor: int = 0) -> list[Step]:
        """Return raar with falling feedback, its supports, and the mean that a run ends at.

        Notes
        -----
        Hio leaves the answer again: begun at the true object it ends at an overlap of 0.954 with it. Annealing takes single
        solutions from there to 0.98-0.99.
        """
        length, steps = self.anneal_length or 200, list[Step]()
        for beta in self.anneal:
            for part in _parts(length, 25):
                steps += [Advance("raar", part, beta), Redraw("shrink_wrap", self.shrink_sigma[1], self.anneal_threshold, floor)]
            steps.append(Guard(self.worse))
        last = Advance("raar", 8, self.anneal[-1] if self.anneal else 0.6)
        return [*steps, Advance("error_reduction", 10), Average((last, Advance("error_reduction", 2)), self.average)]

    def _advances(self, steps: Moves | None) -> list[Advance]:
        return [Advance(_move(name), n, self.beta if name in FEEDBACK else None) for name, n in steps or ()]

    def _shrinking(self, step: Advance, begin: float, share: float, sigmas: tuple[float, float], floor: int) -> list[Step]:
        """Cut `step` where the support is redrawn, with the blur of that part of the way."""
        out, done = list[Step](), 0
        for part in _parts(step.n, self.shrink_every):
            done += part
            way = begin + share * done / step.n
            out += [
                step._replace(n=part),
                Redraw(self.shrink, sigmas[0] + (sigmas[1] - sigmas[0]) * min(1.0, way), self.shrink_threshold, floor),
            ]
        return out


def _parts(n: int, most: int) -> list[int]:
    """Cut `n` into pieces of `most`, the last perhaps shorter."""
    return [min(most, n - start) for start in range(0, n, most)]


def _scaled(widths: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    z, y, x = (factor * max(width, 1e-3) for width in widths)
    return z, y, x


def _move(name: str) -> str | Move:
    """Return the name of one of our own moves, or the function that any other name means."""
    function: Any = resolve(name, moves)
    return name if name in moves.__all__ else function
