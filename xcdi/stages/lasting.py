"""How long avalanches last, labelled: bursts of events over a scan of gaps, and durations where they are resolved."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import bursts as kernel
from xcdi.kernels.avalanches import power_laws, scaling
from xcdi.stages import pooling
from xcdi.stages.grains import counted
from xcdi.stages.pooling import Pool

__all__ = ["bursts", "durations"]

WINDOWS = (0, 1, 2, 3, 4, 5)  # gaps within a burst, in windows; 0: every event alone
THRESHOLDS = (1.0, 1.5, 2.0, 3.0)  # times the lower end of the sizes
DURATION_LEAST = 200  # resolved durations below which no exponent is given for them
SIZE_LEAST = 50  # sizes in range below which their exponent is not held against that of durations
RESOLVED = 4.5  # frames: a duration of five is the shortest that is used
ONE = {"units": "1"}


def bursts(found: Pool, smallest: float, largest: float | None, minimum: int) -> dict[str, xr.DataArray]:
    """Bursts for gaps of none to five windows and rising thresholds: number, exponent, members, duration.

    Exponents are NaN where fewer than `minimum` bursts are left. Nothing for series that are not made of frames.
    """
    if not np.all((found.window > 0) & (found.frame_time > 0)):
        return {}
    gaps = np.array(WINDOWS) * int(found.window.max())
    rows = [[_burst_row(found, gap, smallest * factor, largest, minimum) for factor in THRESHOLDS] for gap in gaps]
    coords = {
        "burst_gap": xr.DataArray(gaps, dims="burst_gap", attrs={"units": "frame"}),
        "burst_threshold": xr.DataArray(smallest * np.array(THRESHOLDS), dims="burst_threshold", attrs=ONE),
    }
    columns = np.moveaxis(np.array(rows), -1, 0)
    names = {"n": "1", "exponent": "1", "exponent_error": "1", "members": "1", "duration": "s"}
    return {
        f"burst_{name}": xr.DataArray(column, coords, ("burst_gap", "burst_threshold"), attrs={"units": units})
        for (name, units), column in zip(names.items(), columns, strict=True)
    }


def _burst_row(found: Pool, gap: int, threshold: float, largest: float | None, minimum: int) -> tuple[float, ...]:
    """Number, exponent, its error, mean members and mean duration [s] of the bursts of events above a threshold."""
    parts = []
    for ds, step in zip(found.series, found.frame_time, strict=True):
        size = ds[found.size].values
        large = size >= threshold
        share = (size if found.size == "fraction" else pooling.fraction(ds))[large]
        parts.append(kernel.merge(ds.time.values[large], size[large], share, (gap + 0.5) * step if gap else -1.0, step))
    sizes = np.concatenate([part.fraction if found.size == "fraction" else part.drop for part in parts])
    members, lasting = (np.concatenate([getattr(part, name) for part in parts]) for name in ("members", "duration"))
    top = float(np.max(sizes, initial=0.0)) if largest is None else largest
    if np.sum((sizes >= threshold) & (sizes <= top)) < minimum or threshold >= top:
        exponent, error = np.nan, np.nan
    else:
        exponent, error = power_laws.fit_power_law(sizes, threshold, largest)[:2]
    mean = (float(members.mean()), float(lasting.mean())) if members.size else (np.nan, np.nan)
    return float(sizes.size), exponent, error, *mean


def durations(
    found: Pool, ends: tuple[float, float | None], lives: tuple[float | None, float | None], seed: int
) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Exponent of durations, mean size at given duration, and whether the exponents agree; and what is missing."""
    if not any("duration" in ds for ds in found.series):
        return {}, []
    sizes, life, resolved = _resolved(found)
    if not resolved.any():
        return {"duration_n": xr.DataArray(0, attrs=ONE)}, ["no event is longer than a frame: no duration is known"]
    sizes, life = sizes[resolved], life[resolved]
    range_ = _range(life, lives, float(found.frame_time.max()))
    used = (life >= range_[0]) & (life <= range_[1])
    added = {"duration_n": xr.DataArray(int(used.sum()), attrs=ONE)}
    if used.sum() < DURATION_LEAST:
        return added, [f"{counted(int(used.sum()), 'duration')} of {range_[0]:.3g} s or more; their law needs {DURATION_LEAST}"]
    laws, notes = _laws(sizes, life, ends, range_, seed)
    lifetime, mean, number = scaling.mean_size(sizes[used], life[used])
    return added | {
        **{name: xr.DataArray(value, attrs=ONE) for name, value in laws.items()},
        "duration_smallest": xr.DataArray(range_[0], attrs={"units": "s"}),
        "duration_largest": xr.DataArray(range_[1], attrs={"units": "s"}),
        "mean_size": xr.DataArray(
            mean, {"lifetime": xr.DataArray(lifetime, dims="lifetime", attrs={"units": "s"})}, ("lifetime",), attrs=ONE
        ),
        "mean_size_n": xr.DataArray(number, dims="lifetime", attrs=ONE),
    }, notes


def _laws(
    sizes: np.ndarray, life: np.ndarray, ends: tuple[float, float | None], lives: tuple[float, float], seed: int
) -> tuple[dict[str, float], list[str]]:
    """Exponents of sizes and durations held against each other; where the sizes have none, those of durations alone."""
    top = float(sizes.max()) if ends[1] is None else ends[1]
    number = int(np.sum((sizes >= ends[0]) & (sizes <= top)))
    if number >= SIZE_LEAST and ends[0] < top:
        found = scaling.exponent_relation(sizes, life, (ends[0], top), lives, seed=seed)
        pairs = {"duration_exponent": found.alpha, "size_slope": found.slope, "exponent_relation": found.expected}
        notes = []
    else:
        fit = power_laws.fit_power_law(life, *lives)
        pairs = {"duration_exponent": (fit.exponent, fit.error), "size_slope": scaling.size_slope(sizes, life, *lives, seed=seed)}
        notes = [f"{counted(number, 'event')} of known duration between the ends of the sizes; their relation needs {SIZE_LEAST}"]
    values = {name + suffix: value for name, pair in pairs.items() for suffix, value in zip(("", "_error"), pair, strict=True)}
    return values | ({"relation_p": found.p} if not notes else {}), notes


def _resolved(found: Pool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes and durations [s] of all events, and which are known to be longer than a frame."""
    life = pooling.values(found, "duration")
    known = [ds["duration_resolved"].values if "duration_resolved" in ds else np.ones(ds.sizes["event"]) for ds in found.series]
    return pooling.values(found), life, np.concatenate(known).astype(bool) & np.isfinite(life) & (life > 0)


def _range(life: np.ndarray, lives: tuple[float | None, float | None], frame_time: float) -> tuple[float, float]:
    shortest = lives[0] if lives[0] is not None else max(RESOLVED * frame_time, float(life.min()))
    longest = lives[1] if lives[1] is not None else float(life.max()) + frame_time / 2
    return float(shortest), float(longest)
