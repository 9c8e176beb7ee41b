"""Results with events in; sizes, exponents, waiting times and active boundaries of all of them together out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from pydantic import Field

from xcdi.errors import XcdiError
from xcdi.stages import catalogues
from xcdi.stages.grains import counted

__all__ = ["PARTS", "READS", "Settings", "run", "summary", "table"]

READS = "results"
PARTS = ("events", "boundaries")  # of each result: the matrices of many would not fit in memory


class Settings(catalogues.Counting):
    """Everything a user of this pipeline may change."""

    seed: int = Field(default=0, ge=0, description="seed of all that is drawn; same seed, same bits")


def run(
    results: Sequence[dict[str, xr.Dataset]], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> dict[str, xr.Dataset]:
    """Pool the events of all results. Takes no time worth a device or a second worker.

    Raises
    ------
    XcdiError
        If no result holds events.
    """
    used = [result for result in results if "events" in result]
    if not used:
        raise XcdiError(f"none of {len(results)} results holds events; expected those of a pipeline that finds them, such as superlattice")
    once = _each_series_once(used)
    tables = [result.get("boundaries") for result in once]
    found = catalogues.statistics([result["events"] for result in once], boundaries=tables, **settings.model_dump())
    more = len(used) - len(once)
    notes = [f"{counted(more, 'result')} of a series that another result holds already, left out"] if more else []
    note = ". ".join([*notes, *filter(None, [found.attrs["note"]])])
    return {"statistics": found.assign_attrs(results_without_events=len(results) - len(used), results_left_out=more, note=note)}


def _each_series_once(results: Sequence[dict[str, xr.Dataset]]) -> list[dict[str, xr.Dataset]]:
    """The first result of each series: one of the same scan of the same file, or with the very same events, would count twice."""
    kept: list[dict[str, xr.Dataset]] = []
    seen: set[tuple[object, object]] = set()
    for result in results:
        events = result["events"]
        marks = {(events.attrs.get("source"), events.attrs.get("scan"))} if events.attrs.get("source") else set()
        if events.sizes["event"] and "drop" in events:
            marks.add((events.time.values.tobytes(), events["drop"].values.tobytes()))
        if not marks & seen:
            kept.append(result)
        seen |= marks
    return kept


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    ds = result["statistics"]
    rate = f"rate {float(ds.rate):.3g} ± {float(ds.rate_error):.2g} 1/s"
    if "exponent" not in ds:
        why = next((note for note in str(ds.attrs["note"]).split(". ") if "exponent" in note), "see the notes")
        return f"{_counted(ds)}  {rate}  no exponent: {why}"
    return f"{_counted(ds)}  {rate}  exponent {float(ds.exponent):.2f} ± {float(ds.exponent_error):.2f} from {int(ds.n)} of {_range(ds)}"


def table(result: dict[str, xr.Dataset]) -> str:
    """What the events say, one line each; what is missing, last."""
    ds = result["statistics"]
    lines = [("events", _counted(ds)), ("rate", f"{float(ds.rate):.3g} ± {float(ds.rate_error):.2g} 1/s")]
    for part in (_sizes, _times, _durations, _boundaries, _brightness, _dose):
        lines.extend(part(ds))
    lines.extend(("note", note) for note in str(ds.attrs["note"]).split(". ") if note)
    return "\n".join(f"{name:<14} {words}" for name, words in lines)


def _counted(ds: xr.Dataset) -> str:
    return f"{counted(int(ds.n_all), 'event')} in {ds.attrs['series']} series"


def _range(ds: xr.Dataset) -> str:
    """Lower end of the sizes that were fitted, in words."""
    used = ds.cut.values[np.isfinite(ds.cut.values)]
    low, high = float(used.min()), float(used.max())
    return f"{high:.3g} or more" if low == high else f"{low:.3g} to {high:.3g} or more, each series its own"


def _sizes(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """The law of the sizes, and of bursts."""
    if "exponent" not in ds:
        return
    interval = f"[{float(ds.exponent_low):.2f}, {float(ds.exponent_high):.2f}]"
    yield "exponent", f"{float(ds.exponent):.2f} ± {float(ds.exponent_error):.2f} {interval} from {int(ds.n)} events of {_range(ds)}"
    yield "range", f"smallest from {ds.attrs['cut_from']}; largest {float(ds.largest):.3g}, the {ds.attrs['largest_from']}"
    yield "sizes", str(ds.attrs["verdict"])
    if float(ds.exponent_noise_shift) == float(ds.exponent_noise_shift):
        yield "noise", f"errors of the sizes shift the exponent by {float(ds.exponent_noise_shift):+.3f}"
    if "burst_exponent" in ds:
        tau = ds.burst_exponent
        for gap in tau["burst_gap"].values:
            each = [f"{float(v):.2f}" if float(v) == float(v) else "-" for v in tau.sel(burst_gap=gap).values]
            yield (
                f"bursts, {gap} fr",
                f"exponents {' '.join(each)} above {' '.join(f'{float(v):.3g}' for v in tau['burst_threshold'].values)}",
            )


def _times(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Waiting times and aftershocks."""
    for name, attribute in (("waiting times", "waiting_verdict"), ("aftershocks", "aftershock_verdict")):
        if attribute in ds.attrs:
            yield name, str(ds.attrs[attribute])
    if "bath_gap" in ds:
        chance = f"{float(ds.bath_gap_chance):.2f} by chance"
        yield "mainshocks", f"{int(ds.bath_n)}, 10^({_with_error(ds, 'bath_gap')}) times their largest aftershock; {chance}"
    if "omori_p" in ds:
        words = {"omori_p": "p", "omori_c": "c [s]", "aftershock_share": "K", "productivity": "a"}
        yield "aftershock law", ", ".join(f"{symbol} {_with_error(ds, name)}" for name, symbol in words.items())


