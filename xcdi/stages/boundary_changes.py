"""Boundaries between the grains of one particle over time: how each moved, and slipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xcdi.backend import Array
from xcdi.kernels import boundary_motion
from xcdi.stages import state_frame
from xcdi.stages.state_frame import Grid, State

__all__ = ["CHANGES", "boundaries"]

CHANGES = {
    **{f"boundary_shift{e}": "nm" for e in ("", "_error")},
    **{f"swept_volume{e}": "nm3" for e in ("", "_error")},
    "area_change": "nm2",
    **{f"jump_change{e}": "rad" for e in ("", "_error")},
    **{f"slip{e}": "nm" for e in ("", "_error")},
}


def boundaries(states: list[State], before: list[int], first: int, g: Array, grid: Grid) -> dict[str, Any]:
    """Boundaries of the first state, and how each moved and slipped."""
    named = states[first].whole
    pairs = boundary_motion.pairs(named)
    faces = [boundary_motion.face(named, pair, grid.voxel) for pair in pairs]
    kept = [(pair, face) for pair, face in zip(pairs, faces, strict=True) if face is not None]
    middle = np.array([line[len(line) // 2] for line in grid.lines])
    both = np.array([pair for pair, _ in kept], dtype=np.int16).reshape(-1, 2)
    values: dict[str, Any] = {name: ("boundary", both[:, n], {"units": ""}) for n, name in enumerate(("boundary_i", "boundary_j"))}
    values["area"] = ("boundary", np.array([face.area for _, face in kept]), {"units": "nm2"})
    for name, unit, vectors in (
        ("centroid", "nm", [(face.centroid + middle)[::-1] for _, face in kept]),
        ("normal", "1", [face.normal[::-1] for _, face in kept]),
    ):
        values[name] = (("boundary", "axis"), np.array(vectors).reshape(-1, 3), {"units": unit})
    table = [_all_boundaries(state, states[n], [pair for pair, _ in kept], g, grid) for state, n in zip(states, before, strict=True)]
    for name, unit in CHANGES.items():
        numbers = np.array([[one[name] for one in row] for row in table], dtype=float).reshape(len(states), len(kept))
        values[name] = (("state", "boundary"), numbers, {"units": unit})
    return values


def _all_boundaries(state: State, other: State, pairs: Sequence[tuple[int, int]], g: Array, grid: Grid) -> list[dict[str, float]]:
    """Changes of all boundaries from one state to another; none from a state to itself."""
    if state is other:
        return [dict.fromkeys(CHANGES, 0.0) for _ in pairs]
    if not state.usable:
        return [dict.fromkeys(CHANGES, np.nan) for _ in pairs]
    ratio, error = state_frame.ratio(state, other), None
    if state.phase_error is not None and other.phase_error is not None:
        error = np.hypot(state.phase_error, other.phase_error)
    rows = []
    for pair in pairs:
        jump = boundary_motion.jump_change(ratio, state.whole, other.whole, pair, phase_error=error)
        moved = _moved_boundary(state, other, pair, grid)
        rows.append(moved if np.isnan(moved["boundary_shift"]) else moved | _slipped(jump, g))
    return rows


def _moved_boundary(state: State, other: State, pair: tuple[int, int], grid: Grid) -> dict[str, float]:
    """How far a boundary moved, by its part outside of grooves, where it is seen; NaN where it is missing in either state."""
    own, before = (boundary_motion.face(one.whole, pair, grid.voxel) for one in (state, other))
    if own is None or before is None:
        return dict.fromkeys(CHANGES, np.nan)
    moved = boundary_motion.motion(state.grain, other.grain, pair, grid.voxel, drawn=state.drawn - other.drawn)
    normal = before.vector / before.area * grid.voxel
    placed = sum(((normal * one.how.shift_error) ** 2).sum() for one in (state, other))
    error = float(np.sqrt(moved.shift_error**2 + placed))
    numbers = (moved.shift, error, moved.shift * before.area, error * before.area, own.area - before.area)
    return dict(zip(CHANGES, numbers, strict=False))


def _slipped(jump: tuple[float, float], g: Array) -> dict[str, float]:
    """Change of the phase jump at a boundary, and the slip along G that it is."""
    length = float(np.linalg.norm(g))
    return {"jump_change": jump[0], "jump_change_error": jump[1], "slip": -jump[0] / length, "slip_error": jump[1] / length}
