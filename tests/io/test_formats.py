"""Scans in: every value as stored, every number with its unit, nothing invented."""

import h5py
import hdf5plugin
import numpy as np
import pytest
import tifffile
from scanfiles import SHAPE, make_eiger, stack_beamline, write_data, write_stack

import xcdi.io
from xcdi.errors import SchemaError, XcdiError
from xcdi.io.chunks import frames, piece, read_frames, stack
from xcdi.io.vetting import Place


@pytest.mark.parametrize("frames_per_chunk", [1, 3, 4, 50])
def test_counts_are_those_stored_for_any_block(eiger, frames_per_chunk):
    scan = eiger.open(frames_per_chunk=frames_per_chunk)
    assert scan.counts.dtype == eiger.counts.dtype
    assert scan.counts.chunksizes["frame"][0] == min(frames_per_chunk, 11)
    np.testing.assert_array_equal(scan.counts.to_numpy(), eiger.counts)


def test_numbers_come_in_the_units_of_the_schema(eiger):
    attrs = eiger.open().attrs
    found = [attrs[k] for k in ("energy_kev", "distance_m", "count_time_s", "frame_time_s", "saturation")]
    np.testing.assert_allclose(found, [10.0, 1.9, 0.49, 0.5, 60_000])
    np.testing.assert_allclose(attrs["pixel_size_m"], [75e-6, 75e-6])
    assert attrs["centre_px"] == [-3.0, 8.5]
    assert (attrs["sentinel"], attrs["frames_expected"], attrs["complete"]) == (65535, 11, True)


def test_masked_and_sentinel_pixels_are_not_valid_but_noisy_ones_are(eiger):
    valid = eiger.open().valid.to_numpy()
    expected = np.ones(SHAPE, bool)
    expected[7] = expected[3, 5] = False
    np.testing.assert_array_equal(valid, expected)


def test_a_moving_sample_motor_is_the_rocking_angle(eiger):
    scan = eiger.open()
    np.testing.assert_array_equal(scan.rocking, eiger.omega)
    np.testing.assert_allclose(scan.time, 0.5 * np.arange(11))
    assert scan.attrs["rocking_motor"] == "omega"


def test_what_the_file_does_not_say_is_absent(eiger):
    with h5py.File(eiger.master, "a") as file:
        del file["entry/instrument/beam"], file["entry/instrument/monitor"], file["entry/sample"]
        file["entry/instrument/detector/detector_distance"][...] = 0.0  # as Dectris writes what nobody told it
    scan = eiger.open()
    assert not {"energy_kev", "distance_m"} & set(scan.attrs)
    assert not {"monitor", "omega", "rocking"} & set(scan.variables)


def test_data_files_are_placed_by_image_number(tmp_path):
    scan = make_eiger(tmp_path, n=8, per_file=4)
    first, second = scan.data(1).read_bytes(), scan.data(2).read_bytes()
    scan.data(1).write_bytes(second)
    scan.data(2).write_bytes(first)
    np.testing.assert_array_equal(scan.open().counts.to_numpy(), scan.counts)


def test_a_lost_range_of_images_is_a_gap_and_not_a_shift(tmp_path):
    scan = make_eiger(tmp_path, n=12, per_file=4)
    write_data(scan.data(2), scan.counts[5:8], low=6)
    found = scan.open()
    assert found.frame_ok.to_numpy().tolist() == [True] * 4 + [False] + [True] * 7
    np.testing.assert_array_equal(found.counts[5:].to_numpy(), scan.counts[5:])
    assert (found.counts[4].to_numpy() == 65535).all()
    assert not found.attrs["complete"]


def test_images_numbered_twice_are_refused(tmp_path):
    scan = make_eiger(tmp_path, n=8, per_file=4)
    write_data(scan.data(2), scan.counts[4:], low=3)
    with pytest.raises(XcdiError, match=r"S1_data_000002.h5 holds frames from 2, but S1_data_000001.h5 holds 0 to 3"):
        scan.open()


def test_a_scan_stopped_early_says_how_many_frames_were_planned(tmp_path):
    scan = make_eiger(tmp_path, n=5, nimages=20).open()
    assert (scan.sizes["frame"], scan.attrs["frames_expected"], scan.attrs["complete"]) == (5, 20, False)


def test_a_folder_lists_its_masters(tmp_path):
    for name in ("b_2", "a"):
        make_eiger(tmp_path, name, n=3)
    assert xcdi.io.list_scans(tmp_path, "demo") == ["a", "b_2"]
    assert xcdi.io.list_scans(tmp_path / "a_master.h5", "demo") == ["a"]
    with pytest.raises(XcdiError, match="no scan 'b_3'; did you mean 'b_2'"):
        xcdi.io.open_scan(tmp_path, "b_3", "demo")
    with pytest.raises(XcdiError, match=r"a_master.h5 holds scan 'a', not 'b'"):
        xcdi.io.open_scan(tmp_path / "a_master.h5", "b", "demo")


