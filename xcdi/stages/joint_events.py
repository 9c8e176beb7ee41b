"""Events of one particle that several reflections saw at the same time, on their common clock, measured alike in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import patterns, sizes
from xcdi.schema import is_avalanche
from xcdi.stages import clock
from xcdi.stages.series import Movie, movie

__all__ = ["Joint", "Sides", "joined", "local_drop", "measured", "sides", "told_starts", "watched"]

UNEVEN = 0.01  # relative difference between frame times of one clock
SHARED = 0.5  # part of the shorter series that both must cover
ENOUGH = 5  # events from which none in common is no chance
ENVELOPE = 0.35  # width of the local envelope over that of a speckle
CROSSOVER = 5.6  # counts per pixel, in all frames of one side, where speckle takes over from shot noise
INNER = 0.75  # speckles by which a pattern seems to move per root of what changes inside
CLEAR = 2.0  # errors by which a drop must exceed nothing
SET_APART = ("artefact", "beam", "module")


class Joint(NamedTuple):
    """Events of all reflections.

    Attributes
    ----------
    first, last : array, shape (event,)
        Seconds between which the state changes: the new state is there from `last` on.
    row : int array, shape (event, reflection)
        Row of the event in the table of each reflection, -1 where that did not find it.
    inside : bool array, shape (event,)
        Whether a reflection takes it for a change of the inside.
    """

    first: np.ndarray
    last: np.ndarray
    row: np.ndarray
    inside: np.ndarray


class Sides(NamedTuple):
    """Frames of one reflection before and after an event."""

    before: np.ndarray
    after: np.ndarray


class Watched(NamedTuple):
    """One series on the common clock."""

    movie: Movie
    speckle_px: float


def watched(results: Sequence[Mapping[str, xr.Dataset]]) -> list[Watched]:
    """Series of all results, with times [s] counted from the beginning of the first.

    Raises
    ------
    XcdiError
        If the clocks do not agree: other frame times, or no common time.
    """
    every = []
    for result in results:
        seen = movie(result["correlation"])
        late = _late(result["events"].attrs, results[0]["events"].attrs)
        speckle = float(result["events"].attrs.get("speckle_px", np.nan))
        if not np.isfinite(speckle):
            speckle = patterns.speckle_width(seen.frames[seen.ok].mean(axis=0, dtype=np.float64), seen.valid)
        every.append(Watched(seen._replace(time=seen.time + late), speckle))
    _one_clock([one.movie.time for one in every])
    return every


def _late(attrs: Mapping[str, Any], origin: Mapping[str, Any]) -> float:
    """Seconds by which a series began after another; 0 where the files do not say, as the result then does."""
    return clock.seconds_between(origin.get("series_start"), attrs.get("series_start")) or 0.0


def told_starts(results: Sequence[Mapping[str, xr.Dataset]]) -> dict[str, str]:
    """A note where the files do not say when the series began: they are then taken to have begun together."""
    if all("series_start" in result["events"].attrs for result in results):
        return {}
    return {"clock_note": "not all files say when their series began; all are taken to have begun together"}


def _one_clock(times: Sequence[np.ndarray]) -> None:
    first, step = times[0], float(np.median(np.diff(times[0])))
    for number, time in enumerate(times[1:], 2):
        own = float(np.median(np.diff(time)))
        if abs(own - step) > UNEVEN * step:
            raise XcdiError(
                f"frames of result 1 come every {step:.4g} s, those of result {number} every {own:.4g} s; give series of one clock"
            )
        common = min(first[-1], time[-1]) - max(first[0], time[0])
        if common < SHARED * min(np.ptp(first), np.ptp(time)):
            raise XcdiError(
                f"result 1 covers {first[0]:.4g} to {first[-1]:.4g} s, result {number} {time[0]:.4g} to {time[-1]:.4g} s; "
                "give series that were taken at the same time"
            )


def joined(events: Sequence[xr.Dataset], series: Sequence[Watched]) -> Joint:
    """Join the events of all reflections that lie nearer than half a search window.

    Artefacts and steps of beam and detector are left out of the reflection that has them.

    Raises
    ------
    XcdiError
        If two reflections have five events or more each and none in common: they are not of one series.
    """
    listed = [_listed(one, seen.movie.time, number) for number, (one, seen) in enumerate(zip(events, series, strict=True))]
    rows = sorted((row for some in listed for row in some), key=lambda row: row[0])
    near = min(_near(one, seen.movie.time) for one, seen in zip(events, series, strict=True))
    groups: list[list[tuple[float, float, int, int, bool]]] = []
    for row in rows:
        taken = groups and any(one[2] == row[2] for one in groups[-1])
        if groups and not taken and row[0] - groups[-1][0][0] <= near:
            groups[-1].append(row)
        else:
            groups.append([row])
    made = np.full((len(groups), len(events)), -1)
    for k, group in enumerate(groups):
        for row in group:
            made[k, row[2]] = row[3]
    _coincide(made)
    first, last = (np.array([pick(row[n] for row in group) for group in groups], float) for pick, n in ((min, 0), (max, 1)))
    return Joint(first, last, made, np.array([any(row[4] for row in group) for group in groups], bool))


def _listed(events: xr.Dataset, time: np.ndarray, number: int) -> list[tuple[float, float, int, int, bool]]:
    """Time of the first and the last frame of the change, reflection, row, and whether it is one of the inside."""
    flags = [str(text) for text in events["flags"].values] if "flags" in events else [""] * events.sizes["event"]
    first, last = (events[name if name in events else "frame"].values.astype(int) for name in ("first_frame", "last_frame"))
    inside = is_avalanche(flags)
    kept = [k for k, text in enumerate(flags) if not set(text.split(", ")) & set(SET_APART)]
    return [(float(time[first[k]]), float(time[last[k]]), number, k, bool(inside[k])) for k in kept]


def _near(events: xr.Dataset, time: np.ndarray) -> float:
    """Half of a search window [s]."""
    return float(events.attrs.get("window", 12)) / 2 * float(np.median(np.diff(time)))


def _coincide(row: np.ndarray) -> None:
    found = row >= 0
    for k in range(1, row.shape[1]):
        few = min(found[:, 0].sum(), found[:, k].sum())
        if few >= ENOUGH and not (found[:, 0] & found[:, k]).any():
            raise XcdiError(f"results 1 and {k + 1} have {few} events or more each and none at the same time; give results of one series")


def sides(joint: Joint, k: int, seen: Movie, longest: int) -> Sides:
    """Good frames before and after an event up to its neighbours, `longest` at most."""
    good = np.flatnonzero(seen.ok)
    start = joint.last[k - 1] if k else -np.inf
    stop = joint.first[k + 1] if k + 1 < len(joint.first) else np.inf
    when = seen.time[good]
    before = good[(when >= start) & (when < joint.first[k])][-longest:]
    return Sides(before, good[(when >= joint.last[k]) & (when < stop)][:longest])


def local_drop(pre: np.ndarray, post: np.ndarray, valid: np.ndarray, speckle_px: float) -> tuple[float, float]:
    """Drop of correlation of counts over an envelope that is narrower than a speckle, and its error.

    Every speckle counts alike then, whichever grain is bright there, and the drop follows the share of the crystal that
    slipped: in simulated particles of 4 grains it scatters between reflections half as much as that over a wide envelope.

    Parameters
    ----------
    pre, post : array, shape (time, row, column)
        Frames before and after, over their brightness; two or more each.
    """
    mean = np.concatenate([pre, post]).mean(axis=0)
    crossover = CROSSOVER / min(len(pre), len(post))
    weights = sizes.noise_weights(mean, valid, envelope_px=max(ENVELOPE * speckle_px, 0.5), crossover=crossover)
    return sizes.drop(sizes.deviations(pre, valid, weights), sizes.deviations(post, valid, weights))


def measured(joint: Joint, series: Sequence[Watched], longest: int) -> xr.Dataset:
    """Drop and shift of every event in every reflection, whether that found it or not.

    Returns
    -------
    Dataset, dims event, reflection
        `drop`, `drop_error` of :func:`local_drop`; `shift_row`, `shift_column`, `shift_error` [pixel] (of either);
        `drop_left` once the shift is undone; NaN with fewer than two frames on a side.
    """
    shape = joint.row.shape
    made = {name: np.full(shape, np.nan) for name in ("drop", "drop_error", "shift_row", "shift_column", "shift_error", "drop_left")}
    for column, one in enumerate(series):
        scale = patterns.frame_scale(one.movie.frames, one.movie.valid, one.movie.ok)
        for k in range(shape[0]):
            parts = sides(joint, k, one.movie, longest)
            if min(part.size for part in parts) < 2:
                continue
            pre, post = (one.movie.frames[part] / scale[part, None, None] for part in parts)
            values = (*local_drop(pre, post, one.movie.valid, one.speckle_px), *_shift(pre, post, one))
            for name, value in zip(made, values, strict=True):
                made[name][k, column] = value
    units = {name: "pixel" if name.startswith("shift") else "1" for name in made}
    return xr.Dataset({name: (("event", "reflection"), values, {"units": units[name]}) for name, values in made.items()})


def _shift(pre: np.ndarray, post: np.ndarray, one: Watched) -> tuple[float, float, float, float]:
    """Rows and columns by which the pattern moved, the error that photons and what changed inside give to either, and what is left."""
    row, column = sizes.register(pre.mean(axis=0), post.mean(axis=0), one.movie.valid)
    back = sizes.shift(post, (-row, -column), one.movie.valid)
    left, error = local_drop(pre, back, one.movie.valid, one.speckle_px)
    noise = max(sizes.shift_error(pre, post, one.movie.valid))
    inner = INNER * one.speckle_px * float(np.sqrt(left)) if left > CLEAR * error else 0.0
    return row, column, float(np.hypot(noise, inner)), left
