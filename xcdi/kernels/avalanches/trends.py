"""Whether a signal rises where events are: brightness after events, tested by random signs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["Trend", "step_trend"]


class Trend(NamedTuple):
    """Result of :func:`step_trend`: weighted mean step, its standard error, the chance of one as high, and the steps that counted."""

    mean: float
    error: float
    p: float
    n: int


def step_trend(steps: Array, weights: Array, *, n: int = 4000, seed: int = 0) -> Trend:
    """Mean step across events, and whether it is above that of chance.

    Parameters
    ----------
    steps : array, shape (event,)
        Relative change of a signal from before to after each event; NaN where there is none.
    weights : array, shape (event,)
        For example the drop of every event; a scale means nothing.
    n, seed : int
        Samples of chance, and their seed.

    Notes
    -----
    One-sided: the chance of a mean as high. Steps get random signs, which supposes that without an effect
    steps up and down are equally likely: a trend of the whole series counts as a rise.
    """
    x, w = np.asarray(steps, np.float64), np.asarray(weights, np.float64)
    used = np.isfinite(x) & np.isfinite(w) & (w > 0)
    x, w = x[used], w[used]
    if x.size < 5:
        return Trend(float("nan"), float("nan"), float("nan"), int(x.size))
    w = w / w.sum()
    rng = np.random.default_rng(seed)
    mean = float(w @ x)
    error = float(np.sqrt(np.sum((w * (x - mean)) ** 2)))
    drawn = rng.choice([-1.0, 1.0], (n, x.size)) @ (w * x)
    return Trend(mean, error, float((np.sum(drawn >= mean) + 1) / (n + 1)), int(x.size))
