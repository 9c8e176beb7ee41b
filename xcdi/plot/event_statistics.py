"""Statistics of events in pictures: sizes with their power law, waiting times, and what they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import catalogue_checks, reading, style
from xcdi.plot.catalogue_checks import why

__all__ = ["overview", "size_distribution", "waiting_times"]

BLUE, ORANGE = style.OKABE_ITO[:2]
FLOORS = 200  # different shortest waits that are told apart in a curve
TESTED = {"raw": "p_exponential", "rescaled": "p_exponential_rescaled"}
SIZES = {"drop": "drop $D$", "drop_internal": "internal drop $D$", "fraction": "fraction $f$"}
LAWS = {"exponential": "exponential", "lognormal": "log-normal", "cutoff": "cut-off"}


@style.paper()
def size_distribution(statistics: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of events at least as large as each, log-log, with the truncated power law over the range it was fitted to.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS: `size` and `ccdf`, one per event; `fit_size` and `fit_ccdf`, the fitted curve; scalars `exponent`,
        `exponent_error` or the interval `exponent_low` to `exponent_high`, `smallest`, `largest`, `n`, `p`; `ratio` and `ratio_p` (law).
    ax : Axes, optional

    Returns
    -------
    Axes
        No line is drawn where no exponent was fitted; the panel says why. Dotted is the smallest size of the fit: where each series has
        its own (`cut`), the least and the largest of them.
    """
    ax = style.own_axes(ax, height=3.6)
    size, share = _ccdf(statistics)
    ax.set(xlabel=SIZES.get(str(statistics.attrs.get("size")), "event size"), ylabel="share of events at least this large")
    if not size.size:
        return catalogue_checks.empty(ax, "no event of measurable size")
    ax.plot(size, share, "o", ms=3.5, mew=0, color=BLUE, alpha=0.65, zorder=3)
    ax.set(xscale="log", yscale="log", ylim=(min(0.5 / size.size, 0.04), 1.4))
    lines = _size_lines(statistics, size.size)
    for end in sorted(set(_cuts(statistics))):
        ax.axvline(end, ymin=0.06 + 0.055 * len(lines), color="0.5", ls=":", lw=1)  # from above the words
    if reading.value(statistics, "exponent") is not None:
        ax.plot(reading.shown(statistics, "fit_size").values, reading.shown(statistics, "fit_ccdf").values, color="black", lw=1.6, zorder=4)
    style.plain_log(ax.xaxis)
    style.plain_log(ax.yaxis)
    style.note(ax, "\n".join(lines), where="lower left")
    return ax


@style.paper()
def waiting_times(statistics: xr.Dataset, ax: Axes | None = None, *, scale: str = "raw") -> Axes:
    """Share of the times between successive events that are at least as long as each, log-log, with what chance alone would give.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS with `waiting` [s] or `waiting_rescaled`, one per gap; `p_exponential` and `p_exponential_rescaled` where a law was
        tested; `gamma_shape` and `gamma_scale` (scale) draw the gamma law; `waiting_shortest` and `waiting_rescaled_shortest` (gap) are
        the shortest that could be seen, from which on all laws begin.
    ax : Axes, optional
    scale : str
        ``"raw"`` in seconds, or ``"rescaled"``: over the local mean, so that a rate that falls with age makes no law by itself.
    """
    ax = style.own_axes(ax, height=3.6)
    name, words = {"raw": ("waiting", "waiting time (s)"), "rescaled": ("waiting_rescaled", "waiting time over its local mean")}[scale]
    ax.set(xlabel=words, ylabel="share of waits at least this long")
    gaps = statistics[name].values if name in statistics else np.zeros(0)
    gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
    if not gaps.size:
        fewer = "fewer than two events in every series" if scale == "raw" else why(statistics, "waiting", "waits are not rescaled")
        return catalogue_checks.empty(ax, fewer)
    ax.ecdf(gaps, complementary=True, color=BLUE, lw=1.5, zorder=3)
    if reading.value(statistics, TESTED[scale]) is not None:
        _chance(ax, statistics, gaps, scale)
    ax.set(xscale="log", yscale="log", ylim=(min(0.5 / gaps.size, 0.04), 1.4))
    style.note(ax, "\n".join(_waiting_lines(statistics, gaps.size, scale)), where="lower left")
    style.plain_log(ax.xaxis)
    style.plain_log(ax.yaxis)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2, columnspacing=1.0)
    return ax


