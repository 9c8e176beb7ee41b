"""Pictures of simulated experiments: what was put in, and what the detector made of it, one page per suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import panels, saving, strain, style

__all__ = ["catalogue", "crystal", "draw", "particle", "save", "speckle"]

Parts = Mapping[str, xr.Dataset]
PAGE, ROWS = (17.2, 9.5), (6.55, 3.57, 0.59)  # inches


def draw(suite: str, parts: Parts) -> Figure:
    """Return the page of the suite called `suite`: see the function of that name."""
    return PAGES[suite](parts)


def save(made: Figure, path: str | Path, *, dpi: float = 104) -> None:
    """Write a page as PNG."""
    saving.png(made, Path(path), dpi=dpi)


@style.paper()
def particle(parts: Parts) -> Figure:
    """Detector frames, rocking curve, the object in slices, the true two-time map and the events.

    Parameters
    ----------
    parts : mapping of str to Dataset
        `about` (attributes), `crystal` (z, y, x) and `events`; `rocking` (angle); where there are any, `frame` and
        `series_frame` with `counts` (row, column), and `correlation` with `two_time`.
    """
    crystal, events = parts["crystal"], parts["events"]
    made, tiles = _page((1.0, 1.0, 1 - panels.SLICE_BAR))
    panels.detector(tiles[0][0], parts.get("frame"))
    panels.closeup(tiles[0][1], parts.get("series_frame"))
    panels.rocking_curve(tiles[0][2], parts["rocking"])
    panels.grains(tiles[1], crystal)
    for ax, name in zip(tiles[2], ("strain", "displacement", "phase"), strict=True):
        panels.crystal_slice(ax, crystal, name)
        ax.set_ylabel("$y$ (nm)" if ax is tiles[2][0] else "")
    panels.two_time_map(_place(made, 12.15, 5.15, 3.7 / (1 - panels.MAP_BAR), 3.7), parts.get("correlation"), events)
    panels.event_sizes(_place(made, 12.15, 0.59, 3.7, 3.0), events, _duration(parts["about"]))
    made.suptitle(_particle_title(parts["about"].attrs, int(crystal["grain"].max()), events.sizes["event"]), fontsize=12, y=0.985)
    return made


@style.paper()
def catalogue(parts: Parts) -> Figure:
    """Share of events at least as large as each with the true law, number of events against time, size of every event.

    Parameters
    ----------
    parts : mapping of str to Dataset
        `about` (attributes); `catalogue` with `time`, `size`, `detected`, `series` (event); `law` with `ccdf` (size);
        where the rate is known beforehand, `rate` with the `count` expected at `time`.
    """
    about, events = parts["about"].attrs, parts["catalogue"]
    made = style.figure(14.0, 4.8)
    first, second, third = made.subplots(1, 3)
    panels.size_shares(first, events, parts["law"])
    panels.counted(second, events, parts.get("rate"))
    panels.sizes_by_time(third, events.isel(event=(events["series"] == 0).values))
    number = len(np.unique(events["series"]))
    made.suptitle(
        f"catalogue, seed {about['seed']}: {number} series, {events.sizes['event']} events, {about['law']} sizes, {about['times']} times",
        fontsize=12,
    )
    return made


@style.paper()
def crystal(parts: Parts) -> Figure:
    """The measured peak as the detector shows it and in q, where the grid is sheared; the crystal in slices; the rocking curve.

    Parameters
    ----------
    parts : mapping of str to Dataset
        `about` (attributes), `crystal` (z, y, x), `rocking` (angle); where there is a scan, `peak` with `counts`
        (angle, row, column) and the attribute `q_basis`, columns of which are the steps in q [1/nm] of the three indices.
    """
    about, grown, peak = parts["about"].attrs, parts["crystal"], parts.get("peak")
    made, tiles = _page((1.0, 1 - panels.SLICE_BAR, 1 - panels.SLICE_BAR))
    for ax, (up, right) in zip(tiles[0], (("row", "column"), ("angle", "column"), ("angle", "row")), strict=True):
        panels.peak_slice(ax, peak, up, right)
    for row, name in zip(tiles[1:], ("amplitude", "strain"), strict=True):
        for ax, seen in zip(row, strain.PLANES, strict=True):
            panels.crystal_slice(ax, grown, name, seen)
    for ax in (tiles[1][1], tiles[2][1]):
        ax.set_ylabel("")  # that of the neighbour, and the colour bar needs the room
    panels.peak_in_q(_place(made, 12.55, 5.35, 3.5, 3.5), peak)
    panels.rocking_curve(_place(made, 12.55, 0.59, 3.5, 3.5), parts["rocking"])
    made.suptitle(
        f"crystal, seed {about['seed']}: ({' '.join(map(str, about['hkl']))}) of a cell of {about['lattice_nm']:g} nm, "
        f"{about['size_nm']:g} nm wide, at {about['energy_kev']:g} keV",
        fontsize=12,
        y=0.985,
    )
    return made


def _page(shares: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """An empty page with three rows of three square tiles; `shares` are those of a tile's width that its picture takes, by row."""
    made = style.figure(*PAGE)
    made.set_layout_engine("none")
    rows = zip(ROWS, shares, strict=True)
    return made, [[_place(made, 0.85 + 3.75 * k, bottom, 2.3 / share, 2.3) for k in range(3)] for bottom, share in rows]


def _place(made: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches: the pictures are square, and colour bars stand outside them."""
    across, up = made.get_size_inches()
    return made.add_axes((left / across, bottom / up, width / across, height / up))


@style.paper()
def speckle(parts: Parts) -> Figure:
    """One frame, the true two-time map, and its one-time average with what the counts give.

    Parameters
    ----------
    parts : mapping of str to Dataset
        `about` (attributes), `correlation` with `two_time`, `g2` and `delay`; where there are any, `frame` with `counts`
        (row, column), `measured` like `correlation`, and `events`.
    """
    about = parts["about"].attrs
    made = style.figure(14.0, 4.6)
    first, second, third = made.subplots(1, 3, width_ratios=[1, 1.1, 1.1])
    panels.closeup(first, parts.get("frame"))
    first.set_title("frame 0", loc="left", pad=16)
    panels.two_time_map(second, parts["correlation"], parts["events"])
    panels.one_time(third, parts["correlation"], parts.get("measured"))
    made.suptitle(
        f"speckle, seed {about['seed']}: {about['frames']} frames, {about['mean_count']:g} counts per pixel, {about['modes']} modes, "
        rf"$\tau$ = {about['relaxation_s']:g} s, $\gamma$ = {about['exponent']:g}",
        fontsize=12,
    )
    return made


def _duration(about: xr.Dataset) -> tuple[int, float]:
    return int(about.attrs["frames"]), float(about.attrs["frame_time_s"])


def _particle_title(about: Mapping[str, Any], grains: int, events: int) -> str:
    seconds = about["frames"] * about["frame_time_s"]
    return (
        f"{about.get('object', 'particle')}, seed {about['seed']}: {grains} grain{'s' * (grains != 1)}, "
        f"{events} event{'s' * (events != 1)} in {seconds:g} s; {about['energy_kev']:g} keV, $|G|$ = {about['q_peak']:.4g} nm$^{{-1}}$"
    )


PAGES: dict[str, Callable[[Parts], Figure]] = {"particle": particle, "speckle": speckle, "crystal": crystal, "catalogue": catalogue}
