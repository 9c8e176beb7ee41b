"""Laws of tilts told from slips by the rocking scan."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.stages.tilts import flag_tilts

SHAPE = (25, 27)
ANGLES = 12


def scan(slipped=0.0):
    """Noise-free rocking scan (angle, y, x) of a small block whose corner has slipped by a phase [rad]."""
    rng = np.random.default_rng(1)
    rho = np.zeros((ANGLES, *SHAPE), complex)
    rho[4:9, 9:16, 9:18] = np.exp(1j * rng.normal(0, 0.5, (5, 7, 9)).cumsum(axis=0))
    rho[4:9, 9:12, 9:14] *= np.exp(1j * slipped)
    images = np.abs(np.fft.fftshift(np.fft.fftn(rho))) ** 2
    return images / images.mean()


def peak():
    counts = np.random.default_rng(2).poisson(100 * scan())
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("frame", "y", "x"), np.ones(counts.shape, bool), {"units": ""}),
            "rocking": ("frame", 0.1 * np.arange(ANGLES), {"units": "deg"}),
        },
        attrs={"box": json.dumps({"y": [40, 40 + SHAPE[0]], "x": [60, 60 + SHAPE[1]]})},
    )


def series(after):
    """Series of 60 frames at the middle of the scan, another pattern from frame 30 on; the box is two pixels off that of the peak."""
    before = scan()[ANGLES // 2]
    mean = np.where(np.arange(60)[:, None, None] < 30, before, after)[:, 2:]
    counts = np.random.default_rng(3).poisson(2 * mean)
    y, x = np.indices(mean.shape[1:]).reshape(2, -1)
    return xr.Dataset(
        {"counts": (("time", "pixel"), counts.reshape(60, -1)), "pixel_y": ("pixel", y + 42), "pixel_x": ("pixel", x + 60)},
        coords={"time": ("time", 0.5 * np.arange(60), {"units": "s"})},
    )


def event(flags=""):
    columns = {"time": ([15.0], "s"), "frame": ([30], "1"), "first_frame": ([30], "1"), "last_frame": ([30], "1"), "flags": ([flags], "")}
    return xr.Dataset({name: ("event", values, {"units": units}) for name, (values, units) in columns.items()})


@pytest.mark.parametrize("plane", [-1, 1])
def test_the_neighbouring_plane_is_a_tilt_by_a_step_of_the_scan(plane):
    found = flag_tilts(event("short window"), series(scan()[ANGLES // 2 + plane]), peak(), offset=0.0)
    assert found["flags"].values.tolist() == ["tilt, short window"]
    assert float(found.tilt_step[0]) == pytest.approx(0.1 * plane, abs=0.02)
    assert float(found.tilt_explained[0]) > 0.8
    assert found.attrs["not_avalanches"] == "1 tilt"


def test_a_slip_is_no_tilt():
    found = flag_tilts(event(), series(scan(2.0)[ANGLES // 2]), peak(), offset=0.0)
    assert found["flags"].values.tolist() == [""]


def test_what_is_no_event_already_is_not_asked():
    found = flag_tilts(event("beam"), series(scan()[ANGLES // 2 + 1]), peak(), offset=0.0)
    assert found["flags"].values.tolist() == ["beam"]
    assert found.attrs["not_avalanches"] == "1 beam"
    assert np.isnan(float(found.tilt_step[0]))


def test_a_peak_without_its_box_is_refused():
    with pytest.raises(SchemaError, match="'box'"):
        flag_tilts(event(), series(scan()[0]), peak().drop_attrs(deep=False), offset=0.0)
