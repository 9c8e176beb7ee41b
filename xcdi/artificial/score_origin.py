"""Before anything is judged: whether a result can be of the experiment whose truth is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator

import h5py
import numpy as np

from xcdi.artificial.verdict import Truth

__all__ = ["foreign"]


def foreign(result: h5py.File, truth: Truth) -> str:
    """Say what of a result does not fit the experiment, or nothing where all may: pixels and frames that it cannot have had."""
    detector = [*truth.config.get("detector", ()), *([np.inf] * 2)][:2]
    frames = {"rocking": np.inf, "series": truth.config.get("frames", np.inf)}
    if "amplitude_data_frame" in truth:
        frames["rocking"] = truth.file["amplitude_data_frame"].shape[0]
    for what, used, there in _used(result, detector, frames):
        if used > there:
            return f"it used {used} {what}, the experiment has {there:g}"
    return ""


def _used(result: h5py.File, detector: list[float], frames: dict[str, float]) -> Iterator[tuple[str, int, float]]:
    """What there is, how much of it a result used at least, and how much the experiment has."""
    peak = result.get("entry_1/peak")
    box = json.loads(peak.attrs["box"]) if peak is not None and "box" in peak.attrs else {}
    for dim, what, there in (
        ("frame", "frames of a rocking scan", frames["rocking"]),
        ("y", "rows of the detector", detector[0]),
        ("x", "columns of the detector", detector[1]),
    ):
        if dim in box:
            yield what, int(box[dim][1]), there
    for name, what, there in (("pixel_y", "rows of the detector", detector[0]), ("pixel_x", "columns of the detector", detector[1])):
        if f"entry/twotime/{name}" in result:
            yield what, int(result[f"entry/twotime/{name}"][()].max(initial=-1)) + 1, there
    if "entry/twotime/frame_ok" in result:
        yield "frames of a series", len(result["entry/twotime/frame_ok"]), frames["series"]
