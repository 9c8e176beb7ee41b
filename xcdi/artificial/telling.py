"""Telling: how a long simulation says how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Tell", "silent"]

Tell = Callable[[str, int, int], None]  # what is being made, how many are, of how many


def silent(what: str, done: int, planned: int) -> None:
    """Say nothing."""
