"""How every picture looks: fonts, colour maps and their limits, images in nm, scale bars, noise floors.

Figures are :class:`matplotlib.figure.Figure` objects on an Agg canvas; pyplot and its state are never touched, so
pictures can be made in a worker, a notebook or a live view alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from mpl_toolkits.mplot3d import Axes3D

__all__ = ["DOUBLE", "LOOKS", "SINGLE", "Look", "colormap", "colour_bar", "edges", "event_ticks", "figure", "grain_colour", "halo", "host"]
__all__ += ["image", "inks", "level", "limits", "note", "own_axes", "own_axes_3d", "pale", "paper", "plain_log", "scale_bar", "turn_ticks"]

SINGLE, DOUBLE = 3.5, 7.2  # widths of one and two columns of a journal page, inches
GREY, DARK_GREY = "0.82", "0.5"  # of what is not known, and of that in cyclic colours, which pass through light and dark
EVENT = "#c1121f"
PAPER = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "figure.dpi": 100.0,
    "savefig.facecolor": "white",
}
OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]


class Look(NamedTuple):
    """How one quantity is drawn: its label, colour map, the factor into display units and what its zero means."""

    label: str
    cmap: str
    scale: float = 1.0
    kind: str = "positive"  # or "error", "symmetric", "cyclic", "range", "labels"


LOOKS = {
    "amplitude": Look("amplitude (arb. units)", "magma"),
    "phase": Look("phase from mean (rad)", "twilight_shifted", kind="cyclic"),
    "displacement": Look("displacement $u_G$ (nm)", "PuOr_r", kind="symmetric"),
    "strain": Look(r"strain $\varepsilon_{GG}$ ($10^{-3}$)", "RdBu_r", 1e3, "symmetric"),
    "strain_error": Look(r"strain error ($10^{-3}$)", "viridis", 1e3, "error"),
    "tilt_1": Look(r"tilt $\omega_1$ (mrad)", "RdBu_r", 1e3, "symmetric"),
    "tilt_2": Look(r"tilt $\omega_2$ (mrad)", "RdBu_r", 1e3, "symmetric"),
    "tilt_1_error": Look(r"error of $\omega_1$ (mrad)", "viridis", 1e3, "error"),
    "tilt_2_error": Look(r"error of $\omega_2$ (mrad)", "viridis", 1e3, "error"),
    "displacement_error": Look("error of $u_G$ (nm)", "viridis", kind="error"),
    "strain_volume": Look(r"strain of volume ($10^{-3}$)", "RdBu_r", 1e3, "symmetric"),
    "strain_equivalent": Look(r"equivalent strain ($10^{-3}$)", "viridis", 1e3, "error"),
    "strain_absolute": Look(r"strain against reference ($10^{-3}$)", "RdBu_r", 1e3, "symmetric"),
    "lattice_parameter": Look("lattice parameter $a$ (nm)", "viridis", kind="range"),
    "d_spacing": Look("lattice spacing $d$ (nm)", "viridis", kind="range"),
    "grain": Look("grain", "", kind="labels"),
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw or save inside this context to get the fonts and line widths of a printed page (Type 42 fonts in PDF).

    Examples
    --------
    >>> with paper():
    ...     mpl.rcParams["pdf.fonttype"]
    42
    """
    with mpl.rc_context(PAPER):  # type: ignore[arg-type]
        yield


def figure(width: float = DOUBLE, height: float = 4.5) -> Figure:
    """Return an empty figure of `width` by `height` inches on its own Agg canvas.

    Examples
    --------
    >>> figure(3.5, 2.0).get_size_inches().tolist()
    [3.5, 2.0]
    """
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def own_axes(ax: Axes | None, width: float = SINGLE * 1.35, height: float = 3.2) -> Axes:
    """Return `ax`, or the axes of a new figure if there is none."""
    return figure(width, height).subplots() if ax is None else ax


def own_axes_3d(ax: Axes3D | None) -> Axes3D:
    """Return `ax`, or the 3D axes of a new figure if there is none."""
    return cast(Axes3D, figure(SINGLE * 1.4, 4.0).add_subplot(projection="3d")) if ax is None else ax


def host(ax: Axes) -> Figure:
    """Return the figure that `ax` stands in.

    Examples
    --------
    >>> made = figure()
    >>> host(made.subplots()) is made
    True
    """
    return cast(Figure, ax.get_figure(root=True))


