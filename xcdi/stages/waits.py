"""The times between events, labelled: which law they follow, and whether events set off others."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import aftershocks as shocks
from xcdi.kernels.avalanches import etas
from xcdi.kernels.avalanches import waiting as kernel
from xcdi.stages.grains import counted
from xcdi.stages.pooling import Pool

__all__ = ["aftershocks", "verdict", "waiting"]

LAW_LEAST = 200  # waiting times below which no law is given for them
OMORI_LEAST = 1000  # events below which no law of aftershocks is given
SIGNIFICANT = 0.05
DELAYS = 9  # bins of the rate after an event
CLASSES = 2  # of sizes, for that
SCALES = ("raw", "rescaled")
Part = tuple[dict[str, xr.DataArray], list[str]]


def waiting(found: Pool, seed: int) -> Part:
    """Tests and laws of the waiting times, as found and over their local mean; and what is missing."""
    times = [ds.time.values for ds in found.series]
    number = sum(max(t.size - 1, 0) for t in times)
    if number < LAW_LEAST:
        return {}, [f"{counted(number, 'waiting time')}; a law for them needs {LAW_LEAST}"]
    w = kernel.waiting_times(times, dead=found.dead, step=_steps(found), seed=seed)
    laws = [kernel.compare_waiting(w.gaps, w.floor), kernel.compare_waiting(w.rescaled, w.rescaled_floor)]
    coords = {"scale": list(SCALES), "waiting_law": [law.name for law in laws[0]]}

    def table(name: str) -> xr.DataArray:
        return xr.DataArray(
            [[getattr(law, name) for law in scale] for scale in laws], coords, ("scale", "waiting_law"), attrs={"units": "1"}
        )

    added = {
        "waiting_rescaled": xr.DataArray(w.rescaled, dims="gap", attrs={"units": "1"}),
        "p_exponential": _number(w.p_exponential),
        "p_exponential_rescaled": _number(w.p_rescaled),
        **{f"waiting_{name}": table(name) for name in ("aic", "ratio", "p")},
    }
    added["waiting_p"].loc[{"waiting_law": "gamma"}] = [w.p_shape, w.p_shape_rescaled]  # as the trend that was taken out would have it
    for name, row, parameter in (("gamma_shape", 1, "shape"), ("waiting_short", 2, "short"), ("waiting_long", 2, "long")):
        for suffix, part in (("", "parameters"), ("_error", "errors")):
            each = [float(getattr(scale[row], part)[parameter]) for scale in laws]
            added[name + suffix] = xr.DataArray(each, {"scale": list(SCALES)}, ("scale",), attrs={"units": "1"})
    mean = (w.gaps.mean(), w.rescaled.mean())
    scales = [float(scale[1].parameters["scale"] / one) for scale, one in zip(laws, mean, strict=True)]
    return added | {
        "gamma_scale": xr.DataArray(scales, {"scale": list(SCALES)}, ("scale",), attrs={"units": "1"}),  # over the mean gap
        "waiting_shortest": xr.DataArray(w.floor, dims="gap", attrs={"units": "s"}),
        "waiting_rescaled_shortest": xr.DataArray(w.rescaled_floor, dims="gap", attrs={"units": "1"}),
        "waiting_floor": _number(float(np.max(found.dead)), "s"),
    }, []


def verdict(ds: xr.Dataset) -> dict[str, str]:
    """What waiting times and aftershocks say, in words, as attributes."""
    if "waiting_aic" not in ds:
        return {}
    words = []
    for scale, name in (("raw", "p_exponential"), ("rescaled", "p_exponential_rescaled")):
        p, aic = float(ds[name]), ds["waiting_aic"].sel(scale=scale)
        best = str(aic["waiting_law"].values[int(np.argmin(aic.values))])
        how = "over the local rate" if scale == "rescaled" else "as found"
        words.append(f"{how}: exponential {'rejected' if p < SIGNIFICANT else 'accepted'} (p = {p:.2g}), lowest AIC {best}")
    told = {"waiting_verdict": "; ".join(words)}
    if "p_clustering" in ds:
        p, more = float(ds.p_clustering), float(ds.p_productivity)
        told["aftershock_verdict"] = (
            f"{'events set off others' if p < SIGNIFICANT else 'no aftershocks seen'} (p = {p:.2g}), "
            f"{'more' if more < SIGNIFICANT else 'not more'} of them after large events (p = {more:.2g})"
        )
    return told


def aftershocks(found: Pool, seed: int) -> Part:
    """Tests for aftershocks, the rate after an event, the gap of Bath; with enough events their law; and what is missing."""
    kept = [k for k, ds in enumerate(found.series) if ds.sizes["event"] > 1 and np.isfinite(found.length[k])]
    times = [_from_zero(found.series[k].time.values, found.length[k]) for k in kept]
    sizes = [np.asarray(found.series[k][found.size].values, float) for k in kept]
    if sum(t.size - 1 for t in times) < LAW_LEAST:
        return {}, []
    test = shocks.clustering(times, sizes, dead=found.dead[kept], step=_steps(found)[kept], seed=seed)
    seen = float(found.exposure[kept].sum() / found.length[kept].sum())
    bath = shocks.bath_gap(times, sizes, seed=seed)
    added = {
        "p_clustering": _number(test.p_clustering),
        "p_productivity": _number(test.p_productivity),
        "bath_gap": _number(bath.gap),
        "bath_gap_error": _number(bath.error),
        "bath_gap_chance": _number(bath.chance),
        "bath_n": _number(bath.mainshocks),
        **_stacked(times, sizes, found.length[kept], float(np.max(found.dead[kept])), seen),
    }
    number = sum(t.size for t in times)
    if number < OMORI_LEAST:
        return added, [f"{number} events; the law of aftershocks needs {OMORI_LEAST}"]
    if not test.p_clustering < SIGNIFICANT:
        return added, ["no aftershocks are seen, so no law is given for them"]
    fit = etas.fit_etas(times, sizes, list(found.length[kept]))
    rate = (fit.rate[0] / seen, fit.rate[1] / seen)
    names = {"background_rate": (rate, "1/s"), "aftershock_share": (fit.share, "1"), "omori_c": (fit.c, "s"), "omori_p": (fit.p, "1")}
    for name, (value, units) in {**names, "productivity": (fit.productivity, "1")}.items():
        added |= {name: _number(value[0], units), f"{name}_error": _number(value[1], units)}
    floor = float(np.max(found.dead[kept]))
    notes = [f"omori_c is not above {floor:.2g} s, within which events merge"] if fit.c[0] < floor else []
    return added | {"p_poisson": _number(fit.chance)}, notes


def _steps(found: Pool) -> np.ndarray:
    """Frame time [s] of series that were searched frame by frame; 0 of others."""
    return np.where(found.window > 0, found.frame_time, 0.0)


def _from_zero(times: np.ndarray, length: float) -> np.ndarray:
    """Times since the start of their series [s]."""
    return times - times.min() if times.size and times.max() > length else times


def _stacked(times: list[np.ndarray], sizes: list[np.ndarray], lengths: np.ndarray, dead: float, seen: float) -> dict[str, xr.DataArray]:
    """Rate after small and after large events, against delay, of a time of which the part `seen` was looked at."""
    gaps, every = np.concatenate([np.diff(t) for t in times]), np.concatenate(sizes)
    low = max(dead, float(np.quantile(gaps[gaps > 0], 0.02)))
    edges = np.geomspace(low, max(4 * float(gaps.mean()), 2 * low), DELAYS + 1)
    rate = shocks.stacked_rate(times, sizes, list(lengths), edges, np.quantile(every, np.linspace(0, 1, CLASSES + 1)))
    per_second = {"units": "1/s"}
    both: Any = ("size_class", "delay")
    delay = xr.DataArray(rate.delay, dims="delay", attrs={"units": "s"})
    return {
        "aftershock_rate": xr.DataArray(rate.rate / seen, {"delay": delay}, both, attrs=per_second),
        "aftershock_rate_error": xr.DataArray(rate.error / seen, dims=both, attrs=per_second),
        "class_size": xr.DataArray(rate.size, dims="size_class", attrs={"units": "1"}),
    }


def _number(value: float, units: str = "1") -> xr.DataArray:
    return xr.DataArray(float(value), attrs={"units": units})
