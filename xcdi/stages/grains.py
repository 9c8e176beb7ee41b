"""The grains a crystal is made of, the boundaries between them as a graph, and the lines where three meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import strain
from xcdi.kernels.avalanches import boundaries as boundary_kernel
from xcdi.kernels.avalanches import grains as grain_kernel
from xcdi.kernels.avalanches import triple_lines as line_kernel
from xcdi.schema import CRYSTAL, LAB, require
from xcdi.stages import strain as distorted

__all__ = ["WITHOUT_HKL", "Structure", "allowed", "counted", "grains", "triple_lines", "without_statistics"]

AXES = ["x", "y", "z"]
ACROSS = ("tilt_1", "tilt_2")
Structure = Literal["fcc", "bcc", "sc"]
SHORTEST = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "sc": 1.0}  # lattice vector over the edge of the cube
WITHOUT_HKL = "structure is given without strain.hkl"
NUMBERS = ("strain", "tilt", "phase", "misorientation", "rotation", "spacing", "expected")  # that only a reliable object can give


def grains(crystal: xr.Dataset, *, structure: Structure | None = None) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    r"""Number the grains of a crystal, and describe them and their boundaries.

    Parameters
    ----------
    crystal : CRYSTAL
        As from :func:`xcdi.stages.strain.field`; `solutions`, where there are two or more, give the errors and are used up.
    structure : str, optional
        ``"fcc"``, ``"bcc"`` or ``"sc"``. With it, and with the attribute hkl, the Burgers vector is the shortest lattice vector;
        else one spacing along G stands for it, and the attribute burgers_from says so.

    Returns
    -------
    crystal : CRYSTAL
        With `grain` (int16, 0 outside, 1 the largest) and `depth` [nm], the distance from the nearest boundary or surface.
    grains : Dataset, dim grain
        `volume_nm3`, `surface_nm2` (of the particle), `centroid` (axis) [nm], `amplitude`; `strain`, `tilt_1`, `tilt_2` [rad] relative
        to the mean crystal, means over the interior weighted by intensity; `phase_offset` [rad], the phase at the centroid less that of
        grain 1 at its own, in (-pi, pi]; each with its `_error`. Attribute voxels_without_grain: of specks of the support.
    boundaries : Dataset, dim boundary
        Edges of a graph: `i`, `j`; `area_nm2` (of a smooth surface), `flatness` (1 for a plane), `centroid`, `normal` (axis; from i to
        j); `dip` of the amplitude, `order` left; `d_strain`, `d_tilt_1`, `d_tilt_2` (of j less i); `rotation` (axis) [rad] that turns
        G of i to that of j, and its length `misorientation`; `phase_jump` [rad] at the centroid; each with its `_error`. `spacing_nm`
        of the dislocations that would make the misorientation, :math:`b / \theta`, and `expected_dislocations`, the diameter of a disc
        of that area over the spacing: below 1 there need be none.

    Notes
    -----
    A phase jump of 2 pi n is a slip by whole lattice planes, and cannot be seen; nor can a turn about G. A shear of a grain
    counts as tilt. Errors are the scatter of the solutions, which the photons they share do not let average out: over 8 simulated
    particles of 4 and 5 grains the true errors were 1.2 (strain) and 1.6 (tilt) times as large (robust).
    Source: spacing of dislocations in a wall, Read and Shockley, Phys. Rev. 78, 275 (1950).
    """
    require(crystal, "support", schema=CRYSTAL)
    rho, support, basis = distorted.object_of(crystal), crystal.support.to_numpy(), distorted.basis_of(crystal)
    label = grain_kernel.label_grains(rho, support)
    middle = _middle(crystal)
    away = np.where(support, boundary_kernel.depth(boundary_kernel.filled(label), basis), np.nan).astype(np.float32)
    q_mean = distorted.vector_of(crystal, "q_mean")
    each = [_of_grains(one, label, basis, q_mean) for one in _solutions(crystal)]
    table = _grain_table(crystal, label, basis, middle, each)
    pairs = _boundary_table(boundary_kernel.boundaries(label, rho, basis), table, middle, each)
    pairs = _with_misorientation(pairs, q_mean, each)
    pairs = _spacings(_with_jump_errors(pairs, crystal, label, basis), crystal, structure)
    table = table.assign_attrs(voxels_without_grain=int(np.count_nonzero(support & (label == 0))))
    maps = {"grain": (LAB, label, {"units": ""}), "depth": (LAB, away, {"units": "nm"})}
    return crystal.drop_vars("solutions", errors="ignore").assign(maps), table, pairs


def triple_lines(crystal: xr.Dataset) -> xr.Dataset:
    """Lines where three grains meet inside the particle.

    Parameters
    ----------
    crystal : CRYSTAL
        With `grain`, as from :func:`grains`.

    Returns
    -------
    Dataset, dim line
        `i`, `j`, `k`, `length_nm`, `centroid`, `direction` (axis). Attribute quadruple_points: places where four grains meet.
    """
    label, basis, middle = boundary_kernel.filled(_label(crystal)), distorted.basis_of(crystal), _middle(crystal)
    lines = line_kernel.triple_lines(label, basis)
    names = np.array([line.grains for line in lines], dtype=np.int16).reshape(-1, 3)
    values: dict[str, Any] = {side: ("line", names[:, n], {"units": ""}) for n, side in enumerate("ijk")}
    values["length_nm"] = ("line", np.array([line.length for line in lines], dtype=float), {"units": "nm"})
    values["centroid"] = (("line", "axis"), np.array([line.centroid + middle for line in lines]).reshape(-1, 3), {"units": "nm"})
    values["direction"] = (("line", "axis"), np.array([line.direction for line in lines]).reshape(-1, 3), {"units": "1"})
    return xr.Dataset(values, {"axis": AXES}, {"quadruple_points": line_kernel.quadruple_points(label)})


def allowed(structure: Structure | None, hkl: Sequence[int] | None) -> None:
    """Refuse a reflection that a structure does not have.

    Raises
    ------
    XcdiError
        If the indices are mixed in fcc, or their sum is odd in bcc.
    """
    if structure is None or hkl is None:
        return
    odd = sum(index % 2 for index in hkl)
    name = " ".join(map(str, hkl))
    if structure == "fcc" and odd not in (0, len(hkl)):
        raise XcdiError(f"hkl {name} does not occur in structure 'fcc', whose indices are all odd or all even; correct one of them")
    if structure == "bcc" and odd % 2:
        raise XcdiError(f"hkl {name} does not occur in structure 'bcc', whose indices have an even sum; correct one of them")


def counted(number: int, word: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> counted(1, "grain"), counted(2, "grain")
    ('1 grain', '2 grains')
    """
    return f"{number} {word}{'s' * (number != 1)}"


