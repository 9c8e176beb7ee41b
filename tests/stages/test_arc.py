"""The arc of a scan is told, and the intensities are brought to even steps where that is asked for and needed."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi import artificial, io, settings
from xcdi.errors import XcdiError
from xcdi.kernels import regridding
from xcdi.stages import arc, geometry, imaging, phasing, preflight

LAYOUT = {
    "sample": [{"motor": "mu", "axis": "z+"}, {"motor": "omega", "axis": "y+"}],
    "detector": [{"motor": "delta", "axis": "y+"}],
    "columns": "x+",
    "rows": "y-",
}
SHAPE, AT = (37, 61, 67), (18, 33, 31)


def scan(step_deg=0.15):
    """A superlattice peak of 1.37 1/nm at 2.5 m, of fringes that fade before the faces."""
    f, r, c = (i - at for i, at in zip(np.indices(SHAPE), AT, strict=True))
    counts = np.round(2000 * np.exp(-(f**2) / 60 - r**2 / 110 - c**2 / 90) * (1 + 0.8 * np.cos(1.1 * c + 0.9 * r + 0.6 * f)))
    counts[:, 40, 31] = np.nan
    angles = 10 + step_deg * np.arange(SHAPE[0])
    return geometry.with_q(
        xr.Dataset(
            {
                "counts": (("frame", "y", "x"), counts.astype(np.float32), {"units": "1"}),
                "valid": (("y", "x"), np.ones(SHAPE[1:], bool), {"units": ""}),
            },
            {"rocking": ("frame", angles, {"units": "deg"}), "omega": ("frame", angles), "mu": 4.0, "delta": 1.61},
            {
                "geometry": json.dumps(LAYOUT),
                "energy_kev": 9.65,
                "distance_m": 2.5,
                "pixel_size_m": [75e-6, 75e-6],
                "centre_px": [33.0, 31.0],
                "rocking_motor": "omega",
            },
        ),
        reference=AT,
    )


def peak(step_deg=0.15, box=(36, 54, 60)):
    return phasing.crop_to_peak(scan(step_deg), box)


def test_the_even_steps_are_those_of_the_peak():
    one = peak()
    grid = arc._grid(one)
    np.testing.assert_allclose(grid.basis.steps, one.q_basis, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(grid.basis.peak, one.q_peak, rtol=1e-12)


def test_a_long_scan_strays_and_a_short_one_does_not():
    assert arc.sagitta(peak(0.15)).max() > 0.5
    assert arc.sagitta(peak(0.15))[2] > 8 * arc.sagitta(peak(0.05))[2]


def test_light_decides_how_deep_the_arc_is():
    one = peak()
    dim = one.assign(counts=(one.counts * 1e-2).assign_attrs(units="1"))
    assert arc.sagitta(dim).max() < arc.sagitta(one).max()


def test_without_a_geometry_nothing_is_told_or_done():
    one = peak()
    del one.attrs["geometry"]
    assert arc.sagitta(one) is None
    assert arc.straightened(one, 0.01) is one
    assert np.isnan(arc.judge(one, np.full(3, 2.5)).figure).all()


def test_intensities_are_left_alone_up_to_the_depth_that_is_asked_for():
    one = peak()
    deep = float(arc.sagitta(one).max())
    assert arc.straightened(one, deep * 1.01) is one
    done = arc.straightened(one, deep * 0.99)
    expected = regridding.regrid(one.counts.to_numpy(), one.valid.to_numpy(), arc._grid(one))
    np.testing.assert_array_equal(done.counts, expected.counts)
    np.testing.assert_array_equal(done.valid, expected.valid)
    assert f"{deep:.2f} voxels" in done.attrs["regridded"]
    assert "variance" in done.attrs["regridded"]
    assert done.counts.dtype == one.counts.dtype
    assert done.counts.attrs["units"] == "1"


def test_what_comes_out_may_be_phased():
    done = arc.straightened(peak(), 0.25)
    assert float(done.counts.where(done.valid).sum()) == pytest.approx(
        float(peak().counts.sum()), rel=0.05
    )  # a pixel is missing, and its neighbours with it
    xr.testing.assert_equal(done.q_basis, peak().q_basis)
    assert np.isfinite(done.counts).all()
    assert (done.counts >= 0).all()
    assert not done.counts.where(~done.valid, 0).any()


def test_a_missing_pixel_is_still_missing():
    done = arc.straightened(peak(), 0.25)
    assert not done.valid.to_numpy()[18, 40 - 33 + 27, 30].any()


def test_the_arc_is_a_finding_with_its_remedy():
    def found(one):
        return next(f for f in preflight.diagnose(None, one) if f.name == "rocking arc")

    assert found(peak(0.02)).verdict == "ok"
    told = found(peak(0.15))
    assert told.verdict in ("notice", "warning")
    assert "regrid_beyond" in told.sentence
    assert told.figure == tuple(arc.sagitta(peak(0.15)).round(3))
    assert found(arc.straightened(peak(0.15), 0.25)).verdict == "ok"


def test_nothing_is_regridded_unless_it_is_asked_for():
    usual = imaging.cut(scan(), imaging.Imaging(corrections=(), box=(36, 54, 60)))
    asked = imaging.cut(scan(), imaging.Imaging(corrections=(), box=(36, 54, 60), regrid_beyond=0.25))
    assert "regridded" not in usual.attrs
    assert "regridded" in asked.attrs


def test_the_setting_survives_toml(tmp_path):
    (tmp_path / "s.toml").write_text(settings.to_toml(imaging.Imaging(regrid_beyond=0.25)))
    assert settings.read(imaging.Imaging, tmp_path / "s.toml").regrid_beyond == 0.25
    (tmp_path / "t.toml").write_text("regrid_beyond = 0.0\n")
    with pytest.raises(XcdiError, match="regrid_beyond"):
        settings.read(imaging.Imaging, tmp_path / "t.toml")


def test_the_judge_agrees(tmp_path):
    """A simulated crystal whose frames are at their exact q, regridded, against the same crystal simulated on even steps."""
    options = {"profile": "pico", "seed": 3, "photons": 1e11, "background": 0.0, "blur_px": 0.0, "monitor_noise": 0.0}
    peaks = []
    for curved in (True, False):
        artificial.simulate("crystal", tmp_path / str(curved), curved=curved, **options)
        one = io.open_scan(tmp_path / str(curved) / "crystal.h5", "crystal", "demo_crystal")
        peaks.append(imaging.cut(one, imaging.Imaging(box=(48, 48, 48))))
    done = arc.straightened(peaks[0], 0.1)
    inside = done.valid & peaks[1].valid
    before, after = (float(abs(np.sqrt(each.counts) - np.sqrt(peaks[1].counts)).where(inside).std()) for each in (peaks[0], done))
    assert after < before / 2
    assert after < 0.75  # two amplitudes of Poisson noise alone are 0.71 apart
