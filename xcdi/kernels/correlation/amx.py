"""Dot products of bytes by the matrix unit of some processors (AMX), if the operating system lends it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["SQUARE", "available", "begin", "end", "multiply"]

SQUARE = 32  # frames by frames whose dot products are summed at once, in four registers of the unit
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18  # Linux on x86-64: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)

_BLOCKS, _SUMS = types.Array(types.uint8, 4, "C"), types.Array(types.int32, 2, "C")
_BYTE, _INT, _POINTER = ir.IntType(8), ir.IntType(64), ir.IntType(8).as_pointer()


@cache
def available() -> bool:
    """Whether this processor has the unit, and this process may use it; asking for that is for good, and does no harm."""
    features = get_host_cpu_features()
    if not (sys.platform == "linux" and features.get("amx-tile") and features.get("amx-int8")):
        return False
    return ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) == 0


def _call(b: ir.IRBuilder, name: str, *values: Any) -> None:
    """Call an instruction of the unit; registers are numbers."""
    given = [_BYTE(value) if isinstance(value, int) else value for value in values]
    function = cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), [v.type for v in given]), f"llvm.x86.{name}")
    b.call(function, given)


@intrinsic
def begin(_context):  # type: ignore[no-untyped-def]
    """Set the unit of this thread up: all eight registers are of 16 rows of 64 bytes."""

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        shapes = [1, 0, *[0] * 14, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8]  # palette 1; bytes of a row; rows
        layout = ir.Constant(ir.ArrayType(_BYTE, 64), [_BYTE(v) for v in shapes])
        _call(b, "ldtilecfg", b.bitcast(cgutils.alloca_once_value(b, layout), _POINTER))
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def end(_context):  # type: ignore[no-untyped-def]
    """Give the unit of this thread back."""

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        _call(b, "tilerelease")
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def multiply(_context, rows, i, columns, j, first, n, sums):  # type: ignore[no-untyped-def]
    """Write to `sums` the products of blocks i and i + 1 of `rows` with j and j + 1 of `columns`, summed over n blocks of pixels."""
    signature = types.void(_BLOCKS, types.int64, _BLOCKS, types.int64, types.int64, types.int64, _SUMS)

    def emit(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        _, i, _, j, first, n, _ = arguments
        rows, columns = (context.make_array(_BLOCKS)(context, b, arguments[k]) for k in (0, 2))
        sums = b.bitcast(context.make_array(_SUMS)(context, b, arguments[6]).data, _POINTER)
        from_ = [_block(b, array, b.add(at, _INT(k)), first) for array, at in ((rows, i), (columns, j)) for k in (0, 1)]
        for register in range(4):
            _call(b, "tilezero", register)
        with cgutils.for_range(b, n) as loop:
            here = b.mul(loop.index, _INT(1024))
            for register, pointer in enumerate(from_, start=4):
                _call(b, "tileloadd64", register, b.gep(pointer, [here]), _INT(64))
            for register, (left, right) in enumerate(((4, 6), (4, 7), (5, 6), (5, 7))):
                _call(b, "tdpbuud", register, left, right)
        for register in range(4):
            offset = 4 * (SQUARE // 2) * (SQUARE * (register // 2) + register % 2)
            _call(b, "tilestored64", register, b.gep(sums, [_INT(offset)]), _INT(4 * SQUARE))
        return context.get_dummy_value()

    return signature, emit


def _block(b: ir.IRBuilder, blocks: Any, k: ir.Value, first: ir.Value) -> ir.Value:
    """Pointer to a block."""
    at = b.add(b.mul(k, b.extract_value(blocks.shape, 1)), first)
    return b.gep(blocks.data, [b.mul(at, _INT(1024))])