def without_statistics(grains: xr.Dataset, boundaries: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Blank every number that only a reliable object can give; which grains there are, and where, stays."""
    note = {"note": "the object is unreliable: no strain, tilt, misorientation or phase is given"}
    tables = []
    for table in (grains, boundaries):
        doubtful = [name for name in table.data_vars if str(name).removeprefix("d_").startswith(NUMBERS)]
        tables.append(table.assign({name: xr.full_like(table[name], np.nan) for name in doubtful}).assign_attrs(note))
    return tables[0], tables[1]


def _label(crystal: xr.Dataset) -> Array:
    if "grain" not in crystal:
        raise SchemaError("the crystal has no 'grain'; run stages.grains.grains on it first")
    return crystal.grain.transpose(*LAB).to_numpy()


def _middle(crystal: xr.Dataset) -> Array:
    """Place (x, y, z) [nm] of the middle voxel n // 2."""
    return np.array([crystal[dim].to_numpy()[crystal.sizes[dim] // 2] for dim in AXES])


def _solutions(crystal: xr.Dataset) -> Array:
    """Solutions (solution, z, y, x) that errors come from: two or more, or none."""
    if "solutions" not in crystal or len(crystal.solutions) < 2:
        return np.empty(0)
    return crystal.solutions.transpose("solution", *LAB).to_numpy()


def _grain_table(crystal: xr.Dataset, label: Array, basis: Array, middle: Array, each: Sequence[Mapping[str, Array]]) -> xr.Dataset:
    """Volume, surface, place, distortion, phase and amplitude of every grain."""
    numbers = np.arange(1, int(label.max()) + 1)
    place = np.array([(np.argwhere(label == n) - np.array(label.shape) // 2).mean(axis=0) @ basis.T + middle for n in numbers])
    values: dict[str, Any] = {
        "volume_nm3": ("grain", np.bincount(label.ravel())[1:] * abs(np.linalg.det(basis)), {"units": "nm3"}),
        "surface_nm2": ("grain", boundary_kernel.surface_areas(boundary_kernel.filled(label), basis), {"units": "nm2"}),
        "centroid": (("grain", "axis"), place.reshape(-1, 3), {"units": "nm"}),
    }
    q_mean = distorted.vector_of(crystal, "q_mean")
    units = {"amplitude": "1", **distorted.UNITS, "phase_offset": "rad"}
    for name, mean in _of_grains(crystal.rho.to_numpy(), label, basis, q_mean).items():
        values[name] = ("grain", mean, {"units": units[name]})
    for name in units if each else ():
        stack = np.array([one[name] for one in each])
        spread = _turn_spread(stack, values[name][1]) if name == "phase_offset" else stack.std(axis=0, ddof=1)
        values[f"{name}_error"] = ("grain", spread, {"units": units[name]})
    return xr.Dataset(values, {"grain": ("grain", numbers, {"units": ""}), "axis": AXES})


def _of_grains(rho: Array, label: Array, basis: Array, q_mean: Array) -> dict[str, Array]:
    """Amplitude, strain, tilts and phase of every grain, the latter beyond those of the whole crystal or of grain 1."""
    inside, weight = np.where(label > 0, rho, 0), np.abs(rho) ** 2 * (label > 0)
    slope = strain.gradient(inside, basis)
    means = distorted.relative(grain_kernel.region_means(slope, label, weight), distorted.mean_of(slope, weight), q_mean)
    phase = boundary_kernel.grain_phases(label, rho, basis)
    amplitude = grain_kernel.region_means(np.abs(rho), label, np.ones(rho.shape))
    return {"amplitude": amplitude, **means, "phase_offset": np.angle(np.exp(1j * (phase - phase[0])))}


def _turn_spread(each: Array, about: Array) -> Array:
    """Standard deviation [rad] over the first dimension of angles near `about`, however they wrap."""
    away = np.angle(np.exp(1j * (each - about)))
    return np.asarray(away.std(axis=0, ddof=1))


def _boundary_table(
    pairs: list[boundary_kernel.Boundary], table: xr.Dataset, middle: Array, each: Sequence[Mapping[str, Array]]
) -> xr.Dataset:
    """Every boundary, with the steps of strain and tilt across it; their errors are those of the steps of all solutions."""
    i, j = (np.array([getattr(pair, side) for pair in pairs], dtype=np.int16) for side in "ij")
    values: dict[str, Any] = {"i": ("boundary", i, {"units": ""}), "j": ("boundary", j, {"units": ""})}
    scalars = {
        "area_nm2": ("area", "nm2"),
        "flatness": ("flatness", "1"),
        "dip": ("dip", "1"),
        "order": ("order", "1"),
        "phase_jump": ("phase_jump", "rad"),
        "phase_jump_error": ("jump_error", "rad"),
    }
    for name, (field, unit) in scalars.items():
        values[name] = ("boundary", np.array([getattr(pair, field) for pair in pairs], dtype=float), {"units": unit})
    centroid = np.array([pair.centroid + middle for pair in pairs]).reshape(-1, 3)
    values["centroid"] = (("boundary", "axis"), centroid, {"units": "nm"})
    values["normal"] = (("boundary", "axis"), np.array([pair.normal for pair in pairs]).reshape(-1, 3), {"units": "1"})
    for name, unit in distorted.UNITS.items():
        of_grain = table[name].to_numpy()
        values[f"d_{name}"] = ("boundary", of_grain[j - 1] - of_grain[i - 1], {"units": unit})
        if each:
            values[f"d_{name}_error"] = ("boundary", _steps(each, name, i, j).std(axis=0, ddof=1), {"units": unit})
    return xr.Dataset(values, {"axis": AXES})


def _steps(each: Sequence[Mapping[str, Array]], name: str, i: Array, j: Array) -> Array:
    """Steps (solution, boundary) of a mean from grain i to grain j."""
    return np.array([one[name][j - 1] - one[name][i - 1] for one in each])


def _with_misorientation(pairs: xr.Dataset, q_mean: Array, each: Sequence[Mapping[str, Array]]) -> xr.Dataset:
    """Add the turn of G across every boundary, as a vector and as an angle."""
    _, one, other = strain.directions(q_mean)
    step = [pairs[f"d_{name}"].to_numpy() for name in ACROSS]
    turn = np.outer(step[1], one) - np.outer(step[0], other)
    angle = np.hypot(*step)
    added = {"rotation": (("boundary", "axis"), turn, {"units": "rad"}), "misorientation": ("boundary", angle, {"units": "rad"})}
    if each:
        along = [np.divide(part, angle, out=np.full_like(angle, 0.5**0.5), where=angle > 0) for part in step]
        i, j = (pairs[side].to_numpy() for side in "ij")
        turned = sum(part * _steps(each, name, i, j) for part, name in zip(along, ACROSS, strict=True))
        added["misorientation_error"] = ("boundary", np.std(turned, axis=0, ddof=1), {"units": "rad"})
    return pairs.assign(added)


def _with_jump_errors(pairs: xr.Dataset, crystal: xr.Dataset, label: Array, basis: Array) -> xr.Dataset:
    """Take the errors of the phase jumps from the solutions, where there are any."""
    each = np.array([boundary_kernel.phase_jumps(label, one, basis) for one in _solutions(crystal)])
    if not len(each):
        return pairs.assign_attrs(phase_jump_error_from="spread along the boundary")
    error = _turn_spread(each, pairs.phase_jump.to_numpy())
    pairs = pairs.assign(phase_jump_error=("boundary", error, {"units": "rad"}))
    return pairs.assign_attrs(phase_jump_error_from="spread of the solutions")


def _spacings(pairs: xr.Dataset, crystal: xr.Dataset, structure: Structure | None) -> xr.Dataset:
    """Add the spacing of dislocations that the misorientation asks for, and how many of them would find room."""
    burgers, made = _burgers(crystal, structure)
    angle = pairs.misorientation.to_numpy()
    spacing = np.divide(burgers, angle, out=np.full_like(angle, np.inf), where=angle > 0)
    added = {
        "spacing_nm": ("boundary", spacing, {"units": "nm"}),
        "expected_dislocations": ("boundary", 2 * np.sqrt(pairs.area_nm2.to_numpy() / np.pi) / spacing, {"units": "1"}),
    }
    rule = "below 1 the spacing is larger than the boundary: fewer than one dislocation"
    return pairs.assign(added).assign_attrs(burgers_nm=burgers, burgers_from=made, expected_dislocations_rule=rule)


def _burgers(crystal: xr.Dataset, structure: Structure | None) -> tuple[float, str]:
    """Length [nm] of the Burgers vector, and what it was taken from."""
    spacing = 2 * np.pi / float(np.linalg.norm(distorted.vector_of(crystal, "q_mean")))
    hkl = crystal.attrs.get("hkl")
    if structure is None or hkl is None:
        return spacing, f"spacing along G, as {'hkl and structure are not both given' if structure is None else WITHOUT_HKL}"
    edge = spacing * float(np.linalg.norm(np.asarray(hkl, dtype=float)))
    return edge * SHORTEST[structure], f"shortest lattice vector of {structure}, hkl {' '.join(str(int(n)) for n in hkl)}"
