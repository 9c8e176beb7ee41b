"""A background is found where the data have one, and not where they have none."""

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing.background import constant, dim
from xcdi.kernels.phasing.estimate import Measured

SHAPE = (37, 41, 43)


@pytest.fixture(scope="module")
def crystal():
    """Counts expected of a compact, strained object."""
    z, y, x = np.meshgrid(*(np.fft.fftfreq(n) * n for n in SHAPE), indexing="ij")
    inside = np.abs(z) + np.abs(y) + np.abs(x) < 13
    intensity = np.abs(forward(np.where(inside, np.exp(0.01j * (z**2 + 2 * y * x)), 0))) ** 2
    return 1e6 * intensity / intensity.sum()


def seen(mean, seed=0):
    return Measured(np.sqrt(np.random.default_rng(seed).poisson(mean)).astype(np.float32), np.ones(SHAPE, bool))


@pytest.mark.parametrize("level", [0.05, 0.3, 2.0])
def test_the_background_that_was_added_is_found(level, crystal):
    assert constant(seen(crystal + level)) == pytest.approx(level, rel=0.15, abs=0.01)


def test_no_background_is_found_in_the_light_of_the_crystal(crystal):
    assert constant(seen(crystal)) < 0.01


def test_streaks_are_not_background(crystal):
    streaky = crystal + 0.3
    streaky[17:20] += 5.0  # a rod through the far pixels
    assert constant(seen(streaky)) == pytest.approx(0.3, rel=0.2)


def test_missing_pixels_are_not_dark(crystal):
    measured = seen(crystal + 0.5)
    valid = np.ones(SHAPE, bool)
    valid[:, 12:25, 18] = False
    valid[15:22] = False
    gappy = Measured(np.where(valid, measured.amplitude, np.nan), valid)
    assert constant(gappy) == pytest.approx(0.5, rel=0.15)


def test_dim_blocks_are_dimmer_than_all(crystal):
    radius, mean, error = dim(seen(crystal + 0.1))
    assert (np.diff(radius) > 0).all()
    assert (error > 0).all()
    assert mean[-1] < np.mean(crystal + 0.1)


def test_too_small_a_box_supports_no_background():
    assert constant(Measured(np.ones((7, 11, 13)), np.ones((7, 11, 13), bool))) == 0.0
