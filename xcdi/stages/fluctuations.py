"""Stages: how the dynamics fluctuate, and the statistics of the speckles, of a correlation that has its counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError
from xcdi.kernels import regions, relaxation
from xcdi.kernels.correlation import fluctuations as kernel
from xcdi.kernels.correlation import speckles, visibility
from xcdi.kernels.correlation.normalise import Weights, noise_weights
from xcdi.kernels.correlation.photons import Photons, from_dense, on_slots
from xcdi.stages.one_time import slots

__all__ = ["fluctuations", "speckle_statistics"]

NEEDED = ("counts", "time", "frame_ok", "region_of_pixel", "pixel_y", "pixel_x", "envelope")
GAUSS_AREA = np.pi / (4 * np.log(2))  # area of a Gaussian over the product of its widths at half maximum
CROSSOVER = 2.0  # of N5, as in the two-time correlation
TRACE_LAGS = (1, 3, 10, 30, 100, 300, 1000, 3000)
SHIFTS = 200
LEAST_PAIRS = 30  # of frames at a lag


class _Region(NamedTuple):
    """Counts of one region on even steps of time, and how to weigh and divide its pixels."""

    photons: Photons
    ok: Array
    weights: Weights
    tile: Array
    y: Array
    x: Array
    envelope: Array


def fluctuations(correlation: xr.Dataset, *, crossover: float = CROSSOVER, seed: int = 0) -> xr.Dataset:
    """Time-resolved correlation, its variance without noise, and its memory, region by region.

    Parameters
    ----------
    correlation : CORRELATION
        With `two_time`, `contrast`, `counts`, `frame_ok`, `region_of_pixel`, `pixel_y`, `pixel_x` and `envelope`.
    crossover : float
        Of the normalisation N5, as it was for the correlation.
    seed : int
        Of the halvings of the pixels.

    Returns
    -------
    Dataset
        `trace` (region, trace_lag, time), C - 1 along some diagonals; `chi` (region, lag), the variance over time of the sample alone,
        with `chi_error` (by noise) and `chi_error_duration` (by the finite series); `chi_raw` with noise; `four_time`, chi over the
        squared contrast; `chi_normalised`, times the number of speckles too; `memory` (region, trace_lag, shift), the covariance of the
        trace with itself later; `speckles` (region), their number; `trace_noise` (region, trace_lag), the variance of the trace that is
        noise.

    Raises
    ------
    SchemaError
        If the correlation has not kept its counts, or its map.

    Notes
    -----
    With N4, where the correlation is in units of the contrast, so are the traces and chi.
    """
    _require(correlation, "two_time", "contrast")
    slot, step = slots(correlation.time.to_numpy().astype(float), correlation.attrs.get("frame_time_s"))
    frames = int(slot[-1]) + 1
    lags = relaxation.log_bins(max(frames - LEAST_PAIRS, 3), per_octave=4)[:-1]
    shown = np.array([lag for lag in TRACE_LAGS if lag <= max(frames // 2, 1)])
    count = int(correlation.region_of_pixel.max())
    found = []
    for k in range(1, count + 1):
        trace = _traces(correlation.two_time.to_numpy()[k - 1], shown, slot)
        region, contrast = _region(correlation, k, slot, crossover), float(correlation.contrast[k - 1])
        unit = contrast if correlation.attrs.get("normalisation") == "N4" else 1.0
        found.append({"trace": trace, **_of_region(region, contrast, unit, lags, shown, seed)})
    one = {"units": "1"}
    shapes = {"trace": ("trace_lag", "time"), "memory": ("trace_lag", "shift"), "trace_noise": ("trace_lag",), "speckles": ()}
    variables = {name: (("region", *shapes.get(name, ("lag",))), np.stack([part[name] for part in found]), one) for name in found[0]}
    axes = {"lag": lags, "trace_lag": shown, "time": np.arange(frames), "shift": np.arange(min(SHIFTS, frames))}
    start = float(correlation.time[0])
    coords = {name: (name, step * values + (start if name == "time" else 0.0), {"units": "s"}) for name, values in axes.items()}
    return xr.Dataset(variables, coords).assign_attrs(halving_seed=seed, normalisation=correlation.attrs.get("normalisation", ""))


def _traces(c: Array, lags: Array, slot: Array) -> Array:
    """:func:`xcdi.kernels.correlation.traces.traces` of frames at the places `slot` of a longer time axis, (lag, place)."""
    frame = np.full(int(slot[-1]) + 1, -1)
    frame[slot] = np.arange(slot.size)
    found = np.full((len(lags), frame.size), np.nan)
    for row, lag in zip(found, lags.tolist(), strict=True):
        first = slot[slot + lag < frame.size]
        first = first[frame[first + lag] >= 0]
        row[first] = c[frame[first], frame[first + lag]] - 1
    return found


def _of_region(region: _Region, contrast: float, unit: float, lags: Array, shown: Array, seed: int) -> dict[str, Array]:
    """Everything of one region; chi is in squares of `unit`."""
    every = np.union1d(lags, shown)
    parts = kernel.of_parts(region.photons, region.weights, region.tile, every)
    along_y, along_x = _sizes(region)
    area = max(GAUSS_AREA * np.nan_to_num(along_y.width_px, nan=1.0) * np.nan_to_num(along_x.width_px, nan=1.0), 1.0)
    clear = kernel.apart(region.y, region.x, region.tile, gap=round(2 * area**0.5)) if area > 2 else None  # two speckles wide
    pairs = clear if clear is not None and clear.mean() > 0.25 else None
    v = kernel.variance(parts, pairs, seed=seed)
    at, seen = np.isin(every, lags), np.isin(every, shown)
    number = region.weights.norm**2 / max(region.weights.norm2, 1e-300) / area
    kept = kernel.Parts(parts.products[:, seen], parts.means, parts.norm, every[seen])
    return {
        "trace_noise": (v.raw - v.chi)[seen] / unit**2,
        "chi": v.chi[at] / unit**2,
        "chi_error": v.error[at] / unit**2,
        "chi_error_duration": v.error_duration[at] / unit**2,
        "chi_raw": v.raw[at] / unit**2,
        "four_time": v.chi[at] / contrast**2,
        "chi_normalised": number * v.chi[at] / contrast**2,
        "memory": kernel.memory(kept, min(SHIFTS, parts.means.shape[1]), pairs, seed=seed) / unit**2,
        "speckles": np.array(number),
    }


def speckle_statistics(correlation: xr.Dataset) -> xr.Dataset:
    """Contrast by three estimates, size of the speckles, and contrast against exposure, region by region.

    Parameters
    ----------
    correlation : CORRELATION
        As for :func:`fluctuations`; `rate`, `exponent` and `fit_contrast` give the expected contrast against exposure.

    Returns
    -------
    Dataset
        `contrast_moments`, `contrast_likelihood`, `contrast_lags` (region), each with ``_error``; `speckle_y`, `speckle_x` (region), full
        widths at half maximum [px]; `visibility` (region, exposure) with its error, and `visibility_expected` from the fit to g2.

    Raises
    ------
    SchemaError
        If the correlation has not kept its counts.

    Notes
    -----
    Where pixels differ in expected intensity, as in a Bragg peak, the variance of the envelope is taken off all contrasts but the one by
    likelihood, which is NaN where that variance is above a twentieth of the contrast.
    """
    _require(correlation)
    slot, step = slots(correlation.time.to_numpy().astype(float), correlation.attrs.get("frame_time_s"))
    count = int(correlation.region_of_pixel.max())
    found = [_statistics(_region(correlation, k, slot, 0.0)) for k in range(1, count + 1)]
    exposure = step * np.asarray(found[0].pop("frames"))
    for part in found[1:]:
        part.pop("frames")
    wide = {"visibility", "visibility_error", "visibility_mean"}
    variables: dict[str, Any] = {}
    for name in found[0]:
        dims = ("region", "exposure") if name in wide else ("region",)
        variables[name] = (dims, np.array([part[name] for part in found]), {"units": "px" if name.startswith("speckle") else "1"})
    made = xr.Dataset(variables, {"exposure": ("exposure", exposure, {"units": "s"})})
    if {"rate", "rate_error", "exponent"} <= set(correlation.variables) and np.isfinite(correlation.rate_error).all():
        laws = zip(*(correlation[name].to_numpy() for name in ("rate", "exponent")), made.contrast_lags.to_numpy(), strict=True)
        expected = np.array([visibility.speckle_visibility(exposure - step, *law) for law in laws])  # a frame is an instant of the fit
        made["visibility_expected"] = (("region", "exposure"), expected, {"units": "1"})
    return made


def _statistics(region: _Region) -> dict[str, Any]:
    """Numbers of one region."""
    events, tile = region.photons, region.tile
    uneven = float(np.var(region.envelope)) / max(float(np.mean(region.envelope)) ** 2, 1e-300)
    moments = speckles.contrast_by_moments(events, tile)
    level = (1 + moments.value) / (1 + uneven) - 1
    even = uneven < 0.05 * max(level, 0.0)
    likely = speckles.contrast_by_likelihood(events, tile, np.where(region.ok, 0, -1)) if even else speckles.Estimate(np.nan, np.nan)
    lagged = visibility.contrast_from_lags(events, tile, uneven=uneven)
    along_y, along_x = _sizes(region)
    seen = visibility.exposed(events, tile, region.ok)
    return {
        "contrast_moments": level,
        "contrast_moments_error": moments.error / (1 + uneven),
        "contrast_likelihood": likely.value,
        "contrast_likelihood_error": likely.error,
        "contrast_lags": lagged.value,
        "contrast_lags_error": lagged.error,
        "speckle_y": along_y.width_px,
        "speckle_y_error": along_y.error_px,
        "speckle_x": along_x.width_px,
        "speckle_x_error": along_x.error_px,
        "visibility": (1 + seen.contrast) / (1 + uneven) - 1,
        "visibility_error": seen.error / (1 + uneven),
        "visibility_mean": seen.mean,
        "frames": seen.frames,
    }


def _sizes(region: _Region) -> tuple[speckles.Size, speckles.Size]:
    return speckles.size(region.photons, region.y, region.x, region.tile, envelope=region.envelope)


def _require(correlation: xr.Dataset, *more: str) -> None:
    lacking = [name for name in (*NEEDED, *more) if name not in correlation.variables]
    if lacking:
        why = correlation.attrs.get("counts_left_out")
        raise SchemaError(f"needs {', '.join(lacking)} of the correlation" + (f"; counts were left out ({why})" if why else ""))


def _region(correlation: xr.Dataset, k: int, slot: Array, crossover: float) -> _Region:
    """Region number `k`, 1 or more."""
    here = correlation.region_of_pixel.to_numpy() == k
    y, x, envelope = (correlation[name].to_numpy()[here] for name in ("pixel_y", "pixel_x", "envelope"))
    counts, good = correlation.counts.to_numpy()[:, here], correlation.frame_ok.to_numpy()
    counts = np.where(good[:, None], counts, counts.dtype.type(0))
    ok = np.zeros(int(slot[-1]) + 1, bool)
    ok[slot] = good
    form = correlation.attrs.get("normalisation", "N5")
    level = counts.sum(axis=0) / max(int(good.sum()), 1) if form == "N2" else envelope
    ones = np.ones(y.size)
    flat = Weights(ones, ones, float(y.size), float(y.size))
    weights = flat if form in ("N1", "N4") else noise_weights(level, crossover=crossover if form == "N5" else 0.0)
    return _Region(on_slots(from_dense(counts), slot), ok, weights, regions.tiles(y, x), y, x, np.asarray(envelope, float))
