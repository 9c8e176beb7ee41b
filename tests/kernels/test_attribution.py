"""Laws of attribution, on a small block of three grains that is seen at an angle between those of the rocking scan."""

from functools import partial

import numpy as np
import pytest

from xcdi.kernels.avalanches import attribution, patterson, posterior, regions, views
from xcdi.kernels.avalanches.regions import Region
from xcdi.kernels.avalanches.views import View

SHAPE = (17, 31, 37)
BASIS = np.array([[0.0, 0.0, 11.0], [0.0, 10.0, 0.0], [20.0, 0.0, 1.0]])  # nm; columns of angle, row, column
PAIRS = [(1, 2), (1, 3), (2, 3)]
AREAS = [1.0, 1.3, 0.9]
VIEW = View(0.7, (0.0, 0.0), 1.0, 1.0)
TRUE = Region(1, 3, (8, 18, 20), 45.0)
VALID = np.ones(SHAPE[1:], bool)
VALID[:, 30] = False


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
    intensity = np.abs(views.wave(rho, view)) ** 2
    return np.random.default_rng(seed).poisson(intensity * mean / intensity.mean(), (n, *SHAPE[1:])).astype(float)


def nests_of(label, seed=0):
    return regions.nests(label, PAIRS, BASIS, radii=(20.0, 30.0, 45.0, 65.0, 90.0), depths=(15.0, 30.0), centres=8, grains=True, seed=seed)


def told(rho, label, before, after, found=None, view=VIEW, later=None):
    """Belief, best region and fit of a change, as a stage asks for them."""
    found = nests_of(label) if found is None else found
    listed, whole = regions.regions_of(found), views.wave(rho, view)
    change = attribution.change(before, after, VALID)
    scale = before.mean() / np.mean(np.abs(whole) ** 2)
    fit = attribution.search(change, whole, found, partial(views.nest_waves, rho, label, view=view), scale)
    best = int(fit.misfit.argmin())
    moved = attribution.slip(rho, label, listed[best], BASIS, float(fit.phase[best]), PAIRS)
    count = posterior.speckles(change, np.abs(views.wave(moved, view)) ** 2 - np.abs(whole) ** 2, rho)
    logs, unknown = posterior.evidence(fit, change.noise, count)
    models = [np.abs(views.wave(rho, one)) ** 2 for one in (view, later or view)]
    rigid = attribution.rigid(
        change, *(frames.mean() / model.mean() * model for frames, model in zip((before, after), models, strict=True))
    )
    carried = posterior.evidence(rigid, change.noise, count)[0][0]
    return posterior.posterior(logs, (unknown, carried), listed, PAIRS, AREAS), listed[best], fit, change


def after_slip(rho, label, region, phase, seed, n=12):
    return frames(attribution.slip(rho, label, region, BASIS, phase, PAIRS), n, seed)


