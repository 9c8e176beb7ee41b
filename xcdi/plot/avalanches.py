"""Events in pictures: the trace they were found on, their sizes, the boundaries they happened on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from xcdi.plot import reading, strain, style

__all__ = ["boundary_map", "boundary_slices", "boundary_timeline", "drops", "score", "size_distribution", "waiting_times"]

BLUE = "#0072b2"
SIZES = {"drop": "drop $D$", "drop_internal": "internal drop $D$", "fraction": "fraction $f$"}
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
    """Drop of the correlation across every event against its time, with error bars; grey is an artefact or rigid motion.

    Parameters
    ----------
    events : Dataset
        EVENTS with `time` [s], `drop`, `drop_error`; `drop_internal` adds what remains once rigid motion is undone.
    ax : Axes, optional

    Returns
    -------
    Axes
        Logarithmic sizes. An event whose drop is not positive within its noise is listed in the table, not drawn.
    """
    ax = style.own_axes(ax, height=2.9)
    time, drop = reading.shown(events, "time").values, reading.shown(events, "drop").values
    seen = np.isfinite(drop) & (drop > 0)
    if not seen.any():
        style.note(ax, "no event of measurable size", where="centre")
        ax.set(xlabel="time (s)", ylabel="drop $D$")
        return ax
    error = np.nan_to_num(reading.shown(events, "drop_error").values)
    below = np.minimum(error, 0.9 * np.abs(drop))
    real = reading.genuine(events)
    for chosen, colour, word in ((seen & real, style.EVENT, "drop $D$"), (seen & ~real, "0.55", "artefact or rigid motion")):
        if chosen.any():
            shape: dict[str, Any] = {"fmt": "o", "ms": 5, "color": colour, "ecolor": "0.4", "elinewidth": 1, "capsize": 2}
            ax.vlines(time[chosen], 0, drop[chosen], color=colour, lw=0.8, alpha=0.35)
            ax.errorbar(time[chosen], drop[chosen], [below[chosen], error[chosen]], label=word, **shape)
    if "drop_internal" in events:
        _internal(ax, events)
    low, high = float(np.min((drop - below)[seen])), float(np.max((drop + error)[seen]))
    ax.set(xlabel="time (s)", ylabel="drop $D$", yscale="log", ylim=(low / 1.6, min(2.0, 1.8 * high)))
    style.plain_log(ax.yaxis)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0, handletextpad=0.3)
    return ax


@style.paper()
def size_distribution(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of events at least as large as each, log-log, with the truncated power law over the range it was fitted to.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS: `size` and `ccdf`, one per event; `fit_size` and `fit_ccdf`, the fitted curve; scalars `exponent`,
        `exponent_error`, `smallest`, `largest` and `n`.
    ax : Axes, optional

    Returns
    -------
    Axes
        No line is drawn where no exponent was fitted; the note of the statistics says why.
    """
    ax = style.own_axes(ax, height=3.4)
    size, share = _ccdf(statistics)
    ax.set(xlabel=SIZES.get(str(statistics.attrs.get("size")), "event size"), ylabel="share of events at least this large")
    if not size.size:
        style.note(ax, "no event of measurable size", where="centre")
        return ax
    ax.plot(size, share, "o", ms=4, mew=0, color=BLUE, alpha=0.7)
    ax.set(xscale="log", yscale="log", ylim=(max(0.4 / size.size, 1e-6), 1.4))
    exponent, smallest, largest, n = (reading.value(statistics, name) for name in ("exponent", "smallest", "largest", "n"))
    lines = [f"$N$ = {int(n if n is not None else size.size)}"]
    if smallest is not None:
        ax.axvline(smallest, color="0.5", ls=":", lw=1)
        lines.append(f"smallest = {smallest:.3g}")
    if exponent is None:
        ax.set_title(str(statistics.attrs.get("note", "")), fontsize=9, wrap=True)
    else:
        ax.plot(reading.shown(statistics, "fit_size").values, reading.shown(statistics, "fit_ccdf").values, color="black", lw=1.5)
        lines.insert(0, rf"$\tau$ = {reading.number(exponent, reading.value(statistics, 'exponent_error'))}")
        lines += [f"largest = {largest:.3g}"] if largest is not None else []
    style.plain_log(ax.xaxis)
    style.note(ax, "\n".join(lines), where="lower left")
    return ax


