"""What events cannot be made of: one line that says what is missing, exit status 2, nothing half written."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import superlattice

from xcdi import io
from xcdi.cli import main

BEAMLINE = """
name = "here"
format = "hdf5"
[layout]
counts = "/entry/counts"
{time}
[motors]
omega = {{ path = "/entry/omega", units = "deg" }}
[geometry]
sample = [{{ motor = "omega", axis = "y+" }}]
columns = "x+"
rows = "y+"
"""
TIME = 'time = { path = "/entry/time", units = "s" }'
FRAMES = 61


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Stand in a folder with a rocking scan and a series of one particle, p, and their beamline; imaging is not reached."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    Path("here.toml").write_text(BEAMLINE.format(time=TIME))
    write("p_rocking.h5", 11, np.linspace(-1, 1, 11))
    write("p_series.h5", FRAMES)
    monkeypatch.setattr(superlattice, "image", lambda *args, **options: pytest.fail("the crystal was imaged first"))


def write(path, frames, omega=0.0, **datasets):
    """One scan of still speckles."""
    rng = np.random.default_rng(1)
    mean = rng.exponential(3.0, (19, 23))
    with h5py.File(path, "w") as file:
        file["entry/counts"] = rng.poisson(mean, (frames, 19, 23)).astype(np.uint16)
        file["entry/time"], file["entry/omega"] = 0.5 * np.arange(frames), omega
        for name, values in datasets.items():
            del file[f"entry/{name}"]
            file[f"entry/{name}"] = values


def run(capsys, pipeline="superlattice", *words):
    """Exit status of the command, and the line that it says of what is wrong."""
    box = "correlation.box=[0, 19, 0, 23]" if pipeline == "superlattice" else "seed=0"
    status = main(["run", pipeline, ".", "--beamline", "./here.toml", "--workers", "1", "--set", box, *words])
    out, err = capsys.readouterr()
    (line,) = [line for line in (out + err).splitlines() if "failed  " in line or line.startswith("xcdi:")]
    return status, line


def nothing_written():
    return not [name for name in os.listdir("out") if not name.startswith("out")] if Path("out").is_dir() else True


@pytest.mark.parametrize("time", ["", 'frame_time = { path = "/entry/frame_time", units = "s" }'], ids=["no place", "not in the file"])
def test_without_frame_times_it_says_where_to_give_them(capsys, time):
    Path("here.toml").write_text(BEAMLINE.format(time=time))
    status, line = run(capsys)
    assert status == 2
    assert all(word in line for word in ("'p_series'", "no frame times", "'here'", "frame_time"))
    assert nothing_written()


def test_a_dry_run_misses_the_times_too(capsys):
    Path("here.toml").write_text(BEAMLINE.format(time=""))
    assert main(["run", "superlattice", ".", "--beamline", "./here.toml", "--dry-run"]) == 2


@pytest.mark.filterwarnings("ignore:.*times do not rise")
def test_times_that_do_not_rise_are_none(capsys):
    write("p_series.h5", FRAMES, time=np.zeros(FRAMES))
    status, line = run(capsys)
    assert status == 2
    assert "no frame times" in line
    assert nothing_written()


@pytest.mark.parametrize("frames", [3, 23])
def test_a_series_shorter_than_two_windows_says_how_many_frames_it_needs(capsys, frames):
    write("p_series.h5", frames)
    status, line = run(capsys)
    assert status == 2
    assert str(frames) in line
    assert "window" in line
    assert "54" in line, "4 windows of 12 frames and 6"
    assert nothing_written()


def test_a_series_turned_by_no_motor_of_the_rocking_scan_is_refused(capsys, monkeypatch):
    peak = xr.Dataset({"rocking": ("frame", np.linspace(-1, 1, 11))}, attrs={"rocking_motor": "chi"})
    monkeypatch.setattr(superlattice, "image", lambda *args, **options: {"peak": peak})
    status, line = run(capsys)
    assert status == 2
    assert "no motor 'chi'" in line
    assert nothing_written()


SHAPE, VOXEL = (13, 31, 37), 20.0


def imaged(seed):
    """What imaging gives of a particle of two grains; every seed is another one. And its pattern."""
    rng = np.random.default_rng(seed)
    label = np.zeros(SHAPE, int)
    label[3:10, 9:22, 11:18], label[3:10, 9:22, 18:26] = 1, 2
    index = np.indices(SHAPE)
    rho = sum((label == k) * np.exp(1j * (np.tensordot(rng.uniform(-0.5, 0.5, 3), index, 1) + rng.uniform(0, 6))) for k in (1, 2))
    places = {dim: (dim, VOXEL * (np.arange(n) - n // 2), {"units": "nm"}) for dim, n in zip("zyx", SHAPE, strict=True)}
    attrs = {"grade": "good", "box": json.dumps({"frame": [0, 13], "y": [0, 31], "x": [0, 37]})}
    phased = {
        "rho": (("z", "y", "x"), rho.astype(np.complex64), {"units": "1"}),
        "voxel_basis": (("axis", "index"), VOXEL * np.eye(3)[::-1], {"units": "nm"}),
    }
    turns = [rho * np.exp(2j * np.pi * step * (index[0] - 6) / 13) for step in range(-6, 7)]
    counts = np.abs(np.fft.fftshift(np.fft.fft2([turn.sum(axis=0) for turn in turns]), axes=(1, 2))) ** 2
    peak = {
        "counts": (("frame", "y", "x"), counts, {"units": "1"}),
        "valid": (("frame", "y", "x"), np.ones(SHAPE, bool), {"units": ""}),
        "rocking": ("frame", np.linspace(-1, 1, 13), {"units": "deg"}),
    }
    parts = {
        "peak": xr.Dataset(peak, attrs={"rocking_motor": "omega", "box": attrs["box"]}),
        "object": xr.Dataset(phased, attrs=attrs),
        "crystal": xr.Dataset({"grain": (("z", "y", "x"), label.astype(np.int16), {"units": ""})}, places),
        "boundaries": xr.Dataset({"i": ("boundary", [1]), "j": ("boundary", [2]), "area_nm2": ("boundary", [1e4])}),
    }
    return parts, np.abs(np.fft.fftshift(np.fft.fft2(rho.sum(axis=0)))) ** 2


def test_on_a_crystal_of_another_particle_no_event_is_placed_and_one_line_says_so(capsys, monkeypatch):
    pattern = imaged(1)[1]
    slipped = pattern * np.where(np.arange(37) < 18, 1.6, 0.6)
    mean = np.where((np.arange(FRAMES) < 30)[:, None, None], pattern, slipped) * 3 / pattern.mean()
    write("p_series.h5", FRAMES, counts=np.random.default_rng(2).poisson(mean).astype(np.uint16))
    other = imaged(7)[0]
    other["object"].attrs["agreement"] = 0.97
    monkeypatch.setattr(superlattice, "image", lambda *args, **options: other | {"grains": xr.Dataset({"volume": ("grain", [1.0, 1.0])})})
    monkeypatch.setattr(superlattice.strain, "told", lambda *args: "")
    box = ("--set", "correlation.box=[0, 31, 0, 37]", "--workers", "1")
    assert main(["run", "superlattice", ".", "--beamline", "./here.toml", *box]) == 0
    said = capsys.readouterr().out
    assert "no boundary named" in said
    (line,) = [line for line in said.splitlines() if "of the same particle" in line]
    assert "expected 0.9 or more" in line
    events = io.load("out/p_superlattice.h5")["events"]
    assert events.sizes["event"] == 1, "what was found is kept"
    assert "boundary" not in events


def catalogue(path, count):
    """A result of `count` events."""
    values = {"time": np.arange(count) * 3.0, "drop": np.full(count, 0.1), "drop_error": np.full(count, 0.01)}
    columns = {name: ("event", value, {"units": "s" if name == "time" else "1"}) for name, value in values.items()}
    flags = ("event", np.array([""] * count, dtype="U1"), {"units": ""})
    events = xr.Dataset({**columns, "frame": ("event", np.arange(count), {"units": "1"}), "flags": flags})
    io.save({"events": events.assign_attrs(duration_s=500.0, completeness=0.02)}, path, provenance={})


@pytest.mark.parametrize("count", [0, 1, 17])
def test_below_the_least_number_there_are_counts_and_rates_only(capsys, count):
    catalogue("few.h5", count)
    assert main(["run", "avalanche_statistics", "few.h5", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert f"{count} event" in said
    assert "1/s" in said
    assert "an exponent needs 50" in said
    found = io.load("out/avalanche_statistics.h5")["statistics"]
    assert int(found.n_all) == count
    assert float(found.rate) == pytest.approx(count / 500)
    assert not {"exponent", "p_exponential", "omori_p", "duration_exponent", "shape"} & set(found.variables)


def test_results_without_events_are_named_as_such(capsys):
    io.save({"correlation": xr.Dataset({"g2": (("region", "delay"), np.ones((1, 3)), {"units": "1"})})}, "other.h5", provenance={})
    status = main(["run", "avalanche_statistics", "other.h5", "--workers", "1"])
    assert status == 2
    assert "holds events" in capsys.readouterr().out


def test_one_series_in_two_results_counts_once(capsys):
    for name in ("one.h5", "two.h5"):
        catalogue(name, 17)
    assert main(["run", "avalanche_statistics", "one.h5", "two.h5", "--workers", "1"]) == 0
    assert "1 result of a series that another result holds already" in capsys.readouterr().out
    assert int(io.load("out/avalanche_statistics.h5")["statistics"].n_all) == 17
