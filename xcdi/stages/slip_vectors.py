"""Slip vectors: what events displaced, and whether that was shear or opening of a boundary, from several reflections of one particle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import kinematics
from xcdi.kernels.avalanches import slip_model, slips
from xcdi.stages import joint_events, reflections, slip_modelling
from xcdi.stages.strain import vector_of

__all__ = ["AXES", "NEEDED", "WANTED", "combine"]

NEEDED = 2
WANTED = ("peak", "object", "crystal", "boundaries", "correlation", "events")
AXES = ["x", "y", "z"]
SURE = 0.9  # probability from which a mode is named
VISIBLE = 2.0  # errors by which a drop must exceed nothing
REGISTERED = 3.0  # errors by which a pattern must move
EXPLAINED = 0.5  # part of the drop that may be left once the motion is undone
Build = Callable[..., slip_modelling.Scene]
MODES = ("shear", "opening", "unknown", "invisible")


class Place(NamedTuple):
    """Where events happened.

    Attributes
    ----------
    boundary : int array, shape (event,)
        Likeliest row in the table of boundaries of the first reliable result; -1 for none.
    chance : array, shape (event, boundary)
        Probability of each; 0 where nothing is known.
    normal : array, shape (boundary, 3)
        In the laboratory of that result.
    pair : int array, shape (event, 2)
        Grains that the likeliest parts; 0 for none.
    """

    boundary: np.ndarray
    chance: np.ndarray
    normal: np.ndarray
    pair: np.ndarray


def combine(
    results: Sequence[Mapping[str, xr.Dataset]],
    *,
    longest: int = 14,
    centres: int = 8,
    normal_error_deg: float = 8.0,
    seed: int = 0,
) -> xr.Dataset:
    r"""Join the events of several reflections of one particle, and say how far and in which direction each displaced its region.

    Parameters
    ----------
    results : sequence of mappings
        Each with peak, object, crystal (with the attribute sample_rotation of :func:`xcdi.stages.reflections.oriented`), boundaries,
        correlation (with its counts) and events, as of the pipeline superlattice. Two or more, not all of one line of G.
    longest : int
        Most frames on either side of an event.
    centres : int
        Places tried on each boundary.
    normal_error_deg : float
        Standard error of the normal of a boundary.
    seed : int
        Seed of the choice of the places.

    Returns
    -------
    EVENTS, dims event, reflection, axis
        `time`, `seen` (event, reflection: found there), `drop`, `drop_error` (event, reflection).

        From drops alone, where there are more reflections than dimensions of their G: `line` (axis), the direction of the slip without
        its sign; `line_error` [deg]; `line_angle`, `line_angle_error` [deg] against the boundary, `line_mode`.

        From the forward model, where two or more objects are reliable: `slip` (axis) [nm], `slip_error` (with 30 % of the length),
        `direction_error` [deg], `boundary`, `boundary_i`,
        `boundary_j`, `boundary_probability`, `grain` that moved. `shear_angle` and `shear_angle_error` [deg] between slip and the plane
        of the boundary, `shear_probability`, `mode`: "shear", "opening", "unknown" (errors too wide for either, or neither), "invisible"
        (no reflection shows more than its noise); of the model where it answers, else of the drops alone.

        Where G lie in a plane and patterns moved: `strain_xx`, `strain_yy`, `strain_xy` and `rotation` [rad] of the step in the axes
        of the attribute plane_axes, with `_error`; `registered`: a pattern moved, and that explains most of its drop.

        Vectors are in the laboratory as the first reliable result's scan had it. All slips change sign together if that object is
        the twin of the particle, where the part that moved lies at the mirrored place; angles and modes do not.

        Attributes: reflections; g; plane_axes; unseen_along, the direction that no reflection sees; unseen_slips, shortest slips that
        no reflection shows [nm]; longest_slip, to which slips are told from others [nm]; length_note; twins, twins_by; model.

    Raises
    ------
    XcdiError
        If there are fewer than two results, their G are in line, their clocks do not agree, or they are of different particles.
    SchemaError
        If a result lacks what is needed.

    Notes
    -----
    Invisible: slips across all G, and those with :math:`G \cdot \Delta u = 2\pi n` for all of them, as by a lattice vector. Beyond
    :math:`|G \cdot \Delta u| = \pi` slips alias to shorter ones. With G in one plane slip and boundary are seen projected onto it:
    opening is along the projected normal; shear is across it only where the boundary stands upright on that plane.
    Sources: invisibility as of dislocations, Hirth and Lothe, Theory of Dislocations (Wiley, 1982).
    """
    _complete(results)
    seen = [reflections.seen_of(result["crystal"], results[0]["crystal"]) for result in results]
    g = np.array([one.turn @ (vector_of(one.crystal, "q_peak") + vector_of(one.crystal, "ramp")) for one in seen])
    plane = slips.plane_of(g)
    _not_in_line(plane, seen)
    series = joint_events.watched(results)
    joint = joint_events.joined([result["events"] for result in results], series)
    table = joint_events.measured(joint, series, longest)
    chosen = slip_modelling.usable(results)
    build = partial(slip_modelling.scene_of, results, series, chosen, centres=centres, seed=seed)
    model, notes = _model(results, joint, chosen, build, longest)
    home = results[chosen[0]] if chosen else results[0]
    turned = np.eye(3) if not chosen else _turn(home["crystal"], results[0]["crystal"])
    axes = slips.Plane(plane.axes @ turned, plane.across @ turned)
    place = _places(model, home, joint, chosen)
    made = _labelled(joint, table, series, seen)
    made = made.assign(_of_drops(table, g @ plane.axes.T, axes, place, np.radians(normal_error_deg)))
    made = made.assign(_of_model(model, axes, place, np.radians(normal_error_deg), made))
    made["mode"] = made["mode"].where(~_hidden(table), "invisible")
    made = made.assign(_steps(table, results, seen, g, plane))
    return made.assign_attrs(_about(g @ turned, axes, seen, results, notes, longest, seed))


def _complete(results: Sequence[Mapping[str, xr.Dataset]]) -> None:
    """Refuse what cannot be put together."""
    if len(results) < NEEDED:
        count = f"{len(results)} result{'s' * (len(results) != 1)}"
        raise XcdiError(f"{count}; slip vectors need {NEEDED} or more reflections of one particle")
    for number, result in enumerate(results, 1):
        missing = [name for name in WANTED if name not in result]
        if missing:
            raise XcdiError(f"result {number} of {len(results)} holds no {missing[0]}; expected those of superlattice")
        crystal = result["crystal"]
        if "q_peak" not in crystal.attrs and "q_peak" not in crystal:
            raise SchemaError(f"the crystal of result {number} has no 'q_peak'; run superlattice again on its scans")
        if "sample_rotation" not in crystal.attrs:
            raise SchemaError(f"the crystal of result {number} has no 'sample_rotation'; run stages.reflections.oriented on it first")


def _not_in_line(plane: slips.Plane, seen: Sequence[reflections.Seen]) -> None:
    if len(plane.axes) < 2:
        names = ", ".join(one.name for one in seen)
        raise XcdiError(f"the G of {names} lie in one line, along which alone a slip is seen; add a reflection across it")


def _turn(crystal: xr.Dataset, first: xr.Dataset) -> np.ndarray:
    """Rotation from the laboratory of `crystal`'s scan to that of `first`."""
    return reflections.seen_of(crystal, first).turn


