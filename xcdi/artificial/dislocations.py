"""Dislocations: lines around which the lattice is displaced by a whole Burgers vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.instrument import orientation, sampling
from xcdi.artificial.profiles import Profile

__all__ = ["BURGERS", "Dislocation", "burgers_vectors", "core_amplitude", "displaced", "draw", "wall"]

Grid = NDArray[Any]
POISSON = 0.33
BURGERS = ((1, 1, 0), (1, 0, 1), (0, 1, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1))  # of fcc, times a / 2


@dataclass(frozen=True)
class Dislocation:
    """One straight line.

    Attributes
    ----------
    kind : str
        ``"screw"``, ``"edge"`` or ``"wall"`` (an edge line that belongs to a low-angle wall).
    grain : int
        Cell, from 0, that it lies in; -1 for all.
    point : array, shape (3,)
        A point (x, y, z) on it [nm].
    line : array, shape (3,)
        Unit vector along it.
    burgers : array, shape (3,)
        Burgers vector (x, y, z) [nm]; ``G . b = 2 pi``.
    """

    kind: str
    grain: int
    point: NDArray[np.float64]
    line: NDArray[np.float64]
    burgers: NDArray[np.float64]


def draw(p: Profile, points: Grid, cell: Grid, deep: Grid, rng: np.random.Generator) -> list[Dislocation]:
    """Draw the screw and edge lines of profile `p`, each through a random voxel that is `deep` inside a grain.

    A screw line stands along the beam. An edge line lies across its Burgers vector and as near as can be across y.
    Burgers vectors are of type ``a/2 <110>``, and ``G . b`` of the first peak is 2 pi.
    """
    lines = []
    home = deep if deep.any() else np.ones(deep.shape, bool)
    screws, edges = rng.spawn(2)
    for kind, source, number in (("screw", screws, p.screws), ("edge", edges, p.edges)):
        for child in source.spawn(number):
            chosen = child.integers(np.count_nonzero(home))
            burgers = burgers_vectors(p)
            vector = burgers[child.integers(len(burgers))]
            along = np.array([0.0, 0, 1]) if kind == "screw" else _across(vector)[1]
            lines.append(Dislocation(kind, int(cell[home][chosen]), points[home][chosen], along, vector))
    return lines + wall(p)


def burgers_vectors(p: Profile) -> list[NDArray[np.float64]]:
    """Lattice vectors ``a/2 <110>`` (x, y, z) [nm] that the first peak sees as one turn; of other reflections, a period along G."""
    period = 2 * np.pi / p.q_peak
    half = period * np.linalg.norm(p.reflections[0]) / 2
    whole = [orientation(p) @ np.array(b) * half for b in BURGERS if abs(np.dot(b, p.reflections[0])) == 2]
    signed = [b * np.sign(b @ sampling(p).peak) for b in whole]
    return signed or [period * sampling(p).directions[0]]


def _across(burgers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors across a Burgers vector: as near to y as can be, and along the edge line."""
    one = burgers / np.linalg.norm(burgers)
    up = np.array([0.0, 1, 0]) - one[1] * one
    up /= np.linalg.norm(up)
    return up, np.cross(one, up)


def wall(p: Profile) -> list[Dislocation]:
    """Return the edge lines of a low-angle wall through the middle: their spacing is ``b / tilt`` (Read and Shockley, 1950)."""
    if not p.wall_deg:
        return []
    burgers = burgers_vectors(p)[0]
    up, line = _across(burgers)
    spacing = np.linalg.norm(burgers) / np.deg2rad(p.wall_deg)
    half = int(max(p.size_nm) / spacing) + 2
    heights = (np.arange(-half, half) + 0.5) * spacing
    return [Dislocation("wall", -1, height * up, line, burgers) for height in heights]


def _plane(line: Dislocation, points: Grid) -> tuple[Grid, Grid, Grid, Grid]:
    """Two unit vectors across the line, and the positions along them [nm]: along b and up for an edge, x and y for a screw."""
    if line.kind == "screw":
        one, other = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    else:
        one, other = line.burgers / np.linalg.norm(line.burgers), _across(line.burgers)[0]
    away = points - line.point
    return one, other, away @ one, away @ other


def displaced(line: Dislocation, p: Profile, points: Grid) -> tuple[Grid, Grid]:
    r"""Return the displacement (3, z, y, x) [nm] around a line, and its gradient (3, 3, z, y, x), vectors x, y, z.

    Isotropic elasticity (Hirth and Lothe, Theory of Dislocations, 1982, chapter 3): the angle about the line times
    ``b / 2 pi``, and for an edge line

    .. math:: u_x = \frac{b}{2\pi} \left[\theta + \frac{xy}{2(1-\nu) r^2}\right], \quad
              u_y = -\frac{b}{2\pi} \left[\frac{1-2\nu}{4(1-\nu)} \ln r^2 + \frac{x^2 - y^2}{4(1-\nu) r^2}\right]
    """
    one, other, x, y = _plane(line, points)
    square = np.maximum(x**2 + y**2, (p.voxel_nm / 2) ** 2)
    turn = line.burgers / (2 * np.pi)
    u = np.multiply.outer(turn, np.arctan2(y, x))
    swirl = np.multiply.outer(one, -y / square) + np.multiply.outer(other, x / square)
    gradient = turn[:, None, None, None, None] * swirl
    if line.kind == "screw":
        return u, gradient
    size = np.linalg.norm(turn)
    rest = size * x * y / (2 * (1 - POISSON) * square)
    bend = -size * ((1 - 2 * POISSON) / (4 * (1 - POISSON)) * np.log(square) + (x**2 - y**2) / (4 * (1 - POISSON) * square))
    smooth = np.multiply.outer(one, rest) + np.multiply.outer(other, bend)
    slopes = [np.stack(np.gradient(part, p.voxel_nm)[::-1]) for part in smooth]
    return u + smooth, gradient + np.stack(slopes)


def core_amplitude(lines: Sequence[Dislocation], p: Profile, points: Grid, cell: Grid) -> Grid:
    """Factor on the amplitude: 0 on a line, 1 away from all, in the grains that they lie in."""
    factor = np.ones(cell.shape)
    for line in lines:
        _, _, x, y = _plane(line, points)
        core = 1 - np.exp(-(x**2 + y**2) / (0.6 * p.edge_nm) ** 2)
        factor *= np.where((line.grain < 0) | (cell == line.grain), core, 1.0)
    return factor
