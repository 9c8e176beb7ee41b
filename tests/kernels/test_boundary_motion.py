"""Laws of moving boundaries: a plane moved by so many nm comes back whatever the grid, and its error tells by how much it may be off."""

import numpy as np
import pytest

from xcdi.kernels import boundary_motion
from xcdi.kernels.avalanches import boundaries
from xcdi.kernels.resampling import lab_basis

SHAPE, VOXEL = (31, 37, 41), np.array([20.0, 20.0, 20.0])
NORMALS = [(0, 0, 1), (1, 1, 0), (1, 2, 3), (-1, 1, 2), (3, -2, 7)]


def places(voxel=VOXEL):
    return np.meshgrid(*(v * (np.arange(n) - n // 2) for n, v in zip(SHAPE, voxel, strict=True)), indexing="ij")


def away_from(normal, voxel=VOXEL):
    """Distance [nm] from a plane through the middle with `normal` (z, y, x)."""
    n = np.array(normal) / np.linalg.norm(normal)
    z, y, x = places(voxel)
    return n[0] * z + n[1] * y + n[2] * x, n


def two_grains(normal=(0.3, 0.5, 1), moved=0.0, voxel=VOXEL, radius=240.0):
    """A ball of grain 1 and grain 2 that meet at a plane moved by so many nm towards 2."""
    away, _ = away_from(normal, voxel)
    z, y, x = places(voxel)
    return np.where(z**2 + y**2 + x**2 < radius**2, np.where(away - moved > 0.01, 2, 1), 0)


@pytest.mark.parametrize("normal", [(0.31, 0.52, 1), (-1, 0.43, 0.17), (0.63, -0.89, 0.71)])
@pytest.mark.parametrize("moved", [5.0, -13.0, 30.0])
def test_a_plane_moved_by_known_nm_comes_back_within_its_error(normal, moved):
    found = boundary_motion.motion(two_grains(normal, moved), two_grains(normal), (1, 2), VOXEL)
    assert found.shift == pytest.approx(moved, abs=2.5 * found.shift_error)
    assert 0 < found.shift_error < 10
    assert found.swept == pytest.approx(found.shift * boundary_motion.face(two_grains(normal), (1, 2), VOXEL).area)


@pytest.mark.parametrize("normal", [(1, 1, 0), (1, 2, 3), (-1, 1, 2)])
def test_a_plane_along_layers_of_the_grid_is_right_to_one_layer(normal):
    """Perfect planes of low indices move by whole layers; boundaries of real crystals are rough."""
    layer = 20.0 / np.linalg.norm(normal)
    found = boundary_motion.motion(two_grains(normal, 13.0), two_grains(normal), (1, 2), VOXEL)
    assert found.shift == pytest.approx(13.0, abs=layer)


def test_a_plane_along_the_grid_moves_by_whole_voxels_only_and_says_so():
    found = boundary_motion.motion(two_grains((0, 0, 1), 7.0), two_grains((0, 0, 1)), (1, 2), VOXEL)
    assert found.shift in (0.0, pytest.approx(20.0, rel=0.02))
    assert found.shift_error > 6


def test_the_stated_error_is_the_true_one_over_many_planes():
    rng, pulls = np.random.default_rng(3), []
    for _ in range(25):
        normal, moved = rng.normal(size=3), rng.uniform(-30, 30)
        found = boundary_motion.motion(two_grains(normal, moved), two_grains(normal), (1, 2), VOXEL)
        pulls.append((found.shift - moved) / found.shift_error)
    assert 0.2 < np.sqrt(np.mean(np.square(pulls))) < 1.3


def test_there_and_back_is_nothing():
    before, after = two_grains(), two_grains(moved=26.0)
    there, back = (boundary_motion.motion(*pair, (1, 2), VOXEL) for pair in ((after, before), (before, after)))
    assert back.swept == pytest.approx(-there.swept, rel=0.1)
    still = boundary_motion.motion(before, before, (1, 2), VOXEL)
    assert still.shift == 0
    assert still.swept_error > 0


def test_the_order_of_the_pair_turns_the_sign():
    before, after = two_grains(), two_grains(moved=26.0)
    one, other = (boundary_motion.motion(after, before, pair, VOXEL).shift for pair in ((1, 2), (2, 1)))
    assert one == pytest.approx(-other)


def test_voxels_may_have_three_edges():
    voxel = np.array([34.0, 21.0, 17.0])
    found = boundary_motion.motion(two_grains(moved=25.0, voxel=voxel), two_grains(voxel=voxel), (1, 2), voxel)
    assert found.shift == pytest.approx(25.0, abs=2 * found.shift_error)


def test_what_rounding_left_of_a_shift_is_given_back():
    """A crystal moved by 0.4 voxel is drawn on the grid as if it had not moved: all its boundaries are 0.4 voxel off."""
    label, drawn = two_grains(), np.array([8.0, 0.0, 0.0])
    normal = boundary_motion.face(label, (1, 2), VOXEL).normal
    assert boundary_motion.motion(label, label, (1, 2), VOXEL, drawn=drawn).shift == pytest.approx(8.0 * normal[0], rel=0.03)


@pytest.mark.parametrize("normal", NORMALS)
def test_the_area_of_a_plane_does_not_depend_on_how_it_is_cut(normal):
    label = two_grains(normal)
    found, n = boundary_motion.face(label, (1, 2), VOXEL), away_from(normal)[1]
    assert found.area == pytest.approx(np.pi * 240**2, rel=0.08)  # a ball of voxels
    assert found.normal @ n > 0.98
    np.testing.assert_allclose(found.centroid, 0, atol=12)
    assert boundary_motion.total_area(label, VOXEL) == pytest.approx(found.area)


@pytest.mark.parametrize("slip", [-2.5, 0.4, 3.0])
def test_a_slip_is_the_change_of_the_jump(slip):
    label = two_grains()
    rng = np.random.default_rng(7)
    ratio = np.where(label > 0, np.exp(1j * (np.where(label == 2, slip, 0.0) + 0.7 + 0.2 * rng.normal(size=SHAPE))), 0)
    jump, error = boundary_motion.jump_change(ratio, label, label, (1, 2))
    assert jump == pytest.approx(slip, abs=3 * error)
    assert 0 < error < 0.05


def test_the_error_by_the_ensembles_is_averaged_over_parts_of_the_boundary():
    """Twice as wide a boundary has four times as many of them; a few voxels keep all of their error."""
    told = []
    for radius in (150.0, 285.0):
        label = two_grains(radius=radius)
        told.append(boundary_motion.jump_change((label > 0) + 0j, label, label, (1, 2), phase_error=np.full(SHAPE, 0.3))[1])
    assert told[1] == pytest.approx(told[0] / 2, rel=0.15)
    speck = np.zeros(SHAPE, int)
    speck[3:5, 3:6, 3], speck[3:5, 3:6, 4] = 1, 2
    assert boundary_motion.jump_change((speck > 0) + 0j, speck, speck, (1, 2), phase_error=np.full(SHAPE, 0.3))[1] == pytest.approx(
        0.3 * 2**0.5
    )


def test_a_slip_by_whole_planes_is_none():
    label = two_grains()
    ratio = np.where(label == 2, np.exp(2j * np.pi), 1.0 + 0j) * (label > 0)
    assert boundary_motion.jump_change(ratio, label, label, (1, 2))[0] == pytest.approx(0, abs=1e-9)


def test_voxels_that_changed_their_grain_do_not_speak_of_slips():
    before, after = two_grains(), two_grains(moved=40.0)
    odd = np.where(before != after, np.exp(2.0j), np.where(before == 2, np.exp(0.5j), 1.0)) * (before > 0)
    assert boundary_motion.jump_change(odd, after, before, (1, 2))[0] == pytest.approx(0.5, abs=1e-6)


def test_a_grain_within_another_has_the_area_of_the_sphere_it_is():
    z, y, x = places()
    away = np.sqrt((z - 3) ** 2 + (y + 7) ** 2 + (x - 4) ** 2)
    within = [np.where(away < radius, 2, np.where(away < 280, 1, 0)) for radius in (140.0, 147.0)]
    found = boundary_motion.face(within[0], (1, 2), VOXEL)
    assert found.area == pytest.approx(4 * np.pi * 140**2, rel=0.05)
    assert boundary_motion.total_area(within[0], VOXEL) == pytest.approx(found.area)
    assert np.isnan(found.normal).all()
    moved = boundary_motion.motion(within[1], within[0], (1, 2), VOXEL, drawn=np.array([5.0, 0, 0]))
    assert moved.shift == pytest.approx(-7.0, abs=2.5 * moved.shift_error)
    assert 0 < moved.shift_error < 6


def test_a_bent_boundary_has_the_area_and_the_shift_of_the_cap_it_is():
    voxel = VOXEL / 2
    z, y, x = places(voxel)
    body = z**2 + y**2 + x**2 < 140**2
    away = np.sqrt((z + 40) ** 2 + (y - 20) ** 2 + (x + 80) ** 2)
    caps = [np.where(body, np.where(away < radius, 1, 2), 0) for radius in (100.0, 110.0)]
    apart = np.sqrt(40**2 + 20**2 + 80**2)
    height = 100 + (140**2 - apart**2 - 100**2) / (2 * apart)  # of the part of the small sphere that is inside the body
    area = 2 * np.pi * 100 * height
    found, moved = boundary_motion.face(caps[0], (1, 2), voxel), boundary_motion.motion(caps[1], caps[0], (1, 2), voxel)
    assert np.linalg.norm(found.vector) < 0.8 * found.area
    assert found.area == pytest.approx(area, rel=0.06)
    assert moved.shift == pytest.approx(10.0, abs=1.0)


def test_areas_are_those_that_boundaries_have_elsewhere():
    label = two_grains() + (two_grains((1, 0, 0.2), 60.0) == 2)
    z, y, x = places()
    label[(np.abs(away_from((0.3, 0.5, 1))[0]) < 25) & (z**2 + y**2 + x**2 > 190**2)] = 0  # a groove
    found = boundaries.boundaries(label, (label > 0) + 0j, lab_basis(VOXEL))
    whole = boundaries.filled(label)
    assert boundary_motion.pairs(whole) == [(one.i, one.j) for one in found]
    for one in found:
        assert boundary_motion.face(whole, (one.i, one.j), VOXEL).area == pytest.approx(one.area)
        assert boundary_motion.face(whole, (one.j, one.i), VOXEL).area == pytest.approx(one.area)
    assert boundary_motion.total_area(whole, VOXEL) == pytest.approx(sum(one.area for one in found))


def test_a_boundary_that_is_not_there_has_no_numbers():
    single = np.where(two_grains() > 0, 1, 0)
    assert boundary_motion.face(single, (1, 2), VOXEL) is None
    assert boundary_motion.pairs(single) == []
    assert boundary_motion.total_area(single, VOXEL) == 0
    assert np.isnan(boundary_motion.motion(single, single, (1, 2), VOXEL)).all()
    assert np.isnan(boundary_motion.jump_change(single.astype(complex), single, single, (1, 2))).all()


def test_a_grain_that_is_gone_leaves_a_boundary_that_swept_all_of_it():
    before = two_grains()
    gone = np.where(before > 0, 1, 0)
    found = boundary_motion.motion(gone, before, (1, 2), VOXEL)
    assert found.swept == pytest.approx(np.count_nonzero(before == 2) * VOXEL.prod())


def test_grains_that_touch_in_a_few_faces_are_no_pair():
    label = np.zeros((5, 6, 7), int)
    label[2, 2, 1:3], label[2, 2, 3:5] = 1, 2
    assert boundary_motion.pairs(label) == []
    label[1:4, 1:4, 1:3], label[1:4, 1:4, 3:5] = 1, 2
    assert boundary_motion.pairs(label) == [(1, 2)]


def test_grains_keep_their_numbers_and_new_ones_get_new():
    label = two_grains()
    renamed = np.where(label == 1, 3, np.where(label == 2, 1, 0))
    renamed[15, 18, 20] = 2
    again = boundary_motion.match_labels(renamed, label)
    assert (again == label).sum() == label.size - 1
    assert again[15, 18, 20] == 3
    np.testing.assert_array_equal(boundary_motion.match_labels(label * 0, label), 0)
