"""How the dynamics change: one-time functions by age, rate against q, traces, their variance, contrast against exposure."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from xcdi.plot import correlation as plain
from xcdi.plot import reading, style

__all__ = ["aged", "chi", "page", "rates", "traces", "visibility"]

GREY, LIGHT = "0.45", "0.65"
AGES = "plasma"
FLAT = 1e-6  # range of a trace that shows nothing but rounding


@style.paper()
def aged(correlation: xr.Dataset, ax: Axes | None = None, *, region: int = 0) -> Axes:
    """One-time function of each age, coloured by it.

    Parameters
    ----------
    correlation : Dataset
        With `g2_aged` (region, age, delay), `age` and `delay`, or better `g2_aged_binned` (region, age, delay_bin); the fit to all
        ages, or without one the mean over them, is drawn black.
    ax : Axes, optional
    region : int

    Returns
    -------
    Axes
        Delays above the longest that its age has room for are not drawn.
    """
    ax = style.own_axes(ax)
    known = "g2_aged_binned" in correlation
    curves = reading.shown(correlation, "g2_aged_binned" if known else "g2_aged").values[region]
    age, delay = correlation["age"].values, correlation["delay"].values
    places = correlation["delay_bin"].values if known else delay
    shades = mpl.colormaps[AGES](np.linspace(0.0, 0.85, len(age)))
    for curve, shade, middle in zip(curves, shades, age, strict=True):
        room = 1.8 * min(middle, delay[-1] - middle)
        there = (known | plain.log_spaced(places)) & np.isfinite(curve) & (places <= room)
        ax.plot(places[there], curve[there], "o-", ms=3.5, mew=0, lw=1.0, color=shade)
    fine = np.geomspace(*plain.positive_range(delay[delay <= 0.6 * delay[-1]]), 200)
    law = plain.fitted(correlation, fine, region)
    if law is not None:
        firm = plain.resolved(correlation, region)
        ax.plot(fine, law, "-" if firm else "--", color="black", lw=1.3, label="fit to all ages" + ("" if firm else " (not resolved)"))
        ax.legend(loc="upper right")
    elif "g2" in correlation:
        mean = correlation["g2"].values[region]
        there = plain.log_spaced(delay) & np.isfinite(mean) & (delay <= 0.6 * delay[-1])
        ax.plot(delay[there], mean[there], color="black", lw=1.3, zorder=3, label="all ages")
        ax.legend(loc="upper right")
    ax.set(xscale="log", xlabel=plain.in_units(correlation, r"delay $\tau$"), ylabel=r"$g_2(\tau)$ at age $t$")
    step = float(age[1] - age[0]) if len(age) > 1 else float(age[0])
    between = (float(age[0]) - step / 2, float(age[-1]) + step / 2)
    bar = style.colour_bar([ax], ListedColormap(shades), between, plain.in_units(correlation, "age $t$"), pad=0.02, aspect=26)
    bar.set_ticks([float(place) for place in age], labels=[f"{place:.3g}" for place in age])
    return ax


@style.paper()
def chi(found: xr.Dataset, ax: Axes | None = None, *, region: int = 0) -> Axes:
    r"""Variance over time of the correlation against lag, freed of noise, with its error, over the variance as it is.

    Parameters
    ----------
    found : Dataset
        With `chi` (region, lag) and `lag`; `chi_error` and `chi_raw` if there are.
    ax : Axes, optional
    region : int
    """
    ax = style.own_axes(ax)
    lag, value = found["lag"].values, reading.shown(found, "chi").values[region]
    error = found["chi_error"].values[region] if "chi_error" in found else np.zeros(value.shape)
    ax.axhline(0, color=LIGHT, lw=0.8, zorder=1)
    if "chi_raw" in found:
        ax.plot(lag, found["chi_raw"].values[region], "s-", ms=3, mew=0.8, mfc="white", lw=0.8, color=LIGHT, label="with noise")
    shape: dict[str, Any] = {"fmt": "o", "ms": 4, "mew": 0, "elinewidth": 0.9, "zorder": 3}
    ax.errorbar(lag, value, error, color=style.grain_colour(region + 1), label=r"$\chi(\tau)$", **shape)
    ax.set(xscale="log", xlabel=plain.in_units(found, r"lag $\tau$", "lag"), ylabel=r"$\mathrm{Var}_t\,[c_I(t, \tau)]$")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -(FLAT**2)) if high - low < FLAT**2 else low, 1.3 * max(high, FLAT**2))
    ax.legend(loc="upper left", ncols=2, handletextpad=0.4)
    return ax


@style.paper()
def traces(found: xr.Dataset, *, region: int = 0, events: xr.Dataset | None = None) -> Figure:
    """The correlation at some lags against time, one below the other, each about its mean.

    Parameters
    ----------
    found : Dataset
        With `trace` (region, trace_lag, time); `trace_noise` (region, trace_lag), a variance, gives a bar of its standard deviation.
    region : int
    events : Dataset, optional
        EVENTS; a tick above the uppermost trace for each.
    """
    count = found.sizes["trace_lag"]
    made = style.figure(style.DOUBLE, 0.75 + 0.95 * count)
    axes = made.subplots(count, 1, sharex=True, squeeze=False).ravel()
    for k, ax in enumerate(axes):
        _trace(ax, found, region, k)
    if events is not None:
        style.event_ticks(axes[0], reading.shown(events, "time").values, reading.genuine(events))
    axes[-1].set(xlabel=plain.in_units(found, "time of the earlier frame"))
    made.supylabel(r"$c_I(t, \tau)$", fontsize=10)
    return made


@style.paper()
def rates(correlation: xr.Dataset, ax: Axes | None = None) -> Axes:
    r"""Relaxation time :math:`1/\Gamma` of every region against its q, on logarithmic axes; without fits whose error is not known.

    Parameters
    ----------
    correlation : Dataset
        With `q`, `rate` and `rate_error` (region).
    ax : Axes, optional
    """
    ax = style.own_axes(ax)
    q, rate, error = (reading.shown(correlation, name).values.astype(float) for name in ("q", "rate", "rate_error"))
    known = np.isfinite(rate) & (rate > 0) & (q > 0) & np.isfinite(error)
    tau, bar = 1 / rate[known], error[known] / rate[known] ** 2
    lower = np.minimum(bar, 0.9 * tau)  # an error as large as the value has no lower end on a logarithm
    for at, (place, time, down, up) in enumerate(zip(q[known], tau, lower, bar, strict=True)):
        colour = style.grain_colour(int(np.flatnonzero(known)[at]) + 1)
        ax.errorbar(place, time, [[down], [up]], fmt="o", ms=5, mew=0, color=colour, elinewidth=1.0)
    ax.set(xscale="log", yscale="log", xlabel="$q$ (nm$^{-1}$)", ylabel=plain.in_units(correlation, r"relaxation time $1/\Gamma$"))
    if known.any():
        ax.set_xlim(q[known].min() / 1.15, q[known].max() * 1.15)
        ax.set_ylim((tau - lower).min() / 1.25, (tau + bar).max() * 1.25)
        style.plain_log(ax.xaxis)
        style.plain_log(ax.yaxis)
    return ax


@style.paper()
def visibility(found: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Contrast against exposure of every region, over what the relaxation seen in g2 foretells.

    Parameters
    ----------
    found : Dataset
        With `visibility`, `visibility_error` (region, exposure) and `exposure`; `visibility_expected` if there is.
    ax : Axes, optional
    """
    ax = style.own_axes(ax)
    exposure, seen = found["exposure"].values, reading.shown(found, "visibility").values
    error = found["visibility_error"].values if "visibility_error" in found else np.zeros(seen.shape)
    for k in range(found.sizes["region"]):
        colour = style.grain_colour(k + 1)
        bars = np.where(np.isfinite(error[k]), error[k], 0)
        ax.errorbar(
            exposure, seen[k], bars, fmt="o", ms=4.5, mew=0, color=colour, elinewidth=0.9, label=plain.region_name(found, k), zorder=3
        )
        if "visibility_expected" in found:
            ax.plot(exposure, found["visibility_expected"].values[k], color=colour, lw=1.2, label="from $g_2$" if k == 0 else None)
    ax.set(xscale="log", ylim=(0, None), xlabel=plain.in_units(found, "exposure", "exposure"), ylabel=r"contrast $\beta$")
    style.plain_log(ax.xaxis)
    ax.legend(loc="lower left")
    return ax


