"""Models of relaxation in one-time correlations, and their fits.

Neighbouring delays share their noise. A fit is therefore given the replicas of the jackknife, or the covariance
of the delays; errors from the curvature alone take the points as independent and are too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, optimize, special

from xcdi.backend import Array
from xcdi.kernels.correlation.normalise import noise_weights, weighted
from xcdi.kernels.relaxation_models import BOUNDS, MODELS, PER_TIME, Model, heterodyne, stretched, two_exponentials, unconstrained

__all__ = [
    "MODELS",
    "Fit",
    "Stretched",
    "fit",
    "fit_each",
    "fit_stretched",
    "frozen_contrast",
    "heterodyne",
    "log_bins",
    "preferred",
    "stretched",
    "two_exponentials",
]


class Fit(NamedTuple):
    """A model fitted to a one-time correlation.

    Attributes
    ----------
    model : str
        Name in ``MODELS``.
    values, errors : dict of float
        Parameters and one standard error of each: 0 for what was held, NaN for what the data do not constrain. All NaN where there
        were too few points.
    free : tuple of str
        Parameters that were fitted.
    covariance : float64 array, shape (free, free)
        Of the free parameters.
    chi2 : float
        Squared misfit in units of the errors, or of the covariance; NaN without either.
    points : int
        Delays that were used.
    misfit : float
        Sum of the squared residuals, each over its error if there is one.
    """

    model: str
    values: dict[str, float]
    errors: dict[str, float]
    free: tuple[str, ...]
    covariance: Array
    chi2: float
    points: int
    misfit: float

    @property
    def p_value(self) -> float:
        """Chance of so large a chi2 if the model and the covariance are right; with errors alone, if delays were independent."""
        free = self.points - len(self.free)
        return float(special.gammaincc(free / 2, self.chi2 / 2)) if free > 0 else float("nan")

    @property
    def aic(self) -> float:
        """Akaike's criterion, chi2 + 2 k for k parameters; without errors n ln(misfit / n) + 2 k. Lower is better."""
        return self._deviance + 2 * len(self.free)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, chi2 + k ln n for n points; without errors n ln(misfit / n) + k ln n. Lower is better."""
        return self._deviance + len(self.free) * float(np.log(max(self.points, 1)))

    @property
    def _deviance(self) -> float:
        if np.isfinite(self.chi2):
            return self.chi2
        return self.points * float(np.log(max(self.misfit, 1e-300) / max(self.points, 1)))


class Stretched(NamedTuple):
    r"""A stretched exponential, ``baseline + contrast ((1 - f) exp(-(rate t)**exponent) + f)**2``.

    Attributes
    ----------
    rate : float
        1 / relaxation time, in 1 / (unit of the delays).
    exponent : float
        Below 1 stretched, above 1 compressed.
    contrast, baseline : float
        Height of the decay, and what is left after it.
    frozen : float
        Part f of the amplitude that never relaxes.
    errors : tuple of float
        One standard error of each of these, in this order: 0 for what was held, NaN for what the data do not constrain.
    """

    rate: float
    exponent: float
    contrast: float
    baseline: float
    frozen: float
    errors: tuple[float, ...]


def fit(
    delay: Array,
    g2: Array,
    model: str = "stretched",
    error: Array | None = None,
    *,
    covariance: Array | None = None,
    replicas: Array | None = None,
    samples: Array | None = None,
    held: dict[str, float | None] | None = None,
) -> Fit:
    """Fit a model by least squares: weighted, or generalised where a covariance is given.

    Parameters
    ----------
    delay, g2 : array, shape (delay,)
        Delays above zero. Values that are not finite are left out.
    model : str
        ``"stretched"``, ``"two exponentials"`` or ``"heterodyne"``.
    error : array, shape (delay,), optional
        Standard errors; a point whose error is zero or unknown is left out.
    covariance : array, shape (delay, delay), optional
        Known beforehand, or from :func:`jackknife.lag_covariance`; goes before `error`.
    replicas : array, shape (tile, delay), optional
        From :func:`jackknife.leave_out`; errors of parameters are then the jackknife's, to first order, and NaN of a single tile.
    samples : array, shape (sample, delay), optional
        From :func:`jackknife.resampled`; the model is fitted to each, and errors are those of the bootstrap.
    held : dict, optional
        Parameters that keep this value; None frees one that is held by default (`frozen`, or the baseline of `heterodyne`).

    Returns
    -------
    Fit
        All NaN where fewer points than parameters are known.

    Raises
    ------
    ValueError
        If there is no such model.

    Notes
    -----
    Weigh by `error` and take the errors of the parameters from `replicas`: of 24 series (500 frames, 2000 pixels of 0.3 photons, 64 tiles)
    the relaxation time scattered by 1.18 frames and 1.05 were quoted. With the covariance of the same tiles it scattered by 1.27, for the
    tiles' noise is in its weights, and 0.91 were quoted, or 0.77 from the replicas those weights were made from. What such a
    covariance is good for is chi2: a sixth of right models then fall below a `p_value` of 0.05, and with errors
    alone hardly any, or any number, for delays that share their noise.

    Examples
    --------
    >>> t = np.arange(1.0, 300.0)
    >>> found = fit(t, two_exponentials(t, 0.2, 0.01, 0.4, 0.25, 1.0), "two exponentials")
    >>> {name: round(value, 4) for name, value in found.values.items()}
    {'rate': 0.2, 'slow': 0.01, 'share': 0.4, 'contrast': 0.25, 'baseline': 1.0}
    """
    if model not in MODELS:
        raise ValueError(f"no model {model!r}; expected one of {', '.join(map(repr, MODELS))}")
    form = MODELS[model]
    every = {**form.held, **(held or {})}
    fixed = {name: value for name, value in every.items() if value is not None}
    free = [name for name in form.names if name not in fixed]
    sigma = error if covariance is None else np.sqrt(np.diagonal(covariance))
    known = np.isfinite(g2) & np.isfinite(delay) & (delay > 0)
    if sigma is not None:
        known &= np.isfinite(sigma) & (sigma > 0)
    if known.sum() <= len(free):
        return _nothing(model, form, free, int(known.sum()))
    whiten = _whitening(known, sigma, covariance)
    task = _Task(form, delay[known], whiten, tuple(free), fixed)
    found = min((_solved(task, g2[known], start) for start in _starts(task, g2[known])), key=lambda one: one.misfit)
    found = _ordered(task, g2[known], found)
    noise = 1.0 if covariance is not None else found.misfit / max(int(known.sum()) - len(free), 1)
    spread = found.inverse @ found.inverse.T * noise
    response = found.inverse @ whiten
    if replicas is not None:  # to first order, since a replica differs by little from the whole
        away = (replicas[:, known] - replicas[:, known].mean(axis=0)) @ response.T
        spread = ((len(away) - 1) / len(away) if len(away) > 1 else np.nan) * (away.T @ away)
    if samples is not None:
        again = [_solved(task, one[known], found.best).best for one in samples if np.all(np.isfinite(one[known]))]
        spread = np.atleast_2d(np.cov(np.array(again).T))
    spread = np.where(found.loose | found.loose[:, None], np.nan, spread)
    return _told(model, form, task, found, spread, exact=sigma is not None)


def fit_each(delay: Array, g2: Array, model: str = "stretched", error: Array | None = None, **options: Sequence[Any]) -> list[Fit]:
    """Fit every region, by :func:`fit`.

    Parameters
    ----------
    delay : array, shape (delay,)
    g2, error : array, shape (region, delay)
    model : str
    **options : sequence, one for each region
        `covariance`, `replicas`, `samples` or `held`.

    Examples
    --------
    >>> t = np.arange(1.0, 99.0)
    >>> found = fit_each(t, np.stack([stretched(t, rate, 1.0, 0.2, 1.0) for rate in (0.05, 0.1)]))
    >>> [round(one.values["rate"], 4) for one in found]
    [0.05, 0.1]
    """
    errors = [None] * len(g2) if error is None else error
    return [fit(delay, one, model, errors[k], **{name: each[k] for name, each in options.items()}) for k, one in enumerate(g2)]


def preferred(fits: Sequence[Fit], *, criterion: str = "bic") -> Fit:
    """The fit with the lowest `criterion`, ``"aic"`` or ``"bic"``, of fits to the same points.

    Examples
    --------
    >>> t = np.arange(1.0, 99.0)
    >>> g2, error = stretched(t, 0.1, 1.0, 0.2, 1.0), np.full(98, 0.01)
    >>> preferred([fit(t, g2, name, error) for name in MODELS]).model
    'stretched'
    """
    return min(fits, key=lambda one: getattr(one, criterion))


def fit_stretched(
    delay: Array,
    g2: Array,
    error: Array | None = None,
    *,
    covariance: Array | None = None,
    replicas: Array | None = None,
    baseline: float | None = None,
    plateau: bool = False,
) -> Stretched:
    """Fit a stretched exponential, by :func:`fit`.

    Parameters
    ----------
    delay, g2, error, covariance, replicas : array
        As for :func:`fit`.
    baseline : float, optional
        Held at this value; by default fitted, or 1 with `plateau`.
    plateau : bool
        Fit a frozen part as well. It cannot be told from a free baseline.

    Returns
    -------
    Stretched
        All NaN where fewer points than parameters are known.

    Examples
    --------
    >>> t = np.arange(1.0, 300.0)
    >>> found = fit_stretched(t, stretched(t, 0.02, 1.5, 0.25, 1.0))
    >>> round(found.rate, 6), round(found.exponent, 4), round(found.contrast, 4), round(found.baseline, 4)
    (0.02, 1.5, 0.25, 1.0)
    """
    held = {"baseline": 1.0 if baseline is None and plateau else baseline, "frozen": None if plateau else 0.0}
    found = fit(delay, g2, "stretched", error, covariance=covariance, replicas=replicas, held=held)
    return Stretched(**found.values, errors=tuple(found.errors.values()))


def frozen_contrast(counts: Array, envelope: Array) -> tuple[float, float]:
    """Contrast that the first and the last third of the frames share, and its standard error.

    Zero for a sample that forgets its pattern within the scan; then, and only
    then, a pixel's time mean is its expected intensity.

    Parameters
    ----------
    counts : array, shape (time, pixel)
        Good frames, three or more.
    envelope : array, shape (pixel,)
        Smooth expected counts per frame.
    """
    third = len(counts) // 3
    if third == 0:
        return float("nan"), float("nan")
    ends = np.stack([counts[:third].sum(axis=0, dtype=np.int64), counts[-third:].sum(axis=0, dtype=np.int64)])
    weights = noise_weights(envelope * third)
    c = weighted(ends, weights) - 1
    spread = np.sqrt(np.prod(np.maximum(np.diag(c), 0) + 1 / np.maximum(ends.mean(axis=1), 1e-9)))
    return float(c[0, 1]), float(spread * np.sqrt(weights.norm2) / weights.norm)


def log_bins(n: int, *, per_octave: int = 8) -> Array:
    """Edges of bins of delays 1 ... n - 1 (in frames): single at first, then of equal width in the logarithm.

    Examples
    --------
    >>> log_bins(20, per_octave=2)
    array([ 1,  2,  3,  4,  6,  8, 11, 16, 20])
    """
    octaves = max(int(np.ceil(np.log2(max(n, 2)) * per_octave)), 1)
    edges = np.round(2.0 ** (np.arange(octaves + 1) / per_octave)).astype(int)
    return np.unique(np.concatenate([edges[edges < n], [n]]))


class _Task(NamedTuple):
    """What stays the same while values are sought."""

    form: Model
    delay: Array
    whiten: Array
    free: tuple[str, ...]
    fixed: dict[str, float]


class _Solved(NamedTuple):
    best: Array
    inverse: Array  # of the whitened Jacobian, (free, point)
    misfit: float
    loose: Array  # which parameters the data do not constrain


def _whitening(known: Array, sigma: Array | None, covariance: Array | None) -> Array:
    """Matrix that makes the noise of the known points independent and of unit size."""
    if covariance is not None:
        root = linalg.cholesky(covariance[np.ix_(known, known)], lower=True)
        return linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    return np.diag(np.ones(int(known.sum())) if sigma is None else 1 / sigma[known])


def _starts(task: _Task, g2: Array) -> list[Array]:
    """Where to start: heights from both ends, the rate from where half of the decay is left."""
    tail = float(np.median(g2[-max(len(g2) // 5, 1) :]))
    head = float(np.median(g2[: max(len(g2) // 50, 1)]))
    half = task.delay[np.argmax(g2 < (head + tail) / 2)] if np.any(g2 < (head + tail) / 2) else task.delay[-1]
    common = {"rate": 0.35 / half, "exponent": 1.0, "contrast": max(head - min(tail, 1.0), 1e-3), "baseline": tail, "frozen": 0.1}
    found = []
    for start in task.form.starts:
        scaled = {name: value * common["rate"] if name in PER_TIME else value for name, value in start.items()}
        found.append(np.array([np.clip({**common, **scaled}[name], *BOUNDS[name]) for name in task.free]))
    return found


def _solved(task: _Task, g2: Array, start: Array) -> _Solved:
    """Best values of the free parameters, in their order."""
    scale = np.array([value if name in PER_TIME and value > 0 else 1.0 for name, value in zip(task.free, start, strict=True)])
    low, high = (np.array([BOUNDS[name][side] for name in task.free]) / scale for side in (0, 1))

    def misfit(x: Array) -> Array:
        return task.whiten @ (task.form.curve(task.delay, **task.fixed, **dict(zip(task.free, x * scale, strict=True))) - g2)

    inside = np.clip(start / scale, low * (1 + 1e-9) + 1e-12, high * (1 - 1e-9))
    found = optimize.least_squares(misfit, inside, bounds=(low, high), x_scale="jac")
    loose = unconstrained(found.jac / scale, task.free, found.x * scale)
    return _Solved(found.x * scale, np.linalg.pinv(found.jac) * scale[:, None], 2 * float(found.cost), loose)


def _ordered(task: _Task, g2: Array, found: _Solved) -> _Solved:
    """The same with the faster of two relaxations first."""
    names = list(task.free)
    if not {"rate", "slow", "share"} <= set(names):
        return found
    fast, slow, share = (names.index(name) for name in ("rate", "slow", "share"))
    if found.best[fast] >= found.best[slow]:
        return found
    swapped = found.best.copy()
    swapped[[fast, slow]], swapped[share] = swapped[[slow, fast]], 1 - swapped[share]
    return _solved(task, g2, swapped)


def _told(model: str, form: Model, task: _Task, found: _Solved, spread: Array, *, exact: bool) -> Fit:
    best, error = dict(zip(task.free, found.best, strict=True)), dict(zip(task.free, np.sqrt(np.diag(spread)), strict=True))
    values = {name: float(best.get(name, task.fixed.get(name))) for name in form.names}  # type: ignore[arg-type]
    errors = {name: float(error.get(name, 0.0)) for name in form.names}
    chi2 = found.misfit if exact else float("nan")
    return Fit(model, values, errors, task.free, spread, chi2, len(task.delay), found.misfit)


def _nothing(model: str, form: Model, free: list[str], points: int) -> Fit:
    nan = float("nan")
    every = dict.fromkeys(form.names, nan)
    return Fit(model, every, dict(every), tuple(free), np.full((len(free), len(free)), nan), nan, points, nan)
