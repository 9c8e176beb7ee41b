import numpy as np
import pytest

from xcdi.artificial.drops import NORMALISATIONS, drops


def speckled(rng, shape=(31, 37)):
    return rng.exponential(size=shape)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_nothing_happening_is_no_drop(name):
    still = np.repeat(speckled(np.random.default_rng(0))[None], 30, axis=0)
    assert drops(still, [11])[name] == pytest.approx([0], abs=1e-9)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_brightness_does_not_count_as_change(name):
    rng = np.random.default_rng(0)
    flicker = speckled(rng)[None] * rng.uniform(0.5, 2, (30, 1, 1))
    assert drops(flicker, [11])[name] == pytest.approx([0], abs=0.02 if name == "N5" else 1e-9)


@pytest.mark.parametrize("name", ["N3", "N4"])
def test_a_new_pattern_is_a_whole_drop_and_half_of_one_a_half(name):
    rng = np.random.default_rng(1)
    one, other = speckled(rng, (101, 103)), speckled(rng, (101, 103))
    mixed = (one + other) / 2  # correlation coefficient with `one`: 1/sqrt(2)
    frames = np.stack([one] * 9 + [other] * 9 + [mixed] * 9)
    assert drops(frames, [9, 18])[name] == pytest.approx([1, 1 - np.sqrt(0.5)], abs=0.05)


def test_windows_end_at_the_neighbouring_event():
    rng = np.random.default_rng(2)
    a, b, c = (speckled(rng) for _ in range(3))
    frames = np.stack([a] * 10 + [b] * 3 + [c] * 10)
    alone = np.stack([a] * 10 + [b] * 3)
    assert drops(frames, [10, 13])["N4"][0] == pytest.approx(drops(alone, [10])["N4"][0])


def test_one_frame_alone_cannot_be_measured():
    frames = np.repeat(np.random.default_rng(3).random((1, 7, 5)), 12, axis=0)
    assert np.isnan(drops(frames, [1, 6])["N4"]).tolist() == [True, False]


def test_frames_in_which_an_event_still_goes_on_are_left_out():
    rng = np.random.default_rng(4)
    a, b, c = (speckled(rng) for _ in range(3))
    turning = [a * (1 - w) + b * w for w in np.linspace(0.2, 0.8, 5)]
    frames = np.stack([a] * 10 + turning + [b] * 8 + [c] * 10)  # from frame 10, over 6 frames, then at once at frame 23
    quick = np.stack([a] * 10 + [b] * 8 + [c] * 10)
    envelope_free = drops(frames, [10, 23], [6, 1])["N4"]
    np.testing.assert_allclose(envelope_free, drops(quick, [10, 18])["N4"], atol=1e-9)
