"""Laws of sparse products: exactly those of the dense counts, however the frames are cut."""

import numpy as np
import pytest

from xcdi.kernels.correlation import lists, sparse
from xcdi.kernels.correlation import photons as kernel

KINDS = {
    "few photons": lambda rng, shape: rng.poisson(0.1, shape).astype(np.uint8),
    "many photons": lambda rng, shape: rng.poisson(3.0, shape).astype(np.uint8),
    "sixteen at most": lambda rng, shape: rng.integers(0, 17, shape).astype(np.uint8),
    "seventeen at most": lambda rng, shape: rng.integers(0, 18, shape).astype(np.uint16),
    "a bright pixel": lambda rng, shape: np.where(rng.random(shape) < 0.03, 2**16, rng.poisson(0.1, shape)).astype(np.uint32),
    "sums of more than 32 bits": lambda rng, shape: rng.integers(0, 2**16 + 1, shape).astype(np.int64),
    "hardly any": lambda rng, shape: (rng.random(shape) < 0.002).astype(np.uint8),
    "none": lambda rng, shape: np.zeros(shape, np.uint8),
}


def exact(left, right=None):
    right = left if right is None else right
    return left.astype(np.int64) @ right.astype(np.int64).T


@pytest.fixture(params=KINDS)
def draw(request):
    rng = np.random.default_rng(5)
    return lambda *shape: KINDS[request.param](rng, shape)


@pytest.mark.parametrize("shape", [(53, 211), (16, 7), (17, 1), (1, 97), (5, 0)])
def test_products_are_those_of_dense_counts(draw, shape):
    counts = draw(*shape)
    found = sparse.products(kernel.from_dense(counts), threads=1)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, exact(counts))


def test_products_with_other_frames_are_those_of_dense_counts(draw):
    left, right = draw(37, 101), draw(23, 101)
    found = sparse.products(kernel.from_dense(left), kernel.from_dense(right), threads=1)
    np.testing.assert_array_equal(found, exact(left, right))


def test_the_same_frames_twice_give_the_same_as_once(draw):
    some = kernel.from_dense(draw(41, 61))
    np.testing.assert_array_equal(sparse.products(some, some), sparse.products(some))


def test_no_number_of_threads_changes_a_bit(draw):
    some = kernel.from_dense(draw(71, 97))
    for threads in (2, 5, None):
        np.testing.assert_array_equal(sparse.products(some, threads=threads), sparse.products(some, threads=1))


def test_more_frames_than_one_set_of_lists_holds():
    counts = np.random.default_rng(1).poisson(0.2, (lists.LONGEST + 307, 11)).astype(np.uint8)
    some = kernel.from_dense(counts)
    found = sparse.products(some, dtype=np.int32)
    single = counts.astype(np.float32)
    np.testing.assert_array_equal(found, single @ single.T)
    np.testing.assert_array_equal(sparse.products(kernel.of_frames(some, 0, 3), some), found[:3])


@pytest.mark.parametrize(("left", "right"), [((0, 5), (3, 5)), ((3, 5), (0, 5)), ((0, 5), (0, 5))])
def test_no_frames_give_no_products(left, right):
    empty = [kernel.from_dense(np.zeros(shape, np.uint8)) for shape in (left, right)]
    assert sparse.products(*empty).shape == (left[0], right[0])
    assert sparse.pairs(*empty) == 0


def test_pairs_are_the_events_in_the_same_pixel(draw):
    left, right = draw(29, 43), draw(31, 43)
    mine, other = kernel.from_dense(left), kernel.from_dense(right)
    assert sparse.pairs(mine, other) == exact(left > 0, right > 0).sum()
    assert sparse.pairs(mine) == np.triu(exact(left > 0)).sum()


def test_other_pixels_are_refused():
    with pytest.raises(ValueError, match="3 and of 5 pixels"):
        sparse.products(kernel.from_dense(np.zeros((2, 3), int)), kernel.from_dense(np.zeros((2, 5), int)))


@pytest.mark.parametrize(("count", "dtype"), [(2**16, np.int32), (2**31, np.int64)])
def test_a_sum_that_could_overflow_is_refused(count, dtype):
    bright = kernel.from_dense(np.full((2, 3), count, np.int64))
    with pytest.raises(ValueError, match="leave the brightest pixels out"):
        sparse.products(bright, dtype=dtype)


def test_lists_hold_every_event_once(draw):
    some = kernel.from_dense(draw(43, 67))
    found, place = lists.of_photons(some)
    np.testing.assert_array_equal(np.sort(place), np.arange(some.pixel.size))
    np.testing.assert_array_equal(np.repeat(np.arange(67), np.diff(found.head))[place], some.pixel)
    time = found.frame[place] & (lists.LONGEST - 1)
    np.testing.assert_array_equal(time, np.repeat(np.arange(43), np.diff(some.start)))
    photons = found.weight if found.weight.size else (found.frame >> lists.BITS) + 1
    np.testing.assert_array_equal(photons[place], some.count)


def test_lists_are_the_same_in_strips(draw, monkeypatch):
    some = kernel.from_dense(draw(43, 67))
    whole, place = lists.of_photons(some)
    monkeypatch.setattr(lists, "STRIP_EVENTS", 7)
    for mine, theirs in zip((*lists.of_photons(some, threads=3)[0], place), (*whole, place), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_lists_joined_are_those_of_the_whole(draw):
    counts = np.concatenate([draw(13, 31), KINDS["few photons"](np.random.default_rng(2), (7, 31)), draw(5, 31)])
    some = kernel.from_dense(counts)
    parts = [lists.of_photons(kernel.of_frames(some, a, b))[0] for a, b in ((0, 13), (13, 13), (13, 20), (20, 25))]
    whole = lists.of_photons(some)[0]
    for mine, theirs in zip(lists.joined(parts), whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_lists_of_too_many_frames_are_refused():
    many = kernel.from_dense(np.zeros((lists.LONGEST + 1, 1), np.uint8))
    with pytest.raises(ValueError, match="4096 at most"):
        lists.of_photons(many)
    with pytest.raises(ValueError, match="4096 at most"):
        lists.joined([lists.of_photons(kernel.of_frames(many, 0, 2049))[0]] * 2)
