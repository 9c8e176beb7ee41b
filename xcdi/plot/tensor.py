"""The strain tensor in pictures: its six components and the rotation in one slice, and how well each reflection is foretold."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from xcdi.errors import SchemaError
from xcdi.plot import style
from xcdi.plot.particle import cropped, extent, grade_text, grain_lines, hatched
from xcdi.plot.style import Look

__all__ = ["ROTATIONS", "STRAINS", "components", "forecast"]

STRAINS = tuple(f"strain_{a}" for a in ("xx", "yy", "zz", "xy", "xz", "yz"))
ROTATIONS = tuple(f"rotation_{a}" for a in "xyz")
STRAIN = Look(r"strain ($10^{-3}$)", "RdBu_r", 1e3, "symmetric")
ROTATION = Look("rotation (mrad)", "PuOr_r", 1e3, "symmetric")
SIGNS = {"strain": r"\varepsilon", "rotation": r"\omega"}


@style.paper()
def components(crystal: xr.Dataset, *, seen: tuple[str, str] = ("y", "x"), at: tuple[float, float, float] | None = None) -> Figure:
    """Six components of strain on one colour scale and three of rotation on another, in one slice.

    Parameters
    ----------
    crystal : Dataset
        From :func:`xcdi.stages.tensor.combine`.
    seen : (str, str)
        The axes that point up and right.
    at : (float, float, float), optional
        Where the plane cuts, (x, y, z) in nm; by default the middle of the particle.

    Returns
    -------
    Figure
        Red is tension, grey is outside, lines are grain boundaries; the number in a corner is the median standard error in
        units of the colour bar. Below is said where the plane cuts. An unreliable crystal is hatched.

    Raises
    ------
    SchemaError
        If the crystal lacks a component.
    """
    missing = [name for name in (*STRAINS, *ROTATIONS) if name not in crystal]
    if missing:
        raise SchemaError(f"a crystal without {', '.join(missing)} is no strain tensor; make it with the pipeline strain_tensor")
    around = cropped(crystal)
    plane = _cut(around, seen, at)
    tall = 3 * 2.0 * extent(around, seen[0]) / extent(around, seen[1])
    made = style.figure(style.DOUBLE, tall + 0.8 + 0.2 * bool(grade_text(crystal)))
    made.set_layout_engine("compressed", w_pad=0.04, h_pad=0.03, hspace=0.0, wspace=0.0)
    grid = made.subplots(3, 3, sharex=True, sharey=True)
    _share(grid[:2].ravel(), plane, around, STRAINS, STRAIN)
    _share(grid[2], plane, around, ROTATIONS, ROTATION)
    for ax in grid[:, 0]:
        ax.set_ylabel(f"${seen[0]}$ (nm)")
    for ax in grid[-1]:
        ax.set_xlabel(f"${seen[1]}$ (nm)")
    style.scale_bar(grid[0, 0])
    made.supxlabel(_told(plane, seen), fontsize=9)
    if grade_text(crystal):
        made.suptitle(grade_text(crystal), fontsize=10, color=style.EVENT)
    return made


@style.paper()
def forecast(crystal: xr.Dataset, ax: Axes | None = None) -> Axes:
    """How much each reflection differs from what the others foretell of it, beside how much there is to foretell.

    Inside of grains, where the result has that; surface and boundaries are left out.

    Raises
    ------
    SchemaError
        If the tensor is of three reflections, which foretell nothing.
    """
    if "held_rms" not in crystal.attrs:
        raise SchemaError(f"no reflection of this crystal was held out: {crystal.attrs.get('held_out', 'it is no strain tensor')}")
    kind = "held_inner" if "held_inner_rms" in crystal.attrs else "held"
    ax = style.own_axes(ax)
    names = str(crystal.attrs["reflections"]).split(", ")
    place = np.arange(len(names))
    for what, shift, colour, told in (("spread", -0.2, "0.75", "measured"), ("rms", 0.2, style.EVENT, "foretold less measured")):
        ax.barh(place + shift, 1e3 * np.asarray(crystal.attrs[f"{kind}_{what}"], dtype=float), 0.38, color=colour, label=told)
    for y, alike in zip(place, np.asarray(crystal.attrs[f"{kind}_correlation"], dtype=float), strict=True):
        words = f"r = {alike:.3f}" if np.isfinite(alike) else "not foretold:\nothers in one plane"
        ax.text(1.02, float(y), words, transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(place, names)
    ax.invert_yaxis()
    ax.set_xlabel(r"rms of $\nabla u_G$ ($10^{-3}$)")
    style.host(ax).suptitle(grade_text(crystal), fontsize=10, color=style.EVENT)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return ax


def _cut(crystal: xr.Dataset, seen: tuple[str, str], at: tuple[float, float, float] | None) -> xr.Dataset:
    """The slice across the third axis."""
    (across,) = {"x", "y", "z"} - set(seen)
    line = crystal[across].values
    place = float(line[len(line) // 2]) if at is None else at["xyz".index(across)]
    return crystal.sel({across: place}, method="nearest").transpose(*seen, ...)


def _told(plane: xr.Dataset, seen: tuple[str, str]) -> str:
    """Where the plane cuts, and what the numbers in the corners are."""
    (across,) = {"x", "y", "z"} - set(seen)
    place = f"cut at ${across}$ = {float(plane[across]):.0f} nm".replace("-", "−")
    known = any(f"{name}_error" in plane for name in (*STRAINS, *ROTATIONS))
    return f"{place}; ±: median standard error" if known else place


def _share(axes: np.ndarray, plane: xr.Dataset, crystal: xr.Dataset, names: tuple[str, ...], look: Look) -> None:
    """Panels of several components with one colour bar, whose limits are those of the whole crystal."""
    volume = np.stack([np.where(crystal["support"], crystal[name], np.nan) for name in names])
    between = style.limits(look.scale * volume, look.kind)
    for ax, name in zip(axes, names, strict=True):
        drawn = _panel(ax, plane, name, look, between)
    style.host(axes[0]).colorbar(drawn, ax=list(axes), pad=0.015, aspect=9 * len(axes) // 3, extend="both").set_label(look.label)


def _panel(ax: Axes, plane: xr.Dataset, name: str, look: Look, between: tuple[float, float]) -> AxesImage:
    """One component, with its sign, its error and the grain boundaries."""
    drawn = style.image(ax, plane[name].where(plane["support"]) * look.scale, look, between)
    if "grain" in plane:
        grain_lines(ax, plane["grain"])
    hatched(ax, plane)
    kind, _, which = name.partition("_")
    style.note(ax, f"${SIGNS[kind]}_{{{which}}}$", where="upper left")
    if f"{name}_error" in plane and bool(plane[f"{name}_error"].notnull().any()):
        style.note(ax, f"±{look.scale * float(plane[f'{name}_error'].median()):.2g}", where="lower right")
    ax.locator_params(nbins=4)
    return drawn
