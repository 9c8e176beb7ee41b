"""Exact products of frames by the matrix products of BLAS, in single precision wherever that is exact."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg import blas

from xcdi.backend import Array
from xcdi.kernels.correlation.photons import Photons
from xcdi.kernels.correlation.tiling import Counts, lay, panels, shape, tiles

__all__ = ["EXACT_DOUBLE", "EXACT_SINGLE", "products"]

EXACT_SINGLE, EXACT_DOUBLE = 2**24, 2**53  # integers up to here are exact in float32, in float64
PANEL_BYTES = 2**27  # of copies of counts at a time
MIRRORED = 64  # rows and columns that are mirrored at a time


def products(left: Counts, right: Counts | None = None) -> Array:
    """Exact sums over pixels of the products of counts in two frames.

    Parameters
    ----------
    left : array of integers (of any type), shape (time, pixel), or Photons
        Photon counts, 0 or more.
    right : array, shape (time2, pixel), or Photons, optional
        Second set of frames; by default the same as `left`, at half the cost.

    Returns
    -------
    float64 array, shape (time, time2)
        Integers, exact.

    Raises
    ------
    ValueError
        If a sum could pass 2**53.

    Notes
    -----
    Counts are copied panel by panel of pixels; those in single precision already are not. Sums stay in single
    precision until they could reach 2**24. Runs on as many threads as BLAS has been told.

    Examples
    --------
    >>> products(np.array([[1, 2], [3, 0]]))
    array([[5., 3.],
           [3., 9.]])
    """
    both = [left] if right is None else [right, left]  # BLAS counts columns first: it writes the transpose
    frames = [shape(counts)[0] for counts in both]
    if 0 in frames or shape(left)[1] == 0:
        return np.zeros((frames[-1], frames[0]))
    sums = _Sums(frames[0], frames[-1])
    size = shape(left)[1] if all(_ready(counts) for counts in both) else max(256, PANEL_BYTES // (4 * sum(frames)))
    for start, stop in panels(shape(left)[1], size):
        bound = _bound(both, start, stop)
        if bound < EXACT_SINGLE:
            sums.add_single([_as(np.float32, counts, start, stop) for counts in both], bound)
        else:
            for some in panels(stop - start, max(256, PANEL_BYTES // (8 * sum(frames)))):
                sums.add_double([_as(np.float64, counts, start + some[0], start + some[1]) for counts in both])
    return sums.total(symmetric=right is None)


class _Sums:
    """Products so far, in the order of Fortran; of one set of frames only those above the diagonal."""

    def __init__(self, rows: int, columns: int) -> None:
        self.single = np.zeros((rows, columns), np.float32, order="F")
        self.double: Array | None = None
        self.bound = 0.0

    def add_single(self, both: list[Array], bound: float) -> None:
        """Add a panel whose products stay below `bound`."""
        if self.bound + bound >= EXACT_SINGLE:
            self._empty()
        self.bound += bound
        _multiply(blas.ssyrk, blas.sgemm, both, self.single)

    def add_double(self, both: list[Array]) -> None:
        """Add a panel whose products need double precision."""
        self.double = np.zeros(self.single.shape, order="F") if self.double is None else self.double
        _multiply(blas.dsyrk, blas.dgemm, both, self.double)

    def _empty(self) -> None:
        self.double = self.single.astype(np.float64) if self.double is None else np.add(self.double, self.single, out=self.double)
        self.single[...] = self.bound = 0

    def total(self, *, symmetric: bool) -> Array:
        """Return all products."""
        if self.double is not None:
            self._empty()
        done = self.single if self.double is None else self.double
        if not symmetric:
            return done.T.astype(np.float64, copy=False)
        out = np.empty(done.shape)
        for tile in tiles(len(out), None, MIRRORED):
            _mirror(done.T, out, *tile)
        return out


def _multiply(syrk, gemm, both: list[Array], out: Array) -> None:  # type: ignore[no-untyped-def]
    """Add the products of one panel to `out`, in place."""
    if len(both) == 1:
        syrk(1, both[0].T, trans=1, beta=1, c=out, overwrite_c=1)
    else:
        gemm(1, both[0].T, both[1].T, trans_a=1, beta=1, c=out, overwrite_c=1)


def _ready(counts: Counts) -> bool:
    """Whether BLAS takes the counts as they are."""
    return not isinstance(counts, Photons) and counts.dtype == np.float32 and bool(counts.flags.c_contiguous)


def _as(kind: DTypeLike, counts: Counts, start: int, stop: int) -> Array:
    """Counts of a panel of pixels, in order and as `kind`."""
    if _ready(counts) and kind is np.float32 and stop - start == shape(counts)[1]:
        return counts
    out = np.empty((shape(counts)[0], stop - start), kind)
    lay(counts, start, stop, out)
    return out


def _bound(both: list[Counts], start: int, stop: int) -> float:
    """What no product of frames within a panel of pixels can pass.

    Raises
    ------
    ValueError
        If that is more than double precision holds.
    """
    bound = (stop - start) * max(_brightest(counts, start, stop) for counts in both) ** 2
    if bound >= EXACT_SINGLE:  # too careful where one pixel is bright: Cauchy and Schwarz know better
        bound = max(_most(counts, start, stop) for counts in both)
    if bound >= EXACT_DOUBLE:
        raise ValueError(f"a sum of products could reach {bound:.2g}, past the 2**53 that is exact; leave the brightest pixels out")
    return bound


def _brightest(counts: Counts, start: int, stop: int) -> float:
    return float((counts.count if isinstance(counts, Photons) else counts[:, start:stop]).max(initial=0))


def _most(counts: Counts, start: int, stop: int) -> float:
    """Largest sum of squared counts of a frame."""
    if isinstance(counts, Photons):
        return float(counts.squares.max())
    return float(_largest_square(counts[:, start:stop]))


@numba.njit(nogil=True, cache=True, fastmath={"reassoc"})
def _largest_square(counts):  # type: ignore[no-untyped-def]
    most = 0.0
    for t in range(counts.shape[0]):
        total = 0.0
        for p in range(counts.shape[1]):
            total += np.float64(counts[t, p]) ** 2
        most = max(most, total)
    return most


@numba.njit(nogil=True, cache=True)
def _mirror(lower, out, i0, i1, j0, j1):  # type: ignore[no-untyped-def]
    """Write a tile of the upper triangle, and its mirror image, from the lower triangle."""
    for j in range(j0, j1):
        for i in range(i0, min(i1, j + 1)):
            out[j, i] = lower[j, i]
    for i in range(i0, i1):
        for j in range(max(i, j0), j1):
            out[i, j] = out[j, i]
