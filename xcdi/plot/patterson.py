"""Quick look in a picture: the difference Patterson of one event."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import reading, style

__all__ = ["difference", "largest"]

LEAST = 3.0  # photon noise; the colours begin there


@style.paper()
def difference(quick: xr.Dataset, event: int = 0, ax: Axes | None = None) -> Axes:
    """Vectors between what moved in an event and what did not; opposite ones are the same.

    Parameters
    ----------
    quick : Dataset
        From :func:`xcdi.stages.patterson.difference_patterson`: `patterson` (event, row_nm, column_nm).
    event : int
        Which.
    ax : Axes, optional
    """
    ax = style.own_axes(ax)
    one = reading.shown(quick, "patterson").isel(event=event)
    across, down = (one[f"{name}_nm"].to_numpy() for name in ("column", "row"))
    seen = one.transpose("row_nm", "column_nm").to_numpy()
    largest = max(float(np.nanmax(seen, initial=LEAST)), 2 * LEAST)
    extent = (across[0], across[-1], down[-1], down[0])
    drawn = ax.imshow(seen, cmap="magma", vmin=LEAST, vmax=largest, extent=extent, interpolation="nearest")
    ax.plot(0, 0, "+", color="white", ms=7, mew=1)
    style.host(ax).colorbar(drawn, ax=ax, label="over photon noise")
    when = f" at {float(quick.time[event]):.1f} s" if "time" in quick else ""
    ax.set(xlabel="along columns (nm)", ylabel="along rows (nm)", title=f"difference Patterson{when}")
    ax.locator_params(nbins=5)
    return ax


@style.paper()
def largest(quick: xr.Dataset, events: xr.Dataset, *, most: int = 6) -> Figure:
    """Difference Patterson of the largest events, in order of time.

    Parameters
    ----------
    quick, events : Dataset
        Of the same series.
    most : int
        Events shown.
    """
    size = np.where(reading.genuine(events), np.nan_to_num(reading.shown(events, "drop").values, nan=-1.0), -1.0)
    chosen = np.sort(np.argsort(-size, kind="stable")[: min(most, int((size > 0).sum()))])
    columns = min(3, max(len(chosen), 1))
    rows = -(-max(len(chosen), 1) // columns)
    made = style.figure(style.DOUBLE, 2.9 * rows)
    made.set_layout_engine("compressed")
    axes = np.ravel(made.subplots(rows, columns, squeeze=False))
    for ax in axes[len(chosen) :]:
        ax.set_axis_off()
    if not len(chosen):
        style.note(axes[0], "no event of measurable size", where="centre")
    for ax, event in zip(axes, chosen, strict=False):
        difference(quick, int(event), ax)
        ax.set_title(f"{float(quick.time[event]):.1f} s, $D$ = {float(events['drop'][event]):.3f}")
    return made
