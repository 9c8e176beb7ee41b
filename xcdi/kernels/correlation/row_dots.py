"""Scalar products of rows of bytes, several at once, in whatever vectors the CPU has."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "four_dots", "one_dot"]

LANES = 64  # bytes at once; rows must be as long, or longer
_BYTES, _SUMS, _PLACE = types.Array(types.uint8, 2, "C"), types.Array(types.int64, 1, "C"), types.int64
_INT, _BYTE, _WIDE = ir.IntType(64), ir.IntType(8), ir.IntType(32)
_VECTOR, _TOTAL = ir.VectorType(_BYTE, LANES), ir.VectorType(_WIDE, 16)


@intrinsic
def four_dots(_context, left, i, right, j, start, start2, size, sums):  # type: ignore[no-untyped-def]
    """Write to ``sums[:4]`` the products of row i of `left` with rows j, j - 1, j - 2, j - 3 of `right`.

    Of `size` bytes, from `start` and `start2` on. At most 127 in `right`, and less than 2**31 in each sum; 64 bytes or more.
    """
    return types.void(_BYTES, _PLACE, _BYTES, _PLACE, _PLACE, _PLACE, _PLACE, _SUMS), _emitter(4)


@intrinsic
def one_dot(_context, left, i, right, j, start, start2, size, sums):  # type: ignore[no-untyped-def]
    """Write to ``sums[0]`` the product of row i of `left` with row j of `right`; as :func:`four_dots`."""
    return types.void(_BYTES, _PLACE, _BYTES, _PLACE, _PLACE, _PLACE, _PLACE, _SUMS), _emitter(1)


def _emitter(rows: int):  # type: ignore[no-untyped-def]
    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        left, i, right, j, start, start2, size, sums = arguments
        one = _row(context, b, left, i, start)
        others = [_row(context, b, right, b.sub(j, _INT(r)), start2) for r in range(rows)]
        totals = [cgutils.alloca_once_value(b, ir.Constant(_TOTAL, [0] * 16)) for _ in range(rows)]
        step, whole = _step(context), b.udiv(size, _INT(LANES))

        def work(at: ir.Value, mine: ir.Value) -> None:
            for other, total in zip(others, totals, strict=True):
                b.store(step(b, b.load(total), mine, _load(b, other, at)), total)

        with cgutils.for_range(b, whole) as loop:
            at = b.mul(loop.index, _INT(LANES))
            work(at, _load(b, one, at))
        rest = b.sub(size, b.mul(whole, _INT(LANES)))
        with b.if_then(b.icmp_signed(">", rest, _INT(0))):
            at = b.sub(size, _INT(LANES))  # the last vector overlaps the one before it, whose bytes are taken out
            work(at, b.select(_last(b, rest), _load(b, one, at), ir.Constant(_VECTOR, [0] * LANES)))
        out = context.make_array(_SUMS)(context, b, sums).data
        add = cgutils.get_or_insert_function(b.module, ir.FunctionType(_WIDE, [_TOTAL]), "llvm.vector.reduce.add.v16i32")
        for r, total in enumerate(totals):
            b.store(b.zext(b.call(add, [b.load(total)]), _INT), b.gep(out, [_INT(r)]))
        return context.get_dummy_value()

    return emit


def _row(context: Any, b: ir.IRBuilder, array: ir.Value, row: ir.Value, start: ir.Value) -> ir.Value:
    """Pointer to byte `start` of a row."""
    array = context.make_array(_BYTES)(context, b, array)
    return b.gep(array.data, [b.add(b.mul(row, b.extract_value(array.shape, 1)), start)])


def _load(b: ir.IRBuilder, row: ir.Value, at: ir.Value) -> ir.Value:
    return b.load(b.bitcast(b.gep(row, [at]), _VECTOR.as_pointer()), align=1)


def _last(b: ir.IRBuilder, rest: ir.Value) -> ir.Value:
    """Which of 64 lanes are the last `rest`."""
    lanes, anything = ir.Constant(_VECTOR, list(range(LANES))), ir.Constant(_VECTOR, ir.Undefined)
    first = b.insert_element(anything, b.trunc(b.sub(_INT(LANES), rest), _BYTE), _WIDE(0))
    every = b.shuffle_vector(first, anything, ir.Constant(ir.VectorType(_WIDE, LANES), [0] * LANES))
    return b.icmp_unsigned(">=", lanes, every)


def _step(context: Any):  # type: ignore[no-untyped-def]
    """How 64 products are added to 16 sums."""
    features = str(context.codegen().magic_tuple())
    return _in_one if "+avx512vnni" in features else _in_parts


def _in_one(b: ir.IRBuilder, total: ir.Value, one: ir.Value, other: ir.Value) -> ir.Value:
    """By AVX-512 VNNI: unsigned bytes of `one` with signed bytes of `other`."""
    name = "llvm.x86.avx512.vpdpbusd.512"
    function = cgutils.get_or_insert_function(b.module, ir.FunctionType(_TOTAL, [_TOTAL] * 3), name)
    return b.call(function, [total, b.bitcast(one, _TOTAL), b.bitcast(other, _TOTAL)])


def _in_parts(b: ir.IRBuilder, total: ir.Value, one: ir.Value, other: ir.Value) -> ir.Value:
    """By widening 16 bytes at a time, which LLVM lowers to what there is."""
    for part in range(0, LANES, 16):
        lanes = ir.Constant(_TOTAL, list(range(part, part + 16)))
        x, y = (b.zext(b.shuffle_vector(v, ir.Constant(_VECTOR, ir.Undefined), lanes), _TOTAL) for v in (one, other))
        total = b.add(total, b.mul(x, y))
    return total
