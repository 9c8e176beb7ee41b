"""Stage: a two-time correlation larger than memory, tile by tile into a file, with its ages and lags; the matrix is never held."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError, suggest
from xcdi.kernels import relaxation
from xcdi.kernels.correlation import age_lag, levels
from xcdi.kernels.correlation.age_lag import Pairing, Part
from xcdi.kernels.correlation.choice import products
from xcdi.kernels.correlation.levels import Levels
from xcdi.kernels.correlation.normalise import Weights
from xcdi.kernels.correlation.photons import Photons, of_frames
from xcdi.stages import one_time
from xcdi.stages.blocks import batches
from xcdi.stages.correlation import Seen, TwoTime
from xcdi.stages.trust import of_pixels, take

__all__ = ["EXACT", "Region", "Series", "Store", "gathered", "tiled"]

EXACT = ("N1", "N4", "N5")  # whose products are whole numbers
TASK_S = 0.5  # work of one task that is worth handing out
AT_ONCE = 4  # batches of tasks per worker and round, so that no worker waits long for the slowest
MOST = 4  # tiles of a task
WORK_BYTES = 32  # per pair of frames of a tile that is being computed: products, their sum, the compressed copy


class Region(NamedTuple):
    """Photons of the pixels of one region that can be trusted, and how they are weighed."""

    photons: Photons
    level: Array  # int, (pixel,): a product of two counts of that pixel counts 2**level
    weights: Weights
    tile: Array  # int, (pixel,): compact tile of pixels, left out one at a time for the errors


class Series(NamedTuple):
    """All photons of a series, ready to be correlated."""

    regions: tuple[Region, ...]
    time: Array  # s, (time,)
    slot: Array  # int, (time,): place on a regular time axis
    step: float  # s
    ok: Array  # bool, (time,)
    normalisation: str
    pixels: dict[str, Array]  # region_of_pixel, pixel_y, pixel_x, envelope
    attrs: dict[str, Any]


class Plan(Protocol):
    """What the tiles of a file look like; :class:`xcdi.io.tiles.Plan`."""

    @property
    def tile(self) -> int:
        """Frames of a tile along each axis."""

    @property
    def dtype(self) -> str:
        """Integers that hold every product."""

    @property
    def keys(self) -> Sequence[Any]:
        """Region, row and column of all tiles."""


class Store(Protocol):
    """Where tiles go; :class:`xcdi.io.tiles.Tiles`."""

    @property
    def path(self) -> Path:
        """File that is made."""

    def planned(self, **plan: Any) -> Plan:
        """Take up what is there of these tiles, or begin anew."""

    def packing(self) -> tuple[Callable[[Array], bytes], Callable[[bytes], Array]]:
        """How a tile becomes bytes and bytes a tile."""

    def __contains__(self, key: Any) -> bool: ...

    def stored(self, key: Any) -> bytes:
        """Bytes of a tile that is there."""

    def append(self, key: Any, raw: bytes) -> None:
        """Add one tile."""

    def finish(self, frames: xr.Dataset) -> None:
        """Make the file."""


def gathered(blocks: Iterable[xr.Dataset], rules: TwoTime) -> Series:
    """Photons of a series, block by block, by the same rules for pixels, frames and weights as :class:`TwoTime`.

    Parameters
    ----------
    blocks : SCANs
        Raw counts of consecutive frames, or ``stored`` in their place. No block is kept.
    rules : TwoTime
        Regions, normalisation (N1, N4 or N5) and the rest, without a frame yet.

    Raises
    ------
    XcdiError
        If there is no frame, no photon, no trustworthy pixel, or the normalisation has no exact sums.
    """
    if rules.normalisation not in EXACT:
        raise XcdiError(f"no tiles with normalisation {rules.normalisation!r}, which has no exact sums{suggest('N5', EXACT)}")
    for block in blocks:
        rules = rules if rules.pieces else replace(rules.begun(block), attrs=dict(block.attrs))
        rules = replace(rules, pieces=(*rules.pieces, take(block, rules.known, workers=rules.workers)))
    seen = rules.seen()
    rules = replace(rules, sums=rules.without_frames())
    found = tuple(_region(rules, seen, k) for k in range(1, rules.count + 1))
    notes = {**(rules.attrs or {}), "bad_frames": np.flatnonzero(~seen.ok).tolist(), "dropped_pixels": int(np.sum(~seen.keep))}
    return Series(found, seen.time, seen.slot, seen.step, seen.ok, rules.normalisation, rules.kept(seen), notes)


def _region(rules: TwoTime, seen: Seen, k: int) -> Region:
    """Good pixels of region number `k` in the good frames, and how they are weighed."""
    pixels = rules.known
    here = seen.keep & (pixels.region == k)
    if here.sum() < 2:
        raise XcdiError(f"region {k} has {here.sum()} trustworthy pixels left of {np.sum(pixels.region == k)}; expected 2 or more")
    photons = of_pixels(seen.photons, here, seen.ok)
    tile = one_time.tiles_of(photons, pixels.y[here], pixels.x[here], seen.envelope[here])
    return Region(photons, rules.sums[k - 1].level[here], rules.weights(seen, k), tile)


def tiled(
    series: Series,
    store: Store,
    *,
    tile: int = 2048,
    ages: int = 16,
    workers: int = 1,
    memory_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Correlate a series whose two-time correlation need not fit in memory: its tiles go to a file, its sums into the result.

    Parameters
    ----------
    series : Series
        Of :func:`gathered`.
    store : Store
        Where the tiles go, open; a tile that is there already is not computed again.
    tile : int
        Frames of a tile along each axis.
    ages : int
        Bins of equal width of the age, the mean of the two times.
    workers : int
        Threads. Neither this nor `tile` changes a bit of any sum.
    memory_bytes : int, optional
        What it may take; by default the memory of the machine.
    progress : function (tiles done, tiles), optional
        Called after every batch of tiles.

    Returns
    -------
    CORRELATION
        ``g2`` and its error (region, delay) as a ratio of sums, ``g2_of_ratios``, ``g2_aged`` (region, age, delay), the map
        ``two_time_age_lag`` (region, age, lag) with its numbers of pairs, and the attribute ``tiles``, the path of the file.

    Raises
    ------
    XcdiError
        If memory or disk do not suffice; nothing is computed then.
    """
    frames = series.time.size
    tile, ages = min(tile, frames), max(min(ages, int(series.slot[-1])), 1)
    _check_memory(series, tile, ages, workers, memory_bytes)
    relative = series.normalisation == "N4"
    known = [levels.levels(region.photons, region.weights, relative=relative) for region in series.regions]
    edges = np.linspace(0, series.slot[-1] + 1, ages + 1)
    pairings = [age_lag.pairing(one, series.slot, edges[1:-1]) for one in known]
    bound = max(int(one.peak.max(initial=1)) for one in known)
    plan = store.planned(
        regions=len(known),
        frames=frames,
        tile=tile,
        dtype=np.dtype(max(np.min_scalar_type(bound), np.dtype("u2"))).newbyteorder("<").str,
        bits=bound.bit_length(),
        origin=_fingerprint(series),
    )
    tables = _reduced(series, store, plan, pairings, workers, progress)
    store.finish(_frames(series, known))
    return _dataset(series, known, pairings, tables, edges, workers).assign_attrs(tiles=str(store.path))