def colormap(look: Look, grains: int | None = None) -> Colormap:
    """Return the colour map of a quantity (of `grains` colours, if it is a label), with grey where nothing is known.

    Examples
    --------
    >>> colormap(LOOKS["strain"]).get_bad().tolist()
    [0.82, 0.82, 0.82, 1.0]
    """
    if look.kind == "labels":
        return ListedColormap([grain_colour(k) for k in range(1, 1 + (grains or 24))]).with_extremes(bad=GREY)
    return mpl.colormaps[look.cmap].with_extremes(bad=DARK_GREY if look.kind == "cyclic" else GREY)


def grain_colour(grain: int) -> Any:
    """Return the colour of grain 1, 2, ...; the first seven differ for the colour-blind too.

    Examples
    --------
    >>> grain_colour(1)
    '#0072b2'
    """
    colours = [*OKABE_ITO, *(mpl.colormaps["tab20"](i) for i in range(20))]
    return colours[(grain - 1) % len(colours)]


def limits(values: np.ndarray, kind: str) -> tuple[float, float]:
    """Return colour limits that one wild voxel cannot move.

    Parameters
    ----------
    values : array
        Any shape, in display units; NaN is ignored.
    kind : str
        ``"positive"``: from 0 to the 99.8th percentile; ``"error"``: to the 95th; ``"symmetric"``: plus and minus the 95th
        percentile of the magnitude; ``"cyclic"``: one turn; ``"range"``: 1st to 99th percentile; ``"labels"``: half below 1 to half
        above the last label.

    Examples
    --------
    >>> limits(np.array([-1.0, 3.0]), "cyclic") == (-np.pi, np.pi)
    True
    >>> limits(np.array([np.nan]), "symmetric")
    (-1.0, 1.0)
    """
    finite = values[np.isfinite(values)]
    if kind == "labels":
        return 0.5, max(finite, default=1) + 0.5
    if kind == "cyclic":
        return -math.pi, math.pi
    if kind == "symmetric":
        top = float(np.quantile(np.abs(finite), 0.95)) if finite.size else 0.0
        return (-top, top) if top > 0 else (-1.0, 1.0)
    if not finite.size:
        return 0.0, 1.0
    low, high = {"positive": (0.0, 0.998), "error": (0.0, 0.95)}.get(kind, (0.01, 0.99))
    bottom = float(np.quantile(finite, low)) if low else 0.0
    top = float(np.quantile(finite, high))
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def edges(coordinate: np.ndarray) -> tuple[float, float]:
    """Return where the first pixel begins and the last one ends.

    Examples
    --------
    >>> edges(np.array([0.0, 2.0, 4.0]))
    (-1.0, 5.0)
    """
    half = float(coordinate[1] - coordinate[0]) / 2 if len(coordinate) > 1 else 0.5
    return float(coordinate[0]) - half, float(coordinate[-1]) + half


def image(ax: Axes, plane: xr.DataArray, look: Look, between: tuple[float, float]) -> AxesImage:
    """Draw a plane with its second dimension to the right and its first one upwards, both to the same scale.

    Parameters
    ----------
    ax : Axes
    plane : DataArray, shape (up, right)
        With a coordinate for each dimension; already in display units.
    look : Look
        Chooses the colours.
    between : (float, float)
        Colour limits.
    """
    up, right = (str(d) for d in plane.dims)
    values = np.ma.masked_invalid(plane.values)
    drawn = ax.imshow(
        values,
        origin="lower",
        extent=(*edges(plane[right].values), *edges(plane[up].values)),
        cmap=colormap(look, int(between[1])),
        vmin=between[0],
        vmax=between[1],
        interpolation="nearest",
        aspect="equal",
    )
    ax.spines[["top", "right"]].set_visible(True)
    zero = look.kind == "positive" and not np.ma.is_masked(values)  # beyond the picture there is nothing
    ax.set_facecolor(to_hex(drawn.cmap(0.0) if zero else tuple(drawn.cmap.get_bad())))
    return drawn


def pale(drawn: AxesImage, share: float) -> None:
    """Let only a `share` of the colours of a picture remain on white, and of the grey around it."""
    drawn.set_alpha(share)
    drawn.set_cmap(drawn.get_cmap().with_extremes(bad=(0.0, 0.0, 0.0, 0.0)))
    drawn.axes.set_facecolor(str(1 - share * (1 - float(GREY))))


