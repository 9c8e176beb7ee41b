"""Laws of the strain tensor: known distortions come back, in any frame, from any reflections, with their errors."""

from itertools import permutations

import numpy as np
import pytest

from xcdi.backend import namespace
from xcdi.kernels import geometry, strain, tensor

FIVE = np.array([[1.4, 0.1, 0.0], [0.5, 1.3, 0.1], [0.4, -0.6, 1.1], [-0.5, 0.7, 1.2], [1.5, 1.6, -0.2]])  # 1/nm
SHAPE = (3, 2, 5)


def a_distortion(seed=1):
    """A field of displacement gradients (3, 3, z, y, x) without any symmetry."""
    return 5e-3 * np.random.default_rng(seed).standard_normal((3, 3, *SHAPE))


def gradients_of(matrix, g):
    return np.array([-np.einsum("i,ij...->j...", one, matrix) for one in g])


def some_weights(n, seed=2):
    return np.random.default_rng(seed).uniform(0.2, 5.0, (n, *SHAPE))


def object_of(u, g):
    """Complex object (z, y, x) of a displacement (3, z, y, x), in the sign of the package."""
    return np.exp(-1j * np.einsum("i,izyx->zyx", g, u))


def places(shape, voxel):
    z, y, x = np.meshgrid(*(voxel * (np.arange(n) - n // 2) for n in shape), indexing="ij")
    return x, y, z


@pytest.mark.parametrize("n", [3, 4, 5])
def test_a_known_distortion_comes_back_from_three_four_and_five_reflections(n):
    matrix = a_distortion()
    found = tensor.distortion(gradients_of(matrix, FIVE[:n]), FIVE[:n], some_weights(n))
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-15)
    assert np.isnan(found.chi2).all() if n == 3 else (found.chi2 < 1e-25).all()


def test_the_order_of_the_reflections_does_not_matter():
    rng, weights = np.random.default_rng(5), some_weights(4)
    gradients = gradients_of(a_distortion(), FIVE[:4]) + 1e-3 * rng.standard_normal((4, 3, *SHAPE))
    first = tensor.distortion(gradients, FIVE[:4], weights)
    for order in map(list, permutations(range(4))):
        again = tensor.distortion(gradients[order], FIVE[order], weights[order])
        np.testing.assert_allclose(again.matrix, first.matrix, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(again.chi2, first.chi2, rtol=1e-9)


def test_in_a_turned_laboratory_the_tensor_is_r_d_rt():
    turn = geometry.rotation((1.0, -2.0, 0.5), 0.7)
    rng = np.random.default_rng(6)
    gradients = gradients_of(a_distortion(), FIVE[:4]) + 1e-3 * rng.standard_normal((4, 3, *SHAPE))
    here = tensor.distortion(gradients, FIVE[:4], some_weights(4))
    there = tensor.distortion(np.einsum("ij,nj...->ni...", turn, gradients), FIVE[:4] @ turn.T, some_weights(4))
    np.testing.assert_allclose(there.matrix, np.einsum("ia,ab...,jb->ij...", turn, here.matrix, turn), atol=1e-15)
    np.testing.assert_allclose(tensor.rotation(there.matrix), np.einsum("ij,j...->i...", turn, tensor.rotation(here.matrix)), atol=1e-15)
    np.testing.assert_allclose(tensor.equivalent(tensor.strain(there.matrix)), tensor.equivalent(tensor.strain(here.matrix)), rtol=1e-9)
    np.testing.assert_allclose(there.chi2, here.chi2, rtol=1e-9)


def test_tension_along_each_axis_is_positive_strain_along_it():
    x, y, z = places((5, 7, 9), 10.0)
    u = np.stack([1e-3 * x, 2e-3 * y, -3e-3 * z])
    slopes = np.array([strain.gradient(object_of(u, g), geometry.lab_basis(10.0)) for g in FIVE[:3]])
    found = tensor.strain(tensor.distortion(slopes, FIVE[:3], np.ones((3, *x.shape))).matrix)
    np.testing.assert_allclose(found.reshape(6, -1).T, np.tile([1e-3, 2e-3, -3e-3, 0, 0, 0], (x.size, 1)), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_right_handed_turn_is_a_rotation_and_no_strain(axis):
    turn = np.eye(3)[axis] * 2e-3
    place = np.stack(places((5, 7, 9), 10.0))
    u = np.moveaxis(np.cross(turn, np.moveaxis(place, 0, -1)), -1, 0)
    slopes = np.array([strain.gradient(object_of(u, g), geometry.lab_basis(10.0)) for g in FIVE[:3]])
    found = tensor.distortion(slopes, FIVE[:3], np.ones((3, *place.shape[1:])))
    np.testing.assert_allclose(tensor.rotation(found.matrix).reshape(3, -1).T, np.tile(turn, (place[0].size, 1)), atol=1e-12)
    assert np.abs(tensor.strain(found.matrix)).max() < 1e-12


def test_a_screw_dislocation_shows_the_strain_and_rotation_of_elasticity_away_from_its_core():
    x, y, _ = places((5, 41, 43), 10.0)
    x, y, burgers = x + 3.0, y + 3.0, 4.5  # the core lies between voxels; b along z
    u = np.stack([0 * x, 0 * x, burgers / (2 * np.pi) * np.arctan2(y, x)])
    g = np.array([[1.4, 0.0, 2 * np.pi / 4.5], [-0.7, 1.2, 2 * np.pi / 4.5], [-0.7, -1.2, 2 * np.pi / 4.5]])  # G.b = 2 pi: no cut
    slopes = np.array([strain.gradient(object_of(u, one), geometry.lab_basis(10.0)) for one in g])
    matrix = tensor.distortion(slopes, g, np.ones((3, *x.shape))).matrix
    inside = np.zeros(x.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True  # one-sided derivatives at the rim are of first order
    away = inside & (np.hypot(x, y) > 100.0)
    shear = burgers / (4 * np.pi) / (x**2 + y**2)
    expected = np.stack([0 * x, 0 * x, 0 * x, 0 * x, -y * shear, x * shear])
    np.testing.assert_allclose(tensor.strain(matrix)[:, away], expected[:, away], atol=2e-5)
    np.testing.assert_allclose(tensor.rotation(matrix)[:, away], np.stack([x * shear, y * shear, 0 * x])[:, away], atol=2e-5)
    assert np.abs(expected[:, away]).max() > 2e-3


def test_stated_errors_are_those_of_many_trials():
    rng, sigma = np.random.default_rng(7), np.array([1e-3, 2e-3, 1e-3, 3e-3])  # rad/nm
    trials = 20000
    gradients = gradients_of(np.zeros((3, 3, 1)), FIVE[:4]) + sigma[:, None, None] * rng.standard_normal((4, 3, trials))
    found = tensor.distortion(gradients, FIVE[:4], np.repeat(1 / sigma[:, None] ** 2, trials, axis=1))
    for values, errors in (
        (tensor.strain(found.matrix), tensor.strain_error(found.covariance)),
        (tensor.rotation(found.matrix), tensor.rotation_error(found.covariance)),
    ):
        np.testing.assert_allclose(values.std(axis=1), errors[:, 0], rtol=0.03)
    assert found.chi2.mean() == pytest.approx(1.0, abs=0.03)


def test_errors_of_the_displacement_are_those_of_many_trials():
    rng, sigma = np.random.default_rng(8), np.array([0.1, 0.2, 0.1, 0.3])
    true = np.array([0.3, -0.2, 0.7])
    phases = -(FIVE[:4] @ true)[:, None] + sigma[:, None] * rng.standard_normal((4, 20000))
    u, error = tensor.displacement(phases, FIVE[:4], np.repeat(1 / sigma[:, None] ** 2, 20000, axis=1))
    np.testing.assert_allclose(u.mean(axis=1), true, atol=5 * (error[:, 0] / 20000**0.5).max())
    np.testing.assert_allclose(u.std(axis=1), error[:, 0], rtol=0.03)


def test_constants_of_the_phases_move_the_displacement_by_a_constant():
    u = np.random.default_rng(9).standard_normal((3, *SHAPE))
    phases = -np.einsum("ni,i...->n...", FIVE[:4], u)
    weights = np.broadcast_to(np.array([1.0, 2.0, 3.0, 4.0])[:, None, None, None], (4, *SHAPE))
    offset = np.array([0.5, -1.0, 2.0, 0.25])[:, None, None, None]
    moved, _ = tensor.displacement(phases + offset, FIVE[:4], weights)
    apart = moved - u
    np.testing.assert_allclose(apart, np.broadcast_to(apart[:, :1, :1, :1], apart.shape), atol=1e-12)
    np.testing.assert_allclose(tensor.displacement(phases, FIVE[:4], weights)[0], u, atol=1e-12)


def test_a_voxel_that_too_few_reflections_see_has_no_tensor():
    matrix, weights = a_distortion(), some_weights(4)
    weights[0, 0, 0, 0] = 0  # three are left
    weights[:2, 0, 0, 1] = 0  # two
    found = tensor.distortion(gradients_of(matrix, FIVE[:4]), FIVE[:4], weights)
    np.testing.assert_allclose(found.matrix[..., 0, 0, 0], matrix[..., 0, 0, 0], atol=1e-15)
    assert np.isnan(found.chi2[0, 0, 0])
    assert np.isnan(found.matrix[..., 0, 0, 1]).all()
    assert np.isnan(found.matrix).sum() == 9


@pytest.mark.parametrize("g", [FIVE[:2], np.array([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0], [2.0, -1.0, 0]])])
def test_reflections_in_one_plane_are_refused(g):
    with pytest.raises(ValueError, match="do not span 3 dimensions"):
        tensor.distortion(np.zeros((len(g), 3, 1)), g, np.ones((len(g), 1)))


def test_a_reflection_held_out_is_foretold_and_a_wrong_one_is_noticed():
    gradients = gradients_of(a_distortion(), FIVE)
    held = tensor.held_out(gradients, FIVE, some_weights(5))
    assert max(one.rms for one in held) < 1e-14
    assert min(one.correlation for one in held) == pytest.approx(1.0)
    wrong = gradients.copy()
    wrong[3] *= -1  # as a twin with its place kept
    held = tensor.held_out(wrong, FIVE, some_weights(5))
    assert held[3].correlation == pytest.approx(-1.0)
    assert held[3].rms == pytest.approx(2 * held[3].spread)


def test_what_is_held_out_has_no_say_in_its_forecast():
    gradients, noise = gradients_of(a_distortion(), FIVE[:4]), np.random.default_rng(4).standard_normal((3, *SHAPE))
    wrong = gradients.copy()
    wrong[1] += 1e-2 * noise
    length = np.linalg.norm(FIVE[1])
    assert tensor.held_out(wrong, FIVE[:4], some_weights(4))[1].rms == pytest.approx(1e-2 * np.sqrt(np.mean(noise**2)) / length)


def test_nothing_is_foretold_by_three_or_from_a_plane():
    with pytest.raises(ValueError, match="3 reflections; one can be held out from 4 or more"):
        tensor.held_out(np.zeros((3, 3, 1)), FIVE[:3], np.ones((3, 1)))
    flat = np.array([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0], [0, 0, 1.0]])
    held = tensor.held_out(gradients_of(a_distortion(), flat), flat, np.ones((4, *SHAPE)))
    assert held[3] is None
    assert held[0].rms < 1e-14
    bent = np.array([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0.02], [0, 0, 1.0]])
    held = tensor.held_out(gradients_of(a_distortion(), bent), bent, np.ones((4, *SHAPE)), flattest=20.0)
    assert [one is None for one in held] == [False, False, False, True]


def test_directions_alone_make_the_condition():
    assert tensor.condition(FIVE * [[1.0], [2.0], [3.0], [4.0], [5.0]]) == pytest.approx(tensor.condition(FIVE))
    assert tensor.condition(np.diag([1.0, 1.0, 0.1])) == pytest.approx(1.0)
    assert tensor.condition(np.array([[1.0, 0, 0.1], [0, 1.0, 0.1], [1.0, 1.0, 0.1]])) > 5


def test_any_array_library_gives_the_same_tensor(xp):
    matrix = a_distortion()
    gradients, weights = gradients_of(matrix, FIVE[:4]), some_weights(4)
    found = tensor.distortion(xp.asarray(gradients), FIVE[:4], xp.asarray(weights))
    assert namespace(found.matrix).__name__.startswith(namespace(xp.asarray(weights)).__name__)
    for mine, plain in (
        (found.matrix, matrix),
        (tensor.strain(found.matrix), tensor.strain(matrix)),
        (tensor.rotation(found.matrix), tensor.rotation(matrix)),
        (tensor.equivalent(tensor.strain(found.matrix)), tensor.equivalent(tensor.strain(matrix))),
    ):
        np.testing.assert_allclose(np.asarray(mine), plain, atol=1e-14)


def test_the_precision_of_the_gradients_is_kept():
    single = gradients_of(a_distortion(), FIVE[:4]).astype(np.float32)
    found = tensor.distortion(single, FIVE[:4], some_weights(4))
    assert found.matrix.dtype == found.covariance.dtype == np.float32