def test_a_view_at_a_measured_angle_is_a_plane_of_the_transform(rho):
    whole = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))
    np.testing.assert_allclose(views.wave(rho, View(3.0, (0.0, 0.0), 1.0, 1.0)), whole[SHAPE[0] // 2 + 3], atol=1e-9)


def test_a_shifted_view_is_the_view_shifted(rho):
    straight, moved = (np.abs(views.wave(rho, View(0.7, by, 1.0, 1.0))) ** 2 for by in ((0.0, 0.0), (2.0, -3.0)))
    np.testing.assert_allclose(moved, np.roll(straight, (2, -3), axis=(0, 1)), atol=1e-8)


def test_whole_grains_add_up_to_the_whole(rho, label):
    grains = [nest for nest in nests_of(label) if nest.shape == "grain"]
    total = sum(wave[0] for wave in views.nest_waves(rho, label, grains, VIEW))
    np.testing.assert_allclose(total, views.wave(rho, VIEW), atol=1e-3)


def test_the_shells_of_a_nest_give_the_field_of_its_regions(rho, label):
    found = nests_of(label)[:3] + [nest for nest in nests_of(label) if nest.shape == "slab"][:2]
    for nest, wave in zip(found, views.nest_waves(rho, label, found, VIEW), strict=True):
        for region, share in zip(regions.regions_of([nest]), nest.share, strict=True):
            alone = views.wave(rho * regions.region_share(label, region, BASIS, PAIRS) + 1e-30, VIEW)
            apart = np.linalg.norm(np.tensordot(share, wave, axes=(0, 0)) - alone) / np.linalg.norm(alone)
            assert apart < (0.25 if nest.shape == "ball" else 1e-5), "shells are as thick as a voxel"


def test_the_two_products_give_the_change_of_a_slip(rho, label):
    phase = -np.pi + 2 * np.pi * 17 / 36
    grain = next(nest for nest in nests_of(label) if nest.shape == "grain" and nest.grain == 2)
    after = views.wave(attribution.slip(rho, label, regions.regions_of([grain])[0], BASIS, phase, PAIRS), VIEW)
    whole = views.wave(rho, VIEW)
    seen = attribution.Change(np.abs(after) ** 2 - np.abs(whole) ** 2, np.ones(SHAPE[1:]), 0.0)
    fit = attribution.attribute(seen, whole, [grain], views.nest_waves(rho, label, [grain], VIEW), 1.0)
    assert fit.phase[0] == pytest.approx(phase)
    assert fit.misfit[0] < 1e-4 * fit.unchanged
    assert attribution.explained(fit, seen) == pytest.approx(1.0, abs=1e-4)


def test_settling_never_fits_worse_at_the_phase_found_first(rho, label):
    found = [nest for nest in nests_of(label) if nest.boundary == TRUE.boundary and nest.grain == TRUE.grain and nest.shape == "ball"]
    change = attribution.change(frames(rho, 12, 3), after_slip(rho, label, TRUE, 2.6, 4), VALID)
    whole, scale = views.wave(rho, VIEW), 4.0 / np.mean(np.abs(views.wave(rho, VIEW)) ** 2)
    waves = list(views.nest_waves(rho, label, found, VIEW))
    fit = attribution.attribute(change, whole, found, waves, scale)
    settled = [
        attribution.settle(change, whole, nest, wave, scale, np.full(len(nest.radii), 2.6)) for nest, wave in zip(found, waves, strict=True)
    ]
    assert min(misfit.min() for misfit, _ in settled) < fit.misfit.min()


def test_the_angle_and_the_shift_of_a_series_are_found(rho):
    seen = frames(rho, 9, 1, View(0.7, (0.4, -1.3), 1.0, 1.0))
    view = views.find_view(rho, seen.mean(axis=0), np.ones(SHAPE[1:], bool), offset=0.0, reach=1.5)
    assert view.offset == pytest.approx(0.7, abs=0.1)
    np.testing.assert_allclose(view.shift_px, (0.4, -1.3), atol=0.06)
    assert view.likeness > 0.9


def test_an_object_resembles_its_own_frames_and_no_others(rho):
    model = np.abs(views.wave(rho, VIEW)) ** 2
    assert views.resemblance(model, frames(rho, 12, 1), VALID) == pytest.approx(1.0, abs=0.05)
    assert views.resemblance(model, frames(rho[:, ::-1, ::-1], 12, 1), VALID) < 0.8


def test_the_object_follows_what_changes_slowly_along_its_projection(rho):
    y, x = np.indices(SHAPE[1:])
    aged = rho * np.exp(0.5j * np.cos(0.7 * y + 0.4 * x))
    seen = frames(aged, 12, 5)
    view = VIEW._replace(scale=4.0 / float(np.mean(np.abs(views.wave(rho, VIEW)) ** 2)))
    followed = views.followed(rho, seen.mean(axis=0), VALID, view, 12)
    before, after = (views.resemblance(np.abs(views.wave(one, VIEW)) ** 2, seen, VALID) for one in (rho, followed))
    assert after > before + 0.3 * (1 - before)
    assert np.all((followed != 0) == (rho != 0))


@pytest.mark.parametrize(
    "region", [TRUE, Region(0, 2, (8, 11, 18), 35.0), Region(2, 2, (7, 14, 23), 40.0), Region(0, 1, (8, 11, 17), 45.0)], ids=str
)
def test_the_boundary_and_the_grain_that_slipped_are_found(rho, label, region):
    belief, best, fit, change = told(rho, label, frames(rho, 12, 7), after_slip(rho, label, region, 1.8, 8))
    assert int(belief.boundary.argmax()) == region.boundary
    assert best.grain == region.grain
    assert belief.boundary.sum() == pytest.approx(1.0)
    assert change.noise < fit.unchanged


def test_a_whole_grain_shares_its_probability_among_its_boundaries(rho, label):
    belief, *_ = told(rho, label, frames(rho, 12, 7), after_slip(rho, label, Region(-1, 2, (8, 12, 22), np.inf, "grain"), 1.8, 8))
    mine = belief.side[[0, 2], [1, 0]]  # grain 2 on its boundaries with 1 and with 3
    assert mine.sum() > 0.9
    assert mine[0] / mine[1] == pytest.approx(AREAS[0] / AREAS[2], rel=0.35)


def test_an_inverted_twin_gives_the_same_answer(rho, label):
    """One reflection cannot tell an object from its inverted conjugate, and attribution need not."""
    found = nests_of(label)
    turned = [nest._replace(centre=tuple(n - 1 - c for n, c in zip(SHAPE, nest.centre, strict=True))) for nest in found]
    twin, flipped = np.conj(rho[::-1, ::-1, ::-1]), label[::-1, ::-1, ::-1].copy()
    count = int((label > 0).sum())
    turned = [nest._replace(voxels=count - 1 - nest.voxels) for nest in turned]
    before, after = frames(rho, 12, 7), after_slip(rho, label, TRUE, 1.8, 8)
    one, other = told(rho, label, before, after, found)[0], told(twin, flipped, before, after, turned)[0]
    np.testing.assert_allclose(one.boundary, other.boundary, atol=1e-3)


def test_a_slip_on_a_boundary_that_is_no_candidate_is_none_of_them(rho, label):
    found = [nest for nest in nests_of(label) if nest.boundary == 0 and nest.grain == 2 and nest.shape == "ball"]
    belief, *_ = told(rho, label, frames(rho, 12, 7), after_slip(rho, label, Region(1, 3, (8, 20, 19), 30.0), 2.5, 8), found)
    assert belief.none > 0.5


@pytest.mark.parametrize("later", [View(0.7, (0.0, 0.8), 1.0, 1.0), View(1.7, (0.0, 0.0), 1.0, 1.0)], ids=["shift", "tilt"])
def test_rigid_motion_is_none_of_them(rho, label, later):
    belief, *_ = told(rho, label, frames(rho, 12, 3), frames(rho, 12, 4, later), later=later)
    assert belief.none > 0.5


def test_what_no_region_explains_is_none_of_them(rho, label):
    belief, *_ = told(rho, label, frames(rho, 12, 3, mean=1.0), frames(rho[:, ::-1], 12, 4, mean=1.0))
    assert int(belief.boundary.argmax()) == len(PAIRS)
    assert belief.boundary[:-1].max() < 0.5


def test_no_change_tells_nothing(rho, label):
    belief, *_ = told(rho, label, frames(rho, 12, 3), frames(rho, 12, 4))
    assert belief.boundary.max() < 0.8


def test_regions_lie_on_their_boundary_and_in_its_grains(label):
    for nest in nests_of(label):
        for region, share in zip(regions.regions_of([nest]), nest.share, strict=True):
            part = regions.region_share(label, region, BASIS, PAIRS)
            assert np.all(label[part > 0] == region.grain)
            assert 0 < part.max() <= 1
            assert np.all(np.diff(share) <= 0), "slip fades outwards"
            assert region.boundary == -1 or (region.grain in PAIRS[region.boundary] and label[region.centre] in PAIRS[region.boundary])


def test_grains_that_do_not_touch_have_no_region(label):
    assert regions.nests(label, [(1, 9)], BASIS, radii=(30.0,)) == []


def test_the_difference_patterson_stands_out_at_the_vector_between_what_moved_and_what_did_not():
    rho = np.zeros((33, 47), complex)
    rho[10:13, 12:15] = 1.0
    rho[19:22, 30:33] = 1.0
    moved = rho.copy()
    moved[19:22, 30:33] *= np.exp(2j)
    pre, post = (np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(one)))) ** 2 for one in (rho, moved))
    found = np.abs(patterson.difference(pre, post))
    place = np.array(np.unravel_index(found.argmax(), found.shape)) - np.array(found.shape) // 2
    assert tuple(np.abs(place)) == (9, 18)
    assert found[16, 23] < 1e-9 * found.max(), "brightness has not changed"
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-9 * found.max())


def test_patterns_of_two_shapes_have_no_difference():
    with pytest.raises(ValueError, match="one shape"):
        patterson.difference(np.ones((3, 4)), np.ones((4, 3)))
