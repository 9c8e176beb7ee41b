"""Sixteen sums at once at places given by a list: AVX-512's gather and scatter, written in LLVM's own vectors."""

from __future__ import annotations

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "WIDE", "add", "fetch"]

LANES = 16
WIDE = bool(get_host_cpu_features().get("avx512f"))  # elsewhere LLVM would take each lane apart; a plain loop is used
BIT, BYTE, SHORT, WORD, LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
POINTER = "p0"  # in the names of LLVM's intrinsics


@intrinsic
def fetch(context, array, place):  # type: ignore[no-untyped-def]
    """Ask for the line of memory of an array's element, before it is needed."""

    def code(context, b, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), WORD, WORD, WORD])
        prefetch = cgutils.get_or_insert_function(b.module, kind, f"llvm.prefetch.{POINTER}")
        at = b.bitcast(b.gep(_data(context, b, signature, args, 0), [args[1]]), BYTE.as_pointer())
        b.call(prefetch, [at, WORD(0), WORD(3), WORD(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.int64), code


@intrinsic
def add(context, packed, place, left, bits, n, sums):  # type: ignore[no-untyped-def]
    """Add n times the photons of the events `place` to `place` + min(left, LANES) to the sums of their frames.

    `packed` holds uint16: the frame in its lower `bits`, above it the photons less one. No frame may stand there twice.
    """

    def code(context, b, signature, args):  # type: ignore[no-untyped-def]
        word = context.get_value_type(signature.args[5].dtype)
        events = _data(context, b, signature, args, 0)
        mask = b.icmp_unsigned("<", _constant(WORD, *range(LANES)), _spread(b, b.trunc(args[2], WORD)))
        event = b.zext(_load(b, b.gep(events, [args[1]]), mask), ir.VectorType(WORD, LANES))
        shift = b.trunc(args[3], WORD)
        frame = b.and_(event, _spread(b, b.sub(b.shl(WORD(1), shift), WORD(1))))
        photons = b.add(b.lshr(event, _spread(b, shift)), _constant(WORD, *[1] * LANES))
        if word != WORD:
            photons = b.sext(photons, ir.VectorType(word, LANES))
        _scatter(b, _data(context, b, signature, args, 5), frame, b.mul(photons, _spread(b, args[4])), mask)
        return context.get_dummy_value()

    return types.void(packed, types.uint64, types.uint64, types.int64, sums.dtype, sums), code


def _data(context, b, signature, args, which):  # type: ignore[no-untyped-def]
    """Pointer to the first element of an array among the arguments."""
    return cgutils.create_struct_proxy(signature.args[which])(context, b, args[which]).data


def _constant(kind: ir.Type, *values: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, LANES), list(values))


def _spread(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """`value` in all lanes."""
    one = b.insert_element(ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined), value, WORD(0))
    return b.shuffle_vector(one, one, _constant(WORD, *[0] * LANES))


def _load(b: ir.IRBuilder, at: ir.Value, mask: ir.Value) -> ir.Value:
    """Shorts from `at` on; memory behind the last lane of the mask is not touched."""
    shorts = ir.VectorType(SHORT, LANES)
    kind = ir.FunctionType(shorts, [shorts.as_pointer(), WORD, mask.type, shorts])
    load = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.load.v{LANES}i16.{POINTER}")
    return b.call(load, [b.bitcast(at, shorts.as_pointer()), WORD(2), mask, _constant(SHORT, *[0] * LANES)])


def _scatter(b: ir.IRBuilder, sums: ir.Value, index: ir.Value, more: ir.Value, mask: ir.Value) -> None:
    """sums[index] += more, where the mask says so."""
    word = sums.type.pointee
    places = ir.VectorType(sums.type, LANES)
    at = b.gep(sums, [b.zext(index, ir.VectorType(LONG, LANES))], source_etype=word)
    at.type = places  # llvmlite knows no addresses that are vectors; as sums of integers LLVM would split them in two
    name, size = f"v{LANES}i{word.width}.v{LANES}{POINTER}", WORD(word.width // 8)
    kind = ir.FunctionType(more.type, [places, WORD, mask.type, more.type])
    gather = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.gather.{name}")
    kind = ir.FunctionType(ir.VoidType(), [more.type, places, WORD, mask.type])
    scatter = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.scatter.{name}")
    old = b.call(gather, [at, size, mask, _constant(word, *[0] * LANES)])
    b.call(scatter, [b.add(old, more), at, size, mask])
