"""What follows from the two-time correlation of one region: one-time correlation, its errors, relaxation time, contrast."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import regions, relaxation
from xcdi.kernels.correlation import jackknife, lagged, speckles
from xcdi.kernels.correlation.element_errors import element_error
from xcdi.kernels.correlation.normalise import Weights, frame_weight
from xcdi.kernels.correlation.one_time import aged, one_time
from xcdi.kernels.correlation.photons import Photons, on_slots, to_dense
from xcdi.stages.trust import of_pixels

__all__ = [
    "age_edges",
    "binned",
    "dataset",
    "errors_of",
    "fits",
    "in_contrast",
    "of_diagonals",
    "of_g2",
    "of_region",
    "on_places",
    "relative_error",
    "slots",
    "speckle_width",
    "tiles_of",
    "with_counts",
]

SIZED_BY = 10**6  # photons, at the most, that the size of speckles is measured by
AGES = 6  # slices of the age
KEPT_BYTES = 2**29  # counts that take more than this are not kept in the result
OFF = 0.3  # frame times that a frame may be off a regular axis
LONG = 50  # frame times from which a pause may be no whole number of them: delays across it are then off by a hundredth at most
NEAR = 0.01  # frame times up to which the median gap is as good a step as the fitted one
LONGER, SPARE = 4, 10_000  # frames of the time axis, at the most: times those there are, and besides


def slots(time: Array, frame_time: float | None) -> tuple[Array, float]:
    """Place of every frame on a regular time axis, and its step [s]; a frame that is missing leaves a gap.

    Raises
    ------
    XcdiError
        If times do not rise, are at no regular axis, or a pause makes the axis many times longer than the series.

    Notes
    -----
    The step is the slope of the times over their places, so that it holds over the longest series. A pause of many
    frames need not be a whole number of them; what follows it is placed as a whole.

    Examples
    --------
    >>> slots(np.array([0.0, 0.5, 1.5, 2.0]), None)
    (array([0, 1, 3, 4]), 0.5)
    """
    gaps = _gaps(time)
    if not gaps.size:
        return np.zeros(time.size, int), float(frame_time or 1.0)
    middle = float(np.median(gaps))
    if not np.any(np.abs(gaps - middle) < OFF * middle):  # it is between two gaps of unlike length
        middle = float(np.max(gaps[gaps < middle]))
    short = float(np.mean(gaps[np.abs(gaps - middle) < OFF * middle]))
    steps = np.maximum(np.round(gaps / short), 1)
    _regular(np.concatenate([[0], np.where(steps < LONG, gaps / short - steps, 0)]), time, short)
    run, place = (np.concatenate([[0], np.cumsum(a)]).astype(int) for a in (steps >= LONG, steps))
    inside, since = place - _means(place, run), time - _means(time, run)
    step = middle
    if np.ptp(since - middle * inside) > NEAR * middle:
        step = float(np.sum(inside * since) / np.sum(inside**2))
    off = since / step - inside
    _regular(np.where(np.abs(off) == np.abs(off).max(), off, 0), time, step)
    first = np.round(_means(time - time[0], run) / step - _means(place, run))  # of each run, on the same axis
    slot = place + (first - first[0]).astype(int)
    _check_length(slot, time, int(np.argmax(gaps)))
    return slot, step


def _regular(off: Array, time: Array, step: float) -> None:
    """Refuse frames that are `off` a regular axis, in frame times."""
    if np.abs(off).max() > OFF:
        at = int(np.argmax(np.abs(off) > OFF))
        raise XcdiError(
            f"frame {at} is at {time[at]:g} s, {abs(off[at]):.1f} frame times off a regular axis of {step:g} s; "
            "correlate parts of another frame time separately"
        )


def _check_length(slot: Array, time: Array, before: int) -> None:
    """Refuse a time axis that is mostly empty; the longest pause follows frame `before`."""
    if slot[-1] + 1 > LONGER * slot.size + SPARE:
        raise XcdiError(
            f"a pause of {time[before + 1] - time[before]:g} s after frame {before} makes the time axis {slot[-1] + 1} frames long, "
            f"of {slot.size} frames; correlate the parts separately"
        )


def _gaps(time: Array) -> Array:
    """Times between frames [s], all above zero."""
    known, gaps = np.isfinite(time), np.diff(time)
    if not known.all():
        raise XcdiError(f"frame {int(np.argmin(known))} has no time; expected rising times of all frames")
    if not np.all(gaps > 0):
        at = int(np.argmin(gaps > 0)) + 1
        raise XcdiError(f"frame {at} is at {time[at]:g} s, not after the frame before it at {time[at - 1]:g} s; expected rising times")
    return gaps


def _means(a: Array, run: Array) -> Array:
    """Mean of each frame's run, at every frame."""
    return (np.bincount(run, a) / np.bincount(run))[run]


