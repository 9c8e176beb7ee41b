"""The error a user can act on, and the wording such errors share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["SchemaError", "SettingsError", "XcdiError", "suggest"]


class XcdiError(ValueError):
    """Something the user can mend: a file, a setting, a scan. Everything else is a bug."""


class SettingsError(XcdiError):
    """A settings or beamline file names something that does not exist, or cannot be."""


class SchemaError(XcdiError):
    """A dataset lacks something that the next stage needs."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of what there is.

    Examples
    --------
    >>> suggest("hoi", ["hio", "raar"])
    "; did you mean 'hio'?"
    >>> suggest("zzz", ["raar", "hio"])
    '; there is hio, raar'
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(known)}"
