"""What the tiles of a two-time correlation look like: which there are, and how one becomes the bytes of a chunk and back."""

from __future__ import annotations

import uuid
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np

from xcdi.backend import Array
from xcdi.kernels.decoding import decode

__all__ = ["Key", "Plan", "decoded", "encoded"]


class Key(NamedTuple):
    """Which tile: its region, and the numbers of its blocks of frames."""

    region: int
    row: int
    column: int


class Plan(NamedTuple):
    """What the tiles of a file look like, and of which photons they are.

    Attributes
    ----------
    regions, frames : int
    tile : int
        Frames of a tile along each axis.
    dtype : str
        Unsigned integers that hold every product, as ``"<u2"``.
    bits : int
        Bits of the largest product that can occur.
    origin : str
        Fingerprint of the photons and weights; tiles of another origin are never taken up again.
    """

    regions: int
    frames: int
    tile: int
    dtype: str
    bits: int
    origin: str

    @property
    def keys(self) -> list[Key]:
        """All tiles on and above the diagonal, in the order in which they are best computed."""
        blocks = range(-(-self.frames // self.tile))
        return [Key(r, i, j) for r in range(self.regions) for i in blocks for j in blocks[i:]]

    @property
    def disk_bytes(self) -> int:
        """Bound of what the tiles take on disk, compressed: bit planes that hold nothing cost nothing."""
        blocks = -(-self.frames // self.tile)
        tiles = self.regions * blocks * (blocks + 1) // 2
        return tiles * self.tile**2 * min(self.bits + 1, 8 * np.dtype(self.dtype).itemsize) // 8


def encoded(tile: Array, plan: Plan) -> bytes:
    """One tile as the bytes of an HDF5 chunk, bitshuffle-LZ4; made up to full size with zeros.

    Examples
    --------
    >>> plan = Plan(1, 3, 2, "<u2", 9, "")
    >>> decoded(encoded(np.array([[7], [9]]), plan), plan)
    array([[7, 0],
           [9, 0]], dtype=uint16)
    """
    whole = np.zeros((plan.tile, plan.tile), plan.dtype)
    whole[: tile.shape[0], : tile.shape[1]] = tile
    with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("tile", data=whole, chunks=whole.shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        return bytes(data.id.read_direct_chunk((0, 0))[1])


def decoded(raw: bytes, plan: Plan) -> Array:
    """One whole tile, from :func:`encoded`."""
    return decode(raw, (plan.tile, plan.tile), plan.dtype)
