"""Events in words: one line each, and what a reader must know of all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from xcdi.schema import is_avalanche

__all__ = ["counted_events", "listed", "place"]


def listed(events: xr.Dataset) -> str:
    """The events, one line each: when, how large, on which grain boundary, how sure that is, what is remarkable.

    Parameters
    ----------
    events : EVENTS
        Without `boundary_i`, `boundary_j` and `probability` the table has no such columns.

    Examples
    --------
    >>> one = {"time": [12.5], "frame": [25], "drop": [0.1], "drop_error": [0.004], "flags": ["possibly merged"]}
    >>> print(listed(xr.Dataset({name: ("event", values) for name, values in one.items()})))
    time (s)   frame   drop              remarks
        12.5      25   0.1000 ± 0.0040   possibly merged
    """
    placed = "boundary_i" in events
    head = f"time (s)   frame   {'drop':<15}" + "   boundary   confidence" * placed + "   remarks"
    rows = []
    for k in range(events.sizes["event"]):
        one = events.isel(event=k)
        row = f"{float(one['time']):8.1f}   {int(one['frame']):5d}   {float(one['drop']):.4f} ± {float(one['drop_error']):.4f}"
        where = f"   {place(one):<8}   {_confidence(one):>10}" if placed else ""
        rows.append(f"{row}{where}   {_remarks(one)}".rstrip())
    return "\n".join([head, *rows] if rows else [])


def counted_events(events: xr.Dataset) -> str:
    """How many events there are, how many of them are none of the sample's inside, the largest, and the false ones to expect.

    Examples
    --------
    >>> two = xr.Dataset({"flags": ("event", ["", "rigid"]), "drop": ("event", [0.125, 0.5])}, attrs={"false_alarms_per_10000": 0.2})
    >>> counted_events(two)
    '1 event, 1 set apart  largest drop 0.125  0.2 false alarms in 10 000 frames'
    """
    inside = is_avalanche(events["flags"].values)
    apart = int((~inside).sum())
    parts = [f"{int(inside.sum())} event{'s' * (int(inside.sum()) != 1)}" + (f", {apart} set apart" if apart else "")]
    if inside.any():
        parts.append(f"largest drop {float(np.nanmax(events['drop'].values[inside])):.3f}")
    return "  ".join([*parts, *_false(events)])


def place(event: xr.Dataset) -> str:
    """The two grains that the boundary of one event parts, or "none"."""
    if "boundary_i" not in event or int(event["boundary_i"]) <= 0:
        return "none"
    return f"{int(event['boundary_i'])} | {int(event['boundary_j'])}"


def _remarks(event: xr.Dataset) -> str:
    """Its flags, and why no boundary is named or what to know of the one that is."""
    notes = (str(event[name].item()) for name in ("flags", "attribution_note") if name in event)
    return "; ".join(note for note in notes if note and not note.startswith("no change inside"))


def _confidence(event: xr.Dataset) -> str:
    known = "probability" in event and np.isfinite(float(event["probability"]))
    return f"{float(event['probability']):.2f}" if known else "-"


def _false(events: xr.Dataset) -> Iterator[str]:
    """What noise alone gives: by 10 000 frames, and in this series."""
    if "false_alarms_per_10000" in events.attrs:
        here = float(events.attrs.get("false_alarms_expected", np.nan))
        in_series = f" ({here:.2g} in this series)" if np.isfinite(here) else ""
        yield f"{float(events.attrs['false_alarms_per_10000']):.2g} false alarms in 10 000 frames{in_series}"
