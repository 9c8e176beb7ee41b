"""Decoder of bitshuffle-LZ4: exact on what HDF5 wrote, and never led astray by what it did not write."""

import struct

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xcdi.kernels import decoding
from xcdi.kernels.decoding import ChunkError, decode

BLOCK = struct.Struct(">I")


def packed(values, nelems=0):
    """The chunk that HDF5's own filter makes of `values`."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("d", data=values, chunks=values.shape, **hdf5plugin.Bitshuffle(nelems=nelems, cname="lz4"))
        return data.id.read_direct_chunk((0,) * values.ndim)[1]


@pytest.fixture(params=["own", "dectris"])
def decoder(request, monkeypatch):
    """Each of the two decoders, whatever a chunk holds."""
    if request.param == "own":
        monkeypatch.setattr(decoding, "decompress", None)
    elif decoding.decompress is None:
        pytest.skip("dectris-compression is not installed")
    else:
        monkeypatch.setattr(decoding, "SPARSE", 10**9)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "u4", ">u4", "f4", "f8", "u8"])
@pytest.mark.parametrize("shape", [(7,), (8,), (101, 3), (229, 13), (2, 67, 71)])
def test_every_value_comes_back(decoder, dtype, shape):
    values = np.random.default_rng(3).poisson(3, shape).astype(dtype)
    values.ravel()[::11] = np.array(-1).astype("i8").astype(dtype)
    assert decode(packed(values), shape, dtype).tobytes() == values.tobytes()


@pytest.mark.parametrize("mean", [0.0, 0.003, 0.05, 0.5, 3.0, 300.0])
def test_few_photons_and_many_are_told_alike(decoder, mean):
    values = np.random.default_rng(1).poisson(mean, (64, 512)).astype("u4")
    values[:, 100:103] = 2**32 - 1
    np.testing.assert_array_equal(decode(packed(values), values.shape, values.dtype), values)


@pytest.mark.parametrize("nelems", [0, 8, 64, 136, 1024])
def test_the_size_of_a_block_does_not_matter(decoder, nelems):
    values = np.random.default_rng(2).poisson(0.2, (37, 83)).astype("u2")
    np.testing.assert_array_equal(decode(packed(values, nelems), values.shape, values.dtype), values)


def test_a_block_size_of_zero_means_8192(decoder):
    values = np.random.default_rng(2).poisson(0.2, (97, 83)).astype("u4")
    raw = bytearray(packed(values))
    raw[8:12] = BLOCK.pack(0)
    np.testing.assert_array_equal(decode(bytes(raw), values.shape, values.dtype), values)


@given(values=arrays.arrays(st.sampled_from([np.uint8, np.uint16, np.uint32]), st.tuples(st.integers(1, 9), st.integers(1, 90))))
@settings(max_examples=60, deadline=None)
def test_any_small_array_comes_back(values):
    np.testing.assert_array_equal(decode(packed(values), values.shape, values.dtype), values)


def test_a_buffer_is_filled_and_not_replaced(decoder):
    values = np.random.default_rng(4).poisson(1, (31, 29)).astype("u4")
    out = np.full(values.shape, 9, values.dtype)
    assert decode(packed(values), values.shape, values.dtype, out) is out
    np.testing.assert_array_equal(out, values)


def test_a_buffer_of_another_shape_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="expected a C-contiguous"):
        decode(packed(np.zeros((8, 8), "u2")), (8, 8), "u2", np.empty((4, 4, 4), "u2"))


@pytest.mark.parametrize("claim", [0, 64, 2**60])
def test_a_chunk_that_promises_another_size_is_refused(decoder, claim):
    raw = bytearray(packed(np.zeros((8, 16), "u4")))
    raw[:8] = struct.pack(">Q", claim)
    with pytest.raises(ChunkError, match=f"promises {claim} bytes, the frame has 512"):
        decode(bytes(raw), (8, 16), "u4")


def mutated(raw, seed):
    """`raw` with bits flipped, cut, with another header or block length, or with random bytes."""
    rng, bad = np.random.default_rng(seed), bytearray(raw)
    kind = seed % 6
    if kind == 0:
        for _ in range(rng.integers(1, 6)):
            bad[rng.integers(0, len(bad))] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        del bad[rng.integers(0, len(bad)) :]
    elif kind == 2:
        bad[8:12] = BLOCK.pack(int(rng.integers(0, 2**32)))
    elif kind == 3:
        bad[12:16] = BLOCK.pack(int(rng.integers(0, 2**32)))
    elif kind == 4:
        at = int(rng.integers(12, len(bad)))
        bad[at:] = rng.integers(0, 256, len(bad) - at, dtype="u1").tobytes()
    else:
        bad[16 + int(rng.integers(0, len(bad) - 16))] = int(rng.choice([0, 15, 240, 255]))
    return bytes(bad)


def test_twenty_thousand_broken_chunks_lead_nowhere(decoder):
    """Whatever comes: the right number of values in the caller's array, or a ChunkError; its neighbours in memory stay as they are."""
    values = np.random.default_rng(0).poisson(0.1, (64, 64)).astype("u4")
    raw, shape = packed(values), values.shape
    arena = np.full((3, 64, 64), 0xABCD1234, "u4")
    refused = 0
    for seed in range(20_000):
        try:
            decode(mutated(raw, seed), shape, "u4", arena[1])
        except ChunkError:
            refused += 1
    assert (arena[[0, 2]] == 0xABCD1234).all()
    assert 10_000 < refused < 20_000