class _Found(NamedTuple):
    """What the model says of one event, in space."""

    vector: np.ndarray
    covariance: np.ndarray
    grain: int
    boundary: np.ndarray
    left: float


def _model(
    results: Sequence[Mapping[str, xr.Dataset]], joint: joint_events.Joint, chosen: Sequence[int], build: Build, longest: int
) -> tuple[list[_Found], dict[str, Any]]:
    """What the forward model says of all events, and with which hands; hands that nothing else tells are those that explain most."""
    names = ", ".join(reflections.name_of(results[k]["crystal"]) for k in chosen)
    if len(chosen) < NEEDED:
        return [], {"model": f"none: {len(chosen)} of {len(results)} objects are reliable and were compared with their series"}
    first = build()
    plane = slips.plane_of(first.g)
    if len(plane.axes) < 2:
        return [], {"model": f"none: the reliable objects {names} have their G in one line"}
    either = [(False, True) if one else (twin,) for one, twin in zip(first.undecided, first.twins, strict=True)]
    scenes = [build(twins=twins) if any(first.undecided) else first for twins in product(*either)]
    answers = [list(slip_modelling.modelled(joint, scene, plane, longest=longest)) for scene in scenes]
    best = int(np.argmin([_unexplained(answer) for answer in answers]))
    likeness = next((list(map(float, one.likeness)) for one in answers[best] if one.likeness), [])
    return _in_space(answers[best], plane, scenes[best]), {
        "model": f"one displacement for {names}",
        "twins": [int(twin) for twin in scenes[best].twins],
        "twins_by": "slips" if any(first.undecided) else first.twins_by,
        "view_likeness": likeness,
    }


