"""The acceptance table judges as it says: every row has its bar, and made-up figures pass and fail where they should."""

import json
import subprocess
from pathlib import Path

import acceptance
import acceptance_report as report
import acceptance_series
import acceptance_statistics
import acceptance_units as units
import numpy as np
import pytest
from acceptance_cases import CASES, STATISTICS, case
from acceptance_rows import ROWS
from acceptance_verdict import at_least, at_most, judged, within

from xcdi.artificial.profiles import profile
from xcdi.artificial.variants import variant

IMAGING = {"overlap": 0.97, "agreement": 0.95, "shape_overlap": 0.95, "n_good": 6, "starts": 8, "grade": "good", "statistics": True}
TRUE = {"frame": [100, 200], "kind": ["main", "main"], "drop_N3": [0.2, 0.2], "drop_N5": [0.2, 0.2], "fraction": [0.1, 0.1]}


def row(stage, test=""):
    return next(row for row in ROWS if row.stage == stage and test in row.test)


def write(work, name, seed, found, *, version="v", errors=()):
    one = case(name)
    unit = {"case": one.as_dict(), "seed": seed, "version": version, "seconds": 1.0, "errors": list(errors), "found": found}
    units.place(work, one, seed).write_text(json.dumps(unit))


def write_all(work, name, found, **options):
    for seed in range(1, case(name).seeds + 1):
        write(work, name, seed, found, **options)


def detected(frames, flags=None, true=TRUE):
    flags = flags or [""] * len(frames)
    found = {"frame": frames, "flags": flags, "drop": [0.2] * len(frames), "brighter": [0.0] * len(frames)}
    return {"events": {"found": found, "true": true, "frames": 300}}


def test_every_row_has_a_name_of_its_own_a_bar_and_a_source():
    names = [(row.stage, row.test) for row in ROWS]
    assert len(set(names)) == len(names)
    for one in ROWS:
        assert all((one.stage, one.test, one.bar))
        assert bool(one.judge and one.cases) != bool(one.needs), f"{one.stage}, {one.test}: expected a judge with cases, or what it needs"


def test_every_case_feeds_a_row_and_has_measures_that_exist():
    assert {name for one in ROWS for name in one.cases} == {one.name for one in CASES}
    assert len({one.name for one in CASES}) == len(CASES)
    assert {name for one in CASES for name in one.measures} <= set(units.MEASURES)


def test_every_function_of_the_statistics_is_a_case():
    assert {function.__name__ for function in acceptance_statistics.ROWS} == set(STATISTICS)


@pytest.mark.parametrize(("cc", "passed"), [(0.97, True), (0.94, False), (float("nan"), False)])
def test_one_seed_below_the_bar_fails_the_row(tmp_path, cc, passed):
    for seed in range(1, 6):
        write(tmp_path, "easy", seed, {"imaging": IMAGING | {"overlap": cc if seed == 3 else 0.97}})
    verdict = report.judge(row("phasing easy"), tmp_path, "v")
    assert verdict.passed is passed
    assert ("misses: cc (1 of 5)" in verdict.note) is not passed


def test_one_bad_particle_in_five_is_allowed_where_the_row_says_so(tmp_path):
    for seed in range(1, 6):
        write(tmp_path, "easy", seed, {"imaging": IMAGING | ({"n_good": 3, "grade": "unreliable"} if seed <= 1 else {})})
    assert report.judge(row("phasing easy"), tmp_path, "v").passed
    write(tmp_path, "easy", 2, {"imaging": IMAGING | {"n_good": 3, "grade": "unreliable"}})
    assert not report.judge(row("phasing easy"), tmp_path, "v").passed


@pytest.mark.parametrize(
    ("cc", "grade", "true", "statistics", "passed"),
    [
        (0.97, "good", True, True, True),
        (0.87, "good", False, True, False),
        (0.5, "unreliable", True, True, False),
        (0.5, "unreliable", True, False, True),
    ],
)
def test_a_hard_case_asks_for_a_true_grade(tmp_path, cc, grade, true, statistics, passed):
    write_all(tmp_path, "tilt-1.0", {"imaging": IMAGING | {"overlap": cc, "grade": grade, "grade_true": true, "statistics": statistics}})
    assert report.judge(row("phasing hard", "tilt 1.0"), tmp_path, "v").passed is passed


