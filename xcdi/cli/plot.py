"""``xcdi plot``: the pictures of result files and of simulated experiments."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from xcdi.cli.output import shown_path
from xcdi.cli.tasks import ready_folder
from xcdi.errors import XcdiError
from xcdi.jobs.job import one_line

__all__ = ["plot"]


def plot(results: list[Path], out: Path | None) -> int:
    """Draw every result and simulated experiment; one that cannot be read does not stop the others."""
    failed = 0
    for path in results:
        try:
            for picture in _pictures(path, out):
                print(shown_path(picture))
        except (XcdiError, OSError) as error:
            failed += 1
            print(f"xcdi: {one_line(error)}", file=sys.stderr)
    return 0 if not failed else 2 if failed == len(results) else 1


def _pictures(path: Path, out: Path | None) -> Iterable[Path]:
    """Draw one folder or file; return the pictures."""
    from xcdi import io
    from xcdi.artificial import reading
    from xcdi.plot import report

    truth = reading.find_truth(path)
    if truth is not None:
        return [_simulated(truth, out or truth.parent)]
    return report.plot_result(io.load(path), out or path.parent, title=path.stem)


def _simulated(truth: Path, out: Path) -> Path:
    """Draw the page of a simulated experiment, named after its folder and its suite."""
    from xcdi.artificial import reading
    from xcdi.plot import simulation

    ready_folder(out)
    suite, parts = reading.read_experiment(truth)
    picture = out / f"{truth.resolve().parent.name}_{suite}.png"
    simulation.save(simulation.draw(suite, parts), picture)
    return picture
