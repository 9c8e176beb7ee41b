"""What the statistics of events rest on, in pictures: bursts, boundaries, durations, aftershocks."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xcdi.plot import reading, style

__all__ = ["aftershocks", "bursts", "empty", "participation", "size_at_duration", "why"]

BARS: dict[str, Any] = {"elinewidth": 0.9, "capsize": 2, "ms": 4.5}


def why(statistics: xr.Dataset, word: str, otherwise: str) -> str:
    """Return what the note of the statistics says of `word`, or `otherwise` where it says nothing.

    Examples
    --------
    >>> why(xr.Dataset(attrs={"note": "9 events; an exponent needs 50. 8 waiting times; a law for them needs 200"}), "waiting", "")
    '8 waiting times; a law for them needs 200'
    """
    parts = str(statistics.attrs.get("note", "")).split(". ")
    return next((part for part in parts if word in part), otherwise)


@style.paper()
def bursts(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Exponent of the sizes of bursts against the gap up to which events are one burst: a law of the sample does not hang on it.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `burst_exponent`, `burst_exponent_error`, `burst_n` (burst_gap [frame], burst_threshold).
    ax : Axes, optional
    """
    ax = style.own_axes(ax, height=3.6)
    ax.set(xlabel="events nearer than this are one burst (frames)", ylabel=r"exponent $\tau$ of bursts")
    if "burst_exponent" not in statistics or not np.isfinite(statistics["burst_exponent"].values).any():
        return empty(ax, why(statistics, "burst", "too few bursts for an exponent"))
    gap = np.asarray(statistics["burst_gap"].values, float)
    levels = np.asarray(statistics["burst_threshold"].values, float)
    aside = np.linspace(-0.12, 0.12, levels.size) * (float(np.min(np.diff(gap))) if gap.size > 1 else 1.0)
    for k, level in enumerate(levels):
        part = statistics.isel(burst_threshold=k)
        found, error = (part[name].values for name in ("burst_exponent", "burst_exponent_error"))
        style_of: dict[str, Any] = {"fmt": "o-", "color": style.grain_colour(k + 1), "label": f"$x$ ≥ {level:.2g}", **BARS}
        ax.errorbar(gap + aside[k], found, error, **style_of)
    whole, spread = reading.value(statistics, "exponent"), reading.value(statistics, "exponent_error")
    if whole is not None and spread is not None:
        ax.axhspan(whole - spread, whole + spread, color="0.88", zorder=0, lw=0)
        ax.axhline(whole, color="0.4", lw=1, zorder=1)
    ax.set_xticks(gap, [f"{g:g}" for g in gap])
    look: dict[str, Any] = {"fontsize": 8, "handlelength": 1.2, "columnspacing": 0.7, "handletextpad": 0.3}
    ax.legend(loc="lower left", bbox_to_anchor=(-0.04, 1.0), ncols=4, borderaxespad=0.2, **look)
    return ax