@pytest.mark.parametrize(
    ("frames", "flags", "passed"),
    [
        ([100, 201], None, True),
        ([100, 203], None, False),
        ([100], None, False),
        ([100, 150, 200], None, False),
        ([100, 104, 200], None, False),
        ([100, 200], ["", "rigid"], False),
        ([100, 150, 200], ["", "rigid", ""], True),
    ],
    ids=["all", "late", "missed", "false", "twice", "called rigid", "rigid beside"],
)
def test_events_must_be_found_in_their_frame_once_and_no_others(tmp_path, frames, flags, passed):
    write_all(tmp_path, "events-n1.0", detected(frames, flags))
    assert report.judge(row("events", "n 1.0"), tmp_path, "v").passed is passed


@pytest.mark.parametrize(("kind", "passed"), [("main", True), ("perfect", False)])
def test_a_small_event_excuses_a_detection_but_one_that_cannot_be_seen_does_not(tmp_path, kind, passed):
    true = TRUE | {"frame": [100, 150, 200], "kind": ["main", kind, "main"]}
    true |= {name: [0.2, 0.01, 0.2] for name in ("drop_N3", "drop_N5", "fraction")}
    write_all(tmp_path, "events-n1.0", detected([100, 152, 200], true=true))
    assert report.judge(row("events", "n 1.0"), tmp_path, "v").passed is passed


@pytest.mark.parametrize(("flag", "passed"), [("rigid", False), ("", False), ("artefact", True)])
def test_where_nothing_happens_all_but_artefacts_count(tmp_path, flag, passed):
    write_all(tmp_path, "no-events", detected([150], [flag]))
    assert report.judge(row("events", "no events"), tmp_path, "v").passed is passed


def test_an_artefact_is_no_event_and_a_plain_detection_is_one(tmp_path):
    for name, flag, passed in (("late-hot", "artefact", True), ("step", "rigid", True), ("beam-jump", "", False)):
        write_all(tmp_path, name, detected([150], [flag]))
        verdict = report.judge(next(row for row in ROWS if row.cases == (name,)), tmp_path, "v")
        assert verdict.passed is passed


@pytest.mark.parametrize(
    ("seen", "noise", "passed"), [(1.0, 0.01, True), (0.0, 0.0, False), (1.0, 0.1, False)], ids=["right", "always 0", "noisy"]
)
def test_a_shift_that_is_never_seen_fails_clearly(tmp_path, seen, noise, passed):
    rng = np.random.default_rng(0)
    moved = 0.26 * rng.standard_normal((16, 2))
    moved[8, 1] += 0.5
    errors = (seen - 1) * moved + noise * rng.standard_normal(moved.shape)
    write_all(
        tmp_path, "still", {"shifts": {"errors_px": errors.tolist(), "moved_px": moved.tolist(), "step_error_px": errors[8].tolist()}}
    )
    verdict = report.judge(row("rigid shift"), tmp_path, "v")
    assert verdict.passed is passed
    assert ("across the step" in verdict.note.split(";")[0]) is not passed


def test_a_shift_that_is_right_but_across_the_step_fails(tmp_path):
    errors = [[0.0, 0.0]] * 15 + [[0.0, 0.06]]
    write_all(tmp_path, "still", {"shifts": {"errors_px": errors, "moved_px": errors, "step_error_px": errors[-1]}})
    assert report.judge(row("rigid shift"), tmp_path, "v").passed is False


def test_the_step_lies_between_the_windows_of_one_pair():
    for middle in range(12, 60):
        assert middle - 12 in acceptance_series._starts(100, middle)


@pytest.mark.parametrize(("share", "passed"), [(0.95, True), (0.85, False), (None, True)])
def test_strain_must_be_given_where_the_particle_is(tmp_path, share, passed):
    figures = IMAGING | {"strain_rms": 1e-3, "tilt_rms": 1e-3} | ({} if share is None else {"strain_share": share})
    write_all(tmp_path, "standard", {"imaging": figures})
    assert report.judge(row("phasing standard"), tmp_path, "v").passed is passed


