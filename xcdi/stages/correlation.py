"""Stage: frames in, two-time correlation out; at once or as the frames arrive, with the same bits."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr

from xcdi.backend import Array, on_device
from xcdi.errors import XcdiError, suggest
from xcdi.kernels import regions, relaxation
from xcdi.kernels.correlation import normalise
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.photons import Photons, join, of_frames, pixel_sums, to_dense
from xcdi.schema import require
from xcdi.stages import one_time
from xcdi.stages.exact_sums import ExactSums, begun
from xcdi.stages.regions import labelled
from xcdi.stages.trust import Pixels, Taken, good_frames, good_pixels, image, of_pixels, pixels_of, take

__all__ = ["FROM_EXACT_SUMS", "NORMALISATIONS", "Seen", "TwoTime"]


NORMALISATIONS = ("N1", "N2", "N3", "N4", "N5")
FROM_EXACT_SUMS = ("N1", "N4", "N5")  # the others divide each count by an envelope that only the whole scan knows
FINAL_AT_ONCE = ("N1", "N4")
NOT_ERGODIC = "the pixels' time means hold a frozen speckle pattern, which N2 divides away; use N4 or N5"
PLACE_BYTES = 4800  # of each place in time without a frame, in sums over a hundred tiles
FROZEN = 0.1  # share of the contrast that may be frozen before N2 is wrong by more than it is worth


class Seen(NamedTuple):
    """What all frames of a correlation tell.

    Attributes
    ----------
    photons : Photons
        Of all pixels and frames.
    keep : bool array, shape (pixel,)
        Good pixels.
    ok : bool array, shape (time,)
        Good frames.
    time : array, shape (time,)
        [s]
    slot, step
        Places on a regular time axis, and its step [s].
    envelope : array, shape (pixel,)
        Smooth expected counts per frame.
    """

    photons: Photons
    keep: Array
    ok: Array
    time: Array
    slot: Array
    step: float
    envelope: Array


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
    reference_frames : int
        Frames at the start whose envelope fixes the weights of N5.
    device : str
        Where products of whole series are computed.
    workers : int
        Threads. No bit depends on them.
    growing : bool
        Whether rows are computed as frames come in, for looks at the result in between; else all at once at the end.
    memory_bytes : int, optional
        What the result may take; by default the memory of the machine.

    Notes
    -----
    Counts must be raw, in the integer type in which they were stored. Whatever
    needs the whole scan, as hot pixels, outlier frames and envelopes, is decided
    in :meth:`result` from integer sums, so the last result does not depend on
    the blocks the frames came in, nor on `growing`. With N1 and N4 no result does, apart from
    that; with N2, N3 and N5 a result is provisional until the last frame, since its
    envelope is that of the frames so far.
    """

    regions: Array
    normalisation: str = "N5"
    smoothing_px: float = 8.0
    crossover: float = 2.0
    reference_frames: int = 16
    device: str = "cpu"
    workers: int = 1
    growing: bool = False
    memory_bytes: int | None = None
    pixels: Pixels | None = None
    attrs: dict[str, Any] | None = None
    pieces: tuple[Taken, ...] = ()
    sums: tuple[ExactSums, ...] = ()

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
            Raw counts of the next frames, or ``stored`` in their place; ``valid`` of the first block counts.

        Raises
        ------
        XcdiError
            If no pixel is left, counts are no integers, or the matrix would not fit in memory.
        """
        require(block, "stored" if "stored" in block else "counts", "time", "valid")
        start = self if self.pieces else self.begun(block)
        piece = take(block, start.known, workers=self.workers)
        grown = replace(start, attrs=dict(block.attrs), pieces=(*self.pieces, piece))
        grown._check_memory(expected=int(block.attrs.get("frames_expected", 0)))
        return grown.correlated()

    def result(self) -> xr.Dataset:
        """Return the correlation of all frames so far, with its one-time function, as CORRELATION.

        Raises
        ------
        XcdiError
            If there is no frame, or no good one.
        """
        seen = self.seen()
        done = self.correlated(whole=True)
        two_time = np.empty((self.count, self.frames, self.frames))
        parts = [done._region(seen, k, two_time[k - 1]) for k in range(1, self.count + 1)]
        good = of_pixels(seen.photons, seen.keep, seen.ok)
        found = one_time.dataset(two_time, parts, seen.time, seen.ok, good.totals, self.kept(seen))
        return one_time.with_counts(found.assign_attrs(self.notes(found, seen)), good)

    def seen(self) -> Seen:
        """What all frames so far tell of pixels and frames."""
        if not self.pieces:
            raise XcdiError("no frame to correlate; the scan is empty")
        photons = join([piece.photons for piece in self.pieces])
        keep = good_pixels(pixel_sums(photons), self.pieces, self.known)
        ok = good_frames(of_pixels(photons, keep).totals, self.pieces)  # a hot pixel would hide a dark frame
        mean = pixel_sums(of_pixels(photons, np.ones_like(keep), ok)) / int(ok.sum())
        time = np.concatenate([piece.time for piece in self.pieces])
        slot, step = one_time.slots(time, (self.attrs or {}).get("frame_time_s"))
        self._check_memory(places=int(slot[-1]) + 1)
        return Seen(photons, keep, ok, time, slot, step, self._envelope(mean, keep))

    def correlated(self, *, whole: bool = False) -> Self:
        """With the exact sums of all frames; those of N5 wait for the reference, unless there will be no more."""
        waiting = self.normalisation == "N5" and self.frames < self.reference_frames
        if self.normalisation not in FROM_EXACT_SUMS or (not whole and (waiting or not self.growing)):
            return self
        sums = self.sums or self.without_frames()
        if not self.growing:
            return replace(self, sums=sums)
        for piece in self.pieces[len(sums[0].rows) :]:
            sums = tuple(part.add(piece.photons) for part in sums)
        return replace(self, sums=sums)

    def weights(self, seen: Seen, k: int) -> Weights:
        """Weights of the good pixels of region number `k`."""
        here = (self.known.region == k) & seen.keep
        if self.normalisation in FINAL_AT_ONCE:
            return normalise.unit_weights(int(here.sum()))
        if self.normalisation == "N5":
            return normalise.level_weights(self.sums[k - 1].level[here], seen.envelope[here])
        own = pixel_sums(of_pixels(seen.photons, here, seen.ok)) / int(seen.ok.sum())
        return normalise.noise_weights(seen.envelope[here] if self.normalisation == "N3" else own, crossover=0.0)

    def kept(self, seen: Seen) -> dict[str, Array]:
        """The good pixels, as variables of CORRELATION."""
        known, keep = self.known, seen.keep
        return {
            "region_of_pixel": known.region[keep],
            "pixel_y": known.y[keep],
            "pixel_x": known.x[keep],
            "envelope": seen.envelope[keep],
        }

    def notes(self, found: xr.Dataset, seen: Seen) -> dict[str, Any]:
        """Attributes of the result; warns where N2 divides a frozen pattern away."""
        notes = {
            **(self.attrs or {}),
            "normalisation": self.normalisation,
            "g2_convention": "ratio of sums",
            "contrast": float(found.contrast[0]),
            "bad_frames": np.flatnonzero(~seen.ok).tolist(),
            "dropped_pixels": int(np.sum(~seen.keep)),
            "provisional": self.normalisation not in FINAL_AT_ONCE,
        }
        if self.normalisation == "N2":
            frozen, error = _frozen(seen)
            if frozen > max(3 * error, FROZEN * notes["contrast"]):
                warnings.warn(NOT_ERGODIC, stacklevel=3)
                notes["warning"] = f"{NOT_ERGODIC} (frozen contrast {frozen:.4f} +- {error:.4f})"
        return notes

    @property
    def count(self) -> int:
        """Number of regions."""
        return int(self.known.region.max())

    @property
    def known(self) -> Pixels:
        """Pixels of the regions; known from the first block on."""
        assert self.pixels is not None, "no block was added yet"
        return self.pixels

    def begun(self, block: xr.Dataset) -> Self:
        """With the pixels of the first block, before its frames are added."""
        labels = labelled(self.regions)
        valid = block.valid.to_numpy()
        if labels.shape != valid.shape:
            raise XcdiError(f"the regions are {labels.shape} pixels and the frames {valid.shape}; expected the same")
        for k in range(1, int(labels.max()) + 1):
            if not np.any(valid & (labels == k)):
                raise XcdiError(f"region {k} has no valid pixel; move its box, or look at the pixel mask")
        return replace(self, regions=labels, pixels=pixels_of(labels, valid))

    def without_frames(self) -> tuple[ExactSums, ...]:
        """Exact sums of every region, with weights from the frames so far but no products yet."""
        pixels, level = self.known, self._levels()
        return tuple(begun(pixels.region == k, level, threads=self.workers, device=self.device) for k in range(1, self.count + 1))

    def _levels(self) -> Array:
        """Weights of N5 as powers of two, from the first frames alone; all the same for the others."""
        pixels = self.known
        level = np.zeros(pixels.y.size, int)
        if self.normalisation != "N5":
            return level
        first = join([piece.photons for piece in self.pieces])
        first = of_frames(first, 0, min(self.reference_frames, first.frames))
        total = pixel_sums(first)
        envelope = self._envelope(total / max(int(np.sum(first.totals > 0)), 1), good_pixels(total, (), pixels))
        for k in range(1, self.count + 1):
            here = pixels.region == k
            level[here] = normalise.noise_levels(envelope[here], crossover=self.crossover)
        return level

    def _check_memory(self, expected: int = 0, places: int = 0) -> None:
        frames, count = max(self.frames, expected), self.count
        events = sum(piece.photons.pixel.size for piece in self.pieces) / max(self.frames, 1)
        need = frames**2 * ((12 if self.growing else 8) * count + 8) + 12 * events * frames + PLACE_BYTES * max(places - frames, 0)
        have = self.memory_bytes or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if need > have:
            raise XcdiError(
                f"the two-time correlation of {frames} frames in {count} regions of {self.known.y.size} pixels takes "
                f"{need / 1e9:.1f} GB, and there are {have / 1e9:.1f} GB; take fewer frames or regions"
            )

    def _envelope(self, mean: Array, keep: Array) -> Array:
        """Expected counts per frame of each pixel, smooth within each region."""
        pixels = self.known
        envelope = np.zeros(mean.shape)
        for k in range(1, self.count + 1):
            here = pixels.region == k
            y, x = pixels.y[here], pixels.x[here]
            smooth = regions.smooth_envelope(*image(mean[here], keep[here], y, x), sigma=self.smoothing_px)
            envelope[here] = smooth[y - y.min(), x - x.min()]
        return envelope

    def _region(self, seen: Seen, k: int, out: Array) -> dict[str, Any]:
        """Two-time correlation of region number `k`, written to `out`, and what follows from it."""
        here = (self.known.region == k) & seen.keep
        if here.sum() < 2:
            of = np.sum(self.known.region == k)
            raise XcdiError(f"region {k} has {here.sum()} trustworthy pixels left of {of}; expected 2 or more")
        n, weights = of_pixels(seen.photons, here, seen.ok), self.weights(seen, k)
        if self.normalisation in FROM_EXACT_SUMS:
            self.sums[k - 1].fill(out, seen.photons)
            self.sums[k - 1].less(out, seen.photons, ~here)
            form = normalise.covariance if self.normalisation == "N4" else normalise.by_mean
            c = form(normalise.sums(n, weights, out))
        else:
            out[...] = c = self._weighted(to_dense(n), weights)
        y, x = self.known.y[here], self.known.x[here]
        width = one_time.speckle_width(n, y, x, seen.envelope[here])
        tile = regions.tiles(y, x, speckle_px=width)
        how: dict[str, Any] = {"relative": self.normalisation == "N4", "speckle_px": width, "threads": self.workers}
        found = one_time.of_region(c, n, weights, tile, seen.slot, seen.step, **how)
        return found | {"mean": np.where(seen.ok, n.totals / n.pixels, np.nan)}

    def _weighted(self, counts: Array, weights: Weights) -> Array:
        def weighted(n: Array, product: Array, mean: Array) -> Array:
            return normalise.weighted(n, Weights(product, mean, weights.norm, weights.norm2))

        return on_device(weighted, self.device)(counts, weights.product, weights.mean)


def _frozen(seen: Seen) -> tuple[float, float]:
    """Contrast that the first and the last third of the good frames share, and its error."""
    good = np.flatnonzero(seen.ok)
    third = good.size // 3
    ends = [np.isin(np.arange(seen.ok.size), part) for part in (good[:third], good[-third:])]
    sums = [pixel_sums(of_pixels(seen.photons, seen.keep, part)) for part in ends]
    return relaxation.frozen_contrast(np.stack([sums[0], sums[0], sums[1]]), seen.envelope[seen.keep] * third)
