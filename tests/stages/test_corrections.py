"""Laws that every correction must keep."""

import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.resolve import resolve
from xcdi.stages import corrections


@pytest.fixture
def scan():
    rng = np.random.default_rng(3)
    f, y, x = 11, 7, 5
    unit = {"units": "1"}
    valid = np.ones((y, x), bool)
    valid[2, 3] = False
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), rng.poisson(5, (f, y, x)).astype("float32"), unit),
            "valid": (("y", "x"), valid, {"units": ""}),
            "monitor": (("frame",), rng.uniform(0.9, 1.1, f), unit),
            "dark": (("y", "x"), rng.uniform(0, 1, (y, x)), unit),
            "flat": (("y", "x"), rng.uniform(0.9, 1.1, (y, x)), unit),
        },
        attrs={"monitor_reference": 1.0, "count_time_s": 0.5, "dead_time_s": 1e-7, "saturation": 9.0},
    )


@pytest.mark.parametrize("name", corrections.__all__)
def test_lazy_equals_eager(name, scan):
    stage = resolve(name, corrections)
    lazy = stage(scan.assign(counts=scan.counts.chunk(frame=3)))
    assert isinstance(lazy.counts.data, da.Array), "the stage computed something it should have left lazy"
    assert lazy.counts.dtype == lazy.counts.compute().dtype, "the stage promised another dtype"
    xr.testing.assert_allclose(lazy.compute(), stage(scan))
    assert lazy.counts.attrs["units"] == "1"


@pytest.mark.parametrize("name", corrections.__all__)
def test_block_by_block_equals_whole(name, scan):
    """What is not local to a block cannot be used live."""
    stage = resolve(name, corrections)
    blocks = [stage(scan.isel(frame=part)) for part in (slice(0, 4), slice(4, 11))]
    xr.testing.assert_identical(xr.concat([b.counts for b in blocks], "frame"), stage(scan).counts)


def test_per_monitor_removes_a_flickering_beam(scan):
    flicker = scan.assign(counts=(scan.monitor * xr.ones_like(scan.counts)).assign_attrs(units="1"))
    flat = corrections.per_monitor(flicker).counts
    np.testing.assert_allclose(flat, flat.mean(), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_the_sentinel_is_seen_in_the_stored_type(dtype):
    counts = np.zeros((2, 3, 3), dtype)
    counts[1, 0, 0] = sentinel = np.iinfo(dtype).max
    scan = xr.Dataset(
        {"counts": (("frame", "y", "x"), counts, {"units": "1"}), "valid": (("y", "x"), np.ones((3, 3), bool), {"units": ""})},
        attrs={"sentinel": int(sentinel)},
    )
    missing = np.isnan(corrections.to_float(scan).counts.to_numpy())
    assert np.argwhere(missing).tolist() == [[1, 0, 0]]


def test_hot_and_dead_pixels_leave_and_speckles_stay():
    y, x = np.mgrid[:40, :41]
    speckle = 2000 * np.exp(-((y - 20) ** 2 + (x - 19) ** 2) / 9) + 50 * (1 + np.cos(y * 1.5) * np.cos(x * 1.5))
    counts = np.random.default_rng(2).poisson(np.broadcast_to(speckle, (9, 40, 41))).astype("float32")
    counts[:, 3, 4], counts[:, 30, 7], counts[:, 30, 8], counts[:, 25, 25] = 20000, 9000, 8000, 0
    scan = xr.Dataset(
        {"counts": (("frame", "y", "x"), counts, {"units": "1"}), "valid": (("y", "x"), np.ones((40, 41), bool), {"units": ""})}
    )
    found = corrections.find_bad_pixels(scan)
    assert sorted(map(tuple, np.argwhere(~found.valid.to_numpy()).tolist())) == [(3, 4), (25, 25), (30, 7), (30, 8)]


def test_negative_counts_are_refused(scan):
    with pytest.raises(XcdiError, match="negative counts"):
        corrections.find_bad_pixels(scan.assign(counts=scan.counts - 50))


def test_apply_names_the_nearest_correction(scan):
    assert sys.modules["xcdi.stages.corrections"] is corrections
    with pytest.raises(XcdiError, match="did you mean 'flat'"):
        corrections.apply(scan, ["flatt"])
