"""Photons straight from bitshuffle-LZ4: those of the frame, in the order of the new numbers, and never from outside the bytes."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from xcdi.kernels import decoding
from xcdi.kernels.correlation.gather import gathered
from xcdi.kernels.correlation.photons import from_dense
from xcdi.kernels.decoding import ChunkError, decode
from xcdi.kernels.decoding_photons import Writer, photons, select


def packed(values, nelems=0):
    """The chunk that HDF5's own filter makes of `values`."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("d", data=values, chunks=values.shape, **hdf5plugin.Bitshuffle(nelems=nelems, cname="lz4"))
        return data.id.read_direct_chunk((0,) * values.ndim)[1]


def rising(mask):
    """Numbers in raster order of the pixels that `mask` lets through."""
    place = np.full(mask.shape, -1, np.int32)
    place[mask] = np.arange(mask.sum())
    return place


def listed(values, place):
    """New numbers and counts by NumPy alone."""
    counts = values.astype(f"u{values.dtype.itemsize}")
    there = (place >= 0) & (values != 0)
    order = np.argsort(place[there])
    return place[there][order], counts[there][order]


def frame(shape, dtype, mean=0.05, seed=0):
    values = np.random.default_rng(seed).poisson(mean, shape).astype(dtype)
    values.ravel()[5::97] = np.array(-1).astype("i8").astype(dtype)
    values.ravel()[7::131] = np.array(np.iinfo(dtype).max // 3).astype(dtype)
    return values


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "u4", ">u4", "u8", "i8"])
@pytest.mark.parametrize("shape", [(1, 7), (2, 4), (101, 3), (67, 71), (40, 512)])
def test_photons_are_those_of_the_frame(dtype, shape):
    values = frame(shape, dtype)
    mask = np.random.default_rng(1).random(shape) < 0.7
    pixel, count = photons(packed(values), shape, dtype, rising(mask))
    expected = listed(values, rising(mask))
    np.testing.assert_array_equal(pixel, expected[0])
    np.testing.assert_array_equal(count, expected[1])
    assert count.dtype == (np.uint64 if np.dtype(dtype).itemsize == 8 else np.uint32)


@pytest.mark.parametrize("mean", [0.0, 0.001, 0.1, 2.0, 300.0])
def test_few_photons_and_many(mean):
    values = np.random.default_rng(2).poisson(mean, (61, 257)).astype("u2")
    pixel, count = photons(packed(values), values.shape, "u2", rising(np.ones(values.shape, bool)))
    np.testing.assert_array_equal(pixel, np.flatnonzero(values))
    np.testing.assert_array_equal(count, values[values > 0])


