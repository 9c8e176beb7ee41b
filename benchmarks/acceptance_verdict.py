"""Words of the acceptance table: a check of pooled figures against a bar, and the verdict of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Check", "Found", "Verdict", "at_least", "at_most", "evidence", "judged", "many", "within"]

Found = list[dict[str, Any]]  # what the measures of every unit of a row gave


@dataclass(frozen=True)
class Verdict:
    """What a row says: measured, its spread, on how much, and whether it passes (None: not answerable yet).

    `absent`: nothing was measured; `incomplete`: not all of it, or not of this version.
    """

    measured: str
    spread: str
    count: str
    passed: bool | None
    note: str = ""
    absent: bool = False
    incomplete: bool = False


@dataclass(frozen=True)
class Check:
    """One figure against its bar.

    Attributes
    ----------
    label : str
        What it is.
    values : sequence of float
        One for each seed, trial or face; or one alone, of all pooled.
    meets : function
        Whether one value meets the bar; NaN never does.
    share : float
        Part of the values that must meet it.
    apart : sequence of float
        What the spread is told of, where `values` is one alone.
    """

    label: str
    values: Sequence[float]
    meets: Callable[[float], bool]
    share: float = 1.0
    apart: Sequence[float] = ()

    @property
    def met(self) -> int:
        """How many values meet the bar."""
        return sum(bool(np.isfinite(v)) and self.meets(v) for v in self.values)

    @property
    def passed(self) -> bool:
        """Whether enough of them do, and there is one at all."""
        return bool(len(self.values)) and self.met >= self.share * len(self.values) - 1e-9

    @property
    def measured(self) -> str:
        """The median, or the pooled figure."""
        return f"{self.label} {_short(float(np.median(self.values)))}" if len(self.values) else f"{self.label} none"

    @property
    def spread(self) -> str:
        """Smallest and largest."""
        seen = [v for v in (self.apart or self.values) if np.isfinite(v)]
        return f"{_short(min(seen))} to {_short(max(seen))}" if len(seen) > 1 else "-"

    @property
    def missed(self) -> str:
        """What is said where it does not pass."""
        if len(self.values) < 2:
            return self.label
        return f"{self.label} ({len(self.values) - self.met} of {len(self.values)})"


def at_most(label: str, values: Iterable[float], bar: float, **options: Any) -> Check:
    """Return the check of figures that must not exceed `bar`.

    Examples
    --------
    >>> at_most("rms", [1.0, 3.0], 2.0).missed
    'rms (1 of 2)'
    """
    return Check(label, [float(v) for v in values], lambda v: v <= bar, **options)


def at_least(label: str, values: Iterable[float], bar: float, **options: Any) -> Check:
    """Return the check of figures that must reach `bar`."""
    return Check(label, [float(v) for v in values], lambda v: v >= bar, **options)


def within(label: str, values: Iterable[float], low: float, high: float, **options: Any) -> Check:
    """Return the check of figures that must lie between two bars."""
    return Check(label, [float(v) for v in values], lambda v: low <= v <= high, **options)


def judged(checks: Sequence[Check], count: str, note: str = "") -> Verdict:
    """Return the verdict of a row that passes where all its checks do."""
    missed = [check.missed for check in checks if not check.passed]
    told = "; ".join(filter(None, [f"misses: {', '.join(missed)}" if missed else "", note]))
    return Verdict("; ".join(c.measured for c in checks), "; ".join(c.spread for c in checks), count, not missed, told)


def many(number: int, what: str) -> str:
    """Return a number and what there are so many of.

    Examples
    --------
    >>> many(1, "seed"), many(2, "seed"), many(2, "series")
    ('1 seed', '2 seeds', '2 series')
    """
    return f"{number} {what}{'' if number == 1 or what.endswith('s') else 's'}"


def evidence(found: Found, measure: str) -> list[dict[str, Any]]:
    """Return what one measure gave in every unit that has it."""
    return [unit[measure] for unit in found if measure in unit]


def _short(value: float) -> str:
    """Three digits, and no sign before a zero."""
    return f"{value:.3g}" if value else "0"
