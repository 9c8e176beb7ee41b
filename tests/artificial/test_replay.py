"""A series that is replayed ends as the file it was made from, and can be read meanwhile."""

import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from rawfiles import write_raw

from xcdi import io
from xcdi.artificial.profiles import profile
from xcdi.artificial.replay import Pace, replay
from xcdi.cli import main
from xcdi.errors import XcdiError

XCDI = [sys.executable, "-c", "import sys; from xcdi.cli import main; sys.exit(main())"]
BEAMLINES = {"eiger": "demo", "stack": "demo_stack", "areadetector": "demo_areadetector"}
WORDS = ["--profile", "pico", "--seed", "3", "--set", "frames=40", "--set", "events=false"]
KILLED = """
import sys
from pathlib import Path
from xcdi.artificial.replay import Pace, replay
replay(Path(sys.argv[1]), Path(sys.argv[2]), Pace(500.0, kill_after=30))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    top = tmp_path_factory.mktemp("finished")
    for name in BEAMLINES:
        (top / name).mkdir()
        write_raw(top / name, profile("pico", frames=40, format=name))
    return {name: top / name for name in BEAMLINES}


def series(folder, name):
    return io.open_scan(folder, "particle_series", BEAMLINES[name])


def replayed(finished, out, name, tell=lambda came, planned: None, **pace):
    aside = shutil.copytree(finished[name], out / ".aside")
    replay(aside, out, Pace(**{"rate_hz": 2000.0} | pace), tell)
    aside.rmdir()  # which is empty by now


def start(*words):
    return subprocess.Popen([*XCDI, *map(str, words)], stdout=subprocess.PIPE, text=True)


def wait_for(path, patience_s=30):
    until = time.monotonic() + patience_s
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.parametrize("name", BEAMLINES)
def test_a_replayed_series_is_the_finished_one(finished, tmp_path, name):
    replayed(finished, tmp_path, name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in finished[name].iterdir())
    one, other = series(tmp_path, name), series(finished[name], name)
    assert one.attrs["complete"]
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one.monitor, other.monitor)


@pytest.mark.parametrize("name", BEAMLINES)
def test_lost_frames_are_never_written_and_numbers_jump(finished, tmp_path, name):
    replayed(finished, tmp_path, name, losses=((7, 2), (30, 1)))
    one, other = series(tmp_path, name), series(finished[name], name)
    kept = np.delete(np.arange(40), [7, 8, 30])
    there = np.flatnonzero(one.frame_ok)
    assert len(there) == 37
    np.testing.assert_array_equal(one.counts[there], other.counts[kept])
    np.testing.assert_allclose(one.time[there], other.time[kept])


def test_frames_come_at_their_pace(finished, tmp_path):
    came = []
    replayed(finished, tmp_path, "stack", tell=lambda *_: came.append(time.monotonic()), rate_hz=100.0, stalls=((20, 0.5),))
    between = np.diff(came)
    assert len(came) == 40
    assert between.argmax() == 19
    assert between[19] == pytest.approx(0.5, abs=0.2)
    assert came[-1] - came[0] == pytest.approx(0.39 + 0.5, abs=0.3)


@pytest.mark.parametrize("name", ["eiger", pytest.param("areadetector", marks=pytest.mark.slow)])
def test_live_takes_every_frame_while_the_file_grows(tmp_path, name):
    out = tmp_path / "raw"
    live = ["live", "xpcs_two_time", str(out), "particle_series", "--beamline", BEAMLINES[name], "--set", "box_size=24"]
    with start("simulate", "particle", out, *WORDS, "--variant", "areadetector" * (name != "eiger"), "--live", 40) as writer:
        wait_for(out / ("particle_series_master.h5" if name == "eiger" else "particle_series.h5"))
        assert main([*live, "--patience", "8", "--block", "8", "--poll", "0.05", "--out", str(tmp_path / "live")]) == 0
        assert "40 of 40 frames" in writer.stdout.read()
    assert writer.returncode == 0
    correlation = io.load(tmp_path / "live/particle_series_xpcs_two_time.h5")["correlation"]
    assert correlation.two_time.shape == (1, 40, 40)
    assert not correlation.attrs["provisional"]


@pytest.mark.parametrize("name", BEAMLINES)
def test_a_killed_writer_leaves_the_frames_that_it_flushed(finished, tmp_path, name):
    aside = shutil.copytree(finished[name], tmp_path / ".aside")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(aside), str(tmp_path)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    parts = list(io.follow(tmp_path, "particle_series", BEAMLINES[name], block=7, poll_s=0.05, patience_s=0.3))
    counts = np.concatenate([part.counts.to_numpy() for part in parts])
    assert len(counts) == (25 if name == "eiger" else 30)  # an Eiger's data file appears when it is whole
    np.testing.assert_array_equal(counts, series(finished[name], name).counts[: len(counts)])
    assert not parts[-1].attrs["complete"]


def test_a_file_of_areadetector_can_be_read_while_it_is_written(finished, tmp_path):
    lengths = []

    def look(frame, planned):
        with h5py.File(tmp_path / "particle_series.h5", "r", swmr=True, libver="latest") as file:
            lengths.append((len(file["entry/data/data"]), len(file["entry/instrument/NDAttributes/NDArrayTimeStamp"])))

    replayed(finished, tmp_path, "areadetector", tell=look)
    assert lengths == [(k + 1, k + 1) for k in range(40)]


def test_a_folder_without_a_series_cannot_be_replayed(tmp_path):
    (tmp_path / "aside").mkdir()
    with pytest.raises(XcdiError, match="leave out --live"):
        replay(tmp_path / "aside", tmp_path, Pace(1.0))


def test_ctrl_c_leaves_no_half_file(tmp_path):
    with start("simulate", "particle", tmp_path, *WORDS, "--variant", "stack", "--live", 10) as writer:
        wait_for(tmp_path / "particle_series.h5")
        time.sleep(0.3)
        writer.send_signal(signal.SIGINT)
        assert writer.wait(30) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.tif", "particle_rocking.h5", "truth.h5"]


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    assert main(["simulate", "particle", str(tmp_path), *WORDS, "--variant", "hole,dim-0.3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    with h5py.File(tmp_path / "truth.h5") as file:
        lost = len(file["artifacts/lost"])
        assert b'"mean_count": 0.3' in file["config"][()] or b'"mean_count":0.3' in file["config"][()]
    assert lines.pop() == "read it with --beamline demo"
    assert [line.split()[0].rpartition("/")[2] for line in lines] == sorted(
        ["flat.tif", "particle_rocking_master.h5", "particle_series_master.h5", "truth.h5"]
    )
    assert f"{40 - lost} frames" in lines[2]
    assert lines[2].endswith("MB")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "grians=3"], "did you mean 'grains'"),
        (["--set", "grains"], "expected key=value"),
        (["--variant", "dim"], "no variant 'dim'; did you mean"),
        (["--stall", "3:4"], "add --live RATE"),
        (["--live", "5", "--stall", "3"], "expected FRAME:SECONDS"),
        (["--live", "5", "--lose", "3:1.5"], "expected FRAME:COUNT"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_simulated_is_told(tmp_path, capsys, words, message):
    assert main(["simulate", "particle", str(tmp_path / "out"), "--profile", "pico", *words]) == 2
    assert message in capsys.readouterr().err


def test_variants_are_listed_with_what_they_set(capsys):
    assert main(["show", "variants"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["particle", "dim-0.3", "mean_count=0.3"] in [line.split() for line in lines]
    assert {line.split()[0] for line in lines} == {"particle", "speckle", "catalogue", "crystal"}
    assert lines[0].startswith("particle bare")


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("particle", ["--stall", "1000:1"], "frame 1000"),
        ("particle", ["--kill-after", "100"], "frame 99"),
        ("particle", ["--stall", "3:inf"], "not infinity"),
        ("crystal", [], "a crystal has no series"),
    ],
)
def test_a_fault_that_cannot_happen_is_told(name, words, said, tmp_path, capsys):
    out = tmp_path / "raw"
    assert main(["simulate", name, str(out), "--profile", "pico", "--live", "1000", *words]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists() or not list(out.iterdir())


def test_a_series_is_not_written_over_another(tmp_path, capsys):
    assert main(["simulate", "particle", str(tmp_path), *WORDS]) == 0
    before = (tmp_path / "truth.h5").read_bytes()
    assert main(["simulate", "particle", str(tmp_path), *WORDS, "--seed", "9", "--live", "1000"]) == 2
    assert "needs a folder without a series" in capsys.readouterr().err
    assert (tmp_path / "truth.h5").read_bytes() == before
