"""``xcdi two-time``: what a two-time correlation that somebody else computed says, as numbers, a result and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xcdi.cli.output import shown_path
from xcdi.cli.tasks import ready_folder
from xcdi.errors import XcdiError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_matrix", "two_time"]


def two_time(file: Path, out: Path, *, frame_time_s: float | None = None, pixels: int | None = None, window: int = 12) -> int:
    """Describe the matrix in `file` and search it for events; print the numbers, save result and picture in `out`.

    Parameters
    ----------
    file : path
        NumPy's ``.npy`` with one square matrix, 1 for frames that share nothing.
    out : path
        Folder, made if need be.
    frame_time_s : float, optional
        Without, times are in frames.
    pixels : int, optional
        Pixels that were averaged.
    window : int
        Frames on either side of an event.

    Raises
    ------
    XcdiError
        If there is no such file, or it holds no two-time correlation.
    """
    from xcdi import io
    from xcdi.plot import fluctuations, saving
    from xcdi.stages import map_events, two_time_map

    matrix = read_matrix(file)
    try:
        found = two_time_map.from_matrix(matrix, frame_time_s=frame_time_s, pixels=pixels)
    except XcdiError as error:
        raise XcdiError(f"{shown_path(file)}: {error}") from error
    try:
        events = map_events.find(found, window=window)
        lines = [*two_time_map.told(found), *map_events.told(events)]
    except XcdiError as error:
        events, lines = None, [*two_time_map.told(found), f"events: not searched, {error}"]
    ready_folder(out)
    asked = [("frame_time_s", frame_time_s), ("pixels", pixels), ("window", window)]
    settings = "".join(f"{name} = {value}\n" for name, value in asked if value is not None)
    result, picture = out / f"{file.stem}_two_time.h5", out / f"{file.stem}_two_time.png"
    parts = {"correlation": found} if events is None else {"correlation": found, "events": events}
    io.results.save(parts, result, provenance=io.results.provenance(settings, [file], pipeline="two-time"))
    saving.png(fluctuations.page(found, title=file.name, events=events), picture, dpi=150, bbox_inches="tight")
    print(f"{shown_path(file)}  {found.sizes['time']} frames of {f'{frame_time_s:g} s' if frame_time_s else 'unknown length'}")
    for line in (*lines, f"→ {shown_path(result)}, {shown_path(picture)}"):
        print(f"  {line}")
    return 0


def read_matrix(file: Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises
    ------
    XcdiError
        If there is no such file, or it is none of NumPy's.
    """
    import numpy as np

    if not file.is_file():
        raise XcdiError(f"{file}: no such file" if not file.exists() else f"{file}: is a folder, expected a .npy file")
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise XcdiError(f"{shown_path(file)}: cannot be read as a NumPy array; save the matrix with numpy.save") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise XcdiError(f"{shown_path(file)}: holds several arrays, expected one; save the matrix alone with numpy.save")
    return found
