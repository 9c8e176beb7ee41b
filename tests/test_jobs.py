"""Jobs: whole results or none, the same bits by any way, and nobody drags anybody down."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from scanfiles import grow

from xcdi import io
from xcdi.errors import XcdiError
from xcdi.jobs import Job, follow_scans, make_job, pipelines, run_job, run_many, watch
from xcdi.jobs.ahead import Ahead
from xcdi.jobs.bugs import why
from xcdi.jobs.job import file_name
from xcdi.jobs.lock import locked, tidy
from xcdi.jobs.making import together
from xcdi.jobs.one import open_inputs
from xcdi.jobs.origin import is_done

TOY = str(Path(__file__).with_name("toy.py"))
BEAMLINE = 'name = "toy"\nformat = "hdf5"\n[layout]\ncounts = "{scan}/counts"\nframe_time = { path = "{scan}/frame_time", units = "s" }\n'


def write_scans(path, *names, frames=11):
    rng = np.random.default_rng(0)
    with h5py.File(path, "a") as file:
        for name in names:
            file[f"{name}/counts"] = rng.poisson(3.0, (frames, 7, 5)).astype(np.uint16)
            file[f"{name}/frame_time"] = 0.1
    return path


@pytest.fixture
def night(tmp_path):
    """A folder with a file of two scans and its beamline; returns a maker of jobs on them."""
    (tmp_path / "toy.toml").write_text(BEAMLINE)
    source = write_scans(tmp_path / "night.h5", "S1", "S2")

    def job(scan, **options):
        options = {"out": tmp_path / "out", "beamline": str(tmp_path / "toy.toml")} | options
        return make_job(TOY, source, scan, **options)

    return job


def bits(path):
    """Every dataset of a result but its provenance."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return {name: value for name, value in found.items() if not name.startswith("provenance")}


def same_bits(one, two):
    one, two = bits(one), bits(two)
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_a_second_run_computes_nothing(night):
    assert run_job(night("S1")).status == "done"
    again = run_job(night("S1"))
    assert again.status == "skipped"
    assert again.path == str(night("S1").output)


@pytest.mark.parametrize("change", [{"settings": "factor = 2"}, {"redo": True}])
def test_other_settings_are_another_result(night, change):
    run_job(night("S1"))
    assert run_job(night("S1", **change)).status == "done"


def test_another_beamline_is_another_result(night, tmp_path):
    run_job(night("S1"))
    (tmp_path / "toy.toml").write_text(BEAMLINE + '[quantities]\ndistance = { value = 1.5, units = "m", source = "logbook" }\n')
    assert not is_done(night("S1"))


def test_other_frames_under_the_same_name_are_another_result(night):
    run_job(night("S1"))
    with h5py.File(night("S1").path, "r+") as file:
        file["S1/counts"][0] += 1
    assert run_job(night("S1")).status == "done"


