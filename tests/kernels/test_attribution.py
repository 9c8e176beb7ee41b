"""Laws of attribution, on a small block of three grains that is seen at an angle between those of the rocking scan."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import attribution
from xcdi.kernels.avalanches.attribution import Region, View

SHAPE = (17, 31, 37)
BASIS = np.array([[0.0, 0.0, 11.0], [0.0, 10.0, 0.0], [20.0, 0.0, 1.0]])  # nm; columns of angle, row, column
PAIRS = [(1, 2), (1, 3), (2, 3)]
VIEW = View(0.7, (0.0, 0.0), 1.0, 1.0)
TRUE = Region(1, 3, (8, 18, 20), 60.0)


@pytest.fixture(scope="module")
def label():
    grain = np.zeros(SHAPE, int)
    grain[5:12, 9:22, 11:26] = 1
    grain[5:12, 9:15, 18:26] = 2
    grain[5:12, 15:22, 18:26] = 3
    return grain


@pytest.fixture(scope="module")
def rho(label):
    z, y, x = np.indices(SHAPE)
    slopes = {1: (0.2, 0.1, -0.15), 2: (-0.1, -0.25, 0.1), 3: (0.1, 0.2, 0.2)}
    result = np.zeros(SHAPE, complex)
    for grain, (a, b, c) in slopes.items():
        result[label == grain] = np.exp(1j * (a * z + b * y + c * x + grain))[label == grain]
    return result


def frames(rho, n, seed, view=VIEW, mean=4.0):
    intensity = np.abs(attribution.wave(rho, view)) ** 2
    return np.random.default_rng(seed).poisson(intensity * mean / intensity.mean(), (n, *SHAPE[1:])).astype(float)


def test_a_view_at_a_measured_angle_is_a_plane_of_the_transform(rho):
    whole = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))
    np.testing.assert_allclose(attribution.wave(rho, View(3.0, (0.0, 0.0), 1.0, 1.0)), whole[SHAPE[0] // 2 + 3], atol=1e-9)


def test_a_shifted_view_is_the_view_shifted(rho):
    straight, moved = (np.abs(attribution.wave(rho, View(0.7, by, 1.0, 1.0))) ** 2 for by in ((0.0, 0.0), (2.0, -3.0)))
    np.testing.assert_allclose(moved, np.roll(straight, (2, -3), axis=(0, 1)), atol=1e-8)


def test_regions_and_the_rest_add_up_to_the_whole(rho, label):
    regions = [Region(0, grain, (8, 15, 18), 1e9) for grain in (1, 2, 3)]
    total = sum(attribution.region_wave(rho, label, regions, BASIS, VIEW))
    np.testing.assert_allclose(total, attribution.wave(rho, VIEW), atol=1e-9)


def test_the_two_products_give_the_change_of_a_slip(rho, label):
    phase = -np.pi + 2 * np.pi * 17 / 24
    after = attribution.wave(attribution.slip(rho, label, TRUE, BASIS, phase), VIEW)
    whole = attribution.wave(rho, VIEW)
    seen = attribution.Change(np.abs(after) ** 2 - np.abs(whole) ** 2, np.ones(SHAPE[1:]), 0.0)
    fit = attribution.attribute(seen, whole, attribution.region_wave(rho, label, [TRUE], BASIS, VIEW), 1.0)
    assert fit.phase[0] == pytest.approx(phase)
    assert fit.misfit[0] < 1e-9 * fit.unchanged


def test_the_angle_and_the_shift_of_a_series_are_found(rho):
    seen = frames(rho, 9, 1, View(0.7, (0.4, -1.3), 1.0, 1.0))
    view = attribution.find_view(rho, seen.mean(axis=0), np.ones(SHAPE[1:], bool), offset=0.0, reach=1.5)
    assert view.offset == pytest.approx(0.7, abs=0.1)
    np.testing.assert_allclose(view.shift_px, (0.4, -1.3), atol=0.06)
    assert view.likeness > 0.9


def boundary_of(rho, label, region, phase, seed):
    regions = attribution.candidates(label, PAIRS, BASIS, radii=(30.0, 60.0, 90.0), seed=seed)
    before, after = frames(rho, 12, seed), frames(attribution.slip(rho, label, region, BASIS, phase), 12, seed + 1)
    valid = np.ones(SHAPE[1:], bool)
    valid[:, 30] = False
    change = attribution.change(before, after, valid)
    scale = before.mean() / np.mean(np.abs(attribution.wave(rho, VIEW)) ** 2)
    fit = attribution.attribute(change, attribution.wave(rho, VIEW), attribution.region_wave(rho, label, regions, BASIS, VIEW), scale)
    owner = np.array([r.boundary for r in regions])
    return attribution.posterior(fit, owner, len(PAIRS), change.noise), regions[int(fit.misfit.argmin())], fit, change


@pytest.mark.parametrize(
    "region", [TRUE, Region(0, 2, (8, 11, 18), 45.0), Region(2, 2, (7, 14, 23), 50.0), Region(0, 1, (8, 11, 17), 60.0)], ids=str
)
def test_the_boundary_and_the_grain_that_slipped_are_found(rho, label, region):
    probability, best, fit, change = boundary_of(rho, label, region, 1.8, 7)
    assert int(probability.argmax()) == region.boundary
    assert best.grain == region.grain
    assert probability.sum() == pytest.approx(1.0)
    assert change.noise < fit.unchanged


def test_what_no_region_explains_is_none_of_them(rho, label):
    regions = attribution.candidates(label, PAIRS, BASIS, radii=(30.0,))
    before = frames(rho, 12, 3)
    other = np.roll(frames(rho, 12, 4), (6, 9), axis=(1, 2))
    change = attribution.change(before, other, np.ones(SHAPE[1:], bool))
    scale = before.mean() / np.mean(np.abs(attribution.wave(rho, VIEW)) ** 2)
    fit = attribution.attribute(change, attribution.wave(rho, VIEW), attribution.region_wave(rho, label, regions, BASIS, VIEW), scale)
    probability = attribution.posterior(fit, np.array([r.boundary for r in regions]), len(PAIRS), change.noise)
    assert int(probability.argmax()) == len(PAIRS)


def test_candidates_lie_on_their_boundary_and_in_its_grains(label):
    for region in attribution.candidates(label, PAIRS, BASIS, radii=(30.0, 60.0), centres=5):
        assert region.grain in PAIRS[region.boundary]
        assert label[region.centre] in PAIRS[region.boundary]
        part = attribution.region_voxels(label, region, BASIS)
        assert np.all(label[part] == region.grain)


def test_grains_that_do_not_touch_have_no_candidate(label):
    assert attribution.candidates(label, [(1, 9)], BASIS, radii=(30.0,)) == []
