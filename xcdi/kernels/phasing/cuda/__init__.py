"""Kernels of phase retrieval for the GPU: CUDA text, the array expressions that define it, and what launches it."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["PARTS", "source"]

PARTS = ("sums.cu", "modulus.cu", "update.cu", "support.cu")


def source() -> str:
    """Return the text of all kernels as one unit, to be compiled for the device at hand.

    One text without includes: CuPy's cache of compiled kernels would not notice a changed header.

    Examples
    --------
    >>> "void update(" in source()
    True
    """
    return "\n".join(files(__name__).joinpath(part).read_text(encoding="utf-8") for part in PARTS)
