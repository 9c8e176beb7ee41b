"""A correlation tile by tile into a file: the same as the one in memory, and never computed twice."""

import itertools

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.io.tiles import TileFile, Tiles
from xcdi.kernels.correlation import age_lag, one_time
from xcdi.stages import tiles
from xcdi.stages.correlation import TwoTime

TIMES, SHAPE, SENTINEL = 43, (17, 19), 2**16 - 1
BOX = np.zeros((2, *SHAPE), bool)
BOX[0, 1:9, 2:17] = True
BOX[1, 9:16, 2:17] = True
CROSSOVER = 0.2  # so that pixels weigh very differently


@pytest.fixture(scope="module")
def scan():
    """A series in two regions with what goes wrong at a beamline; a frame is missing."""
    rng = np.random.default_rng(0)
    wave, frames = rng.standard_normal((4, *SHAPE)), []
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    envelope = 4 * np.exp(-((y - 8) ** 2 + (x - 9) ** 2) / 30)
    for _ in range(TIMES):
        wave = 0.97 * wave + np.sqrt(1 - 0.97**2) * rng.standard_normal(wave.shape)
        frames.append(rng.poisson(0.4 * envelope * np.mean(wave**2, axis=0)))
    counts = np.stack(frames).astype(np.uint16)
    counts[11] = 0
    counts[23] = SENTINEL
    counts[30:, 6, 7] = SENTINEL
    counts[:, 12, 9] = 700
    time = np.arange(TIMES) * 0.5 + np.where(np.arange(TIMES) > 20, 0.5, 0)
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(SHAPE, bool), {"units": ""}),
            "frame_ok": ("frame", np.arange(TIMES) != 33, {"units": ""}),
        },
        coords={"time": ("frame", time, {"units": "s"})},
        attrs={"sentinel": SENTINEL, "scan": "S001"},
    )


def gathered(scan, normalisation="N4", cuts=(0, 7, 20, TIMES)):
    blocks = (scan.isel(frame=slice(a, b)) for a, b in itertools.pairwise(cuts))
    return tiles.gathered(blocks, TwoTime(BOX, normalisation, smoothing_px=2.0, crossover=CROSSOVER))


def tiled(scan, path, normalisation="N4", **options):
    with Tiles(path) as store:
        return tiles.tiled(gathered(scan, normalisation), store, **{"tile": 8, "ages": 3, **options})


@pytest.mark.parametrize("normalisation", tiles.EXACT)
def test_the_file_and_its_views_are_those_of_the_correlation_in_memory(scan, tmp_path, normalisation):
    whole = TwoTime(BOX, normalisation, smoothing_px=2.0, crossover=CROSSOVER).add(scan).result()
    found = tiled(scan, tmp_path / "tiles.h5", normalisation)
    assert found.attrs["bad_frames"] == whole.attrs["bad_frames"]
    assert found.attrs["dropped_pixels"] == whole.attrs["dropped_pixels"]
    with TileFile(found.attrs["tiles"]) as file:
        for region in (0, 1):
            np.testing.assert_allclose(file.window(0, TIMES, region=region), whole.two_time[region], rtol=1e-10)
            np.testing.assert_allclose(file.window(5, 9, 2, 40, region=region), whole.two_time[region, 5:9, 2:40], rtol=1e-10)
    for name in ("g2", "g2_error", "contrast", "mean_count", "delay"):
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-5, err_msg=name)
    for name in ("g2_convention", "normalisation"):
        assert found.attrs[name] == whole.attrs[name]
    assert found.attrs["contrast"] == pytest.approx(whole.attrs["contrast"])
    for name in ("rate", "exponent", "fit_contrast", "baseline"):  # fits of noisy data magnify rounding
        assert np.all(abs(found[name] - whole[name]) < 0.05 * whole[f"{name}_error"]), name


def test_pixels_of_several_weights_are_tried(scan):
    for region in gathered(scan, "N5").regions:
        assert np.unique(region.level).size > 2


def test_views_by_age_are_cuts_across_the_matrix(scan, tmp_path):
    found = tiled(scan, tmp_path / "tiles.h5", "N1")
    c = TwoTime(BOX, "N1").add(scan).result().two_time[0].to_numpy()
    slot = np.arange(TIMES) + (np.arange(TIMES) > 20)
    wide = np.full((TIMES + 1, TIMES + 1), np.nan)
    wide[np.ix_(slot, slot)] = c
    np.testing.assert_allclose(found.g2_of_ratios[0], one_time.one_time(wide), rtol=1e-8)
    with TileFile(found.attrs["tiles"]) as file:
        level = np.full(TIMES + 1, np.nan)
        level[slot] = file.frames.level[0].where(file.frames.level[0] > 0)
    edges = np.linspace(0, TIMES + 1, 4)
    for k in range(3):
        expected = one_time.one_time(wide, level, ages=(edges[k], edges[k + 1]))
        np.testing.assert_allclose(found.g2_aged[0, k], expected, rtol=1e-6)
    assert int(found.pairs[0].sum()) == (~np.isnan(np.triu(c, 1))).sum() - np.tril(np.ones_like(c)).sum()


@pytest.mark.parametrize("options", [{"workers": 3}, {"tile": 5, "workers": 2}, {"tile": 100}])
def test_neither_workers_nor_tiles_change_a_bit(scan, tmp_path, options):
    one, other = tiled(scan, tmp_path / "a.h5", "N5"), tiled(scan, tmp_path / "b.h5", "N5", **options)
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())
    with TileFile(tmp_path / "a.h5") as a, TileFile(tmp_path / "b.h5") as b:
        xr.testing.assert_identical(a.window(0, TIMES), b.window(0, TIMES))