def _unexplained(answer: Sequence[slip_modelling.Modelled]) -> float:
    """Mean part of the changes that stays unexplained."""
    left = [float(one.slip.left.mean()) for one in answer if one.slip is not None]
    return float(np.mean(left)) if left else 0.0


def _in_space(found: Sequence[slip_modelling.Modelled], plane: slips.Plane, scene: slip_modelling.Scene) -> list[_Found]:
    """Slips along the axes of the model's plane as vectors (3,) in its frame."""
    made = []
    for one in found:
        if one.slip is None:
            made.append(_Found(np.full(3, np.nan), np.full((3, 3), np.nan), 0, one.boundary, np.nan))
            continue
        vector, covariance = slip_model.full_length(one.slip, scene.g @ plane.axes.T)
        grain = scene.parts[one.slip.part].grain
        spread = plane.axes.T @ covariance @ plane.axes
        made.append(_Found(vector @ plane.axes, spread, grain, one.boundary, float(one.slip.left.mean())))
    return made


def _places(model: Sequence[_Found], home: Mapping[str, xr.Dataset], joint: joint_events.Joint, chosen: Sequence[int]) -> Place:
    """Boundary of every event: that of the model, else the one that the first reliable result names."""
    table, events = home["boundaries"], home["events"]
    normals = table["normal"].values.reshape(-1, 3)
    chance = np.zeros((len(joint.first), len(normals)))
    for k in range(len(chance)):
        if model:
            chance[k] = np.nan_to_num(model[k].boundary)
        elif chosen and "boundary" in events and joint.row[k, chosen[0]] >= 0:
            row = joint.row[k, chosen[0]]
            if int(events.boundary.values[row]) >= 0:
                chance[k, int(events.boundary.values[row])] = float(events.probability.values[row])
    known = chance.any(axis=1) if len(normals) else np.zeros(len(chance), bool)
    number = np.where(known, chance.argmax(axis=1), -1) if len(normals) else np.full(len(chance), -1)
    pairs = np.vstack([np.stack([table.i.values, table.j.values], axis=-1).reshape(-1, 2), [0, 0]]).astype(int)
    return Place(number, chance, normals, pairs[number])


def _labelled(
    joint: joint_events.Joint, table: xr.Dataset, series: Sequence[joint_events.Watched], seen: Sequence[reflections.Seen]
) -> xr.Dataset:
    """Times, and what each reflection saw."""
    times = series[0].movie.time
    frame = np.searchsorted(times, joint.last - 1e-9)
    made = xr.Dataset(
        {
            "time": ("event", joint.last, {"units": "s"}),
            "frame": ("event", frame, {"units": "1"}),
            "seen": (("event", "reflection"), joint.row >= 0, {"units": ""}),
            "row": (("event", "reflection"), joint.row, {"units": ""}),
        },
        {"reflection": [f"{number} {one.name}" for number, one in enumerate(seen, 1)], "axis": AXES},
    )
    return made.assign(drop=table["drop"], drop_error=table["drop_error"])


