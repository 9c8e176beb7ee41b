"""Products of frames by the kernel that is expected to be done first; all are exact."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features

from xcdi.backend import Array, namespace
from xcdi.kernels.correlation import bits, dense, dots, sparse
from xcdi.kernels.correlation.photons import Photons, from_dense
from xcdi.kernels.correlation.products import raw_products
from xcdi.kernels.correlation.tiling import Counts, shape

__all__ = ["KERNELS", "Census", "census", "choose", "costs", "products"]

KERNELS = ("dense", "bits", "sparse", "amx", "vnni")
SAMPLE = 16  # dense frames at least from which the photons of all are estimated
FEW = 2**15  # photons that are all counted


class Rates(NamedTuple):
    """Seconds of one core for each step, fitted to what benchmarks/correlation_kernels.py measures."""

    product: float = 14e-12  # of two counts, by BLAS
    copy: float = 0.6e-9  # of a count, to single precision
    bit: float = 1.25e-12  # product of two bits
    pack: float = 0.25e-9  # a count to a bit
    many: float = 60e-9  # a count above one, collected and sorted
    masked: float = 30e-12  # a count above one, added to the sums of one frame
    scattered: float = 2e-9  # product of two counts above one
    pair: float = 1e-9  # product of two photons in lists
    event: float = 20e-9  # a photon, sorted into lists
    sift: float = 1.05e-9  # a dense count, looked at for photons
    spread: float = 3e-9  # a photon, written among dense counts
    amx: float = 2.6e-12  # product of two bytes, by the matrix unit
    vnni: float = 5e-12  # the same, by vector instructions
    block: float = 0.5e-9  # a count, laid into blocks of bytes
    element: float = 3.5e-9  # of the matrix, written and mirrored


RATES = {  # by the best instructions for counting bits; measured on a Sapphire Rapids, the second held to what a Haswell has
    "avx512vpopcntdq": Rates(),
    "": Rates(product=29e-12, bit=4.1e-12, masked=75e-12),
}


class Census(NamedTuple):
    """How many counts there are, and of which kind.

    Attributes
    ----------
    frames, pixels : int
    listed : bool
        Whether the counts are :class:`Photons`.
    whole : bool
        Whether their type is one of integers.
    brightest : int
        No count is above it.
    scale : float
        Frames that each frame of the sample stands for.
    seen, many : float64 array, shape (pixel,)
        Frames in which each pixel has photons, or more than one; estimated from some frames for dense counts.
    """

    frames: int
    pixels: int
    listed: bool
    whole: bool
    brightest: int
    scale: float
    seen: Array
    many: Array


def products(left: Counts, right: Counts | None = None, *, kernel: str = "auto", threads: int = 1) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    left : array of integers (of any type), shape (time, pixel), or Photons
        Photon counts, 0 or more.
    right : array, shape (time2, pixel), or Photons, optional
        Second set of frames, over the same pixels; by default the same as `left`, at half the cost.
    kernel : str, optional
        One of :data:`KERNELS`, or ``"auto"``: the one of least expected cost.
    threads : int, optional
        At most so many at once; BLAS has a number of its own.

    Returns
    -------
    float64 array, shape (time, time2)
        Integers: the same bits by every kernel and any number of threads. Symmetric without `right`.

    Raises
    ------
    ValueError
        If the kernel is not known or does not take such counts, the two have not the same pixels,
        or a sum could pass 2**53.

    Notes
    -----
    Arrays of other libraries, such as those on a GPU, go to :func:`raw_products`. Besides the result and photon lists,
    some hundred megabytes are taken at most.

    Examples
    --------
    >>> products(np.array([[1, 2], [3, 0]]), kernel="bits")
    array([[5., 3.],
           [3., 9.]])
    """
    if not isinstance(left, Photons) and namespace(left) is not np:
        return raw_products(left, right)
    if right is not None and shape(left)[1] != shape(right)[1]:
        raise ValueError(f"frames of {shape(left)[1]} pixels by frames of {shape(right)[1]}; expected the same pixels")
    chosen = choose(left, right) if kernel == "auto" else kernel
    if chosen == "dense":
        return dense.products(left, right)
    if chosen == "bits":
        return bits.products(left, right, threads=threads)
    if chosen in dots.LIMITS:
        if not all(_fits(counts, dots.LIMITS[chosen]) for counts in (left, right) if counts is not None):
            raise ValueError(f"kernel {chosen!r} takes whole counts up to {dots.LIMITS[chosen]}; choose another")
        return dots.products(left, right, unit=chosen, threads=threads)
    if chosen == "sparse":
        return _as_double(sparse.products(_listed(left), None if right is None else _listed(right), threads=threads))
    raise ValueError(f"no kernel {chosen!r}; expected 'auto' or one of {', '.join(KERNELS)}")


def _listed(counts: Counts) -> Photons:
    return counts if isinstance(counts, Photons) else from_dense(counts)