def test_neither_do_the_blocks(scan):
    for a, b in zip(gathered(scan).regions, gathered(scan, cuts=(0, 1, 2, 41, TIMES)).regions, strict=True):
        np.testing.assert_array_equal(a.photons.pixel, b.photons.pixel)
        np.testing.assert_array_equal(a.photons.count, b.photons.count)


def test_a_tile_that_is_there_is_not_computed_again(scan, tmp_path, monkeypatch):
    whole, plain = tiled(scan, tmp_path / "whole.h5"), tiles.products
    computed = []

    def stopped(left, right=None, **options):
        computed.append(1)
        if len(computed) == 9:
            raise KeyboardInterrupt
        return plain(left, right, **options)

    monkeypatch.setattr(tiles, "products", stopped)
    monkeypatch.setattr(tiles, "MOST", 1)
    with pytest.raises(KeyboardInterrupt):
        tiled(scan, tmp_path / "tiles.h5")
    assert not (tmp_path / "tiles.h5").exists()
    again = tiled(scan, tmp_path / "tiles.h5")
    count = 2 * 6 * 7 // 2
    assert len(computed) == 9 + count - 2 * tiles.AT_ONCE, "the batches before the stop are on disk"
    xr.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    with TileFile(tmp_path / "tiles.h5") as file, TileFile(tmp_path / "whole.h5") as other:
        xr.testing.assert_identical(file.window(0, TIMES), other.window(0, TIMES))


def test_a_finished_file_gives_other_ages_without_computing(scan, tmp_path, monkeypatch):
    path = tmp_path / "tiles.h5"
    tiled(scan, path, ages=3)
    monkeypatch.setattr(tiles, "products", None)
    again = tiled(scan, path, ages=5)
    assert again.sizes["age"] == 5
    with TileFile(path) as file:
        assert file.products(0, TIMES, 0, TIMES).any()


def test_the_file_alone_gives_the_sums_over_ages_and_lags_again(scan, tmp_path):
    found = tiled(scan, tmp_path / "tiles.h5", "N5")
    with TileFile(tmp_path / "tiles.h5") as file:
        levels = file.levels(1)
        how = age_lag.pairing(levels, file.frames.slot.to_numpy(), [20.0])
        table = age_lag.empty(how)
        for row, column, products in file.tiles(1):
            age_lag.merge(table, age_lag.reduced(products, row, column, how))
    np.testing.assert_array_equal(age_lag.one_time(table, how, levels)[0], found.g2[1])


def test_progress_counts_the_tiles(scan, tmp_path):
    seen = []
    tiled(scan, tmp_path / "tiles.h5", progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (42, 42)
    assert seen == sorted(set(seen))


def test_two_time_by_mean_and_by_covariance_are_views_of_the_same_tiles(scan, tmp_path):
    tiled(scan, tmp_path / "mean.h5", "N1")
    tiled(scan, tmp_path / "covariance.h5", "N4")
    with TileFile(tmp_path / "mean.h5") as mean, TileFile(tmp_path / "covariance.h5") as covariance:
        xr.testing.assert_identical(mean.window(0, TIMES, relative=True), covariance.window(0, TIMES))
        xr.testing.assert_identical(mean.window(0, TIMES), covariance.window(0, TIMES, relative=False))


def test_weighted_tiles_have_no_other_normalisation(scan, tmp_path):
    tiled(scan, tmp_path / "tiles.h5", "N5")
    with TileFile(tmp_path / "tiles.h5") as file, pytest.raises(XcdiError, match="normalised by N5"):
        file.window(0, 3, relative=True)


def test_ages_are_those_of_the_full_correlation(scan, tmp_path, monkeypatch):
    later = scan.assign_coords(time=scan.time + 100.0)
    monkeypatch.setattr("xcdi.stages.one_time.AGES", 2)
    full = TwoTime(BOX, "N1").add(later).result()
    np.testing.assert_allclose(tiled(later, tmp_path / "tiles.h5", "N1", ages=full.sizes["age"]).age, full.age)
    assert full.age[0] > 100


def test_too_little_memory_is_said_before_anything_is_computed(scan, tmp_path):
    with pytest.raises(XcdiError, match=r"take fewer workers, fewer regions \(q_edges\), a smaller box, or a larger memory_gb"):
        tiled(scan, tmp_path / "tiles.h5", memory_bytes=1000, workers=2)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_the_tiles_of_another_series_stay(scan, tmp_path):
    path = tmp_path / "tiles.h5"
    tiled(scan, path)
    with TileFile(path) as file:
        before = file.window(0, TIMES)
    with pytest.raises(XcdiError, match="another series"):
        tiled(scan.isel(frame=slice(None, None, -1)).assign_coords(time=scan.time), path)
    with TileFile(path) as file:
        xr.testing.assert_identical(file.window(0, TIMES), before)
    tiled(scan, path, tile=5)
    with TileFile(path) as file:
        assert file.plan.tile == 5, "the same photons in other tiles are made anew"


@pytest.mark.parametrize("normalisation", ["N2", "N3"])
def test_normalisations_without_exact_sums_are_refused(scan, normalisation):
    with pytest.raises(XcdiError, match="no exact sums; did you mean"):
        gathered(scan, normalisation)


def test_an_empty_scan_is_refused():
    with pytest.raises(XcdiError, match="no frame to correlate"):
        tiles.gathered([], TwoTime(BOX, "N1"))
