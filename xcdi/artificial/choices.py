"""Choice of variants: names of a table, separated by commas, and the options they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xcdi.errors import XcdiError, suggest

__all__ = ["chosen"]


def chosen(table: Mapping[str, Mapping[str, Any]], names: str) -> dict[str, Any]:
    """Return the options of the variants `names`, separated by commas, on top of one another; "" for none.

    Raises
    ------
    XcdiError
        If there is no such variant.

    Examples
    --------
    >>> chosen({"dim": {"mean_count": 0.05}, "still": {"plateau": 1.0}}, "dim,still")
    {'mean_count': 0.05, 'plateau': 1.0}
    """
    options: dict[str, Any] = {}
    for name in filter(None, names.split(",")):
        if name not in table:
            raise XcdiError(f"no variant {name!r}{suggest(name, table)}")
        options |= table[name]
    return options
