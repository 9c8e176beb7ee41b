"""One series of frames at a fixed angle in; two-time correlations, g2 and relaxation rates out; also live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from xcdi.io.tiles import Tiles
from xcdi.jobs.job import file_name
from xcdi.stages import tiles
from xcdi.stages.series_correlation import Correlating, beyond, correlate, follow, placed, series

__all__ = ["Settings", "run", "summary", "watch"]

ROUNDING = 1e-9  # relative errors below are of tiles that are all alike, as single pixels are, and no errors


class Settings(Correlating):
    """Everything a user of this pipeline may change."""


def run(scan: xr.Dataset, settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1) -> dict[str, xr.Dataset]:
    """Correlate a whole scan, block by block, so that the frames need not fit in memory."""
    if settings.tiles_folder is not None:
        return {"correlation": _tiled(scan, settings, settings.tiles_folder, device=device, workers=workers)}
    return _whole(correlate(scan, settings, device=device, workers=workers), settings)


def watch(
    blocks: Iterable[xr.Dataset], settings: Settings = Settings(), *, device: str = "cpu", workers: int = 1
) -> Iterator[dict[str, xr.Dataset]]:
    """Yield the correlation as a scan is measured; the last equals :func:`run` bit for bit (on levels, unless a pixel turned bad late)."""
    found = None
    for found in follow(blocks, settings, device=device, workers=workers):
        yield {"correlation": found}
    if found is not None and (more := beyond(found, settings)):
        yield {"correlation": found, **more}


def _whole(found: xr.Dataset, settings: Settings) -> dict[str, xr.Dataset]:
    return {"correlation": found, **beyond(found, settings)}


def _tiled(scan: xr.Dataset, settings: Settings, folder: Path, *, device: str, workers: int) -> xr.Dataset:
    """Exact sums in a file of tiles; what an earlier run left of it is used."""
    photons = series(scan, settings, device=device, workers=workers)
    memory = None if settings.memory_gb is None else int(settings.memory_gb * 1e9)
    with Tiles(folder / f"{file_name(scan.attrs['scan'])}_tiles.h5") as store:
        return placed(tiles.tiled(photons, store, workers=workers, memory_bytes=memory), scan)


def summary(result: dict[str, xr.Dataset]) -> str:
    """The numbers a scientist asks for first, in one line."""
    found = result["correlation"]
    bad = int(np.sum(~found.frame_ok))
    parts = [f"{found.attrs.get('frames_looked_at', found.sizes['time'])} frames", _height(found), _decay(found)]
    regions = found.sizes["region"]
    if regions > 1:  # the numbers are those of the first
        parts.insert(1, f"region 1 of {regions}:")
    parts += [f"{bad} bad frames"] * bool(bad) + ["provisional"] * bool(found.attrs["provisional"])
    return "  ".join([*parts, *filter(None, [found.attrs.get("warning")])])


def _decay(found: xr.Dataset) -> str:
    """Relaxation time and exponent of the first region, or that the scan does not tell them."""
    rate, error, height, spread = (float(found[name][0]) for name in ("rate", "rate_error", "fit_contrast", "fit_contrast_error"))
    fastest = 2 / float(found.delay[1]) if found.sizes["delay"] > 1 else 0.0  # half a frame
    exponent, bar = float(found.exponent[0]), float(found.exponent_error[0])
    if not (ROUNDING * rate < 2 * error < rate <= fastest and 0 < 3 * spread < height and bar < exponent):
        return "tau not resolved"
    return f"tau {1 / rate:.3g} +- {error / rate**2:.1g} s  exponent {exponent:.2f} +- {bar:.2f}"


def _height(found: xr.Dataset) -> str:
    contrast = float(found.contrast[0])
    return f"contrast {contrast:.3f}" if np.isfinite(contrast) else "contrast not known"
