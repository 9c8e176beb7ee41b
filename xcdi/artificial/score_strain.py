"""Judge of strain: maps of strain, tilt and spacing, and their stated errors, away from boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.compared import Compared
from xcdi.artificial.verdict import Row, Skipped, at_least, at_most, between, missing, of_stage

__all__ = ["Held", "held", "robust", "rows"]

CORRELATION, SLOPE, BIAS = 0.93, 0.05, 2e-4
GRAIN_STRAIN, GRAIN_TILT_DEG = 4e-4, 0.03
ERRORS = 2.0  # factor by which a stated error may be wrong
DEEP = 1.2  # voxels of the data that strain must be away from boundaries to count
SHARE = 0.9  # of the true voxels away from boundaries
FEW = 50  # voxels below which no figure is given
FLAT = 2e-4  # sd of a strain that is too even to correlate with
NAMES = ("strain, rms error away from boundaries", "strain, correlation with the truth", "mean strain of grains, rms error")
TILTS = (("tilt_1", "tilt_up"), ("tilt_2", "tilt_third"))


@dataclass(frozen=True)
class Held:
    """Maps of a result at the voxels that are held against the truth, and the truth there.

    Attributes
    ----------
    positions : array, shape (voxel, 3)
        Where the voxels are in the truth [nm], order z, y, x.
    strain, true : array, shape (voxel,)
        Strain measured, and true.
    grain : array of int, shape (voxel,)
        True grain.
    where : array of bool, shape (z, y, x)
        Which voxels of the result these are.
    share : float
        They are this part of all true voxels away from boundaries.
    """

    positions: NDArray[np.float64]
    strain: NDArray[np.float64]
    true: NDArray[np.float64]
    grain: NDArray[np.int64]
    where: NDArray[np.bool_]
    share: float

    @property
    def error(self) -> NDArray[np.float64]:
        """Error of the strain beyond its mean: one reflection's ramp fixes the mean elsewhere."""
        away = self.strain - self.true
        return np.asarray(away - away.mean())

    def of_grains(self, error: NDArray[Any]) -> NDArray[np.float64]:
        """Mean `error` of every grain of more than a few voxels."""
        numbers, count = np.unique(self.grain[self.grain > 0], return_counts=True)
        return np.array([error[self.grain == g].mean() for g in numbers[count >= FEW]])


def held(seen: Compared) -> Held | None:
    """Return the strain where it can be held against the truth, or None if there is too little of it."""
    strain, lab = seen["entry_1/strain"], seen.lab
    if strain is None or lab is None:
        return None
    deep = seen.truth.sample(seen.truth.depth, lab.positions) > DEEP * seen.truth.resolution
    where = deep & lab.support & np.isfinite(strain)
    if where.sum() < FEW:
        return None
    places = lab.positions[where]
    grain = seen.truth.sample(seen.truth["label"], places, order=0)
    true = seen.truth.sample(seen.truth["strain"], places)
    asked = (seen.truth.depth > DEEP * seen.truth.resolution).sum() * seen.truth.voxel**3
    return Held(places, strain[where].astype(float), true, grain, where, float(where.sum() * lab.voxel**3 / asked))


