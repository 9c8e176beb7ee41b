"""Stage: frames in, two-time correlation out; at once or as the frames arrive, with the same bits."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr

from xcdi.backend import Array, on_device
from xcdi.errors import SchemaError, XcdiError, suggest
from xcdi.kernels import regions, relaxation
from xcdi.kernels.correlation import normalise, one_time, products
from xcdi.kernels.correlation.normalise import Weights
from xcdi.schema import require

__all__ = ["NORMALISATIONS", "TwoTime", "labelled"]


NORMALISATIONS = ("N1", "N2", "N3", "N4", "N5")
FROM_EXACT_SUMS = ("N1", "N4")  # the others divide by an envelope that only the whole scan knows
NOT_ERGODIC = "the pixels' time means hold a frozen speckle pattern, which N2 divides away; use N4 or N5"
FROZEN = 0.1  # share of the contrast that may be frozen before N2 is wrong by more than it is worth
HOLED = 0.05  # share of a frame's pixels without data from which on the frame is bad, not the pixels


class Piece(NamedTuple):
    """What is kept of one block."""

    counts: Array  # (time, pixel), smallest unsigned integers; zero where not trusted
    time: Array  # s, (time,)
    ok: Array  # bool, (time,)
    monitor: Array  # (time,), NaN where there is none
    untrusted: Array  # bool, (pixel,): held no trustworthy count in some good frame
    rows: tuple[Array, ...]  # per region, (time, all times so far): exact sums of products


@dataclass(frozen=True, eq=False)
class TwoTime:
    """Two-time correlation of some regions of the detector; adding a block computes only its new rows.

    Attributes
    ----------
    regions : array
        Bool (y, x) for one region, bool (region, y, x), or labels (y, x) with 0 outside.
    normalisation : str
        ``"N1"`` mean of the frame, ``"N2"`` time mean of the pixel, ``"N3"`` smooth
        envelope, ``"N4"`` covariance, ``"N5"`` smooth envelope weighted by noise.
    smoothing_px : float
        Width (sigma) of the Gaussian that turns the mean image into the envelope.
    crossover : float
        Counts per pixel and frame at which speckle takes over from shot noise (N5).
    device : str
        Where the products are computed.
    memory_bytes : int, optional
        What the result may take; by default the memory of the machine.

    Notes
    -----
    Counts must be raw, in the integer type in which they were stored. Whatever
    needs the whole scan, as hot pixels, outlier frames and envelopes, is decided
    in :meth:`result` from integer sums, so the last result does not depend on
    the blocks the frames came in. With N1 and N4 no result does, apart from
    that; with N2, N3 and N5 a result is provisional until the last frame.
    """

    regions: Array
    normalisation: str = "N5"
    smoothing_px: float = 8.0
    crossover: float = 2.0
    device: str = "cpu"
    memory_bytes: int | None = None
    valid: Array | None = None
    attrs: dict[str, Any] | None = None
    pieces: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise XcdiError(f"no normalisation {self.normalisation!r}{suggest(self.normalisation, NORMALISATIONS)}")

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return sum(piece.time.size for piece in self.pieces)

    def add(self, block: xr.Dataset) -> Self:
        """Return the correlation with the frames of `block` appended.

        Parameters
        ----------
        block : SCAN
            Raw counts of the next frames; ``valid`` of the first block counts.

        Raises
        ------
        XcdiError
            If no pixel is left, counts are no integers, or the matrix would not fit in memory.
        """
        require(block, "counts", "time", "valid")
        start = self if self.pieces else self._begun(block)
        start._check_memory(block)
        region, y, x = start._pixels()
        counts, missing, untrusted = _trusted(block, y, x)
        ok = ~missing
        if "frame_ok" in block:
            ok = ok & block.frame_ok.to_numpy()
        counts[~ok] = 0
        small = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        lone = regions.lonely(_frames(small, y, x), _image(True, True, y, x)[1])[:, y - y.min(), x - x.min()]
        untrusted = (untrusted | lone) & ok[:, None]
        monitor = block.monitor.to_numpy().astype(float) if "monitor" in block else np.full(ok.size, np.nan)
        rows = start._rows(small, region) if self.normalisation in FROM_EXACT_SUMS else ()
        piece = Piece(small, block.time.to_numpy().astype(float), ok, monitor, np.any(untrusted, axis=0), rows)
        return replace(start, attrs=dict(block.attrs), pieces=(*self.pieces, piece))

    def result(self) -> xr.Dataset:
        """Return the correlation of all frames so far, with its one-time function, as CORRELATION.

        Raises
        ------
        XcdiError
            If there is no frame, or no good one.
        """
        if not self.pieces:
            raise XcdiError("no frame to correlate; the scan is empty")
        region, y, x = self._pixels()
        raw, time = self._counts(), np.concatenate([piece.time for piece in self.pieces])
        keep = self._kept(raw, y, x)
        ok = _good_frames(raw[:, keep], self.pieces)  # a hot pixel would hide a dark frame
        counts = np.where(ok[:, None], raw, raw.dtype.type(0))
        envelope = self._envelope(counts, ok, keep)
        slot, step = _slots(time, (self.attrs or {}).get("frame_time_s"))
        parts = []
        for k in range(1, int(self.regions.max()) + 1):
            here = np.flatnonzero((region == k) & keep)
            if here.size < 2:
                raise XcdiError(f"region {k} has {here.size} trustworthy pixels left of {np.sum(region == k)}; expected 2 or more")
            n, tile = counts[:, here], regions.tiles(y[here], x[here])
            c, weights = self._normalised(n, envelope[here], raw[:, (region == k) & ~keep], k)
            parts.append(_of_region(c, n, weights, tile, slot, step, relative=self.normalisation == "N4"))
        kept = {"region_of_pixel": region[keep], "pixel_y": y[keep], "pixel_x": x[keep], "envelope": envelope[keep]}
        found = _dataset(parts, time, ok, counts[:, keep], kept)
        return found.assign_attrs(self._notes(found, ok, keep, envelope))

    def _begun(self, block: xr.Dataset) -> Self:
        labels = labelled(self.regions)
        valid = block.valid.to_numpy()
        if labels.shape != valid.shape:
            raise XcdiError(f"the regions are {labels.shape} pixels and the frames {valid.shape}; expected the same")
        for k in range(1, int(labels.max()) + 1):
            if not np.any(valid & (labels == k)):
                raise XcdiError(f"region {k} has no valid pixel; move its box, or look at the pixel mask")
        return replace(self, regions=labels, valid=valid)

    def _pixels(self) -> tuple[Array, Array, Array]:
        y, x = np.nonzero((self.regions > 0) & self.valid)
        order = np.argsort(self.regions[y, x], kind="stable")
        return self.regions[y, x][order].astype(np.int32), y[order].astype(np.int32), x[order].astype(np.int32)

    def _rows(self, new: Array, region: Array) -> tuple[Array, ...]:
        """Products of the new frames with the earlier ones and with themselves, per region."""
        product = on_device(products.raw_products, self.device)
        earlier = self._counts() if self.pieces else new[:0]
        found = []
        for k in range(1, int(self.regions.max()) + 1):
            here = slice(*np.searchsorted(region, [k, k + 1]))
            side = [product(new[:, here], earlier[:, here])] if len(earlier) else []
            found.append(np.concatenate([*side, product(new[:, here])], axis=1))
        return tuple(found)

    def _check_memory(self, block: xr.Dataset) -> None:
        frames = max(self.frames + block.sizes["frame"], int(block.attrs.get("frames_expected", 0)))
        count, pixels = int(self.regions.max()), int(np.sum((self.regions > 0) & self.valid))
        need = 8 * frames**2 * (count * (2 if self.normalisation in FROM_EXACT_SUMS else 1) + 3) + 12 * frames * pixels
        have = self.memory_bytes or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if need > have:
            raise XcdiError(
                f"the two-time correlation of {frames} frames in {count} regions of {pixels} pixels takes {need / 1e9:.1f} GB, "
                f"and there are {have / 1e9:.1f} GB; take fewer frames or regions"
            )

    def _counts(self) -> Array:
        return np.concatenate([piece.counts for piece in self.pieces])

    def _products(self, k: int) -> Array:
        """Exact sums of products of region number `k`, shape (time, time2)."""
        whole = np.empty((self.frames, self.frames))
        for piece in self.pieces:
            rows = piece.rows[k - 1]
            start, stop = rows.shape[1] - rows.shape[0], rows.shape[1]
            whole[start:stop, :stop] = rows
            whole[:stop, start:stop] = rows.T
        return whole

    def _kept(self, counts: Array, y: Array, x: Array) -> Array:
        """Pixels that held a trustworthy count in every good frame, and that fit their neighbours."""
        trusted = ~np.any([piece.untrusted for piece in self.pieces], axis=0)
        total, valid = _image(counts.sum(axis=0, dtype=np.int64), trusted, y, x)
        return trusted & ~regions.misfits(total, valid)[y - y.min(), x - x.min()]

    def _envelope(self, counts: Array, ok: Array, keep: Array) -> Array:
        """Expected counts per frame of each pixel, smooth within each region."""
        region, y, x = self._pixels()
        mean = counts.sum(axis=0, dtype=np.int64) / max(int(ok.sum()), 1)
        envelope = np.zeros(mean.shape)
        for k in range(1, int(region.max()) + 1):
            here = region == k
            image, valid = _image(mean[here], keep[here], y[here], x[here])
            smooth = regions.smooth_envelope(image, valid, sigma=self.smoothing_px)
            envelope[here] = smooth[y[here] - y[here].min(), x[here] - x[here].min()]
        return envelope

    def _normalised(self, counts: Array, envelope: Array, dropped: Array, k: int) -> tuple[Array, Weights]:
        """Two-time correlation of one region, and the weights of its pixels."""
        if self.normalisation in FROM_EXACT_SUMS:
            left_out = on_device(products.raw_products, self.device)(dropped) if dropped.size else 0.0
            found = normalise.sums(counts, self._products(k) - left_out)
            ones = np.ones(counts.shape[1])
            form = normalise.by_mean if self.normalisation == "N1" else normalise.covariance
            return form(found), Weights(ones, ones, float(ones.size), float(ones.size))
        if self.normalisation == "N2":
            envelope = counts.mean(axis=0)
        weights = normalise.noise_weights(envelope, crossover=self.crossover if self.normalisation == "N5" else 0.0)

        def weighted(n: Array, product: Array, mean: Array) -> Array:
            return normalise.weighted(n, Weights(product, mean, weights.norm, weights.norm2))

        return on_device(weighted, self.device)(counts, weights.product, weights.mean), weights

    def _notes(self, found: xr.Dataset, ok: Array, keep: Array, envelope: Array) -> dict[str, Any]:
        notes = {
            **(self.attrs or {}),
            "normalisation": self.normalisation,
            "contrast": float(found.contrast[0]),
            "bad_frames": np.flatnonzero(~ok).tolist(),
            "dropped_pixels": int(np.sum(~keep)),
            "provisional": self.normalisation not in FROM_EXACT_SUMS,
        }
        if self.normalisation == "N2":
            frozen, error = relaxation.frozen_contrast(found.counts.to_numpy()[ok], envelope[keep])
            if frozen > max(3 * error, FROZEN * notes["contrast"]):
                warnings.warn(NOT_ERGODIC, stacklevel=3)
                notes["warning"] = f"{NOT_ERGODIC} (frozen contrast {frozen:.4f} +- {error:.4f})"
        return notes


def labelled(given: Array) -> Array:
    """Turn a region, a stack of regions or a label image into labels, shape (y, x), 0 outside.

    Raises
    ------
    XcdiError
        If regions overlap, a region is empty, or there is none.

    Examples
    --------
    >>> labelled(np.array([[True, False]]))
    array([[1, 0]])
    """
    given = np.asarray(given)
    if given.ndim == 3:
        if np.any(given.sum(axis=0) > 1):
            raise XcdiError(f"the {len(given)} regions overlap in {int(np.sum(given.sum(axis=0) > 1))} pixels; give each pixel to one")
        given = np.einsum("ryx,r->yx", given.astype(int), np.arange(1, len(given) + 1))
    labels = given.astype(int)
    lacking = set(range(1, int(labels.max(initial=0)) + 1)) - set(np.unique(labels).tolist())
    if labels.max(initial=0) < 1 or lacking:
        raise XcdiError(f"{'region ' + str(min(lacking)) if lacking else 'every region'} is empty; widen its edges or its box")
    return labels


def _trusted(block: xr.Dataset, y: Array, x: Array) -> tuple[Array, Array, Array]:
    """Counts of the pixels (zero where not trusted), frames without data, and where a value was not trusted."""
    window = block.counts.isel(y=slice(int(y.min()), int(y.max()) + 1), x=slice(int(x.min()), int(x.max()) + 1))
    values = window.to_numpy()[:, y - y.min(), x - x.min()]
    absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        values = np.where(absent, 0, values)
        if not np.array_equal(values, np.round(values)):
            raise SchemaError("counts are no whole numbers; the correlation takes raw photon counts, before any correction")
    sentinel = block.attrs.get("sentinel")
    if sentinel is not None:
        absent = absent | (values == sentinel)
    negative = (values < 0) & ~absent
    if negative.any():
        low = values[negative].min()
        raise XcdiError(f"{int(negative.sum())} negative counts in the regions (lowest {low:g}); the correlation takes raw photon counts")
    exact = int(np.sqrt(products.EXACT_DOUBLE / max(y.size, 1)))  # the sums of squares stay exact below
    too_much = values > min(block.attrs.get("saturation", exact), exact)
    untrusted = absent | too_much
    return np.where(untrusted, 0, values), absent.mean(axis=1) > HOLED, untrusted


def _good_frames(counts: Array, pieces: tuple[Piece, ...]) -> Array:
    """Frames that are whole, saw photons, and are no single outliers in brightness."""
    total = counts.sum(axis=1, dtype=np.int64)
    ok = np.concatenate([piece.ok for piece in pieces]) & (total > 0)
    monitor = np.concatenate([piece.monitor for piece in pieces])
    usable = np.isfinite(monitor) & (monitor > 0)
    if np.all(usable[ok]):
        total = total / np.where(usable, monitor, 1.0)
    ok = ok & ~regions.outlier_frames(total, ok)
    if not ok.any():
        raise XcdiError(f"none of {ok.size} frames has a trustworthy count in the regions; check the mask, the box and the shutter")
    return ok


def _image(values: Array, known: Array, y: Array, x: Array) -> tuple[Array, Array]:
    """Image (y, x) of the pixels' bounding box, and where it is known."""
    shape = int(np.ptp(y)) + 1, int(np.ptp(x)) + 1
    image, valid = np.zeros(shape), np.zeros(shape, bool)
    image[y - y.min(), x - x.min()] = values
    valid[y - y.min(), x - x.min()] = known
    return image, valid


