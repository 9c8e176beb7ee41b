"""The measured peak, its rocking curve, and how well independent starts of the phase retrieval agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from xcdi.plot import reading, style
from xcdi.plot.particle import grade_text, hatched

__all__ = ["draw_peak", "log_image", "name_axes", "overlaps", "peak_slices", "prtf", "residuals", "rocking_curve", "starts", "trusted"]

CUTS = (("y", "x", "frame"), ("frame", "x", "y"), ("frame", "y", "x"))  # (up, right, across)
WORDS = {"frame": "rocking", "y": "detector $y$", "x": "detector $x$"}
BEYOND = "≤ "  # before a resolution that the data limit, not the curve
STYLES = {True: ("o", "#0072b2", "kept"), False: ("x", "0.45", "dropped")}


@style.paper()
def peak_slices(peak: xr.Dataset) -> Figure:
    """Three planes through the middle of the measured Bragg peak, counts on a logarithmic scale.

    Parameters
    ----------
    peak : Dataset
        PEAK: `counts` and `valid` (frame, y, x), `q_basis` (axis, index) in 1/nm for the axes (drawn in thousandths).

    Returns
    -------
    Figure
        One colour bar for all; grey is not trusted, the darkest colour is no count.

    Examples
    --------
    >>> peak = xr.Dataset({"counts": (("frame", "y", "x"), np.ones((3, 5, 5)))})
    >>> [ax.get_title() for ax in peak_slices(peak).axes[:2]]
    ['across detector', 'across $y$']
    """
    made = style.figure(style.DOUBLE, 2.75)
    draw_peak(made, peak)
    return made


def draw_peak(made: Figure | SubFigure, peak: xr.Dataset) -> None:
    """Draw what :func:`peak_slices` shows into a figure or a part of one."""
    counts = trusted(peak)
    top = max(2.0, float(np.nanmax(counts.values, initial=1.0)))
    row = made.subplots(1, 3)
    for ax, (up, right, across) in zip(row, CUTS, strict=True):
        log_image(ax, counts.isel({across: counts.sizes[across] // 2}).transpose(up, right), top)
        name_axes(ax, peak, up, right)
        ax.set_title("across detector" if across == "frame" else f"across ${across}$")
    bar = made.colorbar(row[0].images[0], ax=row, pad=0.015, aspect=22)
    bar.set_label("counts")


def trusted(peak: xr.Dataset) -> xr.DataArray:
    """Return the counts (frame, y, x), NaN where not valid, with their distance from the middle of the box as coordinates."""
    counts = reading.shown(peak, "counts").compute()
    if "valid" in peak:
        counts = counts.where(peak["valid"])
    return counts.drop_vars([name for name in counts.coords if name in counts.dims]).assign_coords(_offsets(peak, counts))


@style.paper()
def rocking_curve(peak: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Counts of all trusted pixels of the box against the rocking angle, or the frame where no angle is given."""
    ax = style.own_axes(ax)
    counts = reading.shown(peak, "counts")
    total = (counts.where(peak["valid"]) if "valid" in peak else counts).sum(("y", "x")).values
    known = "rocking" in peak.variables
    where = peak["rocking"].values if known else np.arange(total.size)
    ax.errorbar(where, total, np.sqrt(np.maximum(total, 1)), fmt="o-", ms=3, lw=0.9, color="#0072b2", ecolor="0.6", elinewidth=0.8)
    ax.set(yscale="log" if total.max() > 0 else "linear", xlabel="rocking angle (deg)" if known else "frame", ylabel="counts in the box")
    if "d_spacing_nm" in peak.attrs:
        ax.set_title(f"$d$ = {peak.attrs['d_spacing_nm']:.4g} nm in the middle of the box")
    return ax


@style.paper()
def starts(phased: xr.Dataset) -> Figure:
    """Which starts agree: their overlaps in blocks of one answer each, and the residual of every start beside it.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `residual` (start); `overlap` (start, start2), `cluster` (start) and `kept` (start) where known. Without
        `overlap`, the residuals alone.

    Examples
    --------
    >>> made = starts(xr.Dataset({"residual": ("start", [0.05, 0.03])}))
    >>> len(made.axes)
    1
    """
    if "overlap" not in phased:
        made = style.figure(style.SINGLE * 1.35, 3.2)
        residuals(phased, made.subplots())
        return made
    made = style.figure(style.DOUBLE, 3.7)
    left, right = made.subplots(1, 2, width_ratios=[1.15, 1.0])
    overlaps(phased, left)
    residuals(phased, right)
    return made


