"""Where avalanches happen and what they leave, labelled: the share of each grain boundary, and the brightness after events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import participation as kernel
from xcdi.kernels.avalanches import trends
from xcdi.stages import pooling
from xcdi.stages.grains import counted
from xcdi.stages.pooling import Pool

__all__ = ["brightness", "participation"]

SURE = 0.8  # mean probability of the first candidate, below which the prior of attribution would be tested with the events
COLUMNS = {"area": ("area_nm2", "nm2"), "misorientation": ("misorientation", "rad"), "dip": ("dip", "1")}
Part = tuple[dict[str, xr.DataArray], list[str]]
ONE = {"units": "1"}


def participation(found: Pool, boundaries: Sequence[xr.Dataset | None], minimum: int, seed: int) -> Part:
    """Events and summed fraction of every boundary, and whether they go with its area, misorientation and dip; what is missing.

    Attribution holds large boundaries likelier before it sees the data. That prior is divided out of the shares, and tests are
    given only where the first candidates have a mean probability of 0.8 or more: of less certain ones the prior would be tested.
    """
    if boundaries and len(boundaries) != len(found.series):
        raise XcdiError(f"{len(boundaries)} tables of boundaries for {len(found.series)} series; give one for each, or None")
    pairs = [(k, b) for k, b in enumerate(boundaries) if b is not None and b.sizes["boundary"] and "boundary" in found.series[k]]
    if not pairs:
        return {}, []
    shared = [_shares(found.series[k], b) for k, b in pairs]
    events, size = (np.concatenate([one[part] for one in shared]) for part in (0, 1))
    which = np.concatenate([np.full(b.sizes["boundary"], k) for k, b in pairs])
    columns = {name: np.concatenate([_column(b, path) for _, b in pairs]) for name, (path, _) in COLUMNS.items()}
    added: dict[str, Any] = {"result": (which, ""), "boundary_events": (events, "1"), "boundary_fraction": (size, "1")}
    for side in "ij":
        added[f"boundary_{side}"] = (np.concatenate([b[side].values for _, b in pairs]), "")
    added |= {f"boundary_{name}": (columns[name], units) for name, (_, units) in COLUMNS.items()}
    table = {name: xr.DataArray(values, dims="boundary", attrs={"units": units}) for name, (values, units) in added.items()}
    number = sum(int(np.sum(found.series[k]["boundary"].values >= 0)) for k, _ in pairs)
    if number < minimum:
        return table, [f"{counted(number, 'event')} with a boundary; what goes with their number needs {minimum}"]
    sure = _sure([found.series[k] for k, _ in pairs])
    if sure < SURE:
        return table, [f"boundaries of events have a mean probability of {sure:.2f}; what goes with their number needs {SURE:g}"]
    return table | _against(events, columns, which, seed), []


def _sure(series: Sequence[xr.Dataset]) -> float:
    """Mean probability of the boundary of every event that has one."""
    placed = [ds.isel(event=np.flatnonzero(ds["boundary"].values >= 0)) for ds in series]
    chance = [ds["probability"].values if "probability" in ds else _candidates(ds)[1].max(axis=-1) for ds in placed]
    return float(np.mean(np.nan_to_num(np.concatenate(chance)))) if any(one.size for one in chance) else 0.0


def _shares(events: xr.Dataset, boundaries: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Events and summed fraction of each boundary of one particle."""
    which, chance = _candidates(events)
    chance = kernel.without_prior(which, chance, _column(boundaries, COLUMNS["area"][0]))
    return kernel.shares(which, chance, pooling.fraction(events), boundaries.sizes["boundary"])


def _candidates(events: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Boundaries that every event may lie on, and their probabilities, shape (event, candidate)."""
    if "ranked" in events:
        return np.asarray(events["ranked"].values, int), np.asarray(events["ranked_probability"].values, float)
    which = np.asarray(events["boundary"].values, int)[:, None]
    return which, np.asarray(events["probability"].values, float)[:, None] if "probability" in events else np.ones(which.shape)


def _column(boundaries: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(boundaries[name].values, float) if name in boundaries else np.full(boundaries.sizes["boundary"], np.nan)


def _against(events: np.ndarray, columns: dict[str, np.ndarray], which: np.ndarray, seed: int) -> dict[str, xr.DataArray]:
    """Rank correlations: events against area, events per area against the rest; and the power of the area."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_area = events / columns["area"]
        log_area = np.log(columns["area"])
    ranks = [kernel.rank_correlation(x, events if name == "area" else per_area, which, seed=seed) for name, x in columns.items()]
    known = np.isfinite(log_area)
    particles = (which[known][:, None] == np.unique(which[known])[1:]).astype(float)
    fit = kernel.poisson_regression(events[known], np.column_stack([log_area[known], particles]))
    return {
        "against_rank": xr.DataArray([r for r, _ in ranks], {"against": list(columns)}, ("against",), attrs=ONE),
        "against_p": xr.DataArray([p for _, p in ranks], dims="against", attrs=ONE),
        "area_exponent": xr.DataArray(float(fit.coefficient[1]), attrs=ONE),
        "area_exponent_error": xr.DataArray(float(fit.error[1]), attrs=ONE),
    }


def brightness(found: Pool, minimum: int, seed: int) -> Part:
    """Mean change of brightness across events, weighed by its error, and the chance of one as high; what is missing."""
    steps = pooling.values(found, "brightness_step")
    known = np.isfinite(steps)
    if not known.any():
        return {}, []
    if known.sum() < minimum:
        return {}, [f"{counted(int(known.sum()), 'event')} with a change of brightness; whether it rises needs {minimum}"]
    test = trends.step_trend(steps, _weights(found, steps), seed=seed)
    numbers = {"brightness_mean": test.mean, "brightness_mean_error": test.error, "brightness_p": test.p, "brightness_n": test.n}
    return {name: xr.DataArray(value, attrs=ONE) for name, value in numbers.items()}, []


def _weights(found: Pool, steps: np.ndarray) -> np.ndarray:
    """Inverse variance of the steps: their error, and the interference of an event, whose variance goes as its drop."""
    drops = np.clip(pooling.values(found, "drop"), 0, None)
    error = np.nan_to_num(pooling.values(found, "brightness_error"))
    known = np.isfinite(steps) & np.isfinite(drops)
    factor = (
        max(float(np.mean(steps[known] ** 2 - error[known] ** 2) / max(float(np.mean(drops[known])), 1e-12)), 0.0) if known.any() else 0.0
    )
    variance = error**2 + factor * drops
    return np.where(variance > 0, 1 / np.maximum(variance, 1e-12), 1.0)