def _frames(counts: Array, y: Array, x: Array) -> Array:
    """Frames (time, y, x) of the pixels' bounding box, zero outside the regions."""
    frames = np.zeros((len(counts), int(np.ptp(y)) + 1, int(np.ptp(x)) + 1), counts.dtype)
    frames[:, y - y.min(), x - x.min()] = counts
    return frames


def _slots(time: Array, frame_time: float | None) -> tuple[Array, float]:
    """Place of every frame on a regular time axis, and its step [s]; a frame that is missing leaves a gap."""
    gaps = np.diff(time)
    if np.any(gaps <= 0):
        at = int(np.argmax(gaps <= 0)) + 1
        raise XcdiError(f"frame {at} is at {time[at]:g} s, not after the frame before it at {time[at - 1]:g} s; expected rising times")
    step = float(np.median(gaps)) if gaps.size else float(frame_time or 1.0)
    return np.concatenate([[0], np.cumsum(np.maximum(np.round(gaps / step), 1))]).astype(int), step


def _on_slots(a: Array, slot: Array, fill: float) -> Array:
    """Rows of `a` at their places in time; `fill` where no frame is."""
    if slot[-1] + 1 == len(slot):
        return a
    wide = np.full((slot[-1] + 1, *a.shape[1:]), fill, a.dtype)
    wide[slot] = a
    return wide