@pytest.mark.parametrize("nelems", [8, 64, 136, 1024])
def test_the_size_of_a_block_does_not_matter(nelems):
    values = frame((37, 83), "u4")
    place = rising(values < 1000)
    for got, expected in zip(photons(packed(values, nelems), values.shape, "u4", place), listed(values, place), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_block_size_of_zero_means_8192():
    values = frame((97, 83), "u4")
    raw = bytearray(packed(values))
    raw[8:12] = bytes(4)
    np.testing.assert_array_equal(photons(bytes(raw), values.shape, "u4", rising(values < 9))[0], listed(values, rising(values < 9))[0])


def test_chunks_without_the_filter_are_read_as_they_are():
    values = frame((13, 17), ">u2")
    for got, expected in zip(
        photons(values.tobytes(), values.shape, ">u2", rising(values < 9), packed=False), listed(values, rising(values < 9)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ChunkError, match="441 bytes stored for a chunk of 221 values"):
        photons(values.tobytes()[:-1], values.shape, ">u2", rising(values < 9), packed=False)


def test_numbers_in_any_order_come_out_rising():
    """Regions one after the other: the numbers of the ones are the last."""
    values = frame((53, 47), "u2", mean=0.3)
    rng = np.random.default_rng(3)
    place = np.full(values.size, -1, np.int32)
    place[rng.choice(values.size, 900, replace=False)] = rng.permutation(1000)[:900]
    place = place.reshape(values.shape)
    pixel, count = photons(packed(values), values.shape, "u2", place)
    assert (np.diff(pixel) > 0).all()
    np.testing.assert_array_equal(count, listed(values, place)[1])


def test_a_number_given_twice_is_refused():
    with pytest.raises(ValueError, match="same number"):
        select(np.zeros((2, 2), np.int32))


def test_what_is_not_wanted_is_not_decoded():
    """Damage in blocks without a wanted pixel costs nothing; in the others it is found."""
    values = frame((64, 512), "u2", mean=0.1)
    raw = bytearray(packed(values))
    first = int.from_bytes(raw[12:16], "big")
    raw[16 : 16 + first] = bytes(first)
    lower = np.zeros(values.shape, bool)
    lower[32:] = True
    np.testing.assert_array_equal(photons(bytes(raw), values.shape, "u2", rising(lower))[0], listed(values, rising(lower))[0])
    with pytest.raises(ChunkError, match="LZ4 block is corrupt"):
        photons(bytes(raw), values.shape, "u2", rising(~lower))


def test_many_frames_in_arrays_that_grow():
    values = np.random.default_rng(5).poisson(0.4, (9, 64, 65)).astype("u2")
    place = rising(np.ones(values.shape[1:], bool))
    writer = Writer(select(place), "u2")
    assert [writer.add(packed(v), v.shape, "u2") for v in values] == np.count_nonzero(values, axis=(1, 2)).tolist()
    np.testing.assert_array_equal(writer.events()[1], values[values > 0])


def test_a_damaged_frame_leaves_no_trace():
    values = frame((64, 65), "u2")
    writer = Writer(select(rising(np.ones(values.shape, bool))), "u2")
    with pytest.raises(ChunkError):
        writer.add(packed(values)[:-3], values.shape, "u2")
    assert writer.end == 0
    writer.add(packed(values), values.shape, "u2")
    np.testing.assert_array_equal(writer.events()[1], values[values > 0])


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_chunk_ends_where_it_has_to(wrong):
    values = frame((9, 13), "u2")
    raw = packed(values)
    raw = raw[:wrong] if wrong < 0 else raw + bytes(wrong)
    with pytest.raises(ChunkError, match="the end of the chunk is missing, or something follows it"):
        photons(raw, values.shape, "u2", rising(values < 9))


class Stored:
    """A frame of the tests."""

    def __init__(self, values):
        self.raw, self.shape, self.dtype = packed(values), values.shape, values.dtype

    def write(self, writer):
        return writer.add(self.raw, self.shape, self.dtype)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_block_of_frames_equals_its_dense_counts(threads):
    values = np.random.default_rng(6).poisson(0.05, (11, 67, 71)).astype("u4")
    place = rising(np.random.default_rng(7).random(values.shape[1:]) < 0.5)
    frames = [Stored(v) for v in values]
    frames[4].raw = frames[4].raw[:-2]
    frames[8] = None
    values[[4, 8]] = 0
    found, ok = gathered(frames, place, int(place.max()) + 1, threads=threads)
    expected = from_dense(values[:, place >= 0])
    assert np.flatnonzero(~ok).tolist() == [4, 8]
    assert found.pixels == expected.pixels
    for got, wanted in zip(found[:3], expected[:3], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("frames", [[], [None, None]])
def test_no_frame_at_all(frames):
    found, ok = gathered(frames, np.array([[0, 1]]), 2, threads=3)
    assert (found.frames, found.pixel.size, ok.tolist()) == (len(frames), 0, [False] * len(frames))


def test_mistakes_of_the_caller_are_no_damage():
    one = Stored(frame((8, 8), "u2"))
    with pytest.raises(ValueError, match="expected fewer than 3"):
        gathered([one], np.arange(64).reshape(8, 8), 3)
    with pytest.raises(ValueError, match="the pixels are chosen on"):
        gathered([one], np.arange(4).reshape(2, 2), 4)
    with pytest.raises(ValueError, match="counts are kept as uint32"):
        gathered([one, Stored(frame((8, 8), "u8"))], np.arange(64).reshape(8, 8), 64)
    with pytest.raises(ValueError, match="not in float32"):
        Writer(select(np.zeros((1, 1), int)), "f4")


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
        bad[8:12] = int(rng.integers(0, 2**32)).to_bytes(4, "big")
    elif kind == 3:
        bad[12:16] = int(rng.integers(0, 2**32)).to_bytes(4, "big")
    elif kind == 4:
        at = int(rng.integers(12, len(bad)))
        bad[at:] = rng.integers(0, 256, len(bad) - at, dtype="u1").tobytes()
    else:
        bad[16 + int(rng.integers(0, len(bad) - 16))] = int(rng.choice([0, 15, 240, 255]))
    return bytes(bad)


def lead_nowhere(mutations):
    """Whatever comes: photons at wanted pixels, rising, as the dense decoder has them, or a ChunkError; return how many were refused."""
    refused = 0
    for shape, dtype in (((64, 64), "u4"), ((83, 61), "u2"), ((97, 101), "u1")):
        values = np.random.default_rng(0).poisson(0.1, shape).astype(dtype)
        raw, place = packed(values), rising(np.random.default_rng(1).random(shape) < 0.8)
        order = np.random.default_rng(2).permutation(place.max() + 1)
        chosen = [select(place), select(np.where(place < 0, -1, order[place]))]
        for seed in range(mutations // 3):
            bad = mutated(raw, seed)
            try:
                dense = decode(bad, shape, dtype)
            except ChunkError:
                dense = None
            try:
                pixel, count = photons(bad, shape, dtype, chosen[seed // 6 % 2])
            except ChunkError:
                assert dense is None
                refused += 1
                continue
            assert dense is not None
            assert pixel.size == count.size == np.count_nonzero(dense[place >= 0])
            if pixel.size:
                assert 0 <= pixel[0] <= pixel[-1] <= place.max()
                assert (np.diff(pixel) > 0).all()
                assert 0 < count.min() <= count.max() <= np.iinfo(dtype).max
    return refused


@pytest.fixture
def own(monkeypatch):
    """The dense decoder that reads LZ4 as the one under test does: another may let other bytes pass."""
    monkeypatch.setattr(decoding, "decompress", None)


@pytest.mark.usefixtures("own")
def test_broken_chunks_lead_nowhere():
    assert 200 < lead_nowhere(450) < 450


@pytest.mark.slow
@pytest.mark.usefixtures("own")
def test_twenty_thousand_broken_chunks_lead_nowhere():
    assert 10_000 < lead_nowhere(20_001) < 20_000
