"""What the sweeps do to sixteen lanes, as functions that numba puts into the loops that call them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from xcdi.kernels.phasing.fused.vectors import (
    BLOCK,
    INT,
    LANES,
    RADICES,
    VECTOR,
    Pair,
    add,
    constant,
    dft,
    divide,
    loops,
    multiply,
    read,
    read_pair,
    root,
    spread,
    subtract,
    transposed,
    turned,
    where,
    write,
    write_pair,
)

__all__ = ["butterflies", "copy", "impose", "modulus", "smooth", "transpose", "update"]

_TINY = 1e-30  # keeps 0/0 out of dark pixels
_FLOATS, _BYTES = types.Array(types.float32, 1, "C"), types.Array(types.uint8, 1, "C")
_I, _F = types.int64, types.float32


class Writer:
    """What an intrinsic writes with: the builder, and the arguments by name; arrays as pointers to their first element."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Any, names: str) -> None:
        self.b = builder
        for name, kind, value in zip(names.split(), signature.args, values, strict=True):
            array = isinstance(kind, types.Array)
            setattr(self, name, context.make_array(kind)(context, builder, value).data if array else value)

    def at(self, start: ir.Value, *terms: tuple[ir.Value, ir.Value]) -> ir.Value:
        """Return start + the products of `terms`."""
        for one, other in terms:
            start = self.b.add(start, self.b.mul(one, other))
        return start

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def written(signature: Any, names: str, body: Callable[[Writer], None]) -> tuple[Any, Callable[..., ir.Value]]:
    """Return what numba asks of an intrinsic: its signature, and what writes it; `names` are those of the arguments."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        body(Writer(context, builder, signature, values, names))
        return context.get_dummy_value()

    return signature, generate


@contextmanager
def _each_vector(w: Writer, n: ir.Value) -> Iterator[ir.Value]:
    """Run over `n` vectors; gives the place of the first lane."""
    with cgutils.for_range(w.b, n) as loop:
        yield w.b.mul(loop.index, INT(LANES))


@contextmanager
def _each(w: Writer, radix: int) -> Iterator[tuple[list[Pair], ir.Value, ir.Value, ir.Value]]:
    """Run over what a pass combines; gives the blocks, their place in the source and in the target, and the outer counter."""
    block = INT(BLOCK)
    with w.b.if_then(w.b.icmp_signed("==", w.radix, INT(radix))), loops(w.b, w.outer, w.inner) as (k, c):
        source, target = w.at(w.x0, (k, w.x_step), (c, block)), w.at(w.y0, (k, w.y_step), (c, block))
        yield [read_pair(w.b, w.x, w.at(source, (INT(r), w.x_arm))) for r in range(abs(radix))], source, target, k


def _put(w: Writer, blocks: list[Pair], target: ir.Value, k: ir.Value | None) -> None:
    """Store the transformed blocks, turned where there is a counter `k`."""
    for r, z in enumerate(blocks):
        if k is not None and r:
            z = turned(w.b, z, w.twiddles, w.at(w.t0, (k, INT(2 * len(blocks) - 2)), (INT(2), INT(r - 1))))
        write_pair(w.b, w.y, w.at(target, (INT(r), w.y_arm)), z)


_PASS = "x x0 y y0 twiddles radix outer inner x_step y_step x_arm y_arm t0"
_PASS_TYPES = (_FLOATS, _I, _FLOATS, _I, _FLOATS, *8 * (_I,))


@intrinsic
def butterflies(context, x, x0, y, y0, twiddles, radix, outer, inner, x_step, y_step, x_arm, y_arm, t0):  # type: ignore[no-untyped-def]
    """One pass from `x` to `y`, as :class:`xcdi.kernels.phasing.fused.passes.Axis` says."""

    def body(w: Writer) -> None:
        for p in RADICES:
            with _each(w, p) as (blocks, _, target, k):
                _put(w, dft(w.b, blocks), target, k)
            with _each(w, -p) as (blocks, _, target, _):
                _put(w, dft(w.b, blocks), target, None)

    return written(types.void(*_PASS_TYPES), _PASS, body)


@intrinsic
def impose(  # type: ignore[no-untyped-def]
    context, x, x0, y, y0, twiddles, radix, outer, inner, x_step, y_step, x_arm, y_arm, t0, goal, g0, background, scale, error
):
    """Last pass of a transform, the measured modulus where there is one, and first pass of the transform back.

    `goal` lies as `x` does, one float per complex number and negative where free; `error` gets 16 partial sums
    of the squared misfit before that.
    """

    def body(w: Writer) -> None:
        total = cgutils.alloca_once_value(w.b, constant(0.0))
        w.b.store(constant(0.0), total)
        for p in RADICES:
            with _each(w, p) as (blocks, source, target, k):
                waves = dft(w.b, blocks)
                for r, wave in enumerate(waves):
                    place = w.b.ashr(w.b.sub(w.at(source, (INT(r), w.x_arm)), w.x0), INT(1))
                    waves[r] = _imposed(w, wave, read(w.b, w.goal, w.b.add(w.g0, place)), total)
                _put(w, dft(w.b, waves), target, k)
        write(w.b, w.error, INT(0), w.b.load(total))

    return written(types.void(*_PASS_TYPES, _FLOATS, _I, _F, _F, _FLOATS), f"{_PASS} goal g0 background scale error", body)


def _imposed(w: Writer, wave: Pair, goal: ir.Value, total: ir.Value) -> Pair:
    """Return the wave with the modulus `goal`, scaled, real and imaginary part exchanged."""
    b, (re, im) = w.b, wave
    intensity = add(b, add(b, multiply(b, re, re), multiply(b, im, im)), spread(b, w.background))
    modulus = root(b, add(b, intensity, constant(_TINY)))
    known = b.fcmp_ordered(">=", goal, constant(0.0))
    ratio = multiply(b, b.select(known, divide(b, goal, modulus), constant(1.0)), spread(b, w.scale))
    miss = b.select(known, subtract(b, modulus, goal), constant(0.0))
    b.store(add(b, b.load(total), multiply(b, miss, miss)), total)
    return multiply(b, im, ratio), multiply(b, re, ratio)


@intrinsic
def update(  # type: ignore[no-untyped-def]
    context, x, x0, y, y0, twiddles, radix, outer, inner, x_step, y_step, x_arm, y_arm, t0, rho, r0, support, s0, keep, take
):
    """Last pass of the transform back, p inside the support and keep * rho + take * p outside, and first pass of the next transform.

    `rho` and `support` lie as `x` does; `x` has real and imaginary part exchanged.
    """

    def body(w: Writer) -> None:
        for radix in RADICES:
            with _each(w, radix) as (blocks, source, target, k):
                objects = dft(w.b, blocks)
                for r, (im, re) in enumerate(objects):
                    place = w.b.sub(w.at(source, (INT(r), w.x_arm)), w.x0)
                    objects[r] = _updated(w, (re, im), place)
                _put(w, dft(w.b, objects), target, k)

    return written(types.void(*_PASS_TYPES, _FLOATS, _I, _BYTES, _I, _F, _F), f"{_PASS} rho r0 support s0 keep take", body)


def _updated(w: Writer, p: Pair, place: ir.Value) -> Pair:
    """Update the block of rho at `place` and return it."""
    b, bytes_ = w.b, ir.VectorType(ir.IntType(8), LANES)
    flags = b.gep(w.support, [b.add(w.s0, b.ashr(place, INT(1)))])
    inside = b.icmp_unsigned("!=", b.load(b.bitcast(flags, bytes_.as_pointer()), align=1), ir.Constant(bytes_, [0] * LANES))
    keep, take = spread(b, w.keep), spread(b, w.take)
    old = read_pair(b, w.rho, b.add(w.r0, place))
    outside = [add(b, multiply(b, keep, before), multiply(b, take, now)) for before, now in zip(old, p, strict=True)]
    new = where(b, inside, p, (outside[0], outside[1]))
    write_pair(b, w.rho, b.add(w.r0, place), new)
    return new


@intrinsic
def transpose(context, x, x0, y, y0):  # type: ignore[no-untyped-def]
    """Sixteen rows of one block each, contiguous at `x0`, to `y`: rows become lanes."""

    def body(w: Writer) -> None:
        for part in (0, LANES):
            rows = [read(w.b, w.x, w.b.add(w.x0, INT(BLOCK * r + part))) for r in range(LANES)]
            for r, lanes in enumerate(transposed(w.b, rows)):
                write(w.b, w.y, w.b.add(w.y0, INT(BLOCK * r + part)), lanes)

    return written(types.void(_FLOATS, _I, _FLOATS, _I), "x x0 y y0", body)


@intrinsic
def copy(context, x, x0, y, y0, n):  # type: ignore[no-untyped-def]
    """`n` times 16 floats from `x` to `y`."""

    def body(w: Writer) -> None:
        with _each_vector(w, w.n) as k:
            write(w.b, w.y, w.b.add(w.y0, k), read(w.b, w.x, w.b.add(w.x0, k)))

    return written(types.void(_FLOATS, _I, _FLOATS, _I, _I), "x x0 y y0 n", body)


@intrinsic
def modulus(context, x, x0, y, y0, n):  # type: ignore[no-untyped-def]
    """Moduli of `n` blocks of `x`, to `y`."""

    def body(w: Writer) -> None:
        with _each_vector(w, w.n) as k:
            re, im = read_pair(w.b, w.x, w.at(w.x0, (k, INT(2))))
            write(w.b, w.y, w.b.add(w.y0, k), root(w.b, add(w.b, multiply(w.b, re, re), multiply(w.b, im, im))))

    return written(types.void(_FLOATS, _I, _FLOATS, _I, _I), "x x0 y y0 n", body)


@intrinsic
def smooth(context, x, x0, unit, weights, reach, y, n):  # type: ignore[no-untyped-def]
    """`n` times 16 floats of `x` from `x0`, with those up to `reach` times `unit` to either side, weighted, to the beginning of `y`."""

    def body(w: Writer) -> None:
        b = w.b
        with _each_vector(w, w.n) as k:
            place, total = b.add(w.x0, k), cgutils.alloca_once(b, VECTOR)
            b.store(multiply(b, read(b, w.x, place), spread(b, b.load(w.weights))), total)
            with cgutils.for_range(b, w.reach) as loop:
                step = b.mul(w.unit, b.add(loop.index, INT(1)))
                weight = spread(b, b.load(b.gep(w.weights, [b.add(loop.index, INT(1))])))
                sides = add(b, read(b, w.x, b.sub(place, step)), read(b, w.x, b.add(place, step)))
                b.store(add(b, b.load(total), multiply(b, sides, weight)), total)
            write(b, w.y, k, b.load(total))

    return written(types.void(_FLOATS, _I, _I, _FLOATS, _I, _FLOATS, _I), "x x0 unit weights reach y n", body)
