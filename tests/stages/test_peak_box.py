"""A peak is cut out of a scan where it is."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.stages import geometry, phasing

GEOMETRY = {
    "sample": [{"motor": "omega", "axis": "y+"}],
    "detector": [],
    "columns": "x+",
    "rows": "y+",
}


def scan_with_peak(at=(15, 40, 55), shape=(31, 90, 101)):
    """Counts of a Gaussian peak, float with NaN, and the sampling that with_q gives."""
    grid = np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, at, strict=True)), indexing="ij")
    counts = np.round(1000 * np.exp(-sum((g / w) ** 2 for g, w in zip(grid, (4, 6, 8), strict=True)))).astype(np.float32)
    counts[:, 20, 30] = np.nan
    still = {"energy_kev": 9.65, "distance_m": 1.9, "pixel_size_m": [75e-6, 75e-6], "centre_px": [40.0, -600.0]}
    scan = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(shape[1:], bool), {"units": ""}),
            "frame_ok": ("frame", np.arange(shape[0]) != 17, {"units": ""}),
        },
        {
            "rocking": ("frame", 0.1 * np.arange(shape[0]), {"units": "deg"}),
            "omega": ("frame", 0.1 * np.arange(shape[0]), {"units": "deg"}),
        },
        {**still, "rocking_motor": "omega", "geometry": json.dumps(GEOMETRY)},
    )
    return geometry.with_q(scan, reference=at)


def test_the_peak_is_in_the_middle_of_the_box():
    peak = phasing.crop_to_peak(scan_with_peak(), (16, 30, 40))
    assert np.unravel_index(np.argmax(peak.counts.to_numpy()), peak.counts.shape) == (8, 15, 20)
    assert json.loads(peak.attrs["box"]) == {"frame": [7, 23], "y": [25, 55], "x": [35, 75]}


def test_the_box_holds_the_signal_in_lengths_that_transform_fast():
    scan = scan_with_peak()
    peak = phasing.crop_to_peak(scan)
    assert peak.counts.sum() > 0.99 * scan.counts.where(scan.frame_ok).sum()
    for n in (peak.sizes[dim] for dim in ("frame", "y", "x")):
        assert n % 2 == 0
        assert 2**10 * 3**6 * 5**4 % n == 0
    assert max(peak.sizes.values()) < 60


def test_missing_pixels_and_bad_frames_are_not_valid():
    peak = phasing.crop_to_peak(scan_with_peak(), (16, 50, 60))
    missing = ~peak.valid.to_numpy()
    assert missing[10].all()  # frame 17
    assert missing[:, 5, 5].all()  # the pixel that holds NaN
    assert missing.sum() == 50 * 60 + 15
    assert np.isfinite(peak.counts).all()
    assert peak.counts.dtype == np.float32


def test_q_is_that_of_the_middle_of_the_box():
    scan = scan_with_peak()
    at_peak, moved = phasing.crop_to_peak(scan, (16, 30, 40)), phasing.crop_to_peak(scan, (30, 30, 40))
    np.testing.assert_allclose(at_peak.q_peak, scan.q_peak, atol=1e-12)
    off = json.loads(moved.attrs["box"])["frame"][0] + 15 - 15
    np.testing.assert_allclose(moved.q_peak, scan.q_peak + off * scan.q_basis.isel(index=0), atol=2e-5)
    assert at_peak.attrs["d_spacing_nm"] == pytest.approx(2 * np.pi / np.linalg.norm(at_peak.q_peak), rel=1e-6)


def test_a_box_just_over_the_edge_is_moved_in_and_one_far_over_refused():
    scan = scan_with_peak(at=(12, 40, 55))
    assert json.loads(phasing.crop_to_peak(scan, (26, 30, 40)).attrs["box"])["frame"] == [0, 26]
    with pytest.raises(XcdiError, match=r"leaves the data along 'frame' \(-4:28 of 31\)"):
        phasing.crop_to_peak(scan, (32, 30, 40))
    with pytest.raises(XcdiError, match=r"leaves the data along 'y' \(-20:100 of 90\); choose a smaller box"):
        phasing.crop_to_peak(scan, (16, 120, 40))


def test_a_box_chosen_for_a_peak_far_off_the_middle_stays_in_the_data():
    scan = scan_with_peak(at=(6, 40, 55))
    start, stop = json.loads(phasing.crop_to_peak(scan).attrs["box"])["frame"]
    assert 0 <= start <= 6 < stop <= scan.sizes["frame"]


def test_a_scan_without_q_says_what_to_run():
    scan = scan_with_peak().drop_vars("q_basis")
    with pytest.raises(SchemaError, match=r"run stages\.geometry\.with_q"):
        phasing.crop_to_peak(scan)


def test_a_peak_that_is_all_masked_is_refused():
    scan = scan_with_peak()
    with pytest.raises(XcdiError, match="check the mask"):
        phasing.crop_to_peak(scan.assign(valid=(("y", "x"), np.zeros((90, 101), bool), {"units": ""})), (16, 30, 40))
