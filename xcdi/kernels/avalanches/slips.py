r"""How far a part of a crystal slipped: its displacement from what several reflections saw of one event.

A region that slips by :math:`\Delta u` turns its phase by :math:`-G \cdot \Delta u` in the reflection G. Each reflection alone sees one
component; two or more give the vector, in the plane or the space that their G span.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["Direction", "Plane", "from_drops", "invisible_vectors", "plane_of", "reach", "shear_angle", "shear_probability"]

FLAT = 0.05  # of the longest, below which the G do not reach out of a plane, or a line
SPREAD = 0.3  # relative scatter of sqrt(D) between reflections of one event, simulated particles of 4 grains
HALF_TURN = 90  # directions tried in a plane
HALF_SPHERE = 1500  # directions tried in space
LENGTHS = 24
HARDLY_LONGER = 1.2
NEITHER = 3.0  # standard errors beyond which an angle fits neither shear nor opening


class Plane(NamedTuple):
    """What the G of several reflections span.

    Attributes
    ----------
    axes : array, shape (d, 3)
        Orthonormal; d is 1, 2 or 3.
    across : array, shape (3 - d, 3)
        Directions that no reflection sees.
    """

    axes: Array
    across: Array


class Direction(NamedTuple):
    """Line along which a region slipped, without a sign.

    Attributes
    ----------
    vector : array, shape (d,)
        Most likely displacement [nm]; its direction is known far better than its length.
    error : float
        Standard error of the direction [rad]; that of an unknown one is 0.7 or so.
    chi2 : float
        Of the most likely.
    """

    vector: Array
    error: float
    chi2: float


def plane_of(g: Array) -> Plane:
    """Line, plane or space that reflections `g` (n, 3) [1/nm] span.

    Examples
    --------
    >>> plane = plane_of([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 3.0, 0.01]])
    >>> len(plane.axes), np.abs(plane.across).round(2).tolist()
    (2, [[0.0, 0.0, 1.0]])
    """
    g = np.asarray(g, dtype=float)
    _, sizes, rows = np.linalg.svd(g / np.linalg.norm(g, axis=1).max())
    rank = int((sizes > FLAT * sizes[0]).sum())
    return Plane(rows[:rank], rows[rank:])


def reach(g: Array, directions: Array) -> Array:
    r"""Longest slip [nm] along each of the `directions` (..., d) that is told from a shorter one: :math:`|G_k \cdot \Delta u| < \pi`.

    Examples
    --------
    >>> reach(np.array([[np.pi, 0.0], [0.0, np.pi / 2]]), np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 2.0]
    """
    return np.pi / np.maximum(np.abs(np.asarray(directions) @ np.asarray(g, dtype=float).T).max(axis=-1), 1e-12)


def invisible_vectors(g: Array, *, most: int = 2, exact: float = 0.05) -> Array:
    r"""Shortest slips that change no pattern although no G is perpendicular to them: :math:`G_k \cdot \Delta u = 2\pi n_k` for all k.

    Parameters
    ----------
    g : array, shape (n, d)
        [1/nm]; they span d dimensions.
    most : int
        Largest n.
    exact : float
        Part of a turn by which a phase may be off.

    Returns
    -------
    array, shape (m, d)
        One of each pair of opposite vectors, shortest first [nm]: as many as span d dimensions, and others hardly longer.

    Examples
    --------
    >>> invisible_vectors(2 * np.pi * np.array([[1.0, 0.0], [0.0, 0.5], [1.0, 0.5]]), most=1).round(6).tolist()
    [[1.0, 0.0], [0.0, 2.0], [1.0, 2.0], [1.0, -2.0]]
    """
    g = np.asarray(g, dtype=float)
    d = g.shape[1]
    turns = np.stack(np.meshgrid(*d * [np.arange(-most, most + 1)], indexing="ij"), axis=-1).reshape(-1, d)
    chosen = _independent(g)
    vectors = 2 * np.pi * turns @ np.linalg.inv(g[chosen]).T
    left = vectors @ g.T / (2 * np.pi)
    vectors = vectors[(np.abs(left - np.rint(left)) < exact).all(axis=1) & turns.any(axis=1)]
    vectors = vectors[np.lexsort([*vectors.T[::-1].round(6), np.linalg.norm(vectors, axis=1).round(6)])]
    kept: list[Array] = []
    for vector in vectors:
        unit = vector / np.linalg.norm(vector)
        if all(abs(unit @ one) < (1 - 1e-6) * np.linalg.norm(one) for one in kept):
            kept.append(vector if vector[np.abs(vector) > 1e-9][0] > 0 else -vector)
    spanned = [k for k in range(d, len(kept) + 1) if np.linalg.matrix_rank(kept[:k], tol=1e-6) == d]
    if not spanned:
        return np.empty((0, d))
    longest = HARDLY_LONGER * np.linalg.norm(kept[spanned[0] - 1])
    return np.array([one for one in kept if np.linalg.norm(one) <= longest]) + 0.0


def _independent(g: Array) -> list[int]:
    """Numbers of the first d of the `g` that span d dimensions."""
    chosen: list[int] = []
    for k in range(len(g)):
        unit = g[[*chosen, k]] / np.linalg.norm(g[[*chosen, k]], axis=1, keepdims=True)
        if np.linalg.matrix_rank(unit, tol=FLAT) == len(chosen) + 1:
            chosen.append(k)
        if len(chosen) == g.shape[1]:
            return chosen
    raise ValueError(f"{len(g)} reflections span {len(chosen)} dimensions, expected {g.shape[1]}")


def from_drops(drops: Array, errors: Array, g: Array, *, spread: float = SPREAD) -> Direction:
    r"""Direction of a slip from the drops of correlation that three or more reflections saw.

    .. math:: D_k = 2 f (1-f) (1 - \cos G_k \cdot \Delta u)

    by least squares in :math:`\sqrt{D_k}`, with f unknown.

    Parameters
    ----------
    drops, errors : array, shape (n,)
        Drop in each reflection and its standard error; also where it is too small to be found.
    g : array, shape (n, d)
        Reflections [1/nm]; more than the d dimensions that they span.
    spread : float
        Relative scatter of the square root of a drop about the formula, which knows nothing of grains and their places.

    Returns
    -------
    Direction

    Raises
    ------
    ValueError
        If there are no more reflections than dimensions: signs stay open then.

    Notes
    -----
    The sign of the slip stays unknown. Lengths are tried up to :func:`reach`: longer slips alias. Small ones give a direction but
    no length, as f takes up the scale.

    Examples
    --------
    >>> g = np.array([[0.8, 1.1], [0.0, 1.6], [0.8, -1.1]])
    >>> found = from_drops(0.2 * np.sin(g @ [0.3, 0.6] / 2) ** 2, np.full(3, 1e-4), g)
    >>> bool(abs(np.degrees(np.arctan2(*found.vector[::-1])) % 180 - np.degrees(np.arctan2(0.6, 0.3))) < 3)
    True
    """
    drops, errors, g = (np.asarray(one, dtype=float) for one in (drops, errors, g))
    n, d = g.shape
    if n <= d:
        raise ValueError(f"drops of {n} reflections in {d} dimensions leave the signs open; expected {d + 1} or more")
    units = _half_circle() if d == 2 else _half_sphere()
    lengths = np.arange(1, LENGTHS + 1) / LENGTHS * reach(g, units)[:, None]
    root = np.sqrt(np.maximum(drops, 0.0))
    model = np.abs(np.sin(lengths[..., None] * (units @ g.T)[:, None, :] / 2))
    weight = 1 / (errors**2 / (4 * np.maximum(drops, errors)) + (spread * root) ** 2 + 1e-12)
    scale = np.minimum((weight * root * model).sum(axis=-1) / (weight * model**2).sum(axis=-1), 1.0)
    chi2 = (weight * (root - scale[..., None] * model) ** 2).sum(axis=-1)
    best = np.unravel_index(int(chi2.argmin()), chi2.shape)
    likely = np.exp((chi2.min() - chi2) / 2).sum(axis=1)
    spin = np.einsum("u,ui,uj->ij", likely / likely.sum(), units, units)
    middle = np.linalg.eigh(spin)[1][:, -1]
    middle = middle if middle @ units[best[0]] > 0 else -middle
    scatter = float(np.arcsin(min(np.sqrt(max(1 - middle @ spin @ middle, 0.0)), 1.0)))
    spacing = np.pi / HALF_TURN if d == 2 else np.sqrt(2 * np.pi / HALF_SPHERE)
    return Direction(middle * float(lengths[best]), float(np.hypot(scatter, spacing / 2)), float(chi2.min()))


def _half_circle() -> Array:
    turn = np.pi * np.arange(HALF_TURN) / HALF_TURN
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _half_sphere() -> Array:
    """Evenly spread unit vectors of the upper half (Fibonacci's spiral)."""
    n = np.arange(HALF_SPHERE) + 0.5
    up, turn = n / HALF_SPHERE, np.pi * (1 + 5**0.5) * n
    flat = np.sqrt(1 - up**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), up], axis=1)


