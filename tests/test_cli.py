"""The command line: what it says, and the exit status it gives."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from xcdi.cli import main

TOY = str(Path(__file__).with_name("toy.py"))
BEAMLINE = 'name = "toy"\nformat = "hdf5"\n[layout]\ncounts = "{scan}/counts"\nframe_time = { path = "{scan}/frame_time", units = "s" }\n'


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Commands limit threads by the environment; other tests shall not feel it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Stand in a folder with night.h5 (scans S1, S2), toy.py and toy.toml."""
    monkeypatch.chdir(tmp_path)
    Path("toy.toml").write_text(BEAMLINE)
    Path("toy.py").write_text(Path(TOY).read_text())
    write("night.h5", S1=frames(), S2=frames())
    return tmp_path


def frames(dtype=np.uint16, n=11):
    return np.random.default_rng(0).poisson(3.0, (n, 7, 5)).astype(dtype)


def write(path, **scans):
    with h5py.File(path, "a") as file:
        for name, counts in scans.items():
            file[f"{name}/counts"] = counts
            file[f"{name}/frame_time"] = 0.1


def said(capsys):
    out, err = capsys.readouterr()
    return out.splitlines(), err.splitlines()


def run(*words):
    return main(["run", "./toy.py", *words, "--beamline", "./toy.toml"])


