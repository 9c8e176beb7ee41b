"""Where runs begin: a box that holds the object, and data of the same object at low resolution."""

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing.box import friendly, reach
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.moves import error_reduction
from xcdi.kernels.phasing.starts import autocorrelation_box, damp, extents, filled, spread

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


def edges(box):
    return [int(box.any(axis=tuple(a for a in range(3) if a != axis)).sum()) for axis in range(3)]


def counted(rho, total, valid=None, background=0.0, seed=1):
    """Photon counts of `rho`, `total` in all, on a background, and none where not valid."""
    intensity = np.abs(forward(rho)) ** 2
    counts = np.random.default_rng(seed).poisson(intensity * (total / intensity.sum()) + background)
    valid = np.ones(rho.shape, bool) if valid is None else valid
    return Measured(np.where(valid, np.sqrt(counts), np.nan).astype(np.float32), valid, background)


def test_the_box_holds_the_object_and_is_not_much_larger(block, xp, as_numpy):
    box = as_numpy(autocorrelation_box(seen(block, xp)))
    assert box[np.abs(block) > 0].all()
    assert all(true < edge <= true + 4 for true, edge in zip((5, 9, 13), edges(box), strict=True))


@pytest.mark.parametrize("photons", [1e5, 1e6, 1e8])
def test_photon_noise_does_not_widen_the_box(photons, block):
    noisy, ideal = edges(autocorrelation_box(counted(block, photons))), edges(autocorrelation_box(seen(block)))
    assert all(true <= edge <= free + 1 for true, edge, free in zip((5, 9, 13), noisy, ideal, strict=True))


def test_a_known_background_does_not_widen_the_box(block):
    free, there = (edges(autocorrelation_box(counted(block, 1e6, background=b))) for b in (0.0, 0.5))
    assert all(true <= edge <= other + 1 for true, edge, other in zip((5, 9, 13), there, free, strict=True))


GAPS = {
    "a plane off the peak": (slice(None), 5, slice(None)),
    "a column through the peak": (slice(None), 0, 0),
    "a frame": (3, slice(None), slice(None)),
}


@pytest.mark.parametrize("gap", list(GAPS))
def test_gaps_do_not_widen_the_box(gap, block):
    valid = np.ones(SHAPE, bool)
    valid[GAPS[gap]] = valid[5, 6, 7] = False
    measured = counted(block, 1e7, valid)
    box = autocorrelation_box(measured)
    assert box[np.abs(block) > 0].all()
    assert all(edge <= true + 5 for true, edge in zip((5, 9, 13), edges(box), strict=True))


def test_gaps_are_filled_with_what_would_be_there_and_the_rest_is_left(block, xp, as_numpy):
    valid = np.ones(SHAPE, bool)
    valid[0, 0, 0] = valid[:, 2, 3] = False
    full = as_numpy(seen(block).amplitude) ** 2
    amplitude = np.where(valid, np.sqrt(full), np.nan).astype(np.float32)
    counts, total = filled(Measured(xp.asarray(amplitude), xp.asarray(valid)))
    counts = as_numpy(counts)
    np.testing.assert_allclose(counts[valid], full[valid], rtol=1e-4)
    assert np.linalg.norm((counts - full)[~valid]) < 0.1 * np.linalg.norm(full[~valid])
    assert float(total) == pytest.approx(full[valid].sum(), rel=1e-4)


def test_without_gaps_nothing_is_filled(block):
    measured = counted(block, 1e6, background=0.1)
    np.testing.assert_allclose(filled(measured)[0], measured.amplitude**2 - 0.1, atol=1e-2)


@pytest.mark.parametrize("margin", [0, 1, 2])
def test_the_margin_adds_voxels_to_each_edge(margin, block):
    measured = seen(block)
    wide, bare = (edges(autocorrelation_box(measured, margin=m)) for m in (margin, 0))
    assert wide == [edge + margin for edge in bare]


def test_the_box_is_never_more_than_half_the_array():
    rho = np.random.default_rng(0).normal(size=SHAPE).astype(np.complex64)
    assert edges(autocorrelation_box(seen(rho))) == [n // 2 for n in SHAPE]


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


def gaussian_peak(centre, width, xp=np, background=0.0):
    """Amplitude of a Gaussian in counts, of that rms width around that centre, periodic, cycles per voxel."""
    away = [(f - c + 0.5) % 1 - 0.5 for f, c in zip(np.meshgrid(*map(np.fft.fftfreq, SHAPE), indexing="ij"), centre, strict=True)]
    counts = 1e4 * np.exp(-0.5 * sum((a / w) ** 2 for a, w in zip(away, width, strict=True)))
    return Measured(xp.asarray(np.sqrt(counts + background)), xp.asarray(np.ones(SHAPE, bool)), background)


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (0.02, -0.11, 0.07), (0.45, 0.3, -0.49)])
@pytest.mark.parametrize("background", [0.0, 3.0])
def test_the_spread_is_where_the_counts_are_and_how_wide_along_each_axis(centre, background, xp):
    width = (0.08, 0.05, 0.03)
    found = spread(gaussian_peak(centre, width, xp, background))
    np.testing.assert_allclose(found.centre, centre, atol=1e-3)
    np.testing.assert_allclose(found.width, width, rtol=0.02)


def test_the_spread_is_blind_to_what_gaps_hold():
    measured = gaussian_peak((0.0, 0.1, 0.0), (0.06, 0.05, 0.04))
    valid = measured.valid.copy()
    valid[12] = valid[:, 20] = False
    torn = Measured(np.where(valid, measured.amplitude, np.nan), valid)
    np.testing.assert_allclose(spread(torn).width, spread(measured).width, rtol=0.02)


def test_damping_has_a_width_for_each_axis_and_the_centre_stays_as_it_is(xp, as_numpy):
    """A Gaussian in counts of width w, damped by one in amplitude of width W: 1 / w^2 + 2 / W^2."""
    centre, width, damping = (0.02, -0.11, 0.49), np.array([0.08, 0.05, 0.03]), np.array([0.06, 0.2, np.inf])
    soft = damp(gaussian_peak(centre, width, xp), damping, centre)
    wanted = gaussian_peak(centre, (width**-2.0 + 2 * damping**-2.0) ** -0.5)
    np.testing.assert_allclose(as_numpy(soft.amplitude), wanted.amplitude, rtol=1e-4, atol=1e-4)


def test_data_damped_at_no_axis_are_the_data(block):
    measured = seen(block)
    assert damp(measured, (np.inf,) * 3) is measured
    np.testing.assert_array_equal(damp(measured, (np.inf, 0.1, 0.2)).amplitude, damp(measured, (1e9, 0.1, 0.2)).amplitude)


def test_a_background_is_taken_off_before_damping(xp, as_numpy):
    bare, there = (damp(gaussian_peak((0, 0, 0), (0.08, 0.05, 0.06), xp, b), 0.1) for b in (0.0, 3.0))
    assert there.background == 0
    np.testing.assert_allclose(as_numpy(there.amplitude), as_numpy(bare.amplitude), atol=2e-5)


def test_extents_count_every_plane_that_holds_a_voxel(xp):
    box = np.zeros((7, 8, 9), bool)
    box[1, 2, 3] = box[-1, 2, 5] = box[1, 0, 3] = True
    assert extents(xp.asarray(box)) == (2, 2, 2)


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
