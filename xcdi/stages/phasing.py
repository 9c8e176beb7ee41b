"""Stages: a Bragg peak out of a rocking scan, and the object that made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from xcdi.backend import Array, to_device
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import fourier
from xcdi.kernels.geometry import voxel_basis
from xcdi.kernels.phasing import moves, quality
from xcdi.kernels.phasing.box import friendly, reach
from xcdi.kernels.phasing.engine import Plain
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move, random_start
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.placing import place, placing
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Redraw, Step, play
from xcdi.kernels.phasing.starts import autocorrelation_box
from xcdi.resolve import resolve
from xcdi.schema import LAB, PEAK, require
from xcdi.settings import Model
from xcdi.stages.geometry import peak_q

__all__ = ["Recipe", "crop_to_peak", "reconstruct"]

DIMS = ("frame", "y", "x")
LONGEST = 128  # edge of a box chosen automatically; a larger one has to be asked for
SIGNAL = 3.0  # counts per pixel, averaged over 3 x 3 x 3, where a box chosen automatically may end
WORSE = 1.1  # times the best misfit that a start may have and still be kept
NOISY = 1.4  # times the misfit of photon noise below which starts fit equally well
ALIKE = 0.8  # least overlap with the best start of a start that is averaged with it
EDGE = 0.4  # of the 90th percentile of the amplitude: where the crystal ends


class Recipe(Model):
    """How a crystal is phased; the defaults solve a particle of four grains and a measured gold crystal alike."""

    starts: PositiveInt = Field(default=8, description="random objects to begin from")
    cycles: PositiveInt = Field(default=6, description="how often `cycle` is run")
    cycle: tuple[tuple[str, PositiveInt], ...] = Field(
        default=(("error_reduction", 20), ("hio", 180)), description="moves and their iterations"
    )
    finish: tuple[tuple[str, PositiveInt], ...] = Field(default=(("error_reduction", 100),), description="moves after the last cycle")
    beta: float | None = Field(default=None, gt=0, le=2, description="feedback of hio, raar and difference_map; not set: each move's own")
    damping: tuple[PositiveFloat, ...] = Field(
        default=(0.06, 0.1, 0.16, 0.25), description="cycle by cycle, width of the Gaussian that damps the data [cycles/voxel]; then none"
    )
    support_threshold: float = Field(default=0.01, gt=0, lt=1, description="of the autocorrelation's maximum: extent of the first support")
    shrink: str = Field(default="shrink_wrap", description="move that redraws the support: shrink_wrap or shrink_wrap_rms")
    shrink_every: PositiveInt = Field(default=10, description="iterations between two supports")
    shrink_first: int = Field(default=200, ge=0, description="iterations in the first support")
    shrink_sigma: tuple[PositiveFloat, PositiveFloat] = Field(default=(2.5, 1.0), description="blur at first, and after 70 % of the run")
    shrink_threshold: float = Field(default=0.15, gt=0, lt=1, description="of the largest blurred modulus, or of its rms")
    frozen_last: int = Field(default=60, ge=0, description="last iterations, in which the support stays")
    average_last: PositiveInt = Field(default=20, description="last iterations whose objects are averaged")

    @field_validator("cycle", "finish")
    @classmethod
    def _known(cls, steps: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        for name, _ in steps:
            resolve(name, moves)  # a typo is reported before any frame is read
        return steps

    @field_validator("shrink")
    @classmethod
    def _redraws(cls, name: str) -> str:
        if not resolve(name, moves).__name__.startswith("shrink_wrap"):
            raise XcdiError(f"{name!r} redraws no support; choose shrink_wrap or shrink_wrap_rms")
        return name

    @model_validator(mode="after")
    def _long_enough(self) -> Recipe:
        last = self.finish[-1][1] if self.finish else 0
        if self.average_last > last:
            raise XcdiError(f"average_last = {self.average_last} iterations, but finish ends with {last}; make that longer")
        return self

    def schedule(self) -> list[Step]:
        """Return the whole run, step by step, with its supports and damped data in their places."""
        *legs, (width, last, n) = self._legs()
        total = sum(leg[2] for leg in legs) + n
        steps: list[Step] = []
        done = 0
        for damping, name, length in [*legs, (width, last, n - self.average_last)]:
            steps += [] if damping is None else [Damp(damping)]
            end = done + length
            while done < end:
                piece = min(end - done, self.shrink_every - done % self.shrink_every)
                steps.append(Advance(_move(name), piece, self._beta(name)))
                done += piece
                if done % self.shrink_every == 0 and self.shrink_first <= done <= total - self.frozen_last:
                    steps.append(Redraw(self.shrink, self._sigma(done / total), self.shrink_threshold))
        return [*steps, Average(_move(last), self.average_last, self._beta(last))]

    def _legs(self) -> list[tuple[float | None, str, int]]:
        """Return (damping where it changes, move, iterations) one after the other."""
        widths = [*self.damping[: self.cycles], float("inf")]
        legs: list[tuple[float | None, str, int]] = []
        for i, run in enumerate([*[self.cycle] * self.cycles, self.finish]):
            change = widths[i] if i < len(widths) else None
            legs += [(change if first else None, name, n) for first, (name, n) in zip([True] + [False] * len(run), run, strict=False)]
        return legs

    def _sigma(self, progress: float) -> float:
        first, last = self.shrink_sigma
        return first + (last - first) * min(1.0, progress / 0.7)

    def _beta(self, name: str) -> float | None:
        return self.beta if name in ("hio", "raar", "difference_map") else None


def crop_to_peak(scan: xr.Dataset, box: Sequence[int] | None = None) -> xr.Dataset:
    """Cut a box around the Bragg peak out of a corrected rocking scan.

    Parameters
    ----------
    scan : SCAN
        After :func:`xcdi.stages.geometry.with_q`; counts float with NaN where missing.
    box : (frame, y, x), optional
        Voxels. By default as far as there is signal, at most 128, in lengths that transform fast.

    Returns
    -------
    PEAK
        In memory: `counts` (0 where missing), `valid` (frame, y, x), `q_basis` and `q_peak` at the
        middle voxel n // 2; attributes box, two_theta_deg and d_spacing_nm there.

    Raises
    ------
    XcdiError
        If the box leaves the data, or holds nothing that can be trusted.

    Notes
    -----
    A box that would leave the data is moved back into them, one that was asked for by an eighth of its
    length at most; the peak then lies off its middle, which only adds a phase ramp.
    """
    require(scan, "counts", "valid")
    if "q_basis" not in scan or "peak_index" not in scan.attrs:
        raise SchemaError("the scan has no 'q_basis' and 'peak_index'; run stages.geometry.with_q on it first")
    centre = tuple(int(i) for i in scan.attrs["peak_index"])
    cut = _cut(scan, centre, _box(scan, centre), most=1.0) if box is None else _cut(scan, centre, tuple(box), most=1 / 8)
    part = scan.isel(cut).drop_vars(["q_basis", "q_peak"]).load()
    valid = _trusted(part)
    if not (part.counts.to_numpy()[valid] > 0).any():
        raise XcdiError(f"no valid pixel in the box of {_shape(cut)} around the peak at {centre} has a count; check the mask")
    q = peak_q(scan, cut)
    counts = np.where(valid, part.counts.to_numpy(), 0).astype(np.float32)
    return part.assign(
        counts=(DIMS, counts, {"units": "1"}), valid=(DIMS, valid, {"units": ""}), q_basis=q.q_basis, q_peak=q.q_peak
    ).assign_attrs(q.attrs, box=json.dumps({dim: [edge.start, edge.stop] for dim, edge in cut.items()}))


def reconstruct(
    peak: xr.Dataset,
    recipe: Recipe = Recipe(),
    *,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Phase one Bragg peak from several random starts, and average those that fit and agree.

    Parameters
    ----------
    peak : PEAK
    recipe : Recipe
    seed : int
        Of the random starts; the same seed gives the same bits for any number of workers.
    device : str
        ``"cpu"`` or ``"gpu"``.
    workers : int
        Starts run at a time; on the CPU only.
    progress : function (starts done, starts), optional
        Called after each start.

    Returns
    -------
    OBJECT
        `rho` (z, y, x) with its centre of mass at n // 2 and no mean phase gradient, `support`,
        `rho_error` (standard deviation over the kept starts), `solutions` (solution, z, y, x),
        `residual` and `kept` (start), `prtf` (q), `voxel_basis`, `q_basis`, `q_peak`. Attributes:
        grade, agreement, n_good, residual, residual_noise, seed, twin, ramp (x, y, z) [1/nm].

    Notes
    -----
    Locally the wave vector is ``q_peak + ramp + gradient of the phase``. One reflection
    cannot tell the object from its inverted conjugate: the choice is a rule, and is in ``twin``.
    """
    require(peak, "counts", "valid", "q_basis", "q_peak", schema=PEAK)
    measured = _measured(peak)
    if not measured.amplitude.any():
        raise XcdiError("the peak has no valid pixel with a count; check the mask and the box")
    ends = _run(measured, recipe, seed=seed, device=device, workers=workers, progress=progress)
    choice = _choose(ends, measured)
    return _object(peak, measured, choice).assign_attrs(
        seed=seed, device=device, recipe=recipe.model_dump_json(), grade=quality.grade(choice.agreement, choice.n_good, recipe.starts)
    )


