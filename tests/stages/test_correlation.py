"""The fold over frames: blocks change no bit, and what cannot be trusted is left out."""

import itertools

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.io.stored import Events
from xcdi.kernels.correlation import normalise, one_time
from xcdi.stages import fluctuations as stage_of_fluctuations
from xcdi.stages.correlation import NORMALISATIONS, TwoTime
from xcdi.stages.one_time import slots
from xcdi.stages.preview import preview
from xcdi.stages.regions import labelled

TIMES, SHAPE, SENTINEL = 37, (23, 29), 2**32 - 1
BOX = np.zeros(SHAPE, bool)
BOX[2:21, 3:26] = True


def photons(seed=0, *, mean=1.5, times=TIMES, frozen=False, width=10.0):
    """A peak of speckles two pixels wide that change little by little."""
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal((4, *SHAPE)) + 1j * rng.standard_normal((4, *SHAPE))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    envelope = np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / (2 * width**2))
    frames = []
    for _ in range(times):
        fresh = rng.standard_normal(wave.shape) + 1j * rng.standard_normal(wave.shape)
        wave = wave if frozen else 0.97 * wave + np.sqrt(1 - 0.97**2) * fresh
        blurred = sum(np.roll(wave, (a, b), (1, 2)) for a in (0, 1) for b in (0, 1)) / 2
        frames.append(rng.poisson(mean * envelope * np.mean(np.abs(blurred) ** 2, axis=0) / 2))
    return np.stack(frames).astype(np.uint32)


def scan(counts, **changes):
    n = len(counts)
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(counts.shape[1:], bool), {"units": ""}),
            "frame_ok": ("frame", np.ones(n, bool), {"units": ""}),
            **changes,
        },
        coords={"time": ("frame", np.arange(n) * 0.5, {"units": "s"})},
        attrs={"sentinel": SENTINEL, "scan": "S001", "frames_expected": n},
    )


def fold(data, cuts=(0, 5, 6, 20, TIMES), region=BOX, **options):
    total = TwoTime(region, **options)
    for start, stop in itertools.pairwise(cuts):
        total = total.add(data.isel(frame=slice(start, stop)))
    return total.result()


@pytest.fixture(scope="module")
def faulty():
    """A series with everything that goes wrong at a beamline, not in the first block."""
    counts = photons()
    counts[11] = 0  # dropped
    counts[17] *= 2  # doubled
    counts[23] = SENTINEL  # unreadable
    counts[25, 5:20, 5:20] = SENTINEL  # holed
    counts[9:, 6, 7] = SENTINEL  # a pixel that dies
    counts[:, 15, 9] = 700  # a hot one
    counts[30, 18, 20] = 90  # a cosmic ray
    return scan(counts, frame_ok=("frame", np.arange(TIMES) != 33, {"units": ""}))


@pytest.mark.parametrize("normalisation", ["N1", "N3", "N4", "N5"])
@pytest.mark.parametrize("cuts", [(0, 1, 8, 9, 30, TIMES), tuple(range(TIMES + 1))])
def test_block_by_block_is_the_whole_bit_for_bit(faulty, normalisation, cuts):
    whole = fold(faulty, (0, TIMES), normalisation=normalisation)
    xr.testing.assert_identical(fold(faulty, cuts, normalisation=normalisation), whole)
    xr.testing.assert_identical(fold(faulty, cuts, normalisation=normalisation, growing=True), whole)


@pytest.mark.parametrize("cuts", [(0, 5, 6, 20, TIMES), tuple(range(TIMES + 1))])
def test_dark_series_that_grow_are_the_whole_bit_for_bit(cuts):
    data = scan(photons(21, mean=0.05))
    xr.testing.assert_identical(fold(data, cuts, growing=True), fold(data, (0, TIMES)))


def test_bad_frames_are_found_and_are_nan_in_rows_and_columns(faulty):
    found = fold(faulty)
    bad = np.isin(np.arange(TIMES), [11, 17, 23, 25, 33])
    np.testing.assert_array_equal(found.frame_ok, ~bad)
    assert found.attrs["bad_frames"] == [11, 17, 23, 25, 33]
    np.testing.assert_array_equal(np.isnan(found.two_time[0]), bad[:, None] | bad)
    assert np.isfinite(found.g2[0, :20]).all()


