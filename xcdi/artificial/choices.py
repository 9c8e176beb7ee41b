"""Choice of variants: names of a table, separated by commas, and the options they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from xcdi.errors import XcdiError, suggest
from xcdi.settings import Model, from_mapping

__all__ = ["chosen", "configured"]

M = TypeVar("M", bound=Model)


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


def configured(kind: type[M], sizes: Mapping[str, Mapping[str, Any]], profile: str, changes: Mapping[str, Any]) -> M:
    """Return the model `kind` of the size called `profile` with `changes`.

    Raises
    ------
    XcdiError
        If there is no such profile, or a value is unknown or does not fit.
    """
    if profile not in sizes:
        raise XcdiError(f"no profile {profile!r}{suggest(profile, sizes)}")
    return from_mapping(kind, {**sizes[profile], **changes}, f"profile {profile!r}: ")
