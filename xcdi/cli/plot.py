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
    files = [file for path in results for file in _files(path)]
    for path in files:
        try:
            for picture in _pictures(path, out):
                print(shown_path(picture))
        except (XcdiError, OSError) as error:
            failed += 1
            print(f"xcdi: {one_line(error)}", file=sys.stderr)
    return 0 if not failed else 2 if failed == len(files) else 1


def _files(path: Path) -> list[Path]:
    """A file, or the folder of a simulated experiment, as it is; of any other folder its results."""
    from xcdi.io.hints import is_result

    if not path.is_dir() or (path / "truth.h5").is_file():
        return [path]
    return [file for file in sorted(path.glob("*.h5")) if is_result(file)] or [path]


def _pictures(path: Path, out: Path | None) -> Iterable[Path]:
    """Draw one folder or file; return the pictures."""
    from xcdi import io
    from xcdi.artificial import reading
    from xcdi.io.vetting import open_file
    from xcdi.plot import report

    if path.is_file():
        open_file(path).close()  # says best what is wrong with one that cannot be opened
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
