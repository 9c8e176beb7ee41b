"""Panels of the pages that show a simulated experiment: each draws one thing into axes that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, Rectangle

from xcdi.plot import correlation, reading, strain, style

__all__ = [
    "MAP_BAR",
    "SLICE_BAR",
    "closeup",
    "counted",
    "crystal_slice",
    "detector",
    "event_sizes",
    "grains",
    "one_time",
    "peak_in_q",
    "peak_slice",
    "rocking_curve",
    "size_shares",
    "sizes_by_time",
    "two_time_map",
]

MAP_BAR, SLICE_BAR = 0.21, 0.165  # shares of the width that the pictures of a map and of a crystal give to their colour bars
ALONG_G = {name: f"{name} along $G$" for name in ("strain", "displacement")}
COUNTS = style.Look("counts", "magma")
BLUE = style.OKABE_ITO[0]


def detector(ax: Axes, frame: xr.Dataset | None) -> None:
    """A whole frame on a logarithmic scale, the box around the peak, and the ring that a powder of G would make."""
    if frame is None:
        return _absent(ax, "no raw files of the rocking scan")
    _counts(ax, frame)
    top, bottom, left, right = frame.attrs["box"]
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, ec="white", lw=1.0))
    here = ax.axis()
    (row, column), (peak_row, peak_column) = frame.attrs["beam_centre"], frame.attrs["peak_px"]
    ring = Circle((column, row), np.hypot(peak_row - row, peak_column - column), fill=False, ec=style.OKABE_ITO[4], lw=1.1, ls="--")
    ax.add_patch(ring)
    ax.axis(here)
    _towards_beam(ax, frame, row, column)
    ax.set_title(f"rocking scan, frame {frame.attrs['number']}", loc="left")
    return None


def _towards_beam(ax: Axes, frame: xr.Dataset, row: float, column: float) -> None:
    """A cross where the direct beam would hit, or how far outside the frame that is."""
    look: dict[str, Any] = {"color": "white", "fontsize": 8.5}
    if 0 <= row < frame.sizes["row"] and 0 <= column < frame.sizes["column"]:
        ax.plot(column, row, "+", ms=11, mew=1.6, color=style.OKABE_ITO[4])
        ax.annotate("beam", (column, row), (6, 6), textcoords="offset points", **look)
        return
    ax.text(
        0.03, 0.04, f"beam centre: column {column:.0f}, row {row:.0f}", transform=ax.transAxes, path_effects=style.halo("black"), **look
    )


def closeup(ax: Axes, frame: xr.Dataset | None) -> None:
    """One frame of the series, of the box that the truth is kept for."""
    if frame is None:
        return _absent(ax, "no raw files of the series")
    _counts(ax, frame)
    ax.set_title(f"series, frame {frame.attrs['number']}", loc="left")
    return None


def _counts(ax: Axes, frame: xr.Dataset) -> None:
    """Counts on a logarithmic scale, no count black, pixels without a value grey."""
    drawn = style.image(ax, frame["counts"].where(frame["counts"] != 0, 0.1), COUNTS, (0.0, 1.0))
    _logarithmic(ax, drawn, frame["counts"].values)
    ax.set(xlabel="column (px)", ylabel="row (px)")
    ax.locator_params(nbins=5)


def _logarithmic(ax: Axes, drawn: AxesImage | QuadMesh, counts: np.ndarray) -> None:
    """Give counts, drawn with 0.1 in place of 0, their colours; a few hot pixels do not set the scale."""
    known = np.sort(counts[np.isfinite(counts)])
    drawn.set_norm(LogNorm(0.7, max(3.0, float(known[-8]) if known.size > 8 else 1.0)))
    drawn.set_cmap(drawn.get_cmap().with_extremes(bad=style.GREY, under="black"))
    style.plain_log(_bar(ax, drawn, "counts (0 is black)", extend="max").ax.yaxis)


def rocking_curve(ax: Axes, rocking: xr.Dataset) -> None:
    """Counts in the box by angle, over what they would be without noise."""
    angle = rocking["angle"].values
    ax.plot(angle, rocking["clean"].values, color=BLUE, lw=1.3, label="without noise")
    if "counts" in rocking:
        ax.plot(angle, rocking["counts"].values, "o", ms=3, mew=0, color="black", label="counts")
    ax.set(xlabel=f"{rocking.attrs['motor']} from the middle of the scan (deg)", ylabel="photons in the box", yscale="log")
    ax.set_title("rocking curve", loc="left")
    ax.legend(loc="lower center")


def grains(row: Sequence[Axes], crystal: xr.Dataset) -> None:
    """Three planes of the grains, with their boundaries."""
    labels = strain.cropped(crystal)["grain"]
    between = style.limits(labels.values, "labels")
    for ax, (up, right) in zip(row, strain.PLANES, strict=True):
        (across,) = {"x", "y", "z"} - {up, right}
        plane = labels.sel({across: 0.0}, method="nearest").transpose(up, right)
        drawn = style.image(ax, plane.where(plane > 0), style.LOOKS["grain"], between)
        style.pale(drawn, 0.75)
        strain.grain_lines(ax, plane)
        ax.set(xlabel=f"${right}$ (nm)", ylabel=f"${up}$ (nm)")
        ax.set_title(f"grains {strain.SEEN[up, right]}", loc="left")
        ax.locator_params(nbins=4)
        if right == "x" and up == "z":
            _bar(ax, drawn, "grain").set_ticks(list(range(1, int(between[1]) + 1)))


def crystal_slice(ax: Axes, crystal: xr.Dataset, name: str, seen: tuple[str, str] = ("y", "x")) -> None:
    """One plane of one quantity; of a symmetric one the colours reach to its largest value in all but a thousandth of the voxels."""
    strain.plane(crystal, ax, name=name, seen=seen)
    ax.set_title(f"{ALONG_G.get(name, name)}, seen {strain.SEEN[seen]}", loc="left")
    ax.yaxis.labelpad = 0
    if style.LOOKS[name].kind == "symmetric":
        inside = crystal[name].values[crystal["support"].values]
        top = style.LOOKS[name].scale * float(np.quantile(np.abs(inside), 0.999))
        ax.images[0].set_clim(-top or -1.0, top or 1.0)


def two_time_map(ax: Axes, known: xr.Dataset | None, events: xr.Dataset) -> None:
    """The true two-time correlation; a mark above and beside it for each event, its area by the drop."""
    if known is None:
        return _absent(ax, "no noise-free frames kept in this truth")
    correlation.two_time(known, ax)
    if "label" in known.attrs:  # a map in units of its contrast
        ax.images[0].set_clim(np.floor(10 * float(known["two_time"].quantile(0.005))) / 10, 1.0)
        ax.images[0].colorbar.set_label(known.attrs["label"])  # type: ignore[union-attr]
    ax.set_title("true two-time correlation", loc="left", pad=16)
    drop = np.nan_to_num(reading.shown(events, "drop").values)
    area = 14 + 160 * np.clip(drop, 0, None) / max(drop.max(initial=0.0), 1e-9)
    look: dict[str, Any] = {"s": area, "c": style.EVENT, "linewidths": 0.5, "edgecolors": "white", "clip_on": False, "zorder": 5}
    time = events["time"].values
    ax.scatter(time, np.full(time.size, 1.025), marker="v", transform=ax.get_xaxis_transform(), **look)
    ax.scatter(np.full(time.size, 1.025), time, marker="<", transform=ax.get_yaxis_transform(), **look)
    return None


def event_sizes(ax: Axes, events: xr.Dataset, duration: tuple[int, float]) -> None:
    """Fraction of the particle that each event changed and the drop that it caused, by frame and by time."""
    frames, seconds = duration
    ax.set(xlim=(-0.5, frames - 0.5), xlabel="first frame of the new state", ylabel="size of the event")
    ax.set_title("events", loc="left")
    above = ax.secondary_xaxis("top", functions=(lambda frame: np.multiply(frame, seconds), lambda time: np.divide(time, seconds)))
    above.set_xlabel("time (s)")
    if not events.sizes["event"]:
        ax.set_yticks([])
        return style.note(ax, "no event", where="centre")
    frame, fraction = events["frame"].values, events["fraction"].values
    bars = ax.stem(frame, fraction, basefmt=" ", label="changed fraction $f$")
    bars.stemlines.set(color=style.EVENT, linewidth=1.2)
    bars.markerline.set(color=style.EVENT, markersize=5)
    ax.plot(frame, events["drop"].values, "o", mfc="none", mec="black", ms=7, mew=0.9, label="drop $D$ of the correlation")
    seen = np.concatenate([fraction, events["drop"].values])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if seen.size:
        ax.set(yscale="log", ylim=(seen.min() / 1.5, 4 * seen.max()))
        style.plain_log(ax.yaxis)
    ax.legend(loc="upper right", ncols=2)
    return None


def one_time(ax: Axes, known: xr.Dataset, measured: xr.Dataset | None) -> None:
    """The true map's mean along lines of constant delay, over that of the counts."""
    if measured is not None:
        shown = np.unique(np.geomspace(1, known.sizes["delay"], 80).astype(int)) - 1
        ax.plot(known["delay"][shown], measured["g2"][0, shown], "o", ms=4, mew=0, color="0.5", label="from the counts")
    ax.plot(known["delay"], known["g2"][0], color=BLUE, lw=1.8, label="mean of the true map")
    ax.set(xscale="log", xlabel=r"delay $\tau$ (s)", ylabel=r"$g_2(\tau)$")
    ax.set_title("one-time correlation", loc="left", pad=16)
    ax.legend(loc="lower left")


