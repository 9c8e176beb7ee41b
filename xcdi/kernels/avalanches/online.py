"""Events while frames come in: one pass over each frame, bounded memory, and an answer within a window and five frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import events, injection, patterns, sizes
from xcdi.kernels.avalanches.injection import Whitening
from xcdi.kernels.avalanches.steps import SHORTEST, noise_level, scan_statistic

__all__ = ["LATEST", "Announcement", "OnlineScan"]

LATEST = 5  # frames beyond a window after which a step is no longer looked for
KEPT = 8  # windows of good frames that are kept
SURROGATES = 5000  # frames of them behind a threshold
CLEAR = 2.0  # part of what is asked that a step must reach to be announced before its window is full
REFINED = 2  # frames that a step may move by while its window fills
BEFORE = 10.0  # z that is asked for while there are too few frames for surrogates
BRIGHTNESS, AROUND = 8.0, 31  # a frame whose brightness leaps by so many standard deviations from the last frames is left out,
AGREE = 3  # unless so many in a row agree: an event changes the brightness too
WITHIN = 18  # most frames on either side that measure a drop


class Announcement(NamedTuple):
    """An event found as it happened.

    Attributes
    ----------
    frame : int
        First frame of the new state, counted from the first frame pushed.
    known : int
        The frame with which it was announced.
    score : float
        z with the frames so far.
    drop, drop_error : float
        From the frames so far, at most 18 on either side.
    artefact : bool
        A few pixels alone made it; they are left out from then on.
    """

    frame: int
    known: int
    score: float
    drop: float
    drop_error: float
    artefact: bool


class OnlineScan:
    """The scan of :func:`xcdi.kernels.avalanches.events.find_events`, fed frame by frame.

    Parameters
    ----------
    valid : bool array, shape (y, x)
        Pixels to trust.
    window : int
        Frames on either side.
    false_alarms : float
        Wanted false alarms of photon noise in 10 000 frames.
    seed : int
        Seed of the surrogates behind the threshold.

    Notes
    -----
    A step is announced once its window is full, or as soon as half a window shows it at twice the z that is asked. Steps nearer to each
    other than half a window are one event. Each frame becomes a vector once and is multiplied with those of the last eight windows;
    weights and threshold are made anew whenever the number of good frames has doubled, from the mean of all frames and from
    surrogates of those kept. Until there are enough for these, only steps of z 10 or more are announced.
    """

    def __init__(self, valid: Array, *, window: int = 12, false_alarms: float = 0.2, seed: int = 0) -> None:
        self.valid, self.window, self.false_alarms, self.seed = valid.copy(), window, false_alarms, seed
        self.pushed = self.good = 0
        self.level = BEFORE
        self._total = np.zeros(valid.shape)
        self._brightness: deque[float] = deque(maxlen=AROUND)
        self._leaping: list[tuple[int, Array, float]] = []  # number, frame and brightness of those that wait for others to agree
        self._frames: deque[Array] = deque(maxlen=KEPT * window)
        self._numbers: deque[int] = deque(maxlen=KEPT * window)
        self._vectors = np.zeros((0, int(valid.size)), np.float32)
        self._products = np.zeros((0, 0))
        self._steps: list[int] = []  # numbers of frames
        self._rule: Whitening | None = None
        self._noise, self._width, self._due = float("nan"), 1.0, 2 * window

    @property
    def settled(self) -> bool:
        """Whether the threshold comes from surrogates."""
        return self.good >= events.frames_needed(self.window)

    def push(self, frame: Array, ok: bool = True) -> list[Announcement]:
        """Take the next frame (y, x), counts; return what is certain since the last one."""
        number, self.pushed = self.pushed, self.pushed + 1
        total = float(frame[self.valid].sum(dtype=np.float64)) if ok else 0.0
        return [one for taken in self._steady(number, frame, total) for one in self._take(*taken)]

    def _take(self, number: int, frame: Array, total: float) -> list[Announcement]:
        """Add a good frame; return what is certain since the last one."""
        self._brightness.append(total)
        self.good += 1
        self._total += frame
        self._frames.append(np.asarray(frame, np.float32))
        self._numbers.append(number)
        if self._rule is not None:
            self._append(self._vector(frame))
        if self.good >= self._due:
            self._renew()
        return self._announced() if self._rule is not None else []

    def distrust(self, rows: Array, columns: Array) -> None:
        """Leave out some pixels from now on."""
        if self.valid[rows, columns].any():
            self.valid[rows, columns] = False
            if self._rule is not None:
                self._weigh()

    def _steady(self, number: int, frame: Array, total: float) -> list[tuple[int, Array, float]]:
        """Frames that can be used now: this one if it is as bright as those before it, or all that leapt if they agree."""
        if not total > 0:
            return []
        if _as_bright(total, self._brightness):
            self._leaping.clear()
            return [(number, frame, total)]
        if self._leaping and not _as_bright(total, [was for *_, was in self._leaping], least=1):
            self._leaping.clear()
        self._leaping.append((number, frame.copy(), total))
        if len(self._leaping) < AGREE:
            return []
        taken, self._leaping = self._leaping, []
        self._brightness.clear()
        return taken

    def _vector(self, frame: Array) -> Array:
        assert self._rule is not None
        brightness = float(frame[self.valid].sum(dtype=np.float64) / self._rule.mean[self.valid].sum())
        return self._rule(np.asarray(frame, np.float32)[None] / brightness)[0]

    def _append(self, vector: Array) -> None:
        """Add a vector, and its products with those kept."""
        keep = min(len(self._vectors), len(self._frames) - 1)
        self._vectors = np.concatenate([self._vectors[len(self._vectors) - keep :], vector[None]])
        products = np.empty((keep + 1, keep + 1))
        products[:-1, :-1] = self._products[len(self._products) - keep :, len(self._products) - keep :]
        products[-1] = products[:, -1] = self._vectors @ vector
        self._products = products

    def _renew(self) -> None:
        """Weights anew, and a threshold from surrogates where there are frames enough."""
        self._due = 2 * self.good if self.settled else events.frames_needed(self.window)
        products = self._weigh()
        if self.settled:
            known = self._known()
            tail = events.noise_tail(products, self.window, breaks=known, frames=SURROGATES, seed=self.seed, noise=self._noise).tail
            self.level = tail.level(self.false_alarms)

    def _weigh(self) -> Array:
        """Weights from the mean of all frames, vectors of those kept; return their products."""
        mean = self._total / self.good
        self._width = patterns.speckle_width(mean, self.valid)
        self._rule = injection.whitening(mean, self.valid, self._width)
        self._vectors = np.stack([self._vector(frame) for frame in self._frames])
        self._products = np.asarray(self._vectors @ self._vectors.T, np.float64)
        products = patterns.fill_diagonal(self._products)
        self._noise = noise_level(products)
        return products

    def _known(self) -> tuple[int, ...]:
        """Steps announced before, counted in the frames kept."""
        numbers = np.array(self._numbers)
        return tuple(int(k) for k in np.searchsorted(numbers, [s for s in self._steps if s > numbers[0]]))

    def _announced(self) -> list[Announcement]:
        """Steps of the last frames that are certain now."""
        products = patterns.fill_diagonal(self._products)
        self._refine(products)
        count, known = len(products), self._known()
        found = []
        for step, z, asked in self._steps_in(products, known):
            seen = count - step
            apart = min((abs(step - b) for b in known), default=count) >= events.merges_below(self.window)
            if apart and (seen >= self.window or (seen >= self.window // 2 and z >= CLEAR * asked)):
                found.append(self._measured(step, z))
                self._steps.append(int(self._numbers[step]))
        self._leave_out(found)
        return found

    def _refine(self, products: Array) -> None:
        """Move steps whose windows are not full yet to where more frames put them, so that what is left of them is no event."""
        numbers = list(self._numbers)
        for k, number in enumerate(self._steps):
            if number > numbers[max(len(numbers) - self.window - LATEST, 0)]:
                step = numbers.index(number)
                others = tuple(b for b in self._known() if b != step)
                part = (max(step - REFINED, 0), min(step + REFINED + 1, len(numbers)))
                z = scan_statistic(products, self.window, noise=self._noise, breaks=others, part=part)
                self._steps[k] = numbers[part[0] + int(np.argmax(z))]

    def _steps_in(self, products: Array, known: tuple[int, ...]) -> list[tuple[int, float, float]]:
        """Steps in the last frames with their z and the z that is asked, the clearest first; each ends the windows of the next."""
        count, breaks = len(products), known
        first = max(count - self.window - LATEST, SHORTEST)
        found: list[tuple[int, float, float]] = []
        while True:
            z = scan_statistic(products, self.window, noise=self._noise, breaks=breaks, part=(first, count))
            if not z.size or not z.max() >= self.level:
                return found
            best = first + int(np.argmax(z))
            breaks = tuple(sorted((*breaks, best)))
            found.append((best, float(z.max()), self._asked(products, breaks, best)))
            if found[-1][1] < found[-1][2]:
                found.pop()

    def _asked(self, products: Array, breaks: tuple[int, ...], step: int) -> float:
        """The z that the surroundings of a step ask of it."""
        quiet = scan_statistic(products, self.window, noise=self._noise, breaks=breaks)
        base, width = events.baseline(np.where(np.isfinite(quiet), quiet, np.nan), (step,), self.window)
        return float(base[0] + self.level * width[0])

    def _measured(self, step: int, z: float) -> Announcement:
        """Size of a step from the frames on its sides, as far as the next steps."""
        known = self._known()
        start = max([step - WITHIN, 0, *(b for b in known if b < step)])
        stop = min([step + WITHIN, len(self._frames), *(b for b in known if b > step)])
        around = np.stack([self._frames[k] for k in range(start, stop)])
        around /= around[:, self.valid].mean(axis=1)[:, None, None]
        weighting = sizes.noise_weights(self._total / self.good, self.valid)
        vectors = sizes.deviations(around, self.valid, weighting)
        drop, error = sizes.drop(vectors[: step - start], vectors[step - start :])
        return Announcement(int(self._numbers[step]), self.pushed - 1, z, drop, error, bool(self._alone(step).size))

    def _alone(self, step: int) -> Array:
        """Pixels that alone make a step."""
        start, stop = max(step - self.window, 0), min(step + self.window, len(self._frames))
        around = np.stack([self._frames[k] for k in range(start, stop)])
        return sizes.collapses(around, self.valid, step - start, speckle_px=self._width)

    def _leave_out(self, found: list[Announcement]) -> None:
        """Trust no longer the pixels that made a step alone."""
        numbers = list(self._numbers)
        pixels = [self._alone(numbers.index(one.frame)) for one in found if one.artefact]
        if pixels:
            self.distrust(*np.concatenate(pixels).T)


def _as_bright(total: float, past: Iterable[float], *, least: int = SHORTEST) -> bool:
    """Whether a frame is as bright as those before it; of fewer than `least` nothing can be said, and it is."""
    known = np.array(list(past))
    if known.size < least:
        return True
    middle = float(np.median(known))
    spread = max(1.4826 * float(np.median(np.abs(known - middle))), np.sqrt(middle))
    return abs(total - middle) <= BRIGHTNESS * spread
