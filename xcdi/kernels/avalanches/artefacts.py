"""What looks like an event and is none: a module that restarts, a beam that jumps, a particle that tilts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from xcdi.backend import Array
from xcdi.kernels.avalanches import patterns

__all__ = ["Block", "Step", "Tilt", "block", "brightness_step", "jumps", "tilt"]

AROUND = 101  # frames of the local baseline
LEAST_BLOCK = 0.02  # of the valid pixels
CLEAR = 8.0  # standard deviations by which a change must stand out of photon noise before a gain is fitted to it
TILTS = 41  # steps tried on either side


class Block(NamedTuple):
    """Rows and columns (half open) whose gain changed, by which factor, the part of the change explained, and how clear it is (z)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    gain: float
    explained: float
    score: float


class Step(NamedTuple):
    """Relative change of brightness, and its error."""

    step: float
    error: float


class Tilt(NamedTuple):
    """Step along the rocking direction [frames of the rocking scan], the part of the change explained, and how alike series and scan are.

    The last is the correlation coefficient of the pattern before with that of the rocking scan at the same angle: a tilt of
    a particle that has changed since explains about its square.
    """

    step: float
    explained: float
    likeness: float


def block(before: Array, after: Array, valid: Array) -> Block:
    """Rectangle of the detector whose gain changed, if one explains the change.

    Parameters
    ----------
    before, after : array, shape (time, y, x)
        Raw counts of the frames on the two sides.
    valid : bool array, shape (y, x)

    Returns
    -------
    Block
        `explained` is near 1 where a module restarts, reads zero or counts twice: within the rectangle all counts change by one
        factor. Where speckles move it is near 0; it is 0 where the change is not clear of photon noise.

    Notes
    -----
    The rectangle is that of the largest Poisson likelihood ratio of two rates against one (Kulldorff, Commun. Stat. Theory
    Methods 26, 1481 (1997)), over columns first and over rows in turn.
    """
    a, b = (np.where(valid, part.sum(axis=0, dtype=np.float64), 0.0) for part in (before, after))
    rows, columns = (0, a.shape[0]), (0, a.shape[1])
    for _ in range(2):
        columns = _segment(a[slice(*rows)].sum(axis=0), b[slice(*rows)].sum(axis=0), _outside(a, b, rows))
        rows = _segment(a[:, slice(*columns)].sum(axis=1), b[:, slice(*columns)].sum(axis=1), _outside(a.T, b.T, columns))
    here = np.zeros(valid.shape, bool)
    here[slice(*rows), slice(*columns)] = True
    inside, outside = here & valid, ~here & valid
    if min(inside.sum(), outside.sum()) < LEAST_BLOCK * valid.sum() or min(a[inside].sum(), a[outside].sum()) <= 0:
        return Block(rows, columns, 1.0, 0.0, 0.0)
    gains = [float(b[part].sum() / a[part].sum()) for part in (inside, outside)]
    common = float(b[valid].sum() / a[valid].sum())
    plain = _excess(a, b, valid, np.full(valid.shape, common))
    rest = _excess(a, b, valid, np.where(here, *gains))
    score = plain / float(np.sqrt(2 * valid.sum()))
    explained = 1 - max(rest, 0.0) / plain if score > CLEAR else 0.0
    return Block(rows, columns, gains[0] / gains[1] if gains[1] > 0 else float("inf"), explained, score)


def _outside(a: Array, b: Array, part: tuple[int, int]) -> tuple[float, float]:
    """Counts of the rows that are not in `part`, before and after."""
    rest = np.ones(len(a), bool)
    rest[slice(*part)] = False
    return float(a[rest].sum()), float(b[rest].sum())


def _segment(a: Array, b: Array, rest: tuple[float, float]) -> tuple[int, int]:
    """Segment of the lines whose counts changed most unlike all others, by likelihood ratio."""
    n = len(a)
    start, stop = np.triu_indices(n + 1, 1)
    sums = [np.concatenate([[0.0], np.cumsum(part)]) for part in (a, b)]
    inside = [s[stop] - s[start] for s in sums]
    total = [float(s[-1]) + other for s, other in zip(sums, rest, strict=True)]
    expected = inside[0] * (total[1] / max(total[0], 1e-12))
    gain = _log_ratio(inside[1], expected) + _log_ratio(total[1] - inside[1], total[1] - expected)
    if start[k := int(np.argmax(gain))] == 0 and stop[k] == n:
        return 0, n
    return int(start[k]), int(stop[k])


def _log_ratio(seen: Array, expected: Array) -> Array:
    good = (seen > 0) & (expected > 0)
    return np.where(good, seen * np.log(np.where(good, seen / np.where(good, expected, 1.0), 1.0)), 0.0)


def _excess(a: Array, b: Array, valid: Array, gain: Array) -> float:
    """Squared misfit of ``b = gain a`` beyond what photon noise leaves."""
    mean = gain * (a + b) / (1 + gain)
    variance = mean + gain * mean  # of b - gain a, with a of mean / gain
    good = valid & (variance > 0)
    return float((((b - gain * a)[good] ** 2) / np.maximum(variance[good], 1e-12) - 1).sum())


