"""Products of frames: every kernel gives the same integers, and the one chosen is among the fastest expected."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from xcdi.backend import gpu_library
from xcdi.errors import XcdiError
from xcdi.kernels.correlation import bits, blocks, choice, dense, dots, gemm, products, tiling
from xcdi.kernels.correlation.photons import from_dense

KERNELS = [k for k in choice.KERNELS if k not in dots.LIMITS or k in dots.units()]
UNITS = [k for k in KERNELS if k in dots.LIMITS]


def drawn(frames, pixels, mean, seed=0, dtype=np.uint8):
    return np.minimum(np.random.default_rng(seed).poisson(mean, (frames, pixels)), 120).astype(dtype)


def exact(left, right=None):
    left, right = (np.asarray(c, np.int64) for c in (left, left if right is None else right))
    return left @ right.T


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mean", [0.02, 0.6, 40])
@pytest.mark.parametrize("shape", [(67, 1031), (1, 1), (1, 509), (5, 1), (0, 7), (3, 0), (131, 64)])
def test_every_kernel_is_exact(kernel, mean, shape):
    counts = drawn(*shape, mean)
    for given in (counts, from_dense(counts)):
        found = choice.products(given, kernel=kernel)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, exact(counts))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("rows", "columns"), [(3, 137), (137, 3), (1, 1), (0, 4), (34, 35)])
def test_two_sets_of_frames(kernel, rows, columns):
    left, right = drawn(rows, 301, 0.4, 1), drawn(columns, 301, 0.4, 2)
    for one in (left, from_dense(left)):
        for two in (right, from_dense(right)):
            np.testing.assert_array_equal(choice.products(one, two, kernel=kernel), exact(left, right))


@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_change_nothing(kernel):
    counts = drawn(301, 211, 0.5, 3)
    np.testing.assert_array_equal(choice.products(counts, kernel=kernel, threads=2), choice.products(counts, kernel=kernel))
    two = choice.products(counts, counts[:67], kernel=kernel, threads=2)
    np.testing.assert_array_equal(two, choice.products(counts, counts[:67], kernel=kernel))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int64])
def test_every_type_of_integers_and_any_order(kernel, dtype):
    counts = drawn(13, 262, 0.7, 4, dtype)
    for given in (counts, np.asfortranarray(counts), counts[:, 1::2], counts[::3, 5:-3]):
        np.testing.assert_array_equal(choice.products(given, kernel=kernel), exact(given))


@pytest.mark.parametrize("kernel", ["dense", "bits", "sparse"])
@pytest.mark.parametrize("brightest", [255, 256, 4095, 65_535, 2**20, 2**25])
def test_one_bright_pixel_among_dark_ones(kernel, brightest):
    counts = drawn(11, 131, 0.3, 5, np.uint32)
    counts[:, 17] = brightest
    counts[3, 17], counts[:, 130] = 0, 1
    for given in (counts, from_dense(counts)):
        np.testing.assert_array_equal(choice.products(given, kernel=kernel), exact(counts))
        np.testing.assert_array_equal(choice.products(given, counts[:2], kernel=kernel), exact(counts, counts[:2]))


@pytest.mark.parametrize("unit", UNITS)
def test_bytes_up_to_the_limit(unit):
    counts = np.full((33, 70_001), dots.LIMITS[unit], np.uint8)  # more pixels than 32 bits could sum, were it not for panels
    counts[7, ::2] = 0
    np.testing.assert_array_equal(choice.products(counts, kernel=unit), exact(counts))


@pytest.mark.parametrize("unit", UNITS)
def test_bytes_past_the_limit_are_refused(unit):
    counts = np.full((2, 3), dots.LIMITS[unit] + 1, np.uint16)
    with pytest.raises(ValueError, match="choose another"):
        choice.products(counts, kernel=unit)
    assert unit not in choice.costs(choice.census(counts))


def test_a_unit_that_is_not_there_is_neither_offered_nor_used(monkeypatch):
    monkeypatch.setattr(dots, "units", tuple)
    counts = drawn(5, 67, 1)
    assert set(choice.costs(choice.census(counts))) == {"dense", "bits", "sparse"}
    with pytest.raises(ValueError, match="no unit 'amx'"):
        choice.products(counts, kernel="amx")


@pytest.mark.parametrize("above", [-1, 0, 1])
def test_single_precision_up_to_its_last_integer(above, monkeypatch):
    """Sums next to 2**24, in one panel and spread over several."""
    pixels = 1 + 2**10
    counts = np.full((2, pixels), 2**7, np.uint16)
    counts[:, 0] = 1
    counts[0, 1] = 2**7 + above
    for panel in (2**27, 4 * 4 * 256):
        monkeypatch.setattr(dense, "PANEL_BYTES", panel)
        np.testing.assert_array_equal(choice.products(counts, kernel="dense"), exact(counts))
        np.testing.assert_array_equal(choice.products(counts, counts, kernel="dense"), exact(counts))
        np.testing.assert_array_equal(choice.products(counts.astype(np.float32), kernel="dense"), exact(counts))


@pytest.mark.parametrize(("module", "kernel"), [(dense, "dense"), (bits, "bits"), *((dots, unit) for unit in UNITS)])
def test_panels_of_pixels_change_nothing(module, kernel, monkeypatch):
    counts = drawn(11, 20_011, 0.5, 6)
    monkeypatch.setattr(module, "PANEL_BYTES", 1024)
    for given in (counts, from_dense(counts)):
        np.testing.assert_array_equal(choice.products(given, kernel=kernel), exact(counts))
        np.testing.assert_array_equal(choice.products(given, counts[:3], kernel=kernel), exact(counts, counts[:3]))


def test_strips_of_words_change_nothing():
    counts = drawn(9, 64 * (bits.STRIP + 11) + 5, 0.3, 7)
    np.testing.assert_array_equal(bits.products(counts), exact(counts))


def test_sums_past_exact_are_refused():
    counts = np.full((2, 3), 2**27, np.int64)
    for kernel in ("dense", "sparse"):
        with pytest.raises(ValueError, match=r"2\*\*53"):
            choice.products(counts, kernel=kernel)


def test_frames_of_other_pixels_are_refused():
    with pytest.raises(ValueError, match="same pixels"):
        choice.products(drawn(2, 5, 1), drawn(2, 6, 1))


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="'fast'"):
        choice.products(drawn(2, 5, 1), kernel="fast")


def test_packed_bits_say_where_photons_are():
    counts = drawn(7, 531, 0.8, 8, np.uint16)
    for given in (counts, from_dense(counts)):
        planes = bits.pack(given, 3, 530)
        seen = np.unpackbits(planes.words.view(np.uint8), axis=1, bitorder="little")
        np.testing.assert_array_equal(seen[:7, :527], counts[:, 3:530] > 0)
        assert not seen[:, 527:].any()
        assert not seen[7:].any()
        more = from_dense(np.maximum(counts[:, 3:530], 1) - 1)
        for found, expected in zip(planes.more, more, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_blocks_hold_all_counts():
    counts = drawn(19, 131, 3, 9)
    for given in (counts, from_dense(counts)):
        packed = blocks.pack(given, 1, 130)
        flat = packed.rows.transpose(0, 2, 1, 3).reshape(packed.rows.shape[0] * 16, -1)
        np.testing.assert_array_equal(flat[:19, :129], counts[:, 1:130])
        assert flat.sum() == counts[:, 1:130].sum()
        turned = packed.columns.view(np.uint32).transpose(0, 1, 3, 2)
        np.testing.assert_array_equal(turned, packed.rows.view(np.uint32))


def test_tiles_cover_the_upper_triangle_once():
    seen = np.zeros((13, 13), int)
    for i0, i1, j0, j1 in tiling.tiles(13, None, 4):
        seen[i0:i1, j0:j1] += 1
    np.testing.assert_array_equal(seen[np.triu_indices(13)], 1)


def test_census_is_exact_where_all_is_looked_at():
    counts = drawn(15, 43, 0.8, 10)
    for given in (counts, from_dense(counts)):
        found = choice.census(given)
        np.testing.assert_array_equal(found.seen, (counts > 0).sum(axis=0))
        np.testing.assert_array_equal(found.many, (counts > 1).sum(axis=0))


def test_census_of_some_frames_tells_the_photons_of_all():
    counts = drawn(401, 5003, 0.05, 11)
    whole, some = choice.census(from_dense(counts)), choice.census(counts)
    assert some.scale > 1
    assert some.seen.sum() == pytest.approx(whole.seen.sum(), rel=0.1)
    assert choice._pairs(some, None, "seen") == pytest.approx(choice._pairs(whole, None, "seen"), rel=0.1)


@pytest.mark.parametrize(("mean", "listed", "kernel"), [(0.0005, True, "sparse"), (0.1, False, "bits"), (0.1, True, "bits")])
def test_few_photons_go_to_lists_and_more_to_bits(mean, listed, kernel):
    counts = np.random.default_rng(12).poisson(mean, (1500, 3001)).astype(np.uint8)
    assert choice.choose(from_dense(counts) if listed else counts) == kernel


def test_many_photons_go_neither_to_lists_nor_to_bits():
    counts = drawn(700, 3001, 3, 13)
    assert choice.choose(counts) not in ("sparse", "bits")
    assert choice.choose(counts.astype(np.float32)) == "dense"
    assert choice.choose(500 * counts.astype(np.uint16)) == "dense"


def test_every_library_gives_the_same(xp, as_numpy):
    counts, later = drawn(7, 301, 2, 14, np.int64), drawn(3, 301, 2, 15, np.int64)
    np.testing.assert_array_equal(as_numpy(choice.products(xp.asarray(counts))), exact(counts))
    np.testing.assert_array_equal(as_numpy(choice.products(xp.asarray(counts), xp.asarray(later))), exact(counts, later))


class Lent(np.ndarray):
    """An array of the stand-in for CuPy: its data have an address."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def stand_in(calls):
    """What `gemm` uses of CuPy, in NumPy; cuBLAS reads and writes memory by columns, as the real one."""
    types = {3: np.int8, 2: np.float16, 10: np.int32, 0: np.float32}

    def view(pointer, columns, rows, kind):
        memory = (ctypes.c_byte * (columns * rows * np.dtype(kind).itemsize)).from_address(pointer)
        return np.frombuffer(memory, kind).reshape(columns, rows).T

    def gemm_ex(handle, ta, tb, m, n, k, alpha, a, a_kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc, compute, algorithm):
        assert (handle, ta, tb, lda, ldb, ldc, algorithm) == ("handle", 1, 0, k, k, m, -1)
        assert all(size % 16 == 0 for size in (m, n, k))
        assert (a_kind, b_kind, c_kind, compute) in {(3, 3, 10, 72), (2, 2, 0, 68)}
        kind = types[c_kind]
        assert view(alpha, 1, 1, kind) == 1
        assert view(beta, 1, 1, kind) == 0
        product = view(a, m, k, types[a_kind]).T.astype(kind) @ view(b, n, k, types[b_kind]).astype(kind)
        view(c, n, m, kind)[...] = product
        calls.append((a_kind, k))

    def make(maker):
        return lambda shape, dtype: maker(shape, dtype).view(Lent)

    cuda = SimpleNamespace(cublas=SimpleNamespace(gemmEx=gemm_ex), Device=lambda: SimpleNamespace(cublas_handle="handle"))
    return SimpleNamespace(zeros=make(np.zeros), empty=make(np.empty), max=np.max, sum=np.sum, float64=np.float64, cuda=cuda)