def test_one_dataset_with_a_channel_axis_is_read_like_frames(eiger):
    """FileWriter 2 writes (image, channel, y, x)."""
    with h5py.File(eiger.master, "a") as file:
        del file["entry/data"]
        file["entry/data/data"] = eiger.counts[:, None]
    np.testing.assert_array_equal(eiger.open().counts.to_numpy(), eiger.counts)


LZ4 = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
STORED = {
    "contiguous": {},
    "plain chunks": {"chunks": (1, *SHAPE)},
    "three to a chunk, the last padded": {"chunks": (3, *SHAPE), **LZ4},
    "tiles": {"chunks": (2, 5, 7), **LZ4},
    "tiles without a filter": {"chunks": (1, 5, 7)},
    "gzip and shuffle": {"chunks": (1, *SHAPE), "compression": "gzip", "shuffle": True},
    "bitshuffle with zstd": {"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(nelems=0, cname="zstd")},
    "blosc": {"chunks": (4, *SHAPE), **hdf5plugin.Blosc()},
    "bitshuffle-LZ4 and checksum": {"chunks": (1, *SHAPE), "fletcher32": True, **LZ4},
}


@pytest.mark.parametrize("dtype", ["u1", "i4", ">u2", "<u4", "f4", ">f8", "?"])
@pytest.mark.parametrize("how", STORED)
def test_every_way_of_storing_gives_the_same_frames(tmp_path, how, dtype):
    values = np.random.default_rng(5).poisson(1.0, (11, *SHAPE)).astype(dtype)
    write_stack(tmp_path / "s.h5", values, **STORED[how])
    source = stack([piece(Place(tmp_path / "s.h5", "/S1/frames"), root=tmp_path)])
    np.testing.assert_array_equal(read_frames(source, 2, 9, workers=2), values[2:9])
    lazy = frames(source, frames_per_chunk=4)
    assert lazy.dtype == lazy.compute().dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(lazy.compute(), values)


def test_frames_go_into_the_buffer_that_is_given(eiger):
    source = stack([piece(Place(eiger.data(1), "/entry/data/data"), root=eiger.folder)])
    out = np.zeros((3, *SHAPE), "u2")
    assert read_frames(source, 1, 4, out=out) is out
    np.testing.assert_array_equal(out, eiger.counts[1:4])


@pytest.mark.parametrize(("values", "shape"), [(np.ones(SHAPE, "u2"), (1, *SHAPE)), (np.ones((5, 1, *SHAPE), "f4"), (5, *SHAPE))])
def test_one_image_and_one_channel_are_scans_too(tmp_path, values, shape):
    write_stack(tmp_path / "s.h5", values)
    scan = xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())
    assert scan.counts.shape == shape
    assert (scan.counts.to_numpy() == 1).all()


def test_two_channels_are_refused(tmp_path):
    write_stack(tmp_path / "s.h5", np.ones((5, 2, *SHAPE), "u2"))
    with pytest.raises(XcdiError, match="has 2 channels; expected one"):
        xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline())


def test_scans_of_a_file_are_those_with_counts(tmp_path):
    for scan in ("S2", "S1"):
        write_stack(tmp_path / "s.h5", np.ones((2, *SHAPE), "u2"), scan)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["notes"] = "not a scan"
    assert xcdi.io.list_scans(tmp_path / "s.h5", stack_beamline()) == ["S1", "S2"]
    with pytest.raises(XcdiError, match=r"s.h5: no dataset '/S3/frames' \(counts of scan S3, by beamline 'plain'\); there is S1, S2"):
        xcdi.io.open_scan(tmp_path / "s.h5", "S3", stack_beamline())


EULER = {"sample": [{"motor": "eta", "axis": "x-"}], "columns": "x+", "rows": "y-"}


def with_eta(tmp_path, eta):
    write_stack(tmp_path / "s.h5", np.ones((5, *SHAPE), "u2"))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["S1/eta"] = eta
    home = stack_beamline(motors={"eta": {"path": "/{scan}/eta", "units": "rad"}}, geometry=EULER)
    return xcdi.io.open_scan(tmp_path / "s.h5", "S1", home)


def test_motors_are_in_degrees(tmp_path):
    np.testing.assert_allclose(with_eta(tmp_path, np.linspace(0, 1, 5)).rocking, np.degrees(np.linspace(0, 1, 5)))


def test_a_motor_that_only_trembles_is_no_rocking_scan(tmp_path):
    assert "rocking" not in with_eta(tmp_path, np.radians(1.0) + 1e-6 * np.array([0, 1, -1, 2, 0]))


def test_a_motor_with_another_number_of_values_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(XcdiError, match="'eta' has 4 values for 5 frames"):
        with_eta(tmp_path, np.zeros(4))


