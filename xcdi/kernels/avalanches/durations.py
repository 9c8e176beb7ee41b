"""How long an event takes: the way of the pattern from its old state to its new one, frame by frame, fitted by a smooth transition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["Transition", "progress", "rise", "transition", "two_steps"]

LONGEST = 16.0  # frames
STEP = 0.5  # frames, of the search
PHASES = (0.5, 1.5)  # rad: a path along an arc looks steeper the longer the arc is
SHAPE = 0.1  # of the duration, by which an unknown shape of the way may shift it
SURE = 12.0  # by which a lasting event must fit better than a sudden one, in squared standard deviations


class Transition(NamedTuple):
    """Result of :func:`transition`.

    Attributes
    ----------
    start, length : float
        Best fit: frame in which the change begins (the last of the old state is before it), and how many frames it takes.
    frames, error : float
        How many frames it takes, mean over all likely fits, and its standard error.
    gain : float
        By how much chi squared is less than that of a sudden event, wherever in a frame it happens.
    resolved : bool
        Whether it is known to be longer than one frame.
    sudden : float
        When a sudden event fits best; between two whole numbers for one in the midst of an exposure.
    misfit : float
        Chi squared of the best fit.
    """

    start: float
    length: float
    frames: float
    error: float
    gain: float
    resolved: bool
    sudden: float
    misfit: float


def progress(products: Array, early: Array, late: Array) -> Array:
    r"""How far every frame is on the straight way from the old state to the new one, shape (time,).

    .. math:: p_t = \frac{(x_t - \bar x_e) \cdot (\bar x_l - \bar x_e)}{|\bar x_l - \bar x_e|^2}

    No frame is multiplied with itself, so photon noise does not bias it.

    Parameters
    ----------
    products : array, shape (time, time)
        Scalar products of the deviations of all frames.
    early, late : bool array, shape (time,)
        Frames of the old and of the new state, two or more of each.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0, 0.5, 1.0, 1.0]])
    >>> progress(x.T @ x, x[0] == 0, x[0] == 1).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    other = products.astype(np.float64)
    np.fill_diagonal(other, 0.0)
    n, m = int(early.sum()), int(late.sum())
    to_early = other[:, early].sum(axis=1) / np.where(early, n - 1, n)
    to_late = other[:, late].sum(axis=1) / np.where(late, m - 1, m)
    inside, outside, between = to_early[early].mean(), to_late[late].mean(), to_late[early].mean()
    length = inside + outside - 2 * between
    return (to_late - to_early - between + inside) / length


def rise(frame: Array, start: Array | float, frames: Array | float, phase: float) -> Array:
    r"""Progress of a smooth transition: a phase that grows as :math:`(1 - \cos(\pi k / m)) / 2` at its frame k of m.

    Seen on the straight way between its ends, an arc of `phase` [rad].

    Examples
    --------
    >>> rise(np.arange(4), 1, 2, 0.5).round(2).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    done = (1 - np.cos(np.pi * np.clip((frame - start + 1) / frames, 0, 1))) / 2
    return np.sin(phase * done / 2) * np.cos(phase * (1 - done) / 2) / np.sin(phase / 2)


def transition(way: Array, frame: Array, plateau: Array, around: tuple[float, float]) -> Transition:
    """Fit a smooth transition to the progress of the frames around an event.

    Parameters
    ----------
    way : array, shape (time,)
        From :func:`progress`.
    frame : array, shape (time,)
        Their numbers; frames may be missing.
    plateau : bool array, shape (time,)
        Frames certainly before or after, whose scatter is the noise of `way`.
    around : tuple of float
        First and last frame in which the change may begin.

    Notes
    -----
    A sudden event in the midst of an exposure leaves one frame between the states; a duration is
    resolved if nothing so short explains the frames. Durations are means over all transitions tried, weighed by their likelihood.
    """
    starts = np.arange(around[0], around[1] + STEP / 2, STEP)
    lengths = np.arange(1.0, LONGEST + STEP / 2, STEP)
    model = np.stack([rise(frame, starts[:, None], lengths[:, None, None], phase) for phase in PHASES])
    chi2 = _misfit(way, model, frame) / _noise(way, frame, plateau) ** 2  # (phase, length, start)
    least = float(chi2.min())
    likely = np.exp(-(chi2 - least) / 2)
    of_length = likely.sum(axis=(0, 2)) / lengths  # before it is measured, any order of magnitude is as likely as any other
    of_length /= of_length.sum()
    mean = float(of_length @ lengths)
    error = float(np.sqrt(of_length @ (lengths - mean) ** 2 + STEP**2 / 12 + (SHAPE * mean) ** 2))
    best = np.unravel_index(int(np.argmin(chi2)), chi2.shape)
    gain = float(chi2[:, 0].min()) - least
    sudden = float(starts[int(np.argmin(chi2[:, 0].min(axis=0)))])
    return Transition(float(starts[best[2]]), float(lengths[best[1]]), mean, error, gain, gain > SURE, sudden, least)


def two_steps(way: Array, frame: Array, plateau: Array, at: tuple[int, int], *, off: int = 2) -> float:
    """Chi squared of two sudden steps of any heights, each within `off` frames of its place in `at`, on a linear drift."""
    trend = np.stack([np.ones(frame.size), frame - frame.mean()], axis=1)
    left = []
    for first in range(at[0] - off, at[0] + off + 1):
        for second in range(at[1] - off, at[1] + off + 1):
            model = np.column_stack([trend, frame >= first, frame >= second])
            left.append(float(((way - model @ np.linalg.lstsq(model, way, rcond=None)[0]) ** 2).sum()))
    return min(left) / _noise(way, frame, plateau) ** 2


def _misfit(way: Array, model: Array, frame: Array) -> Array:
    """Squared misfit of each model (..., time) with the height that fits best, on a linear drift; a fall is no fit."""
    trend = np.linalg.qr(np.stack([np.ones(frame.size), frame - frame.mean()], axis=1))[0]
    away, rest = model - (model @ trend) @ trend.T, way - trend @ (trend.T @ way)
    size = np.maximum((away**2).sum(axis=-1), 1e-9)
    return rest @ rest - np.maximum(away @ rest, 0.0) ** 2 / size


def _noise(way: Array, frame: Array, plateau: Array) -> float:
    """Scatter of single frames on the plateaus, from successive differences: a drift adds nothing to it."""
    follows = plateau[1:] & plateau[:-1] & (np.diff(frame) < 4)
    steps = np.diff(way)[follows]
    return max(float(np.sqrt(np.mean(steps**2) / 2)) if steps.size else float(np.std(way)), 1e-6)
