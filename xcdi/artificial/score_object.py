"""Judge of imaging: the complex object, its strain and its grains against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.align import align, fit_window, on_grid, to_image, to_wave
from xcdi.artificial.verdict import Row, Truth, at_least, at_most, attribute, dataset, missing, one_of

__all__ = ["Lab", "lab_frame", "object_overlap", "rand_index", "rows"]

OVERLAP, STRAIN, CORRELATION, GRAIN_STRAIN = 0.95, 1.5e-3, 0.93, 4e-4
COUNT, RAND = 1, 0.6
DEEP = 1.2  # voxels of the data that strain must be away from boundaries to count
FEW = 50  # voxels below which no figure is given


@dataclass(frozen=True)
class Lab:
    """The laboratory grid of a result, and where its voxels are in the truth (..., 3) [nm], order z, y, x."""

    positions: NDArray[np.float64]
    support: NDArray[np.bool_]
    overlap: float


def rows(results: Sequence[h5py.File], truth: Truth, lab: Lab | None) -> list[Row]:
    """Return the rows of imaging; `lab` is what :func:`lab_frame` found."""
    grade = attribute(results, "grade")
    good = ("good",)
    verdict = one_of("grade of the phasing", grade, good) if grade else missing("grade of the phasing", "good")
    return [_overlap_row(results, truth), verdict, *_strain_rows(results, truth, lab), *_grain_rows(results, truth, lab)]


def _overlap_row(results: Sequence[h5py.File], truth: Truth) -> Row:
    name = "complex overlap of the object with the truth"
    rho = dataset(results, "entry_1/image_1/data")
    if rho is None or rho.ndim != 3:
        return missing(name, f">= {OVERLAP:g}")
    return at_least(name, object_overlap(rho, truth["amplitude_data_frame"]), OVERLAP)


def object_overlap(rho: NDArray[Any], field: NDArray[Any]) -> float:
    """Return the overlap of an object in the data frame with that of the far field `field`, seen through the same window.

    Parameters
    ----------
    rho : array, shape (frame, y, x)
        Reconstruction from any box of the same scan; origin at ``n // 2``.
    field : array, shape (angle, row, column)
        True complex far field; G at ``n // 2``.
    """
    rho = np.nan_to_num(np.asarray(rho, np.complex64))
    if not rho.any():
        return 0.0
    room = [max(a, b) for a, b in zip(rho.shape, field.shape, strict=True)]
    ours, theirs = (np.abs(fit_window(wave, room)) ** 2 for wave in (to_wave(rho), field))
    overlap = np.abs(np.fft.ifftn(np.fft.fftn(ours).conj() * np.fft.fftn(theirs)))
    place = np.unravel_index(overlap.argmax(), overlap.shape)
    shift = [int(p) - n if p > n // 2 else int(p) for p, n in zip(place, room, strict=True)]
    return align(rho, to_image(fit_window(field, rho.shape, shift))).overlap


def lab_frame(results: Sequence[h5py.File], truth: Truth) -> Lab | None:
    """Find where the laboratory maps of a result lie in the truth, or None if there are no maps.

    The complex object on the laboratory grid is compared with the far field of
    the truth, summed at the same positions.
    """
    amplitude, phase = (dataset(results, f"entry_1/{name}") for name in ("amplitude", "phase"))
    axes = [dataset(results, f"entry_1/{name}") for name in "xyz"]
    if amplitude is None or phase is None or any(axis is None for axis in axes):
        return None
    x, y, z = (np.asarray(axis, float) - axis[len(axis) // 2] for axis in axes if axis is not None)
    rho = np.nan_to_num(amplitude * np.exp(1j * np.nan_to_num(phase))).astype(np.complex64)
    if not rho.any():
        return None
    shown = on_grid(truth["amplitude_data_frame"], truth["geometry/q_basis"], x, y, z)
    found = align(rho, shown)
    offsets = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in rho.shape), indexing="ij"), axis=-1)
    size = np.array([axis[1] - axis[0] for axis in (z, y, x)])
    support = dataset(results, "entry_1/support")
    return Lab(found.in_truth(offsets) * size, np.asarray(amplitude > 0 if support is None else support, bool), found.overlap)


def _strain_rows(results: Sequence[h5py.File], truth: Truth, lab: Lab | None) -> list[Row]:
    names = ("strain, rms error away from boundaries", "strain, correlation with the truth", "mean strain of grains, rms error")
    bars = (f"<= {STRAIN:g}", f">= {CORRELATION:g}", f"<= {GRAIN_STRAIN:g}")
    absent = [missing(name, bar) for name, bar in zip(names, bars, strict=True)]
    strain = dataset(results, "entry_1/strain")
    if strain is None or lab is None:
        return absent
    deep = truth.sample(truth.depth, lab.positions) > DEEP * truth.resolution
    held = deep & lab.support & np.isfinite(strain)
    if held.sum() < FEW:
        return absent
    measured, true = strain[held], truth.sample(truth["strain"], lab.positions[held])
    error = measured - true
    error = error - error.mean()
    grain = truth.sample(truth["label"], lab.positions[held], order=0)
    of_grains = [error[grain == g].mean() for g in np.unique(grain[grain > 0]) if (grain == g).sum() >= FEW]
    return [
        at_most(names[0], float(np.sqrt((error**2).mean())), STRAIN),
        at_least(names[1], float(np.corrcoef(measured, true)[0, 1]), CORRELATION),
        at_most(names[2], float(np.sqrt(np.mean(np.square(of_grains)))), GRAIN_STRAIN),
    ]


def _grain_rows(results: Sequence[h5py.File], truth: Truth, lab: Lab | None) -> list[Row]:
    names = ("number of grains, distance from the truth", "grains, adjusted Rand index")
    label = dataset(results, "entry_1/grain")
    if label is None or lab is None or not (label > 0).any():
        return [missing(name, bar) for name, bar in zip(names, (f"<= {COUNT:g}", f">= {RAND:g}"), strict=True)]
    true = truth.sample(truth["label"], lab.positions, order=0)
    both = (label > 0) & (true > 0)
    apart = abs(len(np.unique(label[label > 0])) - len(np.unique(true[true > 0])))
    return [at_most(names[0], apart, COUNT), at_least(names[1], rand_index(label[both], true[both]), RAND)]


def rand_index(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the adjusted Rand index of two labellings: 1 if they agree, 0 for chance (Hubert and Arabie, J. Classification 2, 193 (1985)).

    Examples
    --------
    >>> rand_index(np.array([1, 1, 2, 2]), np.array([7, 7, 5, 5]))
    1.0
    """
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(other, return_inverse=True)
    if a.size < 2:
        return 1.0
    table = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)).reshape(a.max() + 1, -1)
    joint, rows_, columns, every = (_pairs(n) for n in (table, table.sum(axis=1), table.sum(axis=0), a.size))
    chance = rows_ * columns / every
    most = (rows_ + columns) / 2
    return float((joint - chance) / (most - chance)) if most != chance else 1.0


def _pairs(counts: Any) -> float:
    """Pairs that can be drawn from groups of these sizes."""
    counts = np.asarray(counts, float)
    return float((counts * (counts - 1) / 2).sum())
