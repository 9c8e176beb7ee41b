"""Strain results of one particle over time in; what moved, slipped and strained between its states out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.settings import Model
from xcdi.stages import strain_series

READS = "results"


class Settings(Model):
    """Everything a user of this pipeline may change."""

    against: Literal["first", "previous"] = Field(default="first", description="the state that changes are relative to")
    sigmas: float = Field(default=3.0, gt=0, description="errors by which a voxel must have changed to count as changed")


def run(
    results: Sequence[dict[str, xr.Dataset]], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Register the crystals of all results and compare them. Takes no time worth a device or a second worker."""
    ready(results, settings)
    crystals = [
        strain_series.with_ensemble(result["crystal"], result["object"]) if "object" in result else result["crystal"] for result in results
    ]
    times, time_from = _times(results)
    return {"series": strain_series.series(crystals, times=times, time_from=time_from, **settings.model_dump())}


def ready(results: Sequence[dict[str, xr.Dataset]], settings: Settings) -> None:
    """Refuse results without a crystal and its grains, and fewer than two of them."""
    lacking = [n for n, result in enumerate(results, 1) if not {"crystal", "grains"} <= set(result)]
    if lacking:
        raise XcdiError(f"result {lacking[0]} of {len(results)} holds no crystal with grains; expected those of bcdi_strain")
    if len(results) < 2:
        raise XcdiError("one result; a series needs the results of two or more scans of one particle")


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    ds = result["series"]
    told = f"{ds.sizes['state']} states  {int(np.isfinite(ds.order).sum())} reliable  {ds.sizes['boundary']} boundaries"
    slip = ds.slip.where(abs(ds.slip) > ds.attrs["sigmas"] * ds.slip_error)
    if not bool(slip.notnull().any()):
        return f"{told}  no slip beyond {ds.attrs['sigmas']:g} errors"
    most = abs(slip).argmax(...)
    where = {dim: int(index) for dim, index in most.items()}
    largest, error = float(slip.isel(where)), float(ds.slip_error.isel(where))
    pair = f"{int(ds.boundary_i[where['boundary']])}-{int(ds.boundary_j[where['boundary']])}"
    return f"{told}  largest slip {largest:+.2f} ± {error:.2f} nm along G at boundary {pair} in state {where['state']}"


def table(result: dict[str, xr.Dataset]) -> str:
    """What is doubtful, and one line per state."""
    ds = result["series"]
    lines = [str(ds.attrs["warning"])] if "warning" in ds.attrs else []
    lines += [f"state  time (s)  grade       d (nm)    strain step            order  grains  changed against {ds.attrs['against']}"]
    for k in range(ds.sizes["state"]):
        one = ds.isel(state=k)
        share = f"{_share(one):.0%}" if "displaced" in one and np.isfinite(one.order) else "-"
        lines.append(
            f"{k:5d}  {_number(one.time, '8.0f')}  {one.grade.item():10s}  {_number(one.mean_d_spacing, '.4f')}  "
            f"{_number(one.strain_step, '+.2e')} ± {_number(one.strain_step_error, '.1e')}  {_number(one.order, '.3f')}  "
            f"{_number(one.grains, '6.0f')}  {share}"
        )
    return "\n".join(lines)


def _times(results: Sequence[dict[str, xr.Dataset]]) -> tuple[list[float], str]:
    """Middle of every scan [s since 1970], NaN where its start is not known; and in words what these times are."""
    starts = strain_series.starts([result["crystal"] for result in results])
    middles = [float(result["peak"].time.mean()) if "time" in result.get("peak", {}) else np.nan for result in results]
    lacking = ", ".join(map(str, np.flatnonzero(np.isnan(middles))))
    told = "middle of each scan" + (f"; start of state {lacking}, whose frames have no times" if lacking else "")
    return (np.array(starts) + np.nan_to_num(middles)).tolist(), told


def _share(state: xr.Dataset) -> float:
    """Part of the particle that was displaced."""
    return float(state.displaced.sum() / state.support.sum())


def _number(value: xr.DataArray, form: str) -> str:
    """A number, or a dash where it is not known."""
    width = len(f"{1.0:{form}}")
    return f"{float(value):{form}}" if np.isfinite(value) else "-".rjust(width)
