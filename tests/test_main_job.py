"""The main job on simulated raw files: the same bits live and in batch, for any chunk, worker count and scheduler."""

import subprocess
import sys
import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from distributed import Client

from xcdi import artificial
from xcdi.cli import main

BEAMLINE = """
name = "stack"
format = "hdf5"
[layout]
counts = "/entry/counts"
time = { path = "/entry/time", units = "s" }
frames_expected = { value = 60, units = "1", source = "the experiment" }
"""
XCDI = [sys.executable, "-c", "import sys; from xcdi.cli import main; sys.exit(main())"]
QUICK = ["--set", "imaging.recipe.starts=3", "--set", "imaging.recipe.anneal_length=20"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """One small experiment as raw detector files."""
    return artificial.simulate("particle", tmp_path_factory.mktemp("main") / "raw", profile="pico", seed=3)


def contents(path):
    """Every dataset of a result but where it comes from."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return {name: value for name, value in found.items() if not name.startswith(("provenance/", "xcdi/"))}


def assert_same_bits(one, other):
    one, other = contents(one), contents(other)
    assert one.keys() == other.keys()
    different = [name for name in one if np.asarray(one[name]).tobytes() != np.asarray(other[name]).tobytes()]
    assert not [name for name in different if np.asarray(one[name]).dtype != object or (one[name] != other[name]).any()]


@pytest.fixture(scope="module")
def one_worker(raw, tmp_path_factory):
    """Result of one process that reads 50 frames at a time."""
    out = tmp_path_factory.mktemp("one_worker")
    command = ["run", "superlattice", str(raw), "--beamline", "demo", *QUICK, "--chunk", "50", "--workers", "1", "--out", str(out)]
    assert main(command) == 0
    return out / "particle_superlattice.h5"


@pytest.mark.parametrize("options", [["--chunk", "7"], ["--workers", "2"]], ids=" ".join)
def test_neither_chunks_nor_workers_change_a_bit(raw, one_worker, tmp_path, options):
    assert main(["run", "superlattice", str(raw), "--beamline", "demo", *QUICK, "--workers", "1", *options, "--out", str(tmp_path)]) == 0
    assert_same_bits(one_worker, tmp_path / "particle_superlattice.h5")


def write_frame_by_frame(path, frames, pause_s):
    """A detector that appends one frame at a time and lets others read (SWMR)."""
    with h5py.File(path, "w", libver="latest") as file:
        shape = frames.shape[1:]
        counts = file.create_dataset("entry/counts", (0, *shape), frames.dtype, maxshape=(None, *shape), chunks=(1, *shape))
        times = file.create_dataset("entry/time", (0,), "f8", maxshape=(None,), chunks=(64,))
        file.swmr_mode = True
        for k, frame in enumerate(frames):
            counts.resize(k + 1, 0)
            times.resize(k + 1, 0)
            counts[k], times[k] = frame, 0.5 * k
            counts.flush()
            times.flush()
            time.sleep(pause_s)


@pytest.mark.parametrize("normalisation", [pytest.param("N1", marks=pytest.mark.slow), "N4"])
def test_live_equals_batch_while_the_file_is_written(raw, tmp_path, normalisation):
    with h5py.File(raw / "particle_series_master.h5") as master:
        frames = np.concatenate([data[()] for data in master["entry/data"].values()])
    (tmp_path / "stack.toml").write_text(BEAMLINE.replace("60", str(len(frames))))
    options = ["--beamline", str(tmp_path / "stack.toml"), "--set", f"normalisation={normalisation}", "--set", "box_size=24"]
    command = [*XCDI, "live", "xpcs_two_time", str(tmp_path / "growing.h5"), *options]
    pace = ["--block", "7", "--patience", "5", "--every", "0.5"]
    live = subprocess.Popen([*command, *pace, "--out", str(tmp_path / "live")])
    write_frame_by_frame(tmp_path / "growing.h5", frames, pause_s=0.05)
    assert live.wait(60) == 0
    assert main(["run", "xpcs_two_time", str(tmp_path / "growing.h5"), *options, "--out", str(tmp_path / "batch")]) == 0
    assert_same_bits(tmp_path / "live/growing_xpcs_two_time.h5", tmp_path / "batch/growing_xpcs_two_time.h5")
    assert (tmp_path / "live/latest.png").stat().st_size > 1000


@pytest.mark.parametrize("pipeline", ["bcdi_strain", "xpcs_two_time"])
@pytest.mark.parametrize(
    ("value", "words"), [(-3.0, ("negative counts",)), (np.nan, ("trustworthy", "no photon"))], ids=["negative", "all NaN"]
)
def test_frames_that_no_detector_counts_give_one_line(tmp_path, capsys, pipeline, value, words):
    rng = np.random.default_rng(1)
    frames = rng.poisson(5, (60, 32, 32)).astype("f4")
    frames[3 if value < 0 else slice(None)] = value
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["entry/counts"], file["entry/time"] = frames, 0.5 * np.arange(60)
    (tmp_path / "stack.toml").write_text(BEAMLINE)
    options = ["--beamline", str(tmp_path / "stack.toml"), "--out", str(tmp_path / "out")]
    assert main(["run", pipeline, str(tmp_path / "stack.h5"), *options]) == 2
    printed = [line for line in "".join(capsys.readouterr()).splitlines() if "failed" in line or "stack.h5" in line]
    assert any(word in line for line in printed for word in words), printed
    assert not list(tmp_path.glob("out/*.h5"))


@contextmanager
def cluster(folder):
    """A scheduler and two workers started by hand on loopback."""
    address = "tcp://127.0.0.1:18786"
    python = [sys.executable, "-m"]
    begin = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "18786", "--no-dashboard"]
    work = [*python, "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    processes = [subprocess.Popen(begin, **quiet), subprocess.Popen([*work, "--host", "127.0.0.1"], **quiet)]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_a_cluster_gives_the_bits_of_one_process(raw, tmp_path):
    common = ["run", "superlattice", str(raw), "--beamline", "demo", *QUICK]
    subprocess.run([*XCDI, *common, "--workers", "1", "--out", str(tmp_path / "here")], check=True)  # with BLAS threads as xcdi sets them
    with cluster(tmp_path) as address:
        assert main([*common, "--scheduler", address, "--out", str(tmp_path / "there")]) == 0
    assert_same_bits(tmp_path / "here/particle_superlattice.h5", tmp_path / "there/particle_superlattice.h5")
