"""The statistics of events from one series or many: counts, rates, and the law of their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from xcdi.kernels.avalanches import power_laws, tails
from xcdi.settings import Model
from xcdi.stages import lasting, places, pooling, waits
from xcdi.stages.dose import control
from xcdi.stages.grains import counted
from xcdi.stages.pooling import Pool

__all__ = ["Counting", "statistics"]

ONE = {"units": "1"}
REJECTED = 0.1  # a goodness of fit below it
SIGNIFICANT = 0.05
NEGLIGIBLE = 0.5  # of the standard error, that noise may shift the exponent by
WORDS = {"exponential": "an exponential", "lognormal": "a log-normal"}


class Counting(Model):
    """How events are counted, and how laws are fitted to them."""

    size: Literal["drop", "drop_whitened", "drop_internal", "fraction"] = Field(
        default="drop", description="column of the events that is their size; drop_whitened: with equal noise in all pixels"
    )
    smallest: Annotated[float, Field(gt=0)] | Literal["complete", "nearest"] = Field(
        default="complete",
        description="lower end of the power law; complete: where each series finds all events, nearest: where the fit is best above that",
    )
    largest: float | None = Field(default=0.6, gt=0, description="upper end of the power law; leave it out for the largest size found")
    minimum: int = Field(default=50, ge=2, description="fewest events for which an exponent is given")
    shortest: float | None = Field(default=None, gt=0, description="least duration used [s]; left out: five frames, less half a frame")
    longest: float | None = Field(default=None, gt=0, description="longest duration used [s]; left out: the longest found")

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        for low, high in (("smallest", "largest"), ("shortest", "longest")):
            least, most = getattr(self, low), getattr(self, high)
            if isinstance(least, float) and most is not None and not least < most:
                raise ValueError(f"{low} = {least:g} and {high} = {most:g}; expected {low} below {high}")
        return self


class _Cut(NamedTuple):
    """Lower end of every series, infinite for those left out; in words where it is from, and the floor above which it was sought."""

    ends: np.ndarray
    source: str
    sought: float | None = None

    @property
    def used(self) -> np.ndarray:
        """Lower ends of the series that are not left out."""
        return self.ends[np.isfinite(self.ends)]

    @property
    def highest(self) -> float:
        """The highest of them; NaN if every series is left out."""
        return float(self.used.max()) if self.used.size else float("nan")


def statistics(
    catalogues: Sequence[xr.Dataset],
    *,
    size: Literal["drop", "drop_whitened", "drop_internal", "fraction"] = "drop",
    smallest: float | Literal["complete", "nearest"] = "complete",
    largest: float | None = 0.6,
    minimum: int = 50,
    shortest: float | None = None,
    longest: float | None = None,
    boundaries: Sequence[xr.Dataset | None] = (),
    seed: int = 0,
) -> xr.Dataset:
    """Statistics of the events of one or many series.

    Parameters
    ----------
    catalogues : sequence of Dataset
        EVENTS of each series. Artefacts and rigid motion are left out.
    size : str
        Column that serves as size. `completeness` is that of drops, and says nothing of "drop_whitened".
    smallest : float or {"complete", "nearest"}
        Lower end of the power law. "complete": for each series the size from which it finds all events (attribute
        `completeness`); one that does not say takes the largest of the others, and where none says it is "nearest".
        "nearest": one for all, where the fit comes nearest to the sizes, at or above the worst completeness. A series that
        finds no event of any size (`completeness` infinite) is left out of the law.
    largest : float or None
        Upper end; None takes the largest size.
    minimum : int
        Fewest events in that range for an exponent; below, counts and rates only.
    shortest, longest : float, optional
        Range of durations [s], where they are resolved.
    boundaries : sequence of Dataset or None, optional
        BOUNDARIES of the particle of each series, for the share that each boundary takes.
    seed : int
        Seed of all that is drawn.

    Returns
    -------
    Dataset
        STATISTICS: `size` and `ccdf` (event), `waiting` (gap) [s], `n`, `rate` [1/s] (over the time of good frames), `cut`,
        `counts` and `rate_series` (series); with 50 events above the lower end `exponent`, its error and interval, goodness of fit
        `p`, what noise shifts it by, the fitted curve, and comparisons with other laws, all of them also for bursts; with 200 waiting
        times their laws, and tests for aftershocks; with 1000 events the law of aftershocks; with 200 resolved durations theirs. Where
        series were taken at fluxes 1.5 times apart or more, `dose_rate` and `dose_per_photon` (flux_group), and whether events follow
        the beam. The attribute `note` says what is missing and why, `verdict` what the sizes say.

    Raises
    ------
    XcdiError
        If there is no catalogue, or a column is missing.
    """
    found = pooling.pool(catalogues, size)
    sizes, cut = pooling.values(found), _cut(found, smallest, largest, minimum)
    ends = cut.ends[pooling.whose(found)]
    inside = (sizes >= ends) & (sizes <= (np.inf if largest is None else largest))
    notes = [*_cut_notes(found, cut), *_left_out(sizes, largest)]
    ds = _counts(found, sizes, inside, cut)
    seeing = pooling.select(found, np.isfinite(cut.ends))
    if inside.sum() < minimum or float(np.min(ends, initial=np.inf)) >= (np.max(sizes, initial=0.0) if largest is None else largest):
        notes.append(f"{counted(int(inside.sum()), 'event')} of {_range(cut)}; an exponent needs {minimum}")
    else:
        laws, told = _power_law(seeing, cut, largest, minimum, seed)
        ds, notes = ds.assign(laws), [*notes, *told]
        ds = ds.assign_attrs(verdict=_verdict(ds), largest_from="setting" if largest is not None else "largest size found")
        ds = ds.assign(lasting.bursts(seeing, cut.highest, largest, minimum))
    for part in (waits.waiting, waits.aftershocks):
        added, told = part(found, seed)
        ds, notes = ds.assign(added), [*notes, *told]
    added, told = lasting.durations(seeing, (cut.highest, largest), (shortest, longest), seed)
    ds, notes = ds.assign(added), [*notes, *told]
    added, told = places.participation(found, boundaries, minimum, seed)
    ds, notes = ds.assign(added), [*notes, *told]
    added, told = places.brightness(found, minimum, seed)
    ds, notes = ds.assign(added), [*notes, *told]
    ds = ds.merge(control(catalogues), combine_attrs="no_conflicts")
    attrs = {"size": size, "minimum": minimum, "series": len(catalogues), "seed": seed, "cut_from": cut.source}
    return ds.assign_attrs(attrs | waits.verdict(ds) | {"note": ". ".join(dict.fromkeys(note for note in notes if note))})


def _cut(found: Pool, smallest: float | str, largest: float | None, minimum: int) -> _Cut:
    """Lower end of every series; infinite for one that finds nothing of any size."""
    cut = _sought(found, smallest, largest, minimum)
    return cut._replace(ends=np.where(np.isinf(found.complete), np.inf, cut.ends))


def _sought(found: Pool, smallest: float | str, largest: float | None, minimum: int) -> _Cut:
    known = found.complete[np.isfinite(found.complete)]
    worst = float(known.max()) if known.size else 0.0
    if not isinstance(smallest, str):
        return _Cut(np.full(found.complete.size, float(smallest)), "setting")
    if smallest == "complete" and known.size:
        return _Cut(np.where(np.isfinite(found.complete), found.complete, worst), "completeness of each series")
    sizes = pooling.values(pooling.select(found, ~np.isinf(found.complete)))
    used = sizes[(sizes >= worst) & (sizes <= (np.inf if largest is None else largest))]
    if np.unique(used).size < minimum + 2:
        least = float(used.min()) if used.size and not worst else max(worst, 1e-12)
        return _Cut(np.full(found.complete.size, least), "least size" if not worst else "worst completeness")
    nearest = power_laws.cut_by_distance(sizes, largest, least=minimum, above=worst)
    return _Cut(np.full(found.complete.size, nearest), "nearest fit", worst)


def _range(cut: _Cut) -> str:
    if not cut.used.size:
        return "a size that any series shows"
    low, high = float(cut.used.min()), cut.highest
    return f"{low:.3g} or more" if low == high else f"{low:.3g} to {high:.3g} or more, each series its own"


def _cut_notes(found: Pool, cut: _Cut) -> Iterator[str]:
    """Series that are left out; warnings of a lower end below completeness, or of completeness that nobody states."""
    blind, silent = (int(np.sum(test(found.complete))) for test in (np.isinf, np.isnan))
    if blind:
        words = "shows" if blind == 1 else "show"
        yield f"{blind} of {cut.ends.size} series {words} no event of any size, left out of the law of sizes"
    below = np.flatnonzero(np.isfinite(found.complete) & (found.complete > cut.ends * (1 + 1e-9)))
    if below.size:
        worst, many = float(found.complete[below].max()), f"{below.size} of {cut.ends.size} series"
        yield f"smallest = {cut.highest:g} lies below the completeness of {many} ({worst:.2g}); the exponent is too flat"
    elif silent and cut.source != "setting":
        yield f"{silent} of {cut.ends.size} series do not say from which size on all events are found; smallest is from the {cut.source}"


def _left_out(sizes: np.ndarray, largest: float | None) -> list[str]:
    above = 0 if largest is None else int(np.sum(sizes > largest))
    return [f"{counted(above, 'event')} above largest = {largest:g}, not fitted"] if above else []


def _counts(found: Pool, sizes: np.ndarray, inside: np.ndarray, cut: _Cut) -> xr.Dataset:
    """What is given however few events there are."""
    rising, share = power_laws.ccdf(sizes)
    number = np.array([ds.sizes["event"] for ds in found.series])
    duration = float(found.exposure.sum())
    every_second = {"units": "1/s"}
    gaps = np.concatenate([np.diff(ds.time.values) for ds in found.series])
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, error, each = sizes.size / np.float64(duration), np.sqrt(sizes.size) / np.float64(duration), number / found.exposure
    return xr.Dataset(
        {
            "size": ("event", rising, ONE),
            "ccdf": ("event", share, ONE),
            "waiting": ("gap", gaps, {"units": "s"}),
            "n": ((), int(inside.sum()), ONE),
            "n_all": ((), sizes.size, ONE),
            "rate": ((), float(rate), every_second),
            "rate_error": ((), float(error), every_second),
            "smallest": ((), cut.highest, ONE),
            "cut": ("series", cut.ends, ONE),
            "counts": ("series", number, ONE),
            "rate_series": ("series", each, every_second),
        }
    )


def _power_law(found: Pool, cut: _Cut, largest: float | None, minimum: int, seed: int) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Exponent with its errors, the fitted curve, what else might fit, and what there is to say."""
    sizes, error, ends = pooling.values(found), pooling.errors(found), cut.used[pooling.whose(found)]
    one = float(ends.min()) if cut.sought is not None else ends
    fit = power_laws.fit_power_law(sizes, one, largest)
    low, high = power_laws.bootstrap(sizes, one, largest, seed=seed)
    least, above = (0, 0.0) if cut.sought is None else (minimum, cut.sought)
    p = power_laws.goodness(sizes, one, largest, least=least, above=above, seed=seed)
    shift = power_laws.noise_shift(sizes, error, one, largest, seed=seed)[0] if np.any(error > 0) else np.nan
    scalars = {"exponent": fit.exponent, "exponent_error": fit.error, "exponent_low": low, "exponent_high": high}
    scalars |= {"largest": fit.largest, "distance": fit.distance, "p": p, "exponent_noise_shift": shift}
    others = tails.compare_tails(sizes, one, largest)
    laws = {
        **{name: xr.DataArray(value, attrs=ONE) for name, value in scalars.items()},
        **_curve(sizes, ends, fit),
        "ratio": xr.DataArray([o.ratio for o in others], dims="law", coords={"law": [o.name for o in others]}, attrs=ONE),
        "ratio_p": xr.DataArray([o.p for o in others], dims="law", attrs=ONE),
    }
    return laws, list(_fit_notes(scalars, fit, largest))