def _reduced(
    series: Series, store: Store, plan: Plan, pairings: list[Pairing], workers: int, progress: Callable[[int, int], None] | None
) -> list[Array]:
    """Compute and store the tiles that are missing; sums over ages and lags of all of them."""
    tables, keys = [age_lag.empty(how) for how in pairings], list(plan.keys)
    pack, unpack = store.packing()
    parts = [_by_level(region) for region in series.regions]

    def task(some: list[Any]) -> tuple[Any, ...]:
        work = [(key, store.stored(key) if key in store else None, _operands(parts[key.region], key, plan.tile)) for key in some]
        return work, [pairings[key.region] for key in some], plan, pack, unpack

    done, each, start = 0, 1, time.perf_counter()
    while done < len(keys):
        some = keys[done : done + AT_ONCE * workers * each]
        tasks = (task(some[k : k + each]) for k in range(0, len(some), each))
        for results in batches(_tiles, tasks, at_once=AT_ONCE * workers, workers=workers):
            for key, raw, part in (one for result in results for one in result):
                if raw is not None:
                    store.append(key, raw)
                age_lag.merge(tables[key.region], part)
        done += len(some)
        if progress is not None:
            progress(done, len(keys))
        took, start = (time.perf_counter() - start) * workers / len(some), time.perf_counter()
        each = int(np.clip(TASK_S / max(took, 1e-9), 1, MOST))
    return tables