def test_bad_pixels_are_dropped_and_no_others(faulty):
    found = fold(faulty)
    here = np.zeros(SHAPE, bool)
    here[found.pixel_y, found.pixel_x] = True
    assert sorted(map(tuple, np.argwhere(BOX & ~here).tolist())) == [(6, 7), (15, 9), (18, 20)]
    assert found.attrs["dropped_pixels"] == 3


def test_a_dropped_pixel_weighs_nothing(faulty):
    """The same as if it had been masked from the start."""
    mask = np.ones(SHAPE, bool)
    mask[[6, 15, 18], [7, 9, 20]] = False
    masked = faulty.assign(valid=(("y", "x"), mask, {"units": ""}))
    for normalisation in ("N1", "N4", "N5"):
        a, b = (fold(data, normalisation=normalisation) for data in (faulty, masked))
        np.testing.assert_array_equal(a.two_time, b.two_time)


def test_saturated_counts_drop_the_pixel_not_the_frame():
    counts = photons(1)
    counts[20, 11, 14] = 40
    found = fold(scan(counts).assign_attrs(saturation=39))
    assert found.frame_ok.all()
    assert found.attrs["dropped_pixels"] == 1


def test_the_counts_are_kept_exactly():
    counts = photons(2)
    found = fold(scan(counts))
    np.testing.assert_array_equal(found.counts, counts[:, found.pixel_y, found.pixel_x])
    assert found.counts.dtype == np.uint8
    np.testing.assert_array_equal(found.frame_sum, found.counts.sum("pixel"))


def test_the_correlation_is_that_of_the_kernel():
    counts = photons(3)
    found = fold(scan(counts), normalisation="N1")
    np.testing.assert_array_equal(found.two_time[0], normalise.by_mean(normalise.sums(found.counts.to_numpy())))
    np.testing.assert_array_equal(found.two_time[0], found.two_time[0].T)


