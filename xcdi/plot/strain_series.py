"""A particle over time in pictures: what changed in its slices, and order, strain, boundaries and slips state by state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from xcdi.errors import SchemaError
from xcdi.plot import reading, style
from xcdi.plot.particle import cropped, extent, grain_lines, hatched
from xcdi.plot.strain import PLANES, SEEN
from xcdi.plot.style import Look

__all__ = ["CHANGES", "changes", "over_time"]

CHANGES = {
    "strain_change": Look(r"change of strain $\varepsilon_{GG}$ ($10^{-3}$)", "RdBu_r", 1e3, "symmetric"),
    "displacement_change": Look("change of displacement $u_G$ (nm)", "PuOr_r", kind="symmetric"),
}
ROUND = Look("change of displacement $u_G$ (nm)", "twilight_shifted", kind="cyclic")
ROWS = 4  # states drawn in slices; all are in the file
CURVES = 6  # boundaries drawn over time, the largest ones
UNITS = (("h", 3600.0, 36000.0), ("min", 60.0, 600.0), ("s", 1.0, 0.0))  # name, seconds, used from so many seconds on
BAR: dict[str, Any] = {"fmt": "o-", "ms": 4, "lw": 0.9, "elinewidth": 0.9, "capsize": 2}


@style.paper()
def changes(series: xr.Dataset, *, name: str = "strain_change", states: Sequence[int] | None = None) -> Figure:
    """What changed in each state since the one it is compared with: three orthogonal slices a row, all of one colour scale.

    Parameters
    ----------
    series : Dataset
        From :func:`xcdi.stages.strain_series.series`.
    name : str
        ``"strain_change"`` or ``"displacement_change"``; a displacement that comes near half a lattice spacing, behind which it
        begins anew, is drawn in cyclic colours.
    states : sequence of int, optional
        Which states, by number; by default up to four after the first, evenly taken, the last among them.

    Returns
    -------
    Figure
        The planes cut through the middle of the particle. Grey is outside, lines are the grain boundaries of the state; the number
        in a corner is the median standard error. An unreliable state is hatched.

    Raises
    ------
    SchemaError
        If the series lacks the map.
    """
    if name not in CHANGES:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(CHANGES)}")
    reading.shown(series, name)
    chosen = _chosen(series) if states is None else list(states)
    around = cropped(series.assign(support=series["support"].any("state"))).assign(seen=series["support"])
    look, between = _scale(around.isel(state=chosen), name)
    wide = [extent(around, right) for _, right in PLANES]
    tall = max(extent(around, up) for up, _ in PLANES) * 4.6 / sum(wide)  # inches, beside tick labels and colour bar
    made = style.figure(style.DOUBLE, len(chosen) * (tall + 0.06) + 0.75)
    made.set_layout_engine("compressed", w_pad=0.05, h_pad=0.03, hspace=0.0, wspace=0.0)
    grid = made.subplots(len(chosen), 3, squeeze=False, width_ratios=wide, sharex="col")
    drawn = [_row(row, around.isel(state=k), name, look, between) for row, k in zip(grid, chosen, strict=True)]
    made.colorbar(drawn[0], ax=grid.ravel().tolist(), pad=0.015, extend="neither" if look is ROUND else "both").set_label(look.label)
    _labelled(grid, series, chosen)
    return made


@style.paper()
def over_time(series: xr.Dataset) -> Figure:
    """Order, strain, boundary shift and slip of every state against its time, with standard errors.

    Parameters
    ----------
    series : Dataset
        From :func:`xcdi.stages.strain_series.series`.

    Returns
    -------
    Figure
        Strain and boundaries relative to what the attribute against says. Of more than six boundaries the largest are drawn. An
        unreliable state is a grey line without numbers. Where not all times are known, states are counted.

    Raises
    ------
    SchemaError
        If there is no order, or no step of strain.
    """
    for name in ("order", "strain_step", "boundary_shift", "slip"):
        reading.shown(series, name)
    made = style.figure(style.DOUBLE, 4.8)
    grid = made.subplots(2, 2, sharex=True)
    place, label = _places(series)
    _curve(grid[0, 0], place, series["order"], series.get("order_error"), 1.0)
    _curve(grid[1, 0], place, series["strain_step"], series.get("strain_step_error"), 1e3)
    _by_boundary(grid[0, 1], place, series, "boundary_shift")
    _by_boundary(grid[1, 1], place, series, "slip")
    _spacing(grid[1, 1], series)
    since = {"previous": "the state before"}.get(str(series.attrs.get("against")), f"state {series.attrs.get('reference', 0)}")
    titles = ("order (1: perfect grains)", r"mean strain ($10^{-3}$)", "shift of boundary (nm)", "slip along $G$ (nm)")
    for ax, title in zip(grid.T.ravel(), titles, strict=True):
        ax.set_ylabel(title)
        _unreliable(ax, place, series)
    for ax in grid[-1]:
        ax.set_xlabel(label)
        if label == "state":
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    made.suptitle(f"changes are relative to {since}", fontsize=10)
    drawn = {name: handle for ax in grid[::-1, 1] for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if drawn:
        made.legend(list(drawn.values()), list(drawn), title="between grains", loc="outside right center")
    return made


def _chosen(series: xr.Dataset) -> list[int]:
    """Numbers of up to four states besides the reference."""
    others = [k for k in range(series.sizes["state"]) if k != series.attrs.get("reference", 0)]
    if not others:
        raise SchemaError("the series has one state only, and nothing to compare it with")
    return [others[k] for k in np.unique(np.linspace(len(others) - 1, 0, ROWS).round().astype(int))]


def _scale(series: xr.Dataset, name: str) -> tuple[Look, tuple[float, float]]:
    """How the map is drawn, and between which values: those of all states drawn."""
    look = CHANGES[name]
    between = style.limits(look.scale * series[name].values, look.kind)
    length = reading.vector(series, "q_mean")
    if name == "strain_change" or length is None:
        return look, between
    half = float(np.pi / np.linalg.norm(length))
    return (ROUND, (-half, half)) if between[1] > half / 2 else (look, between)


def _row(axes: np.ndarray, state: xr.Dataset, name: str, look: Look, between: tuple[float, float]) -> AxesImage:
    """Three slices of one state."""
    state = state.assign_attrs(grade=str(state["grade"].item())) if "grade" in state else state
    for ax, (up, right) in zip(axes, PLANES, strict=True):
        (across,) = {"x", "y", "z"} - {up, right}
        plane = state.isel({across: state.sizes[across] // 2}).transpose(up, right, ...)
        drawn = style.image(ax, plane[name].where(plane["seen"]) * look.scale, look, between)
        if "grain" in plane:
            grain_lines(ax, plane["grain"])
        hatched(ax, state)
        ax.locator_params(nbins=4)
    error = state.get(f"{name}_error")
    if error is not None and bool(np.isfinite(error).any()):
        style.note(axes[0], f"±{look.scale * float(error.where(np.isfinite(error)).median()):.2g}", where="lower right")
    style.level(axes)
    return drawn


def _labelled(grid: np.ndarray, series: xr.Dataset, chosen: Sequence[int]) -> None:
    """Views above, axes below, states and axes at the left."""
    for ax, (up, right) in zip(grid[0], PLANES, strict=True):
        ax.set_title(SEEN[up, right])
    for row, k in zip(grid, chosen, strict=True):
        for ax, (up, _) in zip(row, PLANES, strict=True):
            ax.set_ylabel(f"${up}$ (nm)")
        row[0].set_ylabel(f"{_told(series, k)}\n${PLANES[0][0]}$ (nm)")
    for ax, (_, right) in zip(grid[-1], PLANES, strict=True):
        ax.set_xlabel(f"${right}$ (nm)")
    style.scale_bar(grid[0, 0])


def _told(series: xr.Dataset, k: int) -> str:
    """Number and time of a state, and its grade where that is a warning."""
    place, label = _places(series)
    unit = label.partition("(")[2].rstrip(")")
    when = f", {place[k]:.3g} {unit}" if unit else ""
    grade = str(series["grade"].values[k]) if "grade" in series else "good"
    return f"state {k}{when}" + (f"\n{grade}" if grade in ("limited", "unreliable") else "")


def _places(series: xr.Dataset) -> tuple[np.ndarray, str]:
    """Where the states lie along the axis of time, and what that axis is called."""
    seconds = series["time"].values if "time" in series else np.full(series.sizes["state"], np.nan)
    if not np.isfinite(seconds).all() or np.ptp(seconds) == 0:
        return np.arange(series.sizes["state"], dtype=float), "state"
    unit, length = next((unit, length) for unit, length, least in UNITS if np.ptp(seconds) >= least)
    return seconds / length, f"time ({unit})"


def _curve(ax: Axes, place: np.ndarray, values: xr.DataArray, error: xr.DataArray | None, scale: float, **look: Any) -> None:
    """Points with their errors, joined but for gaps where there is no number."""
    bars = None if error is None else scale * np.nan_to_num(error.values)
    ax.errorbar(place, scale * values.values, bars, **{**BAR, "color": style.grain_colour(1), **look})


def _by_boundary(ax: Axes, place: np.ndarray, series: xr.Dataset, name: str) -> None:
    """One curve for each of the largest boundaries."""
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    if not series.sizes["boundary"]:
        style.note(ax, "no boundary between grains", where="centre")
    for k in _largest(series):
        one = series.isel(boundary=k)
        told = f"{int(one['boundary_i'])}–{int(one['boundary_j'])}"
        if not bool(one[name].notnull().any()):
            continue
        _curve(ax, place, one[name], one.get(f"{name}_error"), 1.0, color=style.grain_colour(k + 1), label=told)


def _largest(series: xr.Dataset) -> list[int]:
    """Numbers of the largest boundaries."""
    largest = np.argsort(-series["area"].values)[:CURVES] if "area" in series else np.arange(series.sizes["boundary"])[:CURVES]
    return [int(k) for k in np.sort(largest)]


def _spacing(ax: Axes, series: xr.Dataset) -> None:
    """Unjoin the slips, mark half a lattice spacing, behind which they begin anew, and dot the steps that pass it."""
    for drawn in ax.containers:
        drawn[0].set_linestyle("none")
    length = reading.vector(series, "q_mean")
    if length is None:
        return
    half = float(np.pi / np.linalg.norm(length))
    low, high = ax.get_ylim()
    if max(abs(low), abs(high)) > half / 2:
        for end in (-half, half):
            ax.axhline(end, color="0.5", lw=0.8, ls="--", zorder=0)
        for drawn in ax.containers:
            _passing(ax, drawn[0], half)
        ax.set_ylim(-1.12 * half, 1.12 * half)
        ax.text(
            0.02, half, "half a lattice spacing: goes on below", transform=ax.get_yaxis_transform(), fontsize=8, va="bottom", color="0.4"
        )


def _passing(ax: Axes, points: Line2D, half: float) -> None:
    """Dotted ways, over the edge and in at the other, between states whose slips lie more than half a spacing apart."""
    place, slip = np.asarray(points.get_xydata(), dtype=float).T
    for k in np.flatnonzero(np.abs(np.diff(slip)) > half):
        turn = 2 * half * np.sign(slip[k + 1] - slip[k])
        for shift in (0.0, turn):
            ways = [slip[k] + shift, slip[k + 1] - turn + shift]
            ax.plot(place[k : k + 2], ways, ":", color=points.get_color(), lw=1.1, scaley=False)


def _unreliable(ax: Axes, place: np.ndarray, series: xr.Dataset) -> None:
    """A grey line for every state that gives no numbers."""
    if "grade" not in series:
        return
    for x in place[series["grade"].values == "unreliable"]:
        ax.axvline(x, color="0.6", lw=1.0, ls=":", zorder=0)
        ax.text(x, 0.03, "unreliable", transform=ax.get_xaxis_transform(), rotation=90, ha="right", va="bottom", fontsize=8, color="0.4")