@pytest.mark.parametrize(("brightest", "kind"), [(1, 3), (127, 3), (128, 2), (2048, 2)])
@pytest.mark.parametrize("panel", [2**30, 2048])
def test_products_on_a_gpu_in_few_bits(brightest, kind, panel, monkeypatch):
    calls = []
    monkeypatch.setattr(gemm, "namespace", lambda array, xp=stand_in(calls): xp)
    monkeypatch.setattr(gemm, "PANEL_BYTES", panel)
    rng = np.random.default_rng(16)
    counts, later = (rng.integers(0, brightest + 1, (frames, 131)) for frames in (19, 5))
    counts, later = (c * (1 if brightest < 128 else rng.random(c.shape) < 0.02) for c in (counts, later))
    counts[0, 0] = brightest
    np.testing.assert_array_equal(gemm.products(counts), exact(counts))
    np.testing.assert_array_equal(gemm.products(counts, later), exact(counts, later))
    assert {call[0] for call in calls} == {kind}
    assert all(depth == 16 or depth * 32 * (1 if kind == 3 else 2) <= panel for _, depth in calls)


def test_bytes_are_summed_over_few_enough_pixels(monkeypatch):
    """Of the brightest bytes 133 152 products fit into 32 bits."""
    calls = []
    monkeypatch.setattr(gemm, "namespace", lambda array, xp=stand_in(calls): xp)
    counts = np.full((1, 133_200), 127, np.uint8)
    assert gemm.products(counts)[0, 0] == 133_200 * 127**2 > 2**31
    assert [depth for _, depth in calls] == [133_136, 64]