@style.paper()
def overlaps(phased: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Overlap of every start with every other, starts of one answer side by side and framed; those kept have bold numbers.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `overlap` (start, start2); `cluster`, `kept`, `residual` (start) where known.
    ax : Axes, optional

    Returns
    -------
    Axes
        Colours run from 0 to 1 whatever the data, so that pictures of different crystals compare.
    """
    ax = style.own_axes(ax)
    matrix = reading.shown(phased, "overlap").values
    n = len(matrix)
    order, cluster, kept = _order(phased), _of_start(phased, "cluster", 0, n), _of_start(phased, "kept", True, n).astype(bool)
    drawn = ax.imshow(matrix[np.ix_(order, order)], cmap=style.colormap(style.Look("overlap", "viridis")), vmin=0, vmax=1, origin="upper")
    for answer in dict.fromkeys(cluster[order]):
        place = np.flatnonzero(cluster[order] == answer)
        frame = Rectangle((place[0] - 0.5, place[0] - 0.5), len(place), len(place), fill=False, ec="white", lw=1.4)
        ax.add_patch(frame)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(range(n), [str(k) for k in order])
        for label, k in zip(axis.get_ticklabels(), order, strict=True):
            label.set(fontweight="bold" if kept[k] else "normal", color="black" if kept[k] else "0.5", fontsize=9 if n <= 16 else 5)
    ax.set(xlabel="start", ylabel="start")
    answers = len(set(cluster.tolist()))
    ax.set_title(f"{answers} answer{'s' * (answers > 1)} from {n} starts" if "cluster" in phased else f"{n} starts")
    style.host(ax).colorbar(drawn, ax=ax, label="overlap")
    return ax


@style.paper()
def residuals(phased: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Residual of every start carried to the end, best first, with those kept, the gap to the next, their agreement and the grade.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `residual` (start) and `kept` (start); attributes grade, agreement, n_good, residual_noise where known.
    ax : Axes, optional

    Returns
    -------
    Axes
        Kept starts are filled circles, dropped ones crosses; dotted is what photon noise alone would give. What else is to be
        known is said in the legend below.
    """
    ax = style.own_axes(ax)
    every = np.ravel(reading.shown(phased, "residual").values)
    carried = np.isfinite(every)
    residual, kept = every[carried], _of_start(phased, "kept", True, every.size).astype(bool)[carried]
    _ranked(ax, residual, kept)
    noise = reading.value(phased, "residual_noise")
    if noise is not None:
        ax.axhline(noise, color="0.4", ls=":", lw=1, label="photon noise")
    top = max(float(residual.max()), noise or 0.0)
    ax.set(xlabel="start, best first", ylabel="residual", ylim=(0, 1.1 * top), xlim=(0.3, residual.size + 0.7))
    if not carried.all():
        ax.plot([], [], ls="", label=f"{np.count_nonzero(~carried)} starts were not carried on")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if kept.any() and not kept.all():
        _gap(ax, residual, kept)
    ax.set_title(_verdict(phased), color=style.EVENT if grade_text(phased) else "black")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2, columnspacing=1.0, handletextpad=0.4)
    return ax


def _ranked(ax: Axes, residual: np.ndarray, kept: np.ndarray) -> None:
    """Every residual over its rank."""
    order = np.argsort(residual)
    rank = np.arange(1, residual.size + 1)
    for good, (marker, colour, word) in STYLES.items():
        chosen = kept[order] == good
        ax.plot(rank[chosen], residual[order][chosen], marker, color=colour, ms=6, mew=1.4, label=f"{word} ({chosen.sum()})", ls="")