def level(row: Iterable[Axes]) -> None:
    """Give pictures side by side one height in data units, so that their frames line up and their scale is one.

    Examples
    --------
    >>> row = figure().subplots(1, 2)
    >>> for ax, top in zip(row, (2.0, 6.0)):
    ...     _ = ax.set_ylim(0.0, top)
    >>> level(row)
    >>> [float(end) for end in row[0].get_ylim()]
    [-2.0, 4.0]
    """
    row = list(row)
    ends = np.array([ax.get_ylim() for ax in row])
    half = np.ptp(ends, axis=1).max() / 2
    for ax, middle in zip(row, ends.mean(axis=1), strict=True):
        ax.set_ylim(middle - half, middle + half)


def inks(ax: Axes) -> tuple[str, str]:
    """Return the colour that shows on the background of `ax`, and that of a rim around it.

    Examples
    --------
    >>> inks(figure().subplots())
    ('black', 'white')
    """
    return ("white", "black") if np.mean(to_rgb(ax.get_facecolor())) < 0.3 else ("black", "white")


def turn_ticks(bar: Colorbar) -> None:
    """Mark the colour bar of a phase at minus half a turn, 0 and half a turn."""
    bar.set_ticks([-math.pi, 0, math.pi], labels=["−π", "0", "π"])


def colour_bar(axes: Sequence[Axes], colours: Colormap, between: tuple[float, float], label: str, **options: Any) -> Colorbar:
    """Add a colour bar for colours that belong to no single artist, beside `axes`."""
    shades = ScalarMappable(Normalize(*between), colours)
    return host(axes[0]).colorbar(shades, ax=list(axes), label=label, **options)


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, at 1, 2 and 5 of each decade if it spans few of them.

    Examples
    --------
    >>> ax = figure().subplots()
    >>> _ = ax.set(yscale="log", ylim=(0.01, 0.1))
    >>> plain_log(ax.yaxis)
    >>> ax.yaxis.get_major_formatter()(0.02, 0)
    '0.02'
    """
    low, high = axis.get_view_interval()
    few = high / low < 300
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
    axis.set_minor_formatter(NullFormatter())


def halo(colour: str = "white", width: float = 2.0) -> list[Any]:
    """Return the path effect that keeps text and lines legible on any background."""
    return [withStroke(linewidth=width, foreground=colour)]


def scale_bar(ax: Axes, *, unit: str = "nm", share: float = 0.3) -> None:
    """Draw a bar of a round length, at most `share` of the width of `ax`, in its lower left corner.

    Examples
    --------
    >>> ax = figure().subplots()
    >>> _ = ax.set_xlim(0, 1000)
    >>> scale_bar(ax)
    >>> ax.texts[0].get_text()
    '200 nm'
    """
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    room = share * abs(right - left)
    decade = 10.0 ** math.floor(math.log10(room))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= room)
    x, y = left + 0.05 * (right - left), bottom + 0.05 * (top - bottom)
    ink, rim = inks(ax)
    ax.add_patch(Rectangle((x, y), length, 0.018 * (top - bottom), facecolor=ink, edgecolor=rim, linewidth=0.6, zorder=5))
    ax.text(x, y + 0.035 * (top - bottom), f"{length:g} {unit}", va="bottom", fontsize=8, color=ink, path_effects=halo(rim))


def note(ax: Axes, text: str, *, where: str = "upper right") -> None:
    """Write a small remark into a corner of `ax`, or into its middle with ``where="centre"``."""
    if where == "centre":
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="0.35", wrap=True)
        return
    up, side = where.split()
    x, y = (0.975 if side == "right" else 0.025), (0.965 if up == "upper" else 0.035)
    va = "top" if up == "upper" else "bottom"
    ax.text(x, y, text, transform=ax.transAxes, ha=side, va=va, fontsize=8.5, path_effects=halo(), zorder=6)


def event_ticks(ax: Axes, places: np.ndarray, real: np.ndarray, *, both: bool = False) -> None:
    """Put a small triangle outside the frame for each event, above and, with `both`, at the right; grey where not `real`."""
    colours = np.where(real, EVENT, "0.55")
    shape: dict[str, Any] = {"c": colours, "s": 30, "linewidths": 0, "clip_on": False}
    beside = np.full(len(places), 1.025)
    ax.scatter(places, beside, marker="v", transform=ax.get_xaxis_transform(), **shape)
    if both:
        ax.scatter(beside, places, marker="<", transform=ax.get_yaxis_transform(), **shape)
