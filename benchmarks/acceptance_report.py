"""The acceptance table as Markdown: every row judged on what its units gave."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import acceptance_units as units
from acceptance_cases import case
from acceptance_rows import ROWS, Row
from acceptance_verdict import Verdict

__all__ = ["judge", "markdown"]

WHY = {  # what is known of the cause, for rows that have failed
    ("ingest", "S3 gaps, masks, hot/dead pixels"): (
        "dead pixels lie where no light falls: where good neighbours count one or two photons in the whole series, zero is no sign of death"
    ),
    ("strain", "pure ramp object (eps 2e-3 uniform)"): (
        "1.2 voxels and more from the surface the strain of the object still ripples by 1e-4 to 1e-3, more without noise than with"
    ),
}
HEAD = "| stage | test | bar | measured (median) | spread | on | verdict | note |\n|---|---|---|---|---|---|---|---|"


def judge(row: Row, work: Path, version: str) -> Verdict:
    """Judge one row on the units there are; what is missing, failed or of another version is said in its note.

    Where units are missing or of another version, the row cannot pass.
    """
    if row.judge is None:
        return Verdict("-", "-", "-", None, f"needs {row.needs}")
    found, notes, failed, lacking = [], [], False, False
    for name in row.cases:
        one = case(name)
        there = {seed: unit for seed in range(1, one.seeds + 1) if (unit := units.load(work, one, seed))}
        gaps, errors = _gaps(one.seeds, name, there, version), _errors(name, there)
        notes, failed, lacking = notes + gaps + errors, failed or bool(errors), lacking or bool(gaps)
        found += [unit["found"] for unit in there.values()]
    try:
        verdict = row.judge(found) if any(found) else Verdict("-", "-", "-", None, absent=not failed)
    except Exception as error:  # a row that cannot be judged must not hide the others
        verdict = Verdict("-", "-", "-", False, f"cannot be judged: {type(error).__name__}: {' '.join(str(error).split())}"[:300])
    sizes = sorted({one.profile for one in map(case, row.cases) if one.experiment})
    on = ", ".join([verdict.count, *(f"profile {size}" for size in sizes)])
    notes = [one.note for one in map(case, row.cases) if one.note] + notes
    passed = False if failed else verdict.passed
    lacking &= bool(passed)
    told = filter(None, ["incomplete" if lacking else "", verdict.note])
    return replace(verdict, count=on, passed=None if lacking else passed, note="; ".join([*told, *notes]), incomplete=lacking)


def _gaps(planned: int, name: str, there: dict[int, dict[str, Any]], version: str) -> list[str]:
    """What of one case was not measured, or not with this version."""
    notes = [] if len(there) == planned else [f"{name}: {len(there)} of {planned} seeds measured"]
    others = sorted({unit["version"] for unit in there.values()} - {version})
    return notes + ([f"{name}: measured with version {', '.join(others)}"] if others else [])


def _errors(name: str, there: dict[int, dict[str, Any]]) -> list[str]:
    return [f"{name} seed {seed} failed: {error}" for seed, unit in there.items() for error in unit["errors"]]


def markdown(work: Path, version: str, command: str) -> str:
    """Return the whole page."""
    verdicts = [(row, judge(row, work, version)) for row in ROWS]
    counts = ", ".join(f"{number} {word}" for word, number in Counter(_word(verdict) for _, verdict in verdicts).most_common())
    text = [
        "# Acceptance",
        "",
        "Every stage against the simulated experiment, whose truth is known. One machine: two shared cores, no GPU. "
        f"Version {version}; {datetime.date.today().isoformat()}; `{command}`. Seeds are 1, 2, 3 and so on; every seed is another "
        f"particle, and the statistics draw their own. {_hours(work)}",
        "",
        f"{len(verdicts)} rows: {counts}. A row passes "
        "where every seed, or the figure pooled over all, meets its bar, and every part of the bar is met; one that would pass, but of "
        "which seeds are missing or were measured with another version, is incomplete. Measured are the medians over "
        "seeds or pooled figures, in the order of the bar, and the spread is from the smallest to the largest. Cases are of the "
        "profile named, which is smaller than `std`; `nano` is the easy particle. Events are found by the stages of `superlattice` on "
        "files without detector faults, unless the row is about such faults; rows of imaging, files and attribution have all of them.",
        "",
        HEAD,
        *(_line(row, verdict) for row, verdict in verdicts),
        "",
        "## Rows that fail",
        "",
        *(_reason(row, verdict) for row, verdict in verdicts if verdict.passed is False),
    ]
    return "\n".join(text) + "\n"


def _word(verdict: Verdict) -> str:
    if verdict.absent or verdict.incomplete:
        return "not measured" if verdict.absent else "incomplete"
    return {True: "pass", False: "FAIL", None: "not answerable yet"}[verdict.passed]


def _line(row: Row, verdict: Verdict) -> str:
    cells = (row.stage, row.test, row.bar, verdict.measured, verdict.spread, verdict.count, _word(verdict), verdict.note)
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _reason(row: Row, verdict: Verdict) -> str:
    return f"- **{row.stage}, {row.test}**: {'; '.join(filter(None, [verdict.note, WHY.get((row.stage, row.test))]))}."


def _hours(work: Path) -> str:
    seconds: Sequence[float] = [unit["seconds"] for unit in _all(work)]
    return f"{len(seconds)} units, {sum(seconds) / 60:.0f} minutes of one core."


def _all(work: Path) -> list[dict[str, Any]]:
    named = {name for row in ROWS for name in row.cases}
    return [unit for name in sorted(named) for seed in range(1, case(name).seeds + 1) if (unit := units.load(work, case(name), seed))]
