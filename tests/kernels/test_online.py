"""Laws of the scan that is fed frame by frame: it says what the batch says, in time, and keeps little."""

import numpy as np
import pytest
from kernels.test_events import ALL, intensities, search

from xcdi.kernels.avalanches import online

SLIPS = {71: (0, 1.5), 113: (1, -2.2)}


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    return rng.poisson(intensities(rng, 149, SLIPS))


def announced(counts, ok=None):
    scan = online.OnlineScan(ALL)
    found = [one for k, frame in enumerate(counts) for one in scan.push(frame, True if ok is None else bool(ok[k]))]
    return found, scan


@pytest.fixture(scope="module")
def heard(counts):
    return announced(counts)[0]


def test_slips_are_announced_within_a_window_and_five_frames(counts, heard):
    assert [one.frame for one in heard] == list(search(counts).frame) == list(SLIPS)
    assert all(0 < one.known - one.frame <= 12 + online.LATEST for one in heard)
    assert all(one.drop > 3 * one.drop_error > 0 and not one.artefact for one in heard)


def test_what_comes_later_changes_no_announcement(counts, heard):
    assert announced(counts[: heard[0].known + 1])[0] == heard[:1]


def test_bad_frames_count_and_do_not_disturb(counts):
    ok = np.ones(len(counts), bool)
    ok[[30, 69, 115]] = False
    spoilt = counts.copy()
    spoilt[[30, 69, 115]] = 0
    spoilt[80] *= 3  # doubled exposure, which nobody marked
    found, scan = announced(spoilt, ok)
    assert [one.frame for one in found] == list(SLIPS)
    assert (scan.pushed, scan.good) == (149, 145)


def test_pixels_that_switch_on_are_an_artefact_and_are_left_out():
    rng = np.random.default_rng(4)
    counts = rng.poisson(intensities(rng, 130, {}))
    counts[90:, 5, 5:7] += 60
    found, scan = announced(counts)
    assert [(one.frame, one.artefact) for one in found] == [(90, True)]
    assert not scan.valid[5, 5:7].any()


def test_a_clear_slip_is_announced_before_there_are_surrogates():
    rng = np.random.default_rng(6)
    found, scan = announced(rng.poisson(intensities(rng, 44, {26: (0, 2.5)}, mean=4.0)))
    assert [one.frame for one in found] == [26]
    assert not scan.settled


def test_a_slip_that_changes_the_brightness_too_is_announced_at_its_frame():
    rng = np.random.default_rng(8)
    mean = intensities(rng, 120, {80: (0, 2.5)}, mean=4.0)
    mean[80:] *= 1.5
    counts = rng.poisson(mean)
    counts[60] *= 2  # one doubled exposure alone stays out
    found, scan = announced(counts)
    assert [one.frame for one in found] == [80]
    assert 0 < found[0].known - 80 <= 12 + online.LATEST
    assert scan.good == 119


def test_memory_is_bounded(counts):
    _, scan = announced(np.concatenate([counts, counts]))
    assert len(scan._frames) == len(scan._vectors) == len(scan._products) == online.KEPT * scan.window < len(counts)


def test_a_series_without_events_is_silent():
    rng = np.random.default_rng(7)
    assert announced(rng.poisson(intensities(rng, 200, {}, drift=0.002)))[0] == []
