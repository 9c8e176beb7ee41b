"""From pooled figures to verdicts: events, their sizes, shifts, and the boundaries they are ascribed to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from acceptance_verdict import Check, Found, Verdict, at_least, at_most, evidence, judged, many
from scipy.stats import spearmanr

from xcdi.artificial.matching import WINDOW, Matches, match, scorable
from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import power_laws
from xcdi.schema import NOT_AVALANCHES, is_avalanche

HALF = WINDOW // 2
SIZED = 0.05
FLIPS = 20000


@dataclass(frozen=True)
class Series:
    """What was found in one series beside what happened in it."""

    found: dict[str, Any]
    true: dict[str, Any]
    frames: int

    @property
    def times(self) -> np.ndarray:
        """Frames of the true events."""
        return np.array(self.true["frame"], int)

    @property
    def drops(self) -> np.ndarray:
        """Noise-free drops of the true events, by the normalisation N3; 0 where there is none."""
        return np.nan_to_num(np.array(self.true["drop_N3"], float))

    @property
    def hidden(self) -> np.ndarray:
        """True events that nothing can show: slips by a whole lattice period."""
        return np.array([kind == "perfect" for kind in self.true["kind"]], bool)

    @property
    def listed(self) -> list[int]:
        """Detections that are called neither an artefact, nor a jump of the beam, nor a fault of a module."""
        return [k for k, flag in enumerate(self.found["flags"]) if not set(flag.split(", ")) & {"artefact", "beam", "module"}]

    @property
    def internal(self) -> list[int]:
        """Detections that are called nothing else: events of the sample's inside."""
        return [int(k) for k in np.flatnonzero(is_avalanche(self.found["flags"]))]

    def asked(self, drop: float) -> np.ndarray:
        """Which true events must be found: visible, that large, a window away from the ends and half of it from any other."""
        asked, seen = np.zeros(self.times.size, bool), np.flatnonzero(~self.hidden)
        asked[seen] = scorable(self.times[seen], self.drops[seen], self.frames, window=WINDOW, large=drop)
        return asked

    def matches(self, drop: float) -> Matches:
        """Events of `drop` or more that are asked for, each with the one detection that is its own, and the detections that are false.

        An event that is not asked for excuses detections within half a window of it.
        """
        frames = np.array([self.found["frame"][d] for d in self.internal], int)
        made = match(frames, self.times, self.asked(drop), window=WINDOW, hidden=self.hidden)
        return Matches([(k, self.internal[d]) for k, d in made.pairs], [self.internal[d] for d in made.false])

    def late(self, drop: float) -> list[int]:
        """Frames by which the events asked for are found late."""
        return [int(self.found["frame"][d] - self.times[k]) for k, d in self.matches(drop).pairs]

    def exact(self, drop: float) -> list[tuple[int, int]]:
        """Pairs of event and detection that lie within one frame."""
        return [(k, d) for k, d in self.matches(drop).pairs if abs(self.found["frame"][d] - self.times[k]) <= 1]


def series(found: Found, measure: str = "events") -> list[Series]:
    return [Series(one["found"], one["true"], one["frames"]) for one in evidence(found, measure)]


def nothing_found(found: Found) -> Verdict:
    each = [len(one.listed) for one in series(found)]
    total = Check("detections", [float(sum(each))] if each else [], lambda v: v <= 2, apart=[float(n) for n in each])
    return judged([total], f"{len(each)} series of {series(found)[0].frames} frames")


def detection(drop: float, recall: float, precision: float | None = None, *, timing: bool = False) -> Callable[[Found], Verdict]:
    """Return the judge of how many events of `drop` or more are found, and how many of those found are true; rigid motion is no event."""

    def judge(found: Found) -> Verdict:
        all_ = series(found)
        asked, hits = [int(s.asked(drop).sum()) for s in all_], [len(s.exact(drop)) for s in all_]
        listed, false = [len(s.internal) for s in all_], [len(s.matches(drop).false) for s in all_]
        checks = [at_least("recall", _share(hits, asked), recall, apart=_shares(hits, asked))]
        if precision is not None:
            good = [n - f for n, f in zip(listed, false, strict=True)]
            checks += [at_least("precision", _share(good, listed), precision, apart=_shares(good, listed))]
        late = [frames for s in all_ for frames in s.late(drop)]
        checks += [Check("time error [frame]", late, lambda v: abs(v) <= 1)] if timing else []
        told = f"{sum(false)} false of {sum(listed)} detections"
        return judged(checks, f"{many(len(all_), 'seed')}, {sum(asked)} events", told)

    return judge


