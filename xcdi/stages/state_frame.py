"""The frame that the states of one particle are brought into: one grid, one place, one hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.kernels import boundary_motion, registration, resampling
from xcdi.kernels.avalanches import boundaries
from xcdi.kernels.registration import Registration
from xcdi.schema import LAB
from xcdi.stages.strain import basis_of, object_of, vector_of

__all__ = ["Grid", "State", "common_grid", "edges_of", "product", "ratio", "registered"]

ROOM = 4  # voxels around the crystals, for them to move


class Grid(NamedTuple):
    """Upright grid of the whole series: coordinates (z, y, x) [nm], and edges of a voxel."""

    lines: tuple[Array, Array, Array]
    voxel: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        a, b, c = (len(line) for line in self.lines)
        return a, b, c


class State(NamedTuple):
    """One state in the frame of the series; maps (z, y, x)."""

    rho: Array
    support: Array
    grain: Array
    whole: Array  # grains, the grooves between them closed
    phase_error: Array | None
    strain_error: Array | None
    how: Registration
    drawn: Array  # how far its grains truly lie from where they are drawn, z, y, x [nm]
    usable: bool


def common_grid(crystals: Sequence[xr.Dataset], first: int) -> Grid:
    """Voxels of the first state, over what any of the crystals reaches and some room."""
    own = crystals[first]
    voxel = edges_of(own)
    lines = []
    for dim, edge in zip(LAB, voxel, strict=True):
        line = own[dim].to_numpy()
        ends = np.array([crystal[dim].to_numpy()[[0, -1]] for crystal in crystals])
        below, above = (int(np.ceil(away / edge - 1e-6)) + ROOM for away in (line[0] - ends[:, 0].min(), ends[:, 1].max() - line[-1]))
        lines.append(line[0] + edge * np.arange(-below, len(line) + above))
    return Grid((lines[0], lines[1], lines[2]), voxel)


def edges_of(crystal: xr.Dataset) -> Array:
    """Edges of a voxel (z, y, x) [nm]."""
    return np.asarray(np.linalg.norm(basis_of(crystal), axis=0))


def registered(crystals: Sequence[xr.Dataset], usable: list[bool], grid: Grid, first: int) -> list[State]:
    """All states, registered to the first that can be relied on."""
    target = _resampled(crystals[first], grid)
    states = []
    for k, crystal in enumerate(crystals):
        rho = target if k == first else _resampled(crystal, grid)
        how = Registration(False, np.nan, np.zeros(3), np.zeros(3), np.zeros(3), 0.0, 1.0, 1.0)
        states.append(_state(crystal, rho, how if k == first else registration.register(rho, target), grid, usable[k]))
    named = states[first].grain
    return [_named(state, boundary_motion.match_labels(state.grain, named)) for state in states]


def _named(state: State, grain: Array) -> State:
    """A state with other numbers of its grains."""
    return state._replace(grain=grain, whole=boundaries.filled(grain))


def _resampled(crystal: xr.Dataset, grid: Grid) -> Array:
    """The complex object on the grid of the series; exact for its band."""
    middle = [line[len(line) // 2] - crystal[dim].to_numpy()[crystal.sizes[dim] // 2] for dim, line in zip(LAB, grid.lines, strict=True)]
    rho = object_of(crystal).astype(np.complex64)
    return resampling.resample(rho, basis_of(crystal), voxel=grid.voxel, shape=grid.shape, centre=middle[::-1])


def _state(crystal: xr.Dataset, rho: Array, how: Registration, grid: Grid, usable: bool) -> State:
    nearest, drawn = _sources(crystal, how, grid)
    support = _taken(crystal.support.to_numpy(), nearest)
    grain = _taken(crystal.grain.to_numpy(), nearest)
    of_phase, of_strain = (None if error is None else _taken(error, nearest) for error in _errors(crystal))
    there = np.where(support, registration.apply(rho, how), 0)
    return State(there, support, grain, grain, of_phase, of_strain, how, drawn, usable)


def _errors(crystal: xr.Dataset) -> tuple[Array | None, Array | None]:
    """Standard errors of phase [rad] and strain, as :func:`xcdi.stages.strain.field` found them; None where it knew of none."""
    if "displacement_error" not in crystal or "strain_error" not in crystal:
        return None, None
    length = float(np.linalg.norm(vector_of(crystal, "q_mean")))
    return crystal.displacement_error.to_numpy() * length, crystal.strain_error.to_numpy()


def _sources(crystal: xr.Dataset, how: Registration, grid: Grid) -> tuple[list[Array], Array]:
    """Index in the crystal of what belongs on every line of the grid (-1 for none), and what the rounding leaves [nm]."""
    nearest, drawn = [], np.zeros(3)
    for axis, (dim, line) in enumerate(zip(LAB, grid.lines, strict=True)):
        edge, middle, own = grid.voxel[axis], line[len(line) // 2], crystal[dim].to_numpy()
        way = -1.0 if how.twin else 1.0
        place = middle + way * (line - middle - how.shift[axis] * edge)
        index = np.rint((place - own[0]) / (own[1] - own[0])).astype(int)
        inside = (index >= 0) & (index < len(own))
        if inside.any():
            drawn[axis] = way * float(np.mean(own[index[inside]] - place[inside]))
        nearest.append(np.where(inside, index, -1))
    return nearest, drawn


def _taken(values: Array, nearest: list[Array]) -> Array:
    """Map on the grid of the series; 0 outside the crystal's own."""
    padded = np.pad(values, ((0, 1),) * 3)  # index -1 is the padding
    return np.asarray(padded[np.ix_(*nearest)])


def product(state: State, other: State) -> Array:
    """Product of a state with the conjugate of another, 0 outside either."""
    return np.where(state.support & other.support, state.rho * np.conj(other.rho), 0)


def ratio(state: State, other: State) -> Array:
    """Product of a state with the conjugate of another, without the ramp and phase that most of it agrees on."""
    both = product(state, other)
    return registration.without_ramp(both, *registration.levelled(both))