@style.paper()
def overview(statistics: xr.Dataset) -> Figure:
    """All statistics of many series on one page: sizes, waits, bursts, boundaries, durations, aftershocks.

    Parameters
    ----------
    statistics : Dataset
        STATISTICS, as of the avalanche_statistics pipeline.

    Returns
    -------
    Figure
        A panel for which there are too few events says so, in words.
    """
    made = style.figure(11.5, 7.6)
    made.get_layout_engine().set(w_pad=0.08, h_pad=0.08, hspace=0.04, wspace=0.04)  # type: ignore[union-attr, call-arg]
    panels = list(made.subplots(2, 3).flat)
    size_distribution(statistics, panels[0])
    waiting_times(statistics, panels[1])
    waiting_times(statistics, panels[2], scale="rescaled")
    catalogue_checks.bursts(statistics, panels[3])
    catalogue_checks.participation(statistics, panels[4])
    if "mean_size" in statistics:
        catalogue_checks.size_at_duration(statistics, panels[5])
    else:
        catalogue_checks.aftershocks(statistics, panels[5])
    for letter, ax in zip("abcdef", panels, strict=True):
        ax.annotate(letter, (0, 1), (-38, 12), "axes fraction", "offset points", fontsize=13, fontweight="bold", annotation_clip=False)
    made.suptitle(told(statistics), fontsize=10, color="0.25")
    return made


def told(statistics: xr.Dataset) -> str:
    """How many events in how many series, and their rate.

    Examples
    --------
    >>> told(xr.Dataset({"n_all": 386, "rate": 0.048, "rate_error": 0.002}, attrs={"series": 16}))
    '386 events in 16 series, 0.0480 ± 0.0020 per second'
    """
    many = int(statistics.attrs.get("series", 1))
    count = reading.value(statistics, "n_all") or 0
    rate = reading.value(statistics, "rate")
    per = f", {reading.number(rate, reading.value(statistics, 'rate_error'))} per second" if rate is not None else ""
    return f"{int(count)} event{'s' * (count != 1)} in {many} series{per}"


