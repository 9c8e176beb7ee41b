"""Many starts of phase retrieval: searched, the best refined, blurred light modelled; in threads on a CPU, as one batch on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple, TypeVar

import numpy as np

from xcdi.backend import Array, namespace, to_device
from xcdi.kernels import fourier
from xcdi.kernels.phasing import alignment, coherence, lowres, memory, quality, sharpening
from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.engine import Runner
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.fused import Fused, fits
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.likelihood import without
from xcdi.kernels.phasing.schedule import Advance, Average, Redraw, Step, play
from xcdi.kernels.phasing.starts import autocorrelation_box, extents, spread
from xcdi.stages.policies import POLICIES, Batch, Ground, Population, fittest, fresh
from xcdi.stages.recipe import Look, Recipe

__all__ = ["Found", "Machine", "anneal", "look", "search"]

End = TypeVar("End")
LARGE = 2**20  # voxels from which the threads share one start instead of taking one each
ENOUGH = 0.98  # mean overlap of the refined starts at which their mean needs no others
NEGLIGIBLE = 0.25  # pixels of blur that leave an object as good as it was: overlap 0.99 at 0.2
MISSED = 4.0  # deviance of unseen pixels over that of photon noise; objects of unblurred data have 1.6 to 3.6
SAVED = 0.9  # times the deviance of unseen pixels without a blur, at most, or it explains too little
FALLING = (0.9, 0.8, 0.7, 0.6)  # feedback of raar with the blur in the model
SHARPER = 40  # steps of taking the blur off the counts
PILOTS = 2  # starts that find the width of the blur


class Machine(NamedTuple):
    """Where starts run: `device` ``"cpu"`` or ``"gpu"``, `workers` threads there, and who is told (starts done, starts)."""

    device: str = "cpu"
    workers: int = 1
    progress: Callable[[int, int], None] | None = None


class Found(NamedTuple):
    """Where the starts ended.

    Attributes
    ----------
    searched : list of Estimate
        The end of the search of every start, perhaps at low resolution; after further rounds as many, those that fit best.
    misfit : float array, shape (start,)
        Of those ends to the data they were searched in.
    carried : int array, shape (finalist,)
        Which starts went on, best first.
    ends : list of Estimate
        Where those ended, within their supports.
    measured : Measured
        What the ends fit: the pixels fitted, the background, and the degree of coherence.
    recipe : Recipe
        With nothing left open.
    coherence : str
        What was found about it, in words.
    plan : str
        What ran at once, in words.
    """

    searched: list[Estimate]
    misfit: Array
    carried: Array
    ends: list[Estimate]
    measured: Measured
    recipe: Recipe
    coherence: str
    plan: str


def look(measured: Measured, recipe: Recipe) -> tuple[Look, Array]:
    """Return what a first look tells, and the first support."""
    box = autocorrelation_box(measured, threshold=recipe.support_threshold)
    z, y, x = measured.amplitude.shape
    return Look((z, y, x), spread(measured), extents(box)), box


def search(measured: Measured, held: Array, recipe: Recipe, *, seed: int, machine: Machine) -> Found:
    """Phase the data from many starts; model the blur of partial coherence where the pixels of `held` ask for it.

    Parameters
    ----------
    measured : Measured
        On the host, with its background and with `held` still valid.
    held : bool array, shape (z, y, x)
        Pixels that no start is fitted to.
    recipe : Recipe
    seed : int
        The same bits for any number of workers.
    """
    coherent = _phased(without(measured, held), recipe, seed=seed, machine=machine)
    if recipe.coherence == "off" or not held.any():
        return coherent
    model = "gaussian" if recipe.coherence == "auto" else recipe.coherence
    best = min(coherent.ends, key=lambda end: quality.chi(end.rho, coherent.measured))
    decision = coherence.decide(fourier.forward(best.rho), measured, held, model=model)
    free = quality.fit(best.rho, measured, held).free
    if recipe.coherence == "auto" and not _worth(decision, free):
        widths = " x ".join(f"{w:.2f}" for w in decision.width)
        return coherent._replace(coherence=f"not modelled: {widths} pixels are too little to matter ({_figures(decision)})")
    return _better(coherent, _blurred(measured, held, recipe, model, decision, seed=seed, machine=machine), measured, held)


def anneal(near: Estimate, measured: Measured, recipe: Recipe, machine: Machine) -> Array:
    """Return the object that fits `measured`, from one nearby: a short annealing."""
    quick = recipe.model_copy(update={"anneal_length": 25, "average": 1})
    (end,) = _play([near], measured, quick.annealing(), machine._replace(progress=None))
    return end.rho


def _phased(fitted: Measured, recipe: Recipe, *, seed: int, machine: Machine) -> Found:
    """Search by all starts, carry the best on, and anneal them, in coherent light."""
    seen, box = look(fitted, recipe)
    chosen = recipe.chosen(seen)
    small = chosen.shape(seen)
    low = lowres.crop(fitted, small) if small != seen.shape else fitted
    inside = autocorrelation_box(low, threshold=recipe.support_threshold) if low is not fitted else box
    searched, misfit = _searched(Ground(low, inside, spread(low), chosen), seed=seed, machine=machine)
    carried, ends = _finals(Population(searched, misfit), fitted, chosen, recipe.finalists is None, machine)
    chosen = chosen.model_copy(update={"finalists": len(carried)})
    return Found(searched, misfit, carried, ends, fitted, chosen, "not modelled", _planned(fitted, len(carried), machine).told())


def _finals(found: Population, fitted: Measured, recipe: Recipe, more: bool, machine: Machine) -> tuple[Array, list[Estimate]]:
    """Refine the best starts, and all others where `more` are allowed and these agree too little for a small error of their mean."""
    order, n = np.argsort(found.misfit, kind="stable"), recipe.finalists or len(found.ends)
    ends = _refined([found.ends[i] for i in order[:n]], fitted, recipe, machine)
    if more and len(order) > n and not _alike(ends):
        ends += _refined([found.ends[i] for i in order[n:]], fitted, recipe, machine)
    return order[: len(ends)], ends


def _alike(ends: Sequence[Estimate]) -> bool:
    """Whether refined starts agree well enough for their mean to need no others; a single one does not."""
    aligned = alignment.align(np.stack([end.rho for end in ends]), ends[0].rho)
    return quality.agreement(aligned) >= ENOUGH


def _searched(ground: Ground, *, seed: int, machine: Machine) -> Population:
    """Search by random starts, and then by as many rounds as the policy of the recipe asks for; keep as many ends as starts."""
    recipe = ground.recipe
    n, root, further = recipe.starts or 1, np.random.SeedSequence(seed), POLICIES[recipe.policy]

    def played(batch: Batch) -> Population:
        return Population.of(_play(batch.starts, ground.measured, batch.steps, machine), ground.measured)

    found = played(fresh(ground, root.spawn(n)))
    for _ in range(1, recipe.rounds or 1):
        batch = further(found, ground, root.spawn(n))
        if batch is None:
            break
        found = fittest(found, played(batch), n)
    return found


def _refined(ends: Sequence[Estimate], fitted: Measured, recipe: Recipe, machine: Machine) -> list[Estimate]:
    """Carry the ends of a search to the whole data and anneal them."""
    full = [lowres.pad(end, fitted.amplitude.shape) if end.rho.shape != fitted.amplitude.shape else end for end in ends]
    ratio = fitted.amplitude.size / ends[0].rho.size
    voxels = int(np.median([end.support.sum() for end in ends]) * ratio)
    return _play([_masked(end) for end in full], fitted, recipe.refining(voxels), machine)


def _blurred(
    measured: Measured, held: Array, recipe: Recipe, model: coherence.Model, first: coherence.Decision, *, seed: int, machine: Machine
) -> Found:
    """Take the blur off the counts, phase what is left, and end with the blur in the model."""
    seen, _ = look(without(measured, held), recipe)
    low = recipe.chosen(seen).shape(seen)
    small, unseen = lowres.crop(measured, low), _cropped(held, low)
    guess = sharpening.narrowest(small, unseen, model=model, steps=SHARPER)
    if held.size < LARGE:  # where a blur has filled the minima, low resolution loses more than it saves
        recipe = recipe.model_copy(update={"low_resolution": recipe.low_resolution or False})
    few = {"starts": min(recipe.starts or PILOTS, PILOTS), "finalists": PILOTS, "policy": "independent", "rounds": 1}
    pilot = recipe.model_copy(update=few)
    widths = (guess.width,) * 3 if first.deviance > guess.deviance else first.width
    for round_ in (pilot, recipe):
        gamma = coherence.degree(seen.shape, model, widths)
        box = autocorrelation_box(without(measured, held), threshold=recipe.support_threshold)
        sharp = sharpening.sharpen(measured, gamma, sharpening.lags_of(box), held, steps=SHARPER)
        found = _phased(sharp.measured, round_, seed=seed, machine=machine)
        best = min(found.ends, key=lambda end: quality.chi(end.rho, sharp.measured))
        decision = coherence.decide(fourier.forward(best.rho), measured, held, model=model, start=widths)
        widths = decision.width if decision.on else widths
    return _with_blur(found, measured, held, model, machine)


def _with_blur(found: Found, measured: Measured, held: Array, model: coherence.Model, machine: Machine) -> Found:
    """End every finalist with the blur in its model, fitted to it as it goes."""

    def one(end: Estimate, threads: int) -> tuple[Estimate, Measured, coherence.Decision]:
        runner, fitted = InPlace(end, without(measured, held), workers=threads), measured
        for steps in _blurred_steps():
            fitted, decision = coherence.refine(runner, measured, held, model=model)
            end = play(runner, fitted, steps)
        return _masked(end), fitted, decision

    gamma = coherence.degree(held.shape, model, 1.0)  # of any width: it is the room for one that counts
    made = _each(one, found.ends, replace(measured, coherence=gamma), machine._replace(device="cpu"))
    ends = [end for end, _, _ in made]
    best = int(np.argmin([quality.chi(end.rho, fitted) for end, fitted, _ in made]))
    fitted, decision = made[best][1:]
    words = f"{model}, {' x '.join(f'{w:.2f}' for w in decision.width)} pixels ({_figures(decision)})"
    return found._replace(ends=ends, measured=fitted, coherence=words)


def _blurred_steps() -> list[list[Step]]:
    """Steps between one fit of the blur and the next."""
    search: list[Step] = [step for beta in FALLING for step in (Advance("raar", 25, beta), Redraw("shrink_wrap", 1.0, 0.10))]
    calm: list[Step] = [Advance("error_reduction", 30)]
    return [search, calm, [*calm, Average((Advance("error_reduction", 2),), 10)]]


def _better(coherent: Found, blurred: Found, measured: Measured, held: Array) -> Found:
    """Return what explains the unseen pixels better."""
    one, other = (min(quality.fit(end.rho, _seen_by(found, measured), held).free for end in found.ends) for found in (coherent, blurred))
    if other < one:
        return blurred
    words = f"not modelled: it explains unseen pixels no better ({other:.2f} times photon noise there, {one:.2f} without)"
    return coherent._replace(coherence=words)


def _seen_by(found: Found, measured: Measured) -> Measured:
    """What was measured, unseen pixels too, as `found` models it."""
    return replace(measured, coherence=found.measured.coherence, background=found.measured.background)


def _worth(decision: coherence.Decision, free: float) -> bool:
    """Whether a blur is worth a second round; what that gains is then judged by the unseen pixels again.

    Where they are missed by far, the object may be too poor to tell the blur that spoilt it.
    """
    return (max(decision.width) > NEGLIGIBLE and decision.deviance < SAVED * decision.coherent) or free > MISSED


def _figures(decision: coherence.Decision) -> str:
    return f"deviance there {decision.deviance:.3g} with, {decision.coherent:.3g} without"


def _cropped(held: Array, shape: Sequence[int]) -> Array:
    """Pixels held out, in the low-resolution data."""
    return lowres.crop(Measured(held.astype(np.float32), held), shape).valid


def _masked(end: Estimate) -> Estimate:
    xp = namespace(end.rho)
    return replace(end, rho=xp.astype(xp.where(end.support, end.rho, 0.0), xp.complex64))


def _planned(measured: Measured, starts: int, machine: Machine) -> memory.Plan:
    z, y, x = measured.amplitude.shape
    runner = "gpu" if machine.device == "gpu" else "fused" if fits((z, y, x), measured) else "in_place"
    there, blurred = memory.available_memory(machine.device), measured.coherence is not None
    return memory.plan((z, y, x), starts, available=there, runner=runner, workers=machine.workers, partial_coherence=blurred)


def _play(starts: Sequence[Estimate], measured: Measured, steps: Sequence[Step], machine: Machine) -> list[Estimate]:
    """Return where every start ends after `steps`, within its support, on the host, in order."""
    if machine.device == "gpu":
        return _play_batches(starts, measured, steps, machine)
    runner = Fused if fits(measured.amplitude.shape, measured) else InPlace

    def one(start: Estimate, threads: int) -> Estimate:
        return _masked(play(runner(start, measured, workers=threads), measured, steps))

    return _each(one, starts, measured, machine)


def _each(one: Callable[[Estimate, int], End], starts: Sequence[Estimate], measured: Measured, machine: Machine) -> list[End]:
    """Do `one` for every start, in as many threads as there is memory for; large starts get all threads, one after the other."""
    at_once = _planned(measured, len(starts), machine).at_once
    at_once = 1 if starts[0].rho.size >= LARGE else at_once
    threads = max(1, machine.workers // at_once)
    done = list[End]()
    with ThreadPoolExecutor(at_once) as pool:
        for end in pool.map(one, starts, repeat(threads)):
            done.append(end)
            if machine.progress is not None:
                machine.progress(len(done), len(starts))
    return done


def _play_batches(starts: Sequence[Estimate], measured: Measured, steps: Sequence[Step], machine: Machine) -> list[Estimate]:
    """Run the starts on the device, as many as fit at a time as one batch."""
    gamma = None if measured.coherence is None else to_device(measured.coherence, "gpu")
    there = Measured(to_device(measured.amplitude, "gpu"), to_device(measured.valid, "gpu"), measured.background, gamma)
    at_once = _planned(there, len(starts), machine).at_once
    done = list[Estimate]()
    for begin in range(0, len(starts), at_once):
        batch = starts[begin : begin + at_once]
        rhos, supports = (to_device(np.stack([getattr(start, name) for start in batch]), "gpu") for name in ("rho", "support"))
        runner: Runner = Batched(Estimate(rhos, supports), there)
        end = _masked(play(runner, there, steps))
        rho, support, residual = (to_device(a, "cpu") for a in (end.rho, end.support, end.residual))
        done += [Estimate(*one) for one in zip(rho, support, residual, strict=True)]
        if machine.progress is not None:
            machine.progress(len(done), len(starts))
    return done
