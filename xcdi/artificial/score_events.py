"""Judge of avalanches: events found, missed and imagined, their times and sizes, and motion that is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from xcdi.artificial.cases import Light, light_of
from xcdi.artificial.compared import Compared
from xcdi.artificial.matching import NEAR, Matches, close_pairs, match, scorable
from xcdi.artificial.score_files import frame_numbers
from xcdi.artificial.verdict import Row, Skipped, at_least, at_most, missing, of_stage
from xcdi.schema import is_avalanche

__all__ = ["Hearing", "hear", "rows"]

SIZED = 0.05  # drop from which its size must be right
JUDGED_BY = "N3"  # normalisation of the drop that decides whether an event is large
FALSE_SHARE = 0.05  # one less precision
TIME_ERROR = 1  # frames
BIAS, MANY = 0.05, 10  # mean and spread are told apart from that many events on
SPEARMAN, RANKED = 0.8, 20  # a rank correlation of few says little
SHIFT_PX = 0.05
MERGED = 0.9


@dataclass(frozen=True)
class Hearing:
    """Detections and true events of one series.

    Attributes
    ----------
    frame, drop : array, shape (detection,)
        Exposure that shows the new state; measured drop of correlation (NaN if it is not stored).
    flags : list of str
        What the result says of each.
    true, last : array of int, shape (event,)
        First and last exposure of each true event.
    large, same : array, shape (event,)
        Noise-free drop that decides what is asked, and by the normalisation of the result.
    fraction : array, shape (event,)
        Changed fraction of the object.
    hidden : array of bool, shape (event,)
        Slips by a whole lattice period, which nothing can show.
    """

    frame: NDArray[np.int64]
    drop: NDArray[np.float64]
    flags: list[str]
    true: NDArray[np.int64]
    last: NDArray[np.int64]
    large: NDArray[np.float64]
    same: NDArray[np.float64]
    fraction: NDArray[np.float64]
    hidden: NDArray[np.bool_]
    length: int
    light: Light

    @cached_property
    def internal(self) -> NDArray[np.int64]:
        """Detections that the result takes for events of the sample's inside."""
        return np.flatnonzero(is_avalanche(self.flags))

    @cached_property
    def asked(self) -> NDArray[np.bool_]:
        """Which true events must be found."""
        asked = np.zeros(len(self.true), bool)
        asked[self.askable] = np.nan_to_num(self.large[self.askable]) >= self.light.drop
        return asked

    @cached_property
    def askable(self) -> NDArray[np.int64]:
        """Visible events far enough from the ends and from each other, whatever their size."""
        seen = np.flatnonzero(~self.hidden)
        return seen[scorable(self.true[seen], np.abs(self.large[seen]), self.length, large=0.0)]

    @cached_property
    def matches(self) -> Matches:
        """Events asked for and the detections that meet them."""
        return self._matched(self.asked)

    @cached_property
    def every(self) -> list[tuple[int, int]]:
        """All visible events, large or small, with the detection within a frame of each."""
        return [(t, d) for t, d in self._matched(~self.hidden).pairs if abs(self.error(t, d)) <= TIME_ERROR]

    def _matched(self, asked: NDArray[np.bool_]) -> Matches:
        found = match(self.frame[self.internal], self.true, asked, last=self.last, hidden=self.hidden)
        return Matches([(t, int(self.internal[d])) for t, d in found.pairs], [int(self.internal[d]) for d in found.false])

    def error(self, true: int, found: int) -> int:
        """Frames by which a detection is late; 0 while the event lasts."""
        return int(max(self.frame[found] - self.last[true], 0) - max(self.true[true] - self.frame[found], 0))

    def ratios(self, *, least: float = SIZED) -> NDArray[np.float64]:
        """Measured over noise-free drop of the events asked for and found, from `least` on."""
        return np.array([self.drop[d] / self.same[t] for t, d in self.matches.pairs if self.same[t] >= least], float)

    def hidden_reported(self) -> int:
        """How many slips by a lattice period are reported, where nothing else happens."""
        seen = self.true[~self.hidden]
        alone = [t for t in self.true[self.hidden] if np.abs(seen - t).min(initial=self.length) > 2 * NEAR]
        return sum(bool((np.abs(self.frame[self.internal] - t) <= NEAR).any()) for t in alone)

    def doublets(self) -> list[bool]:
        """For every two events too close to part: whether they are told as one, or both found.

        The one must be flagged as possibly merged, unless one of the two is too small to be asked for.
        """
        told = []
        for one, two in close_pairs(self.true, self.length):
            sizes = np.nan_to_num(self.large[[one, two]])
            if sizes.max() < self.light.drop:
                continue
            near = [d for d in self.internal if self.true[one] - 6 <= self.frame[d] <= self.last[two] + 6]
            both = len(near) == 2 and abs(self.error(one, near[0])) <= 1 and abs(self.error(two, near[1])) <= 1
            single = len(near) == 1 and (sizes.min() < self.light.drop or "merged" in self.flags[near[0]])
            told.append(both or single)
        return told


