"""Dislocation lines of a crystal: where the phase of its complex object turns by whole periods around a point.

Once around a dislocation the displacement along G gains G.b / |G|, so the phase gains 2 pi n: a residue. Residues obey a
law of conservation, what flows into a cube of voxels flows out, and so they form lines that close or leave the crystal.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array

__all__ = ["Chain", "Line", "chains", "cut", "interior", "lines", "meeting", "residues", "smoothed", "spread", "surroundings"]

SHORTEST = 4  # voxels
WINDOW = 5  # nodes that are averaged, so that a staircase becomes a line
CUBE = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Chain:
    """Residues in a row.

    Attributes
    ----------
    nodes : array, shape (node, 3)
        Middles of the pierced plaquettes, in voxels of index 0, 1, 2, in the order of positive flow.
    closed : bool
        Whether the last is followed by the first; else it leaves the crystal at both ends.
    """

    nodes: Array
    closed: bool


@dataclass(frozen=True)
class Line:
    """A dislocation line.

    Attributes
    ----------
    charge : int
        G.b / 2 pi: by how many periods the displacement along G gains on a right-handed turn about `direction`.
    nodes : array, shape (node, 3)
        Points (x, y, z) [nm] along `direction`, the staircase of the voxels smoothed away.
    length : float
        [nm], to half a voxel beyond the outermost nodes of an open line.
    direction : array, shape (3,)
        Unit vector from end to end, of a closed line the normal of its area; the largest component is positive.
    closed : bool
    """

    charge: int
    nodes: Array
    length: float
    direction: Array
    closed: bool

    @property
    def centroid(self) -> Array:
        """Mean of the nodes (x, y, z) [nm]."""
        return self.nodes.mean(axis=0)

    @property
    def extent(self) -> float:
        """Longest edge of the box around the nodes [nm]."""
        return float(np.ptp(self.nodes, axis=0).max())

    def moved(self, by: Array) -> Line:
        """The same line elsewhere."""
        return replace(self, nodes=self.nodes + by)


def interior(support: Array) -> Array:
    """Return the support without the dark holes and tunnels, a voxel or two wide, that a core leaves in it; shape (z, y, x)."""
    support = np.asarray(support, dtype=bool)
    closed = ndi.binary_closing(np.pad(support, 2), CUBE)[2:-2, 2:-2, 2:-2]
    filled = np.zeros_like(support)
    for axis in range(3):
        flat = np.stack([ndi.binary_fill_holes(plane) for plane in np.moveaxis(support, axis, 0)])
        filled |= np.moveaxis(flat, 0, axis)
    return support | (closed & filled)


def spread(label: Array, inside: Array) -> Array:
    """Give voxels inside that no grain has, as a core left dark, the number of the nearest grain; 0 outside.

    Examples
    --------
    >>> spread(np.array([[[1, 0, 2, 2]]]), np.array([[[True, True, True, False]]])).tolist()
    [[[1, 1, 2, 0]]]
    """
    if not (label > 0).any():
        return np.zeros_like(label)
    nearest = ndi.distance_transform_edt(label <= 0, return_distances=False, return_indices=True)
    return np.where(inside, label[tuple(nearest)], 0)


def surroundings(amplitude: Array, inside: Array) -> Array:
    """Mean amplitude of the 3 x 3 x 3 voxels around each that are inside, shape (z, y, x): what is bright around a dark core.

    Examples
    --------
    >>> float(surroundings(np.full((3, 3, 3), 2.0), np.ones((3, 3, 3), bool))[0, 0, 0])
    2.0
    """
    share = ndi.uniform_filter(np.asarray(inside, dtype=float), 3, mode="constant")
    total = ndi.uniform_filter(np.where(inside, amplitude, 0).astype(float), 3, mode="constant")
    return np.divide(total, share, out=np.zeros_like(total), where=share > 1e-6)


def residues(rho: Array, inside: Array) -> Array:
    r"""Turns of the displacement around every elementary plaquette.

    .. math:: n = -\frac{1}{2\pi} \sum_{\square} \mathrm{wrap}(\Delta\phi) = \frac{G\cdot b}{2\pi}

    Parameters
    ----------
    rho : complex array, shape (n0, n1, n2)
        The phase is -G.u, which the sign takes back.
    inside : bool array, same shape
        A plaquette counts if its four corners are inside.

    Returns
    -------
    int8 array, shape (3, n0, n1, n2)
        Entry (a, i, j, k) is the turn from index a + 1 to index a + 2 (cyclic) around the plaquette whose lowest corner is
        (i, j, k): right-handed about index a in a grid of right-handed steps. The six faces of a cube inside balance exactly.

    Notes
    -----
    Source: Nye and Berry, Proc. R. Soc. A 336, 165 (1974), doi:10.1098/rspa.1974.0012; residues and their conservation:
    Huntley, Appl. Opt. 40, 3901 (2001), doi:10.1364/AO.40.003901.

    Examples
    --------
    >>> y, x = np.mgrid[-0.5:1, -0.5:1]
    >>> turn = np.exp(-1j * np.arctan2(y, x))[None]  # u gains from x to y
    >>> int(residues(turn, np.ones(turn.shape, bool))[0, 0, 0, 0])  # from y to x
    -1
    """
    out = np.zeros((3, *rho.shape), np.int8)
    _residues(np.angle(rho), np.asarray(inside, dtype=bool), out)
    return out


@nb.njit(cache=True, nogil=True)
def _residues(phase, inside, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """One pass; a wrapped step is the step less whole turns, so the turns of the four sides alone remain."""
    turn = 2 * np.pi
    n0, n1, n2 = phase.shape
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                if not inside[i, j, k]:
                    continue
                for a in range(3):
                    b, c = (a + 1) % 3, (a + 2) % 3
                    ib, jb, kb = i + (b == 0), j + (b == 1), k + (b == 2)
                    ic, jc, kc = i + (c == 0), j + (c == 1), k + (c == 2)
                    io, jo, ko = ib + ic - i, jb + jc - j, kb + kc - k
                    if io >= n0 or jo >= n1 or ko >= n2:
                        continue
                    if not (inside[ib, jb, kb] and inside[ic, jc, kc] and inside[io, jo, ko]):
                        continue
                    here, along = phase[i, j, k], phase[ib, jb, kb]
                    up, over = phase[ic, jc, kc], phase[io, jo, ko]
                    there = np.rint((along - here) / turn) + np.rint((over - along) / turn)
                    back = np.rint((over - up) / turn) + np.rint((up - here) / turn)
                    out[a, i, j, k] = there - back


def chains(residue: Array) -> list[Chain]:
    """Link residues into chains through the cubes that they pierce.

    Every residue is an arrow from one cube of eight voxels to the next. Chains begin where more arrows leave a cube than
    enter it, which happens at the rim alone, and go straight on where they can; what is left then closes upon itself.

    Parameters
    ----------
    residue : int array, shape (3, n0, n1, n2)
        From :func:`residues`.

    Returns
    -------
    list of Chain
        Open ones first.
    """
    leaving, surplus = _arrows(residue)
    found = []
    for start in [cube for cube, more in surplus.items() for _ in range(more)]:
        found.append(Chain(_walk(leaving, start), closed=False))
    for start in list(leaving):
        while leaving[start]:
            found.append(Chain(_walk(leaving, start), closed=True))
    return _joined(found)


Cube = tuple[int, int, int]
Arrows = dict[Cube, list[tuple[Cube, Array]]]


def _arrows(residue: Array) -> tuple[Arrows, dict[Cube, int]]:
    """Arrows by the cube they leave: where to, and the middle of the plaquette; and how many more leave each cube than enter it."""
    leaving: Arrows = defaultdict(list)
    surplus: dict[Cube, int] = defaultdict(int)
    for axis, *place in np.argwhere(residue):
        value = int(residue[axis, *place])
        far = (int(place[0]), int(place[1]), int(place[2]))
        near = tuple(p - (a == axis) for a, p in enumerate(far))
        source, target = ((near[0], near[1], near[2]), far)[:: 1 if value > 0 else -1]
        middle = np.array(far) + 0.5 * (np.arange(3) != axis)
        leaving[source] += [(target, middle)] * abs(value)
        surplus[source] += abs(value)
        surplus[target] -= abs(value)
    return leaving, surplus


def _walk(leaving: Arrows, start: Cube) -> Array:
    """Follow arrows, straight on where there is a choice, and use them up, until none leaves."""
    nodes: list[Array] = []
    here = start
    while leaving[here]:
        choice = 0
        if len(leaving[here]) > 1 and nodes:
            ahead = nodes[-1] - nodes[max(0, len(nodes) - 4)]
            choice = int(np.argmax([(middle - nodes[-1]) @ ahead for _, middle in leaving[here]]))
        here, middle = leaving[here].pop(choice)
        nodes.append(middle)
    return np.array(nodes)


def _joined(found: list[Chain]) -> list[Chain]:
    """Bridge gaps: an end and a beginning whose 3 x 3 x 3 neighbourhoods touch are one line, the nearest first."""
    open_ = [chain.nodes for chain in found if not chain.closed]
    closed = [chain for chain in found if chain.closed]
    while len(open_) > 1:
        ends, starts = (np.array([nodes[side] for nodes in open_]) for side in (-1, 0))
        apart = np.abs(ends[:, None] - starts).max(axis=-1)
        np.fill_diagonal(apart, np.inf)
        one, other = np.unravel_index(apart.argmin(), apart.shape)
        if apart[one, other] > 2:
            break
        both = np.concatenate([open_[one], open_[other]])
        open_ = [nodes for n, nodes in enumerate(open_) if n not in (one, other)] + [both]
    return [Chain(nodes, closed=False) for nodes in open_] + closed


def smoothed(chain: Chain, *, window: int = WINDOW) -> Array:
    """Nodes of a chain, each the mean of its `window` neighbours along it; fewer towards an open end, which stays.

    Examples
    --------
    >>> stairs = np.array([[0.0, 0, 0], [1, 1, 0], [2, 0, 0]])
    >>> smoothed(Chain(stairs, closed=False))[:, 1].round(2).tolist()
    [0.0, 0.33, 0.0]
    """
    count, half = len(chain.nodes), window // 2
    if chain.closed:
        around = np.arange(-min(half, (count - 1) // 2), min(half, (count - 1) // 2) + 1)
        return chain.nodes[(np.arange(count)[:, None] + around) % count].mean(axis=1)
    reach = np.minimum(np.minimum(np.arange(count), np.arange(count)[::-1]), half)
    return np.array([chain.nodes[i - r : i + r + 1].mean(axis=0) for i, r in enumerate(reach)])


def lines(found: list[Chain], shape: tuple[int, ...], basis: Array) -> list[Line]:
    """Chains as lines in space.

    Parameters
    ----------
    found : list of Chain
    shape : (int, int, int)
        Of the volume; its middle voxel n // 2 is at the origin.
    basis : array, shape (3, 3)
        Columns: laboratory step (x, y, z) [nm] of index 0, 1, 2.

    Notes
    -----
    Two lines that wind alike a voxel apart are two lines of charge 1; around both the turn is 2.
    """
    basis = np.asarray(basis, dtype=float)
    hand = 1 if np.linalg.det(basis) > 0 else -1
    return [_line(chain, (smoothed(chain) - np.array(shape) // 2) @ basis.T, hand) for chain in found]


def _line(chain: Chain, nodes: Array, hand: int) -> Line:
    """One line, turned to the side on which its direction is positive."""
    steps = np.linalg.norm(np.diff(nodes, axis=0, append=nodes[:1]), axis=1)
    if chain.closed:
        away = nodes - nodes.mean(axis=0)
        length, direction = float(steps.sum()), np.cross(away, np.roll(away, -1, axis=0)).sum(axis=0)
    else:
        along = steps[:-1]
        length = float(along.sum() + (along[0] + along[-1]) / 2) if len(along) else 0.0
        direction = nodes[-1] - nodes[0]
    size = np.linalg.norm(direction)
    direction = direction / size if size > 0 else np.array([0.0, 0.0, 1.0])
    forward = 1 if direction[np.abs(direction).argmax()] > 0 else -1
    return Line(hand * forward, nodes[::forward], length, forward * direction, chain.closed)


def meeting(label: Array, basis: Array) -> Array:
    """Grains that meet at the boundary or surface nearest to every voxel.

    Parameters
    ----------
    label : int array, shape (z, y, x)
        Grains 1, 2, ...; 0 outside.
    basis : array, shape (3, 3)
        Columns: laboratory step [nm] of index 0, 1, 2, at right angles.

    Returns
    -------
    int array, shape (2, z, y, x)
        Lower and higher number; 0 is the outside.

    Examples
    --------
    >>> meeting(np.array([[[0, 1, 1, 2, 2, 2]]]), np.eye(3))[:, 0, 0, 2].tolist()
    [1, 2]
    """
    fine = np.pad(label, 1)
    beside = _neighbour(fine)
    steps = np.linalg.norm(np.asarray(basis, dtype=float), axis=0)
    nearest = tuple(ndi.distance_transform_edt(beside < 0, sampling=steps, return_distances=False, return_indices=True))
    pair = np.stack([fine[nearest], beside[nearest]])[:, 1:-1, 1:-1, 1:-1]
    return np.sort(pair, axis=0)


def _neighbour(label: Array) -> Array:
    """Another label that a voxel touches, a grain rather than the outside; -1 where there is none."""
    best = np.full(label.shape, -1, np.int64)
    for axis in range(3):
        for side in (1, -1):
            other = np.roll(label, side, axis)
            best = np.where((other != label) & (label > 0), np.maximum(best, other), best)
    return best


def cut(chain: Chain, near: Array) -> list[tuple[Chain, bool]]:
    """Divide a chain where it passes from the inside of a grain to a boundary, and say of each part whether it lies at one.

    Parameters
    ----------
    chain : Chain
    near : bool array, shape (node,)
        Nodes at a boundary; runs of fewer than four nodes go with those around them.

    Returns
    -------
    list of (Chain, bool)

    Examples
    --------
    >>> chain = Chain(np.arange(30.0).reshape(10, 3), closed=False)
    >>> [(len(part.nodes), bound) for part, bound in cut(chain, np.arange(10) > 4)]
    [(5, False), (5, True)]
    """
    nodes, near = chain.nodes, np.asarray(near, dtype=bool)
    change = np.flatnonzero(near != np.roll(near, 1))
    if chain.closed and change.size:  # begin where the side changes
        nodes, near = np.roll(nodes, -change[0], axis=0), np.roll(near, -change[0])
    runs = _runs(near)
    if len(runs) == 1:
        return [(chain, runs[0][1])]
    parts = np.split(nodes, np.cumsum([size for size, _ in runs])[:-1])
    return [(Chain(part, closed=False), bound) for part, (_, bound) in zip(parts, runs, strict=True)]


def _runs(near: Array) -> list[tuple[int, bool]]:
    """Lengths and sides of the runs; the shortest joins those beside it until none is too short."""
    runs = [(1, bool(side)) for side in near]
    while True:
        joined = runs[:1]
        for size, side in runs[1:]:
            if side == joined[-1][1]:
                joined[-1] = (joined[-1][0] + size, side)
            else:
                joined.append((size, side))
        least = min(range(len(joined)), key=lambda n: joined[n][0])
        if len(joined) == 1 or joined[least][0] >= SHORTEST:
            return joined
        runs = [(size, side != (n == least)) for n, (size, side) in enumerate(joined)]