def peak_slice(ax: Axes, peak: xr.Dataset | None, up: str, right: str) -> None:
    """Counts in a plane of the data through the brightest voxel, an index of the data to an index."""
    if peak is None:
        return _absent(ax, "no raw file of the scan")
    counts, across = _through_maximum(peak, up, right)
    numbers = {d: np.arange(n) for d, n in zip(counts.dims, counts.shape, strict=True)}
    _counts(ax, xr.Dataset({"counts": counts.assign_coords(numbers)}))
    ax.set(xlabel=f"{right} (px)" if right != "angle" else "angle (step)", ylabel=f"{up} (px)" if up != "angle" else "angle (step)")
    ax.set_title(f"data at {across}", loc="left")
    return None


def _through_maximum(peak: xr.Dataset, up: str, right: str) -> tuple[xr.DataArray, str]:
    """The plane (up, right) of the counts through the brightest voxel, and which plane that is."""
    (across,) = {"angle", "row", "column"} - {up, right}
    counts = peak["counts"]
    at = int(np.unravel_index(int(np.argmax(counts.values)), counts.shape)[list(counts.dims).index(across)])
    return counts.isel({across: at}).transpose(up, right), f"{across} {at}"


def peak_in_q(ax: Axes, peak: xr.Dataset | None) -> None:
    """The plane of angle and of the pixel direction that is least square to it, with every voxel where it lies in q."""
    if peak is None:
        return _absent(ax, "no raw file of the scan")
    steps = dict(zip(("angle", "row", "column"), np.array(peak.attrs["q_basis"]).T, strict=True))
    right = max(("row", "column"), key=lambda name: abs(_cosine(steps["angle"], steps[name])))
    counts, across = _through_maximum(peak, "angle", right)
    along = steps[right] / np.linalg.norm(steps[right])
    beside = steps["angle"] - along * (steps["angle"] @ along)
    i, j = (np.arange(n + 1) - n // 2 - 0.5 for n in counts.shape)
    x = np.linalg.norm(steps[right]) * j + (steps["angle"] @ along) * i[:, None]
    y = np.broadcast_to((np.linalg.norm(beside) * i)[:, None], x.shape)
    shear = 90 - np.degrees(np.arccos(_cosine(steps["angle"], steps[right])))
    drawn = ax.pcolormesh(x, y, counts.where(counts != 0, 0.1).values, cmap=COUNTS.cmap, rasterized=True)
    ax.set(
        aspect="equal",
        anchor="N",
        xlabel=f"q along {right}s (nm$^{{-1}}$)",
        ylabel=f"q across {right}s (nm$^{{-1}}$)",
        facecolor=style.GREY,
    )
    _logarithmic(ax, drawn, counts.values)
    ax.set_title(f"the same in q at {across}: sheared by {abs(shear):.1f} deg", loc="left")
    return None


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def size_shares(ax: Axes, events: xr.Dataset, law: xr.Dataset) -> None:
    """CCDF of all sizes and, where some were missed, of those found; the law drawn from; the range to fit is shaded."""
    found = events["detected"].values
    for chosen, colour, word in ((np.ones(found.size, bool), BLUE, "all"), (found, style.OKABE_ITO[1], "detected")):
        if word == "all" or not found.all():
            size = np.sort(events["size"].values[chosen])
            values, first = np.unique(size, return_index=True)
            ax.plot(values, 1 - first / size.size, "o", ms=4, mew=0, color=colour, alpha=0.7, label=f"{word}: {size.size} events")
    ax.plot(law["size"], law["ccdf"], color="black", lw=1.5, label="true law")
    ax.axvspan(*events.attrs["fitted"], color="0.93", lw=0, zorder=0, label="range to fit")
    complete = reading.value(events, "completeness")
    if complete is not None:
        ax.axvline(complete, color="0.5", ls=":", lw=1.2, label=f"90 % found from {complete:.2g}")
    low, high = float(events["size"].min()), float(events["size"].max())
    ax.set(xscale="log", yscale="log", ylim=(0.4 / events.sizes["event"], 1.6), xlim=(low / 1.3, high * 1.3))
    ax.set(xlabel="event size", ylabel="share of events at least this large")
    ax.set_title("sizes", loc="left")
    style.plain_log(ax.xaxis)
    ax.legend(loc="lower left")


def counted(ax: Axes, events: xr.Dataset, rate: xr.Dataset | None) -> None:
    """Number of events so far, a line per series, over the number expected."""
    for k in np.unique(events["series"]):
        time = np.sort(events["time"].values[events["series"].values == k])
        ax.step(time, np.arange(1, time.size + 1), where="post", lw=1.2, color=BLUE, alpha=0.7, label="events" if k == 0 else None)
    if rate is not None:
        ax.plot(rate["time"], rate["count"], color="black", lw=1.5, ls="--", label="expected")
    ax.set(xlabel="time (s)", ylabel="number of events so far", ylim=(0, None))
    ax.margins(x=0)
    ax.set_title("times, a line per series", loc="left")
    ax.legend(loc="upper left")


def sizes_by_time(ax: Axes, events: xr.Dataset) -> None:
    """A needle for every event, grey for those that were not detected."""
    found, floor = events["detected"].values, float(events["size"].min()) / 1.5
    for there, colour, word in ((found, BLUE, "event"), (~found, "0.6", "not detected")):
        if there.any():
            time, size = events["time"].values[there], events["size"].values[there]
            ax.vlines(time, floor, size, color=colour, lw=0.6)
            ax.plot(time, size, "o", ms=3, mew=0, color=colour, label=word)
    ax.set(xlabel="time (s)", ylabel="event size", yscale="log", ylim=(floor, 1.3 * float(events["size"].max())))
    style.plain_log(ax.yaxis)
    ax.margins(x=0.01)
    ax.set_title("first series", loc="left")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=2, handletextpad=0.2)


def _bar(ax: Axes, drawn: ScalarMappable, label: str, **options: Any) -> Colorbar:
    """A colour bar as high as the picture, which keeps its place."""
    return style.host(ax).colorbar(drawn, cax=ax.inset_axes((1.035, 0.0, 0.06, 1.0)), label=label, **options)


def _absent(ax: Axes, why: str) -> None:
    ax.set_axis_off()
    style.note(ax, why, where="centre")
