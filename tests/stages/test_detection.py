"""Laws of the search for events with labels: every detector, what it says of itself, and what it refuses."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.stages import detection, map_events, two_time_map
from xcdi.stages.series import Movie

SHAPE = (23, 29)


def movie(frames=131, slip=67, *, mean=1.5, seed=0):
    """Series of a small particle of which a corner slips."""
    rng = np.random.default_rng(seed)
    rho = np.zeros(SHAPE, complex)
    rho[8:15, 9:18] = np.exp(1j * np.cumsum(rng.normal(0, 0.35, (7, 9)), axis=0))
    after = rho.copy()
    after[8:12, 9:14] *= np.exp(2j)
    pair = np.abs(np.fft.fftshift(np.fft.fft2(np.stack([rho, after])), axes=(1, 2))) ** 2
    counts = rng.poisson(mean * (pair / pair[0].mean())[(np.arange(frames) >= slip).astype(int)]).astype(np.uint16)
    return Movie(counts, np.ones(SHAPE, bool), np.ones(frames, bool), np.arange(frames) * 0.5, (0, 0))


@pytest.fixture(scope="module", params=detection.DETECTORS)
def found(request):
    return detection.search(movie(), 8, 0.5, 0, request.param)


def test_every_detector_finds_the_slip_and_says_how_sure_it_is(found):
    assert found.changes.frame.tolist() == [67]
    rate = detection.columns(found)["false_alarm_rate"]
    assert rate.dims == ("event",)
    assert 0 <= float(rate[0]) <= 0.5


def test_every_detector_says_what_it_did(found):
    told = detection.attributes(found)
    assert told["window"] == 8
    assert 0 < told["false_alarms_expected"] <= 0.5 * 131 / 10_000
    assert str(told["separation"]) in told["merging"]
    assert str(told["blind"]) in told["merging"]


def test_a_bad_frame_moves_no_event():
    seen = movie()
    ok = seen.ok.copy()
    ok[[20, 60, 70]] = False
    assert detection.search(seen._replace(ok=ok), 8, 0.5, 0).changes.frame.tolist() == [67]


def nothing_valid(seen):
    return seen._replace(valid=np.zeros(SHAPE, bool))


def nothing_good(seen):
    return seen._replace(ok=np.zeros(seen.ok.size, bool))


def short(seen):
    return seen._replace(ok=np.arange(seen.ok.size) < 30)


def one_frame(seen):
    return seen._replace(frames=seen.frames[:1], ok=seen.ok[:1], time=seen.time[:1])


def dark(seen):
    return seen._replace(frames=np.zeros_like(seen.frames))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nothing_valid, "none of 667 pixels can be trusted"),
        (nothing_good, "none of 131 frames can be used"),
        (short, "30 good frames of 131; events with window=8 need 38 or more: take a window of 6 or less"),
        (one_frame, "1 good frame of 1; events with window=8 need 38 or more: a longer series is needed"),
        (dark, "every valid pixel has 0 in each of 131 good frames"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(spoil, said):
    with pytest.raises(XcdiError, match=said) as refused:
        detection.search(spoil(movie()), 8, 0.2, 0)
    assert "\n" not in str(refused.value)


def matrix(frames=151, drop=0.0, sd=0.004, at=80):
    t = np.arange(frames)
    upper = np.triu(np.random.default_rng(3).normal(0, sd, (frames, frames)), 1)
    apart = np.where((t[:, None] < at) == (t < at), 1.0, 1 - drop)
    return 1 + 0.2 * np.exp(-np.abs(t[:, None] - t) / 90) * apart + upper + upper.T


def test_a_drop_in_a_map_is_an_event_with_its_rate():
    events = map_events.find(two_time_map.from_matrix(matrix(drop=0.2), frame_time_s=0.5))
    assert events.frame.values.tolist() == [80]
    assert events.time.values.tolist() == [40.0]
    assert float(events.false_alarm_rate[0]) < 0.2
    assert float(events["drop"][0]) == pytest.approx(0.2, abs=4 * float(events.drop_error[0]))
    assert "frame 80 (40 s)  drop 0." in "".join(map_events.told(events))


def test_a_map_without_a_significant_drop_says_so():
    lines = map_events.told(map_events.find(two_time_map.from_matrix(matrix())))
    assert lines[0].startswith("events: none is significant (noise alone gives 0.2 per 10 000 frames, ")
    assert "per 10 000 frames" in lines[1]


def test_a_map_in_which_nothing_could_be_seen_says_so():
    assert "hides even a complete change" in map_events.told(map_events.find(two_time_map.from_matrix(matrix(sd=0.4))))[-1]


def test_rows_of_bad_frames_are_left_out_of_a_map():
    found = two_time_map.from_matrix(matrix(drop=0.2))
    plane = found.two_time.values
    plane[:, [30, 90]] = plane[:, :, [30, 90]] = np.nan
    assert map_events.find(found).frame.values.tolist() == [80]
    assert map_events.find(found).attrs["good_frames"] == 149


def hole(c):
    c[40, 60] = c[60, 40] = np.nan
    return c


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c[:40, :40], "40 good frames of 40; events with window=12 need 54 or more: take a window of 8 or less"),
        (lambda c: c[:9, :9], "9 good frames of 9; events with window=12 need 54 or more: a longer series is needed"),
        (lambda c: np.full_like(c, np.nan), "0 good frames of 151"),
        (lambda c: np.full_like(c, 1.2), "without noise no rate of false alarms can be told"),
        (hole, "frame 40 has 149 values of 150"),
    ],
)
def test_a_map_that_cannot_be_searched_is_refused_in_one_line(spoil, said):
    c = spoil(matrix())
    found = xr.Dataset({"two_time": (("region", "time", "time2"), c[None])}, {"time": ("time", np.arange(len(c)), {"units": "frame"})})
    with pytest.raises(XcdiError, match=said) as refused:
        map_events.find(found)
    assert "\n" not in str(refused.value)