def test_brighter_counts_are_left_to_longer_floats(monkeypatch):
    monkeypatch.setattr(gemm, "namespace", lambda array, xp=stand_in([]): xp)
    assert gemm.products(np.full((2, 3), 2049)) is None
    assert gemm.products(np.full((2, 4), 2048)) is None
    assert gemm.products(np.full((2, 3), 2048))[0, 1] == 3 * 2**22
    assert gemm.products(np.zeros((0, 3), int)).shape == (0, 0)
    assert gemm.products(np.zeros((2, 0), int)).sum() == 0


def test_whole_counts_on_a_gpu_go_there(monkeypatch):
    calls = []
    library = stand_in(calls)
    for module in (gemm, products, choice):
        monkeypatch.setattr(module, "namespace", lambda array: library)
    monkeypatch.setattr(products, "is_on_gpu", lambda array: True)
    counts = drawn(5, 37, 2, 17)
    np.testing.assert_array_equal(choice.products(counts), exact(counts))
    assert len(calls) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("brightest", [1, 127, 128, 2048, 5000])
def test_a_gpu_gives_the_same_integers(brightest, as_numpy):
    try:
        cupy = gpu_library()
    except XcdiError as error:
        pytest.skip(str(error))
    counts = np.random.default_rng(18).integers(0, brightest + 1, (131, 20_011))
    counts[:, 0] = brightest
    np.testing.assert_array_equal(as_numpy(choice.products(cupy.asarray(counts))), exact(counts))
    np.testing.assert_array_equal(as_numpy(choice.products(cupy.asarray(counts), cupy.asarray(counts[:3]))), exact(counts, counts[:3]))
