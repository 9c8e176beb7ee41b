"""Comparison: results laid upon the truth, once, for everything that is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial import oblique
from xcdi.artificial.align import align, fit_window, on_grid, to_image, to_wave
from xcdi.artificial.cases import Case, case_of
from xcdi.artificial.verdict import Truth, attribute, dataset

__all__ = ["Compared", "Image", "Lab", "laid_upon"]

SAME_PEAK = 0.03  # relative distance between two reciprocal vectors of one reflection


@dataclass(frozen=True)
class Image:
    """An object in the frame of the data, laid upon the truth as the same window shows it; arrays (frame, y, x)."""

    rho: NDArray[np.complexfloating[Any, Any]]
    true: NDArray[np.complexfloating[Any, Any]]
    overlap: float


@dataclass(frozen=True)
class Lab:
    """The laboratory grid of a result, and where its voxels are in the truth (..., 3) [nm], order z, y, x."""

    positions: NDArray[np.float64]
    support: NDArray[np.bool_]
    overlap: float
    voxel: float


class Compared:
    """Open results beside the truth; what takes time is found when it is asked for, and once.

    Attributes
    ----------
    results : sequence of h5py.File
        What is asked for is taken from the first that has it; images of another reflection than the truth's first are left aside.
    tensors : list of h5py.File
        Results of several reflections, which are left aside too: no component is compared.
    truth : Truth
    """

    def __init__(self, results: Sequence[h5py.File], truth: Truth) -> None:
        self.tensors = [file for file in results if "entry_1/strain_xx" in file]
        self.results, self.truth = [file for file in results if file not in self.tensors and _of_peak(file, truth)], truth

    def __getitem__(self, path: str) -> NDArray[Any] | None:
        return dataset(self.results, path)

    def word(self, name: str, *, under: str = "/") -> str | None:
        """Return, as text, an attribute or scalar at `under` or below it."""
        return attribute(self.results, name, under=under)

    def note(self, group: str, name: str) -> Any:
        """Return the attribute `name` of the first `group` that has it."""
        found = [file[group].attrs[name] for file in self.results if group in file and name in file[group].attrs]
        return found[0] if found else None

    def has(self, *groups: str) -> bool:
        """Whether any result holds any of these groups or datasets."""
        return any(group in file for file in self.results for group in groups)

    @cached_property
    def case(self) -> Case:
        """How hard the simulated crystal is to image."""
        return case_of(self.truth.config)

    @cached_property
    def grade(self) -> str | None:
        """What the analysis thinks of its own object."""
        return self.word("grade", under="entry_1")

    @property
    def unreliable(self) -> bool:
        """Whether the analysis asks not to be believed."""
        return self.grade == "unreliable"

    @cached_property
    def image(self) -> Image | None:
        """The object in the frame of the data, or None if there is none."""
        rho = self["entry_1/image_1/data"]
        return None if rho is None or rho.ndim != 3 else laid_upon(rho, self.truth["amplitude_data_frame"])

    @cached_property
    def lab(self) -> Lab | None:
        """Where the laboratory maps lie in the truth, or None if there are none.

        The complex object on the laboratory grid is compared with the far field of the truth, summed at the same positions.
        """
        amplitude, phase = self["entry_1/amplitude"], self["entry_1/phase"]
        axes = [self[f"entry_1/{name}"] for name in "xyz"]
        if amplitude is None or phase is None or any(axis is None for axis in axes):
            return None
        x, y, z = (np.asarray(axis, float) - axis[len(axis) // 2] for axis in axes if axis is not None)
        rho = np.nan_to_num(amplitude * np.exp(1j * np.nan_to_num(phase))).astype(np.complex64)
        if not rho.any():
            return None
        steps = self.truth["geometry/q_basis"]
        upright = not np.any(steps[[0, 2], 1]) and not np.any(steps[1, [0, 2]])
        found = align(rho, (on_grid if upright else oblique.image)(self.truth["amplitude_data_frame"], steps, x, y, z))
        offsets = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in rho.shape), indexing="ij"), axis=-1)
        size = np.array([axis[1] - axis[0] for axis in (z, y, x)])
        support = self["entry_1/support"]
        held = np.asarray(amplitude > 0 if support is None else support, bool)
        return Lab(found.in_truth(offsets) * size, held, found.overlap, float(abs(size.prod()) ** (1 / 3)))

    @cached_property
    def grain_names(self) -> dict[int, int] | None:
        """Name of every grain of the result in the truth: the true grain that most of its voxels lie in."""
        label, lab = self["entry_1/grain"], self.lab
        if label is None or lab is None:
            return None
        true = self.truth.sample(self.truth["label"], lab.positions, order=0)
        inside = {int(grain): true[(label == grain) & (true > 0)] for grain in np.unique(label[label > 0])}
        return {grain: int(np.bincount(names).argmax()) for grain, names in inside.items() if names.size}


def _of_peak(file: h5py.File, truth: Truth) -> bool:
    """Whether a result is of the truth's first reflection, or of none; the scans of others end with their indices."""
    scan = attribute([file], "scan") or ""
    if "reflections" in truth and any(scan.endswith(f"_{tag}") for tag in truth.file["reflections"]):
        return False
    place = "entry_1/image_1/q_peak"
    if place not in file or "geometry/G" not in truth:
        return True
    peak, wanted = np.asarray(file[place][()], float), truth["geometry/G"]
    return bool(peak.shape != wanted.shape or np.linalg.norm(peak - wanted) < SAME_PEAK * np.linalg.norm(wanted) + _reach(truth))


def _reach(truth: Truth) -> float:
    """Half the diagonal of the window that truth is kept for [1/nm]: a box may lie that far off."""
    return float(np.linalg.norm(truth["geometry/q_basis"] @ (np.array(truth.file["amplitude_data_frame"].shape) / 2)))


def laid_upon(rho: NDArray[Any], field: NDArray[Any]) -> Image:
    """Lay an object in the data frame upon that of the far field `field`, seen through the same window.

    Parameters
    ----------
    rho : array, shape (frame, y, x)
        Reconstruction from any box of the same scan; origin at ``n // 2``.
    field : array, shape (angle, row, column)
        True complex far field; G at ``n // 2``.
    """
    rho = np.nan_to_num(np.asarray(rho, np.complex64))
    if not rho.any():
        return Image(rho, to_image(fit_window(field, rho.shape)), 0.0)
    room = [max(a, b) for a, b in zip(rho.shape, field.shape, strict=True)]
    ours, theirs = (np.abs(fit_window(wave, room)) ** 2 for wave in (to_wave(rho), field))
    overlap = np.abs(np.fft.ifftn(np.fft.fftn(ours).conj() * np.fft.fftn(theirs)))
    place = np.unravel_index(overlap.argmax(), overlap.shape)
    shift = [int(p) - n if p > n // 2 else int(p) for p, n in zip(place, room, strict=True)]
    true = to_image(fit_window(field, rho.shape, shift))
    found = align(rho, true)
    laid = found.laid(rho)
    return Image(laid * (np.vdot(laid, true) / np.vdot(laid, laid)), true, found.overlap)
