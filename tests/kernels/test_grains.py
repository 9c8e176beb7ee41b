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


def test_pieces_that_do_not_touch_are_different_grains():
    support = BALL & ((X < -120) | (X > 60))
    label = grains.label_grains(np.where(support, 1.0 + 0j, 0), support)
    assert label.max() == 2
    assert len(np.unique(label[support & (X < 0)])) == 1


def test_a_speck_beside_the_crystal_is_no_grain():
    support = BALL.copy()
    support[1, 1, 1] = True
    label = grains.label_grains(np.where(support, 1.0 + 0j, 0), support)
    assert label.max() == 1
    assert label[1, 1, 1] == 0


def test_grain_means_are_those_of_the_interior():
    label = np.where(BALL, np.where(X > 60, 2, 1), 0).astype(np.int16)
    values = np.where(grains.interior(label), label * 1.5, 99.0)
    np.testing.assert_allclose(grains.region_means(np.stack([values, -values]), label, np.ones(SHAPE)), [[1.5, 3.0], [-1.5, -3.0]])


@pytest.mark.parametrize("line", [(1.0, 0.0, 0.0), (0.0, 0.6, 0.8), (0.5, 0.5, 0.5**0.5)])
@pytest.mark.parametrize("charge", [1, -1])
def test_a_dislocation_does_not_cut_its_grain(line, charge):
    """Round the core the phase goes on: both sides of the seam are one grain."""
    one = np.cross(line, (0.0, 0.28, 0.96))
    one /= np.linalg.norm(one)
    other = np.cross(line, one)
    x, y = one[0] * X + one[1] * Y + one[2] * Z - 70.0, other[0] * X + other[1] * Y + other[2] * Z + 40.0
    core = 1 - np.exp(-(x**2 + y**2) / (0.6 * EDGE) ** 2)
    label = grains.label_grains(np.where(BALL, core * np.exp(1j * charge * np.arctan2(y, x)), 0), BALL)
    assert set(np.unique(label)) == {0, 1}


def test_a_dislocation_beside_a_boundary_leaves_two_grains():
    rho, other = two_grains(dip=0.6, jump=1.2, tilt=4e-3)
    x, y = X + 200.0, Y - 30.0
    core = 1 - np.exp(-(x**2 + y**2) / (0.6 * EDGE) ** 2)
    label = grains.label_grains(np.where(other, rho, rho * core * np.exp(1j * np.arctan2(y, x))), BALL)
    assert label.max() == 2
    assert adjusted_rand(label[BALL], other[BALL].astype(int)) > 0.85


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.4])
def test_where_the_support_ends_does_not_change_the_grains(threshold):
    """A soft surface, a dark background that does not end, and a support from the amplitude."""
    rho, other = two_grains(dip=0.5, jump=1.3, tilt=4e-3)
    noise = np.random.default_rng(5).normal(size=(2, *SHAPE))
    soft = 1 / (1 + np.exp((np.sqrt(X**2 + Y**2 + Z**2) - 450) / 25))
    object_ = soft * np.where(BALL, rho, 1.0) + 0.04 * (noise[0] + 1j * noise[1])
    support = ndi.binary_opening(np.abs(object_) > threshold)
    label = grains.label_grains(object_, support)
    assert label.max() == 2
    assert adjusted_rand(label[support & BALL], other[support & BALL].astype(int)) > 0.85


def test_uneven_illumination_does_not_change_the_grains():
    rho, other = two_grains(dip=0.5, jump=1.3, tilt=4e-3)
    label = grains.label_grains(rho * np.exp(Y / 900.0 - X / 1200.0), BALL)
    assert label.max() == 2
    assert adjusted_rand(label[BALL], other[BALL].astype(int)) > 0.85


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_the_axes_of_the_grid_do_not_matter(order):
    rho, _ = two_grains(dip=0.5, jump=1.3, tilt=4e-3, normal=(0.8, 0.5, np.sqrt(1 - 0.89)), offset=90.0)
    label, turned = grains.label_grains(rho, BALL), grains.label_grains(rho.transpose(order), BALL.transpose(order))
    assert turned.max() == label.max() == 2
    assert adjusted_rand(turned[BALL.transpose(order)], label.transpose(order)[BALL.transpose(order)]) > 0.97


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (5, 5, 5)])
def test_tiny_and_empty_supports_are_no_trouble(shape):
    one = np.ones(shape, complex)
    assert (grains.label_grains(one, np.ones(shape, bool)) == 1).all()
    assert not grains.label_grains(one, np.zeros(shape, bool)).any()
