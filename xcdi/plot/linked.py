"""What links an event to its boundary in every picture: a letter and a colour of each boundary that slipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xcdi.plot import reading, style

__all__ = ["DENSITY", "NOBODY", "NUMBER", "Link", "activity", "letters", "links", "pairs", "spread", "ticks"]

NUMBER, DENSITY = "events named for it", "events named for it, per µm²"  # the most likely boundary is named where it is likely enough
NOBODY = "0.45"  # colour of an event that no boundary is named for
Pair = tuple[int, int]


class Link(NamedTuple):
    """Letter, colour and number of events of one boundary."""

    letter: str
    colour: Any
    events: int


def pairs(events: xr.Dataset) -> list[Pair | None]:
    """The two grains of each event, smaller number first; None where no boundary was found, or the event is none of the inside.

    Examples
    --------
    >>> columns = {"boundary_i": [2, -1], "boundary_j": [1, -1]}
    >>> pairs(xr.Dataset({name: ("event", values) for name, values in columns.items()}))
    [(1, 2), None]
    """
    if "boundary_i" not in events:
        return [None] * events.sizes.get("event", 0)
    first, second = reading.shown(events, "boundary_i").values, reading.shown(events, "boundary_j").values
    there = reading.genuine(events)
    return [
        (min(int(i), int(j)), max(int(i), int(j))) if k and i > 0 and j > 0 else None for i, j, k in zip(first, second, there, strict=True)
    ]


def links(events: xr.Dataset) -> dict[Pair, Link]:
    """Letter and colour of every boundary with an event, the busiest first.

    Examples
    --------
    >>> columns = {"boundary_i": [2, 3, 1], "boundary_j": [1, 2, 2]}
    >>> links(xr.Dataset({name: ("event", values) for name, values in columns.items()}))[1, 2].letter
    'A'
    """
    found = [pair for pair in pairs(events) if pair is not None]
    order = sorted(set(found), key=lambda pair: (-found.count(pair), pair))
    return {pair: Link(_letter(k), style.grain_colour(k + 1), found.count(pair)) for k, pair in enumerate(order)}


def activity(events: xr.Dataset, boundaries: xr.Dataset | None) -> tuple[dict[Pair, float], str]:
    """Events of each boundary per µm² of its area, and the words for it; their number alone where no area is known.

    Parameters
    ----------
    events : Dataset
        EVENTS with `boundary_i` and `boundary_j`.
    boundaries : Dataset, optional
        `i`, `j` and `area_nm2`, one per boundary.
    """
    counts = {pair: float(link.events) for pair, link in links(events).items()}
    if boundaries is None or "area_nm2" not in boundaries:
        return counts, NUMBER
    ends = zip(boundaries["i"].values, boundaries["j"].values, boundaries["area_nm2"].values, strict=True)
    area = {(min(int(i), int(j)), max(int(i), int(j))): float(a) * 1e-6 for i, j, a in ends}
    if any(area.get(pair, 0.0) <= 0 for pair in counts):
        return counts, NUMBER
    return {pair: count / area[pair] for pair, count in counts.items()}, DENSITY


def ticks(ax: Axes, events: xr.Dataset, *, both: bool = False) -> None:
    """Mark every event above the frame, in the colour of its boundary, with its letter; with `both` also at the right.

    Events that no boundary is named for are grey, what is no event of the inside is a small cross. Letters that would cover each other
    stand aside, on a thin line.
    """
    known, found = links(events), pairs(events)
    time, real = reading.shown(events, "time").values.astype(float), reading.genuine(events)
    colours = [known[pair].colour if pair is not None else NOBODY for pair in found]
    for chosen, marks in ((real, ("v", "<")), (~real, ("x", "x"))):
        shades = [colour for colour, here in zip(colours, chosen, strict=True) if here]
        if not shades:
            continue
        shape: dict[str, Any] = {"c": shades, "s": 26, "linewidths": 1.0 if marks[0] == "x" else 0, "clip_on": False, "zorder": 6}
        beside = np.full(len(shades), 1.02)
        ax.scatter(time[chosen], beside, marker=marks[0], transform=ax.get_xaxis_transform(), **shape)
        if both:
            ax.scatter(beside, time[chosen], marker=marks[1], transform=ax.get_yaxis_transform(), **shape)
    named = [k for k, pair in enumerate(found) if pair is not None]
    letters(ax, time[named], [known[found[k]] for k in named])  # type: ignore[index]


def letters(ax: Axes, places: np.ndarray, named: list[Link]) -> None:
    """Write letters above the frame, as near to their places as they do not cover each other."""
    left, right = ax.get_xlim()
    for aside, place, link in zip(spread(places, 0.042 * (right - left)), places, named, strict=True):
        ax.plot([place, aside], [1.035, 1.055], color=link.colour, lw=0.7, clip_on=False, transform=ax.get_xaxis_transform())
        where = ax.get_xaxis_transform()
        ax.text(aside, 1.058, link.letter, transform=where, ha="center", va="bottom", fontsize=9, fontweight="bold", color=link.colour)


def spread(places: np.ndarray, gap: float) -> np.ndarray:
    """Return rising places moved as little as keeps them `gap` apart.

    Examples
    --------
    >>> spread(np.array([1.0, 1.0, 9.0]), 2.0)
    array([0., 2., 9.])
    """
    moved = np.array(places, dtype=float)
    groups = [[k] for k in range(moved.size)]
    centre = [float(place) for place in moved]
    k = 0
    while k + 1 < len(groups):
        width = gap * (len(groups[k]) + len(groups[k + 1])) / 2
        if centre[k + 1] - centre[k] >= width - 1e-12:
            k += 1
            continue
        together = groups[k] + groups[k + 1]
        want = np.mean([places[j] for j in together])
        groups[k : k + 2], centre[k : k + 2] = [together], [float(want)]
        k = max(k - 1, 0)
    for group, middle in zip(groups, centre, strict=True):
        moved[group] = middle + gap * (np.arange(len(group)) - (len(group) - 1) / 2)
    return moved


def shades(values: Mapping[Pair, float]) -> tuple[float, float]:
    """Colour limits of an activity: from 0 to the largest."""
    return 0.0, max(values.values(), default=1.0)


def _letter(k: int) -> str:
    """A to Z, then A2 to Z2."""
    return chr(ord("A") + k % 26) + (str(k // 26 + 1) if k >= 26 else "")