class Choice(NamedTuple):
    """Which starts to believe: `residual` and `kept` (start), aligned `rhos` of the kept, their mean overlap."""

    residual: Array
    kept: Array
    rhos: Array
    agreement: float

    @property
    def n_good(self) -> int:
        """How many starts fit and agree."""
        return int(self.kept.sum())


def _box(scan: xr.Dataset, centre: Sequence[int]) -> tuple[int, ...]:
    """Box that holds the signal, no longer than LONGEST or the data."""
    window = {dim: slice(max(c - LONGEST // 2, 0), c + LONGEST // 2) for dim, c in zip(DIMS, centre, strict=True)}
    near = scan[["counts", "valid"]].isel(window).load()
    counts = near.counts.where(near.valid).to_numpy()
    far = reach(counts, [c - part.start for c, part in zip(centre, window.values(), strict=True)], floor=SIGNAL)
    return tuple(friendly(min(2 * (f + 1), LONGEST, scan.sizes[dim])) for f, dim in zip(far, DIMS, strict=True))


def _cut(scan: xr.Dataset, centre: Sequence[int], box: tuple[int, ...], *, most: float) -> dict[str, slice]:
    """Slices of a box around `centre`, moved into the data by no more than the part `most` of its length."""
    if len(box) != 3 or min(box) < 2:
        raise XcdiError(f"box is {box}, expected three lengths along frame, y, x of at least 2")
    cut = {}
    for dim, middle, n in zip(DIMS, centre, box, strict=True):
        start, size = middle - n // 2, scan.sizes[dim]
        inside = min(max(start, 0), size - n)
        if n > size or abs(inside - start) > most * n:
            raise XcdiError(
                f"a box of {box} around the peak at {tuple(centre)} leaves the data along {dim!r} "
                f"({start}:{start + n} of {size}); choose a smaller box"
            )
        cut[dim] = slice(inside, inside + n)
    return cut


def _shape(cut: dict[str, slice]) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in cut.values())


def _trusted(part: xr.Dataset) -> Array:
    """Where a pixel of a frame can be trusted, (frame, y, x)."""
    valid = np.isfinite(part.counts.to_numpy()) & part.valid.to_numpy()
    return valid & part.frame_ok.to_numpy()[:, None, None] if "frame_ok" in part else valid


def _measured(peak: xr.Dataset) -> Measured:
    """Amplitude and validity with the origin at index 0."""
    valid = peak.valid.to_numpy()
    counts = np.where(valid, np.maximum(peak.counts.to_numpy(), 0), 0)
    return Measured(fourier.uncentre(np.sqrt(counts, dtype=np.float32)), fourier.uncentre(valid))


def _run(
    measured: Measured, recipe: Recipe, *, seed: int, device: str, workers: int, progress: Callable[[int, int], None] | None
) -> list[Estimate]:
    """Return where every start ends, on the host, in order."""
    there = Measured(to_device(measured.amplitude, device), to_device(measured.valid, device))
    box, steps = autocorrelation_box(there, threshold=recipe.support_threshold), recipe.schedule()
    runner = InPlace if device == "cpu" else Plain

    def one(child: np.random.SeedSequence) -> Estimate:
        start = random_start(there, box, np.random.default_rng(child))
        end = play(runner(start, there), there, steps)
        return Estimate(to_device(end.rho, "cpu"), to_device(end.support, "cpu"), float(end.residual))

    ends = []
    with ThreadPoolExecutor(workers if device == "cpu" else 1) as pool:
        for end in pool.map(one, np.random.SeedSequence(seed).spawn(recipe.starts)):
            ends.append(end)
            if progress is not None:
                progress(len(ends), recipe.starts)
    return ends


def _choose(ends: Sequence[Estimate], measured: Measured) -> Choice:
    """Keep the starts that fit nearly as well as the best, with a support like the others', and look like it."""
    rhos = [np.where(end.support, end.rho, 0) for end in ends]
    residual = np.array([quality.chi(rho, measured) for rho in rhos])
    sizes = np.array([end.support.sum() for end in ends])
    sane = (sizes <= 2 * np.median(sizes)) & (sizes <= measured.valid.size / 2) & (sizes > 0)
    if not sane.any():
        raise XcdiError("every start ended with a support of more than half of the array, or none; take finer steps or a larger distance")
    best = int(np.where(sane, residual, np.inf).argmin())
    noise = quality.chi_noise(rhos[best], measured, np.random.default_rng(0))
    fits = np.flatnonzero(sane & (residual <= max(WORSE * residual[best], NOISY * noise)))
    aligned = np.stack([quality.align(rhos[i], rhos[best]) for i in fits])
    like = np.array([quality.overlap(rho, rhos[best]) >= ALIKE for rho in aligned])
    kept = np.zeros(len(ends), bool)
    kept[fits[like]] = True
    return Choice(residual, kept, aligned[like], quality.agreement(aligned))


def _object(peak: xr.Dataset, measured: Measured, choice: Choice) -> xr.Dataset:
    """Put the mean of the kept starts in its place and label it."""
    mean = choice.rhos.mean(axis=0)
    how = placing(mean)
    solutions = np.stack([place(rho, how) for rho in choice.rhos])
    rho = place(mean, how)
    spread = np.sqrt(np.sum(np.abs(solutions - rho) ** 2, axis=0) / max(len(solutions) - 1, 1))
    steps = peak.q_basis.to_numpy()
    curve = quality.prtf(choice.rhos, measured, fourier.uncentre(_distance(steps, rho.shape)))
    made = {
        "rho": (LAB, rho, {"units": "1"}),
        "support": (LAB, quality.extent(rho, edge=EDGE), {"units": ""}),
        "rho_error": (LAB, spread.astype(np.float32), {"units": "1"}),
        "solutions": (("solution", *LAB), solutions, {"units": "1"}),
        "residual": ("start", choice.residual, {"units": "1"}),
        "kept": ("start", choice.kept, {"units": ""}),
        "prtf": ("q", curve.value, {"units": "1"}),
        "voxel_basis": (("axis", "index"), voxel_basis(steps, rho.shape), {"units": "nm"}),
        "q_basis": peak.q_basis,
        "q_peak": peak.q_peak,
    }
    twin = "inverted conjugate" if how.inverted else "as it came"
    return xr.Dataset(made, {"q": ("q", curve.q, {"units": "1/nm"})}, peak.attrs).assign_attrs(
        agreement=choice.agreement,
        n_good=choice.n_good,
        residual=float(choice.residual[choice.kept].min()),
        residual_noise=quality.chi_noise(mean, measured, np.random.default_rng(0)),
        ramp=(steps @ (np.array(how.gradient) * rho.shape / (2 * np.pi))).tolist(),
        twin=f"unknown from one reflection; {twin}, by the {how.rule} ({how.margin:.3f})",
    )


def _distance(steps: Array, shape: Sequence[int]) -> Array:
    """Distance of every pixel of the box from its middle [1/nm]."""
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    return np.linalg.norm(np.tensordot(steps, index, axes=1), axis=0)


def _move(name: str) -> str | Move:
    """Return the name of one of our own moves, or the function that any other name means."""
    function: Any = resolve(name, moves)
    return name if name in moves.__all__ else function
