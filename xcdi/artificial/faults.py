"""Faults of the detector: what is drawn to go wrong, where and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.instrument import masked_pixels
from xcdi.artificial.profiles import Profile

__all__ = ["BadPixels", "Faults", "LateHot", "Streaks", "artifacts", "box_of", "faults", "rocking_faults"]

SHARES = {"dead": 2e-5, "hot": 1e-5, "flickering": 1e-5}  # of all pixels
FEWEST = {"dead": 6, "hot": 4, "flickering": 3}  # on a small detector
FRAMES_PER_FAULT = 500  # one dropped frame, one doubled, one streak in so many
RESTART_FRAMES = 3
LOST = (2, 8)  # half-open range of the number of frames lost
WEAKEST = 0.05  # response of a pixel that is not dead
Positions = NDArray[np.int64]  # (n, 2) of row and column
Streams = Mapping[str, np.random.Generator]


class BadPixels(NamedTuple):
    """Pixels that lie; rates are counts per frame."""

    dead: Positions
    hot: Positions
    hot_rate: NDArray[np.float64]
    flickering: Positions
    flicker_rate: NDArray[np.float64]


class LateHot(NamedTuple):
    """Pixels that turn hot at `frame`."""

    frame: int
    pixels: Positions
    rate: NDArray[np.float64]


class Streaks(NamedTuple):
    """Straight tracks of cosmic rays, one value for each; and the pixels they cross."""

    frame: NDArray[np.int64]
    row: NDArray[np.float64]  # of its first pixel
    column: NDArray[np.float64]
    angle: NDArray[np.float64]  # [rad] from the columns' direction to the rows'
    length: NDArray[np.float64]  # [px]
    pixels: NDArray[np.int64]  # (n, 3) of frame, row and column
    counts: NDArray[np.int64]  # (n,)


@dataclass(frozen=True)
class Faults:
    """Everything that is wrong with the detector.

    Attributes
    ----------
    flat : array of float32, shape `Profile.detector`
        Response of the pixels relative to their mean.
    pixels : BadPixels
        Dead, hot and flickering pixels.
    dropped, doubled : tuple of int
        Frames that are zero everywhere, and frames that were exposed twice.
    late : LateHot, optional
        Pixels that turn hot during the series.
    restart : tuple of int
        Frames in which the left half of the box reads zero.
    streaks : Streaks, optional
        Tracks of cosmic rays.
    lost : tuple of int
        Frames that were exposed and never written.
    """

    flat: NDArray[np.float32]
    pixels: BadPixels
    dropped: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    late: LateHot | None = None
    restart: tuple[int, ...] = ()
    streaks: Streaks | None = None
    lost: tuple[int, ...] = ()

    @property
    def lasting(self) -> Faults:
        """What is wrong with the pixels at all times, as in a rocking scan."""
        return Faults(self.flat, self.pixels)


def faults(p: Profile, events: Iterable[int], rng: Streams) -> Faults:
    """Draw all faults of the series of profile `p`.

    Parameters
    ----------
    p : Profile
        Which faults there are.
    events : iterable of int
        Frames of events; no frame beside them is dropped or doubled.
    rng : dict
        Streams ``flat``, ``pixels``, ``frames``, ``late``, ``streaks`` and ``lost``: switching one fault off leaves the others as they are.
    """
    pixels, streaks = _bad_pixels(p, rng["pixels"]), _streaks(p, rng["streaks"])
    dropped, doubled = _bad_frames(p, events, streaks.frame, rng["frames"])
    return Faults(
        flat=_flat(p, rng["flat"]),
        pixels=pixels,
        dropped=dropped,
        doubled=doubled,
        late=_late_hot(p, rng["late"]) if p.late_hot else None,
        restart=_restart(p) if p.restart else (),
        streaks=streaks if p.streaks else None,
        lost=_lost(p, rng["lost"]) if p.hole else (),
    )


def rocking_faults(p: Profile, series: Faults, rng: Streams) -> Faults:
    """Return the faults of the rocking scan: those of the pixels, and where it is asked for frames of its own that lie."""
    if not p.rocking_faults:
        return series.lasting
    own = p.model_copy(update={"frames": p.angles})
    children = {name: rng[name].spawn(1)[0] for name in ("streaks", "frames")}
    streaks = _streaks(own, children["streaks"])
    dropped, doubled = _bad_frames(own, [], streaks.frame, children["frames"])
    return replace(series.lasting, dropped=dropped, doubled=doubled, streaks=streaks if p.streaks else None)


def artifacts(f: Faults) -> dict[str, Any]:
    """All that `f` holds under the names of ``truth.h5``; nothing is an empty array."""
    nowhere, never = np.empty((0, 2), np.int64), np.empty(0, np.int64)
    late = f.late or LateHot(-1, nowhere, np.empty(0))
    streaks = f.streaks or Streaks(never, np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty((0, 3), np.int64), never)
    named: dict[str, Any] = {"flat": f.flat, **f.pixels._asdict()}
    named |= {name: np.array(getattr(f, name), np.int64) for name in ("dropped", "doubled", "lost")}
    named |= {"late_hot": late.pixels, "late_frame": late.frame, "late_rate": late.rate, "restart_frames": np.array(f.restart, np.int64)}
    named |= {"streak_frames" if name == "frame" else f"streak_{name}": value for name, value in streaks._asdict().items()}
    return named


def box_of(p: Profile, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square of `side` pixels around the peak."""
    row, column = (centre - side // 2 for centre in p.peak_px)
    return slice(row, row + side), slice(column, column + side)


def _flat(p: Profile, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(p.detector, dtype=np.float32)
    return np.maximum(1 + np.float32(p.flat_sd) * noise, np.float32(WEAKEST))


def _places(p: Profile, nearest: int, farthest: int, number: int, rng: np.random.Generator) -> Positions:
    """Up to `number` unmasked pixels whose row or column is further than `nearest` from the peak, and none as far as `farthest`."""
    rows, columns = np.ogrid[: p.detector[0], : p.detector[1]]
    distance = np.maximum(abs(rows - p.peak_px[0]), abs(columns - p.peak_px[1]))
    allowed = np.flatnonzero(~masked_pixels(p) & (distance > nearest) & (distance < farthest))
    chosen = rng.choice(allowed, min(number, len(allowed)), replace=False)
    return np.stack(np.unravel_index(chosen, p.detector), axis=1).astype(np.int64)


def _bad_pixels(p: Profile, rng: np.random.Generator) -> BadPixels:
    """One of each kind in the box, near the peak only where that is asked for, and the rest beyond the window."""
    number = {kind: max(FEWEST[kind], round(share * p.detector[0] * p.detector[1])) for kind, share in SHARES.items()}
    if not p.bad_pixels:
        none, no_rate = np.empty((0, 2), np.int64), np.empty(0)
        return BadPixels(none, none, no_rate, none, no_rate)
    inside = _places(p, 0 if p.bad_pixels_near else 5 * p.box // 16, p.box // 2, len(number), rng)
    outside = _places(p, p.window // 2, max(p.detector), sum(number.values()) - len(number), rng)
    ends = np.cumsum([0, *(count - 1 for count in number.values())])
    dead, hot, flickering = (np.concatenate([inside[k : k + 1], outside[ends[k] : ends[k + 1]]]) for k in range(3))
    hot_rate = np.exp(rng.uniform(np.log(50), np.log(5000), len(hot)))
    return BadPixels(dead, hot, hot_rate, flickering, rng.uniform(20, 200, len(flickering)))


def _bad_frames(
    p: Profile, events: Iterable[int], crossed: Iterable[int], rng: np.random.Generator
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dropped and doubled frames: not beside an event or the middle, nor where frames may be lost, restart or be `crossed` by a streak.

    Whether those are switched on does not matter, so that switching them changes nothing here.
    """
    order = np.setdiff1d(np.arange(3, p.frames - 3), [*_unseen(p), *crossed])
    taken = np.array([*events, p.frames // 2])
    firsts, seconds = ([int(frame) for frame in rng.permutation(order) if abs(taken - frame).min() > 2] for _ in range(2))
    number = min(_number(p), len(firsts) // 2) if p.bad_frames else 0
    dropped = tuple(firsts[:number])
    return dropped, tuple(frame for frame in seconds if frame not in dropped)[:number]


def _unseen(p: Profile) -> list[int]:
    """Frames that could be lost, or read zero in a part: what else happens there might not be seen."""
    return [*range(p.frames_per_file, p.frames_per_file + LOST[1] - 1), *_restart(p)]


def _number(p: Profile) -> int:
    return max(1, round(p.frames / FRAMES_PER_FAULT))


def _restart(p: Profile) -> tuple[int, ...]:
    first = 3 * p.frames // 4
    return tuple(range(first, min(first + RESTART_FRAMES, p.frames)))


def _late_hot(p: Profile, rng: np.random.Generator) -> LateHot:
    """One pixel of the box that the series is judged in, away from the peak."""
    pixels = _places(p, 5 * p.series_box // 16, p.series_box // 2, 1, rng)
    return LateHot(p.frames // 2, pixels, np.exp(rng.uniform(np.log(50), np.log(500), len(pixels))))


def _streaks(p: Profile, rng: np.random.Generator) -> Streaks:
    """Tracks of 10 to 60 pixels anywhere on the detector, 20 to 500 counts in a pixel."""
    frame = rng.permutation(np.setdiff1d(np.arange(p.frames), _unseen(p)))[: _number(p)]
    number = len(frame)
    row, column = (rng.uniform(0, size - 1, number) for size in p.detector)
    angle, length = rng.uniform(0, 2 * np.pi, number), rng.uniform(10, 60, number)
    steps = np.arange(60)
    crossed = np.stack(np.broadcast_arrays(frame[:, None], *_track(row, column, angle, steps)), axis=-1).reshape(-1, 3)
    counts = rng.integers(20, 501, crossed.shape[0])
    on = (steps < length[:, None]).ravel() & ((crossed[:, 1:] >= 0) & (crossed[:, 1:] < p.detector)).all(axis=1)
    return Streaks(frame, row, column, angle, length, crossed[on], counts[on])


def _track(row: NDArray[Any], column: NDArray[Any], angle: NDArray[Any], steps: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Rows and columns (track, step) of the pixels under tracks of a pixel's length per step."""
    starts = ((row, np.sin(angle)), (column, np.cos(angle)))
    return [np.rint(start[:, None] + steps * slope[:, None]).astype(np.int64) for start, slope in starts]


def _lost(p: Profile, rng: np.random.Generator) -> tuple[int, ...]:
    """Some frames right behind the first data file; none where the series ends there."""
    number = int(rng.integers(*LOST))
    stop = p.frames_per_file + number
    return tuple(range(p.frames_per_file, stop)) if stop < p.frames else ()