@style.paper()
def page(correlation: xr.Dataset, *, region: int = 0, title: str = "", events: xr.Dataset | None = None) -> Figure:
    """Map with its one-time function, one-time functions by age, traces and their variance: one figure for one region.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `g2_aged`, `trace`, `chi`, as of a two-time map.
    region : int
    title : str
    events : Dataset, optional
        EVENTS; a tick for each above the map and beside it, and above the traces.
    """
    made = style.figure(10.4, 8.6)
    halves: Any = made.subfigures(1, 2, width_ratios=[1.12, 1])
    left, right = halves
    upper, lower = left.subfigures(2, 1, height_ratios=[1.22, 1])
    plain.two_time(correlation, upper.subplots(), region=region, events=events)
    count = correlation.sizes["trace_lag"]
    rows = lower.subplots(count, 1, sharex=True, squeeze=False).ravel()
    for k, ax in enumerate(rows):
        _trace(ax, correlation, region, k)
    if events is not None:
        style.event_ticks(rows[0], reading.shown(events, "time").values, reading.genuine(events))
    rows[-1].set(xlabel=plain.in_units(correlation, "time of the earlier frame"))
    lower.supylabel(r"$c_I(t, \tau)$", fontsize=10)
    panels = right.subplots(3, 1)
    plain.g2(correlation, panels[0])
    aged(correlation, panels[1], region=region)
    chi(correlation, panels[2], region=region)
    if title:
        made.suptitle(title, fontsize=11)
    return made


def _trace(ax: Axes, found: xr.Dataset, region: int, k: int) -> None:
    """One trace, its mean, and a bar of the noise."""
    time, trace = found["time"].values, reading.shown(found, "trace").values[region, k]
    lag, known = float(found["trace_lag"][k]), np.isfinite(trace)
    ax.plot(time, trace, lw=0.7, color=mpl.colormaps["viridis"](0.15 + 0.6 * k / max(found.sizes["trace_lag"] - 1, 1)))
    if known.any():
        mean = float(trace[known].mean())
        ax.axhline(mean, color="black", lw=0.8, ls=(0, (4, 3)))
        low, high = np.quantile(trace[known], [0.002, 0.998])
        height = max(high - low, FLAT)
        ax.set_ylim(low - 0.12 * height, high + 0.32 * height)
        if "trace_noise" in found:
            noise, beside = float(max(found["trace_noise"].values[region, k], 0.0)) ** 0.5, time[-1] + 0.012 * (time[-1] - time[0])
            ax.errorbar([beside], [mean], [noise], color=GREY, capsize=2.5, lw=1.1, clip_on=False)
            if k == 0:
                place: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
                ax.annotate("noise", (beside, mean), fontsize=8, color=GREY, **place)
    ax.set_xlim(*style.edges(time))
    ax.locator_params(axis="y", nbins=3)
    unit = plain.in_units(found, "").strip(" ()")
    style.note(ax, rf"$\tau$ = {lag:g} {unit if lag != 1 else unit.removesuffix('s') or unit}")
