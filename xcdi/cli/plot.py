"""``xcdi plot``: the pictures of result files."""

from __future__ import annotations

import sys
from pathlib import Path

from xcdi.cli.output import shown_path
from xcdi.errors import XcdiError
from xcdi.jobs.job import one_line

__all__ = ["plot"]


def plot(results: list[Path], out: Path | None) -> int:
    """Draw every result; one that cannot be read does not stop the others."""
    from xcdi import io
    from xcdi.plot import report

    failed = 0
    for path in results:
        try:
            for picture in report.plot_result(io.load(path), out or path.parent, title=path.stem):
                print(shown_path(picture))
        except (XcdiError, OSError) as error:
            failed += 1
            print(f"xcdi: {one_line(error)}", file=sys.stderr)
    return 0 if not failed else 2 if failed == len(results) else 1
