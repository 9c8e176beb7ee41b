"""Stage: frames in, multi-tau two-time correlation out; in memory that is linear in the number of frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError, suggest
from xcdi.kernels import relaxation
from xcdi.kernels.correlation import jackknife, photons, views
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.pyramid import Pyramid
from xcdi.schema import require
from xcdi.stages import one_time
from xcdi.stages.regions import labelled
from xcdi.stages.time_axis import Axis
from xcdi.stages.trust import Pixels, Taken, good_frames, good_pixels, of_pixels, pixels_of, take

__all__ = ["NORMALISATIONS", "Judged", "MultiTau"]

NORMALISATIONS = ("N1", "N4")
AGES = 256  # columns of the age-lag map at most
CHANNEL_BYTES, TILE_BYTES, SHARED_BYTES = 44, 4, 32  # per frame: of a region per channel and tile, of all regions per channel; measured
UNKNOWN = Axis(1.0)
NOTHING = Photons(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint8), 0)


class Judged(NamedTuple):
    """What a first pass over all frames found out about them.

    Attributes
    ----------
    keep : bool array, shape (pixel,)
        Good pixels of the regions, in the order of the detector.
    ok : bool array, shape (time,)
        Good frames.
    step : float
        Time from frame to frame [s].
    """

    keep: Array
    ok: Array
    step: float


class _Known(NamedTuple):
    """What the first block fixes."""

    pixels: Pixels
    keep: Array
    order: tuple[Array, ...]  # per region, its good pixels, sorted by tile
    step: float


class _Seen(NamedTuple):
    """What is kept of the frames besides their sums."""

    taken: Taken
    slot: Array


@dataclass(frozen=True, eq=False)
class MultiTau:
    """Multi-tau two-time correlation of some regions of the detector, block after block.

    Attributes
    ----------
    regions : array
        Bool (y, x) for one region, bool (region, y, x), or labels (y, x) with 0 outside.
    normalisation : str
        ``"N1"`` by the mean of the frame, ``"N4"`` in units of the contrast.
    channels : int
        Lags of the lowest level; even, 4 to 32.
    frame_time_s : float, optional
        Time from frame to frame; by default what the first block tells.
    workers : int
        Threads that decode. No bit depends on them.
    judged : Judged, optional
        From :meth:`judge` of a first pass.
    memory_bytes : int, optional
        What it may take in memory, the result included; by default without a bound.

    Notes
    -----
    Counts are not kept, so what is bad must be known when a frame comes in. What a frame
    tells by itself (data missing, ``frame_ok``, counts that cannot be trusted) is
    left out at once; hot and dead pixels are those of the first block, which should hold
    some hundred frames. What only the whole scan tells, as a pixel that turns hot or a single frame
    of another brightness, is found at the end: :meth:`result` then has a ``warning``, and is ``provisional``.
    A second pass with :meth:`judge` of the first leaves it out.
    """

    regions: Array
    normalisation: str = "N1"
    channels: int = 16
    frame_time_s: float | None = None
    workers: int = 1
    judged: Judged | None = None
    memory_bytes: int | None = None
    known: _Known | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    pyramids: tuple[Pyramid, ...] = ()
    seen: tuple[_Seen, ...] = ()
    axis: Axis = UNKNOWN
    pixel_total: Array | None = None

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise XcdiError(
                f"no normalisation {self.normalisation!r} for multi-tau{suggest(self.normalisation, NORMALISATIONS)}; "
                "the others need every frame at the end"
            )

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return sum(part.slot.size for part in self.seen)

    def add(self, block: xr.Dataset) -> Self:
        """Return the correlation with the frames of `block` appended.

        Parameters
        ----------
        block : SCAN
            Raw counts of the next frames, or ``stored`` in their place; ``valid`` of the first block counts.

        Raises
        ------
        XcdiError
            If a region has no pixel left, counts are no integers, times do not rise evenly, or the levels would not fit in memory.
        """
        require(block, "stored" if "stored" in block else "counts", "time", "valid")
        pixels = self.known.pixels if self.known else self._pixels(block)
        taken = take(block, pixels, workers=self.workers)
        start = self if self.known else self._begun(block, pixels, taken)
        expected = int(block.attrs.get("frames_expected") or 0)
        slot, gaps, axis = start.axis.placed(taken.time, expected)
        start._check_memory(max(expected, axis.slot + 1))
        ok = taken.ok & start._judged_ok(slot.size)
        grown = []
        for total, order in zip(start.pyramids, start._order, strict=True):
            grown.append(_appended(total, _of_pixels(taken.photons, order), ok, gaps))
        sums = photons.pixel_sums(taken.photons)
        piece = _Seen(taken._replace(photons=NOTHING, ok=ok), slot)
        return replace(
            start,
            attrs=dict(block.attrs),
            pyramids=tuple(grown),
            seen=_compacted((*start.seen, piece)),
            axis=axis,
            pixel_total=sums if start.pixel_total is None else start.pixel_total + sums,
        )

    def judge(self) -> Judged:
        """What all frames so far tell about pixels and frames, for a second pass.

        Raises
        ------
        XcdiError
            If there is no frame, or no good one.
        """
        if self.known is None or self.pixel_total is None:
            raise XcdiError("no frame to correlate; the scan is empty")
        taken = tuple(part.taken for part in self.seen)
        keep = self.known.keep & good_pixels(self.pixel_total, taken, self.known.pixels)
        ok = good_frames(self._frame_totals(), taken)
        if self.judged is not None:
            return Judged(self.known.keep, np.concatenate([part.ok for part in taken]), self.known.step)
        return Judged(keep, ok, self.known.step)

    def result(self) -> xr.Dataset:
        """Return the correlation of all frames so far, as CORRELATION with levels in place of the full matrix.

        Raises
        ------
        XcdiError
            If there is no frame, or no good one.
        """
        found = self.judge()
        if self.known is None:
            raise XcdiError("no frame to correlate; the scan is empty")
        time = np.concatenate([part.taken.time for part in self.seen])
        slot = np.concatenate([part.slot for part in self.seen])
        parts = [_of_region(p, slot, self.known.step, relative=self.normalisation == "N4") for p in self.pyramids]
        late = self._late(found)
        data = _dataset(parts, self.pyramids[0], time, found.ok, self.known.step)
        keep, pixels = self.known.keep, self.known.pixels
        places = {"region_of_pixel": pixels.region[keep], "pixel_y": pixels.y[keep], "pixel_x": pixels.x[keep]}
        return data.assign({name: ("pixel", values, {"units": ""}) for name, values in places.items()}).assign_attrs(
            self.attrs,
            normalisation=self.normalisation,
            g2_convention="ratio of sums",
            contrast=float(data.contrast[0]),
            bad_frames=np.flatnonzero(~found.ok).tolist(),
            dropped_pixels=int(np.sum(~keep)),
            provisional=bool(late),
            **({"warning": f"{late}; a second pass can leave that out"} if late else {}),
        )

    def found_late(self) -> str:
        """Bad pixels and frames that were found only after they had been counted, in words; a second pass leaves them out."""
        return self._late(self.judge())

    @property
    def _order(self) -> tuple[Array, ...]:
        return self.known.order if self.known else ()

    def _pixels(self, block: xr.Dataset) -> Pixels:
        labels, valid = labelled(self.regions), block.valid.to_numpy()
        if labels.shape != valid.shape:
            raise XcdiError(f"the regions are {labels.shape} pixels and the frames {valid.shape}; expected the same")
        for k in range(1, int(labels.max()) + 1):
            if not np.any(valid & (labels == k)):
                raise XcdiError(f"region {k} has no valid pixel; move its box, or look at the pixel mask")
        return pixels_of(labels, valid)

    def _begun(self, block: xr.Dataset, pixels: Pixels, taken: Taken) -> Self:
        """The pixels that are kept, and their tiles, from the first block or the first pass."""
        keep = self.judged.keep if self.judged else good_pixels(photons.pixel_sums(taken.photons), (taken,), pixels)
        order, pyramids = [], []
        for k in range(1, int(pixels.region.max()) + 1):
            here = np.flatnonzero((pixels.region == k) & keep)
            if here.size < 2:
                raise XcdiError(f"region {k} has {here.size} trustworthy pixels left of {np.sum(pixels.region == k)}; expected 2 or more")
            some = of_pixels(taken.photons, np.isin(np.arange(keep.size), here))
            tile = one_time.tiles_of(some, pixels.y[here], pixels.x[here], np.ones(here.size))
            by_tile = np.argsort(tile, kind="stable")
            order.append(here[by_tile])
            pyramids.append(Pyramid(tile[by_tile], self.channels))
        step = self.judged.step if self.judged else _step(taken.time, self.frame_time_s, block.attrs.get("frame_time_s"))
        return replace(self, known=_Known(pixels, keep, tuple(order), step), axis=Axis(step), pyramids=tuple(pyramids))

    def _judged_ok(self, frames: int) -> Array:
        if self.judged is None:
            return np.ones(frames, bool)
        ok = self.judged.ok[self.frames : self.frames + frames]
        if ok.size < frames:
            raise XcdiError(f"the first pass saw {self.judged.ok.size} frames, and there are {self.frames + frames}; expected the same")
        return ok

    def _check_memory(self, frames: int) -> None:
        """Refuse what would not fit, before the levels grow."""
        if self.memory_bytes is None:
            return
        tiles = sum(int(p.tile.max(initial=0)) + 1 for p in self.pyramids)
        need = frames * (self.channels * (SHARED_BYTES + CHANNEL_BYTES * len(self.pyramids)) + TILE_BYTES * tiles)
        if need > self.memory_bytes:
            raise XcdiError(
                f"the levels of {frames} frames in {len(self.pyramids)} regions with {self.channels} channels take {need / 1e9:.3g} GB, "
                f"and there are {self.memory_bytes / 1e9:.3g} GB; take fewer regions, or channels"
            )

    def _frame_totals(self) -> Array:
        """Photons of each frame in the pixels that are kept."""
        slot = np.concatenate([part.slot for part in self.seen])
        return np.sum([p.frame_totals()[slot] for p in self.pyramids], axis=0)

    def _late(self, found: Judged) -> str:
        """What was found only after it had been counted."""
        if self.judged is not None or self.known is None:
            return ""
        used = np.concatenate([part.taken.ok for part in self.seen])
        pixels, frames = int(np.sum(self.known.keep & ~found.keep)), int(np.sum(used & ~found.ok & (self._frame_totals() > 0)))
        parts = [f"{n} bad {what} found late" for n, what in ((pixels, "pixels"), (frames, "frames")) if n]
        return " and ".join(parts)


def _step(time: Array, given: float | None, frame_time: float | None) -> float:
    """Time from frame to frame [s]: as given, or as the first frames tell."""
    if given is not None:
        return given
    if time.size > 1:
        gaps = np.diff(time)
        pauses = np.flatnonzero(gaps > one_time.LONG * np.median(gaps))
        first = time[: pauses[0] + 1] if pauses.size else time
        return one_time.slots(first, None)[1] if first.size > 1 else float(np.median(gaps))
    if frame_time is None:
        raise XcdiError("one frame does not tell the time between frames; give frame_time_s, or begin with a block of more frames")
    return float(frame_time)


def _of_pixels(some: Photons, order: Array) -> Photons:
    """Photons of the pixels in `order`, numbered by their place in it; within a frame they may then come in any order."""
    new = np.full(some.pixels, -1, np.int32)
    new[order] = np.arange(order.size)
    return photons.relabelled(some, new, order.size)


def _appended(total: Pyramid, some: Photons, ok: Array, gaps: Array) -> Pyramid:
    """Frames with the missing ones before them, as many frames at a time as come without a gap."""
    edges = np.unique([0, *np.flatnonzero(gaps), gaps.size])
    for start, stop in pairwise(edges):
        total = total.skip(int(gaps[start])) if gaps[start] else total
        total = total.add(photons.of_frames(some, start, stop), ok[start:stop])
    return total


def _compacted(seen: tuple[_Seen, ...]) -> tuple[_Seen, ...]:
    """The same pieces, the latest joined as long as those before them are not much longer."""
    parts = [*seen]
    while len(parts) > 1 and parts[-2].slot.size < 2 * parts[-1].slot.size:
        b, a = parts.pop(), parts.pop()
        time, ok, monitor = (np.concatenate([getattr(part.taken, name) for part in (a, b)]) for name in ("time", "ok", "monitor"))
        parts.append(_Seen(Taken(NOTHING, time, ok, monitor, a.taken.untrusted | b.taken.untrusted), np.concatenate([a.slot, b.slot])))
    return tuple(parts)


def _of_region(p: Pyramid, slot: Array, step: float, *, relative: bool) -> dict[str, Any]:
    """One-time correlation of one region as ratio of sums, its errors and relaxation, and its two-time correlation."""
    g2, replicas = views.ratio_of_sums(p), views.replicas(p)
    error = jackknife.one_time_error(replicas, _inverse(views.expected_pairs(p)))
    values, grid = views.two_time(p), views.age_lag_map(p, _age_edges(p))
    symmetric, contrast, variance = views.symmetric(p), replicas[:, 0] - 1, None
    if relative:
        variance, size = g2[0] - 1 if g2[0] > 1 else np.nan, p.tile.size
        for a in (g2, symmetric, grid):  # the variance, as of pairs of pixels, is free of the mean's own noise; covariances are not
            a[0], a[1:] = 1 + (a[0] - 1) / variance, 1 + (a[1:] - 1) * size / (size - 1) / variance
        values = 1 + (values - 1) * size / (size - 1) / variance
        error = one_time.relative_error(replicas, error, contrast)
        replicas = one_time.in_contrast(replicas, contrast)
    itself, weight = views.diagonal(p, variance)
    values[: p.frames], known = itself, np.isfinite(itself)
    g2[0] = np.average(itself[known], weights=weight[known]) if known.any() else np.nan
    fit = relaxation.fit_stretched(step * views.delays(p)[1:], g2[1:], error[1:], replicas=replicas[:, 1:])
    mean = p.frame_totals()[slot] / p.tile.size
    found = {"g2": g2, "g2_symmetric": symmetric, "g2_error": error, "two_time_multi_tau": values, "age_lag": grid.T}
    return {**found, "fit": fit, "contrast": float(np.mean(contrast)), "mean_count": mean}


def _inverse(a: Array) -> Array:
    return np.divide(1.0, a, out=np.full(a.shape, np.inf), where=a > 0)


def _age_edges(p: Pyramid) -> Array:
    return np.linspace(-0.5, p.frames - 0.5, min(p.frames, AGES) + 1)


def _dataset(parts: list[dict[str, Any]], p: Pyramid, time: Array, ok: Array, step: float) -> xr.Dataset:
    one, label, seconds = {"units": "1"}, {"units": ""}, {"units": "s"}
    dims = {"g2": "delay", "g2_symmetric": "delay", "g2_error": "delay", "two_time_multi_tau": "element", "age_lag": ("age", "delay")}
    found = {name: (("region", *np.atleast_1d(dim)), np.stack([part[name] for part in parts]), one) for name, dim in dims.items()}
    mean = np.where(ok, np.stack([part["mean_count"] for part in parts]), np.nan)
    edges = _age_edges(p)
    level, lag, start = views.places(p)
    return xr.Dataset(
        {
            **found,
            "contrast": ("region", [part["contrast"] for part in parts], one),
            **one_time.fits(parts),
            "mean_count": (("region", "time"), mean, one),
            "frame_ok": ("time", ok, label),
            "element_level": ("element", level, label),
            "element_lag": ("element", lag, label),
            "element_start": ("element", start, label),
        },
        coords={
            "time": ("time", time, seconds),
            "delay": ("delay", step * views.delays(p), seconds),
            "age": ("age", time[0] + step * (edges[1:] + edges[:-1]) / 2, seconds),
        },
    )
