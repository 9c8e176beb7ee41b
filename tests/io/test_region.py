"""Files that say where their pixels are: regions, binning, stages, scans of the energy, and motors in a FIO file."""

import h5py
import numpy as np
import pytest

import xcdi.io
from xcdi.beamline import Beamline, load_beamline
from xcdi.errors import SchemaError, SettingsError, XcdiError
from xcdi.io.fio import read_fio
from xcdi.kernels import geometry as kernel
from xcdi.settings import from_mapping
from xcdi.stages import instrument

SHAPE = (7, 12, 15)
CAMERA = {"distance": {"value": 0.8, "units": "m", "source": "ruler"}, "pixel_size": {"value": 55.0, "units": "um", "source": "sheet"}}
CAMERA |= {"energy": {"value": 9.0, "units": "keV", "source": "logbook"}}
GEOMETRY = {"sample": [{"motor": "om", "axis": "y+"}], "columns": "x+", "rows": "y-", "centre_px": [40.0, 31.0]}
MOTORS = {"om": {"path": "/om", "units": "deg"}}


def opened(tmp_path, *, counts=None, values=None, **tables):
    path = tmp_path / "S1.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = np.ones(SHAPE, "u2") if counts is None else counts
        for name, value in ({"om": np.linspace(1.0, 1.6, SHAPE[0])} | (values or {})).items():
            file[name] = value
    home = {"name": "home", "format": "hdf5", "layout": {"counts": "/frames"}, "motors": MOTORS, "quantities": CAMERA, "geometry": GEOMETRY}
    return xcdi.io.open_scan(path, "S1", from_mapping(Beamline, home | tables))


def q_of(scan, row, column, frame=0):
    return kernel.q_of_pixel(instrument.camera(scan, frame), row, column, wavelength=instrument.wavelength(scan, frame))


def test_a_region_and_binning_change_no_q(tmp_path):
    whole = opened(tmp_path)
    part = opened(tmp_path, detector={"roi_origin": [6, 9], "binning": [2, 3]})
    np.testing.assert_allclose(q_of(part, 2.0, 1.0), q_of(whole, 6 + 2 * 2 + 0.5, 9 + 3 * 1 + 1.0), atol=1e-9)

    read = CAMERA | {"roi_row": {"path": "/r", "units": "px"}, "roi_column": {"path": "/c", "units": "px"}}
    assert opened(tmp_path, values={"r": 6, "c": 9}, quantities=read).attrs["roi_origin"] == [6, 9]
    with pytest.raises(SchemaError, match=r"roi_row .* expected a whole number"):
        opened(tmp_path, values={"r": 6.5, "c": 9}, quantities=read)


def test_gaps_of_the_chip_are_where_the_frames_see_them(tmp_path):
    gaps = {"roi_origin": [4, 0], "binning": [2, 1], "gaps": [[9, 11, 0, 30]]}
    valid = opened(tmp_path, detector=gaps).valid.to_numpy()
    assert np.flatnonzero(~valid.all(axis=1)).tolist() == [2, 3]


def test_a_scan_of_the_energy_is_one(tmp_path):
    energies = 9000 + 2.0 * np.arange(SHAPE[0])
    scan = opened(tmp_path, values={"om": 1.0, "en": energies}, quantities=CAMERA | {"energy": {"path": "/en", "units": "eV"}})
    assert scan.attrs["rocking_motor"] == "energy"
    assert scan.attrs["energy_kev"] == pytest.approx(9.006)
    basis = instrument.q_basis(scan, (3, 4, 5))
    expected = q_of(scan, 4, 5, frame=4) - q_of(scan, 4, 5, frame=3)
    np.testing.assert_allclose(basis.steps[:, 0], expected, rtol=1e-6)


def test_a_second_circle_that_moves_is_refused(tmp_path):
    table = GEOMETRY | {"detector": [{"motor": "nu", "axis": "y+"}]}
    motors = MOTORS | {"nu": {"path": "/nu", "units": "deg"}}
    scan = opened(tmp_path, values={"nu": np.linspace(20, 21, SHAPE[0])}, geometry=table, motors=motors)
    with pytest.raises(SchemaError, match="'nu' moves by"):
        instrument.q_basis(scan, (3, 4, 5))