def hear(seen: Compared) -> Hearing | None:
    """Return detections and true events, or None if no result holds events or the truth knows none."""
    found, truth = seen["entry/events/frame"], seen.truth
    if found is None or "events/frame" not in truth:
        return None
    ok = seen["entry/twotime/frame_ok"]
    numbers = frame_numbers(seen, int(truth.config["frames"]) if ok is None else len(ok))
    true = truth["events/frame"]
    flags, drop = seen["entry/events/flags"], seen["entry/events/drop"]
    name = seen.word("normalisation", under="entry/events") or seen.word("normalisation") or "N5"
    kinds = [_text(kind) for kind in truth["events/kind"]] if "events/kind" in truth else [""] * len(true)
    lasting = truth["events/duration"] if "events/duration" in truth else np.ones(len(true), int)
    return Hearing(
        frame=numbers[np.asarray(found, int)] if len(found) else np.zeros(0, int),
        drop=np.full(len(found), np.nan) if drop is None else np.asarray(drop, float),
        flags=[""] * len(found) if flags is None else [_text(flag) for flag in flags],
        true=true,
        last=true + lasting - 1,
        large=truth[f"events/drop_{JUDGED_BY}"],
        same=truth[same] if (same := f"events/drop_{name}") in truth else np.full(len(true), np.nan),
        fraction=truth["events/fraction"],
        hidden=np.array([kind == "perfect" for kind in kinds], bool),
        length=int(truth.config["frames"]),
        light=light_of(truth.config),
    )


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of avalanches; figures of which the truth has no case are left out.

    What the result itself flags as rigid or as an artefact is not counted as an event.
    """
    heard = hear(seen)
    if heard is None:
        yield Skipped("events", "no result holds events" if not seen.has("entry/events/frame") else "the truth holds none")
        return
    yield from of_stage("events", _found_rows(heard))
    yield from of_stage("size", _size_rows(heard))
    yield from of_stage("rigid shift", _shift_row(seen, heard))


def _found_rows(heard: Hearing) -> Iterator[Row | Skipped]:
    asked, matches = int(heard.asked.sum()), heard.matches
    if asked:
        name = f"events found of {asked} with a drop of {heard.light.drop:g} or more"
        yield at_least(name, len(matches.pairs) / asked, heard.light.recall)
    found = len(heard.internal)
    yield at_most(f"false events of {found} reported", len(matches.false), int(FALSE_SHARE * found) if len(heard.true) else 0)
    if matches.pairs:
        late = max(abs(heard.error(t, d)) for t, d in matches.pairs)
        yield at_most(f"time of {len(matches.pairs)} events, largest error [frame]", late, TIME_ERROR)
    doublets = heard.doublets()
    if doublets:
        name = f"events too close to part, told as one possibly merged or both, share of {len(doublets)}"
        yield at_least(name, float(np.mean(doublets)), MERGED)
    if heard.hidden.any():
        yield at_most("slips by a lattice period that are reported", heard.hidden_reported(), 0)


def _size_rows(heard: Hearing) -> Iterator[Row | Skipped]:
    """Compare with the drop that the same normalisation gives without noise, and with what really changed."""
    name = "drop of correlation, rms relative error"
    spread = heard.light.spread
    if np.isnan(heard.drop).all() and len(heard.drop):
        yield missing(name, f"<= {_together(spread):g}")
        return
    ratios = heard.ratios()
    if len(ratios) >= MANY:
        yield at_most(f"drop of correlation, mean relative error of {len(ratios)}", abs(ratios.mean() - 1), BIAS)
        yield at_most(f"drop of correlation, relative spread of {len(ratios)}", ratios.std(ddof=1), spread)
    elif len(ratios):
        yield at_most(f"{name} of {len(ratios)}", np.sqrt(np.mean((ratios - 1) ** 2)), _together(spread))
    else:
        yield Skipped("size of events", f"none of drop {SIZED:g} or more was found")
    if len(heard.every) >= RANKED:
        true, found = np.array(heard.every).T
        rank = stats.spearmanr(heard.drop[found], heard.fraction[true]).statistic
        yield at_least(f"drop against the changed fraction, rank correlation of {len(found)}", float(rank), SPEARMAN)


def _together(spread: float) -> float:
    """Bar on the rms of a bias and a spread, in whole per cent."""
    return float(np.ceil(100 * np.hypot(BIAS, spread)) / 100)


def shift_errors(seen: Compared, heard: Hearing) -> list[float]:
    """Errors [px], rows and columns, of the shift at a step of the whole pattern, if it was detected."""
    step, moved = seen.truth.config.get("step_px", 0.0), [seen[f"entry/events/shift_{name}"] for name in ("row", "column")]
    sides = [seen[f"entry/events/frames_{side}"] for side in ("before", "after")]
    if not step or "motion/shift" not in seen.truth or any(part is None for part in (*moved, *sides)):
        return []
    path, middle = seen.truth["motion/shift"], heard.length // 2
    errors: list[float] = []
    for k in np.flatnonzero(np.abs(heard.frame - middle) <= TIME_ERROR):
        before, after = (int(side[k]) for side in sides if side is not None)
        true = path[middle : middle + after].mean(axis=0) - path[middle - before : middle].mean(axis=0)
        errors += [float(values[k] - there) for values, there in zip(moved, true, strict=True) if values is not None]
    return errors


def _shift_row(seen: Compared, heard: Hearing) -> Iterator[Row | Skipped]:
    errors = shift_errors(seen, heard)
    if errors:
        yield at_most("shift of the whole pattern, rms error [px]", np.sqrt(np.mean(np.square(errors))), SHIFT_PX)
