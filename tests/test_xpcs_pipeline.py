"""From a scan to a correlation: batch and live are one, and memory is bounded."""

import warnings

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import xpcs_two_time as pipeline

from xcdi.errors import SettingsError, XcdiError
from xcdi.plot import correlation as plotted
from xcdi.settings import from_mapping
from xcdi.stages import corrections

SHAPE, TIMES = (41, 53), 60


@pytest.fixture(scope="module")
def scan():
    """A drifting speckle pattern around (24, 31) on a detector with a hot pixel, gaps and a dark frame."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    envelope = 3 * np.exp(-((y - 24) ** 2 + (x - 31) ** 2) / 60) + 0.01
    wave = rng.standard_normal((2, *SHAPE)) + 1j * rng.standard_normal((2, *SHAPE))
    frames = []
    for _ in range(TIMES):
        wave = 0.98 * wave + np.sqrt(1 - 0.98**2) * (rng.standard_normal(wave.shape) + 1j * rng.standard_normal(wave.shape))
        blurred = sum(np.roll(wave, (a, b), (1, 2)) for a in (0, 1) for b in (0, 1)) / 2
        frames.append(rng.poisson(envelope * np.mean(np.abs(blurred) ** 2, axis=0) / 2))
    counts = np.stack(frames).astype(np.uint16)
    counts[:, 3, 4] = 60000
    counts[40] = 0
    valid = np.ones(SHAPE, bool)
    valid[:, 20:22] = False
    counts[:, ~valid] = 65535
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), valid, {"units": ""}),
            "frame_ok": ("frame", np.ones(TIMES, bool), {"units": ""}),
        },
        coords={"time": ("frame", np.arange(TIMES) * 2.0, {"units": "s"})},
        attrs={"sentinel": 65535, "scan": "S001"},
    )


def settings(**values):
    return pipeline.Settings(**{"box_size": 20, "live_share": 1.0, "fluctuations": False, **values})


def blocks(scan, size):
    return [scan.isel(frame=slice(k, k + size)) for k in range(0, TIMES, size)]


@pytest.mark.parametrize("normalisation", ["N1", "N4", "N5"])
@pytest.mark.parametrize(("size", "chunk", "workers"), [(7, 60, 1), (16, 9, 2), (60, 13, 3)])
def test_live_ends_where_batch_does_bit_for_bit(scan, normalisation, size, chunk, workers):
    chosen = settings(normalisation=normalisation)
    whole = pipeline.run(scan.chunk(frame=chunk), chosen, workers=workers)["correlation"]
    *_, last = pipeline.watch(blocks(scan, size), chosen)
    xr.testing.assert_identical(last["correlation"], whole)


def test_live_is_batch_over_the_frames_so_far(scan):
    chosen = settings(normalisation="N4")
    seen = 0
    for result in pipeline.watch(blocks(scan, 20), chosen):
        seen = result["correlation"].sizes["time"]
        xr.testing.assert_identical(result["correlation"], pipeline.run(scan.isel(frame=slice(0, seen)), chosen)["correlation"])
    assert seen == TIMES


def test_live_says_what_is_provisional(scan):
    flags = [r["correlation"].attrs["provisional"] for r in pipeline.watch(blocks(scan, 20), settings())]
    assert flags == [True, True, True, False]
    flags = [r["correlation"].attrs["provisional"] for r in pipeline.watch(blocks(scan, 20), settings(normalisation="N1"))]
    assert flags == [False, False, False]


def test_live_waits_for_the_reference(scan):
    sizes = [r["correlation"].sizes["time"] for r in pipeline.watch(blocks(scan, 7), settings(reference_frames=16))]
    assert sizes[0] == 21
    short = list(pipeline.watch(blocks(scan.isel(frame=slice(0, 7)), 7), settings(reference_frames=16)))
    assert short[-1]["correlation"].sizes["time"] == 7


def test_the_box_is_around_the_peak_and_not_the_hot_pixel(scan):
    found = pipeline.run(scan, settings())["correlation"]
    assert abs(float(found.pixel_y.mean()) - 24) < 4
    assert abs(float(found.pixel_x.mean()) - 31) < 4
    assert not np.isin(found.pixel_x, [20, 21]).any()
    assert found.attrs["bad_frames"] == [40]


def test_no_more_than_the_workers_chunks_are_in_memory(scan):
    alive = []

    def read(block, block_info=None):
        alive.append(block.shape[0])
        return block

    lazy = da.from_array(scan.counts.to_numpy(), chunks=(5, -1, -1)).map_blocks(read, dtype=np.uint16)
    given = scan.assign(counts=scan.counts.copy(data=lazy))
    pipeline.run(given, settings(), workers=2)
    assert sum(alive) == TIMES, "a frame was read twice or lost"
    assert max(alive) == 5


def test_the_summary_is_one_line(scan):
    line = pipeline.summary(pipeline.run(scan, settings()))
    assert line.startswith("60 frames  contrast ")
    assert "1 bad frames" in line
    assert "\n" not in line


def test_a_box_off_the_detector_is_refused(scan):
    with pytest.raises(XcdiError, match="leaves the detector of 41 x 53"):
        pipeline.run(scan, settings(box=(0, 42, 0, 5)))


def test_an_empty_scan_gives_nothing_and_a_dark_one_is_refused(scan):
    assert list(pipeline.watch([], settings())) == []
    with pytest.raises(XcdiError, match="no photon"):
        pipeline.run(scan.assign(counts=scan.counts * 0), settings())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"box": (0, 4, 0, 4), "q_edges": (1.0, 2.0)}, "box and q_edges"),
        ({"azimuth_edges": (0.0, 90.0)}, "q_edges is not set"),
        ({"q_edges": (2.0, 1.0)}, "rising"),
        ({"normalisation": "N9"}, "normalisation"),
    ],
)
def test_settings_that_contradict_are_refused(values, says):
    with pytest.raises(SettingsError, match=says):
        from_mapping(pipeline.Settings, values)


def test_rings_and_sectors_have_their_q(scan):
    geometry = '{"sample": [], "detector": [], "columns": "x+", "rows": "y-"}'
    placed = scan.assign_attrs(
        energy_kev=9.65, distance_m=2.0, pixel_size_m=[75e-6, 75e-6], centre_px=[24.0, 31.0], geometry=geometry, beamline="test"
    )
    step = 2 * np.pi * 9.65 / 1.239842 * 75e-6 / 2.0
    edges = (1.5 * step, 5.5 * step, 9.5 * step)
    found = pipeline.run(placed, settings(q_edges=edges))["correlation"]
    assert found.sizes["region"] == 2
    assert (found.q > np.array(edges[:-1])).all()
    assert (found.q < np.array(edges[1:])).all()
    halves = pipeline.run(placed, settings(q_edges=edges, azimuth_edges=(0.0, 180.0, 360.0)))["correlation"]
    assert halves.sizes["region"] == 4
    pixels = np.bincount(halves.region_of_pixel)[1:]
    np.testing.assert_array_equal(pixels.reshape(2, 2).sum(axis=1), np.bincount(found.region_of_pixel)[1:])


@pytest.mark.parametrize("frames", [0, 1])
def test_one_frame_has_no_correlation_in_time(scan, frames):
    with pytest.raises(XcdiError, match=f"{frames} frame; .* needs at least 2"):
        pipeline.run(scan.isel(frame=slice(frames)))


def test_levels_and_tiles_give_the_one_time_correlation_of_the_matrix(scan, tmp_path):
    whole = pipeline.run(scan, settings(normalisation="N1"))["correlation"]
    levels = pipeline.run(scan, settings(normalisation="N1", map="multi_tau", channels=8))["correlation"]
    tiled = pipeline.run(scan, settings(normalisation="N1", map="tiles", tiles_folder=tmp_path))["correlation"]
    np.testing.assert_allclose(levels.g2[0, 1:8], whole.g2[0, 1:8], rtol=1e-9)
    np.testing.assert_allclose(tiled.g2[0], whole.g2[0], rtol=1e-9)
    assert levels.attrs["bad_frames"] == tiled.attrs["bad_frames"] == whole.attrs["bad_frames"]
    assert (tmp_path / "S001_tiles.h5").is_file()
    for found in (levels, tiled):
        np.testing.assert_array_equal(found.pixel_y, whole.pixel_y)
        assert "contrast" in pipeline.summary({"correlation": found})


def test_levels_do_not_depend_on_chunks_nor_on_live(scan):
    chosen = settings(normalisation="N4", map="multi_tau", channels=8)
    whole = pipeline.run(scan.chunk(frame=13), chosen, workers=2)["correlation"]
    xr.testing.assert_identical(pipeline.run(scan, chosen)["correlation"], whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *_, last = pipeline.watch(blocks(scan, 7), chosen)
    np.testing.assert_allclose(last["correlation"].g2, whole.g2, rtol=0.05)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"map": "tiles"}, "tiles_folder"),
        ({"map": "multi_tau"}, "N1, N4"),
        ({"map": "tiles", "tiles_folder": "x", "normalisation": "N2"}, "N1, N4, N5"),
    ],
)
def test_maps_that_cannot_be_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        settings(**values)


def test_tiles_are_not_followed_live(scan, tmp_path):
    with pytest.raises(XcdiError, match="whole scans"):
        list(pipeline.watch(blocks(scan, 20), settings(map="tiles", tiles_folder=tmp_path)))


def test_the_last_of_live_has_all_that_batch_has(scan):
    chosen = settings(fluctuations=True)
    whole = pipeline.run(scan, chosen)
    *_, last = pipeline.watch(blocks(scan, 20), chosen)
    assert list(last) == list(whole) == ["correlation", "fluctuations", "speckles"]
    for name, part in whole.items():
        xr.testing.assert_identical(last[name], part)


def test_a_short_series_has_no_fluctuations(scan):
    assert list(pipeline.run(scan.isel(frame=slice(0, 9)), settings(fluctuations=True))) == ["correlation"]


def test_a_shutter_that_opens_late_stops_no_look(scan):
    counts = np.where(np.arange(TIMES)[:, None, None] < 25, 0, scan.counts.to_numpy()).astype(np.uint16)
    dark = scan.assign(counts=(("frame", "y", "x"), counts, {"units": "1"}))
    chosen = settings(box=(14, 34, 21, 41))
    *looks, last = pipeline.watch(blocks(dark, 20), chosen)
    assert [look["correlation"].sizes["time"] for look in looks] == [40, 60]
    xr.testing.assert_identical(last["correlation"], pipeline.run(dark, chosen)["correlation"])


@pytest.mark.parametrize("values", [{"map": "multi_tau", "normalisation": "N1"}, {"map": "tiles", "tiles_folder": "nowhere"}])
def test_what_runs_on_the_cpu_alone_says_so(scan, values):
    with pytest.raises(XcdiError, match="CPU"):
        pipeline.run(scan, settings(**values), device="gpu")


def test_corrected_counts_are_not_read_from_disk(scan):
    stored = scan.assign(stored=("frame", np.full(TIMES, None, object)), dark=(("y", "x"), np.ones(SHAPE)))
    assert "stored" not in corrections.dark(corrections.to_float(stored))


def uncorrelated(seed, shape=(16, 16), frames=120):
    """Photons that know nothing of one another."""
    counts = np.random.default_rng(seed).poisson(0.5, (frames, *shape)).astype(np.uint16)
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(shape, bool), {"units": ""}),
            "frame_ok": ("frame", np.ones(frames, bool), {"units": ""}),
        },
        coords={"time": ("frame", 0.1 * np.arange(frames), {"units": "s"})},
        attrs={"scan": "S001", "frame_time_s": 0.1},
    )


def test_noise_has_no_relaxation_time():
    for seed in range(20):
        found = pipeline.run(uncorrelated(seed), settings(box=(0, 16, 0, 16)))
        assert "tau not resolved" in pipeline.summary(found), seed
        correlation = found["correlation"]
        assert not (correlation.rate_error == 0).any()
        unknown = bool(np.isnan(correlation.rate_error[0]) | np.isnan(correlation.fit_contrast_error[0]))
        assert (plotted.fitted(correlation, np.array([0.1]), 0) is None) == unknown


@pytest.mark.parametrize("normalisation", ["N1", "N4", "N5"])
def test_two_pixels_have_no_contrast(normalisation):
    found = pipeline.run(uncorrelated(1, (1, 2)), settings(normalisation=normalisation, box=(0, 1, 0, 2)))
    assert "contrast not known  tau not resolved" in pipeline.summary(found)
