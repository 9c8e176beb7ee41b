"""``xcdi simulate``: raw files of an experiment whose truth is known."""

from __future__ import annotations

from pathlib import Path

from xcdi.cli.output import shown_path
from xcdi.cli.tasks import ready_folder

__all__ = ["simulate"]


def simulate(name: str, out: Path, profile: str, seed: int) -> int:
    """Write the raw files and the truth."""
    from xcdi import artificial

    ready_folder(out)
    artificial.simulate(name, out, profile=profile, seed=seed)
    files = sorted(file for file in out.glob("*.h5") if not file.stem.rpartition("_data_")[1])
    for file in files:
        print(shown_path(file))
    return 0