def _by_level(region: Region) -> list[tuple[int, Photons]]:
    """Photons of the pixels of each weight, with the whole number that their products count."""
    found = []
    for k in np.unique(region.level).tolist():
        found.append((1 << k, of_pixels(region.photons, region.level == k)))
    return found


def _operands(parts: list[tuple[int, Photons]], key: Any, tile: int) -> list[tuple[int, Photons, Photons | None]]:
    """What one tile is a sum of products of: factor, earlier photons, later photons if they are others."""
    found = []
    for factor, photons in parts:
        left, right = (of_frames(photons, k * tile, min((k + 1) * tile, photons.frames)) for k in (key.row, key.column))
        found.append((factor, left, None if key.row == key.column else right))
    return found


def _tiles(
    work: list[tuple[Any, bytes | None, list[tuple[int, Photons, Photons | None]]]],
    pairings: list[Pairing],
    plan: Plan,
    pack: Callable[[Array], bytes],
    unpack: Callable[[bytes], Array],
) -> list[tuple[Any, bytes | None, Part]]:
    """One task: some tiles computed, or read again, each packed and reduced at once."""
    found = []
    for (key, raw, operands), how in zip(work, pairings, strict=True):
        row, column = key.row * plan.tile, key.column * plan.tile
        values = _products(operands).astype(plan.dtype) if raw is None else unpack(raw)[: how.slot.size - row, : how.slot.size - column]
        part = age_lag.reduced(values, row, column, how)
        found.append((key, pack(values) if raw is None else None, part))
    return found


def _products(operands: list[tuple[int, Photons, Photons | None]]) -> Array:
    """Exact weighted sums of products: integers, or real numbers that hold them."""
    total = None
    for factor, left, right in operands:
        one = products(left, right, threads=1)
        one = one if factor == 1 else one.astype(np.int64) * factor
        total = one if total is None else total + one
    return np.asarray(total)


def _fingerprint(series: Series) -> str:
    """Name of the photons and their weights: tiles of others are of no use."""
    found = blake2b(f"{series.normalisation == 'N5'}".encode(), digest_size=16)
    for region in series.regions:
        for array in (region.photons.start, region.photons.pixel, region.photons.count, region.level):
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _check_memory(series: Series, tile: int, ages: int, workers: int, memory_bytes: int | None) -> None:
    """Refuse what would not fit, before anything is computed."""
    lags, count = int(series.slot[-1]) + 1, len(series.regions)
    photons = 3 * sum(array.nbytes for region in series.regions for array in region.photons[:3])
    computing = workers * tile * (WORK_BYTES * tile + AT_ONCE * MOST * (4 * tile + 64 * ages))
    need = photons + computing + count * lags * (80 * ages + 2000)
    have = memory_bytes or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > have:
        advice = [*["fewer workers"] * (workers > 1), *["fewer regions (q_edges)"] * (count > 1), "a smaller box"]
        raise XcdiError(
            f"tiles of {tile} frames of {series.time.size}, in {count} regions, by {workers} workers, take {need / 1e9:.3g} GB, "
            f"and there are {have / 1e9:.3g} GB; take {', '.join(advice)}, or a larger memory_gb"
        )


