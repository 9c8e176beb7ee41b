"""Judge of attribution: the boundary and the grain that events are ascribed to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xcdi.artificial.compared import Compared
from xcdi.artificial.score_events import Hearing, hear
from xcdi.artificial.verdict import Row, Skipped, at_least, missing, of_stage

__all__ = ["Ascribed", "ascribed", "rows"]

TOP_1, TOP_3, MOVED = 0.6, 0.9, 0.9
OTHER_SHAPE = 0.8  # of the first three, for slips of another shape than the candidates'
NAME = "events ascribed to the right boundary"


class Ascribed(NamedTuple):
    """What is said of one event that was found.

    Attributes
    ----------
    rank : int or None
        Place of the right boundary among the candidates named, from 1; 0 if it is none of them. None if nothing is said.
    depth : int
        How many candidates are named.
    moved : bool or None
        Whether the grain that moved is right.
    probability : float
        Stated of the first boundary; 0 where it is none of them, NaN where nothing is stated.
    drop : float
        Measured drop of correlation of the event.
    """

    rank: int | None
    depth: int
    moved: bool | None
    probability: float = float("nan")
    drop: float = float("nan")

    @property
    def right(self) -> bool:
        """Whether the first boundary named is the right one."""
        return self.rank == 1


def ascribed(seen: Compared, heard: Hearing) -> list[Ascribed]:
    """Return what is said of every event that was asked for and found."""
    names, truth = seen.grain_names, seen.truth
    if names is None or "events/i" not in truth:
        return []
    said = [seen[f"entry/events/boundary_{side}"] for side in "ij"]
    ranked, grain = seen["entry/events/ranked"], seen["entry/events/grain"]
    table = [seen[f"entry_1/boundaries/{side}"] for side in "ij"]
    first, chance = seen["entry/events/boundary"], seen["entry/events/probability"]

    def pair(i: int, j: int) -> set[int]:
        return {names.get(int(i), -1), names.get(int(j), -2)}

    def candidates(k: int) -> list[set[int]]:
        if ranked is not None and table[0] is not None and table[1] is not None:
            return [pair(table[0][b], table[1][b]) if b >= 0 else set() for b in ranked[k]]  # "none of them" takes its place, too
        return [pair(said[0][k], said[1][k])] if said[0] is not None and said[1] is not None else []

    told = []
    for true, found in heard.matches.pairs:
        right, named = {int(truth["events/i"][true]), int(truth["events/j"][true])}, candidates(found)
        rank = (named.index(right) + 1 if right in named else 0) if any(named) else None
        moved = None if grain is None else bool(names.get(int(grain[found]), -1) == truth["events/moving"][true])
        none = first is not None and first[found] < 0
        sure = float("nan") if chance is None else 0.0 if none else float(chance[found])
        told.append(Ascribed(rank, sum(map(bool, named)), moved, sure, float(heard.drop[found])))
    return told


def rows(seen: Compared) -> Iterator[Row | Skipped]:
    """Yield the rows of attribution."""
    heard = hear(seen)
    if heard is None or not seen.has("entry_1/image_1/data", "entry_1/amplitude"):
        yield Skipped("attribution", "no result holds both events and a crystal")
    elif seen.unreliable and not seen.has("entry/events/boundary_i"):
        yield Skipped("attribution", "the result calls its object unreliable")
    elif not heard.matches.pairs:
        yield Skipped("attribution", "no event that must be found was found")
    else:
        yield from of_stage("attribution", _asked(seen, ascribed(seen, heard)))


def _asked(seen: Compared, told: list[Ascribed]) -> Iterator[Row | Skipped]:
    ranks = [one.rank for one in told if one.rank is not None]
    if not ranks:
        yield missing(NAME, f">= {TOP_1:g}")
        return
    other = seen.truth.config.get("event_shape", "ball") != "ball"
    if not other:
        yield at_least(f"{NAME}, share of {len(ranks)}", np.mean([rank == 1 for rank in ranks]), TOP_1)
    if max(one.depth for one in told) > 1:
        among = np.mean([0 < rank <= 3 for rank in ranks])
        bar = OTHER_SHAPE if other else TOP_3
        yield at_least(f"right boundary among the first three, share of {len(ranks)}", among, bar)
    moved = [one.moved for one in told if one.moved is not None]
    if moved and not other:
        yield at_least(f"grain that moved is right, share of {len(moved)}", np.mean(moved), MOVED)
