"""Data at low resolution are those of the same object in larger voxels, and the way back is exact."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import lowres
from xcdi.kernels.phasing.estimate import Estimate, Measured, expected, onto_data
from xcdi.kernels.phasing.lowres import crop, pad
from xcdi.kernels.phasing.starts import Spread

SMALL = [(7, 8, 6), (8, 5, 9), (5, 6, 11)]  # odd and even
LARGE = [(13, 11, 16), (12, 13, 11), (8, 6, 22)]


@pytest.fixture
def coarse(small, xp):
    """An object in a few large voxels, its far field full up to the edge."""
    rng = np.random.default_rng(3)
    support = np.zeros(small, bool)
    support[1:4, :3, -2:] = support[1:4, :3, :2] = True  # across an edge
    rho = support * (rng.normal(size=small) + 1j * rng.normal(size=small))
    return Estimate(xp.asarray(rho.astype(np.complex64)), xp.asarray(support))


def seen(rho, xp):
    psi = forward(rho)
    return Measured(xp.abs(psi), xp.ones(psi.shape, dtype=xp.bool))


@pytest.mark.parametrize("small", SMALL)
@pytest.mark.parametrize("large", LARGE)
def test_cropped_data_are_those_of_the_object_in_larger_voxels(small, large, coarse, xp, as_numpy):
    large = tuple(max(pair) for pair in zip(small, large, strict=True))
    low = crop(seen(pad(coarse, large).rho, xp), small)
    assert low.amplitude.shape == small
    assert low.amplitude.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(low.amplitude), np.abs(as_numpy(forward(coarse.rho))), atol=2e-5)
    assert float(onto_data(coarse.rho, low)[1]) < 1e-6


@pytest.mark.parametrize("small", SMALL)
@pytest.mark.parametrize("large", LARGE)
def test_the_padded_object_passes_through_the_same_data(small, large, coarse, xp, as_numpy):
    """An object without detail beyond the crop: solved at low resolution it is solved."""
    large = tuple(max(pair) for pair in zip(small, large, strict=True))
    fine = pad(coarse, large)
    assert fine.rho.dtype == xp.complex64
    measured = seen(fine.rho, xp)
    back = pad(Estimate(onto_data(coarse.rho, crop(measured, small))[0], coarse.support), large)
    np.testing.assert_allclose(as_numpy(back.rho), as_numpy(fine.rho), atol=2e-6)
    assert float(onto_data(back.rho, measured)[1]) < 1e-6


@pytest.mark.parametrize("small", SMALL)
def test_the_sum_of_the_counts_is_voxels_times_energy_at_both_resolutions(small, coarse, xp, as_numpy):
    for rho in (coarse.rho, pad(coarse, (13, 17, 22)).rho):
        counts = as_numpy(seen(rho, xp).amplitude) ** 2
        assert counts.sum() == pytest.approx(counts.size * (np.abs(as_numpy(rho)) ** 2).sum(), rel=1e-5)
    assert counts.sum() == pytest.approx((as_numpy(seen(coarse.rho, xp).amplitude) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("small", [(7, 8, 6)])
def test_an_object_at_a_multiple_of_the_size_keeps_its_values_where_the_voxels_meet(small, coarse, as_numpy):
    fine = as_numpy(pad(coarse, (14, 24, 12)).rho)
    np.testing.assert_allclose(fine[::2, ::3, ::2] * (2 * 3 * 2), as_numpy(coarse.rho), atol=2e-6)


@pytest.mark.parametrize("small", [(7, 8, 6)])
def test_the_support_covers_what_it_covered_and_no_whole_voxel_more(small, coarse, as_numpy):
    fine, old = as_numpy(pad(coarse, (14, 24, 12)).support), as_numpy(coarse.support)
    np.testing.assert_array_equal(fine[::2, ::3, ::2], old)
    voxels = np.kron(old, np.ones((2, 3, 2), bool))
    covered = np.logical_or.reduce([np.roll(voxels, (i, j, k), axis=(0, 1, 2)) for i in (0, -1) for j in (0, -1, -2) for k in (0, -1)])
    np.testing.assert_array_equal(fine, covered)


@pytest.mark.parametrize("small", [(7, 8, 6)])
@pytest.mark.parametrize("large", [(13, 11, 17), (7, 9, 6)])
def test_a_support_is_never_lost_nor_filled(small, large, coarse, as_numpy, xp):
    old = as_numpy(coarse.support)
    for support in (old, ~old):
        fine = as_numpy(pad(replace(coarse, support=xp.asarray(support)), large).support)
        near = tuple(np.round(np.arange(n) * s / n).astype(int) % s for n, s in zip(large, small, strict=True))
        assert fine[support[np.ix_(*near)]].all()
        assert not fine.all()


@pytest.mark.parametrize("small", [(7, 8, 6)])
def test_starts_in_a_batch_are_padded_as_if_alone(small, coarse, as_numpy, xp):
    both = Estimate(xp.stack([coarse.rho, 2 * coarse.rho]), xp.stack([coarse.support, ~coarse.support]))
    fine = pad(both, (9, 8, 11))
    np.testing.assert_allclose(as_numpy(fine.rho[1, ...]), 2 * as_numpy(pad(coarse, (9, 8, 11)).rho), atol=1e-5)
    np.testing.assert_array_equal(as_numpy(fine.support[0, ...]), as_numpy(pad(coarse, (9, 8, 11)).support))


def blur(shape, sigma):
    """Degree of coherence at every lag for a Gaussian blur of `sigma` pixels of the far field."""
    away = [np.minimum(i, n - i) for i, n in zip(np.indices(shape), shape, strict=True)]
    kernel = np.exp(-sum(np.square(a) for a in away) / (2 * sigma**2))
    return np.fft.rfftn(kernel / kernel.sum()).real.astype(np.float32)


def test_the_blur_and_the_background_of_the_cropped_data_are_those_of_the_data(xp, as_numpy):
    """A pattern that ends well within the crop: what is expected of it does not depend on the crop."""
    small, large = (15, 16, 14), (26, 24, 31)
    rho = np.zeros(small, np.complex64)
    z, y, x = (np.minimum(i, n - i) for i, n in zip(np.indices(small), small, strict=True))
    psi = np.exp(-(z**2 + y**2 + x**2) / 4.0 + 1j * (z * y - x))
    rho = np.fft.ifftn(psi).astype(np.complex64)
    fine = pad(Estimate(xp.asarray(rho), xp.asarray(np.ones(small, bool))), large).rho
    background = np.random.default_rng(0).random(large).astype(np.float32)
    full = replace(seen(fine, xp), background=xp.asarray(background), coherence=xp.asarray(blur(large, 0.7)))
    low = crop(full, small)
    assert low.coherence.shape == (*small[:2], small[2] // 2 + 1)
    np.testing.assert_allclose(as_numpy(low.coherence), blur(small, 0.7), atol=1e-3)
    there = crop(replace(full, amplitude=expected(forward(fine), full)), small).amplitude
    np.testing.assert_allclose(as_numpy(expected(forward(xp.asarray(rho)), low)), as_numpy(there), atol=1e-3)


def test_a_number_as_background_stays_and_gaps_go_along(xp, as_numpy):
    valid = np.ones((9, 8, 11), bool)
    valid[-1, 0, 2] = valid[4, 4, 5] = False
    amplitude = np.where(valid, 1, np.nan).astype(np.float32)
    low = crop(Measured(xp.asarray(amplitude), xp.asarray(valid), 0.25), (5, 5, 5))
    assert low.background == 0.25
    assert low.coherence is None
    missing = ~as_numpy(low.valid)
    assert np.argwhere(missing).tolist() == [[4, 0, 2]]
    np.testing.assert_array_equal(np.isnan(as_numpy(low.amplitude)), missing)


def test_the_whole_is_a_crop_and_a_pad_too(xp, as_numpy):
    rho = xp.asarray((np.arange(5 * 4 * 6).reshape(5, 4, 6) * (1 + 2j)).astype(np.complex64))
    same = pad(Estimate(rho, xp.asarray(np.ones((5, 4, 6), bool))), (5, 4, 6))
    np.testing.assert_allclose(as_numpy(same.rho), as_numpy(rho), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(as_numpy(crop(seen(rho, xp), (5, 4, 6)).amplitude), as_numpy(seen(rho, xp).amplitude))


FULL = (60, 72, 80)
NARROW = Spread((0.0, 0.0, 0.0), (0.04, 0.03, 0.02))


def test_low_resolution_holds_the_peak_and_twelve_voxels_of_the_object_in_lengths_that_transform_fast():
    small = lowres.coarse(FULL, NARROW, (30, 24, 20))
    for n, of, width, across in zip(small, FULL, NARROW.width, (30, 24, 20), strict=True):
        assert n % 2 == 0
        assert 2**10 * 3**6 * 5**4 % n == 0
        assert 8 * width * of <= n
        assert across * n / of >= 12
        assert n < 1.3 * max(8 * width * of, 12 * of / across)


def test_a_peak_off_the_middle_is_cropped_less():
    off = NARROW._replace(centre=(0.0, -0.1, 0.0))
    at, away = (lowres.coarse(FULL, peak, (30, 36, 40)) for peak in (NARROW, off))
    assert away[1] >= (8 * NARROW.width[1] + 0.2) * FULL[1] > at[1]
    assert (away[0], away[2]) == (at[0], at[2])


@pytest.mark.parametrize("worth", [0.25, 1.0])
def test_what_saves_too_little_is_not_cropped_at_all(worth):
    wide = Spread((0.0, 0.0, 0.0), (0.09, 0.09, 0.09))
    small = lowres.coarse(FULL, wide, (30, 36, 40), worth=worth)
    assert (small == FULL) == (worth == 0.25)
    assert lowres.coarse(FULL, Spread((0.0, 0.0, 0.0), (0.2, 0.2, 0.2)), (30, 36, 40), worth=1.0) == FULL


@pytest.mark.parametrize("wrong", [(8, 4, 6), (5, 4), (5, 0, 6)])
def test_no_crop_is_larger_than_the_data(wrong):
    with pytest.raises(ValueError, match="three lengths each, none larger"):
        crop(Measured(np.ones((5, 4, 6)), np.ones((5, 4, 6), bool)), wrong)