def _frames(series: Series, known: list[Levels]) -> xr.Dataset:
    """What the file needs beside its tiles: times, levels and diagonals, and the pixels."""
    one, label = {"units": "1"}, {"units": ""}
    both: dict[str, Any] = {}
    if series.normalisation in ("N1", "N4"):
        for form in ("N1", "N4"):
            other = [levels.levels(r.photons, r.weights, relative=form == "N4") for r in series.regions]
            both[f"diagonal_{form}"] = (("region", "time"), np.stack([o.diagonal for o in other]), one)
            both[f"gain_{form}"] = ("region", [o.gain for o in other], one)
    return xr.Dataset(
        {
            **{name: (("region", "time"), np.stack([getattr(k, name) for k in known]), one) for name in ("level", "diagonal", "peak")},
            **{name: ("region", [getattr(k, name) for k in known], one) for name in ("norm", "gain")},
            **both,
            **{name: ("pixel", values, one if name == "envelope" else label) for name, values in series.pixels.items()},
            "frame_ok": ("time", series.ok, label),
            "slot": ("time", series.slot, label),
        },
        coords={"time": ("time", series.time, {"units": "s"})},
        attrs={"normalisation": series.normalisation},
    )


def _dataset(series: Series, known: list[Levels], pairings: list[Pairing], tables: list[Array], edges: Array, workers: int) -> xr.Dataset:
    """Views of the sums: g2 by both conventions, aged g2, and the map of ages and lags."""
    lags = relaxation.log_bins(pairings[0].lags)
    parts = []
    for region, one, how, table in zip(series.regions, known, pairings, tables, strict=True):
        g2, ratios = age_lag.one_time(table, how, one)
        coarse = age_lag.binned(table, lags)
        views = {
            "g2_of_ratios": ratios,
            "g2_aged": age_lag.aged(table, how, one)[0],
            "two_time_age_lag": age_lag.normalised(coarse, how, one)[0],
            "pairs": coarse[3],
        }
        mean = np.where(series.ok, region.photons.totals / region.photons.pixels, np.nan)
        how_errors: dict[str, Any] = {"relative": series.normalisation == "N4", "threads": workers}
        derived = one_time.of_g2(g2, region.photons, region.weights, region.tile, series.slot, series.step, **how_errors)
        parts.append(views | derived | {"mean_count": mean})
    dims: dict[str, tuple[str, ...]] = {"g2_aged": ("region", "age", "delay"), "contrast": ("region",), "mean_count": ("region", "time")}
    dims |= dict.fromkeys(("two_time_age_lag", "pairs"), ("region", "age", "lag"))
    names = [name for name in parts[0] if name not in ("fit", "delay")]
    centre = [0.5 * (a + b - 1) for a, b in pairwise(lags.tolist())]
    seconds = {"units": "s"}
    notes = {"contrast": float(parts[0]["contrast"]), "g2_convention": "ratio of sums", "provisional": False}
    return xr.Dataset(
        {name: (dims.get(name, ("region", "delay")), np.stack([p[name] for p in parts]), {"units": "1"}) for name in names}
        | one_time.fits(parts)
        | {"frame_ok": ("time", series.ok, {"units": ""})}
        | {name: ("pixel", values, {"units": "1" if name == "envelope" else ""}) for name, values in series.pixels.items()},
        coords={
            "time": ("time", series.time, seconds),
            "delay": ("delay", series.step * np.arange(pairings[0].lags), seconds),
            "age": ("age", series.time[0] + series.step * 0.5 * (edges[:-1] + edges[1:] - 1), seconds),
            "lag": ("lag", series.step * np.array(centre), seconds),
        },
        attrs={**series.attrs, "normalisation": series.normalisation, **notes},
    )
