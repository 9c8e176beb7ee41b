"""The measurement of events: sizes, places on the detector, durations, returns and rigid motion, one row for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import artefacts, durations, patterns, returns, sectors, sizes
from xcdi.kernels.avalanches import events as scan
from xcdi.stages import detection
from xcdi.stages.detection import Found
from xcdi.stages.series import Movie

__all__ = ["COLUMNS", "Normalisation", "Series", "Span", "columns", "joined", "measured", "prepared", "span"]

Normalisation = Literal["N4", "N5"]
NORMALISATIONS = {"N4": sizes.covariance_weights, "N5": sizes.noise_weights}
RINGS = ("inner", "middle", "outer")
RING_EDGES = (1.5, 4.0)  # fringes
FRINGE = 0.6  # of the width of a speckle, which adds grains of different size
MOVED_PX = 0.1  # least shift that is called motion
UNDONE = 0.03  # part of the drop that may be left when undoing a rigid motion on a grid of pixels
EXPLAINED = 0.7  # part of a change that a module's gain, or a tilt, must explain
MARGIN, PLATEAU = 7, 4  # frames at an event that may belong to it, and that a state must have to say how long it took
NEAR = 12  # frames within which two steps may be one slow event
REACH = 26  # frames around an event that tell its duration

BETTER = 4.0  # by which one slow event must fit better than two sudden ones
COLUMNS = {
    "drop": "1",
    "drop_error": "1",
    "drop_whitened": "1",
    "whitened_error": "1",
    "drop_internal": "1",
    "internal_error": "1",
    "fraction": "1",
    "fraction_error": "1",
    **{f"drop_{name}": "1" for name in RINGS},
    "drop_radial": "1",
    "drop_azimuthal": "1",
    "anisotropy": "1",
    "anisotropy_error": "1",
    "region_length": "nm",
    "region_length_error": "nm",
    "shift_row": "pixel",
    "shift_column": "pixel",
    "shift_row_error": "pixel",
    "shift_column_error": "pixel",
    "brightness_step": "1",
    "brightness_error": "1",
    "duration": "s",
    "duration_error": "s",
    "return_index": "1",
    "return_error": "1",
    "returned": "1",
    "returned_error": "1",
    "product_ratio": "1",
    "product_error": "1",
}
LATTICE = {"strain_step": "1", "strain_error": "1", "rotation_step": "deg", "rotation_error": "deg"}  # where the place of the peak is known


@dataclass(frozen=True, eq=False)
class Series:
    """A movie made ready for measuring.

    Attributes
    ----------
    movie : Movie
    good : int array
        Frames to trust.
    scale : array, shape (time,)
        Brightness of each frame over the mean.
    weighting, whitening : Weighting
        Of all measures, and of `drop_whitened`.
    level : array, shape (time,)
        Counts of each frame, over the monitor where there is one.
    speckle_px : float
    peak : (row, column)
        Brightest place of the mean pattern, in the image.
    place : Place, optional
        Where the peak lies in reciprocal space; None where nobody says.
    """

    movie: Movie
    good: np.ndarray
    scale: np.ndarray
    weighting: sizes.Weighting
    whitening: sizes.Weighting
    level: np.ndarray
    speckle_px: float
    peak: tuple[float, float]
    place: Place | None

    def relative(self, frames: np.ndarray) -> np.ndarray:
        """Counts over the brightness of their frame, (time, y, x)."""
        return self.movie.frames[frames] / self.scale[frames, None, None]

    @cached_property
    def products(self) -> np.ndarray:
        """Scalar products of the deviations of all good frames, (good, good)."""
        valid = self.movie.valid
        vectors = np.empty((self.good.size, int(valid.sum())), np.float32)
        for start in range(0, self.good.size, 64):
            part = slice(start, start + 64)
            vectors[part] = sizes.deviations(self.relative(self.good[part]), valid, self.weighting)
        return np.asarray(vectors @ vectors.T, np.float64)

    @cached_property
    def rings(self) -> np.ndarray:
        """Annulus of every pixel about the peak: nearer than 1.5 fringes, between, farther than 4."""
        y, x = np.indices(self.movie.valid.shape)
        return np.digitize(np.hypot(y - self.peak[0], x - self.peak[1]) / (FRINGE * self.speckle_px), RING_EDGES)

    @cached_property
    def annuli(self) -> np.ndarray:
        """Annuli one fringe wide."""
        return sectors.annuli(self.movie.valid.shape, self.peak, FRINGE * self.speckle_px)

    @cached_property
    def sectors(self) -> np.ndarray:
        """Radial and azimuthal sector of every pixel; only where the direction of q is known."""
        assert self.place is not None
        return sectors.sectors(self.movie.valid.shape, self.peak, self.place.out, inner=FRINGE * self.speckle_px)


@dataclass(frozen=True)
class Place:
    """Length of q at the peak [1/nm], the step of a pixel (row, column) [1/nm], and the direction in which q grows (row, column)."""

    q: float
    step: np.ndarray
    out: np.ndarray


@dataclass(frozen=True)
class Span:
    """When an event happens: good frames before and after it, its first frame, the first of the new state, how long it takes [frames]."""

    before: np.ndarray
    after: np.ndarray
    first: int
    last: int
    frames: float
    error: float
    resolved: bool


def prepared(found: Found, correlation: xr.Dataset, normalisation: Normalisation) -> Series:
    """Make the movie of a search ready for measuring."""
    seen = found.movie
    good = np.flatnonzero(seen.ok)
    mean = seen.frames[good].mean(axis=0, dtype=np.float64)
    total = seen.frames[:, seen.valid].sum(axis=1, dtype=np.float64)
    monitor = correlation.monitor.values.astype(float) if "monitor" in correlation else np.ones(total.size)
    usable = bool(np.all(np.isfinite(monitor[good]) & (monitor[good] > 0)))
    level = total / np.where(monitor > 0, monitor, np.nan) * float(np.mean(monitor[good])) if usable else total
    scale = patterns.frame_scale(seen.frames, seen.valid, seen.ok)
    weighting, peak = NORMALISATIONS[normalisation](mean, seen.valid), patterns.peak_place(mean, seen.valid)
    whitening = sizes.whitening_weights(mean, seen.valid)
    return Series(seen, good, scale, weighting, whitening, level, found.speckle_px, peak, _place(correlation, peak))


def _place(correlation: xr.Dataset, peak: tuple[float, float]) -> Place | None:
    """Where the peak lies in reciprocal space: known if its q, the steps and the direct beam are, and no circle carries the detector."""
    known = correlation.attrs
    if not {"q_peak", "dq", "centre_px"} <= set(known) or json.loads(known.get("geometry", "{}")).get("detector"):
        return None
    step = np.broadcast_to(np.asarray(known["dq"], np.float64), (2,))
    corner = np.array([correlation.pixel_y.values.min(), correlation.pixel_x.values.min()], np.float64)
    out = (np.array(peak) + corner - np.asarray(known["centre_px"], np.float64)) * step
    return Place(float(np.linalg.norm(np.atleast_1d(known["q_peak"]))), step, out / np.linalg.norm(out))


def joined(found: Found, series: Series) -> Found:
    """Join neighbours that are one slow event: one smooth transition explains them better than two sudden steps do."""
    k = 0
    while k + 1 < len(found.changes.frame):
        near = found.changes.first[k + 1] - found.changes.last[k] <= NEAR
        if near and not found.artefact[k : k + 2].any() and _one_slow(found, series, k):
            found = _with_joined(found, k)
        else:
            k += 1
    return found


def _with_joined(found: Found, k: int) -> Found:
    """The search with events k and k + 1 as one."""
    changes = found.changes
    best, other = (k, k + 1) if changes.score[k] >= changes.score[k + 1] else (k + 1, k)
    keep = np.arange(len(changes.frame)) != other
    columns = {name: getattr(changes, name).copy() for name in scan.COLUMNS}
    columns["first"][best], columns["last"][best] = changes.first[k], changes.last[k + 1]
    return found._replace(changes=changes._replace(**{name: v[keep] for name, v in columns.items()}), artefact=found.artefact[keep])


def _one_slow(found: Found, series: Series, k: int) -> bool:
    around = _around(found, series, k, k + 1)
    if around is None:
        return False
    one = durations.transition(*around, _starts(found, k, k + 1))
    return bool(one.misfit < durations.two_steps(*around, (found.changes.first[k], found.changes.last[k + 1])) - BETTER)


def _around(found: Found, series: Series, k: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """How far on the way frames around events k to `last` are, their numbers, and which are plateaus; None where these are too short."""
    changes, good = found.changes, series.good
    start = max(changes.last[k - 1] if k else 0, changes.first[k] - REACH)
    stop = min(changes.first[last + 1] if last + 1 < len(changes.first) else series.movie.ok.size, changes.last[last] + REACH)
    part = np.flatnonzero((good >= start) & (good < stop))
    frame = good[part]
    before, after = (int(np.sum(side)) for side in (frame < changes.first[k], frame >= changes.last[last]))
    if min(before, after) < PLATEAU + 2:
        return None
    early = np.arange(frame.size) < before - min(MARGIN, before - PLATEAU)
    late = np.arange(frame.size) >= frame.size - after + min(MARGIN, after - PLATEAU)
    return durations.progress(series.products[np.ix_(part, part)], early, late), frame, early | late


def _starts(found: Found, k: int, last: int) -> tuple[float, float]:
    """Frames between which a slow event may begin."""
    return float(found.changes.first[k] - MARGIN - 2), float(found.changes.last[last] + MARGIN - 2)


def span(found: Found, series: Series, k: int, longest: int) -> Span:
    """Frames of event `k` and of its two sides; where its duration is resolved, without those in between."""
    changes = found.changes
    first, last, frames, error, resolved = int(changes.first[k]), int(changes.last[k]), 1.0, np.nan, False
    around = None if found.artefact[k] else _around(found, series, k, k)
    if around is not None:
        fit = durations.transition(*around, _starts(found, k, k))
        if fit.resolved:
            first, last = int(np.floor(fit.start)), int(np.ceil(fit.start + fit.length - 1))
            frames, error, resolved = fit.frames, fit.error, True
        elif abs(fit.sudden - first) <= 1 and first == last:
            first, last = int(np.floor(fit.sudden)), int(np.ceil(fit.sudden))
    before, after = detection.sides(changes, k, series.good, longest + 2 * MARGIN)
    return Span(before[before < first][-longest:], after[after >= last][:longest], first, last, frames, error, resolved)


def columns(series: Series) -> dict[str, str]:
    """Columns of every measured event, with their units."""
    return COLUMNS | ({} if series.place is None else LATTICE)


def measured(found: Found, series: Series, spans: Sequence[Span], k: int, window: int) -> dict[str, Any]:
    """Everything about event `k`: what :func:`columns` names, `duration_resolved` and `flags`."""
    own = spans[k]
    pre, post = (series.relative(part) for part in (own.before, own.after))
    size = sizes.measure_event(pre, post, series.movie.valid, series.weighting, rings=series.rings)
    flags = _flags(found, series, own, size, k, window)
    return {
        **_sized(size),
        **_whitened(series, pre, post),
        **_by_sector(series, pre, post),
        **_length(series, pre, post),
        **_brightness(series, own),
        **_duration(series, own),
        **_history(series, spans, k),
        **_rigid(series.place, size),
        "duration_resolved": own.resolved,
        "flags": flags,
    }


def _flags(found: Found, series: Series, own: Span, size: sizes.Size, k: int, window: int) -> str:
    moved = float(np.hypot(*size.shift_px)) > MOVED_PX and size.drop > 3 * size.drop_error
    rigid = moved and size.drop_internal < max(3 * size.internal_error, UNDONE * size.drop)
    words = {
        "artefact": bool(found.artefact[k]),
        "module": _of_module(series, own),
        "rigid": rigid,
        "possibly merged": bool(found.changes.merged[k]),
        "short window": min(own.before.size, own.after.size) < window // 2,
    }
    return ", ".join(word for word, so in words.items() if so)


def _of_module(series: Series, own: Span) -> bool:
    """True if the gain of a rectangle explains the change, to the frames after or to those in between."""
    between = series.good[(series.good >= own.first) & (series.good < own.last)]
    frames, valid = series.movie.frames, series.movie.valid
    return any(
        artefacts.block(frames[own.before], frames[part], valid).explained > EXPLAINED
        for part in (own.after, between)
        if own.before.size and part.size
    )


def _sized(size: sizes.Size) -> dict[str, float]:
    return {
        **{name: getattr(size, name) for name in ("drop", "drop_error", "drop_internal", "internal_error", "fraction", "fraction_error")},
        **{f"drop_{name}": float(size.drop_by_ring[i]) for i, name in enumerate(RINGS)},
        **{f"shift_{name}": size.shift_px[i] for i, name in enumerate(("row", "column"))},
        **{f"shift_{name}_error": size.shift_error[i] for i, name in enumerate(("row", "column"))},
    }


def _whitened(series: Series, pre: np.ndarray, post: np.ndarray) -> dict[str, float]:
    valid = series.movie.valid
    found = sizes.drop(*(sizes.deviations(side, valid, series.whitening) for side in (pre, post)))
    return {"drop_whitened": found[0], "whitened_error": found[1]}


def _part(series: Series, pre: np.ndarray, post: np.ndarray, part: np.ndarray) -> tuple[float, float]:
    here = part & series.movie.valid
    if not here.any():
        return float("nan"), float("nan")
    return sizes.drop(sizes.deviations(pre, here, series.weighting), sizes.deviations(post, here, series.weighting))


def _by_sector(series: Series, pre: np.ndarray, post: np.ndarray) -> dict[str, float]:
    if series.place is None:
        return dict.fromkeys(("drop_radial", "drop_azimuthal", "anisotropy", "anisotropy_error"), float("nan"))
    radial, azimuthal = (_part(series, pre, post, series.sectors == which) for which in (sectors.RADIAL, sectors.AZIMUTHAL))
    quotient = sectors.ratio(azimuthal, radial)
    return {"drop_radial": radial[0], "drop_azimuthal": azimuthal[0], "anisotropy": quotient[0], "anisotropy_error": quotient[1]}


def _length(series: Series, pre: np.ndarray, post: np.ndarray) -> dict[str, float]:
    """Length of the region that changed, the inverse of |q - G| at which the drop reaches half of its plateau."""
    if series.place is None:
        return dict.fromkeys(("region_length", "region_length_error"), float("nan"))
    y, x = np.indices(series.movie.valid.shape)
    away = np.hypot(y - series.peak[0], x - series.peak[1])
    inside = int(min(series.movie.valid.shape) / 2 / (FRINGE * series.speckle_px))
    parts = [series.annuli == n for n in range(max(inside, 1))]
    drops = np.array([_part(series, pre, post, part) for part in parts])
    half = sectors.half_radius(np.array([away[part].mean() for part in parts]), drops[:, 0], drops[:, 1])
    length = 1 / (half.radius * float(series.place.step.mean()))
    return {"region_length": length, "region_length_error": length * half.error / half.radius}


def _brightness(series: Series, own: Span) -> dict[str, float]:
    sides = (series.level[part] for part in (own.before, own.after))
    photons = float(series.movie.frames[own.before][:, series.movie.valid].sum() / max(own.before.size, 1))
    found = artefacts.brightness_step(*sides, photons=photons)
    return {"brightness_step": found.step, "brightness_error": found.error}


def _duration(series: Series, own: Span) -> dict[str, float]:
    """How long it takes, or the time of a frame where no more than that is known."""
    frame = float(np.median(np.diff(series.movie.time))) if series.movie.time.size > 1 else float("nan")
    return {"duration": own.frames * frame if own.resolved else frame, "duration_error": own.error * frame}


def _history(series: Series, spans: Sequence[Span], k: int) -> dict[str, float]:
    """What the stretch before the event has in common with later ones."""
    index = np.full(series.movie.ok.size + 1, -1)
    index[series.good] = np.arange(series.good.size)
    ends = [0, *(s.last for s in spans)], [*(s.first for s in spans), series.movie.ok.size]
    stretches = [np.flatnonzero((series.good >= a) & (series.good < b)) for a, b in zip(*ends, strict=True)]
    back = returns.returned(series.products, stretches, k)
    rule = (float("nan"), float("nan"))
    if k + 1 < len(spans):
        longest = max(s.before.size for s in spans)
        near = index[spans[k].before], stretches[k + 1][: 2 * longest], index[spans[k + 1].after]
        rule = returns.product_rule(series.products, *near)
    names = ("return_index", "return_error", "returned", "returned_error", "product_ratio", "product_error")
    return dict(zip(names, (*back[:4], *rule), strict=True))


def _rigid(place: Place | None, size: sizes.Size) -> dict[str, float]:
    """Uniform strain and rotation about the beam that the shift of the pattern means, with errors."""
    if place is None:
        return {}
    moved, error = (np.array(pair) * place.step for pair in (size.shift_px, size.shift_error))
    across = np.array([-place.out[1], place.out[0]])
    return {
        "strain_step": float(-(moved @ place.out) / place.q),
        "strain_error": float(np.hypot(*(error * place.out)) / place.q),
        "rotation_step": float(np.degrees(moved @ across / place.q)),
        "rotation_error": float(np.degrees(np.hypot(*(error * across)) / place.q)),
    }