def shear_angle(vector: Array, covariance: Array, normal: Array, plane: Plane, *, normal_error: float) -> tuple[float, float]:
    """Angle [rad] between a slip and the plane of a boundary, 0 for shear and pi / 2 for opening, and its standard error.

    Parameters
    ----------
    vector, covariance : array, shape (d,), (d, d)
        Slip [nm] along the axes of `plane`.
    normal : array, shape (3,)
        Unit normal of the boundary.
    plane : Plane
        Where the G lie. If that is a plane, slip and boundary are seen projected onto it: the angle is that between the
        slip and the trace of the boundary. Opening gives pi / 2 all the same; shear gives 0 only where the boundary stands
        upright on the plane (:func:`shear_probability`).
    normal_error : float
        Standard error of the normal [rad].

    Examples
    --------
    >>> flat = Plane(np.eye(3)[:2], np.eye(3)[2:])
    >>> angle, error = shear_angle(np.array([0.0, 2.0]), 0.01 * np.eye(2), np.array([0.0, 0.6, 0.8]), flat, normal_error=0.0)
    >>> round(float(np.degrees(angle)), 6), round(error, 3)
    (90.0, 0.05)
    """
    length, seen = float(np.linalg.norm(vector)), plane.axes @ np.asarray(normal, dtype=float)
    share = float(np.linalg.norm(seen))
    if length == 0 or share < 1e-9:
        return float("nan"), float("nan")
    along, across = np.asarray(vector) / length, seen / share
    angle = float(np.arcsin(min(abs(along @ across), 1.0)))
    turn = across - (across @ along) * along
    turn = turn / np.linalg.norm(turn) if np.linalg.norm(turn) > 1e-9 else _any_across(along)
    slip_error = float(np.sqrt(max(turn @ covariance @ turn, 0.0))) / length
    return angle, float(np.hypot(slip_error, normal_error / share))