def _ccdf(statistics: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and shares, of the positive sizes alone: others have no place on a logarithmic axis."""
    size, share = np.ravel(reading.shown(statistics, "size").values), np.ravel(reading.shown(statistics, "ccdf").values)
    there = np.isfinite(size) & (size > 0) & (share > 0)
    return size[there], share[there]


def _size_lines(statistics: xr.Dataset, count: int) -> list[str]:
    """Exponent, range, number, goodness of fit, and what the other laws say; or why there is none."""
    exponent, smallest, largest, n, p = (reading.value(statistics, name) for name in ("exponent", "smallest", "largest", "n", "p"))
    fitted, cuts = [f"$N$ = {int(n if n is not None else count)}"], _cuts(statistics)
    if len(cuts) > 1:
        fitted[0] += " from each series' completeness:"
        fitted += [rf"$x_{{min}}$ = {cuts[0]:.3g} to {cuts[1]:.3g}"]
    elif smallest is not None:
        fitted[0] += rf", $x_{{min}}$ = {smallest:.3g}"
    if exponent is None:
        reason = why(statistics, "exponent", str(statistics.attrs.get("note", "")))
        return [*([] if " events of " in reason else fitted), *textwrap.wrap(reason, 34)]  # its number and smallest size are in it
    fitted[-1] += rf", $x_{{max}}$ = {largest:.3g}" if largest is not None else ""
    low, high = (reading.value(statistics, f"exponent_{end}") for end in ("low", "high"))
    lines = [rf"$\tau$ = {reading.number(exponent, reading.value(statistics, 'exponent_error'))}"]
    lines += [f"95 %: {low:.2f} to {high:.2f}"] if low is not None and high is not None else []
    lines += fitted + ([f"goodness of fit $p$ = {p:.2g}"] if p is not None else [])
    return lines + _against(statistics)


def _cuts(statistics: xr.Dataset) -> list[float]:
    """Smallest size of the fit, or the least and the largest where each series has its own."""
    smallest = reading.value(statistics, "smallest")
    if smallest is None:
        return []
    each = statistics["cut"].values if "cut" in statistics else np.zeros(0)
    each = each[np.isfinite(each)]
    return [float(each.min()), float(each.max())] if each.size and np.ptp(each) > 1e-6 * smallest else [smallest]


def _against(statistics: xr.Dataset) -> list[str]:
    """Whether the power law or another law is the better one, and the chance of that by luck."""
    if "law" not in statistics.coords or "ratio" not in statistics:
        return []
    lines = []
    for law, ratio, p in zip(statistics["law"].values, statistics["ratio"].values, statistics["ratio_p"].values, strict=True):
        told_of = "undecided" if p > 0.05 else f"{'better' if ratio > 0 else 'worse'}, $p$ = {p:.1g}"
        lines.append(f"vs {LAWS.get(str(law), str(law))}: {told_of}")
    return lines


def _chance(ax: Axes, statistics: xr.Dataset, gaps: np.ndarray, scale: str) -> None:
    """The exponential of the same mean, and the gamma law where one was fitted, both of what is longer than could be seen."""
    floor = _shortest(statistics, gaps, scale)
    beyond = float(np.mean(gaps - floor))
    fine = np.geomspace(gaps.min() / 2, gaps.max() * 2, 400)
    look: dict[str, Any] = {"lw": 1.3, "zorder": 4}
    ax.plot(fine, _longer(fine, floor, lambda x: np.exp(-x / beyond)), "--", color="black", label="exponential", **look)
    if "gamma_shape" in statistics and "scale" in statistics.coords:
        shape = float(statistics["gamma_shape"].sel(scale=scale))
        if np.isfinite(shape) and shape > 0:
            width = float(statistics["gamma_scale"].sel(scale=scale)) if "gamma_scale" in statistics else 1 / shape
            curve = _longer(fine, floor, lambda x: _gamma_share(x / (gaps.mean() * shape * width), shape))
            ax.plot(fine, curve, "-.", color=ORANGE, label=f"gamma, shape {shape:.2g}", **look)


def _shortest(statistics: xr.Dataset, gaps: np.ndarray, scale: str) -> np.ndarray:
    """Shortest wait that could be seen, one per gap; 0 where the statistics do not say."""
    name = {"raw": "waiting_shortest", "rescaled": "waiting_rescaled_shortest"}[scale]
    known = name in statistics and statistics[name].size == gaps.size
    return np.minimum(statistics[name].values, gaps) if known else np.zeros(gaps.size)


def _longer(x: np.ndarray, floor: np.ndarray, share: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Share of waits at least as long as x by a law, of which each wait is known to be longer than its floor."""
    each, number = np.unique(floor, return_counts=True)
    if each.size > FLOORS:
        each, number = np.quantile(floor, (np.arange(FLOORS) + 0.5) / FLOORS), np.full(FLOORS, 1)
    above = share(x) / np.maximum(share(np.maximum(each, 1e-9 * float(x.min()))), 1e-300)[:, None]
    return np.average(np.minimum(above, 1.0), axis=0, weights=number)


def _gamma_share(x: np.ndarray, shape: float) -> np.ndarray:
    """Share of a gamma law of mean 1 at or above each x, by the trapezoidal rule in the logarithm of x."""
    log = np.linspace(-25.0 / min(shape, 1.0), np.log(max(60.0, 4 * float(x.max()))), 20001)
    density = np.exp(shape * log - shape * np.exp(log))
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return 1 - np.interp(np.log(x), log, below / below[-1])


def _waiting_lines(statistics: xr.Dataset, count: int, scale: str) -> list[str]:
    """Number of waits, and whether chance alone explains them."""
    lines = [f"{count} waits"]
    p = reading.value(statistics, TESTED[scale])
    if p is None:
        return textwrap.wrap(why(statistics, "waiting", f"{count} waits: no law is given for so few"), 34)
    lines.append(f"exponential: $p$ = {p:.2g}" + (" (rejected)" if p < 0.05 else ""))
    return lines
