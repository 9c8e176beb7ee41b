"""A correlation opens in pyXPCSViewer and shows xcdi's numbers: the layout it reads, and what its reader makes of it."""

import os
import re
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import xarray as xr

import xcdi.io

FRAMES, REGIONS = 263, 3  # more than one band of rows, and no multiple of it
BAD = 7
SHOWN = "pyXPCSViewer is not installed: pip install xpcs-viewer"
ATTRS = {"scan": "S12", "start_time": "2024-01-01T00:00:00", "energy_kev": 9.65, "count_time_s": 0.49, "frame_time_s": 0.5}
ATTRS |= {"centre_px": [8.5, -3.25], "pixel_size_m": [75e-6, 75e-6], "distance_m": 1.9}
LESS = {name: value for name, value in ATTRS.items() if name != "distance_m"}


def correlated(frames=FRAMES, regions=REGIONS):
    """As a pipeline makes it: symmetric maps, a frame without data, pixels of unequal number in each region."""
    rng = np.random.default_rng(frames)
    two_time = rng.random((regions, frames, frames))
    two_time = two_time + two_time.swapaxes(1, 2)
    ok = np.arange(frames) != BAD
    two_time[:, ~ok], two_time[:, :, ~ok] = np.nan, np.nan
    region = np.repeat(np.arange(1, regions + 1), np.arange(2, regions + 2))
    counts = rng.poisson(2.0, (frames, region.size)) * ok[:, None]
    mean = np.stack([np.where(ok, counts[:, region == k].mean(axis=1), np.nan) for k in range(1, regions + 1)])
    clock, one, label, seconds = np.arange(frames) * 0.5 + 2, {"units": "1"}, {"units": ""}, {"units": "s"}
    return xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), two_time, one),
            "g2": (("region", "delay"), 1 + rng.random((regions, frames)), one),
            "g2_error": (("region", "delay"), 0.1 + rng.random((regions, frames)), one),
            "mean_count": (("region", "time"), mean, one),
            "frame_ok": ("time", ok, label),
            "counts": (("time", "pixel"), counts.astype("u1"), one),
            "region_of_pixel": ("pixel", region, label),
            "pixel_y": ("pixel", 4 + np.arange(region.size) // 5, label),
            "pixel_x": ("pixel", 2 + np.arange(region.size) % 5, label),
        },
        {"time": ("time", clock, seconds), "time2": ("time2", clock, seconds), "delay": ("delay", clock - 2, seconds)}
        | {"q": ("region", 1.3 + np.arange(regions), {"units": "1/nm"})},
        ATTRS,
    )


def multi_tau(frames=FRAMES, regions=REGIONS):
    """Later delays in longer frames, no matrix and no counts."""
    delay = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16]) * 0.5
    lean = correlated(frames, regions).drop_dims("time2").drop_vars("counts").isel(delay=slice(delay.size)).assign_coords(delay=delay)
    return lean.assign(two_time_multi_tau=(("region", "element"), np.zeros((regions, 11)), {"units": "1"}))


def tiled(frames=FRAMES, regions=REGIONS):
    """The matrix lies in a file of its own; the result holds ages and lags of it."""
    lean = correlated(frames, regions).drop_dims("time2").drop_vars("counts")
    return lean.assign(two_time_age_lag=(("region", "age", "lag"), np.zeros((regions, 4, 5)), {"units": "1"}))


KINDS = {"matrix": correlated, "multi_tau": multi_tau, "tiles": tiled}


def saved(ds, path):
    xcdi.io.save({"correlation": ds}, path, provenance={})
    return path


def lacks(path):
    with h5py.File(path) as file:
        attrs = file["entry"].attrs
        return attrs.get("not_for_pyXPCSViewer_for_lack_of", ""), attrs.get("pyXPCSViewer_lacks", "")


@pytest.mark.parametrize("frames", [2, 255, 256, 257, FRAMES])
def test_an_upper_half_and_its_transpose_without_half_the_diagonal_are_our_matrix(tmp_path, frames):
    """The sum that pyXPCSViewer forms, bit for bit, with NaN where a frame has no data."""
    ds = correlated(frames)
    with h5py.File(saved(ds, tmp_path / "c.h5")) as file:
        maps = file["/xpcs/twotime/correlation_map"]
        assert list(maps) == [f"c2_{k:05d}" for k in file["/xpcs/twotime/processed_bins"]]
        for name, ours in zip(maps, ds.two_time.to_numpy(), strict=True):
            half = maps[name][()]
            assert (half[np.tril_indices(frames, -1)] == 0).all()
            full = half + half.T
            full[np.diag_indices(frames)] /= 2
            np.testing.assert_array_equal(full, ours)


