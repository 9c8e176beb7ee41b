"""The pre-flight card: a measured peak, its rocking curve, and what was found out before phasing, on one page."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import phasing, style

__all__ = ["card", "findings"]

COLOURS = {"ok": "#12723a", "notice": "#0072b2", "warning": "#b35900", "stop": "#b00020"}
LINE = 0.135  # height of a line of text, inches
NAME, FIGURE, SENTENCE = 0.085, 0.245, 0.445  # where the columns begin, shares of the width
CHARACTERS = 70  # of a sentence on one line


def findings(peak: xr.Dataset) -> list[dict[str, Any]]:
    """Return what was found out about the peak, from its attribute ``preflight``; none for an older result.

    Examples
    --------
    >>> findings(xr.Dataset(attrs={"preflight": '[{"name": "gaps", "figure": [2.0]}]'}))[0]["name"]
    'gaps'
    """
    found: list[dict[str, Any]] = json.loads(peak.attrs.get("preflight", "[]"))
    return found


@style.paper()
def card(peak: xr.Dataset) -> Figure:
    """Three planes of the peak, its rocking curve, and under them every finding with its verdict and what to do.

    Parameters
    ----------
    peak : Dataset
        PEAK: `counts`, `valid` (frame, y, x); attribute ``preflight`` for the text, which is left out without it.

    Examples
    --------
    >>> peak = xr.Dataset({"counts": (("frame", "y", "x"), np.ones((5, 5, 5)))})
    >>> len(card(peak).axes)  # three planes and their colour bar, the curve
    5
    """
    rows = [(row, wrap(row["sentence"], CHARACTERS)) for row in findings(peak)]
    tall = LINE * sum(max(1, len(lines)) + 0.35 for _, lines in rows)
    made = style.figure(style.DOUBLE, 4.6 + tall)
    parts = np.ravel(np.asarray(made.subfigures(3 if rows else 2, 1, height_ratios=[2.75, 1.85, *([tall] if rows else [])])))
    phasing.draw_peak(parts[0], peak)
    phasing.rocking_curve(peak, parts[1].subplots())
    if rows:
        _write(parts[2].subplots(), rows)
    return made


def _write(ax: Axes, rows: list[tuple[dict[str, Any], list[str]]]) -> None:
    """One finding under the other: verdict, name, figure, sentence."""
    ax.set_axis_off()
    lines = sum(max(1, len(words)) + 0.35 for _, words in rows)
    ax.set(xlim=(0, 1), ylim=(lines, 0))
    at = 0.0
    look: dict[str, Any] = {"fontsize": 7.2, "va": "top", "linespacing": 1.15}
    for row, words in rows:
        colour = COLOURS.get(row["verdict"], "black")
        ax.text(0, at, row["verdict"], color=colour, fontweight="bold", **look)
        ax.text(NAME, at, row["name"], **look)
        ax.text(FIGURE, at, f"{' '.join(map(_number, row['figure']))} {row['unit']}", **look)
        ax.text(SENTENCE, at, "\n".join(words), **look)
        at += max(1, len(words)) + 0.35


def _number(value: float | None) -> str:
    """A figure in few digits; a dash where it could not be told."""
    if value is None:
        return "–"
    return (f"{value:.0f}" if value == round(value) and abs(value) < 1e5 else f"{value:.3g}").replace("-", "−")
