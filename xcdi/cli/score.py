"""``xcdi score``: results against the truth of the simulation they came from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xcdi.artificial.score import Verdict, judge
from xcdi.errors import XcdiError

__all__ = ["lines", "score", "tally"]

STDOUT = "-"


def score(results: list[Path], truth: Path, json_file: str | None) -> int:
    """Print what is judged as a table, or as JSON; 0 if every figure meets its bar, else 1."""
    if json_file not in (None, STDOUT) and not Path(json_file).parent.is_dir():
        raise XcdiError(f"{json_file}: its folder does not exist; make it first")
    for path in (*results, truth):
        _whole(path)
    verdict = judge(results, truth)
    if not verdict.rows:
        raise XcdiError(f"nothing to judge: {_not_judged(verdict)}")
    text = _json(verdict)
    if json_file is not None and json_file != STDOUT:
        _write(Path(json_file), text + "\n")
    print(text if json_file == STDOUT else "\n".join([*lines(verdict.rows), *_rest(verdict), tally(verdict.rows)]))
    return 0 if all(row["pass"] for row in verdict.rows) else 1


def _whole(path: Path) -> None:
    """Refuse a file that cannot be opened, in the words of all our readers."""
    from xcdi.io.vetting import open_file

    if path.is_file():
        open_file(path).close()


def lines(rows: Sequence[Any]) -> list[str]:
    """Return one aligned line per row: verdict, stage, figure, measured, bar.

    Examples
    --------
    >>> lines([{"stage": "grains", "name": "count", "measured": 1.0, "bar": "<= 1", "pass": True}])
    ['  pass  grains  count  1   bar <= 1']
    """
    texts = [_text(row["measured"]) for row in rows]
    stage, name = (max((len(row[key]) for row in rows), default=0) for key in ("stage", "name"))
    width = max(map(len, texts), default=0)
    return [
        f"  {'pass' if row['pass'] else 'FAIL'}  {row['stage']:<{stage}}  {row['name']:<{name}}  {text:>{width}}   bar {row['bar']}"
        for row, text in zip(rows, texts, strict=True)
    ]


def tally(rows: Sequence[Any]) -> str:
    """Return how many figures meet their bar, in words."""
    return f"{sum(row['pass'] for row in rows)} of {len(rows)} figures meet their bar"


def _json(verdict: Verdict) -> str:
    """Rows and what is not judged; JSON knows no NaN, which stands as null."""
    rows = [{**row, "measured": _finite(row["measured"])} for row in verdict.rows]
    return json.dumps({"rows": rows, "not_judged": [one._asdict() for one in verdict.skipped]}, indent=1, allow_nan=False)


def _finite(value: float | str) -> float | str | None:
    return value if isinstance(value, str) or math.isfinite(value) else None


def _rest(verdict: Verdict) -> list[str]:
    return [f"not judged: {_not_judged(verdict)}"] if verdict.skipped else []


def _not_judged(verdict: Verdict) -> str:
    return "; ".join(f"{one.what} ({one.why})" for one in verdict.skipped)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
