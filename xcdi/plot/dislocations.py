"""Dislocation lines in pictures: in the translucent particle, and where they pierce a slice."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from skimage.measure import marching_cubes

from xcdi.plot import reading, strain, style
from xcdi.plot.particle import box, cropped, grade_text, hatched

__all__ = ["CHARGES", "Piercings", "inside", "on_slice", "piercings", "summary"]

CHARGES = {1: "#d55e00", -1: "#0072b2"}
WAYS = {1: "anticlockwise", -1: "clockwise"}
WHERE = {True: "inside a grain", False: "boundary or surface"}
TURNS = {1: r"$\circlearrowleft$", -1: r"$\circlearrowright$"}


class Piercings(NamedTuple):
    """Where lines pierce a plane: right and up [nm], the turn as drawn (1: u gains anticlockwise), whether inside a grain."""

    right: np.ndarray
    up: np.ndarray
    turn: np.ndarray
    bulk: np.ndarray


@style.paper()
def inside(crystal: xr.Dataset, table: xr.Dataset, ax: Axes3D | None = None, *, view: tuple[float, float] = (22.0, -55.0)) -> Axes3D:
    """Draw the lines inside the translucent particle in 3D, coloured by the sign of their charge.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `support` (z, y, x).
    table : Dataset
        DISLOCATIONS.
    ax : Axes, optional
        Axes of projection "3d".
    view : (float, float)
        Elevation and azimuth of the eye, deg.

    Returns
    -------
    Axes
        Axes in nm, y upwards. Thick: lines inside grains, with an arrow head along their direction; thin and pale: vortices
        of boundaries and surface.
    """
    ax = style.own_axes_3d(ax)
    _hull(ax, crystal)
    bulk = _bulk(table)
    for k in np.argsort(bulk, kind="stable"):
        nodes = _nodes(table, int(k))
        colour = CHARGES[int(np.sign(table["charge"].values[k]))]
        ax.plot(*nodes.T, color=colour, lw=2.6 if bulk[k] else 0.9, alpha=1.0 if bulk[k] else 0.45, zorder=3)
        if bulk[k]:
            reach = 0.25 * float(table["length_nm"].values[k])
            ax.quiver(*nodes[-1], *table["direction"].values[k], length=reach, color=colour, lw=1.6, arrow_length_ratio=0.5)
    box(ax, crystal)
    ax.view_init(*view, vertical_axis="y")
    hatched(ax, crystal)
    ax.set_title("\n".join(filter(None, [grade_text(crystal), summary(table)])))
    ax.legend(handles=_key(table), loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=2, handlelength=1.6, columnspacing=1.0)
    return ax


@style.paper()
def on_slice(
    crystal: xr.Dataset,
    table: xr.Dataset,
    ax: Axes | None = None,
    *,
    name: str = "phase",
    seen: tuple[str, str] = ("y", "x"),
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Axes:
    """Draw one slice of a quantity, with the sense of every line that pierces it.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with the quantity `name` (z, y, x).
    table : Dataset
        DISLOCATIONS.
    ax : Axes, optional
    name, seen, at
        As in :func:`xcdi.plot.strain.plane`.

    Returns
    -------
    Axes
        Curved arrows show the turn on which the displacement along G gains: large inside grains, small on boundaries and surface;
        the legend has those that there are.
    """
    made = style.own_axes(ax, 4.4, 4.3)
    if ax is None:
        style.host(made).set_layout_engine("compressed")
    ax = strain.plane(crystal, made, name=name, seen=seen, at=at)
    there = piercings(table, seen, at)
    for turn, mark in TURNS.items():
        for bulk, size in ((False, 40), (True, 190)):
            which = (there.turn == turn) & (there.bulk == bulk)
            for colour, thick, label in (("white", 2.6, None), (CHARGES[turn], 0.5, f"$u_G$ gains {WAYS[turn]}, {WHERE[bulk]}")):
                look: dict[str, Any] = {"marker": mark, "s": size, "color": colour, "edgecolors": colour, "linewidths": thick, "zorder": 5}
                ax.scatter(there.right[which], there.up[which], label=label if which.any() else None, **look)
    if there.turn.size:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), handletextpad=0.2)
    return ax


def piercings(table: xr.Dataset, seen: tuple[str, str], at: tuple[float, float, float]) -> Piercings:
    """Return where lines pierce the plane through `at` [nm] whose axes `seen` point up and right.

    Examples
    --------
    >>> nodes = ("node", "axis"), [[3.0, 4.0, -1.0], [3.0, 4.0, 1.0]]
    >>> table = xr.Dataset({"charge": ("line", [-1]), "boundary_j": ("line", [0]), "node_line": ("node", [0, 0]), "node_position": nodes})
    >>> there = piercings(table, ("y", "x"), (0.0, 0.0, 0.0))
    >>> there.right.tolist(), there.up.tolist(), there.turn.tolist()
    ([3.0], [4.0], [-1])
    """
    up, right = ("xyz".index(s) for s in seen)
    across = 3 - up - right
    towards = float(np.cross(np.eye(3)[right], np.eye(3)[up])[across])
    bulk, found = _bulk(table), []
    for k, charge in enumerate(table["charge"].values):
        nodes = _nodes(table, k)
        height = nodes[:, across] - at[across]
        for i in np.flatnonzero((height[:-1] < 0) != (height[1:] < 0)):
            share = height[i] / (height[i] - height[i + 1])
            point = nodes[i] + share * (nodes[i + 1] - nodes[i])
            turn = np.sign(charge * (height[i + 1] - height[i]) * towards)
            found.append((point[right], point[up], turn, bulk[k]))
    columns = np.array(found, float).reshape(-1, 4).T
    return Piercings(columns[0], columns[1], columns[2].astype(int), columns[3].astype(bool))


def summary(table: xr.Dataset) -> str:
    """Return in words how many lines there are, and how long.

    Examples
    --------
    >>> summary(xr.Dataset(attrs={"bulk_lines": 1, "bulk_length_nm": 253.3, "boundary_vortices": 6}))
    '1 line inside grains, 253 nm; 6 boundary vortices'
    """
    lines, length, vortices = (reading.value(table, name) for name in ("bulk_lines", "bulk_length_nm", "boundary_vortices"))
    if lines is None or length is None or vortices is None:
        return ""
    many, vortex = "s" * (lines != 1), "vortex" if vortices == 1 else "vortices"
    return f"{lines:.0f} line{many} inside grains, {length:.0f} nm; {vortices:.0f} boundary {vortex}"


def _hull(ax: Axes3D, crystal: xr.Dataset) -> None:
    """The surface of the support, translucent."""
    around = cropped(crystal)
    support = reading.shown(around, "support").transpose("z", "y", "x").values
    if not support.any():
        return
    points, faces, _, _ = marching_cubes(np.pad(support, 1).astype(float), 0.5)
    axes = [around[d].values for d in ("z", "y", "x")]
    places = np.stack([a[0] + (points[:, n] - 1) * (a[1] - a[0]) for n, a in enumerate(axes)], axis=1)[:, ::-1]
    ax.add_collection3d(Poly3DCollection(places[faces], facecolors="0.6", edgecolors="none", alpha=0.07))


def _bulk(table: xr.Dataset) -> np.ndarray:
    return np.asarray(reading.shown(table, "boundary_j").values == 0)


def _nodes(table: xr.Dataset, k: int) -> np.ndarray:
    """Nodes (node, 3) of line `k`, of a closed one the first again at the end."""
    nodes = np.asarray(table["node_position"].values[table["node_line"].values == k])
    loop = "closed" in table and bool(table["closed"].values[k])
    return np.concatenate([nodes, nodes[:1]]) if loop else nodes


def _key(table: xr.Dataset) -> list[Line2D]:
    """What the colours and widths mean, of the lines that there are."""
    bulk, sign = _bulk(table), np.sign(table["charge"].values)
    looks: dict[bool, dict[str, Any]] = {True: {"lw": 2.6}, False: {"lw": 0.9, "alpha": 0.45}}
    return [
        Line2D([], [], color=CHARGES[turn], label=f"charge {turn:+d}, {WHERE[inner]}".replace("-", "−"), **looks[inner])
        for inner in (True, False)
        for turn in CHARGES
        if np.any((bulk == inner) & (sign == turn))
    ]
