"""Other programs read xcdi's file: h5py, VTK's reader, silx, the NeXus validators and CXI see the same numbers under the promised names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xcdi.io
from xcdi.schema import CRYSTAL, LAB, OBJECT
from xcdi.stages import geometry, grains, strain

DOCS = Path(__file__).parents[2] / "docs" / "results.md"
EDGE, Q = 20.0, np.array([1.35, 0.1, -0.2])
SHAPE = (17, 19, 23)
KEV = 1.602176634e-16  # J


def phased():
    """Two grains, strained apart, on an oblique grid, as two solutions that differ a little."""
    basis = EDGE * np.array([[0.1, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.2, 0.0]])  # columns: steps of index 0, 1, 2; rows x, y, z
    index = np.indices(SHAPE).reshape(3, -1) - np.array(SHAPE)[:, None] // 2
    x, y, z = (basis @ index).reshape(3, *SHAPE)
    support = x**2 + y**2 + z**2 < 120.0**2
    u = np.where(x > 5, 2e-3 * x + 2.0, -1e-3 * x)  # nm, along x, which is nearly along Q
    rho = np.where(support, np.exp(-1j * Q[0] * u), 0).astype(np.complex64)
    copies = np.stack([rho, rho * np.exp(1j * 0.02 * np.sin(y / 30))]).astype(np.complex64)
    known = {"phase_error": ("rad", 0.01), "amplitude_error": ("1", 0.02), "rho_error": ("1", 0.03)}
    variables = {name: (LAB, np.where(support, value, np.nan).astype("f4"), {"units": unit}) for name, (unit, value) in known.items()}
    variables |= {"rho": (LAB, rho, {"units": "1"}), "support": (LAB, support, {"units": ""})}
    variables["rho_error"] = (LAB, np.where(support, 0.03, 0).astype("f4"), {"units": "1"})
    variables["solutions"] = (("solution", *LAB), copies, {"units": "1"})
    variables["voxel_basis"] = (("axis", "index"), basis, {"units": "nm"})
    variables["q_basis"] = (("axis", "index"), 2 * np.pi * np.linalg.inv(basis).T / SHAPE, {"units": "1/nm"})
    variables["q_peak"] = ("axis", Q, {"units": "1/nm"})
    variables["residual"] = ("start", [0.05, 0.06], {"units": "1"})
    variables["kept"] = ("start", [True, True], {"units": ""})
    attrs = {"grade": "good", "grade_why": "2 solutions agree", "agreement": 0.99, "ramp": [0.0, 0.0, 0.0], "seed": 0}
    return xr.Dataset(variables, {"axis": ["x", "y", "z"], "index": ["frame", "row", "column"]}, attrs)


def peak():
    counts = np.random.default_rng(0).poisson(3.0, SHAPE).astype("f4")
    known = {"scan": "S7", "beamline": "id01", "energy_kev": 9.65, "distance_m": 1.9, "pixel_size_m": [75e-6, 55e-6]}
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("frame", "y", "x"), counts >= 0, {"units": ""}),
            "rocking": ("frame", np.linspace(-1, 1, 17), {"units": "deg"}),
        },
        attrs=known,
    )


def lines():
    """Dislocations and triple lines: a few rows each."""
    point = (("line", "axis"), np.arange(6.0).reshape(2, 3), {"units": "nm"})
    rows = xr.Dataset({"length": ("line", [120.0, 80.0], {"units": "nm"}), "centroid": point})
    return dict.fromkeys(("triple_lines", "dislocations"), rows)


@pytest.fixture(scope="module")
def result():
    crystal, table, pairs = grains.grains(strain.field(geometry.to_lab(phased())))
    return {"peak": peak(), "object": phased(), "crystal": crystal, "grains": table, "boundaries": pairs, **lines()}


@pytest.fixture(scope="module")
def path(result, tmp_path_factory):
    there = tmp_path_factory.mktemp("viewers") / "S7_bcdi_strain.h5"
    xcdi.io.save(result, there, provenance=xcdi.io.provenance("a = 1\n", [DOCS], pipeline="bcdi_strain", seed=0, notes={"scan": "S7"}))
    return there


def test_the_result_has_two_grains_and_its_parts(result):
    """The other tests would say little about a result without strain, error or boundary."""
    assert result["grains"].sizes["grain"] == 2
    assert result["boundaries"].sizes["boundary"] == 1
    assert np.nanstd(result["crystal"].strain) > 5e-4
    assert (result["crystal"].strain_error > 0).any()


def test_h5py_reads_every_map_where_it_is_promised(path, result):
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry_1/image_1/data"][()], result["object"].rho)
        for name, variable in result["crystal"].data_vars.items():
            np.testing.assert_array_equal(file[f"entry_1/{name}"][()], variable)
        for part in ("grains", "boundaries", "triple_lines", "dislocations"):
            assert file[f"entry_1/{part}"].attrs["NX_class"] == "NXcollection"
            for name, variable in result[part].data_vars.items():
                np.testing.assert_array_equal(file[f"entry_1/{part}/{name}"][()], variable)


def test_outside_the_particle_maps_are_what_the_document_says(result):
    crystal = result["crystal"]
    said = re.search(r"Outside the particle (.*?) are 0, (.*?) go on", DOCS.read_text(), re.DOTALL)
    zero, on = (set(re.findall(r"`(\w+)`", part)) for part in said.groups())
    for name in set(crystal.data_vars) - {"support"}:
        outside = crystal[name].to_numpy()[~crystal.support.to_numpy()]
        assert (outside == 0).all() if name in zero else np.isfinite(outside).all() == (name in on), name
        assert name in zero | on or np.isnan(outside).all(), name


def vtk_image(path, folder):
    """What VTK reads from a link named as ParaView wants it: the image, and its maps as arrays (z, y, x)."""
    hdf = pytest.importorskip("vtkmodules.vtkIOHDF", reason="VTK is not installed: pip install vtk, to read the file as ParaView does")
    support = pytest.importorskip("vtkmodules.util.numpy_support")
    link = folder / "result.vtkhdf"
    link.symlink_to(path)
    reader = hdf.vtkHDFReader()
    assert reader.CanReadFile(str(link))
    reader.SetFileName(str(link))
    reader.Update()
    image = reader.GetOutput()
    data, shape = image.GetPointData(), image.GetDimensions()[::-1]
    names = [data.GetArrayName(k) for k in range(data.GetNumberOfArrays())]
    return image, {name: support.vtk_to_numpy(data.GetArray(name)).reshape(shape) for name in names}


def test_vtk_reads_every_real_map_at_its_place(path, result, tmp_path):
    crystal = result["crystal"]
    image, maps = vtk_image(path, tmp_path)
    expected = [name for name in crystal.data_vars if crystal[name].dims == LAB and crystal[name].dtype.kind != "c"]
    assert set(maps) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(maps[name], crystal[name], err_msg=name)
        assert maps[name].dtype == (np.uint8 if crystal[name].dtype == bool else crystal[name].dtype), name
    np.testing.assert_allclose(image.GetOrigin(), [crystal[d][0] for d in "xyz"])
    np.testing.assert_allclose(image.GetSpacing(), [crystal[d][1] - crystal[d][0] for d in "xyz"])
    assert np.isnan(maps["strain"][~crystal.support.to_numpy()]).all()


def test_a_point_of_vtk_lies_where_the_crystal_says(path, result, tmp_path):
    """The volumes have unequal sides, so that x and z cannot be confused."""
    crystal = result["crystal"]
    image, _ = vtk_image(path, tmp_path)
    k, j, i = 2, 3, 5
    number = image.ComputePointId((i, j, k))
    np.testing.assert_allclose(image.GetPoint(number), [crystal.x[i], crystal.y[j], crystal.z[k]])
    np.testing.assert_array_equal(image.GetPointData().GetArray("grain").GetValue(number), crystal.grain[k, j, i])


def nxdata_groups(file):
    found = []
    file.visititems(lambda _, item: found.append(item) if item.attrs.get("NX_class") == "NXdata" else None)
    return found


def test_silx_opens_the_strain_with_its_axes_and_error(path, result):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: pip install silx")
    import silx.io

    with silx.io.open(str(path)) as file:
        shown = nxdata.get_default(file)
        assert (shown.group.name, shown.signal_dataset_name, shown.title) == ("/entry_1/crystal", "strain", shown.title)
        assert shown.is_volume
        assert shown.axes_dataset_names == list(LAB)
        np.testing.assert_array_equal(shown.signal[()], result["crystal"].strain)
        np.testing.assert_array_equal(shown.errors[()], result["crystal"].strain_error)
        for axis, dim in zip(shown.axes, LAB, strict=True):
            np.testing.assert_array_equal(axis[()], result["crystal"][dim])
            assert axis.attrs["units"] == "nm"


def test_silx_finds_no_fault_with_any_nxdata(path):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: pip install silx")
    import silx.io

    with silx.io.open(str(path)) as file:
        groups = nxdata_groups(file)
        assert {group.name.split("/")[-1] for group in groups} == {"crystal", "image_1", "data_1"}
        for group in groups:
            assert nxdata.NXdata(group).issues == [], group.name
            assert nxdata.NXdata(group).is_valid


def test_the_axes_of_the_object_are_its_own_steps(path):
    with h5py.File(path) as file:
        image = file["entry_1/image_1"]
        names = [str(name) for name in image.attrs["axes"]]
        steps = [float(np.diff(image[name][()])[0]) for name in names]
        np.testing.assert_allclose(steps, np.linalg.norm(phased().voxel_basis, axis=0))
        assert [image[name].size for name in names] == list(SHAPE)
        assert [image[name][()][n // 2] for name, n in zip(names, SHAPE, strict=True)] == [0, 0, 0]


def validated(program, path, *options):
    found = os.path.join(os.path.dirname(sys.executable), program)
    run = subprocess.run([found, "-e", *options, str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)


def test_the_base_classes_of_nexus_are_respected(path):
    pytest.importorskip("nexusformat", reason="nexusformat is not installed: pip install nexusformat")
    assert "Total number of errors: 0" in validated("nxcheck", path)
    assert validated("nxvalidate", path).strip() == 'No application definition is defined in "/entry_1"'


def test_a_result_that_also_has_a_correlation_is_valid_nxxpcs(result, tmp_path):
    """There is no definition for Bragg imaging, so that nxvalidate has something to check only beside a correlation."""
    pytest.importorskip("nexusformat", reason="nexusformat is not installed: pip install nexusformat")
    clock = np.arange(7) * 0.5
    known = {"scan": "S7", "start_time": "2024-01-01T00:00:00", "energy_kev": 9.65, "count_time_s": 0.49, "frame_time_s": 0.5}
    two_time = 1 + np.random.default_rng(1).random((2, 7, 7))
    correlation = xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), two_time, {"units": "1"}),
            "g2": (("region", "delay"), two_time[0, :2], {"units": "1"}),
            "g2_error": (("region", "delay"), two_time[1, :2], {"units": "1"}),
        },
        {name: (name, clock, {"units": "s"}) for name in ("time", "time2", "delay")} | {"q": ("region", [1.0, 2.0], {"units": "1/nm"})},
        known | {"centre_px": [8.0, -3.0], "pixel_size_m": [75e-6, 75e-6]},
    )
    xcdi.io.save({**result, "correlation": correlation}, tmp_path / "both.h5", provenance=xcdi.io.provenance("", []))
    assert "Total number of errors: 0" in validated("nxvalidate", tmp_path / "both.h5", "-p", "/entry")
    assert "Total number of errors: 0" in validated("nxcheck", tmp_path / "both.h5")


def test_cxi_finds_the_object_its_size_and_the_photon_energy_in_si_units(path, result):
    with h5py.File(path) as file:
        assert file["cxi_version"][()] == 160
        entry, image = file["entry_1"], file["entry_1/image_1"]
        assert (image["data_type"].asstr()[()], image["data_space"].asstr()[()]) == ("electron density", "real")
        assert (image["is_fft_shifted"][()], image["dimensionality"][()]) == (0, 3)
        edges = np.linalg.norm(result["object"].voxel_basis, axis=0) * 1e-9
        np.testing.assert_allclose(image["image_size"][()], (edges * SHAPE)[::-1])  # width, height, depth
        assert entry["data_1/data"] == image["data"]
        assert entry["instrument_1/source_1/energy"][()] == pytest.approx(9.65 * KEV)
        assert entry["instrument_1/detector_1/distance"][()] == 1.9
        assert (entry["instrument_1/detector_1/y_pixel_size"][()], entry["instrument_1/detector_1/x_pixel_size"][()]) == (75e-6, 55e-6)
        np.testing.assert_array_equal(entry["instrument_1/detector_1/data"][()], result["peak"].counts)
        assert entry["process_1/command"].asstr()[()] == "xcdi run bcdi_strain"


def test_what_is_not_known_is_not_written(result, tmp_path):
    unknown = result["peak"].drop_attrs().assign_attrs(energy_kev="unknown", pixel_size_m=[75e-6])
    xcdi.io.save({"peak": unknown, "object": result["object"]}, tmp_path / "r.h5", provenance={})
    with h5py.File(tmp_path / "r.h5") as file:
        assert list(file["entry_1/instrument_1"]) == ["detector_1"]
        assert list(file["entry_1/instrument_1/detector_1"]) == ["data"]
        assert "process_1" not in file["entry_1"]
        assert file["entry_1"].attrs["default"] == "image_1"


def test_a_series_shows_its_strain_over_states(result, tmp_path):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: pip install silx")
    maps = xr.concat([result["crystal"][["strain", "strain_error"]]] * 2, "state").assign_coords(state=[0, 1])
    maps["state"].attrs["units"] = ""
    xcdi.io.save({"series": maps.drop_attrs(deep=False)}, tmp_path / "r.h5", provenance={})
    with h5py.File(tmp_path / "r.h5") as file:
        shown = nxdata.get_default(file)
        assert (shown.group.name, shown.signal_dataset_name, shown.issues) == ("/entry_1/series", "strain", [])
        assert shown.axes_dataset_names == ["state", *LAB]


def test_maps_that_are_not_strain_are_shown_as_well(result, tmp_path):
    """As of a tensor: the first map there is becomes the signal."""
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: pip install silx")
    other = result["crystal"][["d_spacing", "support"]]
    xcdi.io.save({"crystal": other}, tmp_path / "r.h5", provenance={})
    with h5py.File(tmp_path / "r.h5") as file:
        shown = nxdata.get_default(file)
        assert (shown.signal_dataset_name, shown.issues) == ("d_spacing", [])


def listed(chapter="Required fields"):
    """Rows (path, dims, units) of a table of fields in docs/results.md."""
    text = DOCS.read_text(encoding="utf-8").split(f"## {chapter}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| [^|]+ \|$", text, re.MULTILINE)
    return [(path, tuple(dims.split(", ")) if dims.strip() else (), units.strip().strip('`"')) for path, dims, units in rows]


def test_every_required_field_is_there_with_its_dims_and_units(path):
    rows = listed()
    assert len(rows) > 30
    sizes = {}
    with h5py.File(path) as file:
        for place, dims, units in rows:
            where, _, attribute = place.partition("@")
            assert where in file, f"{place} is required by docs/results.md and is not in the file"
            if attribute:
                assert attribute in file[where].attrs, place
                continue
            field = file[where]
            assert field.ndim == len(dims), f"{place} has {field.ndim} dims, docs/results.md promises {dims}"
            assert field.attrs.get("units", "") == units, f"{place} is in {field.attrs.get('units')!r}, docs/results.md promises {units!r}"
            for dim, size in zip(dims, field.shape, strict=True):
                assert sizes.setdefault((field.parent.name, dim), size) == size, (
                    f"{place}: {dim} has {size} values, others of its group differ"
                )


def test_optional_fields_have_their_dims_and_units_where_they_are(path):
    with h5py.File(path) as file:
        found = [(file[place], dims, units) for place, dims, units in listed("Optional fields") if "@" not in place and place in file]
        assert len(found) >= 3
        for field, dims, units in found:
            assert (field.ndim, field.attrs["units"]) == (len(dims), units), field.name


def test_every_map_of_a_crystal_is_explained(path):
    explained = {place for chapter in ("Required fields", "Optional fields") for place, *_ in listed(chapter)}
    with h5py.File(path) as file:
        maps = {item.name for item in file["entry_1/crystal"].values() if item.ndim}
    assert maps - {"/entry_1/crystal/strain_errors"} <= explained


def test_every_field_of_the_schema_is_explained():
    explained = {place: (dims, units) for chapter in ("Required fields", "Optional fields") for place, dims, units in listed(chapter)}
    for group, schema in (("image_1", OBJECT), ("crystal", CRYSTAL)):
        for name, field in schema.items():
            place = f"/entry_1/{group}/{'data' if name == 'rho' and group == 'image_1' else name}"
            assert explained[place] == (field.dims, field.units), place


@pytest.mark.parametrize("broken", ["/entry_1/crystal/strain", "/entry_1/grains/strain", "/entry_1/image_1@grade"])
def test_a_field_that_is_missing_is_noticed(path, broken, tmp_path):
    copy = tmp_path / "broken.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        where, _, attribute = broken.partition("@")
        if attribute:
            del file[where].attrs[attribute]
        else:
            del file[where]
    with pytest.raises(AssertionError):
        test_every_required_field_is_there_with_its_dims_and_units(copy)
