"""Events in pictures: the trace they were found on, their sizes, the boundaries they happened on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from skimage.morphology import medial_axis

from xcdi.plot import catalogue_checks, linked, reading, strain, style

__all__ = ["boundary_map", "boundary_slices", "boundary_timeline", "completeness", "drops", "grain_map", "score"]

BLUE = "#0072b2"
ASIDE = "set apart"
ACTIVE = "YlOrRd"  # colours of the activity of boundaries
Pair = tuple[int, int]


@style.paper()
def score(events: xr.Dataset, ax: Axes | None = None, *, time: np.ndarray | None = None) -> Axes:
    """Detection score of every frame, the threshold, and a tick for every event; frames without a score are a gap.

    Parameters
    ----------
    events : Dataset
        EVENTS with `score_trace`, one value per frame, and the attribute `threshold`.
    ax : Axes, optional
    time : array, shape (frame,), optional
        Time of each frame in s; without it the axis counts frames.
    """
    ax = style.own_axes(ax, style.DOUBLE, 2.5)
    trace = reading.shown(events, "score_trace").values.astype(float)
    trace = np.where(np.isfinite(trace), trace, np.nan)
    in_seconds = time is not None and len(time) == trace.size
    where = np.asarray(time) if in_seconds else np.arange(trace.size)
    ax.plot(where, trace, lw=0.8, color="0.25")
    threshold = reading.value(events, "threshold")
    if threshold is not None:
        ax.axhline(threshold, color=BLUE, ls="--", lw=1.1)
        ax.text(0.995, threshold, f"threshold {threshold:.3g}", transform=ax.get_yaxis_transform(), ha="right", va="bottom", color=BLUE)
    style.event_ticks(ax, reading.shown(events, "time" if in_seconds else "frame").values, reading.genuine(events))
    ax.set(xlabel="time (s)" if in_seconds else "frame", ylabel="score $z$")
    ax.margins(x=0)
    return ax


@style.paper()
def drops(events: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Drop of the correlation across every event against its time, with error bars, in the colour of its boundary.

    Parameters
    ----------
    events : Dataset
        EVENTS with `time` [s], `drop`, `drop_error`; `boundary_i` and `boundary_j` give colours and letters, `drop_internal` adds what
        remains once rigid motion is undone, the attribute smallest_visible a line at the drop of which half are found.
    ax : Axes, optional

    Returns
    -------
    Axes
        Logarithmic sizes; crosses are artefacts and rigid motion. An event whose drop is not positive is listed in the table, not drawn.
    """
    ax = style.own_axes(ax, height=2.9)
    time, drop = reading.shown(events, "time").values, reading.shown(events, "drop").values
    seen = np.isfinite(drop) & (drop > 0)
    if not seen.any():
        ax.set(xlabel="time (s)", ylabel="drop $D$")
        return catalogue_checks.empty(ax, "no event of measurable size")
    error = np.nan_to_num(reading.shown(events, "drop_error").values)
    below = np.minimum(error, 0.9 * np.abs(drop))
    for chosen, colour, word in _shown_as(events):
        if (chosen & seen).any():
            _stems(ax, time[chosen & seen], drop[chosen & seen], (below[chosen & seen], error[chosen & seen]), colour, word)
    if "drop_internal" in events:
        _internal(ax, events)
    low, high = float(np.min((drop - below)[seen])), float(np.max((drop + error)[seen]))
    _visible(ax, events)
    ax.set(xlabel="time (s)", ylabel="drop $D$", yscale="log", ylim=(low / 1.6, min(2.0, 1.8 * high)))
    style.plain_log(ax.yaxis)
    count = len(ax.get_legend_handles_labels()[1])
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(count, 4), columnspacing=0.8, handletextpad=0.3)
    return ax


