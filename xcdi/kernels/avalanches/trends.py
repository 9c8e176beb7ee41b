"""Whether a signal rises where events are: brightness after events, tested by other times of the same events."""

from __future__ import annotations

from collections.abc import Sequence
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


def step_trend(steps: Array, weights: Array, others: Sequence[Array] | None = None, *, n: int = 4000, seed: int = 0) -> Trend:
    """Mean step across events, and whether it is above that of other times or of chance.

    Parameters
    ----------
    steps : array, shape (event,)
        Relative change of a signal from before to after each event; NaN where there is none.
    weights : array, shape (event,)
        For example the drop of every event; a scale means nothing.
    others : sequence of arrays, optional
        Steps at times without an event, of the same series as each event. The steps of events are exchanged with
        them at random; without, they get random signs.
    n, seed : int
        Samples of chance, and their seed.

    Notes
    -----
    One-sided: the chance of a mean as high. A permutation of signs supposes that without an effect
    steps up and down are equally likely; other times of the same series do not, and keep the trend of the series.
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
    if others is None:
        drawn = rng.choice([-1.0, 1.0], (n, x.size)) @ (w * x)
    else:
        pools = [o[np.isfinite(o)] for o, so in zip(others, used, strict=True) if so]
        drawn = sum(rng.choice(np.append(pool, own), n) * weight for pool, own, weight in zip(pools, x, w, strict=True))
    return Trend(mean, error, float((np.sum(drawn >= mean) + 1) / (n + 1)), int(x.size))