@style.paper()
def participation(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Events of each boundary against its area, and whether size, angle or order of a boundary tells how often it slips.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `boundary_area` [nm²], `boundary_events` (boundary); `against_rank`, `against_p` (against).
    ax : Axes, optional
    """
    ax = style.own_axes(ax, height=3.6)
    ax.set(xlabel="area of the boundary (µm²)", ylabel="events on it, shared by probability")
    if "boundary_events" not in statistics or not statistics.sizes.get("boundary", 0):
        return empty(ax, "no event is placed on a boundary: these results have no crystal")
    area = statistics["boundary_area"].values * 1e-6
    count = statistics["boundary_events"].values.astype(float)
    result = statistics["result"].values if "result" in statistics else np.zeros(count.size)
    many = np.unique(result).size > 1
    shown = np.where(many, count + 0.12 * np.sin(7.0 * np.arange(count.size)), count)  # so that equal ones do not hide each other
    ax.plot(area, shown, "o", ms=5.5, mew=0.5, mec="white", color=style.OKABE_ITO[0], alpha=0.75, zorder=3)
    if not many:
        sides = zip(statistics["boundary_i"].values, statistics["boundary_j"].values, strict=True)
        _named(ax, area, count, [f"{int(i)} | {int(j)}" for i, j in sides])
    lines, top = _ranks(statistics), max(float(count.max()), 1.0)
    ax.set(xlim=(0, 1.15 * float(area.max(initial=1e-9))), ylim=(-0.03 * top, (1.0 + 1.45 * top) if lines else 1.2 * top))
    ax.locator_params(nbins=5, min_n_ticks=3)
    if lines:
        style.note(ax, "\n".join(lines), where="upper left")
    return ax


@style.paper()
def size_at_duration(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Mean size of the events of each duration, log-log, with the fitted slope.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `lifetime` [s], `mean_size`, `mean_size_error` (lifetime); `size_slope` and its error.
    ax : Axes, optional
    """
    ax = style.own_axes(ax, height=3.6)
    ax.set(xlabel="duration $T$ (s)", ylabel=r"mean size $\langle S|T \rangle$")
    if "mean_size" not in statistics:
        return empty(ax, "events are faster than a frame: no durations")
    time, mean = statistics["lifetime"].values, statistics["mean_size"].values
    there = np.isfinite(mean) & (mean > 0) & (time > 0)
    error = np.nan_to_num(statistics["mean_size_error"].values) if "mean_size_error" in statistics else np.zeros(mean.size)
    ax.errorbar(time[there], mean[there], error[there], fmt="o", color=style.OKABE_ITO[0], zorder=3, **BARS)
    slope, spread = (reading.value(statistics, name) for name in ("size_slope", "size_slope_error"))
    if slope is not None and there.any():
        middle = np.exp(np.mean(np.log(time[there]))), np.exp(np.mean(np.log(mean[there])))
        ends = np.array([time[there].min(), time[there].max()])
        ax.plot(ends, middle[1] * (ends / middle[0]) ** slope, color="black", lw=1.5)
        style.note(ax, f"slope {reading.number(slope, spread)}", where="upper left")
    ax.set(xscale="log", yscale="log")
    return ax


@style.paper()
def aftershocks(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Rate of events after an event, by its size: level where events do not know of each other.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `aftershock_rate`, `aftershock_rate_error` [1/s] (size_class, delay) and `class_size` (size_class).
    ax : Axes, optional
    """
    ax = style.own_axes(ax, height=3.6)
    ax.set(xlabel="delay after an event (s)", ylabel="rate of events (s$^{-1}$)")
    if "aftershock_rate" not in statistics or not np.isfinite(statistics["aftershock_rate"].values).any():
        return empty(ax, why(statistics, "aftershock", "too few events for aftershocks"))
    delay = statistics["delay"].values
    for k in range(statistics.sizes["size_class"]):
        part = statistics.isel(size_class=k)
        rate, error = part["aftershock_rate"].values, np.nan_to_num(part["aftershock_rate_error"].values)
        there = np.isfinite(rate) & (rate > 0)
        bars = [np.minimum(error, 0.9 * np.nan_to_num(rate))[there], error[there]]
        word = f"after $D$ ≈ {float(part['class_size']):.2g}" if "class_size" in part else None
        ax.errorbar(delay[there], rate[there], bars, fmt="o-", color=style.grain_colour(k + 1), label=word, **BARS)
    background = reading.value(statistics, "rate")
    if background is not None:
        ax.axhline(background, color="0.4", ls="--", lw=1, zorder=1)
        look: dict[str, Any] = {"fontsize": 8, "color": "0.35", "path_effects": style.halo()}
        ax.text(0.99, background / 1.12, "mean rate", transform=ax.get_yaxis_transform(), ha="right", va="top", **look)
    ax.set(xscale="log", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low / 4, high)
    style.plain_log(ax.xaxis)
    style.plain_log(ax.yaxis)
    style.note(ax, "\n".join(_clustering(statistics)), where="lower left")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2, columnspacing=1.0, handletextpad=0.4)
    return ax


def empty(ax: Axes, text: str) -> Axes:
    """Write words in place of a picture."""
    style.note(ax, "\n".join(textwrap.wrap(text, 38)), where="centre")
    ax.set(xticks=[], yticks=[])
    return ax


def _named(ax: Axes, area: np.ndarray, count: np.ndarray, names: list[str]) -> None:
    """Name every boundary beside its point, to the left where another one stands near at the right."""
    wide, high = 0.16 * float(area.max(initial=1e-9)), 0.08 * max(float(count.max(initial=0.0)), 1.0)
    for k, (x, y, name) in enumerate(zip(area, count, names, strict=True)):
        near = (np.abs(count - y) < high) & (area >= x) & (area - x < wide) & (np.arange(area.size) != k)
        aside: dict[str, Any] = {"xytext": (-5, 4), "ha": "right"} if near.any() else {"xytext": (5, 4), "ha": "left"}
        ax.annotate(name, (x, y), textcoords="offset points", fontsize=8, color="0.3", **aside)


def _ranks(statistics: xr.Dataset) -> list[str]:
    """Rank correlation of the number of events with what is known of boundaries."""
    if "against" not in statistics.coords or "against_rank" not in statistics:
        return []
    names = [str(name) for name in statistics["against"].values]
    values = zip(names, statistics["against_rank"].values, statistics["against_p"].values, strict=True)
    return [rf"{name}: $\rho$ = {rank:.2f}, $p$ = {p:.2g}".replace("-", "\N{MINUS SIGN}") for name, rank, p in values if np.isfinite(rank)]


def _clustering(statistics: xr.Dataset) -> list[str]:
    """Whether events come after events more often than by chance."""
    words = {"p_clustering": "clustered in time", "p_productivity": "larger ones trigger more"}
    found = {said: reading.value(statistics, name) for name, said in words.items()}
    return [f"{said}: $p$ = {p:.2g}" for said, p in found.items() if p is not None]