def brightness_step(before: Array, after: Array, *, photons: float) -> Step:
    """Relative change of brightness between two groups of frames.

    Parameters
    ----------
    before, after : array, shape (time,)
        Counts of every frame, over the monitor where there is one.
    photons : float
        Photons of one frame: their noise is the least that the scatter of frames is taken for.

    Examples
    --------
    >>> round(brightness_step(np.array([10.0, 10.0]), np.array([11.0, 11.0]), photons=1e6).step, 3)
    0.1
    """
    if min(before.size, after.size) < 2 or not before.mean() > 0:
        return Step(float("nan"), float("nan"))
    ratio = float(after.mean() / before.mean())
    shares = [max(float(np.var(part, ddof=1)) / part.mean() ** 2, 1 / max(photons, 1.0)) / part.size for part in (before, after)]
    return Step(ratio - 1, ratio * float(np.sqrt(sum(shares))))


def jumps(level: Array, ok: Array, *, window: int = 12, sigmas: float = 8.0, least: float = 0.02) -> tuple[Array, Array]:
    """Frames from which on a level is higher or lower at once, and how many standard deviations that is.

    Parameters
    ----------
    level : array, shape (time,)
        Brightness of every frame, or its monitor.
    ok : bool array, shape (time,)
        Frames that count.
    window : int
        Good frames on either side.
    sigmas : float
        Least change in robust standard deviations of the local changes.
    least : float
        Least relative change.

    Returns
    -------
    frame, score : arrays, shape (jump,)

    Examples
    --------
    >>> level = np.where(np.arange(90) < 40, 100.0, 80.0) + np.tile([0.0, 1.0, -1.0], 30)
    >>> jumps(level, np.ones(90, bool))[0].tolist()
    [40]
    """
    good = np.flatnonzero(ok & (level > 0))
    if good.size < 3 * window:
        return np.zeros(0, int), np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(np.log(level[good]))])
    middle = np.arange(window, good.size - window + 1)
    change = (total[middle + window] - 2 * total[middle] + total[middle - window]) / window
    away = change - ndimage.median_filter(change, size=min(AROUND, change.size), mode="nearest")
    single = float(np.median(np.abs(np.diff(np.log(level[good]))))) / 0.6745 / np.sqrt(2)
    spread = max(1.4826 * float(np.median(np.abs(away))), single * float(np.sqrt(2 / window)), 1e-9)
    size = np.abs(away)
    peak = (size == ndimage.maximum_filter1d(size, 2 * window + 1, mode="nearest")) & (size > max(sigmas * spread, least))
    return good[middle[peak]], size[peak] / spread


def tilt(before: Array, after: Array, valid: Array, rocking: Array, offset: float, *, reach: float = 1.0) -> Tilt:
    r"""Step along the rocking direction that explains a change of the pattern, from the measured rocking scan.

    A turn about the rocking axis moves no speckle on the detector: it shows the neighbouring plane of the same
    three-dimensional pattern, which the rocking scan has measured.

    Parameters
    ----------
    before, after : array, shape (time, y, x)
        Counts over the brightness of their frame.
    valid : bool array, shape (y, x)
    rocking : array, shape (angle, y, x)
        Counts of the rocking scan on the same pixels.
    offset : float
        Angle of the series, in frames of the rocking scan.
    reach : float
        Largest step tried, in frames of the rocking scan.

    Returns
    -------
    Tilt
        `explained` is near 1 for a tilt of the whole particle, near 0 for a slip.
    """
    pre, post = before.mean(axis=0), after.mean(axis=0)
    sigma = 0.7
    smooth = [patterns.smooth_valid(image, valid, sigma) for image in (pre, post)]
    noise = np.where(valid, smooth[0] / len(before) + smooth[1] / len(after), 0.0)
    weight = np.where(valid, 1 / (noise + 0.02 * float(pre[valid].mean()) / len(before)), 0.0)
    seen = np.where(valid, post - pre, 0.0)
    share = float((weight * (pre / len(before) + post / len(after)))[valid].sum())
    plain = float((weight * seen**2).sum()) - share
    if not plain > 0:
        return Tilt(0.0, 0.0, float("nan"))
    steps = np.linspace(-reach, reach, 2 * TILTS + 1)
    planes = _planes(rocking, offset + np.append(0.0, steps))
    reference = planes[0]
    scale = float(pre[valid].sum() / max(reference[valid].sum(), 1e-12))
    misfit = [_misfit(seen, weight, valid, scale, reference, turned) for turned in planes[1:]]
    best = int(np.argmin(misfit))
    alike = float(np.corrcoef(reference[valid], smooth[0][valid])[0, 1])
    return Tilt(float(steps[best]), 1 - max(misfit[best] - share, 0.0) / plain, alike)


def _misfit(seen: Array, weight: Array, valid: Array, scale: float, reference: Array, turned: Array) -> float:
    """Misfit of the change that a turn makes, both patterns of the same brightness."""
    same = turned * float(reference[valid].sum() / max(turned[valid].sum(), 1e-12))
    return float((weight * (seen - scale * (same - reference)) ** 2)[valid].sum())


def _planes(rocking: Array, at: Array) -> Array:
    """Patterns between the frames of the rocking scan, (step, y, x), by the trigonometric polynomial through all frames."""
    n = len(rocking)
    order = np.arange(-(n // 2) + 1 - n % 2, n // 2 + 1)
    turns = at[:, None] - np.arange(n)
    share = np.where(2 * order == n, 0.5, 1.0) + np.where(2 * order == -n, 0.5, 0.0)
    weights = (np.cos(2 * np.pi * turns[..., None] * order / n) * share).sum(axis=-1) / n
    return np.maximum(np.tensordot(weights, rocking, axes=(1, 0)), 0.0)
