"""A crystal in curves: its quantities along a line, with error bands, and the distribution of its strain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.errors import SchemaError
from xcdi.plot import reading, style
from xcdi.plot.particle import cropped, grade_text, grain_numbers, hatched, levelled, thousandths
from xcdi.plot.style import LOOKS

__all__ = ["ALONG", "histogram", "profile"]

ALONG = ("amplitude", "displacement", "strain")
NOISE = "#e69f00"
Point = tuple[float, float, float]


@style.paper()
def profile(crystal: xr.Dataset, start: Point | None = None, end: Point | None = None, *, names: Sequence[str] = ALONG) -> Figure:
    """Quantities along a straight line through the crystal, with their errors and the grain boundaries it crosses.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL: variables (z, y, x) with coordinates in nm; `NAME_error` gives the band of `NAME`, `grain` the boundaries.
    start, end : (float, float, float), optional
        Ends of the line, (x, y, z) in nm. By default it runs along the scattering vector through the middle of the support or,
        of several grains, of the largest.
    names : sequence of str
        Which quantities, out of `LOOKS`; those the crystal lacks are left out.

    Returns
    -------
    Figure
        One panel per quantity over the distance from the middle of the line: between voxels linearly interpolated (a phase:
        of the nearest voxel), empty outside the support. The band is one standard error, orange is noise. Of an unreliable
        crystal there is the amplitude only, hatched.

    Raises
    ------
    SchemaError
        If the crystal has none of `names`, or there is neither a line nor a scattering vector to follow.

    Examples
    --------
    >>> axis = np.array([-50.0, 0.0, 50.0])
    >>> slope = xr.DataArray(axis * 1e-5, {"x": axis}, ("x",)).expand_dims(z=axis, y=axis)
    >>> made = profile(xr.Dataset({"strain": slope}), (-50.0, 0.0, 0.0), (50.0, 0.0, 0.0))
    >>> [round(float(v), 2) for v in made.axes[0].lines[0].get_ydata()[[0, -1]]]
    [-0.5, 0.5]
    """
    names = [name for name in names if name in crystal]
    if not names:
        raise SchemaError(f"a profile needs one of {', '.join(ALONG)}; the crystal has {', '.join(map(str, crystal.data_vars))}")
    reliable = crystal.attrs.get("grade") != "unreliable"
    names = names if reliable or "amplitude" not in names else ["amplitude"]
    around = levelled(cropped(crystal))
    first, last, words = _line_along_g(around) if start is None or end is None else _asked(start, end)
    places = _places(around, first, last)
    made = style.figure(style.SINGLE * 1.5, 0.9 + 1.35 * len(names))
    grid: list[Axes] = list(made.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0])
    for ax, name in zip(grid, names, strict=True):
        _curve(ax, around, name, places)
    _in_view(grid[0], around, places)
    if "grain" in around and reliable:
        _grains_along(grid, around, places)
    grid[-1].set_xlabel(words)
    grid[0].set_title(grade_text(crystal), color=style.EVENT, pad=18)
    made.align_ylabels(grid)
    return made


@style.paper()
def histogram(crystal: xr.Dataset, ax: Axes | None = None, *, bins: int = 81) -> Axes:
    """How the strain is distributed over the particle and over its grains, beside the noise floor and the largest that can be told.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `strain` (z, y, x); `grain` adds one line per grain; attributes noise_floor and max_reportable.
    ax : Axes, optional
    bins : int
        Number of bins.

    Returns
    -------
    Axes
        Share of voxels per bin. A width like that of the shaded band is noise, not strain. Of an unreliable crystal
        there is no distribution: the axes are hatched and say so.
    """
    ax = style.own_axes(ax)
    look = LOOKS["strain"]
    strain = (reading.shown(crystal, "strain") * look.scale).values
    ax.set(xlabel=look.label, ylabel="voxels (%)", title=grade_text(crystal))
    if crystal.attrs.get("grade") == "unreliable":
        hatched(ax, crystal)
        ax.set(xticks=[], yticks=[])
        words = "no distribution is drawn:\nan unreliable object has no statistics"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", zorder=6, path_effects=style.halo(width=5.0))
        return ax
    inside = np.isfinite(strain) & (crystal["support"].values if "support" in crystal else True)
    reach = 1.6 * style.limits(strain[inside], "symmetric")[1]
    _bars(ax, crystal, strain, inside, np.linspace(-reach, reach, bins + 1).tolist())
    floor, largest = reading.value(crystal, "noise_floor"), reading.value(crystal, "max_reportable")
    if floor is not None:
        ax.axvspan(-floor * look.scale, floor * look.scale, color=NOISE, alpha=0.25, lw=0, label=f"noise floor\n±{thousandths(floor)}")
    if largest is not None and largest * look.scale < reach:
        ax.plot([], [], color="black", ls=":", label=f"reportable to\n±{thousandths(largest)}")
        _reportable(ax.axvline, largest * look.scale, reach)
    ax.set_xlim(-reach, reach)
    ax.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), handlelength=1.4, borderaxespad=0.0)
    return ax


def _bars(ax: Axes, crystal: xr.Dataset, strain: np.ndarray, inside: np.ndarray, where: list[float]) -> None:
    """All voxels in grey, every grain as a line, in per cent of all voxels."""
    weight = 100 / max(1, inside.sum())
    ax.hist(strain[inside], where, weights=np.full(inside.sum(), weight), color="0.8", label="all voxels")
    for k in grain_numbers(crystal):
        grain = inside & (crystal["grain"].values == k)
        colour = style.grain_colour(k)
        ax.hist(strain[grain], where, weights=np.full(grain.sum(), weight), histtype="step", color=colour, lw=1.3, label=f"grain {k}")


def _reportable(draw: Callable[..., Any], largest: float, reach: float) -> None:
    """Dotted lines at plus and minus the largest value that can be told, where they are in sight."""
    if largest < reach:
        for level in (largest, -largest):
            draw(level, color="black", ls=":", lw=1.0)


def _asked(start: Point, end: Point) -> tuple[np.ndarray, np.ndarray, str]:
    """Ends of the line that was asked for, and the label of its axis."""
    first, last = np.array(start, float), np.array(end, float)
    return first, last, f"distance from the middle (nm)\n{_place(first)} to {_place(last)} nm"


def _line_along_g(crystal: xr.Dataset) -> tuple[np.ndarray, np.ndarray, str]:
    """Ends (x, y, z) of the line along the scattering vector through the middle, where it leaves the box, and where it runs."""
    g = reading.vector(crystal, "q_peak")
    if g is None or not np.any(g):
        raise SchemaError("a profile without start and end runs along the scattering vector, and the crystal has no 'q_peak'; give both")
    along = g / np.linalg.norm(g)
    low, high = (np.array([crystal[d].values[k] for d in "xyz"], float) for k in (0, -1))
    middle, name = _middle(crystal)
    with np.errstate(divide="ignore"):
        forwards, backwards = (np.where(along > 0, high, low) - middle) / along, (np.where(along > 0, low, high) - middle) / along
    reach = [float(np.abs(t[np.abs(along) > 1e-9]).min()) for t in (backwards, forwards)]
    half = max(reach)  # beyond the box there is nothing, so that the middle may stay in the middle
    words = f"distance along $G$ (nm)\nfrom the middle of {name} at (x, y, z) = {_place(middle)} nm"
    return middle - half * along, middle + half * along, words


def _middle(crystal: xr.Dataset) -> tuple[np.ndarray, str]:
    """Centre (x, y, z) of the support or, of several grains, the voxel of the largest that is next to its centre; and of what."""
    name, inside = _body(crystal)
    there = np.argwhere(inside.transpose("x", "y", "z").values)
    place = there.mean(0) if len(there) else (np.array([crystal.sizes[d] for d in "xyz"]) - 1) / 2
    if name.startswith("grain"):
        place = there[np.argmin(np.sum((there - place) ** 2, axis=1))]
    first, steps = (np.array([f(crystal[d].values) for d in "xyz"], float) for f in (lambda c: c[0], _step))
    return first + place * steps, name


def _body(crystal: xr.Dataset) -> tuple[str, xr.DataArray]:
    """Name and voxels of the largest grain, or of the particle if it has not several."""
    grains = grain_numbers(crystal)
    if len(grains) > 1 and crystal.attrs.get("grade") != "unreliable":
        largest = max(grains, key=lambda k: int((crystal["grain"] == k).sum()))
        return f"grain {largest}", crystal["grain"] == largest
    if "support" in crystal:
        return "the particle", crystal["support"]
    box = [(d, crystal[d].values) for d in "zyx"]
    return "the box", xr.DataArray(np.ones([len(line) for _, line in box], bool), box)


def _step(coordinate: np.ndarray) -> float:
    return float(coordinate[1] - coordinate[0]) if len(coordinate) > 1 else 1.0


def _places(crystal: xr.Dataset, start: np.ndarray, end: np.ndarray) -> xr.Dataset:
    """Points `x`, `y`, `z` of a line, two per voxel, over the distance `along` from its middle."""
    length = float(np.linalg.norm(end - start))
    if not length > 0:
        raise SchemaError(f"a profile from {_place(start)} to the same point has no length; choose another end")
    count = 2 * max(1, round(length / min(abs(_step(crystal[d].values)) for d in "xyz"))) + 1
    share = np.linspace(0.0, 1.0, count)
    line = {d: ("along", start[k] + share * (end[k] - start[k])) for k, d in enumerate("xyz")}
    return xr.Dataset(line, {"along": (share - 0.5) * length})


def _along(crystal: xr.Dataset, name: str, places: xr.Dataset) -> np.ndarray:
    """Values of `name` on the line, as stored; NaN outside the support and the box, and beside what is not known."""
    volume = crystal[name].transpose("z", "y", "x")
    if volume.dtype.kind in "bi" or (name in LOOKS and LOOKS[name].kind == "cyclic"):
        return _inside(crystal, _sampled(volume, places, "nearest"), name, places)
    known = volume.notnull()
    weight = _sampled(known, places, "linear")  # 0 times NaN is NaN, and a voxel of weight 0 must not count
    values = np.where(weight > 0.999, _sampled(volume.where(known, 0.0), places, "linear"), np.nan)
    return _inside(crystal, values, name, places)


def _sampled(volume: xr.DataArray, places: xr.Dataset, method: Literal["linear", "nearest"]) -> np.ndarray:
    return np.asarray(volume.astype(float).interp(dict(places.data_vars), method=method).values)


def _inside(crystal: xr.Dataset, values: np.ndarray, name: str, places: xr.Dataset) -> np.ndarray:
    """Blank what lies outside the support; the amplitude is shown everywhere."""
    if "support" not in crystal or name in ("amplitude", "support"):
        return values
    return np.where(_sampled(crystal["support"].transpose("z", "y", "x"), places, "nearest") > 0.5, values, np.nan)


def _curve(ax: Axes, crystal: xr.Dataset, name: str, places: xr.Dataset) -> None:
    """One quantity with its error band; of the strain also the noise floor and the largest value that can be told."""
    distance, values, look = places["along"].values, _along(crystal, name, places) * LOOKS[name].scale, LOOKS[name]
    ax.plot(distance, values, color="black", lw=1.2, marker="." if look.kind == "cyclic" else "", ls="" if look.kind == "cyclic" else "-")
    if f"{name}_error" in crystal:
        error = _along(crystal, f"{name}_error", places) * look.scale
        ax.fill_between(distance, values - error, values + error, color="#0072b2", alpha=0.35, lw=0)
    floor, largest = reading.value(crystal, "noise_floor"), reading.value(crystal, "max_reportable")
    if name == "strain" and floor is not None:
        ax.axhspan(-floor * look.scale, floor * look.scale, color=NOISE, alpha=0.4, lw=0, zorder=0)
        ax.set_title(f"orange: noise floor ±{thousandths(floor)}", loc="right", fontsize=8, pad=2)
    if not np.isfinite(values).any():
        ax.set_yticks([])
        style.note(ax, "not known on this line", where="centre")
    elif look.kind == "symmetric":
        ax.axhline(0, color="0.6", lw=0.7, zorder=0)
    if name == "strain" and largest is not None:
        _reportable(ax.axhline, largest * look.scale, float(np.abs(ax.get_ylim()).max()))
    ax.set_ylabel(look.label.replace(" (", "\n("))
    hatched(ax, crystal)


def _in_view(ax: Axes, crystal: xr.Dataset, places: xr.Dataset) -> None:
    """Show what lies inside of the particle, and a little more."""
    distance = places["along"].values
    inside = _along(crystal, "support", places) > 0.5 if "support" in crystal else np.ones(len(distance), bool)
    if inside.any():
        seen = distance[inside]
        margin = 0.04 * (seen[-1] - seen[0]) + abs(_step(distance))
        ax.set_xlim(seen[0] - margin, seen[-1] + margin)


def _grains_along(grid: Sequence[Axes], crystal: xr.Dataset, places: xr.Dataset) -> None:
    """Lines where the grain changes, and the number of each grain once above its longest part."""
    distance = places["along"].values
    grain = np.nan_to_num(_along(crystal, "grain", places)).astype(int)
    turns = np.flatnonzero(grain[1:] != grain[:-1])
    for k in turns:
        if grain[k] > 0 and grain[k + 1] > 0:
            for ax in grid:
                ax.axvline((distance[k] + distance[k + 1]) / 2, color="black", lw=0.9, ls="--")
    longest = {int(grain[part[0]]): part for part in sorted(np.split(np.arange(len(grain)), turns + 1), key=len)}
    for number, part in longest.items():
        share = len(part) / max(1, int(np.count_nonzero(grain)))
        if number > 0 and share > 0.03:
            words = f"grain {number}" if share > 0.15 else str(number)
            look = {"ha": "center", "fontsize": 8.5, "color": style.grain_colour(number), "path_effects": style.halo()}
            grid[0].text(float(distance[part].mean()), 1.03, words, transform=grid[0].get_xaxis_transform(), **look)


def _place(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in point).replace("-", "\N{MINUS SIGN}") + ")"