def _of_region(c: Array, counts: Array, weights: Weights, tile: Array, slot: Array, step: float, *, relative: bool) -> dict[str, Any]:
    """Everything that is derived from the two-time correlation of one region."""
    level = normalise.frame_weight(counts, weights)
    whole = _on_slots(_on_slots(c, slot, np.nan).T, slot, np.nan).T
    g2 = one_time.one_time(whole, _on_slots(level, slot, np.nan))
    replicas = relaxation.leave_out(_on_slots(counts, slot, 0), weights, tile)
    height = float(np.mean(replicas[:, 0])) - 1
    if relative:
        replicas = 1 + (replicas - 1) / (replicas[:, :1] - 1)
    error = relaxation.jackknife_error(replicas)
    delay = step * np.arange(len(g2))
    edges = relaxation.log_bins(len(g2))
    spread = _binned(replicas, edges)
    fit = relaxation.fit_stretched(_binned(delay, edges), _binned(g2, edges), relaxation.jackknife_error(spread), replicas=spread)
    return {"two_time": c, "g2": g2, "g2_error": error, "delay": delay, "fit": fit, "contrast": height, "counts": counts}


def _binned(a: Array, edges: Array) -> Array:
    """Means over bins of the last axis."""
    if len(edges) < 2:
        return a[..., :0]
    return np.stack([a[..., start:stop].mean(axis=-1) for start, stop in pairwise(edges)], axis=-1)


