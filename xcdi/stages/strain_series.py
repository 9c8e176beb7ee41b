"""One particle over time: its states in one frame, what changed between them, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import boundary_motion, registration, resampling, strain
from xcdi.kernels.avalanches import grains
from xcdi.kernels.phasing import alignment
from xcdi.schema import LAB
from xcdi.stages import boundary_changes, state_checks
from xcdi.stages import state_frame as frame
from xcdi.stages.state_frame import Grid, State
from xcdi.stages.strain import vector_of

__all__ = ["Against", "series", "started", "starts", "with_ensemble"]

Against = Literal["first", "previous"]
AXES = ["x", "y", "z"]
STEPS = ("strain_step", "tilt_1_step", "tilt_2_step")
PERFECT = 0.75  # order above which a voxel belongs to a perfect grain: what grains are merged at
STATE = ("state", *LAB)


def series(
    crystals: Sequence[xr.Dataset],
    *,
    times: Sequence[float] | None = None,
    time_from: str = "as given",
    against: Against = "first",
    sigmas: float = 3.0,
) -> xr.Dataset:
    r"""Bring the states of one particle into one frame and measure what changed.

    .. math:: \Delta u = -\arg(\rho_k \rho_0^*) / |G|, \qquad \Delta\varepsilon = -\nabla\arg(\rho_k\rho_0^*)\cdot\hat G / |G|

    Parameters
    ----------
    crystals : sequence of CRYSTAL
        In order of time, each from :func:`xcdi.stages.grains.grains`; those of two or more scans of one reflection.
    times : sequence of float, optional
        Of the states [s]; by default of the :func:`starts` of the scans, NaN where they are not known.
    time_from : str
        What `times` are, for the attribute of that name.
    against : str
        Changes are relative to the ``"first"`` state that is not unreliable, or to the ``"previous"`` one.
    sigmas : float
        Errors that a voxel must have changed by to count as changed.

    Returns
    -------
    Dataset
        On the grid of the first state that can be relied on, (state, z, y, x): `amplitude`, `support`, `grain` (numbers of the
        first state), `strain`, `displacement_change` [nm], `strain_change`, their `_error` where all states have errors,
        `displaced` and, inside of grains, `strained` (changed significantly). Per state: `time` [s], `grade`, `strain_step`,
        `tilt_1_step`, `tilt_2_step` [rad] with errors, `mean_d_spacing` [nm] of q_mean, `overlap`, `twin`, `twin_margin`,
        `amplitude_overlap` and `local_overlap` with the first one (of the moduli; of parts a few voxels wide, each of any phase),
        `shift` (axis) [nm] by which it was moved and its error, `order` (scatter over the solutions as its error), `perfect`,
        `boundary_area` [nm2] (of smooth surfaces, grooves closed), `grains`. Per (state, boundary) of the first state:
        `boundary_shift` [nm], positive where grain i grew, `swept_volume` [nm3], `area_change` [nm2], `jump_change` [rad],
        `slip` [nm along G], with errors; i, j, `area`, `normal` (NaN where one grain lies around the other), `centroid`. Numbers of
        an unreliable state are NaN, and of one that does not look like the first (see the attribute warning); its maps of
        amplitude and strain are there.

    Raises
    ------
    XcdiError
        If there are fewer than two crystals that can be compared: reliable, of one reflection, of one particle; if two are
        the same result, or if times fall.

    Notes
    -----
    The steps are strain and turn of the largest part that moved alike (a slip at a boundary changes q_mean, but strains no
    lattice); its displacement is zero, and `strain_change`, taken grain by grain, is what comes on top of `strain_step`. `shift`
    says nothing of the sample: the place of a phased object is free. So is the hand of the whole series, that of the first state. A
    change of phase by 2 pi (slip of whole planes) is none. States are phased one by one; each is laid upon the first alone.
    Of 6 simulated particles of 3 to 5 grains that slipped without any strain or motion of boundaries, true errors were 0.9 to 1.0
    (robust; 1.2 to 1.4 rms) times the stated ones of steps and boundary shifts, 0.6 (five) and 1.8 (one) rms of those of jumps;
    1 % were `strained`.
    Source of the difference by ratio: Yang et al., J. Appl. Cryst. 55, 1184 (2022).
    """
    usable = [crystal.attrs.get("grade") != "unreliable" for crystal in crystals]
    state_checks.check(crystals, usable)
    first = usable.index(True)
    grid = frame.common_grid(crystals, first)
    states, others = state_checks.without_others(frame.registered(crystals, usable, grid, first), first)
    usable = [state.usable for state in states]
    before = [_before(k, usable, first, against) for k in range(len(states))]
    g = vector_of(crystals[first], "q_mean")
    found = xr.Dataset(coords=_coordinates(grid, len(states)))
    found = found.assign(_times(starts(crystals) if times is None else times, len(states))).assign(_maps(states, before, g, grid, sigmas))
    found = found.assign(_scalars(crystals, states, before, first, grid)).assign(
        boundary_changes.boundaries(states, before, first, g, grid)
    )
    notes = _notes(crystals, first, g, against, sigmas)
    doubts = "; ".join([*others, *_guessed(found)])
    told = _time_from(crystals, found.time.to_numpy(), "start of each scan" if times is None else time_from)
    return found.assign_attrs(notes | {"time_from": told} | ({"warning": doubts} if doubts else {}))


def started(crystal: xr.Dataset) -> float:
    """Seconds since 1970 at which the scan of a crystal began, of the attribute start_time, UTC without a zone; NaN where it has none.

    Examples
    --------
    >>> started(xr.Dataset(attrs={"start_time": "1970-01-01T00:01:00+00:00"}))
    60.0
    """
    when = _start(crystal)
    if when is None:
        return float("nan")
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def starts(crystals: Sequence[xr.Dataset]) -> list[float]:
    """Seconds since 1970 at which the scans began; all NaN where some start times have a zone and others none, which cannot be compared."""
    return [float("nan")] * len(crystals) if _zones_differ(crystals) else [started(crystal) for crystal in crystals]


def _start(crystal: xr.Dataset) -> datetime | None:
    try:
        return datetime.fromisoformat(str(crystal.attrs.get("start_time")))
    except ValueError:
        return None


def _zones_differ(crystals: Sequence[xr.Dataset]) -> bool:
    """Whether some start times have a time zone and others none."""
    return len({when.tzinfo is None for when in map(_start, crystals) if when is not None}) > 1


def with_ensemble(crystal: xr.Dataset, phased: xr.Dataset) -> xr.Dataset:
    """Add to a crystal how its mean wave vector and its order vary over the solutions of its OBJECT.

    Attributes q_mean_error (x, y, z) [1/nm] and order_error; none where there is one solution.
    """
    if "solutions" not in phased or phased.sizes["solution"] < 2:
        return crystal
    inside, basis = phased.support.to_numpy(), phased.voxel_basis.to_numpy().astype(float)
    ramps = [np.asarray(strain.mean_gradient(np.where(inside, one, 0)), dtype=float) for one in phased.solutions.to_numpy()]
    spread = np.std(np.array(ramps) @ np.linalg.inv(basis), axis=0, ddof=1)
    return crystal.assign_attrs(q_mean_error=spread.tolist(), order_error=_order_error(crystal, phased.solutions.to_numpy(), basis))


def _order_error(crystal: xr.Dataset, solutions: Array, basis: Array) -> float:
    """Scatter of the mean order over solutions (solution, n0, n1, n2), each on the grid of the crystal."""
    support = crystal.support.to_numpy()
    middle = [float(crystal[dim][crystal.sizes[dim] // 2]) for dim in "xyz"]
    onto: dict[str, Any] = {"voxel": frame.edges_of(crystal), "shape": support.shape, "centre": middle}
    means = [grains.order(resampling.resample(one, basis, **onto), support)[support].mean() for one in solutions]
    return float(np.std(means, ddof=1))


def _before(k: int, usable: list[bool], first: int, against: Against) -> int:
    """Number of the state that state `k` is compared with."""
    earlier = [n for n in range(first, k) if usable[n]]
    return earlier[-1] if against == "previous" and earlier else first


def _coordinates(grid: Grid, count: int) -> dict[str, Any]:
    lines = {dim: (dim, line, {"units": "nm"}) for dim, line in zip(LAB, grid.lines, strict=True)}
    return {"state": ("state", np.arange(count), {"units": ""}), "axis": AXES, **lines}


def _times(times: Sequence[float], count: int) -> dict[str, Any]:
    """Time [s] after the first known one; NaN where none is known."""
    seconds = np.array(times, dtype=float)
    if len(seconds) != count:
        raise XcdiError(f"{len(seconds)} times of {count} states; give one for each")
    where = np.flatnonzero(np.isfinite(seconds))
    known = seconds[where]
    if (np.diff(known) < 0).any():
        at = int(np.flatnonzero(np.diff(known) < 0)[0])
        raise XcdiError(f"state {where[at + 1]} of the series began before state {where[at]}; give the results in order of time")
    return {"time": ("state", seconds - known[0] if known.size else seconds, {"units": "s"})}


def _time_from(crystals: Sequence[xr.Dataset], seconds: Array, told: str) -> str:
    """What the times are, or why they are not known."""
    unknown = int(np.count_nonzero(~np.isfinite(seconds)))
    differ = unknown == len(seconds) and _zones_differ(crystals)
    why = ": some start times have a time zone and others have none" if differ else ""
    return f"order given; {unknown} states have no known time{why}" if unknown else told


def _maps(states: list[State], before: list[int], g: Array, grid: Grid, sigmas: float) -> dict[str, Any]:
    """Maps of all states and of their changes."""
    basis = resampling.lab_basis(grid.voxel)
    values: dict[str, list[Array]] = {}
    for state, number in zip(states, before, strict=True):
        for name, map_ in _of_state(state, states[number], g, basis, sigmas).items():
            values.setdefault(name, []).append(map_)
    units = {"displacement_change": "nm", "displacement_change_error": "nm", "support": "", "grain": "", "displaced": "", "strained": ""}
    return {name: (STATE, np.stack(maps), {"units": units.get(name, "1")}) for name, maps in values.items() if len(maps) == len(states)}


def _of_state(state: State, other: State, g: Array, basis: Array, sigmas: float) -> dict[str, Array]:
    """Maps of one state, and of its change since another."""
    both = state.support & other.support
    ratio = frame.ratio(state, other)
    slope, stayed = _within_grains(ratio, state, other, basis)
    along = strain.directions(g)[0]
    own = strain.gradient(state.rho, basis)
    mean = np.array([np.average(part, weights=np.abs(state.rho) ** 2) for part in own]).reshape(3, 1, 1, 1)
    known = both & state.usable
    maps = {
        "amplitude": np.where(state.support, np.abs(state.rho), 0),
        "strain": np.where(state.support, strain.distortion(own - mean, g, along), np.nan),
        "displacement_change": np.where(known, strain.displacement(np.angle(ratio), g), np.nan),
        "strain_change": np.where(known & stayed, strain.distortion(slope, g, along), np.nan),
    }
    for name, error in _errors(state, other, g).items():
        maps[f"{name}_error"] = np.where(known, error, np.nan)
        told, sure = ("displaced", known) if name == "displacement_change" else ("strained", known & _inner(state, stayed))
        maps[told] = sure & (np.abs(np.nan_to_num(maps[name])) > sigmas * np.where(np.isnan(error), np.inf, error))
    return {"support": state.support, "grain": state.grain} | {n: m if m.dtype == bool else m.astype(np.float32) for n, m in maps.items()}


def _within_grains(ratio: Array, state: State, other: State, basis: Array) -> tuple[Array, Array]:
    """Phase gradient (3, z, y, x) of a ratio, grain by grain, for a slip strains no lattice; and the voxels that kept their grain."""
    stayed = (state.grain == other.grain) & (state.grain > 0)
    slope = np.zeros((3, *ratio.shape))
    for number in np.unique(state.grain[stayed]):
        inside = stayed & (state.grain == number)
        slope += np.where(inside, strain.gradient(ratio, basis, inside), 0)
    return slope, stayed


def _inner(state: State, stayed: Array) -> Array:
    """Voxels with all their neighbours in their grain, in both states: the outermost ones mix two phases."""
    return np.asarray(grains.interior(np.where(stayed, state.grain, 0)) & stayed)


def _errors(state: State, other: State, g: Array) -> dict[str, Array]:
    """Errors of the changes of displacement and strain, where both states have theirs."""
    found = {}
    if state.phase_error is not None and other.phase_error is not None:
        found["displacement_change"] = np.hypot(state.phase_error, other.phase_error) / float(np.linalg.norm(g))
    if state.strain_error is not None and other.strain_error is not None:
        found["strain_change"] = np.hypot(state.strain_error, other.strain_error)
    return found


def _scalars(crystals: Sequence[xr.Dataset], states: list[State], before: list[int], first: int, grid: Grid) -> dict[str, Any]:
    """One number per state."""
    rows = []
    for k, (crystal, state) in enumerate(zip(crystals, states, strict=True)):
        other = states[before[k]]
        row = _structure(state, grid) | _steps((crystal, crystals[before[k]]), (state, other), grid)
        row |= {
            "order_error": float(crystal.attrs.get("order_error", np.nan)),
            "overlap": alignment.overlap(other.rho, state.rho),
            "mean_d_spacing": 2 * np.pi / float(np.linalg.norm(vector_of(crystal, "q_mean"))),
        }
        rows.append(row if state.usable else dict.fromkeys(row, np.nan))
    units = {"boundary_area": "nm2", "mean_d_spacing": "nm"} | {f"{n}{e}": "rad" for n in STEPS[1:] for e in ("", "_error")}
    values: dict[str, Any] = {n: ("state", np.array([row[n] for row in rows], dtype=float), {"units": units.get(n, "1")}) for n in rows[0]}
    for name in ("shift", "shift_error"):
        moved = [getattr(s.how, name)[::-1] * grid.voxel[::-1] if s.usable else np.full(3, np.nan) for s in states]
        values[name] = (("state", "axis"), np.stack(moved), {"units": "nm"})
    values["grade"] = ("state", np.array([str(crystal.attrs.get("grade", "not graded")) for crystal in crystals]), {"units": ""})
    for name, likeness in zip(("amplitude_overlap", "local_overlap"), np.transpose(state_checks.likeness(states, first)), strict=True):
        values[name] = ("state", likeness, {"units": "1"})
    values["twin"] = ("state", np.array([state.how.twin for state in states]), {"units": ""})
    values["twin_margin"] = ("state", np.array([s.how.margin if s.usable else np.nan for s in states]), {"units": "1"})
    return values


def _structure(state: State, grid: Grid) -> dict[str, float]:
    """How well ordered a state is: 1 for one perfect grain."""
    order = grains.order(state.rho, state.support)[state.support]
    return {
        "order": float(order.mean()),
        "perfect": float(np.mean(order > PERFECT)),
        "boundary_area": boundary_motion.total_area(state.whole, grid.voxel),
        "grains": float(len(np.unique(state.grain[state.grain > 0]))),
    }


def _steps(crystals: tuple[xr.Dataset, xr.Dataset], states: tuple[State, State], grid: Grid) -> dict[str, float]:
    """Strain and turn, since another state, of the lattice of the largest part that moved alike; errors NaN without those of q_mean."""
    if states[0] is states[1]:
        return {f"{name}{e}": 0.0 for name in STEPS for e in ("", "_error")}
    waves = [vector_of(one, "q_peak") + np.asarray(one.attrs.get("ramp", np.zeros(3)), dtype=float) for one in crystals]
    (own, ramp), (other, before) = zip(waves, (state.how.ramp for state in states), strict=True)
    product = frame.product(*states)
    step = own - other + ((ramp - before + registration.levelled(product)[0]) / grid.voxel)[::-1]
    error = (registration.ramp_error(product) / grid.voxel)[::-1]
    spread = [error, *(np.asarray(one.attrs.get("q_mean_error", np.full(3, np.nan)), dtype=float) for one in crystals)]
    found, g = {}, vector_of(crystals[1], "q_mean")
    for name, along in zip(STEPS, strain.directions(g), strict=True):
        found[name] = float(strain.distortion(step, g, along))
        found[f"{name}_error"] = float(np.sqrt(sum(((along * one) ** 2).sum() for one in spread)) / np.linalg.norm(g))
    return found


def _notes(crystals: Sequence[xr.Dataset], first: int, g: Array, against: Against, sigmas: float) -> dict[str, Any]:
    """What the maps are relative to."""
    return {
        "q_mean": g.tolist(),
        "q_peak": list(crystals[first].attrs["q_peak"]),
        "reference": first,
        "against": against,
        "sigmas": sigmas,
        "scans": " ".join(str(crystal.attrs.get("scan", "?")) for crystal in crystals),
        "hand": "that of the first state, by amplitude and phase",
    }


def _guessed(found: xr.Dataset) -> list[str]:
    """Warning of the states whose hand is a guess."""
    doubtful = ", ".join(map(str, np.flatnonzero(found.twin_margin.to_numpy() < registration.AMBIGUOUS)))
    told = f"the hand of state {doubtful} is a guess: turned inside out it fits as well; its changes may be of the wrong place"
    return [told] if doubtful else []