def on_places(a: Array, slot: Array, fill: float) -> Array:
    """Rows of `a` at their places in time; `fill` where no frame is."""
    if slot[-1] + 1 == len(slot):
        return a
    wide = np.full((slot[-1] + 1, *a.shape[1:]), fill, a.dtype)
    wide[slot] = a
    return wide


def of_region(
    c: Array,
    photons: Photons,
    weights: Weights,
    tile: Array,
    slot: Array,
    step: float,
    *,
    relative: bool,
    speckle_px: float = 1.0,
    threads: int = 1,
) -> dict[str, Any]:
    """One-time correlation of one region as ratio of sums out of its two-time correlation `c`, and the error of one element of that.

    The rest as in :func:`of_g2`; `speckle_px` is the width of a speckle.
    """
    level = frame_weight(photons, weights)
    g2 = one_time(c, level, slot=slot)
    found = of_g2(g2, photons, weights, tile, slot, step, relative=relative, threads=threads)
    unit = found["contrast"] if relative else 1.0
    smooth = 1 + (binned(g2, _bins(len(g2))) - 1) * unit
    error = _element_errors(smooth, level, weights, found["contrast"], max(1.0, speckle_px**2 / 2)) / unit
    return {"two_time": c, "aged": _aged(c, level, slot), "element_error": error} | found


def _element_errors(smooth: Array, level: Array, weights: Weights, contrast: float, area: float) -> Array:
    """Standard error of one element of the map where the smooth correlation has these values, for frames of mean brightness."""
    square = np.ones((smooth.size + 1,) * 2)
    square[0, 1:] = smooth
    mean = np.full(smooth.size + 1, np.nanmean(level))
    return element_error(square, mean, weights, contrast, area=area)[0, 1:]


def of_g2(
    g2: Array, photons: Photons, weights: Weights, tile: Array, slot: Array, step: float, *, relative: bool, threads: int = 1
) -> dict[str, Any]:
    """Errors, relaxation and contrast of the one-time correlation of one region.

    Parameters
    ----------
    g2 : array, shape (delay,)
        Ratio of sums.
    photons : Photons
        Of the good pixels, none in bad frames.
    weights : Weights
    tile : int array, shape (pixel,)
        Tiles that are left out in turn for the errors.
    slot, step
        From :func:`slots`.
    relative : bool
        Whether `g2` is that of a coefficient of correlation (N4), in units of the contrast.
    threads : int
    """
    sums = lagged.tile_sums(on_slots(photons, slot), weights, tile, threads=threads)
    replicas = jackknife.without_each(sums)
    contrast = float(np.mean(replicas[:, 0])) - 1
    edges = relaxation.log_bins(len(g2))
    spread = jackknife.without_each(sums, edges) if len(edges) > 1 else replicas[:, :0]
    errors = [errors_of(some, jackknife.pair_variance(sums, bins)) for some, bins in ((replicas, None), (spread, edges))]
    if relative:
        errors = [relative_error(some, error, replicas[:, 0] - 1) for some, error in zip((replicas, spread), errors, strict=True)]
        spread = in_contrast(spread, replicas[:, 0] - 1)
    delay = step * np.arange(len(g2))
    fit = relaxation.fit_stretched(binned(delay, edges), binned(g2, edges), errors[1], replicas=spread)
    return {"g2": g2, "g2_error": errors[0], "delay": delay, "fit": fit, "contrast": contrast}


def of_diagonals(c: Array, g2: Array, contrast: float, step: float) -> dict[str, Any]:
    """The same for a look at a growing scan: no errors, which pixels would have to give."""
    edges, delay = relaxation.log_bins(len(g2)), step * np.arange(len(g2))
    fit = relaxation.fit_stretched(binned(delay, edges), binned(g2, edges))
    return {"two_time": c, "g2": g2, "g2_error": np.full(len(g2), np.nan), "delay": delay, "fit": fit, "contrast": contrast}


def _aged(c: Array, level: Array, slot: Array) -> Array:
    """One-time correlation (ratio of sums) of some ages, in bins of delay even on a logarithmic axis, (age, bin)."""
    frames = int(slot[-1]) + 1
    return binned(aged(c, level, edges=age_edges(frames).tolist(), slot=slot), _bins(frames))