def test_a_stage_moves_the_detector_by_its_reading(tmp_path):
    table = GEOMETRY | {"stage": [{"motor": "dx", "axis": "x+", "zero_mm": 2.0}]}
    motors = MOTORS | {"dx": {"path": "/dx", "units": "mm"}}
    moved = opened(tmp_path, values={"dx": 2.0 + 20 * 0.055}, geometry=table, motors=motors)
    np.testing.assert_allclose(q_of(moved, 3.0, 4.0), q_of(opened(tmp_path), 3.0, 24.0), atol=1e-9)


def test_axes_that_are_none_are_refused():
    with pytest.raises(SettingsError, match="points nowhere"):
        from_mapping(
            Beamline,
            {
                "name": "h",
                "format": "hdf5",
                "layout": {"counts": "/a"},
                "geometry": GEOMETRY | {"sample": [{"motor": "a", "axis": [0, 0, 0]}]},
            },
        )
    with pytest.raises(SettingsError, match="along one line"):
        from_mapping(Beamline, {"name": "h", "format": "hdf5", "layout": {"counts": "/a"}, "geometry": GEOMETRY | {"rows": "x-"}})


FIO = """!
%c
ascan om 10.0 10.2 2
%p
fmbenergy = 9000.0
_distance = 1840.0
_ccd = e4m
om = 10.0
del = 31.5
gam = 0.4
chi = 90.0
mu = 0.0
phi = -3.0
%d
 Col 1 om DOUBLE
 Col 2 curpetra DOUBLE
 10.0 101.2
 10.1 101.1
 10.2 101.0
"""


def test_p10_takes_its_motors_from_the_fio_file(tmp_path):
    folder = tmp_path / "au_00012"
    (folder / "e4m").mkdir(parents=True)
    (folder / "au_00012.fio").write_text(FIO)
    with h5py.File(folder / "e4m" / "au_00012_master.h5", "w") as file:
        file["entry/data/data"] = np.ones((3, 11, 13), "u4")
        file["entry/instrument/detector/x_pixel_size"] = file["entry/instrument/detector/y_pixel_size"] = 75e-6
        file["entry/instrument/detector/beam_center_x"], file["entry/instrument/detector/beam_center_y"] = 5.0, 6.0
    scan = xcdi.io.open_scan(folder / "e4m" / "au_00012_master.h5", "au_00012", "p10")
    assert scan.attrs["rocking_motor"] == "om"
    assert (scan.attrs["energy_kev"], scan.attrs["distance_m"]) == (9.0, pytest.approx(1.84))
    np.testing.assert_allclose(scan.rocking, [10.0, 10.1, 10.2])
    basis = instrument.q_basis(scan, (1, 6, 5))
    assert basis.peak[1] > 0  # del lifts the detector, Q points up
    assert load_beamline("p10").geometry.sample[2].zero_deg == 90.0


def test_a_fio_file_whose_first_column_is_words_keeps_its_rows(tmp_path):
    words = FIO.replace(" Col 1 om DOUBLE\n Col 2", " Col 1 image STRING\n Col 2 om DOUBLE\n Col 3").replace("\n 10.", "\n au_12.tif 10.")
    (tmp_path / "words.fio").write_text(words + " Acquisition ended at noon\n")
    found = read_fio(tmp_path / "words.fio").columns
    assert {name: list(values) for name, values in found.items()} == {"om": [10.0, 10.1, 10.2], "curpetra": [101.2, 101.1, 101.0]}
    (tmp_path / "words.fio").write_text(words.replace("10.1 101.1", "10.1"))
    with pytest.raises(XcdiError, match="point 1 has 2 values for 3 columns"):
        read_fio(tmp_path / "words.fio")


def test_a_fio_file_that_is_torn_or_absent_says_so(tmp_path):
    (tmp_path / "torn.fio").write_text(FIO.rstrip().rsplit(" ", 1)[0] + "\n")
    with pytest.raises(XcdiError, match="point 2 has 1 values for 2 columns"):
        read_fio(tmp_path / "torn.fio")
    with pytest.raises(XcdiError, match="no such FIO file"):
        read_fio(tmp_path / "none.fio")