def test_a_scan_that_lands_beside_it_changes_nothing(tmp_path):
    (tmp_path / "one.toml").write_text(BEAMLINE.replace("{scan}/", "/entry/"))
    for name in ("S1", "S10"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["entry/counts"] = np.ones((4, 7, 5), np.uint16)
        job = make_job(TOY, tmp_path, "S1", beamline=str(tmp_path / "one.toml"), out=tmp_path / "out")
        assert run_job(job).status == ("done" if name == "S1" else "skipped")


def test_a_file_that_is_no_result_is_made_anew(night):
    job = night("S1")
    Path(job.out).mkdir()
    job.output.write_text("not a result")
    assert run_job(job).status == "done"
    assert run_job(job).status == "skipped"


def test_a_bad_scan_is_named_and_leaves_no_file(night):
    outcome = run_job(night("S9"))
    assert outcome.status == "failed"
    assert "S9" in outcome.error
    assert "\n" not in outcome.error
    assert os.listdir(Path(outcome.path or night("S9").out)) == []


def test_workers_and_chunks_do_not_change_a_bit(night, tmp_path):
    for name, options, workers in (("a", {"chunk": 1}, 1), ("b", {"chunk": 7}, 2), ("c", {"chunk": 50}, 3)):
        jobs = [night(scan, out=tmp_path / name, **options) for scan in ("S1", "S2")]
        assert [outcome.status for outcome in run_many(jobs, workers=workers)] == ["done", "done"]
    for scan in ("S1", "S2"):
        assert same_bits(tmp_path / "a" / f"{scan}_toy.h5", tmp_path / "b" / f"{scan}_toy.h5")
        assert same_bits(tmp_path / "a" / f"{scan}_toy.h5", tmp_path / "c" / f"{scan}_toy.h5")


def test_a_process_that_crashes_fails_its_own_scan_only(night):
    write_scans(Path(night("S1").path), "crash")
    outcomes = {o.scan: o for o in run_many([night(scan) for scan in ("crash", "S1", "S2")], workers=2)}
    assert {scan: o.status for scan, o in outcomes.items()} == {"crash": "failed", "S1": "done", "S2": "done"}
    assert "SIGABRT" in outcomes["crash"].error
    assert not multiprocessing.active_children()


def test_stopping_early_stops_the_workers(night):
    running = run_many([night(scan, settings="pause_s = 0.2") for scan in ("S1", "S2")], workers=2)
    next(running)
    running.close()
    assert not multiprocessing.active_children()


def test_one_result_has_one_writer(night):
    job = night("S1")
    Path(job.out).mkdir()
    with locked(job.output):
        outcome = run_job(job)
    assert outcome.status == "failed"
    assert f"process {os.getpid()}" in outcome.error
    assert run_job(job).status == "done"


def test_a_lock_left_by_a_killed_process_stops_nobody(night):
    job = night("S1")
    Path(job.out).mkdir()
    job.output.with_name(f".{job.output.name}.lock").write_text("process 1 on elsewhere\n")
    assert run_job(job).status == "done"


def left_behind(result):
    """The files that a process leaves when it is killed while it writes `result`."""
    result.parent.mkdir(exist_ok=True)
    left = [result.with_name(f".{result.name}.lock"), result.with_name(f".{result.name}.7.part")]
    for file in left:
        file.write_text("")
    return left


def test_what_a_stopped_process_left_is_removed(night):
    result = night("S1").output
    left_behind(result)
    other = left_behind(night("S2").output)
    tidy(result)
    assert set(result.parent.iterdir()) == set(other)


def test_a_half_written_file_is_removed_without_its_lock_too(night):
    lock, part = left_behind(night("S1").output)
    lock.unlink()
    tidy(night("S1").output)
    assert not part.exists()


def test_the_lock_of_a_process_killed_after_its_last_word_is_removed(night):
    job = night("S1")
    assert run_job(job).status == "done"
    lock = job.output.with_name(f".{job.output.name}.lock")
    lock.write_text("")
    assert [outcome.status for outcome in run_many([job])] == ["skipped"]
    assert not lock.exists()


def test_what_another_process_is_writing_is_not_touched(night):
    result = night("S1").output
    result.parent.mkdir()
    with locked(result):
        left = left_behind(result)
        tidy(result)
        assert set(result.parent.iterdir()) == set(left)


def test_stopping_leaves_nothing_half_done_behind(night):
    jobs = [night("S1"), night("S2")]
    outcomes = run_many(jobs, workers=2)
    next(outcomes)
    left = {file for job in jobs for file in left_behind(job.output)}
    outcomes.close()
    assert not left & set(jobs[0].output.parent.iterdir())


@pytest.mark.parametrize("scan", ["../../etc/x", "a\0b", "a\nb", "..", "/abs", "ä b", "", "x" * 500])
def test_a_scan_name_stays_in_its_folder(scan):
    name = file_name(scan)
    assert name.isprintable()
    assert Path("out", name).resolve().parent == Path("out").resolve()
    assert 0 < len(name) < 150


def test_two_scans_never_share_a_file():
    assert len({file_name(scan) for scan in ("a/b", "a_b", "a b", "a.b", ".a.b")}) == 5


def test_an_experiment_needs_all_its_members():
    class Both:
        INPUTS = ("rocking", "series")

    class Names:
        rocking, series = "{scan}_rocking", "{scan}_series"

    assert together(["p_rocking", "p_series", "q_rocking", "alone"], Both, Names) == ["p"]


def test_of_results_a_pipeline_gets_the_parts_it_names(night, tmp_path):
    reader = 'READS, PARTS = "results", ("events", "boundaries")\nSettings = None\ndef run(results, *rest): ...\ndef summary(result): ...\n'
    (tmp_path / "reader.py").write_text(reader)
    parts = {name: xr.Dataset({"n": ((), k, {"units": "1"})}) for k, name in enumerate(("correlation", "events"))}
    io.save(parts, tmp_path / "one.h5", provenance={})
    job = make_job(str(tmp_path / "reader.py"), [tmp_path / "one.h5"], out=tmp_path / "out")
    ((one,),) = open_inputs(job, pipelines.find(job.pipeline), None)
    assert list(one) == ["events"]


def test_a_pipeline_without_summary_is_refused_by_name(tmp_path):
    place = tmp_path / "half.py"
    place.write_text("def run(scan): ...\n")
    with pytest.raises(XcdiError, match="no Settings and no summary"):
        make_job(str(place), tmp_path, "S1")


# --- live


@pytest.fixture
def growing(night, tmp_path):
    """A scan of 43 frames that a thread of ours is writing; and the job on it."""
    counts = np.random.default_rng(3).poisson(2.0, (43, 7, 5)).astype(np.uint16)
    writer = multiprocessing.get_context("spawn").Process(target=grow, args=(tmp_path / "live.h5", counts, 0.01))
    writer.start()
    while not (tmp_path / "live.h5").exists():  # a busy machine takes its time to begin a process
        assert writer.is_alive()
        time.sleep(0.02)
    yield make_job(TOY, tmp_path / "live.h5", "L", beamline=night("S1").beamline, out=tmp_path / "live")
    writer.join()


def test_live_equals_batch_bit_for_bit(growing, tmp_path):
    updates = list(watch(growing, block=5, poll_s=0.02, patience_s=8.0, every_s=0.0))
    assert [u.frames for u in updates] == sorted(u.frames for u in updates)
    assert updates[-1].frames == 43
    assert updates[-1].path == str(growing.output)
    batch = make_job(TOY, growing.path, "L", beamline=growing.beamline, out=tmp_path / "batch", chunk=50)
    assert run_job(batch).status == "done"
    assert same_bits(growing.output, batch.output)
    assert same_bits(growing.output, growing.output.with_name("latest.h5"))
    assert is_done(growing)


def test_stopping_live_writes_what_was_read_and_batch_redoes_it(growing):
    stop = threading.Event()
    updates = watch(growing, block=3, poll_s=0.02, patience_s=8.0, every_s=9.0, stop=stop)
    next(updates)
    stop.set()
    *_, last = updates
    assert 0 < last.frames < 43
    assert io.load(growing.output)
    while io.open_scan(growing.path, "L", growing.beamline).sizes["frame"] < 43:
        time.sleep(0.05)
    assert not is_done(growing)


def test_whole_scans_are_taken_as_they_complete(night, tmp_path):
    (tmp_path / "whole.py").write_text(Path(TOY).read_text().replace("def watch", "def _watch").replace("watch([scan]", "_watch([scan]"))
    write_scans(Path(night("S1").path), "hopeless")
    job = make_job(str(tmp_path / "whole.py"), night("S1").path, beamline=night("S1").beamline, out=tmp_path / "out")
    outcomes = list(follow_scans(job, stop=threading.Event(), poll_s=0.02, patience_s=0.3, block=5, every_s=9.0))
    assert {o.scan: o.status for o in outcomes} == {"S1": "done", "S2": "done", "hopeless": "failed"}


def test_reading_ahead_is_bounded():
    taken = []
    ahead = Ahead((taken.append(i) or i for i in range(100)), threading.Event(), most=3)
    first = next(iter(ahead))
    time.sleep(0.2)
    assert first == 0
    assert len(taken) <= 1 + 3 + 1  # given, queued, and in the reader's hand


def test_what_was_read_is_given_even_when_reading_fails():
    def source():
        yield 1
        yield 2
        raise XcdiError("the disk is gone")

    ahead = Ahead(source(), threading.Event())
    assert list(ahead) == [1, 2]
    assert str(ahead.error) == "the disk is gone"


def test_a_job_travels_between_processes_as_names_and_numbers():
    job = Job("bcdi_strain", "night.h5", "S1")
    assert all(isinstance(value, str | int | bool | tuple) for value in vars(job).values())


@pytest.mark.slow
def test_a_cluster_started_by_hand_gives_the_same_bits(night, tmp_path):
    dask = [sys.executable, "-m", "dask"]
    address = "tcp://127.0.0.1:8797"
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", "8797", "--no-dashboard"]]
    commands += 2 * [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]]
    servers = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        there = [night(scan, out=tmp_path / "cluster") for scan in ("S1", "S2", "S9")]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                outcomes = {o.scan: o.status for o in run_many(there, scheduler=address)}
                break
            except XcdiError:  # not up yet
                time.sleep(0.5)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)
    assert outcomes == {"S1": "done", "S2": "done", "S9": "failed"}
    for scan in ("S1", "S2"):
        run_job(night(scan))
        assert same_bits(night(scan).output, night(scan, out=tmp_path / "cluster").output)


def test_a_bug_whose_traceback_cannot_be_written_says_so(night, monkeypatch):
    monkeypatch.setattr("xcdi.jobs.bugs.traceback_file", lambda job: job.output.parent / "no" / "such" / "folder.txt")
    assert "its traceback could not be written" in why(ZeroDivisionError("division by zero"), night("S1"))
