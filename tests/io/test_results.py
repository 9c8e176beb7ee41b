"""Results: load(save(r)) = r; the file is whole or absent; other programs can read it."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import xcdi.io
from xcdi.errors import XcdiError
from xcdi.io.record import decode_value, encode_value

KEYS = ["peak", "object", "crystal", "grains", "boundaries", "correlation", "events", "statistics"]
NAMES = st.sampled_from(
    ["rho", "data", "two_time", "g2", "g2_error", "frame_sum", "time", "delay", "x", "strain", "image_1", "a/b", "µ", "two words", "."]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
SMALL_ARRAYS = arrays.arrays(st.sampled_from(["i8", "f4", "c8", "?", "<U3"]), (2, 3), elements=None)
ATTRS = st.recursive(
    SCALARS | SMALL_ARRAYS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=6
)
DTYPES = ["i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16", "?", "<U4", "S3", "M8[ns]", "m8[s]", ">f4"]


@st.composite
def datasets(draw):
    """Any labelled data: odd names, all types, coordinates of every kind."""
    sizes = {dim: draw(st.integers(0, 3)) for dim in ("region", "delay", "time", "z")}
    variables = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        dims = (name,) if name in sizes else tuple(draw(st.permutations(list(sizes)))[: draw(st.integers(0, 3))])
        dtype = draw(st.sampled_from(["i4", "f8", "<U4"] if name in sizes else DTYPES))
        values = draw(arrays.arrays(dtype, [sizes[dim] for dim in dims], elements=TEXT.map(lambda t: t[:4]) if dtype == "<U4" else None))
        variables[name] = (dims, values, draw(st.dictionaries(TEXT, ATTRS, max_size=3)) | {"units": "nm"})
    ds = xr.Dataset(variables, attrs=draw(st.dictionaries(TEXT, ATTRS, max_size=3)))
    return ds.set_coords([name for name in variables if name not in ds.coords and draw(st.booleans())])


def equal(a, b):
    """Whether two attributes are the same in value and in type, NaN being itself."""
    return repr(encode_value(a)) == repr(encode_value(b)) and type(a) is type(b)


def assert_same(found, ds):
    assert list(found.variables) == list(ds.variables)
    assert set(found.coords) == set(ds.coords)
    assert set(found.xindexes) == set(ds.xindexes)
    assert equal(found.attrs, ds.attrs)
    for name in ds.variables:
        assert found[name].dims == ds[name].dims
        assert found[name].dtype == ds[name].dtype
        np.testing.assert_array_equal(found[name].to_numpy(), ds[name].to_numpy())
        assert equal(found[name].attrs, ds[name].attrs)


@given(st.dictionaries(st.sampled_from([*KEYS, "else"]), datasets(), max_size=3))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_was_saved_is_loaded(tmp_path, result):
    xcdi.io.save(result, tmp_path / "r.h5", provenance={})
    found = xcdi.io.load(tmp_path / "r.h5")
    assert list(found) == list(result)
    for key in result:
        assert_same(found[key], result[key])


@given(ATTRS)
@settings(max_examples=100, deadline=None)
def test_attributes_survive_as_text(value):
    assert equal(decode_value(encode_value(value)), value)


def lab(n=7):
    z, y, x = (np.arange(m, dtype=float) * 5 for m in (n, n + 2, n + 4))
    shape, rng = (n, n + 2, n + 4), np.random.default_rng(0)
    maps = {name: (("z", "y", "x"), rng.normal(size=shape).astype("f4"), {"units": u}) for name, u in (("strain", "1"), ("phase", "rad"))}
    maps["support"] = (("z", "y", "x"), rng.random(shape) > 0.5, {"units": ""})
    return xr.Dataset(maps, {name: (name, v, {"units": "nm"}) for name, v in (("z", z), ("y", y), ("x", x))})


def phased(n=6):
    rho = np.exp(1j * np.arange(n**3).reshape(n, n, n)).astype("c8")
    return xr.Dataset({"rho": (("z", "y", "x"), rho, {"units": "1"}), "voxel_basis": (("axis", "index"), 4.0 * np.eye(3), {"units": "nm"})})


def correlated(t=12):
    time = {"units": "s"}
    clock = np.arange(t) * 0.5
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), 1 + rng.random((2, t, t)), {"units": "1"}),
            "g2": (("region", "delay"), 1 + rng.random((2, t)), {"units": "1"}),
            "g2_error": (("region", "delay"), rng.random((2, t)), {"units": "1"}),
            "frame_sum": ("time", rng.random(t), {"units": "1"}),
        },
        {
            "time": ("time", clock, time),
            "time2": ("time2", clock, time),
            "delay": ("delay", clock, time),
            "q": ("region", [1.0, 2.0], {"units": "1/nm"}),
        },
        {"scan": "S012", "start_time": "2024-01-01T00:00:00", "energy_kev": 9.65, "count_time_s": 0.49, "frame_time_s": 0.5}
        | {"centre_px": [8.0, -3.0], "pixel_size_m": [75e-6, 75e-6], "distance_m": 1.9},
    )


def events():
    return xr.Dataset(
        {
            "time": ("event", [1.0, 2.5], {"units": "s"}),
            "drop": ("event", [0.1, 0.2], {"units": "1"}),
            "flags": ("event", ["", "double"], {"units": ""}),
        }
    )


@pytest.fixture
def everything(tmp_path):
    result = {"object": phased(), "crystal": lab(), "correlation": correlated(), "events": events()}
    xcdi.io.save(result, tmp_path / "all.h5", provenance=xcdi.io.provenance("a = 1\n", [], seed=3, seconds=1.5))
    return tmp_path / "all.h5"


def test_the_fixed_places(everything):
    with h5py.File(everything) as file:
        np.testing.assert_array_equal(file["/entry_1/image_1/data"][()], phased().rho)
        assert file["/entry_1/image_1/data"].dtype == np.dtype("c8")
        np.testing.assert_array_equal(file["/entry_1/strain"][()], lab().strain)
        assert file["/entry_1/strain"] == file["/entry_1/crystal/strain"] == file["/VTKHDF/PointData/strain"]
        np.testing.assert_array_equal(file["/entry/twotime/two_time_corr_func"][()], correlated().two_time)
        np.testing.assert_array_equal(file["/entry/data/g2"][()], correlated().g2.T)
        np.testing.assert_array_equal(file["/entry/events/drop"][()], [0.1, 0.2])
        np.testing.assert_array_equal(file["/xpcs/multitau/delay_list"][()], np.arange(12))
        assert file["/cxi_version"][()] == 160


def test_every_array_says_its_unit(everything):
    lacking = []
    labels = ("axis", "data_type", "data_space")
    with h5py.File(everything) as file:
        for group in ("entry/twotime", "entry/data", "entry/events", "entry_1/crystal", "entry_1/image_1", "entry/instrument/detector_1"):
            lacking += [d.name for d in file[group].values() if d.shape and "units" not in d.attrs and d.name.split("/")[-1] not in labels]
    assert lacking == []


def test_vtk_finds_an_image(everything):
    with h5py.File(everything) as file:
        vtk = file["VTKHDF"].attrs
        assert vtk["Type"] == b"ImageData"
        assert vtk["WholeExtent"].tolist() == [0, 10, 0, 8, 0, 6]
        assert vtk["Spacing"].tolist() == [5.0, 5.0, 5.0]


def validated(path):
    run = subprocess.run([os.path.join(os.path.dirname(sys.executable), "nxvalidate"), "-e", str(path)], capture_output=True, text=True)
    return run.stdout


def test_a_correlation_is_valid_nxxpcs(tmp_path):
    pytest.importorskip("nexusformat")
    xcdi.io.save({"correlation": correlated(), "events": events()}, tmp_path / "c.h5", provenance=xcdi.io.provenance("", []))
    report = validated(tmp_path / "c.h5")
    assert "Application Definition: NXxpcs" in report
    assert "Total number of errors: 0" in report


def test_a_correlation_that_lacks_numbers_claims_nothing(tmp_path):
    ds = correlated()
    del ds.attrs["energy_kev"]
    xcdi.io.save({"correlation": ds}, tmp_path / "c.h5", provenance={})
    with h5py.File(tmp_path / "c.h5") as file:
        assert "definition" not in file["entry"]
        assert file["entry"].attrs["not_NXxpcs_for_lack_of"] == "energy_kev"


def test_the_same_result_is_the_same_bytes_but_for_its_provenance(tmp_path):
    for name in ("a.h5", "b.h5"):
        xcdi.io.save({"crystal": lab(40), "correlation": correlated()}, tmp_path / name, provenance={})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_provenance_says_where_a_result_comes_from(eiger, tmp_path):
    made = xcdi.io.provenance("beta = 0.9\n", [eiger.master], device="cpu", workers=2, seed=7, seconds=1.5, pipeline="bcdi_strain")
    xcdi.io.save({"crystal": lab()}, tmp_path / "r.h5", provenance=made)
    assert xcdi.io.settings_of(tmp_path / "r.h5") == "beta = 0.9\n"
    with h5py.File(tmp_path / "r.h5") as file:
        group = file["provenance"]
        assert [os.path.basename(p) for p in group["inputs/path"].asstr()[()]][:2] == ["S1_master.h5", "S1_data_000001.h5"]
        assert group["inputs/bytes"][0] == eiger.master.stat().st_size
        assert (group["seed"][()], group["workers"][()], group["seconds"].attrs["units"]) == (7, 2, "s")
        assert group["libraries/numpy"].asstr()[()] == np.__version__


def test_provenance_reads_back_as_python_values(eiger, tmp_path):
    made = xcdi.io.provenance("a = 1\n", [eiger.master], notes={"scan": "S1", "frames": [11], "complete": True, "beamline": ""})
    xcdi.io.save({"crystal": lab()}, tmp_path / "r.h5", provenance=made)
    found = xcdi.io.provenance_of(tmp_path / "r.h5")
    assert found.pop("inputs") == {key: [row[key] for row in made["inputs"]] for key in ("path", "bytes", "modified")}
    assert found == {key: value for key, value in made.items() if key != "inputs"}


def test_no_whole_result_has_no_settings(tmp_path):
    (tmp_path / "half.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    h5py.File(tmp_path / "other.h5", "w").close()
    assert [xcdi.io.settings_of(tmp_path / name) for name in ("none.h5", "half.h5", "other.h5")] == [None] * 3
    with pytest.raises(XcdiError, match="holds no result of xcdi"):
        xcdi.io.load(tmp_path / "other.h5")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    xcdi.io.save({"crystal": lab()}, tmp_path / "r.h5", provenance={})
    before = (tmp_path / "r.h5").read_bytes()
    bad = lab().assign(odd=("z", np.array([object()] * 7)))
    with pytest.raises(XcdiError, match=r"crystal.odd: values of type object cannot be stored"):
        xcdi.io.save({"crystal": bad}, tmp_path / "r.h5", provenance={})
    assert (tmp_path / "r.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_a_folder_that_is_a_file_is_said_in_one_line(tmp_path):
    (tmp_path / "out").write_text("")
    for path in (tmp_path / "out" / "r.h5", tmp_path / "out" / "deeper" / "r.h5", tmp_path):
        with pytest.raises(XcdiError) as caught:
            xcdi.io.save({"crystal": lab()}, path, provenance={})
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xcdi.io.results._sync", full)
    with pytest.raises(XcdiError, match=r"the disk is full, \d+ bytes are free"):
        xcdi.io.save({"crystal": lab()}, tmp_path / "r.h5", provenance={})
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, numpy as np, xarray as xr, xcdi.io
from pathlib import Path
ds = xr.Dataset({"strain": (("z", "y", "x"), np.random.default_rng(0).random((60, 60, 60)))})
print("ready", flush=True)
for i in range(1000):
    xcdi.io.save({"crystal": ds.assign_attrs(i=i)}, sys.argv[1], provenance={})
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "r.h5"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        while not path.exists():
            assert process.poll() is None
        for _ in range(20):
            assert xcdi.io.load(path)["crystal"].strain.shape == (60, 60, 60)
        process.kill()
    assert xcdi.io.load(path)["crystal"].strain.shape == (60, 60, 60)
