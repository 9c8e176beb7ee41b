"""How results are told: one line per scan, aligned; a bar only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from xcdi.jobs.job import Outcome

__all__ = ["printable", "result_line", "shown_path", "tally", "telling", "usable_cores"]

BAR_AFTER_S = 2.0


def usable_cores() -> int:
    """Cores this process may use.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def printable(name: str) -> str:
    r"""Return `name` on one line, whatever it holds.

    Examples
    --------
    >>> print(printable("S01\n2"))
    S01\n2
    """
    return name if name.isprintable() else repr(name)[1:-1]


def shown_path(path: str | Path) -> str:
    """Return `path` from here, if that is shorter."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def result_line(outcome: Outcome, width: int) -> str:
    """One line for one scan, and under it what the pipeline lists.

    Examples
    --------
    >>> result_line(Outcome("S012", "failed", 0.1, error="no dataset 'S012/counts'"), 4)
    "  S012   failed  no dataset 'S012/counts'"
    """
    start = f"  {printable(outcome.scan):<{width}} "
    if outcome.status == "failed":
        return f"{start}  failed  {outcome.error.replace(f'{Path.cwd()}/', '')}"
    if outcome.status == "skipped":
        return f"{start} skipped  there already, from the same settings  → {shown_path(outcome.path)}"
    listed = "".join(f"\n    {line}" for line in outcome.table.splitlines())
    return f"{start}{outcome.seconds:6.1f} s  {outcome.summary}  → {shown_path(outcome.path)}{listed}"


def tally(outcomes: list[Outcome], total: int) -> str:
    """The honest last line.

    Examples
    --------
    >>> tally([Outcome("S1", "done", 1.0), Outcome("S2", "failed", 1.0)], 3)
    '1 done, 1 failed, 1 not tried'
    """
    count = {status: sum(outcome.status == status for outcome in outcomes) for status in ("done", "skipped", "failed")}
    count["not tried"] = total - len(outcomes)
    return ", ".join(f"{number} {word}" for word, number in count.items() if number or word == "done")


@contextmanager
def telling(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Give a function that prints a line; on a terminal, work over two seconds shows a bar below the lines."""
    if not sys.stdout.isatty():
        yield lambda line: print(line, flush=True)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(TextColumn(f"  {what}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), transient=True)
    task = bar.add_task(what, total=total)
    timer = Timer(BAR_AFTER_S, bar.start)
    timer.daemon = True
    timer.start()

    def tell(line: str) -> None:
        bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        bar.advance(task)

    try:
        yield tell
    finally:
        timer.cancel()
        bar.stop()
