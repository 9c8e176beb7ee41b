"""What all pictures of a crystal share: its grade and the hatching, its box, the outlines of its grains."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from mpl_toolkits.mplot3d import Axes3D

from xcdi.plot import reading, style
from xcdi.plot.style import LOOKS

__all__ = ["box", "cropped", "extent", "from_mean", "grade_text", "grain_lines", "grain_numbers", "grain_segments", "hatched", "label"]
__all__ += ["levelled", "thousandths"]


def grade_text(dataset: xr.Dataset) -> str:
    """Return what the reproducibility of the reconstruction allows one to say, or nothing if it is good or not graded.

    Examples
    --------
    >>> grade_text(xr.Dataset(attrs={"grade": "unreliable"}))
    'UNRELIABLE reconstruction: read no numbers from it'
    """
    grade = dataset.attrs.get("grade", "good")
    return {
        "unreliable": "UNRELIABLE reconstruction: read no numbers from it",
        "limited": "limited reconstruction: its starts or its fit leave doubts, read it with its errors",
    }.get(grade, "")


def hatched(ax: Axes, crystal: xr.Dataset) -> None:
    """Cover `ax`, flat or in 3D, with hatches if the crystal is unreliable; else leave it alone.

    Examples
    --------
    >>> made = style.figure()
    >>> hatched(made.subplots(), xr.Dataset(attrs={"grade": "unreliable"}))
    >>> made.axes[0].patches[0].get_hatch()
    '///'
    """
    if crystal.attrs.get("grade") != "unreliable":
        return
    cover = Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, hatch="///", edgecolor="0.35", lw=0, alpha=0.7, zorder=4)
    cover.set_in_layout(False)
    if isinstance(ax, Axes3D):
        style.host(ax).add_artist(cover)  # 3D axes sort their patches by depth, and this one has none
    else:
        ax.add_patch(cover)


def cropped(crystal: xr.Dataset, margin: int = 2) -> xr.Dataset:
    """Return the box around the support, a few voxels wider."""
    if "support" not in crystal or not bool(crystal["support"].any()):
        return crystal
    box = {}
    for dim in ("z", "y", "x"):
        there = np.flatnonzero(crystal["support"].any([d for d in ("z", "y", "x") if d != dim]).values)
        box[dim] = slice(max(0, there[0] - margin), there[-1] + margin + 1)
    return crystal.isel(box)


def from_mean(phase: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return a phase less its mean, within half a turn: the offset of the phase of an object means nothing.

    Examples
    --------
    >>> from_mean(np.array([3.0, 3.2, np.nan]), np.ones(3)).round(2).tolist()
    [-0.1, 0.1, nan]
    """
    turn = np.exp(1j * phase)
    mean: np.complexfloating = np.nansum(weight * turn)
    return np.asarray(np.angle(turn * np.exp(-1j * np.angle(mean))))


def levelled(crystal: xr.Dataset) -> xr.Dataset:
    """Return the crystal, its phase with the mean, weighted by the amplitude, taken off."""
    if "phase" not in crystal:
        return crystal
    weight = xr.ones_like(crystal["phase"])
    for name in ("amplitude", "support"):
        weight = weight * crystal[name] if name in crystal else weight
    return crystal.assign(phase=crystal["phase"].copy(data=from_mean(crystal["phase"].values, weight.values)))


def extent(crystal: xr.Dataset, dim: str) -> float:
    """Return the length of the box along `dim` in nm."""
    first, last = style.edges(crystal[dim].values)
    return last - first


def box(ax: Axes3D, crystal: xr.Dataset) -> None:
    """Give the 3D axes the extent of the particle in nm, all three to the same scale."""
    around = cropped(crystal)
    for dim in "xyz":
        getattr(ax, f"set_{dim}lim")(*style.edges(around[dim].values))
        getattr(ax, f"set_{dim}label")(f"${dim}$ (nm)", labelpad=2)
    ax.set_box_aspect([extent(around, dim) for dim in "xyz"])
    ax.locator_params(nbins=4)
    ax.tick_params(pad=0, labelsize=8)


def grain_numbers(crystal: xr.Dataset) -> list[int]:
    """Return the numbers of the grains, without the outside."""
    return [int(k) for k in np.unique(crystal["grain"].values) if k > 0] if "grain" in crystal else []


def grain_lines(ax: Axes, labels: xr.DataArray, *, colour: str = "black", width: float = 0.9) -> None:
    """Draw a line between neighbouring pixels of different grains.

    Parameters
    ----------
    ax : Axes
    labels : DataArray, shape (up, right)
        Grain numbers, 0 outside, with coordinates in nm.
    colour, width
        Of the lines, which carry a thin white rim.
    """
    segments, _ = grain_segments(labels)
    for shade, thick in (("white", width + 1.2), (colour, width)):
        ax.add_collection(LineCollection(segments, colors=shade, linewidths=thick, capstyle="projecting"))


def grain_segments(labels: xr.DataArray) -> tuple[list[list[tuple[float, float]]], list[tuple[int, int]]]:
    """Return the line pieces between pixels of different grains in a plane, and the two grains of each piece.

    Examples
    --------
    >>> labels = xr.DataArray([[1, 2]], {"y": [0.0], "x": [0.0, 10.0]}, ("y", "x"))
    >>> grain_segments(labels)
    ([[(5.0, -0.5), (5.0, 0.5)]], [(1, 2)])
    """
    up, right = (labels[d].values for d in labels.dims)
    low, left = style.edges(up)[0], style.edges(right)[0]
    high, wide = 2 * (float(up[0]) - low), 2 * (float(right[0]) - left)
    here = labels.values
    segments, pairs = [], []
    for i, j in np.argwhere((here[:, 1:] != here[:, :-1]) & (here[:, 1:] > 0) & (here[:, :-1] > 0)):
        x, y = left + wide * (j + 1), low + high * i
        segments.append([(float(x), float(y)), (float(x), float(y + high))])
        pairs.append(here[i, j : j + 2])
    for i, j in np.argwhere((here[1:] != here[:-1]) & (here[1:] > 0) & (here[:-1] > 0)):
        x, y = left + wide * j, low + high * (i + 1)
        segments.append([(float(x), float(y)), (float(x + wide), float(y))])
        pairs.append(here[i : i + 2, j])
    return segments, [(int(min(pair)), int(max(pair))) for pair in pairs]


def label(crystal: xr.Dataset, name: str) -> str:
    """Return the label of a quantity; under that of the strain stands its noise floor, if it is known."""
    floor = reading.value(crystal, "noise_floor")
    return LOOKS[name].label if floor is None or name != "strain" else f"{LOOKS[name].label}\nnoise floor ±{floor * 1e3:.2g}"


def thousandths(value: float) -> str:
    r"""Return a small number as so many times ten to the minus three.

    Examples
    --------
    >>> thousandths(5e-4)
    '0.5$\\times10^{-3}$'
    """
    places = ".2g" if abs(value) < 0.0995 else ".0f"
    return f"{value * 1e3:{places}}$\\times10^{{-3}}$"