@style.paper()
def waiting_times(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of the times between successive events that are at least as long as each, log-log.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `waiting` [s], one per gap; `p_exponential` and `p_exponential_rescaled` where a law was tested.
    ax : Axes, optional
    """
    ax = style.own_axes(ax, height=3.4)
    gaps = reading.shown(statistics, "waiting").values
    gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
    ax.set(xlabel="waiting time (s)", ylabel="share of waits at least this long")
    if not gaps.size:
        style.note(ax, "fewer than two events", where="centre")
        return ax
    ax.ecdf(gaps, complementary=True, color=BLUE, lw=1.4)
    ax.set(xscale="log", yscale="log", ylim=(max(0.4 / gaps.size, 1e-6), 1.4))
    lines = [f"{gaps.size} waits"]
    for name, words in (("p_exponential", "$p$ exponential"), ("p_exponential_rescaled", "$p$ exponential, rate removed")):
        found = reading.value(statistics, name)
        lines += [f"{words} = {found:.2g}"] if found is not None else []
    style.note(ax, "\n".join(lines), where="lower left")
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
    time, drop, pairs = reading.shown(events, "time").values, reading.shown(events, "drop").values, _pairs(events)
    rows = sorted({pair for pair in pairs if pair is not None})
    ax = style.own_axes(ax, style.DOUBLE, 1.3 + 0.28 * (len(rows) + 1))
    level = np.array([rows.index(pair) + 1 if pair is not None else 0 for pair in pairs], dtype=int)
    sure = np.nan_to_num(events["probability"].values, nan=0.0) if "probability" in events else np.ones(time.size)
    size = np.clip(np.nan_to_num(drop), 0, 1)
    area = 25 + 350 * size / max(size.max(initial=0.0), 1e-9)
    ax.hlines(range(len(rows) + 1), 0, 1, color="0.88", lw=0.8, transform=ax.get_yaxis_transform(), zorder=0)
    drawn = ax.scatter(time, level, area, sure, cmap="Reds", vmin=0, vmax=1, edgecolors="black", linewidths=0.6)
    ax.set_yticks(range(len(rows) + 1), ["none", *(f"{i}–{j}" for i, j in rows)])
    ax.set(xlabel="time (s)", ylabel="between grains", ylim=(-0.6, len(rows) + 0.6))
    style.host(ax).colorbar(drawn, ax=ax, pad=0.02, label="probability")
    return ax


@style.paper()
def boundary_slices(crystal: xr.Dataset, events: xr.Dataset) -> Figure:
    """Three slices of the grains with every boundary coloured by the number of events on it.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`, the grains on the two sides.

    Returns
    -------
    Figure
        Thin grey lines are boundaries without an event.
    """
    counts = _counts(events)
    labels = strain.cropped(crystal)["grain"]
    wide = [np.ptp(style.edges(labels[right].values)) for _, right in strain.PLANES]
    made = style.figure(style.DOUBLE, 3.1)
    made.set_layout_engine("compressed")
    for ax, (up, right) in zip(made.subplots(1, 3, width_ratios=wide), strain.PLANES, strict=True):
        (across,) = {"x", "y", "z"} - {up, right}
        plane = labels.sel({across: 0.0}, method="nearest").transpose(up, right)
        pale = plane.where(plane > 0)
        style.pale(style.image(ax, pale, style.LOOKS["grain"], style.limits(labels.values, "labels")), 0.35)
        _coloured_lines(ax, plane, counts)
        ax.set(xlabel=f"${right}$ (nm)", ylabel=f"${up}$ (nm)", title=strain.SEEN[up, right])
        ax.locator_params(nbins=4)
    _count_bar(made.axes, counts)
    return made


@style.paper()
def boundary_map(crystal: xr.Dataset, events: xr.Dataset, ax: Axes3D | None = None, *, view: tuple[float, float] = (22.0, -55.0)) -> Axes3D:
    """The grain boundaries in 3D, coloured by the number of events on each.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `grain` (z, y, x).
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`.
    ax : Axes, optional
        Axes of projection "3d".
    view : (float, float)
        Elevation and azimuth of the eye, deg.

    Returns
    -------
    Axes
        Faces between voxels of two grains; pale grey ones saw no event.
    """
    ax = style.own_axes_3d(ax)
    counts = _counts(events)
    corners, pairs, turned = _faces(strain.cropped(crystal)["grain"])
    colours = _count_colours(counts)
    shades = np.array([colours(counts[pair]) if pair in counts else (0.75, 0.75, 0.75, 0.25) for pair in pairs]).reshape(-1, 4)
    shades[:, :3] *= np.array([0.8, 1.0, 0.9])[turned, None]  # faces across z, y, x: tells them apart
    ax.add_collection3d(Poly3DCollection(corners, facecolors=shades, edgecolors="none", antialiased=False))
    strain.box(ax, crystal)
    ax.view_init(*view, vertical_axis="y")
    _count_bar([ax], counts, shrink=0.6, pad=0.18)
    return ax


def _internal(ax: Axes, events: xr.Dataset) -> None:
    """Circles for what remains of each drop once rigid motion is undone; none where nothing remains."""
    time, inner = events["time"].values, events["drop_internal"].values
    error = np.nan_to_num(events["internal_error"].values) if "internal_error" in events else np.zeros(inner.size)
    there = np.isfinite(inner) & (inner > 0)
    bars = [np.minimum(error, 0.9 * inner)[there], error[there]]
    ax.errorbar(time[there], inner[there], bars, fmt="none", ecolor="0.7", elinewidth=0.8, zorder=1)
    ax.plot(time[there], inner[there], "o", mfc="none", mec="black", ms=8, mew=0.9, label="after undoing rigid motion")


def _ccdf(statistics: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and shares, of the positive sizes alone: others have no place on a logarithmic axis."""
    size, share = np.ravel(reading.shown(statistics, "size").values), np.ravel(reading.shown(statistics, "ccdf").values)
    there = np.isfinite(size) & (size > 0) & (share > 0)
    return size[there], share[there]


def _pairs(events: xr.Dataset) -> list[Pair | None]:
    """The two grains of each event, smaller number first; None where no boundary was found."""
    first, second = reading.shown(events, "boundary_i").values, reading.shown(events, "boundary_j").values
    return [(min(int(i), int(j)), max(int(i), int(j))) if i > 0 and j > 0 else None for i, j in zip(first, second, strict=True)]


def _counts(events: xr.Dataset) -> dict[Pair, int]:
    """Number of events per boundary."""
    pairs = [pair for pair in _pairs(events) if pair is not None]
    return {pair: pairs.count(pair) for pair in pairs}


def _count_colours(counts: dict[Pair, int]) -> ListedColormap:
    """One colour for each number of events from 1 to the largest; index with the number itself."""
    most = max(counts.values(), default=1)
    return ListedColormap(mpl.colormaps["YlOrRd"](np.linspace(0.35, 1.0, most + 1))[: most + 1])


def _count_bar(axes: Sequence[Axes], counts: dict[Pair, int], **options: float) -> None:
    """Colour bar of whole numbers."""
    colours = _count_colours(counts)
    whole = ListedColormap(colours(np.arange(1, colours.N)))
    bar = style.colour_bar(axes, whole, (0.5, colours.N - 0.5), "events", **options)
    bar.set_ticks(np.unique(np.linspace(1, colours.N - 1, min(6, colours.N - 1)).astype(int)).tolist())


def _coloured_lines(ax: Axes, plane: xr.DataArray, counts: dict[Pair, int]) -> None:
    """Boundaries of one slice: thin and grey without events, thick and coloured with them."""
    segments, pairs = strain.grain_segments(plane)
    colours = _count_colours(counts)
    busy = [k for k, pair in enumerate(pairs) if pair in counts]
    quiet = [k for k, pair in enumerate(pairs) if pair not in counts]
    ax.add_collection(LineCollection([segments[k] for k in quiet], colors="0.45", linewidths=0.9, capstyle="projecting"))
    ax.add_collection(LineCollection([segments[k] for k in busy], colors="black", linewidths=4.2, capstyle="projecting"))
    shades = [colours(counts[pairs[k]]) for k in busy]
    ax.add_collection(LineCollection([segments[k] for k in busy], colors=shades, linewidths=3.0, capstyle="projecting"))


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
