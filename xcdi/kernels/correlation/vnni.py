"""Dot products of bytes by the vector instruction VPDPBUSD (AVX-512 VNNI)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["available", "multiply"]

ROWS = 8  # frames whose dot products with 32 others are summed at once, in 16 registers
LANES = 16  # frames in a register

_BLOCKS, _SUMS = types.Array(types.uint8, 4, "C"), types.Array(types.int32, 2, "C")
_INT, _WORD = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_WORD, LANES)


def available() -> bool:
    """Whether this processor has the instruction."""
    features = get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512bw"))


@intrinsic
def multiply(_context, rows, i, columns, j, first, n, sums):  # type: ignore[no-untyped-def]
    """Write to `sums` the products of blocks i and i + 1 of `rows` with j and j + 1 of `columns`, summed over n blocks of pixels.

    Counts of `columns` are read with a sign, so that they must not pass 127.
    """
    signature = types.void(_BLOCKS, types.int64, _BLOCKS, types.int64, types.int64, types.int64, _SUMS)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        _, i, _, j, first, n, _ = arguments
        rows, columns = (context.make_array(_BLOCKS)(context, b, arguments[k]) for k in (0, 2))
        sums = context.make_array(_SUMS)(context, b, arguments[6]).data
        right = [_block(b, columns, b.add(j, _INT(k)), first) for k in (0, 1)]
        with cgutils.for_range(b, _INT(2 * LANES // ROWS)) as part:
            top = b.mul(part.index, _INT(ROWS))
            left = b.gep(_block(b, rows, b.add(i, b.udiv(top, _INT(LANES))), first), [b.mul(b.urem(top, _INT(LANES)), _INT(64))])
            totals = [cgutils.alloca_once(b, _VECTOR) for _ in range(2 * ROWS)]
            for total in totals:
                b.store(ir.Constant(_VECTOR, [0] * LANES), total)
            with cgutils.for_range(b, n) as loop:
                here = b.mul(loop.index, _INT(1024))
                _sum_block(b, b.gep(left, [here]), [b.gep(pointer, [here]) for pointer in right], totals)
            for k, total in enumerate(totals):
                place = b.add(b.mul(b.add(top, _INT(k // 2)), _INT(2 * LANES)), _INT(LANES * (k % 2)))
                b.store(b.load(total), b.bitcast(b.gep(sums, [place]), _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, emit


def _sum_block(b: ir.IRBuilder, left: ir.Value, right: list[ir.Value], totals: list[ir.Value]) -> None:
    """Add the dot products over 64 pixels."""
    dot = cgutils.get_or_insert_function(b.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), "llvm.x86.avx512.vpdpbusd.512")
    for k in range(LANES):
        columns = [b.load(b.bitcast(b.gep(pointer, [_INT(64 * k)]), _VECTOR.as_pointer()), align=1) for pointer in right]
        for r in range(ROWS):
            four = _everywhere(b, b.load(b.bitcast(b.gep(left, [_INT(64 * r + 4 * k)]), _WORD.as_pointer()), align=1))
            for c, column in enumerate(columns):
                total = totals[2 * r + c]
                b.store(b.call(dot, [b.load(total), four, column]), total)


def _everywhere(b: ir.IRBuilder, word: ir.Value) -> ir.Value:
    one = b.insert_element(ir.Constant(_VECTOR, ir.Undefined), word, _WORD(0))
    return b.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_VECTOR, [0] * LANES))


def _block(b: ir.IRBuilder, blocks: Any, k: ir.Value, first: ir.Value) -> ir.Value:
    """Pointer to a block."""
    at = b.add(b.mul(k, b.extract_value(blocks.shape, 1)), first)
    return b.gep(blocks.data, [b.mul(at, _INT(1024))])
