"""The measured peak, its rocking curve, and how well independent starts of the phase retrieval agree."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xcdi.plot import reading, style

__all__ = ["peak_slices", "prtf", "residuals", "rocking_curve"]

CUTS = (("y", "x", "frame"), ("frame", "x", "y"), ("frame", "y", "x"))  # (up, right, across)
WORDS = {"frame": "rocking", "y": "detector $y$", "x": "detector $x$"}
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
    counts = reading.shown(peak, "counts").compute()
    if "valid" in peak:
        counts = counts.where(peak["valid"])
    counts = counts.drop_vars([name for name in counts.coords if name in counts.dims]).assign_coords(_offsets(peak, counts))
    top = max(2.0, float(np.nanmax(counts.values, initial=1.0)))
    made = style.figure(style.DOUBLE, 2.75)
    for ax, (up, right, across) in zip(made.subplots(1, 3), CUTS, strict=True):
        plane = counts.isel({across: counts.sizes[across] // 2}).transpose(up, right)
        _log_image(ax, plane, top)
        ax.set(
            xlabel=_q_label(peak, right), ylabel=_q_label(peak, up), title="across detector" if across == "frame" else f"across ${across}$"
        )
    bar = made.colorbar(made.axes[0].images[0], ax=made.axes, pad=0.015, aspect=22)
    bar.set_label("counts")
    return made


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
    ax.set_title(f"$d$ = {peak.attrs['d_spacing_nm']:.4g} nm" if "d_spacing_nm" in peak.attrs else "")
    return ax


@style.paper()
def residuals(phased: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Residual of every start, best first, with the starts kept, their agreement and the grade.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `residual` (start) and `kept` (start); attributes grade, agreement, n_good where known.
    ax : Axes, optional

    Returns
    -------
    Axes
        Kept starts are filled circles, dropped ones crosses.
    """
    ax = style.own_axes(ax)
    residual = np.ravel(reading.shown(phased, "residual").values)
    kept = np.ravel(phased["kept"].values).astype(bool) if "kept" in phased else np.ones(residual.size, bool)
    order = np.argsort(residual)
    rank = np.arange(1, residual.size + 1)
    for good, (marker, colour, word) in STYLES.items():
        chosen = kept[order] == good
        ax.plot(rank[chosen], residual[order][chosen], marker, color=colour, ms=6, mew=1.4, label=f"{word} ({chosen.sum()})", ls="")
    ax.set(xlabel="start, best first", ylabel="residual", ylim=(0, None), xlim=(0.3, residual.size + 0.7))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(_verdict(phased))
    ax.legend(loc="lower right")
    return ax


@style.paper()
def prtf(phased: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Phase retrieval transfer function against q, with the 1/e level that defines the resolution.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `prtf` (q) and the coordinate `q` in 1/nm.
    ax : Axes, optional
    """
    ax = style.own_axes(ax)
    curve = reading.shown(phased, "prtf")
    q = curve[curve.dims[0]]
    ax.plot(q.values, curve.values, "o-", ms=3, color="#0072b2")
    ax.axhline(np.exp(-1), color="0.4", ls="--", lw=1)
    ax.text(float(q[-1]), np.exp(-1), "1/e", ha="right", va="bottom", color="0.3")
    ax.set(xlabel="$q$ from the peak (nm$^{-1}$)", ylabel="PRTF", ylim=(0, 1.05))
    return ax


def _verdict(phased: xr.Dataset) -> str:
    """Grade, agreement and number of good starts, as far as they are known."""
    words = []
    if "grade" in phased.attrs:
        words.append(str(phased.attrs["grade"]))
    if "agreement" in phased.attrs:
        words.append(f"agreement {float(phased.attrs['agreement']):.3f}")
    return ", ".join(words)


def _log_image(ax: Axes, plane: xr.DataArray, top: float) -> None:
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


def _q_label(peak: xr.Dataset, dim: str) -> str:
    return f"{WORDS[dim]} ($10^{{-3}}$ nm$^{{-1}}$)" if "q_basis" in peak else f"{WORDS[dim]} (pixel)"
