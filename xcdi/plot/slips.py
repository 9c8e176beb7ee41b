"""Slips in pictures: arrows in the plane of the reflections, and the angle of each against its boundary."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from xcdi.errors import SchemaError
from xcdi.plot import style

__all__ = ["COLOURS", "angles", "arrows", "overview"]

COLOURS = {"shear": "#0072B2", "opening": "#D55E00", "unknown": "0.45", "invisible": "0.8"}
WIDE = 1.35  # room around the longest arrow and its error
BEHIND = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}


@style.paper()
def overview(slips: xr.Dataset) -> Figure:
    """Slip vectors beside their angles against the boundaries.

    Parameters
    ----------
    slips : Dataset
        From :func:`xcdi.stages.slip_vectors.combine`.

    Raises
    ------
    SchemaError
        If it is none of that.
    """
    made = style.figure(style.DOUBLE, 3.1)
    left, right = made.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.25]})
    arrows(slips, left)
    angles(slips, right)
    return made


@style.paper()
def arrows(slips: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Slip vectors [nm] in the plane of the reflections, coloured by mode, with ellipses of one standard error.

    Grey lines are the directions of G, numbered as the results were given. The axes are
    those of the attribute plane_axes; where G span space, the two that they see best.
    """
    _known(slips, "slip", "direction_error", "mode")
    ax = style.own_axes(ax)
    axes = np.asarray(slips.attrs["plane_axes"], dtype=float).reshape(-1, 3)[:2]
    ends = slips["slip"].values @ axes.T
    across = np.radians(slips["direction_error"].values) * np.linalg.norm(ends, axis=1)
    along = np.sqrt(np.maximum((slips["slip_error"].values ** 2).sum(axis=1) - across**2, 0.0))
    far = WIDE * float(np.nanmax(np.linalg.norm(ends, axis=1), initial=0.1))
    for number, g in enumerate(np.asarray(slips.attrs["g"], dtype=float).reshape(-1, 3) @ axes.T, 1):
        way = far * g / np.abs(g).max()
        ax.plot([-way[0], way[0]], [-way[1], way[1]], color="0.85", lw=0.8, zorder=0)
        ax.text(0.9 * way[0], 0.9 * way[1], f"G{number}", color="0.5", fontsize=7, ha="center", va="center", bbox=BEHIND, zorder=1)
    for end, wide, long, mode in zip(ends, across, along, slips["mode"].values, strict=True):
        if np.isfinite(end).all():
            colour = COLOURS[str(mode)]
            ax.annotate("", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 0, "shrinkB": 0})
            way = float(np.degrees(np.arctan2(end[1], end[0])))
            ax.add_patch(Ellipse((end[0], end[1]), 2 * long, 2 * wide, angle=way, fc=colour, ec="none", alpha=0.2))
    ax.set(xlim=(-far, far), ylim=(-far, far), aspect="equal", xlabel="slip along axis 1 (nm)", ylabel="slip along axis 2 (nm)")
    if not np.isfinite(ends).any():
        ax.text(0.5, 0.5, "no slip vector", transform=ax.transAxes, ha="center", va="center")
    return ax


@style.paper()
def angles(slips: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Angle between slip and boundary over time: 0 for shear, 90 degrees for opening."""
    _known(slips, "shear_angle", "mode")
    ax = style.own_axes(ax)
    modes = slips["mode"].values.astype(str)
    for mode, colour in COLOURS.items():
        some = slips.isel(event=np.flatnonzero(modes == mode))
        if some.sizes["event"]:
            count = f"{mode} ({some.sizes['event']})"
            ax.errorbar(some.time, some.shear_angle, some.shear_angle_error, fmt="o", ms=4, lw=0.8, color=colour, label=count)
    ax.set(ylim=(-12, 102), yticks=[0, 30, 60, 90], xlabel="time (s)", ylabel="slip against boundary (deg)")
    if modes.size:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=7)
    return ax


def _known(slips: xr.Dataset, *names: str) -> None:
    missing = [name for name in (*names,) if name not in slips]
    if missing or "plane_axes" not in slips.attrs:
        raise SchemaError(
            f"no {', '.join(missing) or 'plane_axes'}, expected slips of stages.slip_vectors; make them with the pipeline slip_vectors"
        )