@pytest.mark.parametrize(
    ("name", "value", "unit", "message"),
    [
        ("energy", 9000.0, "keV", "energy is 9000 keV, expected 0.05 to 500;"),
        ("energy", 1.0, "furlong", "unknown unit 'furlong'"),
        ("distance", 2.0, "keV", "'keV' measures energy, expected length"),
        ("distance", -1.0, "m", "distance is -1 m"),
    ],
)
def test_a_number_no_instrument_has_is_refused(tmp_path, name, value, unit, message):
    write_stack(tmp_path / "s.h5", np.ones((5, *SHAPE), "u2"))
    home = stack_beamline(quantities={name: {"value": value, "units": unit, "source": "a test"}})
    with pytest.raises(SchemaError, match=message):
        xcdi.io.open_scan(tmp_path / "s.h5", "S1", home)


def test_times_that_stand_still_are_left_out_with_a_warning(tmp_path):
    write_stack(tmp_path / "s.h5", np.ones((4, *SHAPE), "u2"))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["t"] = [0.0, 1.0, 1.0, 2.0]
    home = stack_beamline(layout={"counts": "/{scan}/frames", "time": {"path": "/t", "units": "s"}})
    with pytest.warns(UserWarning, match="times do not rise"):
        assert "time" not in xcdi.io.open_scan(tmp_path / "s.h5", "S1", home)


def test_images_beside_the_scan_are_cut_to_the_frames(tmp_path):
    write_stack(tmp_path / "s.h5", np.ones((2, *SHAPE), "u2"))
    whole = np.full((30, 40), 5.0, "f4")
    whole[10, 20] = whole[0, 0] = 0.0
    bad = np.zeros((30, 40), "u1")
    bad[11, 22] = 100
    tifffile.imwrite(tmp_path / "flat.tif", whole)
    tifffile.imwrite(tmp_path / "bad.tif", bad)
    detector = {"flat": "flat.tif", "bad_pixels": "bad.tif", "dark": "flat.tif", "roi_origin": [10, 20], "gaps": [[12, 13, 0, 40]]}
    scan = xcdi.io.open_scan(tmp_path / "s.h5", "S1", stack_beamline(detector=detector))
    expected = np.ones(SHAPE, bool)
    expected[0, 0] = expected[1, 2] = expected[2] = False
    np.testing.assert_array_equal(scan.valid, expected)
    np.testing.assert_array_equal(scan.flat, np.ones(SHAPE))
    assert float(scan.dark[1, 1]) == 5.0


def test_the_measured_rocking_scan_of_34idc_opens_as_recorded(measured_data):
    path = measured_data / "34idc_scan54" / "scan54_frames.h5"
    scan = xcdi.io.open_scan(path, "scan54_frames", "34idc")
    assert scan.counts.shape == (201, 256, 256)
    assert int(scan.counts.sum(dtype="u8")) == 46_155_653
    assert (scan.attrs["energy_kev"], scan.attrs["distance_m"], scan.attrs["rocking_motor"]) == (9.0, 0.5, "theta")
    np.testing.assert_allclose(scan.attrs["pixel_size_m"], [55e-6, 55e-6])
    np.testing.assert_allclose([scan.delta, scan.gamma, scan.chi, scan.phi], [32.174, 12.6346, 90.0, -5.0])
    np.testing.assert_allclose(np.diff(scan.rocking), 0.005, atol=2e-5)
    assert 0.99 < float(scan.valid.mean()) < 1.0
    assert float(scan.flat.min()) >= 0.1


def test_the_dead_time_is_that_of_the_counter_and_only_where_it_is_not_made_up_for(eiger):
    place = "entry/instrument/detector"
    with h5py.File(eiger.master, "a") as file:
        file[f"{place}/detector_readout_time"] = 3e-6  # the pause between frames
    assert "dead_time_s" not in eiger.open().attrs
    with h5py.File(eiger.master, "a") as file:
        file[f"{place}/dead_time"] = 1e-7
        file[f"{place}/dead_time"].attrs["units"] = "s"
    assert eiger.open().attrs["dead_time_s"] == 1e-7
    with h5py.File(eiger.master, "a") as file:
        file[f"{place}/countrate_correction_applied"] = 1
    assert "dead_time_s" not in eiger.open().attrs


def test_files_without_frames_are_no_scans_unless_none_has_any(tmp_path):
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["entry/data/data"] = np.zeros((3, 4, 5), np.uint16)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["seed"] = 1
    (tmp_path / "torn.h5").write_bytes(b"not HDF5")
    assert xcdi.io.list_scans(tmp_path, "demo_stack") == ["one", "torn"]
    (tmp_path / "one.h5").unlink()
    (tmp_path / "torn.h5").unlink()
    assert xcdi.io.list_scans(tmp_path, "demo_stack") == ["truth"]