def _any_across(unit: Array) -> Array:
    """A unit vector at right angles to `unit`."""
    other = np.eye(len(unit))[int(np.argmin(np.abs(unit)))]
    other = other - (other @ unit) * unit
    return other / np.linalg.norm(other)


def shear_probability(angle: float, error: float, normal: Array, plane: Plane) -> float:
    r"""Probability that a slip is one along the boundary rather than one normal to it, both as likely beforehand.

    Along: equally likely in all directions of the boundary; seen in a plane on which the boundary leans by the share s of its normal,
    the angle is :math:`\arctan(s \tan\theta)`, :math:`\theta` even. Normal to it: pi / 2. NaN where the angle fits neither.

    Parameters
    ----------
    angle, error : float
        Of :func:`shear_angle` [rad].
    normal, plane
        As there.

    Examples
    --------
    >>> flat = Plane(np.eye(3)[:2], np.eye(3)[2:])
    >>> upright, leaning = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.3, 0.954])
    >>> [round(shear_probability(np.radians(80.0), 0.2, normal, flat), 2) for normal in (upright, leaning)]
    [0.0, 0.18]
    """
    if not np.isfinite([angle, error]).all():
        return float("nan")
    wide = max(error, 1e-3)
    lean = float(np.linalg.norm(plane.across @ np.asarray(normal, dtype=float)))
    turn = (np.arange(180) + 0.5) * np.pi / 360
    shear = float(_folded(angle, np.arctan(lean * np.tan(turn)), wide).mean())
    opening = float(_folded(angle, np.array([np.pi / 2]), wide)[0])
    least = np.exp(-(NEITHER**2) / 2) / wide
    return shear / (shear + opening) if max(shear, opening) > least else float("nan")


def _folded(angle: float, middle: Array, wide: float) -> Array:
    """Density of an angle between 0 and pi / 2 that errors turn back at both ends, times a constant."""
    images = np.stack([middle, -middle, np.pi - middle])
    return np.exp(-((angle - images) ** 2) / (2 * wide**2)).sum(axis=0) / wide
