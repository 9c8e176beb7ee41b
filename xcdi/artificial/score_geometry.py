"""Judge of geometry: where the peak is, the steps in q about it, and the absolute spacing of lattice planes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xcdi.artificial.compared import Compared
from xcdi.artificial.score_strain import Held, held
from xcdi.artificial.verdict import Row, Skipped, at_most, missing, of_stage

__all__ = ["rows"]

STEPS, ANGLES = 1e-4, 0.01  # relative; deg
CENTRE = 0.1  # px, steps
SPACING, EVEN = 1e-4, 1e-4
HC_KEV_NM = 1.239842
DISTORTIONS = ("strain", "smooth_strain", "tilt_deg", "wall_deg", "screws", "edges")


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of geometry."""
    if not seen.has("entry_1/image_1", "entry_1/peak"):
        yield Skipped("geometry", "no result holds a peak")
        return
    yield from of_stage("geometry", (*_basis_rows(seen), *_centre_rows(seen), *_uniform_rows(seen)))


def _basis_rows(seen: Compared) -> Iterator[Row | Skipped]:
    steps = seen["entry_1/image_1/q_basis"]
    names = ("steps in q, relative error", "angles between the steps in q, error [deg]")
    if steps is None:
        yield from (missing(name, f"<= {bar:g}") for name, bar in zip(names, (STEPS, ANGLES), strict=True))
        return
    true = seen.truth["geometry/q_basis"]
    relative = np.linalg.norm(steps - true, axis=0) / np.linalg.norm(true, axis=0)
    yield at_most(names[0], np.max(np.clip(relative - _explained(seen, true), 0, None)), STEPS)
    bent = np.abs(_angles(steps) - _angles(true)).max() - np.degrees(_explained(seen, true)[-1])
    yield at_most(names[1], max(bent, 0.0), ANGLES)
    peak, place = seen["entry_1/image_1/q_peak"], _box_centre(seen)
    if peak is not None and place is not None:
        expected = seen.truth["geometry/G"] + true[:, 1:] @ place[1:]  # in laboratory axes a pixel has one q at every angle
        yield at_most("reciprocal vector of the box, relative error", np.linalg.norm(peak - expected) / np.linalg.norm(expected), STEPS)


def _explained(seen: Compared, steps: NDArray[Any]) -> NDArray[np.float64]:
    """Relative change of each step as the middle of the box is not at G: an angle's grows with q, a pixel's turns with the exit beam."""
    place = _box_centre(seen)
    away = 0.0 if place is None else float(np.linalg.norm(steps @ place))
    k = 2 * np.pi * seen.truth.config.get("energy_kev", 9.65) / HC_KEV_NM
    return np.array([away / np.linalg.norm(seen.truth["geometry/G"]), away / k, away / k])


def _angles(steps: NDArray[Any]) -> NDArray[np.float64]:
    """Angles [deg] between the columns of `steps`."""
    unit = steps / np.linalg.norm(steps, axis=0)
    return np.degrees(np.arccos(np.clip([unit[:, a] @ unit[:, b] for a, b in ((0, 1), (0, 2), (1, 2))], -1, 1)))


def _corner(seen: Compared) -> NDArray[np.float64]:
    """Frame, row and column of the first voxel that truth is kept for."""
    rows_, _, columns, _ = seen.truth.file["amplitude_data_frame"].attrs["box"]
    return np.array([0.0, rows_, columns])


def _boxed(seen: Compared, intensity: NDArray[Any]) -> NDArray[Any]:
    """The true `intensity`, zero outside the result's box."""
    box = seen.note("entry_1/image_1", "box") or seen.note("entry_1/peak", "box")
    if box is None:
        return intensity
    corner, edges = _corner(seen).astype(int), json.loads(box)
    inside = np.zeros(intensity.shape, bool)
    inside[
        tuple(slice(max(edges[dim][0] - c, 0), max(edges[dim][1] - c, 0)) for dim, c in zip(("frame", "y", "x"), corner, strict=True))
    ] = True
    return np.where(inside, intensity, 0.0)


def _box_centre(seen: Compared) -> NDArray[np.float64] | None:
    """Steps from G to the middle voxel of the result's box, or None if it does not say which box it is."""
    box = seen.note("entry_1/image_1", "box") or seen.note("entry_1/peak", "box")
    if box is None:
        return None
    edges = json.loads(box)
    middle = np.array([(edges[dim][0] + edges[dim][1]) // 2 for dim in ("frame", "y", "x")], float)
    return middle - _corner(seen) - np.array(seen.truth.file["amplitude_data_frame"].shape) // 2


def _centre_rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Compare the mean wave vector of the object with the centre of mass of the noise-free peak in the same box."""
    mean = seen.note("entry_1/crystal", "q_mean")
    if mean is None or seen.case.name != "easy" or seen.unreliable:
        why = "no result holds the mean wave vector" if mean is None else "it is asked of an easy case and a reliable object"
        yield Skipped("centre of mass of the peak", why)
        return
    true, intensity = seen.truth["geometry/q_basis"], np.abs(seen.truth["amplitude_data_frame"]) ** 2
    measured = np.linalg.solve(true, np.asarray(mean) - seen.truth["geometry/G"])
    place = _box_centre(seen)
    measured[0] += 0.0 if place is None else place[0]  # the mean is given in the axes of the box's middle frame
    away = np.abs(measured - ndimage.center_of_mass(_boxed(seen, intensity)) + np.array(intensity.shape) // 2)
    yield at_most("centre of mass of the peak, error [step]", away[0], CENTRE)
    yield at_most("centre of mass of the peak, error [px]", away[1:].max(), CENTRE)


def _uniform_rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Ask a crystal whose mean strain is known for its spacing, and one without strain for none: not in the mean of any octant."""
    config, even = seen.truth.config, "strain of a uniform particle, largest mean of an octant"
    uniform = config.get("grains") == 1 and not any(config.get(name, 1.0) for name in DISTORTIONS)
    if not uniform and "geometry/mean_spacing" not in seen.truth:
        return
    known = seen.truth["geometry/mean_spacing"] if not uniform else 2 * np.pi / np.linalg.norm(seen.truth["geometry/G"])
    name, spacing = "spacing of the planes, relative error", seen.note("entry_1/crystal", "mean_d_spacing_nm")
    yield missing(name, f"<= {SPACING:g}") if spacing is None else at_most(name, abs(spacing / known - 1), SPACING)
    if uniform:
        inside = held(seen)
        yield missing(even, f"<= {EVEN:g}") if inside is None else at_most(even, _unevenness(inside), EVEN)


def _unevenness(inside: Held) -> float:
    """Largest deviation of the mean strain of an octant of the particle; noise of single voxels averages out."""
    octant = ((inside.positions > 0) * [4, 2, 1]).sum(axis=-1)
    count = np.bincount(octant, minlength=8)
    means = np.bincount(octant, inside.strain, 8)[count > 0] / count[count > 0]
    return float(np.abs(means - inside.strain.mean()).max())
