"""True size of an event: the drop of correlation that it makes in frames without noise.

The estimator is that of the analysis, written anew, so that the analysis can be judged by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["ENVELOPE_PX", "NORMALISATIONS", "WINDOW", "drops"]

WINDOW = 18
ENVELOPE_PX = 8.0
Frames = NDArray[np.float64]


def _envelope(mean: Frames, sigma: float) -> Frames:
    return np.maximum(ndimage.gaussian_filter(mean, sigma), 1e-12)


def smooth_envelope(frames: Frames, envelope: Frames) -> Frames:
    """N3: counts over their smooth time average, every frame over its mean; pixels weigh alike."""
    scaled = frames / envelope
    return scaled / scaled.mean(axis=(1, 2), keepdims=True) - 1


def covariance(frames: Frames, envelope: Frames) -> Frames:
    """N4: deviation from the frame's mean over the frame's own standard deviation."""
    away = frames - frames.mean(axis=(1, 2), keepdims=True)
    return away / away.std(axis=(1, 2), keepdims=True)


def noise_weighted(frames: Frames, envelope: Frames, *, half: float = 2.0) -> Frames:
    """N5: counts over their envelope S, weighted with S / (S + `half`): between N4 where S is small and N3 where it is large."""
    weight = envelope / (envelope + half)
    away = frames / envelope
    away = away - (away * weight**2).sum(axis=(1, 2), keepdims=True) / (weight**2).sum()
    return away * weight


NORMALISATIONS: dict[str, Callable[[Frames, Frames], Frames]] = {"N3": smooth_envelope, "N4": covariance, "N5": noise_weighted}


def drops(
    frames: NDArray[Any],
    events: Sequence[int],
    durations: Sequence[int] | None = None,
    *,
    window: int = WINDOW,
    sigma: float = ENVELOPE_PX,
) -> dict[str, Frames]:
    r"""Return the drop of correlation at each event, for every normalisation.

    .. math:: D = 1 - \langle C \rangle_{pre,post} / \sqrt{\langle C \rangle_{pre,pre} \langle C \rangle_{post,post}}

    Parameters
    ----------
    frames : array, shape (time, row, column)
        Noise-free intensity [photons]; it may lie on disk, and is read a window at a time.
    events : sequence of int
        First frame of the new state of each event, rising.
    durations : sequence of int, optional
        Frames that each event takes; those before its last are left out. By default 1.
    window : int
        Most frames to use on either side; never across another event.
    sigma : float
        Width of the Gaussian that smooths the time average into an envelope [px].

    Returns
    -------
    dict of arrays, shape (event,)
        0 for no change. NaN where an event leaves fewer than two frames on one side,
        or frames of one side have nothing in common.
    """
    envelope = _envelope(_mean(frames), sigma)
    waits = [1] * len(events) if durations is None else durations
    ends = [*events[1:], len(frames)]
    starts = [0, *(frame + wait - 1 for frame, wait in zip(events, waits, strict=True))]
    found = []
    for k, (frame, wait) in enumerate(zip(events, waits, strict=True)):
        settled = frame + wait - 1
        before = frames[max(starts[k], frame - window) : frame]
        after = frames[settled : min(ends[k], settled + window)]
        found.append(_drops(np.asarray(before, np.float64), np.asarray(after, np.float64), envelope))
    return {name: np.array([one[name] for one in found]) for name in NORMALISATIONS}


def _mean(frames: NDArray[Any], block: int = 64) -> Frames:
    """Time average, a block at a time."""
    total = np.zeros(frames.shape[1:])
    for start in range(0, len(frames), block):
        total += np.asarray(frames[start : start + block], np.float64).sum(axis=0)
    return total / len(frames)


def _drops(before: Frames, after: Frames, envelope: Frames) -> dict[str, float]:
    if min(len(before), len(after)) < 2:
        return dict.fromkeys(NORMALISATIONS, float("nan"))
    return {name: _drop(scale(before, envelope), scale(after, envelope)) for name, scale in NORMALISATIONS.items()}


def _drop(before: Frames, after: Frames) -> float:
    before, after = (block.reshape(len(block), -1) for block in (before, after))
    within = [_mean_of_pairs(block) for block in (before, after)]
    if min(within) <= 0:
        return float("nan")
    return float(1 - before.mean(axis=0) @ after.mean(axis=0) / np.sqrt(within[0] * within[1]))


def _mean_of_pairs(block: Frames) -> float:
    """Mean scalar product of two different frames of `block`."""
    n, total = len(block), block.sum(axis=0)
    return float((total @ total - (block**2).sum()) / (n * (n - 1)))