def _durations(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Durations, and whether the exponents agree."""
    if "duration_exponent" not in ds:
        return
    yield (
        "durations",
        f"exponent {_with_error(ds, 'duration_exponent')} from {int(ds.duration_n)} of {float(ds.duration_smallest):.3g} s or more",
    )
    if "relation_p" not in ds:
        yield "", f"size grows as duration^({_with_error(ds, 'size_slope')})"
        return
    yield (
        "scaling",
        (
            f"size grows as duration^({_with_error(ds, 'size_slope')}); the exponents ask for {_with_error(ds, 'exponent_relation')} "
            f"(p = {float(ds.relation_p):.2g})"
        ),
    )


def _boundaries(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """The most active boundary, and what goes with activity."""
    if "boundary_events" not in ds or not float(ds.boundary_events.sum()) > 0:
        return
    top = ds.isel(boundary=int(np.argmax(ds.boundary_events.values)))
    share = float(top.boundary_events / ds.boundary_events.sum())
    place = f"{int(top.boundary_i)} | {int(top.boundary_j)} of result {int(top.result) + 1}"
    yield "boundaries", f"most active {place}: {share:.0%} of {float(ds.boundary_events.sum()):.1f} events"
    if "against_rank" in ds:
        words = {"area": "events, area", "misorientation": "events per area, misorientation", "dip": "events per area, dip"}
        for name, one, p in zip(ds["against"].values, ds.against_rank.values, ds.against_p.values, strict=True):
            if one == one:
                yield "", f"rank correlation of {words[str(name)]}: {one:+.2f} (p = {p:.2g})"


def _brightness(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    if "brightness_mean" in ds:
        yield (
            "brightness",
            f"changes by {_with_error(ds, 'brightness_mean')} across an event; chance of one as high: p = {float(ds.brightness_p):.2g}",
        )


def _dose(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Rates at each flux, and whether they follow the beam."""
    if "dose_verdict" not in ds.attrs:
        return
    for k in range(ds.sizes["flux_group"]):
        one = ds.isel(flux_group=k)
        words = f"{_with_error(one, 'dose_rate')} 1/s, {_with_error(one, 'dose_per_photon')} per 10^6 photons"
        yield "flux" if k == 0 else "", f"{float(one.dose_flux):.3g} photons per pixel and s: {words}, from {int(one.dose_events)} events"
    told = f"rate ~ flux^({_with_error(ds, 'dose_exponent')})" if np.isfinite(float(ds.dose_exponent)) else "no exponent"
    yield "", f"{ds.attrs['dose_verdict']} (log likelihood ratio {float(ds.dose_log_ratio):+.2g}, {told})"


def _with_error(ds: xr.Dataset, name: str) -> str:
    return f"{float(ds[name]):.3g} ± {float(ds[f'{name}_error']):.1g}"
