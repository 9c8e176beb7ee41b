"""One figure of a whole experiment: the strained crystal, its events, and the boundaries they happened on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import xarray as xr
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from xcdi.plot import avalanches, correlation, strain, style

__all__ = ["can_draw", "poster"]

NEEDED = [("crystal", "strain"), ("crystal", "amplitude"), ("crystal", "grain"), ("correlation", "two_time")]
NEEDED += [("events", "time"), ("events", "drop"), ("events", "boundary_i")]
PLACES = [
    (-0.01, 0.53, 0.31, 0.43),
    (0.44, 0.6, 0.21, 0.34),
    (0.72, 0.53, 0.28, 0.43),
    (0.06, 0.065, 0.34, 0.41),
    (0.55, 0.065, 0.43, 0.39),
]


def can_draw(result: Mapping[str, xr.Dataset]) -> bool:
    """Whether the result has a strained crystal with its grains, a two-time correlation, and events.

    Examples
    --------
    >>> can_draw({"crystal": xr.Dataset()})
    False
    """
    return all(part in result and name in result[part] for part, name in NEEDED)


@style.paper()
def poster(result: Mapping[str, xr.Dataset], *, region: int = 0) -> Figure:
    """Surface and slice of the strain, events per boundary, the two-time map and the size of every event.

    Parameters
    ----------
    result : mapping of str to Dataset
        With crystal, correlation and events, as of the superlattice pipeline.
    region : int
        Which two-time map.
    """
    crystal, events, two_time = result["crystal"], result["events"], result["correlation"]
    made = style.figure(12.0, 7.6)
    made.set_layout_engine("none")
    a, b, c, d, e = (made.add_axes(place, projection="3d" if k in (0, 2) else None) for k, place in enumerate(PLACES))
    strain.isosurface(crystal, cast(Axes3D, a))
    strain.plane(crystal, b)
    avalanches.boundary_map(crystal, events, cast(Axes3D, c))
    correlation.two_time(two_time, d, region=region, events=events)
    avalanches.drops(events, e)
    for letter, ax, (x, y, *_) in zip("abcde", (a, b, c, d, e), PLACES, strict=True):
        ax.set_title("")
        ax.set_title("", loc="left")
        made.text(max(0.012, x - 0.05), 0.96 if y > 0.5 else 0.485, letter, fontsize=13, fontweight="bold")
    if strain.grade_text(crystal):
        made.suptitle(strain.grade_text(crystal), color=style.EVENT)
    return made
