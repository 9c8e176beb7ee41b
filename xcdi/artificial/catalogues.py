"""Catalogues of events without images: sizes, times and parents of known laws, in the files of a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xcdi.artificial import laws
from xcdi.artificial.choices import chosen, configured
from xcdi.artificial.streams import streams
from xcdi.artificial.telling import Tell, silent
from xcdi.artificial.writing import put
from xcdi.settings import Model

__all__ = ["SIZES", "VARIANTS", "Catalogue", "Series", "catalogue", "completeness", "draw", "size_law", "write_catalogue"]

# The order is part of every simulated file: add at the end only.
COMPONENTS = ("sizes", "times", "detection", "offspring", "delays", "trees")
FOUND = 0.9  # share of events found from the completeness on
PROFILES_TO = 50  # generations up to which mean profiles are kept


class Catalogue(Model):
    """What catalogues of events are made of; the defaults are the variant `power-law`."""

    series: int = Field(2, gt=0, description="catalogues, one file each")
    events: int = Field(300, gt=1, description="per catalogue, found or not; with aftershocks, the mean number if one waits forever")
    frame_time_s: float = Field(0.5, gt=0, description="one generation of a branching avalanche takes this")

    # sizes
    law: Literal["power-law", "cut-off", "log-normal", "branching"] = "power-law"
    exponent: float = Field(1.5, description="tau of p(x) ~ x^-tau")
    smallest: float = Field(0.03, gt=0, description="lower end of the power law; of the range to fit, for the other laws")
    largest: float = Field(0.6, gt=0, description="upper end, likewise")
    cutoff: float = Field(0.2, gt=0, description="scale of the exponential cut-off, as a part of the upper end")
    median: float = Field(0.1, gt=0, description="of the log-normal law")
    log_sd: float = Field(0.6, gt=0, description="sd of the logarithm, of the log-normal law")
    offspring: float = Field(1.0, gt=0, le=1, description="mean number of descendants of a member of a branching avalanche")
    largest_tree: int = Field(100_000, gt=0, description="branching avalanches beyond this size do not occur")

    # times
    times: Literal["poisson", "log-poisson", "etas"] = Field("poisson", description="steady rate; rate ~ 1 / age; aftershocks")
    rate: float = Field(0.1, gt=0, description="mean rate of events [1/s]")
    age_s: float = Field(30.0, gt=0, description="age at the start of the catalogue, of log-poisson")
    aftershocks: float = Field(0.6, ge=0, lt=1, description="K: mean number of aftershocks of an event if one waits forever")
    omori_p: float = Field(1.2, gt=1, description="their rate falls as (t + c)^-p")
    omori_c_s: float = Field(0.1, gt=0)
    productivity: float = Field(0.5, description="their number grows as the size to this power")

    # detection
    detection_centre: float | None = Field(None, gt=0, description="size of which half the events are found; None: all are found")
    detection_width: float = Field(0.3, gt=0, description="width of the detection curve, logistic in the logarithm of the size")

    @model_validator(mode="after")
    def _possible(self) -> Catalogue:
        if self.smallest >= self.largest:
            raise ValueError(f"smallest {self.smallest:g} is not below largest {self.largest:g}")
        if self.law == "branching" and self.times == "etas":
            raise ValueError("aftershocks need a law of sizes that is not branching; choose other times or another law")
        return self

    @property
    def duration_s(self) -> float:
        """Length of one catalogue [s]."""
        return self.events / self.rate


SIZES: dict[str, dict[str, Any]] = {
    "pico": {"series": 1, "events": 60},
    "nano": {},
    "std": {"series": 4, "events": 1000},
    "full": {"series": 16, "events": 5000},
}
_BRANCHING = {"law": "branching", "smallest": 4.5, "largest": 2000.5}  # sizes 5 to 2000, which are whole numbers
VARIANTS: dict[str, dict[str, Any]] = {
    "power-law": {},
    "cut-off": {"law": "cut-off"},
    "log-normal": {"law": "log-normal"},
    "branching": _BRANCHING,
    "branching-0.9": _BRANCHING | {"offspring": 0.9},
    "branching-0.99": _BRANCHING | {"offspring": 0.99},
    "poisson": {"times": "poisson"},
    "log-poisson": {"times": "log-poisson"},
    "etas": {"times": "etas"},
    "censored": {"smallest": 0.006, "detection_centre": 0.03},
}


class Series(NamedTuple):
    """One catalogue, in order of time; `parent` is -1 where nothing set an event off.

    `lifetime` [frames] and `activity`, members of each generation of one event after the other, are empty but for branching.
    """

    time: NDArray[np.float64]
    size: NDArray[np.float64]
    parent: NDArray[np.int64]
    detected: NDArray[np.bool_]
    lifetime: NDArray[np.int64]
    activity: NDArray[np.int64]


def catalogue(name: str, variant: str = "", **options: Any) -> Catalogue:
    """Return the profile called `name`, with a variant, and with single values replaced by `options`.

    Raises
    ------
    XcdiError
        If there is no such profile, variant or option, or a value does not fit.

    Examples
    --------
    >>> catalogue("pico", "censored", events=70).detection_centre
    0.03
    """
    return configured(Catalogue, SIZES, name, chosen(VARIANTS, variant) | options)


def size_law(c: Catalogue) -> laws.SizeLaw:
    """Return the law of sizes of all events, found or not.

    Raises
    ------
    ValueError
        For branching, whose sizes are whole numbers: see :func:`xcdi.artificial.laws.borel`.
    """
    if c.law == "branching":
        raise ValueError("sizes of branching avalanches are whole numbers; use laws.borel")
    if c.law == "log-normal":
        return laws.log_normal(c.median, c.log_sd)
    return laws.power_law(c.exponent, c.smallest, c.largest, c.cutoff * c.largest if c.law == "cut-off" else np.inf)


def completeness(c: Catalogue) -> float:
    """Size from which nine events in ten are found; NaN where all are.

    Examples
    --------
    >>> round(completeness(Catalogue(detection_centre=0.03)), 3)
    0.058
    """
    if c.detection_centre is None:
        return float("nan")
    return float(c.detection_centre * (FOUND / (1 - FOUND)) ** c.detection_width)


def draw(c: Catalogue, seed: int) -> tuple[Series, ...]:
    """Draw all catalogues; more of them, or more components of chance, leave the others unchanged."""
    children = streams(seed)["catalogue"].spawn(c.series)
    return tuple(_series(c, dict(zip(COMPONENTS, child.spawn(len(COMPONENTS)), strict=True))) for child in children)


def _series(c: Catalogue, rng: dict[str, np.random.Generator]) -> Series:
    none = np.zeros(0, np.int64)
    if c.times == "etas":
        shocks, lifetime, activity = _etas(c, rng), none, none
    else:
        time = laws.ageing_times(c.events, c.duration_s, c.age_s if c.times == "log-poisson" else None, rng["times"])
        size, lifetime, activity = _avalanches(c, rng)
        shocks = laws.Shocks(time, size, np.full(c.events, -1, np.int64))
    found = np.ones(shocks.size.size, bool)
    if c.detection_centre is not None:
        found = rng["detection"].random(found.size) < laws.detected_share(shocks.size, c.detection_centre, c.detection_width)
    return Series(*shocks, found, lifetime, activity)


def _avalanches(c: Catalogue, rng: dict[str, np.random.Generator]) -> tuple[Any, Any, Any]:
    """Sizes, lifetimes and activities of independent events."""
    if c.law != "branching":
        return size_law(c).quantile(rng["sizes"].random(c.events)), np.zeros(0, np.int64), np.zeros(0, np.int64)
    grown = laws.trees(c.events, c.offspring, c.largest_tree, rng["trees"])
    return grown.sizes.astype(np.float64), grown.generations, grown.activity


def _etas(c: Catalogue, rng: dict[str, np.random.Generator]) -> laws.Shocks:
    background = laws.ageing_times(max(round(c.events * (1 - c.aftershocks)), 2), c.duration_s, None, rng["times"])
    return laws.with_aftershocks(
        background,
        size_law(c),
        ratio=c.aftershocks,
        productivity=c.productivity,
        p=c.omori_p,
        c=c.omori_c_s,
        end=c.duration_s,
        sizes=rng["sizes"],
        offspring=rng["offspring"],
        delays=rng["delays"],
    )


def write_catalogue(folder: Path, profile: str, seed: int, options: dict[str, Any], variant: str, *, tell: Tell = silent) -> None:
    """Write ``catalogue_1.h5``, ..., which are results with events, and ``truth.h5`` into `folder`."""
    c = catalogue(profile, variant, **options)
    drawn = draw(c, seed)
    for number, series in enumerate(drawn, 1):
        _write_result(folder / f"catalogue_{number}.h5", c, series, f"catalogue_{number}", seed)
        tell("catalogues", number, len(drawn))
    with h5py.File(folder / "truth.h5", "w") as file:
        file["seed"], file["config"] = seed, json.dumps({"suite": "catalogue", **c.model_dump(mode="json")})
        put(file, "range", np.array([c.smallest, c.largest]), "1")
        put(file, "completeness", completeness(c), "1")
        for number, series in enumerate(drawn, 1):
            for name, units in (("time", "s"), ("size", "1"), ("parent", ""), ("detected", ""), ("lifetime", "frame"), ("activity", "1")):
                put(file, f"series_{number}/{name}", getattr(series, name), units)
        if c.law == "branching":
            put(file, "profile_lifetime", np.arange(1, PROFILES_TO + 1), "frame")
            put(file, "profile", _profiles(c.offspring), "1")


def _profiles(offspring: float) -> NDArray[np.float64]:
    """Exact mean profiles (lifetime, generation), NaN after the end."""
    found = np.full((PROFILES_TO, PROFILES_TO), np.nan)
    for n in range(1, PROFILES_TO + 1):
        found[n - 1, :n] = laws.mean_profile(n, offspring)
    return found


def _write_result(path: Path, c: Catalogue, series: Series, scan: str, seed: int) -> None:
    """Write the detected events as `xcdi run` writes those that it finds."""
    seen = series.detected
    columns: dict[str, tuple[NDArray[Any], str]] = {
        "time": (series.time[seen], "s"),
        "frame": ((series.time[seen] // c.frame_time_s).astype(np.int64), "1"),
        "drop": (series.size[seen], "1"),
        "drop_error": (np.zeros(int(seen.sum())), "1"),
    }
    if series.lifetime.size:
        columns["duration"] = (series.lifetime[seen] * c.frame_time_s, "s")
    attrs: dict[str, Any] = {"scan": scan, "beamline": "simulated", "detector": "none", "duration_s": c.duration_s, "seed": seed}
    if c.detection_centre is not None:
        attrs["completeness"] = completeness(c)
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs.update(NX_class="NXroot", creator="xcdi simulate")
        group = file.create_group("entry/events")
        group.attrs.update(attrs)
        for name, (values, units) in columns.items():
            put(group, name, values, units)
        entries = [_label(name, values.dtype.str, units) for name, (values, units) in columns.items()]
        file["xcdi/events"] = json.dumps({"attrs": _table(attrs), "variables": entries})


def _label(name: str, dtype: str, units: str) -> dict[str, Any]:
    """Say of a column what the reader of results asks for; docs/results.md."""
    place = {"path": f"/entry/events/{name}", "dims": ["event"], "stored": ["event"], "coord": False, "indexed": False}
    return {"name": name, **place, "dtype": dtype, "attrs": _table({"units": units})}


def _table(values: dict[str, Any]) -> dict[str, Any]:
    return {"dict": [[name, value] for name, value in values.items()]}
