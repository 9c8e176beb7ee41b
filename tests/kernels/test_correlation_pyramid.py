"""Laws of the multi-tau pyramid: it is the binned full map, however the series was cut."""

import itertools

import numpy as np
import pytest

from xcdi.kernels.correlation import photons
from xcdi.kernels.correlation import pyramid as kernel
from xcdi.kernels.correlation.pyramid import Pyramid

TIMES, PIXELS, CHANNELS = 151, 37, 4
TILE = np.arange(PIXELS) * 5 // PIXELS


def frames(mean=0.3, seed=1, times=TIMES):
    rng = np.random.default_rng(seed)
    return rng.poisson(mean * rng.gamma(1.0, 1.0, (times // 10 + 1, PIXELS)).repeat(10, axis=0)[:times])


def binned(counts, level, first=0):
    """Frames of 2**level single frames, and the full map of their products: single products summed over squares."""
    place = (np.arange(len(counts)) + first) // 2**level
    place = place - place[0]
    onto = (place == np.arange(place[-1] + 1)[:, None]).astype(np.int64)
    return onto @ (counts @ counts.T) @ onto.T


def same(one, other):
    mine, others = kernel.to_arrays(one), kernel.to_arrays(other)
    assert mine.keys() == others.keys()
    for name, values in mine.items():
        assert values.dtype == others[name].dtype, name
        np.testing.assert_array_equal(values, others[name], err_msg=name)


@pytest.fixture(params=[0.02, 0.3, 7.0, 300.0])
def counts(request):
    return frames(request.param)


@pytest.mark.parametrize("form", [np.asarray, photons.from_dense])
@pytest.mark.parametrize("first", [0, 13])
def test_every_level_is_the_full_map_in_squares(counts, form, first):
    found = Pyramid(TILE, CHANNELS, first).add(form(counts))
    assert len(found.levels) == 7
    for level in range(len(found.levels)):
        full, table = binned(counts, level, first), found.table(level)
        for column, lag in enumerate(kernel.lags(level, CHANNELS)):
            expected = np.diagonal(full, lag)
            np.testing.assert_array_equal(table[: len(expected), column], expected)
            assert not table[len(expected) :, column].any()


@pytest.mark.parametrize("cuts", [(0, 1, 2, 40, 41, 100, TIMES), tuple(range(TIMES + 1)), (0, 0, 64, 128, TIMES)])
@pytest.mark.parametrize("first", [0, 13])
def test_blocks_change_nothing(counts, cuts, first):
    ok = np.random.default_rng(2).random(TIMES) > 0.1
    whole = Pyramid(TILE, CHANNELS, first).add(counts, ok)
    total = Pyramid(TILE, CHANNELS, first)
    for k, (start, stop) in enumerate(itertools.pairwise(cuts)):
        part = counts[start:stop]
        total = total.add(photons.from_dense(part) if k % 2 else part, ok[start:stop])
    same(total, whole)


@pytest.mark.parametrize("seed", range(3))
def test_any_tree_of_merges_gives_the_same(counts, seed):
    rng = np.random.default_rng(seed)
    edges = np.unique([0, *rng.integers(1, TIMES, 9), TIMES])
    parts = [Pyramid(TILE, CHANNELS, int(a)).add(counts[a:b]) for a, b in itertools.pairwise(edges)]
    while len(parts) > 1:
        at = int(rng.integers(len(parts) - 1))
        parts[at : at + 2] = [kernel.merge(*parts[at : at + 2])]
    same(parts[0], Pyramid(TILE, CHANNELS).add(counts))


def test_pixels_add_up(counts):
    whole = Pyramid(TILE, CHANNELS, 5).add(counts)
    left, right = TILE < 2, TILE >= 2
    parts = [Pyramid(TILE[here] - TILE[here][0], CHANNELS, 5).add(counts[:, here]) for here in (left, right)]
    same(kernel.beside(*parts), whole)


def test_it_goes_on_after_it_was_saved(counts):
    whole = Pyramid(TILE, CHANNELS).add(counts)
    saved = kernel.to_arrays(Pyramid(TILE, CHANNELS).add(counts[:77]))
    same(kernel.from_arrays(saved).add(counts[77:]), whole)


def test_bad_and_missing_frames_weigh_nothing(counts):
    ok = np.arange(TIMES) % 7 != 3
    ok[40:60] = False
    dark = np.where(ok[:, None], counts, 0)
    found = Pyramid(TILE, CHANNELS).add(counts, ok)
    same(found, Pyramid(TILE, CHANNELS).add(dark, ok))
    skipped = Pyramid(TILE, CHANNELS).add(counts[:40], ok[:40]).skip(20).add(counts[60:], ok[60:])
    same(skipped, found)
    np.testing.assert_array_equal(found.good_frames(), ok)


def test_tiles_add_up_to_the_whole(counts):
    found = Pyramid(TILE, CHANNELS).add(counts)
    for level, kept in enumerate(found.levels):
        np.testing.assert_array_equal(kept.by_tile.sum(axis=0), found.table(level).sum(axis=0))
        for k in range(5):
            alone = Pyramid(np.zeros(np.sum(k == TILE), int), CHANNELS).add(counts[:, k == TILE])
            np.testing.assert_array_equal(kept.by_tile[k], alone.table(level).sum(axis=0))


def test_memory_is_linear():
    sizes = []
    for times in (2000, 4000):
        found = Pyramid(np.zeros(3, int), 16).add(np.ones((times, 3), int))
        numbers = sum(found.table(level).size for level in range(len(found.levels))) + found.tile_totals().size
        sizes.append(numbers)
        assert numbers <= 27 * times
    assert sizes[1] <= 2.02 * sizes[0]


def test_many_small_blocks_stay_few_pieces():
    total = Pyramid(np.zeros(3, int), 4)
    for _ in range(100):
        total = total.add(np.ones((3, 3), int))
    assert max(len(level.rows) for level in total.levels) < 12


def test_what_does_not_fit_together_is_refused(counts):
    some = Pyramid(TILE, CHANNELS).add(counts[:9])
    with pytest.raises(ValueError, match="begins at frame 0"):
        kernel.merge(some, some)
    with pytest.raises(ValueError, match="other pixels"):
        kernel.merge(some, Pyramid(TILE[:-1], CHANNELS, 9))
    with pytest.raises(ValueError, match="36 pixels"):
        some.add(counts[:, 1:])
    with pytest.raises(ValueError, match="negative"):
        some.add(-counts - 1)
    with pytest.raises(ValueError, match="rising"):
        Pyramid(TILE[::-1], CHANNELS)
    with pytest.raises(ValueError, match="even"):
        Pyramid(TILE, 7)
    with pytest.raises(ValueError, match="64 bits"):
        some.add(np.full((2, PIXELS), 2**30)).add(np.full((2, PIXELS), 2**30))