def _dataset(parts: list[dict[str, Any]], time: Array, ok: Array, counts: Array, pixels: dict[str, Array]) -> xr.Dataset:
    per_s = {"rate": "1/s"}
    fits = {}
    for place, name in enumerate(relaxation.Stretched._fields[:4]):
        column = "fit_contrast" if name == "contrast" else name
        fits[column] = ("region", [p["fit"][place] for p in parts], {"units": per_s.get(name, "1")})
        fits[f"{column}_error"] = ("region", [p["fit"].errors[place] for p in parts], {"units": per_s.get(name, "1")})
    stacked = {name: np.stack([p[name] for p in parts]) for name in ("two_time", "g2", "g2_error", "contrast")}
    mean = np.stack([np.where(ok, p["counts"].mean(axis=1), np.nan) for p in parts])
    one, label, seconds = {"units": "1"}, {"units": ""}, {"units": "s"}
    return xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), stacked["two_time"], one),
            "g2": (("region", "delay"), stacked["g2"], one),
            "g2_error": (("region", "delay"), stacked["g2_error"], one),
            "contrast": ("region", stacked["contrast"], one),
            **fits,
            "mean_count": (("region", "time"), mean, one),
            "frame_sum": ("time", counts.sum(axis=1, dtype=np.int64), one),
            "frame_ok": ("time", ok, label),
            "counts": (("time", "pixel"), counts, one),
            **{name: ("pixel", values, one if name == "envelope" else label) for name, values in pixels.items()},
        },
        coords={"time": ("time", time, seconds), "time2": ("time2", time, seconds), "delay": ("delay", parts[0]["delay"], seconds)},
    )
