"""Two-time maps, one-time functions with their fits, and the intensity they were normalised by."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from xcdi.plot import reading, style

__all__ = ["LOOK", "evenly", "fitted", "g2", "in_units", "intensity", "log_spaced", "overview", "positive_range", "region_name", "resolved"]
__all__ += ["two_time"]

LONGEST = 1500  # steps of time that a matrix of few frames is drawn on
STRETCHES, SHORTEST = 20, 20  # of the series that may differ in contrast, and fewest frames of one
UNEVEN = 1.5  # contrast of the highest stretch over the median, above which colours make room for it

LOOK = style.Look("$C(t_1, t_2)$", "viridis", kind="range")


@style.paper()
def two_time(correlation: xr.Dataset, ax: Axes | None = None, *, region: int = 0, events: xr.Dataset | None = None) -> Axes:
    """Two-time correlation of one region: equal axes, time running right and up, diagonal masked.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `two_time` (region, time, time2) and `time`, in s or in frames.
    ax : Axes, optional
    region : int
        Which region.
    events : Dataset, optional
        EVENTS; a tick on both axes for each.

    Returns
    -------
    Axes
        Colours run from 1 (uncorrelated) to 1 + contrast, the contrast being the median beside the diagonal, whatever
        the normalisation; where some of the series has more than half as much again, to that, by the root of C - 1, so that
        all of it is seen. Where less than half of the contrast is ever lost they run from the 1st to the 99th percentile,
        and the colour bar says so; grey is a frame that was missing or not trusted, and the diagonal, which carries shot noise.

    Examples
    --------
    >>> time = np.arange(3.0)
    >>> still = xr.Dataset({"two_time": (("region", "time", "time2"), np.full((1, 3, 3), 1.2))}, {"time": time, "time2": time})
    >>> two_time(still).images[0].get_array().mask.diagonal().all()
    np.True_
    """
    ax = style.own_axes(ax, 4.9, 4.0)
    plane = evenly(reading.shown(correlation, "two_time").isel(region=region).transpose("time", "time2").values, _seconds(correlation))
    np.fill_diagonal(plane.values, np.nan)
    between = _colour_limits(correlation, plane.values, region)
    drawn = style.image(ax, plane, LOOK, between)
    drawn.set_interpolation("auto")
    highest = _highest_contrast(plane.values) if between[0] == 1 else None
    if highest is not None and highest - 1 > UNEVEN * (between[1] - 1):
        drawn.set_norm(PowerNorm(0.5, 1.0, highest))
    ax.set(xlabel=in_units(correlation, "$t_1$"), ylabel=in_units(correlation, "$t_2$"))
    bar = style.host(ax).colorbar(drawn, ax=ax, pad=0.06, aspect=28, extend="both")
    if between[0] != 1:
        bar.set_label(f"{LOOK.label}, colours from {between[0]:.3g} (1 is uncorrelated)")
    else:
        bar.set_label(f"{LOOK.label}, colours by the root of $C - 1$" if isinstance(drawn.norm, PowerNorm) else LOOK.label)
    if events is not None:
        style.event_ticks(ax, reading.shown(events, "time").values, reading.genuine(events), both=True)
    late = ", provisional" if correlation.attrs.get("provisional") else ""
    ax.set_title(region_name(correlation, region) + late, loc="left", pad=12 if events is not None else None)
    return ax


@style.paper()
def g2(correlation: xr.Dataset, ax: Axes | None = None) -> Axes:
    r"""One-time correlation of every region with its error bars and the stretched exponential fitted to it.

    .. math:: g_2(\tau) = b + \beta \exp\left(-2 (\Gamma \tau)^\gamma\right)

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `g2` (region, delay) and `delay`; `g2_error` gives bars; `rate`, `exponent`, `fit_contrast` and
        `baseline` (region) give the line. A fit that is not finite is not drawn, nor one without finite errors of rate and contrast;
        one whose rate is not above twice its error, or contrast not above three times, is dashed and said to be not resolved.
    ax : Axes, optional

    Returns
    -------
    Axes
        Of many delays those are drawn that are evenly spaced on the logarithmic axis, 20 to a decade.
    """
    ax = style.own_axes(ax)
    curves, delay = reading.shown(correlation, "g2"), reading.shown(correlation, "delay").values
    error = correlation["g2_error"].values if "g2_error" in correlation else np.zeros(curves.shape)
    fine = np.geomspace(*positive_range(delay), 200)
    for k in range(curves.sizes["region"]):
        colour = style.grain_colour(k + 1)
        there = log_spaced(delay) & np.isfinite(curves.values[k])
        bars = np.where(np.isfinite(error[k]), error[k], 0)[there]
        shape: dict[str, Any] = {"fmt": "o", "ms": 3.5, "mew": 0, "color": colour, "ecolor": "0.6", "elinewidth": 0.8, "zorder": 2}
        label = region_name(correlation, k) if curves.sizes["region"] > 1 else None
        ax.errorbar(delay[there], curves.values[k][there], bars, label=label, **shape)
        fit = fitted(correlation, fine, k)
        if fit is not None:
            line = "-" if resolved(correlation, k) else "--"
            ax.plot(fine, fit, line, color="black", lw=1.4, label=_fit_text(correlation, k), zorder=3)
    ax.set(xscale="log", xlabel=in_units(correlation, r"delay $\tau$"), ylabel=r"$g_2(\tau)$")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    return ax


@style.paper()
def intensity(correlation: xr.Dataset, ax: Axes | None = None, *, events: xr.Dataset | None = None) -> Axes:
    """Mean counts per pixel of every region against time: what the correlation was normalised by.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `mean_count` (region, time).
    ax : Axes, optional
    events : Dataset, optional
        EVENTS; a tick above the trace for each.
    """
    ax = style.own_axes(ax, height=2.2)
    trace = reading.shown(correlation, "mean_count")
    for k in range(trace.sizes["region"]):
        ax.plot(_seconds(correlation), trace.values[k], lw=0.8, color=style.grain_colour(k + 1), label=region_name(correlation, k))
    if events is not None:
        style.event_ticks(ax, reading.shown(events, "time").values, reading.genuine(events))
    ax.set(xlabel=in_units(correlation, "time"), ylabel="counts per pixel", xlim=style.edges(_seconds(correlation)))
    ax.locator_params(axis="x", nbins=5)
    if trace.sizes["region"] > 1:
        ax.legend(loc="best")
    return ax


@style.paper()
def overview(correlation: xr.Dataset, *, region: int = 0, events: xr.Dataset | None = None) -> Figure:
    """The two-time map beside the one-time function and the intensity: one figure for a whole series."""
    made = style.figure(9.2, 4.1)
    panels = made.subplot_mosaic([["map", "g2"], ["map", "mean"]], width_ratios=[1.25, 1], height_ratios=[1.5, 1])
    two_time(correlation, panels["map"], region=region, events=events)
    if "g2" in correlation:
        g2(correlation, panels["g2"])
    else:
        panels["g2"].set_axis_off()
    if "mean_count" in correlation:
        intensity(correlation, panels["mean"], events=events)
    else:
        panels["mean"].set_axis_off()
    return made


def _seconds(correlation: xr.Dataset) -> np.ndarray:
    return np.asarray(reading.shown(correlation, "time").values, dtype=float)


def evenly(matrix: np.ndarray, seconds: np.ndarray) -> xr.DataArray:
    """A copy of the matrix on even steps of time; a frame that is missing leaves a gap and shifts nothing.

    Where pauses make that much longer than the matrix, steps are those of several frames, the first of which is shown.
    """
    step = float(np.median(np.diff(seconds))) if seconds.size > 1 else 1.0
    step *= max(1, int(np.ceil((np.ptp(seconds) / step + 1) / max(2 * seconds.size, LONGEST))))
    slot, first = np.unique(np.rint((seconds - seconds[:1]) / step).astype(int), return_index=True)
    matrix = matrix if first.size == len(matrix) else matrix[np.ix_(first, first)]
    even = np.full((slot[-1] + 1, slot[-1] + 1), np.nan)
    even[np.ix_(slot, slot)] = matrix
    place = seconds[0] + step * np.arange(len(even))
    return xr.DataArray(even, {"time": place, "time2": place}, ("time", "time2"))


def _colour_limits(correlation: xr.Dataset, plane: np.ndarray, region: int) -> tuple[float, float]:
    """From 1 to the median beside the diagonal; where nothing survives one frame, to 1 + the fitted contrast."""
    beside = _beside(plane)
    seen = beside[np.isfinite(beside)]
    if seen.size and np.median(seen) > 1.01:
        top = float(np.median(seen))
        low, high = style.limits(plane, "range")
        return (low, high) if low > (1 + top) / 2 else (1.0, top)
    contrast = reading.value(correlation, "contrast", region)
    return 1.0, 1.0 + contrast if contrast is not None and contrast > 0 else 1.1


def _beside(plane: np.ndarray) -> np.ndarray:
    """Values of the three diagonals next to the main one."""
    return np.concatenate([np.diagonal(plane, lag) for lag in range(1, min(4, len(plane)))] or [np.array([])])


def _highest_contrast(plane: np.ndarray) -> float | None:
    """The highest of the medians beside the diagonal of stretches of the series, less what noise may add; None without any."""
    long = max(SHORTEST, len(plane) // STRETCHES)
    found = []
    for start in range(0, len(plane) - long + 1, long):
        values = _beside(plane[start : start + long, start : start + long])
        values = values[np.isfinite(values)]
        if values.size > long:
            found.append(float(np.median(values) - 5 * np.std(values) / np.sqrt(values.size)))
    return max(found, default=None)


def in_units(correlation: xr.Dataset, words: str, name: str = "time") -> str:
    """Return `words` with the unit of time of the data in brackets.

    Examples
    --------
    >>> in_units(xr.Dataset(coords={"time": ("time", [0.0], {"units": "frame"})}), "age")
    'age (frames)'
    """
    unit = str(correlation[name].attrs.get("units", "s")) if name in correlation.variables else "s"
    return f"{words} ({'frames' if unit == 'frame' else unit})"


def region_name(correlation: xr.Dataset, region: int) -> str:
    """Return what tells a region from the others: its q, or its number.

    Examples
    --------
    >>> region_name(xr.Dataset(), 0)
    'region 1'
    """
    q = reading.value(correlation, "q", region) if "q" in correlation.variables else None
    return f"region {region + 1}" if q is None else f"$q$ = {q:.4g} nm$^{{-1}}$"


def fitted(correlation: xr.Dataset, delay: np.ndarray, region: int) -> np.ndarray | None:
    """The fitted curve, or None if there is no finite fit, or one whose rate or contrast the data do not constrain."""
    numbers = [reading.value(correlation, name, region) for name in ("rate", "exponent", "fit_contrast", "baseline")]
    if any(number is None for number in numbers) or not all(_constrained(correlation, name, region) for name in ("rate", "fit_contrast")):
        return None
    rate, exponent, contrast, baseline = (float(number) for number in numbers if number is not None)
    return baseline + contrast * np.exp(-2 * (rate * delay) ** exponent)


def _fit_text(correlation: xr.Dataset, region: int) -> str:
    """The fitted rate and exponent with their errors; without what the data do not constrain."""
    texts = []
    per = " frame$^{-1}$" if in_units(correlation, "") == " (frames)" else " s$^{-1}$"
    for name, symbol, unit in (("rate", r"\Gamma", per), ("exponent", r"\gamma", "")):
        if not _constrained(correlation, name, region):
            continue
        found = reading.value(correlation, name, region)
        error = reading.value(correlation, f"{name}_error", region)
        if found is not None and error is not None and error < 1e-9 * abs(found):
            error = None  # of rounding alone
        texts.append(f"${symbol}$ = {reading.number(found if found is not None else np.nan, error)}{unit}")
    return ", ".join(texts) if resolved(correlation, region) else f"{', '.join(texts[:1])} (not resolved)"


def resolved(correlation: xr.Dataset, region: int) -> bool:
    """Whether rate, contrast and exponent stand above their errors, as :func:`xcdi.stages.two_time_map.told` has it.

    Examples
    --------
    >>> resolved(xr.Dataset({"rate": ("region", [0.01]), "rate_error": ("region", [0.01])}), 0)
    False
    """
    for name, times in (("rate", 2), ("fit_contrast", 3), ("exponent", 1)):
        found, error = (reading.value(correlation, word, region) for word in (name, f"{name}_error"))
        if found is not None and error is not None and not times * error < found:
            return False
    return True


def _constrained(correlation: xr.Dataset, name: str, region: int) -> bool:
    """False if the error of a fitted number is there and not finite."""
    return f"{name}_error" not in correlation.variables or reading.value(correlation, f"{name}_error", region) is not None


def log_spaced(delay: np.ndarray, per_decade: int = 20) -> np.ndarray:
    """Which delays to draw: the first of each step of the logarithmic axis."""
    step = np.where(delay > 0, np.floor(per_decade * np.log10(np.where(delay > 0, delay, 1.0))), np.nan)
    first = np.zeros(delay.size, bool)
    first[np.unique(step, return_index=True)[1]] = True
    return first & (delay > 0)


def positive_range(delay: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest of the delays above zero; a decade where there are not two."""
    positive = delay[delay > 0]
    return (float(positive.min()), float(positive.max())) if positive.size > 1 else (0.1, 1.0)
