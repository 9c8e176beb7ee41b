"""How a process is set up before it computes: threads of its libraries, wording of its warnings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["plain_warnings", "use_threads"]

THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def use_threads(count: int) -> None:
    """Limit the libraries that are not loaded yet: one thread in BLAS, `count` in numba.

    Our own threads work on blocks, and those of BLAS would only fight them; nor are the bits of its products the same
    for any number of its threads.
    """
    if "numpy" not in sys.modules:
        os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(count)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Say on one line, without the place in our code, what a user is warned of."""
    usual = warnings.formatwarning

    def plain(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
        if issubclass(category, UserWarning):
            return f"xcdi: {' '.join(str(message).split())}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual
