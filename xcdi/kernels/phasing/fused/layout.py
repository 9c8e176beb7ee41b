"""Between arrays as everybody has them and the tiles of the sweeps: one plane at a time, so that no second copy is ever made."""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

from xcdi.kernels.phasing.fused.vectors import BLOCK, LANES

__all__ = ["aligned", "lay_flags", "lay_goals", "lay_rho", "lift_flags", "lift_rho"]

_BLOCK, _LANES = np.int64(BLOCK), np.int64(LANES)
_LINE = 64  # bytes of a cache line: vectors that lie across two cost twice
_compile = partial(njit, cache=True, nogil=True, error_model="numpy")


def aligned(size: int, kind: type = np.float32) -> np.ndarray:
    """Return `size` zeros that begin with a cache line."""
    n = size * np.dtype(kind).itemsize
    raw = np.zeros(n + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + n].view(kind)


@_compile()
def lay_rho(values, rho, start):  # type: ignore[no-untyped-def]
    """Put a plane (y, x, re and im) into `rho` from `start`."""
    for i in range(values.shape[0]):
        row = start + i // _LANES * values.shape[1] * _BLOCK + i % _LANES
        for k in range(values.shape[1]):
            rho[row + k * _BLOCK] = values[i, k, 0]
            rho[row + k * _BLOCK + _LANES] = values[i, k, 1]


@_compile()
def lift_rho(rho, start, factor, values):  # type: ignore[no-untyped-def]
    """Inverse of :func:`lay_rho`, times `factor`."""
    for i in range(values.shape[0]):
        row = start + i // _LANES * values.shape[1] * _BLOCK + i % _LANES
        for k in range(values.shape[1]):
            values[i, k, 0] = rho[row + k * _BLOCK] * factor
            values[i, k, 1] = rho[row + k * _BLOCK + _LANES] * factor


@_compile()
def lay_flags(values, support, start):  # type: ignore[no-untyped-def]
    """Put a plane (y, x) of bytes into `support` from `start`."""
    for i in range(values.shape[0]):
        row = start + i // _LANES * values.shape[1] * _LANES + i % _LANES
        for k in range(values.shape[1]):
            support[row + k * _LANES] = values[i, k]


@_compile()
def lift_flags(support, start, values):  # type: ignore[no-untyped-def]
    """Inverse of :func:`lay_flags`."""
    for i in range(values.shape[0]):
        row = start + i // _LANES * values.shape[1] * _LANES + i % _LANES
        for k in range(values.shape[1]):
            values[i, k] = support[row + k * _LANES]


@_compile()
def lay_goals(values, goal, plane, planes, width):  # type: ignore[no-untyped-def]
    """Put a plane (y, x) into `goal`, whose tiles hold `width` columns of 16 lanes for all `planes`."""
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            column = k // _LANES * values.shape[0] + i
            row = (column // width * planes + plane) * width + column % width
            goal[row * _LANES + k % _LANES] = values[i, k]
