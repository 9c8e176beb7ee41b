"""Grains in pictures: their map with the graph of boundaries drawn over it, and what is known of them in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from xcdi.errors import SchemaError
from xcdi.plot import particle, reading, strain, style

__all__ = ["EDGES", "graph", "graphs", "table"]


class Edge(NamedTuple):
    """How an edge is coloured: label, colour map, factor into display units, and colour limits where they are fixed."""

    label: str
    cmap: str
    scale: float = 1.0
    limits: tuple[float, float] | None = None


EDGES = {
    "misorientation": Edge("misorientation (mrad)", "YlOrRd", 1e3),
    "phase_jump": Edge("phase jump (rad)", "twilight_shifted", 1.0, (-np.pi, np.pi)),
    "dip": Edge("dip of the amplitude", "YlOrRd", 1.0, (0.0, 1.0)),
}
WIDTH = "width of a line: area"
THIN, THICK = 1.2, 7.0  # points: the smallest and the largest boundary


@style.paper()
def graph(
    crystal: xr.Dataset,
    grains: xr.Dataset,
    boundaries: xr.Dataset,
    ax: Axes | None = None,
    *,
    name: str = "misorientation",
    seen: tuple[str, str] = ("y", "x"),
) -> Axes:
    """The middle plane of the grain map with the graph of all grains and boundaries projected on it.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    grains, boundaries : Dataset
        As from :func:`xcdi.stages.grains.grains`.
    ax : Axes, optional
    name : str
        What colours the edges, one of `EDGES`.
    seen : (str, str)
        The axes that point up and right.

    Returns
    -------
    Axes
        A node per grain at its centroid, an edge per boundary by way of its own centroid, as wide as its area is large (square
        root). Boundaries of which the number is not given are grey and dotted.

    Raises
    ------
    SchemaError
        If the crystal has no `grain`, or the boundaries not what is to colour them.
    """
    ax = style.own_axes(ax, 4.6, 3.9)
    between = _limits(boundaries, name)
    _draw(ax, crystal, grains, boundaries, name, seen, between)
    style.colour_bar([ax], _colours(name), between, f"{EDGES[name].label}\n{WIDTH}", pad=0.02)
    style.scale_bar(ax)
    ax.set_title(strain.grade_text(crystal), fontsize=9, color=style.EVENT)
    return ax


@style.paper()
def graphs(crystal: xr.Dataset, grains: xr.Dataset, boundaries: xr.Dataset, *, name: str = "misorientation") -> Figure:
    """The graph of :func:`graph` along the beam, from the side and from above, in one colour scale."""
    around = particle.cropped(crystal)
    wide = [particle.extent(around, right) for _, right in strain.PLANES]
    tall = max(particle.extent(around, up) for up, _ in strain.PLANES) * 4.6 / sum(wide)
    made = style.figure(style.DOUBLE, tall + 0.75 + 0.2 * bool(strain.grade_text(crystal)))
    made.set_layout_engine("compressed", w_pad=0.05, h_pad=0.03, hspace=0.0, wspace=0.0)
    row = made.subplots(1, 3, width_ratios=wide)
    between = _limits(boundaries, name)
    for ax, plane in zip(row, strain.PLANES, strict=True):
        _draw(ax, crystal, grains, boundaries, name, plane, between)
        ax.set_title(strain.SEEN[plane])
    style.level(row)
    style.colour_bar(list(row), _colours(name), between, f"{EDGES[name].label}\n{WIDTH}", pad=0.015, aspect=13)
    style.scale_bar(row[0])
    if strain.grade_text(crystal):
        made.suptitle(strain.grade_text(crystal), fontsize=10, color=style.EVENT)
    return made


@style.paper()
def table(grains: xr.Dataset, boundaries: xr.Dataset) -> Figure:
    """What is known of the grains and of the boundaries, with errors: two tables, one above the other."""
    count = (grains.sizes["grain"], boundaries.sizes["boundary"])
    made = style.figure(style.DOUBLE, 0.75 + 0.22 * (sum(count) + 2 * HEAD))
    above, below = made.subplots(2, 1, height_ratios=[count[0] + HEAD, count[1] + HEAD])
    _table(above, "grains", [str(int(k)) for k in grains.grain.values], grains, GRAIN_COLUMNS)
    names = [f"{int(i)}–{int(j)}" for i, j in zip(boundaries.i.values, boundaries.j.values, strict=True)]
    _table(below, "boundaries", names, boundaries, BOUNDARY_COLUMNS)
    return made


HEAD = 1.9  # height of the head of a table, which has two lines, in rows
GRAIN_COLUMNS = {
    "volume\n(µm³)": ("volume_nm3", 1e-9),
    "surface\n(µm²)": ("surface_nm2", 1e-6),
    "strain\n(10⁻³)": ("strain", 1e3),
    "tilt 1\n(mrad)": ("tilt_1", 1e3),
    "tilt 2\n(mrad)": ("tilt_2", 1e3),
    "phase offset\n(rad)": ("phase_offset", 1.0),
}
BOUNDARY_COLUMNS = {
    "area\n(µm²)": ("area_nm2", 1e-6),
    "flatness": ("flatness", 1.0),
    "dip": ("dip", 1.0),
    "misorientation\n(mrad)": ("misorientation", 1e3),
    "strain step\n(10⁻³)": ("d_strain", 1e3),
    "phase jump\n(rad)": ("phase_jump", 1.0),
    "dislocations\nexpected": ("expected_dislocations", 1.0),
}


def _colours(name: str) -> Colormap:
    return mpl.colormaps[EDGES[name].cmap].with_extremes(bad=style.GREY)


def _limits(boundaries: xr.Dataset, name: str) -> tuple[float, float]:
    """Colour limits in display units: those that are fixed, or from 0 to the largest."""
    if name not in boundaries:
        raise SchemaError(f"the boundaries have no {name!r} to colour them by; they have {', '.join(map(str, boundaries.data_vars))}")
    known = boundaries[name].values[np.isfinite(boundaries[name].values)] * EDGES[name].scale
    return EDGES[name].limits or (0.0, float(known.max(initial=0.0)) or 1.0)


def _draw(
    ax: Axes,
    crystal: xr.Dataset,
    grains: xr.Dataset,
    boundaries: xr.Dataset,
    name: str,
    seen: tuple[str, str],
    between: tuple[float, float],
) -> None:
    """One plane of the grains, pale, under the whole graph."""
    reading.shown(crystal, "grain")
    labels = strain.cropped(crystal)["grain"]
    (across,) = {"x", "y", "z"} - set(seen)
    plane = labels.sel({across: 0.0}, method="nearest").transpose(*seen)
    drawn = style.image(ax, plane.where(plane > 0), style.LOOKS["grain"], style.limits(labels.values, "labels"))
    style.pale(drawn, 0.35)
    strain.grain_lines(ax, plane, width=0.6)
    right, up = ("xyz".index(axis) for axis in (seen[1], seen[0]))
    nodes = {int(k): place[[right, up]] for k, place in zip(grains.grain.values, grains.centroid.values, strict=True)}
    _edges(ax, boundaries, name, nodes, (right, up), between)
    for grain, place in nodes.items():
        x, y = place
        ax.plot(x, y, "o", ms=13, mfc=style.grain_colour(grain), mec="white", mew=1.2, zorder=5)
        ax.text(x, y, str(grain), ha="center", va="center", fontsize=8.5, color="white", zorder=6, path_effects=style.halo("black", 1.2))
    ax.set(xlabel=f"${seen[1]}$ (nm)", ylabel=f"${seen[0]}$ (nm)")
    ax.locator_params(nbins=4)


def _edges(
    ax: Axes,
    boundaries: xr.Dataset,
    name: str,
    nodes: Mapping[int, np.ndarray],
    onto: tuple[int, int],
    between: tuple[float, float],
) -> None:
    """Every boundary as a bent line from grain to grain by way of its centroid, the widest below."""
    values, root = boundaries[name].values * EDGES[name].scale, np.sqrt(boundaries.area_nm2.values)
    for k in np.argsort(-root):
        ends = [nodes[int(boundaries[side].values[k])] for side in "ij"]
        line = np.array([ends[0], boundaries.centroid.values[k][list(onto)], ends[1]]).T
        width = THIN + (THICK - THIN) * root[k] / root.max()
        if not np.isfinite(values[k]):
            ax.plot(*line, ":", color="0.4", lw=1.2, zorder=3)
            continue
        shade = _colours(name)((values[k] - between[0]) / (between[1] - between[0]))
        ax.plot(*line, "-", color="0.15", lw=width + 1.4, zorder=3, solid_joinstyle="round")
        ax.plot(*line, "-", color=shade, lw=width, zorder=4, solid_joinstyle="round")


def _table(ax: Axes, title: str, names: list[str], rows: xr.Dataset, columns: Mapping[str, tuple[str, float]]) -> None:
    """One table; of what the rows do not have there is no column."""
    ax.set_axis_off()
    ax.set_title(title, loc="left")
    have = {head: place for head, place in columns.items() if place[0] in rows}
    if not names:
        style.note(ax, f"no {title}", where="centre")
        return
    cells = [[_number(rows, name, scale, k) for name, scale in have.values()] for k in range(len(names))]
    made = ax.table(
        cells,
        rowLabels=names,
        colLabels=list(have),
        colWidths=_widths(list(have), cells),
        loc="upper left",
        cellLoc="right",
        edges="horizontal",
        bbox=Bbox.from_bounds(0.05, 0, 0.95, 1),
    )
    made.auto_set_font_size(False)
    made.set_fontsize(8)
    for (row, _), cell in made.get_celld().items():
        cell.set_height(cell.get_height() * (HEAD if row == 0 else 1.0))


def _widths(heads: list[str], cells: list[list[str]]) -> list[float]:
    """Widths of columns, in proportion to the longest word or number in each."""
    longest = [max(map(len, [*head.split("\n"), *column])) + 2 for head, column in zip(heads, zip(*cells, strict=True), strict=True)]
    return [n / sum(longest) for n in longest]


def _number(rows: xr.Dataset, name: str, scale: float, k: int) -> str:
    """A value with its error, to the digits that the error leaves: one of the error, two where it begins with 1."""
    value = float(rows[name].values[k]) * scale
    error = float(rows[f"{name}_error"].values[k]) * scale if f"{name}_error" in rows else np.nan
    if not np.isfinite(value):
        return "—"
    if not (np.isfinite(error) and error > 0):
        return f"{value:#.3g}".rstrip(".").replace("-", "\N{MINUS SIGN}") if value else "0"
    power = int(np.floor(np.log10(error)))
    digits = max(0, (1 if error < 2 * 10.0**power else 0) - power)
    return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "\N{MINUS SIGN}")
