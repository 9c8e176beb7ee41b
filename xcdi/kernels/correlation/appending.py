"""Two-time products while frames arrive: a block of new frames against all that came before."""

from __future__ import annotations

from itertools import accumulate, chain
from typing import NamedTuple

import numba
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.correlation import sparse
from xcdi.kernels.correlation.lists import LONGEST, Lists, in_turn, joined, of_photons
from xcdi.kernels.correlation.photons import Photons, of_frames

__all__ = ["Past", "nothing"]


class Past(NamedTuple):
    """Photons of all frames so far, pixel by pixel, in segments of consecutive frames.

    Nothing in it ever changes: what is appended makes a new past, which shares most of its segments with the old one.

    Attributes
    ----------
    segments : tuple of Lists
        Oldest first; a segment is joined to the one before it as soon as it has as many frames, up to 4096.
    pixels : int
        Number of pixels.
    """

    segments: tuple[Lists, ...]
    pixels: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(s.frames for s in self.segments)

    @property
    def bytes(self) -> int:
        """Memory of all segments."""
        return sum(a.nbytes for s in self.segments for a in (s.head, s.frame, s.weight))

    def appended(self, new: Photons, *, threads: int | None = None) -> tuple[Past, Array]:
        """Past with new frames behind it, and their products with all frames.

        Parameters
        ----------
        new : Photons
            The next frames, any number of them.
        threads : int, optional
            At most so many at once, by default numba's number. The result is the same for any number.

        Returns
        -------
        Past
        int64 array, shape (new time, time)
            Products of each new frame with every frame so far, the new ones included: the same integers as the
            rows of :func:`sparse.products` over all frames.

        Raises
        ------
        ValueError
            If the new frames have other pixels, or a sum could pass 2**63.

        Notes
        -----
        Segments grow like those of a log-structured merge tree: over the whole series each photon is moved about
        log2(4096 / frames of a block) times, and never again once its segment is full.
        Source: O'Neil et al., Acta Informatica 33, 351 (1996), doi:10.1007/s002360050048.

        Examples
        --------
        >>> from xcdi.kernels.correlation.photons import from_dense
        >>> past, _ = nothing(3).appended(from_dense(np.array([[1, 2, 0]])))
        >>> past, rows = past.appended(from_dense(np.array([[3, 0, 1]])))
        >>> past.frames, rows.tolist()
        (2, [[3, 10]])
        """
        if new.pixels != self.pixels:
            raise ValueError(f"frames of {new.pixels} pixels behind frames of {self.pixels}, expected the same pixels")
        threads = numba.get_num_threads() if threads is None else threads
        before = self.frames
        rows = np.empty((new.frames, before + new.frames), np.int64)
        columns = accumulate((s.frames for s in self.segments), initial=0)
        tasks = [sparse.tasks(new, s, rows, column=column, threads=threads) for s, column in zip(self.segments, columns, strict=False)]
        in_turn(sparse.work, list(chain.from_iterable(tasks)), threads)
        rows[:, before:] = sparse.products(new, threads=threads)
        segments = self.segments
        for first in range(0, new.frames, LONGEST):
            segments = _joined((*segments, of_photons(of_frames(new, first, min(first + LONGEST, new.frames)), threads=threads)[0]))
        return Past(segments, self.pixels), rows


def nothing(pixels: int) -> Past:
    """Past before the first frame.

    Examples
    --------
    >>> nothing(3).frames
    0
    """
    return Past((), pixels)


def _joined(segments: tuple[Lists, ...]) -> tuple[Lists, ...]:
    """The same frames, the last segments as one, if those before it are not longer than it."""
    first, frames = len(segments) - 1, segments[-1].frames
    while first and segments[first - 1].frames <= frames and segments[first - 1].frames + frames <= LONGEST:
        first -= 1
        frames += segments[first].frames
    return segments if first == len(segments) - 1 else (*segments[:first], joined(segments[first:]))
