"""What a peak says of itself is what was done to it."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from xcdi.kernels.phasing import preflight

SHAPE = (34, 42, 38)
HALF = (5.2, 6.7, 6.1)  # of the crystal, voxels: 3.1 to 3.3 pixels per fringe
EVERYWHERE = np.ones(SHAPE, bool)


def far_field(*, strain=0.0, shape=SHAPE, half=HALF):
    """Intensity of a faceted crystal with a cubic and a quadratic phase, peak in the middle, 1e7 photons."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    size = [np.abs(i) / h for i, h in zip((z, y, x), half, strict=True)]
    body = (np.maximum(np.maximum(*size[:2]), size[2]) < 1) & (sum(size) < 2.2)
    rho = body * np.exp(1j * strain * (x**3 / half[2] ** 2 + y * z / half[1]))
    wave = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))
    return np.abs(wave) ** 2 * 1e7 / np.sum(np.abs(wave) ** 2)


def counted(intensity, seed=0):
    return np.random.default_rng(seed).poisson(intensity).astype(np.float32)


@pytest.fixture(scope="module")
def counts():
    return counted(far_field(strain=0.5))


@pytest.fixture(scope="module")
def ratio(counts):
    return preflight.oversampling(counts, EVERYWHERE)


def test_oversampling_is_the_length_of_the_array_over_that_of_the_crystal(ratio):
    np.testing.assert_allclose(ratio, np.array(SHAPE) / (2 * np.array(HALF)), rtol=0.2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_second_pixel_halves_the_oversampling_of_its_axis(axis, counts, ratio):
    every = tuple(slice(None, None, 2 if a == axis else 1) for a in range(3))
    coarse = preflight.oversampling(counts[every], EVERYWHERE[every])
    assert coarse[axis] < 2
    np.testing.assert_allclose(np.delete(coarse, axis), np.delete(ratio, axis), rtol=0.1)


def test_a_smaller_box_leaves_the_oversampling(counts, ratio):
    inner = tuple(slice(5, -5) for _ in SHAPE)
    np.testing.assert_allclose(preflight.oversampling(counts[inner], EVERYWHERE[inner]), ratio, rtol=0.15)


def test_more_photons_leave_the_oversampling(ratio):
    many = preflight.oversampling(counted(100 * far_field(strain=0.5)), EVERYWHERE)
    np.testing.assert_allclose(many, ratio, rtol=0.1)


def test_a_gap_through_the_peak_leaves_the_oversampling(counts, ratio):
    valid = EVERYWHERE.copy()
    valid[:, 20:22, :] = valid[:, :, 18:20] = False
    seen = preflight.oversampling(np.where(valid, counts, 0), valid)
    known = np.isfinite(seen)
    assert known[0]
    np.testing.assert_allclose(seen[known], ratio[known], rtol=0.2)


def test_a_rocking_curve_cut_off_does_not_look_undersampled(counts, ratio):
    late = slice(15, None)
    assert preflight.oversampling(counts[late], EVERYWHERE[late])[0] > 0.85 * ratio[0]


def test_without_light_nothing_is_known():
    assert np.isnan(preflight.oversampling(np.zeros((7, 5, 11)), np.ones((7, 5, 11), bool))).all()


def test_what_is_missing_is_filled_from_around():
    smooth = ndi.gaussian_filter(counted(far_field()), 2.0)
    valid = EVERYWHERE.copy()
    valid[:, 20:22, :] = False
    filled = preflight.completed(np.where(valid, smooth, 1e9), valid)
    np.testing.assert_array_equal(filled[valid], smooth[valid])
    assert filled[~valid].sum() == pytest.approx(smooth[~valid].sum(), rel=0.25)


def test_blur_lowers_the_visibility(ratio):
    sharp = far_field(strain=0.5)
    seen = [
        preflight.visibility(counted(ndi.gaussian_filter(sharp, blur) if blur else sharp), EVERYWHERE, ratio)
        for blur in (0.0, 0.4, 0.7, 1.0)
    ]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.95
    assert seen[-1] < 0.8


def test_background_that_is_known_leaves_the_visibility(ratio):
    sharp = far_field(strain=0.5)
    stray = counted(sharp + 20.0)
    assert preflight.visibility(stray, EVERYWHERE, ratio, 20.0) > preflight.visibility(stray, EVERYWHERE, ratio, 0.0) + 0.05
    assert preflight.visibility(stray, EVERYWHERE, ratio, 20.0) > 0.93


def test_a_hole_is_no_dip(ratio):
    counts, valid = counted(far_field(strain=0.5)), EVERYWHERE.copy()
    valid[17:19, 20:23, 15:23] = False
    holed = np.where(valid, counts, 0)
    assert preflight.visibility(holed, valid, ratio) == pytest.approx(preflight.visibility(counts, EVERYWHERE, ratio), abs=0.05)


def test_too_few_fringes_say_nothing(ratio):
    assert np.isnan(preflight.visibility(counted(far_field() / 1e5), EVERYWHERE, ratio))


def test_a_real_crystal_scatters_symmetrically_and_a_strained_one_does_not():
    assert preflight.symmetry(far_field()) > 0.999
    assert preflight.symmetry(far_field(strain=0.5)) < 0.95
    assert preflight.symmetry(far_field(strain=1.0)) < preflight.symmetry(far_field(strain=0.5))


def test_symmetry_is_that_about_the_best_centre():
    assert preflight.symmetry(far_field()[3:, :-4]) == pytest.approx(preflight.symmetry(far_field()), abs=1e-3)


def test_strain_spreads_the_light_over_speckles(ratio):
    wide = [preflight.spread(counted(far_field(strain=s)), ratio) for s in (0.0, 0.5, 1.0)]
    assert 0.5 < wide[0] < 3
    assert wide == sorted(wide)
    assert wide[2] > 3 * wide[0]


def test_photons_leave_the_spread(ratio):
    few, many = (preflight.spread(counted(scale * far_field(strain=0.5)), ratio) for scale in (1e-3, 10.0))
    assert few == pytest.approx(many, rel=0.05)


def test_fewer_photons_reach_less_far():
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij"))
    radius = np.linalg.norm(index, axis=0)
    reach = [preflight.photon_reach(counted(scale * far_field()), radius, speckle=30.0) for scale in (1e-4, 1e-2, 1.0)]
    assert reach == sorted(reach)
    assert reach[0] < 0.5 * reach[2]


def test_background_hides_the_faint_outer_fringes():
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij"))
    radius = np.linalg.norm(index, axis=0)
    stray = counted(1e-2 * far_field() + 3.0)
    assert preflight.photon_reach(stray, radius, speckle=30.0, background=3.0) < preflight.photon_reach(stray, radius, speckle=30.0)


def test_the_centre_of_mass_moves_with_the_peak(counts):
    moved = np.roll(counts, (2, -3, 1), axis=(0, 1, 2))
    np.testing.assert_allclose(preflight.centre_of_mass(moved, 50.0) - preflight.centre_of_mass(counts, 50.0), [2, -3, 1], atol=0.2)


def test_a_hot_pixel_is_alone_and_a_fringe_is_not(counts):
    assert not preflight.isolated(counts).any()
    hot = counts.copy()
    hot[3, 5, 7] = 1e5
    assert np.argwhere(preflight.isolated(hot)).tolist() == [[3, 5, 7]]
    assert preflight.brightest(hot) == preflight.brightest(counts)


def test_a_clipped_counter_leaves_a_plateau(counts):
    assert preflight.plateau(counts) == 0
    assert preflight.plateau(np.minimum(counts, 0.3 * counts.max())) == np.count_nonzero(counts >= 0.3 * counts.max())


@pytest.mark.parametrize(("axis", "pixels"), [(0, 4), (1, 2), (2, 6)])
def test_a_slab_without_values_is_as_wide_as_it_is(axis, pixels):
    missing = np.zeros((11, 13, 17), bool)
    missing[tuple(slice(3, 3 + pixels) if a == axis else slice(None) for a in range(3))] = True
    assert preflight.gap_width(missing, (2.0, 2.5, 3.0)).max() == pytest.approx(pixels / (2.0, 2.5, 3.0)[axis])


def test_stray_light_is_found_under_a_peak():
    stray = counted(far_field() / 1000 + 0.7)
    assert preflight.background(stray, EVERYWHERE) == pytest.approx(0.7, rel=0.15)


def test_a_rocking_curve_cut_at_half_stands_high_at_its_end(counts):
    curve = counts.sum(axis=(1, 2))
    assert max(preflight.ends(curve)) < 0.02
    begin, end = preflight.ends(curve[: int(curve.argmax()) + 2])
    assert begin < 0.02
    assert end > 0.5


def test_a_dark_frame_is_told_from_a_faint_end(counts):
    curve = counts.sum(axis=(1, 2))
    assert len(preflight.dark_frames(curve)) == 0
    curve[14] = 3
    assert preflight.dark_frames(curve).tolist() == [14]