def robust(values: NDArray[Any]) -> float:
    """Return the standard deviation that the median of the absolute deviations stands for.

    Examples
    --------
    >>> round(robust(np.array([-1.0, 0.0, 1.0, 100.0])), 2)
    1.48
    """
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of strain."""
    if not seen.has("entry_1/strain", "entry_1/image_1/data", "entry_1/amplitude"):
        yield Skipped("strain", "no result holds a crystal")
    elif seen.case.strain is None:
        yield Skipped("strain", f"nothing is asked of a {seen.case.name} case")
    elif seen.unreliable:
        yield Skipped("strain", "the result calls its object unreliable")
    else:
        yield from _asked(seen, seen.case.strain)


def _asked(seen: Compared, bar: float) -> Iterator[Row | Skipped]:
    inside = held(seen)
    if inside is None:
        bars = (f"<= {bar:g}", f">= {CORRELATION:g}", f"<= {GRAIN_STRAIN:g}")
        yield from of_stage("strain", (missing(name, text) for name, text in zip(NAMES, bars, strict=True)))
        return
    yield from of_stage("strain", _map_rows(seen, inside, bar))
    yield from of_stage("strain", _tilt_rows(seen, inside))
    yield from of_stage("phasing", _stated_row(seen, inside))


def _map_rows(seen: Compared, inside: Held, bar: float) -> Iterator[Row | Skipped]:
    yield at_least("strain, share of the true inside that has one", inside.share, SHARE)
    yield at_most(NAMES[0], np.sqrt((inside.error**2).mean()), bar)
    if inside.true.std() > FLAT and seen.case.name == "easy":
        yield at_least(NAMES[1], np.corrcoef(inside.strain, inside.true)[0, 1], CORRELATION)
        slope = np.polyfit(inside.true, inside.strain, 1)[0]
        yield between("strain, slope of its regression on the truth", slope, 1 - SLOPE, 1 + SLOPE)
    yield from _bias_row(seen, inside)
    of_grains = inside.of_grains(inside.error)
    if of_grains.size > 1:
        yield at_most(NAMES[2], np.sqrt((of_grains**2).mean()), GRAIN_STRAIN)


def _bias_row(seen: Compared, inside: Held) -> Iterator[Row]:
    """Compare the absolute spacing of planes, the ramp restored; a tilt shortens it in second order."""
    spacing = seen["entry_1/d_spacing"]
    name = "strain, mean error with the ramp restored"
    if spacing is None:
        yield missing(name, f"<= {BIAS:g}")
        return
    known = [seen.truth.sample(seen.truth[true], inside.positions) for _, true in TILTS if true in seen.truth]
    stretch = np.sqrt((1 - inside.true) ** 2 + np.sum(np.square(known), axis=0))  # |q| / |G|
    relative = spacing[inside.where] * np.linalg.norm(seen.truth["geometry/G"]) / (2 * np.pi)
    yield at_most(name, abs(float(np.nanmean(relative - 1 / stretch))), BIAS)


def _tilt_rows(seen: Compared, inside: Held) -> Iterator[Row | Skipped]:
    errors = tilt_errors(seen, inside)
    if errors is None:
        yield Skipped("tilts", "result or truth has none")
        return
    if seen.case.tilt is not None:
        yield at_most("tilts, rms error away from boundaries [rad]", np.sqrt((errors**2).mean()), seen.case.tilt)
    of_grains = np.degrees([inside.of_grains(error) for error in errors])
    if of_grains.shape[1] > 1:
        yield at_most("mean tilt of grains, rms error [deg]", np.sqrt((of_grains**2).mean()), GRAIN_TILT_DEG)


def tilt_errors(seen: Compared, inside: Held) -> NDArray[np.float64] | None:
    """Return the errors (2, voxel) of both tilts beyond their means [rad], or None if result or truth has none."""
    maps = [seen[f"entry_1/{name}"] for name, _ in TILTS]
    if any(values is None for values in maps) or any(true not in seen.truth for _, true in TILTS):
        return None
    true = [seen.truth.sample(seen.truth[name], inside.positions) for _, name in TILTS]
    errors = np.array([values[inside.where] - there for values, there in zip(maps, true, strict=True) if values is not None], float)
    return errors - errors.mean(axis=1, keepdims=True)


def _stated_row(seen: Compared, inside: Held) -> Iterator[Row | Skipped]:
    stated = seen["entry_1/strain_error"]
    if stated is None:
        yield Skipped("stated errors of strain", "no result holds them")
        return
    ratio = float(np.nanmedian(stated[inside.where])) / robust(inside.error)
    yield between("stated error of strain, median over the true one", ratio, 1 / ERRORS, ERRORS)
