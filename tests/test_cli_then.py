"""``xcdi run ... --then``: scans, then what reads the results of all of them."""

import os
from pathlib import Path

import pytest
from test_cli import BEAMLINE, TOTAL, TOY, frames, said, write

from xcdi.cli import main

FACTOR = TOTAL.replace("    pass", "    factor: int = 1").replace("float(total)", "settings.factor * float(total)")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Commands limit threads by the environment; other tests shall not feel it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture(autouse=True)
def night(tmp_path, monkeypatch):
    """Stand in a folder with night.h5 (scans S1, S2), toy.py, total.py and toy.toml."""
    monkeypatch.chdir(tmp_path)
    Path("toy.toml").write_text(BEAMLINE)
    Path("toy.py").write_text(Path(TOY).read_text())
    Path("total.py").write_text(FACTOR)
    write("night.h5", S1=frames(), S2=frames())


def run(*words, then="./total.py"):
    return main(["run", "./toy.py", *words, "--beamline", "./toy.toml", "--workers", "1", "--then", then])


def total():
    """What was pooled, as the line of the second pipeline tells it."""
    return 2 * int(frames().sum())


def test_one_command_runs_the_scans_and_what_reads_their_results(capsys):
    assert run("night.h5") == 0
    out, err = said(capsys)
    assert out[0] == "toy, then total on 2 scans of night.h5, beamline ./toy.toml, cpu"
    assert out[3:5] == ["2 done", "total on 2 results, cpu"]
    assert out[5].endswith(f"n {total()}  → out/total.h5")
    assert not err


def test_results_of_before_are_pooled_with_those_of_now(capsys):
    assert main(["run", "./toy.py", "night.h5", "S1", "--beamline", "./toy.toml", "--workers", "1"]) == 0
    assert run("night.h5") == 0
    out, _ = said(capsys)
    assert "1 done, 1 skipped" in out
    assert f"n {total()}" in out[-1]


def test_a_second_run_computes_nothing_and_a_new_scan_makes_the_pool_anew(capsys):
    assert run("night.h5") == 0
    assert run("night.h5") == 0
    assert "skipped  there already" in said(capsys)[0][-1]
    write("night.h5", S3=frames())
    assert run("night.h5") == 0
    assert f"n {3 * total() // 2}" in said(capsys)[0][-1]


def test_the_pool_is_that_of_the_same_results_named_by_hand(capsys):
    assert run("night.h5") == 0
    assert main(["run", "./total.py", "out/S1_toy.h5", "out/S2_toy.h5", "--workers", "1"]) == 0
    assert said(capsys)[0][-1] == "0 done, 1 skipped"


def test_scans_that_failed_are_named_and_the_others_pooled(capsys):
    assert run("night.h5", "S1", "S9", "S2") == 1
    out, _ = said(capsys)
    assert out[-2] == "total on 2 results, without S9, cpu"
    assert f"n {total()}" in out[-1]


def test_where_every_scan_failed_there_is_one_line_and_no_pool(capsys):
    assert run("night.h5", "S8", "S9") == 2
    assert "total: no result to read" in said(capsys)[0][-1]
    assert not Path("out/total.h5").exists()


def test_a_pool_that_fails_after_its_scans_is_1(capsys):
    Path("total.py").write_text(
        FACTOR.replace("    total =", "    from xcdi.errors import XcdiError\n    raise XcdiError('no n')\n    total =")
    )
    assert run("night.h5") == 1
    assert said(capsys)[0][-1].split() == ["together", "failed", "no", "n"]


def test_settings_of_the_second_bear_its_name(capsys):
    Path("both.toml").write_text("factor = 3\n[total]\nfactor = 5\n")
    assert run("night.h5", "--settings", "both.toml", "--set", "total.factor=7") == 0
    assert f"n {7 * 3 * total()}" in said(capsys)[0][-1]


def test_a_dry_run_tells_the_second_too_and_writes_nothing(capsys):
    assert run("night.h5", "S1", "S9", "--dry-run") == 1
    out, _ = said(capsys)
    assert out[-1] == "then total on 1 result, without S9  → out/total.h5"
    assert not Path("out").exists()
    assert run("night.h5") == 0
    assert run("night.h5", "--dry-run") == 0
    assert "there already" in said(capsys)[0][-1]


@pytest.mark.parametrize(
    ("words", "then", "parts"),
    [
        (["night.h5"], "xpcs_two_time", ("takes scans", "avalanche_statistics")),
        (["night.h5"], "avalanche_statistic", ("no pipeline", "did you mean 'avalanche_statistics'?")),
        (["night.h5", "--set", "total.fctor=2"], "./total.py", ("total.fctor", "did you mean")),
    ],
)
def test_what_cannot_follow_is_said_before_anything_is_run(capsys, words, then, parts):
    assert run(*words, then=then) == 2
    out, (err,) = said(capsys)
    assert not out
    assert all(part in err for part in parts), err
    assert not Path("out").exists()


def test_results_are_not_pooled_twice(capsys):
    assert main(["run", "./total.py", "out/S1_toy.h5", "--then", "avalanche_statistics"]) == 2
    assert "takes results itself" in said(capsys)[1][0]