def age_edges(frames: int) -> Array:
    """Edges of the slices of age, in frames; fewer of a short series."""
    return np.linspace(0, frames, min(AGES, max(frames // 16, 1)) + 1)


def _bins(frames: int) -> Array:
    return relaxation.log_bins(frames, per_octave=3)


def errors_of(replicas: Array, pairs: Array) -> Array:
    """Standard errors of a one-time correlation; none of one without delays."""
    return jackknife.one_time_error(replicas, pairs[: replicas.shape[1]]) if replicas.shape[1] else replicas[0]


def in_contrast(replicas: Array, contrast: Array) -> Array:
    """Replicas in units of the contrast of each, as a coefficient of correlation (N4)."""
    return 1 + (replicas - 1) / contrast[:, None]


def relative_error(replicas: Array, error: Array, contrast: Array) -> Array:
    """Error in units of the contrast: that of the replicas, and what `error` has beyond theirs, where few pairs are known."""
    beyond = np.maximum(error**2 - jackknife.jackknife_error(replicas) ** 2, 0) / np.mean(contrast) ** 2
    return np.sqrt(jackknife.jackknife_error(in_contrast(replicas, contrast)) ** 2 + beyond)


def tiles_of(photons: Photons, y: Array, x: Array, envelope: Array) -> Array:
    """Tiles several speckles wide, for errors; the width of a speckle is what some of the frames show.

    Parameters
    ----------
    photons : Photons
        Of the good pixels.
    y, x : int array, shape (pixel,)
    envelope : array, shape (pixel,)
        Expected counts of each pixel, up to a factor.
    """
    return regions.tiles(y, x, speckle_px=speckle_width(photons, y, x, envelope))


def speckle_width(photons: Photons, y: Array, x: Array, envelope: Array) -> float:
    """Width of a speckle as some of the frames show it, 1 where they do not tell [px]; arguments as in :func:`tiles_of`."""
    first = regions.tiles(y, x)
    step = 1 + photons.pixel.size // SIZED_BY
    some = of_pixels(photons, np.ones(photons.pixels, bool), np.arange(photons.frames) % step == 0)
    found = speckles.size(some, y, x, first, envelope=envelope)
    known = [size.width_px for size in found if size.error_px < 0.5 * size.width_px]
    return float(max(known, default=1.0))


def binned(a: Array, edges: Array) -> Array:
    """Means over bins of the last axis."""
    if len(edges) < 2:
        return a[..., :0]
    return np.stack([a[..., start:stop].mean(axis=-1) for start, stop in pairwise(edges)], axis=-1)


def fits(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Relaxation of every region as variables of CORRELATION, with errors."""
    found = {}
    for place, name in enumerate(relaxation.Stretched._fields[:4]):
        column, units = "fit_contrast" if name == "contrast" else name, {"units": "1/s" if name == "rate" else "1"}
        found[column] = ("region", [p["fit"][place] for p in parts], units)
        found[f"{column}_error"] = ("region", [p["fit"].errors[place] for p in parts], units)
    return found


def dataset(two_time: Array, parts: list[dict[str, Any]], time: Array, ok: Array, frame_sum: Array, pixels: dict[str, Array]) -> xr.Dataset:
    """CORRELATION of all regions: their `parts`, `two_time` (region, time, time2), and the good pixels."""
    stacked = {name: np.stack([p[name] for p in parts]) for name in ("g2", "g2_error", "contrast", "mean")}
    one, label, seconds = {"units": "1"}, {"units": ""}, {"units": "s"}
    found = xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), two_time, one),
            "g2": (("region", "delay"), stacked["g2"], one),
            "g2_error": (("region", "delay"), stacked["g2_error"], one),
            "contrast": ("region", stacked["contrast"], one),
            **fits(parts),
            "mean_count": (("region", "time"), stacked["mean"], one),
            "frame_sum": ("time", frame_sum, one),
            "frame_ok": ("time", ok, label),
            **{name: ("pixel", values, one if name == "envelope" else label) for name, values in pixels.items()},
        },
        coords={"time": ("time", time, seconds), "time2": ("time2", time, seconds), "delay": ("delay", parts[0]["delay"], seconds)},
    )
    if "aged" in parts[0]:
        found = found.assign(_of_ages([part["aged"] for part in parts], [part["element_error"] for part in parts], found))
    return found


def with_counts(found: xr.Dataset, seen: Photons) -> xr.Dataset:
    """CORRELATION with the counts of its good pixels and frames, unless they take too much."""
    if seen.frames * seen.pixels * seen.count.itemsize > KEPT_BYTES:
        return found.assign_attrs(counts_left_out=f"more than {KEPT_BYTES / 2**20:.0f} MiB")
    return found.assign(counts=(("time", "pixel"), to_dense(seen), {"units": "1"}))


def _of_ages(slices: list[Array], errors: list[Array], found: xr.Dataset) -> dict[str, Any]:
    """Variables of the one-time correlation by age, and of the error of an element, in bins of delay."""
    frames, delay = found.sizes["delay"], found.delay.to_numpy()
    edges, step = age_edges(frames), float(delay[1]) if frames > 1 else 1.0
    seconds = {"units": "s"}
    return {
        "g2_aged_binned": (("region", "age", "delay_bin"), np.stack(slices), {"units": "1"}),
        "element_error": (("region", "delay_bin"), np.stack(errors), {"units": "1"}),
        "age": ("age", float(found.time[0]) + step * (edges[1:] + edges[:-1] - 1) / 2, seconds),
        "delay_bin": ("delay_bin", binned(delay, _bins(frames)), seconds),
    }
