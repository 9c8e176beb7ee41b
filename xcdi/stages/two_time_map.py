"""Stage: a two-time correlation that somebody else computed in, everything that a matrix without its pixels tells out."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import relaxation
from xcdi.kernels.correlation import traces
from xcdi.kernels.correlation.jackknife import jackknife_error
from xcdi.kernels.correlation.one_time import aged
from xcdi.stages.one_time import binned

__all__ = ["from_matrix", "told"]

FEWEST = 8  # frames
SYMMETRIC = 1e-5  # difference of an element and its mirror image that rounding may leave
BLOCKS = 10  # of each diagonal, left out one after the other for errors
LEAST_PAIRS = 20  # of frames, for the variance of a trace
STANDS_OUT = 3  # errors
TRACE_LAGS = (1, 3, 10, 30, 100, 300, 1000, 3000)
NOISE = (
    "without pixels only the noise that is new in every frame can be taken off (differences of neighbours along a diagonal); "
    "the noise of finite speckles is still in chi"
)


def from_matrix(c: Array, *, frame_time_s: float | None = None, pixels: int | None = None, ages: int = 4) -> xr.Dataset:
    """Describe a two-time correlation: g2, aged g2, traces, variance of the traces, relaxation.

    Parameters
    ----------
    c : array, shape (time, time)
        1 for uncorrelated frames; symmetric. Its diagonal, which mostly holds shot noise, is never used.
    frame_time_s : float, optional
        Time from frame to frame [s]; without, times are in frames and the units say so.
    pixels : int, optional
        Number of pixels (better: of speckles) it was averaged over; gives `chi_normalised`.
    ages : int
        Slices of age (t1 + t2) / 2.

    Returns
    -------
    CORRELATION
        `two_time` with NaN on the diagonal; `g2` (mean of ratios: each pair of frames counts the same) with `g2_error`; `g2_aged`
        (region, age, delay); `trace` (region, trace_lag, time), the correlation along some diagonals minus one; `chi` (region, lag), its
        variance over time less `chi_white`, with `chi_error` and the variance as it is, `chi_raw`; a stretched exponential fitted to g2.

    Raises
    ------
    XcdiError
        If the matrix is not square, real, finite and symmetric, or its values are not near 1.

    Notes
    -----
    Errors come from leaving out one tenth of each diagonal after the other: they are of the scatter over age, noise and ageing alike.
    None is less than the rounding of the values leaves, that of `chi` its square.

    Examples
    --------
    >>> t = np.arange(40)
    >>> found = from_matrix(1 + 0.2 * np.exp(-np.abs(t[:, None] - t) / 5))
    >>> round(float(found.g2[0, 1]) - 1, 4), found.time.attrs["units"]
    (0.1637, 'frame')
    """
    known, rounding = _checked(np.asarray(c)), _rounding(np.asarray(c))
    if frame_time_s is not None and not frame_time_s > 0:
        raise XcdiError(f"a frame time of {frame_time_s:g} s; expected more than 0")
    n, step, unit = len(known), frame_time_s or 1.0, "s" if frame_time_s else "frame"
    np.fill_diagonal(known, np.nan)
    replicas, g2 = _without_tenths(known), aged(known, edges=(0.0, float(n)))[0]
    error = jackknife_error(replicas)
    found = xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), known[None], _of("1")),
            "g2": (("region", "delay"), g2[None], _of("1")),
            "g2_error": (("region", "delay"), error[None], _of("1")),
            "contrast": ("region", g2[1:2] - 1, _of("1")),
            **_fitted(g2, replicas, rounding, step, unit),
            **_aged(known, ages),
            **_fluctuating(known, pixels, float(g2[1]) - 1, rounding),
        },
        coords={name: (name, step * np.arange(n), _of(unit)) for name in ("time", "time2", "delay")},
    )
    edges = step * np.linspace(0, n, ages + 1)
    delays = binned(step * np.arange(n), _coarse(n))
    places = {"age": (edges[1:] + edges[:-1]) / 2, "delay_bin": delays, "trace_lag": step * _trace_lags(n), "lag": step * _lags(n)}
    found = found.assign_coords({name: (name, values, _of(unit)) for name, values in places.items()})
    notes: dict[str, Any] = {"normalisation": "as given", "g2_average": "mean of ratios", "contrast": float(g2[1]) - 1, "noise": NOISE}
    return found.assign_attrs(notes | ({"frame_time_s": frame_time_s} if frame_time_s else {}) | ({"pixels": pixels} if pixels else {}))


def told(found: xr.Dataset) -> list[str]:
    """Lines that say what :func:`from_matrix` found, one a subject.

    Examples
    --------
    >>> t = np.arange(40)
    >>> told(from_matrix(1 + 0.2 * np.exp(-np.abs(t[:, None] - t) / 5)))[0]
    'g2 - 1: 0.1637 at lag 1, 0.02707 at lag 10'
    """
    n, unit = found.sizes["time"], str(found.delay.attrs["units"])
    places = [lag for lag in (1, 10, 100, 1000, 10000) if lag <= n // 2]
    step = float(found.delay[1])
    lags = ", ".join(f"{float(found.g2[0, lag]) - 1:.4g} at lag {lag}" + (f" ({lag * step:g} s)" if unit == "s" else "") for lag in places)
    return [f"g2 - 1: {lags}", f"relaxation: {_relaxing(found, step, unit)}", _outstanding(found, step)]


def _relaxing(found: xr.Dataset, step: float, unit: str) -> str:
    """Rate and shape of the decay, or that the map does not tell them."""
    rate, error, height, spread = (float(found[name][0]) for name in ("rate", "rate_error", "fit_contrast", "fit_contrast_error"))
    if np.isnan(rate):
        return f"not resolved, {found.sizes['time']} frames are too few"
    if not (2 * error < rate <= 2 / step and 3 * spread < height and float(found.exponent_error[0]) < float(found.exponent[0])):
        return "not resolved"
    fit = f"contrast {float(found.fit_contrast[0]):.3g}, exponent {float(found.exponent[0]):.2f}, baseline {float(found.baseline[0]):.4f}"
    return f"rate {rate:.3g} +- {error:.2g} 1/{unit}, {fit}"


def _outstanding(found: xr.Dataset, step: float) -> str:
    """The lag at which the variance is most errors above zero."""
    chi, error = found.chi.to_numpy()[0], found.chi_error.to_numpy()[0]
    known = np.flatnonzero(error > 0)
    if not known.size:
        return f"chi: {found.sizes['time']} frames are too few"
    best = known[np.argmax(chi[known] / error[known])]
    if not chi[best] > STANDS_OUT * error[best]:
        return f"chi: no lag stands out (none by more than {STANDS_OUT} errors)"
    value = f"{chi[best]:.3g} +- {error[best]:.2g} at lag {round(float(found.lag[best]) / step)}"
    return f"chi: {value} stands out most ({chi[best] / error[best]:.1f} errors); the noise of finite speckles is in it"


def _of(unit: str) -> dict[str, str]:
    return {"units": unit}


def _checked(c: Array) -> Array:
    """A float64 copy of a matrix that is a two-time correlation."""
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise XcdiError(f"an array of shape {c.shape}; expected a square two-time matrix (time, time)")
    if c.dtype.kind not in "fiu":
        raise XcdiError(f"values of type {c.dtype}; expected real numbers")
    if len(c) < FEWEST:
        raise XcdiError(f"{len(c)} frames; expected {FEWEST} or more")
    known = c.astype(np.float64)
    off = ~np.eye(len(known), dtype=bool)
    bad = ~np.isfinite(known) & off
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise XcdiError(
            f"{int(bad.sum())} values beside the diagonal are not finite, the first at ({row}, {column}); leave those frames out"
        )
    np.fill_diagonal(known, 0.0)
    skew = np.abs(known - known.T)
    if skew.max() > SYMMETRIC * max(float(np.abs(known).max()), 1.0):
        row, column = np.unravel_index(int(skew.argmax()), skew.shape)
        values = f"{known[row, column]:g} at ({row}, {column}) and {known[column, row]:g} at ({column}, {row})"
        raise XcdiError(f"not symmetric: {values}; expected C(t1, t2) = C(t2, t1)")
    middle = float(np.median(known[off]))
    if not 0.5 < middle < 20:
        hint = "add 1 to C - 1" if abs(middle) <= 0.5 else "divide by the mean intensities"
        raise XcdiError(f"the values are around {middle:.3g}, and frames that share nothing have 1; {hint}")
    return known


def _rounding(c: Array) -> float:
    """Step from the largest value beside the diagonal to the next that its type can hold."""
    eps = float(np.finfo(c.dtype).eps) if c.dtype.kind == "f" else float(np.finfo(float).eps)
    return eps * float(np.abs(c[~np.eye(len(c), dtype=bool)]).max())


def _without_tenths(c: Array) -> Array:
    """One-time correlation without the first, second, ... tenth of every diagonal, shape (tenth, delay); NaN where it is too short."""
    replicas = np.full((BLOCKS, len(c)), np.nan)
    for lag in range(1, len(c) - 2 * BLOCKS + 1):
        parts = np.array_split(np.diagonal(c, lag), BLOCKS)
        sums, sizes = np.array([part.sum() for part in parts]), np.array([part.size for part in parts])
        replicas[:, lag] = (sums.sum() - sums) / (sizes.sum() - sizes)
    return replicas


def _fitted(g2: Array, replicas: Array, rounding: float, step: float, unit: str) -> dict[str, Any]:
    """Stretched exponential fitted to g2, as variables with errors."""
    edges = relaxation.log_bins(max(len(g2) - 2 * BLOCKS, 2))
    delay, value, spread = (binned(a, edges) for a in (step * np.arange(len(g2)), g2, replicas))
    error = np.maximum(jackknife_error(spread), rounding) if spread.size else None
    fit = relaxation.fit_stretched(delay, value, error, replicas=spread if spread.size else None)
    found: dict[str, Any] = {}
    for place, name in enumerate(relaxation.Stretched._fields[:4]):
        column, units = "fit_contrast" if name == "contrast" else name, _of(f"1/{unit}" if name == "rate" else "1")
        found |= {column: ("region", [fit[place]], units), f"{column}_error": ("region", [fit.errors[place]], units)}
    return found


def _aged(c: Array, ages: int) -> dict[str, Any]:
    """One-time functions by age, and their means over bins of delay that are even on a logarithmic axis."""
    slices = aged(c, edges=np.linspace(0, len(c), ages + 1).tolist())
    named = {"g2_aged": (("region", "age", "delay"), slices[None], _of("1"))}
    return named | {"g2_aged_binned": (("region", "age", "delay_bin"), binned(slices, _coarse(len(c)))[None], _of("1"))}


def _coarse(n: int) -> Array:
    """Edges of bins of delays, three to a factor of two."""
    return relaxation.log_bins(n, per_octave=3)


def _fluctuating(c: Array, pixels: int | None, contrast: float, rounding: float) -> dict[str, Any]:
    """Traces at some lags and the variance of the trace at many."""
    chosen = traces.traces(c, _lags(len(c)))
    raw, white = np.nanvar(chosen, axis=1, ddof=1), traces.adjacent_noise(chosen)
    error = np.maximum([_chi_error(row) for row in chosen], rounding**2)
    found = {
        "trace": (("region", "trace_lag", "time"), traces.traces(c, _trace_lags(len(c)))[None], _of("1")),
        "chi": (("region", "lag"), (raw - white)[None], _of("1")),
        "chi_error": (("region", "lag"), error[None], _of("1")),
        "chi_raw": (("region", "lag"), raw[None], _of("1")),
        "chi_white": (("region", "lag"), white[None], _of("1")),
    }
    if pixels:
        square = contrast**2 if abs(contrast) > rounding else np.nan
        found["chi_normalised"] = (("region", "lag"), pixels * (raw - white)[None] / square, _of("1"))
    return found


def _chi_error(trace: Array) -> float:
    """Jackknife over blocks of time of the variance less the noise of neighbours."""
    known = trace[np.isfinite(trace)]
    left = [np.delete(known, block) for block in np.array_split(np.arange(known.size), BLOCKS)]
    return float(jackknife_error(np.array([np.var(part, ddof=1) - float(traces.adjacent_noise(part)) for part in left])))


def _lags(n: int) -> Array:
    """Lags in frames, evenly spaced in the logarithm, that have enough pairs of frames."""
    return relaxation.log_bins(max(n - LEAST_PAIRS, 3), per_octave=4)[:-1]


def _trace_lags(n: int) -> Array:
    return np.array([lag for lag in TRACE_LAGS if lag <= max(n // 2, 1)])
