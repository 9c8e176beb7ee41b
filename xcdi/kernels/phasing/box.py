"""How large a box around a Bragg peak to phase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from xcdi.backend import Array

__all__ = ["friendly", "reach", "smooth"]


def friendly(n: int) -> int:
    """Return the largest even number up to `n` with no prime factor above 5: a length that transforms fast.

    Examples
    --------
    >>> [friendly(n) for n in (201, 134, 31, 7)]
    [200, 128, 30, 6]
    """
    for length in range(n - n % 2, 1, -2):
        if _transforms_fast(length):
            return length
    raise ValueError(f"no box fits into {n} pixels; two are the least")


def smooth(n: int) -> int:
    """Return the smallest even number from `n` on with no prime factor above 5.

    Examples
    --------
    >>> [smooth(n) for n in (25, 31, 65)]
    [30, 32, 72]
    """
    length = n + n % 2
    while not _transforms_fast(length):
        length += 2
    return length


def _transforms_fast(length: int) -> bool:
    """Whether 2, 3 and 5 are all the prime factors there are."""
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    return length == 1


def reach(counts: Array, centre: Sequence[int], *, floor: float = 1.0) -> tuple[int, int, int]:
    """Return how far from `centre` the signal goes along each axis.

    Parameters
    ----------
    counts : array, shape (frame, y, x)
        NaN where not valid.
    centre : three ints
    floor : float
        The signal ends where no 3 x 3 x 3 neighbourhood holds this many counts per pixel any more.

    Returns
    -------
    three ints
        Pixels to the farther side, at least 1.

    Examples
    --------
    >>> counts = np.zeros((9, 9, 9))
    >>> counts[4, 4, 1:8] = 100
    >>> reach(counts, (4, 4, 4))
    (1, 1, 4)
    """
    calm = ndi.uniform_filter(np.nan_to_num(np.asarray(counts, np.float32)), 3, mode="constant")
    far = []
    for axis, middle in enumerate(centre):
        brightest = calm.max(axis=tuple(other for other in range(3) if other != axis))
        above = np.nonzero(brightest >= floor)[0]
        far.append(max(1, int(np.abs(above - middle).max())) if len(above) else 1)
    return far[0], far[1], far[2]