def _of_drops(table: xr.Dataset, g: np.ndarray, axes: slips.Plane, place: Place, normal_error: float) -> dict[str, Any]:
    """Direction and mode from the drops alone."""
    n = table.sizes["event"]
    line, error = np.full((n, 3), np.nan), np.full(n, np.nan)
    angle, wide, mode = np.full(n, np.nan), np.full(n, np.nan), np.full(n, "unknown", "<U9")
    if len(g) > g.shape[1]:
        for k in range(n):
            drops, errors = table["drop"].values[k], table["drop_error"].values[k]
            if not np.isfinite([drops, errors]).all():
                continue
            found = slips.from_drops(drops, errors, g)
            unit = found.vector / np.linalg.norm(found.vector)
            line[k], error[k] = unit @ axes.axes, np.degrees(found.error)
            spread = found.error**2 * (np.eye(len(unit)) - np.outer(unit, unit))
            turned, off, chance = _judged(unit, spread, place, k, axes, normal_error)
            angle[k], wide[k] = np.degrees(turned), np.degrees(off)
            mode[k] = _mode(chance)
    return {
        "line": (("event", "axis"), line, {"units": "1"}),
        "line_error": ("event", error, {"units": "deg"}),
        "line_angle": ("event", angle, {"units": "deg"}),
        "line_angle_error": ("event", wide, {"units": "deg"}),
        "line_mode": ("event", mode, {"units": ""}),
    }


def _hidden(table: xr.Dataset) -> xr.DataArray:
    """Events of which no reflection shows more than noise."""
    return ~(table["drop"] > VISIBLE * table["drop_error"]).any("reflection") & table["drop"].notnull().any("reflection")


def _judged(
    vector: np.ndarray, covariance: np.ndarray, place: Place, k: int, axes: slips.Plane, normal_error: float
) -> tuple[float, float, float]:
    """Angle against the likeliest boundary, its error [rad], and the probability of shear whichever boundary it was; NaN without one."""
    if place.boundary[k] < 0:
        return float("nan"), float("nan"), float("nan")
    found = [slips.shear_angle(vector, covariance, normal, axes, normal_error=normal_error) for normal in place.normal]
    chances = [slips.shear_probability(*one, normal, axes) for one, normal in zip(found, place.normal, strict=True)]
    angle, error = found[place.boundary[k]]
    fits = np.isfinite(chances)
    return angle, error, float((place.chance[k] * np.where(fits, chances, 0.5)).sum() + 0.5 * (1 - place.chance[k].sum()))


def _mode(chance: float) -> str:
    return "shear" if chance >= SURE else "opening" if chance <= 1 - SURE else "unknown"


def _of_model(model: Sequence[_Found], axes: slips.Plane, place: Place, normal_error: float, made: xr.Dataset) -> dict[str, Any]:
    """Slip, its angle against the boundary and its mode; the latter two from the drops where the model is silent."""
    n = made.sizes["event"]
    slip, error, off_way = np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.full(n, np.nan)
    angle, wide, mode = (made[name].values.copy() for name in ("line_angle", "line_angle_error", "line_mode"))
    chance, grain, left = np.full(n, np.nan), np.zeros(n, int), np.full(n, np.nan)
    for k, one in enumerate(model):
        if not np.isfinite(one.vector).all():
            continue
        slip[k], error[k] = one.vector, np.sqrt(np.maximum(np.diagonal(one.covariance), 0.0))
        vector, covariance = axes.axes @ one.vector, axes.axes @ one.covariance @ axes.axes.T
        off_way[k] = _off_way(vector, covariance)
        turned, off, chance[k] = _judged(vector, covariance, place, k, axes, normal_error)
        angle[k], wide[k], grain[k], left[k] = np.degrees(turned), np.degrees(off), one.grain, one.left
        mode[k] = _mode(chance[k])
    return {
        "slip": (("event", "axis"), slip, {"units": "nm"}),
        "slip_error": (("event", "axis"), error, {"units": "nm"}),
        "direction_error": ("event", off_way, {"units": "deg"}),
        "unexplained": ("event", left, {"units": "1"}),
        "shear_angle": ("event", angle, {"units": "deg"}),
        "shear_angle_error": ("event", wide, {"units": "deg"}),
        "shear_probability": ("event", chance, {"units": "1"}),
        "mode": ("event", mode, {"units": ""}),
        "grain": ("event", grain, {"units": ""}),
        "boundary": ("event", place.boundary, {"units": ""}),
        "boundary_i": ("event", place.pair[:, 0], {"units": ""}),
        "boundary_j": ("event", place.pair[:, 1], {"units": ""}),
        "boundary_probability": ("event", _chance(place), {"units": "1"}),
    }


def _off_way(vector: np.ndarray, covariance: np.ndarray) -> float:
    """Standard error of the direction of a vector (d,) [deg]: the mean of those across it, over its length."""
    square = float(vector @ vector)
    across = float(np.trace(covariance) - vector @ covariance @ vector / square) / (len(vector) - 1)
    return float(np.degrees(np.sqrt(max(across, 0.0) / square)))


def _chance(place: Place) -> np.ndarray:
    """Probability of the likeliest boundary; NaN without one."""
    return np.where(place.boundary >= 0, place.chance.max(axis=1, initial=0.0), np.nan)


def _steps(
    table: xr.Dataset, results: Sequence[Mapping[str, xr.Dataset]], seen: Sequence[reflections.Seen], g: np.ndarray, plane: slips.Plane
) -> dict[str, Any]:
    """Step of strain and rotation at every event, from the shifts of the patterns; nothing where the G lie in no plane."""
    n = table.sizes["event"]
    if len(plane.axes) != 2:
        return {}
    shifts = np.stack([table.shift_row.values, table.shift_column.values], axis=-1)
    steps = [one.turn @ result["peak"].q_basis.to_numpy() for one, result in zip(seen, results, strict=True)]
    rows, columns = (np.array([plane.axes @ step[:, index] for step in steps]) for index in (1, 2))
    found = kinematics.distortion_steps(shifts, table.shift_error.values, g @ plane.axes.T, rows, columns)
    strain, strain_error, turn = np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.full((n, 2), np.nan)
    for k, one in enumerate(found):
        if one is not None:
            strain[k], strain_error[k], turn[k] = one.strain, one.strain_error, (one.rotation, one.rotation_error)
    moved = (np.abs(shifts) > REGISTERED * table.shift_error.values[..., None]).any(axis=-1)
    moved = (moved & (table.drop_left.values < EXPLAINED * table["drop"].values)).any(axis=-1)
    columns_of = {f"strain_{name}": strain[:, k] for k, name in enumerate(("xx", "yy", "xy"))}
    columns_of |= {f"strain_{name}_error": strain_error[:, k] for k, name in enumerate(("xx", "yy", "xy"))}
    made: dict[str, Any] = {name: ("event", values, {"units": "1"}) for name, values in columns_of.items()}
    made |= {name: ("event", turn[:, k], {"units": "rad"}) for k, name in enumerate(("rotation", "rotation_error"))}
    return made | {"registered": ("event", moved, {"units": ""})}


def _about(
    g: np.ndarray,
    axes: slips.Plane,
    seen: Sequence[reflections.Seen],
    results: Sequence[Mapping[str, xr.Dataset]],
    notes: Mapping[str, Any],
    longest: int,
    seed: int,
) -> dict[str, Any]:
    """Attributes that say what was put together, and what cannot be seen."""
    inside = g @ axes.axes.T
    first = results[0]["events"].attrs
    hidden = slips.invisible_vectors(inside) @ axes.axes
    alone = len(axes.across) == 1
    return {name: first[name] for name in ("scan", "beamline", "source", "clock", "series_start", "window") if name in first} | {
        "reflections": ", ".join(one.name for one in seen),
        "g": g.ravel().tolist(),
        "plane_axes": axes.axes.ravel().tolist(),
        "unseen_along": axes.across[0].tolist() if alone else "nothing",
        "unseen_slips": hidden.ravel().tolist(),
        "longest_slip": float(slips.reach(inside, inside / np.linalg.norm(inside, axis=1, keepdims=True)).min()),
        "slip_is": "its projection onto the plane of G" if alone else "the whole vector",
        "length_note": "errors include 30 % of the length: a larger region that slips less looks alike",
        "longest": longest,
        "seed": seed,
        **joint_events.told_starts(results),
        **notes,
    }
