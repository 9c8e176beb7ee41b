"""Judge of phasing: the complex object, what the analysis says of it, and how fine it claims to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.align import to_wave
from xcdi.artificial.compared import Compared, Image
from xcdi.artificial.verdict import Row, Skipped, at_least, between, missing, of_stage, one_of

__all__ = ["crossing", "grade_is_true", "rows", "shape_overlap"]

GOOD, FAIR = 0.90, 0.85  # overlap below which an object must not be called good, and must be called unreliable
GRADES = ("good", "limited", "unreliable")
SHAPE, RIM = 0.92, 0.3  # least overlap of the shapes, and the share of the largest amplitude that bounds a shape
STARTS = 5 / 8
RESOLUTION = 0.2


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of the complex object."""
    if not seen.has("entry_1/image_1/data", "entry_1/amplitude"):
        yield Skipped("phasing", "no result holds an object")
        return
    yield from of_stage("phasing", _object_rows(seen))
    yield from of_stage("phasing", _grade_rows(seen))
    yield from of_stage("resolution", _resolution_rows(seen))


def _object_rows(seen: Compared) -> Iterator[Row | Skipped]:
    name, bar = "complex overlap of the object with the truth", seen.case.overlap
    if bar is None:
        yield Skipped("overlap of the object", f"of a {seen.case.name} case nothing is asked but a true grade")
        return
    yield missing(name, f">= {bar:g}") if seen.image is None else at_least(name, seen.image.overlap, bar)
    if seen.case.name in ("easy", "standard"):
        name = "shape, intersection over union"
        yield missing(name, f">= {SHAPE:g}") if seen.image is None else at_least(name, shape_overlap(seen.image), SHAPE)


def shape_overlap(image: Image, *, rim: float = RIM) -> float:
    """Return intersection over union of the shapes: where the amplitude exceeds `rim` of the truth's largest."""
    edge = rim * np.abs(image.true).max()
    ours, theirs = np.abs(image.rho) > edge, np.abs(image.true) > edge
    return float((ours & theirs).sum() / max((ours | theirs).sum(), 1))


def grade_is_true(grade: str, overlap: float) -> bool:
    """Return whether the grade of an object is true: never good below an overlap of 0.90, and unreliable below 0.85.

    Examples
    --------
    >>> grade_is_true("good", 0.97), grade_is_true("limited", 0.80), grade_is_true("unreliable", 0.97)
    (True, False, True)
    """
    return grade in GRADES and not (grade == "good" and overlap < GOOD) and (grade == "unreliable" or overlap >= FAIR)


def _grade_rows(seen: Compared) -> Iterator[Row | Skipped]:
    name, bar = "truth of the grade", f"good only from {GOOD:g}, unreliable below {FAIR:g}"
    if seen.grade is None or seen.image is None:
        yield missing(name, bar)
        return
    if seen.case.name == "easy":
        yield one_of("grade of the phasing", seen.grade, ("good",))
        yield from _start_rows(seen)
    told = f"{seen.grade} at {seen.image.overlap:.3f}"
    yield {"stage": "", "name": name, "measured": told, "bar": bar, "pass": grade_is_true(seen.grade, seen.image.overlap)}
    if seen.unreliable:
        yield one_of("statistics drawn from an unreliable object", ", ".join(_statistics(seen)) or "none", ("none",))


def _start_rows(seen: Compared) -> Iterator[Row]:
    kept = seen["entry_1/image_1/kept"]
    if kept is not None:
        yield at_least(f"starts that agree, of {len(kept)}", int(np.sum(kept)), np.ceil(STARTS * len(kept)))


def _statistics(seen: Compared) -> Iterator[str]:
    """Yield names of numbers that only a reliable object can give."""
    for what, place in (("strain of grains", "entry_1/grains/strain"), ("boundaries of events", "entry/events/boundary_i")):
        values = seen[place]
        if values is not None and np.isfinite(values).any():
            yield what


def _resolution_rows(seen: Compared) -> Iterator[Row | Skipped]:
    prtf, q, steps, image = seen["entry_1/image_1/prtf"], seen["entry_1/image_1/q"], seen["entry_1/image_1/q_basis"], seen.image
    if prtf is None or q is None or steps is None or image is None or seen.case.overlap is None or seen.unreliable:
        yield Skipped("resolution", "no result holds a PRTF, or its object is unreliable or of a hard case")
        return
    ratio = crossing(q, true_transfer(image, q, steps)) / crossing(q, prtf)
    yield between("resolution by PRTF, over that with the true phases", ratio, 1 - RESOLUTION, 1 + RESOLUTION)


def crossing(q: NDArray[Any], transfer: NDArray[Any]) -> float:
    """Return where `transfer` first falls below 1/e, between samples; the last `q` if it never does.

    Examples
    --------
    >>> crossing(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    3.0
    """
    below = np.flatnonzero(np.asarray(transfer) < np.exp(-1))
    if not below.size:
        return float(q[-1])
    k = int(below[0])
    return float(q[0]) if k == 0 else float(np.interp(np.exp(-1), [transfer[k], transfer[k - 1]], [q[k], q[k - 1]]))


def true_transfer(image: Image, q: NDArray[Any], steps: NDArray[Any]) -> NDArray[np.float64]:
    """Transfer function in the shells `q`, the true phases in place of those of other starts."""
    ours, true = to_wave(image.rho), to_wave(image.true)
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in true.shape), indexing="ij"), axis=-1)
    width = q[1] - q[0] if len(q) > 1 else 2 * q[0]
    shell = np.clip(np.rint((np.linalg.norm(index @ steps.T, axis=-1) - q[0]) / width), 0, len(q)).astype(int).ravel()
    agreeing = (ours * np.exp(-1j * np.angle(true))).real.ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.bincount(shell, agreeing, len(q) + 1) / np.bincount(shell, np.abs(true).ravel(), len(q) + 1)
    return np.asarray(np.nan_to_num(shares[: len(q)]), np.float64)
