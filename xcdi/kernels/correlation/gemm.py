"""Exact products of frames by the matrix products of a GPU in few bits: bytes summed as integers, half precision summed in single."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xcdi.backend import Array, namespace

__all__ = ["products"]

STEP = 16  # pixels and frames are padded to a multiple of it, which the units for bytes want
PANEL_BYTES = 2**30  # of converted counts at a time
TRANSPOSED, PLAIN = 1, 0  # CUBLAS_OP_T, CUBLAS_OP_N
DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT


class Form(NamedTuple):
    """In what cuBLAS multiplies: types of counts and sums, its numbers for both and for the arithmetic, and what is exact."""

    counts: str
    sums: str
    stored: int  # CUDA_R_8I, CUDA_R_16F
    summed: int  # CUDA_R_32I, CUDA_R_32F
    arithmetic: int  # CUBLAS_COMPUTE_32I, CUBLAS_COMPUTE_32F
    brightest: int
    largest: int


BYTES = Form("int8", "int32", 3, 10, 72, 127, 2**31)
HALVES = Form("float16", "float32", 2, 0, 68, 2048, 2**24)


def products(counts: Array, later: Array | None = None) -> Array | None:
    """Exact sums over pixels of the products of counts in two frames, on a GPU.

    Parameters
    ----------
    counts : integer array of CuPy, shape (time, pixel)
        0 or more.
    later : integer array of CuPy, shape (time2, pixel), optional
        Second set of frames; by default the same as `counts`.

    Returns
    -------
    float64 array, shape (time, time2), or None
        Integers, exact; None if counts are too large for few bits.

    Notes
    -----
    Counts up to 127 are multiplied as bytes and summed as 32-bit integers, over so many pixels at a time that no sum can
    pass 2**31. Those up to 2048 are multiplied in half precision and summed in single, if no sum can pass 2**24.
    Source: NVIDIA, cuBLAS Library, cublasGemmEx.
    """
    xp = namespace(counts)
    both = [counts] if later is None else [counts, later]
    brightest = max((int(xp.max(c)) for c in both if 0 not in c.shape), default=0)
    if brightest <= BYTES.brightest:
        form, exact = BYTES, (BYTES.largest - 1) // max(1, brightest**2) // STEP * STEP
    elif brightest <= HALVES.brightest and max(_largest_square(c) for c in both) < HALVES.largest:
        form, exact = HALVES, counts.shape[1]
    else:
        return None
    rows = sum(_padded(c.shape[0]) for c in both)
    size = min(exact, max(STEP, PANEL_BYTES // (np.dtype(form.counts).itemsize * max(1, rows)) // STEP * STEP))
    total = xp.zeros((counts.shape[0], both[-1].shape[0]), dtype=xp.float64)
    for start in range(0, counts.shape[1], size):
        panels = [_panel(c[:, start : start + size], form) for c in both]
        total += _multiply(panels[0], panels[-1], form)[: total.shape[0], : total.shape[1]]
    return total


def _largest_square(counts: Array) -> float:
    """Largest sum of squared counts of a frame: no product of two frames is above it (Cauchy and Schwarz)."""
    xp = namespace(counts)
    real = counts.astype(xp.float64)
    return float(xp.max(xp.sum(real * real, axis=1))) if counts.size else 0.0


def _padded(size: int) -> int:
    return -(-size // STEP) * STEP


def _panel(counts: Array, form: Form) -> Array:
    """Counts in few bits, with zeros up to a multiple of 16 frames and pixels."""
    xp = namespace(counts)
    panel = xp.zeros(tuple(_padded(size) for size in counts.shape), dtype=form.counts)
    panel[: counts.shape[0], : counts.shape[1]] = counts
    return panel


def _multiply(left: Array, right: Array, form: Form) -> Array:
    """Return ``left @ right.T``. To cuBLAS, which counts columns first, that is the transpose of right times left transposed."""
    xp = namespace(left)
    out = xp.empty((left.shape[0], right.shape[0]), dtype=form.sums)
    if 0 in out.shape:
        return out
    one, zero = np.ones((), form.sums), np.zeros((), form.sums)
    depth = left.shape[1]
    xp.cuda.cublas.gemmEx(
        xp.cuda.Device().cublas_handle,
        *(TRANSPOSED, PLAIN),
        *(right.shape[0], left.shape[0], depth),
        one.ctypes.data,
        *(right.data.ptr, form.stored, depth),
        *(left.data.ptr, form.stored, depth),
        zero.ctypes.data,
        *(out.data.ptr, form.summed, right.shape[0]),
        form.arithmetic,
        DEFAULT_ALGORITHM,
    )
    return out