def test_a_failed_unit_fails_its_row_and_says_why(tmp_path):
    for seed in (1, 2):
        write(tmp_path, "blur-0.5", seed, {"imaging": IMAGING})
    write(tmp_path, "blur-0.5", 3, {}, errors=["XcdiError: no photons"])
    verdict = report.judge(row("phasing coherence", "0.5 px, correction off"), tmp_path, "v")
    assert verdict.passed is False
    assert "blur-0.5 seed 3 failed: XcdiError: no photons" in verdict.note


def test_seeds_that_lack_and_other_versions_are_told_and_do_not_pass(tmp_path):
    write(tmp_path, "blur-0.5", 1, {"imaging": IMAGING}, version="old")
    verdict = report.judge(row("phasing coherence", "0.5 px, correction off"), tmp_path, "v")
    assert verdict.passed is None
    assert "1 of 5 seeds measured" in verdict.note
    assert "measured with version old" in verdict.note
    page = report.markdown(tmp_path, "v", "command")
    assert sum("| incomplete |" in line for line in page.splitlines()) == 1
    assert "| pass |" not in page


def test_all_seeds_of_one_version_are_complete_and_one_of_another_is_not(tmp_path):
    write_all(tmp_path, "blur-0.5", {"imaging": IMAGING})
    assert report.judge(row("phasing coherence", "0.5 px, correction off"), tmp_path, "v").passed is True
    write(tmp_path, "blur-0.5", 2, {"imaging": IMAGING}, version="old")
    verdict = report.judge(row("phasing coherence", "0.5 px, correction off"), tmp_path, "v")
    assert (verdict.passed, "incomplete" in verdict.note) == (None, True)


def test_what_fails_so_far_fails_though_seeds_lack(tmp_path):
    write(tmp_path, "blur-0.5", 1, {"imaging": IMAGING | {"overlap": 0.5}})
    assert report.judge(row("phasing coherence", "0.5 px, correction off"), tmp_path, "v").passed is False


def test_the_version_holds_what_measures(monkeypatch):
    told = []

    def git(command, **options):
        told.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="abc" if "rev-parse" in command else " M benchmarks/acceptance_files.py")

    monkeypatch.setattr(acceptance.subprocess, "run", git)
    before = acceptance.version()
    assert before.startswith("abc+")
    assert any(str(word).endswith("acceptance*.py") for word in told[-1])
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == "acceptance_files.py" else b""))
    assert acceptance.version() != before


def test_every_row_of_events_ages_at_full_strength_or_says_that_it_does_not():
    for one in CASES:
        if {"events", "shifts", "attribution"} & set(one.measures):
            p = profile(one.profile, **variant(one.profile, one.variant) | dict(one.options))
            assert p.slow_amplitude >= 0.7 or f"amplitude {p.slow_amplitude:g}" in one.note, one.name


def test_what_was_measured_is_not_measured_again(tmp_path):
    rows = [row("phasing coherence", "0.5 px, correction off")]
    write(tmp_path, "blur-0.5", 1, {"imaging": IMAGING})
    write(tmp_path, "blur-0.5", 2, {"imaging": IMAGING}, version="old")
    write(tmp_path, "blur-0.5", 3, {}, errors=["a bug"])
    assert [seed for _, seed in acceptance.due(rows, tmp_path, "v", None)] == [2, 3, 4, 5]
    assert [seed for _, seed in acceptance.due(rows, tmp_path, "v", 2)] == [2]


def test_the_page_has_every_row_and_says_what_was_not_measured(tmp_path):
    page = report.markdown(tmp_path, "v", "python benchmarks/acceptance.py")
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(ROWS)
    assert sum("| not answerable yet |" in line for line in lines) == sum(bool(row.needs) for row in ROWS)
    assert sum("| not measured |" in line for line in lines) == sum(not row.needs for row in ROWS)


def test_a_figure_that_is_missing_never_passes():
    for check in (at_least("a", [], 0), at_most("a", [float("nan")], 1), within("a", [float("nan")], 0, 1)):
        assert not check.passed
        assert judged([check], "0").passed is False
