"""How small an event may be and still be found: events injected into the measured frames, and how many the search finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.kernels.avalanches import events as scan
from xcdi.kernels.avalanches import injection, patterns, sizes
from xcdi.kernels.avalanches.injection import Curve
from xcdi.schema import is_avalanche
from xcdi.stages.detection import Found
from xcdi.stages.grains import counted

__all__ = ["curve", "told"]

INJECTIONS = 168
PLACES = 56  # frames at which events are injected, some several times
BINS = 12  # of ln D, in which shares are given
PAIRS = 64  # of neighbouring frames, that tell the signal
SCOUTS = 24  # injections of the whole change, which say where the curve rises
BELOW, ABOVE = 6.0, 3.0  # factors about the expected middle of the rise that are sampled
SMALLEST = 3e-4  # drop that is injected at least
TYPICAL = 1.5  # drop of an event (N5) over that of an injected one which is as visible; mean of simulated particles
OWN, PRIOR = 0.4, 0.3  # sd of its ln among events of one particle, and among particles
CLEAR = 2.0  # events this much larger than the smallest visible one tell how visible events are


class Field(NamedTuple):
    """What injecting needs of the good frames: counts, brightness, vectors, known events; places, z asked and Q there; z per drop."""

    frames: np.ndarray
    scale: np.ndarray
    valid: np.ndarray
    vectors: np.ndarray
    rule: injection.Whitening
    partner: np.ndarray
    breaks: tuple[int, ...]
    noise: float
    at: np.ndarray
    asked: np.ndarray
    q: np.ndarray
    window: int
    per_drop: float


class Tried(NamedTuple):
    """Injected events: drop, z, and the z that was asked for."""

    drop: np.ndarray
    z: np.ndarray
    asked: np.ndarray


def curve(found: Found, events: xr.Dataset, *, seed: int = 0) -> tuple[dict[str, xr.DataArray], dict[str, Any]]:
    """Inject events of many sizes into the measured frames, and count how many the search finds.

    Parameters
    ----------
    found : Found
        From :func:`xcdi.stages.detection.search`; its threshold is used, and no surrogate is made anew.
    events : Dataset
        EVENTS measured so far, perhaps none: `frame`, `drop`, `score` and `flags`. They tell how visible events of this particle are: those
        injected change the pattern in proportion to its brightness, which those of a small region do not.
    seed : int
        Seed of places and photons.

    Returns
    -------
    arrays : dict
        `injected_drop`, `injected_found` (share) and `injected_error`; dim "injected", none where nothing could be injected.
    attributes : dict
        `smallest_visible` and `completeness`, the drops of which half and nine in ten are found, each with `_error`;
        `smallest_expected`, the drop that counts and contrast let expect for half; `completeness_how`, in words. Infinite where not
        even the largest change is found, NaN where nothing could be injected.
    """
    rng = np.random.default_rng(seed)
    if found.detector not in ("scan", "kernel"):
        return _nothing(float("nan"), f"not known: events are injected for detectors 'scan' and 'kernel', and this is {found.detector!r}")
    field = _field(found, rng)
    if not field.at.size:
        return _nothing(float("nan"), f"not known: no frame lies {found.window} good frames from the ends and half of that from all events")
    scouts = _inject(field, np.full(SCOUTS, np.inf), rng)
    rise = _middle(scouts)
    expected = {"smallest_expected": found.changes.threshold / field.per_drop if field.per_drop > 0 else float("nan")}
    if not np.isfinite(rise):
        arrays, attributes = _nothing(float("inf"), f"nothing is visible: not even {scouts.drop.mean():.2g} of the pattern changed")
        return arrays, attributes | expected
    tried = _inject(field, _sampled(rise, float(np.max(field.q))), rng, spread=OWN)
    fit = injection.fit_curve(tried.drop, tried.z >= tried.asked)
    scale, by = _scale(events, found, tried, fit)
    return _binned(tried, scale), _attributes(fit, scale, by, field) | expected


def told(attributes: dict[str, Any]) -> str:
    """Say in a line how small an event is still seen.

    Examples
    --------
    >>> told({"smallest_visible": 0.021, "completeness": 0.034})
    'smallest event visible here: D = 0.021 (50 %), 0.034 (90 %)'
    """
    half, most = (float(attributes.get(name, np.nan)) for name in ("smallest_visible", "completeness"))
    if np.isfinite(half):
        return f"smallest event visible here: D = {half:.2g} (50 %), {most:.2g} (90 %)"
    return f"smallest event visible here: {attributes.get('completeness_how', 'not known')}"


def _nothing(value: float, how: str) -> tuple[dict[str, xr.DataArray], dict[str, Any]]:
    names = ("smallest_visible", "completeness")
    attributes = {**dict.fromkeys(names, value), **{f"{name}_error": float("nan") for name in names}}
    return _arrays(*np.zeros((3, 0))), {**attributes, "smallest_expected": float("nan"), "completeness_how": how}


def _arrays(drop: np.ndarray, share: np.ndarray, error: np.ndarray) -> dict[str, xr.DataArray]:
    values = {"injected_drop": drop, "injected_found": share, "injected_error": error}
    return {name: xr.DataArray(value, dims="injected", attrs={"units": "1"}) for name, value in values.items()}


def _field(found: Found, rng: np.random.Generator) -> Field:
    """The good frames as the search saw them, and the places where an event would stand alone."""
    seen, window = found.movie, found.window
    frames, valid = seen.frames[seen.ok], seen.valid
    scale = patterns.frame_scale(seen.frames, valid, seen.ok)[seen.ok, None, None]
    relative = frames / scale
    mean = relative.mean(axis=0)
    rule = injection.whitening(mean, valid, found.speckle_px)
    vectors = rule(relative)
    products = patterns.likeness(vectors)
    noise = scan.noise_level(products)
    breaks = _known(found)
    partner = injection.opposite(valid, patterns.peak_place(mean, valid))
    at = _places(len(frames), breaks, window, rng)
    quiet = scan.scan_statistic(products, window, noise=noise, breaks=breaks)
    base, width = scan.baseline(np.where(np.isfinite(quiet), quiet, np.nan), tuple(at), window)
    signal = _signal(relative, rule, valid)
    q = _whole_changes(relative, vectors, rule, partner, at, window) / (2 * signal)
    asked = base + found.changes.threshold * width
    sound = np.isfinite(q) & (q > 0) & (_nearby(quiet, at) < asked / 2)  # else perhaps an event that is too small to be known
    per_drop = injection.expected(signal, window, noise)
    return Field(frames, scale, valid, vectors, rule, partner, breaks, noise, at[sound], asked[sound], q[sound], window, per_drop)


def _whole_changes(
    relative: np.ndarray, vectors: np.ndarray, rule: injection.Whitening, partner: np.ndarray, at: np.ndarray, window: int
) -> np.ndarray:
    """Squared change, without noise, that turning all photons makes at each place, as the search weighs it."""
    turned = relative[::2].reshape(-1, partner.size)[:, partner].reshape(-1, *relative.shape[1:])
    change = rule(turned) - vectors[::2]
    return np.array([injection.between(change[max(t // 2 - window, 0) : t // 2 + window]) for t in at])


def _nearby(z: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Highest z about each place."""
    return np.array([z[max(t - injection.NEAR, 0) : t + injection.NEAR + 1].max() for t in at])