def _gap(ax: Axes, residual: np.ndarray, kept: np.ndarray) -> None:
    """Shade between the worst residual that was kept and the best that was dropped, where all kept ones are better."""
    last, first = float(residual[kept].max()), float(residual[~kept].min())
    if last < first:
        ax.axhspan(last, first, color="0.93", lw=0, zorder=0)
        word = f"gap {100 * (first / last - 1):.2g} %"
        ax.text(0.02, (last + first) / 2, word, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    else:
        ax.plot([], [], ls="", label="dropped ones fit as well,\nbut look different")


def _order(phased: xr.Dataset) -> np.ndarray:
    """Starts cluster by cluster, the cluster of the best residual first, and best first within each."""
    n = phased.sizes["start"]
    residual = np.nan_to_num(_of_start(phased, "residual", 0.0, n).astype(float), nan=np.inf)  # of those not carried on
    cluster = _of_start(phased, "cluster", 0, n)
    best = {answer: residual[cluster == answer].min() for answer in cluster.tolist()}
    return np.lexsort((residual, cluster, [best[answer] for answer in cluster.tolist()]))


def _of_start(phased: xr.Dataset, name: str, otherwise: float, n: int) -> np.ndarray:
    """Variable of every start, or the same for all where it is not there."""
    return np.ravel(phased[name].values) if name in phased else np.full(n, otherwise)


@style.paper()
def prtf(phased: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Phase retrieval transfer function against q, in shells and along each direction, with the 1/e level that defines the resolution.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `prtf` (q) and the coordinate `q` in 1/nm; `prtf_axis` (direction, q) and `resolution_nm` (direction) where known.
    ax : Axes, optional

    Returns
    -------
    Axes
        A triangle below each curve that falls through 1/e marks where it does. Of one that stays above it the resolution is no
        coarser than the number, which is that of the data. An unreliable object has none, and is hatched.
    """
    ax = style.own_axes(ax)
    curve = reading.shown(phased, "prtf")
    q = curve[curve.dims[0]].values
    _fall(ax, q, curve.values, label="shells" if "prtf_axis" in phased else None, color="black", marker="o", ms=3, lw=1.6)
    if "prtf_axis" in phased:
        _along(ax, q, phased)
    ax.axhline(np.exp(-1), color="0.4", ls="--", lw=1)
    ax.text(float(q[-1]), np.exp(-1), "1/e", ha="right", va="bottom", color="0.3")
    top = max(np.nanmax(line.get_ydata(), initial=1.0) for line in ax.lines)
    ax.set(xlabel="$q$ from the peak (nm$^{-1}$)", ylabel="PRTF", ylim=(0, 1.05 * top))
    ax.set_title(grade_text(phased), color=style.EVENT)
    hatched(ax, phased)
    return ax


def _along(ax: Axes, q: np.ndarray, phased: xr.Dataset) -> None:
    """The curve of every direction, and the legend that gives their resolutions."""
    for k, values in enumerate(phased["prtf_axis"].transpose("direction", ...).values):
        line = _fall(ax, q, values, color=style.OKABE_ITO[k], lw=1.2)
        line.set_label(_direction(phased, k, values))
    legend = ax.legend(loc="lower left", ncols=2, alignment="left", framealpha=0.9, frameon=True, edgecolor="none", title_fontsize=8.5)
    if any(BEYOND in text.get_text() for text in legend.get_texts()):
        legend.set_title(f"{BEYOND}above 1/e as far as the data reach")
    legend.set_zorder(5)


def _fall(ax: Axes, q: np.ndarray, values: np.ndarray, **look: Any) -> Line2D:
    """One curve, joined where it is not known, and a triangle where it first falls through 1/e."""
    known = np.isfinite(values)
    q, values = q[known], values[known]
    (line,) = ax.plot(q, values, **look)
    j = _crossing(values)
    if j:
        here = q[j - 1] + (q[j] - q[j - 1]) * (values[j - 1] - np.exp(-1)) / (values[j - 1] - values[j])
        ax.plot([here], [np.exp(-1)], marker="v", color=look["color"], ms=7, mec="white", ls="", zorder=5)
    return line


def _crossing(values: np.ndarray) -> int:
    """Number of the first value below 1/e after one above it, or 0 if there is none."""
    above = values >= np.exp(-1)
    falls = np.flatnonzero(above[:-1] & ~above[1:])
    return int(falls[0]) + 1 if falls.size else 0


def _direction(phased: xr.Dataset, k: int, values: np.ndarray) -> str:
    """Name of a direction, with the resolution along it where the object has one and the curve is ever above 1/e."""
    known = phased.coords.get("direction")
    name = str(known.values[k]) if known is not None else str(k)
    length = reading.value(phased, "resolution_nm", k)
    values = values[np.isfinite(values)]
    if length is None or phased.attrs.get("grade") == "unreliable" or not np.any(values >= np.exp(-1)):
        return name
    return f"{name}: {'' if _crossing(values) else BEYOND}{length:.3g} nm"


def _verdict(phased: xr.Dataset) -> str:
    """Grade, agreement and number of good starts, as far as they are known."""
    words = []
    if "grade" in phased.attrs:
        words.append(str(phased.attrs["grade"]))
    agreement = reading.value(phased, "agreement")
    if agreement is not None:
        words.append(f"agreement {agreement:.3f}")
    return ", ".join(words)


def log_image(ax: Axes, plane: xr.DataArray, top: float) -> None:
    """One plane, logarithmic from one half count; nothing counted is the darkest colour, not grey."""
    look = style.Look("counts", "viridis")
    drawn = style.image(ax, plane.where(plane.isnull() | (plane > 0.5), 0.5), look, (0.5, top))
    drawn.set_norm(LogNorm(0.5, top))
    ax.set_aspect("auto")
    ax.locator_params(nbins=4)


def _offsets(peak: xr.Dataset, counts: xr.DataArray) -> dict[str, tuple[str, np.ndarray]]:
    """Distance of each plane from the middle, in 0.001/nm along the step of that index, or in pixels if no q is known."""
    steps = 1e3 * np.linalg.norm(peak["q_basis"].values, axis=0) if "q_basis" in peak else np.ones(3)
    return {str(d): (str(d), (np.arange(n) - n // 2) * step) for d, n, step in zip(counts.dims, counts.shape, steps, strict=True)}


def name_axes(ax: Axes, peak: xr.Dataset, up: str, right: str) -> None:
    """Label the axes of a plane of the peak."""
    ax.set(xlabel=_q_label(peak, right), ylabel=_q_label(peak, up))


def _q_label(peak: xr.Dataset, dim: str) -> str:
    return f"{WORDS[dim]} ($10^{{-3}}$ nm$^{{-1}}$)" if "q_basis" in peak else f"{WORDS[dim]} (pixel)"