def _fit_notes(scalars: Mapping[str, float], fit: power_laws.PowerLaw, largest: float | None) -> list[str]:
    """What makes the exponent doubtful."""
    notes = []
    if scalars["p"] < REJECTED:
        notes.append(f"a power law is rejected (p = {scalars['p']:.2g})")
    shift = scalars["exponent_noise_shift"]
    if np.isfinite(shift) and abs(shift) > NEGLIGIBLE * fit.error:
        notes.append(f"errors of the sizes shift the exponent by {shift:+.2f}, which is left in it; raise smallest")
    if largest is None:
        bias = 1 / (fit.n * np.log(fit.largest / fit.smallest))
        notes.append(f"the largest size found is the upper end, which biases the exponent low by about {bias:.2g}")
    return notes


def _curve(sizes: np.ndarray, ends: np.ndarray, fit: power_laws.PowerLaw) -> dict[str, xr.DataArray]:
    """The fitted law as a share of all events, to be drawn over theirs."""
    at = np.geomspace(fit.smallest, fit.largest, 100)
    inside = (sizes >= ends) & (sizes <= fit.largest)
    each, number = np.unique(ends[inside], return_counts=True)
    above = sum(n * power_laws.power_law_ccdf(at, fit.exponent, float(a), fit.largest) for a, n in zip(each, number, strict=True))
    share = (above + np.sum(sizes > fit.largest)) / sizes.size
    return {"fit_size": xr.DataArray(at, dims="curve", attrs=ONE), "fit_ccdf": xr.DataArray(share, dims="curve", attrs=ONE)}


def _verdict(ds: xr.Dataset) -> str:
    """What the sizes say of a power law, in words."""
    words = [f"a power law is {'rejected' if float(ds.p) < REJECTED else 'accepted'} (p = {float(ds.p):.2g})"]
    for law, ratio, p in zip(ds["law"].values, ds["ratio"].values, ds["ratio_p"].values, strict=True):
        if law == "cutoff":
            words.append(f"{'an' if p < SIGNIFICANT else 'no'} exponential cut-off (p = {p:.2g})")
        elif p >= SIGNIFICANT:
            words.append(f"{WORDS[law]} fits as well (p = {p:.2g})")
        else:
            words.append(f"{WORDS[law]} fits {'worse' if ratio > 0 else 'better'} (p = {p:.2g})")
    return ", ".join(words)
