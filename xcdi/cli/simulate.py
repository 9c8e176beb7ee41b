"""``xcdi simulate``: raw files of an experiment whose truth is known, at once or as a detector would write them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
from pydantic import create_model

from xcdi import settings
from xcdi.artificial.replay import Pace, put_in_place, replay
from xcdi.cli.output import shown_path
from xcdi.cli.tasks import ready_folder
from xcdi.errors import XcdiError

__all__ = ["Order", "simulate"]

LINE_S = 1.0  # between two lines of a series that grows
PROGRESS_S = 2.0  # between two lines of a long simulation


@dataclass(frozen=True)
class Order:
    """What was asked for, as it was written."""

    name: str
    out: Path
    profile: str
    seed: int
    variant: str
    assignments: list[str]
    live_hz: float | None
    stalls: list[str]
    losses: list[str]
    kill_after: int | None


def simulate(order: Order) -> int:
    """Write the raw files and the truth; say what is there."""
    from xcdi import artificial

    options = dict(map(_assigned, order.assignments))
    pace = _pace(order)
    if pace is not None and order.name in ("catalogue", "crystal"):
        raise XcdiError(f"a {order.name} has no series that could be written live; leave out --live, or simulate a particle")
    ready_folder(order.out)
    names: list[str] = []

    def deliver(aside: Path, out: Path) -> None:
        names.extend(sorted(path.name for path in aside.iterdir()))
        if pace is None:
            put_in_place(aside, out)
        else:
            print(f"the series grows in {shown_path(out)} at {pace.rate_hz:g} frames/s; stop with Ctrl-C", flush=True)
            replay(aside, out, pace, _teller())

    artificial.simulate(order.name, order.out, order.profile, order.seed, order.variant, deliver=deliver, tell=_progress(), **options)
    for line in [*_listed(order.out, names), *_reader(order)]:
        print(line)
    return 0


def _assigned(assignment: str) -> tuple[str, Any]:
    """Key and value of one ``--set``, read as the settings of pipelines are."""
    key = assignment.partition("=")[0].strip()
    fields: dict[str, Any] = {key: (Any, None)} if key.isidentifier() else {}
    kind = create_model("Options", __base__=settings.Model, **fields)
    return key, getattr(settings.override(kind(), assignment), key)


def _pace(order: Order) -> Pace | None:
    if order.live_hz is None:
        if order.stalls or order.losses or order.kill_after:
            raise XcdiError("--stall, --lose and --kill-after happen to a writer that others watch; add --live RATE")
        return None
    stalls = tuple((int(a), b) for a, b in (_pair("--stall", text, "FRAME:SECONDS") for text in order.stalls))
    losses = tuple((int(a), int(b)) for a, b in (_pair("--lose", text, "FRAME:COUNT") for text in order.losses))
    return Pace(order.live_hz, stalls, losses, order.kill_after)


def _pair(option: str, text: str, usage: str) -> tuple[float, float]:
    """Two numbers that are not negative; the first is a frame, counted from 0.

    Examples
    --------
    >>> _pair("--stall", "100:2.5", "FRAME:SECONDS")
    (100.0, 2.5)
    """
    frame, _, value = text.partition(":")
    try:
        pair = int(frame), int(value) if usage.endswith("COUNT") else float(value)
    except ValueError:
        pair = (-1, -1)
    if min(pair) < 0:
        raise XcdiError(f"{option} {text}: expected {usage}, as {option} 100:5; frames are counted from 0")
    return float(pair[0]), float(pair[1])


def _progress() -> Callable[[str, int, int], None]:
    """Print how far a long simulation is, every few seconds."""
    begin, due = time.monotonic(), PROGRESS_S

    def tell(what: str, done: int, planned: int) -> None:
        nonlocal due
        seconds = time.monotonic() - begin
        if seconds >= due:
            due = seconds + PROGRESS_S
            print(f"{seconds:8.1f} s {done:6d} of {planned} {what}", flush=True)

    return tell


def _teller() -> Callable[[int, int], None]:
    """Print how far the series is, not more often than one can read, and at its end."""
    begin, due = time.monotonic(), 0.0

    def tell(came: int, planned: int) -> None:
        nonlocal due
        seconds = time.monotonic() - begin
        if seconds >= due or came == planned:
            due = seconds + LINE_S
            print(f"{seconds:8.1f} s {came:6d} of {planned} frames", flush=True)

    return tell


def _listed(out: Path, names: list[str]) -> list[str]:
    """A line for each file to open: frames, and megabytes on disk with the data files of a master."""
    rows = []
    for name in (name for name in names if "_data_" not in name):
        stem = name.removesuffix("_master.h5")
        parts = [other for other in names if other.startswith(f"{stem}_data_")] if stem != name else []
        size = sum((out / part).stat().st_size for part in [name, *parts] if (out / part).is_file())
        rows.append((shown_path(out / name), _frames(out, parts or [name]), f"{size / 1e6:9.2f} MB"))
    width = max(len(path) for path, *_ in rows)
    return [f"{path:<{width}}  {frames:>13}  {size}" for path, frames, size in rows]


def _reader(order: Order) -> list[str]:
    """Which beamline reads what was written; a catalogue has no frames."""
    if order.name == "catalogue":
        return []
    with h5py.File(order.out / "truth.h5") as file:
        written = json.loads(file["config"][()]).get("format", "eiger")
    name = order.name if order.name != "particle" else "" if written == "eiger" else written
    return [f"read it with --beamline demo{'_' if name else ''}{name}"]


def _frames(out: Path, names: list[str]) -> str:
    """How many frames these raw files hold; nothing for other files."""
    count = 0
    for path in (out / name for name in names if name.endswith(".h5") and name != "truth.h5"):
        with h5py.File(path) as file:
            held: list[Any] = []
            file.visititems(lambda _, item, held=held: held.append(item))
            count += sum(len(item) for item in held if isinstance(item, h5py.Dataset) and item.ndim == 3)
    return f"{count} frames" if count else ""
