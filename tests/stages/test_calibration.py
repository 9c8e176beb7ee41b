"""The direct beam in frames: found where it is, and the detector with it, down to the lines of a beamline file."""

import json
import tomllib

import h5py
import numpy as np
import pytest
import xarray as xr

from xcdi.cli import main
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import calibration as kernel
from xcdi.kernels import diffractometer as d
from xcdi.stages import calibration

SHAPE = (113, 127)
CAMERA = d.Camera((51.4, 70.2), 0.61, (75e-6, 75e-6), "x+", "y-", tilt=(("z+", 0.02), ("x+", 0.0), ("y+", 0.0)))
ANGLES = np.array([(nu, delta) for nu in (-0.21, 0.03, 0.25) for delta in (-0.17, 0.02, 0.13)])
LAYOUT = {"columns": "x+", "rows": "y-", "detector": [{"motor": "nu", "axis": "y-"}, {"motor": "delta", "axis": "x-"}]}
FREE = ("centre_row", "centre_column", "distance", "in_plane")


def frames():
    row, column = np.indices(SHAPE)
    images, places = [], []
    for nu, delta in np.radians(ANGLES):
        r, c = kernel.direct_beam(
            d.Camera(CAMERA.centre_px, CAMERA.distance, CAMERA.pixel, circles=(("y-", nu), ("x-", delta)), tilt=CAMERA.tilt)
        )
        images.append(900 * np.exp(-((row - r) ** 2 + (column - c) ** 2) / 5.0))
        places.append((r, c))
    return np.random.default_rng(1).poisson(np.array(images)).astype("u4"), np.array(places)


@pytest.fixture
def scan():
    counts, _ = frames()
    counts[:, 20, 90] = 2**32 - 1
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(SHAPE, bool), {"units": ""}),
        },
        {"nu": ("frame", ANGLES[:, 0]), "delta": ("frame", ANGLES[:, 1])},
        {"geometry": json.dumps(LAYOUT), "pixel_size_m": [75e-6, 75e-6], "sentinel": 2**32 - 1},
    ).chunk(frame=4)


def test_the_beam_is_found_to_a_tenth_of_a_pixel(scan):
    found = calibration.direct_beam(scan)
    np.testing.assert_allclose(np.stack([found.row, found.column], axis=1), frames()[1], atol=0.1)


def test_the_detector_is_where_it_was_simulated(scan):
    found = calibration.calibrate(scan, free=FREE)
    truth = dict(zip(kernel.PARAMETERS, (*CAMERA.centre_px, CAMERA.distance, *np.degrees([0.02, 0, 0])), strict=True))
    for name in FREE:
        value, error = float(found.value.sel(parameter=name)), float(found.error.sel(parameter=name))
        assert abs(value - truth[name]) < 4 * error, name
        assert error < {"distance": 2e-3, "in_plane": 0.1}.get(name, 0.05)
    assert np.isnan(found.error.sel(parameter="tilt_x"))


def test_a_beam_at_the_edge_is_left_out_and_none_at_all_is_said(scan):
    dark = scan.counts.load()
    dark[3:] = 0
    with pytest.raises(XcdiError, match="at more angles"):
        calibration.calibrate(scan.assign(counts=dark.isel(frame=slice(None))).isel(frame=slice(2, 9)))
    with pytest.raises(XcdiError, match="no frame shows the direct beam"):
        calibration.calibrate(scan.assign(counts=(dark * 0).assign_attrs(units="1")))
    with pytest.raises(SchemaError, match="distance_m"):
        calibration.calibrate(scan, free=("centre_row", "centre_column"))


def test_a_centre_that_nobody_states_cannot_be_kept(scan):
    free = ("centre_column", "distance", "in_plane")
    with pytest.raises(SchemaError, match="centre_px"):
        calibration.calibrate(scan, free=free)
    kept = calibration.calibrate(scan.assign_attrs(centre_px=[51.4, 0.0]), free=free)
    assert float(kept.value.sel(parameter="centre_row")) == 51.4
    assert abs(float(kept.value.sel(parameter="centre_column")) - 70.2) < 0.1


def test_the_command_prints_lines_that_a_beamline_file_takes(tmp_path, capsys):
    counts, _ = frames()
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["frames"], file["nu"], file["delta"] = counts, ANGLES[:, 0], ANGLES[:, 1]
    home = tmp_path / "home.toml"
    home.write_text(
        'name = "home"\nformat = "hdf5"\n[detector]\nroi_origin = [10, 30]\n[layout]\ncounts = "/frames"\n'
        '[motors]\nnu = { path = "/nu", units = "deg" }\ndelta = { path = "/delta", units = "deg" }\n'
        '[quantities]\npixel_size = { value = 75.0, units = "um", source = "data sheet" }\n[geometry]\ncolumns = "x+"\nrows = "y-"\n'
        'detector = [{ motor = "nu", axis = "y-" }, { motor = "delta", axis = "x-" }]\n'
    )
    words = ["calibrate", str(tmp_path / "S1.h5"), "S1", "--beamline", str(home)]
    assert main([*words, "--keep", "tilt_x", "--keep", "tilt_y"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("S1  direct beam in 9 of 9 frames, 0.0")
    told = tomllib.loads("\n".join(lines))
    assert told["quantities"]["distance"]["value"] == pytest.approx(610, abs=2)
    np.testing.assert_allclose(told["geometry"]["centre_px"], [61.4, 100.2], atol=0.05)
    assert [tilt["axis"] for tilt in told["geometry"]["tilt"]] == ["z+", "x+", "y+"]
    assert told["geometry"]["tilt"][0]["angle_deg"] == pytest.approx(np.degrees(0.02), abs=0.1)
    assert main([*words, "--keep", "tilt"]) == 2
    assert "no parameter 'tilt'" in capsys.readouterr().err