def test_no_map_is_stored_twice(tmp_path):
    with h5py.File(saved(correlated(), tmp_path / "c.h5")) as file:
        assert all(half.is_virtual and half.id.get_storage_size() == 0 for half in file["/xpcs/twotime/correlation_map"].values())
        assert file["/xpcs/multitau/normalized_g2"] == file["/xpcs/twotime/normalized_g2"] == file["/entry/data/g2"]


def test_a_file_that_was_moved_still_shows_its_maps(tmp_path):
    path = saved(correlated(), tmp_path / "c.h5")
    (tmp_path / "elsewhere").mkdir()
    with h5py.File(path.rename(tmp_path / "elsewhere" / "renamed.h5")) as file:
        assert file["/xpcs/twotime/correlation_map/c2_00002"][3, 5] == correlated().two_time[1, 3, 5]


def test_every_pixel_lies_in_its_region_and_nothing_else_does(tmp_path):
    ds = correlated()
    with h5py.File(saved(ds, tmp_path / "c.h5")) as file:
        qmap = file["/xpcs/qmap"]
        region, mask = qmap["dynamic_roi_map"][()], qmap["mask"][()]
        np.testing.assert_array_equal(region[ds.pixel_y, ds.pixel_x], ds.region_of_pixel)
        assert np.count_nonzero(region) == np.count_nonzero(mask) == ds.sizes["pixel"]
        assert (region[-1] == 0).all()  # the viewer takes the lowest number for none
        assert (region[:, -1] == 0).all()
        assert (qmap["beam_center_y"][()], qmap["beam_center_x"][()]) == tuple(ATTRS["centre_px"])
        np.testing.assert_allclose(qmap["dynamic_v_list_dim0"][()] * 10, ds.q)
        assert qmap["dynamic_v_list_dim0"].attrs["units"] == "1/angstrom"
        image = file["/xpcs/temporal_mean/scattering_2d"][()]
        np.testing.assert_array_equal(np.isnan(image), region == 0)
        np.testing.assert_allclose(image[ds.pixel_y, ds.pixel_x], ds.counts[ds.frame_ok].mean("time"))


@pytest.mark.parametrize("kind", KINDS)
def test_intensities_are_counts_per_pixel(tmp_path, kind):
    """Of a frame over all pixels, of a region over all good frames; parts of the series give the whole again."""
    whole, ds = correlated(), KINDS[kind]()
    with h5py.File(saved(ds, tmp_path / "c.h5")) as file:
        frame, trace = file["/xpcs/spatial_mean/intensity_vs_time"][()]
        np.testing.assert_array_equal(frame, np.arange(FRAMES))
        np.testing.assert_allclose(trace, whole.counts.mean("pixel"))
        of_region = file["/xpcs/temporal_mean/scattering_1d"][()]
        np.testing.assert_allclose(of_region, whole.mean_count.mean("time"))
        parts = file["/xpcs/temporal_mean/scattering_1d_segments"][()]
        assert parts.shape == (10, REGIONS)
        edges = np.linspace(0, FRAMES, 11).astype(int)
        good = np.add.reduceat(whole.frame_ok.to_numpy().astype(int), edges[:-1])
        np.testing.assert_allclose(good @ parts / good.sum(), of_region)


def test_what_is_not_there_is_left_out_and_said(tmp_path):
    assert lacks(saved(correlated(), tmp_path / "all.h5")) == ("", "")
    for kind in (multi_tau, tiled):
        opens, parts = lacks(saved(kind(), tmp_path / "lean.h5"))
        assert opens == ""
        assert re.match("scattering_2d.*no counts.*two-time maps.*no matrix", parts)
        with h5py.File(tmp_path / "lean.h5") as file:
            assert "twotime" not in file["xpcs"]
            assert "scattering_2d" not in file["xpcs/temporal_mean"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.drop_attrs(deep=False).assign_attrs(LESS), "distance_m"),
        (lambda ds: ds.drop_vars(["pixel_y", "mean_count"]), "pixel_y, mean_count"),
        (lambda ds: ds.drop_vars("g2_error"), "g2_error"),
        (lambda ds: ds.assign_attrs(pixel_size_m=[75e-6, 55e-6]), "square pixels"),
        (lambda ds: ds.isel(time=[0], time2=[0], delay=[0]), "more than one time, more than one delay"),
    ],
)
def test_a_file_that_the_viewer_cannot_open_says_what_is_missing(tmp_path, change, said):
    path = saved(change(correlated()), tmp_path / "c.h5")
    assert lacks(path) == (said, "")
    with h5py.File(path) as file:
        assert "qmap" not in file["xpcs"]


def uneven(ds):
    clock = ds.time.to_numpy() + (np.arange(FRAMES) > 100) * 3.0
    return ds.assign_coords(time=("time", clock, {"units": "s"}))


def lopsided(ds):
    changed = ds.copy(deep=True)
    changed.two_time[1, 260, 3] += 1e-12
    return changed


