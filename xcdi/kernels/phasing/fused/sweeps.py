"""One iteration as two sweeps over memory, each of which does all it can to a tile while that is in cache.

Sweep A, along z: transform, modulus, transform back. Sweep B, plane by plane: transforms back along y and x, update, transforms
along x and y. Arrays are flat; n counts voxels, Y and X blocks of 16 of them:

    wave    (z, X, y, block)    transformed along y and x; between A and B real and imaginary part are exchanged
    goal    (tile, z, row)      measured modulus, negative where free; a tile is `row` floats of (X, y, lane of x)
    rho     (z, Y, x, block)    the object
    support (z, Y, x, lane of y)

The compiled code is kept on disk by the date of this file: touch it after a change of butterflies.py or vectors.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

from xcdi.kernels.phasing.fused.butterflies import butterflies, impose, transpose, update
from xcdi.kernels.phasing.fused.vectors import BLOCK, LANES

__all__ = ["columns", "gather", "planes"]

_BLOCK, _LANES = np.int64(BLOCK), np.int64(LANES)
_compile = partial(njit, cache=True, nogil=True, fastmath=True, error_model="numpy")


@_compile()
def transform(x, x0, y, y0, one, two, passes, twiddles):  # type: ignore[no-untyped-def]
    """Do all `passes` from `x` to `y`, by way of `one` and `two`, in this order."""
    source, start = x, x0
    for j in range(passes.shape[0]):
        last = j == passes.shape[0] - 1
        target = y if last else (one if j % 2 == 0 else two)
        end = y0 if last else 0
        p = passes[j]
        butterflies(source, start, target, end, twiddles, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
        source, start = target, end


@_compile()
def columns(first, last, wave, goal, background, scale, errors, work, z):  # type: ignore[no-untyped-def]
    """Sweep A over the tiles first:last."""
    a, b = (work.one, work.two) if z.there.shape[0] % 2 == 1 else (work.two, work.one)
    error, t = np.empty(_LANES, np.float32), z.turn
    row, size = t[3], t[0] * t[1] * t[2] * _LANES
    for tile in range(first, last):
        transform(wave, tile * row, a, 0, work.one, work.two, z.there, z.twiddles)
        impose(
            a, 0, b, 0, z.twiddles_back, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], goal, tile * size, background, scale, error
        )  # fmt: skip
        transform(b, 0, wave, tile * row, a, b, z.back, z.twiddles_back)
        total = 0.0
        for lane in range(_LANES):
            total += error[lane]
        errors[tile] = total


@_compile()
def planes(first, last, wave, step, rho, support, keep, take, fresh, work, y, x):  # type: ignore[no-untyped-def]
    """Sweep B over the planes first:last of `wave`, which lie `step` floats apart; where `fresh`, only its second half."""
    tall, wide = (y.n + _LANES - 1) // _LANES, (x.n + _LANES - 1) // _LANES
    square = _LANES * _BLOCK
    tile = wide * square
    for p in range(first, last):
        if not fresh:
            for i in range(wide):
                transform(wave, p * step + i * y.n * _BLOCK, work.column, 0, work.one, work.two, y.whole, y.twiddles)
                for j in range(tall):
                    transpose(work.column, j * square, work.plane, j * tile + i * square)
        for j in range(tall):
            strip(j * tile, (p * tall + j) * x.n * _BLOCK, rho, support, keep, take, fresh, work, x)
        for i in range(wide):
            for j in range(tall):
                transpose(work.plane, j * tile + i * square, work.column, j * square)
            transform(work.column, 0, wave, p * step + i * y.n * _BLOCK, work.one, work.two, y.whole, y.twiddles)


@_compile()
def strip(place, r0, rho, support, keep, take, fresh, work, x):  # type: ignore[no-untyped-def]
    """Sixteen lines along x: transform back, update, transform; in ``work.plane`` at `place`."""
    if fresh:
        transform(rho, r0, work.plane, place, work.one, work.two, x.whole, x.twiddles)
        return
    a, b = (work.one, work.two) if x.there.shape[0] % 2 == 1 else (work.two, work.one)
    t = x.turn
    transform(work.plane, place, a, 0, work.one, work.two, x.there, x.twiddles)
    update(
        a, 0, b, 0, x.twiddles_back, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], rho, r0, support, r0 // 2, keep, take
    )  # fmt: skip
    transform(b, 0, work.plane, place, a, b, x.back, x.twiddles_back)


@_compile()
def gather(total, rho):  # type: ignore[no-untyped-def]
    """Add `rho` to `total`."""
    for i in range(total.size):
        total[i] += rho[i]
