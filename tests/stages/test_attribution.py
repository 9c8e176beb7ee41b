"""Laws of attribution with labels: a rocking scan's object, a series, and grains in the laboratory."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.stages import avalanches
from xcdi.stages.attribution import grains_in_data_frame

SHAPE = (13, 31, 37)
VOXEL = 20.0  # nm; index axes angle, row, column lie along z, y, x
BOX = {"frame": [0, 13], "y": [100, 131], "x": [50, 87]}


def grains():
    label = np.zeros(SHAPE, int)
    label[3:10, 9:22, 11:18] = 1
    label[3:10, 9:15, 18:26] = 2
    label[3:10, 15:22, 18:26] = 3
    return label


def particle():
    label = grains()
    z, y, x = np.indices(SHAPE)
    rho = np.zeros(SHAPE, complex)
    for grain, (a, b, c) in {1: (0.2, 0.1, -0.15), 2: (-0.1, -0.25, 0.1), 3: (0.1, 0.2, 0.2)}.items():
        rho[label == grain] = np.exp(1j * (a * z + b * y + c * x + grain))[label == grain]
    return rho


def phased(**attrs):
    return xr.Dataset(
        {
            "rho": (("z", "y", "x"), particle().astype(np.complex64), {"units": "1"}),
            "voxel_basis": (("axis", "index"), VOXEL * np.eye(3)[::-1], {"units": "nm"}),
        },
        attrs={"box": json.dumps(BOX), **attrs},
    )


def crystal():
    places = {dim: (dim, VOXEL * (np.arange(n) - n // 2), {"units": "nm"}) for dim, n in zip("zyx", SHAPE, strict=True)}
    return xr.Dataset({"grain": (("z", "y", "x"), grains().astype(np.int16), {"units": ""})}, places)


def boundaries():
    return xr.Dataset({"i": ("boundary", [1, 1, 2]), "j": ("boundary", [2, 3, 3])})


def correlation(offset=0.4, slip=49, seed=0):
    """Series of 97 frames on a region that overhangs the object's box; the part of grain 3 next to grain 1 slips."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    moved = (grains() == 3) & ((z - 6) ** 2 + (y - 18) ** 2 + (x - 18) ** 2 < 16)
    states = [np.sum(rho * np.exp(-2j * np.pi * offset * (z - 6) / 13), axis=0) for rho in (particle(), particle() * np.exp(2j * moved))]
    pair = np.abs(np.fft.fftshift(np.fft.fft2(np.stack(states)), axes=(1, 2))) ** 2
    pair *= 3 / pair[0].mean()
    counts = rng.poisson(np.pad(pair[(np.arange(97) >= slip).astype(int)], ((0, 0), (0, 2), (0, 0))))
    rows, columns = np.indices(counts.shape[1:]).reshape(2, -1)
    return xr.Dataset(
        {"counts": (("time", "pixel"), counts.reshape(97, -1)), "pixel_y": ("pixel", rows + 100), "pixel_x": ("pixel", columns + 50)},
        coords={"time": ("time", np.arange(97) * 0.5, {"units": "s"})},
    )


@pytest.fixture(scope="module")
def found():
    series = correlation()
    return avalanches.attribute(avalanches.find_events(series), series, phased(), crystal(), boundaries(), offset=0.2)


def test_the_slip_is_ascribed_to_its_boundary_and_grain(found):
    assert found.frame.values.tolist() == [49]
    assert (int(found.boundary[0]), int(found.boundary_i[0]), int(found.boundary_j[0])) == (1, 1, 3)
    assert int(found.grain[0]) == 3
    assert 0.5 < float(found.probability[0]) <= 1
    assert found.phase_jump.attrs["units"] == "rad"
    assert 0 < float(found.region_volume[0]) <= (grains() == 3).sum() * VOXEL**3


def test_the_angle_of_the_series_is_refined(found):
    assert found.attrs["view_offset"] == pytest.approx(0.4, abs=0.1)
    assert found.attrs["view_likeness"] > 0.9


def test_a_ramp_that_was_taken_off_the_object_is_put_back(found):
    """The object as stored lacks a ramp of a pixel and a half along the columns."""
    step = 2 * np.pi / (SHAPE[2] * VOXEL)
    flat = phased(ramp=[1.5 * step, 0.0, 0.0])
    x = np.arange(SHAPE[2]) - SHAPE[2] // 2
    flat["rho"] = flat.rho * np.exp(-2j * np.pi * 1.5 * x / SHAPE[2]).astype(np.complex64)
    flat.rho.attrs["units"] = "1"
    series = correlation()
    again = avalanches.attribute(avalanches.find_events(series), series, flat, crystal(), boundaries(), offset=0.2)
    xr.testing.assert_allclose(again[["boundary", "grain", "phase_jump"]], found[["boundary", "grain", "phase_jump"]])


def test_without_boundaries_nothing_is_ascribed():
    series = correlation()
    alone = avalanches.attribute(avalanches.find_events(series), series, phased(), crystal(), boundaries().isel(boundary=[]))
    assert alone.boundary.values.tolist() == [-1]
    assert np.isnan(alone.probability.values).all()


def test_grains_come_back_from_a_finer_laboratory_grid():
    fine = crystal().interp(x=np.arange(-300, 301, 7.0), y=np.arange(-260, 261, 7.0), z=np.arange(-120, 121, 7.0), method="nearest")
    fine["grain"] = fine.grain.fillna(0).astype(np.int16)
    assert np.mean(grains_in_data_frame(fine, phased())[grains() > 0] == grains()[grains() > 0]) > 0.95


def test_the_angle_between_rocking_scan_and_series_is_in_steps():
    peak = xr.Dataset({"rocking": ("frame", 0.5 + 0.12 * (np.arange(13) - 6), {"units": "deg"})}, attrs={"rocking_motor": "omega"})
    assert avalanches.series_offset(peak, xr.Dataset(coords={"omega": 0.68})) == pytest.approx(1.5)
    with pytest.raises(SchemaError, match="no motor 'omega'"):
        avalanches.series_offset(peak, xr.Dataset())


def test_a_series_of_other_pixels_is_refused():
    series = correlation()
    away = series.assign(pixel_x=series.pixel_x + 500)
    with pytest.raises(XcdiError, match="covers none of the pixels"):
        avalanches.attribute(avalanches.find_events(away), away, phased(), crystal(), boundaries())


def test_an_object_without_its_box_is_refused():
    series, lost = correlation(), phased()
    del lost.attrs["box"]
    with pytest.raises(SchemaError, match="no attribute 'box'"):
        avalanches.attribute(avalanches.find_events(series), series, lost, crystal(), boundaries())
