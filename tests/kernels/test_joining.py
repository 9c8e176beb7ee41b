"""Laws of laying reflections upon each other: place and hand come back, and what cannot be told is called a guess."""

import numpy as np
import pytest

from xcdi.kernels import joining

G = np.array([[1.4, 0.1, 0.0], [0.5, 1.3, 0.1], [0.4, -0.6, 1.1], [-0.5, 0.7, 1.2]])
CLEAR = [[1.0, 0.8], [0.7, 0.95], [0.95, 0.7], [0.8, 0.95]]
SAME = [[1.0, 1.0]] * 4


def both_hands(twin, noise=0.0, g=G):
    """Gradients (4, 2, 3, z, y, x) of one distortion, the right hand where `twin` says."""
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((3, 3, 3, 5, 7))
    right = -np.einsum("ni,ij...->nj...", g, matrix)
    wrong = right[:, :, ::-1, ::-1, ::-1]  # of the twin: the same derivative at the mirrored place
    pairs = [(w, r) if turned else (r, w) for r, w, turned in zip(right, wrong, twin, strict=True)]
    gradients = np.array(pairs)
    return gradients + noise * rng.standard_normal(gradients.shape)


@pytest.mark.parametrize("shift", [(1.0, -2.0, 0.5), (0.0, 0.26, -3.38)])
def test_a_shift_of_the_amplitude_is_found(shift):
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in (19, 23, 29)), indexing="ij")

    def lump(a, b, c):
        return np.exp(-(((z - a) / 3) ** 2) - ((y - b) / 4) ** 2 - ((x - c) / 5) ** 2) * (1.2 + np.sin((x - c) / 4))

    found, alike = joining.shift_onto(lump(0, 0, 0), lump(*shift))
    np.testing.assert_allclose(found, shift, atol=0.03)
    assert alike > 0.999


def test_amplitudes_that_differ_decide():
    hands = joining.choose_hands(np.array(CLEAR), G, both_hands([0, 0, 0, 0]), np.ones((3, 5, 7)))
    assert hands.twin.tolist() == [False, True, False, True]
    assert hands.by == "amplitude"


@pytest.mark.parametrize("twin", [[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]])
def test_four_phases_decide_where_amplitudes_do_not(twin):
    hands = joining.choose_hands(np.array(SAME), G, both_hands(twin, noise=0.1), np.ones((3, 5, 7)))
    assert hands.twin.astype(int).tolist() == twin
    assert hands.by == "phase"
    assert hands.ratio < 0.3


def test_three_reflections_without_a_clear_amplitude_are_a_guess():
    assert joining.choose_hands(np.array(SAME[:3]), G[:3], both_hands([0, 1, 0, 0])[:3], np.ones((3, 5, 7))).by == "guess"


def test_only_those_are_undecided_that_nothing_tells():
    likeness = [[1.0, 1.0], [1.0, 1.0], [0.95, 0.7]]
    assert joining.choose_hands(np.array(likeness), G[:3], both_hands([0, 0, 0, 0])[:3], np.ones((3, 5, 7))).undecided.tolist() == [0, 1, 0]
    assert not joining.choose_hands(np.array(SAME), G, both_hands([0, 1, 0, 1]), np.ones((3, 5, 7))).undecided.any()


@pytest.mark.parametrize(("order", "undecided"), [([0, 1, 2, 3], [0, 0, 0, 1]), ([3, 0, 1, 2], [0, 1, 1, 1])])
def test_three_in_one_plane_say_nothing_of_the_fourth(order, undecided):
    flat = np.array([G[0], G[1], G[0] - 0.8 * G[1], G[3]])[order]
    hands = joining.choose_hands(np.array(SAME), flat, both_hands([0, 0, 0, 0], g=flat), np.ones((3, 5, 7)))
    assert hands.by == "guess"
    assert hands.undecided.tolist() == undecided


@pytest.mark.parametrize(
    ("count", "likeness", "twins", "undecided", "denied"),
    [
        (3, SAME, [0, 1, 0], [0, 1, 1], False),  # nothing tells
        (3, CLEAR, [0, 1, 0], [0, 0, 0], False),
        (3, CLEAR, [0, 0, 0], [0, 0, 0], True),
        (4, SAME, [0, 1, 0, 1], [0, 0, 0, 0], False),
        (4, SAME, [0, 1, 1, 1], [0, 0, 0, 0], True),
    ],
)
def test_hands_that_are_stated_are_checked_where_anything_tells(count, likeness, twins, undecided, denied):
    data = np.array(likeness[:count]), G[:count], both_hands([0, 1, 0, 1])[:count], np.ones((3, 5, 7))
    hands = joining.stated_hands(np.array(twins), *data)
    assert (hands.by, hands.twin.astype(int).tolist()) == ("user", twins)
    assert (hands.undecided.tolist(), hands.denied) == (undecided, denied)


def test_hands_that_are_told_among_themselves_alone_are_checked_there():
    flat = np.array([G[3], G[0], G[1], G[0] - 0.8 * G[1]])
    data = np.array(SAME), flat, both_hands([0, 0, 0, 0], g=flat), np.ones((3, 5, 7))
    assert not joining.stated_hands(np.array([0, 1, 1, 1]), *data).denied
    assert joining.stated_hands(np.array([0, 1, 0, 1]), *data).denied


def test_phases_that_are_noise_are_a_guess():
    noise = np.random.default_rng(4).standard_normal((4, 2, 3, 3, 5, 7))
    assert joining.choose_hands(np.array(SAME), G, noise, np.ones((3, 5, 7))).by == "guess"
