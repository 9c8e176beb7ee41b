"""The acceptance table judges as it says: every row has its bar, and made-up figures pass and fail where they should."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import acceptance  # noqa: E402
import acceptance_report as report  # noqa: E402
import acceptance_statistics  # noqa: E402
import acceptance_units as units  # noqa: E402
from acceptance_cases import CASES, STATISTICS, case  # noqa: E402
from acceptance_rows import ROWS  # noqa: E402
from acceptance_verdict import at_least, at_most, judged, within  # noqa: E402

IMAGING = {"overlap": 0.97, "agreement": 0.95, "shape_overlap": 0.95, "n_good": 6, "starts": 8, "grade": "good", "statistics": True}
TRUE = {"frame": [100, 200], "kind": ["main", "main"], "drop_N3": [0.2, 0.2], "drop_N5": [0.2, 0.2], "fraction": [0.1, 0.1]}


def row(stage, test=""):
    return next(row for row in ROWS if row.stage == stage and test in row.test)


def write(work, name, seed, found, *, version="v", errors=()):
    one = case(name)
    unit = {"case": one.as_dict(), "seed": seed, "version": version, "seconds": 1.0, "errors": list(errors), "found": found}
    units.place(work, one, seed).write_text(json.dumps(unit))


def detected(frames, flags=None):
    flags = flags or [""] * len(frames)
    found = {"frame": frames, "flags": flags, "drop": [0.2] * len(frames), "brighter": [0.0] * len(frames)}
    return {"events": {"found": found, "true": TRUE, "frames": 300}}


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
    for seed in (1, 2):
        write(
            tmp_path, "tilt-1.0", seed, {"imaging": IMAGING | {"overlap": cc, "grade": grade, "grade_true": true, "statistics": statistics}}
        )
    assert report.judge(row("phasing hard", "tilt 1.0"), tmp_path, "v").passed is passed


@pytest.mark.parametrize(
    ("frames", "passed"),
    [([100, 201], True), ([100, 203], False), ([100], False), ([100, 150, 200], False)],
    ids=["all", "late", "missed", "false"],
)
def test_events_must_be_found_in_their_frame_and_no_others(tmp_path, frames, passed):
    write(tmp_path, "events-n1.0", 1, detected(frames))
    assert report.judge(row("events", "n 1.0"), tmp_path, "v").passed is passed


def test_an_artefact_is_no_event_and_a_plain_detection_is_one(tmp_path):
    for name, flag, passed in (("late-hot", "artefact", True), ("step", "rigid", True), ("beam-jump", "", False)):
        write(tmp_path, name, 1, detected([150], [flag]))
        verdict = report.judge(next(row for row in ROWS if row.cases == (name,)), tmp_path, "v")
        assert verdict.passed is passed


def test_a_failed_unit_fails_its_row_and_says_why(tmp_path):
    for seed in (1, 2):
        write(tmp_path, "blur-0.5", seed, {"imaging": IMAGING})
    write(tmp_path, "blur-0.5", 3, {}, errors=["XcdiError: no photons"])
    verdict = report.judge(row("phasing coherence", "0.5"), tmp_path, "v")
    assert verdict.passed is False
    assert "blur-0.5 seed 3 failed: XcdiError: no photons" in verdict.note


def test_seeds_that_lack_and_other_versions_are_told(tmp_path):
    write(tmp_path, "blur-0.5", 1, {"imaging": IMAGING}, version="old")
    note = report.judge(row("phasing coherence", "0.5"), tmp_path, "v").note
    assert "1 of 3 seeds measured" in note
    assert "measured with version old" in note


def test_what_was_measured_is_not_measured_again(tmp_path):
    rows = [row("phasing coherence", "0.5")]
    write(tmp_path, "blur-0.5", 1, {"imaging": IMAGING})
    write(tmp_path, "blur-0.5", 2, {"imaging": IMAGING}, version="old")
    write(tmp_path, "blur-0.5", 3, {}, errors=["a bug"])
    assert [seed for _, seed in acceptance.due(rows, tmp_path, "v", None)] == [2, 3]
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
