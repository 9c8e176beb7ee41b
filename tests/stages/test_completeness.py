"""Laws of the completeness curve: it rises, dimmer series see less, and a series that tells nothing says so."""

import numpy as np
import pytest
import xarray as xr
from stages.test_avalanches import correlation

from xcdi.stages import completeness, detection
from xcdi.stages.series import movie

NONE = xr.Dataset({name: ("event", np.zeros(0)) for name in ("frame", "drop", "score")} | {"flags": ("event", np.zeros(0, "U1"))})


def thinned(data, share, seed=0):
    counts = np.random.default_rng(seed).binomial(data.counts.values, share).astype(np.uint16)
    return data.assign(counts=(data.counts.dims, counts))


def looked_at(data, events=NONE, window=12):
    return completeness.curve(detection.search(movie(data), window, 0.2, 0), events, seed=1)


@pytest.fixture(scope="module")
def bright():
    return looked_at(correlation())


def test_the_curve_rises_from_none_to_all(bright):
    arrays, attrs = bright
    drop, share = arrays["injected_drop"].values, arrays["injected_found"].values
    assert np.all(np.diff(drop) > 0)
    assert share[:2].mean() < 0.3 < 0.7 < share[-2:].mean()
    assert np.all(arrays["injected_error"].values > 0)
    assert drop[0] < attrs["smallest_visible"] < attrs["completeness"] < 4 * drop[-1]


def test_half_is_found_where_the_curve_crosses_half(bright):
    arrays, attrs = bright
    below = arrays["injected_drop"].values < attrs["smallest_visible"]
    share = arrays["injected_found"].values
    assert share[below].mean() < 0.5 < share[~below].mean()


def test_what_is_expected_is_of_the_size_of_what_is_found(bright):
    assert 1 / 3 < bright[1]["smallest_expected"] / bright[1]["smallest_visible"] < 3


def test_a_dimmer_series_sees_larger_events_only(bright):
    assert looked_at(thinned(correlation(), 0.3))[1]["smallest_visible"] > 1.5 * bright[1]["smallest_visible"]


def test_the_same_seed_gives_the_same_curve(bright):
    again = looked_at(correlation())
    assert again[1] == bright[1]
    xr.testing.assert_identical(again[0]["injected_found"], bright[0]["injected_found"])


def test_events_that_are_seen_less_well_than_injected_ones_move_the_curve(bright):
    columns = {"frame": [67], "drop": [0.5], "score": [10.0], "flags": [""]}
    moved = looked_at(correlation(), xr.Dataset({name: ("event", values) for name, values in columns.items()}))
    assert moved[1]["smallest_visible"] > 1.2 * bright[1]["smallest_visible"]
    assert "1 event of this series" in moved[1]["completeness_how"]


def test_bad_frames_are_left_out(bright):
    spoilt = correlation()
    spoilt.counts.values[[30, 90]] = 0
    found = looked_at(spoilt.assign_attrs(bad_frames=[30, 90]))
    assert found[1]["smallest_visible"] == pytest.approx(bright[1]["smallest_visible"], rel=0.5)


def test_a_series_too_dim_for_any_event_says_so():
    arrays, attrs = looked_at(thinned(correlation(slip=999), 0.004))
    assert attrs["smallest_visible"] == attrs["completeness"] == np.inf
    assert arrays["injected_drop"].size == 0
    assert "nothing is visible" in completeness.told(attrs)


def test_a_detector_that_does_not_scan_has_no_curve():
    found = detection.search(movie(correlation()), 12, 0.2, 0)._replace(detector="poisson")
    attrs = completeness.curve(found, NONE)[1]
    assert np.isnan(attrs["completeness"])
    assert "'poisson'" in attrs["completeness_how"]


def test_words_for_a_series_that_nobody_asked():
    assert completeness.told({}) == "smallest event visible here: not known"
