"""A crystal in pictures: slices of amplitude, phase, strain and tilt, the surface in colour; curves are in strain_curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from skimage.measure import marching_cubes

from xcdi.errors import SchemaError
from xcdi.plot import reading, style
from xcdi.plot.particle import box, cropped, extent, grade_text, grain_lines, grain_segments, hatched, label, levelled
from xcdi.plot.strain_curves import histogram, profile
from xcdi.plot.style import LOOKS, Look

__all__ = [
    "ERRORS",
    "NAMES",
    "PLANES",
    "SEEN",
    "box",
    "cropped",
    "grade_text",
    "grain_lines",
    "grain_segments",
    "histogram",
    "isosurface",
    "plane",
    "profile",
    "slices",
]

PLANES = (("y", "x"), ("y", "z"), ("z", "x"))  # (up, right): along the beam, from the side, from above
NAMES = ("amplitude", "phase", "displacement", "strain", "tilt_1", "tilt_2")
ERRORS = ("strain_error", "tilt_1_error", "tilt_2_error")
LIGHT = np.array([0.35, 0.75, -0.56])  # comes from up left, in front
EXTEND = {"symmetric": "both", "error": "max"}  # ends of a colour bar beyond which there are values
SEEN = {("y", "x"): "along the beam", ("y", "z"): "from the side", ("z", "x"): "from above"}


@style.paper()
def slices(crystal: xr.Dataset, *, names: Sequence[str] = NAMES, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Figure:
    """Three orthogonal slices of every quantity in `names` that the crystal has, one row each.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL: variables (z, y, x) with coordinates in nm, y up and z along the beam.
    names : sequence of str
        Which quantities, out of `LOOKS`; those the crystal lacks are left out.
    at : (float, float, float)
        Where the planes cut, (x, y, z) in nm.

    Returns
    -------
    Figure
        Colour limits are shared by the three planes of a row, one scale by all. Grey is outside the particle, lines are grain
        boundaries, the arrow is the scattering vector; of a phase its mean is taken off. The noise
        floor of the strain is printed and marked on the colour bar. A reconstruction graded unreliable is hatched, and the title
        says so.

    Raises
    ------
    SchemaError
        If the crystal has none of `names`.

    Examples
    --------
    >>> axis = np.array([-50.0, 0.0, 50.0])
    >>> ball = xr.Dataset({"strain": (("z", "y", "x"), np.zeros((3, 3, 3)))}, {"z": axis, "y": axis, "x": axis})
    >>> len(slices(ball).axes)  # three planes and a colour bar
    4
    """
    names = [name for name in names if name in crystal]
    if not names:
        raise SchemaError(f"a crystal without any of {', '.join(NAMES)} cannot be drawn; it has {', '.join(map(str, crystal.data_vars))}")
    crystal = levelled(cropped(crystal))
    wide = [extent(crystal, right) for _, right in PLANES]
    tall = max(extent(crystal, up) for up, _ in PLANES) * 4.6 / sum(wide)  # inches, beside tick labels and colour bar
    made = style.figure(style.DOUBLE, len(names) * (tall + 0.06) + 0.75 + 0.2 * bool(grade_text(crystal)))
    made.set_layout_engine("compressed", w_pad=0.05, h_pad=0.03, hspace=0.0, wspace=0.0)
    grid = made.subplots(len(names), 3, squeeze=False, width_ratios=wide)
    for row, name in zip(grid, names, strict=True):
        _row(row, crystal, name, at)
    for ax, (up, right) in zip(grid[0], PLANES, strict=True):
        ax.set_title(SEEN[up, right])
    for ax, (_, right) in zip(grid[-1], PLANES, strict=True):
        ax.set_xlabel(f"${right}$ (nm)")
    style.scale_bar(grid[0, 0])
    for ax, seen in zip(grid[0], PLANES, strict=True):
        _arrow(ax, crystal, seen)
    if grade_text(crystal):
        made.suptitle(grade_text(crystal), fontsize=10, color=style.EVENT)
    return made


@style.paper()
def plane(
    crystal: xr.Dataset,
    ax: Axes | None = None,
    *,
    name: str = "strain",
    seen: tuple[str, str] = ("y", "x"),
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Axes:
    """One slice of one quantity, with grain boundaries, scale bar and the direction of the scattering vector.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with the quantity `name` (z, y, x).
    ax : Axes, optional
    name : str
        One of `LOOKS`.
    seen : (str, str)
        The axes that point up and right.
    at : (float, float, float)
        Where the plane cuts, (x, y, z) in nm.
    """
    ax = style.own_axes(ax, 4.4, 3.6)
    reading.shown(crystal, name)
    around = levelled(cropped(crystal))
    volume = _volume(around, name)
    drawn = _plane(ax, around, volume, seen, at, style.limits(volume.values, LOOKS[name].kind))
    _bar([ax], drawn, crystal, name)
    style.scale_bar(ax)
    _arrow(ax, crystal, seen)
    ax.set(xlabel=f"${seen[1]}$ (nm)", ylabel=f"${seen[0]}$ (nm)", title=grade_text(crystal))
    return ax


@style.paper()
def isosurface(
    crystal: xr.Dataset, ax: Axes3D | None = None, *, name: str = "strain", level: float = 0.3, view: tuple[float, float] = (22.0, -55.0)
) -> Axes3D:
    """The surface of the particle in 3D, coloured by what lies just beneath it.

    Parameters
    ----------
    crystal : Dataset
        CRYSTAL with `amplitude` (z, y, x) and the quantity `name`.
    ax : Axes, optional
        Axes of projection "3d".
    name : str
        Quantity that colours the surface.
    level : float
        Amplitude of the surface as a share of the 99.8th percentile of the amplitude.
    view : (float, float)
        Elevation and azimuth of the eye, deg.

    Returns
    -------
    Axes
        Axes in nm, y upwards. Grey where `name` is not known beneath the surface.
    """
    look = LOOKS[name]
    amplitude, values = reading.shown(crystal, "amplitude"), reading.shown(levelled(crystal), name) * look.scale
    ax = style.own_axes_3d(ax)
    inside = np.where(crystal["support"], values, np.nan) if "support" in crystal else values.values
    between = style.limits(inside, look.kind)
    corners, colours = _surface(amplitude, inside, level * style.limits(amplitude.values, "positive")[1], look, between)
    ax.add_collection3d(Poly3DCollection(corners, facecolors=colours, edgecolors="none", antialiased=False))
    box(ax, crystal)
    ax.view_init(*view, vertical_axis="y")
    ends = EXTEND.get(look.kind, "neither")
    bar = style.colour_bar([ax], style.colormap(look), between, label(crystal, name), shrink=0.62, pad=0.12, extend=ends)
    _mark_floor(bar, crystal, name)
    hatched(ax, crystal)
    ax.set_title(grade_text(crystal))
    return ax


def _row(row: Sequence[Axes], crystal: xr.Dataset, name: str, at: tuple[float, float, float]) -> None:
    """Three planes of one quantity with one colour bar."""
    look = LOOKS[name]
    volume = _volume(crystal, name)
    between = style.limits(volume.values, look.kind)
    for ax, (up, right) in zip(row, PLANES, strict=True):
        drawn = _plane(ax, crystal, volume, (up, right), at, between)
        ax.set_ylabel(f"${up}$ (nm)" if (up, right) != ("y", "z") else "", labelpad=1)
        ax.tick_params(labelbottom=ax.get_subplotspec().is_last_row(), labelleft=(up, right) != ("y", "z"))  # type: ignore[union-attr]
    style.level(row)
    _bar(row, drawn, crystal, name)


def _plane(
    ax: Axes, crystal: xr.Dataset, volume: xr.DataArray, seen: tuple[str, str], at: Sequence[float], between: tuple[float, float]
) -> AxesImage:
    """One plane with its grain boundaries, hatched where the reconstruction is not to be trusted."""
    (across,) = {"x", "y", "z"} - set(seen)
    cut = {across: at["xyz".index(across)]}
    look = LOOKS[str(volume.name)]
    drawn = style.image(ax, volume.sel(cut, method="nearest").transpose(*seen), look, between)
    if "grain" in crystal and volume.name != "grain":
        grain_lines(ax, crystal["grain"].sel(cut, method="nearest").transpose(*seen))
    hatched(ax, crystal)
    ax.locator_params(nbins=4)
    return drawn


def _bar(row: Sequence[Axes], drawn: AxesImage, crystal: xr.Dataset, name: str) -> None:
    """The colour bar of one or several planes, with the noise floor of the strain marked and printed."""
    look = LOOKS[name]
    bar = style.host(row[0]).colorbar(drawn, ax=row, pad=0.015, aspect=13, extend=EXTEND.get(look.kind, "neither"))
    bar.set_label(label(crystal, name))
    if look.kind == "cyclic":
        style.turn_ticks(bar)
    if look.kind == "labels":
        bar.set_ticks(list(range(1, drawn.get_cmap().N + 1)))
    _mark_floor(bar, crystal, name)


def _mark_floor(bar: Colorbar, crystal: xr.Dataset, name: str) -> None:
    """Two lines on the colour bar of the strain; what lies between them is noise."""
    floor = reading.value(crystal, "noise_floor")
    if floor is not None and name == "strain":
        for level in (floor, -floor):
            bar.ax.axhline(level * LOOKS[name].scale, color="black", lw=0.9)


def _volume(crystal: xr.Dataset, name: str) -> xr.DataArray:
    """The quantity in display units, NaN outside the particle (the amplitude is shown everywhere)."""
    volume = crystal[name] * LOOKS[name].scale
    if name == "grain":
        return volume.where(volume > 0).rename(name)
    shown = volume.where(crystal["support"]) if "support" in crystal and name != "amplitude" else volume
    return shown.rename(name)


def _arrow(ax: Axes, crystal: xr.Dataset, seen: tuple[str, str]) -> None:
    """The direction of the scattering vector in the plane, unless it points out of it."""
    g = reading.vector(crystal, "q_peak")
    if g is None or not np.any(g):
        return
    arrow = np.array([g["xyz".index(seen[1])], g["xyz".index(seen[0])]]) / np.linalg.norm(g)
    if np.linalg.norm(arrow) > 0.3:
        tail, head = (0.84, 0.12) - 0.09 * arrow, (0.84, 0.12) + 0.09 * arrow
        ink, rim = style.inks(ax)
        look = {"arrowstyle": "-|>", "lw": 1.4, "color": ink, "path_effects": style.halo(rim, 3.0)}
        ax.annotate("", head, tail, "axes fraction", "axes fraction", arrowprops=look)
        ax.text(0.84, 0.19, "$G$", transform=ax.transAxes, ha="center", color=ink, path_effects=style.halo(rim))


def _surface(
    amplitude: xr.DataArray, inside: np.ndarray, level: float, look: Look, between: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (face, 3, 3) of the surface in nm as x, y, z and the shaded colour (face, 4) of each face."""
    axes = [amplitude[d].values for d in ("z", "y", "x")]
    steps = [float(a[1] - a[0]) for a in axes]
    padded = np.pad(amplitude.transpose("z", "y", "x").values, 1)
    if not padded.max() > level > 0:
        raise SchemaError(f"no surface at amplitude {level:.3g}: the largest amplitude is {padded.max():.3g}; choose another level")
    points, faces, normals, _ = marching_cubes(padded, level, gradient_direction="descent")
    beneath = np.rint(points - 1.5 * normals).astype(int) - 1  # normals point outwards
    seen = inside[tuple(np.clip(beneath[:, k], 0, n - 1) for k, n in enumerate(inside.shape))][faces]
    shade = (np.ma.masked_invalid(seen).mean(1) - between[0]) / (between[1] - between[0])
    rgba = style.colormap(look)(shade)
    outwards = normals[faces].mean(1)[:, ::-1]
    rgba[:, :3] *= (0.74 + 0.26 * np.clip(outwards @ LIGHT, -1, 1))[:, None]
    return ((points - 1) * steps + [a[0] for a in axes])[:, ::-1][faces], rgba
