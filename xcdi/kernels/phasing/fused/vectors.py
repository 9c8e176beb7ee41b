"""Sixteen float32 lanes at once, written in LLVM's own vectors: small transforms and what is done between them.

LLVM lowers ``<16 x float>`` to whatever the CPU has (AVX-512, AVX2, SSE, NEON), so nothing here is tied to one of them;
compilers do not find these vectors by themselves in strided complex data.

Wherever complex numbers are kept they lie in *blocks* of 32 floats: 16 real parts, then 16 imaginary parts. The transform
of conjugate sign is the same one with the two parts exchanged, so only one sign is ever written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir
from numba.core import cgutils

__all__ = [
    "BLOCK",
    "INT",
    "LANES",
    "RADICES",
    "VECTOR",
    "Lanes",
    "Pair",
    "add",
    "constant",
    "dft",
    "divide",
    "loops",
    "multiply",
    "read",
    "read_pair",
    "root",
    "spread",
    "subtract",
    "transposed",
    "turned",
    "where",
    "write",
    "write_pair",
]

LANES = 16
BLOCK = 2 * LANES  # floats of 16 complex numbers
RADICES = (2, 3, 4, 5, 7, 8)

Lanes: TypeAlias = ir.Value
Pair: TypeAlias = tuple[ir.Value, ir.Value]  # real and imaginary parts of 16 complex numbers

VECTOR = ir.VectorType(ir.FloatType(), LANES)
INT = ir.IntType(64)  # indices and counts
_FAST = ("fast",)
_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


def add(b: ir.IRBuilder, x: Lanes, y: Lanes) -> Lanes:
    """Return x + y."""
    return b.fadd(x, y, flags=_FAST)


def subtract(b: ir.IRBuilder, x: Lanes, y: Lanes) -> Lanes:
    """Return x - y."""
    return b.fsub(x, y, flags=_FAST)


def multiply(b: ir.IRBuilder, x: Lanes, y: Lanes) -> Lanes:
    """Return x * y."""
    return b.fmul(x, y, flags=_FAST)


def divide(b: ir.IRBuilder, x: Lanes, y: Lanes) -> Lanes:
    """Return x / y."""
    return b.fdiv(x, y, flags=_FAST)


def root(b: ir.IRBuilder, x: Lanes) -> Lanes:
    """Return the square root of x."""
    function = cgutils.get_or_insert_function(b.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.sqrt.v{LANES}f32")
    return b.call(function, [x])


def constant(value: float) -> Lanes:
    """Return `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def spread(b: ir.IRBuilder, scalar: ir.Value) -> Lanes:
    """Return a scalar in every lane."""
    one = b.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return b.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), _FIRST)


def read(b: ir.IRBuilder, data: ir.Value, index: ir.Value) -> Lanes:
    """Return the 16 floats at `index`."""
    return b.load(b.bitcast(b.gep(data, [index]), VECTOR.as_pointer()), align=4)


def write(b: ir.IRBuilder, data: ir.Value, index: ir.Value, lanes: Lanes) -> None:
    """Store 16 floats at `index`."""
    b.store(lanes, b.bitcast(b.gep(data, [index]), VECTOR.as_pointer()), align=4)


def read_pair(b: ir.IRBuilder, data: ir.Value, index: ir.Value) -> Pair:
    """Return the block at `index`."""
    return read(b, data, index), read(b, data, b.add(index, INT(LANES)))


def write_pair(b: ir.IRBuilder, data: ir.Value, index: ir.Value, pair: Pair) -> None:
    """Store a block at `index`."""
    write(b, data, index, pair[0])
    write(b, data, b.add(index, INT(LANES)), pair[1])


def where(b: ir.IRBuilder, chosen: ir.Value, yes: Pair, no: Pair) -> Pair:
    """Return `yes` in the lanes that are chosen, `no` in the others."""
    return b.select(chosen, yes[0], no[0]), b.select(chosen, yes[1], no[1])


@contextmanager
def loops(b: ir.IRBuilder, outer: ir.Value, inner: ir.Value) -> Iterator[Pair]:
    """Write the body of two nested loops; gives both counters."""
    with cgutils.for_range(b, outer) as one, cgutils.for_range(b, inner) as other:
        yield one.index, other.index


def turned(b: ir.IRBuilder, z: Pair, twiddles: ir.Value, index: ir.Value) -> Pair:
    """Return z times the twiddle factor at `index`."""
    re, im = (spread(b, b.load(b.gep(twiddles, [b.add(index, INT(k))]))) for k in range(2))
    return (
        subtract(b, multiply(b, z[0], re), multiply(b, z[1], im)),
        add(b, multiply(b, z[0], im), multiply(b, z[1], re)),
    )


def dft(b: ir.IRBuilder, x: list[Pair]) -> list[Pair]:
    r"""Return the transform :math:`X_j = \sum_k x_k e^{-2\pi i jk/p}` of p = 2, 3, 4, 5, 7 or 8 blocks."""
    if len(x) == 2:
        return [_plus(b, *x), _minus(b, *x)]
    if len(x) in (4, 8):
        return _even_odd(b, dft(b, x[0::2]), dft(b, x[1::2]))
    return _prime(b, x)


def _even_odd(b: ir.IRBuilder, even: list[Pair], odd: list[Pair]) -> list[Pair]:
    """Join the transforms of the even and the odd blocks."""
    eighths = [0, 2] if len(odd) == 2 else [0, 1, 2, 3]
    high = [_eighth(b, z, n) for z, n in zip(odd, eighths, strict=True)]
    sums = [_plus(b, e, o) for e, o in zip(even, high, strict=True)]
    return sums + [_minus(b, e, o) for e, o in zip(even, high, strict=True)]


def _eighth(b: ir.IRBuilder, z: Pair, n: int) -> Pair:
    """Return z turned by -n eighths of a circle."""
    re, im = z
    half, zero = constant(math.sqrt(0.5)), constant(0.0)
    match n:
        case 0:
            return z
        case 1:
            return multiply(b, add(b, re, im), half), multiply(b, subtract(b, im, re), half)
        case 2:
            return im, subtract(b, zero, re)
    return multiply(b, subtract(b, im, re), half), multiply(b, add(b, re, im), constant(-math.sqrt(0.5)))


def _prime(b: ir.IRBuilder, x: list[Pair]) -> list[Pair]:
    """Transform of an odd number of blocks: sums and differences of the mirrored ones."""
    p = len(x)
    pairs = [(x[k], x[p - k]) for k in range(1, (p + 1) // 2)]
    sums, differences = [_plus(b, *pair) for pair in pairs], [_minus(b, *pair) for pair in pairs]
    out = [x[0]] * p
    for total in sums:
        out[0] = _plus(b, out[0], total)
    for j in range(1, (p + 1) // 2):
        angles = [2 * math.pi * (j * k % p) / p for k in range(1, (p + 1) // 2)]
        mean = _combine(b, [x[0], *sums], [1.0, *map(math.cos, angles)])
        re, im = _combine(b, differences, list(map(math.sin, angles)))
        out[j] = add(b, mean[0], im), subtract(b, mean[1], re)
        out[p - j] = subtract(b, mean[0], im), add(b, mean[1], re)
    return out


def _plus(b: ir.IRBuilder, x: Pair, y: Pair) -> Pair:
    return add(b, x[0], y[0]), add(b, x[1], y[1])


def _minus(b: ir.IRBuilder, x: Pair, y: Pair) -> Pair:
    return subtract(b, x[0], y[0]), subtract(b, x[1], y[1])


def _combine(b: ir.IRBuilder, x: list[Pair], factors: list[float]) -> Pair:
    """Return the sum of x times real factors."""
    terms = [(multiply(b, z[0], constant(f)), multiply(b, z[1], constant(f))) for z, f in zip(x, factors, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = _plus(b, total, term)
    return total


def transposed(b: ir.IRBuilder, rows: list[Lanes]) -> list[Lanes]:
    """Return the transpose of 16 rows of 16 floats: four rounds of perfect shuffles."""
    half = LANES // 2
    halves = [[lane for k in range(half) for lane in (first + k, LANES + first + k)] for first in (0, half)]
    shuffles = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), order) for order in halves]
    for _ in range(4):
        rows = [b.shuffle_vector(rows[k], rows[k + half], order) for k in range(half) for order in shuffles]
    return rows
