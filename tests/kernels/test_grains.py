"""Grains: each sign of a boundary is enough, none of them is needed inside, and what is measured is what was made."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from xcdi.kernels.avalanches import grains

EDGE, G = 50.0, 1.374
BASIS = EDGE * np.eye(3)[:, ::-1]
SHAPE = (21, 23, 25)
X, Y, Z = (EDGE * (axis - n // 2) for axis, n in zip(np.indices(SHAPE)[::-1], SHAPE[::-1], strict=True))
BALL = np.sqrt(X**2 + Y**2 + Z**2) < 480.0


def two_grains(*, dip=0.0, jump=0.0, tilt=0.0, normal=(1.0, 0.0, 0.0), offset=60.0):
    """A ball cut by a plane: amplitude lower on it, phase or slope (derivative of u_G along y) other behind it."""
    away = normal[0] * X + normal[1] * Y + normal[2] * Z - offset
    other = away > 0
    amplitude = 1 - dip * np.exp(-((away / EDGE) ** 2))
    phase = np.where(other, jump - G * tilt * Y, 0.0)
    return np.where(BALL, amplitude * np.exp(1j * phase), 0), other


def adjusted_rand(a, b):
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    pairs = [(n * (n - 1) / 2).sum() for n in (table, table.sum(0), table.sum(1), np.array(table.sum()))]
    chance = pairs[1] * pairs[2] / pairs[3]
    return (pairs[0] - chance) / ((pairs[1] + pairs[2]) / 2 - chance)


@pytest.mark.parametrize("sign", [{"dip": 0.6}, {"jump": 2.0}, {"tilt": 0.015}], ids=["dip", "jump", "slope"])
def test_every_sign_of_a_boundary_is_enough(sign):
    rho, other = two_grains(**sign)
    label = grains.label_grains(rho, BALL)
    assert label.max() == 2
    assert label.dtype == np.int16
    assert adjusted_rand(label[BALL], other[BALL].astype(int)) > 0.85


@pytest.mark.parametrize("rms", [0.0, 3e-3, 5e-3])
def test_a_strained_noisy_grain_stays_one(rms):
    rng = np.random.default_rng(4)
    u = ndi.gaussian_filter(rng.normal(size=SHAPE), 125 / EDGE)
    u *= rms / (np.gradient(u, EDGE)[2][BALL].std())
    noise = 0.1 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    label = grains.label_grains(np.where(BALL, np.exp(-1j * G * u) + noise, 0), BALL)
    assert set(np.unique(label)) == {0, 1}


def test_neither_scale_nor_phase_nor_ramp_nor_twin_changes_the_labels():
    rho, _ = two_grains(dip=0.6, jump=1.0, tilt=5e-3)
    label = grains.label_grains(rho, BALL)
    np.testing.assert_array_equal(grains.label_grains(3e5 * np.exp(1j * (0.7 + 2e-3 * X - 4e-3 * Z)) * rho, BALL), label)
    np.testing.assert_array_equal(grains.label_grains(rho[::-1, ::-1, ::-1].conj(), BALL[::-1, ::-1, ::-1]), label[::-1, ::-1, ::-1])


def test_five_grains_of_a_noisy_polycrystal():
    rng = np.random.default_rng(8)
    sites = np.array([[-220, -150, 60], [230, -120, -90], [10, 250, -40], [-40, 20, -300], [90, -20, 310]])
    squared = np.stack([(X - a) ** 2 + (Y - b) ** 2 + (Z - c) ** 2 for a, b, c in sites])
    true = squared.argmin(axis=0) + 1
    first, second = np.sort(squared, axis=0)[:2]
    amplitude = 1 - 0.6 * np.exp(-(((second - first) / 800 / (0.6 * EDGE)) ** 2))
    eps, tilt, jump = rng.normal(0, 2e-3, 5), rng.normal(0, 5e-3, 5), rng.uniform(-np.pi, np.pi, 5)
    phase = -G * (eps[true - 1] * X + tilt[true - 1] * Y) + jump[true - 1]
    noise = 0.1 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    label = grains.label_grains(np.where(BALL, amplitude * np.exp(1j * phase) + noise, 0), BALL)
    assert abs(label.max() - 5) <= 1
    assert adjusted_rand(label[BALL].astype(int), true[BALL]) > 0.75
    sizes = np.bincount(label[BALL])[1:]
    assert (np.diff(sizes) <= 0).all(), "1 is the largest"


def test_the_boundary_is_where_and_what_it_is():
    normal = np.array([0.8, 0.5, np.sqrt(1 - 0.89)])
    rho, other = two_grains(dip=0.5, jump=1.1, tilt=4e-3, normal=normal, offset=90.0)
    label = np.where(BALL, np.where(other, 2, 1), 0).astype(np.int16)
    (found,) = grains.boundaries(label, rho, BASIS)
    assert (found.i, found.j) == (1, 2)
    assert np.degrees(np.arccos(found.normal @ normal)) < 5, "from 1 to 2, not back"
    assert found.area == pytest.approx(np.pi * (480.0**2 - 90.0**2), rel=0.05)
    np.testing.assert_allclose(found.centroid, 90.0 * normal, atol=15.0)
    assert 0.2 < found.dip < 0.6
    expected = 1.1 - G * 4e-3 * found.centroid[1]
    assert found.phase_jump == pytest.approx(expected, abs=0.05)
    assert found.jump_error < 0.05


def test_no_dip_is_zero_and_no_contact_is_no_boundary():
    rho, other = two_grains(jump=1.0)
    label = np.where(BALL, np.where(other, 2, 1), 0).astype(np.int16)
    assert grains.boundaries(label, rho, BASIS)[0].dip == pytest.approx(0, abs=1e-9)
    label[np.abs(X - 60) < 30] = 0
    assert grains.boundaries(label, rho, BASIS) == []


def test_pieces_that_do_not_touch_are_different_grains():
    support = BALL & ((X < -120) | (X > 60))
    label = grains.label_grains(np.where(support, 1.0 + 0j, 0), support)
    assert label.max() == 2
    assert len(np.unique(label[support & (X < 0)])) == 1


def test_grain_means_are_those_of_the_interior():
    label = np.where(BALL, np.where(X > 60, 2, 1), 0).astype(np.int16)
    values = np.where(grains.interior(label), label * 1.5, 99.0)
    np.testing.assert_allclose(grains.region_means(np.stack([values, -values]), label, np.ones(SHAPE)), [[1.5, 3.0], [-1.5, -3.0]])


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (5, 5, 5)])
def test_tiny_and_empty_supports_are_no_trouble(shape):
    one = np.ones(shape, complex)
    assert (grains.label_grains(one, np.ones(shape, bool)) == 1).all()
    assert not grains.label_grains(one, np.zeros(shape, bool)).any()
