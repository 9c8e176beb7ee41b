"""What speaks against a strain tensor: hands that nothing tells, and reflections that do not fit the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xcdi.kernels.joining import Hands
from xcdi.kernels.phasing import alignment
from xcdi.stages.reflections import Placed, Seen

__all__ = ["alike", "grade"]

GRADES = ("good", "limited", "unreliable")
ALIKE = 0.955  # overlap of an amplitude with the mean of the others: 0.977 or more in one particle, 0.932 or less of another
FORETOLD = 0.7  # correlation inside of grains: 0.96 or more of good tensors, 0.3 at most with a reflection of another particle
EXPLAINED = 4.0  # chi2: 0.5 to 0.6 of good tensors, 15 or more with that; a small strain is foretold badly, and yet within its errors

Doubt = tuple[str, str]  # grade that it allows at most, and what to say


def alike(placed: Sequence[Placed]) -> list[float]:
    """Overlap of the amplitude of each reflection with the mean of the others."""
    shapes = [np.abs(one.rho) * one.support for one in placed]
    total = sum(shape / np.linalg.norm(shape) for shape in shapes)
    return [alignment.overlap(shape, total - shape / np.linalg.norm(shape)) for shape in shapes]


def grade(seen: Sequence[Seen], hands: Hands, notes: Mapping[str, Any]) -> dict[str, str]:
    """The worst grade of the crystals and of all doubts, and these in words.

    Parameters
    ----------
    seen : sequence of Seen
    hands : Hands
    notes : mapping
        alike; where they are known chi2 and held_inner_correlation, or held_correlation.

    Returns
    -------
    dict
        grade; warning where there is a doubt.

    Notes
    -----
    unreliable: some hands are a guess, stated ones go against the data, or the reflections do not foretell one another; limited: hands
    rest on the user's word alone, or one amplitude is unlike the others and nothing foretells it.
    """
    doubts = _doubts(_of_fit(seen, notes), _of_hands(seen, hands), hands.denied)
    crystals = (str(one.crystal.attrs.get("grade", GRADES[-1])) for one in seen)
    worst = max([*crystals, *(at_most for at_most, _ in doubts)], key=GRADES.index)
    return {"grade": worst} | ({"warning": "; ".join(told for _, told in doubts)} if doubts else {})


def _doubts(of_fit: list[Doubt], of_hands: list[Doubt], denied: bool) -> list[Doubt]:
    """All doubts, without those that follow from another: wrong hands do not fit, and what does not fit tells no hands."""
    if denied:
        return of_hands
    return of_fit if any(at_most == GRADES[-1] for at_most, _ in of_fit) else [*of_fit, *of_hands]


def _of_hands(seen: Sequence[Seen], hands: Hands) -> list[Doubt]:
    """Doubts about which crystals are turned inside out."""
    names = ", ".join(one.name for one, undecided in zip(seen, hands.undecided, strict=True) if undecided)
    if hands.denied:
        return [("unreliable", "amplitude or phases go against the twins that are stated; leave twins out, and see what is found")]
    if not names:
        return []
    if hands.by == "user":
        return [("limited", f"nothing but the stated twins says which of {names} are turned inside out against {seen[0].name}")]
    told = "amplitude and phases fit" if len(seen) > 3 else "the amplitude, all that three have, fits"
    mend = "add a reflection, no three in one plane, or state twins"
    return [("unreliable", f"{names} may be turned inside out against {seen[0].name}: {told} either way; {mend}")]


def _of_fit(seen: Sequence[Seen], notes: Mapping[str, Any]) -> list[Doubt]:
    """Doubts whether all reflections are of one particle in one state."""
    unknown = [float("nan")] * len(seen)
    known = np.array(notes.get("held_inner_correlation", notes.get("held_correlation", unknown)), dtype=float)
    worst, odd = float(np.min(known, where=np.isfinite(known), initial=1.0)), int(np.argmin(notes["alike"]))
    shape = f"amplitude overlap {notes['alike'][odd]:.2f}"
    unfit = worst < FORETOLD and not notes.get("chi2", np.inf) < EXPLAINED
    if notes["alike"][odd] < ALIKE and (unfit or np.isnan(known[odd])):
        why = f"{shape}; they are foretold with correlation {worst:.2f} at worst" if unfit else f"{shape}; nothing foretells it"
        return [
            ("unreliable" if unfit else "limited", f"{seen[odd].name} does not fit the others ({why}): another particle or another state?")
        ]
    if not unfit:
        return []
    return [("unreliable", f"the reflections do not foretell one another (correlation {worst:.2f} at worst): is one of another state?")]