def _share(part: list[int], whole: list[int]) -> list[float]:
    return [sum(part) / sum(whole)] if sum(whole) else []


def _shares(part: list[int], whole: list[int]) -> list[float]:
    return [p / w for p, w in zip(part, whole, strict=True) if w]


def no_event(found: Found) -> Verdict:
    """Pass where nothing is reported as an internal event."""
    all_ = series(found)
    flags = [flag for s in all_ for flag in s.found["flags"]]
    internal = [float(len(s.internal)) for s in all_]
    words = {word: sum(word in flag.split(", ") for flag in flags) for word in NOT_AVALANCHES}
    middle = sum(any(abs(f - s.frames // 2) <= 1 for f in s.found["frame"]) for s in all_)
    told = f"{many(len(flags), 'detection')}: {', '.join(f'{n} {word}' for word, n in words.items() if n) or 'none called anything'}; "
    told += f"one in the middle frame of {middle} of {len(all_)} series"
    return judged([at_most("internal events", internal, 0)], many(len(all_), "seed"), told)


def perfect(found: Found) -> Verdict:
    all_ = series(found)
    slips = [(s, s.times[k]) for s in all_ for k, kind in enumerate(s.true["kind"]) if kind == "perfect"]
    seen = [float(any(abs(s.found["frame"][d] - frame) <= HALF for d in s.listed)) for s, frame in slips]
    note = "the help of find_events says that a slip by a lattice vector is invisible"
    return judged([at_most("reported", seen, 0)], many(len(slips), "slip"), note)


def doublet(found: Found) -> Verdict:
    """Pairs of which both events are large enough to be found alone must be one event, marked."""
    one, marked = [], []
    for s in series(found):
        for k in np.flatnonzero([kind == "partner" for kind in s.true["kind"]]):
            if min(s.drops[k - 1 : k + 1]) >= 0.03 and WINDOW <= s.times[k - 1] <= s.frames - WINDOW - 4:
                near = [d for d in s.internal if s.times[k - 1] - HALF <= s.found["frame"][d] <= s.times[k] + HALF]
                one.append(float(len(near)))
                marked.append(float(any("possibly merged" in s.found["flags"][d] for d in near)))
    checks = [Check("events", one, lambda v: v == 1), Check("marked", marked, lambda v: v == 1)]
    return judged(checks, f"{len(one)} pairs of D >= 0.03 each")


def size(spread: float) -> Callable[[Found], Verdict]:
    """Return the judge of the drops of events: bias, and standard deviation at most `spread`."""

    def judge(found: Found) -> Verdict:
        each = []
        for s in series(found):
            true = np.array(s.true["drop_N5"], float)
            each.append([s.found["drop"][d] / true[k] - 1 for k, d in s.exact(0.0) if true[k] > SIZED])
        errors = np.concatenate(each) if each else np.array([])
        bias = Check("bias", [float(errors.mean())] if errors.size else [], lambda v: abs(v) < 0.05, apart=[np.mean(e) for e in each if e])
        wide = at_most("sd", [float(errors.std(ddof=1))] if errors.size > 1 else [], spread, apart=[np.std(e) for e in each if len(e) > 1])
        count = f"{many(len(each), 'seed')}, {errors.size} events"
        return judged([bias, wide], count, "events that are found; against the noise-free drop of the same weights (N5)")

    return judge


def size_and_fraction(found: Found) -> Verdict:
    """Rank by the column that ranks best on seeds above 100, and say what the plain drop gives."""
    whitened, plain = (_rank_of(found, name) for name in ("drop_whitened", "drop"))
    count = sum(len(s.exact(0.0)) for s in series(found))
    told = f"by drop_whitened, chosen on other seeds; by drop {plain:.3f}"
    return judged([at_least("Spearman", [whitened], 0.8)], f"{count} events that are found", told)


def _rank_of(found: Found, name: str) -> float:
    pairs = [(s.found[name][d], s.true["fraction"][k]) for s in series(found) for k, d in s.exact(0.0)]
    return float(spearmanr(*zip(*pairs, strict=True))[0]) if len(pairs) > 2 else float("nan")


def shift(found: Found) -> Verdict:
    seen = evidence(found, "shifts")
    each = [np.array(one["errors_px"], float) for one in seen]
    pooled = np.concatenate(each)
    rms = at_most("rms [px]", [float(np.sqrt((pooled**2).mean()))], 0.05, apart=[float(np.sqrt((e**2).mean())) for e in each])
    step = at_most("across the step [px]", [float(np.abs(one["step_error_px"]).max()) for one in seen], 0.05)
    moved = np.concatenate([np.array(one["moved_px"], float) for one in seen])
    note = f"windows of 12 frames against the true motion, a drift and one step of 0.5 px: rms {float(np.sqrt((moved**2).mean())):.2f} px"
    return judged([rms, step], f"{many(len(each), 'seed')}, {len(pooled)} pairs of windows", note)


def kinematics(found: Found) -> Verdict:
    seen = evidence(found, "kinematics")
    largest = [max(one["error"]) for one in seen]
    note = f"largest of four elements; {sum(e <= 1e-4 for e in largest)} of {len(seen)} seeds have all four"
    return judged([at_most("error of an element", largest, 1e-4)], many(len(seen), "seed"), note)


def attribution(top: float | None = 0.6, third: float = 0.9, moved: float | None = 0.9) -> Callable[[Found], Verdict]:
    """Return the judge of the boundaries that events are ascribed to; an event without a boundary counts as wrong."""

    def judge(found: Found) -> Verdict:
        seen = evidence(found, "attribution")
        ranks = [[rank or 0 for rank in one["rank"]] for one in seen]
        bars = (
            ("moved grain", [[bool(mover) for mover in one["moved"]] for one in seen], moved),
            ("top-3", [[1 <= rank <= 3 for rank in some] for some in ranks], third),
            ("top-1", [[rank == 1 for rank in some] for some in ranks], top),
        )
        checks = [_part(label, marks, bar) for label, marks, bar in bars if bar is not None]
        rest = [_part(label, marks, 0).measured for label, marks, bar in bars if bar is None]
        mute = sum(rank is None for one in seen for rank in one["rank"])
        grades = f"grades: {', '.join(str(one['grade']) for one in seen)}"
        told = [*rest, *([f"{mute} events carry no boundary and count as wrong"] if mute else []), grades]
        return judged(checks, f"{many(len(seen), 'seed')}, {sum(map(len, ranks))} events", "; ".join(told))

    return judge


def _part(label: str, marks: list[list[bool]], bar: float) -> Check:
    """Share of the marks of all series; its spread is that of single series."""
    every = [mark for some in marks for mark in some]
    return at_least(label, [float(np.mean(every))] if every else [], bar, apart=[float(np.mean(some)) for some in marks if some])


def exponent(found: Found) -> Verdict:
    """Exponent of the drops found, against that of the noise-free drops of all events."""
    all_ = series(found)
    measured = np.concatenate([[s.found["drop"][d] for d in s.internal] for s in all_])
    true = np.concatenate([np.array(s.true["drop_N5"], float) for s in all_])
    fits = [power_laws.fit_power_law(x[np.isfinite(x)], 0.03, 0.6) for x in (measured, true)]
    apart = abs(fits[0].exponent - fits[1].exponent)
    told = f"tau {fits[0].exponent:.2f} from {fits[0].n} events found, {fits[1].exponent:.2f} from {fits[1].n} noise-free sizes"
    return judged([at_most("difference of tau", [apart], 0.2)], f"{len(all_)} series", told)


def brighter(found: Found) -> Verdict:
    """Mean change of brightness across events, against the same changes with random signs."""
    steps = np.array([s.found["brighter"][d] for s in series(found) for d in s.internal], float)
    steps = steps[np.isfinite(steps)]
    if steps.size < 5:
        raise XcdiError(f"{steps.size} events with frames on both sides; expected 5 or more for a permutation")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, steps.size))
    p = float((np.sum((signs @ steps) / steps.size >= steps.mean()) + 1) / (FLIPS + 1))
    told = f"mean change {steps.mean():+.4f}, sd {steps.std():.4f}; worked out here from mean counts, as no column of the events holds it"
    return judged([Check("p", [p], lambda v: v < 0.01)], f"{len(evidence(found, 'events'))} series, {steps.size} events", told)
