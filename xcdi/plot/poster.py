"""One figure of a whole experiment: grains, boundaries by their activity, and every event linked to the boundary it happened on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import xarray as xr
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from xcdi.plot import avalanches, catalogue_checks, correlation, event_statistics, linked, reading, strain, style

__all__ = ["can_draw", "poster"]

NEEDED = [("crystal", "strain"), ("crystal", "amplitude"), ("crystal", "grain"), ("correlation", "two_time")]
NEEDED += [("events", "time"), ("events", "drop"), ("events", "boundary_i")]
PLACES = [
    (-0.01, 0.53, 0.30, 0.43),
    (0.40, 0.60, 0.20, 0.33),
    (0.67, 0.53, 0.31, 0.43),
    (0.06, 0.075, 0.30, 0.36),
    (0.45, 0.075, 0.24, 0.345),
    (0.77, 0.075, 0.215, 0.345),
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
    """Strained particle, grain map, activity of the boundaries, two-time map, size of every event, distribution of sizes.

    Parameters
    ----------
    result : mapping of str to Dataset
        With crystal, correlation and events, as of the superlattice pipeline; boundaries give the area that activity is per, statistics
        the distribution of sizes.
    region : int
        Which two-time map.

    Returns
    -------
    Figure
        A letter and a colour stand for the same boundary in all panels.
    """
    crystal, events = result["crystal"], result["events"]
    made = style.figure(12.0, 8.0)
    made.set_layout_engine("none")
    a, b, c, d, e, f = (made.add_axes(place, projection="3d" if k in (0, 2) else None) for k, place in enumerate(PLACES))
    strain.isosurface(crystal, cast(Axes3D, a))
    avalanches.grain_map(crystal, events, b)
    avalanches.boundary_map(crystal, events, cast(Axes3D, c), boundaries=result.get("boundaries"))
    correlation.two_time(result["correlation"], d, region=region)
    linked.ticks(d, events, both=True)
    avalanches.drops(events.drop_vars("drop_internal", errors="ignore"), e)
    if "statistics" in result:
        event_statistics.size_distribution(result["statistics"], f)
    else:
        catalogue_checks.empty(f, "no statistics in this result; xcdi run avalanche_statistics makes them")
    for letter, ax, (x, y, *_) in zip("abcdef", (a, b, c, d, e, f), PLACES, strict=True):
        ax.set_title("")
        ax.set_title("", loc="left")
        made.text(max(0.012, x - 0.05), 0.945 if y > 0.5 else 0.485, letter, fontsize=13, fontweight="bold")
    made.suptitle(
        strain.grade_text(crystal) or told(events), color=style.EVENT if strain.grade_text(crystal) else "0.25", fontsize=10, y=0.99
    )
    return made


def told(events: xr.Dataset) -> str:
    """What was found, in a line: events, length of the series, smallest event visible, false alarms.

    Examples
    --------
    >>> told(xr.Dataset({"time": ("event", [3.0])}, attrs={"duration_s": 500.0, "smallest_visible": 0.0213}))
    '1 event in 500 s; half of those of D = 0.021 are found'
    """
    count = int(reading.genuine(events).sum())
    parts = [f"{count} event{'s' * (count != 1)}"]
    duration, smallest, false = (reading.value(events, name) for name in ("duration_s", "smallest_visible", "false_alarms_per_10000"))
    parts[0] += f" in {duration:.3g} s" if duration is not None else ""
    parts += [f"half of those of D = {smallest:.2g} are found"] if smallest is not None else []
    parts += [f"{false:.2g} false alarms in 10 000 frames"] if false is not None else []
    return "; ".join(parts)
