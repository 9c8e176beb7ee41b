"""The statistics of events from one series or many: sizes, rates, waiting times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches import statistics as laws
from xcdi.schema import is_avalanche

__all__ = ["statistics"]

WAITING_LEAST = 200  # waiting times below which no law is given for them


def statistics(
    catalogues: Sequence[xr.Dataset],
    *,
    size: Literal["drop", "drop_internal", "fraction"] = "drop",
    smallest: float = 0.03,
    largest: float | None = 0.6,
    minimum: int = 50,
    seed: int = 0,
) -> xr.Dataset:
    """Statistics of the events of one or many series.

    Parameters
    ----------
    catalogues : sequence of Dataset
        EVENTS of each series. Artefacts and rigid motion are left out.
    size : str
        Column that serves as size.
    smallest, largest : float
        Range of the power law. `smallest` should lie above the completeness of the
        series; `largest` None takes the largest size.
    minimum : int
        Fewest events in that range for an exponent; below, counts and rates only.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Dataset
        STATISTICS: `size` and `ccdf` (event), `waiting` (gap) [s], `n`, `rate`
        [1/s], and with enough events `exponent`, its error and interval, the fitted
        curve, and comparisons with other laws. The attribute `note` says what is missing and why.
    """
    if not catalogues:
        raise XcdiError("no events to count; give one result with events, or more")
    used = [_usable(ds, size) for ds in catalogues]
    values = np.concatenate([ds[size].values for ds in used])
    duration = sum(float(ds.attrs.get("duration_s", np.nan)) for ds in catalogues)
    rising, share = laws.ccdf(values)
    inside = (values >= smallest) & (values <= (largest if largest is not None else np.inf))
    waiting = laws.waiting_times([ds.time.values for ds in used])
    ds = xr.Dataset(
        {
            "size": ("event", rising, {"units": "1"}),
            "ccdf": ("event", share, {"units": "1"}),
            "waiting": ("gap", waiting.gaps, {"units": "s"}),
            "n": ((), int(inside.sum()), {"units": "1"}),
            "n_all": ((), values.size, {"units": "1"}),
            "rate": ((), values.size / duration if duration > 0 else np.nan, {"units": "1/s"}),
            "smallest": ((), smallest, {"units": "1"}),
        },
        attrs={"size": size, "minimum": minimum, "series": len(catalogues), "seed": seed},
    )
    notes = [_completeness_note(catalogues, smallest)]
    if inside.sum() < minimum:
        notes.append(f"{int(inside.sum())} events of {smallest:g} or more; an exponent needs {minimum}")
    else:
        ds = ds.assign(_power_law(values, smallest, largest, seed))
    if waiting.gaps.size < WAITING_LEAST:
        notes.append(f"{waiting.gaps.size} waiting times; a law for them needs {WAITING_LEAST}")
    else:
        one = {"units": "1"}
        ds = ds.assign(p_exponential=((), waiting.p_exponential, one), p_exponential_rescaled=((), waiting.p_rescaled, one))
    return ds.assign_attrs(note="; ".join(note for note in notes if note))


def _usable(events: xr.Dataset, size: str) -> xr.Dataset:
    """Events of positive size that are neither artefacts nor rigid motion."""
    if size not in events:
        raise SchemaError(f"statistics of {size!r} need that column, and the events have {', '.join(map(str, events.data_vars))}")
    keep = np.isfinite(events[size].values) & (events[size].values > 0)
    if "flags" in events:
        keep &= is_avalanche(events["flags"].values)
    return events.isel(event=np.flatnonzero(keep))


def _completeness_note(catalogues: Sequence[xr.Dataset], smallest: float) -> str:
    """A warning if one series does not find all events of the smallest size; "" if all do or none says."""
    known = [float(ds.attrs.get("completeness", np.nan)) for ds in catalogues]
    worst = max([value for value in known if np.isfinite(value)], default=0.0)
    return (
        f"smallest = {smallest:g} lies below the completeness of a series ({worst:.2g}); the exponent is too flat"
        if worst > smallest
        else ""
    )


def _power_law(values: np.ndarray, smallest: float, largest: float | None, seed: int) -> dict[str, xr.DataArray]:
    """Exponent with its errors, the fitted curve, and what else might fit."""
    fit = laws.fit_power_law(values, smallest, largest)
    low, high = laws.bootstrap(values, smallest, largest, seed=seed)
    curve = np.geomspace(fit.smallest, fit.largest, 100)
    share = laws.power_law_ccdf(curve, fit.exponent, fit.smallest, fit.largest) * float(np.mean(values >= smallest))
    others = laws.compare_tails(values, smallest, largest)
    scalars = {"exponent": fit.exponent, "exponent_error": fit.error, "exponent_low": low, "exponent_high": high}
    scalars |= {"largest": fit.largest, "distance": fit.distance}
    return {
        **{name: xr.DataArray(value, attrs={"units": "1"}) for name, value in scalars.items()},
        "fit_size": xr.DataArray(curve, dims="curve", attrs={"units": "1"}),
        "fit_ccdf": xr.DataArray(share, dims="curve", attrs={"units": "1"}),
        "ratio": xr.DataArray([o.ratio for o in others], dims="law", coords={"law": [o.name for o in others]}, attrs={"units": "1"}),
        "ratio_p": xr.DataArray([o.p for o in others], dims="law", attrs={"units": "1"}),
    }
