"""A look at a long correlation while it grows: the map of frames added up, and every delay of g2, in a fraction of a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.kernels.correlation import coarse, normalise
from xcdi.kernels.correlation.lagged import autocorrelation
from xcdi.kernels.correlation.matrices import or_nan
from xcdi.stages import one_time
from xcdi.stages.correlation import FROM_EXACT_SUMS, Seen, TwoTime
from xcdi.stages.trust import of_pixels

__all__ = ["preview"]


def preview(total: TwoTime, *, rows: int = 1024) -> xr.Dataset:
    """The correlation so far, its map made of frames added up where there are more than `rows`.

    Parameters
    ----------
    total : TwoTime
        A growing one.
    rows : int
        Rows of the map at most.

    Returns
    -------
    CORRELATION
        :meth:`TwoTime.result` where that is small enough. Else `time` is that of the added frames; attribute
        `frames_per_row` says of how many, and `frames_looked_at` how many there are in all. `g2` has every delay, without
        errors, and the fits have those of their residuals; `counts` are left out.
    """
    width = -(-total.frames // rows)
    if width == 1 or not total.growing or total.normalisation not in FROM_EXACT_SUMS:
        return total.result()
    done, seen = total.correlated(whole=True), total.seen()
    parts = [_region(done, seen, k, width) for k in range(1, total.count + 1)]
    first = np.arange(0, total.frames, width)
    time = np.add.reduceat(seen.time, first) / np.diff([*first, total.frames])
    ok = np.add.reduceat(seen.ok.astype(int), first) > 0
    frame_sum = np.add.reduceat(of_pixels(seen.photons, seen.keep, seen.ok).totals, first)
    maps = np.stack([part["two_time"] for part in parts])
    found = one_time.dataset(maps, parts, time, ok, frame_sum, done.kept(seen))
    told = {"provisional": True, "frames_looked_at": total.frames, "frames_per_row": width}
    return found.assign_attrs(done.notes(found, seen) | told, counts_left_out="a look at a growing scan has none")


def _region(done: TwoTime, seen: Seen, k: int, width: int) -> dict[str, Any]:
    here = (done.known.region == k) & seen.keep
    fine = of_pixels(seen.photons, here, seen.ok)
    added, weights, mine = coarse.summed(fine, width), done.weights(seen, k), done.sums[k - 1]
    out = np.zeros((added.frames, added.frames))
    mine.fill_blocks(out, seen.ok, width)
    if mine.holds(~here):
        mine.less(out, coarse.summed(of_pixels(seen.photons, np.ones_like(here), seen.ok), width), ~here)
    form = normalise.covariance if done.normalisation == "N4" else normalise.by_mean
    c = form(normalise.sums(added, weights, out))
    g2, contrast = _g2(done, seen, k)
    mean = np.divide(added.totals, added.pixels * np.add.reduceat(seen.ok.astype(int), np.arange(0, seen.ok.size, width)))
    return one_time.of_diagonals(c, g2, contrast, seen.step) | {"mean": mean}


def _g2(done: TwoTime, seen: Seen, k: int) -> tuple[Array, float]:
    """One-time correlation at every delay as ratio of exact sums, and the contrast."""
    here = (done.known.region == k) & seen.keep
    n, weights = of_pixels(seen.photons, here, seen.ok), done.weights(seen, k)
    first, own, second = normalise.moments(n, weights)
    above = done.sums[k - 1].lagged(seen.slot, seen.ok, seen.photons, ~here)
    below = autocorrelation(one_time.on_places(first, seen.slot, 0.0))
    above[0], below[0] = second.sum(), np.sum(first**2 - own) * weights.norm**2 / (weights.norm**2 - weights.norm2)
    g2 = weights.norm * above / or_nan(np.where(below > 1e-9 * below.max(), below, 0.0))
    contrast = float(g2[0] - 1)
    coefficient = (g2 - 1) / contrast * n.pixels / max(n.pixels - 1, 1)  # as in normalise.covariance
    return (1 + coefficient if done.normalisation == "N4" else g2), contrast
