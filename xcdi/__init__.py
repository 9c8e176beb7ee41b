"""Coherent X-ray diffraction imaging and photon correlation, from raw frames to strain maps and avalanches."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "open_scan", "save"]


def __getattr__(name: str) -> Any:
    """Import the doors to files only when somebody uses them, so that ``import xcdi`` is instant."""
    if name in ("open_scan", "load", "save"):
        from xcdi import io

        return getattr(io, name)
    raise AttributeError(f"module 'xcdi' has no attribute {name!r}")