def _known(found: Found) -> tuple[int, ...]:
    """Known events, counted in good frames."""
    steps = np.unique(np.concatenate([found.changes.first, found.changes.frame, found.changes.last]))
    return tuple(int(k) for k in np.searchsorted(np.flatnonzero(found.movie.ok), steps))


def _places(count: int, breaks: Sequence[int], window: int, rng: np.random.Generator) -> np.ndarray:
    """Frames a window away from the ends and from known events, or half of one where events stand too close for that."""
    inside = np.arange(window, count - window)
    away = np.abs(inside[:, None] - np.array(breaks, int)).min(axis=1, initial=count)
    for least in (window, window // 2):
        free = inside[away >= least]
        if free.size:
            return np.sort(rng.choice(free, min(PLACES, free.size), replace=False))
    return free


def _inject(field: Field, drops: np.ndarray, rng: np.random.Generator, *, spread: float = 0.0) -> Tried:
    """Events of about these drops, at places drawn anew in turn; the whole change where that is not enough.

    `spread` is the standard deviation in ln by which events of one drop differ in how visible they are.
    """
    order = np.concatenate([rng.permutation(field.at.size) for _ in range(-(-drops.size // field.at.size))])[: drops.size]
    whole = field.q[order] * np.exp(spread * rng.standard_normal(drops.size))
    share = np.sqrt(np.minimum(drops / whole, 1.0))
    z = np.array([_seen(field, int(field.at[k]), float(a), rng) for k, a in zip(order, share, strict=True)])
    return Tried(share**2 * whole, z, field.asked[order])


def _seen(field: Field, at: int, share: float, rng: np.random.Generator) -> float:
    part = slice(at, at + field.window + injection.NEAR)
    after = injection.turned(field.frames[part], field.partner, share, rng) / field.scale[part]
    return injection.visibility(field.vectors, field.rule(after), at, field.breaks, field.window, field.noise)


def _middle(scouts: Tried) -> float:
    """Drop at which z would reach what is asked, as z grows in proportion to the drop."""
    per_drop = float(np.median(scouts.z / scouts.drop))
    middle = float(np.median(scouts.asked)) / per_drop if per_drop > 0 else np.inf
    return middle if middle < np.median(scouts.drop) else np.inf


def _sampled(middle: float, largest: float) -> np.ndarray:
    return np.geomspace(max(middle / BELOW, SMALLEST), min(middle * ABOVE, largest), INJECTIONS)


def _scale(events: xr.Dataset, found: Found, tried: Tried, fit: Curve) -> tuple[float, int]:
    """Factor from injected drops to those of events as visible as this particle's, and by how many events it is told."""
    clear = tried.drop > CLEAR * fit.half
    alone = _alone(events, found) & (events["drop"].values > CLEAR * TYPICAL * fit.half)
    if not clear.any() or not alone.any():
        return TYPICAL, 0
    own = np.log(events["score"].values[alone] / events["drop"].values[alone])
    away = float(np.median(np.log(np.median(tried.z[clear] / tried.drop[clear])) - own))
    weight = alone.sum() / OWN**2
    return float(np.exp((away * weight + np.log(TYPICAL) / PRIOR**2) / (weight + 1 / PRIOR**2))), int(alone.sum())


def _alone(events: xr.Dataset, found: Found) -> np.ndarray:
    """Events inside the sample with whole windows on both sides."""
    frames = events["frame"].values
    marks = np.concatenate([[0], frames, [found.movie.ok.size]])
    gaps = np.diff(marks)
    plain = is_avalanche(events["flags"].values) & (events["score"].values > 0) & (events["drop"].values > 0)
    return plain & (gaps[:-1] >= found.window) & (gaps[1:] >= found.window)


def _binned(tried: Tried, scale: float) -> dict[str, xr.DataArray]:
    """Share of injected events that is found, in bins of equal numbers; errors are those of a share, never 0."""
    order = np.array_split(np.argsort(tried.drop), BINS)
    hits = [(tried.z >= tried.asked)[part] for part in order]
    share = np.array([h.mean() for h in hits])
    error = [np.sqrt((h.sum() + 0.5) * (h.size - h.sum() + 0.5) / (h.size + 1) ** 3) for h in hits]
    return _arrays(np.array([np.exp(np.log(tried.drop[part]).mean()) for part in order]) * scale, share, np.array(error))


def _attributes(fit: Curve, scale: float, by: int, field: Field) -> dict[str, Any]:
    scatter = 1 / np.sqrt(by / OWN**2 + 1 / PRIOR**2)
    how = f"{INJECTIONS} events injected at {field.at.size} frames by turning photons about the peak"
    how += f"; drops times {scale:.2f}, as visible as " + (
        f"{counted(by, 'event')} of this series" if by else "those of simulated particles"
    )
    return {
        "smallest_visible": fit.half * scale,
        "smallest_visible_error": fit.half * scale * float(np.hypot(fit.half_error, scatter)),
        "completeness": fit.most * scale,
        "completeness_error": fit.most * scale * float(np.hypot(fit.most_error, scatter)),
        "completeness_how": how,
    }


def _signal(relative: np.ndarray, rule: injection.Whitening, valid: np.ndarray) -> float:
    """Squared pattern about its envelope, without noise: what neighbouring frames share, as the search weighs it."""
    first = np.unique(np.linspace(0, len(relative) - 2, PAIRS).astype(int))
    pattern = rule._replace(mean=sizes.noise_weights(rule.mean, valid).envelope)(relative[np.stack([first, first + 1], axis=1).ravel()])
    return float((pattern[::2] * pattern[1::2]).sum(axis=1, dtype=np.float64).mean())