@pytest.mark.parametrize(("change", "why"), [(uneven, "one frame time apart"), (lopsided, "not symmetric")])
def test_maps_that_the_viewer_would_show_wrongly_are_not_shown(tmp_path, change, why):
    path = saved(change(correlated()), tmp_path / "c.h5")
    assert why in lacks(path)[1]
    with h5py.File(path) as file:
        assert "twotime" not in file["xpcs"]


def test_a_delay_without_pairs_is_nan_beside_the_map(tmp_path):
    ds = correlated().drop_isel(delay=[4])
    with h5py.File(saved(ds, tmp_path / "c.h5")) as file:
        g2 = file["/xpcs/twotime/normalized_g2"][()]
        assert np.isnan(g2[4]).all()
        np.testing.assert_array_equal(np.delete(g2, 4, axis=0), ds.g2.T)


def test_the_same_correlation_is_the_same_bytes_a_second_later(tmp_path):
    """HDF5 would date the maps, in seconds."""
    first = saved(correlated(), tmp_path / "a.h5").read_bytes()
    time.sleep(1.1)
    assert saved(correlated(), tmp_path / "b.h5").read_bytes() == first


def test_other_maps_have_another_name(tmp_path):
    """The viewer keeps maps by this name, and would show the regions of the first file for all."""

    def name(ds):
        with h5py.File(saved(ds, tmp_path / "c.h5")) as file:
            return file["/xpcs/qmap"].attrs["hash"]

    ds = correlated(11)
    others = [ds.assign(pixel_x=ds.pixel_x + 1), ds.assign_coords(q=ds.q * 1.01), ds.assign_attrs(distance_m=2.0), ds.drop_vars("q")]
    assert name(ds) == name(correlated(11))
    assert len({name(other) for other in [ds, *others]}) == 1 + len(others)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_correlation_is_valid_nxxpcs(tmp_path, kind):
    pytest.importorskip("nexusformat", reason="nexusformat is not installed: pip install nexusformat")
    path = tmp_path / "c.h5"
    xcdi.io.save({"correlation": KINDS[kind](31)}, path, provenance=xcdi.io.provenance("", []))
    for program in ("nxvalidate", "nxcheck"):
        found = os.path.join(os.path.dirname(sys.executable), program)
        report = subprocess.run([found, "-e", str(path)], capture_output=True, text=True, check=True).stdout
        assert ("Application Definition: NXxpcs" in report) == (program == "nxvalidate")
        assert "Total number of errors: 0" in report, report


def opened(path):
    return pytest.importorskip("pyxpcsviewer.core.xpcs_file", reason=SHOWN).XpcsFile(str(path))


@pytest.mark.parametrize("regions", [1, REGIONS])
@pytest.mark.parametrize("kind", KINDS)
def test_the_viewer_returns_our_g2_its_labels_and_its_intensities(tmp_path, kind, regions):
    ds = KINDS[kind](FRAMES, regions)
    shown = opened(saved(ds, tmp_path / "c.h5"))
    q, delay, g2, error, labels = shown.get_g2_data()
    np.testing.assert_allclose(q * 10, ds.q)
    np.testing.assert_allclose(delay, ds.delay)
    np.testing.assert_array_equal(g2, ds.g2.T)
    np.testing.assert_array_equal(error, ds.g2_error.T)
    assert labels == [f"qbin={k + 1}, q={value / 10:.5f} 1/angstrom" for k, value in enumerate(ds.q.to_numpy())]
    assert shown.Int_t.shape == (2, FRAMES)
    assert np.isfinite(shown.Int_t_fft).all()
    np.testing.assert_allclose(shown.saxs_1d["Iq"][0], ds.mean_count.mean("time"))
    assert shown.atype == (("Twotime", "Multitau") if kind == "matrix" else ("Multitau",))


def test_the_viewer_returns_our_maps_and_their_g2(tmp_path):
    ds = correlated()
    shown = opened(saved(ds, tmp_path / "c.h5"))
    for k in range(REGIONS):
        found = shown.get_twotime_c2(k, correct_diag=False)
        np.testing.assert_array_equal(found["c2_mat"], ds.two_time[k])
        np.testing.assert_array_equal(found["g2_full"], ds.g2[k])
        assert found["delta_t"] == 0.5
        regions, _, selected = shown.get_twotime_maps(scale="linear", auto_crop=False, selection=k)
        assert selected == k
        assert np.sum(regions == REGIONS + 1) == np.sum(ds.region_of_pixel == k + 1)
    assert np.nanmax(shown.saxs_2d) == pytest.approx(float(ds.counts[ds.frame_ok].mean("time").max()))


def test_the_viewer_opens_regions_without_q(tmp_path):
    shown = opened(saved(correlated().drop_vars("q"), tmp_path / "c.h5"))
    assert shown.get_twotime_qbin_labels() == [f"qbin={k}, region={k}.000 " for k in range(1, REGIONS + 1)]
    assert np.isnan(shown.saxs_1d["q"]).all()
