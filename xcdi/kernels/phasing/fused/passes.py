"""How one axis is transformed, as rows of numbers: the passes of a transform of any length, made at run time.

A tile is n rows of blocks (see :mod:`.vectors`). A transform of n = p q r is three passes, each of which
takes p (q, r) rows apart, transforms them, turns them, and puts them where the next pass finds them in order:
the self-sorting scheme of Stockham. All lengths share the one compiled loop that reads these numbers.

Source: Swarztrauber, SIAM Rev. 24, 405 (1982), doi 10.1137/1024089.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xcdi.kernels.phasing.fused.vectors import BLOCK

__all__ = ["Axis", "axis", "factors"]


class Axis(NamedTuple):
    """How one axis is transformed, whole or with something done between a transform and the transform back.

    A pass is a row of eight numbers: radix (negative: without twiddle factors), counts of the outer and the inner loop,
    steps of the outer loop in source and target, strides of what is combined in source and target, first twiddle factor.
    """

    n: int
    whole: np.ndarray
    twiddles: np.ndarray
    there: np.ndarray
    turn: np.ndarray
    back: np.ndarray
    twiddles_back: np.ndarray


def factors(n: int) -> list[int]:
    """Return two radices or more of a transform of length `n`, largest first; empty where it has none, or a prime factor above 7.

    Examples
    --------
    >>> factors(96), factors(16), factors(22), factors(5)
    ([8, 4, 3], [4, 4], [], [])
    """
    rest, found = n, []
    for p in (7, 5, 3, 2):
        while rest > 0 and rest % p == 0:
            found.append(p)
            rest //= p
    odd = [p for p in found if p > 2]
    radices = odd + _powers(len(found) - len(odd), alone=not odd)
    return sorted(radices, reverse=True) if rest == 1 and len(radices) > 1 else []


def _powers(twos: int, *, alone: bool) -> list[int]:
    """Return radices whose product is ``2**twos``: eights, and fours rather than a two; two of them where they stand alone."""
    if alone and twos in (2, 3):
        return [2, 2] if twos == 2 else [4, 2]
    fours = {0: 0, 1: 2 if twos > 1 else 0, 2: 1}[twos % 3]
    return (twos - 2 * fours) // 3 * [8] + fours * [4] + (twos - 2 * fours) % 3 * [2]


def axis(n: int, inner: int, step: int) -> Axis:
    """Return how to transform `n` rows of `inner` blocks, `step` floats apart where they come from and where they end."""
    radices = factors(n)
    whole, twiddles = _passes(radices, inner, step)
    back, twiddles_back = _passes(radices[::-1], inner, step)
    turn = back[0].copy()
    turn[3] = inner * BLOCK
    turn[5] = n // radices[-1] * inner * BLOCK
    return Axis(n, whole, twiddles, whole[:-1], turn, back[1:], twiddles_back)


def _passes(radices: list[int], inner: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the passes, and their twiddle factors as real and imaginary parts in turn."""
    n, stride, row = math.prod(radices), 1, inner * BLOCK
    passes, twiddles = [], []
    used = 0
    for p in radices:
        m = n // p
        source = step if stride == 1 else row
        if m == 1:
            passes.append([-p, stride, inner, row, step, stride * row, stride * step, 0])
        else:
            passes.append([p, m, inner * stride, stride * source, p * stride * row, m * stride * source, stride * row, used])
        twiddles.append(_twiddles(n, p))
        used += twiddles[-1].size
        n, stride = m, stride * p
    return np.array(passes, np.int64), np.concatenate(twiddles)


def _twiddles(n: int, p: int) -> np.ndarray:
    angle = -2j * np.pi / n * np.outer(np.arange(n // p), np.arange(1, p))
    return np.exp(angle).astype(np.complex64).view(np.float32).reshape(-1)