@pytest.mark.parametrize("normalisation", sorted({*NORMALISATIONS} - {"N2"}))
def test_the_beam_may_change(normalisation):
    """A brighter beam changes photon noise, not the correlation."""
    steady, drifting = photons(4, mean=60.0), photons(4, mean=60.0)
    drifting *= (1 + np.arange(TIMES, dtype=np.uint32) // 12)[:, None, None]
    a, b = (fold(scan(counts), normalisation=normalisation) for counts in (steady, drifting))
    off = ~np.eye(TIMES, dtype=bool)
    assert abs(a.two_time - b.two_time).to_numpy()[0][off].max() < 0.05 * (a.two_time.to_numpy()[0][off].max() - 1) + 0.02


def test_an_outlier_by_the_monitor():
    counts, monitor = photons(5), np.full(TIMES, 1e5)
    counts[12] *= 2
    monitor[[12, 20]] = [2e5, 1e5]
    units = {"units": "1"}
    assert fold(scan(counts, monitor=("frame", monitor, units))).attrs["bad_frames"] == []
    assert fold(scan(counts)).attrs["bad_frames"] == [12]


def test_regions_do_not_know_each_other():
    data = scan(photons(6))
    labels = np.zeros(SHAPE, int)
    labels[2:11, 3:26], labels[11:21, 3:26] = 1, 2
    both = fold(data, region=labels, normalisation="N1")
    assert both.sizes["region"] == 2
    for k in (1, 2):
        alone = fold(data, region=labels == k, normalisation="N1")
        np.testing.assert_array_equal(both.two_time[k - 1], alone.two_time[0])
    np.testing.assert_array_equal(labelled(np.stack([labels == 1, labels == 2])), labels)


def test_a_gap_in_time_is_a_gap_in_delay():
    data = scan(photons(7))
    kept = data.isel(frame=[k for k in range(TIMES) if k not in (10, 11, 12)])
    found = fold(kept, (0, 9, TIMES - 3), normalisation="N1")
    whole = fold(data, normalisation="N1")
    assert found.sizes["delay"] == TIMES
    np.testing.assert_allclose(found.delay, whole.delay)
    lost = whole.two_time[0].to_numpy().copy()
    lost[10:13] = lost[:, 10:13] = np.nan
    mean = whole.mean_count[0].to_numpy()
    np.testing.assert_allclose(found.g2[0], one_time.one_time(lost, mean), rtol=1e-12)


def test_frozen_speckle_warns_with_the_pixel_mean_and_moving_speckle_does_not():
    with pytest.warns(UserWarning, match="N4 or N5"):
        assert "frozen" in fold(scan(photons(8, frozen=True, width=99)), normalisation="N2").attrs["warning"]
    rng = np.random.default_rng(9)
    moving = np.stack([photons(s, times=1, width=99)[0] for s in rng.integers(0, 10**6, TIMES)])
    assert "warning" not in fold(scan(moving), normalisation="N2").attrs


def test_an_older_correlation_stays_valid():
    data = scan(photons(10))
    first = TwoTime(BOX).add(data.isel(frame=slice(0, 9)))
    before = first.result()
    first.add(data.isel(frame=slice(9, TIMES)))
    xr.testing.assert_identical(first.result(), before)


def test_one_frame_is_a_correlation_without_delays():
    found = TwoTime(BOX).add(scan(photons(11, times=1))).result()
    assert found.two_time.shape == (1, 1, 1)
    assert np.isnan(found.rate).all()


def test_real_numbers_that_are_counts_are_taken():
    counts = photons(12)
    as_float = counts.astype(np.float32)
    as_float[5] = np.nan
    counts[5] = SENTINEL
    a, b = fold(scan(counts)), fold(scan(as_float))
    np.testing.assert_array_equal(a.two_time, b.two_time)


def test_what_cannot_be_is_refused():
    data = scan(photons(13))
    with pytest.raises(SchemaError, match="raw photon counts"):
        fold(data.assign(counts=data.counts * 0.5 + 0.1))
    with pytest.raises(XcdiError, match=r"did you mean|there is"):
        TwoTime(BOX, normalisation="N9")
    with pytest.raises(XcdiError, match=r"overlap in 437 pixels"):
        fold(data, region=np.stack([BOX, BOX]))
    with pytest.raises(XcdiError, match="region 1 has no valid pixel"):
        fold(data.assign(valid=(("y", "x"), ~BOX, {"units": ""})))
    with pytest.raises(XcdiError, match="none of 37 frames"):
        fold(data.assign(counts=data.counts * 0))
    with pytest.raises(XcdiError, match="no frame"):
        TwoTime(BOX).result()
    with pytest.raises(XcdiError, match=r"frame 3 is at 0.2 s, not after"):
        fold(data.assign_coords(time=("frame", np.where(np.arange(TIMES) == 3, 0.2, data.time), {"units": "s"})))


def test_a_pause_is_bridged_without_a_matrix_of_the_time_between():
    data = scan(photons(15))
    time = data.time.to_numpy() + np.where(np.arange(TIMES) < 20, 0, 9000 * 0.5)
    found = fold(data.assign_coords(time=("frame", time, {"units": "s"})), normalisation="N1")
    ends = [fold(data.isel(frame=part), (0, 17), normalisation="N1") for part in (slice(0, 17), slice(20, 37))]
    assert found.sizes["delay"] == TIMES + 9000
    np.testing.assert_array_equal(found.two_time, fold(data, normalisation="N1").two_time)
    for end, part in zip(ends, (slice(0, 17), slice(20, 37)), strict=True):
        np.testing.assert_allclose(found.two_time[0, part, part], end.two_time[0])
    known = np.isfinite(found.g2[0].to_numpy())
    assert np.flatnonzero(known).tolist() == [*range(20), *range(9000 + 1, 9000 + 37)]
    with pytest.raises(XcdiError, match=r"and there are 0\.0 GB"):
        fold(data.assign_coords(time=("frame", time, {"units": "s"})), memory_bytes=4 * 10**6)


def test_a_longer_pause_is_refused():
    data = scan(photons(15))
    time = data.time.to_numpy() + np.where(np.arange(TIMES) < 20, 0, 6e4)
    with pytest.raises(XcdiError, match=r"pause of 60000.5 s after frame 19 .* 120037 frames long, of 37 frames"):
        fold(data.assign_coords(time=("frame", time, {"units": "s"})))


def test_the_places_of_frames_are_right_to_the_end_of_a_long_series():
    rng = np.random.default_rng(22)
    frames = np.delete(np.arange(100_003), rng.choice(np.arange(1, 100_000), 997, replace=False))
    for step in (1e-3, 1.000173e-3):
        stamps = np.round(1.7e9 + step * frames, 5) + rng.normal(0, 2e-5, frames.size)
        slot, found = slots(stamps, None)
        np.testing.assert_array_equal(slot, frames)
        assert found == pytest.approx(step, rel=1e-7)
    np.testing.assert_array_equal(slots(np.array([0.0, 1.0, 4.0]), None)[0], [0, 1, 4])
    assert slots(0.1 * np.arange(50), None)[1] == np.median(np.diff(0.1 * np.arange(50)))


def test_a_pause_of_any_length_shifts_what_follows_as_a_whole():
    frames = np.arange(600)
    slot, step = slots(0.1 * frames + np.repeat([0, 7.04, 41.06], 200) + 5, None)
    assert step == pytest.approx(0.1)
    np.testing.assert_array_equal(slot, frames + np.repeat([0, 70, 411], 200))


@pytest.mark.parametrize("later", [0.04, 0.06, 0.11, 0.145])
def test_another_frame_time_is_refused(later):
    time = np.cumsum(np.repeat([0.1, later], [60, 40]))
    with pytest.raises(XcdiError, match=r"frame \d+ is at .* s, \d+\.\d frame times off a regular axis of 0\.1\d* s; correlate parts"):
        slots(time, None)


@pytest.mark.parametrize("bad", [[0, 1, np.nan, 3], [0, np.nan, np.nan, 3]])
def test_a_frame_without_a_time_is_named(bad):
    with pytest.raises(XcdiError, match=f"frame {int(np.argmin(np.isfinite(bad)))} has no time"):
        slots(np.array(bad, float), None)


def test_what_is_no_number_is_no_count():
    counts = photons(12).astype(np.float32)
    counts[5], counts[9, 6, 7] = np.inf, -np.inf
    other = np.where(np.isfinite(counts), counts, np.nan).astype(np.float32)
    xr.testing.assert_identical(fold(scan(counts)), fold(scan(other)))


def test_frames_without_a_photon_are_bad_only_where_that_is_no_chance():
    """And where it is, they weigh nothing in the ratio of sums."""
    few = photons(16, mean=0.01, times=300)
    few[40:44] = 0
    seen = few[:, BOX].astype(float)
    total = seen.sum(axis=1)
    assert np.sum(total == 0) > 4
    for normalisation in NORMALISATIONS:
        found = fold(scan(few), (0, 50, 300), normalisation=normalisation)
        assert found.frame_ok.all()
        assert found.attrs["dropped_pixels"] == 0
        assert np.isfinite(found.g2[0, :9]).all() or (normalisation == "N4" and found.contrast[0] < 0)
        np.testing.assert_array_equal(np.isnan(found.two_time[0, 41]), True)
        if normalisation == "N1":
            expected = BOX.sum() * np.sum(seen[:-1] * seen[1:]) / np.sum(total[:-1] * total[1:])
            assert found.g2[0, 1] == pytest.approx(expected, rel=1e-9)
    stage_of_fluctuations.fluctuations(found)
    stage_of_fluctuations.speckle_statistics(found)
    many = photons(16)
    many[11] = 0
    assert fold(scan(many)).attrs["bad_frames"] == [11]


def test_more_than_memory_is_refused_with_numbers():
    data = scan(photons(14)).assign_attrs(frames_expected=100_000)
    with pytest.raises(XcdiError, match=r"100000 frames .* takes 160\.\d GB, and there are 2\.0 GB"):
        TwoTime(BOX, memory_bytes=2 * 10**9).add(data)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_bit_depends_on_the_workers(faulty, workers):
    xr.testing.assert_identical(fold(faulty, workers=workers), fold(faulty))


class Kept:
    """A frame that gives its photons, as those do that are read from disk."""

    def __init__(self, counts):
        self.counts, self.dtype = counts, counts.dtype

    def write(self, writer):
        return writer.add(self.counts.tobytes(), self.counts.shape, self.counts.dtype, packed=False)


@pytest.mark.parametrize("kind", [np.uint32, np.int32])
def test_photons_from_disk_are_the_photons_of_the_frames(faulty, kind):
    """Faults included: the sentinel is all bits one in either type."""
    counts = faulty.counts.to_numpy().astype(kind)
    dense = faulty.assign(counts=(("frame", "y", "x"), counts, {"units": "1"})).assign_attrs(sentinel=int(np.array(SENTINEL).astype(kind)))
    stored = np.array([Kept(frame) for frame in counts], dtype=object)
    sparse = dense.drop_vars("counts").assign(stored=("frame", stored, {"units": ""}))
    xr.testing.assert_identical(fold(sparse), fold(dense))
    missing = stored.copy()
    missing[7] = None
    assert 7 in fold(sparse.assign(stored=("frame", missing, {"units": ""}))).attrs["bad_frames"]


def test_what_was_stored_of_other_frames_is_refused():
    counts = photons(3)
    frames = np.full(TIMES, None, object)
    for k, frame in enumerate(counts):
        at = np.flatnonzero(frame)
        frames[k] = Events(at, frame.ravel()[at], SHAPE)
    data = scan(counts, stored=("frame", frames, {"units": ""}))
    with pytest.raises(XcdiError, match=r"on disk are \(23, 29\) pixels and the scan was cut to \(21, 20\); drop"):
        fold(data.isel(y=slice(2, None), x=slice(0, 20)), region=BOX[2:, :20])
    mixed = frames.copy()
    mixed[4] = np.nan
    with pytest.raises(XcdiError, match="frame 4 of `stored` is of type float"):
        fold(data.assign(stored=("frame", mixed, {"units": ""})), (0, TIMES))


def test_negative_counts_are_refused_from_disk_too():
    counts = photons(15).astype(np.int32)
    counts[3, 10, 10] = -5
    stored = np.array([Kept(frame) for frame in counts], dtype=object)
    data = scan(counts).assign_attrs(sentinel=-1)
    with pytest.raises(XcdiError, match="negative"):
        fold(data)
    with pytest.raises(XcdiError, match="negative"):
        fold(data.drop_vars("counts").assign(stored=("frame", stored, {"units": ""})))


@pytest.mark.parametrize("normalisation", ["N1", "N4", "N5"])
def test_a_look_is_the_correlation_of_frames_added_up(faulty, normalisation):
    """Rows of the map are sums of frames; the one-time correlation has every delay."""
    total = TwoTime(BOX, normalisation=normalisation, growing=True)
    for start, stop in itertools.pairwise((0, 5, 6, 20, TIMES)):
        total = total.add(faulty.isel(frame=slice(start, stop)))
    whole, look = total.result(), preview(total, rows=13)
    assert look.attrs["frames_per_row"] == 3
    assert look.sizes["time"] == 13
    np.testing.assert_allclose(look.g2[0, 1:], whole.g2[0, 1:], rtol=1e-9)
    ok, c = whole.frame_ok.to_numpy(), whole.two_time[0].to_numpy()
    far = np.zeros((13, 13), bool)
    far[np.tril_indices(13, -1)] = True
    mean = np.where(ok, whole.frame_sum.to_numpy().astype(float), 0.0)
    weight = np.outer(mean, mean)
    edges = np.arange(0, TIMES, 3)

    def added(a):
        return np.add.reduceat(np.add.reduceat(a, edges), edges, axis=1)

    np.testing.assert_allclose(look.two_time[0].to_numpy()[far], (added(np.nan_to_num(c) * weight) / added(weight))[far], rtol=0.02)


def test_a_look_at_a_short_series_is_the_result(faulty):
    total = TwoTime(BOX).add(faulty)
    xr.testing.assert_identical(preview(total), total.result())
