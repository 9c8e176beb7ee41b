"""Judge of statistics: exponent, rival laws and waiting times beside the laws that simulated catalogues were drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from xcdi.artificial.verdict import Row, Truth, at_least, at_most, attribute, dataset, missing, of_stage, one_of

__all__ = ["exponent_error", "rows"]

HOME = "entry/statistics"
SIGNIFICANT = 0.05
BRANCHING, CENSORED = 0.10, 0.15  # largest errors of the exponent
ENOUGH = 200  # waiting times from which a law for them must be given
RAISED = 1.01  # times the lower end of the truth: the end of a fit above it was sought in the data
LEAST = 50  # events from which an exponent must be given
RIVALS = {"cut-off": "cutoff", "log-normal": "lognormal"}  # law of the truth, and its name in a result
LAWFUL = {"poisson": (True, True), "log-poisson": (False, True), "etas": (False, False)}  # exponential gaps: raw, rescaled


def exponent_error(exponent: float, smallest: float, largest: float, n: int) -> float:
    """Smallest standard error that any estimate of the exponent between two ends can have (Fisher information).

    Examples
    --------
    >>> round(exponent_error(1.5, 0.01, 1.0, 300), 3)
    0.049
    """
    y = np.linspace(0, np.log(largest / smallest), 2001)
    weight = np.exp((1 - exponent) * y)
    mean = np.average(y, weights=weight)
    return float(1 / np.sqrt(n * np.average((y - mean) ** 2, weights=weight)))


def rows(results: Sequence[h5py.File], truth: Truth) -> list[Row]:
    """Return the rows of statistics of simulated catalogues.

    One sample strays by chance: the exponent of a power law may be off by 3 of its smallest possible
    standard errors, and an interval of 95 % misses the truth in one seed of 20.
    """
    judged = [*_count_row(results, truth), *_exponent_rows(results, truth), *_rival_rows(results, truth), *_waiting_rows(results, truth)]
    return [row for row in of_stage("statistics", judged) if isinstance(row, dict)]


def _number(results: Sequence[h5py.File], name: str) -> float | None:
    found = dataset(results, f"{HOME}/{name}")
    return None if found is None else float(found)


def _series(results: Sequence[h5py.File]) -> int:
    """Number of catalogues that went in."""
    return int(float(attribute(results, "series", under=HOME) or 1))


def _count_row(results: Sequence[h5py.File], truth: Truth) -> Iterator[Row]:
    """Compare the number of events, where all catalogues went in."""
    counted, whole = _number(results, "n_all"), int(truth.config["series"])
    name = "events counted, off those in the catalogues"
    if counted is None:
        yield missing(name, "<= 0")
    elif _series(results) == whole:
        there = sum(int(truth[f"series_{k}/detected"].sum()) for k in range(1, whole + 1))
        yield at_most(name, abs(counted - there), 0)


def _exponent_rows(results: Sequence[h5py.File], truth: Truth) -> Iterator[Row]:
    """The exponent, where the law has one; below completeness a warning instead."""
    law, true = truth.config["law"], float(truth.config["exponent"])
    if law not in ("power-law", "branching"):
        return
    name, n, smallest = "exponent, off the truth", _number(results, "n"), _number(results, "smallest")
    if n is None or smallest is None:
        yield missing(name, "given")
        return
    complete = float(truth["completeness"])
    if np.isfinite(complete) and smallest < complete * (1 - 1e-6):
        note = attribute(results, "note", under=HOME) or ""
        yield one_of("sizes below completeness", "warned" if "completeness" in note else "silent", ("warned",))
        return
    if n < LEAST:
        return
    found = [_number(results, word) for word in ("exponent", "exponent_low", "exponent_high")]
    bar = _exponent_bar(truth, n, smallest)
    if found[0] is None or found[1] is None or found[2] is None:
        yield missing(name, f"<= {bar:g}")
        return
    yield at_most(name, abs(found[0] - true), bar)
    if law == "power-law" and not np.isfinite(complete):
        inside = found[1] <= true <= found[2]
        yield one_of("95 % interval of the exponent", f"{'holds' if inside else 'misses'} the truth", ("holds the truth",))


def _exponent_bar(truth: Truth, n: float, smallest: float) -> float:
    if truth.config["law"] == "branching":
        return BRANCHING
    if np.isfinite(float(truth["completeness"])):
        return CENSORED
    return round(3 * exponent_error(float(truth.config["exponent"]), smallest, float(truth["range"][1]), int(n)), 4)


def _rival_rows(results: Sequence[h5py.File], truth: Truth) -> Iterator[Row]:
    """What is preferred over the power law must be the law of the truth."""
    law, n = truth.config["law"], _number(results, "n")
    if law == "branching" or np.isfinite(float(truth["completeness"])) or (n is not None and n < LEAST):
        return
    smallest = _number(results, "smallest")
    if law in RIVALS and smallest is not None and smallest > float(truth["range"][0]) * RAISED:
        return  # a lower end that was raised leaves a tail that a power law may fit
    wanted = RIVALS.get(law, "none")
    name = "law preferred over the power law"
    preferred = _preferred(results)
    if preferred is None:
        yield missing(name, wanted)
        return
    word = wanted if wanted in preferred else "none" if not preferred else preferred[0]
    yield one_of(name, word, (wanted,))


def _preferred(results: Sequence[h5py.File]) -> list[str] | None:
    """Names of the laws that describe the sizes significantly better than a power law."""
    laws, ratio, p = (dataset(results, f"{HOME}/{name}") for name in ("law", "ratio", "ratio_p"))
    if laws is None or ratio is None or p is None:
        return None
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in laws]
    return [name for name, r, chance in zip(names, ratio, p, strict=True) if r < 0 and chance < SIGNIFICANT]


def _waiting_rows(results: Sequence[h5py.File], truth: Truth) -> Iterator[Row]:
    """Whether gaps are exponential, raw and over the local rate, as the law of the times has it."""
    counted = _number(results, "n_all")
    if counted is not None and counted - _series(results) < ENOUGH:
        return
    for word, path, lawful in zip(
        ("raw", "rescaled"), ("p_exponential", "p_exponential_rescaled"), LAWFUL[truth.config["times"]], strict=True
    ):
        name, p = f"waiting times, p of an exponential law, {word}", _number(results, path)
        judge: Any = at_least if lawful else at_most
        yield missing(name, f"{'>=' if lawful else '<='} {SIGNIFICANT:g}") if p is None else judge(name, p, SIGNIFICANT)
