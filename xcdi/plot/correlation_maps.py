"""Maps of correlations: two-time maps with their one-time function inside, a panel for each q, and maps of age and lag."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import correlation as plain
from xcdi.plot import reading, style

__all__ = ["age_lag", "age_lag_overview", "by_age", "regions"]

COLUMNS = 4  # of panels


@style.paper()
def regions(correlation: xr.Dataset, *, most: int = 12) -> Figure:
    """A small two-time map and the one-time function of every region, all maps to one range of colours.

    Parameters
    ----------
    correlation : Dataset
        CORRELATION with `two_time` and `g2`.
    most : int
        Regions drawn; more are in the data.

    Returns
    -------
    Figure
        Colours run from the lowest first to the highest 99th percentile of the maps, but not below 1 where the pattern is forgotten.
    """
    count = min(correlation.sizes["region"], most)
    rows = -(-count // COLUMNS)
    columns = -(-count // rows)
    made = style.figure(1.0 + 2.05 * columns, 3.55 * rows)
    grid = made.subplots(2 * rows, columns, squeeze=False, height_ratios=[1.55, 1] * rows)
    between = _shared(correlation, count)
    maps, curves = [], []
    for k in range(count):
        upper, lower = grid[2 * (k // columns)][k % columns], grid[2 * (k // columns) + 1][k % columns]
        curves.append(lower)
        maps.append(_small_map(upper, correlation, k, between))
        _small_g2(lower, correlation, k)
        lower.set(xlabel=plain.in_units(correlation, r"$\tau$"))
        if k % columns:
            upper.set_ylabel("")
        else:
            lower.set_ylabel(r"$g_2(\tau)$")
    for k in range(count, rows * columns):
        grid[2 * (k // columns)][k % columns].set_axis_off()
        grid[2 * (k // columns) + 1][k % columns].set_axis_off()
    low, high = np.min([ax.get_ylim() for ax in curves], axis=0)[0], np.max([ax.get_ylim() for ax in curves], axis=0)[1]
    for ax in curves:
        ax.set_ylim(low, high)
    made.colorbar(maps[0], ax=list(grid[::2].ravel()), label=plain.LOOK.label, extend="both", pad=0.02, aspect=26)
    return made


@style.paper()
def age_lag(
    age_edges: np.ndarray,
    lag_edges: np.ndarray,
    values: np.ndarray,
    ax: Axes | None = None,
    *,
    unit: str = "s",
    label: str = r"$C$ at age $t$ and lag $\tau$",
    between: tuple[float, float] | None = None,
) -> Axes:
    """Correlation against age, to the right, and the logarithm of the lag, upwards.

    Parameters
    ----------
    age_edges : array, shape (age + 1,)
    lag_edges : array, shape (lag + 1,)
        Rising; a first edge of 0 or less is drawn at half the second one.
    values : array, shape (lag, age)
        NaN, drawn grey, where nothing is known, as where a lag does not fit beside its age.
    ax : Axes, optional
    unit : str
        Of ages and lags.
    label : str
        Of the colours.
    between : (float, float), optional
        Colour limits; by default the 1st and 99th percentile.

    Examples
    --------
    >>> drawn = age_lag(np.array([0.0, 1, 2]), np.array([1.0, 10, 100]), np.ones((2, 2)))
    >>> drawn.get_yscale()
    'log'
    """
    ax = style.own_axes(ax, 5.2, 3.5)
    lags = np.asarray(lag_edges, float).copy()
    if lags[0] <= 0:
        lags[0] = lags[1] / 2
    low, high = between or style.limits(np.asarray(values, float), "range")
    drawn = ax.pcolormesh(
        age_edges, lags, np.ma.masked_invalid(values), cmap=style.colormap(plain.LOOK), vmin=low, vmax=high, rasterized=True
    )
    ax.set(yscale="log", xlabel=f"age $t$ ({unit})", ylabel=rf"lag $\tau$ ({unit})", facecolor=style.GREY)
    ax.spines[["top", "right"]].set_visible(True)
    style.plain_log(ax.yaxis)
    style.host(ax).colorbar(drawn, ax=ax, label=label, extend="both", pad=0.02, aspect=26)
    return ax


MAPS = {"two_time_age_lag": "lag", "age_lag": "delay"}  # of tiles, and of levels: variable, and its axis beside `age`


def by_age(correlation: xr.Dataset) -> str:
    """Name of the map of ages and lags in a correlation without the full matrix; empty where there is none.

    Examples
    --------
    >>> by_age(xr.Dataset())
    ''
    """
    return next((name for name in MAPS if name in correlation), "")


@style.paper()
def age_lag_overview(correlation: xr.Dataset, *, region: int = 0) -> Figure:
    """The map of ages and lags beside the one-time function and the intensity: one figure for a long series."""
    name = by_age(correlation)
    made = style.figure(9.2, 4.1)
    panels = made.subplot_mosaic([["map", "g2"], ["map", "mean"]], width_ratios=[1.25, 1], height_ratios=[1.5, 1])
    lag = MAPS[name]
    after = correlation[lag].values > 0
    values = correlation[name].transpose("region", lag, "age").values[region][after]
    edges = _between(correlation["age"].values), np.exp(_between(np.log(correlation[lag].values[after])))
    age_lag(*edges, values, panels["map"], unit=plain.in_units(correlation, "").strip(" ()"))
    plain.g2(correlation, panels["g2"])
    plain.intensity(correlation, panels["mean"])
    return made


def _between(centre: np.ndarray) -> np.ndarray:
    """Edges half way between centres."""
    if len(centre) < 2:
        return np.array([centre[0] - 0.5, centre[0] + 0.5])
    inner = (centre[1:] + centre[:-1]) / 2
    return np.concatenate([[2 * centre[0] - inner[0]], inner, [2 * centre[-1] - inner[-1]]])


def _shared(correlation: xr.Dataset, count: int) -> tuple[float, float]:
    """Colour limits of all maps together, blind to the diagonals."""
    planes = correlation["two_time"].values[:count].copy()
    diagonal = np.arange(planes.shape[1])
    planes[:, diagonal, diagonal] = np.nan
    ends = np.array([style.limits(plane, "range") for plane in planes])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return (1.0 if low < 1 < high else low), high


def _small_map(ax: Axes, correlation: xr.Dataset, region: int, between: tuple[float, float]) -> Any:
    """One map without a colour bar of its own."""
    seconds = np.asarray(correlation["time"].values, float)
    plane = plain.evenly(correlation["two_time"].isel(region=region).transpose("time", "time2").values, seconds)
    np.fill_diagonal(plane.values, np.nan)
    drawn = style.image(ax, plane, plain.LOOK, between)
    drawn.set_interpolation("auto")
    ax.set(xlabel=plain.in_units(correlation, "$t_1$"), ylabel=plain.in_units(correlation, "$t_2$"))
    ax.locator_params(nbins=4)
    ax.set_title(plain.region_name(correlation, region), loc="left")
    return drawn


def _small_g2(ax: Axes, correlation: xr.Dataset, region: int) -> None:
    """Points and fit of one region, in its colour."""
    delay, curve = correlation["delay"].values, reading.shown(correlation, "g2").values[region]
    there = plain.log_spaced(delay, 12) & np.isfinite(curve) & (delay <= 0.6 * delay[-1])  # beyond, a few pairs are left
    colour = style.grain_colour(region + 1)
    error = correlation["g2_error"].values[region] if "g2_error" in correlation else np.zeros(curve.shape)
    bars = np.where(np.isfinite(error), error, 0)[there]
    ax.errorbar(delay[there], curve[there], bars, fmt="o", ms=3, mew=0, color=colour, ecolor="0.6", elinewidth=0.7, zorder=2)
    fine = np.geomspace(*plain.positive_range(delay[there]), 100)
    line = plain.fitted(correlation, fine, region)
    if line is not None:
        ax.plot(fine, line, "-" if plain.resolved(correlation, region) else "--", color="black", lw=1.0, zorder=3)
    ax.set_xscale("log")
    ax.locator_params(axis="y", nbins=4)