def choose(left: Counts, right: Counts | None = None) -> str:
    """Name of the kernel of least expected cost.

    Examples
    --------
    >>> choose(np.ones((100, 1000), np.uint8))
    'bits'
    """
    cost = costs(census(left), None if right is None else census(right))
    return min(cost, key=cost.__getitem__)


def census(counts: Counts) -> Census:
    """Count the photons of frames: of all, or of some of them where that would take long."""
    frames, pixels = shape(counts)
    seen, many = np.zeros(pixels), np.zeros(pixels)
    if isinstance(counts, Photons):
        values, step = counts.count, min(max(1, counts.count.size // FEW), max(1, frames // SAMPLE))
        _sample_photons(counts.start, counts.pixel, counts.count, step, seen, many)
    else:
        values, step = counts, max(1, frames // SAMPLE)
        _sample_dense(counts[::step], seen, many)
    scale = frames / max(1, -(-frames // step))
    brightest = 255 if values.dtype == np.uint8 and "amx" in dots.units() else int(values.max(initial=0))  # bytes need no look
    whole = values.dtype.kind in "bui"
    return Census(frames, pixels, isinstance(counts, Photons), whole, brightest, scale, scale * seen, scale * many)


def costs(left: Census, right: Census | None = None) -> dict[str, float]:
    """Seconds of one core that each kernel is expected to take; those that do not take such counts are left out."""
    both = [left] if right is None else [left, right]
    columns = (right or left).frames
    elements, area = left.frames * columns, sum(c.frames * c.pixels for c in both)
    work = elements * left.pixels / (2 if right is None else 1)
    rates = _rates()
    spread = sum(c.seen.sum() for c in both if c.listed) * rates.spread
    cost = {"dense": work * rates.product + area * rates.copy + spread + elements * rates.element}
    if all(c.whole for c in both):
        sifted = sum(c.frames * c.pixels for c in both if not c.listed) * rates.sift
        sorted_ = (right or left).seen.sum() * rates.event
        cost["sparse"] = _pairs(left, right, "seen") * rates.pair + sifted + sorted_ + elements * rates.element
        masked = sum(c.many.sum() * o.frames for c, o in zip(both, both[::-1], strict=True)) * rates.masked
        scattered = _pairs(left, right, "many") * rates.scattered
        extra = masked + scattered + sum(c.many.sum() for c in both) * rates.many
        cost["bits"] = work * rates.bit + area * rates.pack + extra + elements * rates.element
        for unit in dots.units():
            if all(c.brightest <= dots.LIMITS[unit] for c in both):
                cost[unit] = work * getattr(rates, unit) + area * rates.block + spread + elements * rates.element
    return cost


def _fits(counts: Counts, limit: int) -> bool:
    """Whether counts are whole, and none is above `limit`."""
    values = counts.count if isinstance(counts, Photons) else counts
    return values.dtype.kind in "bui" and (
        (np.iinfo(np.uint8).max <= limit and values.dtype == np.uint8) or int(values.max(initial=0)) <= limit
    )


def _pairs(left: Census, right: Census | None, which: str) -> float:
    """Pairs of counts in the same pixel, each once: exact for photon lists, expected from a sample for dense counts."""
    ours = getattr(left, which)
    if right is not None:
        return float(ours @ getattr(right, which))
    return float((ours @ ours - left.scale * ours.sum()) / 2 + ours.sum())


@cache
def _rates() -> Rates:
    """Rates of the best set of instructions that this processor has."""
    features = get_host_cpu_features()
    return next(rates for name, rates in RATES.items() if not name or features.get(name))


@numba.njit(nogil=True, cache=True)
def _sample_dense(counts, seen, many):  # type: ignore[no-untyped-def]
    for t in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            seen[p] += counts[t, p] > 0
            many[p] += counts[t, p] > 1


@numba.njit(nogil=True, cache=True)
def _sample_photons(start, pixel, count, step, seen, many):  # type: ignore[no-untyped-def]
    for t in range(0, start.size - 1, step):
        for e in range(start[t], start[t + 1]):
            seen[pixel[e]] += 1
            many[pixel[e]] += count[e] > 1


def _as_double(matrix: Array) -> Array:
    """The same numbers as float64, in the same memory.

    Raises
    ------
    ValueError
        If one has passed 2**53.
    """
    out = matrix.view(np.float64)
    if matrix.size and _convert(matrix.reshape(-1), out.reshape(-1)) > dense.EXACT_DOUBLE:
        raise ValueError("a sum of products has passed the 2**53 that is exact; leave the brightest pixels out")
    return out


@numba.njit(nogil=True, cache=True)
def _convert(whole, out):  # type: ignore[no-untyped-def]
    most = np.int64(0)
    for k in range(whole.size):
        most = max(most, whole[k])
        out[k] = whole[k]
    return most
