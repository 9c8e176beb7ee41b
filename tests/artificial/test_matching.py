"""Detections and true events: which belong together, which cannot be asked for, which can be told apart."""

import numpy as np
import pytest

from xcdi.artificial.cases import case_of, light_of
from xcdi.artificial.matching import close_pairs, match, scorable
from xcdi.artificial.score_events import Hearing
from xcdi.artificial.score_phasing import grade_is_true


def hearing(found, true, *, flags=None, hidden=None, drops=None, lasting=1, length=200):
    found, true = np.array(found, int), np.array(true, int)
    large = np.full(len(true), 0.1) if drops is None else np.array(drops)
    return Hearing(
        frame=found,
        drop=np.full(len(found), 0.1),
        flags=[""] * len(found) if flags is None else flags,
        true=true,
        last=true + lasting - 1,
        large=large,
        same=large,
        fraction=large / 2,
        hidden=np.zeros(len(true), bool) if hidden is None else np.array(hidden),
        length=length,
        light=light_of({}),
    )


def test_events_are_asked_for_only_where_they_can_be_found():
    frames = np.array([5, 40, 44, 60, 80, 140])
    drops = np.array([0.1, 0.1, 0.1, 0.1, 0.01, np.nan])
    assert scorable(frames, drops, 150).tolist() == [False, False, False, True, False, False]
    assert scorable(frames[:0], drops[:0], 150).tolist() == []


def test_matches_are_one_to_one_and_the_unasked_excuse():
    frames, asked = np.array([30, 60, 90]), np.array([True, True, False])
    found = match(np.array([29, 31, 86, 97, 62]), frames, asked)
    assert found.pairs == [(0, 0), (1, 4)]
    assert found.false == [1, 3]


def test_the_nearest_detection_is_the_event_whatever_the_order():
    assert match(np.array([32, 30]), np.array([30]), np.array([True])).pairs == [(0, 1)]


def test_no_detections_match_nothing():
    found = match(np.array([], int), np.array([30]), np.array([True]))
    assert (found.pairs, found.false) == ([], [])


def test_a_detection_while_an_event_lasts_is_in_time():
    heard = hearing([57], [50], lasting=8)
    assert heard.matches.pairs == [(0, 0)]
    assert heard.error(0, 0) == 0
    assert hearing([60], [50], lasting=8).error(0, 0) == 3


def test_an_event_is_asked_for_once_though_many_detections_lie_near():
    heard = hearing([100, 102], [100])
    assert len(heard.matches.pairs) == 1
    assert len(heard.matches.false) == 1


@pytest.mark.parametrize(
    ("found", "flags", "told"),
    [([52], ["possibly merged"], True), ([52], [""], False), ([50, 54], ["", ""], True), ([], [], False), ([49, 53, 57], [""] * 3, False)],
)
def test_events_too_close_to_part_are_one_possibly_merged_or_both(found, flags, told):
    heard = hearing(found, [50, 54], flags=flags)
    assert heard.doublets() == [told]
    assert not heard.asked.any()


def test_an_event_whose_neighbour_is_too_small_to_see_need_not_be_flagged():
    assert hearing([50], [50, 54], drops=[0.1, 0.002]).doublets() == [True]
    assert hearing([50], [50, 54], drops=[0.01, 0.002]).doublets() == []


def test_pairs_with_a_third_event_near_are_not_judged():
    assert close_pairs(np.array([20, 24, 32]), 100) == []
    assert close_pairs(np.array([5, 9]), 100) == []


def test_a_slip_by_a_lattice_period_may_not_be_reported_nor_does_it_excuse():
    heard = hearing([100], [50, 100], hidden=[False, True])
    assert heard.hidden_reported() == 1
    assert len(heard.matches.false) == 1
    assert heard.asked.tolist() == [True, False]


def test_small_events_are_not_asked_for_and_excuse():
    heard = hearing([51], [50], drops=[0.01])
    assert not heard.asked.any()
    assert heard.matches.false == []


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({}, "easy"),
        ({"tilt_deg": 0.6}, "standard"),
        ({"photons": 1e6}, "low dose"),
        ({"blur_px": 0.5}, "blurred"),
        ({"blur_px": 0.8}, "hard"),
        ({"tilt_deg": 0.8}, "hard"),
        ({"strain": 1e-2}, "hard"),
        ({"object": "poly-0"}, "hard"),
    ],
)
def test_the_case_is_known_from_the_settings(config, name):
    assert case_of(config).name == name


def test_fewer_photons_ask_for_less():
    bars = [light_of({"mean_count": count}) for count in (1.0, 0.3, 0.1)]
    assert [bar.recall for bar in bars] == sorted((bar.recall for bar in bars), reverse=True)
    assert [bar.spread for bar in bars] == sorted(bar.spread for bar in bars)


@pytest.mark.parametrize("overlap", [0.2, 0.84, 0.86, 0.89, 0.91, 0.99])
def test_a_grade_is_true_when_no_reader_is_misled(overlap):
    assert grade_is_true("unreliable", overlap)
    assert grade_is_true("limited", overlap) == (overlap >= 0.85)
    assert grade_is_true("good", overlap) == (overlap >= 0.90)
