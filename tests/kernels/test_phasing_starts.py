"""Where runs begin: a box that holds the object, and data of the same object at low resolution."""

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing.box import friendly, reach
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.moves import error_reduction
from xcdi.kernels.phasing.starts import autocorrelation_box, damp

SHAPE = (24, 32, 40)


@pytest.fixture
def block():
    """A block of 5 x 9 x 13 voxels, one strained corner, centred on index 0."""
    rho = np.zeros(SHAPE, np.complex64)
    _, y, x = np.indices((5, 9, 13))
    rho[:5, :9, :13] = np.exp(0.02j * (x - 6) ** 2 + 0.05j * y)
    return np.roll(rho, (-2, -4, -6), axis=(0, 1, 2))


def seen(rho, xp=np):
    return Measured(xp.asarray(np.abs(forward(rho))), xp.asarray(np.ones(rho.shape, bool)))


def test_the_box_holds_the_object_and_is_not_much_larger(block, xp, as_numpy):
    box = as_numpy(autocorrelation_box(seen(block, xp)))
    assert box[np.abs(block) > 0].all()
    edges = [box.any(axis=tuple(a for a in range(3) if a != axis)).sum() for axis in range(3)]
    assert all(true <= edge <= true + 4 for true, edge in zip((5, 9, 13), edges, strict=True))


def test_the_box_is_never_more_than_half_the_array():
    rho = np.random.default_rng(0).normal(size=SHAPE).astype(np.complex64)
    box = autocorrelation_box(seen(rho))
    assert box.sum() <= np.prod([n // 2 + 1 for n in SHAPE])


def test_damped_data_are_those_of_the_blurred_object(block, xp, as_numpy):
    """What convolving the data would not give: the blurred object fits them exactly."""
    soft = damp(seen(block, xp), 0.1)
    wave = forward(block).copy()
    for axis, n in enumerate(SHAPE):
        wave *= np.exp(-0.5 * (np.fft.fftfreq(n) / 0.1) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
    blurred = np.fft.ifftn(wave).astype(np.complex64)
    moved = error_reduction(Estimate(xp.asarray(blurred), xp.asarray(np.ones(SHAPE, bool))), soft)
    assert float(moved.residual) < 1e-5
    np.testing.assert_allclose(as_numpy(moved.rho), blurred, atol=1e-5)


def test_damping_keeps_gaps_and_precision(block, xp):
    measured = seen(block, xp)
    soft = damp(measured, 0.2)
    assert soft.amplitude.dtype == measured.amplitude.dtype
    assert soft.valid is measured.valid


def test_friendly_lengths_are_even_and_smooth():
    for n in range(2, 400):
        length = friendly(n)
        assert length <= n
        assert length % 2 == 0
        assert 2**20 * 3**12 * 5**8 % length == 0


def test_the_reach_ends_where_the_signal_does_and_ignores_gaps():
    counts = np.zeros((15, 31, 41))
    counts[5:10, 10:20, 8:33] = 50
    counts[:, :, 2] = np.nan
    assert reach(counts, (7, 15, 20)) == (3, 6, 13)
    assert reach(np.zeros((5, 5, 5)), (2, 2, 2)) == (1, 1, 1)
