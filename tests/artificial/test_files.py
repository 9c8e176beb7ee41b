"""All formats hold the same frames, and each its beamline can read."""

import h5py
import numpy as np
import pytest
from rawfiles import write_raw

from xcdi import artificial, io
from xcdi.artificial.files import FORMATS
from xcdi.artificial.profiles import profile
from xcdi.cli import main

PICO = profile("pico", frames=40, hole=True)
BEAMLINES = {"eiger": "demo", "stack": "demo_stack", "areadetector": "demo_areadetector"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("formats")
    for name in FORMATS:
        (top / name).mkdir()
        write_raw(top / name, PICO.model_copy(update={"format": name}))
    return {name: top / name for name in FORMATS}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("again"), PICO)


def opened(folders, name, scan="particle_series"):
    return io.open_scan(folders[name], scan, BEAMLINES[name])


@pytest.mark.parametrize("scan", ["particle_rocking", "particle_series"])
@pytest.mark.parametrize("name", ["stack", "areadetector"])
def test_all_formats_hold_the_same_counts_and_numbers(folders, name, scan):
    one, other = opened(folders, "eiger", scan), opened(folders, name, scan)
    one = one.isel(frame=np.flatnonzero(one.frame_ok))
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_array_equal(one.monitor, other.monitor)
    np.testing.assert_allclose(one.time, other.time, atol=1e-6)
    for key in ("energy_kev", "distance_m", "pixel_size_m", "centre_px", "count_time_s", "monitor_reference", "frames_expected"):
        assert one.attrs[key] == other.attrs[key], key
    np.testing.assert_array_equal(np.broadcast_to(one.omega, one.frame.shape), np.broadcast_to(other.omega, other.frame.shape))


@pytest.mark.parametrize("name", FORMATS)
def test_lost_frames_leave_a_hole_in_the_numbers(folders, faulty, name):
    lost = faulty.lost
    assert lost[0] == PICO.frames_per_file
    scan = opened(folders, name)
    kept = np.delete(np.arange(PICO.frames), lost)
    found = np.flatnonzero(scan.frame_ok) if name == "eiger" else np.arange(scan.sizes["frame"])
    np.testing.assert_allclose(scan.time[found], kept * PICO.frame_time_s, atol=1e-6)
    assert not scan.attrs["complete"]


def test_frames_of_areadetector_have_their_ids_and_stamps(folders, faulty):
    with h5py.File(folders["areadetector"] / "particle_series.h5") as file:
        assert file["entry/data/data"] == file["entry/instrument/detector/data"]  # one dataset under two names
        listed = file["entry/instrument/NDAttributes"]
        assert {len(listed[name]) for name in listed} == {len(file["entry/data/data"])}
        ids = listed["NDArrayUniqueId"][()]
        stamps = listed["NDArrayEpicsTSSec"][()] + 1e-9 * listed["NDArrayEpicsTSnSec"][()]
        np.testing.assert_allclose(stamps, listed["NDArrayTimeStamp"], atol=1e-6)
        assert listed["NDArrayUniqueId"].attrs["NDAttrSourceType"] == "NDAttrSourceDriver"
    np.testing.assert_array_equal(np.setdiff1d(np.arange(1, ids[-1] + 1), ids), np.array(faulty.lost) + 1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_flat_field_is_beside_the_scan_and_its_factors_in_it(folders, faulty, name):
    flat = faulty.flat
    path = folders[name] / ("particle_series_master.h5" if name == "eiger" else "particle_series.h5")
    with h5py.File(path) as file:
        detector = file["entry/instrument/detector"]
        factors = detector["detectorSpecific/flatfield" if name == "eiger" else "flatfield"][()]
        assert detector["flatfield_correction_applied"][()] == 0
        assert detector["saturation_value"][()] == PICO.cutoff - 1
        assert detector["bit_depth_image"][()] == 32
    np.testing.assert_allclose(factors * flat, 1, rtol=1e-6)
    if name != "eiger":
        np.testing.assert_allclose(opened(folders, name).flat, flat / np.median(flat), rtol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_frames_are_one_to_a_chunk_and_compressed(folders, name):
    path = folders[name] / ("particle_series_data_000001.h5" if name == "eiger" else "particle_series.h5")
    with h5py.File(path) as file:
        data = file["entry/data/data"]
        assert data.chunks == (1, *PICO.detector)
        assert data.id.get_create_plist().get_filter(0)[0] == 32008


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_seed_gives_the_same_bytes_in_every_format(folders, tmp_path, name):
    write_raw(tmp_path, PICO.model_copy(update={"format": name}))
    for path in folders[name].iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_an_8_bit_series_is_read_with_its_own_sentinel(tmp_path):
    write_raw(tmp_path, profile("pico", frames=4, rollover=True, cutoff=255))
    scan = io.open_scan(tmp_path, "particle_rocking", "demo")
    assert (scan.counts.dtype, scan.attrs["sentinel"], scan.attrs["saturation"]) == (np.uint8, 255, 254)


@pytest.mark.parametrize("name", [pytest.param("stack", marks=pytest.mark.slow), "areadetector"])
def test_one_command_images_and_correlates_the_raw_files(tmp_path, name):
    artificial.simulate("particle", tmp_path / "raw", profile="pico", seed=3, variant=name)
    options = ["--set", "imaging.recipe.starts=2", "--set", "imaging.recipe.anneal_length=10", "--workers", "1"]
    command = ["run", "superlattice", str(tmp_path / "raw"), "--beamline", BEAMLINES[name], *options]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    found = io.load(tmp_path / "out/particle_superlattice.h5")
    assert found["peak"].attrs["corrections"] == "to_float dead_time flat per_monitor"