@style.paper()
def completeness(events: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of events put into the measured frames that the search finds, against their drop.

    Parameters
    ----------
    events : Dataset
        EVENTS with `injected_drop`, `injected_found` and `injected_error` (injected); the attributes smallest_visible, completeness
        and smallest_expected mark where half and nine in ten are found, and where counts and contrast alone would have the first.
    ax : Axes, optional
    """
    ax = style.own_axes(ax)
    drop, found = reading.shown(events, "injected_drop").values, reading.shown(events, "injected_found").values
    error = np.nan_to_num(events["injected_error"].values) if "injected_error" in events else np.zeros(drop.size)
    bars = [np.minimum(error, found), np.minimum(error, 1 - found)]  # no share is below 0 or above 1
    ax.errorbar(drop, found, bars, fmt="o-", ms=5, color=BLUE, ecolor="0.5", elinewidth=1, capsize=2, zorder=3)
    marks = (("smallest_visible", "50 %", ":"), ("completeness", "90 %", "--"), ("smallest_expected", "from counts", "-."))
    for name, words, line in marks:
        place = reading.value(events, name)
        if place is not None and place > 0:
            ax.axvline(place, color="0.35", ls=line, lw=1.1, label=f"{words}: $D$ = {place:.2g}")
    ax.set(xscale="log", xlabel="drop $D$ of an injected event", ylabel="share that is found", ylim=(-0.03, 1.05))
    style.plain_log(ax.xaxis)
    if ax.get_legend_handles_labels()[1]:
        look: dict[str, Any] = {"handlelength": 1.5, "columnspacing": 0.9, "handletextpad": 0.4, "fontsize": 8}
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, **look)
    return ax


@style.paper()
def boundary_timeline(events: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Which boundary each event happened on: time to the right, one row per boundary, area of the mark by drop.

    Parameters
    ----------
    events : Dataset
        EVENTS with `time` [s], `drop`, `boundary_i` and `boundary_j`; `probability` makes doubtful links pale.
    ax : Axes, optional
    """
    time, drop, pairs = reading.shown(events, "time").values, reading.shown(events, "drop").values, linked.pairs(events)
    known = linked.links(events)
    rows = list(known)[::-1]  # the busiest at the top
    ax = style.own_axes(ax, style.DOUBLE, 1.3 + 0.28 * (len(rows) + 1))
    level = np.array([rows.index(pair) + 1 if pair is not None else 0 for pair in pairs], dtype=int)
    sure = np.nan_to_num(events["probability"].values, nan=0.0) if "probability" in events else np.ones(time.size)
    size = np.clip(np.nan_to_num(drop), 0, 1)
    area = 25 + 350 * size / max(size.max(initial=0.0), 1e-9)
    ax.hlines(range(len(rows) + 1), 0, 1, color="0.88", lw=0.8, transform=ax.get_yaxis_transform(), zorder=0)
    drawn = ax.scatter(time, level, area, sure, cmap="Reds", vmin=0, vmax=1, edgecolors="black", linewidths=0.6)
    ax.set_yticks(range(len(rows) + 1), ["none", *(f"{known[i, j].letter}: {i} | {j}" for i, j in rows)])
    ax.set(xlabel="time (s)", ylabel="between grains", ylim=(-0.6, len(rows) + 0.6))
    if size.max(initial=0.0) > 0:
        largest = reading.number(float(size.max()), digits=2)
        ax.set_title(f"area of a mark by drop, the largest $D$ = {largest}", loc="left", fontsize=8.5, color="0.3")
    style.host(ax).colorbar(drawn, ax=ax, pad=0.02, label="probability")
    return ax


@style.paper()
def boundary_slices(crystal: xr.Dataset, events: xr.Dataset, boundaries: xr.Dataset | None = None) -> Figure:
    """Three slices of the grains with every boundary coloured by its activity.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`, the grains on the two sides.
    boundaries : Dataset, optional
        With `area_nm2`: colours are then events per µm² and not their number.

    Returns
    -------
    Figure
        Thin grey lines are boundaries without an event; letters are those of :func:`drops` and of the two-time map of the poster.
    """
    busy, words = linked.activity(events, boundaries)
    labels = strain.cropped(crystal)["grain"]
    wide = [np.ptp(style.edges(labels[right].values)) for _, right in strain.PLANES]
    made = style.figure(style.DOUBLE, 3.1)
    made.set_layout_engine("compressed")
    for ax, (up, right) in zip(made.subplots(1, 3, width_ratios=wide), strain.PLANES, strict=True):
        plane = _pale_grains(ax, labels, (up, right))
        _coloured_lines(ax, plane, _shaded(busy))
        _lettered(ax, plane, linked.links(events), "black")
        ax.set(title=strain.SEEN[up, right])
    style.level(made.axes)
    _activity_bar(made.axes, busy, words)
    return made


@style.paper()
def grain_map(crystal: xr.Dataset, events: xr.Dataset, ax: Axes | None = None, *, seen: tuple[str, str] = ("y", "x")) -> Axes:
    """One slice of the grains, numbered, with every boundary that slipped in the colour, and with the letter, of its events.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`.
    ax : Axes, optional
    seen : (str, str)
        The axes that point up and right.
    """
    ax = style.own_axes(ax, 4.0, 3.6)
    known = linked.links(events)
    plane = _pale_grains(ax, strain.cropped(crystal)["grain"], seen, grey=True)
    _coloured_lines(ax, plane, {pair: link.colour for pair, link in known.items()})
    _lettered(ax, plane, known)
    for grain in np.unique(plane.values[plane.values > 0]):
        inside = medial_axis(np.pad(plane.values == grain, 1), return_distance=True, rng=0)[1][1:-1, 1:-1]
        row, column = np.unravel_index(np.argmax(inside), inside.shape)
        where = float(plane[seen[1]][column]), float(plane[seen[0]][row])
        ax.text(*where, str(int(grain)), ha="center", va="center", color="0.25", fontsize=9)
    style.scale_bar(ax)
    return ax


@style.paper()
def boundary_map(
    crystal: xr.Dataset,
    events: xr.Dataset,
    ax: Axes3D | None = None,
    *,
    boundaries: xr.Dataset | None = None,
    view: tuple[float, float] = (22.0, -55.0),
) -> Axes3D:
    """The grain boundaries in 3D, coloured by their activity.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`.
    ax : Axes, optional
        Axes of projection "3d".
    boundaries : Dataset, optional
        With `area_nm2`: colours are then events per µm² and not their number.
    view : (float, float)
        Elevation and azimuth of the eye, deg.

    Returns
    -------
    Axes
        Faces between voxels of two grains, with the letters of the busy ones in their colours; for pale grey ones no event is named.
    """
    ax = style.own_axes_3d(ax)
    busy, words = linked.activity(events, boundaries)
    corners, pairs, turned = _faces(strain.cropped(crystal)["grain"])
    colours = _shaded(busy)
    shades = np.array([colours.get(pair, (0.75, 0.75, 0.75, 0.25)) for pair in pairs]).reshape(-1, 4)
    shades[:, :3] *= np.array([0.8, 1.0, 0.9])[turned, None]  # faces across z, y, x: tells them apart
    ax.add_collection3d(Poly3DCollection(corners, facecolors=shades, edgecolors="none", antialiased=False))
    for pair, link in linked.links(events).items():
        middle = corners[[k for k, other in enumerate(pairs) if other == pair]].mean(axis=1)
        if middle.size:
            look: dict[str, Any] = {"fontsize": 10, "fontweight": "bold", "color": link.colour, "path_effects": style.halo("white", 2.5)}
            ax.text(*np.median(middle, axis=0), link.letter, ha="center", va="center", zorder=20, **look)
    strain.box(ax, crystal)
    ax.view_init(*view, vertical_axis="y")
    _activity_bar([ax], busy, words, shrink=0.6, pad=0.18)
    return ax


def _pale_grains(ax: Axes, labels: xr.DataArray, seen: tuple[str, str], *, grey: bool = False) -> xr.DataArray:
    """Draw one slice of the grains, pale, or all of one grey; return it."""
    up, right = seen
    (across,) = {"x", "y", "z"} - {up, right}
    plane = labels.sel({across: 0.0}, method="nearest").transpose(up, right)
    shown = plane.where(plane > 0)
    drawn = style.image(ax, shown, style.LOOKS["grain"], style.limits(labels.values, "labels"))
    if grey:
        drawn.set(cmap=ListedColormap(["0.9"]).with_extremes(bad=(1.0, 1.0, 1.0, 0.0)))
        ax.set_facecolor("white")
    else:
        style.pale(drawn, 0.35)
    ax.set(xlabel=f"${right}$ (nm)", ylabel=f"${up}$ (nm)")
    ax.locator_params(nbins=4)
    return plane


def _shown_as(events: xr.Dataset) -> list[tuple[np.ndarray, Any, str]]:
    """Which events are drawn in which colour, and what the legend says of them."""
    found, known, real = linked.pairs(events), linked.links(events), reading.genuine(events)
    parts: list[tuple[np.ndarray, Any, str]] = []
    for pair, link in known.items():
        where = np.array([other == pair for other in found], bool)
        parts.append((where, link.colour, f"{link.letter}: {pair[0]} | {pair[1]}"))
    nobody = np.array([other is None for other in found], bool) & real
    return [*parts, (nobody, linked.NOBODY if known else style.EVENT, "no boundary" if known else "drop $D$"), (~real, "0.55", ASIDE)]


def _stems(ax: Axes, time: np.ndarray, drop: np.ndarray, error: tuple[np.ndarray, np.ndarray], colour: Any, word: str) -> None:
    """A point on a line from the axis for every event."""
    shape: dict[str, Any] = {"fmt": "x" if word == ASIDE else "o", "ms": 5, "color": colour, "ecolor": "0.4"}
    ax.vlines(time, 0, drop, color=colour, lw=0.8, alpha=0.35)
    ax.errorbar(time, drop, error, elinewidth=1, capsize=2, label=word, zorder=3, **shape)


def _visible(ax: Axes, events: xr.Dataset) -> None:
    """A dotted line at the drop of which half of the events are found."""
    smallest = reading.value(events, "smallest_visible")
    if smallest is not None and smallest > 0:
        ax.axhline(smallest, color="0.35", ls=":", lw=1.1, zorder=1)
        where = ax.get_yaxis_transform()
        look: dict[str, Any] = {"fontsize": 8, "color": "0.35", "path_effects": style.halo(), "zorder": 5}
        ax.text(0.995, smallest, "half are found", transform=where, ha="right", va="bottom", **look)


def _internal(ax: Axes, events: xr.Dataset) -> None:
    """Circles for what remains of each drop once rigid motion is undone; none where nothing remains."""
    time, inner = events["time"].values, events["drop_internal"].values
    error = np.nan_to_num(events["internal_error"].values) if "internal_error" in events else np.zeros(inner.size)
    there = np.isfinite(inner) & (inner > 0)
    bars = [np.minimum(error, 0.9 * inner)[there], error[there]]
    ax.errorbar(time[there], inner[there], bars, fmt="none", ecolor="0.7", elinewidth=0.8, zorder=1)
    ax.plot(time[there], inner[there], "o", mfc="none", mec="black", ms=8, mew=0.9, label="after undoing rigid motion")


def _activity_bar(axes: Sequence[Axes], busy: Mapping[Pair, float], words: str, **options: float) -> None:
    """Colour bar of the activity, if there is any; of numbers of events it has whole ticks."""
    if not busy:
        return
    bar = style.colour_bar(axes, mpl.colormaps[ACTIVE], linked.shades(busy), words, **options)
    if words == linked.NUMBER:
        bar.locator = MaxNLocator(integer=True, nbins=6)
        bar.update_ticks()


def _coloured_lines(ax: Axes, plane: xr.DataArray, colours: Mapping[Pair, Any]) -> None:
    """Boundaries of one slice: thin and grey without events, thick and coloured with them."""
    segments, pairs = strain.grain_segments(plane)
    busy = [k for k, pair in enumerate(pairs) if pair in colours]
    quiet = [k for k, pair in enumerate(pairs) if pair not in colours]
    ax.add_collection(LineCollection([segments[k] for k in quiet], colors="0.45", linewidths=0.9, capstyle="projecting"))
    ax.add_collection(LineCollection([segments[k] for k in busy], colors="black", linewidths=4.2, capstyle="projecting"))
    shades = [colours[pairs[k]] for k in busy]
    ax.add_collection(LineCollection([segments[k] for k in busy], colors=shades, linewidths=3.0, capstyle="projecting"))


def _shaded(busy: Mapping[Pair, float]) -> dict[Pair, Any]:
    """Colour of each boundary by its activity."""
    low, high = linked.shades(busy)
    return {pair: mpl.colormaps[ACTIVE]((value - low) / (high - low or 1.0)) for pair, value in busy.items()}


def _lettered(ax: Axes, plane: xr.DataArray, known: Mapping[Pair, linked.Link], ink: str | None = None) -> None:
    """The letter of every boundary that the slice cuts, on the middle one of its pieces, in its colour or in one for all."""
    segments, pairs = strain.grain_segments(plane)
    for pair, link in known.items():
        middles = np.array([np.mean(segments[k], axis=0) for k in range(len(pairs)) if pairs[k] == pair])
        if not middles.size:
            continue
        x, y = middles[np.argmin(np.linalg.norm(middles - middles.mean(axis=0), axis=1))]
        look: dict[str, Any] = {
            "fontsize": 9.5,
            "fontweight": "bold",
            "color": ink or link.colour,
            "path_effects": style.halo("white", 3.0),
        }
        ax.text(x, y, link.letter, ha="center", va="center", zorder=7, **look)


def _faces(labels: xr.DataArray) -> tuple[np.ndarray, list[Pair], np.ndarray]:
    """Squares between voxels of different grains: corners (face, 4, 3) in nm as x, y, z; the two grains and axis of each."""
    here = labels.transpose("z", "y", "x")
    places = [here[d].values for d in here.dims]
    steps = np.array([p[1] - p[0] for p in places])
    corners, pairs, turned = [], [], []
    for axis in range(3):
        one, other = (np.take(here.values, range(k, here.shape[axis] - 1 + k), axis) for k in (0, 1))
        index = np.argwhere((one != other) & (one > 0) & (other > 0))
        if not index.size:
            continue
        middle = np.stack([places[k][index[:, k]] for k in range(3)], 1) + steps / 2 * (np.arange(3) == axis)
        u, v = (steps / 2 * (np.arange(3) == k) for k in range(3) if k != axis)
        corners.append(np.stack([middle - u - v, middle + u - v, middle + u + v, middle - u + v], 1))
        sides = np.sort(np.stack([one[tuple(index.T)], other[tuple(index.T)]], 1), 1)
        pairs += [(int(i), int(j)) for i, j in sides]
        turned += [axis] * len(index)
    placed = np.concatenate(corners)[:, :, ::-1] if corners else np.zeros((0, 4, 3))
    return placed, pairs, np.array(turned, dtype=int)
