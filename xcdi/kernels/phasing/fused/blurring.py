"""The blurred modulus that a support is redrawn from, in the tiles of the sweeps; periodic, in place, one axis after the other."""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.fused.butterflies import copy, modulus, smooth
from xcdi.kernels.phasing.fused.vectors import BLOCK, LANES

__all__ = ["blur_columns", "blur_planes", "choose", "count", "half_weights"]

_BLOCK, _LANES = np.int64(BLOCK), np.int64(LANES)
_compile = partial(njit, cache=True, nogil=True, fastmath=True, error_model="numpy")


def half_weights(n: int, sigma: float) -> np.ndarray:
    """Return the weights of the blur of moves at 0, 1, 2 ... voxels to either side, float32."""
    weights = np.array(moves.gaussian_weights(n, sigma))[: n // 2 + 1]
    if n > 1 and n % 2 == 0:
        weights[-1] /= 2  # reached from both sides
    return weights[: np.flatnonzero(weights)[-1] + 1].astype(np.float32)


@_compile()
def slide(line, n, unit, weights, out):  # type: ignore[no-untyped-def]
    """Blur the `n` rows of `unit` floats that begin after the margins of `line`."""
    size, margin = n * unit, (weights.size - 1) * unit
    for k in range(margin):
        line[k] = line[size + k]
        line[size + margin + k] = line[margin + k]
    smooth(line, margin, unit, weights, weights.size - 1, out, (size + _LANES - 1) // _LANES)


@_compile()
def blur_planes(first, last, rho, blurred, line, out, y, x, weights_y, weights_x):  # type: ignore[no-untyped-def]
    """Modulus of the planes first:last of `rho`, blurred along x and y."""
    tall, width = (y + _LANES - 1) // _LANES, x * _LANES
    for strip in range(first * tall, last * tall):
        modulus(rho, strip * x * _BLOCK, line, (weights_x.size - 1) * _LANES, x)
        slide(line, x, _LANES, weights_x, out)
        copy(out, 0, blurred, strip * width, x)
    for column in range(first * x, last * x):
        start = column // x * tall * width + column % x * _LANES
        for j in range(tall):
            copy(blurred, start + j * width, line, weights_y.size - 1 + j * _LANES, 1)
        slide(line, y, 1, weights_y, out)
        out[y : tall * _LANES] = np.float32(0.0)
        for j in range(tall):
            copy(out, j * _LANES, blurred, start + j * width, 1)


@_compile()
def blur_columns(first, last, blurred, support, line, out, z, unit, weights, peaks, squares):  # type: ignore[no-untyped-def]
    """Blur the tiles first:last of `unit` columns along z; note the maximum, and the sum of squares inside the support, of each."""
    plane = blurred.size // z
    for tile in range(first, last):
        start = tile * unit
        width, margin = min(unit, plane - start), (weights.size - 1) * min(unit, plane - start)
        for i in range(z):
            copy(blurred, i * plane + start, line, margin + i * width, width // _LANES)
        slide(line, z, width, weights, out)
        peak, square = np.float32(0.0), 0.0
        for i in range(z):
            part = np.float32(0.0)
            copy(out, i * width, blurred, i * plane + start, width // _LANES)
            for k in range(width):
                value = out[i * width + k]
                peak = max(peak, value)
                part += value * value if support[i * plane + start + k] else np.float32(0.0)
            square += part
        peaks[tile], squares[tile] = peak, square


@_compile()
def count(values, limit):  # type: ignore[no-untyped-def]
    """Return how many of `values` lie above `limit`."""
    n = 0
    for value in values:
        n += value > limit
    return n


@_compile()
def choose(values, limit, support):  # type: ignore[no-untyped-def]
    """Redraw the support where `values` lie above `limit`."""
    for k in range(values.size):
        support[k] = values[k] > limit