def start(*words):
    """The command as a process of its own."""
    code = "import sys; from xcdi.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_help_and_import_take_less_than_a_second():
    begin = time.process_time()
    done = subprocess.run([sys.executable, "-c", "from xcdi.cli import main; main(['--help'])"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("demo", "simulate", "run", "live", "check", "show", "plot", "doctor"))
    light = "import sys, xcdi, xcdi.cli; print([m for m in ('numpy', 'xarray', 'h5py', 'dask', 'matplotlib', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "heavy imports at the top make every command slow"
    assert time.process_time() - begin < 1


def test_one_line_per_scan_and_an_honest_last_line(night, capsys):
    assert run("night.h5", "--workers", "1") == 0
    out, err = said(capsys)
    assert out[0] == "toy on 2 scans of night.h5, beamline ./toy.toml, cpu"
    assert re.fullmatch(r"  S1 +\d+\.\d s  sum \d+  → out/S1_toy.h5", out[1])
    assert out[-1] == "2 done"
    assert not err


def test_some_failed_is_1_and_the_others_are_done(night, capsys):
    assert run("night.h5", "S1", "S9", "S2", "--workers", "1") == 1
    out, _ = said(capsys)
    assert re.fullmatch(r"  S9   failed  night.h5: .*'S9/counts'.*", out[2])
    assert out[-1] == "2 done, 1 failed"
    assert sorted(os.listdir("out")) == ["S1_toy.h5", "S2_toy.h5"]


def test_a_second_run_does_what_is_missing(night, capsys):
    run("night.h5", "S1", "--workers", "1")
    assert run("night.h5", "--workers", "1") == 0
    out, _ = said(capsys)
    assert out[-1] == "1 done, 1 skipped"
    assert run("night.h5", "--workers", "1", "--redo") == 0
    assert said(capsys)[0][-1] == "2 done"


def test_a_dry_run_writes_nothing(night, capsys):
    assert run("night.h5", "S1", "S9", "--dry-run") == 1
    out, _ = said(capsys)
    assert "11 frames of 7 × 5 uint16" in out[1]
    assert "cannot run" in out[2]
    assert not Path("out").exists()


# --- bad input: one line on stderr and status 2, or a named scan


def check_refusal(capsys, status, *parts):
    """One clear line, on stderr or as the line of the scan; nothing written."""
    out, err = said(capsys)
    told = err if err else [line for line in out if "failed" in line][:1]
    assert status == 2
    assert len(told) == 1, told
    assert all(part in told[0] for part in parts), told
    assert not list(Path("out").glob("*.h5")) if Path("out").is_dir() else True


def test_absent_file(night, capsys):
    check_refusal(capsys, run("none.h5"), "none.h5", "no such file")


def test_not_hdf5(night, capsys):
    Path("text.h5").write_text("hello")
    check_refusal(capsys, run("text.h5", "S1"), "text.h5", "not an HDF5 file")


def test_empty_file(night, capsys):
    Path("empty.h5").touch()
    check_refusal(capsys, run("empty.h5", "S1"), "empty.h5", "not an HDF5 file")


def test_truncated_file(night, capsys):
    whole = Path("night.h5").read_bytes()
    Path("short.h5").write_bytes(whole[: len(whole) // 2])
    check_refusal(capsys, run("short.h5", "S1"), "short.h5", "bytes")


def test_missing_external_data_file(night, capsys):
    with h5py.File("linked.h5", "w") as file:
        file["S1/counts"] = h5py.ExternalLink("gone.h5", "/data")
    check_refusal(capsys, run("linked.h5", "S1"), "gone.h5")


def test_wrong_mask_shape(night, capsys):
    with h5py.File("night.h5", "a") as file:
        file["mask"] = np.zeros((5, 7), np.uint32)
    Path("toy.toml").write_text(BEAMLINE + '[detector]\nmask = "/mask"\n')
    check_refusal(capsys, run("night.h5", "S1"), "mask", "(5, 7)", "(7, 5)")


def test_all_pixels_masked(night, capsys):
    Path("toy.toml").write_text(BEAMLINE + "[detector]\ngaps = [[0, 7, 0, 5]]\n")
    check_refusal(capsys, run("night.h5", "S1"), "no pixel of scan 'S1' can be trusted")


def test_empty_scan(night, capsys):
    write("night.h5", E=frames(n=0))
    check_refusal(capsys, run("night.h5", "E"), "'E'", "no frame")


def test_unknown_setting(night, capsys):
    check_refusal(capsys, run("night.h5", "S1", "--set", "fctor=2"), "fctor", "did you mean 'factor'?")
    Path("s.toml").write_text("fctor = 2\n")
    check_refusal(capsys, run("night.h5", "S1", "--settings", "s.toml"), "s.toml: fctor", "did you mean 'factor'?")


def test_unknown_beamline(night, capsys):
    check_refusal(capsys, main(["run", "./toy.py", "night.h5", "--beamline", "dmo"]), "no beamline 'dmo'; did you mean 'demo'?")


def test_unknown_pipeline(night, capsys):
    status = main(["run", "bcdi_strian", "night.h5", "--beamline", "demo"])
    check_refusal(capsys, status, "no pipeline 'bcdi_strian'; did you mean 'bcdi_strain'?")


def test_output_under_a_regular_file(night, capsys):
    check_refusal(capsys, run("night.h5", "--out", "night.h5/out"), "night.h5: is a file", "choose another")


def test_usage_errors_are_one_line(night, capsys):
    check_refusal(capsys, main(["run", "./toy.py"]), "run: missing argument")
    check_refusal(capsys, main(["rnu"]), "no such command 'rnu'")
    check_refusal(capsys, main(["show", "mves"]), "mves")


def test_a_gpu_that_is_not_there(night, capsys, monkeypatch):
    monkeypatch.setattr("xcdi.backend.find_spec", lambda name: None)
    check_refusal(capsys, run("night.h5", "--device", "gpu"), "CuPy is not installed", "device='cpu'")


# --- stopping


@pytest.mark.parametrize(("number", "status", "workers"), [(signal.SIGINT, 130, "2"), (signal.SIGTERM, 143, "1")])
def test_stopping_keeps_what_is_done_and_the_rest_is_done_later(night, capsys, number, status, workers):
    write("night.h5", S3=frames(), S4=frames())
    words = ["./toy.py", "night.h5", "--beamline", "./toy.toml", "--set", "pause_s=0.7", "--workers", workers]
    process = start("run", *words)
    for line in process.stdout:
        if "→" in line:
            break
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    rest, trouble = process.communicate(timeout=30)
    assert process.returncode == status, trouble
    assert "stopped: " in rest
    assert trouble == ""
    kept = len(os.listdir("out"))
    assert 1 <= kept < 4
    assert all(h5py.is_hdf5(Path("out", name)) for name in os.listdir("out"))
    assert main(["run", *words, "--workers", "1"]) == 0
    assert said(capsys)[0][-1] == f"{4 - kept} done, {kept} skipped"


def test_threads_that_do_not_stop_are_not_waited_for(night):
    text = Path("toy.py").read_text().replace("import time\n", "import time\nfrom concurrent.futures import ThreadPoolExecutor\n")
    busy = "with ThreadPoolExecutor(1) as pool:\n            pool.submit(time.sleep, 60).result()"
    Path("busy.py").write_text(text.replace("time.sleep(settings.pause_s)", busy))
    process = start("run", "./busy.py", "night.h5", "S1", "--beamline", "./toy.toml")
    process.stdout.readline()
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "what is done is written" in rest


def test_a_killed_run_is_finished_by_the_next(night, capsys):
    with h5py.File("night.h5", "a") as file:
        for i in range(3, 9):
            file.copy("S1", f"S{i}")
    words = ["./toy.py", "night.h5", "--beamline", "./toy.toml", "--set", "pause_s=0.3"]
    process = start("run", *words, "--workers", "2")
    for line in process.stdout:
        if "→" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = [name for name in os.listdir("out") if name.endswith(".h5") and not name.startswith(".")]
    assert 1 <= len(kept) < 8
    assert main(["run", *words, "--workers", "1"]) == 0
    assert said(capsys)[0][-1] == f"{8 - len(kept)} done, {len(kept)} skipped"
    assert not [name for name in os.listdir("out") if name.endswith(".lock")]


def test_stopping_live_finishes_and_writes(night):
    process = start("live", "./toy.py", "night.h5", "S1", "--beamline", "./toy.toml", "--patience", "60", "--block", "5")
    for line in process.stdout:
        if "frames" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, trouble = process.communicate(timeout=30)
    assert process.returncode == 130, trouble
    assert "stopped: 1 done" in rest
    assert {"S1_toy.h5", "latest.h5", "latest.png"} <= set(os.listdir("out"))


# --- the other commands


def test_check_reads_settings_beamline_and_scans(night, capsys):
    assert main(["check", "./toy.py", "night.h5", "S1", "--beamline", "./toy.toml"]) == 0
    assert "S1        ok  11 frames" in said(capsys)[0][-1]
    assert main(["check", "./toy.py", "night.h5", "S1", "S9", "--beamline", "./toy.toml"]) == 2
    assert "wrong" in said(capsys)[0][-1]


@pytest.mark.parametrize("subject", ["pipelines", "beamlines", "moves", "corrections"])
def test_show_lists_what_there_is_with_a_line_each(subject, capsys):
    assert main(["show", subject]) == 0
    out, _ = said(capsys)
    assert out
    assert all(len(line.split("  ", 1)) == 2 for line in out)


def test_shown_settings_can_be_read_back(night, capsys):
    assert main(["show", "settings", "./toy.py"]) == 0
    Path("s.toml").write_text(capsys.readouterr().out)
    assert run("night.h5", "S1", "--settings", "s.toml", "--workers", "1") == 0


def test_show_file_follows_no_link_out_of_it(night, capsys):
    with h5py.File("linked.h5", "w") as file:
        file["away"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["counts"] = np.zeros((2, 3), np.uint16)
        file["counts"].attrs["units"] = "1"
    assert main(["show", "file", "linked.h5"]) == 0
    assert said(capsys)[0] == ["away → /etc/passwd:/x", "counts  2 × 3 uint16  [1]"]


def test_doctor_finds_the_filters(capsys):
    assert main(["doctor"]) == 0
    out = "\n".join(said(capsys)[0])
    assert "bitshuffle yes" in out
    assert "reads back the same frames" in out
    assert "\ngpu " in out


# --- pipelines that take more than one scan, or results


PAIR = """
import toy
from xcdi.settings import Model
INPUTS = ("rocking", "series")
summary = toy.summary

class Settings(Model):
    rocking: str = "{scan}_rocking"
    series: str = "{scan}_series"

def run(rocking, series, settings, *, device="cpu", workers=1):
    assert (rocking.attrs["scan"], series.attrs["scan"]) == ("p_rocking", "p_series")
    return toy.run(series)
"""
TOTAL = """
import xarray as xr
from xcdi.settings import Model
READS = "results"

class Settings(Model):
    pass

def run(results, settings, *, device="cpu", workers=1):
    total = sum(r["object"].residual.sum() for r in results)
    return {"statistics": xr.Dataset({"n": ((), float(total), {"units": "1"})})}

def summary(result):
    return f"n {float(result['statistics'].n):.0f}"
"""


def test_an_experiment_of_two_scans_is_found_by_its_name(night, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(night))
    write("night.h5", p_rocking=frames(), p_series=frames(), q_rocking=frames())
    Path("pair.py").write_text(PAIR)
    assert main(["run", "./pair.py", "night.h5", "--beamline", "./toy.toml", "--workers", "1"]) == 0
    out, _ = said(capsys)
    assert out[0].startswith("pair on 1 scan of")
    assert "→ out/p_pair.h5" in out[1]
    check_refusal_of_scan(capsys, main(["run", "./pair.py", "night.h5", "q", "--beamline", "./toy.toml", "--workers", "1"]), "q_series")


def check_refusal_of_scan(capsys, status, part):
    out, _ = said(capsys)
    assert status == 2
    assert part in out[1]
    assert out[-1] == "0 done, 1 failed"


def test_a_pipeline_of_results_needs_no_beamline(night, capsys):
    Path("total.py").write_text(TOTAL)
    run("night.h5", "--workers", "1")
    capsys.readouterr()
    words = ["run", "./total.py", "out/S1_toy.h5", "out/S2_toy.h5", "--workers", "1"]
    assert main(words) == 0
    out, _ = said(capsys)
    assert out[0] == "total on 2 results, cpu"
    assert out[1].endswith("→ out/total.h5")
    assert main(words) == 0
    assert said(capsys)[0][-1] == "0 done, 1 skipped"
    assert run("night.h5", "S1", "--workers", "1", "--set", "factor=2") == 0
    capsys.readouterr()
    assert main(words) == 0
    assert said(capsys)[0][-1] == "1 done", "its input has changed"
    assert main(["run", "./total.py", "out/total.h5"]) == 2
    assert "both read and written" in said(capsys)[1][0]
